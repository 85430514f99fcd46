//! A single worker with identity resolution: what it does in a step is limited, and it may be restarted with other
//! options.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use lifecycle_processor::lifecycle::identity::{BlockedIds, IdentityOptions};
use lifecycle_processor::lifecycle::time::{self, Timestamp};
use lifecycle_processor::lifecycle::value::OwnedValue;
use lifecycle_processor::runtime::{ClockSource, Fatal, Moment, Options, Worker};
use lifecycle_processor::wire::hand_over::{Content, HandOverRecord};
use serde_json::json;

use super::faults::{Fault, Faults, Plan};
use super::history::{BEGIN, DAY, InputRecord};
use super::log::{HAND_OVERS, Log, TOUCHPOINTS};
use super::member::SimulatedMember;
use super::persons::MODELS;
use super::result_check::restore;
use super::run_config::RunConfig;

fn new_log(partitions: i32) -> Rc<RefCell<Log>> {
    Rc::new(RefCell::new(Log::new(partitions, Faults::new(Plan::Never, 1))))
}

fn options(partitions: i32) -> Options {
    let config = RunConfig { has_links: true, partitions, ..RunConfig::undisturbed(1, ClockSource::Wall) };
    config.options()
}

fn start(log: &Rc<RefCell<Log>>, options: &Options) -> Worker<SimulatedMember> {
    let (_query_sender, queries) = channel();
    let member = SimulatedMember::join(log, Weak::new(), "worker", None);
    Worker::new(member, Arc::clone(&MODELS), Arc::new(options.clone()), queries)
}

fn moment(log: &Rc<RefCell<Log>>, wall: i64) -> Moment {
    Moment { wall: Timestamp::from_millis(wall), elapsed: log.borrow().elapsed }
}

fn step(log: &Rc<RefCell<Log>>, worker: &mut Worker<SimulatedMember>, wall: i64) -> Result<(), Fatal> {
    log.borrow_mut().advance(Duration::from_millis(100));
    let now = moment(log, wall);
    worker.step(|| now)
}

/// Runs the worker for 40 seconds.
fn run(log: &Rc<RefCell<Log>>, worker: &mut Worker<SimulatedMember>, wall: i64) {
    for _ in 0..400 {
        step(log, worker, wall).expect("nothing fails");
    }
    assert!(!worker.status().has_pending_changes);
}

fn write(log: &Rc<RefCell<Log>>, topic: &'static str, key: &str, value: Vec<u8>) {
    let record = InputRecord { key: key.to_owned(), value: Some(value), arrives_at: BEGIN, is_valid: true };
    log.borrow_mut().append(topic, 0, &record);
}

/// A touchpoint; an empty id is absent.
fn touchpoint(event_id: &str, customer: &str, visitor: &str, type_name: &str) -> Vec<u8> {
    let mut record = json!({"event_id": event_id, "type": type_name, "occurred_at": "2025-01-01T00:00:00Z"});
    for (name, id) in [("customer_id", customer), ("anonymous_id", visitor)] {
        if !id.is_empty() {
            record[name] = json!(id);
        }
    }
    record.to_string().into_bytes()
}

fn link(number: usize, customer: &str, visitor: &str) -> Vec<u8> {
    touchpoint(&format!("link-{number}"), customer, visitor, "customer_identified")
}

/// Returns the number of touchpoints of each customer of partition 0.
fn counts(log: &Rc<RefCell<Log>>, options: &Options) -> BTreeMap<String, i64> {
    let machine = restore(&log.borrow(), 0, options, &MODELS);
    let count = |view: lifecycle_processor::partition::CustomerView| {
        let seen = view.facts.iter().find(|fact| &*fact.name == "count(any)").expect("a fact of the model");
        let Some(OwnedValue::Int(seen)) = seen.value else { panic!("{seen:?}") };
        (view.customer_id.to_string(), seen)
    };
    machine.customers().map(count).collect()
}

