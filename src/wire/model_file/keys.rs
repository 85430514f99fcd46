//! The keys of model files and catalogues. Both the reader and the JSON Schema are built from these tables.

use crate::lifecycle::model::Direction;
use crate::lifecycle::value::Type;

/// The keys of one kind of mapping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    /// What the mapping describes, for messages: `a stage`.
    pub(crate) what: &'static str,
    /// All allowed keys.
    pub(crate) known: &'static [&'static str],
    /// The keys that must be present.
    pub(crate) required: &'static [&'static str],
}

pub(crate) const MODEL: Keys = Keys {
    what: "a model",
    known: &[
        "model",
        "version",
        "title",
        "description",
        "journey",
        "parameters",
        "types",
        "touchpoints",
        "facts",
        "conditions",
        "stages",
        "transitions",
        "signals",
        "milestones",
        "counters",
    ],
    required: &["model"],
};
pub(super) const CATALOGUE: Keys =
    Keys { what: "a catalogue", known: &["catalogue", "types", "groups"], required: &["catalogue"] };
pub(super) const STAGE: Keys =
    Keys { what: "a stage", known: &["stage", "title", "description", "when"], required: &["stage", "when"] };
pub(super) const SIGNAL: Keys =
    Keys { what: "a signal", known: &["signal", "description", "when"], required: &["signal", "when"] };
pub(super) const MILESTONE: Keys =
    Keys { what: "a milestone", known: &["milestone", "description", "when"], required: &["milestone", "when"] };
pub(super) const COUNTER: Keys =
    Keys { what: "a counter", known: &["counter", "description", "of", "from"], required: &["counter", "of"] };
pub(super) const TRANSITION: Keys = Keys {
    what: "a transition",
    known: &["name", "from", "to", "cause", "when", "direction", "description"],
    required: &["name"],
};
pub(super) const TYPE: Keys = Keys { what: "a touchpoint type", known: &["description", "properties"], required: &[] };
pub(super) const GROUP: Keys = Keys {
    what: "a group",
    known: &["description", "types", "groups", "except", "where", "properties"],
    required: &[],
};
pub(super) const PROPERTY: Keys =
    Keys { what: "a property", known: &["type", "unit", "description"], required: &["type"] };

/// The types that a property can have.
pub(super) const TYPES: [Type; 6] =
    [Type::Int, Type::Double, Type::Bool, Type::String, Type::Timestamp, Type::Duration];
/// The values of `direction`.
pub(super) const DIRECTIONS: [Direction; 4] =
    [Direction::Forward, Direction::Backward, Direction::Exit, Direction::Reentry];
