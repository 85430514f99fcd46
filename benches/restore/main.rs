//! How quickly a partition comes back from its changelog, and how quickly the same changelog can be read at all.
//!
//! Writes the customers of one partition, in all shipped models, to a real broker as the service does. Then, by turns, one worker
//! restores them, and a bare loop reads the same records with the same client and takes them apart into customers, keeping
//! nothing: the ceiling. `cargo bench --bench restore -- --help` tells the options; docs/performance.md what came out.

#[path = "../../tests/it/broker.rs"]
mod broker;
#[path = "../ceiling/cpu.rs"]
mod cpu;
mod written;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use lifecycle_processor::kafka::{Client, Member};
use lifecycle_processor::runtime::{WallClock, Worker};
use lifecycle_processor::wire::changelog::ChangelogDecoder;

use written::{Written, member, write};

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
cargo bench --bench restore -- [options]
  --customers N   in the partition, 1000000 unless told
  --repeats N     runs of either side, 3 unless told

LIFECYCLE_TEST_BROKER=host:port names a running broker; else scripts/kafka starts one.";

/// As the worker reads.
const RECORDS_MAX: usize = 16;
const READ_WAIT: Duration = Duration::from_millis(10);

/// What one run took.
struct Measured {
    wall_seconds: f64,
    thread_seconds: f64,
}

fn main() -> ExitCode {
    // `cargo test` runs benches too, without `--bench`: there is nothing to test here.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let (mut customers, mut repeats) = (1_000_000, 3);
    let mut rest = arguments.iter().filter(|argument| *argument != "--bench");
    while let Some(name) = rest.next() {
        let value = rest.next().and_then(|value| value.parse().ok()).filter(|&value: &usize| value > 0);
        match (name.as_str(), value) {
            ("--customers", Some(value)) => customers = value,
            ("--repeats", Some(value)) => repeats = value,
            _ => {
                eprintln!("{HELP}");
                return ExitCode::from(2);
            }
        }
    }
    measure(customers, repeats);
    ExitCode::SUCCESS
}

fn measure(customers: usize, repeats: usize) {
    eprintln!("writing {customers} customers");
    let written = write(customers);
    println!("| run | side | customers | MB | wall s | customers/s | CPU s of the thread | customers per CPU second |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for run in 1..=repeats {
        let ceiling = read_only(&written);
        report(run, "reading and taking apart", &written, &ceiling);
        let restore = restore(&written);
        report(run, "restore", &written, &restore);
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
fn report(run: usize, side: &str, written: &Written, measured: &Measured) {
    let Measured { wall_seconds, thread_seconds } = measured;
    let customers = written.customers as f64;
    println!(
        "| {run} | {side} | {} | {} | {wall_seconds:.2} | {:.0} | {thread_seconds:.2} | {:.0} |",
        written.customers,
        written.bytes / 1_000_000,
        customers / wall_seconds,
        customers / thread_seconds
    );
}

/// The least that any restore does: reads the changelog and takes it apart.
fn read_only(written: &Written) -> Measured {
    let mut member = member(&written.options);
    let mut decoder = ChangelogDecoder::default();
    let (begin, thread_begin) = (Instant::now(), cpu::seconds("thread-self"));
    member.open_changelog(0, 0).expect("the changelog is opened");
    let mut customers = 0;
    while !member.has_read_changelog_to(0, written.end) {
        for record in member.read_changelog(RECORDS_MAX, READ_WAIT).expect("the changelog is read") {
            let value = record.value.unwrap_or_default();
            customers += decoder.decode(&value).expect("written just now").customers.len();
        }
    }
    let measured = Measured {
        wall_seconds: begin.elapsed().as_secs_f64(),
        thread_seconds: cpu::seconds("thread-self") - thread_begin,
    };
    assert_eq!(customers, written.customers, "every customer was read");
    member.close_changelog(0).expect("the changelog is closed");
    member.leave(broker::PATIENCE);
    measured
}

/// Has a worker restore the partition.
fn restore(written: &Written) -> Measured {
    let mut worker = written.worker();
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
    assert_eq!(status.customers, written.customers, "every customer is back");
    eprintln!("{} bytes of memory for each customer", status.bytes / status.customers);
    worker.stop(clock.now()).expect("the worker stops");
    measured
}
