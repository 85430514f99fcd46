//! Topics: makes them, describes them, and finds what is wrong with them.

use std::time::Duration;

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error::{Error, Reaction};
use super::member::PartitionId;
use super::settings::Options;

/// How long the cluster may take for an act of administration.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);

fn connect(options: &Options) -> Result<AdminClient<DefaultClientContext>, Error> {
    options
        .for_questions()
        // Nothing takes this client's log lines from their queue.
        .set_log_level(RDKafkaLogLevel::Emerg)
        .create()
        .map_err(|error| Error::of_creation("admin", &error))
}

fn within(timeout: Duration) -> AdminOptions {
    AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout))
}

/// Deletes the records of a partition before `offset`. It is seldom done, so the connection is made for the occasion.
pub(super) fn delete_records(options: &Options, topic: &str, partition: PartitionId, offset: i64) -> Result<(), Error> {
    let retry = |error: &_| Error { reaction: Reaction::Retry, ..Error::of_question("delete_records", error) };
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).map_err(|error| retry(&error))?;
    let admin = connect(options)?;
    let answer = block_on(admin.delete_records(&list, &within(ADMIN_TIMEOUT))).map_err(|error| retry(&error))?;
    for element in answer.elements() {
        element.error().map_err(|error| retry(&error))?;
    }
    Ok(())
}
