//! The rules of Grafana's dashboard-linter, under the names that it gives them.
//!
//! The original is a Go program; reimplementing its rules keeps Go out of the tests' dependencies.

use serde_json::Value;

use super::picture::{Dashboard, Panel, TimeRange, VariableValues};
use super::promql;

/// Grafana units that the dashboards may use.
const UNITS: [&str; 8] = ["none", "short", "s", "bytes", "Bps", "cps", "reqps", "percentunit"];
/// Value in seconds that replaces `$__rate_interval`; no query contains it literally.
const RATE_INTERVAL: &str = "4321";
/// Kinds of panels that must have targets.
const WITH_TARGETS: [&str; 5] = ["stat", "timeseries", "table", "bargauge", "state-timeline"];

/// A violation of a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Finding {
    pub(super) rule: &'static str,
    pub(super) dashboard: String,
    pub(super) panel: String,
    pub(super) what: String,
}

/// Intended violations.
#[derive(Default, Debug)]
pub(super) struct Exclusions {
    pub(super) entries: Vec<Exclusion>,
}

/// One intended violation.
#[derive(Debug)]
pub(super) struct Exclusion {
    rule: String,
    dashboard: String,
    panel: String,
}

impl Exclusion {
    pub(super) fn covers(&self, finding: &Finding) -> bool {
        self.rule == finding.rule && self.dashboard == finding.dashboard && self.panel == finding.panel
    }
}

impl Exclusions {
    /// Parses a `.lint` file. Panics when an exclusion has no reason.
    pub(super) fn read(text: &str) -> Self {
        let file: Value = serde_saphyr::from_str(text).expect("YAML");
        let mut entries = Vec::new();
        for (rule, exclusion) in file["exclusions"].as_object().expect("exclusions by rule") {
            assert!(exclusion["reason"].as_str().is_some_and(|reason| reason.len() > 20), "{rule} lacks a reason");
            for entry in exclusion["entries"].as_array().expect("entries") {
                let text = |name: &str| entry[name].as_str().expect("a string").to_owned();
                entries.push(Exclusion { rule: rule.clone(), dashboard: text("dashboard"), panel: text("panel") });
            }
        }
        Self { entries }
    }
}

/// A query of a panel or of an annotation.
pub(super) struct Query {
    pub(super) panel: String,
    /// `PromQL` with the dashboard variables replaced by values.
    pub(super) filled: String,
}

/// Returns the queries of all panels and annotations.
pub(super) fn queries(dashboard: &Dashboard) -> Vec<Query> {
    let mut values = VariableValues::defaults(dashboard, &TimeRange::new(0.0, 3_600.0, 15.0));
    values.set("__rate_interval", &format!("{RATE_INTERVAL}s"));
    for name in ["job", "instance"] {
        values.set(name, &format!("any-{name}"));
    }
    let of_panels = dashboard
        .panels
        .iter()
        .flat_map(|panel| panel.targets().into_iter().map(|target| (panel.title.clone(), target.expression)));
    let annotations = dashboard.json["annotations"]["list"].as_array().into_iter().flatten();
    let of_annotations = annotations.filter_map(|annotation| {
        Some((format!("annotation {}", annotation["name"]), annotation["expr"].as_str()?.to_owned()))
    });
    of_panels.chain(of_annotations).map(|(panel, query)| Query { panel, filled: values.substitute(&query) }).collect()
}

/// Returns the violations in `dashboard` that `exclusions` does not cover.
pub(super) fn findings(dashboard: &Dashboard, exclusions: &Exclusions) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut report = |rule: &'static str, panel: &str, what: String| {
        let finding = Finding { rule, dashboard: dashboard.title.clone(), panel: panel.to_owned(), what };
        if !exclusions.entries.iter().any(|entry| entry.covers(&finding)) {
            found.push(finding);
        }
    };
    if dashboard.json["editable"] != false {
        report("uneditable-dashboard-rule", "", "the dashboard is editable".to_owned());
    }
    check_variables(dashboard, &mut report);
    for panel in dashboard.panels.iter().filter(|panel| panel.kind != "row") {
        check_panel(panel, &mut report);
    }
    for query in queries(dashboard) {
        check_query(&query, &mut report);
    }
    found
}

