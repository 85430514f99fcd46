//! Measures how HTTP API readers affect the throughput of the service, and checks that responses contain no uncommitted
//! data.
//!
//! The service as shipped processes a topic of generated touchpoints on a real broker, once alone and once while many
//! readers query customers, transitions, models and partitions. A further run, which is not timed, compares every
//! response with the transition topic: its content must be below the last stable offset at the time of the response.
//! `cargo bench --bench readers -- --help` lists the options; the results are in docs/performance.md.

#[path = "../../tests/it/broker.rs"]
mod broker;
mod committed_check;
#[path = "../ceiling/cpu.rs"]
mod cpu;
mod readers;
mod service;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::workload::{Workload, WorkloadOptions};

use broker::NewRecord;
use readers::Readers;
use service::{Measured, Service};

const HELP: &str = "\
cargo bench --bench readers -- [options]
  --touchpoints N   number of touchpoints (default 1000000)
  --partitions N    partitions of each topic (default 8)
  --workers N       workers of the service (default 2)
  --readers N       concurrent connections (default 200)
  --rate N          requests per second of all readers together (default 400)
  --pairs N         pairs of timed runs, with and without readers (default 3); 0 only compares responses
  --service FILE    path of `lifecycle` (default: the build by cargo)
  --compared N      untimed runs that compare responses (default 1)

LIFECYCLE_TEST_BROKER=host:port selects a running broker; otherwise scripts/kafka starts one.";

/// Time of the first touchpoint, long enough ago that all touchpoints are in the past.
const START_MS: i64 = 1_600_000_000_000;
/// Number of touchpoints given to the producer before it is flushed.
const CHUNK: usize = 50_000;

/// Size of the measurement.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) touchpoints: u32,
    pub(crate) partitions: i32,
    pub(crate) workers: u32,
    pub(crate) readers: u32,
    pub(crate) rate: u32,
    pub(crate) service: PathBuf,
    /// Further lines of the configuration.
    pub(crate) config: String,
    pairs: u32,
    compared: u32,
}

