//! Compares the program with the naive oracle: the publications, the stages of customers, and the instants of change.
//!
//! `LIFECYCLE_ORACLE_HISTORIES` is the number of histories that the first test compares; the other tests use a fraction
//! of it. A failure prints the seed, the history as JSON lines, and the first difference.

mod crashes;
mod engine;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use fastrand::Rng;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::lifecycle::transition::OrdersSummary;

use crate::oracle::catalogue;
use crate::oracle::generator::{histories, long_history};
use crate::oracle::process::{Customer, World};
use crate::oracle::summary::{DAY, THRESHOLDS};
use crate::oracle::touchpoint::{Millis, Touchpoint};
use engine::Engine;

/// The default of `clock.lateness`.
const LATENESS: Millis = 60_000;
/// Longer than the sum of any two thresholds.
const LONG: Millis = 800 * DAY;

/// Returns the seeds from `start` for `1 / part` of the requested histories, with `customers` histories per seed.
fn seeds(start: u64, part: u64, customers: u64) -> Range<u64> {
    let requested = std::env::var("LIFECYCLE_ORACLE_HISTORIES").ok().and_then(|count| count.parse().ok());
    let count: u64 = requested.unwrap_or(3_000) / part / customers;
    start..start + count.max(1)
}

fn world() -> World {
    World::new(engine::shipped().models.iter().map(|model| &*model.name))
}

#[test]
fn every_publication_matches_the_oracle() {
    const CUSTOMERS: usize = 6;
    for seed in seeds(10_000, 1, CUSTOMERS as u64) {
        let mut rng = Rng::with_seed(seed);
        let lines = histories(seed, CUSTOMERS);
        let (mut world, mut engine) = (world(), Engine::new());
        for line in &lines {
            let touchpoint = Touchpoint::parse(line);
            world.receive(&touchpoint);
            engine.receive(line);
            world.catch_up(LATENESS);
            engine.pass_time(world.advanced_to().expect("time has passed"), rng.usize(1..5));
        }
        let until = world.advanced_to().expect("time has passed") + LONG;
        world.pass_time(until);
        engine.pass_time(until, 1_000);
        let mut published = engine.publications();
        for (id, customer) in &world.customers {
            let published = published.remove(id).unwrap_or_default();
            report::assert_same(seed, id, &lines, &customer.publications, &published);
        }
        assert!(published.is_empty(), "seed {seed}: unknown customers: {published:#?}");
    }
}

#[test]
fn publications_of_long_histories_match_the_oracle() {
    for seed in seeds(15_000, 60, 1) {
        let lines = long_history(seed);
        let (mut world, mut engine) = (world(), Engine::new());
        // The second time, the whole topic is sent again: every touchpoint is a duplicate.
        for line in lines.iter().chain(&lines) {
            world.receive(&Touchpoint::parse(line));
            engine.receive(line);
        }
        assert_eq!(engine.tally().duplicates, lines.len() as u64, "seed {seed}");
        let until = lines.iter().map(|line| Touchpoint::parse(line).at).max().expect("there are lines") + LONG;
        world.pass_time(until);
        engine.pass_time(until, 1_000);
        let published = engine.publications();
        for (id, customer) in &world.customers {
            report::assert_same(seed, id, &lines, &customer.publications, &published[id]);
        }
    }
}

