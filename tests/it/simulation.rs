//! Deterministic simulation: workers run on an in-memory log with injected faults. After any sequence of faults, a
//! read-committed consumer receives for each customer the transitions that the naive oracle computes, with the ids and
//! in the order of a run without faults.
//!
//! The seed determines the whole run. A failed run prints its seed; `LIFECYCLE_SIMULATION_SEED=17` repeats it.
//! `LIFECYCLE_SIMULATION_SEEDS=100000` runs more seeds than the default, starting at `LIFECYCLE_SIMULATION_FROM`; see
//! docs/reliability.md. For the tests that inject a fault at each call of a run, `LIFECYCLE_SIMULATION_CALL=56` selects
//! a single call.

mod calls;
mod expectation;
mod faults;
mod group;
mod hand_overs;
mod history;
mod log;
mod member;
mod occurrences;
mod persons;
mod result_check;
mod run_config;
mod simulated_run;
mod transactions;
mod wall_clock;

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::runtime::{ClockSource, MemoryBudget, Moment, Options, Worker};
use lifecycle_processor::telemetry::snapshot::Status;

use expectation::{dead_letters, expected};
use faults::{Fault, Faults, Plan};
use history::{BEGIN, History, InputRecord, MODELS, history};
use log::{Log, TOUCHPOINTS};
use member::SimulatedMember;
use occurrences::Occurrences;
use run_config::{Merges, RunConfig};
use simulated_run::SimulatedRun;

/// Number of seeds of a normal test run.
const SEEDS: u64 = 1000;

/// Prints how to repeat a run if it panics.
struct PrintOnPanic(String);

impl Drop for PrintOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed run: {}", self.0);
        }
    }
}

#[test]
fn every_transition_is_published_once_and_in_order_despite_faults() {
    let required = Fault::ALL.map(Fault::name).into_iter().chain(REQUIRED_EVENTS.iter().copied());
    run_seeds("", RunConfig::random, simulate, required);
}

#[test]
fn visitors_become_customers_once_despite_faults() {
    let required =
        ["worker: visitors merged", "worker: touchpoints forwarded", "worker: links refused", "group: offset set back"];
    run_seeds(", with links", RunConfig::random_with_links, simulate_links, required);
}

/// Simulates each seed, named with `suffix` if it fails, with the configuration and a random plan of faults that it
/// determines. Without the `required` events, the runs would not have tested the recovery from them.
fn run_seeds(
    suffix: &str,
    config: impl Fn(&mut fastrand::Rng) -> RunConfig + Sync,
    simulate: impl Fn(&RunConfig, Plan, u64) -> (Occurrences, u64) + Sync,
    required: impl IntoIterator<Item = &'static str>,
) {
    let from = env_number("LIFECYCLE_SIMULATION_FROM").unwrap_or_default();
    let seeds = match (env_number("LIFECYCLE_SIMULATION_SEED"), env_number("LIFECYCLE_SIMULATION_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, seeds) => from..from + seeds.unwrap_or(SEEDS),
    };
    let count = seeds.end - seeds.start;
    let occurrences = run_in_parallel(seeds, |seed| {
        let _named = PrintOnPanic(format!("LIFECYCLE_SIMULATION_SEED={seed}{suffix}"));
        let mut random = fastrand::Rng::with_seed(seed);
        let config = config(&mut random);
        let plan =
            Plan::Random { one_in: random.u32(4..80), one_in_burst: random.u32(2..20), until: random.u64(100..2000) };
        simulate(&config, plan, seed).0
    });
    println!("{count} seeds\n{occurrences}");
    if count >= SEEDS {
        for what in required {
            assert!(occurrences.of(what) > 0, "event missing in all {count} runs: {what}\n{occurrences}");
        }
    }
}

#[test]
fn a_fault_at_any_call_of_a_run_with_links_changes_nothing() {
    let merges = Merges::Any;
    let config = RunConfig { has_links: true, merges, ..RunConfig::undisturbed(2, ClockSource::Touchpoints) };
    let calls = simulate_links(&config, Plan::Never, 1).1;
    run_in_parallel(call_range(calls), |call| {
        let mut occurrences = Occurrences::default();
        for fault in Fault::ALL {
            let _named = PrintOnPanic(format!("{fault:?} at call {call} of {calls}, with links"));
            occurrences.merge(&simulate_links(&config, Plan::At(vec![(call, fault)]), 1).0);
        }
        occurrences
    });
}

/// Events, besides the faults, that must occur in at least one run.
const REQUIRED_EVENTS: &[&str] = &[
    "broker: fenced producer rejected",
    "broker: late request applied",
    "broker: late request rejected",
    "broker: transaction timed out",
    "broker: truncation forbidden",
    "clock: wall time stepped",
    "group: commit with an older generation rejected",
    "group: frozen member expelled",
    "group: member expelled",
    "group: offset set back",
    "group: partitions changed owners",
    "process: stopped",
    "worker: changelogs truncated",
    "worker: truncations failed",
];

#[test]
fn a_fault_at_any_call_changes_nothing() {
    for (workers, clock_source) in [(1, ClockSource::Touchpoints), (2, ClockSource::Wall)] {
        let config = RunConfig::undisturbed(workers, clock_source);
        let calls = simulate(&config, Plan::Never, 1).1;
        run_in_parallel(call_range(calls), |call| {
            let mut occurrences = Occurrences::default();
            for fault in Fault::ALL {
                let _named = PrintOnPanic(format!("{fault:?} at call {call} of {calls}, {workers} workers"));
                occurrences.merge(&simulate(&config, Plan::At(vec![(call, fault)]), 1).0);
            }
            occurrences
        });
    }
}

#[test]
fn a_second_fault_during_recovery_changes_nothing() {
    let config = RunConfig::undisturbed(2, ClockSource::Touchpoints);
    let calls = simulate(&config, Plan::Never, 1).1;
    run_in_parallel(call_range(calls), |call| {
        let mut random = fastrand::Rng::with_seed(call);
        let mut occurrences = Occurrences::default();
        for gap in 1..=6 {
            let (first, second) = (random.choice(Fault::ALL), random.choice(Fault::ALL));
            let (first, second) = (first.expect("there are faults"), second.expect("there are faults"));
            let _named = PrintOnPanic(format!("{first:?} at call {call} of {calls}, {second:?} {gap} calls later"));
            occurrences.merge(&simulate(&config, Plan::At(vec![(call, first), (call + gap, second)]), 1).0);
        }
        occurrences
    });
}

/// Stops the other threads when one panics.
struct StopOnPanic<'n> {
    next: &'n AtomicU64,
    end: u64,
}

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.next.store(self.end, Ordering::Relaxed);
        }
    }
}

