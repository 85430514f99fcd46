//! One worker whose wall clock jumps: wake-ups fire neither too early nor twice, and processing does not stall.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use lifecycle_processor::kafka::Record;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::runtime::{ClockSource, Moment, Options, Worker};
use lifecycle_processor::wire::time::format_timestamp;

use super::expectation::{Expected, expected};
use super::faults::{Faults, Plan};
use super::group::MemberId;
use super::history::{BEGIN, InputRecord, MODELS};
use super::log::{CHANGELOG, DEAD_LETTERS, Log, TOUCHPOINTS, TRANSITIONS};
use super::member::SimulatedMember;
use super::run_config::RunConfig;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// The lateness of `FactOptions::default`.
const LATENESS: i64 = MINUTE;
/// Wall time per step, in milliseconds.
const STEP: i64 = 10;

fn start_worker(log: &Rc<RefCell<Log>>, dead: Option<MemberId>) -> Worker<SimulatedMember> {
    let (_query_sender, queries) = channel();
    let options = Options { facts: FactOptions::default(), ..RunConfig::undisturbed(1, ClockSource::Wall).options() };
    let member = SimulatedMember::join(log, Weak::new(), "one", dead);
    Worker::new(member, Arc::clone(&MODELS), Arc::new(options), queries)
}

/// A worker with one partition.
struct SingleWorkerRun {
    log: Rc<RefCell<Log>>,
    worker: Worker<SimulatedMember>,
    wall: i64,
    touchpoints: Vec<InputRecord>,
}

impl SingleWorkerRun {
    fn new(wall: i64) -> Self {
        let log = Rc::new(RefCell::new(Log::new(1, Faults::new(Plan::Never, 1))));
        let worker = start_worker(&log, None);
        Self { log, worker, wall, touchpoints: Vec::new() }
    }

    /// Kills the worker and starts a new one without state.
    fn restart(&mut self) {
        let dead = self.worker.member().id;
        self.worker = start_worker(&self.log, Some(dead));
    }

    /// Writes a touchpoint of `customer`.
    fn write(&mut self, customer: &str, kind: &str, at: i64) {
        let (number, at) = (self.touchpoints.len(), format_timestamp(Timestamp::from_millis(at)));
        let value = format!(
            r#"{{"event_id":"e{number}","customer_id":"{customer}","type":"{kind}","occurred_at":"{at}","amount":10}}"#
        );
        let (key, value) = (customer.to_owned(), Some(value.into_bytes()));
        let record = InputRecord { key, value, arrives_at: self.wall, is_valid: true };
        self.log.borrow_mut().append(TOUCHPOINTS, 0, &record);
        self.touchpoints.push(record);
    }

    fn step(&mut self) {
        self.wall += STEP;
        self.log.borrow_mut().advance(Duration::from_millis(STEP.unsigned_abs()));
        let elapsed = self.log.borrow().elapsed;
        self.worker.step(|| Moment { wall: Timestamp::from_millis(self.wall), elapsed }).expect("nothing fails");
    }

    /// Runs for four seconds, so that pending probes and commits finish.
    fn run_until_settled(&mut self) {
        for _ in 0..400 {
            self.step();
        }
    }

    fn published(&self) -> BTreeMap<String, Vec<String>> {
        let mut published: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for record in self.log.borrow().read_all(TRANSITIONS) {
            let value = record.value.expect("a transition has a value");
            let json: serde_json::Value = serde_json::from_slice(&value).expect("a transition is JSON");
            let text = |field: &str| json[field].as_str().expect("a text").to_owned();
            published.entry(text("customer_id")).or_default().push(text("transition_id"));
        }
        published
    }

    /// Returns the expected transitions of all touchpoints, as of the current wall time.
    fn expected(&self) -> BTreeMap<String, Vec<String>> {
        // Customers that have ordered are never forgotten, and all customers here have.
        self.expected_at(self.wall - LATENESS).ids
    }

    fn expected_at(&self, until: i64) -> Expected {
        expected(&vec![self.touchpoints.iter().cloned().collect()], false, Some(until))
    }

    fn committed(&self) -> i64 {
        self.log.borrow().committed.get(&0).map_or(0, |(offset, _)| *offset)
    }
}

