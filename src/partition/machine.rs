//! The machine: one input in, effects out; a batch of them is committed or undone as a whole.

use crate::lifecycle::customer::{Outcome, Rules, due};
use crate::lifecycle::id::TypeIndex;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::{FactOptions, Touchpoint};

use std::sync::Arc;

use super::batch::{Batch, Restored, StoredLayout};
use super::clock::Clock;
use super::customers::Customers;
use super::effects::Effects;
use super::input::Input;
use super::population::Population;
use super::record::{self, Shape};
use super::snapshot::Snapshot;
use super::translation::Translation;
use super::view::CustomerView;
use super::wakeups::{NextDue, Place, WakeUps};

/// How many customers are looked at for each that may be woken. To look is quick; a bucket is looked at as a whole.
const LOOKS_PER_WAKE_UP: usize = 8;

/// The customers of one partition, and what is pending of its current batch.
#[derive(Debug)]
pub struct Partition {
    rules: Rules,
    shape: Arc<Shape>,
    layout: StoredLayout,
    customers: Customers,
    wake_ups: WakeUps,
    clock: Clock,
    committed_clock: Clock,
    population: Population,
    sweep: Sweep,
    /// How the records of another layout are taken over, for the layout met last.
    translation: Option<Translation>,
    /// The layout of the records that were restored last.
    restored: Option<StoredLayout>,
}

/// A pass over the whole table that writes every customer again.
#[derive(Debug, Default)]
struct Sweep {
    /// Changes with each sweep, so that a customer's mark says whether this one has written it.
    number: u8,
    /// The next place to look at; `None` while no sweep runs.
    cursor: Option<Place>,
    /// Where the batch's own share of the sweep ends, and what it wrote.
    pending_cursor: Place,
    pending: Vec<Place>,
}

impl Partition {
    /// An empty partition.
    #[must_use]
    pub fn new(models: Arc<ModelSet>, options: FactOptions) -> Self {
        let shape = Arc::new(Shape::of(&models));
        let layout = StoredLayout::of(&models);
        let population = Population::new(&models);
        Self {
            rules: Rules { models, options },
            shape,
            layout,
            customers: Customers::new(),
            wake_ups: WakeUps::default(),
            clock: Clock::default(),
            committed_clock: Clock::default(),
            population,
            sweep: Sweep::default(),
            translation: None,
            restored: None,
        }
    }

    /// Applies one input; effects are appended. Returns whether wake-ups due by `Input::TimePassed` are left over.
    pub fn apply(&mut self, input: Input<'_>, effects: &mut Effects) -> bool {
        match input {
            Input::Touchpoint(touchpoint) => {
                effects.tally.consumed += 1;
                self.apply_touchpoint(touchpoint, effects);
                false
            }
            Input::Rejected(rejected) => {
                effects.tally.consumed += 1;
                effects.dead_letters.push(rejected);
                false
            }
            Input::TimePassed { until, wake_ups_max } => self.pass_time(until, wake_ups_max, effects),
        }
    }

    fn apply_touchpoint(&mut self, touchpoint: &Touchpoint<'_>, effects: &mut Effects) {
        if touchpoint.erases() {
            return self.erase(touchpoint, effects);
        }
        self.forget_before(touchpoint, effects);
        let groups = self.rules.models.vocabulary.groups_of(touchpoint);
        let (aside, is_new) =
            self.customers.open(touchpoint.customer_id, touchpoint.occurred_at, &self.rules, &self.shape);
        if is_new {
            self.population.add();
        }
        let published_before = effects.transitions.len();
        let outcome = aside.customer.apply(&self.rules, touchpoint, groups, &mut effects.transitions);
        match outcome {
            Outcome::Duplicate => effects.tally.duplicates += 1,
            Outcome::Applied { is_late } => {
                aside.is_changed = true;
                self.wake_ups.arm(aside.place, &aside.customer.id, aside.customer.due(&self.rules.options));
                self.clock.advance(touchpoint.occurred_at);
                effects.tally.applied += 1;
                effects.tally.late += u64::from(is_late);
                effects.tally.unknown_types += u64::from(touchpoint.kind == TypeIndex::UNKNOWN);
            }
        }
        self.take_note(published_before, effects);
    }

