//! Changelog records deleted while a worker restores from them: records that it does not need, records made obsolete by
//! another owner's sweep, and records that it needs.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use lifecycle_processor::kafka::{self, Client, Event, Member, PartitionOffset, ProducerRecord};
use lifecycle_processor::lifecycle::time;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::partition::{Clock, CustomerView, Effects, Input, Partition};
use lifecycle_processor::runtime::{
    ClockSource, CustomerAnswer, Fatal, Mismatch, Options, PublishOptions, Query, SweepOptions, Topics, WallClock,
    Worker,
};
use lifecycle_processor::wire::changelog;
use lifecycle_processor::wire::cloud_events::{CloudEvents, HeaderDetail};
use lifecycle_processor::wire::offset_metadata::OffsetMetadata;
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};
use rdkafka::producer::Producer;

use super::{models, touchpoint};
use crate::broker::{self, NewRecord, until};
use crate::cluster_faults;

/// Number of customers. With their long names they take about one megabyte, which is a few changelog records per pass.
const CUSTOMERS: usize = 1_500;
/// How often all customers are written before the worker restores; more than the client prefetches.
const PASSES: usize = 24;
/// Prefetch limit of the client: about three records.
const READ_AHEAD: [(&str, &str); 2] = [("fetch.message.max.bytes", "65536"), ("queued.max.messages.kbytes", "1024")];

fn name(number: usize) -> String {
    format!("{number:0450}")
}

/// A changelog on the broker, and the partition state that a restore from it must produce.
struct ChangelogFixture {
    options: kafka::Options,
    machine: Partition,
    decoder: TouchpointDecoder,
    passes: usize,
    /// The first offset of each pass.
    starts: Vec<i64>,
    end: i64,
}

