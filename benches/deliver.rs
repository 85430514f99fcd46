//! Measures how many transitions one destination delivers per second, in batches to a server on this machine.
//!
//! Writes transitions to a real broker, and lets a worker with its senders deliver all of them as batches of
//! `CloudEvents`. The server reads each request and answers 200; its CPU time is reported separately. Run it on one
//! core with `taskset -c 0`.
//!
//! `cargo bench --bench deliver -- --help` lists the options.

#[path = "restore/arguments.rs"]
mod arguments;
#[path = "../tests/it/broker.rs"]
mod broker;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lifecycle_processor::config::deliver::DeliverConfig;
use lifecycle_processor::deliver::DestinationHandle;
use lifecycle_processor::deliver::worker::{Worker, WorkerOptions};
use lifecycle_processor::kafka::subscriber::SubscriberOptions;
use lifecycle_processor::runtime::WallClock;

use broker::NewRecord;

/// The same allocator as the program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
cargo bench --bench deliver -- [options]
  --transitions N   transitions to deliver (default 200000)
  --batch N         transitions in a request (default 100)
  --concurrency N   requests at the same time (default 4)

LIFECYCLE_TEST_BROKER=host:port selects a running broker; otherwise scripts/kafka starts one.";

/// Microseconds of CPU time of the server's threads that have ended or finished a request.
static SERVER_CPU: AtomicU64 = AtomicU64::new(0);

fn main() -> ExitCode {
    arguments::with_options(
        HELP,
        [("--transitions", 200_000), ("--batch", 100), ("--concurrency", 4)],
        |[transitions, batch, concurrency]| run(transitions, batch, concurrency),
    )
}

fn run(transitions: u64, batch: u64, concurrency: u64) {
    let topic = broker::topic("transitions", 1);
    let producer = broker::producer(None);
    for chunk in (0..transitions).collect::<Vec<_>>().chunks(10_000) {
        let records: Vec<NewRecord> = chunk.iter().map(|number| record(*number)).collect();
        broker::write(&producer, &topic, &records);
    }
    let address = serve();
    let config = format!(
        "kafka: {{bootstrap_servers: \"{}\"}}\ntopics: [{topic}]\ndestinations:\n  bench:\n    webhook: {{url: \"http://{address}/\", \
         format: cloudevents_batch, items_max: {batch}}}\n    allow_private_addresses: true\n    start: earliest\n    \
         concurrency: {concurrency}\n    filter: transition.mode == \"live\" && transition.name == \"at_risk_of_churn\"\n",
        broker::bootstrap()
    );
    let config = DeliverConfig::parse(&config, Path::new("deliver.yaml")).expect("a valid configuration");
    let stop = Arc::new(AtomicBool::new(false));
    let handle = DestinationHandle::new("bench");
    let group = broker::unique("bench");
    let options = WorkerOptions {
        destination: Arc::new(config.destinations[0].destination.clone()),
        subscriber: SubscriberOptions {
            cluster: config.cluster(),
            group_id: group.clone(),
            client_id: group,
            topics: vec![topic],
            session_timeout: Duration::from_secs(10),
        },
        dead_letters: "unused".into(),
        is_redrive: false,
        clock: WallClock::start(),
        stop: Arc::clone(&stop),
        handle: Arc::clone(&handle),
    };
    let worker = Worker::start(options).expect("a worker");
    let running = thread::spawn(move || worker.run());
    while handle.snapshot().delivered == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    let (started, before) = (Instant::now(), handle.snapshot().delivered);
    let (cpu, server) = (cpu_micros("/proc/self/stat"), SERVER_CPU.load(Ordering::Relaxed));
    while handle.snapshot().delivered < transitions {
        thread::sleep(Duration::from_millis(5));
    }
    let (elapsed, delivered) = (started.elapsed().as_secs_f64(), transitions - before);
    let server = SERVER_CPU.load(Ordering::Relaxed) - server;
    let of_process = cpu_micros("/proc/self/stat") - cpu - server;
    stop.store(true, Ordering::Relaxed);
    running.join().expect("no panic").expect("no error");
    let per_second = |seconds: f64| to_float(delivered) / seconds;
    println!("{delivered} transitions in batches of {batch}, {concurrency} at a time: {elapsed:.1} s");
    println!("{:.0} a second", per_second(elapsed));
    println!(
        "{:.0} per second of CPU of the deliverer ({:.1} s; the server used {:.1} s)",
        per_second(to_float(of_process) / 1e6),
        to_float(of_process) / 1e6,
        to_float(server) / 1e6
    );
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn to_float(number: u64) -> f64 {
    number as f64
}

fn record(number: u64) -> NewRecord {
    let customer = format!("customer-{}", number % 50_000);
    let id = format!("6ba7b810-9dad-51d1-80b4-{number:012x}");
    let value = format!(
        "{{\"transition_id\":\"{id}\",\"customer_id\":\"{customer}\",\"model\":\"retention\",\"model_version\":1,\"kind\":\"stage\",\
         \"name\":\"at_risk_of_churn\",\"from\":\"active\",\"to\":\"at_risk\",\"skipped\":[],\"direction\":\"backward\",\
         \"sequence\":3,\"occurred_at\":\"2026-03-01T10:30:00Z\",\"detected_at\":\"2026-03-01T10:30:01Z\",\"cause\":{{\"time\":true}},\
         \"because\":{{\"condition\":\"now >= orders.last + days(60)\",\"values\":{{\"orders.last\":\"2025-12-31T10:30:00Z\"}}}},\
         \"late\":false,\"mode\":\"live\",\"orders\":{{\"count\":3,\"revenue\":\"120.5\",\"currency\":\"EUR\",\
         \"last\":\"2025-12-31T10:30:00Z\"}},\"previous\":{{\"stage\":\"active\",\"since\":\"2025-12-31T10:30:00Z\"}}}}"
    );
    NewRecord::keyed(&customer, &value)
}

/// Starts a server that reads requests with a `Content-Length` and answers 200. Returns its address.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let mut buffer = vec![0; 1 << 20];
    let mut filled = 0;
    let mut spent = 0;
    loop {
        let head_end = loop {
            if let Some(end) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            match stream.read(&mut buffer[filled..]) {
                Ok(0) | Err(_) => return,
                Ok(count) => filled += count,
            }
        };
        let head = String::from_utf8_lossy(&buffer[..head_end]).to_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        let length: usize = length.unwrap_or(0);
        while filled < head_end + length {
            match stream.read(&mut buffer[filled..]) {
                Ok(0) | Err(_) => return,
                Ok(count) => filled += count,
            }
        }
        filled = 0;
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
            return;
        }
        let now = cpu_micros("/proc/thread-self/stat");
        SERVER_CPU.fetch_add(now - spent, Ordering::Relaxed);
        spent = now;
    }
}

/// Returns the CPU time in a file of `/proc`, in microseconds; its resolution is 10 ms.
fn cpu_micros(path: &str) -> u64 {
    let text = std::fs::read_to_string(path).expect("Linux");
    let fields = text.rsplit(") ").next().unwrap_or_default();
    let ticks = fields.split(' ').skip(11).take(2).filter_map(|it| it.parse::<u64>().ok()).sum::<u64>();
    ticks * 10_000
}
