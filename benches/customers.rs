//! Measures the memory of the customers of one partition, and the cost of a touchpoint as their number grows; without
//! Kafka.
//!
//! Every customer has eleven touchpoints, three of them orders, and is in all shipped models. Then further touchpoints
//! are applied to customers chosen uniformly, and by a Zipf distribution, in batches that are encoded and committed as
//! a worker does. `cargo bench --bench customers -- --help` lists the options; the results are in docs/performance.md.

#[path = "restore/arguments.rs"]
mod arguments;
#[path = "ceiling/cpu.rs"]
mod cpu;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use lifecycle_processor::config::ModelChoice;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::partition::{ChangelogBatch, Effects, Input, Partition};
use lifecycle_processor::wire::time::format_timestamp;
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};
use prost::encoding::{DecodeContext, decode_key, decode_varint, skip_field};

/// The same allocator as the program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
cargo bench --bench customers -- [options]
  --customers N     customers in the partition (default 1000000)
  --touchpoints N   touchpoints that are measured, for each distribution (default 200000)
  --repeats N       measurements of each distribution, with and without prefetching (default 3)";

/// Number of touchpoints per commit; customers are written in as many.
const BATCH: usize = 5_000;
/// Number of customers that are looked up before the first of their touchpoints is applied; as in a worker.
const PREFETCHED: usize = 64;
/// The time at which the history of the customers ends.
const NOW_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;
/// The touchpoints of each customer, and the hours before `NOW_MS`. No wake-up is due soon after the last one.
const HISTORY: [(&str, i64); 11] = [
    ("page_viewed", 2_160),
    ("product_viewed", 2_160),
    ("cart_item_added", 2_159),
    ("order_completed", 2_159),
    ("order_delivered", 2_064),
    ("email_clicked", 1_200),
    ("product_viewed", 1_199),
    ("order_completed", 1_198),
    ("feedback_given", 1_100),
    ("order_completed", 48),
    ("email_clicked", 24),
];
/// The touchpoints that are measured: one type after the other.
const MEASURED: [&str; 4] = ["page_viewed", "product_viewed", "email_clicked", "order_completed"];
/// The fields of `lifecycle.v1.Customer`, by number.
const FIELDS: [&str; 16] = [
    "",
    "customer_id",
    "removed",
    "clock",
    "wake_up_in",
    "standings",
    "numbers",
    "recent_events",
    "orders",
    "latest",
    "windows",
    "followed",
    "folded",
    "outdated_models",
    "heard_age",
    "numbers_high",
];

/// How the customers of the measured touchpoints are chosen.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Uniform,
    /// The probability of the customer of rank n is proportional to 1/n.
    Zipf,
}

struct Load {
    partition: Partition,
    decoder: TouchpointDecoder,
    effects: Effects,
    touchpoints: usize,
    /// The time of the latest measured touchpoint.
    now_ms: i64,
}

