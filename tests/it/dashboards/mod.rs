//! Checks the dashboards of deploy/grafana against the rules of Grafana's dashboard-linter and against the catalogue of
//! metrics.
//!
//! `lint` implements the rules, `promql` parses queries. `dashboards_live` checks that the queries return data.

mod lint;
mod picture_of;
pub(crate) mod promql;

use std::path::{Path, PathBuf};

use serde_json::Value;

use lint::{Exclusions, Finding};

#[path = "../../../scripts/draw_dashboard/picture/mod.rs"]
#[allow(dead_code, reason = "the program in scripts/draw_dashboard uses the rest")]
pub(crate) mod picture;

pub(crate) use picture::{Dashboard, Panel};

/// Returns the folder that contains the dashboards.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana/dashboards")
}

/// Returns the JSON text of a dashboard.
pub(crate) fn text_of(name: &str) -> String {
    let path = folder().join(name).with_extension("json");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns every dashboard with its name.
pub(crate) fn all() -> Vec<(&'static str, Dashboard)> {
    let read = |name| (name, Dashboard::read(&text_of(name)).unwrap_or_else(|problem| panic!("{name}: {problem}")));
    ["operations", "lifecycle", "deliveries"].map(read).into()
}

fn findings_of(text: &str) -> Vec<Finding> {
    lint::findings(&Dashboard::read(text).expect("a dashboard"), &Exclusions::default())
}

#[test]
fn the_dashboards_follow_the_rules_of_the_linter() {
    let text = std::fs::read_to_string(folder().join(".lint")).expect("the exclusions");
    let exclusions = Exclusions::read(&text);
    let mut used = Vec::new();
    for (name, dashboard) in all() {
        let findings = lint::findings(&dashboard, &exclusions);
        assert!(findings.is_empty(), "{name}: {findings:#?}");
        used.extend(lint::findings(&dashboard, &Exclusions::default()));
    }
    let unused: Vec<_> = exclusions.entries.iter().filter(|entry| !used.iter().any(|it| entry.covers(it))).collect();
    assert!(unused.is_empty(), ".lint has exclusions that are not needed: {unused:?}");
}

#[test]
fn each_rule_of_the_linter_finds_a_planted_violation() {
    let good = text_of("operations").replace(r#""editable": true"#, r#""editable": false"#);
    for (rule, right, wrong) in [
        ("template-datasource-rule", r#""label": "Data source""#, r#""label": "Source""#),
        ("template-job-rule", r#""label": "Job""#, r#""label": "job""#),
        ("template-instance-rule", r#""allValue": ".+""#, r#""allValue": ".*""#),
        (
            "template-label-promql-rule",
            "label_values(lifecycle_build_info, job)",
            "label_values(lifecycle_build_info{, job)",
        ),
        ("template-on-time-change-reload-rule", r#""refresh": 2"#, r#""refresh": 1"#),
        ("panel-datasource-rule", r#""uid": "${datasource}""#, r#""uid": "prometheus""#),
        (
            "panel-title-description-rule",
            r#""description": "Number of partitions assigned to each instance.""#,
            r#""description": """#,
        ),
        ("panel-units-rule", r#""unit": "percentunit""#, r#""unit": "percents""#),
        ("target-promql-rule", "sum(lifecycle_ready{", "sum((lifecycle_ready{"),
        ("target-rate-interval-rule", "[$__rate_interval]", "[5m]"),
        ("target-job-rule", r#"job=~\"$job\", instance"#, "instance"),
        ("target-instance-rule", r#", instance=~\"$instance\"}"#, "}"),
        (
            "target-counter-agg-rule",
            "(rate(lifecycle_touchpoints_consumed_total",
            "(delta(lifecycle_touchpoints_consumed_total",
        ),
        ("uneditable-dashboard-rule", r#""editable": false"#, r#""editable": true"#),
    ] {
        let bad = good.replace(right, wrong);
        assert_ne!(good, bad, "{right} is not in the dashboard");
        let findings = findings_of(&bad);
        assert!(findings.iter().any(|finding| finding.rule == rule), "{rule} does not report {wrong}: {findings:#?}");
    }
    let emptied = good.replace(r#""expr": ""#, r#""nothing": ""#);
    assert!(findings_of(&emptied).iter().any(|finding| finding.rule == "panel-no-targets-rule"));
}

#[test]
fn every_query_refers_to_known_metrics() {
    let unknown = |dashboard: &Dashboard| -> Vec<String> {
        let queries = lint::queries(dashboard);
        assert!(queries.len() > 15, "{} queries", queries.len());
        queries.iter().flat_map(|query| promql::unknown_metrics(&query.filled)).collect()
    };
    for (name, dashboard) in all() {
        assert_eq!(unknown(&dashboard), Vec::<String>::new(), "{name}");
    }
    let misspelled = text_of("operations").replace("lifecycle_lag_seconds", "lifecycle_lag_second");
    let misspelled = Dashboard::read(&misspelled).expect("a dashboard");
    assert!(unknown(&misspelled).contains(&"lifecycle_lag_second".to_owned()));
}

#[test]
fn the_dashboards_may_be_edited_and_work_for_any_model() {
    for (name, dashboard) in all() {
        assert_eq!(dashboard.json["editable"], true, "{name}");
        let queries = dashboard.panels.iter().flat_map(Panel::targets).map(|target| target.expression);
        for query in queries {
            for label in ["model", "stage", "from", "to", "name"] {
                let fixed = format!("{label}=\"");
                for (start, _) in query.match_indices(&fixed) {
                    let value = &query[start + fixed.len()..];
                    // The empty value selects customers who are in no stage.
                    let is_generic = value.starts_with('$') || value.starts_with('"');
                    assert!(is_generic, "{name}: a query works only for one model: {query}");
                }
            }
        }
    }
}

#[test]
fn panels_have_unique_ids_and_do_not_overlap() {
    for (name, dashboard) in all() {
        assert_eq!(dashboard.json["schemaVersion"], 42, "{name}");
        assert!(dashboard.json["id"].is_null() && dashboard.json["__inputs"].is_null(), "{name} is an export");
        let mut ids: Vec<u64> = dashboard.panels.iter().map(|panel| panel.id).collect();
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{name}: {ids:?}");
        for (index, panel) in dashboard.panels.iter().enumerate() {
            assert!(panel.x + panel.w <= 24.0, "{name}: {} exceeds the width of the dashboard", panel.title);
            for other in &dashboard.panels[index + 1..] {
                let is_beside = panel.x + panel.w <= other.x || other.x + other.w <= panel.x;
                let is_above_or_below = panel.y + panel.h <= other.y || other.y + other.h <= panel.y;
                assert!(is_beside || is_above_or_below, "{name}: {} overlaps {}", panel.title, other.title);
            }
        }
    }
}

#[test]
fn the_dashboards_are_provisioned_and_link_to_each_other() {
    let read = |path: &str| -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana/provisioning").join(path);
        serde_saphyr::from_str(&std::fs::read_to_string(&path).expect("a file")).expect("YAML")
    };
    let provider = read("dashboards/lifecycle.yaml");
    assert_eq!(provider["providers"][0]["allowUiUpdates"], true);
    let source = read("datasources/prometheus.yaml");
    assert_eq!(source["datasources"][0]["type"], "prometheus");
    assert_eq!(source["datasources"][0]["isDefault"], true);
    for (name, dashboard) in all() {
        assert_eq!(dashboard.json["links"][0]["tags"][0], "lifecycle", "{name}");
        assert!(dashboard.json["tags"].as_array().is_some_and(|tags| tags.contains(&"lifecycle".into())), "{name}");
    }
}
