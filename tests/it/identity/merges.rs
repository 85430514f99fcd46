//! Customers that are merged by command.

use lifecycle_processor::lifecycle::identity::LinkOn;
use lifecycle_processor::partition::Input;
use lifecycle_processor::wire::touchpoint_json::Scratch;

use crate::oracle::summary::DAY;

use super::cluster::{Cluster, Entry};
use super::{COUNTING, START, assert_publications, counted, decoder, described, facts, line, merge, replay};

/// With ids of the maximum size, a touchpoint that many stubs pass on must fit into its topic.
#[test]
fn what_a_touchpoint_gains_when_it_is_passed_on_is_bounded() {
    let ids: Vec<String> = (0..100).map(|number| format!("{number:k>512}")).collect();
    let mut cluster = Cluster::new(&COUNTING, &facts(LinkOn::Identified), 2, 1);
    cluster.receive(&line("1", &ids[0], "", "page_viewed", START));
    for (number, pair) in ids.windows(2).enumerate() {
        cluster.apply(&merge(&format!("m-{number}"), &pair[1], &pair[0], START + DAY));
    }
    cluster.receive(&line("2", &ids[0], "", "page_viewed", START + DAY));
    let (mut longest, mut touchpoints) = (0, 2);
    while cluster.deliver() {
        if touchpoints < 300 {
            cluster.apply(&line(&format!("t-{touchpoints}"), &ids[0], "", "page_viewed", START + DAY));
            touchpoints += 1;
        }
        for entry in cluster.members.iter().flat_map(|member| &member.log) {
            if let Entry::Forwarded(forwarding, _) = entry {
                let path: usize = forwarding.path.iter().map(|id| id.len()).sum();
                longest = longest.max(path + 8 * forwarding.needs.len());
            }
        }
    }
    assert!((1..=16 << 10).contains(&longest), "{longest}");
    let last = ids.last().expect("an id");
    assert_eq!(cluster.counts(), [(last.clone(), touchpoints)]);
}

/// Found by seed 1000831 of `many_contradictory_merges`: a link must not claim the target of a merge as a visitor while
/// the facts are under way to it, though nothing is known of it yet.
#[test]
fn the_target_of_a_merge_is_a_customer_though_nothing_is_known_of_it() {
    let lines = [
        merge("1", "k", "b", START),
        line("2", "m", "k", "customer_identified", START),
        line("3", "b", "", "page_viewed", START),
        merge("1", "k", "b", START),
        line("4", "", "k", "page_viewed", START),
    ];
    for seed in 0..500 {
        let mut cluster = Cluster::new(&COUNTING, &facts(LinkOn::Identified), 3, seed);
        for line in &lines {
            cluster.receive(line);
        }
        cluster.deliver_all();
        assert_eq!(cluster.counts(), [("k".to_owned(), 2), ("m".to_owned(), 1)], "seed {seed}");
    }
}

