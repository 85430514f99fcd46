//! A changelog whose head is deleted while a worker restores from it: as far as the worker needs it no more, by another owner's
//! sweep, and by somebody who should not have.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use lifecycle_processor::kafka::{self, Client, Event, Member, Outgoing, PartitionOffset};
use lifecycle_processor::lifecycle::time;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::partition::{Clock, CustomerView, Effects, Input, Partition};
use lifecycle_processor::runtime::{
    ClockSource, CustomerAnswer, Fatal, Mismatch, Options, Query, SweepOptions, Topics, WallClock, Worker,
};
use lifecycle_processor::wire::changelog;
use lifecycle_processor::wire::cloud_events::CloudEvents;
use lifecycle_processor::wire::offset_metadata::OffsetMetadata;
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};
use rdkafka::producer::Producer;

use super::{models, touchpoint};
use crate::broker::{self, ToWrite, until};
use crate::plant;

/// With their long names they take about a megabyte, and so a few records each time that all of them are written.
const CUSTOMERS: usize = 1_500;
/// How often all of them are written before the worker restores. More than the client reads ahead.
const PASSES: usize = 24;
/// What the client reads ahead: about three records.
const READ_AHEAD: [(&str, &str); 2] = [("fetch.message.max.bytes", "65536"), ("queued.max.messages.kbytes", "1024")];

fn name(number: usize) -> String {
    format!("{number:0450}")
}

/// A partition with a changelog, the customers as they are now, and the text committed beside the position.
struct Scene {
    options: kafka::Options,
    machine: Partition,
    decoder: TouchpointDecoder,
    passes: usize,
    /// The first offset of each pass.
    starts: Vec<i64>,
    end: i64,
}

impl Scene {
    /// Customers who were written [`PASSES`] times. A restore needs what was written from pass `first_needed` on.
    fn new(first_needed: usize) -> Self {
        let group = broker::unique("cut");
        let (input, changelog) = (broker::topic("touchpoints", 1), broker::changelog_topic(1));
        let mut options = kafka::Options::new(broker::bootstrap(), &group, &group, &input, &changelog);
        options.session_timeout = Duration::from_secs(6);
        options.settings = READ_AHEAD.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let models = models();
        let mut scene = Self {
            options,
            decoder: TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 16 }),
            machine: Partition::new(models, FactOptions::default()),
            passes: 0,
            starts: Vec::new(),
            end: 0,
        };
        let mut member = gain(&scene.options);
        for _ in 0..PASSES {
            let records = scene.live();
            // The group takes whoever does not poll for gone.
            member.poll(1, Duration::ZERO).expect("polling goes well");
            member.begin().expect("a transaction begins");
            let offsets = member.send(records).expect("the changelog is written");
            scene.note(&offsets);
            let start = scene.starts[first_needed.min(scene.starts.len() - 1)];
            let position = PartitionOffset { partition: 0, offset: 0 };
            member.send_offsets(&[(position, scene.metadata(start))]).expect("the position is taken");
            member.commit().expect("the transaction is committed");
        }
        member.leave(broker::PATIENCE);
        scene
    }

    /// Has every customer order once more. Returns the records of the changelog.
    fn live(&mut self) -> Vec<Outgoing> {
        for number in 0..CUSTOMERS {
            let order = touchpoint(&name(number), "order_completed", self.passes);
            let mut scratch = Scratch::default();
            let order = self.decoder.decode(order.value.as_deref().unwrap_or_default(), &mut scratch);
            self.machine.apply(Input::Touchpoint(&order.expect("a touchpoint")), &mut Effects::default());
        }
        self.passes += 1;
        let batches = self.machine.write_batches(0);
        let topic: Arc<str> = self.options.changelog_topic.as_str().into();
        let record = |batch| Outgoing {
            topic: Arc::clone(&topic),
            partition: Some(0),
            key: None,
            value: Some(changelog::encode(self.machine.layout(), batch)),
            headers: Vec::new(),
            timestamp_ms: super::BEGIN_MS,
        };
        let records = batches.iter().map(record).collect();
        self.machine.commit();
        records
    }

    fn note(&mut self, offsets: &[i64]) {
        self.starts.extend(offsets.first());
        self.end = offsets.last().expect("something is written") + 1;
    }

    fn metadata(&self, changelog_start: i64) -> String {
        let models = self.machine.models().hash;
        let clock = Clock::default();
        OffsetMetadata { changelog_start, changelog_end: self.end, clock, models, partitions: None, by: None }.encode()
    }

    /// What another owner does whose sweep comes to its end: everybody is written again, the group is told where restores start,
    /// and what lies before is deleted.
    fn sweep_elsewhere(&mut self) {
        let records: Vec<_> = self
            .live()
            .into_iter()
            .map(|it| ToWrite { partition: Some(0), value: it.value, ..ToWrite::default() })
            .collect();
        let (topic, group) = (self.options.changelog_topic.clone(), self.options.group_id.clone());
        let start = broker::range_at(broker::bootstrap(), &topic, 0).1;
        let other = broker::producer(Some(&broker::unique("other")));
        other.begin_transaction().expect("a transaction begins");
        broker::write(&other, &topic, &records);
        let offsets: Vec<_> = (start..).take(records.len()).collect();
        self.note(&offsets);
        plant::commit_within(&other, &group, &self.options.input_topic, 0, 0, &self.metadata(start));
        other.commit_transaction(broker::PATIENCE).expect("the transaction is committed");
        self.cut(start);
    }

    fn cut(&self, offset: i64) {
        broker::cut(&self.options.changelog_topic, 0, offset);
        assert_eq!(broker::range_at(broker::bootstrap(), &self.options.changelog_topic, 0).0, offset);
    }

    fn customer(&self, number: usize) -> CustomerView {
        self.machine.customer(&name(number)).expect("the customer has ordered")
    }
}