impl ChangelogFixture {
    /// Writes all customers [`PASSES`] times. A restore needs the records from pass `first_needed` on.
    fn new(first_needed: usize) -> Self {
        let group = broker::unique("truncated");
        let (input, changelog) = (broker::topic("touchpoints", 1), broker::changelog_topic(1));
        let mut options = kafka::Options::new(broker::bootstrap(), &group, &group, &input, &changelog);
        options.session_timeout = Duration::from_secs(6);
        options.settings = READ_AHEAD.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let models = models();
        let mut fixture = Self {
            options,
            decoder: TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 16 }),
            machine: Partition::new(models, FactOptions::default()),
            passes: 0,
            starts: Vec::new(),
            end: 0,
        };
        let mut member = join_and_assign(&fixture.options);
        for _ in 0..PASSES {
            let records = fixture.order_once();
            // A member that does not poll is removed from the group.
            member.poll(1, Duration::ZERO).expect("a poll");
            member.begin().expect("a transaction begins");
            let offsets = member.send(records).expect("the changelog is written");
            fixture.record_offsets(&offsets);
            let start = fixture.starts[first_needed.min(fixture.starts.len() - 1)];
            let position = PartitionOffset { partition: 0, offset: 0 };
            member.send_offsets(&[(position, fixture.metadata(start))]).expect("the offset is sent");
            member.commit().expect("the transaction is committed");
        }
        member.leave(broker::TIMEOUT);
        fixture
    }

    /// Applies one more order of every customer. Returns the changelog records.
    fn order_once(&mut self) -> Vec<ProducerRecord> {
        for number in 0..CUSTOMERS {
            let order = touchpoint(&name(number), "order_completed", self.passes);
            let mut scratch = Scratch::default();
            let order = self.decoder.decode(order.value.as_deref().unwrap_or_default(), &mut scratch);
            self.machine.apply(Input::Touchpoint(&order.expect("a touchpoint")), &mut Effects::default());
        }
        self.passes += 1;
        let batches = self.machine.write_batches(0);
        let topic: Arc<str> = self.changelog().into();
        let record = |batch| ProducerRecord {
            topic: Arc::clone(&topic),
            partition: Some(0),
            key: None,
            value: Some(changelog::encode(self.machine.layout(), batch, &changelog::InputProgress::default())),
            headers: Vec::new(),
            timestamp_ms: super::BEGIN_MS,
        };
        let records = batches.iter().map(record).collect();
        self.machine.commit();
        records
    }

    fn changelog(&self) -> &str {
        self.options.changelog_topic.as_deref().expect("a worker has a changelog")
    }

    fn record_offsets(&mut self, offsets: &[i64]) {
        self.starts.extend(offsets.first());
        self.end = offsets.last().expect("something is written") + 1;
    }

    fn metadata(&self, changelog_start: i64) -> String {
        let models = self.machine.models().hash;
        let clock = Clock::default();
        let (partitions, hand_overs, member) = (None, None, None);
        OffsetMetadata {
            changelog_start,
            changelog_end: self.end,
            clock,
            models,
            partitions,
            hand_overs,
            last_hand_over: None,
            member,
        }
        .encode()
    }

    /// Sweeps the changelog as another owner: rewrites every customer, commits the restore start, and deletes the
    /// records before it.
    fn sweep_as_other_owner(&mut self) {
        let records: Vec<_> = self
            .order_once()
            .into_iter()
            .map(|it| NewRecord { partition: Some(0), value: it.value, ..NewRecord::default() })
            .collect();
        let (topic, group) = (self.changelog().to_owned(), self.options.group_id.clone());
        let start = broker::range_at(broker::bootstrap(), &topic, 0).1;
        let other = broker::producer(Some(&broker::unique("other")));
        other.begin_transaction().expect("a transaction begins");
        broker::write(&other, &topic, &records);
        let offsets: Vec<_> = (start..).take(records.len()).collect();
        self.record_offsets(&offsets);
        cluster_faults::commit_within(&other, &group, &self.options.input_topic, 0, 0, &self.metadata(start));
        other.commit_transaction(broker::TIMEOUT).expect("the transaction is committed");
        self.truncate(start);
    }

    fn truncate(&self, offset: i64) {
        broker::delete_records(self.changelog(), 0, offset);
        assert_eq!(broker::range_at(broker::bootstrap(), self.changelog(), 0).0, offset);
    }

    fn customer(&self, number: usize) -> CustomerView {
        self.machine.customer(&name(number)).expect("the customer exists")
    }
}

