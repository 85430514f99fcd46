//! The touchpoint types and groups that a set of drafts speaks of, resolved down to members.
//!
//! A type is itself a group; `any` is the group of every touchpoint, unknown types included.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::problems::Problems;
use crate::lifecycle::id::TypeIndex;
use crate::lifecycle::model_draft::{CatalogueDraft, ExpressionDraft, GroupDraft, ModelDraft, TypeDraft, Word};
use crate::lifecycle::problem::Problem;
use crate::lifecycle::touchpoint::Touchpoint;
use crate::lifecycle::value::Type;

/// The group of every touchpoint.
const ANY: &str = "any";
/// The cause that is no touchpoint.
pub(super) const TIME: &str = "time";
/// How many types a catalogue and its models may declare.
const TYPES_MAX: usize = 4096;

/// Types and groups by name.
#[derive(Clone, Debug)]
pub(super) struct Words {
    /// By type index; 0 is every unknown type.
    pub(super) types: Vec<Box<str>>,
    /// The index of each declared type.
    pub(super) type_indices: HashMap<Box<str>, TypeIndex>,
    /// The properties that each type declares, by type index.
    type_properties: Vec<BTreeSet<Box<str>>>,
    /// The type of each property; one name has one type everywhere.
    pub(super) property_types: BTreeMap<Box<str>, Type>,
    catalogue: BTreeMap<Box<str>, GroupWord>,
    /// By model.
    own: Vec<BTreeMap<Box<str>, GroupWord>>,
}

/// A group, its members resolved.
#[derive(Clone, Debug)]
pub(super) struct GroupWord {
    /// As conditions name it.
    pub(super) name: Box<str>,
    /// The model that declares it; `None` for the catalogue, a type and `any`.
    pub(super) model: Option<usize>,
    /// The file that declares it.
    pub(super) file: usize,
    /// Type indices; 0 for unknown types.
    pub(super) members: BTreeSet<u16>,
    /// Holds for the touchpoints that count.
    pub(super) condition: Option<ExpressionDraft>,
    /// What the condition may read.
    pub(super) properties: BTreeSet<Box<str>>,
}

impl Words {
    /// Resolves everything that `catalogue` and `drafts` declare.
    pub(super) fn new(drafts: &[ModelDraft], catalogue: &CatalogueDraft, problems: &mut Problems) -> Self {
        let mut words = Self {
            types: vec!["".into()],
            type_indices: HashMap::new(),
            type_properties: vec![BTreeSet::new()],
            property_types: BTreeMap::new(),
            catalogue: BTreeMap::new(),
            own: Vec::with_capacity(drafts.len()),
        };
        words.declare_types(catalogue.file, &catalogue.types, problems);
        for draft in drafts {
            words.declare_types(draft.file, &draft.types, problems);
        }
        for group in &catalogue.groups {
            words.declare_properties(catalogue.file, &group.properties, problems);
        }
        words.catalogue =
            Resolver::new(&words, &BTreeMap::new(), catalogue.file, None, &catalogue.groups).resolve(problems);
        for (model, draft) in drafts.iter().enumerate() {
            for group in &draft.groups {
                words.declare_properties(draft.file, &group.properties, problems);
            }
            let own = Resolver::new(&words, &words.catalogue, draft.file, Some(model), &draft.groups).resolve(problems);
            words.own.push(own);
        }
        words.refuse_types_named_as_groups(drafts, catalogue, problems);
        words
    }

    /// The group that `name` means in `model`: the model's own, the catalogue's, `any`, or a type alone.
    pub(super) fn group(&self, model: usize, name: &str) -> Option<GroupWord> {
        let declared = self.own.get(model).and_then(|own| own.get(name)).or_else(|| self.catalogue.get(name));
        declared.cloned().or_else(|| self.built_in(name))
    }

    /// Every name that may stand where a group is wanted in `model`.
    pub(super) fn names(&self, model: usize) -> Vec<&str> {
        let own = self.own.get(model).into_iter().flat_map(BTreeMap::keys);
        let groups = own.chain(self.catalogue.keys()).map(AsRef::as_ref);
        groups.chain(self.types.iter().skip(1).map(AsRef::as_ref)).chain([ANY]).collect()
    }

    /// The groups of the catalogue.
    pub(super) fn catalogue_groups(&self) -> impl Iterator<Item = &GroupWord> {
        self.catalogue.values()
    }

