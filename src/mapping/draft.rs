//! Drafts a mapping file from samples: finds the fields that look like an id, a customer, a time and a type.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::lifecycle::suggest::nearest;
use crate::wire::decimal::parse_amount;
use crate::wire::model_file::catalogue_types;
use crate::wire::time::parse_timestamp;
use crate::wire::transition_text::is_deceptive;

/// The names of each field in the records of other systems, the best first. A name may have several parts.
const EVENT_ID: &[&str] = &["event_id", "eventId", "messageId", "message_id", "insert_id", "event_uuid", "uuid", "id"];
const CUSTOMER_ID: &[&str] = &[
    "customer_id",
    "customerId",
    "CustomerID",
    "user_id",
    "userId",
    "client_id",
    "clientId",
    "distinct_id",
    "profile_id",
    "customer.id",
    "user.id",
    "member_id",
    "account_id",
    "subject",
    "customer",
    "user",
];
const ANONYMOUS_ID: &[&str] = &["anonymous_id", "anonymousId", "visitor_id", "visitorId", "device_id", "deviceId"];
const OCCURRED_AT: &[&str] = &[
    "occurred_at",
    "occurredAt",
    "timestamp",
    "event_time",
    "eventTime",
    "event_timestamp",
    "created_at",
    "createdAt",
    "created",
    "time",
    "ts",
    "date",
    "datetime",
];
const TYPE: &[&str] =
    &["type", "event_type", "eventType", "event_name", "eventName", "event", "action", "kind", "topic", "name"];
const ORDER_ID: &[&str] =
    &["order_id", "orderId", "order_number", "transaction_id", "transactionId", "invoice_id", "order.id"];
const AMOUNT: &[&str] = &["amount", "total", "order_total", "total_price", "revenue", "value", "grand_total", "price"];
const CURRENCY: &[&str] = &["currency", "currency_code", "currencyCode"];
const PROPERTIES: &[&str] = &[
    "product", "category", "campaign", "channel", "url", "coupon", "query", "store", "score", "scale", "step", "plan",
    "country",
];
/// Words that YAML does not read as text.
const RETYPED: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
/// Marks what a draft leaves open.
pub(super) const CHANGE_ME: &str = "CHANGE_ME";
/// More distinct values than this are not a type.
const TYPES_MAX: usize = 60;

/// Returns the text of a mapping file for records like `samples`. What was not found is marked with `CHANGE_ME`.
#[must_use]
pub fn draft(samples: &[Value]) -> String {
    let mut fields: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for sample in samples {
        collect(sample, &mut String::new(), &mut fields);
    }
    let find = |names: &[&str], fits: &dyn Fn(&Value) -> bool| {
        names.iter().find_map(|name| {
            let matching = fields.iter().filter(|(path, values)| {
                (**path == **name || path.ends_with(&format!(".{name}"))) && values.iter().all(|value| fits(value))
            });
            matching.min_by_key(|(path, _)| path.matches('.').count()).map(|(path, _)| path.clone())
        })
    };
    let is_id = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty()) || value.is_u64();
    let event_id = find(EVENT_ID, &is_id);
    let customer_id = find(CUSTOMER_ID, &is_id);
    let anonymous_id = find(ANONYMOUS_ID, &is_id);
    let time = find(OCCURRED_AT, &|value| time_function(value).is_some());
    let kind = find(TYPE, &|value| value.as_str().is_some_and(|text| text.len() <= 128))
        .filter(|path| distinct(&fields[path]).len() <= TYPES_MAX);
    let order_id = find(ORDER_ID, &is_id);
    let is_amount =
        |value: &Value| value.is_number() || value.as_str().is_some_and(|text| parse_amount(text).is_some());
    let amount = find(AMOUNT, &is_amount);
    let currency = find(CURRENCY, &|value| value.as_str().is_some_and(|text| text.len() == 3));

    let read = |path: &Option<String>| {
        path.as_ref().map_or_else(|| "record.CHANGE_ME".to_owned(), |path| format!("record.{path}"))
    };
    let mut text = "# A draft from samples: check every line, and try it with `lifecycle map --mapping FILE SAMPLE`.\n\
                    # docs/mapping.md describes the language.\nmapping: my_source\n\n"
        .to_owned();
    let known = catalogue_types();
    if let Some(path) = &kind {
        text.push_str(
            "tables:\n  # Each value of the field that is the type, and the type of the catalogue.\n  types:\n",
        );
        for name in distinct(&fields[path]) {
            let (meant, is_sure) = meant_type(name, &known);
            let mark = if is_sure { "" } else { "  # CHANGE_ME: a type of the catalogue, or one of your own" };
            _ = writeln!(text, "    {}: {}{mark}", quoted(name), quoted(&meant));
        }
        text.push('\n');
    }
    text.push_str("touchpoints:\n");
    match &kind {
        Some(path) => {
            _ = writeln!(text, "  - when: record.{path} in types\n    touchpoint: ${{types[record.{path}]}}");
        }
        None => text.push_str("  - touchpoint: CHANGE_ME  # the type of all records, such as order_completed\n"),
    }
    if let Some(path) = &event_id {
        _ = writeln!(text, "    event_id: ${{record.{path}}}");
    } else {
        text.push_str("    # No field is unique to the event: an id of all that it contains.\n");
        text.push_str("    event_id: ${hash(to_json(record))}\n");
    }
    _ = writeln!(text, "    customer_id: ${{{}}}", read(&customer_id));
    if let Some(path) = &anonymous_id {
        _ = writeln!(
            text,
            "    anonymous_id: ${{record.{path}}}  # the visitor, with identity resolution (docs/identity.md)"
        );
    }
    let function = time.as_ref().and_then(|path| fields[path].first()).and_then(|value| time_function(value));
    _ = writeln!(
        text,
        "    occurred_at: '${{{}}}'",
        function.unwrap_or("rfc3339(x)").replace("(x", &format!("({}", read(&time)))
    );
    if let Some(path) = &order_id {
        _ = writeln!(text, "    order_id: ${{record.{path}}}");
    }
    if let Some(path) = &amount {
        _ = writeln!(text, "    amount: ${{decimal(record.{path})}}");
        match &currency {
            Some(path) => _ = writeln!(text, "    currency: ${{upper(record.{path})}}"),
            None => text.push_str("    currency: EUR  # CHANGE_ME: the records have no currency\n"),
        }
    }
    let properties: Vec<(&str, String)> = PROPERTIES
        .iter()
        .filter_map(|name| Some((*name, find(&[name], &|value| !value.is_object() && !value.is_array())?)))
        .collect();
    if !properties.is_empty() {
        text.push_str("    properties:\n");
        for (name, path) in properties {
            _ = writeln!(text, "      {name}: ${{record.{path}}}");
        }
    }
    text
}