#[test]
fn a_forwarded_touchpoint_is_applied_whatever_is_blocked_and_however_small_the_limit_is_now() {
    for blocked in [&["kiosk"][..], &[]] {
        let log = new_log(1);
        let forwarded = [
            ("k", touchpoint("1", "", "kiosk", "page_viewed")),
            ("kiosk", touchpoint("2", "", "kiosk", "page_viewed")),
        ];
        // Read while `kiosk` was blocked.
        let of_visitor = ("a", touchpoint("3", "kiosk", "a", "page_viewed"));
        for (to, value) in forwarded.into_iter().chain([of_visitor]) {
            let at = Timestamp::from_millis(BEGIN);
            let content = Content::Touchpoint { value, needs: Vec::new() };
            let record = HandOverRecord { to: to.to_owned(), life: None, at, path: Vec::new(), rounds: 0, content };
            write(&log, HAND_OVERS, to, record.encode());
        }
        let mut options = options(1);
        let limit = std::mem::replace(&mut options.touchpoint_bytes_max, 10);
        options.identity.as_mut().expect("identity").blocked_ids = BlockedIds::new(blocked.iter().copied());
        let mut worker = start(&log, &options);
        run(&log, &mut worker, BEGIN);
        let expected = |all: &[(&str, i64)]| all.iter().map(|&(id, count)| (id.to_owned(), count)).collect();
        assert_eq!(counts(&log, &options), expected(&[("a", 1), ("k", 1), ("kiosk", 1)]), "blocked: {blocked:?}");
        worker.stop(moment(&log, BEGIN)).expect("it stops");

        // It is still a visitor.
        options.touchpoint_bytes_max = limit;
        write(&log, TOUCHPOINTS, "k", link(1, "k", "a"));
        run(&log, &mut start(&log, &options), BEGIN);
        assert_eq!(counts(&log, &options), expected(&[("k", 3), ("kiosk", 1)]), "blocked: {blocked:?}");
    }
}

#[test]
fn stubs_that_end_without_touchpoints_are_committed() {
    const STUBS: usize = 500;
    let log = new_log(1);
    for number in 0..STUBS {
        let (customer, visitor) = (format!("customer-{number}"), format!("visitor-{number}"));
        write(&log, TOUCHPOINTS, &customer, link(number, &customer, &visitor));
    }
    let mut options = options(1);
    let identity = IdentityOptions { stub_lifetime: time::Duration::from_days(30), ..IdentityOptions::default() };
    options.facts.identity = Some(identity);
    let mut worker = start(&log, &options);
    run(&log, &mut worker, BEGIN + DAY);
    let has_stub = |number: usize| {
        let identity = restore(&log.borrow(), 0, &options, &MODELS).identity(&format!("visitor-{number}"));
        identity.is_some_and(|identity| identity.stub.is_some())
    };
    assert!(has_stub(0) && has_stub(STUBS - 1));

    run(&log, &mut worker, BEGIN + 40 * DAY);
    assert!(!has_stub(0) && !has_stub(STUBS - 1));
}

#[test]
fn a_state_with_identity_resolution_is_not_restored_without_it() {
    for is_set_by_hand in [false, true] {
        let log = new_log(1);
        write(&log, TOUCHPOINTS, "k", link(1, "k", "a"));
        let with = options(1);
        let mut worker = start(&log, &with);
        run(&log, &mut worker, BEGIN);
        worker.stop(moment(&log, BEGIN)).expect("it stops");
        if is_set_by_hand {
            log.borrow_mut().committed.get_mut(&0).expect("an offset").1.clear();
        }
        let mut without = with.clone();
        (without.identity, without.facts.identity) = (None, None);
        let mut worker = start(&log, &without);
        let refused = (0..100).find_map(|_| step(&log, &mut worker, BEGIN).err());
        let refused = refused.expect("it stops").to_string();
        assert!(refused.contains("set identity.enabled: true"), "{refused}");
    }
}

#[test]
fn a_step_makes_one_failing_call_for_hand_overs_however_many_partitions_there_are() {
    const PARTITIONS: i32 = 36;
    let log = new_log(PARTITIONS);
    log.borrow_mut().faults.always_fails = Some("hand_over_range");
    let options = options(PARTITIONS);
    let mut worker = start(&log, &options);
    let failed = || log.borrow().faults.occurrences.of(Fault::ErrorBefore.name());
    for _ in 0..100 {
        let before = failed();
        step(&log, &mut worker, BEGIN).expect("nothing fails");
        assert!(failed() <= before + 1, "{} calls", failed() - before);
    }
    assert!(failed() > 0);
    log.borrow_mut().faults.always_fails = None;
    run(&log, &mut worker, BEGIN);
    let committed = log.borrow().committed.clone();
    assert!(committed.values().all(|(_, metadata)| metadata.contains(" hand_overs=0 ")), "{committed:?}");
}
