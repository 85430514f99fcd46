//! Prints the silence by kind of failure, on three brokers with three instances, for static and dynamic members.
//!
//! `cargo test --test it failover::table -- --ignored --nocapture` injects each failure five times, or
//! `LIFECYCLE_FAILOVER_ROUNDS` times. `LIFECYCLE_FAILOVER_KINDS=crash,stop` selects failures whose name contains one of
//! the words.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lifecycle_processor::kafka::Cluster as Connection;
use lifecycle_processor::kafka::cluster::group::describe_group;

use super::traffic::Traffic;
use crate::chaos::PARTITIONS;
use crate::chaos::cluster::{self, Cluster};
use crate::chaos::fleet::{DesiredState, Fleet, Settings};

/// Each touchpoint causes a transition, so each partition has one every 50 ms.
const TOUCHPOINTS_PER_SECOND: u64 = 120;
/// The instances that run all the time, and one more for the scale-out.
const INSTANCES: [&str; 4] = ["a", "b", "c", "d"];
/// The instance that fails.
const FAILING: usize = 1;
/// The instance of the scale-out.
const ADDED: usize = 3;
/// How long everything must be calm before and after a failure.
const CALM: Duration = Duration::from_secs(2);
/// How long a failure may take; far longer than any does.
const TIMEOUT: Duration = Duration::from_mins(3);

/// The failures, in the order of the table.
const KINDS: [&str; 9] = [
    "none, for comparison",
    "crash and restart",
    "loss of a node",
    "crash, replaced under another name",
    "stop (scale-down)",
    "rolling restart of three",
    "scale-out",
    "broker loss",
    "leader moves",
];

/// The silences of one failure in the partitions that it affects and in the others.
#[derive(Default)]
struct Silences {
    affected: Vec<Duration>,
    elsewhere: Vec<Duration>,
}

/// Fields are dropped in this order, so the cluster runs until the traffic has ended.
struct Rig {
    traffic: Traffic,
    fleet: Fleet,
    settings: Settings,
    cluster: Cluster,
}

#[test]
#[ignore = "a measurement of half an hour"]
fn the_silence_of_each_kind_of_failure_is_printed() {
    let rounds: u32 =
        std::env::var("LIFECYCLE_FAILOVER_ROUNDS").map_or(5, |rounds| rounds.parse().expect("a number of rounds"));
    let selected = std::env::var("LIFECYCLE_FAILOVER_KINDS").unwrap_or_default();
    let is_selected = |kind: &str| selected.is_empty() || selected.split(',').any(|word| kind.contains(word));
    let mut table = "| failure | members | silence of the affected partitions: median | longest | elsewhere: median | longest |\n|---|---|---|---|---|---|\n".to_owned();
    for (members, is_static) in [("static", true), ("dynamic", false)] {
        let mut rig = Rig::start(is_static);
        for kind in KINDS.into_iter().filter(|kind| is_selected(kind)) {
            let mut all = Silences::default();
            for _ in 0..rounds {
                let (affected, elsewhere) = rig.measure(kind);
                eprintln!("failover: {kind}, {members}: {affected:.2?}, elsewhere {elsewhere:.2?}");
                all.affected.push(affected);
                all.elsewhere.extend(elsewhere);
            }
            let columns = [kind.to_string(), members.to_string(), column(all.affected), column(all.elsewhere)];
            table = table + "| " + &columns.join(" | ") + " |\n";
        }
    }
    eprintln!("{table}");
}

/// Returns the median and the maximum in seconds.
fn column(mut silences: Vec<Duration>) -> String {
    silences.sort_unstable();
    match silences.last() {
        None => "- | -".to_owned(),
        Some(longest) => {
            let median = silences[silences.len() / 2];
            format!("{:.1} s | {:.1} s", median.as_secs_f64(), longest.as_secs_f64())
        }
    }
}

impl Rig {
    fn start(is_static_member: bool) -> Self {
        let cluster = Cluster::start();
        let topic = |name: &str| {
            assert!(cluster::TOPICS.contains(&name), "{name} is moved with the leaders");
            cluster.create_topic(name, PARTITIONS);
            name.to_owned()
        };
        topic("hand-overs");
        let settings = Settings {
            group: "failover".to_owned(),
            input: topic("touchpoints"),
            output: topic("transitions"),
            replay: topic("transitions-replay"),
            dead_letters: topic("dead-letters"),
            changelog: topic("changelog"),
            hand_overs: None,
            clock_source: "wall",
            lateness: "1m".to_owned(),
            models: vec![concat!(env!("CARGO_MANIFEST_DIR"), "/examples/orders_45d.yaml").to_owned()],
            is_static_member,
            timeouts: "",
            workers: 1,
        };
        let directory = tempfile::Builder::new().prefix("lifecycle-failover-").tempdir().expect("a folder").keep();
        eprintln!("failover: the logs of the instances are in {}", directory.display());
        let instances = INSTANCES.iter().map(|name| (*name, cluster.bootstrap.clone())).collect();
        let mut fleet = Fleet::new(settings.clone(), &directory, instances);
        (0..ADDED).for_each(|index| assert!(fleet.start(index)));
        let traffic = Traffic::start(&cluster.bootstrap, &settings.input, &settings.output, TOUCHPOINTS_PER_SECOND);
        Self { traffic, fleet, settings, cluster }
    }

