//! The consumer group: who is in it, and whether somebody is who should not be. Pure: compares what the cluster said.

use std::collections::{BTreeMap, BTreeSet};

use crate::kafka::group::Group;

use super::check::{Check, Verdict};

const ABOUT: &str = "group";

/// Looks at the members of the group that shares out `partitions` partitions.
pub(super) fn members(name: &str, group: &Group, partitions: i32) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut add = |verdict, what: String, to_do: &str| checks.push(Check::new(verdict, ABOUT, name, what, to_do));
    if group.members.is_empty() {
        return vec![Check::passed(ABOUT, name, "nobody is a member: the service does not run")];
    }
    let mut counts = BTreeMap::<&str, usize>::new();
    for member in &group.members {
        // Behind `@` stands where the instance answers questions, which twins on two machines do not share.
        let name = member.client_id.split_once('@').map_or(&*member.client_id, |(name, _)| name);
        *counts.entry(name).or_default() += 1;
    }
    let strangers: Vec<_> = counts.keys().filter(|it| !it.starts_with("lifecycle-")).collect();
    if !strangers.is_empty() {
        add(
            Verdict::Problem,
            format!("another program is in the group: its members are called {strangers:?}"),
            "give the service a kafka.group_id of its own: what others read of the group's share is never counted",
        );
    }
    let twins: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).map(|(name, _)| name).collect();
    if !twins.is_empty() {
        add(
            Verdict::Problem,
            format!("several members are called {twins:?}"),
            "give each instance a kafka.instance_id of its own: two of one name shut each other out; a member that was just \
             killed and started again stays listed until its session ends",
        );
    }
    if !group.protocol.is_empty() && group.protocol != "cooperative-sticky" {
        add(
            Verdict::Problem,
            format!("partitions are shared out by {}", group.protocol),
            "stop the other program that uses this group, or give the service a kafka.group_id of its own",
        );
    }
    if group.state == "Stable" {
        let held: BTreeSet<i32> =
            group.members.iter().filter_map(|it| it.partitions.as_ref()).flatten().copied().collect();
        let free: Vec<i32> = (0..partitions).filter(|it| !held.contains(it)).collect();
        if !free.is_empty() {
            add(
                Verdict::Warning,
                format!("nobody has the partitions {free:?}"),
                "ask again in a minute: members learn of new partitions with a delay",
            );
        }
        let idle = group.members.iter().filter(|it| it.partitions.as_ref().is_none_or(Vec::is_empty)).count();
        if idle > 0 {
            add(
                Verdict::Warning,
                format!("{idle} of {} members have no partition", group.members.len()),
                "run fewer instances or workers, or be content with spare ones: a partition has one worker",
            );
        }
    } else {
        add(
            Verdict::Warning,
            format!("it is sharing out its partitions just now ({})", group.state),
            "ask again in a minute; when it never ends, some member does not answer: look into the instances' logs",
        );
    }
    if checks.is_empty() {
        let who = |it: &crate::kafka::group::GroupMember| {
            format!("{} on {} has {}", it.client_id, it.host, it.partitions.as_ref().map_or(0, Vec::len))
        };
        let members: Vec<String> = group.members.iter().map(who).collect();
        checks.push(Check::passed(ABOUT, name, format!("{} members: {}", members.len(), members.join(", "))));
    }
    checks
}

#[cfg(test)]
mod tests {
    use crate::kafka::group::GroupMember;

    use super::*;

    fn member(client_id: &str, partitions: &[i32]) -> GroupMember {
        GroupMember {
            client_id: client_id.to_owned(),
            host: "10.0.0.1".to_owned(),
            partitions: Some(partitions.to_vec()),
        }
    }

    fn found(state: &str, protocol: &str, members: Vec<GroupMember>) -> Vec<(Verdict, String)> {
        let group = Group { state: state.to_owned(), protocol: protocol.to_owned(), members };
        super::members("lifecycle", &group, 4).into_iter().map(|it| (it.verdict, it.what)).collect()
    }

    #[test]
    fn a_group_at_work_is_described() {
        let members = vec![member("lifecycle-a-0", &[0, 1]), member("lifecycle-b-0", &[2, 3])];
        let found = found("Stable", "cooperative-sticky", members);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, Verdict::Passed);
        assert!(found[0].1.contains("lifecycle-b-0 on 10.0.0.1 has 2"), "{found:?}");
    }

    #[test]
    fn strangers_twins_and_another_protocol_are_problems() {
        let members = vec![member("lifecycle-a-0", &[0, 1]), member("lifecycle-a-0", &[2]), member("rdkafka", &[3])];
        let found = found("Stable", "range", members);
        assert_eq!(found.iter().filter(|it| it.0 == Verdict::Problem).count(), 3, "{found:?}");
    }

    #[test]
    fn free_partitions_and_idle_members_are_warnings() {
        let found = found(
            "Stable",
            "cooperative-sticky",
            vec![member("lifecycle-a-0", &[0, 1, 2]), member("lifecycle-b-0", &[])],
        );
        assert_eq!(found.iter().map(|it| it.0).collect::<Vec<_>>(), [Verdict::Warning, Verdict::Warning]);
        assert!(found[0].1.contains("[3]"), "{found:?}");
    }
}
