//! Takes customers over from a changelog that was written under other models.
//!
//! Facts, models, stages and the rest are known by stable ids: what both layouts have is kept, what is new starts empty, what
//! is gone is dropped. A customer of an added or edited model is due at once, to be evaluated again.

use std::collections::HashMap;
use std::sync::Arc;

use crate::lifecycle::customer::{Customer, Published, Rules};
use crate::lifecycle::fact::{ABSENT, Facts};
use crate::lifecycle::id::{StableId, StageIndex};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;

use super::batch::{StoredLayout, StoredModel};
use super::record::{self, Shape};

/// How records of one stored layout become records of ours.
#[derive(Debug)]
pub(crate) struct Translation {
    stored: StoredLayout,
    stored_shape: Shape,
    scratch: Customer,
    /// By our index: theirs.
    numbers: Vec<Option<usize>>,
    latest: Vec<Option<usize>>,
    windows: Vec<Option<usize>>,
    followed: Vec<Option<usize>>,
    gaps: Vec<Option<usize>>,
    models: Vec<Option<ModelTranslation>>,
    outdated_models: u64,
}

/// How what was published in a model is carried over. By index: theirs to ours for stages, ours to theirs for the rest.
#[derive(Debug)]
struct ModelTranslation {
    stored: usize,
    stages: Vec<Option<StageIndex>>,
    signals: Vec<Option<usize>>,
    milestones: Vec<Option<usize>>,
    counters: Vec<Option<usize>>,
}

impl Translation {
    pub(crate) fn new(stored: StoredLayout, models: &ModelSet) -> Result<Self, String> {
        // They are kept as bits.
        if stored.models.len() > 64
            || stored
                .models
                .iter()
                .any(|model| model.stages.len() > 64 || model.signals.len() > 64 || model.milestones.len() > 64)
        {
            return Err("a stored layout has more models, stages, signals or milestones than there may be".into());
        }
        let ours = StoredLayout::of(models);
        let places = |list: &[StableId]| -> HashMap<StableId, usize> { list.iter().copied().zip(0..).collect() };
        let lookup = |ours: &[StableId], theirs: &[StableId]| -> Vec<Option<usize>> {
            let theirs = places(theirs);
            ours.iter().map(|id| theirs.get(id).copied()).collect()
        };
        let mut outdated_models = 0;
        let translations = ours.models.iter().enumerate().map(|(index, model)| {
            let found = stored.models.iter().position(|other| other.id == model.id);
            if found.is_none_or(|place| stored.models[place].hash != model.hash) {
                outdated_models |= 1 << index;
            }
            found.map(|place| ModelTranslation::new(place, &stored.models[place], model, &lookup))
        });
        let translations = translations.collect();
        let numbers = lookup(&ours.numbers, &stored.numbers);
        // Whether one of their numbers is a time is known for those that we have; the others are skipped, as either.
        let mut number_is_time = vec![false; stored.numbers.len()];
        for (place, &is_time) in numbers.iter().zip(&models.layout.number_is_time) {
            if let Some(place) = *place {
                number_is_time[place] = is_time;
            }
        }
        let stored_shape = Shape {
            number_is_time,
            latest: stored.latest.len(),
            windows: stored.windows.len(),
            followed: stored.followed.len(),
            models: stored.models.iter().map(|model| (model.stages.len(), model.counters.len())).collect(),
        };
        Ok(Self {
            numbers,
            latest: lookup(&ours.latest, &stored.latest),
            windows: lookup(&ours.windows, &stored.windows),
            followed: lookup(&ours.followed, &stored.followed),
            gaps: lookup(&ours.gaps, &stored.gaps),
            models: translations,
            outdated_models,
            scratch: Customer::new(Arc::from(""), Timestamp::MIN, models),
            stored_shape,
            stored,
        })
    }

    /// The layout that is translated from.
    pub(crate) fn stored(&self) -> &StoredLayout {
        &self.stored
    }

