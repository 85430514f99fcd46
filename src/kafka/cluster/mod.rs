//! Requests about the cluster, outside the group and its transactions: topics, brokers, offsets, permissions.
//!
//! For the commands `topics` and `doctor` and for the checks at startup. Nothing here changes what a member has read or
//! written, except [`admin::create_topics`] and the truncation of a changelog.

pub mod admin;
pub mod api_versions;
pub mod group;
pub mod inspector;
pub mod permission_probe;
pub mod topic_scan;

mod topic_check;
