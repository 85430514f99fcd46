//! Describes a consumer group: its state, its members, and the partitions assigned to each.
//!
//! The group coordinator provides the description. Joining the group is left to `group_consumer`.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::groups::GroupMemberInfo;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::admin::query_client;
use crate::kafka::context::Context;
use crate::kafka::error::Error;
use crate::kafka::member::{PartitionId, PartitionOffset};
use crate::kafka::settings::{CLIENT_ID_PREFIX, Cluster, client_id};

/// Timeout of a request to describe a group.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A consumer group as described by its coordinator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Kafka's group state: `Stable`, `PreparingRebalance`, `CompletingRebalance`, `Empty` or `Dead`.
    pub state: String,
    /// The partition assignor, such as `cooperative-sticky`; empty while the group has no members.
    pub protocol: String,
    /// The members in the coordinator's order.
    pub members: Vec<GroupMember>,
}

/// A member of a consumer group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupMember {
    /// Its `client.id`: `lifecycle-a-0`, or `lifecycle-a-0@10.0.0.5:8080` when the member advertises an address.
    pub client_id: String,
    /// The address it connects from.
    pub host: String,
    /// Its assigned partitions of the queried topic; `None` while the group is rebalancing.
    pub partitions: Option<Vec<PartitionId>>,
}

impl Group {
    /// Returns whether this service's member `name` is in the group.
    #[must_use]
    pub fn has_member(&self, name: &str) -> bool {
        self.members.iter().any(|it| it.is_named(name))
    }

    /// Returns the index of this service's member `name` among those of the service in order of the number of their
    /// partitions, then of their names; `None` when it is not in the group.
    pub(in crate::kafka) fn rank_by_partitions(&self, name: &str) -> Option<usize> {
        let ours = self.members.iter().filter(|it| it.client_id.starts_with(CLIENT_ID_PREFIX));
        let mut ours: Vec<&GroupMember> = ours.collect();
        ours.sort_by_key(|it| (it.partitions.as_ref().map_or(0, Vec::len), &it.client_id));
        ours.iter().position(|it| it.is_named(name))
    }
}

impl GroupMember {
    fn is_named(&self, name: &str) -> bool {
        let rest = self.client_id.strip_prefix(&client_id(name));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
    }

    /// Returns the address of the member's HTTP server, if it advertises one. The address is not trusted: any client
    /// that may join the group can set it.
    #[must_use]
    pub fn advertised_address(&self) -> Option<&str> {
        Some(self.client_id.strip_prefix(CLIENT_ID_PREFIX)?.rsplit_once('@')?.1)
    }
}

/// Describes the group, with its members' partitions of `topic`. A group that no member has ever joined is `Dead`.
///
/// # Errors
/// `Retry` when the cluster does not answer; `Fatal` when permissions are missing.
pub fn describe_group(cluster: &Cluster, group_id: &str, topic: &str) -> Result<Group, Error> {
    describe_group_with(&query_client(cluster)?, group_id, topic)
}

/// Commits offsets of `topics` with their metadata, all in one request. The group must have no members.
///
/// # Errors
/// `Retry` when the group coordinator does not answer; `Fatal` when it rejects the offsets, for example because the
/// group has members.
pub fn commit_offsets(
    cluster: &Cluster,
    group_id: &str,
    topics: &[(&str, &[(PartitionOffset, String)])],
) -> Result<(), Error> {
    let client: BaseConsumer<Context> = cluster
        .for_queries()
        .set("group.id", group_id)
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        .create_with_context(Context::default())
        .map_err(|error| Error::of_creation("commit_offsets", &error))?;
    let failed = |error: &KafkaError| Error::of_query("commit_offsets", error);
    let mut list = TopicPartitionList::new();
    let offsets = topics.iter().flat_map(|(topic, offsets)| offsets.iter().map(move |offset| (*topic, offset)));
    for (topic, (position, metadata)) in offsets {
        let mut element = list.add_partition(topic, position.partition);
        element.set_offset(Offset::Offset(position.offset)).map_err(|error| failed(&error))?;
        element.set_metadata(metadata);
    }
    client.commit(&list, CommitMode::Sync).map_err(|error| failed(&error))
}

