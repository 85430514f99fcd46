//! Ingest: reads the records of a source, translates them to touchpoints, and writes these to the touchpoint topic with
//! the customer id as key, exactly once.
//!
//! An ingest worker is one thread with one group member, and reads one topic. One transaction holds the touchpoints,
//! the dead letters and the offsets of the source. `runtime::Translator` turns a record into touchpoints, `worker` is
//! the loop, `partition` the position of each partition, `record_builder` the records that are written.

mod options;
mod partition;
mod record_builder;
mod worker;

pub use options::Options;
pub use worker::IngestWorker;
