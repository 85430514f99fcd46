//! Compares `lifecycle run` with a bare loop that only consumes, decodes, produces and commits.
//!
//! Both read the same topic of generated touchpoints from the same real broker, with the same number of workers. The
//! bare loop writes as many records and bytes as the service wrote. The result is touchpoints per CPU second of the
//! client; wall time is reported as well. With `--mapped`, the service is compared with itself instead: over the same
//! touchpoints as Segment calls, which it maps and writes to the topic of touchpoints first. With `--links`, it is
//! compared with itself with identity resolution, over the same touchpoints and with links in a tenth of them. `cargo
//! bench --bench ceiling -- --help` lists the options; the results are in docs/performance.md.

mod bare;
#[path = "../../tests/it/broker.rs"]
mod broker;
mod cpu;
mod service;

use std::process::ExitCode;

use lifecycle_processor::kafka::partitioner::partition_of;
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::workload::{Workload, WorkloadOptions};
use serde_json::{Map, Value, json};

use broker::NewRecord;
use service::Input;

const HELP: &str = "\
cargo bench --bench ceiling -- [options]
  --touchpoints N   number of touchpoints (default 1000000)
  --partitions N    partitions of each topic (default 8)
  --workers N       threads of each program (default 2)
  --repeats N       runs of each program (default 3)
  --models NAMES    shipped models, separated by commas (default: all)
  --mapped          compare Segment calls, re-keyed and read directly, with native touchpoints
  --links           compare identity resolution, without and with links, with the service without it

LIFECYCLE_TEST_BROKER=host:port selects a running broker; otherwise scripts/kafka starts one.";

/// Time of the first touchpoint, long enough ago that all touchpoints are in the past.
const START_MS: i64 = 1_600_000_000_000;
/// Number of touchpoints given to the producer before it is flushed.
const CHUNK: usize = 50_000;

/// Size of the measurement.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) touchpoints: usize,
    pub(crate) partitions: i32,
    pub(crate) workers: usize,
    pub(crate) repeats: usize,
    /// Names of the models that the service runs, separated by commas; empty for all.
    pub(crate) models: String,
    /// Whether a source of Segment calls is measured instead of the bare loop.
    pub(crate) is_mapped: bool,
    /// Whether identity resolution is measured instead of the bare loop.
    pub(crate) has_links: bool,
}

impl Options {
    fn from_arguments(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            touchpoints: 1_000_000,
            partitions: 8,
            workers: 2,
            repeats: 3,
            models: String::new(),
            is_mapped: false,
            has_links: false,
        };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--mapped" => options.is_mapped = true,
                "--links" => options.has_links = true,
                _ => {}
            }
            if matches!(name.as_str(), "--mapped" | "--links") {
                continue;
            }
            let value = arguments.next();
            if let ("--models", Some(models)) = (name.as_str(), &value) {
                options.models.clone_from(models);
                continue;
            }
            let value = value.and_then(|value| value.parse::<u32>().ok()).filter(|&value| value > 0);
            let value = value.ok_or_else(|| format!("{name}: expected a number above 0\n\n{HELP}"))?;
            match name.as_str() {
                "--touchpoints" => options.touchpoints = value as usize,
                "--partitions" => options.partitions = i32::try_from(value).map_err(|error| error.to_string())?,
                "--workers" => options.workers = value as usize,
                "--repeats" => options.repeats = value as usize,
                _ => return Err(format!("{name}: unknown option\n\n{HELP}")),
            }
        }
        Ok(options)
    }
}

/// Result of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) cpu_seconds: f64,
    pub(crate) wall_seconds: f64,
}

/// Records that the service wrote. The bare loop writes them too, so that volume and compression ratio are the same.
#[derive(Clone, Debug)]
pub(crate) struct ServiceOutput {
    /// The value of every transition.
    pub(crate) transitions: Vec<Vec<u8>>,
    /// The values of all changelog records, concatenated.
    pub(crate) changelog: Vec<u8>,
}

