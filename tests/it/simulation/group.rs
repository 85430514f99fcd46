//! The consumer group: who has which partition, how it changes hands step by step, and which generation counts.

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
    /// Changes with every assignment; a commit under an older one is refused.
    generation: u64,
    next_member: MemberId,
}

#[derive(Default)]
struct Membership {
    name: String,
    events: VecDeque<Event>,
    revoking: BTreeSet<PartitionId>,
    /// The generation that the member has heard of.
    generation: u64,
    is_expelled: bool,
    /// Whether the member knows that it is expelled.
    has_heard: bool,
}

impl Group {
    pub(crate) fn new(partitions: PartitionId) -> Self {
        Self { partitions, members: BTreeMap::new(), owners: BTreeMap::new(), shift: 0, generation: 0, next_member: 1 }
    }

    pub(crate) fn join(&mut self, name: &str) -> MemberId {
        let member = self.next_member;
        self.next_member += 1;
        self.members.insert(member, Membership { name: name.to_owned(), ..Membership::default() });
        self.rebalance();
        member
    }

    /// Joins under the name of a static member that has died, and takes over what it had. `None` when the group does not
    /// know the dead one any more.
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
            self.tell(member, Event::Gained(owned));
        }
        self.rebalance();
        Some(member)
    }

    /// The member goes, by itself or because it was not heard of.
    pub(crate) fn remove(&mut self, member: MemberId) {
        self.members.remove(&member);
        self.owners.retain(|_, owner| *owner != member);
        self.rebalance();
    }

    /// The member was not heard of, but is alive: others get its partitions before it learns of that.
    pub(crate) fn expel(&mut self, member: MemberId) {
        let owned = self.owned(member);
        let Some(membership) = self.members.get_mut(&member).filter(|membership| !membership.is_expelled) else {
            return;
        };
        membership.events = VecDeque::from([Event::Lost(owned)]);
        membership.revoking.clear();
        membership.is_expelled = true;
        membership.has_heard = false;
        self.owners.retain(|_, owner| *owner != member);
        self.rebalance();
    }

    /// Has partitions change hands.
    pub(crate) fn turn(&mut self) {
        self.shift += 1;
        self.rebalance();
    }

    /// Whether the member has heard of the group's generation.
    pub(crate) fn is_current(&self, member: MemberId) -> bool {
        self.members
            .get(&member)
            .is_some_and(|membership| !membership.is_expelled && membership.generation == self.generation)
    }

    /// Whether the group counts on a member of this name.
    pub(crate) fn has_member(&self, name: &str) -> bool {
        self.members.values().any(|membership| !membership.is_expelled && membership.name == name)
    }

    pub(crate) fn owns(&self, member: MemberId, partition: PartitionId) -> bool {
        self.owners.get(&partition) == Some(&member)
    }

    pub(crate) fn events(&mut self, member: MemberId) -> Vec<Event> {
        let Some(membership) = self.members.get_mut(&member) else { return Vec::new() };
        membership.generation = self.generation;
        membership.has_heard = membership.is_expelled;
        membership.events.drain(..).collect()
    }

    pub(crate) fn release(&mut self, member: MemberId, partitions: &[PartitionId]) {
        let Some(membership) = self.members.get_mut(&member) else { return };
        if membership.is_expelled && !membership.has_heard {
            // Given up too late: the group has given them away, and the news of that is on its way.
            for event in &mut membership.events {
                if let Event::Lost(lost) = event {
                    lost.retain(|partition| !partitions.contains(partition));
                }
            }
            return;
        }
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

    fn owned(&self, member: MemberId) -> Vec<PartitionId> {
        self.owners.iter().filter(|(_, owner)| **owner == member).map(|(&partition, _)| partition).collect()
    }

    fn rebalance(&mut self) {
        let present: Vec<_> =
            self.members.iter().filter(|(_, membership)| !membership.is_expelled).map(|(&member, _)| member).collect();
        if present.is_empty() {
            return;
        }
        let mut has_changed = false;
        for partition in 0..self.partitions {
            let place = usize::try_from(partition).expect("no negative partitions") + self.shift;
            let target = present[place % present.len()];
            match self.owners.get(&partition).copied() {
                None => {
                    self.owners.insert(partition, target);
                    self.tell(target, Event::Gained(vec![partition]));
                    has_changed = true;
                }
                Some(owner) if owner != target => {
                    let membership = self.members.get_mut(&owner).expect("an owner is a member");
                    if membership.revoking.insert(partition) {
                        self.tell(owner, Event::Revoked(vec![partition]));
                        has_changed = true;
                    }
                }
                Some(_) => {}
            }
        }
        self.generation += u64::from(has_changed);
    }

    fn tell(&mut self, member: MemberId, event: Event) {
        self.members.get_mut(&member).expect("a member is told").events.push_back(event);
    }
}
