//! Compares replays and partitions with the naive oracle over the union of the touchpoints of each person.

use std::collections::BTreeMap;

use fastrand::Rng;
use lifecycle_processor::lifecycle::identity::LinkOn;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::partition::CustomerView;
use serde_json::value::{RawValue, to_raw_value};

use crate::oracle::generator::histories;
use crate::oracle::process::Customer as OracleCustomer;
use crate::oracle::summary::DAY;
use crate::oracle::touchpoint::{Millis, Touchpoint as OracleTouchpoint};

use super::cluster::Cluster;
use super::{SHIPPED, assert_publications, check_many, facts, line, merge, replay, requested};

/// A history of several persons, each with customers and visitors.
struct Persons {
    lines: Vec<String>,
    /// The person of each line, by the customer id that it ends with, or by the visitor's if that is not linked. `None`
    /// for a command, which has no facts.
    owners: Vec<Option<String>>,
    /// The ids that are linked or merged, with the customer that they end with.
    linked: BTreeMap<String, String>,
}

/// Splits the histories of the oracle: a part of the touchpoints of each customer is sent under ids of visitors and of
/// other customers. Links and merges are inserted before, between and after, some of them repeated. Each visitor has
/// one link, and the merges are trees whose root is the customer.
fn persons(seed: u64, count: usize) -> Persons {
    let mut rng = Rng::with_seed(seed);
    let mut linked = BTreeMap::new();
    // The id that each link or merge names beside its customer, its customer, and whether it is a merge.
    let mut joins: Vec<(String, String, bool)> = Vec::new();
    let mut ids_of_event: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut ids_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut lines: Vec<(Option<String>, String)> = Vec::new();
    for text in histories(seed, count) {
        let touchpoint = OracleTouchpoint::parse(&text);
        let customer = touchpoint.customer_id;
        let next = ids_of.len();
        let own = ids_of.entry(customer.clone()).or_insert_with(|| {
            let mut customers = vec![customer.clone()];
            for index in 0..[0, 0, 1, 2, 3][rng.usize(..5)] {
                let other = format!("{customer}-{index}");
                let into = rng.choice(&customers).expect("the customer").clone();
                joins.push((other.clone(), into, true));
                linked.insert(other.clone(), customer.clone());
                customers.push(other);
            }
            let visitors: Vec<String> = (0..rng.usize(..4)).map(|index| format!("visitor-{next}-{index}")).collect();
            let linked_visitors: Vec<&String> = visitors.iter().filter(|_| rng.u8(..8) > 0).collect();
            for visitor in linked_visitors {
                joins.push((visitor.clone(), rng.choice(&customers).expect("the customer").clone(), false));
                linked.insert(visitor.clone(), customer.clone());
            }
            customers.split_off(1).into_iter().chain(visitors).collect()
        });
        // A repetition has the same ids.
        let id = ids_of_event.entry((customer.clone(), touchpoint.event_id)).or_insert_with(|| {
            if rng.bool() { rng.choice(own.iter()).unwrap_or(&customer).clone() } else { customer.clone() }
        });
        let name = if id.starts_with("visitor") { "anonymous_id" } else { "customer_id" };
        let text = if *id == customer { text } else { with_id(&text, name, id) };
        let owner = if *id == customer { &customer } else { linked.get(id).unwrap_or(id) };
        lines.push((Some(owner.clone()), text));
    }
    let times: Vec<Millis> =
        lines.iter().map(|(_, line)| OracleTouchpoint::parse(&with_customer(line, "x")).at).collect();
    for (index, (named, customer, is_merge)) in joins.iter().enumerate() {
        for repetition in 0..rng.usize(1..4) {
            let at = rng.usize(..=lines.len());
            let time = times[at.min(times.len() - 1)] + [0, 1, -DAY][rng.usize(..3)];
            // A link may be sent again as it was, or as a new touchpoint.
            let event_id = format!("link-{index}-{}", if rng.bool() { 0 } else { repetition });
            let owner = linked.get(customer).unwrap_or(customer).clone();
            let link = if *is_merge {
                (None, merge(&event_id, customer, named, time))
            } else {
                (Some(owner), line(&event_id, customer, named, "customer_identified", time))
            };
            lines.insert(at, link);
        }
    }
    let (owners, lines) = lines.into_iter().unzip();
    Persons { lines, owners, linked }
}

/// Replaces the ids of a touchpoint by one, and keeps the text of all other values.
fn with_id(line: &str, name: &str, id: &str) -> String {
    let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(line).expect("an object");
    fields.retain(|name, _| name != "customer_id" && name != "anonymous_id");
    fields.insert(name.to_owned(), to_raw_value(id).expect("a text"));
    serde_json::to_string(&fields).expect("an object")
}

