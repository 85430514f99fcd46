//! The vocabulary of a set of models: touchpoint types, groups of types, and properties.
//!
//! Contains only types, groups and properties that a fact or a rule reads. The model check builds it; afterwards it is
//! immutable.

use super::condition::Condition;
use super::id::{GroupIndex, TypeIndex};
use super::time::Timestamp;
use super::touchpoint::Touchpoint;
use super::value::{Horizon, Type};

/// A set of groups: bit i is the group with index i.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GroupSet(u128);

impl GroupSet {
    /// The limit of groups that a set of models may read.
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

    /// Whether the sets have a group in common.
    #[must_use]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the groups in order of index.
    pub fn iter(self) -> impl Iterator<Item = GroupIndex> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let index = u8::try_from(rest.trailing_zeros()).ok().filter(|&index| index < 128)?;
            rest &= rest - 1;
            Some(GroupIndex(index))
        })
    }
}

/// A group of touchpoint types, optionally with a condition on properties. A single type is a group of one.
#[derive(Clone, Debug)]
pub struct Group {
    /// The name in conditions. The group of all touchpoints is `any`.
    pub name: Box<str>,
    /// The condition for a touchpoint to belong to the group. Its slots are property indices.
    pub condition: Option<Condition>,
}

/// A property that a fact or a group condition reads.
#[derive(Clone, Debug)]
pub struct Property {
    /// The name of the field, in `properties` or at the top level of the touchpoint.
    pub name: Box<str>,
    /// The type. Values of another type are treated as absent.
    pub value_type: Type,
}

/// The vocabulary of a set of models.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// Type names by index. Index 0 is the unknown type, with the empty name.
    pub types: Vec<Box<str>>,
    /// The groups that facts and rules read, by index.
    pub groups: Vec<Group>,
    /// By type index: the groups that a touchpoint of this type may belong to.
    pub groups_of_type: Vec<GroupSet>,
    /// The groups with a condition.
    pub conditional: GroupSet,
    /// The properties, by index.
    pub properties: Vec<Property>,
}

impl Vocabulary {
    /// Returns the type `name`, or the unknown type.
    #[must_use]
    pub fn type_index(&self, name: &str) -> TypeIndex {
        let index = self.types.iter().position(|known| **known == *name);
        index.and_then(|index| u16::try_from(index).ok()).map_or(TypeIndex::UNKNOWN, TypeIndex)
    }

    /// Returns the groups that `touchpoint` belongs to, after evaluating their conditions.
    #[must_use]
    pub fn groups_of(&self, touchpoint: &Touchpoint<'_>) -> GroupSet {
        let candidates = self.groups_of_type[usize::from(touchpoint.kind.0)];
        if !candidates.intersects(self.conditional) {
            return candidates;
        }
        let mut groups = GroupSet::default();
        for group in candidates.iter() {
            let holds = self.groups[usize::from(group.0)].condition.as_ref().is_none_or(|condition| {
                // Properties do not change with time, so the instant does not matter.
                let now = Timestamp::from_millis(0);
                condition.program.holds(touchpoint, now, &mut Horizon::NEVER.clone())
            });
            if holds {
                groups.insert(group);
            }
        }
        groups
    }
}