/// Returns a member that is assigned the only partition.
fn join_and_assign(options: &kafka::Options) -> Client {
    let mut member = Client::connect(options.clone()).expect("the member connects");
    until("the partition is assigned", || {
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

/// A worker in the middle of a restore, which the test runs step by step.
struct RestoringWorker {
    worker: Worker<Client>,
    clock: WallClock,
    query_sender: Sender<Query>,
}

impl RestoringWorker {
    /// Returns a worker that has read some, but less than half, of the changelog.
    fn begin(fixture: &ChangelogFixture) -> Self {
        let (query_sender, queries) = channel();
        let client = Client::connect(fixture.options.clone()).expect("the member connects");
        let worker = Worker::new(client, fixture.machine.models(), Arc::new(options()), queries);
        let mut worker = Self { worker, clock: WallClock::start(), query_sender };
        let all = until("the restore begins", || {
            worker.step().expect("nothing fails");
            worker.remaining()
        });
        until("some records are read", || {
            worker.step().expect("nothing fails");
            worker.remaining().filter(|&left| left < all)
        });
        let left = worker.remaining().expect("a restore in progress");
        assert!(left > all / 2, "{left} of {all} records are left: too few to truncate in the middle");
        worker
    }

    fn step(&mut self) -> Result<(), Fatal> {
        self.worker.step(|| self.clock.now())
    }

    /// Returns the number of offsets still to be read; `None` if nothing is being restored.
    fn remaining(&mut self) -> Option<u64> {
        self.worker.status().partitions.first()?.restore?.remaining_records.into()
    }

    /// Runs until the partition is restored. Returns whether the restore was restarted in between.
    fn finish(&mut self) -> Result<bool, Fatal> {
        let mut was_restarted = false;
        let mut failed = None;
        until("the restore is finished", || {
            if let Err(fatal) = self.step() {
                failed = Some(fatal);
                return Some(());
            }
            let status = self.worker.status();
            let partition = status.partitions.first()?;
            was_restarted |= partition.restore.is_none() && !partition.is_running;
            partition.is_running.then_some(())
        });
        failed.map_or(Ok(was_restarted), Err)
    }

    /// Asserts that all customers are restored as in `fixture`.
    fn assert_same(&mut self, fixture: &ChangelogFixture) {
        assert_eq!(self.worker.status().partitions[0].customers, CUSTOMERS);
        for number in (0..CUSTOMERS).step_by(50) {
            let (answer, answers) = channel();
            let answer = Box::new(move |it| answer.send(it).expect("the receiver is alive"));
            let query = Query::Customer { customer_id: name(number).into(), answer };
            self.query_sender.send(query).expect("the worker is alive");
            self.step().expect("nothing fails");
            let answer = answers.try_recv().expect("the worker answers within a step");
            let CustomerAnswer::Found { customer, .. } = answer else { panic!("{answer:?}") };
            assert_eq!(customer.view(), fixture.customer(number));
        }
    }

    fn stop(self) {
        self.worker.stop(self.clock.now()).expect("the worker stops");
    }
}

fn options() -> Options {
    let unused_topic: Arc<str> = "unused_topic".into();
    Options {
        topics: Topics {
            touchpoints: Arc::clone(&unused_topic),
            transitions: Arc::clone(&unused_topic),
            replay: Arc::clone(&unused_topic),
            dead_letters: Arc::clone(&unused_topic),
            changelog: unused_topic,
        },
        partitions: None,
        clock_source: ClockSource::Touchpoints,
        max_ahead: time::Duration::from_millis(900_000),
        facts: FactOptions::default(),
        fresh_for: time::Duration::from_days(1),
        commit_interval: Duration::from_millis(100),
        touchpoint_bytes_max: 1 << 20,
        state_bytes_max: usize::MAX,
        sweep: SweepOptions::default(),
        cloud_events: CloudEvents { source: "test".into(), with_subject: false, detail: HeaderDetail::Full },
        publish: PublishOptions::default(),
        identity: None,
        direct: None,
    }
}

#[test]
fn a_restore_continues_when_records_that_it_does_not_need_are_deleted() {
    let fixture = ChangelogFixture::new(PASSES / 4);
    let mut worker = RestoringWorker::begin(&fixture);
    fixture.truncate(fixture.starts[PASSES / 4]);
    assert!(!worker.finish().expect("nothing fails"), "it restarted");
    worker.assert_same(&fixture);
    worker.stop();
}

#[test]
fn a_restore_restarts_after_a_sweep_by_another_owner() {
    let mut fixture = ChangelogFixture::new(0);
    let mut worker = RestoringWorker::begin(&fixture);
    fixture.sweep_as_other_owner();
    assert!(worker.finish().expect("nothing fails"), "the truncation was not noticed");
    worker.assert_same(&fixture);
    worker.stop();
}

#[test]
fn a_restore_fails_when_records_that_it_needs_were_deleted() {
    let fixture = ChangelogFixture::new(PASSES / 4);
    let mut worker = RestoringWorker::begin(&fixture);
    let (needed, log_start) = (fixture.starts[PASSES / 4], fixture.starts[PASSES - 1]);
    fixture.truncate(log_start);
    match worker.finish() {
        Err(Fatal::Mismatch { partition: 0, mismatch: Mismatch::ChangelogTruncated { expected, start } }) => {
            assert_eq!((expected, start), (needed, log_start));
        }
        other => panic!("{other:?}"),
    }
}
