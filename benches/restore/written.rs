//! A partition's changelog on a broker, as the service leaves it, and a worker over it; for benchmarks.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use lifecycle_processor::kafka::{self, Client, Event, Member, Outgoing, PartitionOffset};
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time::{self, Timestamp};
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::partition::{Clock, Effects, Input, Partition};
use lifecycle_processor::runtime::{ClockSource, Options, SweepOptions, Topics, Worker};
use lifecycle_processor::wire::changelog;
use lifecycle_processor::wire::cloud_events::CloudEvents;
use lifecycle_processor::wire::model_file;
use lifecycle_processor::wire::offset_metadata::OffsetMetadata;
use lifecycle_processor::wire::time::format_timestamp;
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

use crate::broker;

/// How many customers a commit writes.
const CUSTOMERS_PER_COMMIT: usize = 2_000;
/// What each customer does, and how many hours after the first visit.
const JOURNEY: [(&str, i64); 6] = [
    ("page_viewed", 0),
    ("product_viewed", 0),
    ("order_completed", 1),
    ("order_delivered", 96),
    ("order_completed", 961),
    ("email_clicked", 2_160),
];

/// A partition's changelog on the broker.
pub(crate) struct Written {
    pub(crate) options: kafka::Options,
    pub(crate) topics: Topics,
    pub(crate) models: Arc<ModelSet>,
    pub(crate) customers: usize,
    pub(crate) bytes: usize,
    pub(crate) end: i64,
}

impl Written {
    /// A worker that will have the partition: real topics for what it reads and writes, wake-ups by the clock of touchpoints.
    pub(crate) fn worker(&self) -> Worker<Client> {
        let client = Client::connect(self.options.clone()).expect("the member connects");
        let options = Options {
            topics: self.topics.clone(),
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
        // Nobody asks.
        let (_, questions) = channel();
        Worker::new(client, Arc::clone(&self.models), Arc::new(options), questions)
    }
}

/// Gains the one partition of the group.
pub(crate) fn member(options: &kafka::Options) -> Client {
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
pub(crate) fn write(customers: usize) -> Written {
    let topic = |name: &str| Arc::<str>::from(broker::topic(name, 1));
    let topics = Topics {
        touchpoints: topic("touchpoints"),
        transitions: topic("transitions"),
        replay: topic("transitions-replay"),
        dead_letters: topic("dead-letters"),
        changelog: broker::changelog_topic(1).into(),
    };
    let group = broker::unique("restore");
    let options = kafka::Options::new(broker::bootstrap(), &group, &group, &topics.touchpoints, &topics.changelog);
    let mut member = member(&options);
    let sources: Vec<_> = model_file::shipped_names().iter().filter_map(|name| model_file::shipped(name)).collect();
    let (models, _) = model_file::load(&sources, &model_file::shipped_catalogue(), &[]).expect("shipped models load");
    let models = Arc::new(models);
    let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 16 });
    let mut written = Written { options, topics, models: Arc::clone(&models), customers, bytes: 0, end: 0 };
    for first in (0..customers).step_by(CUSTOMERS_PER_COMMIT) {
        // One table for each commit: all customers at once would take no less memory here than in the service.
        let mut partition = Partition::new(Arc::clone(&models), FactOptions::default());
        for customer in first..customers.min(first + CUSTOMERS_PER_COMMIT) {
            live(&mut partition, &decoder, customer);
        }
        let batches = partition.write_batches(0);
        let outgoing = batches.iter().map(|batch| Outgoing {
            topic: Arc::clone(&written.topics.changelog),
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
