//! One partition as a deterministic machine: the same inputs give the same effects, always.
//!
//! Pure and synchronous. The runtime feeds it [`Input`]s, publishes its [`Effects`], and says whether the batch
//! was committed; until then every change can be undone.

mod batch;
mod clock;
mod customers;
mod effects;
mod input;
mod machine;
mod population;
mod record;
mod snapshot;
mod translation;
mod view;
mod wakeups;

pub use batch::{Batch, Restored, StoredLayout, StoredModel};
pub use clock::Clock;
pub use effects::{DeadLetter, Effects, Tally};
pub use input::{Input, Position, Reason, Rejected};
pub use machine::Partition;
pub use snapshot::{Forecast, Snapshot};
pub use view::{Because, CustomerView, FactView, ModelView, WhyView};
