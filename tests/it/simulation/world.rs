//! A run: workers, the log, the clocks, and what disturbs them, round by round.
//!
//! A worker that is held up within a call keeps its slot borrowed while the rounds of the others go on; that is how a process
//! freezes in the middle of a transaction and wakes up in a world that has moved on.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use lifecycle_processor::kafka::PartitionId;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::runtime::{Fatal, Moment, Options, Query, Report, Worker};

use super::faults::{Faults, Plan};
use super::group::MemberId;
use super::history::{BEGIN, DAY, History, MODELS, WALL_AFTER, end_of};
use super::log::{Log, TOUCHPOINTS, input_record};
use super::member::{CRASH, SimulatedMember};
use super::setting::Setting;
use super::tally::Tally;
use super::transactions::{Request, State};

/// After how many rounds a run has failed to come to rest.
const ROUNDS_MAX: u32 = 40_000;
/// For how many rounds nothing may happen any more.
const ROUNDS_AT_REST: u32 = 20;
/// How long the group waits for a member that is not heard of.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// A run under way.
pub(crate) struct World {
    pub(crate) log: Rc<RefCell<Log>>,
    setting: Setting,
    options: Arc<Options>,
    slots: Vec<RefCell<Slot>>,
    /// Members that died, when the group learns of it, and in which slot they were.
    dead: RefCell<Vec<(Duration, MemberId, usize)>>,
    unfed: RefCell<History>,
    random: RefCell<fastrand::Rng>,
    /// What the wall clock should show, in milliseconds.
    wall: Cell<i64>,
    /// What it shows in the end.
    wall_end: i64,
    rounds: Cell<u32>,
    pub(crate) tally: RefCell<Tally>,
    /// What workers counted as consumed, those that died included.
    pub(crate) consumed: Cell<u64>,
}

/// A process and its clock.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) worker: Option<Worker<SimulatedMember>>,
    /// Where questions to the worker go.
    pub(crate) questions: Option<Sender<Query>>,
    /// By how many milliseconds its wall clock is wrong.
    skew: i64,
}

impl World {
    pub(crate) fn new(setting: &Setting, history: &History, plan: Plan, seed: u64) -> Rc<Self> {
        let mut log = Log::new(setting.partitions, Faults::new(plan, seed));
        log.transaction_timeout = setting.transaction_timeout;
        log.forbids_truncation = setting.forbids_truncation;
        let first = history.iter().flatten().map(|record| record.arrives_at).min().unwrap_or(BEGIN);
        let wall_end = Self::end_of_time(history);
        Rc::new(Self {
            log: Rc::new(RefCell::new(log)),
            options: setting.shared_options(),
            slots: (0..setting.workers).map(|_| RefCell::default()).collect(),
            dead: RefCell::default(),
            unfed: RefCell::new(history.clone()),
            random: RefCell::new(fastrand::Rng::with_seed(seed ^ 0x5eed)),
            wall: Cell::new(if setting.is_by_wall() { first - 1000 } else { wall_end }),
            wall_end,
            rounds: Cell::new(0),
            tally: RefCell::default(),
            consumed: Cell::new(0),
            setting: setting.clone(),
        })
    }

    /// What the wall clock shows when all wake-ups of a history have fallen due.
    pub(crate) fn end_of_time(history: &History) -> i64 {
        end_of(history) + WALL_AFTER
    }

    pub(crate) fn run_to_rest(self: &Rc<Self>) {
        let mut at_rest = 0;
        while self.rounds.get() < ROUNDS_MAX {
            // Once nothing is left to do, time goes on in larger steps, until the last wake-up has been worked off.
            let pace = if at_rest > 0 { 2000 } else { self.chance(|random| random.u64(1..80)) };
            self.round(pace);
            at_rest = if self.is_done() { at_rest + 1 } else { 0 };
            if at_rest >= ROUNDS_AT_REST {
                return;
            }
        }
        let statuses: Vec<_> = self.workers(Worker::status);
        let log = self.log.borrow();
        let unfed = self.unfed.borrow();
        let ends: Vec<_> =
            (0..).zip(&*unfed).map(|(partition, unfed)| (log.range(TOUCHPOINTS, partition), unfed.len())).collect();
        panic!("no rest after {ROUNDS_MAX} rounds: {ends:?}, {:?}, {statuses:?}", log.committed);
    }

    /// Something of each worker that runs.
    pub(crate) fn workers<T>(&self, ask: impl Fn(&Worker<SimulatedMember>) -> T) -> Vec<T> {
        self.slots.iter().filter_map(|slot| slot.borrow().worker.as_ref().map(&ask)).collect()
    }

    pub(crate) fn slots(&self) -> &[RefCell<Slot>] {
        &self.slots
    }

    /// Ends the run: what the workers counted is counted here.
    pub(crate) fn close(&self) -> Tally {
        for slot in &self.slots {
            if let Some(worker) = slot.borrow_mut().worker.take() {
                self.count(worker.report());
            }
        }
        let mut tally = self.tally.borrow().clone();
        tally.merge(&self.log.borrow().faults.tally);
        tally
    }