#[test]
fn every_line_is_counted() {
    for seed in seeds(20_000, 5, 10) {
        let lines = histories(seed, 10);
        let mut engine = Engine::new();
        let mut customers: BTreeMap<String, Customer> = BTreeMap::new();
        let (mut duplicates, mut late, mut unknown_types) = (0, 0, 0);
        for line in &lines {
            engine.receive(line);
            let touchpoint = Touchpoint::parse(line);
            let customer = customers.entry(touchpoint.customer_id.clone()).or_insert_with(Customer::new);
            if customer.history.iter().any(|known| known.event_id == touchpoint.event_id) {
                duplicates += 1;
                continue;
            }
            late += u64::from(customer.clock.is_some_and(|clock| touchpoint.at < clock));
            unknown_types += u64::from(!catalogue::is_known(&touchpoint));
            customer.receive(&touchpoint, &[]);
        }
        let tally = engine.tally();
        let count = lines.len() as u64;
        assert_eq!((tally.consumed, tally.applied), (count, count - duplicates), "seed {seed}");
        assert_eq!((tally.duplicates, tally.late), (duplicates, late), "seed {seed}");
        assert_eq!(tally.unknown_types, unknown_types, "seed {seed}");
    }
}

#[test]
fn stages_match_the_oracle_at_any_instant() {
    for seed in seeds(30_000, 5, 10) {
        let mut rng = Rng::with_seed(seed);
        let lines = histories(seed, 10);
        let (mut world, mut engine) = (world(), Engine::new());
        for line in &lines {
            world.receive(&Touchpoint::parse(line));
            engine.receive(line);
        }
        let mut now = lines.iter().map(|line| Touchpoint::parse(line).at).max().expect("there are lines");
        for _ in 0..12 {
            engine.pass_time(now, 100);
            for (id, customer) in &world.customers {
                let view = engine.customer(id).expect("the customer exists");
                let report = || format!("at {now}\n{}", report::history(seed, id, &lines));
                assert_eq!(engine.stages(&view), customer.stages_at(now), "{}", report());
                assert_orders(&view.orders, customer, &report);
            }
            now += [rng.i64(1..40) * DAY, rng.i64(1..200 * DAY), 1][rng.usize(..3)];
        }
    }
}

fn assert_orders(orders: &OrdersSummary, customer: &Customer, report: &impl Fn() -> String) {
    let found = (orders.count, orders.revenue.as_micros(), orders.last.map(Timestamp::as_millis));
    assert_eq!(found, customer.orders(), "{}", report());
}

#[test]
fn order_of_arrival_and_duplicates_do_not_change_the_result() {
    for seed in seeds(40_000, 5, 1) {
        let mut rng = Rng::with_seed(seed);
        let mut lines = histories(seed, 1);
        let id = Touchpoint::parse(&lines[0]).customer_id;
        let mut customer = Customer::new();
        for line in &lines {
            customer.receive(&Touchpoint::parse(line), &[]);
        }
        let latest = customer.clock.expect("something was received");
        let until = latest + [0, 1, rng.i64(0..LONG), THRESHOLDS[rng.usize(..THRESHOLDS.len())]][rng.usize(..4)];
        let mut facts = None;
        for round in 0..4 {
            if round > 0 {
                rng.shuffle(&mut lines);
                let repeated = lines[rng.usize(..lines.len())].clone();
                if lines.len() < 60 {
                    lines.insert(rng.usize(..=lines.len()), repeated);
                }
            }
            let mut engine = Engine::new();
            for line in &lines {
                engine.receive(line);
            }
            engine.pass_time(until, 7);
            let view = engine.customer(&id).expect("the customer exists");
            let report = || format!("round {round}, at {until}\n{}", report::history(seed, &id, &lines));
            assert_eq!(engine.stages(&view), customer.stages_at(until), "{}", report());
            assert_orders(&view.orders, &customer, &report);
            let facts = facts.get_or_insert_with(|| view.facts.clone());
            assert_eq!(&view.facts, facts, "{}", report());
        }
    }
}

