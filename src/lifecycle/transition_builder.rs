//! Builds transitions from changes: determines the name and direction of a move, the stages that it skips, the
//! condition that caused the change, and the id.
//!
//! The id depends only on the content of a transition, so that a replay produces the same ids.

use std::cell::OnceCell;
use std::sync::{Arc, LazyLock};

use sha1::{Digest as _, Sha1};
use uuid::Uuid;

use super::condition::{Condition, FactReference};
use super::fact::FactInputs;
use super::id::{ModelIndex, StageIndex};
use super::model::{Direction, JourneyPosition, Model, MoveRule};
use super::model_set::Attribute;
use super::time::Timestamp;
use super::touchpoint::Touchpoint;
use super::transition::{Cause, Change, Merge, Reason, Transition};
use super::value::{Horizon, Inputs, OwnedValue};
use super::vocabulary::GroupSet;

/// The name of a move that no rule of the model matches.
pub const UNNAMED_MOVE: &str = "stage_entered";

/// The name of the move of a visitor whose facts move to a customer.
pub const MERGED_MOVE: &str = "merged";

/// [`MERGED_MOVE`], shared by all transitions.
static SHARED_MERGED_MOVE: LazyLock<Arc<str>> = LazyLock::new(|| MERGED_MOVE.into());

/// [`UNNAMED_MOVE`], shared by all transitions.
static SHARED_UNNAMED_MOVE: LazyLock<Arc<str>> = LazyLock::new(|| UNNAMED_MOVE.into());

/// The UUID namespace of transition ids. Changing it would change the ids of a replay.
const TRANSITION_IDS: Uuid = Uuid::from_u128(0x6c69_6665_6379_5c6c_a57e_7472_616e_7331);

/// The trigger of an evaluation.
#[derive(Clone, Copy, Debug)]
pub enum Trigger<'a> {
    /// The passing of time, or an edit of the model.
    Time,
    /// A touchpoint.
    Touchpoint {
        /// The touchpoint.
        touchpoint: &'a Touchpoint<'a>,
        /// The groups that it belongs to.
        groups: GroupSet,
        /// Whether it was older than the customer's clock.
        is_late: bool,
        /// The merge, if the touchpoint is a link.
        merge: Option<&'a Merge>,
    },
}

/// Builds the transitions of one customer in one model at one instant. The fields are the same for all of them.
pub(crate) struct TransitionBuilder<'a> {
    pub(crate) customer_id: &'a Arc<str>,
    pub(crate) model_index: ModelIndex,
    pub(crate) model: &'a Model,
    pub(crate) facts: FactInputs<'a>,
    pub(crate) now: Timestamp,
    pub(crate) trigger: &'a Trigger<'a>,
    /// The cause of all transitions of the trigger, once one of them is built.
    pub(crate) cause: &'a OnceCell<Cause>,
    pub(crate) attributes: &'a [Attribute],
    /// The values of the attributes, once a transition of the trigger is built.
    pub(crate) attribute_values: &'a OnceCell<Arc<[Option<OwnedValue>]>>,
    /// Whether an edit of the model causes the changes.
    pub(crate) is_reconciled: bool,
}

/// A change with its name and condition, before it has a sequence number.
pub(crate) struct PendingTransition<'a> {
    change: Change,
    name: &'a Arc<str>,
    because: Option<&'a Condition>,
}

