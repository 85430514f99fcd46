//! The words of a set of models: touchpoint types, the groups they stand in, the properties that are read.
//!
//! Holds only what some fact or rule reads. Built by the model check, then never changed.

use std::collections::HashMap;

use super::condition::Condition;
use super::id::{GroupIndex, PropertyIndex, TypeIndex};
use super::time::Timestamp;
use super::touchpoint::Touchpoint;
use super::value::{Horizon, Type};

/// A set of groups, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GroupSet(u128);

impl GroupSet {
    /// How many groups a set of models may read.
    pub const GROUPS_MAX: usize = 128;

    /// Adds a group.
    pub fn insert(&mut self, group: GroupIndex) {
        self.0 |= 1 << group.0;
    }

    /// Whether `group` is in the set.
    #[must_use]
    pub fn contains(self, group: GroupIndex) -> bool {
        self.0 >> group.0 & 1 == 1
    }

    /// Whether the sets share a group.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The groups, by index.
    pub fn iter(self) -> impl Iterator<Item = GroupIndex> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let index = u8::try_from(rest.trailing_zeros()).ok().filter(|&index| index < 128)?;
            rest &= rest - 1;
            Some(GroupIndex(index))
        })
    }
}

/// A group of touchpoint types, perhaps with a condition on properties. A type by itself is a group of one.
#[derive(Clone, Debug)]
pub struct Group {
    /// As conditions name it; the group of every touchpoint is `any`.
    pub name: Box<str>,
    /// Holds for the touchpoints that count; its slots are property indices.
    pub condition: Option<Condition>,
}

/// A property that some fact or group condition reads.
#[derive(Clone, Debug)]
pub struct Property {
    /// The field's name in `properties` or at the top level of the touchpoint.
    pub name: Box<str>,
    /// Values of another type count as absent.
    pub value_type: Type,
}

/// The words of a set of models.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// Type names by index; 0 is the unknown type, named by the empty string.
    pub types: Vec<Box<str>>,
    /// The index of each known type.
    pub type_indices: HashMap<Box<str>, TypeIndex>,
    /// The groups that facts and rules read, by index.
    pub groups: Vec<Group>,
    /// By type index: the groups that a touchpoint of this type may stand in.
    pub groups_of_type: Vec<GroupSet>,
    /// The groups that have a condition.
    pub conditional: GroupSet,
    /// The properties that are read, by index.
    pub properties: Vec<Property>,
    /// The index of each property that is read.
    pub property_indices: HashMap<Box<str>, PropertyIndex>,
}

impl Vocabulary {
    /// The type called `name`, or the unknown type.
    #[must_use]
    pub fn type_index(&self, name: &str) -> TypeIndex {
        self.type_indices.get(name).copied().unwrap_or(TypeIndex::UNKNOWN)
    }

    /// The groups that `touchpoint` stands in, conditions included.
    #[must_use]
    pub fn groups_of(&self, touchpoint: &Touchpoint<'_>) -> GroupSet {
        let candidates = self.groups_of_type[usize::from(touchpoint.kind.0)];
        if !candidates.meets(self.conditional) {
            return candidates;
        }
        let mut groups = GroupSet::default();
        for group in candidates.iter() {
            let holds = self.groups[usize::from(group.0)].condition.as_ref().is_none_or(|condition| {
                // Properties do not change with time, so the instant does not matter.
                let now = Timestamp::from_millis(0);
                condition.program.evaluate(touchpoint, now, &mut Horizon::NEVER.clone()).is_true()
            });
            if holds {
                groups.insert(group);
            }
        }
        groups
    }
}
