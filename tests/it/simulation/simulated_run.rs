//! A simulated run: workers, log, clocks and disruptions, which advance in rounds.
//!
//! A worker that is blocked in a call keeps its slot borrowed while the other workers continue. This models a process
//! that freezes in a transaction and resumes after a rebalance.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use lifecycle_processor::kafka::PartitionId;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::runtime::{Fatal, Moment, Options, Query, Worker};
use lifecycle_processor::telemetry::report::Report;

use super::faults::{Faults, Plan};
use super::group::MemberId;
use super::history::{BEGIN, DAY, History, WALL_AFTER, end_of};
use super::log::{CHANGELOG, Log, TOUCHPOINTS, input_record};
use super::member::{CRASH, SimulatedMember};
use super::occurrences::Occurrences;
use super::persons;
use super::run_config::RunConfig;
use super::transactions::{Request, State};

/// Number of rounds after which a run has failed to become idle.
const ROUNDS_MAX: u32 = 40_000;
/// Number of consecutive idle rounds that ends a run.
const IDLE_ROUNDS: u32 = 20;
/// Session timeout of the group.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// A run in progress.
pub(crate) struct SimulatedRun {
    pub(crate) log: Rc<RefCell<Log>>,
    config: RunConfig,
    pub(crate) options: Arc<Options>,
    slots: Vec<RefCell<Slot>>,
    /// Dead members: the time at which their session expires, the member, and the index of its slot.
    dead: RefCell<Vec<(Duration, MemberId, usize)>>,
    pending_input: RefCell<History>,
    random: RefCell<fastrand::Rng>,
    /// The correct wall time, in milliseconds.
    wall: Cell<i64>,
    /// The wall time at the end of the run.
    wall_end: i64,
    rounds: Cell<u32>,
    pub(crate) occurrences: RefCell<Occurrences>,
    /// Number of consumed records in the reports of all workers, including those that died.
    pub(crate) consumed: Cell<u64>,
    /// Number of offsets by which the committed offsets of the group were set back.
    pub(crate) set_back: Cell<u64>,
}

/// A process: its worker, if it runs, and its clock.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) worker: Option<Worker<SimulatedMember>>,
    /// Sends queries to the worker.
    pub(crate) query_sender: Option<Sender<Query>>,
    /// Offset of its wall clock, in milliseconds.
    skew: i64,
}

impl SimulatedRun {
    pub(crate) fn new(config: &RunConfig, history: &History, plan: Plan, seed: u64) -> Rc<Self> {
        let mut log = Log::new(config.partitions, Faults::new(plan, seed));
        log.transaction_timeout = config.transaction_timeout;
        log.forbids_truncation = config.forbids_truncation;
        let first = history.iter().flatten().map(|record| record.arrives_at).min().unwrap_or(BEGIN);
        let wall_end = Self::wall_end(history);
        Rc::new(Self {
            log: Rc::new(RefCell::new(log)),
            options: config.shared_options(),
            slots: (0..config.workers).map(|_| RefCell::default()).collect(),
            dead: RefCell::default(),
            pending_input: RefCell::new(history.clone()),
            random: RefCell::new(fastrand::Rng::with_seed(seed ^ 0x5eed)),
            wall: Cell::new(if config.uses_wall_clock() { first - 1000 } else { wall_end }),
            wall_end,
            rounds: Cell::new(0),
            occurrences: RefCell::default(),
            consumed: Cell::new(0),
            set_back: Cell::new(0),
            config: config.clone(),
        })
    }

    /// Returns the wall time at the end of a run, when all wake-ups are due.
    pub(crate) fn wall_end(history: &History) -> i64 {
        end_of(history) + WALL_AFTER
    }

    pub(crate) fn run_until_idle(self: &Rc<Self>) {
        let mut idle_rounds = 0;
        while self.rounds.get() < ROUNDS_MAX {
            // When the input is consumed, time advances in larger steps until the last wake-up has fired.
            let step_ms = if idle_rounds > 0 { 2000 } else { self.draw(|random| random.u64(1..80)) };
            self.round(step_ms);
            idle_rounds = if self.is_done() { idle_rounds + 1 } else { 0 };
            if idle_rounds >= IDLE_ROUNDS {
                return;
            }
        }
        let statuses: Vec<_> = self.workers(Worker::status);
        let log = self.log.borrow();
        let pending_input = self.pending_input.borrow();
        let ends: Vec<_> = (0..)
            .zip(&*pending_input)
            .map(|(partition, pending_input)| (log.range(TOUCHPOINTS, partition), pending_input.len()))
            .collect();
        panic!("not idle after {ROUNDS_MAX} rounds: {ends:?}, {:?}, {statuses:?}", log.committed);
    }

