//! Checks the alert rules of deploy/prometheus with promtool, and that every metric, runbook section and panel they
//! refer to exists.
//!
//! `dashboards_live` injects faults into a running service and checks that the alerts fire.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::dashboards::{self, promql};

/// Returns the folder that contains the rules.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus")
}

/// Returns the text of the rules file.
pub(crate) fn text() -> String {
    std::fs::read_to_string(folder().join("lifecycle.rules.yml")).expect("the rules")
}

fn rules() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&text()).expect("YAML");
    let groups = file["groups"].as_array().expect("groups");
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

fn text_field<'a>(rule: &'a Value, name: &str) -> &'a str {
    rule[name].as_str().unwrap_or_default()
}

/// Returns the names of the recorded series.
pub(crate) fn records() -> Vec<String> {
    rules().iter().filter_map(|rule| Some(rule["record"].as_str()?.to_owned())).collect()
}

/// Returns the names of all alerts, in the order of the rules.
pub(crate) fn names() -> Vec<String> {
    rules().iter().filter_map(|rule| Some(rule["alert"].as_str()?.to_owned())).collect()
}

/// Returns the folder that contains the binaries of Prometheus and promtool; scripts/prometheus downloads them.
pub(crate) fn prometheus_folder() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/prometheus");
    let output = Command::new(script).output().expect("scripts/prometheus can be run");
    let folder = String::from_utf8(output.stdout).expect("a path");
    assert!(!folder.trim().is_empty(), "scripts/prometheus found none: {}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(folder.trim())
}

fn promtool(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(prometheus_folder().join("promtool")).args(arguments).current_dir(folder()).output();
    let output = output.expect("promtool can be run");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn promtool_accepts_the_rules_and_the_configuration() {
    let (is_success, output) = promtool(&["check", "rules", "--lint=all", "lifecycle.rules.yml"]);
    assert!(is_success && output.contains("SUCCESS"), "{output}");
    let (is_success, output) = promtool(&["check", "config", "--lint=all", "prometheus.yml"]);
    assert!(is_success && output.contains("SUCCESS"), "{output}");
}

#[test]
fn each_alert_has_a_unit_test_that_fires_and_one_that_does_not() {
    let (is_success, output) =
        promtool(&["test", "rules", "lifecycle.rules.test.yml", "lifecycle.rules.weeks.test.yml"]);
    assert!(is_success, "{output}");
    let mut fires = BTreeSet::new();
    let mut does_not_fire = BTreeSet::new();
    for file in ["lifecycle.rules.test.yml", "lifecycle.rules.weeks.test.yml"] {
        let file: Value =
            serde_saphyr::from_str(&std::fs::read_to_string(folder().join(file)).expect("tests")).expect("YAML");
        for test in file["tests"].as_array().expect("tests") {
            for check in test["alert_rule_test"].as_array().expect("checks") {
                let expects_none = check["exp_alerts"].as_array().is_none_or(Vec::is_empty);
                let names = if expects_none { &mut does_not_fire } else { &mut fires };
                names.insert(text_field(check, "alertname").to_owned());
            }
        }
    }
    let names: BTreeSet<String> = names().into_iter().collect();
    assert!(names.len() > 20, "{names:?}");
    assert_eq!(fires, names, "each alert has a test in which it fires");
    assert_eq!(does_not_fire, names, "each alert has a test in which it does not fire");
}

#[test]
fn every_rule_refers_to_known_metrics() {
    let unknown = |rules: &[Value]| -> Vec<String> {
        rules.iter().flat_map(|rule| promql::unknown_metrics(text_field(rule, "expr"))).collect()
    };
    assert_eq!(unknown(&rules()), Vec::<String>::new());
    let misspelled = text().replace("lifecycle_ready", "lifecycle_reddy");
    let misspelled: Value = serde_saphyr::from_str(&misspelled).expect("YAML");
    let misspelled: Vec<Value> = misspelled["groups"][1]["rules"].as_array().expect("rules").clone();
    assert_eq!(unknown(&misspelled), ["lifecycle_reddy"]);
}

#[test]
fn every_alert_has_a_summary_a_value_a_runbook_section_and_a_panel() {
    let runbooks = std::fs::read_to_string(folder().join("../../docs/runbooks.md")).expect("the runbooks");
    let sections: Vec<&str> = runbooks.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let dashboards = dashboards::all();
    let mut expected = Vec::new();
    for rule in rules().iter().filter(|rule| rule["alert"].is_string()) {
        let name = text_field(rule, "alert");
        expected.push(name.to_owned());
        assert!(matches!(text_field(&rule["labels"], "severity"), "critical" | "warning" | "info"), "{name}");
        let annotations = &rule["annotations"];
        assert!(text_field(annotations, "summary").ends_with('.'), "{name} needs a summary that is a sentence");
        assert!(text_field(annotations, "description").contains("$value"), "the description of {name} lacks $value");
        let anchor = text_field(annotations, "runbook_url").strip_prefix("docs/runbooks.md#");
        assert_eq!(anchor, Some(name.to_lowercase().as_str()), "{name}");
        let link = text_field(annotations, "dashboard_url")
            .strip_prefix("/d/")
            .unwrap_or_else(|| panic!("{name} has no dashboard link"));
        let (uid, panel) = link.split_once("?viewPanel=").unwrap_or((link, ""));
        let (_, dashboard) = dashboards
            .iter()
            .find(|(_, dashboard)| dashboard.json["uid"] == uid)
            .unwrap_or_else(|| panic!("{name}: no dashboard has the uid {uid}"));
        let exists = panel.is_empty() || dashboard.panels.iter().any(|it| it.id.to_string() == panel);
        assert!(exists, "{name}: {uid} has no panel {panel}");
    }
    let described: Vec<&str> = sections.into_iter().filter(|section| section.starts_with("Lifecycle")).collect();
    assert_eq!(described, expected, "docs/runbooks.md has a section for each alert, in the order of the rules");
    for (section, name) in runbooks.split("\n## ").filter(|section| section.starts_with("Lifecycle")).zip(&described) {
        for part in ["**Meaning**", "**Diagnosis**", "**Action**"] {
            assert!(section.contains(part), "the runbook of {name} lacks {part}");
        }
    }
}
