//! Measures how fast a partition is restored from its changelog, compared with only reading the changelog.
//!
//! Writes the customers of one partition, with all shipped models, to a real broker as the service does. Then one
//! worker restores them, and a loop reads and decodes the same records with the same client without storing anything,
//! in turns. The loop is the upper bound. `cargo bench --bench restore -- --help` lists the options; the results are in
//! docs/performance.md.

mod arguments;
#[path = "../../tests/it/broker.rs"]
mod broker;
#[path = "../ceiling/cpu.rs"]
mod cpu;
mod prepared_changelog;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use lifecycle_processor::kafka::{Client, Member};
use lifecycle_processor::runtime::{WallClock, Worker};
use lifecycle_processor::wire::changelog::ChangelogDecoder;

use prepared_changelog::{PreparedChangelog, member, write};

/// The same allocator as the program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
cargo bench --bench restore -- [options]
  --customers N   customers in the partition (default 1000000)
  --repeats N     runs of restore and of reading (default 3)

LIFECYCLE_TEST_BROKER=host:port selects a running broker; otherwise scripts/kafka starts one.";

/// The worker's limits per step (`runtime::restore`).
const RECORDS_MAX: usize = 16;
const READ_TIMEOUT: Duration = Duration::from_millis(10);

/// Result of one run.
struct Measured {
    wall_seconds: f64,
    thread_seconds: f64,
}

fn main() -> ExitCode {
    arguments::with_options(HELP, [("--customers", 1_000_000), ("--repeats", 3)], |[customers, repeats]| {
        measure(customers, repeats);
    })
}

fn measure(customers: usize, repeats: usize) {
    eprintln!("writing {customers} customers");
    let prepared = write(customers);
    println!(
        "| run | operation | customers | MB | wall s | customers/s | CPU s of the thread | customers per CPU second |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for run in 1..=repeats {
        let ceiling = read_only(&prepared);
        report(run, "reading and decoding", &prepared, &ceiling);
        let restore = restore(&prepared);
        report(run, "restore", &prepared, &restore);
        ratios.push(ceiling.wall_seconds / restore.wall_seconds);
    }
    ratios.sort_by(f64::total_cmp);
    println!();
    println!(
        "Ratio of customers per second, restore to reading: median {:.2}, from {:.2} to {:.2}.",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1]
    );
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn report(run: usize, operation: &str, prepared: &PreparedChangelog, measured: &Measured) {
    let Measured { wall_seconds, thread_seconds } = measured;
    let customers = prepared.customers as f64;
    println!(
        "| {run} | {operation} | {} | {} | {wall_seconds:.2} | {:.0} | {thread_seconds:.2} | {:.0} |",
        prepared.customers,
        prepared.bytes / 1_000_000,
        customers / wall_seconds,
        customers / thread_seconds
    );
}

/// Reads and decodes the changelog without storing anything.
fn read_only(prepared: &PreparedChangelog) -> Measured {
    let mut member = member(&prepared.options);
    let mut decoder = ChangelogDecoder::default();
    let (begin, thread_begin) = (Instant::now(), cpu::seconds("thread-self"));
    member.open_changelog(0, 0).expect("the changelog is opened");
    let mut customers = 0;
    while !member.has_read_changelog_to(0, prepared.end) {
        for record in member.read_changelog(RECORDS_MAX, READ_TIMEOUT).expect("the changelog is read") {
            let value = record.value.unwrap_or_default();
            customers += decoder.decode(&value).expect("a valid record").customers.len();
        }
    }
    let measured = Measured {
        wall_seconds: begin.elapsed().as_secs_f64(),
        thread_seconds: cpu::seconds("thread-self") - thread_begin,
    };
    assert_eq!(customers, prepared.customers, "every customer was read");
    member.close_changelog(0).expect("the changelog is closed");
    member.leave(broker::TIMEOUT);
    measured
}

/// Lets a worker restore the partition.
fn restore(prepared: &PreparedChangelog) -> Measured {
    let mut worker = prepared.worker();
    let clock = WallClock::start();
    let step = |worker: &mut Worker<Client>| worker.step(|| clock.now()).expect("nothing fails");
    while worker.status().partitions.iter().all(|partition| partition.restore.is_none()) {
        step(&mut worker);
    }
    let (begin, thread_begin) = (Instant::now(), cpu::seconds("thread-self"));
    while !worker.status().partitions.iter().all(|partition| partition.is_running) {
        step(&mut worker);
    }
    let measured = Measured {
        wall_seconds: begin.elapsed().as_secs_f64(),
        thread_seconds: cpu::seconds("thread-self") - thread_begin,
    };
    let status = &worker.status().partitions[0];
    assert_eq!(status.customers, prepared.customers, "every customer is restored");
    eprintln!("{} bytes of memory for each customer", status.bytes / status.customers);
    worker.stop(clock.now()).expect("the worker stops");
    measured
}
