//! The alert rules of deploy/prometheus: what promtool says of them, and that everything they point to is there.
//!
//! That an alert fires when its fault is injected into the running service is shown by `dashboards_live`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::dashboards::{self, promql};

/// The folder with the rules.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus")
}

/// The rules as they are written.
pub(crate) fn text() -> String {
    std::fs::read_to_string(folder().join("lifecycle.rules.yml")).expect("the rules")
}

fn rules() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&text()).expect("YAML");
    let groups = file["groups"].as_array().expect("groups");
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

fn word<'a>(rule: &'a Value, name: &str) -> &'a str {
    rule[name].as_str().unwrap_or_default()
}

/// The names that recording rules give.
pub(crate) fn records() -> Vec<String> {
    rules().iter().filter_map(|rule| Some(rule["record"].as_str()?.to_owned())).collect()
}

/// The names of the alerts.
pub(crate) fn names() -> Vec<String> {
    rules().iter().filter_map(|rule| Some(rule["alert"].as_str()?.to_owned())).collect()
}

/// Where Prometheus and promtool lie.
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
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn promtool_finds_nothing_wrong_with_rules_and_configuration() {
    let (is_good, said) = promtool(&["check", "rules", "--lint=all", "lifecycle.rules.yml"]);
    assert!(is_good && said.contains("SUCCESS"), "{said}");
    let (is_good, said) = promtool(&["check", "config", "--lint=all", "prometheus.yml"]);
    assert!(is_good && said.contains("SUCCESS"), "{said}");
}

#[test]
fn each_alert_fires_and_stays_silent_as_its_tests_say() {
    let (is_good, said) = promtool(&["test", "rules", "lifecycle.rules.test.yml", "lifecycle.rules.weeks.test.yml"]);
    assert!(is_good, "{said}");
    let mut fires = BTreeSet::new();
    let mut stays_silent = BTreeSet::new();
    for file in ["lifecycle.rules.test.yml", "lifecycle.rules.weeks.test.yml"] {
        let file: Value =
            serde_saphyr::from_str(&std::fs::read_to_string(folder().join(file)).expect("tests")).expect("YAML");
        for test in file["tests"].as_array().expect("tests") {
            for check in test["alert_rule_test"].as_array().expect("checks") {
                let is_silent = check["exp_alerts"].as_array().is_none_or(Vec::is_empty);
                let of = if is_silent { &mut stays_silent } else { &mut fires };
                of.insert(word(check, "alertname").to_owned());
            }
        }
    }
    let names: BTreeSet<String> = names().into_iter().collect();
    assert!(names.len() > 20, "{names:?}");
    assert_eq!(fires, names, "each alert has a test in which it fires");
    assert_eq!(stays_silent, names, "each alert has a test in which it stays silent");
}

#[test]
fn every_rule_names_metrics_that_there_are() {
    let strangers = |rules: &[Value]| -> Vec<String> {
        rules.iter().flat_map(|rule| promql::strangers(word(rule, "expr"))).collect()
    };
    assert_eq!(strangers(&rules()), Vec::<String>::new());
    let slip = text().replace("lifecycle_ready", "lifecycle_reddy");
    let slip: Value = serde_saphyr::from_str(&slip).expect("YAML");
    let slip: Vec<Value> = slip["groups"][1]["rules"].as_array().expect("rules").clone();
    assert_eq!(strangers(&slip), ["lifecycle_reddy"]);
}

#[test]
fn every_alert_says_what_it_sees_and_leads_to_its_runbook_and_its_panel() {
    let runbooks = std::fs::read_to_string(folder().join("../../docs/runbooks.md")).expect("the runbooks");
    let sections: Vec<&str> = runbooks.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let boards = dashboards::all();
    let mut expected = Vec::new();
    for rule in rules().iter().filter(|rule| rule["alert"].is_string()) {
        let name = word(rule, "alert");
        expected.push(name.to_owned());
        assert!(matches!(word(&rule["labels"], "severity"), "critical" | "warning" | "info"), "{name}");
        let annotations = &rule["annotations"];
        assert!(word(annotations, "summary").ends_with('.'), "{name} needs a summary, a sentence");
        assert!(word(annotations, "description").contains("$value"), "{name} does not tell what it sees");
        let anchor = word(annotations, "runbook_url").strip_prefix("docs/runbooks.md#");
        assert_eq!(anchor, Some(name.to_lowercase().as_str()), "{name}");
        let link =
            word(annotations, "dashboard_url").strip_prefix("/d/").unwrap_or_else(|| panic!("{name} leads nowhere"));
        let (uid, panel) = link.split_once("?viewPanel=").unwrap_or((link, ""));
        let (_, board) =
            boards.iter().find(|(_, board)| board.json["uid"] == uid).unwrap_or_else(|| panic!("{name}: no {uid}"));
        let is_there = panel.is_empty() || board.panels.iter().any(|it| it.id.to_string() == panel);
        assert!(is_there, "{name}: {uid} has no panel {panel}");
    }
    let described: Vec<&str> = sections.into_iter().filter(|section| section.starts_with("Lifecycle")).collect();
    assert_eq!(described, expected, "docs/runbooks.md has a section for each alert, in the order of the rules");
    for (section, name) in runbooks.split("\n## ").skip(1).zip(&described) {
        for part in ["**It means**", "**How to tell**", "**What to do**"] {
            assert!(section.contains(part), "the runbook of {name} lacks {part}");
        }
    }
}
