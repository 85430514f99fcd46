//! One worker, and a clock on the wall that does what clocks do: nothing fires too early, nothing stands still.

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
use super::setting::Setting;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// As `FactOptions::default` has it.
const LATENESS: i64 = MINUTE;
/// How much time passes with a step.
const STEP: i64 = 10;

fn start(log: &Rc<RefCell<Log>>, dead: Option<MemberId>) -> Worker<SimulatedMember> {
    let (_nobody_asks, queries) = channel();
    let options = Options { facts: FactOptions::default(), ..Setting::calm(1, ClockSource::Wall).options() };
    let member = SimulatedMember::join(log, Weak::new(), "one", dead);
    Worker::new(member, Arc::clone(&MODELS), Arc::new(options), queries)
}

/// A worker with one partition.
struct World {
    log: Rc<RefCell<Log>>,
    worker: Worker<SimulatedMember>,
    wall: i64,
    fed: Vec<InputRecord>,
}

impl World {
    fn new(wall: i64) -> Self {
        let log = Rc::new(RefCell::new(Log::new(1, Faults::new(Plan::Never, 1))));
        let worker = start(&log, None);
        Self { log, worker, wall, fed: Vec::new() }
    }

    /// The worker dies, and comes back with nothing.
    fn restart(&mut self) {
        let dead = self.worker.member().id;
        self.worker = start(&self.log, Some(dead));
    }

    /// Writes a touchpoint of `customer`.
    fn feed(&mut self, customer: &str, kind: &str, at: i64) {
        let (number, at) = (self.fed.len(), format_timestamp(Timestamp::from_millis(at)));
        let value = format!(
            r#"{{"event_id":"e{number}","customer_id":"{customer}","type":"{kind}","occurred_at":"{at}","amount":10}}"#
        );
        let (key, value) = (customer.to_owned(), Some(value.into_bytes()));
        let record = InputRecord { key, value, arrives_at: self.wall, is_good: true };
        self.log.borrow_mut().append(TOUCHPOINTS, 0, &record);
        self.fed.push(record);
    }

    fn step(&mut self) {
        self.wall += STEP;
        self.log.borrow_mut().advance(Duration::from_millis(STEP.unsigned_abs()));
        let elapsed = self.log.borrow().elapsed;
        self.worker.step(|| Moment { wall: Timestamp::from_millis(self.wall), elapsed }).expect("nothing fails");
    }

