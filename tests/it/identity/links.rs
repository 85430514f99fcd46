//! Visitors that become customers, their stubs, and visitors that are shared.

use std::sync::Arc;

use lifecycle_processor::lifecycle::identity::{IdentityOptions, LinkOn};
use lifecycle_processor::lifecycle::time::Duration;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::lifecycle::transition::{Merge, Transition};
use lifecycle_processor::partition::{Effects, Input, Message, Partition};
use lifecycle_processor::wire::touchpoint_json::Scratch;

use crate::oracle::summary::DAY;

use super::cluster::Cluster;
use super::{
    COUNTING, START, assert_ids, assert_publications, counted, counts, decoder, described, facts, line, replay,
};

/// A customer that is forgotten was not erased: late touchpoints begin again.
#[test]
fn a_late_touchpoint_of_a_forgotten_customer_counts() {
    let lines = [
        line("1", "", "a", "page_viewed", START),
        line("2", "k", "a", "customer_identified", START + 5 * DAY),
        line("3", "z", "", "page_viewed", START + 40 * DAY),
        line("4", "k", "", "page_viewed", START + 2 * DAY),
        line("5", "", "a", "page_viewed", START + 20 * DAY),
    ];
    let options = FactOptions { forget_after: Some(Duration::from_days(30)), ..facts(LinkOn::Identified) };
    let (replay, _) = replay(&COUNTING, &options, &lines, None);
    assert_eq!(replay.summary().tally.older_than_erasure, 0);
    assert_eq!(counts(&replay), [("a".to_owned(), 1), ("z".to_owned(), 1)]);
}

#[test]
fn a_visitor_leaves_and_its_customer_publishes_no_milestone_again() {
    let lines = [
        line("1", "", "a", "page_viewed", START),
        line("2", "", "a", "page_viewed", START + 1),
        line("3", "", "a", "page_viewed", START + 2),
        line("4", "k", "a", "customer_identified", START + 3),
        line("5", "", "a", "page_viewed", START + 4),
        line("5", "", "a", "page_viewed", START + 4),
    ];
    let (replay, transitions) = replay(&COUNTING, &facts(LinkOn::Identified), &lines, None);
    let found: Vec<String> = transitions.iter().map(described).collect();
    let expected = [
        "a stage_entered in #1",
        "a busy on #2",
        "a third reached #3",
        "k stage_entered in #1",
        "a merged out #4 into k",
        "a busy off #5 into k",
        "k busy on #2 from a",
    ];
    assert_eq!(found, expected);
    let customers: Vec<_> = replay.partition().customers().collect();
    assert_eq!(customers.len(), 1);
    assert_eq!(counted(&customers[0]), 5);
    let tally = replay.summary().tally;
    assert_eq!((tally.merged, tally.forwarded, tally.duplicates, tally.links_refused), (1, 2, 1, 0));
    assert_eq!(replay.partition().len(), 1);
}

#[test]
fn a_shared_visitor_is_independent_from_the_second_claim_on() {
    let lines = [
        line("1", "", "tablet", "page_viewed", START),
        line("2", "k", "tablet", "customer_identified", START + 1),
        line("3", "l", "tablet", "customer_identified", START + 2 * DAY),
        line("4", "", "tablet", "page_viewed", START + 3 * DAY),
        // From before the second claim.
        line("5", "", "tablet", "page_viewed", START + 2),
    ];
    let (replay, _) = replay(&COUNTING, &facts(LinkOn::Identified), &lines, None);
    let expected = [("k", 3), ("l", 1), ("tablet", 1)].map(|(id, count)| (id.to_owned(), count));
    assert_eq!(counts(&replay), expected);
    assert_eq!(replay.summary().tally.links_refused, 1);
}

/// A visitor that is linked, erased with its customer, and linked to another one.
fn visitor_with_two_lives() -> Vec<String> {
    vec![
        line("1", "", "a", "page_viewed", START),
        line("2", "k", "a", "customer_identified", START + 1),
        line("3", "k", "", "customer_erased", START + 2),
        line("4", "", "a", "page_viewed", START + 3),
        line("5", "l", "a", "customer_identified", START + 1),
    ]
}

#[test]
fn transitions_of_a_visitor_that_leaves_twice_at_one_instant_have_different_ids() {
    let lines = visitor_with_two_lives();
    let (_, transitions) = replay(&COUNTING, &facts(LinkOn::Identified), &lines, None);
    let left = |it: &&Transition| matches!(it.merge, Some(Merge::Into(_)));
    assert_eq!(transitions.iter().filter(left).map(|it| &*it.customer_id).collect::<Vec<_>>(), ["a", "a"]);
    assert_ids(&transitions);
}