impl<'a> TransitionBuilder<'a> {
    /// Describes the move between two stages. `since` is the instant at which the customer entered `from`.
    pub(crate) fn move_between(
        &self,
        from: Option<StageIndex>,
        to: Option<StageIndex>,
        since: Option<Timestamp>,
    ) -> PendingTransition<'a> {
        if self.trigger.is_leave() {
            let previous_since = since.filter(|_| from.is_some());
            let change =
                Change::Stage { from, to, skipped: Vec::new(), direction: Direction::Backward, previous_since };
            return PendingTransition { change, name: &SHARED_MERGED_MOVE, because: None };
        }
        let rule = self.model.moves.iter().find(|rule| self.matches(rule, from, to));
        let default = self.model.direction(from, to);
        let has_fixed_direction = from.is_none() || to.is_none() || self.is_outside(from) || self.is_outside(to);
        let direction = rule.and_then(|rule| rule.direction).filter(|_| !has_fixed_direction).unwrap_or(default);
        let skipped = match direction {
            Direction::Forward => self.stages_between(from, to),
            _ => Vec::new(),
        };
        PendingTransition {
            change: Change::Stage { from, to, skipped, direction, previous_since: since.filter(|_| from.is_some()) },
            name: rule.map_or(&SHARED_UNNAMED_MOVE, |rule| &rule.name),
            because: to.map(|stage| &self.model.stage(stage).when),
        }
    }

    /// Describes a signal that starts or stops holding.
    pub(crate) fn signal(&self, index: usize, on: bool) -> PendingTransition<'a> {
        let signal = &self.model.signals[index];
        let because = Some(&signal.when).filter(|_| !self.trigger.is_leave());
        PendingTransition { change: Change::Signal { on }, name: &signal.name, because }
    }

    /// Describes a milestone that is reached.
    pub(crate) fn milestone(&self, index: usize) -> PendingTransition<'a> {
        let milestone = &self.model.milestones[index];
        PendingTransition { change: Change::Milestone, name: &milestone.name, because: Some(&milestone.when) }
    }

    /// Describes a counter that rises to `count`.
    pub(crate) fn counter(&self, index: usize, count: i64) -> PendingTransition<'a> {
        let counter = &self.model.counters[index];
        PendingTransition { change: Change::Counter { count }, name: &counter.name, because: Some(&counter.of) }
    }

    /// Builds the transition with the sequence number `sequence`, published after `ordinal` others at this instant.
    pub(crate) fn build(&self, pending: PendingTransition<'_>, sequence: u64, ordinal: u32) -> Transition {
        let id = self.id(&pending, ordinal);
        Transition {
            id,
            customer_id: Arc::clone(self.customer_id),
            model: self.model_index,
            name: Arc::clone(pending.name),
            sequence,
            occurred_at: self.now,
            cause: self.cause.get_or_init(|| self.trigger.cause()).clone(),
            late: matches!(self.trigger, Trigger::Touchpoint { is_late: true, .. }),
            reconciled: self.is_reconciled,
            because: pending.because.map(|condition| self.reason(condition)),
            orders: self.facts.facts.orders_summary(),
            attributes: (!self.attributes.is_empty())
                .then(|| Arc::clone(self.attribute_values.get_or_init(|| self.attribute_values()))),
            merge: self.trigger.merge().cloned(),
            change: pending.change,
        }
    }

    fn attribute_values(&self) -> Arc<[Option<OwnedValue>]> {
        let value = |attribute: &Attribute| {
            OwnedValue::of(attribute.value.program.evaluate(&self.facts, self.now, &mut Horizon::NEVER.clone()))
        };
        self.attributes.iter().map(value).collect()
    }

    fn reason(&self, condition: &Condition) -> Reason {
        let references = Arc::clone(&condition.program.references);
        let values = references.iter().map(|reference| value_of(reference, &self.facts, self.now)).collect();
        Reason { condition: Arc::clone(&condition.text), references, values }
    }

    fn matches(&self, rule: &MoveRule, from: Option<StageIndex>, to: Option<StageIndex>) -> bool {
        let cause_matches = rule.causes.is_none_or(|causes| match self.trigger {
            Trigger::Time => causes.time,
            Trigger::Touchpoint { groups, .. } => causes.groups.intersects(*groups),
        });
        let holds = |condition: &Condition| condition.program.holds(&self.facts, self.now, &mut Horizon::NEVER.clone());
        rule.from.matches(from) && rule.to.matches(to) && cause_matches && rule.when.as_ref().is_none_or(holds)
    }

    fn journey_position(&self, stage: Option<StageIndex>) -> Option<JourneyPosition> {
        stage.map(|stage| self.model.stage(stage).journey_position)
    }

    fn is_outside(&self, stage: Option<StageIndex>) -> bool {
        self.journey_position(stage) == Some(JourneyPosition::Outside)
    }

    /// Returns the stages of the journey between `from` and `to`, both exclusive; starts with the first stage if `from`
    /// is not on the journey.
    fn stages_between(&self, from: Option<StageIndex>, to: Option<StageIndex>) -> Vec<StageIndex> {
        let Some(JourneyPosition::At(end)) = self.journey_position(to) else { return Vec::new() };
        let start = match self.journey_position(from) {
            Some(JourneyPosition::At(position)) => position + 1,
            _ => 0,
        };
        let stage_at = |position: u8| {
            let mut stages = (0..).zip(&self.model.stages);
            stages.find(|(_, stage)| stage.journey_position == JourneyPosition::At(position))
        };
        (start..end).filter_map(stage_at).map(|(index, _)| StageIndex(index)).collect()
    }

    /// Derives the id from the content and `ordinal` only, not from the sequence number.
    fn id(&self, pending: &PendingTransition<'_>, ordinal: u32) -> Uuid {
        let stage_name = |stage: Option<StageIndex>| stage.map_or("", |stage| &self.model.stage(stage).name);
        let mut count_digits = itoa::Buffer::new();
        let (from, to) = match pending.change {
            Change::Stage { from, to, .. } => (stage_name(from), stage_name(to)),
            Change::Signal { on } => ("", if on { "started" } else { "stopped" }),
            Change::Milestone => ("", ""),
            Change::Counter { count } => ("", count_digits.format(count)),
        };
        let mut digits = itoa::Buffer::new();
        let mut hash = Sha1::new_with_prefix(TRANSITION_IDS);
        // Each part is prefixed with its length, so that different tuples cannot produce the same name.
        for part in [self.customer_id, &*self.model.name, pending.change.kind(), pending.name, from, to] {
            hash.update(digits.format(part.len()));
            hash.update(":");
            hash.update(part);
        }
        hash.update("@");
        hash.update(digits.format(self.now.as_millis()));
        hash.update("#");
        hash.update(digits.format(ordinal));
        let hash: [u8; 20] = hash.finalize().into();
        let [id @ .., _, _, _, _] = hash;
        uuid::Builder::from_sha1_bytes(id).into_uuid()
    }
}