    /// Lets four seconds pass: more than any question and any commit takes.
    fn settle(&mut self) {
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

    /// What all that was fed comes to by the time on the wall.
    fn expected(&self) -> BTreeMap<String, Vec<String>> {
        // Whoever is silent for long here has ordered, so that nobody is forgotten.
        self.expected_at(self.wall - LATENESS).ids
    }

    fn expected_at(&self, until: i64) -> Expected {
        expected(&vec![self.fed.iter().cloned().collect()], false, Some(until))
    }

    fn committed(&self) -> i64 {
        self.log.borrow().committed.get(&0).map_or(0, |(offset, _)| *offset)
    }
}

#[test]
fn a_wall_that_jumps_ahead_fires_nothing_while_records_wait_unread() {
    let mut world = World::new(BEGIN + HOUR);
    world.feed("ann", "order_completed", BEGIN);
    world.settle();
    let before = world.published();
    // Half a year later by the wall, and the order that ann made long before is still to be read, behind others.
    world.wall += 180 * DAY;
    for number in 0..200 {
        world.feed(&format!("other-{}", number % 5), "order_completed", BEGIN + HOUR + number * SECOND);
    }
    world.feed("ann", "order_completed", BEGIN + HOUR + 201 * SECOND);
    let orders = 202;
    while world.committed() < orders {
        world.step();
        if world.committed() < orders {
            assert_eq!(world.published().get("ann"), before.get("ann"), "published while an order waited unread");
        }
    }
    world.settle();
    let published = world.published();
    assert_eq!(published, world.expected());
    assert!(published["ann"].len() > before["ann"].len() + 1, "time has passed for ann in the end");
}

#[test]
fn a_wall_that_is_set_back_repeats_nothing_and_holds_up_nothing() {
    let mut world = World::new(BEGIN + HOUR);
    world.feed("ann", "order_completed", BEGIN);
    world.feed("bert", "order_completed", BEGIN + 30 * MINUTE);
    world.settle();
    world.wall += 180 * DAY;
    world.settle();
    let before = world.published();
    assert_eq!(before, world.expected());

    // Touchpoints go on being read and published, and nobody is woken twice.
    world.wall -= 5 * HOUR;
    world.settle();
    assert_eq!(world.published(), before);
    let now = world.wall;
    world.feed("clara", "order_completed", now);
    world.settle();
    assert_eq!(world.committed(), 3);
    assert!(world.published().contains_key("clara"));

    // Once the wall has come by again, what is due then is published.
    world.wall += 200 * DAY;
    world.settle();
    let published = world.published();
    assert_eq!(published, world.expected());
    assert!(published["clara"].len() > 1 && published["ann"].len() >= before["ann"].len());
}

#[test]
fn a_touchpoint_a_little_in_the_future_wakes_nobody_else_before_the_wall_is_there() {
    let mut world = World::new(BEGIN + HOUR);
    world.feed("ann", "order_completed", BEGIN);
    world.settle();
    let ann = &world.expected_at(BEGIN + HOUR).customers[0][0];
    let due = ann.next_wake_up.expect("she waits for time").as_millis();
    world.wall = due - 10 * MINUTE;
    world.settle();
    let before = world.published();
    // Within `clock.max_ahead`, and past the instant at which ann is due.
    let ahead = world.wall + 14 * MINUTE;
    world.feed("bert", "order_completed", ahead);
    world.settle();
    assert_eq!(world.committed(), 2);
    assert!(world.published().contains_key("bert"));
    assert_eq!(world.published()["ann"], before["ann"], "woken before her time");
    world.wall = due + LATENESS;
    world.settle();
    assert!(world.published()["ann"].len() > before["ann"].len());
    assert!(world.log.borrow().read_all(DEAD_LETTERS).is_empty());
}

#[test]
fn a_touchpoint_a_little_in_the_future_wakes_nobody_while_others_wait_unread() {
    let mut world = World::new(BEGIN + HOUR);
    world.feed("ann", "order_completed", BEGIN);
    world.settle();
    let due = world.expected_at(BEGIN + HOUR).customers[0][0].next_wake_up.expect("she waits for time").as_millis();
    world.wall = due - 10 * MINUTE;
    world.settle();
    // Nobody reads for a while. The clock of bert's device is wrong; ann orders in time, and keeps her stage.
    let ahead = world.wall + 14 * MINUTE;
    world.feed("bert", "order_completed", ahead);
    for number in 0..200 {
        let now = world.wall;
        world.feed(&format!("other-{}", number % 5), "order_completed", now);
        world.wall += SECOND;
    }
    let now = world.wall;
    assert!(now < due);
    world.feed("ann", "order_completed", now);
    world.wall = due + 5 * MINUTE;
    world.step();
    let position = world.worker.status().partitions[0].position;
    assert!(position > 1 && position < 203, "her order is not read with bert's: {position}");
    world.settle();
    assert_eq!(world.committed(), 203);
    // Where the touchpoints alone are the clock, that of bert wakes her.
    world.fed.retain(|record| record.key != "bert");
    assert_eq!(world.published()["ann"], world.expected()["ann"]);
}

#[test]
fn a_wake_up_that_was_put_off_is_not_told_as_overdue_while_a_restart_reads_it_back() {
    let mut world = World::new(BEGIN);
    // Each order puts off what its customer's silence after the one before would have led to.
    for day in (1..=101).step_by(10) {
        world.wall = BEGIN + day * DAY;
        let now = world.wall;
        world.feed("ann", "order_completed", now);
        world.settle();
    }
    world.restart();
    let lateness = FactOptions::default().lateness;
    let (mut was_armed_early, mut is_running) = (false, false);
    while !is_running {
        world.step();
        let (wall, status) = (Timestamp::from_millis(world.wall), world.worker.status());
        for partition in &status.partitions {
            was_armed_early |= partition.next_wake_up.is_some_and(|due| due < wall - lateness);
            let overdue = partition.overdue(lateness, wall);
            assert!(overdue.as_millis() < MINUTE, "overdue by {overdue:?}: {partition:?}");
        }
        is_running = !status.partitions.is_empty() && status.is_ready();
    }
    assert!(was_armed_early, "no older record was met on the way, so nothing was shown");
}

#[test]
fn a_crowd_that_is_due_at_once_is_woken_in_bounded_transactions_while_touchpoints_go_on() {
    /// What the worker promises of one step and of one transaction, with some room for the last slice.
    const WAKE_UPS_MAX: u64 = 2_000;
    const TRANSACTION_BYTES_MAX: usize = 10 << 20;
    const CUSTOMERS: i64 = 2_000;

    let mut world = World::new(BEGIN + HOUR);
    let long = "x".repeat(450);
    for number in 0..CUSTOMERS {
        world.feed(&format!("{long}-{number}"), "order_completed", BEGIN + number % 7);
    }
    while world.committed() < CUSTOMERS {
        world.step();
    }
    let size = |records: &[Record]| -> usize {
        let part = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        records.iter().map(|record| part(&record.key) + part(&record.value)).sum()
    };
    let written = |world: &World| {
        let topics = [TRANSITIONS, CHANGELOG].map(|topic| world.log.borrow().read_all(topic));
        topics.iter().map(|records| size(records)).sum::<usize>()
    };
    world.wall += 400 * DAY;
    let (mut commits, mut bytes) = (world.worker.report().commits, written(&world));
    let mut wake_ups = world.worker.report().tally.wake_ups;
    let (mut largest, mut fed) = (0, Vec::new());
    for step in 0..250_usize {
        let wall = world.wall;
        world.feed("live", "product_viewed", wall);
        fed.push(i64::try_from(world.fed.len()).expect("few"));
        world.step();
        let report = world.worker.report();
        if report.commits > commits {
            let now = written(&world);
            largest = largest.max(now - bytes);
            let woken = world.worker.report().tally.wake_ups - wake_ups;
            assert!(now - bytes <= TRANSACTION_BYTES_MAX, "a transaction of {} bytes", now - bytes);
            assert!(woken <= 11 * WAKE_UPS_MAX, "{woken} wake-ups in one transaction");
            wake_ups += woken;
            (commits, bytes) = (world.worker.report().commits, now);
        }
        // A touchpoint waits for the commit interval (ten steps), its own step and the next, whatever else is going on.
        if let Some(&end) = step.checked_sub(13).and_then(|step| fed.get(step)) {
            assert!(world.committed() >= end, "step {step}: {} of {end} committed", world.committed());
        }
    }
    world.settle();
    assert_eq!(world.published(), world.expected());
    assert!(largest > 4 << 20, "the crowd was too small to show anything: {largest} bytes");
}
