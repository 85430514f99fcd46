//! One partition as a deterministic state machine: the same inputs always produce the same effects.
//!
//! Pure and synchronous. The runtime passes in [`Input`]s, publishes the [`Effects`], and reports whether the
//! transaction was committed or aborted. Until it is committed, every change can be undone.

mod changelog_batch;
mod clock;
mod customers;
mod effects;
pub mod entry_of_changelog;
mod hand_over;
mod identity;
mod identity_end;
mod identity_split;
mod input;
mod layout_migration;
mod listing;
mod machine;
mod published_standing;
mod record;
mod refused_link;
mod removal;
mod snapshot;
mod stage_counts;
mod view;
mod wake_ups;

pub use changelog_batch::{ChangelogBatch, RestoreCounts, RestoreError, StoredLayout, StoredModel};
pub use clock::Clock;
pub use effects::{Effects, Tally};
pub use hand_over::{Forwarding, HandOver, Link, Message};
pub use input::{DeadLetter, DeadLetterReason, Input, Position};
pub use listing::{StageCursor, StagePage};
pub use machine::Partition;
pub use published_standing::PublishedStanding;
pub use refused_link::{RefusalReason, RefusedLink};
pub use snapshot::{Forecast, Snapshot};
pub use view::{ConditionView, CustomerView, ExplanationView, FactView, ModelView};
