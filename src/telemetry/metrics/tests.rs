//! Tests of a scrape: which series it has, and with which values.

use super::*;
use crate::lifecycle::fact::Layout;
use crate::lifecycle::id::{StableId, StageIndex};
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::vocabulary::Vocabulary;
use crate::partition::{DeadLetterReason, Tally};
use crate::telemetry::report::{Report, TransitionGroup};
use crate::telemetry::snapshot::{PartitionStatus, RestoreProgress, Status};

const LATENESS: time::Duration = time::Duration::from_millis(10_000);
const NOW: Timestamp = Timestamp::from_millis(100_000);

fn metrics(workers: usize) -> Metrics {
    let models = ModelSet::new(Vocabulary::default(), Layout::default(), Vec::new(), StableId(0));
    Metrics::new(&models, 1 << 30, Some(LATENESS), Arc::new(StatusRegistry::new(workers)))
}

fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

/// Returns a snapshot of a worker that was assigned `partitions`.
fn snapshot(partitions: Vec<PartitionStatus>) -> WorkerSnapshot {
    let report = Report { assigned: partitions.len() as u64, ..Report::default() };
    WorkerSnapshot { at: NOW, status: Status { partitions, ..Status::default() }, report, direct: None }
}

fn running(partition: i32) -> PartitionStatus {
    PartitionStatus { partition, is_running: true, ..PartitionStatus::default() }
}

#[test]
fn a_scrape_has_only_metrics_of_the_catalogue_each_once_with_its_help_and_kind() {
    let metrics = metrics(1);
    let restore = RestoreProgress { remaining_records: 3, remaining_bytes: None, customers_per_second: 0, eta: None };
    let full = PartitionStatus {
        restore: Some(restore),
        lag_records: Some(0),
        last_stable_offset: Some(12),
        high_watermark: Some(12),
        stream_time: Some(NOW),
        watermark: Some(NOW),
        ..running(0)
    };
    let mut snapshot = snapshot(vec![full]);
    snapshot.status.topic_partitions = Some(1);
    snapshot.report.last_commit_at = Some(NOW);
    metrics.publish(0, snapshot);
    metrics.init_routes(["/livez"]);
    let page = metrics.render();
    let mut rendered: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    rendered.sort_unstable();
    // Without models and sources there are no series of them.
    let described = METRICS.iter().filter(|metric| !metric.labels.starts_with("model"));
    let described = described.filter(|metric| !metric.name.starts_with("lifecycle_ingest_"));
    let mut described: Vec<_> = described
        .map(|metric| match metric.kind {
            Kind::Counter => (metric.name, "counter"),
            Kind::Gauge => (metric.name, "gauge"),
            Kind::Histogram => (metric.name, "histogram"),
        })
        .collect();
    described.sort_unstable();
    assert_eq!(rendered, described, "{page}");
    for (name, _) in described {
        assert_eq!(page.matches(&format!("# HELP {name} ")).count(), 1, "{name}");
    }
}

#[test]
fn counters_are_summed_over_workers() {
    let metrics = metrics(2);
    let mut of_worker = snapshot(Vec::new());
    of_worker.report.tally = Tally { consumed: 3, applied: 2, duplicates: 0, ..Tally::default() };
    of_worker.report.dead_letters = [(DeadLetterReason::NotJson, 1)].into();
    of_worker.report.commits = 1;
    of_worker.report.measured.batch_touchpoints.observe(3.0);
    metrics.publish(0, of_worker.clone());
    metrics.publish(1, of_worker.clone());
    metrics.publish(1, of_worker);
    let page = metrics.render();
    assert_eq!(value(&page, "lifecycle_touchpoints_consumed_total "), Some(6.0));
    assert_eq!(value(&page, "lifecycle_dead_letters_total{reason=\"not_json\"} "), Some(2.0));
    assert_eq!(value(&page, "lifecycle_dead_letters_total{reason=\"empty\"} "), Some(0.0));
    assert_eq!(value(&page, "lifecycle_commits_total{result=\"committed\"} "), Some(2.0));
    assert_eq!(value(&page, "lifecycle_batch_touchpoints_bucket{le=\"1\"} "), Some(0.0));
    assert_eq!(value(&page, "lifecycle_batch_touchpoints_bucket{le=\"10\"} "), Some(2.0));
    assert_eq!(value(&page, "lifecycle_batch_touchpoints_bucket{le=\"+Inf\"} "), Some(2.0));
    assert_eq!(value(&page, "lifecycle_batch_touchpoints_sum "), Some(6.0));
    assert_eq!(value(&page, "lifecycle_batch_touchpoints_count "), Some(2.0));
}

