//! The Kafka client layer: group members, transactions and topics. The only folder that uses rdkafka.
//!
//! It handles bytes and offsets and knows nothing about customers. [`Member`] is the interface between the worker's
//! loop and Kafka: a consumer group member together with its transactional producer. [`member`] implements it with
//! librdkafka; the tests implement it with a simulated log. [`TransactionalWriter`] writes in transactions without
//! being a group member, and [`subscriber`] is a plain group member for deliveries. [`cluster`] asks the cluster about
//! topics, brokers and groups; `tools` serves the demo and the generator. The other files are shared.

pub mod cluster;
pub mod error;
pub mod error_code;
pub mod member;
pub mod partitioner;
pub mod settings;
pub mod settings_updates;
pub mod subscriber;
#[cfg(feature = "tools")]
pub mod tools;

mod connection_check;
mod connection_error;
mod context;
mod exit;
mod listener;
mod log_throttle;
mod record_batch;
mod transactional_writer;

pub use error::{Error, Reaction};
pub use error_code::ErrorCode;
pub use exit::exit_process;
pub use log_throttle::CLIENT_LOG_THROTTLE;
pub use member::{
    Client, CommittedOffset, EndOffsets, Event, Member, PartitionId, PartitionOffset, ProducerRecord, Record,
    RecordHeader,
};
pub use record_batch::{RecordBatch, RecordRef, RecordWriter};
pub use settings::{Cluster, Options};
pub use settings_updates::SettingsUpdates;
pub use transactional_writer::TransactionalWriter;