#[test]
fn time_changes_nothing_between_computed_instants() {
    for seed in seeds(50_000, 10, 1) {
        let mut rng = Rng::with_seed(seed);
        let lines = histories(seed, 1);
        let mut engine = Engine::new();
        let mut customer = Customer::new();
        for (index, line) in lines.iter().enumerate() {
            let touchpoint = Touchpoint::parse(line);
            customer.receive(&touchpoint, &[]);
            engine.receive(line);
            let is_last = index + 1 == lines.len();
            for _ in 0..if is_last { 60 } else { 1 } {
                let view = engine.customer(&touchpoint.customer_id).expect("the customer exists");
                let clock = view.clock.as_millis();
                let wake_up = view.next_wake_up.map(Timestamp::as_millis);
                let report = |probe: Millis| {
                    let history = report::history(seed, &touchpoint.customer_id, &lines[..=index]);
                    format!("probed {probe}, clock {clock}, next wake-up {wake_up:?}\n{history}")
                };
                assert!(wake_up.is_none_or(|instant| instant > clock), "{}", report(clock));
                for probe in probes(&customer, clock, wake_up.unwrap_or(clock + LONG), &mut rng) {
                    assert_eq!(engine.stages(&view), customer.stages_at(probe), "{}", report(probe));
                }
                let Some(instant) = wake_up.filter(|_| is_last) else { break };
                engine.pass_time(instant, 1);
                let view = engine.customer(&touchpoint.customer_id).expect("the customer exists");
                assert_eq!(engine.stages(&view), customer.stages_at(instant), "{}", report(instant));
            }
        }
    }
}

/// Returns instants in `clock..end`: near both ends, near every threshold, and random ones.
fn probes(customer: &Customer, clock: Millis, end: Millis, rng: &mut Rng) -> Vec<Millis> {
    let thresholds = customer.history.iter().flat_map(|touchpoint| {
        THRESHOLDS.iter().flat_map(|threshold| [-1, 0, 1].map(|by| touchpoint.at + threshold + by))
    });
    let mut probes: Vec<Millis> = thresholds.chain([clock, clock + 1, end - 1]).collect();
    probes.extend((0..20).map(|_| rng.i64(clock..=end)));
    probes.retain(|probe| (clock..end).contains(probe));
    probes
}

#[test]
fn the_timing_of_wake_ups_does_not_change_the_publications() {
    for seed in seeds(60_000, 5, 8) {
        let mut lines = histories(seed, 8);
        // Touchpoints may be out of order, but by less than the allowed lateness.
        let mut rng = Rng::with_seed(seed);
        lines.sort_by_cached_key(|line| Touchpoint::parse(line).at + rng.i64(0..LATENESS));
        let until = lines.iter().map(|line| Touchpoint::parse(line).at).max().expect("there are lines") + LONG;
        let run = |mut due: Box<dyn FnMut() -> Option<usize>>| {
            let mut engine = Engine::new();
            let mut reached = Millis::MIN;
            for line in &lines {
                engine.receive(line);
                reached = reached.max(Touchpoint::parse(line).at);
                if let Some(wake_ups_max) = due() {
                    engine.pass_time(reached - LATENESS, wake_ups_max);
                }
            }
            engine.pass_time(until, 1_000);
            let mut by_customer: BTreeMap<String, Vec<_>> = BTreeMap::new();
            for transition in engine.transitions() {
                by_customer.entry(transition.customer_id.to_string()).or_default().push(transition.clone());
            }
            let ids: BTreeSet<_> = engine.transitions().iter().map(|transition| transition.id).collect();
            assert_eq!(ids.len(), engine.transitions().len(), "seed {seed}: a transition id is not unique");
            by_customer
        };
        let live = run(Box::new(|| Some(1)));
        let replayed = run(Box::new(|| None));
        let mut busy_rng = Rng::with_seed(seed);
        let busy = run(Box::new(move || busy_rng.bool().then(|| busy_rng.usize(1..4))));
        for (id, transitions) in &live {
            for (other, name) in [(&replayed, "replayed"), (&busy, "busy")] {
                assert_eq!(
                    Some(transitions),
                    other.get(id),
                    "live and {name} differ\n{}",
                    report::history(seed, id, &lines)
                );
            }
        }
        assert_eq!((live.len(), live.len()), (replayed.len(), busy.len()), "seed {seed}");
    }
}
