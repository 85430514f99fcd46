//! The worker on a log in memory in which everything goes wrong: whatever it was, a reader of what is committed sees
//! for each customer the transitions, ids and order, of a run in which nothing did.
//!
//! A seed decides everything, so that a failing one, printed, fails again: `LIFECYCLE_SIMULATION_SEED=17`. More seeds than
//! those of every test run: `LIFECYCLE_SIMULATION_SEEDS=100000`.

mod faults;
mod group;
mod history;
mod log;
mod member;
mod wall;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use lifecycle_processor::kafka::PartitionId;
use lifecycle_processor::lifecycle::time::{self, Timestamp};
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::partition::Partition;
use lifecycle_processor::runtime::{
    ClockSource, CustomerAnswer, Fatal, Moment, Options, Query, Status, SweepOptions, Topics, Worker,
};
use lifecycle_processor::wire::changelog::ChangelogDecoder;
use lifecycle_processor::wire::cloud_events::CloudEvents;
use lifecycle_processor::wire::offset_metadata::OffsetMetadata;

use faults::{Fault, Faults, Plan};
use history::{BEGIN, BYTES_MAX, Expected, History, MODELS, expected, facts, history};
use log::{CHANGELOG, DEAD_LETTERS, Log, REPLAY, TOUCHPOINTS, TRANSITIONS};
use member::{CRASH, SimulatedMember};

/// How many seeds every test run tries.
const SEEDS: u64 = 300;
/// After how many rounds a run has failed to come to rest.
const ROUNDS_MAX: u32 = 20_000;
/// For how many rounds nothing may happen any more.
const ROUNDS_AT_REST: u32 = 20;
/// How far wall time lies behind the history: ten years.
const WALL_AHEAD: i64 = 10 * 365 * 86_400_000;

/// What a run is made of.
struct Setting {
    partitions: PartitionId,
    records: usize,
    workers: usize,
    clock_source: ClockSource,
    /// Whether partitions change hands and members are expelled or stopped.
    is_restless: bool,
}

/// A run under way.
struct Simulation {
    log: Rc<RefCell<Log>>,
    options: Arc<Options>,
    slots: Vec<Option<Worker<SimulatedMember>>>,
    /// Where questions to each slot's worker go.
    questions: Vec<Option<Sender<Query>>>,
    /// Members that died, and when the group learns of it.
    dead: Vec<(Duration, group::MemberId)>,
    unfed: History,
    fed_at_once: bool,
    is_restless: bool,
    random: fastrand::Rng,
    truncations: u64,
}

/// What became of a run.
struct Ended {
    calls: u64,
    faults: u64,
    truncations: u64,
}

/// Says which run panicked.
struct Named(String);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the run that failed: {}", self.0);
        }
    }
}

#[test]
fn whatever_goes_wrong_each_transition_is_published_once_and_in_order() {
    let seeds = match (variable("LIFECYCLE_SIMULATION_SEED"), variable("LIFECYCLE_SIMULATION_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, seeds) => 0..seeds.unwrap_or(SEEDS),
    };
    let is_one = seeds.end - seeds.start == 1;
    let (mut faults, mut truncations) = (0, 0);
    for seed in seeds {
        let _named = Named(format!("LIFECYCLE_SIMULATION_SEED={seed}"));
        let mut random = fastrand::Rng::with_seed(seed);
        let setting = Setting {
            partitions: random.i32(1..=4),
            records: random.usize(50..300),
            workers: random.usize(1..=2),
            clock_source: if random.bool() { ClockSource::Wall } else { ClockSource::Touchpoints },
            is_restless: true,
        };
        let plan = Plan::Random { one_in: random.u32(10..200), until: random.u64(200..3000) };
        let ended = run(&setting, plan, seed);
        faults += ended.faults;
        truncations += ended.truncations;
    }
    // Otherwise the runs have shown nothing.
    assert!(is_one || (faults > 0 && truncations > 0), "{faults} faults, {truncations} truncations");
}

#[test]
fn a_crash_before_or_after_any_call_changes_nothing() {
    let setting =
        Setting { partitions: 2, records: 60, workers: 1, clock_source: ClockSource::Touchpoints, is_restless: false };
    let calls = run(&setting, Plan::Never, 1).calls;
    for call in 0..calls {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            let _named = Named(format!("{fault:?} at call {call} of {calls}"));
            run(&setting, Plan::At(call, fault), 1);
        }
    }
}

