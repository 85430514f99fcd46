//! Selects and loads the models to run: shipped models by name, or files.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::suggest::did_you_mean;
use crate::wire::model_file::{self, ModelSource, Override};

use super::settings::read_limited;

/// The models to run, as configured.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ModelChoice {
    /// Names of shipped models, or file paths, in the order of publication. Empty means all shipped models.
    pub names: Vec<String>,
    /// Overrides of model parameters.
    pub overrides: Vec<Override>,
    /// What every transition carries: names and expressions.
    pub attributes: Vec<(String, String)>,
    /// The catalogue to use instead of the shipped one.
    pub catalogue: Option<PathBuf>,
    /// The directory that relative paths start from.
    pub directory: PathBuf,
}

/// The error for models that cannot be loaded: a report of all problems.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelsError(pub String);

impl fmt::Display for ModelsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for ModelsError {}

impl ModelChoice {
    /// Selects `names`; file paths are relative to the working directory.
    #[must_use]
    pub fn of(names: &[String]) -> Self {
        Self { names: names.to_vec(), ..Self::default() }
    }

    /// Whether one of the models is a file, not a shipped model.
    #[must_use]
    pub fn has_files(&self) -> bool {
        self.names.iter().any(|name| is_path(name))
    }

    /// Returns the paths of the models that are files, and of the catalogue.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let models = self.names.iter().filter(|name| is_path(name)).map(|name| self.directory.join(name));
        models.chain(self.catalogue.clone()).collect()
    }

    /// Reads and checks the models. Discards warnings; `lifecycle check` shows them.
    ///
    /// # Errors
    /// A report on all problems, with the affected lines.
    pub fn load(&self, color: bool) -> Result<ModelSet, ModelsError> {
        let catalogue = match &self.catalogue {
            Some(path) => read_source(path)?,
            None => model_file::shipped_catalogue(),
        };
        let (mut sources, unreadable) = self.read();
        let (attributes, text) = model_file::attributes(&self.attributes, sources.len() + 1);
        let problems = match model_file::load_with_attributes(&sources, &catalogue, &self.overrides, &attributes) {
            Ok((models, _warnings)) if unreadable.is_empty() => return Ok(models),
            // An override may be for a model that cannot be read.
            Err(problems) if unreadable.is_empty() || self.overrides.is_empty() => problems,
            Ok(_) | Err(_) => Vec::new(),
        };
        sources.extend([catalogue, text]);
        let mut report = unreadable.join("\n");
        if !problems.is_empty() {
            let separator = if report.is_empty() { "" } else { "\n" };
            report = format!("{report}{separator}{}", model_file::render(&problems, &sources, color).trim_end());
        }
        Err(ModelsError(report))
    }

    /// Reads the model files.
    ///
    /// # Errors
    /// When a file cannot be read, or no shipped model has a given name.
    pub fn sources(&self) -> Result<Vec<ModelSource>, ModelsError> {
        match self.read() {
            (sources, unreadable) if unreadable.is_empty() => Ok(sources),
            (_, unreadable) => Err(ModelsError(unreadable.join("\n"))),
        }
    }

    /// Reads the model files. Returns those that can be read, and why the others cannot.
    fn read(&self) -> (Vec<ModelSource>, Vec<String>) {
        let mut sources = Vec::new();
        let mut unreadable = Vec::new();
        if self.names.is_empty() {
            sources.extend(model_file::shipped_names().iter().filter_map(|name| model_file::shipped(name)));
        }
        for name in &self.names {
            match self.source(name) {
                Ok(source) => sources.push(source),
                Err(error) => unreadable.push(error.0),
            }
        }
        (sources, unreadable)
    }

    fn source(&self, name: &str) -> Result<ModelSource, ModelsError> {
        if is_path(name) {
            return read_source(&self.directory.join(name));
        }
        model_file::shipped(name).ok_or_else(|| {
            let shipped = model_file::shipped_names();
            let hint = did_you_mean(name, shipped.iter().copied())
                .unwrap_or_else(|| format!("the shipped models are {}; write a file as ./{name}", shipped.join(", ")));
            ModelsError(format!("no shipped model is called `{name}`: {hint}"))
        })
    }
}

fn is_path(name: &str) -> bool {
    let has_extension = |extension| Path::new(name).extension().is_some_and(|found| found == extension);
    name.contains(['/', '\\']) || has_extension("yaml") || has_extension("yml")
}

/// Reads the model file or catalogue at `path`, up to the maximum size of a model file.
///
/// # Errors
/// When the file cannot be read or is too large.
pub fn read_source(path: &Path) -> Result<ModelSource, ModelsError> {
    let text = read_limited(path, model_file::FILE_BYTES_MAX as u64)
        .map_err(|error| ModelsError(format!("{}: cannot be read: {error}", path.display())))?;
    Ok(ModelSource { name: path.display().to_string(), text })
}
