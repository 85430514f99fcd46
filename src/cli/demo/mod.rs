//! `lifecycle demo`: runs the real service on generated touchpoints, with an in-process mock broker instead of Kafka.
//!
//! Everything except the broker is what `lifecycle run` uses: the service, the HTTP API, and the view of `lifecycle
//! top`.

mod load_generator;

use std::io::{self, IsTerminal};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::api::Listeners;
use crate::config::ModelChoice;
use crate::kafka::tools::mock_broker::MockBroker;
use crate::kafka::{self, Cluster, exit_process};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time;
use crate::lifecycle::touchpoint::FactOptions;
use crate::live::client::Client;
use crate::runtime::{self, PublishOptions, WallClock};
use crate::service::{ExitReason, Service, ServiceOptions, stop_on_signals};
use crate::telemetry::logging::{self, LogFormat};
use crate::wire::cloud_events::{CloudEvents, HeaderDetail};
use crate::workload::{OwnTypes, WorkloadOptions};

use super::number::whole_number_in;
use super::watch::{PREFERRED_MODELS, Watch, WatchEnd};
use super::{Exit, print, print_error};
use load_generator::{LoadGenerator, SimulatedClock};

const TOUCHPOINTS: &str = "touchpoints";
const TRANSITIONS: &str = "lifecycle.transitions";
const CHANGELOG: &str = "lifecycle.changelog";
const DEAD_LETTERS: &str = "lifecycle.dead-letters";
const PARTITIONS: i32 = 4;
/// Longer than any demo, so that no touchpoint is too far in the future and no transition is published as a replay.
const CENTURY: time::Duration = time::Duration::from_days(36_525);
const STATE_BYTES_MAX: usize = 1 << 30;

const EXAMPLES: &str = "\
Examples:
  lifecycle demo
  lifecycle demo --seconds 60 --days-per-second 10
  lifecycle demo --model ./my-model.yaml

On a terminal the demo fills the screen; press ? for the keys. It needs no Kafka: a mock broker runs inside this process.

With --lines it prints the address of the mock broker first. This broker is for consuming only: it stores no offsets, so \
the demo does not demonstrate exactly-once.";

/// Watch generated customers move through their lifecycle; needs no Kafka
///
/// Runs the real service on touchpoints of a simulated shop, in fast-forward, and shows how many customers are in each
/// stage and which transitions are published.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct DemoArguments {
    /// Stop after this many seconds [default: run until Ctrl-C]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole_number_in::<u64>(1, 86_400))]
    seconds: Option<u64>,
    /// Simulated days per second
    #[arg(long, value_name = "N", default_value_t = 5, allow_negative_numbers = true, value_parser = whole_number_in::<u32>(1, 100))]
    days_per_second: u32,
    /// New customers per simulated day
    #[arg(long, value_name = "N", default_value_t = 8, allow_negative_numbers = true, value_parser = whole_number_in::<u32>(1, 1_000))]
    customers_per_day: u32,
    /// Seed of the random generator; the same seed gives the same customers
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = whole_number_in::<u64>(0, usize::MAX))]
    seed: u64,
    /// Shipped model or model file to run. Touchpoint types that only a file reads are sent at random. Can be repeated
    /// [default: all shipped models]
    #[arg(long = "model", value_name = "NAME|FILE")]
    models: Vec<String>,
    /// Print plain lines instead of filling the terminal
    #[arg(long)]
    lines: bool,
}

/// Loads the models and runs the demo.
pub(super) fn run(arguments: &DemoArguments) -> ExitCode {
    let models = match ModelChoice::of(&arguments.models).load(io::stderr().is_terminal()) {
        Ok(models) => Arc::new(models),
        Err(report) => {
            print_error(&report);
            return Exit::Usage.into();
        }
    };
    match run_demo(arguments, &models) {
        Ok(exit) => exit.into(),
        Err(problem) => {
            print_error(format_args!("lifecycle demo: {problem}"));
            Exit::Fatal.into()
        }
    }
}

