//! Drafts become a checked set of models, or every problem found.
//!
//! All files are looked at to the end, so that one run tells everything. What only an unread name would need is checked
//! and then forgotten: the set holds the groups, properties and facts that some condition reads, and no others.

mod build;
mod facts;
mod groups;
mod moves;
mod problems;
mod scope;
mod shared;
mod words;

use std::fmt::Write as _;

pub use problems::NAME_BYTES_MAX;
use problems::Problems;
use scope::ModelScope;
use shared::Shared;
use words::Words;

use super::id::StableId;
use super::model_draft::{CatalogueDraft, ExpressionDraft, ModelDraft};
use super::model_set::ModelSet;
use super::problem::Problem;

/// How many models may run side by side.
const MODELS_MAX: usize = 64;
/// The types that the order ledger is made of.
const ORDER_TYPES: [&str; 3] = ["order_completed", "order_cancelled", "order_refunded"];

/// A value for a parameter of a model, from outside of its file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Override {
    /// The model's name.
    pub model: String,
    /// The parameter's name.
    pub parameter: String,
    /// The value as it would stand in the file: `days(120)`.
    pub value: String,
}

/// The set that `drafts` describe over `catalogue`, and what their authors should know.
///
/// # Errors
/// Every problem found, warnings included.
pub fn check(
    drafts: &[ModelDraft],
    catalogue: &CatalogueDraft,
    overrides: &[Override],
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
                    .help("give one of them another name"),
            );
        }
    }
    let values = place_overrides(drafts, overrides, &mut problems);
    let mut shared = Shared::new(Words::new(drafts, catalogue, &mut problems));
    let mut models = Vec::with_capacity(drafts.len());
    let drafts = &drafts[..drafts.len().min(MODELS_MAX)];
    for (index, (draft, values)) in drafts.iter().zip(&values).enumerate() {
        models.push(ModelScope::new(&mut shared, &mut problems, index, draft, values).build());
    }
    check_catalogue(&mut shared, &mut problems, catalogue, drafts);
    if problems.has_errors() {
        return Err(problems.into_vec());
    }
    let mut definition = String::new();
    for model in &models {
        let _ = writeln!(definition, "{:016x}", model.hash.0);
    }
    let (vocabulary, layout) = shared.finish();
    Ok((ModelSet::new(vocabulary, layout, models, StableId::of(&definition)), problems.into_vec()))
}

/// For each draft, the values for its parameters by index.
fn place_overrides(
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
                format!("a value is given for a parameter of the unknown model `{model}`"),
            );
            problems.push(problem.did_you_mean(model, drafts.iter().map(|draft| draft.name.value.as_str()), ""));
            continue;
        };
        let known = || drafts[index].parameters.iter().map(|named| named.name.value.as_str());
        let Some(place) = known().position(|name| name == parameter) else {
            let problem = Problem::error(
                "unknown-name",
                usize::MAX,
                0..0,
                format!("model `{model}` has no parameter `{parameter}`"),
            );
            problems.push(problem.did_you_mean(parameter, known(), ""));
            continue;
        };
        values[index].push((place, ExpressionDraft { text: value.clone(), span: 0..0, places: Vec::new() }));
    }
    values
}

/// Checks what no model has looked at: the conditions of unread groups, and whether the ledger can be kept.
fn check_catalogue(shared: &mut Shared, problems: &mut Problems, catalogue: &CatalogueDraft, drafts: &[ModelDraft]) {
    let missing = ORDER_TYPES.iter().find(|name| !shared.words.type_indices.contains_key(**name));
    if let (true, Some(name)) = (shared.layout.reads_orders, missing) {
        let message = format!("the order ledger needs the touchpoint type `{name}`, which the catalogue lacks");
        problems.push(Problem::error("unknown-name", catalogue.file, 0..0, message).help("add it under `types`"));
    }
    let Some(draft) = drafts.first() else { return };
    let kept = shared.clone();
    let groups: Vec<_> = shared.words.catalogue_groups().cloned().collect();
    let mut scope = ModelScope::new(shared, problems, 0, draft, &[]);
    for group in groups {
        if let Some(condition) = &group.condition {
            // What is wrong with it is noted on the way.
            let _ = scope.group_condition(&group, condition);
        }
    }
    *shared = kept;
}
