//! Tests of the presets with golden records: `presets/sources/NAME.golden.ndjson`.
//!
//! The first line names the source of the format. Each other line has a record, what it shows, and what becomes of it:
//! `touchpoints`, `dropped`, `invalid`, or `records` of a batch. `NAME.identity.golden.ndjson` has records with
//! identity resolution. `BLESS=1` writes the outcomes; review them.

use serde_json::{Map, Value, json};

use super::super::*;
use crate::wire::model_file::ModelSource;
use crate::wire::touchpoint_json::DeadLetterCause;

/// Returns the preset as it is on disk, so that it can be edited without a build.
fn current(name: &str) -> ModelSource {
    let path = format!("{}/presets/sources/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    ModelSource { name: name.to_owned(), text: std::fs::read_to_string(path).expect("a preset") }
}

#[test]
fn every_golden_record_has_its_outcome() {
    for name in preset_names() {
        let source = current(name);
        let (text, records) = checked(&source, &golden_path(name));
        let count = |kind| records.iter().filter(|record| record.found.0 == kind).count();
        assert!(text.lines().next().is_some_and(|first| first.contains("\"source\":\"https://")), "{name}: no source");
        assert!(records.len() >= 12 && count("touchpoints") >= 6 && count("invalid") >= 3, "{name}: {}", records.len());
    }
}

#[test]
fn every_golden_record_of_a_visitor_has_its_outcome() {
    for name in ["segment", "rudderstack", "snowplow", "ga4", "shopify", "cloudevents"] {
        let (text, records) = checked(&current(name), &golden_path(&format!("{name}.identity")));
        assert!(golden_settings(&text).expect("settings")[IDENTITY].as_bool().expect("a truth value"));
        let has = |id: &str| {
            let is_owner = |touchpoint: &Value| touchpoint.get(id).is_some();
            records.iter().any(|record| record.found.1.as_array().is_some_and(|all| all.iter().all(is_owner)))
        };
        assert!(has("customer_id") && has("anonymous_id"), "{name}");
    }
}

fn golden_path(name: &str) -> String {
    format!("{}/presets/sources/{name}.golden.ndjson", env!("CARGO_MANIFEST_DIR"))
}

/// Maps the golden records in the file at `path`, and asserts their outcomes.
fn checked(source: &ModelSource, path: &str) -> (String, Vec<GoldenRecord>) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let settings = golden_settings(&text).expect("settings");
    let (mapping, warnings) = Mapping::compile(source, &settings).unwrap_or_else(|problems| {
        panic!("{}", crate::wire::model_file::render(&problems, std::slice::from_ref(source), false))
    });
    assert_eq!(warnings, [], "{path}");
    let records = golden_records(&mapping, &text).unwrap_or_else(|problem| panic!("{path}: {problem}"));
    if std::env::var_os("BLESS").is_some() {
        bless(path, &text, &records);
    } else {
        let wrong: Vec<_> = records.iter().filter(|record| !record.is_as_expected()).collect();
        assert!(wrong.is_empty(), "{path}: {wrong:#?}");
        assert_same_after_projection(&mapping, &text);
    }
    (text, records)
}

/// Asserts that a record without the parts that the mapping does not read has the same outcome.
fn assert_same_after_projection(mapping: &Mapping, text: &str) {
    for line in text.lines().skip(1) {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let headers = line["headers"].as_object().cloned().unwrap_or_default();
        let headers: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str().expect("a text").as_bytes())).collect();
        let key = line["key"].as_str().map(str::as_bytes);
        let bytes = line["value"].to_string();
        let whole = RecordValues::of_topic(key, headers.iter().copied(), bytes.as_bytes()).expect("a record");
        let read = mapping.read(key, headers.iter().copied(), bytes.as_bytes()).expect("a record");
        let fast = mapping.map_object(key, headers.iter().copied(), bytes.as_bytes());
        let outcomes = |values: RecordValues| {
            let records = mapping.records(values)?;
            Ok::<_, DeadLetterCause>(
                (0..records.count()).map(|at| mapping.map_record(&records, at)).collect::<Vec<_>>(),
            )
        };
        let expected = outcomes(whole);
        assert_eq!(expected, outcomes(read), "{}", line["about"]);
        if let Some(fast) = fast {
            assert_eq!(expected, Ok(vec![fast]), "{}", line["about"]);
        }
    }
}

