//! What the models of a set share while they are checked: the words, the groups that are read, the facts.

use std::collections::{BTreeSet, HashMap};

use super::words::Words;
use crate::lifecycle::condition::Condition;
use crate::lifecycle::fact::Layout;
use crate::lifecycle::id::{GroupIndex, PropertyIndex};
use crate::lifecycle::value::Type;
use crate::lifecycle::vocabulary::{Group, GroupSet, Property, Vocabulary};

/// A vocabulary and a layout that grow with each name that is read.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    /// Everything that is declared.
    pub(super) words: Words,
    /// The facts that are read.
    pub(super) layout: Layout,
    groups: Vec<ReadGroup>,
    group_indices: HashMap<String, GroupIndex>,
    properties: Vec<Property>,
    property_indices: HashMap<Box<str>, PropertyIndex>,
}

#[derive(Clone, Debug)]
struct ReadGroup {
    group: Group,
    members: BTreeSet<u16>,
    canonical: String,
}

impl Shared {
    pub(super) fn new(words: Words) -> Self {
        Self {
            words,
            layout: Layout::default(),
            groups: Vec::new(),
            group_indices: HashMap::new(),
            properties: Vec::new(),
            property_indices: HashMap::new(),
        }
    }

    /// The index of the group that `canonical` describes, made if it is new; `None` when there are too many.
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
        self.groups.push(ReadGroup {
            group: Group { name: name.into(), condition },
            members: members.clone(),
            canonical,
        });
        Some(index)
    }

    /// The members of a group that is read.
    pub(super) fn members(&self, group: GroupIndex) -> &BTreeSet<u16> {
        &self.groups[usize::from(group.0)].members
    }

    /// Whether the group takes only some touchpoints of its types.
    pub(super) fn is_conditional(&self, group: GroupIndex) -> bool {
        self.groups[usize::from(group.0)].group.condition.is_some()
    }

    /// What the group is, spelled out so that it means the same whatever else is declared.
    pub(super) fn canonical(&self, group: GroupIndex) -> &str {
        &self.groups[usize::from(group.0)].canonical
    }

    /// As the first model that reads the group names it.
    pub(super) fn name(&self, group: GroupIndex) -> &str {
        &self.groups[usize::from(group.0)].group.name
    }

    /// The index and type of the declared property `name`; `None` when there are too many.
    pub(super) fn property(&mut self, name: &str) -> Option<(PropertyIndex, Type)> {
        let value_type = *self.words.property_types.get(name)?;
        if let Some(&index) = self.property_indices.get(name) {
            return Some((index, value_type));
        }
        let index = PropertyIndex(u16::try_from(self.properties.len()).ok()?);
        self.properties.push(Property { name: name.into(), value_type });
        self.property_indices.insert(name.into(), index);
        Some((index, value_type))
    }

    /// The finished vocabulary and layout.
    pub(super) fn finish(mut self) -> (Vocabulary, Layout) {
        let mut groups_of_type = vec![GroupSet::default(); self.words.types.len()];
        let mut conditional = GroupSet::default();
        for (index, read) in (0_u8..).map(GroupIndex).zip(&self.groups) {
            for &member in &read.members {
                groups_of_type[usize::from(member)].insert(index);
            }
            if read.group.condition.is_some() {
                conditional.insert(index);
            }
        }
        // A list for each group, also for those that only name causes.
        self.layout.updates.resize(self.groups.len(), Vec::new());
        let vocabulary = Vocabulary {
            types: self.words.types,
            type_indices: self.words.type_indices,
            groups: self.groups.into_iter().map(|read| read.group).collect(),
            groups_of_type,
            conditional,
            properties: self.properties,
            property_indices: self.property_indices,
        };
        (vocabulary, self.layout)
    }
}
