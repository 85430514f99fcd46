//! The worker: turns consumed records into committed transactions.
//!
//! One thread owns one group member and its assigned partitions. `worker` is the processing loop, `batch` and
//! `commit` write the pending changes in one transaction, `rebalance` and `restore` handle partitions that are
//! assigned and revoked. The customers of a partition are kept by `partition`; models are evaluated by `lifecycle`.

mod assigned_partition;
mod batch;
mod changelog_range;
mod commit;
mod fatal;
mod fetch_state;
mod memory_budget;
mod mismatch;
mod options;
mod pending_counts;
mod query;
mod rebalance;
mod recent_transitions;
mod record_builder;
mod recovery;
mod restore;
mod restore_progress;
mod stopwatch;
mod wall_clock;
mod watermark;
mod worker;

pub use fatal::Fatal;
pub use memory_budget::MemoryBudget;
pub use mismatch::{LogRanges, Mismatch, PartitionLog, StartingPoint, find_starting_point};
pub use options::{ClockSource, Options, SweepOptions, Topics};
pub use query::{CustomerAnswer, Query};
pub use recent_transitions::{CommittedTransition, RecentTransitions, TransitionPage, publication_mode};
pub use stopwatch::Activity;
pub use wall_clock::{Moment, WallClock};
pub use worker::Worker;
