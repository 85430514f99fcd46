//! Tests of the presets with golden records: `presets/sources/NAME.golden.ndjson`.
//!
//! The first line names the source of the format. Each other line has a record, what it shows, and what becomes of it:
//! `touchpoints`, `dropped` or `invalid`. `BLESS=1` writes the outcomes; review them.

use serde_json::{Map, Value, json};

use super::super::*;
use crate::wire::model_file::ModelSource;

fn outcome(mapping: &Mapping, line: &Value) -> (&'static str, Value) {
    let headers = line.get("headers").cloned().unwrap_or_else(|| json!({}));
    let record =
        SourceRecord { key: line.get("key").unwrap_or(&Value::Null), headers: &headers, value: &line["value"] };
    match mapping.map(&record) {
        Outcome::Touchpoints(touchpoints) => {
            ("touchpoints", touchpoints.iter().map(MappedTouchpoint::to_json).collect::<Vec<_>>().into())
        }
        Outcome::Dropped(reason) => ("dropped", reason.into()),
        Outcome::Invalid(cause) => ("invalid", format!("{}: {}", cause.reason.as_str(), cause.detail).into()),
    }
}

/// Returns the preset as it is on disk, so that it can be edited without a build.
fn current(name: &str) -> ModelSource {
    let path = format!("{}/presets/sources/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    ModelSource { name: name.to_owned(), text: std::fs::read_to_string(path).expect("a preset") }
}

#[test]
fn every_golden_record_has_its_outcome() {
    for name in preset_names() {
        let source = current(name);
        let path = format!("{}/presets/sources/{name}.golden.ndjson", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}")))
            .collect();
        let settings: Map<String, Value> = lines[0]["settings"].as_object().cloned().unwrap_or_default();
        assert!(lines[0]["source"].as_str().is_some_and(|source| source.contains("://")), "{name}: no source");
        let (mapping, warnings) = Mapping::compile(&source, &settings).unwrap_or_else(|problems| {
            panic!("{}", crate::wire::model_file::render(&problems, &[source.clone()], false))
        });
        assert_eq!(warnings, [], "{name}");
        let mut counts = std::collections::BTreeMap::new();
        for line in &mut lines[1..] {
            let (kind, found) = outcome(&mapping, line);
            *counts.entry(kind).or_insert(0) += 1;
            if std::env::var_os("BLESS").is_some() {
                let members = line.as_object_mut().expect("an object");
                members.retain(|name, _| !matches!(name.as_str(), "touchpoints" | "dropped" | "invalid"));
                members.insert(kind.to_owned(), found);
                continue;
            }
            assert_eq!(line.get(kind), Some(&found), "{name}: {}", line["about"]);
        }
        assert!(lines.len() > 12 && counts["touchpoints"] >= 6 && counts["invalid"] >= 3, "{name}: {counts:?}");
        if std::env::var_os("BLESS").is_some() {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            std::fs::write(&path, text).expect("a golden file");
        }
    }
}

#[test]
fn a_record_is_recognised_by_the_first_preset_that_fits() {
    for name in preset_names() {
        let path = format!("{}/presets/sources/{name}.golden.ndjson", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("golden records");
        let lines: Vec<Value> = text.lines().skip(1).map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let recognised = lines.iter().filter(|line| {
            let headers = line.get("headers").cloned().unwrap_or_else(|| json!({}));
            let record =
                SourceRecord { key: line.get("key").unwrap_or(&Value::Null), headers: &headers, value: &line["value"] };
            recognise(&record) == Some(name)
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
            for touchpoint in line["touchpoints"].as_array().into_iter().flatten() {
                let found = touchpoint["type"].as_str().expect("a type");
                assert!(known.iter().any(|known| known == found) || OWN.contains(&found), "{name}: {found}");
            }
        }
    }
}