    /// Causes a failure and returns the longest silence in the affected partitions and, if there are any, elsewhere.
    fn measure(&mut self, kind: &str) -> (Duration, Option<Duration>) {
        self.wait_until_calm(&[0, 1, 2]);
        let before = self.owners().expect("the group is stable");
        let started = Instant::now();
        let all: BTreeSet<i32> = (0..PARTITIONS).collect();
        let of_failing: BTreeSet<i32> =
            before.iter().filter(|(_, owner)| **owner == FAILING).map(|(partition, _)| *partition).collect();
        let affected = match kind {
            "none, for comparison" => {
                std::thread::sleep(CALM);
                all.clone()
            }
            "crash and restart" => {
                self.fleet.kill(FAILING);
                self.fleet.start(FAILING);
                self.wait_until_calm(&[0, 1, 2]);
                of_failing
            }
            "loss of a node" => {
                self.fleet.kill(FAILING);
                self.wait_until_calm(&[0, 2]);
                of_failing
            }
            "crash, replaced under another name" => {
                self.fleet.kill(FAILING);
                self.fleet.start(ADDED);
                self.wait_until_calm(&[0, 2, ADDED]);
                of_failing
            }
            "stop (scale-down)" => {
                self.stop(FAILING);
                self.wait_until_calm(&[0, 2]);
                of_failing
            }
            "rolling restart of three" => {
                for index in 0..ADDED {
                    self.stop(index);
                    self.fleet.start(index);
                    self.wait_until_calm(&[0, 1, 2]);
                }
                all.clone()
            }
            "scale-out" => {
                self.fleet.start(ADDED);
                self.wait_until_calm(&[0, 1, 2, ADDED]);
                let after = self.owners().expect("the group is stable");
                all.iter().copied().filter(|it| before.get(it) != after.get(it)).collect()
            }
            "broker loss" => {
                drop(self.cluster.node("kill", 1).wait());
                self.wait_until_calm(&[0, 1, 2]);
                all.clone()
            }
            "leader moves" => {
                static SHIFT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(1);
                let shift = SHIFT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                drop(self.cluster.move_leaders(0, shift).wait());
                self.wait_until_calm(&[0, 1, 2]);
                all.clone()
            }
            other => panic!("unknown failure {other}"),
        };
        let ended = Instant::now();
        let longest =
            |partitions: &BTreeSet<i32>| partitions.iter().map(|it| self.traffic.silence(*it, started, ended)).max();
        let others = all.difference(&affected).copied().collect();
        let measured = (longest(&affected).expect("a partition is affected"), longest(&others));
        self.restore();
        measured
    }

    /// Undoes the failure.
    fn restore(&mut self) {
        if self.fleet.in_state(DesiredState::Running).contains(&ADDED) {
            self.stop(ADDED);
        }
        if !self.fleet.in_state(DesiredState::Running).contains(&FAILING) {
            self.fleet.start(FAILING);
        }
        drop(self.cluster.node("start", 1).wait());
        let deadline = Instant::now() + TIMEOUT;
        while !self.cluster.is_in_sync() {
            assert!(Instant::now() < deadline, "the brokers are not in sync within {TIMEOUT:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn stop(&mut self, index: usize) {
        while !self.fleet.accepts_signals(index) {
            std::thread::sleep(Duration::from_millis(50));
        }
        self.fleet.signal(index, "-TERM", DesiredState::Stopping);
        let deadline = Instant::now() + TIMEOUT;
        while !self.fleet.in_state(DesiredState::Stopped).contains(&index) {
            self.fleet.supervise();
            assert!(Instant::now() < deadline, "the instance does not stop within {TIMEOUT:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the group is stable with exactly the `expected` instances, each with partitions, and every
    /// partition has published recent touchpoints for a while.
    fn wait_until_calm(&self, expected: &[usize]) {
        let expected: BTreeSet<usize> = expected.iter().copied().collect();
        let deadline = Instant::now() + TIMEOUT;
        let mut calm_since = Instant::now();
        while calm_since.elapsed() < CALM {
            std::thread::sleep(Duration::from_millis(100));
            assert!(Instant::now() < deadline, "the service does not recover within {TIMEOUT:?}");
            let recent = Instant::now().checked_sub(CALM / 2).expect("the machine runs for longer");
            let publishes = |it: i32| self.traffic.first_of_touchpoint_since(it, recent).is_some();
            let is_owned =
                self.owners().is_some_and(|owners| owners.into_values().collect::<BTreeSet<_>>() == expected);
            if !(is_owned && (0..PARTITIONS).all(publishes)) {
                calm_since = Instant::now();
            }
        }
    }

    /// Returns the instance that owns each partition; `None` while the group is not stable.
    fn owners(&self) -> Option<BTreeMap<i32, usize>> {
        let connection = Connection { bootstrap_servers: self.cluster.bootstrap.clone(), settings: Vec::new() };
        let group = describe_group(&connection, &self.settings.group, &self.settings.input).ok()?;
        let mut owners = BTreeMap::new();
        for member in group.members.iter().filter(|_| group.state == "Stable") {
            let name = member.client_id.strip_prefix("lifecycle-")?.strip_suffix("-0")?;
            let index = INSTANCES.iter().position(|it| *it == name)?;
            owners.extend(member.partitions.clone()?.into_iter().map(|partition| (partition, index)));
        }
        (owners.len() == usize::try_from(PARTITIONS).ok()?).then_some(owners)
    }
}
