//! A transition as it is published: with the wall time, the mode and the currency, which are known only at publication.

use super::transition_value::Attributes;
use crate::lifecycle::model::Model;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::Currency;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::{Reason, Transition};

/// A transition with everything that its record contains.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// What changed.
    pub transition: &'a Transition,
    /// The models that the transition's indices refer to.
    pub models: &'a ModelSet,
    /// The wall time of publication.
    pub detected_at: Timestamp,
    /// How consumers should treat it.
    pub mode: Mode,
    /// The currency of the customer's revenue.
    pub currency: Currency,
    /// How much of the reason the record contains.
    pub because: BecauseDetail,
}

/// How much of the reason a transition record contains.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BecauseDetail {
    /// The condition and the values that it read.
    #[default]
    Full,
    /// Only the condition.
    Condition,
    /// Nothing.
    None,
}

/// The format of the records that other programs read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RecordFormat {
    /// JSON, the mapping in `docs/contracts.md`.
    #[default]
    Json,
    /// Protobuf, the messages in `proto/lifecycle/v1`.
    Protobuf,
}

impl RecordFormat {
    /// Returns the media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/protobuf",
        }
    }
}

impl Publication<'_> {
    /// Returns the transition's model.
    pub(super) fn model(&self) -> &Model {
        self.models.model(self.transition.model)
    }

    /// Returns the condition that explains the new standing, unless the record leaves it out; none does if no stage's
    /// condition holds.
    pub(super) fn reason(&self) -> Option<&Reason> {
        self.transition.because.as_ref().filter(|_| self.because != BecauseDetail::None)
    }

    /// Returns the attributes that the record contains.
    pub(super) fn attributes(&self) -> Option<Attributes<'_>> {
        let values = self.transition.attributes.as_deref()?;
        Some(Attributes { attributes: &self.models.attributes, values })
    }

    /// Whether the record contains the values that the condition read.
    pub(super) fn has_values(&self) -> bool {
        self.because == BecauseDetail::Full
    }
}

/// Returns the value of the field `to` for a signal.
pub(super) const fn signal_word(on: bool) -> &'static str {
    if on { "started" } else { "stopped" }
}

/// How consumers should treat a transition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mode {
    /// A current change.
    Live,
    /// A change in the past, found while processing history; campaigns should not act on it.
    Replay,
    /// A change that an added or edited model caused.
    Reconcile,
}

impl Mode {
    /// Returns the value of the field `mode`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Replay => "replay",
            Self::Reconcile => "reconcile",
        }
    }
}