fn main() -> ExitCode {
    // `cargo test` runs benches too, without `--bench`: there is nothing to test here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    if std::env::args().any(|argument| argument == "--help") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match Options::from_arguments(std::env::args().skip(1)) {
        Ok(options) => measure(&options),
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn measure(options: &Options) {
    eprintln!("writing {} touchpoints to {} partitions", options.touchpoints, options.partitions);
    let topic = generate("ceiling-touchpoints", options, NewRecord::keyed);
    if options.is_mapped {
        return measure_mapped(&topic, options);
    }
    if options.has_links {
        return measure_links(&topic, options);
    }
    println!("| run | program | touchpoints | wall s | CPU s | touchpoints per CPU second |");
    println!("|---|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for run in 1..=options.repeats {
        let (service, service_output) = service::run(&topic, Input::Native, options);
        report(run, "`lifecycle run`", options, service);
        let bare = bare::run(&topic, options, &service_output);
        report(run, "bare loop", options, bare);
        eprintln!(
            "{} transitions, changelog of {} bytes",
            service_output.transitions.len(),
            service_output.changelog.len()
        );
        ratios.push(bare.cpu_seconds / service.cpu_seconds);
    }
    ratios.sort_by(f64::total_cmp);
    println!();
    println!(
        "Ratio of touchpoints per CPU second, service to bare loop: median {:.2}, from {:.2} to {:.2}.",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1]
    );
}

/// Compares a source of Segment calls, re-keyed and read directly, with native touchpoints.
fn measure_mapped(topic: &str, options: &Options) {
    let form = |customer: &str, json: &str| NewRecord::keyed(customer, &segment_call(json));
    let calls = generate("ceiling-calls", options, form);
    let native = Program { name: "native touchpoints", topic, input: Input::Native };
    let rekeyed = Program { name: "Segment calls, re-keyed", topic: &calls, input: Input::Rekeyed };
    let direct = Program { name: "Segment calls, read directly", topic: &calls, input: Input::Direct };
    compare(native, [rekeyed, direct], options);
}

/// Compares the service with itself with identity resolution: over the same touchpoints, and with links.
fn measure_links(topic: &str, options: &Options) {
    let linked = generate("ceiling-linked", options, linked);
    let without = Program { name: "no identity resolution", topic, input: Input::Native };
    let unlinked = Program { name: "identity resolution, no links", topic, input: Input::Identified };
    let linked = Program { name: "identity resolution, links", topic: &linked, input: Input::Identified };
    compare(without, [unlinked, linked], options);
}

/// The service over a topic.
#[derive(Clone, Copy)]
struct Program<'a> {
    name: &'a str,
    topic: &'a str,
    input: Input,
}

/// Compares the service over other inputs with that over the input of `baseline`.
fn compare(baseline: Program<'_>, others: [Program<'_>; 2], options: &Options) {
    println!("| run | service | touchpoints | wall s | CPU s | touchpoints per CPU second |");
    println!("|---|---|---|---|---|---|");
    let run_once = |run: usize, program: Program<'_>| {
        let (measured, output) = service::run(program.topic, program.input, options);
        report(run, program.name, options, measured);
        let is_merge = |transition: &&Vec<u8>| transition.windows(13).any(|text| text == b"\"merged_into\"");
        let merges = output.transitions.iter().filter(is_merge).count();
        eprintln!("{} transitions, {merges} of them of visitors that became customers", output.transitions.len());
        measured
    };
    let mut ratios = others.map(|_| (Vec::new(), Vec::new()));
    for run in 1..=options.repeats {
        let base = run_once(run, baseline);
        for (program, (by_cpu, by_wall)) in others.into_iter().zip(&mut ratios) {
            let measured = run_once(run, program);
            by_cpu.push(base.cpu_seconds / measured.cpu_seconds);
            by_wall.push(base.wall_seconds / measured.wall_seconds);
        }
    }
    for (program, (by_cpu, by_wall)) in others.into_iter().zip(ratios) {
        println!();
        println!(
            "Ratio of {} to {}: per CPU second {by_cpu:.2?}, per second {by_wall:.2?}.",
            program.name, baseline.name
        );
    }
}