fn main() -> ExitCode {
    arguments::with_options(
        HELP,
        [("--customers", 1_000_000), ("--touchpoints", 200_000), ("--repeats", 3)],
        |[customers, touchpoints, repeats]| measure(customers, touchpoints, repeats),
    )
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn measure(customers: usize, touchpoints: usize, repeats: usize) {
    let resident = resident_bytes();
    let mut load = Load::new();
    eprintln!("creating {customers} customers");
    let mut fields = BTreeMap::new();
    for first in (0..customers).step_by(BATCH / HISTORY.len()) {
        for customer in first..customers.min(first + BATCH / HISTORY.len()) {
            for (step, (kind, hours)) in (0..).zip(HISTORY) {
                let line = load.line(customer, kind, NOW_MS - hours * HOUR_MS + 617 * step + offset(customer));
                load.apply(&line);
            }
        }
        for batch in load.commit() {
            add_fields(&batch, &mut fields);
        }
    }
    let per_customer = |bytes: usize| bytes as f64 / customers as f64;
    println!("| {customers} customers of {} touchpoints | bytes per customer |", HISTORY.len());
    println!("|---|---|");
    println!("| memory, as the metric reports it | {:.0} |", per_customer(load.partition.bytes()));
    println!("| memory of the process, more than before | {:.0} |", per_customer(resident_bytes() - resident));
    println!("| encoded records | {:.1} |", per_customer(load.partition.live_bytes()));
    for (field, bytes) in fields {
        println!(
            "| of these: {} | {:.1} |",
            FIELDS.get(field as usize).unwrap_or(&"another field"),
            per_customer(bytes)
        );
    }
    println!();
    println!(
        "| customers | choice | prefetched | touchpoints | transitions per touchpoint | us of CPU time per touchpoint |"
    );
    println!("|---|---|---|---|---|---|");
    for _ in 0..repeats {
        for choice in [Choice::Uniform, Choice::Zipf] {
            for prefetched in [0, PREFETCHED] {
                let (seconds, transitions) = load.run(choice, customers, touchpoints, prefetched);
                println!(
                    "| {customers} | {choice:?} | {prefetched} | {touchpoints} | {:.2} | {:.2} |",
                    transitions as f64 / touchpoints as f64,
                    1e6 * seconds / touchpoints as f64
                );
            }
        }
    }
}

fn customer_id(customer: usize) -> String {
    format!("customer-{customer:08}")
}

/// Returns a time within six hours that differs between customers, in milliseconds.
fn offset(customer: usize) -> i64 {
    i64::try_from(customer).expect("a small number") * 61_007 % (6 * HOUR_MS)
}

impl Load {
    fn new() -> Self {
        let models = Arc::new(ModelChoice::default().load(false).expect("the shipped models are valid"));
        Self {
            decoder: TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 16 }),
            partition: Partition::new(models, FactOptions::default()),
            effects: Effects::default(),
            touchpoints: 0,
            now_ms: NOW_MS,
        }
    }

    /// Returns a new touchpoint as JSON.
    fn line(&mut self, customer: usize, kind: &str, at_ms: i64) -> String {
        let (number, at) = (self.touchpoints, format_timestamp(Timestamp::from_millis(at_ms)));
        self.touchpoints += 1;
        let more = match kind {
            "order_completed" => format!(r#","order_id":"ORD-{number}","amount":{}.95"#, 5 + customer % 200),
            "feedback_given" => r#","score":9"#.to_owned(),
            _ => String::new(),
        };
        format!(
            r#"{{"event_id":"ev-{number}","customer_id":"{}","type":"{kind}","occurred_at":"{at}"{more}}}"#,
            customer_id(customer)
        )
    }

    fn apply(&mut self, line: &str) {
        let mut scratch = Scratch::default();
        let touchpoint = self.decoder.decode(line.as_bytes(), &mut scratch).expect("a touchpoint");
        self.partition.apply(Input::Touchpoint(&touchpoint), &mut self.effects);
    }

    /// Encodes and commits the open batch. Returns what a worker would write to the changelog.
    fn commit(&mut self) -> Vec<ChangelogBatch> {
        let batches = self.partition.write_batches(0);
        self.partition.commit();
        self.effects = Effects::default();
        batches
    }

    /// Applies `touchpoints` to customers of `choice`. Returns the CPU time for decoding, applying, encoding and
    /// committing them, in seconds, and the number of transitions.
    ///
    /// Looks up `prefetched` customers before their touchpoints are applied; 0 does not.
    fn run(&mut self, choice: Choice, customers: usize, touchpoints: usize, prefetched: usize) -> (f64, usize) {
        // Other customers in each run: those of the previous one are still in the cache.
        let mut random = fastrand::Rng::with_seed(self.touchpoints as u64);
        let records: Vec<(String, String)> = (0..touchpoints)
            .map(|number| {
                self.now_ms += 1;
                let customer = choice.customer(customers, &mut random);
                (customer_id(customer), self.line(customer, MEASURED[number % MEASURED.len()], self.now_ms))
            })
            .collect();
        let mut transitions = 0;
        let started = cpu::seconds("thread-self");
        for batch in records.chunks(BATCH) {
            for ahead in batch.chunks(prefetched.max(1)) {
                if prefetched > 0 {
                    for (key, _) in ahead {
                        self.partition.prefetch(key.as_bytes());
                    }
                }
                for (_, line) in ahead {
                    self.apply(line);
                }
            }
            transitions += self.effects.transitions.len();
            drop(self.commit());
        }
        (cpu::seconds("thread-self") - started, transitions)
    }
}

impl Choice {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and the number of customers"
    )]
    fn customer(self, customers: usize, random: &mut fastrand::Rng) -> usize {
        match self {
            Self::Uniform => random.usize(..customers),
            // The inverse of the distribution function of 1/n; the ranks are spread over the partition.
            Self::Zipf => {
                let rank = (customers as f64).powf(random.f64()) as usize;
                rank.wrapping_mul(0x9e37_79b1) % customers
            }
        }
    }
}

/// Adds the encoded length of each field of the customers in `batch`.
fn add_fields(batch: &ChangelogBatch, fields: &mut BTreeMap<u32, usize>) {
    let mut rest = batch.customers.as_slice();
    while !rest.is_empty() {
        decode_key(&mut rest).expect("a customer");
        let length = usize::try_from(decode_varint(&mut rest).expect("a length")).expect("a short record");
        let (mut customer, others) = rest.split_at(length);
        rest = others;
        while !customer.is_empty() {
            let before = customer.len();
            let (field, wire_type) = decode_key(&mut customer).expect("a field");
            skip_field(wire_type, field, &mut customer, DecodeContext::default()).expect("a field");
            *fields.entry(field).or_default() += before - customer.len();
        }
    }
}

/// Returns the resident memory of this process.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the resident size");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}
