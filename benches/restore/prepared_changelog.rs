//! Writes a partition's changelog to a broker as the service does, and creates workers that restore it; for benchmarks.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use lifecycle_processor::kafka::{self, Client, Event, Member, PartitionOffset, ProducerRecord};
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time::{self, Timestamp};
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::partition::{Clock, Effects, Input, Partition};
use lifecycle_processor::runtime::{ClockSource, Options, PublishOptions, SweepOptions, Topics, Worker};
use lifecycle_processor::wire::changelog;
use lifecycle_processor::wire::cloud_events::{CloudEvents, HeaderDetail};
use lifecycle_processor::wire::model_file;
use lifecycle_processor::wire::offset_metadata::OffsetMetadata;
use lifecycle_processor::wire::time::format_timestamp;
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

use crate::broker;

/// Number of customers per commit.
const CUSTOMERS_PER_COMMIT: usize = 2_000;
/// The touchpoints of each customer, and the hours since the first one.
const TOUCHPOINTS: [(&str, i64); 6] = [
    ("page_viewed", 0),
    ("product_viewed", 0),
    ("order_completed", 1),
    ("order_delivered", 96),
    ("order_completed", 961),
    ("email_clicked", 2_160),
];

/// A partition's changelog on the broker.
pub(crate) struct PreparedChangelog {
    pub(crate) options: kafka::Options,
    pub(crate) topics: Topics,
    pub(crate) models: Arc<ModelSet>,
    pub(crate) customers: usize,
    pub(crate) bytes: usize,
    pub(crate) end: i64,
}

impl PreparedChangelog {
    /// Returns a worker for the partition, with real topics and wake-ups by event time.
    pub(crate) fn worker(&self) -> Worker<Client> {
        let client = Client::connect(self.options.clone()).expect("the member connects");
        let options = Options {
            topics: self.topics.clone(),
            partitions: None,
            identity: None,
            direct: None,
            clock_source: ClockSource::Touchpoints,
            max_ahead: time::Duration::from_millis(900_000),
            facts: FactOptions::default(),
            fresh_for: time::Duration::from_millis(86_400_000),
            commit_interval: Duration::from_millis(100),
            touchpoint_bytes_max: 1 << 20,
            state_bytes_max: usize::MAX,
            sweep: SweepOptions::default(),
            cloud_events: CloudEvents { source: "bench".into(), with_subject: false, detail: HeaderDetail::Full },
            publish: PublishOptions::default(),
        };
        // No queries are sent.
        let (_, queries) = channel();
        Worker::new(client, Arc::clone(&self.models), Arc::new(options), queries)
    }
}

/// Joins the group and returns the member once it is assigned the only partition.
pub(crate) fn member(options: &kafka::Options) -> Client {
    let mut member = Client::connect(options.clone()).expect("the member connects");
    broker::until("the partition is assigned", || {
        for event in member.poll(1, Duration::from_millis(100)).expect("a poll") {
            if let Event::Assigned(assigned) = event {
                let positions: Vec<_> =
                    assigned.iter().map(|&partition| PartitionOffset { partition, offset: 0 }).collect();
                member.assign(&positions).expect("the partition is accepted");
                return Some(());
            }
        }
        None
    });
    member
}

/// Writes `customers` to the changelog of a new partition as the service does, and commits its offsets.
pub(crate) fn write(customers: usize) -> PreparedChangelog {
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
    let mut prepared = PreparedChangelog { options, topics, models: Arc::clone(&models), customers, bytes: 0, end: 0 };
    for first in (0..customers).step_by(CUSTOMERS_PER_COMMIT) {
        // A new partition per commit limits memory: all customers at once would need as much as in the service.
        let mut partition = Partition::new(Arc::clone(&models), FactOptions::default());
        for customer in first..customers.min(first + CUSTOMERS_PER_COMMIT) {
            apply_touchpoints(&mut partition, &decoder, customer);
        }
        let batches = partition.write_batches(0);
        let outgoing = batches.iter().map(|batch| ProducerRecord {
            topic: Arc::clone(&prepared.topics.changelog),
            partition: Some(0),
            key: None,
            value: Some(changelog::encode(partition.layout(), batch, &changelog::InputProgress::default())),
            headers: Vec::new(),
            timestamp_ms: 1_700_000_000_000,
        });
        let outgoing: Vec<_> = outgoing.collect();
        prepared.bytes += outgoing.iter().filter_map(|record| record.value.as_ref()).map(Vec::len).sum::<usize>();
        // A member that does not poll is removed from the group; the partition is paused, so no records arrive.
        member.poll(1, Duration::ZERO).expect("a poll");
        member.begin().expect("a transaction begins");
        let offsets = member.send(outgoing).expect("the changelog is written");
        prepared.end = offsets.last().map_or(prepared.end, |offset| offset + 1);
        let metadata = OffsetMetadata {
            changelog_start: 0,
            changelog_end: prepared.end,
            // With an empty clock, wake-ups do not fire, so only the restore is measured.
            clock: Clock::default(),
            models: models.hash,
            partitions: None,
            hand_overs: None,
            last_hand_over: None,
            member: None,
        };
        let position = PartitionOffset { partition: 0, offset: 0 };
        member.send_offsets(&[(position, metadata.encode())]).expect("the offset is sent");
        member.commit().expect("the transaction is committed");
    }
    member.leave(broker::TIMEOUT);
    prepared
}

/// Applies the touchpoints of one customer.
fn apply_touchpoints(partition: &mut Partition, decoder: &TouchpointDecoder, customer: usize) {
    // The customers, and therefore their wake-ups, are spread over a year.
    let begin = 1_600_000_000_000 + i64::try_from(customer).expect("small") * 61_007 % 31_536_000_000;
    for (step, (kind, hours)) in (0..).zip(TOUCHPOINTS) {
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