/// Collects the values of each path that consists of plain names.
fn collect<'v>(value: &'v Value, path: &mut String, fields: &mut BTreeMap<String, Vec<&'v Value>>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter().filter(|(name, _)| is_plain(name)) {
                let length = path.len();
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                collect(member, path, fields);
                path.truncate(length);
            }
        }
        Value::Array(_) | Value::Null => {}
        _ if path.is_empty() => {}
        plain => fields.entry(path.clone()).or_default().push(plain),
    }
}

fn is_plain(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn distinct<'v>(values: &[&'v Value]) -> Vec<&'v str> {
    let mut names: Vec<&str> = values.iter().filter_map(|value| value.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Returns the call that reads a time like `value`, with `x` for its path.
fn time_function(value: &Value) -> Option<&'static str> {
    let digits = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) if parse_timestamp(text).is_ok() => return Some("rfc3339(x)"),
        Value::String(text) => {
            let shape: String = text.chars().map(|letter| if letter.is_ascii_digit() { '9' } else { letter }).collect();
            match shape.as_str() {
                "9999-99-99 99:99:99" => return Some("pattern(x, \"%Y-%m-%d %H:%M:%S\", \"UTC\")"),
                "9999-99-99T99:99:99" => return Some("pattern(x, \"%Y-%m-%dT%H:%M:%S\", \"UTC\")"),
                "9999-99-99" => return Some("pattern(x, \"%Y-%m-%d\", \"UTC\")"),
                "99.99.9999 99:99:99" => return Some("pattern(x, \"%d.%m.%Y %H:%M:%S\", \"UTC\")"),
                "99.99.9999 99:99" => return Some("pattern(x, \"%d.%m.%Y %H:%M\", \"UTC\")"),
                _ => text.clone(),
            }
        }
        _ => return None,
    };
    let whole = digits.split('.').next().unwrap_or_default();
    if !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match whole.len() {
        9 | 10 => Some("epoch_seconds(x)"),
        12 | 13 => Some("epoch_millis(x)"),
        15 | 16 => Some("epoch_micros(x)"),
        _ => None,
    }
}

/// Returns the type of the catalogue that `name` probably means, and whether that is sure.
fn meant_type(name: &str, known: &[String]) -> (String, bool) {
    let own = super::function::snake_case_of(name);
    if known.contains(&own) {
        return (own, true);
    }
    // Many event names begin with the verb: `Viewed Product`.
    let swapped = own.split('_').rev().collect::<Vec<_>>().join("_");
    if known.contains(&swapped) {
        return (swapped, true);
    }
    match nearest(&own, known.iter().map(String::as_str)) {
        Some(near) => (near.to_owned(), false),
        None if own.is_empty() => ("CHANGE_ME".to_owned(), false),
        None => (own, false),
    }
}

