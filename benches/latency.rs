//! Measures the latency from writing a touchpoint until an independent `read_committed` consumer receives its
//! transition, at half of the highest load, with commit intervals of 100 ms and 20 ms; and, separately, the latency
//! from the instant of a wake-up until its transition is received.
//!
//! Runs the service as shipped, on a real broker, with two shipped models and a small model in which a customer who has
//! clicked in an email is idle again after two seconds. The highest load is the throughput of a run over a topic that
//! was written before. Prints memory and latency of each tenth of the time as well, which shows whether they grow;
//! `--rate 2000 --interval 100 --seconds 3600` does so for an hour. `cargo bench --bench latency -- --help` lists the
//! options; the results are in docs/performance.md.

#[path = "../tests/it/broker.rs"]
mod broker;
#[path = "ceiling/cpu.rs"]
mod cpu;
#[path = "readers/service.rs"]
mod service;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lifecycle_processor::runtime::WallClock;
use lifecycle_processor::wire::time::{format_timestamp, parse_timestamp};
use rdkafka::message::Message;
use serde_json::Value;

use broker::NewRecord;
use service::Service;

const HELP: &str = "\
cargo bench --bench latency -- [options]
  --rate N         touchpoints per second (default: half of the measured throughput)
  --seconds N      duration of the measurement of each commit interval (default 60)
  --backlog N      touchpoints of the run that measures the throughput (default 500000)
  --interval MS    only this commit interval (default: 100 and 20)
  --customers N    customers of the load (default 100000)
  --partitions N   partitions of each topic (default 8)
  --workers N      workers of the service (default 2)

LIFECYCLE_TEST_BROKER=host:port selects a running broker; otherwise scripts/kafka starts one.";

/// Commit intervals that are measured, in milliseconds.
const INTERVALS_MS: [u32; 2] = [100, 20];
/// How long the load runs before it is measured.
const WARM_UP: Duration = Duration::from_secs(10);
/// Parts of the measured time, of which memory and latency are printed.
const PARTS: u32 = 10;
/// A model with wake-ups: every customer who clicks in an email is idle two seconds later.
const MODEL: &str = "\
model: attention
version: 1
title: {en: Attention}
description: Shows who has clicked in an email within the last two seconds.
journey: [idle, attentive]
facts:
  clicked_at: last(email_clicked)
stages:
  - stage: attentive
    title: {en: Attentive}
    description: The customer clicked in an email within the last two seconds.
    when: now < clicked_at + seconds(2)
  - stage: idle
    title: {en: Idle}
    description: The customer has not clicked in an email within the last two seconds.
    when: now >= clicked_at + seconds(2)
";

/// What the service needs.
pub(crate) struct Options {
    pub(crate) partitions: i32,
    pub(crate) workers: u32,
    pub(crate) service: PathBuf,
    /// Further lines of the configuration.
    pub(crate) config: String,
}

/// Latencies of received transitions, with the time of their receipt since the start of the load.
#[derive(Default)]
struct Received {
    touchpoints: Vec<(Duration, Duration)>,
    wake_ups: Vec<(Duration, Duration)>,
}

