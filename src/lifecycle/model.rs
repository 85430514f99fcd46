//! A model: a checked, versioned definition of lifecycle stages.
//!
//! Only [`model_check`](super::model_check) constructs a `Model`, so it is always valid.

use std::sync::Arc;

use super::condition::Condition;
use super::id::{StableId, StageIndex};
use super::vocabulary::GroupSet;

/// A checked model. Its conditions are compiled for the fact layout of one [`ModelSet`](super::model_set::ModelSet).
#[derive(Clone, Debug)]
pub struct Model {
    /// The name that transitions carry.
    pub name: Box<str>,
    /// The version that transitions carry; its author increases it with each change.
    pub version: u32,
    /// Hash of the whole definition, without titles and descriptions: models with the same hash publish the same
    /// transitions.
    pub hash: StableId,
    /// Title by language code: `en`, `ru`.
    pub titles: Vec<(Box<str>, Box<str>)>,
    /// One or two sentences on the purpose of the model; may be empty.
    pub description: Box<str>,
    /// Named constants with their effective values, after overrides: `risk_after`, `days(90)`.
    pub parameters: Vec<(Box<str>, Box<str>)>,
    /// The stages in the order in which they are tested: a customer is in the first stage whose condition holds. At
    /// most 64.
    pub stages: Vec<Stage>,
    /// The rules that name moves, in the order in which they are tested. At most 256.
    pub moves: Vec<MoveRule>,
    /// Conditions published when they start and when they stop. At most 64.
    pub signals: Vec<Signal>,
    /// Conditions published once per customer. At most 64.
    pub milestones: Vec<Milestone>,
    /// Numbers published when they grow. At most 16.
    pub counters: Vec<Counter>,
}

impl Model {
    /// Returns the stage at `index`.
    #[must_use]
    pub fn stage(&self, index: StageIndex) -> &Stage {
        &self.stages[usize::from(index.0)]
    }

    /// Returns every condition that determines a customer's standing: of stages, signals, milestones and counters.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let stages = self.stages.iter().map(|stage| &stage.when);
        let signals = self.signals.iter().map(|signal| &signal.when);
        let milestones = self.milestones.iter().map(|milestone| &milestone.when);
        let counters = self.counters.iter().map(|counter| &counter.of);
        stages.chain(signals).chain(milestones).chain(counters)
    }

    /// Returns the stages of the journey, in journey order.
    #[must_use]
    pub fn journey(&self) -> Vec<StageIndex> {
        let mut stages: Vec<_> = (0_u8..)
            .zip(&self.stages)
            .filter_map(|(index, stage)| match stage.journey_position {
                JourneyPosition::At(position) => Some((position, StageIndex(index))),
                JourneyPosition::Outside => None,
            })
            .collect();
        stages.sort_by_key(|&(position, _)| position);
        stages.into_iter().map(|(_, stage)| stage).collect()
    }

    /// Returns the default direction of a move, from the positions of its stages in the journey.
    #[must_use]
    pub fn direction(&self, from: Option<StageIndex>, to: Option<StageIndex>) -> Direction {
        let position = |stage: Option<StageIndex>| stage.map(|stage| self.stage(stage).journey_position);
        match (position(from), position(to)) {
            (_, None) => Direction::Backward,
            (_, Some(JourneyPosition::Outside)) => Direction::Exit,
            (Some(JourneyPosition::Outside), _) => Direction::Reentry,
            (Some(JourneyPosition::At(before)), Some(JourneyPosition::At(after))) if after < before => {
                Direction::Backward
            }
            (..) => Direction::Forward,
        }
    }
}

/// One stage of a model.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The name that transitions carry.
    pub name: Box<str>,
    /// Identity across edits of the model.
    pub id: StableId,
    /// Title by language code.
    pub titles: Vec<(Box<str>, Box<str>)>,
    /// One sentence on what the stage means; may be empty.
    pub description: Box<str>,
    /// The condition of the stage. It may also hold for customers in an earlier stage of `stages`, which takes
    /// precedence.
    pub when: Condition,
    /// Position of the stage in the journey.
    pub journey_position: JourneyPosition,
}

/// The position of a stage in the journey.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JourneyPosition {
    /// Index in the journey, starting at 0.
    At(u8),
    /// Not part of the journey: entering the stage is an exit, leaving it a re-entry.
    Outside,
}

/// A rule that names moves between stages.
#[derive(Clone, Debug)]
pub struct MoveRule {
    /// The name that transitions carry.
    pub name: Arc<str>,
    /// The stages that the move may leave.
    pub from: StageMatch,
    /// The stages that the move may enter.
    pub to: StageMatch,
    /// The causes that match; `None` matches every cause.
    pub causes: Option<Causes>,
    /// An additional condition, evaluated at the instant of the move, with the facts after it.
    pub when: Option<Condition>,
    /// Overrides the default direction. Entering a stage outside the journey is still an exit, and leaving one is still
    /// a re-entry.
    pub direction: Option<Direction>,
}

/// The set of stages that match one side of a move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StageMatch {
    /// Bit i: stage i matches.
    pub stages: u64,
    /// Whether "no stage" matches.
    pub none: bool,
}

impl StageMatch {
    /// Matches every stage and "no stage".
    pub const ANY: Self = Self { stages: u64::MAX, none: true };

    /// Whether `stage` matches; `None` is "no stage".
    #[must_use]
    pub fn matches(self, stage: Option<StageIndex>) -> bool {
        stage.map_or(self.none, |stage| self.stages >> stage.0 & 1 == 1)
    }
}

/// The set of causes that match a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Causes {
    /// Whether the passing of time matches.
    pub time: bool,
    /// Touchpoints of these groups match.
    pub groups: GroupSet,
}

/// The direction of a move along the journey.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// To a later stage of the journey, or from no stage to any stage of it.
    Forward,
    /// To an earlier stage of the journey, or to no stage.
    Backward,
    /// Into a stage outside the journey.
    Exit,
    /// From a stage outside the journey.
    Reentry,
}

impl Direction {
    /// Returns the value that transitions carry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::Exit => "exit",
            Self::Reentry => "reentry",
        }
    }
}

/// A condition that is independent of the stages and is published when it starts and when it stops holding.
#[derive(Clone, Debug)]
pub struct Signal {
    /// The name that transitions carry.
    pub name: Arc<str>,
    /// Identity across edits of the model.
    pub id: StableId,
    /// The signal is on while this condition holds.
    pub when: Condition,
}

/// A condition published once per customer, when it first holds.
#[derive(Clone, Debug)]
pub struct Milestone {
    /// The name that transitions carry.
    pub name: Arc<str>,
    /// Identity across edits of the model.
    pub id: StableId,
    /// The condition that must hold.
    pub when: Condition,
}

/// A number published each time it exceeds the highest value published so far.
#[derive(Clone, Debug)]
pub struct Counter {
    /// The name that transitions carry.
    pub name: Arc<str>,
    /// Identity across edits of the model.
    pub id: StableId,
    /// The expression of the number; an int.
    pub of: Condition,
    /// The lowest value that is published (`from` in the model file).
    pub from: i64,
}