#[test]
fn a_wall_clock_that_jumps_ahead_does_not_fire_wake_ups_while_records_are_unread() {
    let mut run = SingleWorkerRun::new(BEGIN + HOUR);
    run.write("ann", "order_completed", BEGIN);
    run.run_until_settled();
    let before = run.published();
    // Half a year later by wall time, ann's new order is still unread, after the orders of others.
    run.wall += 180 * DAY;
    for number in 0..200 {
        run.write(&format!("other-{}", number % 5), "order_completed", BEGIN + HOUR + number * SECOND);
    }
    run.write("ann", "order_completed", BEGIN + HOUR + 201 * SECOND);
    let orders = 202;
    while run.committed() < orders {
        run.step();
        if run.committed() < orders {
            assert_eq!(run.published().get("ann"), before.get("ann"), "published while an order was unread");
        }
    }
    run.run_until_settled();
    let published = run.published();
    assert_eq!(published, run.expected());
    assert!(published["ann"].len() > before["ann"].len() + 1, "ann's wake-ups have fired in the end");
}

#[test]
fn setting_the_wall_clock_back_neither_repeats_nor_delays_transitions() {
    let mut run = SingleWorkerRun::new(BEGIN + HOUR);
    run.write("ann", "order_completed", BEGIN);
    run.write("bert", "order_completed", BEGIN + 30 * MINUTE);
    run.run_until_settled();
    run.wall += 180 * DAY;
    run.run_until_settled();
    let before = run.published();
    assert_eq!(before, run.expected());

    // Touchpoints are still read and published, and no wake-up fires twice.
    run.wall -= 5 * HOUR;
    run.run_until_settled();
    assert_eq!(run.published(), before);
    let now = run.wall;
    run.write("clara", "order_completed", now);
    run.run_until_settled();
    assert_eq!(run.committed(), 3);
    assert!(run.published().contains_key("clara"));

    // Once wall time has caught up, wake-ups fire again.
    run.wall += 200 * DAY;
    run.run_until_settled();
    let published = run.published();
    assert_eq!(published, run.expected());
    assert!(published["clara"].len() > 1 && published["ann"].len() >= before["ann"].len());
}

#[test]
fn a_touchpoint_in_the_future_does_not_fire_wake_ups_of_others_early() {
    let mut run = SingleWorkerRun::new(BEGIN + HOUR);
    run.write("ann", "order_completed", BEGIN);
    run.run_until_settled();
    let ann = &run.expected_at(BEGIN + HOUR).customers[0][0];
    let due = ann.next_wake_up.expect("a pending wake-up").as_millis();
    run.wall = due - 10 * MINUTE;
    run.run_until_settled();
    let before = run.published();
    // Less than `clock.max_ahead` in the future, and after the due time of ann's wake-up.
    let ahead = run.wall + 14 * MINUTE;
    run.write("bert", "order_completed", ahead);
    run.run_until_settled();
    assert_eq!(run.committed(), 2);
    assert!(run.published().contains_key("bert"));
    assert_eq!(run.published()["ann"], before["ann"], "her wake-up fired early");
    run.wall = due + LATENESS;
    run.run_until_settled();
    assert!(run.published()["ann"].len() > before["ann"].len());
    assert!(run.log.borrow().read_all(DEAD_LETTERS).is_empty());
}

#[test]
fn a_touchpoint_in_the_future_does_not_fire_wake_ups_while_other_records_are_unread() {
    let mut run = SingleWorkerRun::new(BEGIN + HOUR);
    run.write("ann", "order_completed", BEGIN);
    run.run_until_settled();
    let due = run.expected_at(BEGIN + HOUR).customers[0][0].next_wake_up.expect("a pending wake-up").as_millis();
    run.wall = due - 10 * MINUTE;
    run.run_until_settled();
    // The worker does not run while these records arrive. The clock of bert's device is wrong; ann orders before her
    // wake-up is due and keeps her stage.
    let ahead = run.wall + 14 * MINUTE;
    run.write("bert", "order_completed", ahead);
    for number in 0..200 {
        let now = run.wall;
        run.write(&format!("other-{}", number % 5), "order_completed", now);
        run.wall += SECOND;
    }
    let now = run.wall;
    assert!(now < due);
    run.write("ann", "order_completed", now);
    run.wall = due + 5 * MINUTE;
    run.step();
    let position = run.worker.status().partitions[0].position;
    assert!(position > 1 && position < 203, "her order is not read with bert's: {position}");
    run.run_until_settled();
    assert_eq!(run.committed(), 203);
    // The expectation is computed without bert's touchpoint: by event time, it would have fired her wake-up.
    run.touchpoints.retain(|record| record.key != "bert");
    assert_eq!(run.published()["ann"], run.expected()["ann"]);
}

