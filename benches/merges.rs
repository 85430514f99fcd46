//! Measures the latency of links and merges between partitions: from writing the command until an independent
//! `read_committed` consumer receives the transition of the customer that has the facts.
//!
//! Runs the service as shipped, on a real broker, with one shipped model. Each customer has one order under its other
//! id before. One command is under way at a time, so the figures are those of an unloaded service. `cargo bench --bench
//! merges -- --help` lists the options; the results are in docs/performance.md.

#[path = "../tests/it/broker.rs"]
mod broker;
#[path = "ceiling/cpu.rs"]
mod cpu;
#[path = "readers/service.rs"]
mod service;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lifecycle_processor::kafka::partitioner::partition_of;
use lifecycle_processor::runtime::WallClock;
use lifecycle_processor::wire::time::format_timestamp;
use rdkafka::consumer::BaseConsumer;
use rdkafka::message::Message;
use rdkafka::producer::BaseProducer;
use serde_json::{Value, json};

use broker::NewRecord;
use service::Service;

const HELP: &str = "\
cargo bench --bench merges -- [options]
  --commands N     number of links, and of merges (default 60)
  --interval MS    only this commit interval (default: 100 and 20)
  --partitions N   partitions of each topic (default 8)
  --workers N      workers of the service (default 2)

LIFECYCLE_TEST_BROKER=host:port selects a running broker; otherwise scripts/kafka starts one.";

/// Commit intervals that are measured, in milliseconds.
const INTERVALS_MS: [u32; 2] = [100, 20];

/// What the service needs.
pub(crate) struct Options {
    pub(crate) partitions: i32,
    pub(crate) workers: u32,
    pub(crate) service: PathBuf,
    /// Further lines of the configuration.
    pub(crate) config: String,
}

fn main() -> ExitCode {
    // `cargo test` runs benches too, without `--bench`: there is nothing to test here.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let (mut commands, mut intervals_ms, mut partitions, mut workers) = (60, INTERVALS_MS.to_vec(), 8, 2);
    let mut rest = arguments.iter().filter(|argument| *argument != "--bench");
    while let Some(name) = rest.next() {
        let value = rest.next().and_then(|value| value.parse().ok()).filter(|&value: &u32| value > 0);
        match (name.as_str(), value) {
            ("--commands", Some(value)) => commands = value as usize,
            ("--interval", Some(value)) => intervals_ms = vec![value],
            // Ids of one partition are never between partitions.
            ("--partitions", Some(value)) if value > 1 => partitions = value.cast_signed(),
            ("--workers", Some(value)) => workers = value,
            _ => {
                println!("{HELP}");
                return ExitCode::from(2);
            }
        }
    }
    println!("| commit interval | command | commands | median | 90 % | longest |");
    println!("|---|---|---|---|---|---|");
    for interval_ms in intervals_ms {
        let options = Options {
            partitions,
            workers,
            service: env!("CARGO_BIN_EXE_lifecycle").into(),
            config: format!(
                "models: [retention]\nidentity: {{enabled: true}}\ncommit: {{interval: {interval_ms}ms}}\n"
            ),
        };
        measure(&options, interval_ms, commands);
    }
    ExitCode::SUCCESS
}

/// Runs the service, sends links and merges one after the other, and prints their latencies.
fn measure(options: &Options, interval_ms: u32, commands: usize) {
    let home = |id: &str| partition_of(id.as_bytes(), options.partitions);
    let mut pairs = (0..)
        .map(|number| (format!("customer-{number}"), format!("other-{number}")))
        .filter(|(customer, other)| home(customer) != home(other));
    let [visitors, customers] = [(); 2].map(|()| pairs.by_ref().take(commands).collect::<Vec<_>>());
    let (topic, producer) = (broker::topic("merges-touchpoints", options.partitions), broker::producer(None));
    let order = |name: &str, id: &str| touchpoint("order_completed", &format!("o-{id}"), id, &[(name, id)]);
    let orders = visitors.iter().map(|(_, visitor)| order("anonymous_id", visitor));
    let orders: Vec<_> = orders.chain(customers.iter().map(|(_, customer)| order("customer_id", customer))).collect();
    broker::write(&producer, &topic, &orders);
    let service = Service::start(&topic, options);
    service.measure();

    let reader = broker::reader(service.transitions());
    for (kind, name, pairs) in
        [("customer_identified", "anonymous_id", &visitors), ("customer_merged", "merged_id", &customers)]
    {
        let mut latencies: Vec<Duration> = pairs
            .iter()
            .map(|(customer, other)| {
                let ids = [("customer_id", customer.as_str()), (name, other.as_str())];
                let command = touchpoint(kind, &format!("c-{other}"), customer, &ids);
                latency(&producer, &topic, &reader, &command, (customer, other))
            })
            .collect();
        latencies.sort_unstable();
        let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_millis();
        println!(
            "| {interval_ms} ms | `{kind}` | {} | {} ms | {} ms | {} ms |",
            latencies.len(),
            at(50),
            at(90),
            at(100)
        );
    }
}

/// Writes the command, and returns the time until the customer has a transition with the facts of the other id.
fn latency(
    producer: &BaseProducer,
    topic: &str,
    reader: &BaseConsumer,
    command: &NewRecord,
    (customer, other): (&str, &str),
) -> Duration {
    let began = Instant::now();
    broker::write(producer, topic, std::slice::from_ref(command));
    loop {
        assert!(began.elapsed() < broker::TIMEOUT, "{customer} has no transition from {other}");
        let Some(message) = reader.poll(Duration::from_millis(100)) else { continue };
        let message = message.expect("a record");
        let transition: Value = serde_json::from_slice(message.payload().unwrap_or_default()).expect("a transition");
        if transition["customer_id"] == customer && transition["merged_from"] == other {
            return began.elapsed();
        }
    }
}

/// Returns a touchpoint that occurs now, with the ids by their names.
fn touchpoint(kind: &str, event_id: &str, key: &str, ids: &[(&str, &str)]) -> NewRecord {
    let at = format_timestamp(WallClock::start().now().wall);
    let mut touchpoint = json!({"event_id": event_id, "type": kind, "occurred_at": at, "amount": 10});
    for (name, id) in ids {
        touchpoint[*name] = (*id).into();
    }
    NewRecord::keyed(key, &touchpoint.to_string())
}