fn main() -> ExitCode {
    // `cargo test` runs benches too, without `--bench`: there is nothing to test here.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let (mut rate, mut seconds, mut backlog, mut partitions, mut workers) = (None, 60, 500_000, 8, 2);
    let mut customers = 100_000;
    let mut intervals_ms = INTERVALS_MS.to_vec();
    let mut rest = arguments.iter().filter(|argument| *argument != "--bench");
    while let Some(name) = rest.next() {
        let value = rest.next().and_then(|value| value.parse().ok()).filter(|&value: &u32| value > 0);
        match (name.as_str(), value) {
            ("--rate", Some(value)) => rate = Some(value as usize),
            ("--seconds", Some(value)) => seconds = value,
            ("--backlog", Some(value)) => backlog = value as usize,
            ("--interval", Some(value)) => intervals_ms = vec![value],
            ("--customers", Some(value)) => customers = value as usize,
            ("--partitions", Some(value)) => partitions = value.cast_signed(),
            ("--workers", Some(value)) => workers = value,
            _ => {
                println!("{HELP}");
                return ExitCode::from(2);
            }
        }
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = folder.path().join("attention.yaml");
    std::fs::write(&model, MODEL).expect("a file can be written");
    let options = |interval_ms: u32| Options {
        partitions,
        workers,
        service: env!("CARGO_BIN_EXE_lifecycle").into(),
        // Without lateness, a wake-up is due at its instant.
        config: format!(
            "models: [retention, loyalty_ladder, \"{}\"]\nclock: {{lateness: 0s}}\ncommit: {{interval: {interval_ms}ms}}\n",
            model.display()
        ),
    };
    let rate = rate.unwrap_or_else(|| highest_rate(&options(INTERVALS_MS[0]), backlog, customers) / 2).max(1);
    println!("| commit interval | touchpoints/s | from | transitions | median | 99 % | 99.9 % | maximum |");
    println!("|---|---|---|---|---|---|---|---|");
    for interval_ms in intervals_ms {
        measure(&options(interval_ms), interval_ms, Load { rate, customers }, Duration::from_secs(seconds.into()));
    }
    ExitCode::SUCCESS
}

/// Returns the touchpoints per second that the service processes if all of them are already written.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "thousands per second")]
fn highest_rate(options: &Options, backlog: usize, customers: usize) -> usize {
    let topic = broker::topic("latency-backlog", options.partitions);
    let producer = broker::producer(None);
    let began = Instant::now();
    for first in (0..backlog).step_by(50_000) {
        let records: Vec<_> =
            (first..backlog.min(first + 50_000)).map(|number| touchpoint(number, customers, began)).collect();
        broker::write(&producer, &topic, &records);
    }
    let rate = Service::start(&topic, options).measure().per_second();
    eprintln!("highest load: {rate:.0} touchpoints per second");
    rate as usize
}

/// A constant load.
#[derive(Clone, Copy)]
struct Load {
    /// Touchpoints per second.
    rate: usize,
    /// The customers that send them in turns.
    customers: usize,
}

/// Runs the service under a constant load, and prints the latencies.
fn measure(options: &Options, interval_ms: u32, load: Load, duration: Duration) {
    let rate = load.rate;
    let topic = broker::topic("latency-touchpoints", options.partitions);
    let service = Service::start(&topic, options);
    let (began, is_over) = (Instant::now(), AtomicBool::new(false));
    let (mut received, mut memory) = (Received::default(), Vec::new());
    thread::scope(|scope| {
        scope.spawn(|| write_load(&topic, load, began, &is_over));
        let reader = scope.spawn(|| read(service.transitions(), began, &is_over));
        thread::sleep(WARM_UP);
        for _ in 0..PARTS {
            thread::sleep(duration / PARTS);
            memory.push((resident_kb(service.id()), state_kb(service.address())));
        }
        is_over.store(true, Ordering::Relaxed);
        received = reader.join().expect("the transitions are read");
    });
    for (from, latencies) in
        [("the touchpoint was written", &received.touchpoints), ("a wake-up was due", &received.wake_ups)]
    {
        let sorted = between(latencies, WARM_UP, Duration::MAX);
        assert!(sorted.len() > 1_000, "enough transitions for a quantile of 99.9 %");
        println!(
            "| {interval_ms} ms | {rate} | {from} | {} | {} ms | {} ms | {} ms | {} ms |",
            sorted.len(),
            quantile(&sorted, 500),
            quantile(&sorted, 990),
            quantile(&sorted, 999),
            quantile(&sorted, 1_000)
        );
    }
    eprintln!(
        "part of the time, memory of the service at its end, its customers in it, median and 99 % of touchpoints:"
    );
    for (part, (resident_kb, state_kb)) in (0..PARTS).zip(memory) {
        let start = WARM_UP + duration / PARTS * part;
        let sorted = between(&received.touchpoints, start, start + duration / PARTS);
        if !sorted.is_empty() {
            let (median, high) = (quantile(&sorted, 500), quantile(&sorted, 990));
            eprintln!("{:>3}/{PARTS} {resident_kb} kB, {state_kb} kB, {median} ms, {high} ms", part + 1);
        }
    }
}

/// Returns the latencies of what was received in a part of the time, sorted.
fn between(latencies: &[(Duration, Duration)], start: Duration, end: Duration) -> Vec<Duration> {
    let mut sorted: Vec<Duration> =
        latencies.iter().filter(|(at, _)| (start..end).contains(at)).map(|(_, latency)| *latency).collect();
    sorted.sort_unstable();
    sorted
}

/// Returns the latency, in milliseconds, that `share` of a thousand do not exceed.
fn quantile(sorted: &[Duration], share: usize) -> u128 {
    sorted[(sorted.len() - 1) * share / 1_000].as_millis()
}

/// Writes the load until it is over.
fn write_load(topic: &str, Load { rate, customers }: Load, began: Instant, is_over: &AtomicBool) {
    let producer = broker::producer(None);
    let mut written = 0;
    while !is_over.load(Ordering::Relaxed) {
        let due = usize::try_from(began.elapsed().as_millis()).expect("a short run") * rate / 1000;
        let records: Vec<_> = (written..due).map(|number| touchpoint(number, customers, began)).collect();
        broker::enqueue(&producer, topic, &records);
        written = due;
        thread::sleep(Duration::from_millis(5));
    }
    broker::flush(&producer);
}

/// Returns a touchpoint whose event id contains the time of writing. One in ten is an order, one in ten a click.
fn touchpoint(number: usize, customers: usize, began: Instant) -> NewRecord {
    let (customer, at) = (number % customers, format_timestamp(WallClock::start().now().wall));
    let (kind, more) = match (number / customers + number) % 10 {
        0 => ("order_completed", format!(r#","order_id":"o-{number}","amount":9.95"#)),
        1 => ("email_clicked", String::new()),
        _ => ("product_viewed", String::new()),
    };
    let micros = began.elapsed().as_micros();
    let line = format!(
        r#"{{"event_id":"{number}-{micros}","customer_id":"customer-{customer:06}","type":"{kind}","occurred_at":"{at}"{more}}}"#
    );
    NewRecord::keyed(&format!("customer-{customer:06}"), &line)
}

/// Reads the committed transitions as they arrive.
fn read(topic: &str, began: Instant, is_over: &AtomicBool) -> Received {
    let (consumer, clock) = (broker::reader(topic), WallClock::start());
    let mut received = Received::default();
    while !is_over.load(Ordering::Relaxed) {
        let Some(message) = consumer.poll(Duration::from_millis(20)) else { continue };
        let (now, wall) = (began.elapsed(), clock.now().wall);
        let message = message.expect("a record");
        let transition: Value = serde_json::from_slice(message.payload().unwrap_or_default()).expect("a transition");
        if let Some(event_id) = transition["cause"]["event_id"].as_str() {
            let micros = event_id.rsplit('-').next().and_then(|it| it.parse().ok()).expect("a time");
            received.touchpoints.push((now, now.saturating_sub(Duration::from_micros(micros))));
        } else {
            let due = transition["occurred_at"].as_str().and_then(|it| parse_timestamp(it).ok()).expect("an instant");
            let latency = u64::try_from(wall.as_millis() - due.as_millis()).unwrap_or_default();
            received.wake_ups.push((now, Duration::from_millis(latency)));
        }
    }
    received
}

/// Returns the memory of all customers, in kB, as the service reports it.
fn state_kb(address: &str) -> u64 {
    let mut stream = TcpStream::connect(address).expect("the service listens");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("a request");
    let mut metrics = String::new();
    stream.read_to_string(&mut metrics).expect("an answer");
    let lines = metrics.lines().filter(|line| line.starts_with("lifecycle_partition_state_bytes{"));
    let bytes = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    bytes.sum::<u64>() / 1024
}

/// Returns the resident memory of a process, in kB.
fn resident_kb(id: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a running process on Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the resident size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