impl Trigger<'_> {
    /// Whether the facts of the visitor move to a customer.
    pub(super) fn is_leave(&self) -> bool {
        matches!(self, Self::Touchpoint { merge: Some(Merge::Into(_)), .. })
    }

    fn merge(&self) -> Option<&Merge> {
        if let Self::Touchpoint { merge, .. } = self { *merge } else { None }
    }

    fn cause(&self) -> Cause {
        match self {
            Self::Time => Cause::Time,
            Self::Touchpoint { touchpoint, .. } => {
                Cause::Touchpoint { event_id: touchpoint.event_id.into(), type_name: touchpoint.type_name.into() }
            }
        }
    }
}

fn value_of(reference: &FactReference, facts: &FactInputs<'_>, now: Timestamp) -> Option<OwnedValue> {
    OwnedValue::of(facts.read(reference.slot, now, &mut Horizon::NEVER.clone()))
}

/// Returns the values that `condition` reads from `facts` at `now`, by name.
pub(crate) fn values(
    condition: &Condition,
    facts: &FactInputs<'_>,
    now: Timestamp,
) -> Vec<(Box<str>, Option<OwnedValue>)> {
    let value = |reference: &FactReference| (reference.name.clone(), value_of(reference, facts, now));
    condition.program.references.iter().map(value).collect()
}
