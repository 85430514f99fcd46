//! Writes transitions: names a move, gives its direction and the stages it skipped, says why, and derives the id.

use std::sync::Arc;

use sha1::{Digest as _, Sha1};
use uuid::Uuid;

use super::condition::Condition;
use super::fact::FactsAt;
use super::id::{ModelIndex, StageIndex};
use super::model::{Direction, Model, MoveRule, Place};
use super::time::Timestamp;
use super::touchpoint::Touchpoint;
use super::transition::{Cause, Change, OwnedValue, Transition};
use super::value::{Horizon, Inputs};
use super::vocabulary::GroupSet;

/// The name of a move that no rule of its model names.
pub const UNNAMED_MOVE: &str = "stage_entered";

/// The namespace of transition ids; never to be changed, or replays would give new ids.
const TRANSITION_IDS: Uuid = Uuid::from_u128(0x6c69_6665_6379_5c6c_a57e_7472_616e_7331);

/// What leads to an evaluation.
#[derive(Clone, Copy, Debug)]
pub enum Trigger<'a> {
    /// The passing of time, or an edit of the model.
    Time,
    /// A touchpoint.
    Touchpoint {
        /// The touchpoint.
        touchpoint: &'a Touchpoint<'a>,
        /// The groups that it stands in.
        groups: GroupSet,
        /// It is older than the customer's clock was.
        is_late: bool,
    },
}

/// Everything that the transitions of one customer in one model at one instant share.
pub(crate) struct Author<'a> {
    pub(crate) customer_id: &'a Arc<str>,
    pub(crate) model_index: ModelIndex,
    pub(crate) model: &'a Model,
    pub(crate) facts: FactsAt<'a>,
    pub(crate) now: Timestamp,
    pub(crate) trigger: &'a Trigger<'a>,
    pub(crate) is_reconciled: bool,
    /// The transitions only tell what moved; they will not be published.
    pub(crate) is_muted: bool,
}

/// A change with its name and reason.
pub(crate) struct Draft<'a> {
    change: Change,
    name: &'a str,
    because: Option<&'a Condition>,
}