#[test]
fn hand_overs_are_counted_by_kind_and_the_oldest_has_an_age() {
    let metrics = metrics(1);
    let waiting =
        PartitionStatus { stubs: 3, oldest_hand_over: Some(NOW - time::Duration::from_millis(2_500)), ..running(0) };
    let restoring = PartitionStatus { is_running: false, ..running(2) };
    let mut of_worker = snapshot(vec![waiting, running(1), restoring]);
    of_worker.report.hand_overs = [4, 3, 2, 1, 0];
    metrics.publish(0, of_worker);
    let page = metrics.render();
    assert_eq!(value(&page, "lifecycle_hand_overs_total{kind=\"claim\"} "), Some(4.0));
    assert_eq!(value(&page, "lifecycle_hand_overs_total{kind=\"touchpoint\"} "), Some(1.0));
    assert_eq!(value(&page, "lifecycle_hand_over_age_seconds{partition=\"0\"} "), Some(2.5));
    assert_eq!(value(&page, "lifecycle_hand_over_age_seconds{partition=\"1\"} "), Some(0.0));
    assert_eq!(value(&page, "lifecycle_hand_over_age_seconds{partition=\"2\"} "), None);
    assert_eq!(value(&page, "lifecycle_partition_stubs{partition=\"0\"} "), Some(3.0));
}

#[test]
fn transitions_and_moves_are_exported_by_name_and_those_of_an_unknown_model_are_not() {
    let mut metrics = metrics(2);
    metrics.models = vec![ModelNames {
        name: "retention".to_owned(),
        version: "1".to_owned(),
        hash: "5e".to_owned(),
        stages: vec!["active".to_owned(), "lost".to_owned()],
        published: vec![("stage", "churned".into())],
    }];
    let mut of_worker = snapshot(vec![PartitionStatus { stage_counts: vec![vec![5, 6, 7]], ..running(0) }]);
    for model in [0, 9] {
        let group = TransitionGroup { model, kind: "stage", cause: "time", mode: "live" };
        of_worker.report.transitions.insert(group, [("churned".into(), 4)].into());
        of_worker.report.moves.insert((model, Some(StageIndex(0)), None), 4);
    }
    metrics.publish(0, of_worker.clone());
    metrics.publish(1, of_worker);
    let page = metrics.render();
    let churned = "lifecycle_transitions_total{model=\"retention\",kind=\"stage\",name=\"churned\",cause=\"time\",";
    assert_eq!(value(&page, &format!("{churned}mode=\"live\"}} ")), Some(8.0));
    assert_eq!(value(&page, &format!("{churned}mode=\"replay\"}} ")), Some(0.0));
    let moves = "lifecycle_stage_moves_total{model=\"retention\",from=\"active\",";
    assert_eq!(value(&page, &format!("{moves}to=\"\"}} ")), Some(8.0));
    assert_eq!(value(&page, &format!("{moves}to=\"lost\"}} ")), Some(0.0));
    assert_eq!(page.matches("lifecycle_stage_moves_total{").count(), 6);
    assert_eq!(value(&page, "lifecycle_customers{model=\"retention\",stage=\"\"} "), Some(14.0));
}

#[test]
fn series_of_a_partition_disappear_with_it() {
    let metrics = metrics(1);
    let of = |partition, customers| PartitionStatus { customers, ..running(partition) };
    metrics.publish(0, snapshot(vec![of(1, 20), of(3, 10)]));
    let page = metrics.render();
    assert_eq!(value(&page, "lifecycle_partition_customers{partition=\"3\"} "), Some(10.0));
    assert_eq!(value(&page, "lifecycle_partitions_assigned "), Some(2.0));
    assert_eq!(value(&page, "lifecycle_ready "), Some(1.0));
    metrics.publish(0, snapshot(vec![PartitionStatus { is_running: false, ..of(1, 20) }]));
    let page = metrics.render();
    assert!(!page.contains("partition=\"3\""), "{page}");
    assert_eq!(value(&page, "lifecycle_ready "), Some(0.0));
}

