//! Tests of batches: which records a value contains, and what becomes of each.

use serde_json::{Map, Value, json};

use super::super::*;
use crate::wire::model_file::ModelSource;

const PAGES: &str = r"
mapping: pages
batch: {records: record.data.calls, shared: [context, user]}
recognise: has(record.id)
touchpoints:
  - touchpoint: page_viewed
    event_id: ${record.id}
    customer_id: ${record.user}
    occurred_at: ${epoch_seconds(record.at)}
    properties: {url: '${record.context.page}', campaign: '${record.context.campaign}'}
";

fn pages() -> Mapping {
    let source = ModelSource { name: "pages.yaml".to_owned(), text: PAGES.to_owned() };
    Mapping::compile(&source, &Map::new()).expect("a mapping").0
}

/// Returns what becomes of each record of `value`, or why the value as a whole is invalid.
fn outcomes(mapping: &Mapping, value: &Value) -> Result<Vec<String>, String> {
    let values = mapping.read(None, [], value.to_string().as_bytes()).expect("JSON");
    let records = mapping.records(values).map_err(|cause| format!("{}: {}", cause.reason.as_str(), cause.detail))?;
    let outcome = |at| match mapping.map_record(&records, at) {
        Outcome::Touchpoints(all) => format!("{} {:?}", all[0].event_id, all[0].properties),
        Outcome::Dropped(reason) => format!("dropped: {reason}"),
        Outcome::Invalid(cause) => format!("{}: {}", cause.reason.as_str(), cause.detail),
    };
    Ok((0..records.count()).map(outcome).collect())
}

#[test]
fn each_record_of_a_batch_has_the_shared_members_unless_it_has_its_own() {
    let value = json!({
        "context": {"page": "/", "campaign": "spring"}, "user": "c", "at": 9,
        "data": {"calls": [
            {"id": 1, "at": 0},
            {"id": 2, "at": 0, "context": {"page": "/2"}},
            {"id": 3, "at": 0, "context": null, "user": "d"},
            {"id": 4, "at": 0, "context": "none"},
            {"id": 5},
        ]},
    });
    let expected = [
        r#"1 {"campaign": String("spring"), "url": String("/")}"#,
        r#"2 {"campaign": String("spring"), "url": String("/2")}"#,
        r#"3 {"campaign": String("spring"), "url": String("/")}"#,
        "bad_field: item 3 of record.data.calls: properties: record.context: expected an object, found a text",
        "missing_field: item 4 of record.data.calls: occurred_at: record.at: missing or empty",
    ];
    assert_eq!(outcomes(&pages(), &value).expect("a batch"), expected);
}

#[test]
fn a_value_is_one_record_a_list_of_records_or_has_such_a_list() {
    let record = json!({"id": 1, "user": "c", "at": 0});
    let of = |value: Value| outcomes(&pages(), &value);
    assert_eq!(of(record.clone()).expect("one record"), ["1 {}"]);
    assert_eq!(of(json!([record, 5])).expect("two"), ["1 {}", "bad_field: item 1 of record: expected an object"]);
    assert_eq!(of(json!({"data": {"calls": []}})), Ok(Vec::new()));
    assert_eq!(of(json!({"data": {"calls": {}}})), Err("bad_field: record.data.calls: expected a list".to_owned()));
    assert_eq!(of(json!({"data": {"calls": null}, "id": 1, "user": "c", "at": 0})).expect("one record"), ["1 {}"]);

    let text = PAGES.replace("record.data.calls", "record");
    let lists = Mapping::compile(&ModelSource { name: String::new(), text }, &Map::new()).expect("a mapping").0;
    assert_eq!(outcomes(&lists, &json!([record])).expect("a list"), ["1 {}"]);
    assert_eq!(outcomes(&lists, &record).expect("one record"), ["1 {}"]);

    let text = PAGES.replace("batch:", "#");
    let single = Mapping::compile(&ModelSource { name: String::new(), text }, &Map::new()).expect("a mapping").0;
    let problem = outcomes(&single, &json!([record])).expect_err("a list");
    assert!(problem.starts_with("not_json: the record is not a JSON object"), "{problem}");
}

#[test]
fn a_batch_is_recognised_by_its_first_record() {
    let headers = json!({});
    let is_recognised =
        |value: &Value| pages().recognises(&SourceRecord { key: &Value::Null, headers: &headers, value });
    assert!(is_recognised(&json!([{"id": 1}])) && is_recognised(&json!({"data": {"calls": [{"id": 1}]}})));
    assert!(!is_recognised(&json!([])) && !is_recognised(&json!({"data": {"calls": [{}]}})));
}

#[test]
fn a_batch_has_limits() {
    let of = |value: Value| outcomes(&pages(), &value);
    let records = |count: usize| vec![json!({"id": 1, "user": "c", "at": 0}); count];
    assert_eq!(of(json!(records(BATCH_RECORDS_MAX))).map(|all| all.len()), Ok(BATCH_RECORDS_MAX));
    let problem = of(json!({"data": {"calls": records(BATCH_RECORDS_MAX + 1)}}));
    assert_eq!(problem, Err("bad_field: record.data.calls: more than 2500 records".to_owned()));

    // `{"context":{"page":""}}` and the quotes of the text have 23 bytes.
    let shared = |bytes: usize| json!({"context": {"page": "x".repeat(bytes - 23)}, "data": {"calls": records(1)}});
    assert_eq!(of(shared(65_536)).map(|all| all.len()), Ok(1));
    let problem = of(shared(65_537));
    assert_eq!(problem, Err("bad_field: context, user: more than 65536 bytes, which all records share".to_owned()));
}

#[test]
fn the_list_of_a_batch_is_a_path_of_the_record() {
    let problems = |batch: &str| {
        let text = PAGES.replace("{records: record.data.calls, shared: [context, user]}", batch);
        let source = ModelSource { name: String::new(), text };
        let problems = Mapping::compile(&source, &Map::new()).expect_err("a problem");
        problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(problems("{records: headers.calls}"), ["`records` is not a path of the record"]);
    assert_eq!(problems("{records: 'split(record.calls, \",\")'}"), ["`records` is not a path of the record"]);
    assert_eq!(problems("{shared: [context]}"), ["a batch lacks `records`"]);
}
