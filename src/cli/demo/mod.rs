//! `lifecycle demo`: the real service over generated customers and a broker inside the process.

mod shop;

use std::io::{self, IsTerminal};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::config::ModelChoice;
use crate::journeys::JourneyOptions;
use crate::kafka::mock::MockBroker;
use crate::kafka::{self, Cluster};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time;
use crate::lifecycle::touchpoint::FactOptions;
use crate::live::client::Client;
use crate::live::terminal;
use crate::runtime::{self, WallClock};
use crate::service::{Ending, Parts, Service, stop_on_signals};
use crate::telemetry::logging::{self, LogFormat};
use crate::wire::cloud_events::CloudEvents;

use super::Exit;
use super::number::whole;
use super::watch::{End, PREFERRED, Watch};
use shop::{Shop, ShopTime};

const TOUCHPOINTS: &str = "touchpoints";
const TRANSITIONS: &str = "lifecycle.transitions";
const CHANGELOG: &str = "lifecycle.changelog";
const DEAD_LETTERS: &str = "lifecycle.dead-letters";
const PARTITIONS: i32 = 4;
/// Longer than any demo: nothing in it is too old or too new.
const CENTURY: time::Duration = time::Duration::from_days(36_525);
const STATE_BYTES_MAX: usize = 1 << 30;

const EXAMPLES: &str = "\
Examples:
  lifecycle demo
  lifecycle demo --seconds 60 --days-per-second 10
  lifecycle demo --model ./my-model.yaml

On a terminal it fills the screen; ? shows the keys. Nothing has to be installed: the broker lives inside this process
and ends with it. Its address, which plain lines begin with, is for consuming only: it is a stand-in that keeps no
positions and is no proof of exactly-once.";

/// Watch generated customers move through their lifecycle, on the real service.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct DemoArguments {
    /// Stop after so many seconds [default: at Ctrl-C]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u64>(1, 86_400))]
    seconds: Option<u64>,
    /// How many days pass in a second
    #[arg(long, value_name = "N", default_value_t = 5, allow_negative_numbers = true, value_parser = whole::<u32>(1, 100))]
    days_per_second: u32,
    /// How many customers appear in a day
    #[arg(long, value_name = "N", default_value_t = 8, allow_negative_numbers = true, value_parser = whole::<u32>(1, 1_000))]
    customers_per_day: u32,
    /// Decides everything that is left to chance
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = whole::<u64>(0, usize::MAX))]
    seed: u64,
    /// A shipped model, or a model file; may be repeated [default: all shipped models]
    #[arg(long = "model", value_name = "NAME|FILE")]
    models: Vec<String>,
    /// Print plain lines, also on a terminal
    #[arg(long)]
    lines: bool,
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
    let fills_screen = Watch::fills_screen(arguments.lines);
    // On a full screen a line of the log would stand somewhere in the picture.
    logging::start(LogFormat::Text, if fills_screen { "off" } else { "error" })?;
    let topics = [(TOUCHPOINTS, PARTITIONS), (CHANGELOG, PARTITIONS), (TRANSITIONS, PARTITIONS), (DEAD_LETTERS, 1)];
    let broker = MockBroker::start(&topics).map_err(|error| error.to_string())?;
    let cluster = broker.cluster();
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("http: {error}"))?;
    let address = listener.local_addr().map_err(|error| format!("http: {error}"))?;

    let over = Arc::new(AtomicBool::new(false));
    stop_on_signals(Arc::clone(&over), Exit::Stuck as u8, terminal::restore)?;
    let service = Service::start(parts(models, &cluster, listener), Arc::clone(&over))?;
    if !fills_screen {
        welcome(&cluster.bootstrap_servers, &address.to_string(), arguments.days_per_second);
    }
    let watch = Watch {
        client: Client::new(&address.to_string(), None)?,
        subject: "lifecycle demo",
        models: shown_first(models),
        fills_screen,
    };
    // A year ago, so that what is shown bears dates that people have a feeling for.
    let start = WallClock::start().now().wall - time::Duration::from_days(365);
    let shop_time = ShopTime::starting(start, arguments.days_per_second);
    let touchpoints = AtomicU64::new(0);
    let customers_per_day = f64::from(arguments.customers_per_day);
    let shop = Shop {
        cluster: &cluster,
        topic: TOUCHPOINTS,
        options: JourneyOptions { seed: arguments.seed, start, customers_per_day },
        time: &shop_time,
        limit: arguments.seconds.map(Duration::from_secs),
        touchpoints: &touchpoints,
    };
    let (end, sent) = thread::scope(|scope| {
        let open = scope.spawn(|| shop.open(&over));
        let end = watch.run(&over, || Some(shop_time.pace()), |wish| shop_time.rule(wish));
        over.store(true, Ordering::Relaxed);
        (end, open.join())
    });
    match service.wait() {
        Ending::Stopped(_) => {}
        Ending::Fatal(problem) => return Err(problem),
        Ending::Stuck(problem) => {
            eprintln!("lifecycle demo: {problem}");
            std::process::exit(Exit::Stuck as i32);
        }
    }
    sent.map_err(|_| "the shop panicked; this is a bug".to_owned())?.map_err(|error| error.to_string())?;
    match end {
        End::Asked(lines) if !fills_screen => drop(lines.farewell(&mut io::stdout().lock())),
        End::Asked(_) => println!("{} touchpoints were sent", touchpoints.load(Ordering::Relaxed)),
        End::Closed => {}
        End::Terminal(error) => return Err(format!("the terminal cannot be used: {error}; --lines does without")),
    }
    Ok(Exit::Success)
}

fn welcome(servers: &str, address: &str, days_per_second: u32) {
    eprintln!("generated customers of a shop, {days_per_second} days a second; Ctrl-C ends the demo");
    eprintln!(
        "kafka at {servers} (topic {TRANSITIONS}, for consuming only), http at http://{address}/v1/customers/customer-00001"
    );
}

/// The models that people understand at once, as far as they run; else all.
fn shown_first(models: &ModelSet) -> Vec<String> {
    let running: Vec<&str> = models.models.iter().map(|model| &*model.name).collect();
    let preferred: Vec<&str> = PREFERRED.into_iter().filter(|name| running.contains(name)).collect();
    let shown = if preferred.is_empty() { running } else { preferred };
    shown.into_iter().map(str::to_owned).collect()
}

fn parts(models: &Arc<ModelSet>, cluster: &Cluster, listener: TcpListener) -> Parts {
    let client = kafka::Options::new(&cluster.bootstrap_servers, "lifecycle", "demo-0", TOUCHPOINTS, CHANGELOG);
    Parts {
        models: Arc::clone(models),
        worker: Arc::new(worker_options()),
        clients: vec![client],
        http: Some((listener, None)),
        peers: None,
        shutdown_deadline: Duration::from_secs(15),
    }
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
