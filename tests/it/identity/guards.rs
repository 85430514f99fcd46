//! Links that are refused, limits, and blocked ids.

use std::sync::Arc;

use lifecycle_processor::lifecycle::identity::{Identity, LinkOn};
use lifecycle_processor::partition::{Effects, Input, Partition};
use lifecycle_processor::wire::touchpoint_json::Scratch;

use crate::oracle::summary::DAY;
use crate::oracle::touchpoint::Millis;

use super::cluster::Cluster;
use super::{COUNTING, START, counted, decoder, facts, line, merge, refused, replay};

/// The facts of merged customers may be under way when further merges arrive.
#[test]
fn merges_under_way_count_for_the_limit() {
    let lines: Vec<String> = (0..100)
        .map(|number| merge(&format!("m-{number}"), "k", &format!("c-{number}"), START + number * 2 * DAY))
        .collect();
    let mut partition = Partition::new(Arc::clone(&COUNTING), facts(LinkOn::Identified));
    let mut effects = Effects::default();
    let decoder = decoder(&COUNTING);
    for line in &lines {
        let mut scratch = Scratch::default();
        let touchpoint = decoder.decode(line.as_bytes(), &mut scratch).expect("a touchpoint");
        partition.apply(Input::Touchpoint(&touchpoint), &mut effects);
    }
    assert_eq!((effects.hand_overs.len(), effects.tally.links_refused), (64, 36));
}

/// Merged customers bring their aliases: a tree of merges must not outgrow the record.
#[test]
fn a_customer_keeps_at_most_512_aliases_and_ends_the_stubs_of_the_others() {
    let mut cluster = Cluster::new(&COUNTING, &facts(LinkOn::Identified), 2, 1);
    let mut send = |line: &str| {
        cluster.receive(line);
        cluster.deliver_all();
    };
    for group in 0..12 {
        for number in 0..60 {
            let at = START + (group * 60 + number) * DAY;
            send(&merge(&format!("m-{group}-{number}"), &format!("g-{group}"), &format!("c-{group}-{number}"), at));
        }
    }
    // At once, so that the limit of merged customers does not count what they bring.
    for group in 0..12 {
        let at = START + 1_000 * DAY + group;
        cluster.apply(&merge(&format!("g-{group}"), "k", &format!("g-{group}"), at));
    }
    cluster.deliver_all();
    // A claim may displace one of them as well.
    cluster.receive(&line("link", "k", "visitor", "customer_identified", START + 1_002 * DAY));
    cluster.deliver_all();
    let aliases = cluster.identity("k").expect("a customer").aliases;
    assert_eq!(aliases.len(), Identity::INHERITED_MAX);
    let ids: Vec<_> = (0..12).flat_map(|group| (0..60).map(move |number| format!("c-{group}-{number}"))).collect();
    let is_stub = |cluster: &Cluster, id: &str| cluster.identity(id).is_some_and(|identity| identity.stub.is_some());
    for id in &ids {
        assert_eq!(aliases.iter().any(|alias| *alias.id == **id), is_stub(&cluster, id), "{id}");
    }
    cluster.receive(&line("erasure", "k", "", "customer_erased", START + 1_003 * DAY));
    cluster.deliver_all();
    assert!(ids.iter().all(|id| !is_stub(&cluster, id)));
}