#[test]
fn a_merged_customer_leaves_and_its_visitors_follow() {
    let lines = [
        line("1", "", "a", "page_viewed", START),
        line("2", "k", "a", "customer_identified", START + 1),
        line("3", "k", "", "page_viewed", START + 2),
        merge("4", "l", "k", START + 3),
        merge("4", "l", "k", START + 3),
        // Of the visitor, of the merged customer, a repetition, and a link that is repeated.
        line("5", "", "a", "page_viewed", START + 4),
        line("6", "k", "", "page_viewed", START + 5),
        line("3", "k", "", "page_viewed", START + 2),
        line("7", "k", "a", "customer_identified", START + 2 * DAY),
        merge("8", "m", "l", START + 2 * DAY),
        line("9", "", "a", "page_viewed", START + 2 * DAY),
    ];
    let (replay, transitions) = replay(&COUNTING, &facts(LinkOn::Identified), &lines, None);
    let found: Vec<String> = transitions.iter().map(described).collect();
    let expected = [
        "a stage_entered in #1",
        "k stage_entered in #1",
        "a merged out #2 into k",
        "k busy on #2 from a",
        "k third reached #3",
        "k merged out #4 into l",
        "k busy off #5 into l",
        "l stage_entered in #1 from k",
        "l busy on #2 from k",
        "l merged out #3 into m",
        "l busy off #4 into m",
        "m stage_entered in #1 from l",
        "m busy on #2 from l",
    ];
    assert_eq!(found, expected);
    let customers: Vec<_> = replay.partition().customers().collect();
    assert_eq!(customers.iter().map(|it| (&*it.customer_id, counted(it))).collect::<Vec<_>>(), [("m", 7)]);
    for id in ["a", "k", "l"] {
        let stub = replay.partition().identity(id).and_then(|identity| identity.stub).expect("a stub");
        assert_eq!((&*stub.into, stub.is_settled), ("m", true), "{id}");
    }
    let tally = replay.summary().tally;
    assert_eq!((tally.merged, tally.duplicates, tally.links_refused), (3, 1, 0));
    assert_eq!(tally.consumed, tally.applied + tally.duplicates);
}

#[test]
fn customers_that_are_merged_into_each_other_at_once_end_as_one() {
    // Many orders in which the hand-overs of the two partitions may be applied.
    for seed in 0..500 {
        let mut cluster = Cluster::new(&COUNTING, &facts(LinkOn::Identified), 2, seed);
        assert_ne!(cluster.home("k"), cluster.home("l"));
        let lines = [line("1", "k", "", "page_viewed", START), line("2", "l", "", "page_viewed", START)];
        for line in &lines {
            cluster.receive(line);
        }
        let decoder = decoder(&COUNTING);
        // Neither partition has heard of the other merge yet.
        for (into, from) in [("k", "l"), ("l", "k")] {
            let text = merge(into, into, from, START + 1);
            let mut scratch = Scratch::default();
            let touchpoint = decoder.decode(text.as_bytes(), &mut scratch).expect("a touchpoint");
            cluster.step(cluster.home(into), &Input::Touchpoint(&touchpoint), &text);
        }
        cluster.receive(&line("3", "l", "", "page_viewed", START));
        cluster.receive(&line("2", "l", "", "page_viewed", START));
        cluster.deliver_all();
        let customers: Vec<_> =
            cluster.customers().into_iter().map(|(id, customer)| (id, counted(&customer))).collect();
        assert!(customers == [("k".to_owned(), 3)] || customers == [("l".to_owned(), 3)], "{seed}: {customers:?}");
        assert_publications(&cluster.transitions);
    }
}

#[test]
fn merged_ids_without_touchpoints_are_not_customers() {
    let mut lines = vec![merge("1", "l", "k", START), merge("2", "m", "l", START + 1)];
    let options = facts(LinkOn::Identified);
    let (unknown, _) = replay(&COUNTING, &options, &lines, None);
    assert_eq!((unknown.partition().len(), unknown.partition().stage_counts()), (0, &[vec![0, 0]][..]));
    assert!(unknown.partition().identity("m").is_some_and(|identity| identity.aliases.len() == 2));
    lines.push(line("3", "k", "", "page_viewed", START + 9_000 * DAY));
    let (known, _) = replay(&COUNTING, &options, &lines, None);
    let customers: Vec<_> = known.partition().customers().map(|it| it.customer_id.to_string()).collect();
    assert_eq!(customers, ["m"], "the id of a customer forwards without an end");
    lines.push(line("4", "k", "", "customer_erased", START + 9_001 * DAY));
    lines.push(line("5", "z", "", "page_viewed", START + 9_100 * DAY));
    let (erased, _) = replay(&COUNTING, &options, &lines, None);
    assert_eq!(erased.partition().customers().map(|it| it.customer_id.to_string()).collect::<Vec<_>>(), ["z"]);
    assert_eq!(["k", "l", "m"].map(|id| erased.partition().identity(id)), [None, None, None]);
}
