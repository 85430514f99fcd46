//! The Kafka client layer: group members, transactions and topics. The only folder that uses rdkafka.
//!
//! It handles bytes and offsets and knows nothing about customers. [`Member`] is the interface between the worker's
//! loop and Kafka: a consumer group member together with its transactional producer. [`client`] implements it with
//! librdkafka; the tests implement it with a simulated log.

pub mod admin;
pub mod api_versions;
pub mod client;
pub mod error;
pub mod group;
pub mod inspector;
pub mod member;
pub mod mock_broker;
pub mod permission_probe;
pub mod plain_producer;
pub mod settings;

mod changelog_reader;
mod connection_error;
mod context;
mod group_consumer;
mod log_throttle;
mod producer;
mod read_position;
mod topic_check;
mod topic_reader;
mod watchdog;
mod zombie_fencing;

pub use client::Client;
pub use error::{Error, Reaction};
pub use member::{CommittedOffset, Event, Member, PartitionId, PartitionOffset, ProducerRecord, Record, RecordHeader};
pub use settings::{Cluster, Options};
