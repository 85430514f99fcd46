//! Tests of mapping files: what becomes of records, and the problems of a file with their positions.

use serde_json::{Map, Value, json};

use super::super::*;
use crate::wire::model_file::{ModelSource, line_and_column};

const SHOP: &str = r"
mapping: shop
settings:
  currency: {default: EUR, description: of amounts without one}
tables:
  kinds: {ordered: order_completed, back: order_refunded}
recognise: has(record.kind)
drop:
  - {when: record.test, reason: test_order}
defaults:
  event_id: ${record.id}
  customer_id: ${not_empty(record.customer)}
  occurred_at: ${epoch_seconds(record.at)}
  properties:
    channel: web
    plan: ${record.plan}
touchpoints:
  - when: record.kind in kinds
    touchpoint: ${kinds[record.kind]}
    order_id: ${record.order}
    amount: ${record.total}
    currency: ${coalesce(record.currency, settings.currency)}
  - for_each: part in record.parts
    when: part.amount > 0
    touchpoint: order_refunded
    event_id: ${string(record.id)}:${part.id}
    amount: ${part.amount}
    properties: {channel: part}
";

fn source(text: &str) -> ModelSource {
    ModelSource { name: "shop.yaml".to_owned(), text: text.to_owned() }
}

fn shop() -> Mapping {
    let (mapping, warnings) = Mapping::compile(&source(SHOP), &Map::new()).expect("a mapping");
    assert_eq!(warnings, []);
    mapping
}

fn map(mapping: &Mapping, value: &Value) -> Result<Vec<Value>, String> {
    match mapping.map(&SourceRecord { key: &Value::Null, headers: &json!({}), value }) {
        Outcome::Touchpoints(touchpoints) => Ok(touchpoints.iter().map(MappedTouchpoint::to_json).collect()),
        Outcome::Dropped(reason) => Err(format!("dropped: {reason}")),
        Outcome::Invalid(cause) => Err(format!("{}: {}", cause.reason.as_str(), cause.detail)),
    }
}

#[test]
fn a_record_becomes_touchpoints_by_every_rule_that_applies() {
    let record = json!({
        "kind": "ordered", "id": 7, "customer": "c", "at": 1_769_850_000, "order": 12, "total": "5.00", "plan": null,
        "parts": [{"id": 1, "amount": 2}, {"id": 2, "amount": 0}, {"id": 3, "amount": 0.5}],
    });
    let expected = json!([
        {
            "event_id": "7", "customer_id": "c", "type": "order_completed", "occurred_at": "2026-01-31T09:00:00Z",
            "order_id": "12", "amount": "5", "currency": "EUR", "properties": {"channel": "web"},
        },
        {
            "event_id": "7:1", "customer_id": "c", "type": "order_refunded", "occurred_at": "2026-01-31T09:00:00Z",
            "amount": "2", "properties": {"channel": "part"},
        },
        {
            "event_id": "7:3", "customer_id": "c", "type": "order_refunded", "occurred_at": "2026-01-31T09:00:00Z",
            "amount": "0.5", "properties": {"channel": "part"},
        },
    ]);
    assert_eq!(map(&shop(), &record).map(Value::Array), Ok(expected));
}

#[test]
fn settings_of_a_source_replace_those_of_the_file() {
    let settings = |currency: &str| Map::from_iter([("currency".to_owned(), json!(currency))]);
    let (mapping, _) = Mapping::compile(&source(SHOP), &settings("JPY")).expect("a mapping");
    let record = json!({"kind": "ordered", "id": 7, "customer": "c", "at": 0, "total": 1});
    assert_eq!(map(&mapping, &record).expect("a touchpoint")[0]["currency"], "JPY");
    let unknown = Map::from_iter([("curency".to_owned(), json!("JPY"))]);
    let problems = Mapping::compile(&source(SHOP), &unknown).expect_err("an unknown setting");
    assert_eq!(problems[0].message, "the mapping has no setting `curency`");
    assert_eq!(problems[0].help.as_deref(), Some("did you mean `currency`?"));
}

