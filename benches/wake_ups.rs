//! Measures how fast wake-ups fire when many are due at once, and the latency of live touchpoints meanwhile.
//!
//! Writes the customers of one partition to a real broker's changelog as the service does, and lets one worker restore
//! them. Then touchpoints of new customers arrive at a steady rate with the current event time: stream time jumps by
//! years, and all wake-ups of the restored customers become due at once. The latency from writing a touchpoint until a
//! read-committed consumer receives its transition is measured while the wake-ups fire, and afterwards.
//!
//! `cargo bench --bench wake_ups -- --help` lists the options.

#[path = "restore/arguments.rs"]
mod arguments;
#[path = "../tests/it/broker.rs"]
mod broker;
#[path = "restore/prepared_changelog.rs"]
mod prepared_changelog;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lifecycle_processor::kafka::Client;
use lifecycle_processor::runtime::{WallClock, Worker};
use lifecycle_processor::wire::time::format_timestamp;
use rdkafka::message::Message;

use broker::NewRecord;

/// The same allocator as the program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
cargo bench --bench wake_ups -- [options]
  --customers N   restored customers, inactive for years (default 1000000)
  --rate N        live touchpoints per second (default 100)

LIFECYCLE_TEST_BROKER=host:port selects a running broker; otherwise scripts/kafka starts one.";

/// How long live touchpoints are measured after the last wake-up.
const COMPARISON: Duration = Duration::from_secs(15);

/// When a touchpoint was written, measured from the start of the load, and the latency until its transition was
/// received.
struct Live {
    written_at: Duration,
    latency: Duration,
}

fn main() -> ExitCode {
    arguments::with_options(HELP, [("--customers", 1_000_000), ("--rate", 100)], |[customers, rate]| {
        measure(customers, rate);
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn measure(customers: usize, rate: usize) {
    eprintln!("writing {customers} customers");
    let prepared = prepared_changelog::write(customers);
    let mut worker = prepared.worker();
    let clock = WallClock::start();
    let step = |worker: &mut Worker<Client>| worker.step(|| clock.now()).expect("nothing fails");
    eprintln!("restoring them");
    while !worker.status().partitions.first().is_some_and(|partition| partition.is_running) {
        step(&mut worker);
    }
    assert_eq!(worker.status().partitions[0].customers, prepared.customers, "every customer is restored");

    eprintln!("the wake-ups of {} customers are due", prepared.customers);
    let began = Instant::now();
    let is_over = Arc::new(AtomicBool::new(false));
    let (topic, ended) = (Arc::clone(&prepared.topics.touchpoints), Arc::clone(&is_over));
    let live_load = thread::spawn(move || live_load(&topic, rate, began, &ended));
    let (topic, ended) = (Arc::clone(&prepared.topics.transitions), Arc::clone(&is_over));
    let reader = thread::spawn(move || read(&topic, began, &ended));
    let mut longest_step = Duration::ZERO;
    let mut drained_at = None;
    let mut checked_at = began;
    while drained_at.is_none_or(|drained: Instant| drained.elapsed() < COMPARISON) {
        let step_began = Instant::now();
        step(&mut worker);
        if drained_at.is_none() {
            longest_step = longest_step.max(step_began.elapsed());
        }
        // Collecting the status takes time, so it is not requested after every step.
        if drained_at.is_none() && checked_at.elapsed() > Duration::from_millis(200) {
            checked_at = Instant::now();
            let status = &worker.status().partitions[0];
            let is_due = status.next_wake_up.zip(status.watermark).is_some_and(|(next, clock)| next <= clock);
            if worker.report().tally.wake_ups > 0 && !is_due {
                drained_at = Some(Instant::now());
            }
        }
    }
    is_over.store(true, Ordering::Relaxed);
    live_load.join().expect("the load was written");
    let live = reader.join().expect("the transitions were read");
    let drained = drained_at.expect("drained") - began;
    let wake_ups = worker.report().tally.wake_ups;
    let commits = worker.report().commits;
    let published: u64 = worker.report().transitions.values().flat_map(|names| names.values()).sum();
    worker.stop(clock.now()).expect("the worker stops");

    let seconds = drained.as_secs_f64();
    println!(
        "{wake_ups} wake-ups of {customers} customers caused {published} transitions in {seconds:.1} s and {commits} commits, \
         {:.0} wake-ups and {:.0} transitions per second; the longest step took {longest_step:.0?}.",
        wake_ups as f64 / seconds,
        published as f64 / seconds
    );
    println!("| live touchpoints | count | median | 99 % | maximum |");
    println!("|---|---|---|---|---|");
    report("while wake-ups fire", live.iter().filter(|it| it.written_at < drained));
    report("afterwards", live.iter().filter(|it| it.written_at >= drained));
}

fn report<'a>(when: &str, live: impl Iterator<Item = &'a Live>) {
    let mut latencies: Vec<Duration> = live.map(|it| it.latency).collect();
    latencies.sort_unstable();
    let count = latencies.len();
    assert!(count > 0, "no live transitions {when}");
    let (median, high, longest) = (latencies[count / 2], latencies[count * 99 / 100], latencies[count - 1]);
    println!("| {when} | {count} | {median:.0?} | {high:.0?} | {longest:.0?} |");
}

/// Writes `rate` orders per second, each of a new customer whose id contains the time of writing.
fn live_load(topic: &str, rate: usize, began: Instant, is_over: &AtomicBool) {
    let producer = broker::producer(None);
    let mut written = 0;
    while !is_over.load(Ordering::Relaxed) {
        let due = usize::try_from(began.elapsed().as_millis()).expect("a short run") * rate / 1000;
        let records: Vec<_> = (written..due).map(|number| order(number, began)).collect();
        broker::enqueue(&producer, topic, &records);
        written = due;
        thread::sleep(Duration::from_millis(5));
    }
    broker::flush(&producer);
}

fn order(number: usize, began: Instant) -> NewRecord {
    let customer = format!("live-{number}-{}", began.elapsed().as_micros());
    let at = format_timestamp(WallClock::start().now().wall);
    let line = format!(
        r#"{{"event_id":"{customer}","customer_id":"{customer}","type":"order_completed","occurred_at":"{at}","order_id":"{customer}","amount":9.95}}"#
    );
    NewRecord { partition: Some(0), ..NewRecord::keyed(&customer, &line) }
}

/// Reads the committed transitions of the live customers as they arrive. The transitions of the restored customers are
/// replayed, so they go to another topic.
fn read(topic: &str, began: Instant, is_over: &AtomicBool) -> Vec<Live> {
    let consumer = broker::reader(topic);
    let mut seen = Vec::new();
    let mut last = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let Some(message) = consumer.poll(Duration::from_millis(20)) else { continue };
        let message = message.expect("a record");
        let now = began.elapsed();
        let customer = message.key().expect("a customer").to_vec();
        if customer == last {
            continue;
        }
        let text = String::from_utf8_lossy(&customer);
        let micros = text.rsplit('-').next().and_then(|it| it.parse().ok()).expect("a live customer");
        let written_at = Duration::from_micros(micros);
        seen.push(Live { written_at, latency: now.saturating_sub(written_at) });
        last = customer;
    }
    seen
}