    /// Appends our record of the customer in their `record` to `out`.
    pub(crate) fn translate(&mut self, record: &[u8], rules: &Rules, out: &mut Vec<u8>) -> Result<(), String> {
        let home = rules.options.currency;
        record::read(record, &self.stored_shape, home, &mut self.scratch)
            .ok_or("a customer record does not fit its layout")?;
        let still_outdated = self.still_outdated(self.scratch.outdated_models);
        let theirs = &mut self.scratch;
        let mut ours = Customer::new(Arc::clone(&theirs.id), theirs.clock, &rules.models);
        ours.wake_up = theirs.wake_up;
        ours.heard_at = theirs.heard_at;
        ours.recent_events = std::mem::take(&mut theirs.recent_events);
        ours.outdated_models = self.outdated_models | still_outdated;
        self.carry_facts(&mut ours.facts, rules);
        for (index, translation) in self.models.iter().enumerate() {
            if let Some(translation) = translation {
                let theirs = &self.scratch.published[translation.stored];
                ours.published[index] = translation.carry(theirs, &ours.published[index]);
            }
        }
        if ours.outdated_models != 0 {
            // Due at once: the instant of the customer's own clock, so that it does not depend on when this is read.
            ours.wake_up = Some(ours.clock);
        }
        record::write(&ours, &rules.models.layout.number_is_time, home, out);
        Ok(())
    }

    /// Models that were outdated already when the record was written, in our numbering.
    fn still_outdated(&self, theirs: u64) -> u64 {
        let outdated = |(index, translation): (usize, &Option<ModelTranslation>)| {
            translation.as_ref().map_or(0, |translation| (theirs >> translation.stored & 1) << index)
        };
        self.models.iter().enumerate().map(outdated).fold(0, |set, bit| set | bit)
    }

    fn carry_facts(&mut self, ours: &mut Facts, rules: &Rules) {
        let theirs = &mut self.scratch.facts;
        carry(&mut ours.numbers, &mut theirs.numbers, &self.numbers);
        carry(&mut ours.latest, &mut theirs.latest, &self.latest);
        carry(&mut ours.windows, &mut theirs.windows, &self.windows);
        carry(&mut ours.orders.recent, &mut theirs.orders.recent, &self.followed);
        let followed = |theirs: &[i64]| -> Vec<i64> {
            self.followed
                .iter()
                .map(|place| place.and_then(|place| theirs.get(place).copied()).unwrap_or(ABSENT))
                .collect()
        };
        ours.orders.folded = std::mem::take(&mut theirs.orders.folded);
        ours.orders.folded.followed = followed(&ours.orders.folded.followed);
        let chains = std::mem::take(&mut ours.orders.folded.chains);
        let chain = |place: &Option<usize>| place.and_then(|place| chains.get(place).copied()).unwrap_or((0, ABSENT));
        ours.orders.folded.chains = self.gaps.iter().map(chain).collect();
        ours.orders.entries = std::mem::take(&mut theirs.orders.entries);
        for order in &mut ours.orders.entries {
            order.followed = followed(&order.followed);
        }
        ours.read_orders(&rules.models.layout, &rules.options);
    }
}

impl ModelTranslation {
    fn new(
        place: usize,
        theirs: &StoredModel,
        ours: &StoredModel,
        lookup: &impl Fn(&[StableId], &[StableId]) -> Vec<Option<usize>>,
    ) -> Self {
        let stage = |place: Option<usize>| place.and_then(|place| u8::try_from(place).ok()).map(StageIndex);
        Self {
            stored: place,
            stages: lookup(&theirs.stages, &ours.stages).into_iter().map(stage).collect(),
            signals: lookup(&ours.signals, &theirs.signals),
            milestones: lookup(&ours.milestones, &theirs.milestones),
            counters: lookup(&ours.counters, &theirs.counters),
        }
    }

    fn carry(&self, theirs: &Published, fresh: &Published) -> Published {
        let bits = |places: &[Option<usize>], set: u64| {
            let bit = |(index, place): (usize, &Option<usize>)| place.map_or(0, |place| (set >> place & 1) << index);
            places.iter().enumerate().map(bit).fold(0, |set, bit| set | bit)
        };
        let counter = |(index, place): (usize, &Option<usize>)| {
            place.and_then(|place| theirs.counters.get(place).copied()).unwrap_or(fresh.counters[index])
        };
        Published {
            stage: theirs.stage.and_then(|stage| self.stages.get(usize::from(stage.0)).copied().flatten()),
            since: theirs.since,
            sequence: theirs.sequence,
            ordinal: theirs.ordinal,
            signals: bits(&self.signals, theirs.signals),
            milestones: bits(&self.milestones, theirs.milestones),
            counters: self.counters.iter().enumerate().map(counter).collect(),
        }
    }
}

/// Moves what both have from `theirs` to `ours`.
fn carry<T>(ours: &mut [T], theirs: &mut [T], places: &[Option<usize>]) {
    for (value, place) in ours.iter_mut().zip(places) {
        if let Some(theirs) = place.and_then(|place| theirs.get_mut(place)) {
            std::mem::swap(value, theirs);
        }
    }
}