/// A member that has the one partition.
fn gain(options: &kafka::Options) -> Client {
    let mut member = Client::connect(options.clone()).expect("the member connects");
    until("the group gives the partition", || {
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

/// A worker, step by step.
struct Restoring {
    worker: Worker<Client>,
    clock: WallClock,
    questions: Sender<Query>,
}

impl Restoring {
    /// A worker that has begun to read the changelog, and has not come far.
    fn begin(scene: &Scene) -> Self {
        let (questions, queries) = channel();
        let client = Client::connect(scene.options.clone()).expect("the member connects");
        let worker = Worker::new(client, scene.machine.models(), Arc::new(options()), queries);
        let mut restoring = Self { worker, clock: WallClock::start(), questions };
        let all = until("the restore begins", || {
            restoring.step().expect("nothing fails");
            restoring.remaining()
        });
        until("some records are read", || {
            restoring.step().expect("nothing fails");
            restoring.remaining().filter(|&left| left < all)
        });
        let left = restoring.remaining().expect("the restore is under way");
        assert!(left > all / 2, "{left} of {all} records are left: too few to be cut in the middle");
        restoring
    }

    fn step(&mut self) -> Result<(), Fatal> {
        self.worker.step(|| self.clock.now())
    }

    /// How many records are left to read; `None` when nothing is being restored.
    fn remaining(&self) -> Option<u64> {
        self.worker.status().partitions.first()?.restore?.remaining_records.into()
    }

    /// Goes on until the customers are there. Returns whether the restore was left off meanwhile.
    fn finish(&mut self) -> Result<bool, Fatal> {
        let mut was_left_off = false;
        let mut failed = None;
        until("the restore is through", || {
            if let Err(fatal) = self.step() {
                failed = Some(fatal);
                return Some(());
            }
            let status = self.worker.status();
            let partition = status.partitions.first()?;
            was_left_off |= partition.restore.is_none() && !partition.is_running;
            partition.is_running.then_some(())
        });
        failed.map_or(Ok(was_left_off), Err)
    }

    /// All customers are there, as they are in `scene`.
    fn assert_same(&mut self, scene: &Scene) {
        assert_eq!(self.worker.status().partitions[0].customers, CUSTOMERS);
        for number in (0..CUSTOMERS).step_by(50) {
            let (answer, answers) = channel();
            let answer = Box::new(move |it| answer.send(it).expect("somebody waits"));
            let query = Query { customer_id: name(number).into(), answer };
            self.questions.send(query).expect("the worker is there");
            self.step().expect("nothing fails");
            let answer = answers.try_recv().expect("the worker answers within a step");
            let CustomerAnswer::Found { customer, .. } = answer else { panic!("{answer:?}") };
            assert_eq!(customer.view(), scene.customer(number));
        }
    }

    fn stop(self) {
        self.worker.stop(self.clock.now()).expect("the worker stops");
    }
}

fn options() -> Options {
    let nowhere: Arc<str> = "nowhere".into();
    Options {
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
        fresh_for: time::Duration::from_days(1),
        commit_interval: Duration::from_millis(100),
        touchpoint_bytes_max: 1 << 20,
        state_bytes_max: usize::MAX,
        sweep: SweepOptions::default(),
        cloud_events: CloudEvents { source: "test".into(), with_subject: false },
    }
}

#[test]
fn a_restore_goes_on_when_what_it_does_not_need_is_deleted_meanwhile() {
    let scene = Scene::new(PASSES / 4);
    let mut restoring = Restoring::begin(&scene);
    scene.cut(scene.starts[PASSES / 4]);
    assert!(!restoring.finish().expect("nothing fails"), "it began anew");
    restoring.assert_same(&scene);
    restoring.stop();
}

#[test]
fn a_restore_begins_anew_when_another_owner_has_swept_what_it_reads() {
    let mut scene = Scene::new(0);
    let mut restoring = Restoring::begin(&scene);
    scene.sweep_elsewhere();
    assert!(restoring.finish().expect("nothing fails"), "the cut was not noticed");
    restoring.assert_same(&scene);
    restoring.stop();
}

#[test]
fn a_restore_calls_a_person_when_somebody_has_deleted_what_it_needs() {
    let scene = Scene::new(PASSES / 4);
    let mut restoring = Restoring::begin(&scene);
    let (needed, cut) = (scene.starts[PASSES / 4], scene.starts[PASSES - 1]);
    scene.cut(cut);
    match restoring.finish() {
        Err(Fatal::Mismatch { partition: 0, mismatch: Mismatch::ChangelogTruncated { expected, start } }) => {
            assert_eq!((expected, start), (needed, cut));
        }
        other => panic!("{other:?}"),
    }
}
