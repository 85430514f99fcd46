//! Model files: parses YAML into drafts, calls the model check, and renders problems as a report.
//!
//! Handles only the syntax and keeps the position of every value. `lifecycle::model_check` resolves names and checks
//! conditions.

mod attributes;
mod draft;
pub(crate) mod fields;
pub(crate) mod keys;
mod report;
mod schema;
mod shipped;
pub(crate) mod yaml;

pub use attributes::attributes;
pub use draft::FILE_BYTES_MAX;
pub use report::{line_and_column, render};
pub use schema::{catalogue_schema, model_schema};
pub use shipped::{shipped, shipped_catalogue, shipped_names};

pub use crate::lifecycle::model_check::Override;
use crate::lifecycle::model_check::check;
use crate::lifecycle::model_draft::{AttributesDraft, CatalogueDraft, ModelDraft};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::problem::{Problem, Severity};

/// A model file or catalogue: its name and its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelSource {
    /// The file's path, or the name of a shipped model.
    pub name: String,
    /// The content of the file.
    pub text: String,
}

/// Parses and checks `models` with `catalogue`. Returns the model set and the warnings.
///
/// The `file` of a problem is an index into `models`; `models.len()` means the catalogue.
///
/// # Errors
/// All problems found, warnings included.
pub fn load(
    models: &[ModelSource],
    catalogue: &ModelSource,
    overrides: &[Override],
) -> Result<(ModelSet, Vec<Problem>), Vec<Problem>> {
    load_with_attributes(models, catalogue, overrides, &AttributesDraft::default())
}

/// Like [`load`], with the attributes that every transition carries.
///
/// # Errors
/// All problems found, warnings included.
pub fn load_with_attributes(
    models: &[ModelSource],
    catalogue: &ModelSource,
    overrides: &[Override],
    attributes: &AttributesDraft,
) -> Result<(ModelSet, Vec<Problem>), Vec<Problem>> {
    let (drafts, catalogue, mut problems) = parse_drafts(models, catalogue);
    let Some(catalogue) = catalogue else { return Err(problems) };
    let is_parsed = problems.iter().all(|problem| problem.severity == Severity::Warning);
    match check(&drafts, &catalogue, overrides, attributes) {
        Ok((set, mut found)) if is_parsed => {
            problems.append(&mut found);
            Ok((set, problems))
        }
        Ok((_, mut found)) | Err(mut found) => {
            problems.append(&mut found);
            Err(problems)
        }
    }
}

/// Returns the touchpoint types of the shipped catalogue.
#[must_use]
pub fn catalogue_types() -> Vec<String> {
    let (catalogue, _) = draft::catalogue(0, &shipped_catalogue().text);
    catalogue.map(|catalogue| catalogue.types.into_iter().map(|of| of.name.value).collect()).unwrap_or_default()
}

/// Whether the text is probably a catalogue: it has the key `catalogue` at the start of a line, and no model.
#[must_use]
pub fn is_catalogue_file(text: &str) -> bool {
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    has("catalogue:") && !has("model:")
}

/// Parses the files. Returns the drafts of the files that are readable, and all problems found.
#[must_use]
pub fn parse_drafts(
    models: &[ModelSource],
    catalogue: &ModelSource,
) -> (Vec<ModelDraft>, Option<CatalogueDraft>, Vec<Problem>) {
    let (catalogue, mut problems) = draft::catalogue(models.len(), &catalogue.text);
    let mut drafts = Vec::with_capacity(models.len());
    for (file, source) in models.iter().enumerate() {
        let (draft, mut found) = draft::model(file, &source.text);
        drafts.extend(draft);
        problems.append(&mut found);
    }
    (drafts, catalogue, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_file_can_be_read() {
        let models: Vec<ModelSource> = shipped_names().iter().filter_map(|name| shipped(name)).collect();
        assert_eq!(models.len(), 6);
        let (drafts, catalogue, problems) = parse_drafts(&models, &shipped_catalogue());
        assert_eq!(render(&problems, &models, false), "");
        assert_eq!(drafts.len(), 6);
        let catalogue = catalogue.expect("it was read");
        assert_eq!((catalogue.types.len(), catalogue.groups.len()), (59, 19));
    }
}