/// Writes the outcomes into the file at `path`.
fn bless(path: &str, text: &str, records: &[GoldenRecord]) {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for record in records {
        let line = &mut lines[record.line - 1];
        let mut members: Map<String, Value> = serde_json::from_str(line).expect("an object");
        members.retain(|name, _| !matches!(name.as_str(), "touchpoints" | "dropped" | "invalid" | "records"));
        members.insert(record.found.0.to_owned(), record.found.1.clone());
        *line = Value::Object(members).to_string();
    }
    std::fs::write(path, lines.join("\n") + "\n").expect("a golden file");
}

#[test]
fn the_documented_lines_turn_alias_calls_into_merges() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/presets.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let (_, lines) = page.split_once("```yaml alias\n").expect("the page has the lines");
    let (lines, _) = lines.split_once("```").expect("a block ends");
    for name in ["segment", "rudderstack"] {
        let preset = current(name);
        let (others, _) = preset.text.split_once("  - when: record.type == \"alias\"\n").expect("a last rule");
        let source = ModelSource { text: format!("{others}{lines}"), ..preset };
        let settings = Map::from_iter([(IDENTITY.to_owned(), json!(true))]);
        let (mapping, warnings) = Mapping::compile(&source, &settings).expect("a mapping");
        assert_eq!(warnings, [], "{name}");
        let mapped = |value: &Value| match mapping.map(&SourceRecord { key: &Value::Null, headers: &json!({}), value })
        {
            Outcome::Touchpoints(touchpoints) => touchpoints[0].to_json(),
            outcome => panic!("{name}: {outcome:?}"),
        };
        let mut alias = json!({
            "type": "alias", "messageId": "m", "userId": "u-1", "previousId": "u-0", "timestamp": "2026-03-08T12:00:00Z",
        });
        let merge = mapped(&alias);
        assert_eq!((&merge["type"], &merge["merged_id"]), (&json!("customer_merged"), &json!("u-0")), "{name}");
        alias["previousId"] = json!("");
        assert_eq!(mapped(&alias).get("merged_id"), None, "{name}: a dead letter of the decoder");
    }
}

#[test]
fn a_record_is_recognised_by_the_first_preset_that_fits() {
    let presets = Presets::load();
    assert_eq!(presets.titles().count(), preset_names().len());
    for name in preset_names() {
        let path = format!("{}/presets/sources/{name}.golden.ndjson", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("golden records");
        let lines: Vec<Value> = text.lines().skip(1).map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let recognised = lines.iter().filter(|line| {
            let headers = line.get("headers").cloned().unwrap_or_else(|| json!({}));
            let record =
                SourceRecord { key: line.get("key").unwrap_or(&Value::Null), headers: &headers, value: &line["value"] };
            presets.recognise(&record) == Some(name)
        });
        let (recognised, all) = (recognised.count(), lines.len());
        assert!(recognised * 10 >= all * 7, "{name}: {recognised} of {all} records are recognised");
    }
}

#[test]
fn touchpoints_of_presets_are_of_the_catalogue_or_listed_here() {
    const OWN: [&str; 3] = ["article_read", "customer_erased", "customer_identified"];
    let known = crate::wire::model_file::catalogue_types();
    for name in preset_names() {
        let path = format!("{}/presets/sources/{name}.golden.ndjson", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("golden records");
        for line in text.lines().skip(1) {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let records = line["records"].as_array().into_iter().flatten().chain([&line]);
            for touchpoint in records.filter_map(|record| record["touchpoints"].as_array()).flatten() {
                let found = touchpoint["type"].as_str().expect("a type");
                assert!(known.iter().any(|known| known == found) || OWN.contains(&found), "{name}: {found}");
            }
        }
    }
}
