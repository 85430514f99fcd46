//! Injects faults and ends them. A seed determines the faults, as far as real time allows.

use std::collections::BTreeMap;
use std::process::Child;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::cluster::{Cluster, NODES};
use super::fleet::{DesiredState, Fleet};
use super::proxy::{Network, Proxy};

/// The minimum time without broker faults after a node's start. Broker faults resume only once all replicas are in
/// sync, because a cluster with one in-sync replica may lose acknowledged records, and then exactly-once cannot hold.
const NODE_RECOVERY: Duration = Duration::from_secs(6);
/// How often the replicas are checked until all are in sync.
const ISR_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long an instance is suspended, in milliseconds: longer than the session timeout and the transaction timeout.
const SUSPENSION: std::ops::Range<u64> = 8_000..14_000;

/// The time between two faults in milliseconds.
const FAULT_INTERVAL: std::ops::Range<u64> = 800..3_500;
/// The time until the next attempt when the chosen fault was not possible.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// An upper bound of the duration of every fault.
const FAULT_DURATION_MAX: Duration = Duration::from_mins(1);

const LEADERS: &str = "partition leaders moved";
const ALL_SILENT: &str = "instance cut off from all brokers, silently";
const ALL_REFUSING: &str = "instance cut off from all brokers, connections refused";
const ONE_SILENT: &str = "instance cut off from one broker, silently";
const ONE_REFUSING: &str = "instance cut off from one broker, connections refused";

/// The action that ends a fault, with the index of the instance or node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Undo {
    Start(usize),
    Resume(usize),
    Stop(usize),
    StartNode(usize),
    MarkNodesInSync,
    RestoreNetwork,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NodesState {
    /// All nodes are running and in sync.
    AllInSync,
    /// A node is down, or is catching up after its restart.
    Degraded,
}

/// The fault injector.
pub(super) struct Nemesis {
    rng: Rng,
    /// When the next fault is due.
    next_at: Instant,
    /// The actions that end the active faults, with their times.
    undo: Vec<(Instant, Undo)>,
    nodes: NodesState,
    /// Script processes that the nemesis has started without waiting for them.
    scripts: Vec<Child>,
    /// Whether the proxy interrupts connections.
    is_network_cut: bool,
    /// The instance that is started and stopped temporarily.
    temporary: usize,
    /// The instance behind the proxy.
    behind_proxy: usize,
    /// The number of faults of each kind.
    pub(super) faults: BTreeMap<&'static str, u32>,
    started: Instant,
}

impl Nemesis {
    pub(super) fn new(seed: u64, temporary: usize, behind_proxy: usize) -> Self {
        let now = Instant::now();
        Self {
            rng: Rng::with_seed(seed),
            next_at: now + Duration::from_secs(3),
            undo: Vec::new(),
            nodes: NodesState::AllInSync,
            scripts: Vec::new(),
            is_network_cut: false,
            temporary,
            behind_proxy,
            faults: BTreeMap::new(),
            started: now,
        }
    }

    /// Ends the faults that are due to end, and injects the next fault when it is due.
    pub(super) fn step(&mut self, cluster: &Cluster, proxy: &Proxy, fleet: &mut Fleet) {
        self.undo_due(Instant::now(), cluster, proxy, fleet);
        if Instant::now() >= self.next_at {
            // If the chosen fault is not possible now, another one is chosen soon.
            let wait = if self.inject(cluster, proxy, fleet) { self.duration(FAULT_INTERVAL) } else { RETRY_AFTER };
            self.next_at = Instant::now() + wait;
        }
    }

    /// Ends all faults.
    pub(super) fn heal(&mut self, cluster: &Cluster, proxy: &Proxy, fleet: &mut Fleet) {
        while self.undo.iter().any(|(_, undo)| *undo != Undo::MarkNodesInSync) {
            // Stopping the temporary instance and starting other instances may have to wait for processes to exit.
            fleet.supervise();
            self.undo_due(Instant::now() + FAULT_DURATION_MAX, cluster, proxy, fleet);
            std::thread::sleep(Duration::from_millis(100));
        }
        for mut script in self.scripts.drain(..) {
            drop(script.wait());
        }
    }

