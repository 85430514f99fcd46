//! The consumer group: who has which partition, and how it changes hands step by step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lifecycle_processor::kafka::{Event, PartitionId};

/// A member's number, never used again.
pub(crate) type MemberId = u64;

/// A group whose members give partitions up before others get them.
pub(crate) struct Group {
    partitions: PartitionId,
    members: BTreeMap<MemberId, Membership>,
    owners: BTreeMap<PartitionId, MemberId>,
    /// Turns the assignment round, so that partitions change hands while the members stay.
    shift: usize,
    next_member: MemberId,
}

#[derive(Default)]
struct Membership {
    events: VecDeque<Event>,
    revoking: BTreeSet<PartitionId>,
    is_expelled: bool,
}

impl Group {
    pub(crate) fn new(partitions: PartitionId) -> Self {
        Self { partitions, members: BTreeMap::new(), owners: BTreeMap::new(), shift: 0, next_member: 1 }
    }

    pub(crate) fn join(&mut self) -> MemberId {
        let member = self.next_member;
        self.next_member += 1;
        self.members.insert(member, Membership::default());
        self.rebalance();
        member
    }

    /// The member goes, by itself or because it was not heard of.
    pub(crate) fn remove(&mut self, member: MemberId) {
        self.members.remove(&member);
        self.owners.retain(|_, owner| *owner != member);
        self.rebalance();
    }

    /// The member was not heard of, but is alive: others get its partitions before it learns of that.
    pub(crate) fn expel(&mut self, member: MemberId) {
        let owned: Vec<_> =
            self.owners.iter().filter(|(_, owner)| **owner == member).map(|(&partition, _)| partition).collect();
        let Some(membership) = self.members.get_mut(&member).filter(|membership| !membership.is_expelled) else {
            return;
        };
        membership.events = VecDeque::from([Event::Lost(owned)]);
        membership.revoking.clear();
        membership.is_expelled = true;
        self.owners.retain(|_, owner| *owner != member);
        self.rebalance();
    }

    /// Has partitions change hands.
    pub(crate) fn turn(&mut self) {
        self.shift += 1;
        self.rebalance();
    }

    /// Whether the member's generation is the group's.
    pub(crate) fn is_member(&self, member: MemberId) -> bool {
        self.members.get(&member).is_some_and(|membership| !membership.is_expelled)
    }

    pub(crate) fn owns(&self, member: MemberId, partition: PartitionId) -> bool {
        self.owners.get(&partition) == Some(&member)
    }

    pub(crate) fn events(&mut self, member: MemberId) -> Vec<Event> {
        self.members.get_mut(&member).map(|membership| membership.events.drain(..).collect()).unwrap_or_default()
    }

    pub(crate) fn release(&mut self, member: MemberId, partitions: &[PartitionId]) {
        let Some(membership) = self.members.get_mut(&member) else { return };
        // Answering the loss, the member joins anew.
        membership.is_expelled = false;
        for partition in partitions {
            membership.revoking.remove(partition);
            if self.owners.get(partition) == Some(&member) {
                self.owners.remove(partition);
            }
        }
        self.rebalance();
    }

    fn rebalance(&mut self) {
        let present: Vec<_> =
            self.members.iter().filter(|(_, membership)| !membership.is_expelled).map(|(&member, _)| member).collect();
        if present.is_empty() {
            return;
        }
        for partition in 0..self.partitions {
            let place = usize::try_from(partition).expect("no negative partitions") + self.shift;
            let target = present[place % present.len()];
            match self.owners.get(&partition).copied() {
                None => {
                    self.owners.insert(partition, target);
                    self.tell(target, Event::Gained(vec![partition]));
                }
                Some(owner) if owner != target => {
                    let membership = self.members.get_mut(&owner).expect("an owner is a member");
                    if membership.revoking.insert(partition) {
                        self.tell(owner, Event::Revoked(vec![partition]));
                    }
                }
                Some(_) => {}
            }
        }
    }

    fn tell(&mut self, member: MemberId, event: Event) {
        self.members.get_mut(&member).expect("a member is told").events.push_back(event);
    }
}
