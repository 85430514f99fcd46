//! Keeps `docs/model-file.md` and `examples/accounts.yaml` correct and complete: the page shows the file, the file uses
//! every key of a model, and a replay reaches every stage.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cli::lifecycle;

const MODEL: &str = "examples/accounts.yaml";

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("readable")
}

/// Collects the names of all keys in a schema: a name with a schema under `properties`.
fn keys(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            let is_mapping = fields.get("type").is_some_and(|kind| kind == "object");
            if let Some(properties) = fields.get("properties").and_then(Value::as_object).filter(|_| is_mapping) {
                found.extend(properties.keys().cloned());
            }
            fields.values().for_each(|field| keys(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

#[test]
fn the_page_shows_the_example_and_explains_every_key() {
    let (page, model) = (read("docs/model-file.md"), read(MODEL));
    assert!(page.contains(&format!("```yaml\n{model}```\n")), "docs/model-file.md should contain {MODEL}");
    let schema: Value = serde_json::from_str(&read("docs/schemas/model.schema.json")).expect("JSON");
    let mut known = BTreeSet::new();
    keys(&schema, &mut known);
    assert!(known.contains("except") && known.contains("direction") && known.contains("unit"), "{known:?}");
    for key in known {
        let is_used = model.lines().map(|line| line.split('#').next().unwrap_or_default()).any(|line| {
            let starts =
                |begin: &str| line.contains(&format!("{begin}{key}: ")) || line.ends_with(&format!("{begin}{key}:"));
            line.starts_with(&format!("{key}:")) || [" ", "{", "- "].into_iter().any(starts)
        });
        assert!(is_used, "{MODEL} does not use `{key}`");
        assert!(page.contains(&format!("`{key}`")), "docs/model-file.md does not explain `{key}`");
    }
}

#[test]
fn the_example_is_valid_and_a_replay_reaches_every_stage() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let check = lifecycle(root, &["check", MODEL], b"");
    assert_eq!((check.code, check.output.trim()), (0, "1 model without problems"), "{}", check.errors);
    let scenarios = lifecycle(root, &["test", "--coverage", MODEL], b"");
    assert_eq!(scenarios.code, 0, "{}", scenarios.output);
    assert!(!scenarios.output.contains("no scenario reaches"), "{}", scenarios.output);
    let generated = lifecycle(root, &["generate", "--model", MODEL, "--customers", "200"], b"");
    let published = lifecycle(root, &["replay", "--model", MODEL, "-"], generated.output.as_bytes());
    assert_eq!(published.code, 0, "{}", published.errors);
    for stage in ["prospect", "onboarding", "adopted", "expanded", "at_risk", "lost"] {
        assert!(published.output.contains(&format!("\"to\":\"{stage}\"")), "no account enters {stage}");
    }
}
