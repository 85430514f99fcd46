//! Faults to plant in a cluster: offsets, topics and groups as they should not be.

use futures_executor::block_on;
use rdkafka::admin::{AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::broker::{PATIENCE, admin, admin_options, config, until};

/// Commits an offset with a text beside it, as a member of `group` does.
pub(crate) fn commit(group: &str, topic: &str, partition: i32, offset: i64, text: &str) {
    let consumer: BaseConsumer = config().set("group.id", group).create().expect("a consumer");
    let list = list_of(topic, partition, offset, text);
    consumer.commit(&list, CommitMode::Sync).expect("the offset is committed");
}

fn list_of(topic: &str, partition: i32, offset: i64, text: &str) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    let mut element = list.add_partition(topic, partition);
    element.set_offset(Offset::Offset(offset)).expect("a valid offset");
    element.set_metadata(text);
    list
}

/// Has `producer` hold an offset of `group`, with a text beside it, in its open transaction.
pub(crate) fn commit_within(
    producer: &BaseProducer,
    group: &str,
    topic: &str,
    partition: i32,
    offset: i64,
    text: &str,
) {
    let consumer: BaseConsumer = config().set("group.id", group).create().expect("a consumer");
    let list = list_of(topic, partition, offset, text);
    let stranger = consumer.group_metadata().expect("a group");
    producer.send_offsets_to_transaction(&list, &stranger, PATIENCE).expect("the offset is taken");
}

/// Deletes a group with its offsets, as their expiry does.
pub(crate) fn delete_group(group: &str) {
    for result in block_on(admin().delete_groups(&[group], &admin_options())).expect("the broker answers") {
        result.expect("the group is deleted");
    }
}

/// Gives a topic more partitions.
pub(crate) fn add_partitions(topic: &str, count: usize) {
    let more = NewPartitions::new(topic, count);
    for result in block_on(admin().create_partitions([&more], &admin_options())).expect("the broker answers") {
        result.expect("the partitions are added");
    }
}

/// Gives a topic these settings and no others.
pub(crate) fn alter_topic(topic: &str, settings: &[(&str, &str)]) {
    let none = AlterConfig::new(ResourceSpecifier::Topic(topic));
    let change = settings.iter().fold(none, |change, (name, value)| change.set(name, value));
    for result in block_on(admin().alter_configs([&change], &admin_options())).expect("the broker answers") {
        result.expect("the setting is changed");
    }
}

/// Another program that joins `group`, as long as the value lives.
pub(crate) fn join(group: &str, topic: &str) -> BaseConsumer {
    let consumer: BaseConsumer =
        config().set("group.id", group).set("session.timeout.ms", "30000").create().expect("a consumer");
    consumer.subscribe(&[topic]).expect("a subscription");
    until("the group gives it partitions", || {
        drop(consumer.poll(std::time::Duration::from_millis(50)));
        consumer.assignment().is_ok_and(|it| it.count() > 0).then_some(())
    });
    consumer
}
