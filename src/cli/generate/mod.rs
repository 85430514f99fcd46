//! `lifecycle generate`: writes touchpoints of a simulated shop to a file, standard output or Kafka.
//!
//! The output is deterministic: the same options, including the seed, give the same bytes. The exceptions are `--live`
//! and a `--start` relative to now, which depend on the current time.

mod output;
mod pace;
mod progress;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use crate::config::ModelChoice;
use crate::lifecycle::money::Currency;
use crate::lifecycle::time::{self, Timestamp};
use crate::runtime::WallClock;
use crate::service::stop_on_signals;
use crate::wire::time::{parse_duration, parse_timestamp};
use crate::workload::{FaultInjector, Faults, OwnTypes, Workload, WorkloadOptions};

use super::number::whole_number_in;
use super::touchpoint_arguments::parse_currency;
use super::{Exit, print_error};
use output::{Failure, Output};
use pace::{Pace, Pacer};
use progress::Progress;

/// How many touchpoints are generated before the time and the stop flag are checked again.
const CHUNK: u64 = 1_000;
/// How long a paced load sleeps when it is ahead of its pace.
const PAUSE: Duration = Duration::from_millis(20);
/// Number of days to generate if no other option sets an end.
const DEFAULT_DAYS: u32 = 365;
/// New customers per day if no option determines their number.
const DEFAULT_CUSTOMERS_PER_DAY: f64 = 10.0;
/// Later than every generated touchpoint: no limit on the event time.
const UNLIMITED: Timestamp = Timestamp::from_millis(i64::MAX / 4);

const YEAR_OUT_OF_RANGE: &str =
    "touchpoints must be in the years 1 to 9999: change --start, --days or the option that sets the end";

const EXAMPLES: &str = "\
Examples:
  lifecycle generate --customers 1000 --days 365 > touchpoints.ndjson
  lifecycle generate --touchpoints 1000000 --seed 7 --duplicates 0.01 --late 0.05 --bad 0.001 --output shop.ndjson
  lifecycle generate --bootstrap-servers localhost:9092 --topic touchpoints --rate 500 --live
  lifecycle generate --model ./my-model.yaml --customers 100 > touchpoints.ndjson
  lifecycle generate --config lifecycle.yaml --start now --speed 1d --customers-per-day 200 --seconds 60

--rate and --speed generate a continuous load, until --seconds, --touchpoints, --days or Ctrl-C ends it.
The same options give the same bytes, except with --live or a --start relative to now.";

