//! The only folder that names rdkafka. Bytes and positions; knows no customer.
//!
//! [`Member`] is the one seam between the worker's loop and the log: a group member together with its
//! transactional producer. [`client`] implements it over librdkafka; the tests implement it over a
//! simulated log.

pub mod admin;
pub mod client;
pub mod error;
pub mod feed;
pub mod group;
pub mod inspect;
pub mod member;
pub mod mock;
pub mod settings;

mod changelog_reader;
mod group_reader;
mod listener;
pub mod probe;
mod producer;
mod read_position;
mod repeats;
mod succession;
mod topic_check;
mod topic_reader;
mod unanswered;
pub mod versions;
mod watchdog;

pub use client::Client;
pub use error::{Error, Reaction};
pub use member::{
    CommittedOffset, Event, Gained, Member, Outgoing, PartitionId, PartitionOffset, Record, RecordHeader,
};
pub use settings::{Cluster, Options};
