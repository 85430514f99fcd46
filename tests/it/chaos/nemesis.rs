//! What goes wrong, when, and how it ends: decided by a seed, as far as real time allows.

use std::collections::BTreeMap;
use std::process::Child;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::cluster::{Cluster, NODES};
use super::fleet::{Fleet, Meant};
use super::proxy::{Network, Proxy};

/// How long after its start a node is left alone at least. Afterwards it is until every replica has every record: a cluster that is
/// down to one replica may lose what it has acknowledged, and then nobody can promise anything.
const NODE_REST: Duration = Duration::from_secs(6);
/// How long after it was not whole the cluster is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Longer than the session timeout and the transaction timeout.
const FREEZE: std::ops::Range<u64> = 8_000..14_000;

/// How long the nemesis waits between two faults, in milliseconds.
const WAIT: std::ops::Range<u64> = 800..3_500;
/// How long it waits when what it drew was not possible.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// Longer than any fault lasts.
const FAULT_MAX: Duration = Duration::from_mins(1);

const LEADERS: &str = "leaders moved";
const ALL_SILENT: &str = "instance cut from all brokers, silently";
const ALL_REFUSING: &str = "instance cut from all brokers, connections refused";
const ONE_SILENT: &str = "instance cut from one broker, silently";
const ONE_REFUSING: &str = "instance cut from one broker, connections refused";

/// What ends a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Undo {
    Start(usize),
    Thaw(usize),
    Stop(usize),
    StartNode(usize),
    Rested,
    JoinNetwork,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Node {
    /// All run.
    Up,
    /// This one is down, or has just come back.
    Down,
}

/// Does harm.
pub(super) struct Nemesis {
    rng: Rng,
    next_at: Instant,
    undo: Vec<(Instant, Undo)>,
    nodes: Node,
    /// Scripts under way beside the run.
    scripts: Vec<Child>,
    is_cut: bool,
    /// The instance that has no place of its own: it comes and goes.
    guest: usize,
    /// The instance behind the proxy.
    behind_proxy: usize,
    /// How often what was done.
    pub(super) faults: BTreeMap<&'static str, u32>,
    started: Instant,
}

impl Nemesis {
    pub(super) fn new(seed: u64, guest: usize, behind_proxy: usize) -> Self {
        let now = Instant::now();
        Self {
            rng: Rng::with_seed(seed),
            next_at: now + Duration::from_secs(3),
            undo: Vec::new(),
            nodes: Node::Up,
            scripts: Vec::new(),
            is_cut: false,
            guest,
            behind_proxy,
            faults: BTreeMap::new(),
            started: now,
        }
    }

    /// Ends what is due to end, and does the next harm when its time has come.
    pub(super) fn step(&mut self, cluster: &Cluster, proxy: &Proxy, fleet: &mut Fleet) {
        self.undo_due(Instant::now(), cluster, proxy, fleet);
        if Instant::now() >= self.next_at {
            // What cannot be done now makes room for something else.
            let wait = if self.harm(cluster, proxy, fleet) { self.length(WAIT) } else { TRY_AGAIN };
            self.next_at = Instant::now() + wait;
        }
    }

    /// Ends everything.
    pub(super) fn heal(&mut self, cluster: &Cluster, proxy: &Proxy, fleet: &mut Fleet) {
        while self.undo.iter().any(|(_, undo)| *undo != Undo::Rested) {
            // Stops of the guest and starts of others may wait for processes to end.
            fleet.supervise();
            self.undo_due(Instant::now() + FAULT_MAX, cluster, proxy, fleet);
            std::thread::sleep(Duration::from_millis(100));
        }
        for mut script in self.scripts.drain(..) {
            drop(script.wait());
        }
    }