/// Runs `test` for each number, with one thread per core.
fn run_in_parallel(numbers: std::ops::Range<u64>, test: impl Fn(u64) -> Occurrences + Sync) -> Occurrences {
    let next = AtomicU64::new(numbers.start);
    let sum = Mutex::new(Occurrences::default());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let _end = StopOnPanic { next: &next, end: numbers.end };
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= numbers.end {
                        return;
                    }
                    let occurrences = test(number);
                    sum.lock().expect("no thread panicked").merge(&occurrences);
                }
            });
        }
    });
    sum.into_inner().expect("no thread panicked")
}

/// All calls, or the one that the environment selects.
fn call_range(calls: u64) -> std::ops::Range<u64> {
    env_number("LIFECYCLE_SIMULATION_CALL").map_or(0..calls, |call| call..call + 1)
}

fn env_number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Executes one run in which visitors become customers, and customers are merged.
fn simulate_links(config: &RunConfig, plan: Plan, seed: u64) -> (Occurrences, u64) {
    let history = persons::history(&mut fastrand::Rng::with_seed(seed), config);
    let run = SimulatedRun::new(config, &history, plan, seed);
    run.run_until_idle();
    let expected = dead_letters(&history);
    result_check::check_dead_letters(&run.log.borrow(), &expected);
    if config.has_conflicts {
        persons::check_conflicts(&run, config, &history);
    } else {
        persons::check(&run, config, &history, config.uses_wall_clock().then(|| SimulatedRun::wall_end(&history)));
    }
    let occurrences = run.close();
    result_check::check_counts(&run, &expected);
    let calls = run.log.borrow().faults.calls();
    (occurrences, calls)
}

/// Executes one run. Returns the events that occurred and the number of calls.
fn simulate(config: &RunConfig, plan: Plan, seed: u64) -> (Occurrences, u64) {
    let history = history(&mut fastrand::Rng::with_seed(seed), config);
    let expected = expected(
        &history,
        config.forgets_customers,
        config.uses_wall_clock().then(|| SimulatedRun::wall_end(&history)),
    );
    let run = SimulatedRun::new(config, &history, plan, seed);
    run.run_until_idle();
    result_check::check(&run, &expected);
    let occurrences = run.close();
    result_check::check_counts(&run, &expected);
    let calls = run.log.borrow().faults.calls();
    (occurrences, calls)
}