    /// Up to when time may have passed for the customer of `touchpoint`, had the machine come to it. A touchpoint that is later
    /// than allowed lies before that; a repeated one does.
    fn passed(&self, touchpoint: &Touchpoint<'_>) -> Timestamp {
        let event_clock = self.clock.less(self.rules.options.lateness);
        event_clock.map_or(touchpoint.occurred_at, |event_clock| event_clock.max(touchpoint.occurred_at))
    }

    /// Removes the customer of `touchpoint`, who asks for it. What time has brought about until then is published first, since it
    /// may have been already, had the machine come to it.
    fn erase(&mut self, touchpoint: &Touchpoint<'_>, effects: &mut Effects) {
        let passed = self.passed(touchpoint);
        self.clock.advance(touchpoint.occurred_at);
        effects.tally.applied += 1;
        let found = self.customers.find(touchpoint.customer_id);
        let Some(place) = found.filter(|&place| !self.customers.is_removed(place)) else { return };
        self.catch_up(place, passed, effects);
        self.remove(place);
        effects.tally.erased += 1;
    }

    /// Removes the customer of `touchpoint` if they had been silent for too long when it occurred: whether time alone has removed
    /// them before must not matter.
    fn forget_before(&mut self, touchpoint: &Touchpoint<'_>, effects: &mut Effects) {
        if self.rules.options.forget_after.is_none() {
            return;
        }
        let found = self.customers.find(touchpoint.customer_id);
        let Some(place) = found.filter(|&place| !self.customers.is_removed(place)) else { return };
        let passed = self.passed(touchpoint);
        let aside = self.customers.set_aside(place, &self.rules, &self.shape);
        if aside.customer.forgotten_at(&self.rules.options).is_some_and(|end| end <= passed) {
            self.catch_up(place, passed, effects);
            self.remove(place);
            effects.tally.forgotten += 1;
        }
    }

    /// Works off all wake-ups of the customer at `place` that are due by `until`.
    fn catch_up(&mut self, place: Place, until: Timestamp, effects: &mut Effects) {
        let aside = self.customers.set_aside(place, &self.rules, &self.shape);
        let published_before = effects.transitions.len();
        while aside.customer.wake(&self.rules, until, &mut effects.transitions) {}
        self.take_note(published_before, effects);
    }

    fn remove(&mut self, place: Place) {
        let aside = self.customers.set_aside(place, &self.rules, &self.shape);
        (aside.is_changed, aside.is_removed) = (true, true);
        self.population.remove(&aside.customer);
        self.wake_ups.forget(place);
    }

    /// Counts the moves among the transitions from `start` on, and drops those that are muted.
    fn take_note(&mut self, start: usize, effects: &mut Effects) {
        self.population.follow(&effects.transitions[start..]);
        if effects.transitions[start..].iter().any(|transition| transition.is_muted) {
            let mut place = 0;
            effects.transitions.retain(|transition| {
                place += 1;
                place <= start || !transition.is_muted
            });
        }
    }

    fn pass_time(&mut self, until: Timestamp, wake_ups_max: usize, effects: &mut Effects) -> bool {
        let mut looks = wake_ups_max.saturating_mul(LOOKS_PER_WAKE_UP);
        for _ in 0..wake_ups_max {
            match self.wake_ups.next_due(until, &mut looks, |place| self.customers.due(place, &self.rules.options)) {
                NextDue::Customer(place) => self.wake(place, until, effects),
                NextDue::Nobody => return false,
                NextDue::Unknown => return true,
            }
        }
        self.wake_ups.earliest().is_some_and(|earliest| earliest <= until)
    }

    /// Wakes the customer at `place`, or forgets them where that comes first.
    fn wake(&mut self, place: Place, until: Timestamp, effects: &mut Effects) {
        let aside = self.customers.set_aside(place, &self.rules, &self.shape);
        let wanted = aside.customer.wake_up;
        let published_before = effects.transitions.len();
        let was_woken = aside.customer.wake(&self.rules, until, &mut effects.transitions);
        let is_forgotten =
            !was_woken && aside.customer.forgotten_at(&self.rules.options).is_some_and(|end| end <= until);
        if is_forgotten {
            self.remove(place);
            effects.tally.forgotten += 1;
        } else {
            effects.woken.extend(wanted.filter(|_| was_woken));
            aside.is_changed |= was_woken;
            self.wake_ups.arm(place, &aside.customer.id, aside.customer.due(&self.rules.options));
            self.take_note(published_before, effects);
        }
        effects.tally.wake_ups += 1;
    }

