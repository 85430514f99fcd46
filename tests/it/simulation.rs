//! The worker on a log in memory in which everything goes wrong: whatever it was, a reader of what is committed sees
//! for each customer what the naive oracle says, with the ids and in the order of a run in which nothing did.
//!
//! A seed decides everything, so that a failing one, printed, fails again: `LIFECYCLE_SIMULATION_SEED=17`. More seeds than
//! those of every test run: `LIFECYCLE_SIMULATION_SEEDS=100000`, from `LIFECYCLE_SIMULATION_FROM` on; see docs/reliability.md.
//! The tests that go through the calls of one run one by one take `LIFECYCLE_SIMULATION_CALL=56`.

mod calls;
mod expectation;
mod faults;
mod group;
mod history;
mod log;
mod member;
mod setting;
mod tally;
mod transactions;
mod verdict;
mod wall;
mod world;

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::runtime::{ClockSource, Moment, Options, Scales, Status, Worker};

use expectation::expected;
use faults::{Fault, Faults, Plan};
use history::{BEGIN, History, InputRecord, MODELS, history};
use log::{Log, TOUCHPOINTS};
use member::SimulatedMember;
use setting::Setting;
use tally::Tally;
use world::World;

/// How many seeds every test run tries.
const SEEDS: u64 = 1000;

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
    let from = variable("LIFECYCLE_SIMULATION_FROM").unwrap_or_default();
    let seeds = match (variable("LIFECYCLE_SIMULATION_SEED"), variable("LIFECYCLE_SIMULATION_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, seeds) => from..from + seeds.unwrap_or(SEEDS),
    };
    let count = seeds.end - seeds.start;
    let tally = on_every_core(seeds, |seed| {
        let _named = Named(format!("LIFECYCLE_SIMULATION_SEED={seed}"));
        let mut random = fastrand::Rng::with_seed(seed);
        let setting = Setting::by_chance(&mut random);
        let plan =
            Plan::Random { one_in: random.u32(4..80), one_in_burst: random.u32(2..20), until: random.u64(100..2000) };
        run(&setting, plan, seed).0
    });
    println!("{count} seeds\n{tally}");
    if count >= SEEDS {
        // Otherwise the runs have shown nothing.
        for what in Fault::ALL.map(Fault::name).iter().chain(MUST_HAPPEN) {
            assert!(tally.of(what) > 0, "none of {count} runs had: {what}\n{tally}");
        }
    }
}

/// What some run has to meet beside the faults.
const MUST_HAPPEN: &[&str] = &[
    "broker: fenced producer refused",
    "broker: late request carried out",
    "broker: late request refused",
    "broker: transaction timed out",
    "broker: truncation forbidden",
    "clock: wall time stepped",
    "group: commit of an older generation refused",
    "group: frozen member expelled",
    "group: member expelled",
    "group: partitions change hands",
    "process: stopped",
    "worker: changelogs truncated",
    "worker: truncations failed",
];

#[test]
fn whatever_goes_wrong_at_any_one_call_changes_nothing() {
    for (workers, clock_source) in [(1, ClockSource::Touchpoints), (2, ClockSource::Wall)] {
        let setting = Setting::calm(workers, clock_source);
        let calls = run(&setting, Plan::Never, 1).1;
        on_every_core(calls_of(calls), |call| {
            let mut tally = Tally::default();
            for fault in Fault::ALL {
                let _named = Named(format!("{fault:?} at call {call} of {calls}, {workers} workers"));
                tally.merge(&run(&setting, Plan::At(vec![(call, fault)]), 1).0);
            }
            tally
        });
    }
}

#[test]
fn whatever_goes_wrong_soon_after_something_else_changes_nothing() {
    let setting = Setting::calm(2, ClockSource::Touchpoints);
    let calls = run(&setting, Plan::Never, 1).1;
    on_every_core(calls_of(calls), |call| {
        let mut random = fastrand::Rng::with_seed(call);
        let mut tally = Tally::default();
        for gap in 1..=6 {
            let (first, second) = (random.choice(Fault::ALL), random.choice(Fault::ALL));
            let (first, second) = (first.expect("there are faults"), second.expect("there are faults"));
            let _named = Named(format!("{first:?} at call {call} of {calls}, {second:?} {gap} calls later"));
            tally.merge(&run(&setting, Plan::At(vec![(call, first), (call + gap, second)]), 1).0);
        }
        tally
    });
}

/// Ends the other threads as well when one panics.
struct EndOfAll<'n> {
    next: &'n AtomicU64,
    end: u64,
}

impl Drop for EndOfAll<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.next.store(self.end, Ordering::Relaxed);
        }
    }
}

/// Runs `test` for each number, on as many threads as there are cores.
fn on_every_core(numbers: std::ops::Range<u64>, test: impl Fn(u64) -> Tally + Sync) -> Tally {
    let next = AtomicU64::new(numbers.start);
    let sum = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let _end = EndOfAll { next: &next, end: numbers.end };
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= numbers.end {
                        return;
                    }
                    let tally = test(number);
                    sum.lock().expect("no thread panicked").merge(&tally);
                }
            });
        }
    });
    sum.into_inner().expect("no thread panicked")
}