#[test]
fn past_the_limit_of_memory_nothing_is_read_until_customers_are_gone() {
    let log = Rc::new(RefCell::new(Log::new(2, Faults::new(Plan::Never, 1))));
    let history = history(&mut fastrand::Rng::with_seed(1), 2, 100);
    for (partition, records) in (0..).zip(&history) {
        for (key, value) in records {
            log.borrow_mut().append(TOUCHPOINTS, partition, key, value.as_deref());
        }
    }
    // Nobody is forgotten, which would make room too.
    let facts = FactOptions::default();
    let options = Options { state_bytes_max: 4000, facts, ..options(ClockSource::Touchpoints) };
    let (_questions, queries) = channel();
    let member = SimulatedMember::join(&log, "limited");
    let mut worker = Worker::new(member, Arc::clone(&MODELS), Arc::new(options), queries);
    let mut step_for = |seconds: u64| {
        for _ in 0..seconds * 10 {
            log.borrow_mut().advance(Duration::from_millis(100));
            let elapsed = log.borrow().elapsed;
            worker.step(Moment { wall: Timestamp::from_millis(BEGIN + WALL_AHEAD), elapsed }).expect("nothing fails");
        }
        worker.status()
    };
    let status = step_for(10);
    let read = |status: &Status| status.partitions.iter().map(|partition| partition.position).sum::<i64>();
    let bytes: usize = status.partitions.iter().map(|partition| partition.bytes).sum();
    assert!(bytes >= 4000 && status.is_over_limit && !status.is_ready(), "{status:?}");

    // What is written now stays unread.
    let (key, value) = &history[0][0];
    log.borrow_mut().append(TOUCHPOINTS, 0, key, value.as_deref());
    assert_eq!(read(&step_for(10)), read(&status));

    // A second member takes one of the partitions, and there is room again.
    let second = SimulatedMember::join(&log, "second");
    let status = step_for(10);
    assert_eq!(status.partitions.len(), 1);
    assert!(!status.is_over_limit && status.is_ready(), "{status:?}");
    drop(second);
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

fn run(setting: &Setting, plan: Plan, seed: u64) -> Ended {
    let mut random = fastrand::Rng::with_seed(seed);
    let history = history(&mut random, setting.partitions, setting.records);
    // By the wall, the years since the history have passed once everything is read.
    let is_by_wall = setting.clock_source == ClockSource::Wall;
    let expected = expected(&history, is_by_wall.then(|| Timestamp::from_millis(BEGIN + WALL_AHEAD)));
    let log = Rc::new(RefCell::new(Log::new(setting.partitions, Faults::new(plan, seed))));
    let mut simulation = Simulation {
        log,
        options: Arc::new(options(setting.clock_source)),
        slots: (0..setting.workers).map(|_| None).collect(),
        questions: vec![None; setting.workers],
        dead: Vec::new(),
        unfed: history.clone(),
        // What wall time has passed before it is written is late, and published otherwise.
        fed_at_once: is_by_wall,
        is_restless: setting.is_restless,
        random,
        truncations: 0,
    };
    simulation.run_to_rest();
    simulation.check(&history, &expected);
    simulation.ask(&expected);
    let log = simulation.log.borrow();
    Ended { calls: log.faults.calls(), faults: log.faults.dealt, truncations: simulation.truncations }
}

fn options(clock_source: ClockSource) -> Options {
    Options {
        topics: Topics {
            touchpoints: TOUCHPOINTS.into(),
            transitions: TRANSITIONS.into(),
            replay: REPLAY.into(),
            dead_letters: DEAD_LETTERS.into(),
            changelog: CHANGELOG.into(),
        },
        partitions: None,
        clock_source,
        max_ahead: time::Duration::from_millis(900_000),
        facts: facts(),
        // One topic, so that the order of one customer's transitions can be seen.
        fresh_for: time::Duration::from_days(100_000),
        commit_interval: Duration::from_millis(100),
        touchpoint_bytes_max: BYTES_MAX,
        state_bytes_max: usize::MAX,
        sweep: SweepOptions { log_bytes_min: 16 << 10, period: Duration::from_mins(10), step_bytes_min: 1000 },
        cloud_events: CloudEvents { source: "/simulation".to_owned(), with_subject: false },
    }
}

impl Simulation {
    fn run_to_rest(&mut self) {
        let mut at_rest = 0;
        for _ in 0..ROUNDS_MAX {
            self.feed();
            self.disturb();
            // Once nothing is left to do, time goes on in larger steps, until the last wake-up has been worked off.
            let pace = if at_rest > 0 { 2000 } else { self.random.u64(1..80) };
            self.log.borrow_mut().advance(Duration::from_millis(pace));
            for slot in 0..self.slots.len() {
                self.step(slot);
            }
            at_rest = if self.is_done() { at_rest + 1 } else { 0 };
            if at_rest >= ROUNDS_AT_REST {
                return;
            }
        }
        let statuses: Vec<_> = self.slots.iter().flatten().map(Worker::status).collect();
        let log = self.log.borrow();
        let ends: Vec<_> =
            (0..).zip(&self.unfed).map(|(partition, unfed)| (log.range(TOUCHPOINTS, partition), unfed.len())).collect();
        panic!("no rest after {ROUNDS_MAX} rounds: {ends:?}, {:?}, {statuses:?}", log.committed);
    }

    /// Writes some of the touchpoints that are not yet in the topic.
    fn feed(&mut self) {
        let mut log = self.log.borrow_mut();
        for (partition, unfed) in (0..).zip(&mut self.unfed) {
            let some = if self.fed_at_once { unfed.len() } else { self.random.usize(..4).min(unfed.len()) };
            for (key, value) in unfed.drain(..some) {
                log.append(TOUCHPOINTS, partition, &key, value.as_deref());
                if self.random.u32(..10) == 0 {
                    log.append_control(TOUCHPOINTS, partition);
                }
            }
        }
    }

    /// Has the group learn of deaths, and now and then changes it.
    fn disturb(&mut self) {
        let mut log = self.log.borrow_mut();
        let elapsed = log.elapsed;
        let (over, dead) = self.dead.iter().partition(|(at, _)| *at <= elapsed);
        self.dead = dead;
        let over: Vec<(Duration, group::MemberId)> = over;
        for (_, member) in over {
            log.group.remove(member);
        }
        if !self.is_restless || log.faults.are_over() {
            return;
        }
        match self.random.u32(..200) {
            0 => log.group.turn(),
            1 => {
                let slot = self.random.usize(..self.slots.len());
                if let Some(worker) = &self.slots[slot] {
                    log.group.expel(worker.member().id);
                }
            }
            2 => {
                drop(log);
                let slot = self.random.usize(..self.slots.len());
                let now = self.now();
                if let Some(worker) = self.slots[slot].take() {
                    let (member, report) = (worker.member().id, worker.report().truncations);
                    self.truncations += report;
                    if let Err(fatal) = worker.stop(now) {
                        self.bury(member, fatal);
                    }
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, slot: usize) {
        let now = self.now();
        let Some(worker) = &mut self.slots[slot] else {
            if self.random.u32(..8) == 0 {
                let member = SimulatedMember::join(&self.log, &format!("simulation-{slot}"));
                let (questions, queries) = channel();
                self.questions[slot] = Some(questions);
                let options = Arc::clone(&self.options);
                self.slots[slot] = Some(Worker::new(member, Arc::clone(&MODELS), options, queries));
            }
            return;
        };
        if let Err(fatal) = worker.step(now) {
            let (member, truncations) = (worker.member().id, worker.report().truncations);
            self.truncations += truncations;
            self.slots[slot] = None;
            self.bury(member, fatal);
        }
    }

    fn bury(&mut self, member: group::MemberId, fatal: Fatal) {
        match fatal {
            Fatal::Client(error) if error.code == CRASH => {
                let after = Duration::from_millis(self.random.u64(..6000));
                let at = self.log.borrow().elapsed + after;
                self.dead.push((at, member));
            }
            fatal => panic!("a worker stopped: {fatal}"),
        }
    }

    fn now(&self) -> Moment {
        let elapsed = self.log.borrow().elapsed;
        let since = i64::try_from(elapsed.as_millis()).expect("a run is short");
        Moment { wall: Timestamp::from_millis(BEGIN + WALL_AHEAD + since), elapsed }
    }

    fn is_done(&self) -> bool {
        let log = self.log.borrow();
        let is_read = |partition| {
            let (_, end) = log.range(TOUCHPOINTS, partition);
            let committed = log.committed.get(&partition).map_or(0, |(offset, _)| *offset);
            // Control records need no committing.
            log.read(TOUCHPOINTS, partition, committed, 1).0.is_empty() && end > 0
        };
        let partitions = PartitionId::try_from(self.unfed.len()).expect("a test has few partitions");
        self.unfed.iter().all(Vec::is_empty)
            && (0..partitions).all(is_read)
            && self.dead.is_empty()
            && log.faults.are_over()
            && self.slots.iter().all(|slot| {
                slot.as_ref().is_some_and(|worker| worker.status().is_ready() && !worker.status().has_pending_changes)
            })
    }

    fn check(&mut self, history: &History, expected: &Expected) {
        self.truncations += self.slots.iter().flatten().map(|worker| worker.report().truncations).sum::<u64>();
        let log = self.log.borrow();
        let mut published: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for record in log.read_all(TRANSITIONS) {
            let value = record.value.expect("a transition has a value");
            let json: serde_json::Value = serde_json::from_slice(&value).expect("a transition is JSON");
            let text = |field: &str| json[field].as_str().expect("a text").to_owned();
            assert_eq!(record.key.as_deref(), Some(text("customer_id").as_bytes()));
            published.entry(text("customer_id")).or_default().push(text("transition_id"));
        }
        for (customer, expected) in &expected.published {
            assert_eq!(published.get(customer), Some(expected), "{customer}");
        }
        assert_eq!(published.len(), expected.published.len());
        assert!(log.read_all(REPLAY).is_empty());
        assert_eq!(log.read_all(DEAD_LETTERS).len(), expected.dead_letters);
        for (partition, customers) in (0..).zip(&expected.customers) {
            let restored = restore(&log, partition);
            let restored: Vec<_> = restored.customers().collect();
            assert_eq!(&restored, customers, "partition {partition} of {}", history.len());
        }
    }
}

impl Simulation {
    /// Asks every worker for a customer of each partition: the one that has it says what is true.
    fn ask(&mut self, expected: &Expected) {
        for (partition, customers) in (0..).zip(&expected.customers) {
            let Some(asked) = customers.first() else { continue };
            let (answer, answers) = channel();
            for question in self.questions.iter().flatten() {
                let customer_id = asked.customer_id.clone();
                let answer = answer.clone();
                let answer = Box::new(move |of_worker| answer.send(of_worker).expect("an answer is waited for"));
                question.send(Query { customer_id, answer }).expect("the worker is there");
            }
            for slot in 0..self.slots.len() {
                self.step(slot);
            }
            let mut found = Vec::new();
            for answer in answers.try_iter() {
                match answer {
                    CustomerAnswer::Found { partition, customer } => found.push((partition, customer.view())),
                    CustomerAnswer::Unknown => {}
                    CustomerAnswer::Restoring => panic!("everything has come to rest"),
                }
            }
            assert_eq!(found, [(partition, asked.clone())]);
        }
    }
}

/// The partition as its changelog has it.
fn restore(log: &Log, partition: PartitionId) -> Partition {
    let (_, text) = &log.committed[&partition];
    let metadata = OffsetMetadata::decode(text).expect("readable").expect("there");
    let mut machine = Partition::new(Arc::clone(&MODELS), facts());
    let mut decoder = ChangelogDecoder::default();
    for record in log.read(CHANGELOG, partition, metadata.changelog_start, usize::MAX).0 {
        let value = record.value.expect("a batch has a value");
        let batch = decoder.decode(&value).expect("readable");
        machine.restore(&batch.layout, &batch.customers).expect("readable");
    }
    machine.end_restore(metadata.clock);
    machine
}
