//! A model: a checked, versioned definition of lifecycle stages. Comes only from the model check.

use super::condition::Condition;
use super::id::{StableId, StageIndex};
use super::vocabulary::GroupSet;

/// A checked model, its programs compiled against the layout of one [`ModelSet`](super::model_set::ModelSet).
#[derive(Clone, Debug)]
pub struct Model {
    /// As it is published.
    pub name: Box<str>,
    /// As it is published; the author raises it with each change.
    pub version: u32,
    /// Hash of the whole definition: two models with one hash publish the same.
    pub hash: StableId,
    /// By language code: `en`, `ru`.
    pub titles: Vec<(Box<str>, Box<str>)>,
    /// A sentence or two on what the model is for.
    pub description: Box<str>,
    /// The named constants with the values that hold, overridden or not: `risk_after`, `days(90)`.
    pub parameters: Vec<(Box<str>, Box<str>)>,
    /// In the order of test: the customer's stage is the first whose condition holds. At most 64.
    pub stages: Vec<Stage>,
    /// The names of moves: the first that fits.
    pub moves: Vec<MoveRule>,
    /// At most 64.
    pub signals: Vec<Signal>,
    /// At most 64.
    pub milestones: Vec<Milestone>,
    /// At most 16.
    pub counters: Vec<Counter>,
}

impl Model {
    /// The stage at `index`.
    #[must_use]
    pub fn stage(&self, index: StageIndex) -> &Stage {
        &self.stages[usize::from(index.0)]
    }

    /// The conditions on which a customer's standing depends: of stages, signals, milestones and counters.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let stages = self.stages.iter().map(|stage| &stage.when);
        let signals = self.signals.iter().map(|signal| &signal.when);
        let milestones = self.milestones.iter().map(|milestone| &milestone.when);
        let counters = self.counters.iter().map(|counter| &counter.of);
        stages.chain(signals).chain(milestones).chain(counters)
    }

    /// The stages that a customer passes on a journey, in the journey's order.
    #[must_use]
    pub fn journey(&self) -> Vec<StageIndex> {
        let mut places: Vec<_> = (0_u8..)
            .zip(&self.stages)
            .filter_map(|(index, stage)| match stage.place {
                Place::Journey(place) => Some((place, StageIndex(index))),
                Place::Outside => None,
            })
            .collect();
        places.sort_by_key(|&(place, _)| place);
        places.into_iter().map(|(_, stage)| stage).collect()
    }

    /// The direction that the journey gives to a move.
    #[must_use]
    pub fn direction(&self, from: Option<StageIndex>, to: Option<StageIndex>) -> Direction {
        let place = |stage: Option<StageIndex>| stage.map(|stage| self.stage(stage).place);
        match (place(from), place(to)) {
            (_, None) => Direction::Backward,
            (_, Some(Place::Outside)) => Direction::Exit,
            (Some(Place::Outside), _) => Direction::Reentry,
            (Some(Place::Journey(before)), Some(Place::Journey(after))) if after < before => Direction::Backward,
            (..) => Direction::Forward,
        }
    }
}

/// One stage of a model.
#[derive(Clone, Debug)]
pub struct Stage {
    /// As it is published.
    pub name: Box<str>,
    /// Identity across edits of the model.
    pub id: StableId,
    /// By language code.
    pub titles: Vec<(Box<str>, Box<str>)>,
    /// A sentence on what the stage stands for; may be empty.
    pub description: Box<str>,
    /// Holds for the customers in this stage or in one above.
    pub when: Condition,
    /// Where the stage stands in the journey.
    pub place: Place,
}

/// Where a stage stands in the journey.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The how-manieth stage of the journey, from 0.
    Journey(u8),
    /// Outside the journey: entering it is an exit, leaving it a re-entry.
    Outside,
}

/// Names a move between stages.
#[derive(Clone, Debug)]
pub struct MoveRule {
    /// As it is published.
    pub name: Box<str>,
    /// The stages that the move may leave.
    pub from: StageMatch,
    /// The stages that the move may enter.
    pub to: StageMatch,
    /// What may have caused the move; `None` is anything.
    pub causes: Option<Causes>,
    /// What must hold at the instant of the move, after it.
    pub when: Option<Condition>,
    /// The direction published instead of the one that the journey gives. Entering or leaving a stage outside the journey
    /// stays an exit or a re-entry all the same.
    pub direction: Option<Direction>,
}

/// Which stages fit one side of a move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StageMatch {
    /// Bit i: the stage i fits.
    pub stages: u64,
    /// Whether having no stage fits.
    pub none: bool,
}

impl StageMatch {
    /// Everything fits, no stage included.
    pub const ANYTHING: Self = Self { stages: u64::MAX, none: true };

    /// Whether `stage` fits.
    #[must_use]
    pub fn fits(self, stage: Option<StageIndex>) -> bool {
        stage.map_or(self.none, |stage| self.stages >> stage.0 & 1 == 1)
    }
}

/// Which causes fit a move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Causes {
    /// The passing of time fits.
    pub time: bool,
    /// A touchpoint of one of these groups fits.
    pub groups: GroupSet,
}

/// Which way along the journey a move leads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// To a later stage of the journey, or to a first stage.
    Forward,
    /// To an earlier stage of the journey, or to none.
    Backward,
    /// Into a stage outside the journey.
    Exit,
    /// Out of a stage outside the journey.
    Reentry,
}

impl Direction {
    /// As it is published.
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

/// A condition beside the stages, published when it starts and when it stops to hold.
#[derive(Clone, Debug)]
pub struct Signal {
    /// As it is published.
    pub name: Box<str>,
    /// Identity across edits of the model.
    pub id: StableId,
    /// Holds while the signal is on.
    pub when: Condition,
}

/// A condition published once in a customer's life, when it first holds.
#[derive(Clone, Debug)]
pub struct Milestone {
    /// As it is published.
    pub name: Box<str>,
    /// Identity across edits of the model.
    pub id: StableId,
    /// What has to hold.
    pub when: Condition,
}

/// A number published each time it exceeds the highest published so far.
#[derive(Clone, Debug)]
pub struct Counter {
    /// As it is published.
    pub name: Box<str>,
    /// Identity across edits of the model.
    pub id: StableId,
    /// The number; an int.
    pub of: Condition,
    /// The least number that is published.
    pub from: i64,
}
