//! The ends of merges by command.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use lifecycle_processor::lifecycle::identity::LinkOn;
use lifecycle_processor::lifecycle::time::Duration;
use lifecycle_processor::wire::touchpoint_json::Scratch;

use crate::oracle::summary::DAY;

use super::cluster::Cluster;
use super::{
    COUNTING, START, assert_publications, counts, decoder, facts, line, merge, refused, replay, requested, split,
};

/// Merges of customers into k, splits on day 20, and touchpoints: those of before day 10 are k's, whenever they arrive,
/// and those of after day 21 that arrive after the split are the id's own.
#[test]
fn after_a_split_earlier_touchpoints_are_the_customer_s_and_later_ones_the_id_s_own() {
    for seed in 0..requested(2_000) {
        let mut rng = Rng::with_seed(seed);
        let mut cluster = Cluster::new(&COUNTING, &facts(LinkOn::Identified), rng.usize(1..5), seed);
        let ids = ["k", "b", "c", "visitor"];
        let mut expected = BTreeMap::from(ids.map(|id| (id.to_owned(), BTreeSet::new())));
        let mut lines = vec![
            merge("m-1", "k", "b", START + rng.i64(0..9) * DAY),
            merge("m-2", ["k", "b"][rng.usize(..2)], "c", START + rng.i64(0..9) * DAY),
            line("link", "b", "visitor", "customer_identified", START + rng.i64(0..9) * DAY),
        ];
        let mut seen = |rng: &mut Rng, number: usize, days: std::ops::Range<i64>, is_split: bool| {
            let (id, event_id) = (*rng.choice(&ids).expect("one"), format!("e-{number}"));
            let is_own = is_split && days.start > 20 && id != "visitor";
            expected.get_mut(if is_own { id } else { "k" }).expect("an id").insert(event_id.clone());
            let (customer, visitor) = if id == "visitor" { ("", id) } else { (id, "") };
            line(&event_id, customer, visitor, "page_viewed", START + rng.i64(days) * DAY)
        };
        for number in 0..rng.usize(1..12) {
            let at = rng.usize(..=lines.len());
            lines.insert(at, seen(&mut rng, number, 0..10, false));
        }
        let mut later: Vec<String> = (100..rng.usize(101..112))
            .map(|number| {
                let days = if rng.bool() { 0..10 } else { 21..30 };
                seen(&mut rng, number, days, true)
            })
            .collect();
        // What was sent before the splits, and the commands themselves, may be repeated.
        for _ in 0..rng.usize(..6) {
            later.insert(rng.usize(..=later.len()), rng.choice(&lines).expect("one").clone());
        }
        let splits = ["b", "c"].map(|id| split(&format!("split-{id}"), id, START + 20 * DAY));
        expected.get_mut("k").expect("k").insert("link".to_owned());
        for line in &lines {
            cluster.receive(line);
        }
        if rng.bool() {
            cluster.deliver_all();
        } else {
            // A split of an id whose merge was not read has no effect.
            while ["b", "c"].iter().any(|id| cluster.identity(id).is_none_or(|identity| identity.stub.is_none())) {
                assert!(cluster.deliver(), "seed {seed}");
            }
        }
        for line in &splits {
            cluster.receive(line);
        }
        // Touchpoints of one partition that arrive while its split waits belong to the merge.
        cluster.deliver_all();
        later.extend(splits);
        for line in &later {
            cluster.receive(line);
        }
        cluster.deliver_all();
        let found = BTreeMap::from_iter(cluster.counts());
        expected.retain(|_, events| !events.is_empty());
        let expected = expected.into_iter().map(|(id, events)| (id, i64::try_from(events.len()).expect("few")));
        assert_eq!(found, expected.collect(), "seed {seed}: {lines:#?} {later:#?}");
        assert_eq!(cluster.tally.links_refused, 0, "seed {seed}");
    }
}

/// While a service catches up, a split may be read before the merge.
#[test]
fn a_merge_from_before_a_split_has_no_effect_if_it_arrives_after_it() {
    let lines = [
        line("1", "b", "", "page_viewed", START),
        split("2", "b", START + 10 * DAY),
        line("3", "b", "", "page_viewed", START + 20 * DAY),
        merge("4", "k", "b", START + 5 * DAY),
        line("5", "b", "", "page_viewed", START + 21 * DAY),
        line("6", "k", "", "page_viewed", START + 21 * DAY),
        merge("7", "k", "c", START + 5 * DAY),
        merge("8", "m", "b", START + 30 * DAY),
        line("9", "b", "", "page_viewed", START + 31 * DAY),
    ];
    let (replay, _) = replay(&COUNTING, &facts(LinkOn::Identified), &lines[..7], None);
    assert_eq!(counts(&replay), [("b".to_owned(), 3), ("k".to_owned(), 1)]);
    assert_eq!(refused(&lines), ["not_merged b b 2", "split_later k b 4"]);
    let (replay, _) = self::replay(&COUNTING, &facts(LinkOn::Identified), &lines, None);
    assert_eq!(counts(&replay), [("k".to_owned(), 1), ("m".to_owned(), 4)]);
}