fn with_customer(line: &str, customer: &str) -> String {
    with_id(line, "customer_id", customer)
}

/// Returns the customers of the oracle: one for each person, with the union of the touchpoints of its ids.
fn expected(persons: &Persons) -> (BTreeMap<String, OracleCustomer>, Millis) {
    let mut customers: BTreeMap<String, OracleCustomer> = BTreeMap::new();
    let mut end = Millis::MIN;
    for (line, owner) in persons.lines.iter().zip(&persons.owners) {
        let touchpoint = OracleTouchpoint::parse(&with_customer(line, owner.as_deref().unwrap_or("command")));
        end = end.max(touchpoint.at);
        if let Some(owner) = owner {
            customers.entry(owner.clone()).or_insert_with(OracleCustomer::new).receive(&touchpoint, &[]);
        }
    }
    (customers, end)
}

/// Compares stages and orders of all customers with the oracle at `now`.
fn assert_agreement(
    seed: u64,
    persons: &Persons,
    expected: &BTreeMap<String, OracleCustomer>,
    found: &BTreeMap<String, CustomerView>,
    now: Millis,
) {
    let report = |id: &str| format!("seed {seed}, {id} at {now}\n{}", persons.lines.join("\n"));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{}", report(""));
    for (id, customer) in expected {
        let view = &found[id];
        let stages: Vec<_> = SHIPPED
            .models
            .iter()
            .zip(&view.models)
            .map(|(model, view)| view.stage.map(|stage| &*model.stage(stage).name))
            .collect();
        assert_eq!(stages, customer.stages_at(now), "{}", report(id));
        let orders = &view.orders;
        let orders = (orders.count, orders.revenue.as_micros(), orders.last.map(Timestamp::as_millis));
        assert_eq!(orders, customer.orders(), "{}", report(id));
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("a small number")
}

/// Compares a replay of the history of `seed` with the oracle.
fn check_replay(seed: u64) {
    let persons = persons(seed, 4);
    let (expected, end) = expected(&persons);
    let now = end + [0, DAY, 300 * DAY][index(seed % 3)];
    let options = facts(LinkOn::Identified);
    let (replay, transitions) = replay(&SHIPPED, &options, &persons.lines, Some(now));
    let found: BTreeMap<_, _> =
        replay.partition().customers().map(|customer| (customer.customer_id.to_string(), customer)).collect();
    assert_agreement(seed, &persons, &expected, &found, now);
    assert_publications(&transitions);
    for (alias, customer) in &persons.linked {
        let stub = replay.partition().identity(alias).and_then(|identity| identity.stub);
        let target = stub.as_ref().map(|stub| (&*stub.into, stub.is_settled));
        assert_eq!(target, Some((customer.as_str(), true)), "seed {seed}: {alias}");
        let aliases = replay.partition().identity(customer).expect("a customer with aliases").aliases;
        assert!(aliases.iter().any(|known| *known.id == **alias), "seed {seed}: {alias}");
    }
    let tally = replay.summary().tally;
    assert_eq!(tally.consumed, tally.applied + tally.duplicates, "seed {seed}");
}

/// Compares one to four partitions that receive the history of `seed` with the oracle.
fn check_partitions(seed: u64) {
    let persons = persons(10_000 + seed, 3);
    let (expected, end) = expected(&persons);
    let mut cluster = Cluster::new(&SHIPPED, &facts(LinkOn::Identified), 1 + index(seed / 2 % 4), seed);
    for line in &persons.lines {
        cluster.receive(line);
    }
    cluster.deliver_all();
    let now = end + 200 * DAY;
    cluster.advance_time(now);
    cluster.deliver_all();
    assert_agreement(seed, &persons, &expected, &cluster.customers(), now);
    assert_publications(&cluster.transitions);
    assert_eq!(cluster.tally.consumed, cluster.tally.applied + cluster.tally.duplicates, "seed {seed}");
    assert!(cluster.tally.links_refused == 0, "seed {seed}: no link contradicts another");
}

#[test]
fn a_replay_agrees_with_the_oracle_over_the_touchpoints_of_each_person() {
    (0..requested(300)).for_each(check_replay);
}

#[test]
fn partitions_agree_with_the_oracle_whenever_hand_overs_are_delivered() {
    (0..requested(300)).for_each(check_partitions);
}

#[test]
#[ignore = "takes some minutes"]
fn many_histories_agree_with_the_oracle() {
    check_many(3_000_000, 100_000, |seed| if seed % 2 == 0 { check_replay(seed) } else { check_partitions(seed) });
}