#[test]
fn a_touchpoint_may_lack_the_customer_if_visitors_are_linked() {
    let text = SHOP.replace("  occurred_at:", "  anonymous_id: ${record.visitor}\n  occurred_at:");
    let visitor = json!({"kind": "ordered", "id": 7, "visitor": "v", "at": 0});
    let compiled = |identity: bool| {
        let settings = Map::from_iter([(IDENTITY.to_owned(), json!(identity))]);
        Mapping::compile(&source(&text), &settings).expect("a mapping").0
    };
    let with = compiled(true);
    let mapped = map(&with, &visitor).expect("a touchpoint");
    assert_eq!((&mapped[0]["anonymous_id"], mapped[0].get("customer_id")), (&json!("v"), None));
    let neither = json!({"kind": "ordered", "id": 7, "at": 0});
    let missing = Err("no_customer: customer_id: record.customer: missing or empty".to_owned());
    assert_eq!(map(&with, &neither), missing);
    let without = compiled(false);
    assert_eq!(map(&without, &visitor), missing);
    let both = json!({"kind": "ordered", "id": 7, "customer": "c", "visitor": "v", "at": 0});
    assert_eq!(map(&without, &both).expect("a touchpoint")[0].get("anonymous_id"), None);
}

#[test]
fn a_record_names_the_id_that_it_merges() {
    let text = format!(
        "{SHOP}  - when: record.kind == 'merged'\n    touchpoint: customer_merged\n    merged_id: ${{record.former}}\n"
    );
    let merged = json!({"kind": "merged", "id": 7, "customer": "c", "former": 42, "at": 0});
    let compiled = |identity: bool| {
        let settings = Map::from_iter([(IDENTITY.to_owned(), json!(identity))]);
        Mapping::compile(&source(&text), &settings).expect("a mapping").0
    };
    let with = compiled(true);
    assert_eq!(map(&with, &merged).expect("a touchpoint")[0]["merged_id"], json!("42"));
    let fractional = json!({"kind": "merged", "id": 7, "customer": "c", "former": 1.5, "at": 0});
    let refused = "bad_field: merged_id: record.former: expected a text or a whole number".to_owned();
    assert_eq!(map(&with, &fractional), Err(refused));
    assert_eq!(map(&compiled(false), &merged).expect("a touchpoint")[0].get("merged_id"), None);
    let record = RecordValues { key: Value::Null, headers: json!({}), value: merged };
    let explanation = with.explain(&record.as_record());
    let field = explanation.touchpoints[0].iter().find(|field| field.name == "merged_id").expect("an explained field");
    assert_eq!((field.text, &field.value), ("${record.former}", &json!(42)));
    assert!(explanation.unread.is_empty(), "{:?}", explanation.unread);
}

#[test]
fn records_that_are_no_touchpoints_are_dropped_with_a_reason() {
    assert_eq!(map(&shop(), &json!({"kind": "ordered", "test": true})), Err("dropped: test_order".to_owned()));
    assert_eq!(map(&shop(), &json!({"kind": "other"})), Err("dropped: no_touchpoint".to_owned()));
    assert_eq!(map(&shop(), &json!({"kind": "other", "parts": []})), Err("dropped: no_touchpoint".to_owned()));
}

#[test]
fn an_invalid_record_names_the_field_and_the_path() {
    let valid = json!({"kind": "ordered", "id": 7, "customer": "c", "at": 0});
    for (field, value, expected) in [
        ("customer", json!(" "), "no_customer: customer_id: record.customer: missing or empty"),
        ("customer", json!({"id": 1}), "bad_field: customer_id: record.customer: expected a text or a whole number"),
        ("id", json!(null), "missing_field: event_id: record.id: missing or empty"),
        ("id", json!(1.5), "bad_field: event_id: record.id: expected a text or a whole number"),
        ("id", json!("x".repeat(600)), "bad_field: event_id: record.id: longer than 512 bytes"),
        ("at", json!(null), "missing_field: occurred_at: record.at: missing or empty"),
        ("at", json!("soon"), "bad_field: occurred_at: record.at: expected a number, found another text"),
        (
            "total",
            json!("5,00"),
            "bad_field: amount: record.total: expected a number or a text such as 39.90, from -10^12 to 10^12",
        ),
        ("currency", json!("euro"), "bad_field: currency: record.currency: expected three letters, such as EUR"),
        ("test", json!("yes"), "bad_field: drop: record.test: expected true or false, found a text"),
        ("parts", json!(5), "bad_field: record.parts: expected a list"),
        (
            "parts",
            json!([{"amount": "2"}]),
            "bad_field: when: part.amount: `>` compares a text with a whole number (item 0 of record.parts)",
        ),
        (
            "parts",
            json!([{"amount": 2}, {"amount": 2}]),
            "bad_field: event_id: two touchpoints of the record have the same id; the mapping must make them differ",
        ),
    ] {
        let mut record = valid.clone();
        record[field] = value;
        assert_eq!(map(&shop(), &record), Err(expected.to_owned()), "{field}");
    }
    let many: Vec<Value> = (0..=TOUCHPOINTS_MAX).map(|id| json!({"id": id, "amount": 1})).collect();
    let record = json!({"id": 7, "customer": "c", "at": 0, "parts": many});
    assert_eq!(map(&shop(), &record), Err("bad_field: record.parts: more than 1000 items".to_owned()));
}