    /// The models that customers are evaluated by.
    #[must_use]
    pub fn models(&self) -> Arc<ModelSet> {
        Arc::clone(&self.rules.models)
    }

    /// The event time that the touchpoints have reached, pending ones included.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The event time that the touchpoints have reached, as committed.
    #[must_use]
    pub fn committed_clock(&self) -> Clock {
        self.committed_clock
    }

    /// No wake-up is due before this instant; `None` when no customer waits for time.
    #[must_use]
    pub fn next_wake_up(&self) -> Option<Timestamp> {
        self.wake_ups.earliest()
    }

    /// Encodes every customer changed since the last commit, each once, and, while a sweep runs, at least as many bytes
    /// (and at least `sweep_bytes_min`) of customers that the sweep has not reached. Changes nothing that `abort` does not undo.
    pub fn write_batches(&mut self, sweep_bytes_min: usize) -> Vec<Batch> {
        let mut batches = BatchWriter::default();
        self.customers.seal(&self.rules, |record| batches.write(record));
        let share = batches.bytes.max(sweep_bytes_min);
        if let Some(cursor) = self.sweep.cursor {
            let changed = batches.bytes;
            let mut place = cursor;
            while place < self.customers.places() && batches.bytes - changed < share {
                if self.customers.awaits_sweep(place, self.sweep.number) {
                    batches.write(self.customers.record(place));
                    self.sweep.pending.push(place);
                }
                place += 1;
            }
            self.sweep.pending_cursor = place;
        }
        batches.finish()
    }

    /// The batch has been committed: what was pending is now the truth.
    pub fn commit(&mut self) {
        self.customers.commit(self.sweep.number);
        self.customers.mark_swept(&self.sweep.pending, self.sweep.number);
        self.sweep.pending.clear();
        if let Some(cursor) = &mut self.sweep.cursor {
            *cursor = (*cursor).max(self.sweep.pending_cursor);
            if *cursor >= self.customers.places() {
                self.sweep.cursor = None;
            }
        }
        self.population.commit();
        self.committed_clock = self.clock;
    }

    /// The batch has not been committed: customers, clock, wake-ups and sweep are as after the last commit.
    pub fn abort(&mut self) {
        let wake_ups = &mut self.wake_ups;
        self.customers.abort(&self.rules.options, |place, customer| {
            // A wake-up that the batch worked off is due again. One that it armed does no harm: it is looked up before it counts.
            match customer {
                Some((id, instant)) => wake_ups.arm(place, id, instant),
                None => wake_ups.forget(place),
            }
        });
        self.sweep.pending.clear();
        self.sweep.pending_cursor = self.sweep.cursor.unwrap_or(0);
        self.population.abort();
        self.clock = self.committed_clock;
    }

    /// Begins to write every customer again.
    pub fn begin_sweep(&mut self) {
        self.sweep.number = self.sweep.number.wrapping_add(1);
        self.sweep.cursor = Some(0);
        self.sweep.pending_cursor = 0;
    }

    /// Whether a sweep is running that has not written every customer (committed ones count).
    #[must_use]
    pub fn is_sweeping(&self) -> bool {
        self.sweep.cursor.is_some()
    }

    /// The meaning of the indices in the batches that `write_batches` gives.
    #[must_use]
    pub fn layout(&self) -> &StoredLayout {
        &self.layout
    }

