//! Compares `lifecycle run` with a bare loop that only consumes, decodes, produces and commits.
//!
//! Both read the same topic of generated touchpoints from the same real broker, with the same number of workers. The
//! bare loop writes as many records and bytes as the service wrote. The result is touchpoints per CPU second of the
//! client; wall time is reported as well. `cargo bench --bench ceiling -- --help` lists the options; the results are
//! in docs/performance.md.

mod bare;
#[path = "../../tests/it/broker.rs"]
mod broker;
mod cpu;
mod service;

use std::process::ExitCode;

use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::workload::{Workload, WorkloadOptions};

use broker::NewRecord;

const HELP: &str = "\
cargo bench --bench ceiling -- [options]
  --touchpoints N   number of touchpoints (default 1000000)
  --partitions N    partitions of each topic (default 8)
  --workers N       threads of each program (default 2)
  --repeats N       runs of each program (default 3)
  --models NAMES    shipped models, separated by commas (default: all)

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
}

impl Options {
    fn from_arguments(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { touchpoints: 1_000_000, partitions: 8, workers: 2, repeats: 3, models: String::new() };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(name) = arguments.next() {
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
    let topic = generate(options);
    println!("| run | program | touchpoints | wall s | CPU s | touchpoints per CPU second |");
    println!("|---|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for run in 1..=options.repeats {
        let (service, service_output) = service::run(&topic, options);
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

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn report(run: usize, program: &str, options: &Options, measured: Measured) {
    let Measured { cpu_seconds, wall_seconds } = measured;
    let rate = options.touchpoints as f64 / cpu_seconds;
    println!("| {run} | {program} | {} | {wall_seconds:.2} | {cpu_seconds:.2} | {rate:.0} |", options.touchpoints);
}

/// Writes generated touchpoints to a topic, keyed by customer.
fn generate(options: &Options) -> String {
    let topic = broker::topic("ceiling-touchpoints", options.partitions);
    let start = Timestamp::from_millis(START_MS);
    let mut workload = Workload::new(WorkloadOptions { seed: 1, start, customers_per_day: 2_000.0 });
    let until = start + Duration::from_days(1_000);
    let producer = broker::producer(None);
    let mut left = options.touchpoints;
    while left > 0 {
        let records: Vec<NewRecord> = std::iter::from_fn(|| workload.next_until(until))
            .take(left.min(CHUNK))
            .map(|touchpoint| NewRecord::keyed(&touchpoint.customer_id, &touchpoint.to_json()))
            .collect();
        assert!(!records.is_empty(), "a thousand days have fewer touchpoints than requested");
        left -= records.len();
        broker::write(&producer, &topic, &records);
    }
    topic
}
