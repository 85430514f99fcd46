//! `lifecycle demo`: the real service over generated customers and a broker inside the process.

mod screen;

use std::io::{self, IsTerminal, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;

use crate::config::ModelChoice;
use crate::journeys::{JourneyOptions, Journeys};
use crate::kafka::feed::Feed;
use crate::kafka::mock::{MockBroker, Tail};
use crate::kafka::{self, Cluster, Error};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time;
use crate::lifecycle::touchpoint::FactOptions;
use crate::runtime::{self, WallClock};
use crate::service::{Ending, Parts, Service, stop_on_signals};
use crate::telemetry::logging::{self, LogFormat};
use crate::wire::cloud_events::CloudEvents;

use super::Exit;
use screen::Screen;

const TOUCHPOINTS: &str = "touchpoints";
const TRANSITIONS: &str = "lifecycle.transitions";
const CHANGELOG: &str = "lifecycle.changelog";
const DEAD_LETTERS: &str = "lifecycle.dead-letters";
const PARTITIONS: i32 = 4;
/// How often touchpoints are sent.
const TICK: Duration = Duration::from_millis(50);
/// How many transitions are taken from the topic at once.
const READ_MAX: usize = 10_000;
/// Longer than any demo: nothing in it is too old or too new.
const CENTURY: time::Duration = time::Duration::from_days(36_525);
const STATE_BYTES_MAX: usize = 1 << 30;

const EXAMPLES: &str = "\
Examples:
  lifecycle demo
  lifecycle demo --seconds 60 --days-per-second 10
  lifecycle demo --model ./my-model.yaml

Nothing has to be installed: the broker lives inside this process and ends with it.";

/// Watch generated customers move through their lifecycle, on the real service.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct DemoArguments {
    /// Stop after so many seconds [default: at Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// How many days pass in a second
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    days_per_second: u32,
    /// How many customers appear in a day
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    customers_per_day: u32,
    /// Decides everything that is left to chance
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// A shipped model, or a model file; may be repeated [default: all shipped models]
    #[arg(long = "model", value_name = "NAME|FILE")]
    models: Vec<String>,
}

/// Shows the demo.
pub(super) fn run(arguments: &DemoArguments) -> ExitCode {
    let models = match ModelChoice::of(&arguments.models).load(io::stderr().is_terminal()) {
        Ok(models) => Arc::new(models),
        Err(report) => {
            eprintln!("{report}");
            return Exit::Usage.into();
        }
    };
    match show(arguments, &models) {
        Ok(exit) => exit.into(),
        Err(problem) => {
            eprintln!("lifecycle demo: {problem}");
            Exit::Fatal.into()
        }
    }
}

fn show(arguments: &DemoArguments, models: &Arc<ModelSet>) -> Result<Exit, String> {
    logging::start(LogFormat::Text, "error")?;
    let sentence = |error: Error| error.to_string();
    let topics = [(TOUCHPOINTS, PARTITIONS), (CHANGELOG, PARTITIONS), (TRANSITIONS, PARTITIONS), (DEAD_LETTERS, 1)];
    let broker = MockBroker::start(&topics).map_err(sentence)?;
    let cluster = broker.cluster();
    let servers = cluster.bootstrap_servers.clone();
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("http: {error}"))?;
    let address = listener.local_addr().map_err(|error| format!("http: {error}"))?;

    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(Arc::clone(&stop), Exit::Stuck as u8)?;
    let client = kafka::Options::new(&servers, "lifecycle", "demo-0", TOUCHPOINTS, CHANGELOG);
    let parts = Parts {
        models: Arc::clone(models),
        worker: Arc::new(worker_options()),
        clients: vec![client],
        state_bytes_max: STATE_BYTES_MAX,
        http: Some((listener, None)),
        peers: None,
        shutdown_deadline: Duration::from_secs(15),
    };
    let service = Service::start(parts, Arc::clone(&stop))?;
    let mut screen = Screen::new(models, io::stdout().is_terminal());
    Screen::welcome(&servers, &address.to_string(), arguments.days_per_second);
    let shown = feed_and_show(arguments, &cluster, &stop, &mut screen);
    stop.store(true, Ordering::Relaxed);
    match service.wait() {
        Ending::Stopped(_) => {}
        Ending::Fatal(problem) => return Err(problem),
        Ending::Stuck(problem) => {
            eprintln!("lifecycle demo: {problem}");
            std::process::exit(Exit::Stuck as i32);
        }
    }
    match shown {
        Ok(()) => screen.farewell(&mut io::stdout().lock()).map_or(Ok(Exit::Success), |()| Ok(Exit::Success)),
        Err(Failure::Output) => Ok(Exit::Success),
        Err(Failure::Kafka(error)) => Err(error.to_string()),
    }
}

