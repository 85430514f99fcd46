//! Which models to run, and loading them: names of shipped ones, or files.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::lifecycle::model_set::ModelSet;
use crate::wire::model_file::{self, ModelSource, Override};

use super::keys::nearest;
use super::settings::read_limited;

/// A choice of models.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ModelChoice {
    /// Names of shipped models, or files; in the order of publication. All shipped models when empty.
    pub names: Vec<String>,
    /// Values for parameters.
    pub overrides: Vec<Override>,
    /// Another catalogue than the shipped one.
    pub catalogue: Option<PathBuf>,
    /// Where relative paths start.
    pub directory: PathBuf,
}

/// Why models cannot be used: a report for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelsRefused(pub String);

impl fmt::Display for ModelsRefused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for ModelsRefused {}

impl ModelChoice {
    /// The chosen `names`, relative to the working directory.
    #[must_use]
    pub fn of(names: &[String]) -> Self {
        Self { names: names.to_vec(), ..Self::default() }
    }

    /// Reads and checks the models. Warnings are told by `lifecycle check` alone.
    ///
    /// # Errors
    /// A report on every problem, with the lines it is about.
    pub fn load(&self, color: bool) -> Result<ModelSet, ModelsRefused> {
        let mut sources = self.sources()?;
        let catalogue = match &self.catalogue {
            Some(path) => read_source(path)?,
            None => model_file::shipped_catalogue(),
        };
        match model_file::load(&sources, &catalogue, &self.overrides) {
            Ok((models, _warnings)) => Ok(models),
            Err(problems) => {
                sources.push(catalogue);
                Err(ModelsRefused(model_file::render(&problems, &sources, color).trim_end().to_owned()))
            }
        }
    }

    /// The texts of the models.
    ///
    /// # Errors
    /// A file that cannot be read, a name that no shipped model bears.
    pub fn sources(&self) -> Result<Vec<ModelSource>, ModelsRefused> {
        if self.names.is_empty() {
            return Ok(model_file::shipped_names().iter().filter_map(|name| model_file::shipped(name)).collect());
        }
        self.names.iter().map(|name| self.source(name)).collect()
    }

    fn source(&self, name: &str) -> Result<ModelSource, ModelsRefused> {
        if is_path(name) {
            return read_source(&self.directory.join(name));
        }
        model_file::shipped(name).ok_or_else(|| {
            let shipped = model_file::shipped_names();
            let hint = nearest(name, shipped.iter().copied()).map_or_else(
                || format!("shipped are {}; write a file as ./{name}", shipped.join(", ")),
                |like| format!("did you mean `{like}`?"),
            );
            ModelsRefused(format!("no shipped model is called `{name}`: {hint}"))
        })
    }
}

fn is_path(name: &str) -> bool {
    let has_extension = |extension| Path::new(name).extension().is_some_and(|found| found == extension);
    name.contains(['/', '\\']) || has_extension("yaml") || has_extension("yml")
}

/// The model file, or catalogue, at `path`; never more of it than a model file may have.
///
/// # Errors
/// A file that cannot be read, or is too large.
pub fn read_source(path: &Path) -> Result<ModelSource, ModelsRefused> {
    let text = read_limited(path, model_file::FILE_BYTES_MAX as u64)
        .map_err(|error| ModelsRefused(format!("{}: cannot be read: {error}", path.display())))?;
    Ok(ModelSource { name: path.display().to_string(), text })
}