/// Describes the group with an existing client.
pub(in crate::kafka) fn describe_group_with<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    group_id: &str,
    topic: &str,
) -> Result<Group, Error> {
    let list = client
        .fetch_group_list(Some(group_id), REQUEST_TIMEOUT)
        .map_err(|error| Error::of_query("describe_group", &error))?;
    let Some(found) = list.groups().iter().find(|it| it.name() == group_id) else {
        return Ok(Group { state: "Dead".to_owned(), protocol: String::new(), members: Vec::new() });
    };
    let member = |it: &GroupMemberInfo| GroupMember {
        client_id: it.client_id().to_owned(),
        host: it.client_host().trim_start_matches('/').to_owned(),
        partitions: it.assignment().filter(|it| !it.is_empty()).and_then(|it| parse_assignment(it, topic)),
    };
    Ok(Group {
        state: found.state().to_owned(),
        protocol: found.protocol().to_owned(),
        members: found.members().iter().map(member).collect(),
    })
}

/// Reads the partitions of `topic` from an assignment of Kafka's consumer protocol: a version, then for each topic its
/// name and its partitions. Returns `None` when the bytes have another format.
fn parse_assignment(bytes: &[u8], topic: &str) -> Option<Vec<PartitionId>> {
    let mut rest = bytes;
    let _version: [u8; 2] = take_bytes(&mut rest)?;
    let mut partitions = Vec::new();
    for _ in 0..i32::from_be_bytes(take_bytes(&mut rest)?) {
        let length = usize::try_from(i16::from_be_bytes(take_bytes(&mut rest)?)).ok()?;
        let name = rest.split_off(..length)?;
        for _ in 0..i32::from_be_bytes(take_bytes(&mut rest)?) {
            let partition = i32::from_be_bytes(take_bytes(&mut rest)?);
            if name == topic.as_bytes() {
                partitions.push(partition);
            }
        }
    }
    partitions.sort_unstable();
    Some(partitions)
}

fn take_bytes<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_found_by_its_name_and_may_advertise_an_address() {
        let member =
            |client_id: &str| GroupMember { client_id: client_id.into(), host: String::new(), partitions: None };
        let members = vec![member("lifecycle-a-0@10.0.0.5:8080"), member("lifecycle-b-10"), member("other@evil:1")];
        let advertised: Vec<_> = members.iter().map(GroupMember::advertised_address).collect();
        assert_eq!(advertised, [Some("10.0.0.5:8080"), None, None]);
        let group = Group { state: "Stable".into(), protocol: String::new(), members };
        assert!(group.has_member("a-0") && group.has_member("b-10"));
        assert!(!group.has_member("b-1") && !group.has_member("a"));
    }

    #[test]
    fn an_assignment_lists_the_partitions_of_each_topic() {
        let mut bytes = vec![0, 1, 0, 0, 0, 2];
        for (topic, partitions) in [("other", vec![7]), ("in", vec![5, 2])] {
            bytes.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
            bytes.extend(topic.as_bytes());
            bytes.extend(i32::try_from(partitions.len()).unwrap().to_be_bytes());
            bytes.extend(partitions.iter().flat_map(|it: &i32| it.to_be_bytes()));
        }
        bytes.extend((-1_i32).to_be_bytes());
        assert_eq!(parse_assignment(&bytes, "in"), Some(vec![2, 5]));
        assert_eq!(parse_assignment(&bytes, "none"), Some(vec![]));
        for end in 0..bytes.len() - 4 {
            assert_eq!(parse_assignment(&bytes[..end], "in"), None, "cut at {end}");
        }
    }
}