    /// Applies `ask` to each live worker.
    pub(crate) fn workers<T>(&self, ask: impl Fn(&mut Worker<SimulatedMember>) -> T) -> Vec<T> {
        self.slots.iter().filter_map(|slot| slot.borrow_mut().worker.as_mut().map(&ask)).collect()
    }

    pub(crate) fn slots(&self) -> &[RefCell<Slot>] {
        &self.slots
    }

    /// Ends the run and adds the counts of the live workers.
    pub(crate) fn close(&self) -> Occurrences {
        for slot in &self.slots {
            if let Some(worker) = slot.borrow_mut().worker.take() {
                self.count(worker.report());
            }
        }
        let mut occurrences = self.occurrences.borrow().clone();
        occurrences.merge(&self.log.borrow().faults.occurrences);
        occurrences
    }

    /// Runs one step of every worker that is not blocked.
    fn round(self: &Rc<Self>, step_ms: u64) {
        self.rounds.set(self.rounds.get() + 1);
        self.write_input();
        self.inject_disruptions();
        self.log.borrow_mut().advance(Duration::from_millis(step_ms));
        for index in 0..self.slots.len() {
            self.step(index);
        }
    }

    /// Runs the other workers while `member` is blocked in a call.
    pub(crate) fn run_while_blocked(self: &Rc<Self>, member: MemberId) {
        // Either the whole process is frozen and its session expires, or only this call is slow.
        let is_frozen = self.draw(fastrand::Rng::bool);
        let duration_ms = self.draw(|random| match random.u32(..6) {
            0..=2 => random.u64(10..500),
            3 => random.u64(500..5000),
            _ => random.u64(5000..18_000),
        });
        let began = self.elapsed();
        let end = began + Duration::from_millis(duration_ms);
        let mut was_expelled = false;
        while self.elapsed() < end && self.rounds.get() < ROUNDS_MAX {
            self.round(self.draw(|random| random.u64(1..600)));
            if is_frozen && !was_expelled && self.elapsed() >= began + SESSION_TIMEOUT {
                was_expelled = true;
                self.log.borrow_mut().group.expel(member);
                self.occurrences.borrow_mut().count("group: frozen member expelled");
            }
        }
    }

    /// Whether the blocked process is killed before the call returns.
    pub(crate) fn kills_after_freeze(&self) -> bool {
        self.draw(|random| random.u32(..10) == 0)
    }

    pub(crate) fn draw<T>(&self, pick: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        pick(&mut self.random.borrow_mut())
    }

    fn elapsed(&self) -> Duration {
        self.log.borrow().elapsed
    }

    /// Writes some of the pending input records.
    fn write_input(&self) {
        if self.config.uses_wall_clock() { self.write_input_by_wall_clock() } else { self.write_input_at_random() }
    }

    /// Advances the wall clock and writes the records that have arrived by then.
    fn write_input_by_wall_clock(&self) {
        let mut pending_input = self.pending_input.borrow_mut();
        let next = pending_input.iter().filter_map(|records| records.front()).map(|record| record.arrives_at).min();
        let wall = self.wall.get();
        let to = match next {
            // Most wake-ups become due in this phase; small steps cover more cases than firing all of them at once.
            None => (wall + self.draw(|random| random.i64(0..90 * DAY))).min(self.wall_end),
            Some(next) => match self.draw(|random| random.u32(..10)) {
                0..=3 => wall,
                4..=6 => next.max(wall),
                7 | 8 => wall + self.draw(|random| random.i64(0..=(next - wall).max(1))),
                // An outage of the workers: records accumulate.
                _ => next.max(wall) + self.draw(|random| random.i64(0..30 * DAY)),
            },
        };
        self.wall.set(to.max(wall));
        let mut log = self.log.borrow_mut();
        for (partition, pending_input) in (0..).zip(&mut *pending_input) {
            while let Some(record) = pending_input.pop_front_if(|record| record.arrives_at <= to) {
                log.append(TOUCHPOINTS, partition, &record);
                if self.draw(|random| random.u32(..10) == 0) {
                    log.append_control(TOUCHPOINTS, partition);
                }
                // Another producer opens a transaction: the records that follow are acknowledged, but hidden until it
                // ends.
                let other = format!("other-{partition}");
                if self.draw(|random| random.u32(..10) == 0) && !log.transactions.has_open(&other) {
                    log.faults.occurrences.count("broker: records hidden by an open transaction");
                    let epoch = log.init_producer(&other);
                    log.write_to(&other, TOUCHPOINTS, partition, input_record(&record));
                    log.deliver_later(&other, epoch, Request::End(State::Aborted));
                }
            }
        }
    }