/// Generate touchpoints of a simulated shop, into a file or a Kafka topic
///
/// By default writes one year of touchpoints to standard output, one JSON object per line. For load tests, --rate
/// limits the touchpoints per second, and --speed sends each touchpoint at its event time, in fast-forward.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct GenerateArguments {
    /// Total number of customers [default: as many as appear in the given time]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole_number_in::<u64>(1, 1_000_000_000))]
    customers: Option<u64>,
    /// New customers per simulated day [default: 10; with --customers, derived from --days]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_rate)]
    customers_per_day: Option<f64>,
    /// Start of the ids of customers, orders and touchpoints, so that several loads of one topic have customers of
    /// their own [default: customer- for customers]
    #[arg(long, value_name = "TEXT", value_parser = parse_prefix)]
    id_prefix: Option<String>,
    /// Number of simulated days [default: 365, unless another option sets an end]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole_number_in::<u32>(1, 100_000))]
    days: Option<u32>,
    /// Stop after this many touchpoints
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole_number_in::<u64>(1, 1_000_000_000_000))]
    touchpoints: Option<u64>,
    /// Start of simulated time: an RFC 3339 instant, `now`, or a duration before now, such as 365d
    #[arg(long, value_name = "TIME", default_value = "2025-01-01T00:00:00Z", value_parser = parse_start)]
    start: Start,
    /// Seed of the random generator; the same seed gives the same touchpoints
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = whole_number_in::<u64>(0, usize::MAX))]
    seed: u64,
    /// Currency of amounts [default: that of the configuration, otherwise USD]
    #[arg(long, value_name = "CODE", value_parser = parse_currency)]
    currency: Option<Currency>,
    /// Also send the touchpoint types of this model that the shop does not know, at random times. Can be repeated
    #[arg(long = "model", value_name = "NAME|FILE")]
    models: Vec<String>,

    /// Fraction of touchpoints that are delivered twice
    #[arg(long, value_name = "FRACTION", default_value_t = 0.0, allow_negative_numbers = true, value_parser = parse_fraction, help_heading = "Faults")]
    duplicates: f64,
    /// Fraction of touchpoints that are delivered late, and therefore out of order
    #[arg(long, value_name = "FRACTION", default_value_t = 0.0, allow_negative_numbers = true, value_parser = parse_fraction, help_heading = "Faults")]
    late: f64,
    /// Maximum delay of late touchpoints and of duplicates
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_any_duration, help_heading = "Faults")]
    late_by: time::Duration,
    /// Number of additional invalid records, as a fraction of the touchpoints
    #[arg(long, value_name = "FRACTION", default_value_t = 0.0, allow_negative_numbers = true, value_parser = parse_fraction, help_heading = "Faults")]
    bad: f64,

    /// Touchpoints per second
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_rate, conflicts_with = "speed", help_heading = "Load")]
    rate: Option<f64>,
    /// Use the time of sending as event time, instead of simulated time
    #[arg(long, requires = "rate", conflicts_with = "days", help_heading = "Load")]
    live: bool,
    /// Send touchpoints at their event time, at this much simulated time per second: 1s is real time, 1d is one day per
    /// second
    #[arg(long, value_name = "DURATION", value_parser = parse_speed, help_heading = "Load")]
    speed: Option<time::Duration>,
    /// Stop after this many seconds
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole_number_in::<u64>(1, 86_400_000), help_heading = "Load")]
    seconds: Option<u64>,

    /// Write to this file [default: standard output, unless an option selects Kafka]
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["bootstrap_servers", "config"], help_heading = "Output")]
    output: Option<PathBuf>,
    /// Write to Kafka: bootstrap servers as host:port, comma-separated
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "config", help_heading = "Output")]
    bootstrap_servers: Option<String>,
    /// Write to the Kafka cluster and touchpoint topic of this service configuration
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    config: Option<PathBuf>,
    /// Kafka topic [default: the touchpoint topic of the configuration, otherwise `touchpoints`]
    #[arg(long, value_name = "NAME", help_heading = "Output")]
    topic: Option<String>,
}

/// Start of simulated time: an instant, or a duration before now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Start {
    At(Timestamp),
    Ago(time::Duration),
}

impl GenerateArguments {
    fn pace(&self) -> Pace {
        match (self.rate, self.speed) {
            (Some(rate), _) => Pace::Rate(rate),
            (None, Some(speed)) => Pace::Speed(speed),
            (None, None) => Pace::Unbounded,
        }
    }

    /// Returns the number of days to generate; `None` if another option sets the end.
    fn days(&self) -> Option<u32> {
        let has_other_end = self.touchpoints.is_some()
            || self.pace() != Pace::Unbounded
            || self.customers_per_day.is_some() && self.customers.is_some();
        self.days.or_else(|| (!has_other_end).then_some(DEFAULT_DAYS))
    }

    #[expect(clippy::cast_precision_loss, reason = "customers are fewer than 2^52")]
    fn customers_per_day(&self) -> f64 {
        let derived = || {
            let customers = self.customers? as f64;
            // Arrival times are random. Planning the arrivals for a shorter period makes it very likely that all
            // customers arrive within the given days.
            let fraction_of_days = 1.0 - (2.0 / customers.sqrt()).min(0.5);
            Some(customers / (f64::from(self.days()?) * fraction_of_days))
        };
        self.customers_per_day.or_else(derived).unwrap_or(DEFAULT_CUSTOMERS_PER_DAY)
    }

