//! Links, merges and splits that contradict each other: whatever they do, no touchpoint is lost or counted twice, and
//! an erasure reaches everything.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use lifecycle_processor::lifecycle::identity::LinkOn;
use lifecycle_processor::lifecycle::time::Timestamp;
use serde_json::Value;

use crate::oracle::summary::DAY;

use super::cluster::Cluster;
use super::{
    COUNTING, START, assert_ids, assert_publications, check_many, counted, facts, line, merge, requested, split,
};

/// Touchpoints, links and merges that contradict each other: visitors claimed by several customers, visitors' ids used
/// as customer ids, merges to several customers and in circles.
fn contradictory(rng: &mut Rng, commands: Commands) -> Vec<String> {
    let has_merges = commands != Commands::None;
    let customers = ["k", "l", "m", "n"];
    // With merges, the ids of customers and visitors are mostly different, because nothing is promised otherwise.
    let is_mixed = !has_merges || rng.u8(..4) == 0;
    let ids = ["a", "b", "c", if is_mixed { "k" } else { "d" }];
    let mut lines = Vec::new();
    let merges = if has_merges { [0, 1, 2, 3, 6][rng.usize(..5)] } else { 0 };
    let splits = if commands >= Commands::Splits { [1, 2, 4][rng.usize(..3)] } else { 0 };
    let erasures = if commands == Commands::Erasures { [1, 2, 4][rng.usize(..3)] } else { 0 };
    for index in 0..rng.usize(5..30) {
        let event_id = format!("e-{index}");
        let at = START + rng.i64(0..20) * DAY;
        let (customer, visitor) = (*rng.choice(&customers).expect("one"), *rng.choice(&ids).expect("one"));
        let other = *rng.choice(&customers).expect("one");
        lines.push(match rng.u8(..20 + merges + splits + erasures) {
            kind if kind >= 20 + merges + splits => {
                let (customer, visitor) = if rng.bool() { (customer, "") } else { ("", visitor) };
                line(&event_id, customer, visitor, "customer_erased", at)
            }
            20.. if rng.u8(..merges + splits) < splits => split(&event_id, other, at),
            0..8 => line(&event_id, "", visitor, "page_viewed", at),
            8..14 => line(&event_id, customer, "", "page_viewed", at),
            14..18 if customer != visitor => line(&event_id, customer, visitor, "customer_identified", at),
            14..20 => line(&event_id, visitor, "", "page_viewed", at),
            _ => merge(&event_id, customer, if is_mixed && rng.bool() { visitor } else { other }, at),
        });
    }
    // Repetitions, possibly after the id became a stub, or was one.
    for _ in 0..rng.usize(..10) {
        let repeated = rng.choice(&lines).expect("one").clone();
        lines.insert(rng.usize(..=lines.len()), repeated);
    }
    lines
}

/// Which commands a contradictory history has; each has those of the ones before it as well.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Commands {
    None,
    Merges,
    Splits,
    Erasures,
}

/// What must hold in the end for a history, in any order of arrival: the ids that links and merges connect are one
/// customer. Nothing is promised for a visitor that several customers claim, nor for sets with a split, or with a
/// visitor that is merged or is also a customer.
struct Connected {
    /// The set of each id, by one of its ids.
    root: BTreeMap<String, String>,
    /// The ids whose customer is not promised.
    odd: BTreeSet<String>,
    /// The `event_id`s of the touchpoints with facts of each id.
    events: BTreeMap<String, BTreeSet<String>>,
    /// The customer of a set, if each of its ids is merged at most once and not in a circle.
    canonical: BTreeMap<String, String>,
    /// The ids that are never that of a customer.
    visitors: BTreeSet<String>,
}