/// Found by seed 2639654 of `many_contradictory_splits`: the second split is older than what the first one forwards.
#[test]
fn a_second_split_of_an_id_does_not_shorten_the_first_one() {
    let lines = [
        line("1", "b", "", "page_viewed", START + 20 * DAY),
        merge("2", "k", "b", START + DAY),
        split("3", "b", START + 2 * DAY),
        merge("4", "k", "b", START + 5 * DAY),
        split("5", "b", START + 8 * DAY),
        line("1", "b", "", "page_viewed", START + 20 * DAY),
    ];
    let (replay, _) = replay(&COUNTING, &facts(LinkOn::Identified), &lines, None);
    assert_eq!(counts(&replay), [("k".to_owned(), 1)]);
    assert_eq!(replay.summary().tally.duplicates, 1);
}

/// Found by seed 1034311 of the simulation: an id ended while touchpoints for one of its lives were under way, and the
/// first of them made it a customer again, so that the second one waited.
#[test]
fn touchpoints_do_not_wait_for_facts_of_an_identity_that_has_ended() {
    let mut options = facts(LinkOn::Identified);
    options.identity.as_mut().expect("identity").stub_lifetime = Duration::from_days(40);
    let mut cluster = Cluster::new(&COUNTING, &options, 3, 1);
    let (of_c, of_b) = (cluster.home("c"), cluster.home("b"));
    assert_eq!((of_b, cluster.home("n")), (cluster.home("k"), of_b));
    cluster.apply(&merge("1", "b", "c", START));
    cluster.apply(&merge("2", "k", "b", START));
    cluster.deliver_at(of_c);
    while !cluster.members[of_b].log.is_empty() {
        cluster.deliver_at(of_b);
    }
    cluster.apply(&split("3", "b", START + 20 * DAY));
    cluster.apply(&line("4", "n", "", "page_viewed", START + 500 * DAY));
    // The partition of c has not read that its facts are at k.
    cluster.apply(&line("5", "c", "a", "customer_identified", START + 30 * DAY));
    cluster.apply(&line("6", "c", "", "page_viewed", START + 30 * DAY));
    cluster.deliver_all();
    assert_eq!(cluster.counts(), [("b".to_owned(), 2), ("n".to_owned(), 1)]);
}

#[test]
fn a_split_without_a_merge_has_no_effect_and_is_counted() {
    let lines = [
        line("1", "k", "", "page_viewed", START),
        split("2", "k", START),
        split("3", "unknown-id", START),
        merge("4", "l", "k", START + 10 * DAY),
        // Older than the merge.
        split("5", "k", START + 9 * DAY),
        line("6", "k", "", "page_viewed", START + 20 * DAY),
        split("7", "k", START + 30 * DAY),
        split("7", "k", START + 30 * DAY),
        line("8", "k", "", "page_viewed", START + 40 * DAY),
        // It may be merged into another customer, but then not be split again.
        merge("9", "m", "k", START + 50 * DAY),
        split("10", "k", START + 60 * DAY),
        line("11", "k", "", "page_viewed", START + 70 * DAY),
        // A repetition from before the split, and of the merge that was split.
        line("6", "k", "", "page_viewed", START + 20 * DAY),
        merge("4", "l", "k", START + 10 * DAY),
    ];
    let (replay, transitions) = replay(&COUNTING, &facts(LinkOn::Identified), &lines, None);
    assert_eq!(counts(&replay), [("l".to_owned(), 2), ("m".to_owned(), 2)]);
    let tally = replay.summary().tally;
    let reasons = ["not_merged k k 2", "not_merged unknown-id unknown-id 3", "not_merged k k 5", "split_before k m 10"];
    assert_eq!(refused(&lines), reasons);
    assert_eq!((tally.links_refused, tally.duplicates), (4, 1), "{tally:?}");
    assert_eq!(tally.consumed, tally.applied + tally.duplicates, "{tally:?}");
    assert_publications(&transitions);
    let mut scratch = Scratch::default();
    let without_customer = line("1", "", "a", "customer_split", START);
    let cause = decoder(&COUNTING).decode(without_customer.as_bytes(), &mut scratch);
    assert_eq!(cause.map(|_| ()).map_err(|cause| cause.reason.as_str()), Err("bad_field"));
}

#[test]
fn an_id_that_was_split_may_be_merged_into_the_same_customer_again_and_be_split_again() {
    let lines = [
        line("1", "b", "", "page_viewed", START),
        merge("2", "k", "b", START + DAY),
        split("3", "b", START + 10 * DAY),
        line("4", "b", "", "page_viewed", START + 20 * DAY),
        merge("5", "k", "b", START + 30 * DAY),
        line("6", "b", "", "page_viewed", START + 40 * DAY),
        split("7", "b", START + 50 * DAY),
        line("8", "b", "", "page_viewed", START + 60 * DAY),
        line("4", "b", "", "page_viewed", START + 20 * DAY),
        // The customer of the merge becomes the one that was split.
        merge("9", "b", "k", START + 70 * DAY),
        line("6", "b", "", "page_viewed", START + 40 * DAY),
        line("10", "b", "", "page_viewed", START + 5 * DAY),
    ];
    for seed in 0..500 {
        let mut cluster = Cluster::new(&COUNTING, &facts(LinkOn::Identified), 3, seed);
        for line in &lines {
            cluster.receive(line);
            cluster.deliver_all();
        }
        assert_eq!(cluster.counts(), [("b".to_owned(), 5)], "seed {seed}");
        assert_eq!(cluster.tally.links_refused, 0);
        cluster.receive(&line("erase", "b", "", "customer_erased", START + 100 * DAY));
        cluster.deliver_all();
        cluster.advance_time(START + 200 * DAY);
        assert!(cluster.members.iter().all(|member| member.partition.live_bytes() == 0), "seed {seed}");
    }
}