#[test]
fn a_customer_id_is_never_claimed_as_a_visitor() {
    let lines = [
        line("1", "l", "", "page_viewed", START),
        line("2", "k", "l", "customer_identified", START + 1),
        line("3", "l", "k", "customer_identified", START + 2),
    ];
    let (replay, _) = replay(&COUNTING, &facts(LinkOn::Identified), &lines, None);
    assert_eq!(replay.partition().customers().map(|customer| counted(&customer)).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(replay.summary().tally.links_refused, 2);
}

#[test]
fn a_refused_link_has_its_reason() {
    let blocked = [
        merge("1", "k", "guest", START),
        line("2", "k", "null", "customer_identified", START),
        line("3", "0", "a", "customer_identified", START),
        // Not refused: the id itself, and an absent id without a link.
        merge("4", "k", "k", START),
        line("5", "k", "k", "customer_identified", START),
        line("6", "k", "null", "page_viewed", START),
    ];
    assert_eq!(refused(&blocked), ["blocked_id k guest 1", "blocked_id k null 2", "blocked_id a 0 3"]);
    let customer = [line("1", "l", "", "page_viewed", START), line("2", "k", "l", "customer_identified", START)];
    assert_eq!(refused(&customer), ["customer_id k l 2"]);
    let merged = [merge("1", "k", "a", START), line("2", "l", "a", "customer_identified", START)];
    assert_eq!(refused(&merged), ["merged_id l a 2"]);
    let shared = [
        line("1", "k", "tablet", "customer_identified", START),
        line("2", "k", "tablet", "customer_identified", START + 2 * DAY),
        line("3", "l", "tablet", "customer_identified", START + 2 * DAY),
        line("4", "m", "tablet", "customer_identified", START + 3 * DAY),
    ];
    assert_eq!(refused(&shared), ["shared_id l tablet 3", "shared_id m tablet 4"]);
    let links = |count: usize| {
        (0..count).map(|at| line(&format!("{at}"), "k", &format!("v-{at}"), "customer_identified", START))
    };
    let with_last =
        |at: Millis| links(64).chain([line("64", "k", "v-64", "customer_identified", at)]).collect::<Vec<_>>();
    assert_eq!(refused(&with_last(START + DAY - 1)), ["new_ids_max k v-64 64"]);
    assert_eq!(refused(&with_last(START + DAY)), [""; 0]);
    let many: Vec<_> =
        (0..65).map(|at: i64| merge(&format!("{at}"), "k", &format!("c-{at}"), START + at * DAY)).collect();
    assert_eq!(refused(&many), ["merged_ids_max k c-64 64"]);
}

#[test]
fn a_customer_has_at_most_64_new_aliases_a_day_and_keeps_the_latest_64() {
    let link = |number: i64, at: Millis| {
        line(&format!("e-{number}"), "k", &format!("visitor-{number:03}"), "customer_identified", at)
    };
    let mut lines: Vec<String> = (0..65).map(|number| link(number, START + number)).collect();
    let options = facts(LinkOn::Identified);
    let (refused, _) = replay(&COUNTING, &options, &lines, None);
    assert_eq!(refused.summary().tally.links_refused, 1);
    assert_eq!(refused.partition().identity("visitor-064"), None);
    lines.push(link(65, START + 2 * DAY));
    let (replayed, _) = replay(&COUNTING, &options, &lines, None);
    let aliases = replayed.partition().identity("k").expect("aliases").aliases;
    assert_eq!((aliases.len(), &*aliases[0].id, &*aliases[63].id), (64, "visitor-001", "visitor-065"));
    // An erasure of the customer would not reach this visitor, so it is independent again.
    assert_eq!(replayed.partition().identity("visitor-000").unwrap_or_default().stub, None);
    lines.push(line("erasure", "k", "", "customer_erased", START + 3 * DAY));
    lines.push(line("later", "", "visitor-000", "page_viewed", START + 4 * DAY));
    let (erased, _) = replay(&COUNTING, &options, &lines, None);
    let customers = erased.partition().customers().map(|customer| customer.customer_id.to_string());
    assert_eq!(customers.collect::<Vec<_>>(), ["visitor-000"]);
}

#[test]
fn links_that_arrive_before_the_facts_of_their_visitors_count_towards_the_limit() {
    let mut partition = Partition::new(Arc::clone(&COUNTING), facts(LinkOn::Identified));
    let decoder = decoder(&COUNTING);
    let mut effects = Effects::default();
    for number in 0..100 {
        let text = line(&format!("e-{number}"), "k", &format!("visitor-{number}"), "customer_identified", START);
        let mut scratch = Scratch::default();
        let touchpoint = decoder.decode(text.as_bytes(), &mut scratch).expect("a touchpoint");
        partition.apply(Input::Touchpoint(&touchpoint), &mut effects);
    }
    assert_eq!((effects.hand_overs.len(), effects.tally.links_refused), (64, 36));
    partition.write_batches(0);
    partition.commit();
    let aliases = partition.identity("k").expect("claims").aliases;
    assert_eq!((aliases.len(), aliases.iter().filter(|alias| alias.has_moved()).count()), (64, 0));
}

#[test]
fn a_customer_accepts_at_most_64_merged_ids() {
    let merges = (0..66).map(|number| {
        // A day between them, so that only their number is limited.
        merge(&format!("e-{number}"), "k", &format!("customer-{number:03}"), START + number * 2 * DAY)
    });
    let lines: Vec<String> = [line("0", "k", "", "page_viewed", START)].into_iter().chain(merges).collect();
    let (full, _) = replay(&COUNTING, &facts(LinkOn::Identified), &lines, None);
    assert_eq!(full.summary().tally.links_refused, 2);
    assert_eq!(full.partition().identity("customer-064"), None);
    // A link to the id of a customer, which is refused, opens no way around the limit.
    let mut around: Vec<String> = lines[..65].to_vec();
    around.push(line("page", "other", "", "page_viewed", START + 200 * DAY));
    around.push(line("link", "k", "other", "customer_identified", START + 201 * DAY));
    around.push(merge("merge", "k", "other", START + 202 * DAY));
    assert_eq!(refused(&around), ["customer_id k other link", "merged_ids_max k other merge"]);
    let blocked = [merge("1", "k", "guest", START), merge("2", "k", "k", START)];
    let (blocked, _) = replay(&COUNTING, &facts(LinkOn::Identified), &blocked, None);
    assert_eq!((blocked.summary().tally.links_refused, blocked.partition().len()), (1, 0));
}

#[test]
fn blocked_ids_count_as_absent() {
    let decoder = decoder(&COUNTING);
    let ids = |customer: &str, visitor: &str| {
        let text = line("1", customer, visitor, "page_viewed", START);
        let mut scratch = Scratch::default();
        let touchpoint = decoder.decode(text.as_bytes(), &mut scratch).map_err(|error| error.reason.as_str())?;
        let visitor = touchpoint.anonymous_id.map(str::to_owned);
        Ok((touchpoint.customer_id.to_owned(), visitor, touchpoint.is_visitor))
    };
    let found = |customer: &str, visitor: Option<&str>, is_visitor| {
        Ok::<_, &str>((customer.to_owned(), visitor.map(str::to_owned), is_visitor))
    };
    let merged = |customer: &str, merged_id: &str| {
        let text = merge("1", customer, merged_id, START);
        let mut scratch = Scratch::default();
        let touchpoint = decoder.decode(text.as_bytes(), &mut scratch).map_err(|error| error.reason.as_str())?;
        Ok((touchpoint.customer_id.to_owned(), touchpoint.merged_id.map(str::to_owned)))
    };
    assert_eq!(merged("k", "l"), Ok(("k".to_owned(), Some("l".to_owned()))));
    assert_eq!(merged("k", "guest"), Ok(("k".to_owned(), None)));
    assert_eq!(merged("k", ""), Err("bad_field"));
    assert_eq!(merged("", "l"), Err("bad_field"));
    assert_eq!(merged("guest", "l"), Err("no_customer"));
    assert_eq!(ids("k", "a"), found("k", Some("a"), false));
    assert_eq!(ids("k", "k"), found("k", None, false));
    assert_eq!(ids("k", "NULL"), found("k", None, false));
    assert_eq!(ids("0", "a"), found("a", None, true));
    assert_eq!(ids("", "a"), found("a", None, true));
    assert_eq!(ids("guest", "undefined"), Err("no_customer"));
    assert_eq!(ids("", ""), Err("no_customer"));
    let text = line("1", "", "a", "customer_identified", START);
    let mut scratch = Scratch::default();
    let cause = decoder.decode(text.as_bytes(), &mut scratch).expect_err("it has no customer");
    assert_eq!(cause.reason.as_str(), "bad_field");
}
