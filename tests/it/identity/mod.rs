//! Tests identity resolution: visitors become customers, and customers are merged and split, in any order of
//! touchpoints, links and hand-overs.

mod agreement;
mod cluster;
mod commands;
mod contradictions;
mod erasures;
mod guards;
mod links;
mod merges;
mod splits;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use lifecycle_processor::lifecycle::identity::{BlockedIds, IdentityOptions, LinkOn};
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::lifecycle::transition::{Change, Merge, Transition};
use lifecycle_processor::lifecycle::value::OwnedValue;
use lifecycle_processor::partition::{CustomerView, RefusedLink};
use lifecycle_processor::replay::{Replay, ReplayOptions};
use lifecycle_processor::wire::model_file::{self, ModelSource};
use lifecycle_processor::wire::time::format_timestamp;
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};
use serde_json::{Value, json};

use crate::oracle::touchpoint::Millis;

const START: Millis = 1_735_689_600_000;

static SHIPPED: LazyLock<Arc<ModelSet>> = LazyLock::new(|| {
    let sources: Vec<_> = model_file::shipped_names().iter().filter_map(|name| model_file::shipped(name)).collect();
    Arc::new(model_file::load(&sources, &model_file::shipped_catalogue(), &[]).expect("shipped models load").0)
});

/// Counts all touchpoints of a customer.
static COUNTING: LazyLock<Arc<ModelSet>> = LazyLock::new(|| {
    let text = "model: counting\nversion: 1\njourney: [known]\nfacts:\n  seen: count(any)\n\
                stages:\n  - stage: known\n    when: seen >= 1\n\
                signals:\n  - signal: busy\n    when: seen >= 2\n\
                milestones:\n  - milestone: third\n    when: seen >= 3\n";
    let source = ModelSource { name: "counting.yaml".to_owned(), text: text.to_owned() };
    match model_file::load(&[source], &model_file::shipped_catalogue(), &[]) {
        Ok((models, _)) => Arc::new(models),
        Err(problems) => panic!("{problems:#?}"),
    }
});

fn facts(link_on: LinkOn) -> FactOptions {
    let identity = IdentityOptions { link_on, stub_lifetime: Duration::from_days(36_500) };
    FactOptions { identity: Some(identity), ..FactOptions::default() }
}

fn decoder(models: &ModelSet) -> TouchpointDecoder {
    TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 20 })
        .with_identity(Some(BlockedIds::default()))
}

/// A touchpoint as a JSON line; an empty id is absent.
fn line(event_id: &str, customer_id: &str, anonymous_id: &str, type_name: &str, at: Millis) -> String {
    let occurred_at = format_timestamp(Timestamp::from_millis(at));
    let mut record = json!({"event_id": event_id, "type": type_name, "occurred_at": occurred_at});
    for (name, id) in [("customer_id", customer_id), ("anonymous_id", anonymous_id)] {
        if !id.is_empty() {
            record[name] = json!(id);
        }
    }
    record.to_string()
}

/// The command that merges the customer `from` into `into`.
fn merge(event_id: &str, into: &str, from: &str, at: Millis) -> String {
    with_field(&line(event_id, into, "", "customer_merged", at), "merged_id", from)
}

/// The command that ends the merge of the id `alias`.
fn split(event_id: &str, alias: &str, at: Millis) -> String {
    line(event_id, alias, "", "customer_split", at)
}

fn replay(
    models: &Arc<ModelSet>,
    options: &FactOptions,
    lines: &[String],
    until: Option<Millis>,
) -> (Replay, Vec<Transition>) {
    replay_and_observe(models, options, lines, until, |_| {})
}

/// Calls `observe` after each touchpoint.
fn replay_and_observe(
    models: &Arc<ModelSet>,
    options: &FactOptions,
    lines: &[String],
    until: Option<Millis>,
    mut observe: impl FnMut(&Replay),
) -> (Replay, Vec<Transition>) {
    let until = until.map(Timestamp::from_millis);
    let mut replay = Replay::new(Arc::clone(models), ReplayOptions { facts: options.clone(), until });
    let decoder = decoder(models);
    let mut transitions = Vec::new();
    let mut publish = |transition: &Transition, _| {
        transitions.push(transition.clone());
        Ok::<(), Infallible>(())
    };
    for line in lines {
        let mut scratch = Scratch::default();
        let touchpoint = decoder.decode(line.as_bytes(), &mut scratch).expect("a touchpoint");
        let Ok(()) = replay.apply(&touchpoint, &mut publish);
        observe(&replay);
    }
    let Ok(()) = replay.finish(&mut publish);
    (replay, transitions)
}