    /// The members of `group`, spelled out so that they mean the same whatever else is declared.
    pub(super) fn spell(&self, members: &BTreeSet<u16>) -> String {
        let named = |keep: &dyn Fn(&u16) -> bool| {
            let mut names: Vec<&str> = (1_u16..)
                .zip(&self.types[1..])
                .filter(|(index, _)| keep(index))
                .map(|(_, name)| name.as_ref())
                .collect();
            names.sort_unstable();
            names.join(",")
        };
        if !members.contains(&TypeIndex::UNKNOWN.0) {
            return named(&|index| members.contains(index));
        }
        match named(&|index| !members.contains(index)) {
            left_out if left_out.is_empty() => ANY.to_owned(),
            left_out => format!("{ANY}-{left_out}"),
        }
    }

    fn built_in(&self, name: &str) -> Option<GroupWord> {
        let (members, properties) = if name == ANY {
            ((0..self.types.len()).filter_map(|index| u16::try_from(index).ok()).collect(), BTreeSet::new())
        } else {
            let index = *self.type_indices.get(name)?;
            (BTreeSet::from([index.0]), self.type_properties[usize::from(index.0)].clone())
        };
        Some(GroupWord { name: name.into(), model: None, file: usize::MAX, members, condition: None, properties })
    }

    fn declare_types(&mut self, file: usize, types: &[TypeDraft], problems: &mut Problems) {
        for declared in types {
            let name = &declared.name;
            if name.value.len() > 128 || [ANY, TIME, Touchpoint::ERASED].contains(&name.value.as_str()) {
                let message = format!("`{}` cannot be the name of a touchpoint type", name.value);
                problems.push(
                    Problem::error("bad-name", file, name.span.clone(), message)
                        .help("`any`, `time` and `customer_erased` mean something else"),
                );
                continue;
            }
            self.declare_properties(file, &declared.properties, problems);
            let properties = declared.properties.iter().map(|property| property.name.value.as_str().into());
            if let Some(index) = self.type_indices.get(name.value.as_str()) {
                self.type_properties[usize::from(index.0)].extend(properties);
                continue;
            }
            let index = u16::try_from(self.types.len()).unwrap_or(u16::MAX);
            if self.types.len() > TYPES_MAX {
                problems.push(Problem::error(
                    "too-many",
                    file,
                    name.span.clone(),
                    format!("more than {TYPES_MAX} touchpoint types"),
                ));
                return;
            }
            self.types.push(name.value.as_str().into());
            self.type_properties.push(properties.collect());
            self.type_indices.insert(name.value.as_str().into(), TypeIndex(index));
        }
    }

    fn declare_properties(
        &mut self,
        file: usize,
        properties: &[crate::lifecycle::model_draft::PropertyDraft],
        problems: &mut Problems,
    ) {
        for property in properties {
            let name = &property.name;
            let known = *self.property_types.entry(name.value.as_str().into()).or_insert(property.value_type);
            if known != property.value_type {
                let message = format!("property `{}` is a {} elsewhere", name.value, known.name());
                let problem = Problem::error("type-mismatch", file, name.span.clone(), message);
                problems
                    .push(problem.help("a property has one type in all touchpoints; give one of them another name"));
            }
        }
    }

    /// A touchpoint whose type bears the name of a group is an unknown one, so declaring it would be of no use.
    fn refuse_types_named_as_groups(&self, drafts: &[ModelDraft], catalogue: &CatalogueDraft, problems: &mut Problems) {
        let declared =
            drafts.iter().map(|draft| (draft.file, &draft.types)).chain([(catalogue.file, &catalogue.types)]);
        for (file, types) in declared {
            for declared in types {
                let name = declared.name.value.as_str();
                if self.catalogue.contains_key(name) || self.own.iter().any(|own| own.contains_key(name)) {
                    let message = format!("`{name}` is the name of a group");
                    problems.push(
                        Problem::error("duplicate-name", file, declared.name.span.clone(), message)
                            .help("give the touchpoint type another name"),
                    );
                }
            }
        }
    }
}

/// Resolves the groups of one file, each after those that it is made of.
struct Resolver<'a> {
    words: &'a Words,
    outer: &'a BTreeMap<Box<str>, GroupWord>,
    file: usize,
    model: Option<usize>,
    drafts: &'a [GroupDraft],
    resolved: BTreeMap<Box<str>, GroupWord>,
    underway: BTreeSet<&'a str>,
}

impl<'a> Resolver<'a> {
    fn new(
        words: &'a Words,
        outer: &'a BTreeMap<Box<str>, GroupWord>,
        file: usize,
        model: Option<usize>,
        drafts: &'a [GroupDraft],
    ) -> Self {
        Self { words, outer, file, model, drafts, resolved: BTreeMap::new(), underway: BTreeSet::new() }
    }

