//! Tests that the forecast of a customer equals the transitions published when time passes without touchpoints.

use std::collections::BTreeMap;
use std::sync::Arc;

use lifecycle_processor::config::ModelChoice;
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::lifecycle::transition::Transition;
use lifecycle_processor::partition::{Effects, Forecast, Input, Partition};
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

use super::oracle::generator::histories;

/// Number of random histories.
const SEEDS: u64 = 150;
/// Horizon of the forecasts in days, longer than any deadline of the shipped models.
const DAYS_AHEAD: i64 = 1_000;

/// Returns a partition that has applied and committed `lines`.
fn partition_with(models: &Arc<ModelSet>, lines: &[String]) -> Partition {
    let mut partition = Partition::new(Arc::clone(models), FactOptions::default());
    let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 20 });
    for line in lines {
        let mut scratch = Scratch::default();
        let touchpoint = decoder.decode(line.as_bytes(), &mut scratch).expect("a valid touchpoint");
        partition.apply(Input::Touchpoint(&touchpoint), &mut Effects::default());
    }
    partition.write_batches(0);
    partition.commit();
    partition
}

/// Advances time in steps of `step`; returns the published transitions by customer.
fn advance_time(
    partition: &mut Partition,
    start: Timestamp,
    until: Timestamp,
    step: Duration,
) -> BTreeMap<String, Vec<Transition>> {
    let mut effects = Effects::default();
    let mut now = start;
    while now < until {
        now = (now + step).min(until);
        while partition.apply(Input::TimePassed { until: now, wake_ups_max: 7 }, &mut effects) {}
    }
    let mut published: BTreeMap<String, Vec<Transition>> = BTreeMap::new();
    for transition in effects.transitions {
        published.entry(transition.customer_id.to_string()).or_default().push(transition);
    }
    published
}

/// After each quarter of a history, compares the forecast of every customer with the transitions that are then
/// published. Returns the number of forecast transitions.
fn compare(models: &Arc<ModelSet>, seed: u64) -> usize {
    let mut forecast_transitions = 0;
    let lines = histories(seed, 4);
    for quarters in [1, 2, 3, 4] {
        let mut partition = partition_with(models, &lines[..lines.len() * quarters / 4]);
        let views: Vec<_> = partition.customers().collect();
        let Some(start) = views.iter().map(|view| view.clock).max() else { continue };
        let until = start + Duration::from_days(DAYS_AHEAD);
        let snapshots: Vec<_> =
            views.iter().map(|view| (view, partition.snapshot(&view.customer_id).expect("a known customer"))).collect();
        let step = Duration::from_days(1 + i64::try_from(seed % 40).expect("a small number"));
        let mut published = advance_time(&mut partition, start, until, step);
        for (view, snapshot) in snapshots {
            let of_customer = published.remove(&*view.customer_id).unwrap_or_default();
            let Forecast { transitions, cut_at } = snapshot.forecast(until, 1_000);
            assert_eq!(transitions, of_customer, "customer {:?}, seed {seed}, quarters {quarters}", view.customer_id);
            assert!(cut_at.is_none_or(|cut_at| cut_at > until), "the horizon is the limit, not the number of wake-ups");
            let first = transitions.first().map(|transition| transition.occurred_at);
            assert!(first.is_none_or(|first| view.next_wake_up.is_some_and(|next| next <= first)), "seed {seed}");
            forecast_transitions += transitions.len();
        }
        assert!(published.is_empty(), "published for unknown customers: {published:?}");
    }
    forecast_transitions
}

fn models(names: &[&str]) -> Arc<ModelSet> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    Arc::new(ModelChoice::of(&names).load(false).expect("models"))
}

#[test]
fn the_forecast_equals_what_is_published_when_time_passes() {
    let shipped = models(&[]);
    assert_eq!(shipped.models.len(), 6);
    let mut forecast_transitions = 0;
    for seed in 0..SEEDS {
        forecast_transitions += compare(&shipped, seed);
    }
    assert!(forecast_transitions > 1_000, "{forecast_transitions}");
}

#[test]
fn a_forecast_stops_at_the_wake_up_limit_and_reports_where() {
    let shipped = models(&[]);
    let partition = partition_with(&shipped, &histories(1, 4));
    let snapshots: Vec<_> = partition
        .customers()
        .filter_map(|view| Some((view.next_wake_up?, partition.snapshot(&view.customer_id)?)))
        .collect();
    assert!(!snapshots.is_empty());
    for (next, snapshot) in snapshots {
        let empty = snapshot.forecast(Timestamp::MAX, 0);
        assert!(empty.transitions.is_empty() && empty.cut_at.is_some_and(|cut_at| cut_at <= next));
        let all = snapshot.forecast(Timestamp::MAX, 1_000);
        assert_eq!(all.cut_at, None, "the number of wake-ups is finite");
        let before = snapshot.forecast(next - Duration::from_millis(1), 1_000);
        assert_eq!(before.transitions, []);
    }
}