fn check_variables(dashboard: &Dashboard, report: &mut impl FnMut(&'static str, &str, String)) {
    let variables: Vec<&Value> = dashboard.json["templating"]["list"].as_array().into_iter().flatten().collect();
    let named =
        |name: &str| variables.iter().find(|variable| variable["name"] == name).copied().unwrap_or(&Value::Null);
    let source = named("datasource");
    if source["type"] != "datasource" || source["query"] != "prometheus" || source["label"] != "Data source" {
        report("template-datasource-rule", "", format!("{source}"));
    }
    for (rule, name, label) in [("template-job-rule", "job", "Job"), ("template-instance-rule", "instance", "Instance")]
    {
        let it = named(name);
        let is_valid = it["type"] == "query"
            && it["datasource"]["uid"] == "${datasource}"
            && it["label"] == label
            && it["multi"] == true
            && it["allValue"] == ".+";
        if !is_valid {
            report(rule, "", format!("{it}"));
        }
    }
    for variable in variables.iter().filter(|variable| variable["type"] == "query") {
        let query = variable["query"]["query"].as_str().unwrap_or_default();
        let is_promql = label_values(query)
            .is_some_and(|(selector, _)| promql::selected(&selector.replace('$', "")).is_ok_and(|it| it.len() == 1));
        if !is_promql {
            report("template-label-promql-rule", "", query.to_owned());
        }
        if variable["refresh"] != 2 {
            report("template-on-time-change-reload-rule", "", query.to_owned());
        }
    }
}

/// Returns the selector and the label of `label_values(selector, label)`.
pub(super) fn label_values(query: &str) -> Option<(&str, &str)> {
    let (selector, label) = query.strip_prefix("label_values(")?.strip_suffix(')')?.rsplit_once(',')?;
    Some((selector.trim(), label.trim()))
}

fn check_panel(panel: &Panel, report: &mut impl FnMut(&'static str, &str, String)) {
    let text = |name: &str| panel.json[name].as_str().unwrap_or_default();
    if panel.json["datasource"]["uid"] != "${datasource}" {
        report("panel-datasource-rule", &panel.title, format!("{}", panel.json["datasource"]));
    }
    if text("title").is_empty() || text("description").is_empty() {
        report("panel-title-description-rule", &panel.title, format!("panel {}", panel.id));
    }
    let has_mappings = panel.default("mappings").as_array().is_some_and(|mappings| !mappings.is_empty());
    if !UNITS.contains(&panel.unit()) && !has_mappings {
        report("panel-units-rule", &panel.title, panel.unit().to_owned());
    }
    if !WITH_TARGETS.contains(&panel.kind.as_str()) {
        report("panel-no-targets-rule", &panel.title, format!("unknown panel kind {}", panel.kind));
    } else if panel.targets().is_empty() || panel.targets().iter().any(|target| target.expression.is_empty()) {
        report("panel-no-targets-rule", &panel.title, "the panel has no query".to_owned());
    }
}

fn check_query(query: &Query, report: &mut impl FnMut(&'static str, &str, String)) {
    let selected = match promql::selected(&query.filled) {
        Ok(selected) => selected,
        Err(problem) => return report("target-promql-rule", &query.panel, format!("{}: {problem}", query.filled)),
    };
    for it in selected {
        let matches =
            |label: &str| it.patterns.iter().any(|(name, value)| name == label && *value == format!("any-{label}"));
        if !matches("job") {
            report("target-job-rule", &query.panel, query.filled.clone());
        }
        if !matches("instance") {
            report("target-instance-rule", &query.panel, query.filled.clone());
        }
        let function = it.function.as_deref().unwrap_or_default();
        let is_rate = matches!(function, "rate" | "irate");
        if is_rate && it.range.map(|range| range.to_string()).as_deref() != Some(RATE_INTERVAL) {
            report("target-rate-interval-rule", &query.panel, query.filled.clone());
        }
        if it.metric.ends_with("_total") && !is_rate && function != "increase" {
            report("target-counter-agg-rule", &query.panel, query.filled.clone());
        }
    }
}
