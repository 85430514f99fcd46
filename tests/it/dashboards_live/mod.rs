//! Dashboards and alerts on the real thing: a Prometheus scrapes the real service on a real Kafka while it is well and
//! while faults are injected. Every panel, variable and rule then has data, and each alert has fired that can.

mod hurried;
mod rig;

use std::time::Duration;

use crate::alerts;
use crate::dashboards::picture::{self, Dashboard, Frame, Panel, Setting, ask};
use crate::dashboards::{self, text_of};
use rig::{Rig, Running, Service};

/// Silence is soon long enough.
const QUICK: &str = "workers: 1\nclock: {lateness: 1s}\nparameters: {retention: {risk_after: seconds(8), churn_after: seconds(16), \
                     unhappy_churn_after: seconds(8)}}";

/// Alerts that a busy machine may fire although the service is well: they are about how long things take.
const ABOUT_SPEED: [&str; 4] =
    ["LifecycleCommitSlow", "LifecycleEventLatencyHigh", "LifecycleWakeUpsOverdue", "LifecycleWorkersBusy"];

/// Alerts that this test cannot make fire, and why. Their tests are those of promtool alone.
const NOT_HERE: [(&str, &str); 6] = [
    ("LifecycleVersionsDiffer", "there is one version of the program"),
    ("LifecycleKafkaAuthErrors", "the service ends at once, and is gone before it is scraped"),
    ("LifecycleRestoreStuck", "a restore of this size takes less than a second"),
    ("LifecycleRestoreSlow", "a restore of this size takes less than a second"),
    ("LifecycleTruncationFailing", "the broker would have to refuse to delete records"),
    ("LifecycleWorkersBusy", "a load that keeps a worker busy would starve the other tests"),
];

/// Panels that have no data here, and why.
const EMPTY: [(&str, &str); 0] = [];

/// The queries of a dashboard, panel by panel, that bring no number.
fn without_data(rig: &Rig, dashboard: &Dashboard, setting: &Setting, frame: &Frame) -> Vec<String> {
    let mut empty = Vec::new();
    for panel in dashboard.panels.iter().filter(|panel| panel.kind != "row") {
        for target in panel.json["targets"].as_array().into_iter().flatten() {
            // Each query by itself: a panel with one that works would hide one that does not.
            let mut alone = panel.clone();
            alone.json["targets"] = serde_json::Value::Array(vec![target.clone()]);
            let answer = ask(&alone, setting, frame, &rig.prometheus)
                .unwrap_or_else(|problem| panic!("{}, {}: {problem}", dashboard.title, panel.title));
            if !answer.iter().any(|(_, series)| series.last().is_some()) && !may_be_empty(panel) {
                empty.push(format!("{}: {}", panel.title, target["expr"]));
            }
        }
    }
    empty
}

fn may_be_empty(panel: &Panel) -> bool {
    EMPTY.iter().any(|(title, _)| *title == panel.title)
}

/// Variables that offer nothing to choose.
fn without_values(rig: &Rig, dashboard: &Dashboard, setting: &Setting) -> Vec<String> {
    let variables = dashboard.json["templating"]["list"].as_array().into_iter().flatten();
    let queries = variables.filter_map(|variable| variable["query"]["query"].as_str());
    let is_empty = |query: &&str| {
        let inner = query.trim_start_matches("label_values(").trim_end_matches(')');
        let (selector, label) = inner.rsplit_once(',').expect("a selector and a label");
        let expression =
            format!("group by ({}) (last_over_time({}[10m]))", label.trim(), setting.fill(selector.trim()));
        rig.value(&expression).is_none()
    };
    queries.filter(is_empty).map(str::to_owned).collect()
}

/// A service that gets a load, and the load.
fn load(rig: &Rig, service: &Service, rate: u32, more: &[&str]) -> Running {
    let rate = rate.to_string();
    let arguments = [&["--rate", rate.as_str(), "--live", "--customers-per-day", "12"][..], more].concat();
    rig.run("generate", service, &arguments)
}

