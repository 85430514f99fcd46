//! The touchpoint types, properties and groups that the catalogue and the models declare, with groups resolved to
//! types.
//!
//! A type can be used as a group; `any` is the group of every touchpoint, including unknown types.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::problems::Problems;
use crate::lifecycle::id::TypeIndex;
use crate::lifecycle::model_draft::{
    CatalogueDraft, ExpressionDraft, GroupDraft, ModelDraft, SpannedString, TypeDraft,
};
use crate::lifecycle::problem::Problem;
use crate::lifecycle::touchpoint::Touchpoint;
use crate::lifecycle::value::Type;

/// The group of every touchpoint.
const ANY: &str = "any";
/// The cause "passing of time" in rules.
pub(super) const TIME: &str = "time";
/// Maximum number of touchpoint types in a catalogue and its models.
const TYPES_MAX: usize = 4096;

/// Declared types, properties and groups by name.
#[derive(Clone, Debug)]
pub(super) struct Declarations {
    /// Names by type index; index 0 means any unknown type.
    pub(super) types: Vec<Box<str>>,
    /// The index of each declared type.
    pub(super) type_indices: HashMap<Box<str>, TypeIndex>,
    /// The properties that each type declares, by type index.
    type_properties: Vec<BTreeSet<Box<str>>>,
    /// The type of each property; a property has the same type in all touchpoints.
    pub(super) property_types: BTreeMap<Box<str>, Type>,
    catalogue: BTreeMap<Box<str>, ResolvedGroup>,
    /// The groups that each model declares, by model index.
    model_groups: Vec<BTreeMap<Box<str>, ResolvedGroup>>,
}

/// A group with resolved members.
#[derive(Clone, Debug)]
pub(super) struct ResolvedGroup {
    /// The name that conditions use.
    pub(super) name: Box<str>,
    /// The model that declares the group; `None` for a group of the catalogue, a type or `any`.
    pub(super) model: Option<usize>,
    /// The file that declares the group.
    pub(super) file: usize,
    /// Type indices; 0 means unknown types.
    pub(super) members: BTreeSet<u16>,
    /// Only touchpoints that meet this condition belong to the group.
    pub(super) condition: Option<ExpressionDraft>,
    /// Properties that the condition may read.
    pub(super) properties: BTreeSet<Box<str>>,
}

impl Declarations {
    /// Collects and resolves the declarations of `catalogue` and `drafts`.
    pub(super) fn new(drafts: &[ModelDraft], catalogue: &CatalogueDraft, problems: &mut Problems) -> Self {
        let mut declarations = Self {
            types: vec!["".into()],
            type_indices: HashMap::new(),
            type_properties: vec![BTreeSet::new()],
            property_types: BTreeMap::new(),
            catalogue: BTreeMap::new(),
            model_groups: Vec::with_capacity(drafts.len()),
        };
        declarations.declare_types(catalogue.file, &catalogue.types, problems);
        for draft in drafts {
            declarations.declare_types(draft.file, &draft.types, problems);
        }
        for group in &catalogue.groups {
            declarations.declare_properties(catalogue.file, &group.properties, problems);
        }
        declarations.catalogue =
            Resolver::new(&declarations, &BTreeMap::new(), catalogue.file, None, &catalogue.groups).resolve(problems);
        for (model, draft) in drafts.iter().enumerate() {
            for group in &draft.groups {
                declarations.declare_properties(draft.file, &group.properties, problems);
            }
            let model_groups =
                Resolver::new(&declarations, &declarations.catalogue, draft.file, Some(model), &draft.groups)
                    .resolve(problems);
            declarations.model_groups.push(model_groups);
        }
        declarations.reject_types_named_like_groups(drafts, catalogue, problems);
        declarations
    }

    /// Resolves `name` in `model`: first the model's own groups, then those of the catalogue, then `any` and types.
    pub(super) fn group(&self, model: usize, name: &str) -> Option<ResolvedGroup> {
        let declared = self
            .model_groups
            .get(model)
            .and_then(|model_groups| model_groups.get(name))
            .or_else(|| self.catalogue.get(name));
        declared.cloned().or_else(|| self.built_in(name))
    }