/// Returns a name as YAML reads it as text. Characters that a terminal would not show as they are, are escaped.
fn quoted(name: &str) -> String {
    let is_retyped = RETYPED.iter().any(|word| name.eq_ignore_ascii_case(word));
    if !is_retyped && name.split(' ').all(is_plain) {
        return name.to_owned();
    }
    let mut quoted = String::new();
    for letter in Value::from(name).to_string().chars() {
        if is_deceptive(letter) {
            _ = write!(quoted, "\\U{:08X}", u32::from(letter));
        } else {
            quoted.push(letter);
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::super::{Mapping, Outcome, RecordValues};
    use super::*;
    use crate::wire::model_file::ModelSource;

    #[test]
    fn a_draft_compiles_and_maps_its_samples() {
        let samples = [
            json!({"id": "e1", "user": {"id": 7}, "event": "Order Completed", "created": 1_769_850_000,
                   "order": {"id": "o1", "total": "5.00", "currency": "eur"}, "campaign": "spring"}),
            json!({"id": "e2", "user": {"id": 7}, "event": "Viewed Product", "created": 1_769_850_100, "lines": [1]}),
        ];
        let text = draft(&samples);
        let source = ModelSource { name: "draft".to_owned(), text: text.clone() };
        let (mapping, warnings) =
            Mapping::compile(&source, &Map::new()).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        assert_eq!(warnings, [], "{text}");
        let touchpoints = |sample: &Value| {
            let record = RecordValues { key: Value::Null, headers: json!({}), value: sample.clone() };
            match mapping.map(&record.as_record()) {
                Outcome::Touchpoints(touchpoints) => touchpoints[0].to_json(),
                other => panic!("{other:?}\n{text}"),
            }
        };
        let expected = json!({
            "event_id": "e1", "customer_id": "7", "type": "order_completed", "occurred_at": "2026-01-31T09:00:00Z",
            "order_id": "o1", "amount": "5", "currency": "EUR", "properties": {"campaign": "spring"},
        });
        assert_eq!(touchpoints(&samples[0]), expected, "{text}");
        assert_eq!(touchpoints(&samples[1])["type"], "product_viewed", "{text}");
    }

    #[test]
    fn a_visitor_beside_the_customer_is_found() {
        let samples =
            [json!({"id": "e1", "user_id": 7, "context": {"device_id": "d"}, "event": "Login", "ts": 1_769_850_000})];
        let text = draft(&samples);
        assert!(
            text.contains("    customer_id: ${record.user_id}\n    anonymous_id: ${record.context.device_id}  #"),
            "{text}"
        );
        let source = ModelSource { name: "draft".to_owned(), text };
        let settings = Map::from_iter([(super::super::IDENTITY.to_owned(), json!(true))]);
        let (mapping, _) = Mapping::compile(&source, &settings).expect("a mapping");
        let record = RecordValues { key: Value::Null, headers: json!({}), value: samples[0].clone() };
        let Outcome::Touchpoints(touchpoints) = mapping.map(&record.as_record()) else { panic!("a touchpoint") };
        assert_eq!(touchpoints[0].anonymous_id.as_deref(), Some("d"));
    }

    #[test]
    fn types_stay_the_texts_that_they_are() {
        let names = ["no", "Null", "1.10", "a\u{1b}[2Jb", "c\u{202e}d", "e\u{85}f", "Order Completed", "\"g\""];
        let samples: Vec<Value> = (1..)
            .zip(names)
            .map(|(id, name)| json!({"id": id, "user": "a", "event": name, "created": 1_769_850_000}))
            .collect();
        let text = draft(&samples);
        assert!(!text.contains(|letter| letter != '\n' && is_deceptive(letter)), "{text:?}");
        let source = ModelSource { name: "draft".to_owned(), text: text.clone() };
        let (mapping, _) =
            Mapping::compile(&source, &Map::new()).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        for sample in samples {
            let record = RecordValues { key: Value::Null, headers: json!({}), value: sample };
            assert!(matches!(mapping.map(&record.as_record()), Outcome::Touchpoints(_)), "{:?}\n{text}", record.value);
        }
    }

    #[test]
    fn what_is_not_found_is_marked() {
        let text = draft(&[json!({"a": {"b": 1}})]);
        assert!(text.matches("CHANGE_ME").count() >= 3, "{text}");
    }

    #[test]
    fn times_are_recognised_by_their_shape() {
        for (value, expected) in [
            (json!("2026-01-31T09:00:00Z"), "rfc3339(x)"),
            (json!(1_769_850_000), "epoch_seconds(x)"),
            (json!("1769850000123"), "epoch_millis(x)"),
            (json!(1_769_850_000_123_456_i64), "epoch_micros(x)"),
            (json!("2026-01-31 09:00:00"), "pattern(x, \"%Y-%m-%d %H:%M:%S\", \"UTC\")"),
        ] {
            assert_eq!(time_function(&value), Some(expected));
        }
        assert_eq!(time_function(&json!("soon")), None);
    }
}