    /// One step of everybody who is not held up.
    fn round(self: &Rc<Self>, pace: u64) {
        self.rounds.set(self.rounds.get() + 1);
        self.feed();
        self.disturb();
        self.log.borrow_mut().advance(Duration::from_millis(pace));
        for index in 0..self.slots.len() {
            self.step(index);
        }
    }

    /// Lets the others go on while `member` is within a call.
    pub(crate) fn hold_up(self: &Rc<Self>, member: MemberId) {
        // Either the whole process stands still, and the group misses it, or the call alone takes long.
        let is_frozen = self.chance(fastrand::Rng::bool);
        let lasts = self.chance(|random| match random.u32(..6) {
            0..=2 => random.u64(10..500),
            3 => random.u64(500..5000),
            _ => random.u64(5000..18_000),
        });
        let begun = self.elapsed();
        let end = begun + Duration::from_millis(lasts);
        let mut is_missed = false;
        while self.elapsed() < end && self.rounds.get() < ROUNDS_MAX {
            self.round(self.chance(|random| random.u64(1..600)));
            if is_frozen && !is_missed && self.elapsed() >= begun + SESSION_TIMEOUT {
                is_missed = true;
                self.log.borrow_mut().group.expel(member);
                self.tally.borrow_mut().count("group: frozen member expelled");
            }
        }
    }

    /// Whether whoever has been held up is killed before it goes on.
    pub(crate) fn kills_the_held_up(&self) -> bool {
        self.chance(|random| random.u32(..10) == 0)
    }

    pub(crate) fn chance<T>(&self, pick: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        pick(&mut self.random.borrow_mut())
    }

    fn elapsed(&self) -> Duration {
        self.log.borrow().elapsed
    }

    /// Writes some of the touchpoints that are not yet in the topic.
    fn feed(&self) {
        if self.setting.is_by_wall() { self.feed_by_wall() } else { self.feed_at_random() }
    }

    /// Moves the wall clock on, and writes what comes meanwhile.
    fn feed_by_wall(&self) {
        let mut unfed = self.unfed.borrow_mut();
        let next = unfed.iter().filter_map(|records| records.front()).map(|record| record.arrives_at).min();
        let wall = self.wall.get();
        let to = match next {
            // Most wake-ups fall due in between; that they do so one after the other shows more than all at once.
            None => (wall + self.chance(|random| random.i64(0..90 * DAY))).min(self.wall_end),
            Some(next) => match self.chance(|random| random.u32(..10)) {
                0..=3 => wall,
                4..=6 => next.max(wall),
                7 | 8 => wall + self.chance(|random| random.i64(0..=(next - wall).max(1))),
                // An outage of whoever reads.
                _ => next.max(wall) + self.chance(|random| random.i64(0..30 * DAY)),
            },
        };
        self.wall.set(to.max(wall));
        let mut log = self.log.borrow_mut();
        for (partition, unfed) in (0..).zip(&mut *unfed) {
            while let Some(record) = unfed.pop_front_if(|record| record.arrives_at <= to) {
                log.append(TOUCHPOINTS, partition, &record);
                if self.chance(|random| random.u32(..10) == 0) {
                    log.append_control(TOUCHPOINTS, partition);
                }
            }
        }
    }

    /// Writes some records, now and then within a transaction that ends later.
    fn feed_at_random(&self) {
        let mut log = self.log.borrow_mut();
        for (partition, unfed) in (0..).zip(&mut *self.unfed.borrow_mut()) {
            let feeder = format!("feeder-{partition}");
            if log.transactions.has_open(&feeder) {
                continue;
            }
            let some = self.chance(|random| random.usize(..4)).min(unfed.len());
            let within = self.chance(|random| random.u32(..12));
            if within < 2 && some > 0 {
                let epoch = log.init_producer(&feeder);
                let records: Vec<_> = unfed.iter().take(some).cloned().collect();
                for record in &records {
                    log.write_to(&feeder, TOUCHPOINTS, partition, input_record(record));
                }
                let is_to_last = within == 0;
                if is_to_last {
                    unfed.drain(..some);
                }
                let state = if is_to_last { State::Committed } else { State::Aborted };
                log.send_later(&feeder, epoch, Request::End(state));
                continue;
            }
            for record in unfed.drain(..some) {
                log.append(TOUCHPOINTS, partition, &record);
                if self.chance(|random| random.u32(..10) == 0) {
                    log.append_control(TOUCHPOINTS, partition);
                }
            }
        }
    }

