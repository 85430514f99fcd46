//! The model check: turns drafts into a checked [`ModelSet`], or returns every problem found.
//!
//! A check does not stop at the first problem, so that one run reports all of them. Unused definitions are checked too,
//! but the model set contains only the groups, properties and facts that some condition reads.

mod attributes;
mod build;
mod declarations;
mod facts;
mod groups;
mod moves;
mod problems;
mod scope;
mod shared_state;

use std::fmt::Write as _;

use declarations::Declarations;
pub use problems::NAME_BYTES_MAX;
use problems::Problems;
use scope::ModelScope;
use shared_state::SharedState;

use super::id::StableId;
use super::model_draft::{AttributesDraft, CatalogueDraft, ExpressionDraft, ModelDraft};
use super::model_set::ModelSet;
use super::problem::Problem;

/// Maximum number of models in a set.
const MODELS_MAX: usize = 64;
/// The touchpoint types that the order ledger reads.
const ORDER_TYPES: [&str; 3] = ["order_completed", "order_cancelled", "order_refunded"];

/// A parameter value from the configuration, which replaces the value in the model file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Override {
    /// The model's name.
    pub model: String,
    /// The parameter's name.
    pub parameter: String,
    /// The value as it would be written in the file: `days(120)`.
    pub value: String,
}

/// Checks `drafts` and `attributes` against `catalogue` and returns the model set with the warnings.
///
/// # Errors
/// Returns every problem found, including warnings.
pub fn check(
    drafts: &[ModelDraft],
    catalogue: &CatalogueDraft,
    overrides: &[Override],
    attributes: &AttributesDraft,
) -> Result<(ModelSet, Vec<Problem>), Vec<Problem>> {
    let mut problems = Problems::default();
    problems.check_count(
        drafts.get(MODELS_MAX).map_or(0, |draft| draft.file),
        drafts.iter().map(|draft| &draft.name),
        MODELS_MAX,
        "models",
    );
    for (index, draft) in drafts.iter().enumerate() {
        if drafts[..index].iter().any(|earlier| earlier.name.value == draft.name.value) {
            let message = format!("there is already a model `{}`", draft.name.value);
            problems.push(
                Problem::error("duplicate-name", draft.file, draft.name.span.clone(), message)
                    .help("rename one of them"),
            );
        }
    }
    let values = resolve_overrides(drafts, overrides, &mut problems);
    let mut shared = SharedState::new(Declarations::new(drafts, catalogue, &mut problems));
    let mut models = Vec::with_capacity(drafts.len());
    let drafts = &drafts[..drafts.len().min(MODELS_MAX)];
    for (index, (draft, values)) in drafts.iter().zip(&values).enumerate() {
        models.push(ModelScope::new(&mut shared, &mut problems, index, draft, values).build());
    }
    let attributes = attributes::check(&mut shared, &mut problems, drafts.len(), attributes);
    check_catalogue(&mut shared, &mut problems, catalogue, drafts);
    if problems.has_errors() {
        return Err(problems.into_vec());
    }
    let mut definition = String::new();
    for model in &models {
        let _ = writeln!(definition, "{:016x}", model.hash.0);
    }
    for attribute in &attributes {
        let _ = writeln!(definition, "attribute {} {}", attribute.name, attribute.value.text);
    }
    let (vocabulary, layout) = shared.finish();
    let set = ModelSet::new(vocabulary, layout, models, StableId::of(&definition));
    Ok((ModelSet { attributes, ..set }, problems.into_vec()))
}

/// Returns, for each draft, the overrides by parameter index.
fn resolve_overrides(
    drafts: &[ModelDraft],
    overrides: &[Override],
    problems: &mut Problems,
) -> Vec<Vec<(usize, ExpressionDraft)>> {
    let mut values = vec![Vec::new(); drafts.len()];
    for Override { model, parameter, value } in overrides {
        let Some(index) = drafts.iter().position(|draft| draft.name.value == *model) else {
            let problem = Problem::error(
                "unknown-name",
                usize::MAX,
                0..0,
                format!("unknown model `{model}` in an override of a parameter (`parameters` or --set)"),
            );
            let known = drafts.iter().map(|draft| draft.name.value.as_str());
            let names: Vec<&str> = known.clone().collect();
            problems.push(problem.did_you_mean(model, known, &format!("the models are {}", names.join(", "))));
            continue;
        };
        let known = || drafts[index].parameters.iter().map(|named| named.name.value.as_str());
        let Some(parameter_index) = known().position(|name| name == parameter) else {
            let problem = Problem::error(
                "unknown-name",
                usize::MAX,
                0..0,
                format!("model `{model}` has no parameter `{parameter}`"),
            );
            let names: Vec<&str> = known().collect();
            let otherwise = match names[..] {
                [] => "it has no parameters".to_owned(),
                _ => format!("its parameters are {}", names.join(", ")),
            };
            problems.push(problem.did_you_mean(parameter, known(), &otherwise));
            continue;
        };
        values[index]
            .push((parameter_index, ExpressionDraft { text: value.clone(), span: 0..0, source_offsets: Vec::new() }));
    }
    values
}

/// Checks the conditions of catalogue groups, including unused ones, and whether the catalogue has the touchpoint types
/// that the order ledger reads.
fn check_catalogue(
    shared: &mut SharedState,
    problems: &mut Problems,
    catalogue: &CatalogueDraft,
    drafts: &[ModelDraft],
) {
    let missing = ORDER_TYPES.iter().find(|name| !shared.declarations.type_indices.contains_key(**name));
    if let (true, Some(name)) = (shared.layout.reads_orders, missing) {
        let message = format!("the order ledger needs the touchpoint type `{name}`, which is not in the catalogue");
        problems.push(Problem::error("unknown-name", catalogue.file, 0..0, message).help("add it under `types`"));
    }
    let Some(draft) = drafts.first() else { return };
    let snapshot = shared.clone();
    let groups: Vec<_> = shared.declarations.catalogue_groups().cloned().collect();
    let mut scope = ModelScope::new(shared, problems, 0, draft, &[]);
    for group in groups {
        if let Some(condition) = &group.condition {
            // `group_condition` reports the problems.
            let _ = scope.group_condition(&group, condition);
        }
    }
    *shared = snapshot;
}
