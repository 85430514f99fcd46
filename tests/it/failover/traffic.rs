//! Touchpoints that each cause a transition, written at a constant rate, and when the transitions can be read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lifecycle_processor::runtime::WallClock;
use lifecycle_processor::wire::time::format_timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;

use crate::broker::{self, NewRecord};

/// A transition: when it was read, and when its touchpoint was written.
#[derive(Clone, Copy)]
struct Observation {
    read_at: Instant,
    written_at: Instant,
}

type Observed = BTreeMap<i32, Vec<Observation>>;

/// The load of a measurement; it ends when this value is dropped.
pub(super) struct Traffic {
    observed: Arc<Mutex<Observed>>,
    is_done: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Starts to write `per_second` touchpoints and to read their transitions with `read_committed`.
    pub(super) fn start(bootstrap: &str, touchpoints: &str, transitions: &str, per_second: u64) -> Self {
        let is_done = Arc::new(AtomicBool::new(false));
        let observed = Arc::new(Mutex::new(Observed::new()));
        let started = Instant::now();
        let consumer = broker::reader_at(bootstrap, transitions);
        let (done, seen) = (Arc::clone(&is_done), Arc::clone(&observed));
        let reader = thread::spawn(move || read_until(&consumer, started, &done, &seen));
        let (at, topic, done) = (bootstrap.to_owned(), touchpoints.to_owned(), Arc::clone(&is_done));
        let writer = thread::spawn(move || write_until(&at, &topic, started, per_second, &done));
        Self { observed, is_done, threads: vec![reader, writer] }
    }

    /// Returns the partitions in which a transition was published.
    pub(super) fn partitions(&self) -> Vec<i32> {
        self.observed().keys().copied().collect()
    }

    /// Returns when the first transition of a touchpoint written at `since` or later was read.
    pub(super) fn first_of_touchpoint_since(&self, partition: i32, since: Instant) -> Option<Instant> {
        let observed = self.observed();
        observed.get(&partition)?.iter().find(|it| it.written_at >= since).map(|it| it.read_at)
    }

    /// Returns the longest time between `from` and `to` in which no transition of `partition` was read.
    pub(super) fn silence(&self, partition: i32, from: Instant, to: Instant) -> Duration {
        let observed = self.observed();
        let read = observed.get(&partition).into_iter().flatten().map(|it| it.read_at);
        let inside: Vec<Instant> = read.filter(|at| (from..to).contains(at)).collect();
        let all: Vec<Instant> = [from].into_iter().chain(inside).chain([to]).collect();
        all.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    fn observed(&self) -> std::sync::MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.is_done.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the load was written and the transitions were read");
        }
    }
}

/// Writes orders of new customers. The event id of each is its time of writing in milliseconds since `started`.
fn write_until(bootstrap: &str, topic: &str, started: Instant, per_second: u64, is_done: &AtomicBool) {
    let producer = broker::producer_at(bootstrap);
    let mut written = 0;
    while !is_done.load(Ordering::Relaxed) {
        let due = u64::try_from(started.elapsed().as_millis()).expect("a short run") * per_second / 1000;
        let records: Vec<_> = (written..due).map(|number| order(number, started)).collect();
        broker::enqueue(&producer, topic, &records);
        written = due;
        thread::sleep(Duration::from_millis(10));
    }
    broker::flush(&producer);
}

fn order(number: u64, started: Instant) -> NewRecord {
    let at = format_timestamp(WallClock::start().now().wall);
    let (customer, written) = (format!("c{number}-{}", fastrand::u64(..)), started.elapsed().as_millis());
    let text = format!(
        r#"{{"event_id":"{written}","customer_id":"{customer}","type":"order_completed","occurred_at":"{at}","order_id":"o{number}","amount":1,"currency":"USD"}}"#
    );
    NewRecord::keyed(&customer, &text)
}

fn read_until(consumer: &BaseConsumer, started: Instant, is_done: &AtomicBool, observed: &Mutex<Observed>) {
    while !is_done.load(Ordering::Relaxed) {
        // The client reconnects by itself after an error.
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) else { continue };
        let text = message.payload().expect("a transition has a value");
        let json: serde_json::Value = serde_json::from_slice(text).expect("a transition is JSON");
        let written: u64 = json["cause"]["event_id"].as_str().and_then(|it| it.parse().ok()).expect("a number");
        let observation = Observation { read_at: Instant::now(), written_at: started + Duration::from_millis(written) };
        let mut observed = observed.lock().unwrap_or_else(PoisonError::into_inner);
        observed.entry(message.partition()).or_default().push(observation);
    }
    consumer.unassign().expect("the consumer is unassigned");
}