    /// Takes over the customers of a changelog record, written under `layout`; newer ones win. Counts them and arms their wake-ups,
    /// so that nothing is left for the end of a restore, which would keep other partitions waiting.
    ///
    /// # Errors
    /// A sentence on what cannot be read.
    pub fn restore(&mut self, layout: &StoredLayout, customers: &[&[u8]]) -> Result<Restored, String> {
        let is_ours = layout.has_shape_of(&self.layout);
        if self.restored.as_ref() != Some(layout) {
            self.restored = Some(layout.clone());
        }
        if !is_ours && self.translation.as_ref().is_none_or(|known| known.stored() != layout) {
            self.translation = Some(Translation::new(layout.clone(), &self.rules.models)?);
        }
        let mut restored = Restored::default();
        let mut translated = Vec::new();
        for &entry in customers {
            let record = match &mut self.translation {
                // Who is gone is so under any layout.
                Some(translation) if !is_ours && !record::read_head(entry).is_some_and(|head| head.is_removed) => {
                    translated.clear();
                    translation.translate(entry, &self.rules, &mut translated)?;
                    &translated
                }
                _ => entry,
            };
            let checked = record::check(record, &self.shape).ok_or("a customer record does not fit its layout")?;
            if checked.is_removed {
                if let Some((place, record)) = self.customers.remove(checked.customer_id) {
                    self.population.uncount(record::stages_of(&record, &self.shape));
                    self.wake_ups.forget(place);
                }
                restored.removed += 1;
                continue;
            }
            let (place, older) = self.customers.put(checked.customer_id, record, self.sweep.number);
            if let Some(older) = older {
                self.population.uncount(record::stages_of(&older, &self.shape));
            }
            self.population.count(checked.stages(&self.shape));
            // Where an older record armed an earlier one, the customer is looked at then, in vain.
            let instant = due(checked.wake_up, checked.heard_at, &self.rules.options);
            self.wake_ups.arm(place, checked.customer_id, instant);
            restored.customers += 1;
        }
        Ok(restored)
    }

    /// Ends restoring: the clock was `clock` at the last commit.
    pub fn end_restore(&mut self, clock: Clock) {
        (self.clock, self.committed_clock) = (clock, clock);
        if let (Some(stored), Some(now)) = (self.restored.take(), clock.reached()) {
            self.layout.take_over(&stored, now);
        }
        self.translation = None;
    }

    /// A customer as committed.
    #[must_use]
    pub fn customer(&self, id: &str) -> Option<CustomerView> {
        self.view(self.customers.find(id)?)
    }

    /// Every customer as committed, in order of id.
    pub fn customers(&self) -> impl Iterator<Item = CustomerView> + '_ {
        let is_committed = |&place: &Place| !self.customers.record(place).is_empty();
        let mut places: Vec<Place> = (0..self.customers.places()).filter(is_committed).collect();
        places.sort_by_key(|&place| record::customer_id(self.customers.record(place)));
        places.into_iter().filter_map(|place| self.view(place))
    }

    fn view(&self, place: Place) -> Option<CustomerView> {
        let customer = self.customers.committed(place, &self.rules, &self.shape)?;
        Some(CustomerView::of(&customer, &self.rules, &self.layout.added))
    }

    /// A customer as committed, to be looked at elsewhere.
    #[must_use]
    pub fn snapshot(&self, id: &str) -> Option<Snapshot> {
        let record = self.customers.record(self.customers.find(id)?);
        (!record.is_empty()).then(|| Snapshot::new(record, &self.rules, &self.shape, &self.layout.added))
    }

    /// How many customers, committed ones.
    #[must_use]
    pub fn len(&self) -> usize {
        self.customers.len()
    }

    /// Whether there is no customer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many committed customers stand in each stage: by model, then by stage; the last number of a model counts those in
    /// no stage.
    #[must_use]
    pub fn population(&self) -> &[Vec<u64>] {
        self.population.committed()
    }

    /// Bytes of memory that the customers take, index and wake-ups included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.customers.bytes() + self.wake_ups.bytes()
    }

    /// Bytes of all customers' records: what a changelog without anything superseded would hold.
    #[must_use]
    pub fn live_bytes(&self) -> usize {
        self.customers.record_bytes()
    }

    /// How many wake-ups are waiting.
    #[must_use]
    pub fn wake_ups_pending(&self) -> usize {
        self.wake_ups.pending()
    }
}

/// Cuts records into batches.
#[derive(Default)]
struct BatchWriter {
    batches: Vec<Batch>,
    current: Vec<u8>,
    count: usize,
    bytes: usize,
}

impl BatchWriter {
    fn write(&mut self, record: &[u8]) {
        if self.count > 0 && self.current.len() + record.len() > Batch::BYTES_MAX {
            self.cut();
        }
        record::write_entry(record, &mut self.current);
        self.count += 1;
        self.bytes += record.len();
    }

    fn cut(&mut self) {
        let customers = std::mem::take(&mut self.current);
        self.batches.push(Batch { customers, count: std::mem::take(&mut self.count) });
    }

    fn finish(mut self) -> Vec<Batch> {
        if self.count > 0 {
            self.cut();
        }
        self.batches
    }
}
