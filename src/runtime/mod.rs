//! The worker: turns consumed records into committed transactions.
//!
//! One thread owns one group member and its partitions. `worker` is the processing loop and connects the parts,
//! each of which owns its state: `assignment` and `assigned_partition` the partitions, `watermark` the time up to which
//! wake-ups may fire, `open_batch` the size of the pending changes, `transactions` and `commit` their transaction,
//! `restore` the newly assigned partitions, `hand_overs` the messages of other partitions, `memory_budget` the limit of
//! the state, `tracer` the spans of touchpoints, `direct_source` the touchpoints in another format.
//! The customers of a partition are kept by `partition`; models are evaluated by `lifecycle`.

mod assigned_partition;
mod assignment;
mod changelog_range;
mod commit;
mod direct_source;
mod fatal;
mod fetch_control;
mod hand_overs;
mod log_identity;
mod log_interval;
mod memory_budget;
mod meter;
mod mismatch;
mod open_batch;
mod options;
mod partition_commit;
mod partition_queries;
mod pending_counts;
mod pending_output;
mod publication_mode;
mod query;
mod recent_transitions;
mod record_applier;
mod record_builder;
mod recovery;
mod refused_links;
mod registry_wait;
mod restore;
mod restore_progress;
mod routes;
mod stopwatch;
mod tracer;
mod transactions;
mod translator;
mod unless_fatal;
mod wall_clock;
mod watermark;
mod worker;

pub use commit::{Outcome, transact};
pub use direct_source::{DirectSource, is_native};
pub use fatal::Fatal;
pub use fetch_control::FetchControl;
pub use log_interval::LogInterval;
pub use memory_budget::MemoryBudget;
pub use mismatch::{LogRanges, Mismatch, PartitionLog, Setup, StartingPoint, find_starting_point};
pub use open_batch::OpenBatch;
pub use options::{ClockSource, IdentitySetup, Options, PublishOptions, SchemaPrefixes, SweepOptions, Topics};
pub use publication_mode::publication_mode;
pub use query::{CustomerAnswer, Query, StageAnswer, StageRequest};
pub use recent_transitions::{CommittedTransition, RecentTransitions, TransitionPage};
pub use record_builder::{dead_letter_record, is_forwarded};
pub use recovery::{Recovery, Unresolved};
pub use refused_links::RefusedLinks;
pub use registry_wait::RegistryWait;
pub use routes::{RouteDraft, Routes};
pub use stopwatch::Activity;
pub use tracer::Tracer;
pub use translator::{KeyedTouchpoint, Translation, Translator};
pub use unless_fatal::unless_fatal;
pub use wall_clock::{Moment, WallClock};
pub use worker::Worker;
