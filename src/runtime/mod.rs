//! The worker: what is read becomes what is committed.
//!
//! One thread owns one group member and its partitions. `worker` is the loop, `batch` and `commit` make one transaction of
//! what is pending, `assignment` and `restore` are about partitions that come and go. Nothing here knows what a stage is.

mod assignment;
mod batch;
mod board;
mod caught_up;
mod commit;
mod fatal;
mod held;
mod mismatch;
mod options;
mod progress;
mod publisher;
mod query;
mod recent;
mod recovery;
mod report;
mod restore;
mod scales;
mod stopwatch;
mod sweep;
mod uncounted;
mod wall_clock;
mod worker;

pub use board::{Board, Seen};
pub use fatal::Fatal;
pub use mismatch::{Found, Log, Logs, Mismatch, compare};
pub use options::{ClockSource, Options, SweepOptions, Topics};
pub use progress::RestoreProgress;
pub use query::{CustomerAnswer, PartitionStatus, Query, Status};
pub use recent::{Committed, Excerpt, Recent, mode};
pub use report::{Report, Sort};
pub use scales::Scales;
pub use stopwatch::{Activities, Activity};
pub use wall_clock::{Moment, WallClock};
pub use worker::Worker;