/// Every call, or the one asked for.
fn calls_of(calls: u64) -> std::ops::Range<u64> {
    variable("LIFECYCLE_SIMULATION_CALL").map_or(0..calls, |call| call..call + 1)
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// One run; what happened in it, and how many calls were made.
fn run(setting: &Setting, plan: Plan, seed: u64) -> (Tally, u64) {
    let history = history(&mut fastrand::Rng::with_seed(seed), setting);
    let expected = expected(&history, setting.forgets, setting.is_by_wall().then(|| World::end_of_time(&history)));
    let world = World::new(setting, &history, plan, seed);
    world.run_to_rest();
    verdict::check(&world, &expected);
    let tally = world.close();
    verdict::check_counts(&world, &expected);
    let calls = world.log.borrow().faults.calls();
    (tally, calls)
}

/// How much memory the customers of a limited worker may take.
const LIMIT: usize = 4000;

/// A log of two partitions, and touchpoints enough to fill the memory.
fn full_log() -> (Rc<RefCell<Log>>, History) {
    let log = Rc::new(RefCell::new(Log::new(2, Faults::new(Plan::Never, 1))));
    let setting = Setting { records: 100, ..Setting::calm(1, ClockSource::Touchpoints) };
    (log, history(&mut fastrand::Rng::with_seed(1), &setting))
}

fn write<'a>(log: &Rc<RefCell<Log>>, partition: i32, records: impl IntoIterator<Item = &'a InputRecord>) {
    for record in records {
        log.borrow_mut().append(TOUCHPOINTS, partition, record);
    }
}

fn limited(log: &Rc<RefCell<Log>>, name: &str) -> Worker<SimulatedMember> {
    let options = Options { state_bytes_max: LIMIT, ..Setting::calm(1, ClockSource::Touchpoints).options() };
    let (_nobody_asks, queries) = channel();
    let member = SimulatedMember::join(log, Weak::new(), name, None);
    Worker::new(member, Arc::clone(&MODELS), Arc::new(options), queries)
}

fn step_for(seconds: u64, log: &Rc<RefCell<Log>>, workers: &mut [Worker<SimulatedMember>]) {
    for _ in 0..seconds * 10 {
        log.borrow_mut().advance(Duration::from_millis(100));
        let elapsed = log.borrow().elapsed;
        for worker in &mut *workers {
            worker.step(|| Moment { wall: Timestamp::from_millis(BEGIN), elapsed }).expect("nothing fails");
        }
    }
}

#[test]
fn past_the_limit_of_memory_nothing_is_read_until_customers_are_gone() {
    let (log, history) = full_log();
    for (partition, records) in (0..).zip(&history) {
        write(&log, partition, records);
    }
    let workers = &mut [limited(&log, "limited")];
    step_for(10, &log, workers);
    let status = workers[0].status();
    let read = |status: &Status| status.partitions.iter().map(|partition| partition.position).sum::<i64>();
    let bytes: usize = status.partitions.iter().map(|partition| partition.bytes).sum();
    assert!(bytes >= LIMIT && status.is_over_limit && !status.is_ready(), "{status:?}");

    // What is written now stays unread, and is seen to.
    let unread = [0, 1].map(|partition| workers[0].lag(partition).expect("the end has been asked for"));
    write(&log, 0, [&history[0][0]]);
    step_for(10, &log, workers);
    assert_eq!(read(&workers[0].status()), read(&status));
    assert_eq!([0, 1].map(|partition| workers[0].lag(partition)), [Some(unread[0] + 1), Some(unread[1])]);

    // A second member takes one of the partitions, and there is room again.
    let second = SimulatedMember::join(&log, Weak::new(), "second", None);
    step_for(10, &log, workers);
    let status = workers[0].status();
    let [left] = &status.partitions[..] else { panic!("{status:?}") };
    assert!(!status.is_over_limit && status.is_ready(), "{status:?}");
    assert_eq!(workers[0].lag(left.partition), Some(0));
    drop(second);
}

#[test]
fn the_memory_of_a_process_is_that_of_all_its_workers_whoever_has_the_customers() {
    for is_one_process in [true, false] {
        let (log, history) = full_log();
        write(&log, 0, history.iter().flatten());
        let scales = Arc::<Scales>::default();
        let workers = &mut ["a", "b"].map(|name| {
            let worker = limited(&log, name);
            if is_one_process { worker.weighed_on(Arc::clone(&scales)) } else { worker }
        });
        step_for(10, &log, workers);
        write(&log, 1, history.iter().flatten().take(5));
        step_for(10, &log, workers);
        let [mut has_none, mut has_all] = [None, None];
        for worker in workers {
            let status = worker.status();
            let [partition] = &status.partitions[..] else { panic!("one partition each: {status:?}") };
            let place = if partition.partition == 0 { &mut has_all } else { &mut has_none };
            *place = Some((status.is_over_limit, partition.position, worker.lag(partition.partition)));
        }
        assert!(has_all.is_some_and(|(is_over_limit, ..)| is_over_limit), "{has_all:?}");
        let expected = if is_one_process { (true, 0, Some(5)) } else { (false, 5, Some(0)) };
        assert_eq!(has_none, Some(expected), "in one process: {is_one_process}");
    }
}