    fn resolve(mut self, problems: &mut Problems) -> BTreeMap<Box<str>, GroupWord> {
        for draft in self.drafts {
            problems.check_identifier(self.file, &draft.name, "a group");
            let name = draft.name.value.as_str();
            if [ANY, TIME].contains(&name) || self.outer.contains_key(name) {
                let message = format!("there is already a group `{name}`");
                problems.push(
                    Problem::error("duplicate-name", self.file, draft.name.span.clone(), message)
                        .help("give the group another name"),
                );
            }
            self.group(draft, problems);
        }
        self.resolved
    }

    fn group(&mut self, draft: &'a GroupDraft, problems: &mut Problems) {
        let name = draft.name.value.as_str();
        if self.resolved.contains_key(name) || !self.underway.insert(name) {
            return;
        }
        let mut members = BTreeSet::new();
        let mut properties: BTreeSet<Box<str>> =
            draft.properties.iter().map(|property| property.name.value.as_str().into()).collect();
        for word in &draft.types {
            members.extend(self.type_member(word, problems));
        }
        for word in &draft.groups {
            members.extend(self.group_members(word, problems));
        }
        for word in &draft.except {
            let out = if self.words.type_indices.contains_key(word.value.as_str()) {
                self.type_member(word, problems)
            } else {
                self.group_members(word, problems)
            };
            if members.is_disjoint(&out) && !out.is_empty() {
                let message = format!("`{}` is not in the group anyway", word.value);
                problems
                    .push(Problem::warning("no-effect", self.file, word.span.clone(), message).help("leave it out"));
            }
            members.retain(|member| !out.contains(member));
        }
        if members.is_empty() {
            let message = format!("group `{name}` has no members");
            problems.push(
                Problem::error("empty-group", self.file, draft.name.span.clone(), message)
                    .help("give it `types` or `groups`"),
            );
        }
        for member in &members {
            properties.extend(self.words.type_properties[usize::from(*member)].iter().cloned());
        }
        let condition = draft.condition.clone();
        let group = GroupWord { name: name.into(), model: self.model, file: self.file, members, condition, properties };
        self.resolved.insert(name.into(), group);
    }

    fn type_member(&self, word: &Word, problems: &mut Problems) -> BTreeSet<u16> {
        if let Some(index) = self.words.type_indices.get(word.value.as_str()) {
            return BTreeSet::from([index.0]);
        }
        let problem = Problem::error(
            "unknown-name",
            self.file,
            word.span.clone(),
            format!("unknown touchpoint type `{}`", word.value),
        );
        let is_group = self.outer.contains_key(word.value.as_str())
            || self.drafts.iter().any(|draft| draft.name.value == word.value);
        problems.push(if is_group {
            problem.help("it is a group: write it under `groups`")
        } else {
            problem.did_you_mean(
                &word.value,
                self.words.types.iter().map(AsRef::as_ref),
                "declare a new type under `types`",
            )
        });
        BTreeSet::new()
    }

    fn group_members(&mut self, word: &Word, problems: &mut Problems) -> BTreeSet<u16> {
        let name = word.value.as_str();
        if let Some(draft) = self.drafts.iter().find(|draft| draft.name.value == name) {
            if self.underway.contains(name) && !self.resolved.contains_key(name) {
                let message = format!("group `{name}` is made of itself");
                let problem = Problem::error("cycle", self.file, word.span.clone(), message);
                problems.push(problem.help("leave one of the groups out of the other"));
                return BTreeSet::new();
            }
            self.group(draft, problems);
        }
        let found =
            self.resolved.get(name).or_else(|| self.outer.get(name)).cloned().or_else(|| self.words.built_in(name));
        let Some(group) = found else {
            let known =
                self.drafts.iter().map(|draft| draft.name.value.as_str()).chain(self.outer.keys().map(AsRef::as_ref));
            let problem =
                Problem::error("unknown-name", self.file, word.span.clone(), format!("unknown group `{name}`"));
            problems.push(problem.did_you_mean(name, known, "declare it beside this one"));
            return BTreeSet::new();
        };
        if group.condition.is_some() {
            let message = format!("group `{name}` has a condition and cannot be part of another");
            let help = "write its types and its `where` here instead";
            problems.push(Problem::error("conditional-member", self.file, word.span.clone(), message).help(help));
        }
        group.members
    }
}
