//! How quickly a partition comes back from its changelog, and how quickly the same changelog can be read at all.
//!
//! Writes the customers of one partition, in all shipped models, to a real broker as the service does. Then, by turns, one worker
//! restores them, and a bare loop reads the same records with the same client and takes them apart into customers, keeping
//! nothing: the ceiling. `cargo bench --bench restore -- --help` tells the options; docs/performance.md what came out.

#[path = "../tests/it/broker.rs"]
mod broker;
#[path = "ceiling/cpu.rs"]
mod cpu;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use lifecycle_processor::kafka::{self, Client, Event, Member, Outgoing, PartitionOffset};
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time::{self, Timestamp};
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::partition::{Clock, Effects, Input, Partition};
use lifecycle_processor::runtime::{ClockSource, Options, SweepOptions, Topics, WallClock, Worker};
use lifecycle_processor::wire::changelog::{self, ChangelogDecoder};
use lifecycle_processor::wire::cloud_events::CloudEvents;
use lifecycle_processor::wire::model_file;
use lifecycle_processor::wire::offset_metadata::OffsetMetadata;
use lifecycle_processor::wire::time::format_timestamp;
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

const HELP: &str = "\
cargo bench --bench restore -- [options]
  --customers N   in the partition, 1000000 unless told
  --repeats N     runs of either side, 3 unless told

LIFECYCLE_TEST_BROKER=host:port names a running broker; else scripts/kafka starts one.";

/// How many customers a commit writes.
const CUSTOMERS_PER_COMMIT: usize = 2_000;
/// As the worker reads.
const RECORDS_MAX: usize = 16;
const READ_WAIT: Duration = Duration::from_millis(10);

/// What each customer does, and how many hours after the first visit.
const JOURNEY: [(&str, i64); 6] = [
    ("page_viewed", 0),
    ("product_viewed", 0),
    ("order_completed", 1),
    ("order_delivered", 96),
    ("order_completed", 961),
    ("email_clicked", 2_160),
];

/// What one run took.
struct Measured {
    wall_seconds: f64,
    thread_seconds: f64,
}

/// A partition's changelog on the broker.
struct Written {
    options: kafka::Options,
    models: Arc<ModelSet>,
    customers: usize,
    bytes: usize,
    end: i64,
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

/// Gains the one partition of the group.
fn member(options: &kafka::Options) -> Client {
    let mut member = Client::connect(options.clone()).expect("the member connects");
    broker::until("the group gives the partition", || {
        for event in member.poll(1, Duration::from_millis(100)).expect("polling goes well") {
            if let Event::Gained(gained) = event {
                let positions: Vec<_> =
                    gained.iter().map(|&partition| PartitionOffset { partition, offset: 0 }).collect();
                member.assign(&positions).expect("the partition is accepted");
                return Some(());
            }
        }
        None
    });
    member
}

/// Writes `customers` to the changelog of a new partition as the service would, and commits where it stands.
fn write(customers: usize) -> Written {
    let topics = (broker::topic("restore-touchpoints", 1), broker::changelog_topic(1));
    let group = broker::unique("restore");
    let options = kafka::Options::new(broker::bootstrap(), &group, &group, &topics.0, &topics.1);
    let mut member = member(&options);
    let sources: Vec<_> = model_file::shipped_names().iter().filter_map(|name| model_file::shipped(name)).collect();
    let (models, _) = model_file::load(&sources, &model_file::shipped_catalogue(), &[]).expect("shipped models load");
    let models = Arc::new(models);
    let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 16 });
    let topic: Arc<str> = topics.1.into();
    let mut written = Written { options, models: Arc::clone(&models), customers, bytes: 0, end: 0 };
    for first in (0..customers).step_by(CUSTOMERS_PER_COMMIT) {
        // One table for each commit: all customers at once would take no less memory here than in the service.
        let mut partition = Partition::new(Arc::clone(&models), FactOptions::default());
        for customer in first..customers.min(first + CUSTOMERS_PER_COMMIT) {
            live(&mut partition, &decoder, customer);
        }
        let batches = partition.write_batches(0);
        let outgoing = batches.iter().map(|batch| Outgoing {
            topic: Arc::clone(&topic),
            partition: Some(0),
            key: None,
            value: Some(changelog::encode(partition.layout(), batch)),
            headers: Vec::new(),
            timestamp_ms: 1_700_000_000_000,
        });
        let outgoing: Vec<_> = outgoing.collect();
        written.bytes += outgoing.iter().filter_map(|record| record.value.as_ref()).map(Vec::len).sum::<usize>();
        // The group takes whoever does not poll for gone; the partition is paused, and nothing comes.
        member.poll(1, Duration::ZERO).expect("polling goes well");
        member.begin().expect("a transaction begins");
        let offsets = member.send(outgoing).expect("the changelog is written");
        written.end = offsets.last().map_or(written.end, |offset| offset + 1);
        let metadata = OffsetMetadata {
            changelog_start: 0,
            changelog_end: written.end,
            // No time has passed for anybody, so that nothing but the restore is measured.
            clock: Clock::default(),
            models: models.hash,
            partitions: None,
            by: None,
        };
        let position = PartitionOffset { partition: 0, offset: 0 };
        member.send_offsets(&[(position, metadata.encode())]).expect("the position is taken");
        member.commit().expect("the transaction is committed");
    }
    member.leave(broker::PATIENCE);
    written
}

/// Lets one customer have its journey.
fn live(partition: &mut Partition, decoder: &TouchpointDecoder, customer: usize) {
    // Spread over a year, and so are the wake-ups.
    let begin = 1_600_000_000_000 + i64::try_from(customer).expect("small") * 61_007 % 31_536_000_000;
    for (step, (kind, hours)) in (0..).zip(JOURNEY) {
        let at = format_timestamp(Timestamp::from_millis(begin + hours * 3_600_000 + 617 * step));
        let order = match kind {
            "order_completed" => format!(r#","order_id":"ORD-{customer}-{step}","amount":{}.95"#, 5 + customer % 200),
            _ => String::new(),
        };
        let line = format!(
            r#"{{"event_id":"ev-{customer}-{step}","customer_id":"customer-{customer:08}","type":"{kind}","occurred_at":"{at}"{order}}}"#
        );
        let mut scratch = Scratch::default();
        let touchpoint = decoder.decode(line.as_bytes(), &mut scratch).expect("a touchpoint");
        partition.apply(Input::Touchpoint(&touchpoint), &mut Effects::default());
    }
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
    let client = Client::connect(written.options.clone()).expect("the member connects");
    let (_questions, queries) = channel();
    let nowhere: Arc<str> = "nowhere".into();
    let options = Options {
        topics: Topics {
            touchpoints: Arc::clone(&nowhere),
            transitions: Arc::clone(&nowhere),
            replay: Arc::clone(&nowhere),
            dead_letters: Arc::clone(&nowhere),
            changelog: nowhere,
        },
        partitions: None,
        clock_source: ClockSource::Touchpoints,
        max_ahead: time::Duration::from_millis(900_000),
        facts: FactOptions::default(),
        fresh_for: time::Duration::from_millis(86_400_000),
        commit_interval: Duration::from_millis(100),
        touchpoint_bytes_max: 1 << 20,
        state_bytes_max: usize::MAX,
        sweep: SweepOptions::default(),
        cloud_events: CloudEvents { source: "bench".into(), with_subject: false },
    };
    let mut worker = Worker::new(client, Arc::clone(&written.models), Arc::new(options), queries);
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
