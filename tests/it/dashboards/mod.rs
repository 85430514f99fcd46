//! The dashboards of deploy/grafana, held to the rules of Grafana's dashboard-linter and to the catalogue of metrics.
//!
//! `lint` has the rules, `promql` reads queries. That the queries bring data is shown by `dashboards_live`.

mod lint;
mod picture_of;
pub(crate) mod promql;

use std::path::{Path, PathBuf};

use serde_json::Value;

use lint::{Exclusions, Finding};

#[path = "../../../examples/draw_dashboard/picture/mod.rs"]
#[allow(dead_code, reason = "the example uses the rest")]
pub(crate) mod picture;

pub(crate) use picture::Dashboard;

/// The folder with the dashboards.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana/dashboards")
}

/// The text of a dashboard.
pub(crate) fn text_of(name: &str) -> String {
    let path = folder().join(name).with_extension("json");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The dashboards by name.
pub(crate) fn all() -> Vec<(&'static str, Dashboard)> {
    let read = |name| (name, Dashboard::read(&text_of(name)).unwrap_or_else(|problem| panic!("{name}: {problem}")));
    ["operations", "lifecycle"].map(read).into()
}

fn findings_of(text: &str) -> Vec<Finding> {
    lint::findings(&Dashboard::read(text).expect("a dashboard"), &Exclusions::default())
}

#[test]
fn the_dashboards_keep_the_rules_of_the_linter() {
    let text = std::fs::read_to_string(folder().join(".lint")).expect("the exclusions");
    let exclusions = Exclusions::read(&text);
    let mut used = Vec::new();
    for (name, dashboard) in all() {
        let findings = lint::findings(&dashboard, &exclusions);
        assert!(findings.is_empty(), "{name}: {findings:#?}");
        used.extend(lint::findings(&dashboard, &Exclusions::default()));
    }
    let needless: Vec<_> = exclusions.entries.iter().filter(|entry| !used.iter().any(|it| entry.covers(it))).collect();
    assert!(needless.is_empty(), "{needless:?} could be taken out of .lint");
}

#[test]
fn each_rule_of_the_linter_finds_a_breach_of_it() {
    let good = text_of("operations");
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
            r#""description": "How the partitions are shared out.""#,
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
        assert!(findings.iter().any(|finding| finding.rule == rule), "{rule} does not see {wrong}: {findings:#?}");
    }
    let emptied = good.replace(r#""expr": ""#, r#""nothing": ""#);
    assert!(findings_of(&emptied).iter().any(|finding| finding.rule == "panel-no-targets-rule"));
}

#[test]
fn every_query_names_metrics_that_there_are() {
    let strangers = |dashboard: &Dashboard| -> Vec<String> {
        let queries = lint::queries(dashboard);
        assert!(queries.len() > 20, "{} queries", queries.len());
        queries.iter().flat_map(|query| promql::strangers(&query.filled)).collect()
    };
    for (name, dashboard) in all() {
        assert_eq!(strangers(&dashboard), Vec::<String>::new(), "{name}");
    }
    let slip = text_of("operations").replace("lifecycle_lag_seconds", "lifecycle_lag_second");
    let slip = Dashboard::read(&slip).expect("a dashboard");
    assert!(strangers(&slip).contains(&"lifecycle_lag_second".to_owned()));
}

#[test]
fn panels_have_places_and_ids_of_their_own() {
    for (name, dashboard) in all() {
        assert_eq!(dashboard.json["schemaVersion"], 42, "{name}");
        assert!(dashboard.json["id"].is_null() && dashboard.json["__inputs"].is_null(), "{name} is an export");
        let mut ids: Vec<u64> = dashboard.panels.iter().map(|panel| panel.id).collect();
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{name}: {ids:?}");
        for (place, one) in dashboard.panels.iter().enumerate() {
            assert!(one.x + one.w <= 24.0, "{name}: {} reaches over the edge", one.title);
            for other in &dashboard.panels[place + 1..] {
                let apart = one.x + one.w <= other.x || other.x + other.w <= one.x;
                let above = one.y + one.h <= other.y || other.y + other.h <= one.y;
                assert!(apart || above, "{name}: {} lies upon {}", one.title, other.title);
            }
        }
    }
}

#[test]
fn the_dashboards_are_provisioned_and_lead_to_each_other() {
    let read = |path: &str| -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana/provisioning").join(path);
        serde_saphyr::from_str(&std::fs::read_to_string(&path).expect("a file")).expect("YAML")
    };
    let provider = read("dashboards/lifecycle.yaml");
    assert_eq!(provider["providers"][0]["allowUiUpdates"], false);
    let source = read("datasources/prometheus.yaml");
    assert_eq!(source["datasources"][0]["type"], "prometheus");
    assert_eq!(source["datasources"][0]["isDefault"], true);
    for (name, dashboard) in all() {
        assert_eq!(dashboard.json["links"][0]["tags"][0], "lifecycle", "{name}");
        assert!(dashboard.json["tags"].as_array().is_some_and(|tags| tags.contains(&"lifecycle".into())), "{name}");
    }
}