    /// Returns every name that can be used as a group in `model`.
    pub(super) fn names(&self, model: usize) -> Vec<&str> {
        let model_groups = self.model_groups.get(model).into_iter().flat_map(BTreeMap::keys);
        let groups = model_groups.chain(self.catalogue.keys()).map(AsRef::as_ref);
        groups.chain(self.types.iter().skip(1).map(AsRef::as_ref)).chain([ANY]).collect()
    }

    /// Returns the groups of the catalogue.
    pub(super) fn catalogue_groups(&self) -> impl Iterator<Item = &ResolvedGroup> {
        self.catalogue.values()
    }

    /// Returns the canonical text of a set of members, which does not depend on other declarations.
    pub(super) fn canonical_members(&self, members: &BTreeSet<u16>) -> String {
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

    fn built_in(&self, name: &str) -> Option<ResolvedGroup> {
        let (members, properties) = if name == ANY {
            ((0..self.types.len()).filter_map(|index| u16::try_from(index).ok()).collect(), BTreeSet::new())
        } else {
            let index = *self.type_indices.get(name)?;
            (BTreeSet::from([index.0]), self.type_properties[usize::from(index.0)].clone())
        };
        Some(ResolvedGroup { name: name.into(), model: None, file: usize::MAX, members, condition: None, properties })
    }

    fn declare_types(&mut self, file: usize, types: &[TypeDraft], problems: &mut Problems) {
        for declared in types {
            let name = &declared.name;
            if name.value.len() > 128 || [ANY, TIME, Touchpoint::ERASED].contains(&name.value.as_str()) {
                let message = format!("`{}` cannot be the name of a touchpoint type", name.value);
                problems.push(
                    Problem::error("bad-name", file, name.span.clone(), message)
                        .help("`any`, `time` and `customer_erased` are reserved"),
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
                let message = format!("property `{}` has type {} elsewhere", name.value, known.name());
                let problem = Problem::error("type-mismatch", file, name.span.clone(), message);
                problems.push(problem.help("a property has the same type in all touchpoints; rename one of them"));
            }
        }
    }

    /// Reports types that have the name of a group. A touchpoint of such a type would always count as unknown.
    fn reject_types_named_like_groups(
        &self,
        drafts: &[ModelDraft],
        catalogue: &CatalogueDraft,
        problems: &mut Problems,
    ) {
        let declared =
            drafts.iter().map(|draft| (draft.file, &draft.types)).chain([(catalogue.file, &catalogue.types)]);
        for (file, types) in declared {
            for declared in types {
                let name = declared.name.value.as_str();
                if self.catalogue.contains_key(name)
                    || self.model_groups.iter().any(|model_groups| model_groups.contains_key(name))
                {
                    let message = format!("`{name}` is the name of a group");
                    problems.push(
                        Problem::error("duplicate-name", file, declared.name.span.clone(), message)
                            .help("rename the touchpoint type"),
                    );
                }
            }
        }
    }
}

/// Resolves the groups of one file, each after the groups that it contains.
struct Resolver<'a> {
    declarations: &'a Declarations,
    outer: &'a BTreeMap<Box<str>, ResolvedGroup>,
    file: usize,
    model: Option<usize>,
    drafts: &'a [GroupDraft],
    resolved: BTreeMap<Box<str>, ResolvedGroup>,
    in_progress: BTreeSet<&'a str>,
}

impl<'a> Resolver<'a> {
    fn new(
        declarations: &'a Declarations,
        outer: &'a BTreeMap<Box<str>, ResolvedGroup>,
        file: usize,
        model: Option<usize>,
        drafts: &'a [GroupDraft],
    ) -> Self {
        Self { declarations, outer, file, model, drafts, resolved: BTreeMap::new(), in_progress: BTreeSet::new() }
    }

    fn resolve(mut self, problems: &mut Problems) -> BTreeMap<Box<str>, ResolvedGroup> {
        for draft in self.drafts {
            problems.check_identifier(self.file, &draft.name, "a group");
            let name = draft.name.value.as_str();
            if [ANY, TIME].contains(&name) || self.outer.contains_key(name) {
                let message = format!("there is already a group `{name}`");
                problems.push(
                    Problem::error("duplicate-name", self.file, draft.name.span.clone(), message)
                        .help("rename the group"),
                );
            }
            self.group(draft, problems);
        }
        self.resolved
    }