/// State limit of a `limited` worker, in bytes.
const LIMIT: usize = 4000;

/// Returns a log with two partitions, and enough touchpoints to exceed the limit.
fn full_log() -> (Rc<RefCell<Log>>, History) {
    let log = Rc::new(RefCell::new(Log::new(2, Faults::new(Plan::Never, 1))));
    let config = RunConfig { records: 100, ..RunConfig::undisturbed(1, ClockSource::Touchpoints) };
    (log, history(&mut fastrand::Rng::with_seed(1), &config))
}

fn write<'a>(log: &Rc<RefCell<Log>>, partition: i32, records: impl IntoIterator<Item = &'a InputRecord>) {
    for record in records {
        log.borrow_mut().append(TOUCHPOINTS, partition, record);
    }
}

fn limited(log: &Rc<RefCell<Log>>, name: &str) -> Worker<SimulatedMember> {
    let options = Options { state_bytes_max: LIMIT, ..RunConfig::undisturbed(1, ClockSource::Touchpoints).options() };
    let (_query_sender, queries) = channel();
    let member = SimulatedMember::join(log, Weak::new(), name, None);
    Worker::new(member, Arc::clone(&MODELS), Arc::new(options), queries)
}

fn run_for(seconds: u64, log: &Rc<RefCell<Log>>, workers: &mut [Worker<SimulatedMember>]) {
    for _ in 0..seconds * 10 {
        log.borrow_mut().advance(Duration::from_millis(100));
        let elapsed = log.borrow().elapsed;
        for worker in &mut *workers {
            worker.step(|| Moment { wall: Timestamp::from_millis(BEGIN), elapsed }).expect("nothing fails");
        }
    }
}

#[test]
fn consumption_pauses_above_the_memory_limit() {
    let (log, history) = full_log();
    for (partition, records) in (0..).zip(&history) {
        write(&log, partition, records);
    }
    let workers = &mut [limited(&log, "limited")];
    run_for(10, &log, workers);
    let status = workers[0].status();
    let position = |status: &Status| status.partitions.iter().map(|partition| partition.position).sum::<i64>();
    let bytes: usize = status.partitions.iter().map(|partition| partition.bytes).sum();
    assert!(bytes >= LIMIT && status.is_over_limit && !status.is_ready(), "{status:?}");

    // Records written now are not consumed, but count as lag.
    let lags =
        |status: &Status| -> Vec<_> { status.partitions.iter().map(|partition| partition.lag_records).collect() };
    let unread = [0, 1].map(|index| lags(&status)[index].expect("the end offset is known"));
    write(&log, 0, [&history[0][0]]);
    run_for(10, &log, workers);
    let later = workers[0].status();
    assert_eq!(position(&later), position(&status));
    assert_eq!(lags(&later), [Some(unread[0] + 1), Some(unread[1])]);

    // A second member takes over one of the partitions, and the first one is below the limit again.
    let second = SimulatedMember::join(&log, Weak::new(), "second", None);
    run_for(10, &log, workers);
    let status = workers[0].status();
    let [remaining] = &status.partitions[..] else { panic!("{status:?}") };
    assert!(!status.is_over_limit && status.is_ready(), "{status:?}");
    assert_eq!(remaining.lag_records, Some(0));
    drop(second);
}

#[test]
fn the_memory_limit_applies_to_all_workers_of_a_process_together() {
    for is_one_process in [true, false] {
        let (log, history) = full_log();
        write(&log, 0, history.iter().flatten());
        let memory_budget = Arc::<MemoryBudget>::default();
        let workers = &mut ["a", "b"].map(|name| {
            let worker = limited(&log, name);
            if is_one_process { worker.with_memory_budget(Arc::clone(&memory_budget)) } else { worker }
        });
        run_for(10, &log, workers);
        write(&log, 1, history.iter().flatten().take(5));
        run_for(10, &log, workers);
        let [mut has_none, mut has_all] = [None, None];
        for worker in workers {
            let status = worker.status();
            let [partition] = &status.partitions[..] else { panic!("one partition each: {status:?}") };
            let result = if partition.partition == 0 { &mut has_all } else { &mut has_none };
            *result = Some((status.is_over_limit, partition.position, partition.lag_records));
        }
        assert!(has_all.is_some_and(|(is_over_limit, ..)| is_over_limit), "{has_all:?}");
        let expected = if is_one_process { (true, 0, Some(5)) } else { (false, 5, Some(0)) };
        assert_eq!(has_none, Some(expected), "in one process: {is_one_process}");
    }
}
