//! A transition as it is published: with the wall time, the mode and the currency, which are known only at publication.

use crate::lifecycle::model::Model;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::Currency;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::Transition;

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
}

impl Publication<'_> {
    /// Returns the transition's model.
    pub(super) fn model(&self) -> &Model {
        self.models.model(self.transition.model)
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
