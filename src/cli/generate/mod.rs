//! `lifecycle generate`: touchpoints of a made-up shop, to a file, standard output or Kafka.
//!
//! What is generated depends on the options alone: the same seed gives the same bytes, unless touchpoints are to bear
//! the time at which they are sent.

mod output;
mod pace;
mod progress;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use crate::journeys::{Delivery, Faults, JourneyOptions, Journeys};
use crate::lifecycle::money::Currency;
use crate::lifecycle::time::{self, Timestamp};
use crate::runtime::WallClock;
use crate::service::stop_on_signals;
use crate::wire::time::{parse_duration, parse_timestamp};

use super::Exit;
use super::fact_arguments::parse_currency;
use super::number::whole;
use output::{Failure, Output};
use pace::{Pace, Pacer};
use progress::Progress;

/// How many touchpoints are made between two looks at the clock.
const CHUNK: u64 = 1_000;
/// How long a paced load rests between two looks at the clock.
const REST: Duration = Duration::from_millis(20);
/// How many days are generated where nothing else sets an end.
const DAYS: u32 = 365;
/// How many customers appear in a day where nothing else tells.
const CUSTOMERS_PER_DAY: f64 = 10.0;
/// Later than anything that is generated.
const NEVER: Timestamp = Timestamp::from_millis(i64::MAX / 4);

const PAST_THE_YEARS: &str =
    "touchpoints can bear the years 1 to 9999: let --start and --days, or what else sets the end, keep within them";

const EXAMPLES: &str = "\
Examples:
  lifecycle generate --customers 1000 --days 365 > touchpoints.ndjson
  lifecycle generate --touchpoints 1000000 --seed 7 --duplicates 0.01 --late 0.05 --bad 0.001 --output shop.ndjson
  lifecycle generate --bootstrap-servers localhost:9092 --topic touchpoints --rate 500 --live
  lifecycle generate --config lifecycle.yaml --start now --speed 1d --customers-per-day 200 --seconds 60

--rate and --speed make a load that goes on until --seconds, --touchpoints, --days or Ctrl-C end it.
The same options give the same bytes, except with --live and --start now.";

/// Generate touchpoints of a made-up shop: to a file, or to Kafka as a load
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct GenerateArguments {
    /// How many customers appear in all [default: as many as come in the time]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u64>(1, 1_000_000_000))]
    customers: Option<u64>,
    /// How many customers appear in a day [default: 10; with --customers and --days so many as fill them]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_rate)]
    customers_per_day: Option<f64>,
    /// How many days pass for the customers [default: 365, unless something else sets an end]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u32>(1, 100_000))]
    days: Option<u32>,
    /// Stop after so many touchpoints
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u64>(1, 1_000_000_000_000))]
    touchpoints: Option<u64>,
    /// When the first customer appears: an instant, `now`, or how long ago
    #[arg(long, value_name = "TIME", default_value = "2025-01-01T00:00:00Z", value_parser = parse_start)]
    start: Start,
    /// Decides everything that is left to chance
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = whole::<u64>(0, usize::MAX))]
    seed: u64,
    /// What amounts are in
    #[arg(long, value_name = "CODE", default_value = "USD", value_parser = parse_currency)]
    currency: Currency,

    /// The share of touchpoints that come twice
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true, value_parser = parse_share, help_heading = "Faults")]
    duplicates: f64,
    /// The share of touchpoints that come late, and so out of order
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true, value_parser = parse_share, help_heading = "Faults")]
    late: f64,
    /// How late touchpoints come, and repetitions after the first, at most
    #[arg(long, value_name = "LENGTH", default_value = "1m", value_parser = parse_length, help_heading = "Faults")]
    late_by: time::Duration,
    /// For which share of touchpoints a broken record comes beside them
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true, value_parser = parse_share, help_heading = "Faults")]
    bad: f64,

    /// Send so many touchpoints a second
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_rate, conflicts_with = "speed", help_heading = "Load")]
    rate: Option<f64>,
    /// Let touchpoints occur when they are sent, in place of the customers' own time
    #[arg(long, requires = "rate", conflicts_with = "days", help_heading = "Load")]
    live: bool,
    /// Send touchpoints when they occur, so much time passing in a second: `1s` is as life goes, `1d` a day a second
    #[arg(long, value_name = "LENGTH", value_parser = parse_speed, help_heading = "Load")]
    speed: Option<time::Duration>,
    /// Stop after so many seconds
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u64>(1, 86_400_000), help_heading = "Load")]
    seconds: Option<u64>,

    /// Write to this file [default: standard output, unless Kafka is named]
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["bootstrap_servers", "config"], help_heading = "Output")]
    output: Option<PathBuf>,
    /// Write to Kafka: brokers to begin with, `host:port`, comma-separated
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "config", help_heading = "Output")]
    bootstrap_servers: Option<String>,
    /// Write to the Kafka and the topic of this configuration of the service
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    config: Option<PathBuf>,
    /// The topic that is written to [default: that of the configuration, else `touchpoints`]
    #[arg(long, value_name = "NAME", help_heading = "Output")]
    topic: Option<String>,
}

