//! The models that a command loads: named on the command line, or taken from the configuration of the service.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{Exit, print_error};
use crate::config::{Config, ModelChoice};
use crate::lifecycle::model_set::ModelSet;
use crate::wire::model_file::{Override, parse_drafts, shipped_catalogue};

/// Where models, parameters and catalogue come from, for all commands that load models.
#[derive(Args, Clone, Debug)]
pub(super) struct ModelArguments {
    /// Configuration file of the service: use its models, parameters and catalogue, its currency and lateness
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Override a model parameter, like `parameters` in the configuration: `retention.risk_after=days(60)`. Can be
    /// repeated
    #[arg(long = "set", value_name = "MODEL.PARAMETER=VALUE", value_parser = parse_override)]
    overrides: Vec<Override>,
    /// Catalogue of touchpoint types to use instead of the one in the configuration or the shipped one
    #[arg(long, value_name = "FILE")]
    catalogue: Option<PathBuf>,
}

impl ModelArguments {
    /// Loads the configuration of `--config`, if it is given. Prints all problems if it is invalid.
    pub(super) fn config(&self) -> Result<Option<Config>, Exit> {
        let Some(path) = &self.config else { return Ok(None) };
        Config::load(Some(path)).map(Some).map_err(|error| {
            print_error(&error);
            Exit::Usage
        })
    }

    /// Returns the arguments of the models before a change: without `--set`.
    pub(super) fn before(&self) -> Self {
        Self { overrides: Vec::new(), ..self.clone() }
    }

    /// Returns the models `names`, or if there are none, those of `config`, or else all shipped models.
    pub(super) fn choice(&self, names: &[String], config: Option<&Config>) -> ModelChoice {
        let mut choice = match config {
            Some(config) if names.is_empty() => config.model_choice(),
            Some(config) => {
                let mut choice = ModelChoice { catalogue: config.catalogue.clone(), ..ModelChoice::of(names) };
                choice.overrides = overrides_of(&choice, &config.parameters);
                choice
            }
            None => ModelChoice::of(names),
        };
        self.apply(&mut choice);
        choice
    }

    /// Returns the files that the models of [`choice`](Self::choice) and the configuration are read from.
    pub(super) fn input_files(&self, names: &[String], config: Option<&Config>) -> Vec<PathBuf> {
        let token = config.and_then(|config| config.http.token_file.clone());
        self.choice(names, config).files().into_iter().chain(self.config.clone()).chain(token).collect()
    }

    /// Applies `--catalogue` and `--set` to `choice`.
    pub(super) fn apply(&self, choice: &mut ModelChoice) {
        if let Some(catalogue) = &self.catalogue {
            choice.catalogue = Some(catalogue.clone());
        }
        let is_set = |given: &Override| {
            self.overrides.iter().any(|set| set.model == given.model && set.parameter == given.parameter)
        };
        choice.overrides.retain(|given| !is_set(given));
        choice.overrides.extend(self.overrides.iter().cloned());
    }

    /// Loads the models of [`choice`](Self::choice). Prints all problems if one is invalid.
    pub(super) fn load(&self, names: &[String], config: Option<&Config>) -> Result<Arc<ModelSet>, Exit> {
        load(&self.choice(names, config))
    }
}

/// Loads the models of `choice`. Prints all problems if one is invalid.
pub(super) fn load(choice: &ModelChoice) -> Result<Arc<ModelSet>, Exit> {
    choice.load(io::stderr().is_terminal()).map(Arc::new).map_err(|report| {
        print_error(&report);
        Exit::Usage
    })
}

/// Returns the overrides of the models in `choice`: a configuration may also override parameters of other models.
pub(super) fn overrides_of(choice: &ModelChoice, overrides: &[Override]) -> Vec<Override> {
    // If a file cannot be read, loading the models reports it.
    let (drafts, ..) = parse_drafts(&choice.sources().unwrap_or_default(), &shipped_catalogue());
    let is_chosen = |given: &&Override| drafts.iter().any(|draft| draft.name.value == given.model);
    overrides.iter().filter(is_chosen).cloned().collect()
}

fn parse_override(text: &str) -> Result<Override, String> {
    let parts = text.split_once('=').and_then(|(name, value)| Some((name.split_once('.')?, value)));
    let ((model, parameter), value) = parts.ok_or("write `model.parameter=value`")?;
    Ok(Override {
        model: model.trim().to_owned(),
        parameter: parameter.trim().to_owned(),
        value: value.trim().to_owned(),
    })
}