#[test]
#[expect(clippy::too_many_lines, reason = "one run after the other: each part rests on what came before")]
fn panels_variables_and_rules_have_data_and_alerts_fire_when_they_should() {
    // Two to three minutes of load and faults: on a machine that is busy with other tests, waits are of no use.
    if std::env::var_os("LIFECYCLE_LIVE_DASHBOARDS").is_none() {
        eprintln!("not run: LIFECYCLE_LIVE_DASHBOARDS is not set");
        return;
    }
    let rig = Rig::start();
    let begun = rig.prometheus.now().expect("prometheus answers");
    let a = rig.service("main", "a", "a", QUICK);
    let b = rig.service("main", "b", "b", QUICK);
    rig.make_topics(&a, 4);
    rig.scrape(&[(&a, "lifecycle"), (&b, "lifecycle")]);
    let running_a = rig.run("run", &a, &[]);
    let running_b = rig.run("run", &b, &[]);
    rig.wait("both are ready and share the partitions", || {
        rig.value("min(lifecycle_partitions_assigned) + sum(lifecycle_ready)") == Some(4.0)
    });

    // All is well: nothing fires.
    let good = load(&rig, &a, 80, &["--duplicates", "0.01"]);
    rig.wait("a healthy run of some length", || {
        rig.value("min(min_over_time(lifecycle_ready[1m]) * count_over_time(lifecycle_ready[1m]))") >= Some(25.0)
    });
    let mut fired = rig.fired("lifecycle", 12);
    fired.retain(|name| !ABOUT_SPEED.contains(&name.as_str()));
    assert_eq!(fired, Vec::<String>::new(), "alerts of a service that is well");

    // Faults, each on a service of its own where it would spoil the others.
    // Three partitions for two workers: one of them has twice as many customers as the other.
    let full = rig.service("full", "f", "f", "workers: 2\nstate: {max_bytes: 1MiB}\nmodels: [retention]");
    rig.make_topics(&full, 3);
    let c = rig.service("twins", "same", "c", &format!("{QUICK}\nmodels: [retention, loyalty_ladder]"));
    let d = rig.service("twins", "same", "d", &format!("{QUICK}\nmodels: [retention]"));
    rig.make_topics(&c, 2);
    rig.scrape(&[(&a, "lifecycle"), (&b, "lifecycle"), (&full, "full"), (&c, "twins"), (&d, "twins")]);
    let apart: Vec<Running> = [&full, &c].into_iter().map(|service| rig.run("run", service, &[])).collect();
    // History enough to fill the memory, and then something to read on.
    let history = rig.run("generate", &full, &["--touchpoints", "60000", "--customers-per-day", "3000"]);
    let loads = [load(&rig, &full, 150, &["--seed", "3"]), load(&rig, &c, 120, &["--seed", "4"])];
    let bad = load(
        &rig,
        &a,
        60,
        &["--seed", "2", "--bad", "0.2", "--late", "0.9", "--late-by", "10s", "--duplicates", "0.1"],
    );
    let strange = |it: u32| {
        format!(
            r#"{{"event_id":"s{it}","customer_id":"c{it}","type":"moon_landing","occurred_at":"2026-01-01T00:00:00Z"}}"#
        )
    };
    for round in 0..6 {
        rig.send("main.in", (0..100).map(|it| strange(round * 100 + it)));
        std::thread::sleep(Duration::from_secs(1));
    }
    let twin = rig.run("run", &d, &[]);
    rig.wait_for(
        "lifecycle",
        &[
            "LifecycleDeadLetters",
            "LifecycleDeadLetterRatioHigh",
            "LifecycleUnknownTypes",
            "LifecycleManyLate",
            "LifecycleEventLatencyHigh",
        ],
    );

    // An instance that is frozen for longer than its session, and one that starts again and again.
    running_b.signal("-STOP");
    rig.wait_for("lifecycle", &["LifecycleInstanceDown", "LifecyclePartitionsUnassigned"]);
    running_b.signal("-CONT");
    let mut running_b = running_b;
    let started = format!("process_start_time_seconds{{instance=\"{}\"}}", b.address);
    let works =
        format!("lifecycle_ready{{instance=\"{0}\"}} * lifecycle_partitions_assigned{{instance=\"{0}\"}}", b.address);
    for _ in 0..5 {
        let before = rig.value(&format!("max_over_time({started}[5m])"));
        running_b.stop();
        running_b = rig.run("run", &b, &[]);
        // What Prometheus last heard of the old process stands until it is scraped again.
        rig.wait("b works again", || rig.value(&started) > before && rig.value(&works) >= Some(1.0));
    }
    rig.wait_for("lifecycle", &["LifecycleRestarting", "LifecycleRebalanceStorm"]);
    // Nothing is read there any more, and still it is told how much waits.
    rig.wait_for(
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
    rig.wait_for(
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
    rig.wait_for(".+", &["LifecycleCommitSlow"]);

    // What the dashboards ask for is there.
    let now = rig.prometheus.now().expect("prometheus answers");
    let mut frame = Frame::new(begun, now, 1.0);
    frame.step = 1.0;
    for (name, dashboard) in dashboards::all() {
        let mut setting = Setting::of(&dashboard, &frame);
        setting.set("window", "20s");
        setting.set("model", "retention");
        assert_eq!(without_data(&rig, &dashboard, &setting, &frame), Vec::<String>::new(), "{name}");
        assert_eq!(without_values(&rig, &dashboard, &setting), Vec::<String>::new(), "{name}");
    }
    let operations = Dashboard::read(&text_of("operations")).expect("a dashboard");
    let setting = Setting::of(&operations, &frame);
    let drawn = picture::draw(&operations, &setting, &frame, true, &rig.prometheus).expect("it is drawn");
    for panel in operations.panels.iter().filter(|panel| panel.w >= 7.0) {
        assert!(drawn.contains(&format!(">{}</text>", panel.title)), "{} is missing in the picture", panel.title);
    }
    assert!(!drawn.contains(">no data</text>"), "a panel of the picture is empty");
    let slip = text_of("operations").replace("max(lifecycle_lag_seconds{", "max(lifecycle_lag_second{");
    let slip = Dashboard::read(&slip).expect("a dashboard");
    let caught = without_data(&rig, &slip, &Setting::of(&slip, &frame), &frame);
    assert!(caught.len() == 1 && caught[0].starts_with("Furthest behind: "), "a slip is caught: {caught:?}");
    for record in alerts::records() {
        assert!(rig.value(&format!("count({record})")).is_some(), "{record} records nothing");
    }
    let rules = rig.prometheus.api("rules", &[]).expect("the rules are told");
    assert!(!rules.to_string().contains("\"health\":\"err\""), "{rules}");

    // Hardly anything is published any more, and then nobody is there.
    drop((good, bad, loads, history));
    rig.wait_for("lifecycle", &["LifecycleTransitionsDropped"]);
    drop((twin, apart));
    running_a.stop();
    running_b.stop();
    rig.wait_for("lifecycle", &["LifecycleDown"]);

    let fired = rig.fired(".+", 900);
    let mut missing = alerts::names();
    missing.retain(|name| !fired.contains(name) && !NOT_HERE.iter().any(|(other, _)| other == name));
    assert_eq!(missing, Vec::<String>::new(), "alerts that no fault has set off");
}
