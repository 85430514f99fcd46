//! Model files: YAML text becomes drafts, drafts a checked set of models, and problems a readable report.

use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::problem::Problem;

/// A model or catalogue as text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelSource {
    /// The file's path, or the name of a shipped model.
    pub name: String,
    /// What stands in it.
    pub text: String,
}

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

/// The names of the models that ship with the program.
#[must_use]
pub fn shipped_names() -> &'static [&'static str] {
    &["retention", "classic_seven", "reach_to_advocacy", "engagement_cycle", "awareness_to_loyalty", "loyalty_ladder"]
}

/// The shipped model called `name`.
#[must_use]
pub fn shipped(_name: &str) -> Option<ModelSource> {
    unimplemented!()
}

/// The shipped catalogue of touchpoints.
#[must_use]
pub fn shipped_catalogue() -> ModelSource {
    unimplemented!()
}

/// Checks `models` over `catalogue`: the set and what its authors should know, or every problem found.
///
/// In a problem, file i is `models[i]`, and file `models.len()` the catalogue.
///
/// # Errors
/// Every problem found, warnings included.
pub fn load(
    _models: &[ModelSource],
    _catalogue: &ModelSource,
    _overrides: &[Override],
) -> Result<(ModelSet, Vec<Problem>), Vec<Problem>> {
    unimplemented!()
}

/// The report on `problems`: file, line and column, the excerpt with an arrow under it, and what to write instead.
///
/// `sources` are those that were checked, the catalogue last.
#[must_use]
pub fn render(_problems: &[Problem], _sources: &[ModelSource], _color: bool) -> String {
    unimplemented!()
}