impl Connected {
    fn of(lines: &[String]) -> Self {
        let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let field = |line: &Value, name: &str| line[name].as_str().map(str::to_owned);
        let (mut declared, mut split) = (BTreeSet::new(), BTreeSet::new());
        let mut claims: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut merges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut events: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in &lines {
            let (customer, visitor) = (field(line, "customer_id"), field(line, "anonymous_id"));
            let id = customer.clone().or(visitor.clone()).expect("an id");
            let of_id: &mut BTreeSet<String> = events.entry(id.clone()).or_default();
            if line["type"] == "customer_merged" {
                let from = field(line, "merged_id").expect("an id");
                if from != id {
                    merges.entry(from.clone()).or_default().insert(id);
                }
                events.entry(from).or_default();
            } else if line["type"] == "customer_split" {
                split.insert(id);
            } else if line["type"] != "customer_erased" {
                of_id.insert(field(line, "event_id").expect("an id"));
            }
            if let (Some(customer), Some(visitor)) = (customer.clone(), visitor) {
                events.entry(visitor.clone()).or_default();
                claims.entry(visitor).or_default().insert(customer);
            }
            declared.extend(customer);
        }
        let in_merges: BTreeSet<&String> = merges.iter().flat_map(|(from, into)| into.iter().chain([from])).collect();
        let is_odd = |(id, by): &(&String, &BTreeSet<String>)| by.len() > 1 || declared.contains(*id);
        let is_mixed = |id: &&String| in_merges.contains(id) || declared.contains(*id);
        let mixed: BTreeSet<String> = claims.keys().filter(is_mixed).chain(&split).cloned().collect();
        let mut odd: BTreeSet<String> = claims.iter().filter(is_odd).map(|(id, _)| id.clone()).collect();
        let mut root: BTreeMap<String, String> = events.keys().map(|id| (id.clone(), id.clone())).collect();
        let plain = claims.iter().filter(|(id, _)| !odd.contains(*id) || mixed.contains(*id));
        for (id, other) in merges.iter().chain(plain).flat_map(|(id, by)| by.iter().map(move |other| (id, other))) {
            let (from, to) = (root[id].clone(), root[other].clone());
            root.values_mut().filter(|root| **root == from).for_each(|root| root.clone_from(&to));
        }
        let mixed: BTreeSet<&String> = mixed.iter().map(|id| &root[id]).collect();
        odd.extend(root.iter().filter(|(_, root)| mixed.contains(root)).map(|(id, _)| id.clone()));
        let mut canonical = BTreeMap::new();
        for name in root.values().collect::<BTreeSet<_>>() {
            let ids: Vec<&String> = root.iter().filter(|(_, root)| *root == name).map(|(id, _)| id).collect();
            let is_customer = |id: &&&String| !claims.contains_key(**id) || odd.contains(**id);
            let sinks: Vec<_> = ids.iter().filter(is_customer).filter(|id| !merges.contains_key(**id)).collect();
            // A set of ids without circles in which each is merged once has one sink.
            let is_forest = ids.iter().all(|id| merges.get(*id).is_none_or(|into| into.len() == 1));
            if let (true, [sink]) = (is_forest, sinks.as_slice()) {
                canonical.insert(name.clone(), (**sink).clone());
            }
        }
        let visitors = events.keys().filter(|id| !declared.contains(*id)).cloned().collect();
        Self { root, odd, events, canonical, visitors }
    }

    /// Asserts that no touchpoint counts twice in `cluster`, whose history has erasures, and that one of each id that
    /// is later than all others counts once.
    fn check_later_touchpoints(&self, cluster: &mut Cluster, report: &dyn Fn(&Cluster) -> String) {
        let total = |cluster: &Cluster| cluster.customers().values().map(counted).sum::<i64>();
        let events: BTreeSet<&String> = self.events.values().flatten().collect();
        let before = total(cluster);
        assert!(usize::try_from(before).is_ok_and(|before| before <= events.len()), "{}", report(cluster));
        for id in self.events.keys() {
            let (customer, visitor) = if self.visitors.contains(id) { ("", &**id) } else { (&**id, "") };
            cluster.receive(&line(&format!("later-{id}"), customer, visitor, "page_viewed", START + 60 * DAY));
        }
        cluster.deliver_all();
        let later = i64::try_from(self.events.len()).expect("few ids");
        assert_eq!(total(cluster), before + later, "{}", report(cluster));
    }