#[test]
fn the_state_goes_from_starting_to_stopping() {
    let metrics = metrics(1);
    let state = || {
        let page = metrics.render();
        let on = page.lines().filter(|line| line.starts_with("lifecycle_service_state{") && line.ends_with(" 1"));
        on.map(str::to_owned).collect::<Vec<_>>().join(";")
    };
    assert!(state().contains("starting"));
    metrics.publish(0, snapshot(vec![running(0), PartitionStatus { is_running: false, ..running(1) }]));
    assert!(state().contains("restoring"));
    metrics.publish(0, snapshot(vec![running(0)]));
    assert!(state().contains("running"));
    metrics.set_stopping();
    assert_eq!(state(), "lifecycle_service_state{state=\"stopping\"} 1");
}

#[test]
fn the_maximum_over_partitions_is_exported() {
    let metrics = metrics(1);
    let overdue = |seconds: i64| PartitionStatus {
        next_wake_up: Some(NOW - LATENESS - time::Duration::from_millis(seconds * 1000)),
        watermark: Some(NOW),
        ..running(0)
    };
    let restoring = |seconds| {
        let eta = Some(Duration::from_secs_f64(seconds));
        let restore = RestoreProgress { remaining_records: 1, remaining_bytes: None, customers_per_second: 0, eta };
        PartitionStatus { partition: 1, restore: Some(restore), ..PartitionStatus::default() }
    };
    metrics.publish(0, snapshot(vec![overdue(1), overdue(3), restoring(7.5), restoring(2.0)]));
    let page = metrics.render();
    assert_eq!(value(&page, "lifecycle_wake_up_overdue_seconds "), Some(3.0));
    assert_eq!(value(&page, "lifecycle_restore_eta_seconds "), Some(7.5));
}

#[test]
fn responses_are_counted_by_route_and_status() {
    let metrics = metrics(1);
    metrics.init_routes(["/livez"]);
    let page = metrics.render();
    assert_eq!(value(&page, "lifecycle_http_requests_total{path=\"/livez\",code=\"200\"} "), Some(0.0));
    assert_eq!(value(&page, "lifecycle_http_request_duration_seconds_count{path=\"/livez\"} "), Some(0.0));
    metrics.observe_response("/livez", 503, Duration::from_millis(3));
    let page = metrics.render();
    assert_eq!(value(&page, "lifecycle_http_requests_total{path=\"/livez\",code=\"503\"} "), Some(1.0));
    for (bound, count) in [("0.0025", 0.0), ("0.005", 1.0), ("30", 1.0)] {
        let bucket = format!("lifecycle_http_request_duration_seconds_bucket{{path=\"/livez\",le=\"{bound}\"}} ");
        assert_eq!(value(&page, &bucket), Some(count));
    }
}

#[test]
fn client_errors_are_counted_by_reaction() {
    let metrics = metrics(1);
    metrics.count_kafka_error("abort", "IllegalGeneration");
    metrics.count_kafka_error("abort", "IllegalGeneration");
    let page = metrics.render();
    let series = "lifecycle_kafka_errors_total{reaction=\"abort\",code=\"IllegalGeneration\"} ";
    assert_eq!(value(&page, series), Some(2.0));
    assert_eq!(value(&page, "lifecycle_kafka_errors_total{reaction=\"fatal\",code=\"\"} "), Some(0.0));
}

#[test]
fn a_scrape_of_64_partitions_and_6_models_stays_small() {
    let mut metrics = metrics(4);
    let stages: Vec<_> = (0..8).map(|stage| format!("stage_{stage}")).collect();
    let published: Vec<_> = (0..15).map(|name| ("stage", format!("transition_{name}").into())).collect();
    let model = |index| ModelNames {
        name: format!("model_{index}"),
        version: "1".to_owned(),
        hash: "5e".to_owned(),
        stages: stages.clone(),
        published: published.clone(),
    };
    metrics.models = (0..6).map(model).collect();
    metrics.init_routes(["/livez", "/readyz", "/metrics", "/v1/partitions"]);
    for worker in 0..4 {
        let of = |partition| PartitionStatus {
            lag_records: Some(0),
            last_stable_offset: Some(12),
            high_watermark: Some(12),
            stream_time: Some(NOW),
            watermark: Some(NOW),
            stage_counts: vec![vec![1; 9]; 6],
            ..running(partition)
        };
        let worker_number = usize::try_from(worker).expect("a small number");
        metrics.publish(worker_number, snapshot((worker * 16..worker * 16 + 16).map(of).collect()));
    }
    let lines = metrics.render().lines().count();
    assert!((1_500..3_000).contains(&lines), "{lines} lines");
}
