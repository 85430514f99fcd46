//! Runs Prometheus against the service on a real Kafka broker, first healthy and then with injected faults. Checks that
//! every panel, variable and rule returns data and that each alert fires for its fault.

mod rig;
mod short_rules;

use std::time::Duration;

use crate::alerts;
use crate::dashboards::picture::{self, Dashboard, Panel, TimeRange, VariableValues, query_panel};
use crate::dashboards::{self, text_of};
use rig::{Rig, Running, Service};

/// Short thresholds of inactivity, so that transitions caused by time occur within the test.
const QUICK: &str = "workers: 1\nclock: {lateness: 1s}\nparameters: {retention: {risk_after: seconds(8), churn_after: seconds(16), \
                     unhappy_churn_after: seconds(8)}}";

/// Alerts about durations. A busy machine may fire them although the service is healthy.
const ABOUT_SPEED: [&str; 4] =
    ["LifecycleCommitSlow", "LifecycleEventLatencyHigh", "LifecycleWakeUpsOverdue", "LifecycleWorkersBusy"];

/// Alerts that this test cannot trigger, with the reason. Only their promtool unit tests cover them.
const NOT_TRIGGERED: [(&str, &str); 16] = [
    ("LifecycleVersionsDiffer", "the test has only one version of the program"),
    ("LifecycleKafkaAuthErrors", "the service exits before Prometheus scrapes it"),
    ("LifecycleRestoreStuck", "a restore of this size takes less than a second"),
    ("LifecycleRestoreSlow", "a restore of this size takes less than a second"),
    ("LifecycleTruncationFailing", "the broker would have to reject DeleteRecords"),
    (
        "LifecycleInputTransactionOpen",
        "an open transaction would hide the touchpoints of the other faults; see kafka_faults",
    ),
    ("LifecycleReadErrors", "a partition that cannot be read stops the service; see kafka_faults"),
    ("LifecycleDeliverDown", NO_DELIVERER),
    ("LifecycleDeliveryOld", NO_DELIVERER),
    ("LifecycleDeliveryHeld", NO_DELIVERER),
    ("LifecycleDeliveryDisabled", NO_DELIVERER),
    ("LifecycleDeliveryFailed", NO_DELIVERER),
    ("LifecycleDeliveryCircuitOpen", NO_DELIVERER),
    ("LifecycleDeliveryDead", NO_DELIVERER),
    ("LifecycleHandOversOld", "the test runs without identity resolution"),
    ("LifecycleWorkersBusy", "a load that saturates a worker would slow down the other tests"),
];

/// Why alerts and the dashboard of deliveries have no data here.
const NO_DELIVERER: &str = "the test runs no deliverer; see deliver and deliver_presets";

/// Panels that are allowed to have no data, with the reason.
const ALLOWED_EMPTY: [(&str, &str); 0] = [];

/// Returns the queries of a dashboard that return no number, as `panel: query`.
fn without_data(rig: &Rig, dashboard: &Dashboard, values: &VariableValues, time_range: &TimeRange) -> Vec<String> {
    let mut empty = Vec::new();
    for panel in dashboard.panels.iter().filter(|panel| panel.kind != "row") {
        for target in panel.json["targets"].as_array().into_iter().flatten() {
            // Each query alone: otherwise a query with data would hide an empty one of the same panel.
            let mut alone = panel.clone();
            alone.json["targets"] = serde_json::Value::Array(vec![target.clone()]);
            let answer = query_panel(&alone, values, time_range, &rig.prometheus)
                .unwrap_or_else(|problem| panic!("{}, {}: {problem}", dashboard.title, panel.title));
            if !answer.iter().any(|(_, series)| series.last().is_some()) && !may_be_empty(panel) {
                empty.push(format!("{}: {}", panel.title, target["expr"]));
            }
        }
    }
    empty
}

fn may_be_empty(panel: &Panel) -> bool {
    ALLOWED_EMPTY.iter().any(|(title, _)| *title == panel.title)
}

/// Returns the variables of a dashboard that have no values.
fn without_values(rig: &Rig, dashboard: &Dashboard, values: &VariableValues) -> Vec<String> {
    let variables = dashboard.json["templating"]["list"].as_array().into_iter().flatten();
    let queries = variables.filter_map(|variable| variable["query"]["query"].as_str());
    let is_empty = |query: &&str| {
        let inner = query.trim_start_matches("label_values(").trim_end_matches(')');
        let (selector, label) = inner.rsplit_once(',').expect("a selector and a label");
        let expression =
            format!("group by ({}) (last_over_time({}[10m]))", label.trim(), values.substitute(selector.trim()));
        rig.value(&expression).is_none()
    };
    queries.filter(is_empty).map(str::to_owned).collect()
}