    /// Writes some records, sometimes in a transaction that ends later.
    fn write_input_at_random(&self) {
        let mut log = self.log.borrow_mut();
        for (partition, pending_input) in (0..).zip(&mut *self.pending_input.borrow_mut()) {
            let writer = format!("writer-{partition}");
            if log.transactions.has_open(&writer) {
                continue;
            }
            let count = self.draw(|random| random.usize(..4)).min(pending_input.len());
            let kind = self.draw(|random| random.u32(..12));
            if kind < 2 && count > 0 {
                let epoch = log.init_producer(&writer);
                let records: Vec<_> = pending_input.iter().take(count).cloned().collect();
                for record in &records {
                    log.write_to(&writer, TOUCHPOINTS, partition, input_record(record));
                }
                let will_commit = kind == 0;
                if will_commit {
                    pending_input.drain(..count);
                }
                let state = if will_commit { State::Committed } else { State::Aborted };
                log.deliver_later(&writer, epoch, Request::End(state));
                continue;
            }
            for record in pending_input.drain(..count) {
                log.append(TOUCHPOINTS, partition, &record);
                if self.draw(|random| random.u32(..10) == 0) {
                    log.append_control(TOUCHPOINTS, partition);
                }
            }
        }
    }

    /// Expires the sessions of dead members, and sometimes expels or stops members, moves partitions or sets clocks.
    fn inject_disruptions(self: &Rc<Self>) {
        let elapsed = self.elapsed();
        let due: Vec<_> = self.dead.borrow_mut().extract_if(.., |(at, ..)| *at <= elapsed).collect();
        for (_, member, _) in due {
            self.log.borrow_mut().group.remove(member);
        }
        if !self.config.has_disruptions || self.log.borrow().faults.are_exhausted() {
            return;
        }
        let index = self.draw(|random| random.usize(..self.slots.len()));
        match self.draw(|random| random.u32(..300)) {
            0 | 1 => {
                self.log.borrow_mut().group.rotate_assignment();
                self.occurrences.borrow_mut().count("group: partitions changed owners");
            }
            2 => {
                let Ok(slot) = self.slots[index].try_borrow() else { return };
                if let Some(worker) = &slot.worker {
                    self.log.borrow_mut().group.expel(worker.member().id);
                    self.occurrences.borrow_mut().count("group: member expelled");
                }
            }
            3 => self.stop(index),
            4 | 5 => {
                let Ok(mut slot) = self.slots[index].try_borrow_mut() else { return };
                // Small enough that no valid touchpoint is in the future or late by this clock.
                slot.skew = self.draw(|random| match random.u32(..3) {
                    0 => random.i64(-14 * 60_000..0),
                    1 => random.i64(0..9000),
                    _ => 0,
                });
                self.occurrences.borrow_mut().count("clock: wall time stepped");
            }
            6 => self.set_offset_back(),
            _ => {}
        }
    }

    /// Stops all workers and sets the committed offset of a partition back without metadata, as
    /// `kafka-consumer-groups --reset-offsets` does for a group without members.
    fn set_offset_back(self: &Rc<Self>) {
        if self.slots.iter().any(|slot| slot.try_borrow().is_err()) {
            return;
        }
        for index in 0..self.slots.len() {
            self.stop(index);
        }
        let mut log = self.log.borrow_mut();
        let has_open = (0..self.config.partitions).any(|it| !log.has_no_open_transactions(CHANGELOG, it));
        // The documentation says to wait for what the stopped workers have sent.
        if has_open || log.has_pending_truncations() || !self.dead.borrow().is_empty() {
            return;
        }
        let partition = self.draw(|random| random.i32(0..self.config.partitions));
        let Some(&(offset, _)) = log.committed.get(&partition) else { return };
        let target = self.draw(|random| random.i64(0..=offset));
        // An offset that stays where it is keeps no metadata until something is committed, and the check at the end
        // restores from it.
        if target == offset {
            return;
        }
        log.committed.insert(partition, (target, String::new()));
        self.set_back.set(self.set_back.get() + offset.abs_diff(target));
        self.occurrences.borrow_mut().count("group: offset set back");
    }

