//! Checks the consumer group: foreign members, duplicate names, the assignor, unassigned partitions, idle members.
//!
//! Pure: evaluates a group description that the caller has fetched.

use std::collections::{BTreeMap, BTreeSet};

use crate::kafka::cluster::group::Group;

use crate::finding::{Finding, Severity};

const ABOUT: &str = "group";

/// Checks the members of the group that consumes a topic with `partitions` partitions.
pub(super) fn members(name: &str, group: &Group, partitions: i32) -> Vec<Finding> {
    let mut checks = Vec::new();
    let mut add = |severity, what: String, to_do: &str| checks.push(Finding::new(severity, ABOUT, name, what, to_do));
    if group.members.is_empty() {
        return vec![Finding::passed(ABOUT, name, "the group has no members: the service is not running")];
    }
    let mut counts = BTreeMap::<&str, usize>::new();
    for member in &group.members {
        // Ignore the suffix after `@`, the advertised HTTP address: it differs between two machines that wrongly have
        // the same instance id.
        let name = member.client_id.split_once('@').map_or(&*member.client_id, |(name, _)| name);
        *counts.entry(name).or_default() += 1;
    }
    let foreign: Vec<_> = counts.keys().filter(|it| !it.starts_with("lifecycle-")).collect();
    if !foreign.is_empty() {
        add(
            Severity::Problem,
            format!("another program is in the group, with members {foreign:?}"),
            "use a kafka.group_id that no other program uses: the service never receives touchpoints of partitions that are assigned to another program",
        );
    }
    let duplicates: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).map(|(name, _)| name).collect();
    if !duplicates.is_empty() {
        add(
            Severity::Problem,
            format!("several members have the names {duplicates:?}"),
            "give each instance its own kafka.instance_id: instances with the same id fence each other; after a crash and a \
             restart the old member stays listed until its session times out",
        );
    }
    if !group.protocol.is_empty() && group.protocol != "cooperative-sticky" {
        add(
            Severity::Problem,
            format!("the group uses the assignor {} instead of cooperative-sticky", group.protocol),
            "stop the other program that uses this group, or use a kafka.group_id that no other program uses",
        );
    }
    if group.state == "Stable" {
        let assigned: BTreeSet<i32> =
            group.members.iter().filter_map(|it| it.partitions.as_ref()).flatten().copied().collect();
        let unassigned: Vec<i32> = (0..partitions).filter(|it| !assigned.contains(it)).collect();
        if !unassigned.is_empty() {
            add(
                Severity::Warning,
                format!("partitions {unassigned:?} are not assigned to any member"),
                "run `lifecycle doctor` again in a minute: members discover new partitions with a delay",
            );
        }
        let idle = group.members.iter().filter(|it| it.partitions.as_ref().is_none_or(Vec::is_empty)).count();
        if idle > 0 {
            add(
                Severity::Warning,
                format!("{idle} of {} members have no partition", group.members.len()),
                "run fewer instances or workers, or keep them as standby: each partition is processed by one worker",
            );
        }
    } else {
        add(
            Severity::Warning,
            format!("the group is rebalancing ({})", group.state),
            "run `lifecycle doctor` again in a minute; if the rebalance does not end, a member does not respond: check the logs of the instances",
        );
    }
    if checks.is_empty() {
        let describe = |it: &crate::kafka::cluster::group::GroupMember| {
            format!("{} on {} has {}", it.client_id, it.host, it.partitions.as_ref().map_or(0, Vec::len))
        };
        let members: Vec<String> = group.members.iter().map(describe).collect();
        checks.push(Finding::passed(ABOUT, name, format!("{} members: {}", members.len(), members.join(", "))));
    }
    checks
}

#[cfg(test)]
mod tests {
    use crate::kafka::cluster::group::GroupMember;

    use super::*;

    fn member(client_id: &str, partitions: &[i32]) -> GroupMember {
        GroupMember {
            client_id: client_id.to_owned(),
            host: "10.0.0.1".to_owned(),
            partitions: Some(partitions.to_vec()),
        }
    }

    fn found(state: &str, protocol: &str, members: Vec<GroupMember>) -> Vec<(Severity, String)> {
        let group = Group { state: state.to_owned(), protocol: protocol.to_owned(), members };
        super::members("lifecycle", &group, 4).into_iter().map(|it| (it.severity, it.what)).collect()
    }

    #[test]
    fn the_members_of_a_stable_group_are_listed() {
        let members = vec![member("lifecycle-a-0", &[0, 1]), member("lifecycle-b-0", &[2, 3])];
        let found = found("Stable", "cooperative-sticky", members);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, Severity::Passed);
        assert!(found[0].1.contains("lifecycle-b-0 on 10.0.0.1 has 2"), "{found:?}");
    }

    #[test]
    fn foreign_members_duplicate_names_and_another_assignor_are_problems() {
        let members = vec![member("lifecycle-a-0", &[0, 1]), member("lifecycle-a-0", &[2]), member("rdkafka", &[3])];
        let found = found("Stable", "range", members);
        assert_eq!(found.iter().filter(|it| it.0 == Severity::Problem).count(), 3, "{found:?}");
    }

    #[test]
    fn unassigned_partitions_and_idle_members_are_warnings() {
        let found = found(
            "Stable",
            "cooperative-sticky",
            vec![member("lifecycle-a-0", &[0, 1, 2]), member("lifecycle-b-0", &[])],
        );
        assert_eq!(found.iter().map(|it| it.0).collect::<Vec<_>>(), [Severity::Warning, Severity::Warning]);
        assert!(found[0].1.contains("[3]"), "{found:?}");
    }
}