    /// Asserts that `cluster` has ended as it must.
    fn check(&self, cluster: &Cluster, report: &dyn Fn(&Cluster) -> String) {
        let customers = cluster.customers();
        let total: i64 = customers.values().map(counted).sum();
        let events: usize = self.events.values().map(BTreeSet::len).sum();
        assert_eq!(usize::try_from(total), Ok(events), "{}", report(cluster));
        for name in self.root.values().collect::<BTreeSet<_>>() {
            let ids: Vec<&String> = self.root.iter().filter(|(_, root)| *root == name).map(|(id, _)| id).collect();
            let plain: Vec<&String> = ids.iter().copied().filter(|id| !self.odd.contains(*id)).collect();
            let own: usize = plain.iter().map(|id| self.events[*id].len()).sum();
            let alive: Vec<&&String> = plain.iter().filter(|id| customers.contains_key(**id)).collect();
            assert!(alive.len() <= 1 && (own == 0 || alive.len() == 1), "{name}: {alive:?} {}", report(cluster));
            if own == 0 {
                continue;
            }
            let customer = *alive[0];
            assert!(usize::try_from(counted(&customers[customer])).expect("a count") >= own, "{}", report(cluster));
            let canonical = self.canonical.get(name).filter(|id| plain.contains(id));
            assert!(canonical.is_none_or(|canonical| canonical == customer), "{canonical:?} {}", report(cluster));
            for id in plain {
                let stub = cluster.identity(id).and_then(|identity| identity.stub);
                let into = stub.map(|stub| stub.into.to_string());
                let is_root = into.as_ref().is_none_or(|into| into == customer || self.odd.contains(into));
                assert!(is_root, "{id} {into:?} {}", report(cluster));
            }
        }
        // A stub refers to an id that is not a stub and that knows it.
        for id in self.events.keys() {
            if let Some(stub) = cluster.identity(id).and_then(|identity| identity.stub) {
                let target = cluster.identity(&stub.into).unwrap_or_default();
                let is_known = target.aliases.iter().any(|alias| *alias.id == **id && alias.drain == stub.drain);
                assert!(is_known && target.stub.is_none() && stub.is_settled, "{id}: {stub:?} {}", report(cluster));
                let is_of_former = target.former_of(Some(stub.life), Timestamp::MIN).is_some();
                assert!(!is_of_former, "{id}: {stub:?} {target:?} {}", report(cluster));
            }
        }
    }
}

/// Applies contradictory histories in one to six partitions, checks their end, and erases everything.
fn check_contradictory(seeds: std::ops::Range<u64>, commands: Commands) {
    for seed in seeds {
        let mut rng = Rng::with_seed(seed);
        let lines = contradictory(&mut rng, commands);
        let link_on = if commands == Commands::None && rng.bool() { LinkOn::Any } else { LinkOn::Identified };
        let mut cluster = Cluster::new(&COUNTING, &facts(link_on), rng.usize(1..7), seed);
        for line in &lines {
            cluster.receive(line);
        }
        cluster.deliver_all();
        let report = |cluster: &Cluster| format!("seed {seed}: {:#?}\n{}", cluster.customers(), lines.join("\n"));
        let connected = Connected::of(&lines);
        if commands == Commands::Erasures {
            connected.check_later_touchpoints(&mut cluster, &report);
            assert_ids(&cluster.transitions);
        } else {
            connected.check(&cluster, &report);
            assert_publications(&cluster.transitions);
        }
        // An erasure reaches every alias.
        let ids: Vec<&String> = connected.events.keys().collect();
        for id in &ids {
            cluster.receive(&line(&format!("erase-{id}"), id, "", "customer_erased", START + 100 * DAY));
        }
        cluster.deliver_all();
        assert!(cluster.customers().is_empty(), "{}", report(&cluster));
        for id in ids {
            let identity = cluster.identity(id).unwrap_or_default();
            // A former stub of an erased customer ends soon.
            let has_former = identity.former.as_ref().is_some_and(|former| former.ends_at.is_none());
            let is_gone = identity.stub.is_none() && !has_former && identity.aliases.is_empty();
            assert!(is_gone, "{id}: {identity:?} {}", report(&cluster));
        }
        cluster.advance_time(START + 200 * DAY);
        assert!(cluster.members.iter().all(|member| member.partition.live_bytes() == 0), "seed {seed}");
    }
}

#[test]
fn contradictory_links_lose_and_double_nothing() {
    check_contradictory(0..requested(1_000), Commands::None);
}

#[test]
fn contradictory_merges_lose_and_double_nothing() {
    check_contradictory(0..requested(2_000), Commands::Merges);
}

#[test]
fn contradictory_erasures_double_nothing_and_leave_what_comes_later() {
    check_contradictory(700_000..700_000 + requested(2_000), Commands::Erasures);
}

#[test]
fn contradictory_splits_lose_and_double_nothing() {
    check_contradictory(500_000..500_000 + requested(2_000), Commands::Splits);
}

/// `LIFECYCLE_IDENTITY_HISTORIES=100000 cargo test --test it identity:: -- --ignored`
#[test]
#[ignore = "takes some minutes"]
fn many_contradictory_merges_lose_and_double_nothing() {
    check_many(1_000_000, 100_000, |seed| check_contradictory(seed..seed + 1, Commands::Merges));
}

#[test]
#[ignore = "takes some minutes"]
fn many_contradictory_erasures_double_nothing_and_leave_what_comes_later() {
    check_many(4_000_000, 100_000, |seed| check_contradictory(seed..seed + 1, Commands::Erasures));
}

#[test]
#[ignore = "takes some minutes"]
fn many_contradictory_splits_lose_and_double_nothing() {
    check_many(2_000_000, 100_000, |seed| check_contradictory(seed..seed + 1, Commands::Splits));
}