impl<'a> Author<'a> {
    /// The move between two stages, of which the former was entered at `since`.
    pub(crate) fn move_between(
        &self,
        from: Option<StageIndex>,
        to: Option<StageIndex>,
        since: Option<Timestamp>,
    ) -> Draft<'a> {
        let rule = self.model.moves.iter().find(|rule| self.fits(rule, from, to));
        let natural = self.model.direction(from, to);
        let is_bound = from.is_none() || to.is_none() || self.is_outside(from) || self.is_outside(to);
        let direction = rule.and_then(|rule| rule.direction).filter(|_| !is_bound).unwrap_or(natural);
        let skipped = match direction {
            Direction::Forward => self.stages_between(from, to),
            _ => Vec::new(),
        };
        Draft {
            change: Change::Stage { from, to, skipped, direction, previous_since: since.filter(|_| from.is_some()) },
            name: rule.map_or(UNNAMED_MOVE, |rule| &rule.name),
            because: to.map(|stage| &self.model.stage(stage).when),
        }
    }

    /// A signal that starts or stops to hold.
    pub(crate) fn signal(&self, index: usize, on: bool) -> Draft<'a> {
        let signal = &self.model.signals[index];
        Draft { change: Change::Signal { on }, name: &signal.name, because: Some(&signal.when) }
    }

    /// A milestone that is reached.
    pub(crate) fn milestone(&self, index: usize) -> Draft<'a> {
        let milestone = &self.model.milestones[index];
        Draft { change: Change::Milestone, name: &milestone.name, because: Some(&milestone.when) }
    }

    /// A counter that rises to `count`.
    pub(crate) fn counter(&self, index: usize, count: i64) -> Draft<'a> {
        let counter = &self.model.counters[index];
        Draft { change: Change::Counter { count }, name: &counter.name, because: Some(&counter.of) }
    }

    /// The transition: the `sequence`-th of this customer and model, after `ordinal` others at this instant.
    pub(crate) fn write(&self, draft: Draft<'_>, sequence: u64, ordinal: u32) -> Transition {
        let (cause, late) = match self.trigger {
            Trigger::Time => (Cause::Time, false),
            Trigger::Touchpoint { touchpoint, is_late, .. } => {
                let (event_id, type_name) = (touchpoint.event_id.into(), touchpoint.type_name.into());
                (Cause::Touchpoint { event_id, type_name }, *is_late)
            }
        };
        Transition {
            id: self.id(&draft, ordinal),
            customer_id: Arc::clone(self.customer_id),
            model: self.model_index,
            name: draft.name.into(),
            sequence,
            occurred_at: self.now,
            cause,
            late,
            reconciled: self.is_reconciled,
            is_muted: self.is_muted,
            because: draft.because.map_or_else(Box::default, |condition| condition.text.clone()),
            values: draft.because.map_or_else(Vec::new, |condition| values(condition, &self.facts, self.now)),
            orders: self.facts.facts.orders_summary(),
            change: draft.change,
        }
    }

    fn fits(&self, rule: &MoveRule, from: Option<StageIndex>, to: Option<StageIndex>) -> bool {
        let is_caused = rule.causes.is_none_or(|causes| match self.trigger {
            Trigger::Time => causes.time,
            Trigger::Touchpoint { groups, .. } => causes.groups.meets(*groups),
        });
        let holds = |condition: &Condition| {
            condition.program.evaluate(&self.facts, self.now, &mut Horizon::NEVER.clone()).is_true()
        };
        rule.from.fits(from) && rule.to.fits(to) && is_caused && rule.when.as_ref().is_none_or(holds)
    }

    fn place(&self, stage: Option<StageIndex>) -> Option<Place> {
        stage.map(|stage| self.model.stage(stage).place)
    }

    fn is_outside(&self, stage: Option<StageIndex>) -> bool {
        self.place(stage) == Some(Place::Outside)
    }

    /// The stages of the journey after `from` (all, where there is none) and before `to`.
    fn stages_between(&self, from: Option<StageIndex>, to: Option<StageIndex>) -> Vec<StageIndex> {
        let Some(Place::Journey(end)) = self.place(to) else { return Vec::new() };
        let start = match self.place(from) {
            Some(Place::Journey(place)) => place + 1,
            _ => 0,
        };
        let journey = self.model.journey();
        journey.get(usize::from(start)..usize::from(end)).map_or_else(Vec::new, <[_]>::to_vec)
    }

    /// The id of what is published: the same in every run, whatever else was published before.
    fn id(&self, draft: &Draft<'_>, ordinal: u32) -> Uuid {
        let stage_name = |stage: Option<StageIndex>| stage.map_or("", |stage| &self.model.stage(stage).name);
        let (from, to) = match draft.change {
            Change::Stage { from, to, .. } => (stage_name(from), stage_name(to).to_owned()),
            Change::Signal { on } => ("", if on { "started" } else { "stopped" }.to_owned()),
            Change::Milestone => ("", String::new()),
            Change::Counter { count } => ("", count.to_string()),
        };
        // Length before text: no two different tuples run together into one name.
        let mut name = String::with_capacity(160);
        for part in [self.customer_id, &*self.model.name, draft.change.kind(), draft.name, from, &to] {
            name.push_str(&part.len().to_string());
            name.push(':');
            name.push_str(part);
        }
        name.push('@');
        name.push_str(&self.now.as_millis().to_string());
        name.push('#');
        name.push_str(&ordinal.to_string());
        let hash: [u8; 20] = Sha1::new().chain_update(TRANSITION_IDS).chain_update(&name).finalize().into();
        let [id @ .., _, _, _, _] = hash;
        uuid::Builder::from_sha1_bytes(id).into_uuid()
    }
}

/// What `condition` reads of `facts` at `now`, by name.
pub(crate) fn values(condition: &Condition, facts: &FactsAt<'_>, now: Timestamp) -> Vec<(Box<str>, OwnedValue)> {
    let value = |slot| OwnedValue::from(facts.read(slot, now, &mut Horizon::NEVER.clone()));
    condition.program.readings.iter().map(|reading| (reading.name.clone(), value(reading.slot))).collect()
}