    fn faults(&self) -> Faults {
        Faults { seed: self.seed, duplicates: self.duplicates, late: self.late, late_by: self.late_by, bad: self.bad }
    }
}

/// Generates touchpoints until an option or a signal ends it.
pub(super) fn run(arguments: &GenerateArguments) -> ExitCode {
    match generate(arguments) {
        Ok(()) | Err(Failure::ReaderClosed) => Exit::Success.into(),
        Err(failure) => {
            let (exit, problem) = failure.exit_and_message();
            if !problem.is_empty() {
                print_error(format_args!("lifecycle generate: {problem}"));
            }
            exit.into()
        }
    }
}

fn generate(arguments: &GenerateArguments) -> Result<(), Failure> {
    let start = match arguments.start {
        Start::At(instant) => instant,
        Start::Ago(duration) => WallClock::start().now().wall - duration,
    };
    let until = arguments.days().map_or(UNLIMITED, |days| start + time::Duration::from_days(i64::from(days)));
    if start < Timestamp::MIN || until < UNLIMITED && until > Timestamp::MAX {
        return Err(Failure::Usage(YEAR_OUT_OF_RANGE.to_owned()));
    }
    let own_types = own_types(arguments)?;
    let (mut output, currency) = Output::open(arguments)?;
    let currency = arguments.currency.or(currency).map_or("USD".to_owned(), |currency| currency.as_str().to_owned());
    let clock = WallClock::start();
    let stop = Arc::new(AtomicBool::new(false));
    // A signal may interrupt writing to a file or a pipe, but the Kafka producer must be flushed first.
    if output.is_kafka() {
        stop_on_signals(Arc::clone(&stop), Exit::Stuck as u8, || ()).map_err(Failure::Usage)?;
    }
    let options = WorkloadOptions { seed: arguments.seed, start, customers_per_day: arguments.customers_per_day() };
    // A load that depends on the current time differs on every run. The prefix makes its ids unique, because the
    // service would discard ids of an earlier run as duplicates.
    let depends_on_now = arguments.live || matches!(arguments.start, Start::Ago(_));
    let mut id_prefix = arguments.id_prefix.clone().unwrap_or_default();
    if depends_on_now {
        id_prefix = format!("{id_prefix}{:x}-", clock.now().wall.as_millis() / 1_000);
    }
    let mut workload =
        Workload::new(options).with_customer_limit(arguments.customers.unwrap_or(u64::MAX)).with_id_prefix(id_prefix);
    if let Some(prefix) = &arguments.id_prefix {
        workload = workload.with_customer_prefix(prefix.clone());
    }
    let workload = workload.with_own_types(own_types);
    let faults = FaultInjector::new(arguments.faults(), &currency);
    let mut progress = Progress::new(arguments, output.is_terminal());
    let mut load = Load { workload, faults, until, remaining: arguments.touchpoints.unwrap_or(u64::MAX), generated: 0 };
    let pacer = Pacer::new(arguments.pace(), start);
    let mut now = start;
    loop {
        let moment = clock.now();
        if stop.load(Ordering::Relaxed) || arguments.seconds.is_some_and(|limit| moment.elapsed.as_secs() >= limit) {
            break;
        }
        let quota = pacer.quota(moment.elapsed, load.generated);
        let fixed_event_time = arguments.live.then_some(moment.wall);
        now = load.generate(quota.touchpoints.min(CHUNK), quota.until, fixed_event_time, &mut output)?.unwrap_or(now);
        progress.update(load.generated, load.workload.customers(), now, moment.elapsed);
        if load.is_over() {
            break;
        }
        if quota.touchpoints <= CHUNK && pacer.is_paced() {
            output.pause(PAUSE)?;
        }
    }
    load.finish(&mut output)?;
    let written = output.finish()?;
    progress.finish(load.generated, load.workload.customers(), written, clock.now().elapsed);
    Ok(())
}

