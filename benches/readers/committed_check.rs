//! Checks that HTTP responses contained only committed data, by comparing them with the transition topic.
//!
//! A read-committed consumer receives a record once the last stable offset of its partition is past it. This check
//! queries the last stable offsets continuously, so the first query after a response returns an upper bound of the
//! offset at the time of the response. Each transition behind the response must be below that offset, or at most
//! [`AHEAD_MAX`] later: the coordinator acknowledges a commit before it writes the markers that advance the last stable
//! offset. A service that exposed pending changes would be ahead by up to a commit interval plus the duration of a
//! transaction.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;

use super::broker::{self, ConsumedRecord};

/// Maximum time by which a response may precede the transaction markers: half the commit interval.
const AHEAD_MAX: Duration = Duration::from_millis(50);
/// A change committed within this time after a response was probably pending at the time of the response.
const SOON_AFTER: Duration = Duration::from_millis(200);

/// Statements about transitions in all responses that the readers received, and the time of each response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observations(Arc<Mutex<Vec<(Instant, Observation)>>>);

#[derive(Debug)]
enum Observation {
    /// The sequence number and the stage of a customer in a model.
    Standing { customer: String, model: String, sequence: u64, stage: Option<String> },
    /// A published transition.
    Transition { id: String },
}

impl Observations {
    /// Records a response that arrived at `at`.
    pub(crate) fn record(&self, body: &Value, at: Instant) {
        let mut observed = Vec::new();
        // Only published transitions have a cursor. The transitions of a forecast are in the future, and those of a
        // model are the names of its moves.
        let transitions = body["transitions"].as_array().into_iter().flatten();
        for transition in transitions.filter(|transition| transition.get("cursor").is_some()) {
            observed.push(Observation::Transition { id: text(&transition["transition_id"]) });
        }
        for standing in body["models"].as_array().into_iter().flatten().filter(|_| body.get("clock").is_some()) {
            observed.push(Observation::Standing {
                customer: text(&body["customer_id"]),
                model: text(&standing["model"]),
                sequence: standing["sequence"].as_u64().expect("a standing has a sequence"),
                stage: standing["stage"].as_str().map(str::to_owned),
            });
        }
        let mut all = self.0.lock().expect("no thread panics while holding the lock");
        all.extend(observed.into_iter().map(|observation| (at, observation)));
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

/// Time and result of each query for the last stable offset, by partition.
pub(crate) type Samples = BTreeMap<i32, Vec<(Instant, i64)>>;

/// Queries the last stable offsets of a topic continuously.
pub(crate) struct StableOffsets {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Samples>,
}

impl StableOffsets {
    pub(crate) fn watch(topic: &str, partitions: i32) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker::bootstrap())
            .set("group.id", broker::unique("stable"))
            .set("isolation.level", "read_committed")
            .create()
            .expect("a consumer");
        let (topic, stop) = (topic.to_owned(), Arc::new(AtomicBool::new(false)));
        let until = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut samples = Samples::new();
            let mut is_last = false;
            loop {
                for partition in 0..partitions {
                    let at = Instant::now();
                    let range = consumer.fetch_watermarks(&topic, partition, broker::TIMEOUT);
                    samples.entry(partition).or_default().push((at, range.expect("the broker answers").1));
                }
                if is_last {
                    return samples;
                }
                // Query once more after the stop, so that there are samples after the last responses.
                is_last = until.load(Ordering::Relaxed);
            }
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Samples {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the sampling thread does not panic")
    }
}

/// Result of the check.
#[derive(Debug, Default)]
pub(crate) struct CheckResult {
    pub(crate) standings: usize,
    pub(crate) transitions: usize,
    /// Descriptions of observations that were not committed at the time of the response.
    pub(crate) uncommitted: Vec<String>,
    /// Times by which responses preceded the markers, if within the limit; ascending.
    pub(crate) ahead: Vec<Duration>,
    /// Number of standings whose next change was committed between `AHEAD_MAX` and `SOON_AFTER` after the response.
    pub(crate) changed_soon_after: usize,
    /// Mean interval between two samples of a partition.
    pub(crate) sample_ms: f64,
}

/// Offset of a committed transition, and the stage after it.
struct Committed {
    partition: i32,
    offset: i64,
    /// The stage after the move; the empty string means no stage. `None` if it is not a move.
    stage: Option<String>,
}

/// Checks all observations against the `samples` and the `published` transitions.
pub(crate) fn check(observations: &Observations, samples: &Samples, published: &[ConsumedRecord]) -> CheckResult {
    let mut by_id = HashMap::new();
    let mut by_sequence = HashMap::new();
    for seen in published {
        let record: Value = serde_json::from_slice(seen.value.as_deref().unwrap_or_default()).expect("a transition");
        let is_move = record["kind"] == "stage";
        by_id.insert(text(&record["transition_id"]), (seen.partition, seen.offset));
        let key =
            (text(&record["customer_id"]), text(&record["model"]), record["sequence"].as_u64().expect("a number"));
        let stage = is_move.then(|| record["to"].as_str().unwrap_or_default().to_owned());
        by_sequence.insert(key, Committed { partition: seen.partition, offset: seen.offset, stage });
    }
    let mut result = CheckResult { sample_ms: mean_gap_ms(samples), ..CheckResult::default() };
    for (at, observation) in observations.0.lock().expect("no thread panics while holding the lock").iter() {
        let mut must_be_committed = |of: Option<(i32, i64)>, what: &dyn Fn() -> String| {
            let delay = of.and_then(|(partition, offset)| visible_after(samples, partition, offset, *at));
            match delay {
                Some(Duration::ZERO) => {}
                Some(delay) if delay <= AHEAD_MAX => result.ahead.push(delay),
                Some(delay) => result.uncommitted.push(format!("{}: {delay:?} ahead", what())),
                None => result.uncommitted.push(format!("{}: never committed", what())),
            }
        };
        match observation {
            Observation::Transition { id } => {
                must_be_committed(by_id.get(id).copied(), &|| format!("transition {id}"));
                result.transitions += 1;
            }
            Observation::Standing { customer, model, sequence, stage } => {
                let of = |sequence: u64| by_sequence.get(&(customer.clone(), model.clone(), sequence));
                let position = |committed: &Committed| (committed.partition, committed.offset);
                let what = || format!("{customer} in {model}: {stage:?} after {sequence}");
                if *sequence > 0 {
                    must_be_committed(of(*sequence).map(position), &what);
                }
                let last_move = (1..=*sequence).rev().find_map(|sequence| of(sequence)?.stage.as_deref());
                if last_move.unwrap_or_default() != stage.as_deref().unwrap_or_default() {
                    result.uncommitted.push(format!("{}: the topic has {last_move:?}", what()));
                }
                let next = of(*sequence + 1).map(position);
                let delay = next.and_then(|(partition, offset)| visible_after(samples, partition, offset, *at));
                result.changed_soon_after +=
                    usize::from(delay.is_some_and(|delay| delay > AHEAD_MAX && delay <= SOON_AFTER));
                result.standings += 1;
            }
        }
    }
    result.ahead.sort();
    result
}

/// Returns the time from `at` until the query that first returned a last stable offset past `offset`; zero if it was
/// the first query after `at`.
fn visible_after(samples: &Samples, partition: i32, offset: i64, at: Instant) -> Option<Duration> {
    let of_partition = &samples[&partition];
    let first = of_partition.partition_point(|&(queried_at, _)| queried_at < at);
    // Last stable offsets never decrease.
    let visible = of_partition.partition_point(|&(_, stable)| stable <= offset);
    let (queried_at, _) = of_partition.get(visible)?;
    Some(if visible <= first { Duration::ZERO } else { *queried_at - at })
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn mean_gap_ms(samples: &Samples) -> f64 {
    let Some(of_one) = samples.values().next() else { return f64::NAN };
    let (Some(first), Some(last)) = (of_one.first(), of_one.last()) else { return f64::NAN };
    1e3 * (last.0 - first.0).as_secs_f64() / (of_one.len() - 1).max(1) as f64
}