#[test]
fn what_is_left_of_an_erased_visitor_ends_though_it_was_independent_meanwhile() {
    let mut lines = visitor_with_two_lives();
    // The time at which the first erasure is forgotten passes while the visitor is a stub of the second customer.
    lines.push(line("6", "z", "", "page_viewed", START + 91 * DAY));
    // It becomes independent of that customer, whose erasure reaches it nevertheless.
    lines.push(line("7", "m", "a", "customer_identified", START + 92 * DAY));
    let (replayed, _) = replay(&COUNTING, &facts(LinkOn::Identified), &lines, None);
    assert!(replayed.partition().identity("a").is_some_and(|identity| identity.former.is_some()));
    lines.push(line("8", "l", "", "customer_erased", START + 92 * DAY + 1));
    lines.push(line("9", "z", "", "page_viewed", START + 190 * DAY));
    let (replayed, _) = replay(&COUNTING, &facts(LinkOn::Identified), &lines, None);
    assert_eq!(replayed.partition().identity("a"), None);
}

#[test]
fn a_touchpoint_that_names_a_stub_as_its_customer_makes_it_independent() {
    let lines = [
        line("1", "", "a", "page_viewed", START),
        line("2", "k", "a", "customer_identified", START + 1),
        line("3", "a", "", "page_viewed", START + 2 * DAY),
        line("4", "", "a", "page_viewed", START + 3 * DAY),
    ];
    let (replay, _) = replay(&COUNTING, &facts(LinkOn::Identified), &lines, None);
    assert_eq!(replay.partition().customers().map(|customer| counted(&customer)).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn a_stub_lives_longer_after_its_lifetime_was_raised_whether_time_or_a_touchpoint_comes_first() {
    let options = |days| {
        let mut options = facts(LinkOn::Identified);
        options.identity =
            Some(IdentityOptions { stub_lifetime: Duration::from_days(days), ..IdentityOptions::default() });
        options
    };
    for (seed, time_passes) in (0..20).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut cluster = Cluster::new(&COUNTING, &options(30), 1, seed);
        cluster.receive(&line("1", "k", "a", "customer_identified", START));
        cluster.deliver_all();
        cluster.options = options(60);
        cluster.restore(0);
        if time_passes {
            cluster.advance_time(START + 40 * DAY);
        }
        cluster.receive(&line("2", "", "a", "page_viewed", START + 40 * DAY));
        cluster.deliver_all();
        assert_eq!(cluster.customers().keys().collect::<Vec<_>>(), ["k"], "seed {seed}");
        cluster.advance_time(START + 200 * DAY);
        assert_eq!(cluster.identity("a"), None, "seed {seed}");
    }
}

#[test]
fn a_stub_ends_after_its_lifetime_and_the_id_is_a_new_visitor() {
    let mut options = facts(LinkOn::Identified);
    let identity = IdentityOptions { stub_lifetime: Duration::from_days(30), ..IdentityOptions::default() };
    options.identity = Some(identity);
    let lines = |days: i64| {
        [
            line("1", "", "a", "page_viewed", START),
            line("2", "k", "a", "customer_identified", START),
            line("3", "", "a", "page_viewed", START + days * DAY),
        ]
    };
    let (kept, _) = replay(&COUNTING, &options, &lines(30), None);
    assert_eq!(kept.partition().len(), 1);
    let (ended, transitions) = replay(&COUNTING, &options, &lines(31), None);
    assert_eq!(ended.partition().len(), 2);
    assert_publications(&transitions);
}

#[test]
fn a_link_is_repeated_to_its_visitor_once_a_day() {
    // The id may be that of a customer, which refuses each claim.
    for first in [line("first", "", "a", "page_viewed", START), line("first", "a", "", "page_viewed", START)] {
        let mut partition = Partition::new(Arc::clone(&COUNTING), facts(LinkOn::Any));
        let decoder = decoder(&COUNTING);
        let mut claims = 0;
        let links = (0..49).map(|hour| line(&format!("e-{hour}"), "k", "a", "page_viewed", START + hour * 3_600_000));
        for text in [first].into_iter().chain(links) {
            let mut scratch = Scratch::default();
            let touchpoint = decoder.decode(text.as_bytes(), &mut scratch).expect("a touchpoint");
            let mut effects = Effects::default();
            partition.apply(Input::Touchpoint(&touchpoint), &mut effects);
            while !effects.hand_overs.is_empty() {
                for hand_over in std::mem::take(&mut effects.hand_overs) {
                    claims += u32::from(matches!(hand_over.message, Message::Claim { .. }));
                    partition.apply(Input::HandOver(&hand_over), &mut effects);
                }
            }
        }
        assert_eq!(claims, 3);
    }
}