/// Starts a load generator with `rate` touchpoints per second for a service.
fn load(rig: &Rig, service: &Service, rate: u32, more: &[&str]) -> Running {
    let rate = rate.to_string();
    let arguments = [&["--rate", rate.as_str(), "--live", "--customers-per-day", "12"][..], more].concat();
    rig.run("generate", service, &arguments)
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one sequence of faults: each part depends on the state that the previous one left"
)]
#[ignore = "two to three minutes of load and faults, too sensitive to time to run beside other tests"]
fn panels_variables_and_rules_have_data_and_each_fault_fires_its_alert() {
    let rig = Rig::start();
    let begun = rig.prometheus.now().expect("prometheus responds");
    let a = rig.service("main", "a", "a", QUICK);
    let b = rig.service("main", "b", "b", QUICK);
    rig.create_topics(&a, 4);
    rig.scrape(&[(&a, "lifecycle"), (&b, "lifecycle")]);
    let running_a = rig.run("run", &a, &[]);
    let running_b = rig.run("run", &b, &[]);
    rig.wait("both are ready and share the partitions", || {
        rig.value("min(lifecycle_partitions_assigned) + sum(lifecycle_ready)") == Some(4.0)
    });

    // A healthy service fires no alert.
    let valid_load = load(&rig, &a, 80, &["--duplicates", "0.01"]);
    rig.wait("a healthy run of some length", || {
        rig.value("min(min_over_time(lifecycle_ready[1m]) * count_over_time(lifecycle_ready[1m]))") >= Some(25.0)
    });
    let mut fired = rig.fired("lifecycle", 12);
    fired.retain(|name| !ABOUT_SPEED.contains(&name.as_str()));
    assert_eq!(fired, Vec::<String>::new(), "alerts of a healthy service");

    // Faults that would disturb the others run on a separate service.
    // Three partitions for two workers: one worker has twice as many customers as the other.
    let full = rig.service("full", "f", "f", "workers: 2\nstate: {max_bytes: 1MiB}\nmodels: [retention]");
    rig.create_topics(&full, 3);
    let c = rig.service("twins", "same", "c", &format!("{QUICK}\nmodels: [retention, loyalty_ladder]"));
    let d = rig.service("twins", "same", "d", &format!("{QUICK}\nmodels: [retention]"));
    rig.create_topics(&c, 2);
    rig.scrape(&[(&a, "lifecycle"), (&b, "lifecycle"), (&full, "full"), (&c, "twins"), (&d, "twins")]);
    let separate: Vec<Running> = [&full, &c].into_iter().map(|service| rig.run("run", service, &[])).collect();
    // Enough history to reach state.max_bytes, then a live load.
    let history = rig.run("generate", &full, &["--touchpoints", "60000", "--customers-per-day", "3000"]);
    let loads = [load(&rig, &full, 150, &["--seed", "3"]), load(&rig, &c, 120, &["--seed", "4"])];
    let invalid_load = load(
        &rig,
        &a,
        60,
        &["--seed", "2", "--bad", "0.2", "--late", "0.9", "--late-by", "10s", "--duplicates", "0.1"],
    );
    let unknown_type = |it: u32| {
        format!(
            r#"{{"event_id":"s{it}","customer_id":"c{it}","type":"moon_landing","occurred_at":"2026-01-01T00:00:00Z"}}"#
        )
    };
    let erasure = |it: u32| {
        format!(
            r#"{{"event_id":"e{it}","customer_id":"unseen{it}","type":"customer_erased","occurred_at":"2026-01-01T00:00:00Z"}}"#
        )
    };
    for round in 0..6 {
        rig.send("main.in", std::iter::once(erasure(round)));
        rig.send("main.in", (0..100).map(|it| unknown_type(round * 100 + it)));
        std::thread::sleep(Duration::from_secs(1));
    }
    let second_instance = rig.run("run", &d, &[]);
    rig.wait_for_alerts(
        "lifecycle",
        &[
            "LifecycleDeadLetters",
            "LifecycleDeadLetterRatioHigh",
            "LifecycleUnknownTypes",
            "LifecycleManyLate",
            "LifecycleEventLatencyHigh",
        ],
    );

    // An instance that is suspended for longer than its session timeout, then one that restarts repeatedly.
    running_b.signal("-STOP");
    rig.wait_for_alerts("lifecycle", &["LifecycleInstanceDown", "LifecyclePartitionsUnassigned"]);
    running_b.signal("-CONT");
    let mut running_b = running_b;
    let started = format!("process_start_time_seconds{{instance=\"{}\"}}", b.address);
    let is_working =
        format!("lifecycle_ready{{instance=\"{0}\"}} * lifecycle_partitions_assigned{{instance=\"{0}\"}}", b.address);
    for _ in 0..5 {
        let before = rig.value(&format!("max_over_time({started}[5m])"));
        running_b.stop();
        running_b = rig.run("run", &b, &[]);
        // The series of the old process remain until the next scrape.
        rig.wait("b processes partitions again", || {
            rig.value(&started) > before && rig.value(&is_working) >= Some(1.0)
        });
    }
    rig.wait_for_alerts("lifecycle", &["LifecycleRestarting", "LifecycleRebalanceStorm"]);
    // Consumption is paused there, but lag is still reported.
    rig.wait_for_alerts(
        "full",
        &[
            "LifecycleStateNearLimit",
            "LifecycleStateAtLimit",
            "LifecycleNotReady",
            "LifecycleLagGrowing",
            "LifecycleLagTimeHigh",
            "LifecyclePartitionStalled",
            "LifecycleCommitStale",
        ],
    );
    rig.wait_for_alerts(
        "twins",
        &[
            "LifecycleModelsDiffer",
            "LifecycleCommitRenewals",
            "LifecycleCommitAborts",
            "LifecycleAbortsInARow",
            "LifecycleWakeUpsOverdue",
        ],
    );
    for _ in 0..3 {
        rig.freeze_broker(Duration::from_millis(1_800));
        std::thread::sleep(Duration::from_millis(700));
    }
    rig.wait_for_alerts(".+", &["LifecycleCommitSlow"]);

    // Every query and variable of the dashboards returns data.
    let now = rig.prometheus.now().expect("prometheus responds");
    let mut time_range = TimeRange::new(begun, now, 1.0);
    time_range.step = 1.0;
    for ((name, dashboard), (model, stage)) in dashboards::all()
        .iter()
        // There is no deliverer.
        .filter(|(name, _)| *name != "deliveries")
        .flat_map(|dashboard| [(dashboard, ("retention", "at_risk")), (dashboard, ("classic_seven", "interest"))])
    {
        let mut values = VariableValues::defaults(dashboard, &time_range);
        values.set("window", "20s");
        values.set("model", model);
        values.set("stage", stage);
        assert_eq!(without_data(&rig, dashboard, &values, &time_range), Vec::<String>::new(), "{name}, {model}");
        assert_eq!(without_values(&rig, dashboard, &values), Vec::<String>::new(), "{name}");
    }
    let operations = Dashboard::read(&text_of("operations")).expect("a dashboard");
    let values = VariableValues::defaults(&operations, &time_range);
    let drawn = picture::draw(&operations, &values, &time_range, true, &rig.prometheus).expect("it is drawn");
    for panel in operations.panels.iter().filter(|panel| panel.w >= 7.0) {
        assert!(drawn.contains(&format!(">{}</text>", panel.title)), "{} is missing from the picture", panel.title);
    }
    assert!(!drawn.contains(">no data</text>"), "a panel of the picture is empty");
    let misspelled = text_of("operations").replace("max(lifecycle_lag_seconds{", "max(lifecycle_lag_second{");
    let misspelled = Dashboard::read(&misspelled).expect("a dashboard");
    let caught = without_data(&rig, &misspelled, &VariableValues::defaults(&misspelled, &time_range), &time_range);
    assert!(caught.len() == 1 && caught[0].starts_with("Maximum lag: "), "a misspelled metric is reported: {caught:?}");
    for record in alerts::records() {
        assert!(rig.value(&format!("count({record})")).is_some(), "{record} has no series");
    }
    let rules = rig.prometheus.api("rules", &[]).expect("Prometheus returns the rules");
    assert!(!rules.to_string().contains("\"health\":\"err\""), "{rules}");

    // Almost no transitions are published, then no instance is left.
    drop((valid_load, invalid_load, loads, history));
    rig.wait_for_alerts("lifecycle", &["LifecycleTransitionsDropped"]);
    drop((second_instance, separate));
    running_a.stop();
    running_b.stop();
    rig.wait_for_alerts("lifecycle", &["LifecycleDown"]);

    let fired = rig.fired(".+", 900);
    let mut missing = alerts::names();
    missing.retain(|name| !fired.contains(name) && !NOT_TRIGGERED.iter().any(|(other, _)| other == name));
    assert_eq!(missing, Vec::<String>::new(), "alerts that no fault triggered");
}