    fn length(&mut self, millis: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(millis))
    }

    fn later(&mut self, after: Duration, undo: Undo) {
        self.undo.push((Instant::now() + after, undo));
    }

    fn undo_due(&mut self, now: Instant, cluster: &Cluster, proxy: &Proxy, fleet: &mut Fleet) {
        let (due, later) = self.undo.drain(..).partition::<Vec<_>, _>(|(at, _)| *at <= now);
        self.undo = later;
        for (_, undo) in due {
            match undo {
                Undo::Start(index) => {
                    if !fleet.start(index) {
                        self.later(Duration::from_millis(200), undo);
                        continue;
                    }
                }
                Undo::Thaw(index) => fleet.signal(index, "-CONT", Meant::Running),
                Undo::Stop(index) => fleet.signal(index, "-TERM", Meant::Stopping),
                Undo::StartNode(node) => {
                    self.scripts.push(cluster.node("start", node));
                    self.later(NODE_REST, Undo::Rested);
                }
                Undo::Rested if cluster.is_whole() => self.nodes = Node::Up,
                Undo::Rested => {
                    self.later(LOOK_AGAIN, Undo::Rested);
                    continue;
                }
                Undo::JoinNetwork => {
                    proxy.set(Network::Whole);
                    self.is_cut = false;
                }
            }
            self.tell(&format!("undo {undo:?}"));
        }
    }

    /// Does one harm; `false` when that was not possible.
    fn harm(&mut self, cluster: &Cluster, proxy: &Proxy, fleet: &mut Fleet) -> bool {
        let running = fleet.those(Meant::Running);
        let residents: Vec<_> = running.iter().copied().filter(|&index| index != self.guest).collect();
        let resident = |rng: &mut Rng| rng.choice(&residents).copied();
        let (kind, target) = match self.rng.u32(..100) {
            0..22 => ("instance killed", resident(&mut self.rng)),
            22..36 => ("instance frozen past its session", resident(&mut self.rng)),
            36..48 => ("instance stopped", resident(&mut self.rng).filter(|&index| fleet.hears(index))),
            48..58 => {
                ("instance added for a while", fleet.those(Meant::Absent).into_iter().find(|&it| it == self.guest))
            }
            58..62 => ("two brokers killed", (self.nodes == Node::Up).then_some(self.rng.usize(..NODES))),
            62..72 => ("broker killed", (self.nodes == Node::Up).then_some(self.rng.usize(..NODES))),
            72..78 => ("broker stopped", (self.nodes == Node::Up).then_some(self.rng.usize(..NODES))),
            // While a node is away, the tools may not get through.
            78..84 => (LEADERS, (self.nodes == Node::Up).then_some(self.rng.usize(..NODES))),
            84..89 => (ALL_SILENT, (!self.is_cut).then_some(self.behind_proxy)),
            89..92 => (ALL_REFUSING, (!self.is_cut).then_some(self.behind_proxy)),
            92..97 => (ONE_SILENT, (!self.is_cut).then_some(self.rng.usize(..NODES))),
            _ => (ONE_REFUSING, (!self.is_cut).then_some(self.rng.usize(..NODES))),
        };
        let Some(target) = target else { return false };
        match kind {
            "instance killed" => {
                fleet.kill(target);
                let after = self.length(0..4_000);
                self.later(after, Undo::Start(target));
            }
            "instance frozen past its session" => {
                fleet.signal(target, "-STOP", Meant::Frozen);
                let after = self.length(FREEZE);
                self.later(after, Undo::Thaw(target));
            }
            "instance stopped" => {
                fleet.signal(target, "-TERM", Meant::Stopping);
                let after = self.length(500..10_000);
                self.later(after, Undo::Start(target));
            }
            "instance added for a while" => {
                fleet.start(target);
                let after = self.length(5_000..15_000);
                self.later(after, Undo::Stop(target));
            }
            "broker killed" | "broker stopped" => {
                self.nodes = Node::Down;
                let act = if kind == "broker killed" { "kill" } else { "stop" };
                drop(cluster.node(act, target).wait());
                let after = self.length(1_000..9_000);
                self.later(after, Undo::StartNode(target));
            }
            "two brokers killed" => {
                self.nodes = Node::Down;
                let (first, second) = (target, (target + 1) % NODES);
                drop(cluster.node("kill", first).wait());
                drop(cluster.node("kill", second).wait());
                let after = self.length(1_000..9_000);
                self.later(after, Undo::StartNode(first));
                self.later(after + Duration::from_secs(1), Undo::StartNode(second));
            }
            LEADERS => self.scripts.push(cluster.move_leaders(target, self.rng.usize(1..NODES))),
            _ => {
                let network =
                    if [ALL_SILENT, ONE_SILENT].contains(&kind) { Network::Silent } else { Network::Refusing };
                if [ONE_SILENT, ONE_REFUSING].contains(&kind) {
                    proxy.set_one(target, network);
                } else {
                    proxy.set(network);
                }
                self.is_cut = true;
                // Some cuts end before the transaction does, and what was held up comes late.
                let after = self.length(2_000..16_000);
                self.later(after, Undo::JoinNetwork);
            }
        }
        *self.faults.entry(kind).or_default() += 1;
        self.tell(&format!("{kind}: {target}"));
        true
    }

    fn tell(&self, what: &str) {
        eprintln!("chaos: {:6.2} s {what}", self.started.elapsed().as_secs_f64());
    }
}
