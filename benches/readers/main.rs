//! What readers of the HTTP API cost the service, and whether one of them ever sees what is not committed.
//!
//! The service as it is shipped works off a topic of generated touchpoints on a real broker, once alone and once while many
//! readers ask about customers, transitions, models and partitions; the pairs are told side by side. A further run, which
//! is not timed, compares every answer with the topic of transitions: what it tells must lie below the last stable offset
//! at the time of the answer. `cargo bench --bench readers -- --help` tells the options; docs/http.md what came out.

#[path = "../../tests/it/broker.rs"]
mod broker;
#[path = "../ceiling/cpu.rs"]
mod cpu;
mod proof;
mod readers;
mod service;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use lifecycle_processor::journeys::{JourneyOptions, Journeys};
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};

use broker::ToWrite;
use readers::Readers;
use service::{Measured, Service};

const HELP: &str = "\
cargo bench --bench readers -- [options]
  --touchpoints N   how many, 1000000 unless told
  --partitions N    of the topics, 8 unless told
  --workers N       of the service, 2 unless told
  --readers N       connections that ask at once, 200 unless told
  --rate N          questions a second of all readers together, 400 unless told
  --pairs N         timed runs with readers and without, 3 unless told; 0 only compares answers
  --service FILE    another build of `lifecycle` than cargo's own
  --compared N      untimed runs in which answers are compared, 1 unless told

LIFECYCLE_TEST_BROKER=host:port names a running broker; else scripts/kafka starts one.";

/// When the first customer appears: far enough back that all touchpoints lie in the past.
const START_MS: i64 = 1_600_000_000_000;
/// How many touchpoints are handed to the producer before it is waited for.
const CHUNK: usize = 50_000;

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) touchpoints: u32,
    pub(crate) partitions: i32,
    pub(crate) workers: u32,
    pub(crate) readers: u32,
    pub(crate) rate: u32,
    pub(crate) service: PathBuf,
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
            let value = value.ok_or_else(|| format!("{name}: a number is missing\n\n{HELP}"))?;
            match name.as_str() {
                "--touchpoints" => options.touchpoints = value,
                "--partitions" => options.partitions = i32::try_from(value).map_err(|error| error.to_string())?,
                "--workers" => options.workers = value,
                "--readers" => options.readers = value.max(1),
                "--rate" => options.rate = value.max(1),
                "--pairs" => options.pairs = value,
                "--compared" => options.compared = value,
                _ => return Err(format!("{name}: no such option\n\n{HELP}")),
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
    let is_sound = (0..options.compared).all(|_| compare(&topic, &customers, &options));
    if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the service alone and with readers, in turns that begin with either.
fn time(topic: &str, customers: &[String], options: &Options) {
    if options.pairs == 0 {
        return;
    }
    println!(
        "| run | readers | touchpoints/s | service: CPU us per touchpoint | questions/s | median, 99 % and worst answer ms | \
         readers: CPU s |"
    );
    println!("|---|---|---|---|---|---|---|");
    let (mut by_wall, mut by_cpu) = (Vec::new(), Vec::new());
    for pair in 1..=options.pairs {
        let mut runs = [None, None];
        // Whoever comes second finds warmer caches.
        let order = if pair % 2 == 1 { [false, true] } else { [true, false] };
        for with_readers in order {
            let service = Service::start(topic, options);
            let readers = with_readers.then(|| Readers::start(service.address(), customers, options, None));
            let own_before = cpu::seconds("self");
            let measured = service.measure();
            let own = cpu::seconds("self") - own_before;
            let asked = readers.map(Readers::stop);
            drop(service);
            report(pair, measured, asked.map(|asked| (asked, own)));
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

fn report(pair: u32, measured: Measured, asked: Option<(readers::Asked, f64)>) {
    let (rate, cpu) = (measured.per_second(), measured.cpu_micros());
    let Some((asked, own)) = asked else {
        println!("| {pair} | none | {rate:.0} | {cpu:.2} | | | |");
        return;
    };
    let [median, high, worst] = asked.latencies_ms();
    println!(
        "| {pair} | {} | {rate:.0} | {cpu:.2} | {:.0} | {median:.1}, {high:.1}, {worst:.1} | {own:.2} |",
        asked.readers,
        asked.per_second()
    );
    for (kind, count) in asked.refusals() {
        println!("  {count} answers were {kind}");
    }
}

/// Lets the readers ask, and compares what they were told with what was committed by then.
fn compare(topic: &str, customers: &[String], options: &Options) -> bool {
    let service = Service::start(topic, options);
    let stable = proof::StableOffsets::watch(service.transitions(), options.partitions);
    let told = proof::Told::default();
    let readers = Readers::start(service.address(), customers, options, Some(told.clone()));
    service.measure();
    let asked = readers.stop();
    let samples = stable.stop();
    let verdict = proof::verdict(&told, &samples, &broker::read_committed(service.transitions()));
    drop(service);
    println!();
    let ahead_ms = |share: usize| {
        let last = verdict.ahead.len().saturating_sub(1);
        verdict.ahead.get(last * share / 100).map_or(0.0, |ahead| ahead.as_secs_f64() * 1e3)
    };
    println!(
        "{} answers compared: {} standings, {} transitions told. {} tell of what was not committed.",
        asked.answers,
        verdict.standings,
        verdict.transitions,
        verdict.uncommitted.len()
    );
    println!(
        "{} were ahead of the markers, by {:.0} ms (median) to {:.0} ms (worst), where the last stable offsets are known every \
         {:.0} ms. {} standings were told as they were, though a change of them was committed 50 to 200 ms later.",
        verdict.ahead.len(),
        ahead_ms(50),
        ahead_ms(100),
        verdict.sample_ms,
        verdict.close
    );
    for what in verdict.uncommitted.iter().take(10) {
        println!("- {what}");
    }
    verdict.uncommitted.is_empty()
}

/// A topic with generated touchpoints, keyed by customer; and the customers.
fn generate(options: &Options) -> (String, Vec<String>) {
    let topic = broker::topic("readers-touchpoints", options.partitions);
    let start = Timestamp::from_millis(START_MS);
    let mut journeys = Journeys::new(JourneyOptions { seed: 1, start, customers_per_day: 2_000.0 });
    let until = start + Duration::from_days(1_000);
    let producer = broker::producer(None);
    let mut customers = BTreeSet::new();
    let mut left = options.touchpoints as usize;
    while left > 0 {
        let touchpoints = std::iter::from_fn(|| journeys.next_by(until)).take(left.min(CHUNK));
        let records: Vec<ToWrite> = touchpoints
            .map(|touchpoint| {
                customers.insert(touchpoint.customer_id.clone());
                ToWrite::keyed(&touchpoint.customer_id, &touchpoint.to_json())
            })
            .collect();
        assert!(!records.is_empty(), "a thousand days have fewer touchpoints than asked for");
        left -= records.len();
        broker::write(&producer, &topic, &records);
    }
    (topic, customers.into_iter().collect())
}
