//! State shared by the models of a set during the check: the declarations, and the groups, properties and facts read so
//! far.

use std::collections::{BTreeSet, HashMap};

use super::declarations::Declarations;
use crate::lifecycle::condition::Condition;
use crate::lifecycle::fact::{FactLocation, Layout, RecentTimes};
use crate::lifecycle::id::{GroupIndex, PropertyIndex};
use crate::lifecycle::value::{Slot, Type};
use crate::lifecycle::vocabulary::{Group, GroupSet, Property, Vocabulary};

/// A vocabulary and a fact layout under construction. Groups, properties and facts are added when a condition first
/// reads them.
#[derive(Clone, Debug)]
pub(super) struct SharedState {
    /// Everything that the catalogue and the models declare.
    pub(super) declarations: Declarations,
    /// The facts read so far.
    pub(super) layout: Layout,
    groups: Vec<ReferencedGroup>,
    group_indices: HashMap<String, GroupIndex>,
    properties: Vec<Property>,
    property_indices: HashMap<Box<str>, PropertyIndex>,
}

#[derive(Clone, Debug)]
struct ReferencedGroup {
    group: Group,
    members: BTreeSet<u16>,
    canonical: String,
}

impl SharedState {
    /// Returns the smallest value of the fact in `slot`, if it is a count, and the largest, if the number of
    /// touchpoints kept limits it.
    pub(super) fn range(&self, slot: Slot) -> Option<(i64, Option<i64>)> {
        match self.layout.locations.get(usize::from(slot.0))? {
            FactLocation::CountWithin(..) => Some((0, i64::try_from(RecentTimes::WINDOW_MAX).ok())),
            FactLocation::Count(_) | FactLocation::OrdersCount | FactLocation::Streak(_) => Some((0, None)),
            _ => None,
        }
    }

    /// Returns whether the fact in `slot` is the time of a touchpoint.
    pub(super) fn is_touchpoint_time(&self, slot: Slot) -> bool {
        self.layout.locations.get(usize::from(slot.0)).is_some_and(|location| match location {
            FactLocation::Time(_)
            | FactLocation::OrdersFirst
            | FactLocation::OrdersLast
            | FactLocation::StreakStart(_)
            | FactLocation::FirstSinceLast(_) => true,
            FactLocation::Count(_)
            | FactLocation::Sum(_)
            | FactLocation::Latest(_)
            | FactLocation::CountWithin(..)
            | FactLocation::OrdersCount
            | FactLocation::OrdersRevenue
            | FactLocation::Streak(_) => false,
        })
    }

    pub(super) fn new(declarations: Declarations) -> Self {
        Self {
            declarations,
            layout: Layout::default(),
            groups: Vec::new(),
            group_indices: HashMap::new(),
            properties: Vec::new(),
            property_indices: HashMap::new(),
        }
    }

    /// Returns the index of the group with this canonical text, adding it if it is new; `None` if there are too many.
    pub(super) fn group(
        &mut self,
        canonical: String,
        name: &str,
        members: &BTreeSet<u16>,
        condition: Option<Condition>,
    ) -> Option<GroupIndex> {
        if let Some(&index) = self.group_indices.get(&canonical) {
            return Some(index);
        }
        if self.groups.len() >= GroupSet::GROUPS_MAX {
            return None;
        }
        let index = GroupIndex(u8::try_from(self.groups.len()).ok()?);
        self.group_indices.insert(canonical.clone(), index);
        self.groups.push(ReferencedGroup {
            group: Group { name: name.into(), condition },
            members: members.clone(),
            canonical,
        });
        Some(index)
    }

    /// Returns the members of a group as type indices.
    pub(super) fn members(&self, group: GroupIndex) -> &BTreeSet<u16> {
        &self.groups[usize::from(group.0)].members
    }

    /// Whether the group has a condition and so contains only some touchpoints of its types.
    pub(super) fn is_conditional(&self, group: GroupIndex) -> bool {
        self.groups[usize::from(group.0)].group.condition.is_some()
    }

    /// Returns the canonical text of the group, which does not depend on other declarations.
    pub(super) fn canonical(&self, group: GroupIndex) -> &str {
        &self.groups[usize::from(group.0)].canonical
    }

    /// Returns the name under which the group was first read.
    pub(super) fn name(&self, group: GroupIndex) -> &str {
        &self.groups[usize::from(group.0)].group.name
    }

    /// Returns the index and type of the declared property `name`; `None` if there are too many.
    pub(super) fn property(&mut self, name: &str) -> Option<(PropertyIndex, Type)> {
        let value_type = *self.declarations.property_types.get(name)?;
        if let Some(&index) = self.property_indices.get(name) {
            return Some((index, value_type));
        }
        let index = PropertyIndex(u16::try_from(self.properties.len()).ok()?);
        self.properties.push(Property { name: name.into(), value_type });
        self.property_indices.insert(name.into(), index);
        Some((index, value_type))
    }

    /// Returns the finished vocabulary and layout.
    pub(super) fn finish(mut self) -> (Vocabulary, Layout) {
        let mut groups_of_type = vec![GroupSet::default(); self.declarations.types.len()];
        let mut conditional = GroupSet::default();
        for (index, referenced) in (0_u8..).map(GroupIndex).zip(&self.groups) {
            for &member in &referenced.members {
                groups_of_type[usize::from(member)].insert(index);
            }
            if referenced.group.condition.is_some() {
                conditional.insert(index);
            }
        }
        // A group that is used only as a cause updates no fact, so its list is empty.
        self.layout.updates.resize(self.groups.len(), Vec::new());
        let vocabulary = Vocabulary {
            types: self.declarations.types,
            groups: self.groups.into_iter().map(|referenced| referenced.group).collect(),
            groups_of_type,
            conditional,
            properties: self.properties,
        };
        (vocabulary, self.layout)
    }
}