    fn group(&mut self, draft: &'a GroupDraft, problems: &mut Problems) {
        let name = draft.name.value.as_str();
        if self.resolved.contains_key(name) || !self.in_progress.insert(name) {
            return;
        }
        let mut members = BTreeSet::new();
        let mut properties: BTreeSet<Box<str>> =
            draft.properties.iter().map(|property| property.name.value.as_str().into()).collect();
        for reference in &draft.types {
            members.extend(self.type_member(reference, problems));
        }
        for reference in &draft.groups {
            members.extend(self.group_members(reference, problems));
        }
        for reference in &draft.except {
            let excluded = if self.declarations.type_indices.contains_key(reference.value.as_str()) {
                self.type_member(reference, problems)
            } else {
                self.group_members(reference, problems)
            };
            if members.is_disjoint(&excluded) && !excluded.is_empty() {
                let message = format!("`{}` is not a member of the group, so this has no effect", reference.value);
                problems
                    .push(Problem::warning("no-effect", self.file, reference.span.clone(), message).help("remove it"));
            }
            members.retain(|member| !excluded.contains(member));
        }
        if members.is_empty() {
            let message = format!("group `{name}` has no members");
            problems.push(
                Problem::error("empty-group", self.file, draft.name.span.clone(), message)
                    .help("add `types` or `groups`"),
            );
        }
        for member in &members {
            properties.extend(self.declarations.type_properties[usize::from(*member)].iter().cloned());
        }
        let condition = draft.condition.clone();
        let group =
            ResolvedGroup { name: name.into(), model: self.model, file: self.file, members, condition, properties };
        self.resolved.insert(name.into(), group);
    }

    fn type_member(&self, reference: &SpannedString, problems: &mut Problems) -> BTreeSet<u16> {
        if let Some(index) = self.declarations.type_indices.get(reference.value.as_str()) {
            return BTreeSet::from([index.0]);
        }
        let problem = Problem::error(
            "unknown-name",
            self.file,
            reference.span.clone(),
            format!("unknown touchpoint type `{}`", reference.value),
        );
        let is_group = self.outer.contains_key(reference.value.as_str())
            || self.drafts.iter().any(|draft| draft.name.value == reference.value);
        problems.push(if is_group {
            problem.help("it is a group: write it under `groups`")
        } else {
            problem.did_you_mean(
                &reference.value,
                self.declarations.types.iter().map(AsRef::as_ref),
                "declare a new type under `types`",
            )
        });
        BTreeSet::new()
    }

    fn group_members(&mut self, reference: &SpannedString, problems: &mut Problems) -> BTreeSet<u16> {
        let name = reference.value.as_str();
        if let Some(draft) = self.drafts.iter().find(|draft| draft.name.value == name) {
            if self.in_progress.contains(name) && !self.resolved.contains_key(name) {
                let message = format!("group `{name}` contains itself");
                let problem = Problem::error("cycle", self.file, reference.span.clone(), message);
                problems.push(problem.help("remove one of the groups from the other"));
                return BTreeSet::new();
            }
            self.group(draft, problems);
        }
        let found = self
            .resolved
            .get(name)
            .or_else(|| self.outer.get(name))
            .cloned()
            .or_else(|| self.declarations.built_in(name));
        let Some(group) = found else {
            let known =
                self.drafts.iter().map(|draft| draft.name.value.as_str()).chain(self.outer.keys().map(AsRef::as_ref));
            let problem =
                Problem::error("unknown-name", self.file, reference.span.clone(), format!("unknown group `{name}`"));
            problems.push(problem.did_you_mean(name, known, "declare it next to this group"));
            return BTreeSet::new();
        };
        if group.condition.is_some() {
            let message = format!("group `{name}` has a condition and cannot be part of another");
            let help = "write its types and its `where` here instead";
            problems.push(Problem::error("conditional-member", self.file, reference.span.clone(), message).help(help));
        }
        group.members
    }
}