/// Returns the types that the models of the arguments read beyond those of the shop, and prints them.
fn own_types(arguments: &GenerateArguments) -> Result<OwnTypes, Failure> {
    if arguments.models.is_empty() {
        return Ok(OwnTypes::default());
    }
    let models = ModelChoice::of(&arguments.models).load(io::stderr().is_terminal());
    let models = models.map_err(|report| Failure::Usage(format!("\n{report}")))?;
    let own_types = OwnTypes::of(&models);
    if let Some(notice) = own_types.notice() {
        print_error(format_args!("lifecycle generate: {notice}"));
    }
    Ok(own_types)
}

/// A workload, the faults added to it, and the limits of generation.
struct Load {
    workload: Workload,
    faults: FaultInjector,
    until: Timestamp,
    /// Number of touchpoints that may still be generated.
    remaining: u64,
    generated: u64,
}

impl Load {
    /// Generates and delivers up to `count` touchpoints with event times up to `until`. `fixed_event_time` replaces the
    /// event time of each. Returns the event time of the last one.
    fn generate(
        &mut self,
        count: u64,
        until: Timestamp,
        fixed_event_time: Option<Timestamp>,
        output: &mut Output,
    ) -> Result<Option<Timestamp>, Failure> {
        let mut last = None;
        for _ in 0..count.min(self.remaining) {
            let Some(mut touchpoint) = self.workload.next_until(until.min(self.until)) else { break };
            touchpoint.occurred_at = fixed_event_time.unwrap_or(touchpoint.occurred_at);
            if touchpoint.occurred_at > Timestamp::MAX {
                return Err(Failure::Usage(YEAR_OUT_OF_RANGE.to_owned()));
            }
            self.faults.add(&touchpoint);
            self.generated += 1;
            self.remaining -= 1;
            last = Some(touchpoint.occurred_at);
            self.deliver(touchpoint.occurred_at, output)?;
        }
        // Delivers late touchpoints that are due, even if no new touchpoint was generated.
        let stream_time = fixed_event_time.unwrap_or(until);
        if stream_time < UNLIMITED {
            self.deliver(stream_time, output)?;
        }
        Ok(last)
    }

    /// Writes everything that is due by `until`.
    fn deliver(&mut self, until: Timestamp, output: &mut Output) -> Result<(), Failure> {
        while let Some(record) = self.faults.next_until(until) {
            output.write(&record)?;
        }
        Ok(())
    }

    /// Returns whether everything has been generated.
    fn is_over(&self) -> bool {
        self.remaining == 0 || self.workload.next_time().is_none_or(|next| next > self.until)
    }

    fn finish(&mut self, output: &mut Output) -> Result<(), Failure> {
        self.deliver(UNLIMITED, output)
    }
}

fn parse_start(text: &str) -> Result<Start, String> {
    if text == "now" {
        return Ok(Start::Ago(time::Duration::ZERO));
    }
    if let Ok(duration) = parse_duration(text) {
        return Ok(Start::Ago(duration));
    }
    parse_timestamp(text).map(Start::At).map_err(|_| {
        "write an instant such as 2026-01-31T00:00:00Z, `now`, or a duration before now, such as 365d".to_owned()
    })
}

fn parse_fraction(text: &str) -> Result<f64, String> {
    let fraction = text.parse().ok().filter(|fraction| (0.0..=1.0).contains(fraction));
    fraction.ok_or_else(|| "write a fraction from 0 to 1, such as 0.05".to_owned())
}

fn parse_prefix(text: &str) -> Result<String, String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err("write 1 to 64 letters, digits, `-`, `_`, `.` or `:`, such as north-".to_owned())
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=10_000_000.0).contains(rate));
    rate.ok_or_else(|| "write a number from 0.001 to 10000000".to_owned())
}

fn parse_any_duration(text: &str) -> Result<time::Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

fn parse_speed(text: &str) -> Result<time::Duration, String> {
    let speed = parse_any_duration(text)?;
    let allowed = time::Duration::from_millis(1)..=time::Duration::from_days(365);
    if allowed.contains(&speed) { Ok(speed) } else { Err("write a duration from 1ms to 365d".to_owned()) }
}