#[test]
fn an_explanation_shows_each_field_and_what_no_rule_reads() {
    let record = json!({
        "kind": "ordered", "id": 7, "customer": "c", "at": 0, "coupon": "x", "nothing": null,
        "lines": [{"sku": "a"}, {"sku": "b"}], "plan": "pro",
    });
    let mapping = shop();
    let explanation = mapping.explain(&SourceRecord { key: &Value::Null, headers: &json!({}), value: &record });
    assert!(matches!(explanation.outcome, Outcome::Touchpoints(_)));
    let fields: Vec<_> = explanation.touchpoints[0].iter().map(|field| (field.name, field.text)).collect();
    assert_eq!(
        fields[..2],
        [("touchpoint", "${kinds[record.kind]}"), ("customer_id", "${not_empty(record.customer)}")]
    );
    assert_eq!(explanation.unread, ["coupon", "lines[].sku"]);
}

#[test]
fn problems_of_a_file_are_found_all_at_once_with_their_positions() {
    let text = "\
mapping: bad
tables: {record: {a: b}}
drop:
  - {when: record.a, reason: Not A Name}
  - {reason: missing_condition}
defaults: {occurred_at: record.time}
touchpoints:
  - when: record.kind == lowr(record.x)
    touchpont: order_completed
    event_id: fixed
    customer_id: ${recrd.id}
    amount: ${has(record.x)}
    extra: 1
  - for_each: record.items
    touchpoint: order_complete
    event_id: ${record.id}
    customer_id: ${record.id}
    occurred_at: ${unix_seconds(record.time)}
";
    let problems = Mapping::compile(&source(text), &Map::new()).expect_err("problems");
    let mut found: Vec<_> = problems
        .iter()
        .map(|problem| {
            let (line, column) = line_and_column(text, problem.span.start);
            let help = problem.help.as_deref().unwrap_or_default();
            format!("{line}:{column}: {}; {help}", problem.message)
        })
        .collect();
    found.sort();
    let expected = [
        "10:15: `event_id` is the same for every record; read it from the record: `${record.id}`",
        "11:20: unknown name `recrd`; did you mean `record`?",
        "12:13: `amount` must be a text or a number, found true or false; ",
        "13:5: unknown key `extra` in a touchpoint; the keys of a touchpoint are `when`, `for_each`, `touchpoint`, \
         `event_id`, `customer_id`, `anonymous_id`, `merged_id`, `occurred_at`, `order_id`, `amount`, `currency` and \
         `properties`",
        "14:15: `for_each` is not `item in list`; write `item in record.items`: a name for each item, and a list",
        "2:10: `record` cannot be the name of a table; choose another name of a-z, 0-9 and _",
        "4:30: `Not A Name` is not a name; a reason is a label of a metric: write a name such as `test_order`",
        "5:5: a drop rule lacks `when`; add `when: ...`",
        "6:25: `occurred_at` is the text `record.time`, not the value at that path; write `${record.time}`",
        "8:26: unknown function `lowr`; did you mean `lower`?",
        "9:5: unknown key `touchpont` in a touchpoint; did you mean `touchpoint`?",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_type_that_is_nearly_one_of_the_catalogue_is_a_warning() {
    let text = SHOP.replace("touchpoint: order_refunded", "touchpoint: order_refund");
    let (_, warnings) = Mapping::compile(&source(&text), &Map::new()).expect("a mapping");
    let found: Vec<_> = warnings.iter().map(|warning| (&*warning.message, warning.help.as_deref())).collect();
    assert_eq!(found, [("the catalogue has no type `order_refund`", Some("did you mean `order_refunded`?"))]);
}

#[test]
fn a_mapping_file_is_known_by_its_first_key() {
    assert!(is_mapping_file(SHOP));
    assert!(!is_mapping_file("model: mine\nstages: []\n"));
}