impl Options {
    fn from_arguments(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            touchpoints: 1_000_000,
            partitions: 8,
            workers: 2,
            readers: 200,
            rate: 400,
            service: env!("CARGO_BIN_EXE_lifecycle").into(),
            config: "clock: {source: touchpoints}\n".into(),
            pairs: 3,
            compared: 1,
        };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(name) = arguments.next() {
            let value = arguments.next();
            if let ("--service", Some(file)) = (name.as_str(), &value) {
                options.service = file.into();
                continue;
            }
            let value = value.and_then(|value| value.parse::<u32>().ok());
            let value = value.ok_or_else(|| format!("{name}: missing or invalid number\n\n{HELP}"))?;
            match name.as_str() {
                "--touchpoints" => options.touchpoints = value,
                "--partitions" => options.partitions = i32::try_from(value).map_err(|error| error.to_string())?,
                "--workers" => options.workers = value,
                "--readers" => options.readers = value.max(1),
                "--rate" => options.rate = value.max(1),
                "--pairs" => options.pairs = value,
                "--compared" => options.compared = value,
                _ => return Err(format!("{name}: unknown option\n\n{HELP}")),
            }
        }
        Ok(options)
    }
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
    let options = match Options::from_arguments(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    eprintln!("writing {} touchpoints to {} partitions", options.touchpoints, options.partitions);
    let (topic, customers) = generate(&options);
    time(&topic, &customers, &options);
    let is_committed = (0..options.compared).all(|_| compare(&topic, &customers, &options));
    if is_committed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Times the service alone and with readers; the order alternates between pairs.
fn time(topic: &str, customers: &[String], options: &Options) {
    if options.pairs == 0 {
        return;
    }
    println!(
        "| run | readers | touchpoints/s | service: CPU us per touchpoint | requests/s | median, 99 % and maximum response ms | \
         readers: CPU s |"
    );
    println!("|---|---|---|---|---|---|---|");
    let (mut by_wall, mut by_cpu) = (Vec::new(), Vec::new());
    for pair in 1..=options.pairs {
        let mut runs = [None, None];
        // The caches are warmer in the second run of a pair.
        let order = if pair % 2 == 1 { [false, true] } else { [true, false] };
        for with_readers in order {
            let service = Service::start(topic, options);
            let readers = with_readers.then(|| Readers::start(service.address(), customers, options, None));
            let own_before = cpu::seconds("self");
            let measured = service.measure();
            let own = cpu::seconds("self") - own_before;
            let statistics = readers.map(Readers::stop);
            drop(service);
            report(pair, measured, statistics.map(|statistics| (statistics, own)));
            runs[usize::from(with_readers)] = Some(measured);
        }
        if let [Some(alone), Some(read)] = runs {
            by_wall.push(1.0 - read.per_second() / alone.per_second());
            by_cpu.push(read.cpu_micros() / alone.cpu_micros() - 1.0);
        }
    }
    by_wall.sort_by(f64::total_cmp);
    by_cpu.sort_by(f64::total_cmp);
    let percent = |list: &[f64]| {
        let at = |index: usize| 100.0 * list[index];
        format!("median {:.1} %, from {:.1} to {:.1} %", at(list.len() / 2), at(0), at(list.len() - 1))
    };
    println!();
    println!("Throughput is lower by: {}.", percent(&by_wall));
    println!("CPU of the service per touchpoint is higher by: {}.", percent(&by_cpu));
}

fn report(pair: u32, measured: Measured, statistics: Option<(readers::ReaderStatistics, f64)>) {
    let (rate, cpu) = (measured.per_second(), measured.cpu_micros());
    let Some((statistics, own)) = statistics else {
        println!("| {pair} | none | {rate:.0} | {cpu:.2} | | | |");
        return;
    };
    let [median, high, worst] = statistics.latencies_ms();
    println!(
        "| {pair} | {} | {rate:.0} | {cpu:.2} | {:.0} | {median:.1}, {high:.1}, {worst:.1} | {own:.2} |",
        statistics.readers,
        statistics.per_second()
    );
    for (kind, count) in statistics.errors() {
        println!("  {count} responses with status {kind}");
    }
}

/// Runs the service with readers and compares their responses with the transitions committed at that time.
fn compare(topic: &str, customers: &[String], options: &Options) -> bool {
    let service = Service::start(topic, options);
    let stable = committed_check::StableOffsets::watch(service.transitions(), options.partitions);
    let observations = committed_check::Observations::default();
    let readers = Readers::start(service.address(), customers, options, Some(observations.clone()));
    service.measure();
    let statistics = readers.stop();
    let samples = stable.stop();
    let result = committed_check::check(&observations, &samples, &broker::read_committed(service.transitions()));
    drop(service);
    println!();
    let ahead_ms = |share: usize| {
        let last = result.ahead.len().saturating_sub(1);
        result.ahead.get(last * share / 100).map_or(0.0, |ahead| ahead.as_secs_f64() * 1e3)
    };
    println!(
        "{} responses compared: {} standings, {} transitions. {} contained uncommitted data.",
        statistics.responses,
        result.standings,
        result.transitions,
        result.uncommitted.len()
    );
    println!(
        "{} were ahead of the markers, by {:.0} ms (median) to {:.0} ms (maximum); the last stable offsets were sampled every \
         {:.0} ms. {} standings were returned unchanged although their next change was committed 50 to 200 ms later.",
        result.ahead.len(),
        ahead_ms(50),
        ahead_ms(100),
        result.sample_ms,
        result.changed_soon_after
    );
    for what in result.uncommitted.iter().take(10) {
        println!("- {what}");
    }
    result.uncommitted.is_empty()
}

/// Writes generated touchpoints to a topic, keyed by customer; returns the topic and the customers.
fn generate(options: &Options) -> (String, Vec<String>) {
    let topic = broker::topic("readers-touchpoints", options.partitions);
    let start = Timestamp::from_millis(START_MS);
    let mut workload = Workload::new(WorkloadOptions { seed: 1, start, customers_per_day: 2_000.0 });
    let until = start + Duration::from_days(1_000);
    let producer = broker::producer(None);
    let mut customers = BTreeSet::new();
    let mut left = options.touchpoints as usize;
    while left > 0 {
        let touchpoints = std::iter::from_fn(|| workload.next_until(until)).take(left.min(CHUNK));
        let records: Vec<NewRecord> = touchpoints
            .map(|touchpoint| {
                customers.insert(touchpoint.customer_id.clone());
                NewRecord::keyed(&touchpoint.customer_id, &touchpoint.to_json())
            })
            .collect();
        assert!(!records.is_empty(), "a thousand days have fewer touchpoints than requested");
        left -= records.len();
        broker::write(&producer, &topic, &records);
    }
    (topic, customers.into_iter().collect())
}