fn run_demo(arguments: &DemoArguments, models: &Arc<ModelSet>) -> Result<Exit, String> {
    let is_full_screen = Watch::is_full_screen(arguments.lines);
    // Log lines would corrupt the full-screen view.
    logging::start(LogFormat::Text, if is_full_screen { "off" } else { "error" })?;
    let topics = [(TOUCHPOINTS, PARTITIONS), (CHANGELOG, PARTITIONS), (TRANSITIONS, PARTITIONS), (DEAD_LETTERS, 1)];
    let broker = MockBroker::start(&topics).map_err(|error| error.to_string())?;
    let cluster = broker.cluster();
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("http: {error}"))?;
    let address = listener.local_addr().map_err(|error| format!("http: {error}"))?;

    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(Arc::clone(&stop), Exit::Stuck as u8, Watch::restore(is_full_screen))?;
    let service = Service::start(service_options(models, &cluster, listener), Arc::clone(&stop))?;
    let has_files = ModelChoice::of(&arguments.models).has_files();
    let own_types = if has_files { OwnTypes::of(models) } else { OwnTypes::default() };
    if !is_full_screen {
        if let Some(notice) = own_types.notice() {
            print_error(notice);
        }
        print_banner(&cluster.bootstrap_servers, &address.to_string(), arguments.days_per_second);
    }
    let watch = Watch {
        client: Client::new(&address.to_string(), None, None)?,
        title: "lifecycle demo",
        models: models_to_show(models),
        is_full_screen,
    };
    // Simulated time starts one year ago, so that the demo shows plausible dates.
    let start = WallClock::start().now().wall - time::Duration::from_days(365);
    let clock = SimulatedClock::starting(start, arguments.days_per_second);
    let touchpoints = AtomicU64::new(0);
    let customers_per_day = f64::from(arguments.customers_per_day);
    let load = LoadGenerator {
        cluster: &cluster,
        topic: TOUCHPOINTS,
        options: WorkloadOptions { seed: arguments.seed, start, customers_per_day },
        own_types: &own_types,
        clock: &clock,
        limit: arguments.seconds.map(Duration::from_secs),
        touchpoints: &touchpoints,
    };
    let (end, sent) = thread::scope(|scope| {
        let generator = scope.spawn(|| load.run(&stop));
        let end = watch.run(&stop, || Some(clock.status()), |action| clock.apply(action));
        stop.store(true, Ordering::Relaxed);
        (end, generator.join())
    });
    match service.wait() {
        ExitReason::Stopped(_) => {}
        ExitReason::Failed(failure) => return Err(failure.finding().to_string()),
        ExitReason::Stuck(problem) => {
            print_error(format_args!("lifecycle demo: {problem}"));
            exit_process(Exit::Stuck as u8);
        }
    }
    sent.map_err(|_| "the load generator panicked; this is a bug".to_owned())?.map_err(|error| error.to_string())?;
    match end {
        WatchEnd::Stopped(lines) if !is_full_screen => drop(lines.print_totals(&mut io::stdout().lock())),
        WatchEnd::Stopped(_) => {
            return Ok(print(&format!("{} touchpoints were sent\n", touchpoints.load(Ordering::Relaxed))));
        }
        WatchEnd::ReaderClosed => {}
        WatchEnd::Terminal(error) => return Err(format!("cannot use the terminal: {error}; try --lines")),
    }
    Ok(Exit::Success)
}

fn print_banner(servers: &str, address: &str, days_per_second: u32) {
    print_error(format_args!(
        "generated customers of a simulated shop, {days_per_second} days per second; Ctrl-C ends the demo"
    ));
    print_error(format_args!(
        "kafka at {servers} (topic {TRANSITIONS}, for consuming only), http at http://{address}/v1/customers/customer-00001"
    ));
}

/// Returns the models of `PREFERRED_MODELS` that run, or all models if none of these runs.
fn models_to_show(models: &ModelSet) -> Vec<String> {
    let running: Vec<&str> = models.models.iter().map(|model| &*model.name).collect();
    let preferred: Vec<&str> = PREFERRED_MODELS.into_iter().filter(|name| running.contains(name)).collect();
    let shown = if preferred.is_empty() { running } else { preferred };
    shown.into_iter().map(str::to_owned).collect()
}

fn service_options(models: &Arc<ModelSet>, cluster: &Cluster, listener: TcpListener) -> ServiceOptions {
    let client = kafka::Options::new(&cluster.bootstrap_servers, "lifecycle", "demo-0", TOUCHPOINTS, CHANGELOG);
    ServiceOptions {
        models: Arc::clone(models),
        worker: Arc::new(worker_options()),
        clients: vec![client],
        ingest: None,
        deliver: None,
        http: Some((Listeners { api: listener, tls: None, probes: None }, None)),
        peers: None,
        tracing: None,
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
        // The mock broker cannot delete records, so the changelog is never truncated.
        sweep: runtime::SweepOptions {
            log_bytes_min: u64::MAX,
            period: Duration::MAX,
            ..runtime::SweepOptions::default()
        },
        cloud_events: CloudEvents {
            source: "/lifecycle/demo".to_owned(),
            with_subject: false,
            detail: HeaderDetail::Full,
        },
        publish: PublishOptions::default(),
        identity: None,
        direct: None,
    }
}
