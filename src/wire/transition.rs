//! A transition on its way out: what is known only where it is published.

use crate::lifecycle::model::Model;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::Currency;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::Transition;

/// A transition with everything that its record says.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// What changed.
    pub transition: &'a Transition,
    /// The models that its indices mean.
    pub models: &'a ModelSet,
    /// Wall time.
    pub detected_at: Timestamp,
    /// On which occasion it is published.
    pub mode: Mode,
    /// The currency of revenue.
    pub currency: Currency,
}

impl Publication<'_> {
    /// The model that published.
    pub(super) fn model(&self) -> &Model {
        self.models.model(self.transition.model)
    }

    /// Whether some condition holds now that can be named.
    pub(super) fn has_reason(&self) -> bool {
        !self.transition.because.is_empty()
    }
}

/// What is published of a signal in place of a stage.
pub(super) const fn signal_word(on: bool) -> &'static str {
    if on { "started" } else { "stopped" }
}

/// On which occasion a transition is published.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mode {
    /// It is news.
    Live,
    /// It is old news: history that is worked off.
    Replay,
    /// An edited model says otherwise than was published.
    Reconcile,
}

impl Mode {
    /// As it is published.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Replay => "replay",
            Self::Reconcile => "reconcile",
        }
    }
}
