//! Model files: YAML text becomes drafts, drafts a checked set of models, and problems a readable report.
//!
//! What the words mean is the model check's business; here they only get out of YAML, each with its place.

mod draft;
mod fields;
mod keys;
mod report;
mod schema;
mod shipped;
mod yaml;

pub use draft::FILE_BYTES_MAX;
pub use report::{position, render};
pub use schema::{catalogue_schema, model_schema};
pub use shipped::{shipped, shipped_catalogue, shipped_names};

pub use crate::lifecycle::model_check::Override;
use crate::lifecycle::model_check::check;
use crate::lifecycle::model_draft::{CatalogueDraft, ModelDraft};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::problem::{Problem, Severity};

/// A model or catalogue as text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelSource {
    /// The file's path, or the name of a shipped model.
    pub name: String,
    /// What stands in it.
    pub text: String,
}

/// Checks `models` over `catalogue`: the set and what its authors should know, or every problem found.
///
/// In a problem, file i is `models[i]`, and file `models.len()` the catalogue.
///
/// # Errors
/// Every problem found, warnings included.
pub fn load(
    models: &[ModelSource],
    catalogue: &ModelSource,
    overrides: &[Override],
) -> Result<(ModelSet, Vec<Problem>), Vec<Problem>> {
    let (drafts, catalogue, mut problems) = read(models, catalogue);
    let Some(catalogue) = catalogue else { return Err(problems) };
    let is_readable = problems.iter().all(|problem| problem.severity == Severity::Warning);
    match check(&drafts, &catalogue, overrides) {
        Ok((set, mut found)) if is_readable => {
            problems.append(&mut found);
            Ok((set, problems))
        }
        Ok((_, mut found)) | Err(mut found) => {
            problems.append(&mut found);
            Err(problems)
        }
    }
}

/// The drafts of those files that can be read at all, and what is wrong with them.
#[must_use]
pub fn read(
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
        let (drafts, catalogue, problems) = read(&models, &shipped_catalogue());
        assert_eq!(render(&problems, &models, false), "");
        assert_eq!(drafts.len(), 6);
        let catalogue = catalogue.expect("it was read");
        assert_eq!((catalogue.types.len(), catalogue.groups.len()), (59, 19));
    }
}