    /// Has the group learn of deaths, and now and then changes it.
    fn disturb(self: &Rc<Self>) {
        let elapsed = self.elapsed();
        let over: Vec<_> = self.dead.borrow_mut().extract_if(.., |(at, ..)| *at <= elapsed).collect();
        for (_, member, _) in over {
            self.log.borrow_mut().group.remove(member);
        }
        if !self.setting.is_restless || self.log.borrow().faults.are_over() {
            return;
        }
        let index = self.chance(|random| random.usize(..self.slots.len()));
        match self.chance(|random| random.u32(..300)) {
            0 | 1 => {
                self.log.borrow_mut().group.turn();
                self.tally.borrow_mut().count("group: partitions change hands");
            }
            2 => {
                let Ok(slot) = self.slots[index].try_borrow() else { return };
                if let Some(worker) = &slot.worker {
                    self.log.borrow_mut().group.expel(worker.member().id);
                    self.tally.borrow_mut().count("group: member expelled");
                }
            }
            3 => self.stop(index),
            4 | 5 => {
                let Ok(mut slot) = self.slots[index].try_borrow_mut() else { return };
                // As far as touchpoints neither lie in its future nor, by it, come too late.
                slot.skew = self.chance(|random| match random.u32(..3) {
                    0 => random.i64(-14 * 60_000..0),
                    1 => random.i64(0..9000),
                    _ => 0,
                });
                self.tally.borrow_mut().count("clock: wall time stepped");
            }
            _ => {}
        }
    }

    fn stop(self: &Rc<Self>, index: usize) {
        let Ok(mut slot) = self.slots[index].try_borrow_mut() else { return };
        let Some(worker) = slot.worker.take() else { return };
        let member = worker.member().id;
        self.tally.borrow_mut().count("process: stopped");
        let before = worker.report().clone();
        match worker.stop(self.now(slot.skew)) {
            Ok(report) => self.count(&report),
            Err(fatal) => {
                self.count(&before);
                self.bury(index, member, &fatal);
            }
        }
    }

    pub(crate) fn step(self: &Rc<Self>, index: usize) {
        // A worker that is held up takes no step.
        let Ok(mut slot) = self.slots[index].try_borrow_mut() else { return };
        let skew = slot.skew;
        let Some(worker) = &mut slot.worker else {
            if self.chance(|random| random.u32(..8) == 0) {
                *slot = self.start(index, skew);
            }
            return;
        };
        if let Err(fatal) = worker.step(|| self.now(skew)) {
            let member = worker.member().id;
            self.count(worker.report());
            slot.worker = None;
            self.bury(index, member, &fatal);
        }
    }

    fn start(self: &Rc<Self>, index: usize, skew: i64) -> Slot {
        let mut dead = None;
        if self.setting.is_static {
            let mut known = self.dead.borrow_mut();
            if let Some(place) = known.iter().position(|(.., slot)| *slot == index) {
                dead = Some(known.remove(place).1);
            }
        }
        let name = format!("simulation-{index}");
        let member = SimulatedMember::join(&self.log, Rc::downgrade(self), &name, dead);
        let (questions, queries) = channel();
        let worker = Worker::new(member, Arc::clone(&MODELS), Arc::clone(&self.options), queries);
        Slot { worker: Some(worker), questions: Some(questions), skew }
    }

    fn bury(&self, index: usize, member: MemberId, fatal: &Fatal) {
        match fatal {
            Fatal::Client(error) if error.code == CRASH => {
                let after = Duration::from_millis(self.chance(|random| random.u64(0..6000)));
                self.dead.borrow_mut().push((self.elapsed() + after, member, index));
            }
            fatal => panic!("a worker stopped: {fatal}"),
        }
    }

    fn count(&self, report: &Report) {
        let mut tally = self.tally.borrow_mut();
        self.consumed.set(self.consumed.get() + report.tally.consumed);
        for (what, many) in [
            ("worker: touchpoints applied", report.tally.applied),
            ("worker: wake-ups worked off", report.tally.wake_ups),
            ("worker: transactions committed", report.commits),
            ("worker: transactions aborted", report.aborts),
            ("worker: producers renewed", report.renewals),
            ("worker: partitions gained", report.gained),
            ("worker: partitions revoked", report.revoked),
            ("worker: partitions lost", report.lost),
            ("worker: customers restored", report.restored),
            ("worker: sweeps", report.sweeps),
            ("worker: changelogs truncated", report.truncations),
            ("worker: truncations failed", report.truncations_failed),
        ] {
            tally.add(what, many);
        }
    }

    fn now(&self, skew: i64) -> Moment {
        let elapsed = self.elapsed();
        Moment { wall: Timestamp::from_millis(self.wall.get() + skew), elapsed }
    }

    fn is_done(&self) -> bool {
        let log = self.log.borrow();
        let is_read = |partition: PartitionId| {
            // Control records need no committing.
            log.committed.get(&partition).is_some_and(|(committed, _)| {
                log.is_settled(TOUCHPOINTS, partition) && log.read(TOUCHPOINTS, partition, *committed, 1).0.is_empty()
            })
        };
        self.unfed.borrow().iter().all(std::collections::VecDeque::is_empty)
            && (!self.setting.is_by_wall() || self.wall.get() == self.wall_end)
            && (0..self.setting.partitions).all(is_read)
            && self.dead.borrow().is_empty()
            && log.faults.are_over()
            && self.slots.iter().all(|slot| {
                let slot = slot.borrow();
                slot.worker.as_ref().is_some_and(|worker| {
                    let status = worker.status();
                    status.is_ready() && !status.has_pending_changes
                })
            })
    }
}