    fn duration(&mut self, millis: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(millis))
    }

    fn schedule(&mut self, after: Duration, undo: Undo) {
        self.undo.push((Instant::now() + after, undo));
    }

    fn undo_due(&mut self, now: Instant, cluster: &Cluster, proxy: &Proxy, fleet: &mut Fleet) {
        let (due, later) = self.undo.drain(..).partition::<Vec<_>, _>(|(at, _)| *at <= now);
        self.undo = later;
        for (_, undo) in due {
            match undo {
                Undo::Start(index) => {
                    if !fleet.start(index) {
                        self.schedule(Duration::from_millis(200), undo);
                        continue;
                    }
                }
                Undo::Resume(index) => fleet.signal(index, "-CONT", DesiredState::Running),
                Undo::Stop(index) => fleet.signal(index, "-TERM", DesiredState::Stopping),
                Undo::StartNode(node) => {
                    self.scripts.push(cluster.node("start", node));
                    self.schedule(NODE_RECOVERY, Undo::MarkNodesInSync);
                }
                Undo::MarkNodesInSync if cluster.is_in_sync() => self.nodes = NodesState::AllInSync,
                Undo::MarkNodesInSync => {
                    self.schedule(ISR_CHECK_INTERVAL, Undo::MarkNodesInSync);
                    continue;
                }
                Undo::RestoreNetwork => {
                    proxy.set_all(Network::Connected);
                    self.is_network_cut = false;
                }
            }
            self.log(&format!("undo {undo:?}"));
        }
    }

    /// Injects one fault. Returns `false` when it was not possible.
    fn inject(&mut self, cluster: &Cluster, proxy: &Proxy, fleet: &mut Fleet) -> bool {
        let running = fleet.in_state(DesiredState::Running);
        let permanent: Vec<_> = running.iter().copied().filter(|&index| index != self.temporary).collect();
        let permanent_instance = |rng: &mut Rng| rng.choice(&permanent).copied();
        let (kind, target) = match self.rng.u32(..100) {
            0..22 => ("instance killed", permanent_instance(&mut self.rng)),
            22..36 => ("instance suspended past its session timeout", permanent_instance(&mut self.rng)),
            36..48 => {
                ("instance stopped", permanent_instance(&mut self.rng).filter(|&index| fleet.accepts_signals(index)))
            }
            48..58 => (
                "instance added for a while",
                fleet.in_state(DesiredState::Stopped).into_iter().find(|&it| it == self.temporary),
            ),
            58..62 => ("two brokers killed", (self.nodes == NodesState::AllInSync).then_some(self.rng.usize(..NODES))),
            62..72 => ("broker killed", (self.nodes == NodesState::AllInSync).then_some(self.rng.usize(..NODES))),
            72..78 => ("broker stopped", (self.nodes == NodesState::AllInSync).then_some(self.rng.usize(..NODES))),
            // While a node is down, the admin tools may fail.
            78..84 => (LEADERS, (self.nodes == NodesState::AllInSync).then_some(self.rng.usize(..NODES))),
            84..89 => (ALL_SILENT, (!self.is_network_cut).then_some(self.behind_proxy)),
            89..92 => (ALL_REFUSING, (!self.is_network_cut).then_some(self.behind_proxy)),
            92..97 => (ONE_SILENT, (!self.is_network_cut).then_some(self.rng.usize(..NODES))),
            _ => (ONE_REFUSING, (!self.is_network_cut).then_some(self.rng.usize(..NODES))),
        };
        let Some(target) = target else { return false };
        match kind {
            "instance killed" => {
                fleet.kill(target);
                let after = self.duration(0..4_000);
                self.schedule(after, Undo::Start(target));
            }
            "instance suspended past its session timeout" => {
                fleet.signal(target, "-STOP", DesiredState::Suspended);
                let after = self.duration(SUSPENSION);
                self.schedule(after, Undo::Resume(target));
            }
            "instance stopped" => {
                fleet.signal(target, "-TERM", DesiredState::Stopping);
                let after = self.duration(500..10_000);
                self.schedule(after, Undo::Start(target));
            }
            "instance added for a while" => {
                fleet.start(target);
                let after = self.duration(5_000..15_000);
                self.schedule(after, Undo::Stop(target));
            }
            "broker killed" | "broker stopped" => {
                self.nodes = NodesState::Degraded;
                let command = if kind == "broker killed" { "kill" } else { "stop" };
                drop(cluster.node(command, target).wait());
                let after = self.duration(1_000..9_000);
                self.schedule(after, Undo::StartNode(target));
            }
            "two brokers killed" => {
                self.nodes = NodesState::Degraded;
                let (first, second) = (target, (target + 1) % NODES);
                drop(cluster.node("kill", first).wait());
                drop(cluster.node("kill", second).wait());
                let after = self.duration(1_000..9_000);
                self.schedule(after, Undo::StartNode(first));
                self.schedule(after + Duration::from_secs(1), Undo::StartNode(second));
            }
            LEADERS => self.scripts.push(cluster.move_leaders(target, self.rng.usize(1..NODES))),
            _ => {
                let network =
                    if [ALL_SILENT, ONE_SILENT].contains(&kind) { Network::Silent } else { Network::Refusing };
                if [ONE_SILENT, ONE_REFUSING].contains(&kind) {
                    proxy.set_one(target, network);
                } else {
                    proxy.set_all(network);
                }
                self.is_network_cut = true;
                // Some cuts end before the transaction times out, and then the delayed requests arrive late.
                let after = self.duration(2_000..16_000);
                self.schedule(after, Undo::RestoreNetwork);
            }
        }
        *self.faults.entry(kind).or_default() += 1;
        self.log(&format!("{kind}: {target}"));
        true
    }

    fn log(&self, what: &str) {
        eprintln!("chaos: {:6.2} s {what}", self.started.elapsed().as_secs_f64());
    }
}
