//! What is foretold of a customer who stays silent is what is published when time passes.

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

/// How many histories are tried.
const SEEDS: u64 = 150;
/// Past the last instant that any shipped model waits for.
const DAYS_AHEAD: i64 = 1_000;

/// A partition that has received `lines`, all of it committed.
fn receive(models: &Arc<ModelSet>, lines: &[String]) -> Partition {
    let mut partition = Partition::new(Arc::clone(models), FactOptions::default());
    let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 20 });
    for line in lines {
        let mut scratch = Scratch::default();
        let touchpoint = decoder.decode(line.as_bytes(), &mut scratch).expect("a good line");
        partition.apply(Input::Touchpoint(&touchpoint), &mut Effects::default());
    }
    partition.write_batches(0);
    partition.commit();
    partition
}

/// Lets time pass for all customers alike, in steps of `step`; returns what is published of each.
fn pass_time(
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

/// Compares every customer's forecast, after each of several parts of a history, with what then happens. Returns how many
/// transitions were foretold.
fn compare(models: &Arc<ModelSet>, seed: u64) -> usize {
    let mut foretold = 0;
    let lines = histories(seed, 4);
    for share in [1, 2, 3, 4] {
        let mut partition = receive(models, &lines[..lines.len() * share / 4]);
        let views: Vec<_> = partition.customers().collect();
        let Some(start) = views.iter().map(|view| view.clock).max() else { continue };
        let until = start + Duration::from_days(DAYS_AHEAD);
        let snapshots: Vec<_> = views
            .iter()
            .map(|view| (view, partition.snapshot(&view.customer_id).expect("a customer that is there")))
            .collect();
        let step = Duration::from_days(1 + i64::try_from(seed % 40).expect("a small number"));
        let mut published = pass_time(&mut partition, start, until, step);
        for (view, snapshot) in snapshots {
            let of_customer = published.remove(&*view.customer_id).unwrap_or_default();
            let Forecast { transitions, cut_at } = snapshot.forecast(until, 1_000);
            assert_eq!(transitions, of_customer, "customer {:?}, seed {seed}, share {share}", view.customer_id);
            assert!(cut_at.is_none_or(|cut_at| cut_at > until), "the horizon ends it, not the number of wake-ups");
            let first = transitions.first().map(|transition| transition.occurred_at);
            assert!(first.is_none_or(|first| view.next_wake_up.is_some_and(|next| next <= first)), "seed {seed}");
            foretold += transitions.len();
        }
        assert!(published.is_empty(), "published of nobody who was there: {published:?}");
    }
    foretold
}

fn models(names: &[&str]) -> Arc<ModelSet> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    Arc::new(ModelChoice::of(&names).load(false).expect("models"))
}

#[test]
fn a_forecast_is_what_is_published_when_time_passes() {
    let shipped = models(&[]);
    assert_eq!(shipped.models.len(), 6);
    let mut foretold = 0;
    for seed in 0..SEEDS {
        foretold += compare(&shipped, seed);
    }
    assert!(foretold > 1_000, "{foretold}");
}

#[test]
fn a_forecast_ends_after_its_wake_ups_and_says_where() {
    let shipped = models(&[]);
    let partition = receive(&shipped, &histories(1, 4));
    let snapshots: Vec<_> = partition
        .customers()
        .filter_map(|view| Some((view.next_wake_up?, partition.snapshot(&view.customer_id)?)))
        .collect();
    assert!(!snapshots.is_empty());
    for (next, snapshot) in snapshots {
        let none = snapshot.forecast(Timestamp::MAX, 0);
        assert!(none.transitions.is_empty() && none.cut_at.is_some_and(|cut_at| cut_at <= next));
        let all = snapshot.forecast(Timestamp::MAX, 1_000);
        assert_eq!(all.cut_at, None, "silence comes to rest");
        let before = snapshot.forecast(next - Duration::from_millis(1), 1_000);
        assert_eq!(before.transitions, []);
    }
}