/// Why the show ended before its time.
enum Failure {
    Kafka(Error),
    /// Nobody watches any more.
    Output,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Kafka(error)
    }
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Output
    }
}

fn feed_and_show(
    arguments: &DemoArguments,
    cluster: &Cluster,
    stop: &AtomicBool,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let feed = Feed::connect(cluster)?;
    let tail = Tail::connect(&cluster.bootstrap_servers, TRANSITIONS, PARTITIONS)?;
    // A year ago, so that what is shown bears dates that people have a feeling for.
    let start = WallClock::start().now().wall - time::Duration::from_days(365);
    let customers_per_day = f64::from(arguments.customers_per_day);
    let mut journeys = Journeys::new(JourneyOptions { seed: arguments.seed, start, customers_per_day });
    let begun = Instant::now();
    let mut out = io::stdout().lock();
    let mut seconds = 0;
    while !stop.load(Ordering::Relaxed) {
        let elapsed = begun.elapsed();
        if arguments.seconds.is_some_and(|limit| elapsed.as_secs() >= limit) {
            break;
        }
        let now = start + sped_up(elapsed, arguments.days_per_second);
        while let Some(touchpoint) = journeys.next_by(now) {
            feed.send(TOUCHPOINTS, &touchpoint.customer_id, touchpoint.to_json().as_bytes())?;
            screen.fed();
        }
        feed.poll(Duration::ZERO)?;
        for record in tail.read(READ_MAX, TICK)? {
            screen.transition(&record, &mut out)?;
        }
        if elapsed.as_secs() > seconds {
            seconds = elapsed.as_secs();
            screen.second(now, &mut out)?;
        }
        out.flush()?;
    }
    Ok(())
}

fn sped_up(elapsed: Duration, days_per_second: u32) -> time::Duration {
    let millis = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
    time::Duration::from_millis(millis.saturating_mul(i64::from(days_per_second)).saturating_mul(86_400))
}

fn worker_options() -> runtime::Options {
    let topic = |name: &str| Arc::<str>::from(name);
    runtime::Options {
        topics: runtime::Topics {
            touchpoints: topic(TOUCHPOINTS),
            transitions: topic(TRANSITIONS),
            replay: topic(TRANSITIONS),
            dead_letters: topic(DEAD_LETTERS),
            changelog: topic(CHANGELOG),
        },
        partitions: None,
        clock_source: runtime::ClockSource::Touchpoints,
        max_ahead: CENTURY,
        facts: FactOptions::default(),
        fresh_for: CENTURY,
        commit_interval: Duration::from_millis(100),
        touchpoint_bytes_max: 1 << 20,
        state_bytes_max: STATE_BYTES_MAX,
        // The broker of the demo cannot delete records.
        sweep: runtime::SweepOptions {
            log_bytes_min: u64::MAX,
            period: Duration::MAX,
            ..runtime::SweepOptions::default()
        },
        cloud_events: CloudEvents { source: "/lifecycle/demo".to_owned(), with_subject: false },
    }
}
