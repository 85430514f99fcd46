//! The JSON Schemas of model files: committed as the program prints them, and with the very keys that are read.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it model_schema` writes `docs/schemas` anew. That the shipped files keep to the
//! schemas is checked by scripts/test, with a validator.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lifecycle_processor::wire::model_file::{
    ModelSource, catalogue_schema, model_schema, read, shipped, shipped_catalogue,
};
use serde_json::Value;

use crate::cli::lifecycle;

#[test]
fn the_committed_schemas_are_what_the_program_prints() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas");
    for (of, file) in [("models", "model.schema.json"), ("catalogue", "catalogue.schema.json")] {
        let run = lifecycle(Path::new("."), &["schema", of], b"");
        assert_eq!(run.code, 0, "{}", run.errors);
        let path = folder.join(file);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(&folder).expect("writable");
            fs::write(&path, &run.output).expect("writable");
        } else {
            let committed = fs::read_to_string(&path).unwrap_or_default();
            assert!(committed == run.output, "docs/schemas/{file} is outdated; UPDATE_GOLDEN=1 writes it anew");
        }
    }
}

/// The keys that the report on an unknown key lists, for a mapping at `path` of the schema.
fn keys_read(model: &str) -> BTreeSet<String> {
    let source = ModelSource { name: "model".to_owned(), text: model.to_owned() };
    let (_, _, problems) = read(&[source], &shipped_catalogue());
    let problem = problems.iter().find(|problem| problem.code == "unknown-key").expect("the key is unknown");
    let help = problem.help.as_deref().expect("the keys are listed");
    help.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_schema_knows_the_keys_that_are_read() {
    let schema = model_schema();
    let mappings = [
        ("", "model: m\nqqqq: 1\n"),
        ("/properties/stages/items", "model: m\nstages: [{stage: a, when: true, qqqq: 1}]\n"),
        ("/properties/transitions/items", "model: m\ntransitions: [{name: a, qqqq: 1}]\n"),
        ("/properties/signals/items", "model: m\nsignals: [{signal: a, when: true, qqqq: 1}]\n"),
        ("/properties/milestones/items", "model: m\nmilestones: [{milestone: a, when: true, qqqq: 1}]\n"),
        ("/properties/counters/items", "model: m\ncounters: [{counter: a, of: 1, qqqq: 1}]\n"),
        ("/properties/types/additionalProperties/anyOf/1", "model: m\ntypes: {a: {qqqq: 1}}\n"),
        ("/properties/touchpoints/additionalProperties/anyOf/1", "model: m\ntouchpoints: {a: {qqqq: 1}}\n"),
        (
            "/properties/types/additionalProperties/anyOf/1/properties/properties/additionalProperties/anyOf/1",
            "model: m\ntypes: {a: {properties: {b: {type: int, qqqq: 1}}}}\n",
        ),
    ];
    for (path, model) in mappings {
        let mapping = schema.pointer(path).expect("the schema has it");
        assert_eq!(mapping["additionalProperties"], Value::Bool(false), "{path}");
        let described = mapping["properties"].as_object().expect("it is a mapping");
        let known: BTreeSet<String> = described.keys().cloned().collect();
        assert_eq!(known, keys_read(model), "{path}");
        assert!(described.values().all(|of| of["description"].as_str().is_some_and(|text| text.len() > 5)), "{path}");
    }
    assert_eq!(catalogue_schema()["required"][0], "catalogue");
}

/// The shipped models use the schema's keys and no others, at the top; deeper down the validator looks.
#[test]
fn a_misspelled_key_is_no_key_of_the_schema() {
    let schema = model_schema();
    let known = schema["properties"].as_object().expect("a mapping");
    let text = shipped("retention").expect("it ships").text;
    let keys = || text.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()));
    let keys: Vec<&str> = keys().filter_map(|line| line.split(':').next()).collect();
    assert!(keys.len() > 7 && keys.iter().all(|key| known.contains_key(*key)), "{keys:?}");
    assert!(!known.contains_key("jurney"));
}