#[test]
fn a_postponed_wake_up_is_not_reported_as_overdue_during_a_restore() {
    let mut run = SingleWorkerRun::new(BEGIN);
    // Each order postpones the wake-up that the previous one scheduled.
    for day in (1..=101).step_by(10) {
        run.wall = BEGIN + day * DAY;
        let now = run.wall;
        run.write("ann", "order_completed", now);
        run.run_until_settled();
    }
    run.restart();
    let lateness = FactOptions::default().lateness;
    let (mut was_armed_early, mut is_running) = (false, false);
    while !is_running {
        run.step();
        let (wall, status) = (Timestamp::from_millis(run.wall), run.worker.status());
        for partition in &status.partitions {
            was_armed_early |= partition.next_wake_up.is_some_and(|due| due < wall - lateness);
            let overdue = partition.overdue(lateness, wall);
            assert!(overdue.as_millis() < MINUTE, "overdue by {overdue:?}: {partition:?}");
        }
        is_running = !status.partitions.is_empty() && status.is_ready() && !status.is_recovering;
    }
    assert!(was_armed_early, "no older record was restored, so the test checked nothing");
}

#[test]
fn many_wake_ups_due_at_once_fire_in_bounded_transactions_and_live_touchpoints_continue() {
    /// The limits per step and per transaction; a transaction may exceed its limit by one slice of wake-ups.
    const WAKE_UPS_MAX: u64 = 2_000;
    const TRANSACTION_BYTES_MAX: usize = 10 << 20;
    const CUSTOMERS: i64 = 2_000;

    let mut run = SingleWorkerRun::new(BEGIN + HOUR);
    let long = "x".repeat(450);
    for number in 0..CUSTOMERS {
        run.write(&format!("{long}-{number}"), "order_completed", BEGIN + number % 7);
    }
    while run.committed() < CUSTOMERS {
        run.step();
    }
    let size = |records: &[Record]| -> usize {
        let part = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        records.iter().map(|record| part(&record.key) + part(&record.value)).sum()
    };
    let written = |run: &SingleWorkerRun| {
        let topics = [TRANSITIONS, CHANGELOG].map(|topic| run.log.borrow().read_all(topic));
        topics.iter().map(|records| size(records)).sum::<usize>()
    };
    run.wall += 400 * DAY;
    let (mut commits, mut bytes) = (run.worker.report().commits, written(&run));
    let mut wake_ups = run.worker.report().tally.wake_ups;
    let (mut largest, mut touchpoints) = (0, Vec::new());
    for step in 0..250_usize {
        let wall = run.wall;
        run.write("live", "product_viewed", wall);
        touchpoints.push(i64::try_from(run.touchpoints.len()).expect("few"));
        run.step();
        let report = run.worker.report();
        if report.commits > commits {
            let now = written(&run);
            largest = largest.max(now - bytes);
            let woken = run.worker.report().tally.wake_ups - wake_ups;
            assert!(now - bytes <= TRANSACTION_BYTES_MAX, "a transaction of {} bytes", now - bytes);
            assert!(woken <= 11 * WAKE_UPS_MAX, "{woken} wake-ups in one transaction");
            wake_ups += woken;
            (commits, bytes) = (run.worker.report().commits, now);
        }
        // A touchpoint waits for the commit interval (ten steps), its own step and the next one, under any load.
        if let Some(&end) = step.checked_sub(13).and_then(|step| touchpoints.get(step)) {
            assert!(run.committed() >= end, "step {step}: {} of {end} committed", run.committed());
        }
    }
    run.run_until_settled();
    assert_eq!(run.published(), run.expected());
    assert!(largest > 4 << 20, "too few wake-ups for this test: {largest} bytes");
}
