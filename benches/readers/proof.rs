//! Whether an answer told what was committed: held against the topic of transitions and its last stable offsets.
//!
//! A read-committed reader sees a record once the last stable offset of its partition has passed it. Those offsets are asked for
//! without a pause; the first that was asked for after an answer had come is at least the one at the time of the answer. What the
//! answer told must lie below it, or come to lie below it at once: the coordinator answers a commit when the decision is
//! written, and the markers that move the last stable offset follow. A service that told of its open batch would be ahead by
//! anything up to a commit interval and the length of a transaction.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;

use super::broker::{self, Seen};

/// By how much an answer may be ahead of the markers: half the interval of commits.
const AHEAD_MAX: Duration = Duration::from_millis(50);
/// A change that is committed so soon after an answer was pending or about to be when it was given.
const CLOSE: Duration = Duration::from_millis(200);

/// Everything that the readers were told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<(Instant, Statement)>>>);

#[derive(Debug)]
enum Statement {
    /// So many publications of a customer in a model so far, of which the last move led to the stage.
    Standing { customer: String, model: String, sequence: u64, stage: Option<String> },
    /// A transition was published.
    Transition { id: String },
}

impl Told {
    /// Takes note of an answer that came at `at`.
    pub(crate) fn note(&self, body: &Value, at: Instant) {
        let mut statements = Vec::new();
        // A customer's and those of the list were published and are numbered; a forecast's are yet to come, and a model's are
        // names of moves.
        let transitions = body["transitions"].as_array().into_iter().flatten();
        for transition in transitions.filter(|transition| transition.get("cursor").is_some()) {
            statements.push(Statement::Transition { id: text(&transition["transition_id"]) });
        }
        for standing in body["models"].as_array().into_iter().flatten().filter(|_| body.get("clock").is_some()) {
            statements.push(Statement::Standing {
                customer: text(&body["customer_id"]),
                model: text(&standing["model"]),
                sequence: standing["sequence"].as_u64().expect("a standing has a sequence"),
                stage: standing["stage"].as_str().map(str::to_owned),
            });
        }
        let mut all = self.0.lock().expect("nobody panics while holding it");
        all.extend(statements.into_iter().map(|statement| (at, statement)));
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("it is text").to_owned()
}

/// By partition: when it was begun to ask, and the last stable offset that came.
pub(crate) type Samples = BTreeMap<i32, Vec<(Instant, i64)>>;

/// Watches the last stable offsets of a topic.
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
                    let range = consumer.fetch_watermarks(&topic, partition, broker::PATIENCE);
                    samples.entry(partition).or_default().push((at, range.expect("the broker answers").1));
                }
                if is_last {
                    return samples;
                }
                // Once more after the end, so that the last answers have samples after them.
                is_last = until.load(Ordering::Relaxed);
            }
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Samples {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watcher does not panic")
    }
}

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) standings: usize,
    pub(crate) transitions: usize,
    /// Statements of what was not committed yet.
    pub(crate) uncommitted: Vec<String>,
    /// By how much those were ahead of the markers that were so at all, and no more than they may be; ascending.
    pub(crate) ahead: Vec<Duration>,
    /// Standings that were about to change, later than any answer may be ahead.
    pub(crate) close: usize,
    pub(crate) sample_ms: f64,
}

/// A committed transition as it matters here.
struct Committed {
    partition: i32,
    offset: i64,
    /// The stage after it; the empty string for none.
    stage: Option<String>,
}

/// Holds everything told against the `samples` and the `published` transitions.
pub(crate) fn verdict(told: &Told, samples: &Samples, published: &[Seen]) -> Verdict {
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
    let mut verdict = Verdict { sample_ms: mean_gap_ms(samples), ..Verdict::default() };
    for (at, statement) in told.0.lock().expect("nobody panics while holding it").iter() {
        let mut must_be_committed = |of: Option<(i32, i64)>, what: &dyn Fn() -> String| {
            let delay = of.and_then(|(partition, offset)| visible_after(samples, partition, offset, *at));
            match delay {
                Some(Duration::ZERO) => {}
                Some(delay) if delay <= AHEAD_MAX => verdict.ahead.push(delay),
                Some(delay) => verdict.uncommitted.push(format!("{}: {delay:?} ahead", what())),
                None => verdict.uncommitted.push(format!("{}: never committed", what())),
            }
        };
        match statement {
            Statement::Transition { id } => {
                must_be_committed(by_id.get(id).copied(), &|| format!("transition {id}"));
                verdict.transitions += 1;
            }
            Statement::Standing { customer, model, sequence, stage } => {
                let of = |sequence: u64| by_sequence.get(&(customer.clone(), model.clone(), sequence));
                let place = |committed: &Committed| (committed.partition, committed.offset);
                let what = || format!("{customer} in {model}: {stage:?} after {sequence}");
                if *sequence > 0 {
                    must_be_committed(of(*sequence).map(place), &what);
                }
                let last_move = (1..=*sequence).rev().find_map(|sequence| of(sequence)?.stage.as_deref());
                if last_move.unwrap_or_default() != stage.as_deref().unwrap_or_default() {
                    verdict.uncommitted.push(format!("{}: the topic says {last_move:?}", what()));
                }
                let next = of(*sequence + 1).map(place);
                let delay = next.and_then(|(partition, offset)| visible_after(samples, partition, offset, *at));
                verdict.close += usize::from(delay.is_some_and(|delay| delay > AHEAD_MAX && delay <= CLOSE));
                verdict.standings += 1;
            }
        }
    }
    verdict.ahead.sort();
    verdict
}

/// How long after `at` it was asked for the first last stable offset past `offset`; zero when that was the first question
/// after `at`.
fn visible_after(samples: &Samples, partition: i32, offset: i64, at: Instant) -> Option<Duration> {
    let of_partition = &samples[&partition];
    let first = of_partition.partition_point(|&(asked, _)| asked < at);
    // The offsets never fall.
    let visible = of_partition.partition_point(|&(_, stable)| stable <= offset);
    let (asked, _) = of_partition.get(visible)?;
    Some(if visible <= first { Duration::ZERO } else { *asked - at })
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn mean_gap_ms(samples: &Samples) -> f64 {
    let Some(of_one) = samples.values().next() else { return f64::NAN };
    let (Some(first), Some(last)) = (of_one.first(), of_one.last()) else { return f64::NAN };
    1e3 * (last.0 - first.0).as_secs_f64() / (of_one.len() - 1).max(1) as f64
}
