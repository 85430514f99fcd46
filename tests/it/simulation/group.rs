//! The group coordinator: members, assignment, cooperative rebalances and the group generation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lifecycle_processor::kafka::{Event, PartitionId};

/// Id of a member, never reused.
pub(crate) type MemberId = u64;

/// A group with cooperative rebalances: a member releases a partition before another member is assigned it.
pub(crate) struct Group {
    partitions: PartitionId,
    members: BTreeMap<MemberId, Membership>,
    owners: BTreeMap<PartitionId, MemberId>,
    /// Rotates the assignment, so that partitions change owners while the members stay the same.
    rotation: usize,
    /// Increases with every rebalance; an offset commit with an older generation is rejected.
    generation: u64,
    next_member: MemberId,
}

#[derive(Default)]
struct Membership {
    name: String,
    events: VecDeque<Event>,
    revoking: BTreeSet<PartitionId>,
    /// The generation that the member knows.
    generation: u64,
    is_expelled: bool,
    /// Whether the member has received the event that it is expelled.
    has_seen_expulsion: bool,
}

impl Group {
    pub(crate) fn new(partitions: PartitionId) -> Self {
        Self {
            partitions,
            members: BTreeMap::new(),
            owners: BTreeMap::new(),
            rotation: 0,
            generation: 0,
            next_member: 1,
        }
    }

    pub(crate) fn join(&mut self, name: &str) -> MemberId {
        let member = self.next_member;
        self.next_member += 1;
        self.members.insert(member, Membership { name: name.to_owned(), ..Membership::default() });
        self.rebalance();
        member
    }

    /// Joins with the instance id of a dead static member and is assigned its partitions. Returns `None` if the group
    /// has already removed the dead member.
    pub(crate) fn replace(&mut self, dead: MemberId) -> Option<MemberId> {
        let membership = self.members.remove(&dead)?;
        let member = self.next_member;
        self.next_member += 1;
        let name = membership.name;
        self.members.insert(member, Membership { name, ..Membership::default() });
        if membership.is_expelled {
            self.rebalance();
            return Some(member);
        }
        let owned = self.owned(dead);
        for partition in &owned {
            self.owners.insert(*partition, member);
        }
        self.generation += 1;
        if !owned.is_empty() {
            self.send_event(member, Event::Assigned(owned));
        }
        self.rebalance();
        Some(member)
    }

    /// Removes a member that left or whose session expired.
    pub(crate) fn remove(&mut self, member: MemberId) {
        self.members.remove(&member);
        self.owners.retain(|_, owner| *owner != member);
        self.rebalance();
    }

    /// Expels a live member whose session has expired. Other members are assigned its partitions before it receives the
    /// event.
    pub(crate) fn expel(&mut self, member: MemberId) {
        let owned = self.owned(member);
        let Some(membership) = self.members.get_mut(&member).filter(|membership| !membership.is_expelled) else {
            return;
        };
        membership.events = VecDeque::from([Event::Lost(owned)]);
        membership.revoking.clear();
        membership.is_expelled = true;
        membership.has_seen_expulsion = false;
        self.owners.retain(|_, owner| *owner != member);
        self.rebalance();
    }

    /// Makes partitions change owners.
    pub(crate) fn rotate_assignment(&mut self) {
        self.rotation += 1;
        self.rebalance();
    }

    /// Whether the member knows the current generation.
    pub(crate) fn is_current(&self, member: MemberId) -> bool {
        self.members
            .get(&member)
            .is_some_and(|membership| !membership.is_expelled && membership.generation == self.generation)
    }

    /// Whether the group has an active member of this name.
    pub(crate) fn has_member(&self, name: &str) -> bool {
        self.members.values().any(|membership| !membership.is_expelled && membership.name == name)
    }

    pub(crate) fn owns(&self, member: MemberId, partition: PartitionId) -> bool {
        self.owners.get(&partition) == Some(&member)
    }

    pub(crate) fn events(&mut self, member: MemberId) -> Vec<Event> {
        let Some(membership) = self.members.get_mut(&member) else { return Vec::new() };
        membership.generation = self.generation;
        membership.has_seen_expulsion = membership.is_expelled;
        membership.events.drain(..).collect()
    }

    pub(crate) fn release(&mut self, member: MemberId, partitions: &[PartitionId]) {
        let Some(membership) = self.members.get_mut(&member) else { return };
        if membership.is_expelled && !membership.has_seen_expulsion {
            // Too late: the partitions have other owners already, and the member has not received the event yet.
            for event in &mut membership.events {
                if let Event::Lost(lost) = event {
                    lost.retain(|partition| !partitions.contains(partition));
                }
            }
            return;
        }
        // A member rejoins when it releases its lost partitions.
        membership.is_expelled = false;
        for partition in partitions {
            membership.revoking.remove(partition);
            if self.owners.get(partition) == Some(&member) {
                self.owners.remove(partition);
            }
        }
        self.rebalance();
    }

    fn owned(&self, member: MemberId) -> Vec<PartitionId> {
        self.owners.iter().filter(|(_, owner)| **owner == member).map(|(&partition, _)| partition).collect()
    }

    fn rebalance(&mut self) {
        let active: Vec<_> =
            self.members.iter().filter(|(_, membership)| !membership.is_expelled).map(|(&member, _)| member).collect();
        if active.is_empty() {
            return;
        }
        let mut has_changed = false;
        for partition in 0..self.partitions {
            let position = usize::try_from(partition).expect("no negative partitions") + self.rotation;
            let target = active[position % active.len()];
            match self.owners.get(&partition).copied() {
                None => {
                    self.owners.insert(partition, target);
                    self.send_event(target, Event::Assigned(vec![partition]));
                    has_changed = true;
                }
                Some(owner) if owner != target => {
                    let membership = self.members.get_mut(&owner).expect("an owner is a member");
                    if membership.revoking.insert(partition) {
                        self.send_event(owner, Event::Revoked(vec![partition]));
                        has_changed = true;
                    }
                }
                Some(_) => {}
            }
        }
        self.generation += u64::from(has_changed);
    }

    fn send_event(&mut self, member: MemberId, event: Event) {
        self.members.get_mut(&member).expect("the member exists").events.push_back(event);
    }
}
