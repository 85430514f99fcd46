//! The JSON Schemas of model files: the committed files equal the output of the program, and their keys equal the keys
//! that the parser accepts.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it model_schema` regenerates `docs/schemas`. scripts/test validates the shipped
//! files against the schemas.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lifecycle_processor::wire::model_file::{
    ModelSource, catalogue_schema, model_schema, parse_drafts, shipped, shipped_catalogue,
};
use serde_json::Value;

use crate::cli::lifecycle;

#[test]
fn the_committed_schemas_equal_the_output_of_the_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas");
    for (kind, file) in [("models", "model.schema.json"), ("catalogue", "catalogue.schema.json")] {
        let run = lifecycle(Path::new("."), &["schema", kind], b"");
        assert_eq!(run.code, 0, "{}", run.errors);
        let path = folder.join(file);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(&folder).expect("writable");
            fs::write(&path, &run.output).expect("writable");
        } else {
            let committed = fs::read_to_string(&path).unwrap_or_default();
            assert!(committed == run.output, "docs/schemas/{file} is outdated; UPDATE_GOLDEN=1 regenerates it");
        }
    }
}

/// Returns the keys that the parser accepts: its error about the unknown key in `model` lists them.
fn accepted_keys(model: &str) -> BTreeSet<String> {
    let source = ModelSource { name: "model".to_owned(), text: model.to_owned() };
    let (_, _, problems) = parse_drafts(&[source], &shipped_catalogue());
    let problem = problems.iter().find(|problem| problem.code == "unknown-key").expect("the key is unknown");
    let help = problem.help.as_deref().expect("the keys are listed");
    help.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_schema_has_exactly_the_keys_that_the_parser_accepts() {
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
        let mapping = schema.pointer(path).expect("the schema has the mapping");
        assert_eq!(mapping["additionalProperties"], Value::Bool(false), "{path}");
        let described = mapping["properties"].as_object().expect("it is a mapping");
        let known: BTreeSet<String> = described.keys().cloned().collect();
        assert_eq!(known, accepted_keys(model), "{path}");
        assert!(
            described.values().all(|schema| schema["description"].as_str().is_some_and(|text| text.len() > 5)),
            "{path}"
        );
    }
    assert_eq!(catalogue_schema()["required"][0], "catalogue");
}

/// Checks only the top-level keys of a shipped model; scripts/test validates whole files.
#[test]
fn a_misspelled_key_is_not_in_the_schema() {
    let schema = model_schema();
    let known = schema["properties"].as_object().expect("a mapping");
    let text = shipped("retention").expect("a shipped model").text;
    let keys = || text.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()));
    let keys: Vec<&str> = keys().filter_map(|line| line.split(':').next()).collect();
    assert!(keys.len() > 7 && keys.iter().all(|key| known.contains_key(*key)), "{keys:?}");
    assert!(!known.contains_key("jurney"));
}