/// Returns a touchpoint; one in ten links one of two visitors to its customer, and one in ten is of such a visitor.
fn linked(customer: &str, json: &str) -> NewRecord {
    let mut touchpoint: Value = serde_json::from_str(json).expect("a touchpoint is JSON");
    let event_id = touchpoint["event_id"].as_str().expect("an id");
    let visitor = format!("{customer}-device-{}", partition_of(format!("{event_id}?").as_bytes(), 2));
    let part = partition_of(event_id.as_bytes(), 10);
    if part > 1 {
        return NewRecord::keyed(customer, json);
    }
    touchpoint["anonymous_id"] = visitor.as_str().into();
    if part == 1 {
        touchpoint.as_object_mut().expect("an object").remove("customer_id");
        return NewRecord::keyed(&visitor, &touchpoint.to_string());
    }
    NewRecord::keyed(customer, &touchpoint.to_string())
}

/// Returns a touchpoint as a call of Segment's library for browsers, which the preset maps back.
fn segment_call(touchpoint: &str) -> String {
    let touchpoint: Value = serde_json::from_str(touchpoint).expect("a touchpoint is JSON");
    let words = touchpoint["type"].as_str().expect("a type").split('_');
    let words: Vec<_> = words.map(|word| word[..1].to_uppercase() + &word[1..]).collect();
    let mut properties = Map::new();
    for (name, value) in touchpoint["properties"].as_object().into_iter().flatten() {
        let name = match name.as_str() {
            "product" => "name",
            "campaign" => "campaign_name",
            "channel" => "share_via",
            other => other,
        };
        properties.insert(name.to_owned(), value.clone());
    }
    for (name, field) in [("order_id", "order_id"), ("total", "amount"), ("currency", "currency")] {
        if let Some(value) = touchpoint.get(field) {
            properties.insert(name.to_owned(), value.clone());
        }
    }
    json!({
        "type": "track", "event": words.join(" "), "messageId": touchpoint["event_id"], "userId": touchpoint["customer_id"],
        "anonymousId": "23adfd82-aa0f-45a7-a756-24f2a7a4c895", "timestamp": touchpoint["occurred_at"],
        "context": {
            "ip": "192.0.2.1", "library": {"name": "analytics.js", "version": "next-1.51.2"}, "locale": "en-GB",
            "page": {"path": "/p1", "title": "Cup", "url": "https://shop.example/p1"},
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0",
        },
        "properties": properties,
    })
    .to_string()
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn report(run: usize, program: &str, options: &Options, measured: Measured) {
    let Measured { cpu_seconds, wall_seconds } = measured;
    let rate = options.touchpoints as f64 / cpu_seconds;
    println!("| {run} | {program} | {} | {wall_seconds:.2} | {cpu_seconds:.2} | {rate:.0} |", options.touchpoints);
}

/// Writes generated touchpoints to a topic, each as `form` makes it of its customer and JSON.
fn generate(name: &str, options: &Options, form: impl Fn(&str, &str) -> NewRecord) -> String {
    let topic = broker::topic(name, options.partitions);
    let start = Timestamp::from_millis(START_MS);
    let mut workload = Workload::new(WorkloadOptions { seed: 1, start, customers_per_day: 2_000.0 });
    let until = start + Duration::from_days(1_000);
    let producer = broker::producer(None);
    let mut left = options.touchpoints;
    while left > 0 {
        let records: Vec<NewRecord> = std::iter::from_fn(|| workload.next_until(until))
            .take(left.min(CHUNK))
            .map(|touchpoint| form(&touchpoint.customer_id, &touchpoint.to_json()))
            .collect();
        assert!(!records.is_empty(), "a thousand days have fewer touchpoints than requested");
        left -= records.len();
        broker::write(&producer, &topic, &records);
    }
    topic
}
