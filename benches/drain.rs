//! How quickly a crowd of wake-ups that are all due at once is worked off, and what live touchpoints notice of it.
//!
//! Writes the customers of one partition to a real broker's changelog as the service does, and has one worker restore them. Then
//! touchpoints of new customers come, a steady trickle, which occur now: the partition's clock jumps by years, and whatever the
//! others' silence brings is due at once. How long a touchpoint takes until a reader of committed records sees what came of it is
//! measured while the crowd is worked off, and afterwards. `cargo bench --bench drain -- --help` tells the options.

#[path = "../tests/it/broker.rs"]
mod broker;
#[path = "restore/written.rs"]
mod written;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lifecycle_processor::kafka::Client;
use lifecycle_processor::runtime::{WallClock, Worker};
use lifecycle_processor::wire::time::format_timestamp;
use rdkafka::message::Message;

use broker::ToWrite;

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
cargo bench --bench drain -- [options]
  --customers N   who fell silent years ago, 1000000 unless told
  --rate N        live touchpoints a second, 100 unless told

LIFECYCLE_TEST_BROKER=host:port names a running broker; else scripts/kafka starts one.";

/// How long the trickle goes on once the crowd is through, to compare.
const REST: Duration = Duration::from_secs(15);

/// When a touchpoint was written, since the trickle began, and how long it took until its transition was seen.
struct Live {
    written_at: Duration,
    latency: Duration,
}

fn main() -> ExitCode {
    // `cargo test` runs benches too, without `--bench`: there is nothing to test here.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let (mut customers, mut rate) = (1_000_000, 100);
    let mut rest = arguments.iter().filter(|argument| *argument != "--bench");
    while let Some(name) = rest.next() {
        let value = rest.next().and_then(|value| value.parse().ok()).filter(|&value: &usize| value > 0);
        match (name.as_str(), value) {
            ("--customers", Some(value)) => customers = value,
            ("--rate", Some(value)) => rate = value,
            _ => {
                eprintln!("{HELP}");
                return ExitCode::from(2);
            }
        }
    }
    measure(customers, rate);
    ExitCode::SUCCESS
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn measure(customers: usize, rate: usize) {
    eprintln!("writing {customers} customers");
    let written = written::write(customers);
    let mut worker = written.worker();
    let clock = WallClock::start();
    let step = |worker: &mut Worker<Client>| worker.step(|| clock.now()).expect("nothing fails");
    eprintln!("restoring them");
    while !worker.status().partitions.first().is_some_and(|partition| partition.is_running) {
        step(&mut worker);
    }
    assert_eq!(worker.status().partitions[0].customers, written.customers, "every customer is back");

    eprintln!("the wake-ups of {} customers are due", written.customers);
    let began = Instant::now();
    let is_over = Arc::new(AtomicBool::new(false));
    let (topic, told) = (Arc::clone(&written.topics.touchpoints), Arc::clone(&is_over));
    let trickle = thread::spawn(move || trickle(&topic, rate, began, &told));
    let (topic, told) = (Arc::clone(&written.topics.transitions), Arc::clone(&is_over));
    let reader = thread::spawn(move || read(&topic, began, &told));
    let mut longest_round = Duration::ZERO;
    let mut drained_at = None;
    let mut looked_at = began;
    while drained_at.is_none_or(|drained: Instant| drained.elapsed() < REST) {
        let round = Instant::now();
        step(&mut worker);
        if drained_at.is_none() {
            longest_round = longest_round.max(round.elapsed());
        }
        // The status counts every customer's stage, so it is not asked for after every round.
        if drained_at.is_none() && looked_at.elapsed() > Duration::from_millis(200) {
            looked_at = Instant::now();
            let status = &worker.status().partitions[0];
            let is_due = status.next_wake_up.zip(status.clock).is_some_and(|(next, clock)| next <= clock);
            if worker.report().tally.wake_ups > 0 && !is_due {
                drained_at = Some(Instant::now());
            }
        }
    }
    is_over.store(true, Ordering::Relaxed);
    trickle.join().expect("the trickle was written");
    let live = reader.join().expect("the transitions were read");
    let drained = drained_at.expect("drained") - began;
    let wake_ups = worker.report().tally.wake_ups;
    let commits = worker.report().commits;
    let published: u64 = worker.report().transitions.values().flat_map(|names| names.values()).sum();
    worker.stop(clock.now()).expect("the worker stops");

    let seconds = drained.as_secs_f64();
    println!(
        "{wake_ups} wake-ups of {customers} customers led to {published} transitions in {seconds:.1} s and {commits} commits, \
         {:.0} wake-ups and {:.0} transitions a second; the longest round took {longest_round:.0?}.",
        wake_ups as f64 / seconds,
        published as f64 / seconds
    );
    println!("| live touchpoints | count | median | 99 % | longest |");
    println!("|---|---|---|---|---|");
    report("while the crowd is worked off", live.iter().filter(|it| it.written_at < drained));
    report("afterwards", live.iter().filter(|it| it.written_at >= drained));
}

fn report<'a>(when: &str, live: impl Iterator<Item = &'a Live>) {
    let mut latencies: Vec<Duration> = live.map(|it| it.latency).collect();
    latencies.sort_unstable();
    let count = latencies.len();
    assert!(count > 0, "no live touchpoint led to anything {when}");
    let (median, high, longest) = (latencies[count / 2], latencies[count * 99 / 100], latencies[count - 1]);
    println!("| {when} | {count} | {median:.0?} | {high:.0?} | {longest:.0?} |");
}

/// Writes `rate` orders a second, each of a new customer whose id tells when it was written.
fn trickle(topic: &str, rate: usize, began: Instant, is_over: &AtomicBool) {
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

fn order(number: usize, began: Instant) -> ToWrite {
    let customer = format!("live-{number}-{}", began.elapsed().as_micros());
    let at = format_timestamp(WallClock::start().now().wall);
    let line = format!(
        r#"{{"event_id":"{customer}","customer_id":"{customer}","type":"order_completed","occurred_at":"{at}","order_id":"{customer}","amount":9.95}}"#
    );
    ToWrite { partition: Some(0), ..ToWrite::keyed(&customer, &line) }
}

/// Reads what is committed as it comes. The crowd's transitions are old news and go to another topic.
fn read(topic: &str, began: Instant, is_over: &AtomicBool) -> Vec<Live> {
    let consumer = broker::reader(topic);
    let mut seen = Vec::new();
    let mut last = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let Some(message) = consumer.poll(Duration::from_millis(20)) else { continue };
        let message = message.expect("reading goes well");
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