    fn stop(self: &Rc<Self>, index: usize) {
        let Ok(mut slot) = self.slots[index].try_borrow_mut() else { return };
        let Some(worker) = slot.worker.take() else { return };
        let member = worker.member().id;
        self.occurrences.borrow_mut().count("process: stopped");
        let before = worker.report().clone();
        match worker.stop(self.now(slot.skew)) {
            Ok(report) => self.count(&report),
            Err(fatal) => {
                self.count(&before);
                self.record_death(index, member, &fatal);
            }
        }
    }

    pub(crate) fn step(self: &Rc<Self>, index: usize) {
        // A blocked worker takes no step.
        let Ok(mut slot) = self.slots[index].try_borrow_mut() else { return };
        let skew = slot.skew;
        let Some(worker) = &mut slot.worker else {
            if self.draw(|random| random.u32(..8) == 0) {
                *slot = self.start(index, skew);
            }
            return;
        };
        if let Err(fatal) = worker.step(|| self.now(skew)) {
            let member = worker.member().id;
            self.count(worker.report());
            slot.worker = None;
            self.record_death(index, member, &fatal);
        }
    }

    fn start(self: &Rc<Self>, index: usize, skew: i64) -> Slot {
        let mut dead = None;
        if self.config.has_static_members {
            let mut known = self.dead.borrow_mut();
            if let Some(index) = known.iter().position(|(.., slot)| *slot == index) {
                dead = Some(known.remove(index).1);
            }
        }
        let name = format!("simulation-{index}");
        let member = SimulatedMember::join(&self.log, Rc::downgrade(self), &name, dead);
        let (query_sender, queries) = channel();
        let options = if self.config.has_conflicts {
            self.draw(|random| self.config.options_of_process(random))
        } else {
            Arc::clone(&self.options)
        };
        let worker = Worker::new(member, Arc::clone(self.config.models()), options, queries);
        Slot { worker: Some(worker), query_sender: Some(query_sender), skew }
    }

    fn record_death(&self, index: usize, member: MemberId, fatal: &Fatal) {
        match fatal {
            Fatal::Client(error) if error.code == CRASH => {
                let after = Duration::from_millis(self.draw(|random| random.u64(0..6000)));
                self.dead.borrow_mut().push((self.elapsed() + after, member, index));
            }
            fatal => panic!("a worker stopped: {fatal}"),
        }
    }

    fn count(&self, report: &Report) {
        let mut occurrences = self.occurrences.borrow_mut();
        assert_eq!(report.links_refused.iter().sum::<u64>(), report.tally.links_refused);
        self.consumed.set(self.consumed.get() + report.tally.consumed);
        for (event, count) in [
            ("worker: touchpoints applied", report.tally.applied),
            ("worker: wake-ups fired", report.tally.wake_ups),
            ("worker: transactions committed", report.commits),
            ("worker: transactions aborted", report.aborts),
            ("worker: producer resets", report.producer_resets),
            ("worker: partitions assigned", report.assigned),
            ("worker: partitions revoked", report.revoked),
            ("worker: partitions lost", report.lost),
            ("worker: customers restored", report.restored),
            ("worker: sweeps", report.sweeps),
            ("worker: visitors merged", report.tally.merged),
            ("worker: touchpoints forwarded", report.tally.forwarded),
            ("worker: links refused", report.tally.links_refused),
            ("worker: changelogs truncated", report.truncations),
            ("worker: truncations failed", report.truncations_failed),
        ] {
            occurrences.add(event, count);
        }
    }

    fn now(&self, skew: i64) -> Moment {
        let elapsed = self.elapsed();
        Moment { wall: Timestamp::from_millis(self.wall.get() + skew), elapsed }
    }

    fn is_done(&self) -> bool {
        let log = self.log.borrow();
        let is_read = |partition: PartitionId| {
            // Control records and aborted records are committed as well, so that other tools see no lag.
            log.committed.get(&partition).is_some_and(|(committed, _)| {
                log.has_no_open_transactions(TOUCHPOINTS, partition)
                    && *committed == log.high_watermark(TOUCHPOINTS, partition)
            })
        };
        self.pending_input.borrow().iter().all(std::collections::VecDeque::is_empty)
            && (!self.config.uses_wall_clock() || self.wall.get() == self.wall_end)
            && (0..self.config.partitions).all(is_read)
            && persons::are_handed_over(self, self.config.partitions)
            && self.dead.borrow().is_empty()
            && log.faults.are_exhausted()
            && self.slots.iter().all(|slot| {
                let mut slot = slot.borrow_mut();
                slot.worker.as_mut().is_some_and(|worker| {
                    let status = worker.status();
                    status.is_ready() && !status.is_recovering && !status.has_pending_changes
                })
            })
    }
}