/// Adds a field to a record.
fn with_field(line: &str, name: &str, value: &str) -> String {
    let mut record: Value = serde_json::from_str(line).expect("an object");
    record[name] = json!(value);
    record.to_string()
}

/// Returns the requested number of histories.
fn requested(default: u64) -> u64 {
    let requested = std::env::var("LIFECYCLE_IDENTITY_HISTORIES").ok();
    requested.and_then(|count| count.parse().ok()).unwrap_or(default)
}

/// Asserts that each transition has an id of its own.
fn assert_ids(transitions: &[Transition]) {
    let mut ids = BTreeSet::new();
    for transition in transitions {
        assert!(ids.insert(transition.id), "{transition:?}");
    }
}

/// Asserts that the sequence numbers of each id and model follow one another, and that each transition has an id of its
/// own.
fn assert_publications(transitions: &[Transition]) {
    assert_ids(transitions);
    let mut sequences: BTreeMap<(Arc<str>, u8), u64> = BTreeMap::new();
    let mut stubs = BTreeSet::new();
    for transition in transitions {
        let sequence = sequences.entry((Arc::clone(&transition.customer_id), transition.model.0)).or_default();
        // An id that was a stub starts again.
        let may_restart = transition.sequence == 1 && stubs.contains(&transition.customer_id);
        assert!(transition.sequence == *sequence + 1 || may_restart, "{sequence}: {transition:?}");
        *sequence = transition.sequence;
        if matches!(transition.merge, Some(Merge::Into(_))) {
            stubs.insert(Arc::clone(&transition.customer_id));
        }
    }
}

fn counted(customer: &CustomerView) -> i64 {
    let seen = customer.facts.iter().find(|fact| &*fact.name == "count(any)").expect("the fact of the model");
    if let Some(OwnedValue::Int(count)) = seen.value { count } else { panic!("{seen:?}") }
}

/// Returns the number of touchpoints of each customer of the model `counting`.
fn counts(replay: &Replay) -> Vec<(String, i64)> {
    replay.partition().customers().map(|view| (view.customer_id.to_string(), counted(&view))).collect()
}

/// Runs `check` for each of many seeds from `start` on with several threads. The first failure ends all of them.
fn check_many(start: u64, default: u64, check: impl Fn(u64) + Sync) {
    let (next, end) = (AtomicU64::new(start), start + requested(default));
    let run = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&seed| seed < end) {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(seed))) {
                next.store(end, Ordering::Relaxed);
                resume_unwind(panic);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(run);
        }
    });
}

/// Describes a transition of the model `counting`.
fn described(transition: &Transition) -> String {
    let change = match &transition.change {
        Change::Stage { to, .. } => {
            if to.is_some() {
                "in"
            } else {
                "out"
            }
        }
        Change::Signal { on } => {
            if *on {
                "on"
            } else {
                "off"
            }
        }
        Change::Milestone | Change::Counter { .. } => "reached",
    };
    let merge = match &transition.merge {
        Some(Merge::Into(id)) => format!(" into {id}"),
        Some(Merge::From(id)) => format!(" from {id}"),
        None => String::new(),
    };
    format!("{} {} {change} #{}{merge}", transition.customer_id, transition.name, transition.sequence)
}

/// Returns the links that a replay of `lines` refuses: reason, customer, other id, event.
fn refused(lines: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    replay_and_observe(&COUNTING, &facts(LinkOn::Identified), lines, None, |replay| {
        let describe = |it: &RefusedLink| {
            format!("{} {} {} {}", it.reason.as_str(), it.customer_id, it.other_id, it.link.event_id)
        };
        found.extend(replay.refused_links().iter().map(describe));
    });
    found
}