/// When the first customer appears.
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

    /// How many days are generated; `None` for as long as there are customers.
    fn days(&self) -> Option<u32> {
        let ends_otherwise = self.touchpoints.is_some()
            || self.pace() != Pace::Unbounded
            || self.customers_per_day.is_some() && self.customers.is_some();
        self.days.or_else(|| (!ends_otherwise).then_some(DAYS))
    }

    #[expect(clippy::cast_precision_loss, reason = "customers are fewer than 2^52")]
    fn customers_per_day(&self) -> f64 {
        let filling = || {
            let customers = self.customers? as f64;
            // Chance makes some late: they all come before the days are over, or nearly always.
            let share_of_days = 1.0 - (2.0 / customers.sqrt()).min(0.5);
            Some(customers / (f64::from(self.days()?) * share_of_days))
        };
        self.customers_per_day.or_else(filling).unwrap_or(CUSTOMERS_PER_DAY)
    }

    fn faults(&self) -> Faults {
        Faults { seed: self.seed, duplicates: self.duplicates, late: self.late, late_by: self.late_by, bad: self.bad }
    }
}

/// Generates.
pub(super) fn run(arguments: &GenerateArguments) -> ExitCode {
    match generate(arguments) {
        Ok(()) | Err(Failure::Closed) => Exit::Success.into(),
        Err(failure) => {
            let (exit, problem) = failure.told();
            if !problem.is_empty() {
                eprintln!("lifecycle generate: {problem}");
            }
            exit.into()
        }
    }
}

fn generate(arguments: &GenerateArguments) -> Result<(), Failure> {
    let start = match arguments.start {
        Start::At(instant) => instant,
        Start::Ago(length) => WallClock::start().now().wall - length,
    };
    let until = arguments.days().map_or(NEVER, |days| start + time::Duration::from_days(i64::from(days)));
    if start < Timestamp::MIN || until < NEVER && until > Timestamp::MAX {
        return Err(Failure::Usage(PAST_THE_YEARS.to_owned()));
    }
    let mut output = Output::open(arguments)?;
    let clock = WallClock::start();
    let stop = Arc::new(AtomicBool::new(false));
    // To a pipe a signal may end the process as it ends others; a topic is left in order.
    if output.is_kafka() {
        stop_on_signals(Arc::clone(&stop), Exit::Stuck as u8, || ()).map_err(Failure::Usage)?;
    }
    let options = JourneyOptions { seed: arguments.seed, start, customers_per_day: arguments.customers_per_day() };
    // What depends on the time of day is another load each time: its ids must not look like repetitions of an earlier one.
    let is_of_now = arguments.live || matches!(arguments.start, Start::Ago(_));
    let tag = if is_of_now { format!("{:x}-", clock.now().wall.as_millis() / 1_000) } else { String::new() };
    let journeys = Journeys::new(options).limited_to(arguments.customers.unwrap_or(u64::MAX)).tagged(tag);
    let delivery = Delivery::new(arguments.faults(), arguments.currency.as_str());
    let mut progress = Progress::new(arguments, output.is_watched());
    let mut load = Load { journeys, delivery, until, left: arguments.touchpoints.unwrap_or(u64::MAX), made: 0 };
    let pacer = Pacer::new(arguments.pace(), start);
    let mut now = start;
    loop {
        let moment = clock.now();
        if stop.load(Ordering::Relaxed) || arguments.seconds.is_some_and(|limit| moment.elapsed.as_secs() >= limit) {
            break;
        }
        let share = pacer.share(moment.elapsed, load.made);
        let stamp = arguments.live.then_some(moment.wall);
        now = load.make(share.touchpoints.min(CHUNK), share.until, stamp, &mut output)?.unwrap_or(now);
        progress.made(load.made, load.journeys.customers(), now, moment.elapsed);
        if load.is_over() {
            break;
        }
        if share.touchpoints <= CHUNK && pacer.is_paced() {
            output.rest(REST)?;
        }
    }
    load.finish(&mut output)?;
    let written = output.finish()?;
    progress.finish(load.made, load.journeys.customers(), written, clock.now().elapsed);
    Ok(())
}

