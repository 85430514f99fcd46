//! Changes that an operator or another program could make to a cluster by mistake: offsets, topics, groups and their
//! members.

use futures_executor::block_on;
use rdkafka::admin::{AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::broker::{TIMEOUT, admin, admin_options, config, until};

/// Commits an offset with metadata, as a member of `group`.
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

/// Adds an offset of `group` with metadata to the open transaction of `producer`.
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
    let member = consumer.group_metadata().expect("a group");
    producer.send_offsets_to_transaction(&list, &member, TIMEOUT).expect("the offset is sent");
}

/// Deletes a group and its offsets, which has the effect of their expiry.
pub(crate) fn delete_group(group: &str) {
    for result in block_on(admin().delete_groups(&[group], &admin_options())).expect("the broker answers") {
        result.expect("the group is deleted");
    }
}

/// Deletes a topic and creates it again with the same name, as an operator who wants an empty topic might.
pub(crate) fn recreate_topic(topic: &str, partitions: i32, configs: &[(&str, &str)]) {
    for result in block_on(admin().delete_topics(&[topic], &admin_options())).expect("the broker answers") {
        result.expect("the topic is deleted");
    }
    until("the topic is created again", || {
        let new =
            configs.iter().fold(NewTopic::new(topic, partitions, TopicReplication::Fixed(1)), |new, (name, value)| {
                new.set(name, value)
            });
        let results = block_on(admin().create_topics([&new], &admin_options())).expect("the broker answers");
        results.iter().all(Result::is_ok).then_some(())
    });
}

/// Returns the committed offset of `group` for a partition, once it is stable.
pub(crate) fn committed(group: &str, topic: &str, partition: i32) -> Option<i64> {
    let consumer: BaseConsumer = config().set("group.id", group).create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let committed = consumer.committed_offsets(list, TIMEOUT).expect("the broker answers");
    match committed.elements()[0].offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

/// Increases the partition count of a topic.
pub(crate) fn add_partitions(topic: &str, count: usize) {
    let more = NewPartitions::new(topic, count);
    for result in block_on(admin().create_partitions([&more], &admin_options())).expect("the broker answers") {
        result.expect("the partitions are added");
    }
}

/// Replaces all settings of a topic.
pub(crate) fn alter_topic(topic: &str, settings: &[(&str, &str)]) {
    let none = AlterConfig::new(ResourceSpecifier::Topic(topic));
    let change = settings.iter().fold(none, |change, (name, value)| change.set(name, value));
    for result in block_on(admin().alter_configs([&change], &admin_options())).expect("the broker answers") {
        result.expect("the setting is changed");
    }
}

/// Joins `group` as another program would. The member leaves when the consumer is dropped.
pub(crate) fn join(group: &str, topic: &str) -> BaseConsumer {
    let consumer: BaseConsumer =
        config().set("group.id", group).set("session.timeout.ms", "30000").create().expect("a consumer");
    consumer.subscribe(&[topic]).expect("a subscription");
    until("it is assigned partitions", || {
        drop(consumer.poll(std::time::Duration::from_millis(50)));
        consumer.assignment().is_ok_and(|it| it.count() > 0).then_some(())
    });
    consumer
}