/// The journeys and the way of their touchpoints to the output.
struct Load {
    journeys: Journeys,
    delivery: Delivery,
    until: Timestamp,
    /// How many touchpoints may still be made.
    left: u64,
    made: u64,
}

impl Load {
    /// Makes touchpoints, `count` at most, that occur by `until`; with a `stamp` they occur then. Returns when the last one did.
    fn make(
        &mut self,
        count: u64,
        until: Timestamp,
        stamp: Option<Timestamp>,
        output: &mut Output,
    ) -> Result<Option<Timestamp>, Failure> {
        let mut last = None;
        for _ in 0..count.min(self.left) {
            let Some(mut touchpoint) = self.journeys.next_by(until.min(self.until)) else { break };
            touchpoint.occurred_at = stamp.unwrap_or(touchpoint.occurred_at);
            if touchpoint.occurred_at > Timestamp::MAX {
                return Err(Failure::Usage(PAST_THE_YEARS.to_owned()));
            }
            self.delivery.take(&touchpoint);
            self.made += 1;
            self.left -= 1;
            last = Some(touchpoint.occurred_at);
            self.deliver(touchpoint.occurred_at, output)?;
        }
        // What is late comes when its time has come, whether anything new happens or not.
        let reached = stamp.unwrap_or(until);
        if reached < NEVER {
            self.deliver(reached, output)?;
        }
        Ok(last)
    }

    fn deliver(&mut self, until: Timestamp, output: &mut Output) -> Result<(), Failure> {
        while let Some(record) = self.delivery.due(until) {
            output.write(&record)?;
        }
        Ok(())
    }

    /// Whether there is nothing more to make.
    fn is_over(&self) -> bool {
        self.left == 0 || self.journeys.next_time().is_none_or(|next| next > self.until)
    }

    fn finish(&mut self, output: &mut Output) -> Result<(), Failure> {
        self.deliver(NEVER, output)
    }
}

fn parse_start(text: &str) -> Result<Start, String> {
    if text == "now" {
        return Ok(Start::Ago(time::Duration::ZERO));
    }
    if let Ok(length) = parse_duration(text) {
        return Ok(Start::Ago(length));
    }
    parse_timestamp(text)
        .map(Start::At)
        .map_err(|_| "write an instant such as 2026-01-31T00:00:00Z, `now`, or how long ago, such as 365d".to_owned())
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "write a share from 0 to 1, such as 0.05".to_owned())
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=10_000_000.0).contains(rate));
    rate.ok_or_else(|| "write a number from 0.001 to 10000000".to_owned())
}

fn parse_length(text: &str) -> Result<time::Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

fn parse_speed(text: &str) -> Result<time::Duration, String> {
    let speed = parse_length(text)?;
    let allowed = time::Duration::from_millis(1)..=time::Duration::from_days(365);
    if allowed.contains(&speed) { Ok(speed) } else { Err("write a length from 1ms to 365d".to_owned()) }
}
