//! `lifecycle check`: validates models, catalogues and mapping files, and describes the effects of a change to them.
//!
//! Reports all problems of all files at once. The checks themselves are in `lifecycle::model_check` and
//! `wire::model_file`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::model_arguments::ModelArguments;
use super::number::counted;
use super::{Exit, print_colored, print_error, print_json};
use crate::config::{Config, read_source};
use crate::lifecycle::model_edit::{Consequence, consequences};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::problem::{Problem, Severity};
use crate::mapping::{Mapping, is_mapping_file, preset};
use crate::wire::model_file::{
    ModelSource, Override, is_catalogue_file, line_and_column, load, parse_drafts, render, shipped, shipped_catalogue,
    shipped_names,
};

const EXAMPLES: &str = "\
Examples:
  lifecycle check ./my-model.yaml
  lifecycle check ./my-mapping.yaml
  lifecycle check --set retention.risk_after=days(60) retention ./my-model.yaml
  lifecycle check --against ./my-model-v1.yaml ./my-model.yaml";

/// Validate model files and mapping files, and show the effects of a change to models
///
/// Reports all errors and warnings of all files at once, with the line and a suggested fix. With --against, also
/// compares the models with their previous version: which customers are evaluated again, which facts start empty, which
/// names appear or disappear.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckArguments {
    /// Model files and mapping files, or names of shipped models and presets. List all models that run in one service
    /// together. A catalogue among them is checked, and is that of the models [default: the models of --config]
    #[arg(required_unless_present = "config", value_name = "MODEL")]
    models: Vec<String>,
    /// Previous version of one of the models; show the effects of replacing it. --set does not apply to it. Can be
    /// repeated
    #[arg(long, value_name = "OLD")]
    against: Vec<String>,
    /// Configuration before the change, whose parameters the models of --against have [default: those of --config]
    #[arg(long, value_name = "FILE", requires = "against")]
    against_config: Option<PathBuf>,
    #[command(flatten)]
    model_arguments: ModelArguments,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Output format of the findings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// Text for people
    Text,
    /// One JSON object, for programs
    Json,
}

/// Result of a check: the problems, and the effects of the change if there is one to compare with.
struct Findings {
    problems: Vec<Problem>,
    /// Models, the catalogue, and mappings.
    sources: Vec<ModelSource>,
    /// Number of mappings among the sources.
    mappings: usize,
    /// Whether the catalogue is one of the files to check.
    has_catalogue: bool,
    consequences: Vec<Consequence>,
}

/// Checks the models and prints the findings. Returns `Exit::Problems` if a model has errors.
#[must_use]
pub(super) fn run(arguments: &CheckArguments) -> ExitCode {
    let config = match arguments.model_arguments.config() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    let findings = match check_models(arguments, config.as_ref()) {
        Ok(findings) => findings,
        Err(message) => {
            print_error(format_args!("error: {message}"));
            return Exit::Usage.into();
        }
    };
    let printed = match arguments.format {
        Format::Text => print_colored(&text(&findings)),
        Format::Json => print_json(&format!("{:#}\n", json(&findings))),
    };
    let has_errors = findings.problems.iter().any(|problem| problem.severity == Severity::Error);
    if has_errors && printed == Exit::Success { Exit::Problems } else { printed }.into()
}

fn check_models(arguments: &CheckArguments, config: Option<&Config>) -> Result<Findings, String> {
    let choice = arguments.model_arguments.choice(&arguments.models, config);
    let files = if arguments.models.is_empty() {
        choice.sources().map_err(|error| error.0)?
    } else {
        read_models(&arguments.models)?
    };
    let (mappings, files): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| is_mapping_file(&file.text));
    let (mut catalogues, models): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| is_catalogue_file(&file.text));
    let given = catalogues.pop();
    if let (Some(one), Some(other)) = (&given, catalogues.pop()) {
        return Err(format!("{} and {} are both catalogues: check them one by one", other.name, one.name));
    }
    let has_catalogue = given.is_some();
    let catalogue = match (given, &choice.catalogue) {
        (Some(given), _) => given,
        (None, Some(path)) => read_source(path).map_err(|error| error.0)?,
        (None, None) => shipped_catalogue(),
    };
    let (set, mut problems) = if models.is_empty() {
        (None, parse_drafts(&[], &catalogue).2)
    } else {
        match load(&models, &catalogue, &choice.overrides) {
            Ok((set, warnings)) => (Some(set), warnings),
            Err(problems) => (None, problems),
        }
    };
    // After the models and the catalogue.
    for (index, mapping) in (models.len() + 1..).zip(&mappings) {
        let found = Mapping::compile(mapping, &serde_json::Map::new()).map_or_else(|found| found, |(_, found)| found);
        problems.extend(found.into_iter().map(|problem| Problem { file: index, ..problem }));
    }
    let consequences = match set {
        Some(new) if !arguments.against.is_empty() => {
            let overrides = match &arguments.against_config {
                Some(path) => Config::load(Some(path)).map_err(|error| error.to_string())?.parameters,
                None => arguments.model_arguments.before().choice(&arguments.models, config).overrides,
            };
            let old = load_baseline(&arguments.against, &models, &catalogue, &overrides)?;
            consequences(&old, &new)
        }
        _ => Vec::new(),
    };
    let count = mappings.len();
    let sources = models.into_iter().chain([catalogue]).chain(mappings).collect();
    Ok(Findings { problems, sources, mappings: count, has_catalogue, consequences })
}

/// Loads the models before the change: the files of `--against`, plus the models that none of these files replaces.
fn load_baseline(
    against: &[String],
    models: &[ModelSource],
    catalogue: &ModelSource,
    overrides: &[Override],
) -> Result<ModelSet, String> {
    let mut old = read_models(against)?;
    let replaced: Vec<String> = parse_drafts(&old, catalogue).0.into_iter().map(|draft| draft.name.value).collect();
    for model in models {
        let (drafts, ..) = parse_drafts(std::slice::from_ref(model), catalogue);
        if !drafts.iter().any(|draft| replaced.contains(&draft.name.value)) {
            old.push(model.clone());
        }
    }
    // Drops overrides of parameters that exist only in the new version.
    let (drafts, ..) = parse_drafts(&old, catalogue);
    let is_known = |given: &&Override| {
        let mut models = drafts.iter().filter(|draft| draft.name.value == given.model);
        models.any(|draft| draft.parameters.iter().any(|named| named.name.value == given.parameter))
    };
    let overrides: Vec<Override> = overrides.iter().filter(is_known).cloned().collect();
    load(&old, catalogue, &overrides).map(|(set, _)| set).map_err(|problems| {
        old.push(catalogue.clone());
        format!("the previous version (--against) is invalid\n\n{}", render(&problems, &old, false))
    })
}

/// Reads all models. The error names every model that cannot be read.
fn read_models(names: &[String]) -> Result<Vec<ModelSource>, String> {
    let mut models = Vec::with_capacity(names.len());
    let mut problems = Vec::new();
    for name in names {
        match read_model(name) {
            Ok(model) => models.push(model),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(models) } else { Err(problems.join("\n")) }
}

/// Reads the model file at the path `name`, or else the shipped model with this name.
fn read_model(name: &str) -> Result<ModelSource, String> {
    let path = PathBuf::from(name);
    // A pipe or a device is read, too.
    let can_be_read = path.exists() && !path.is_dir();
    match shipped(name) {
        Some(source) if !can_be_read => Ok(source),
        _ if !can_be_read => preset(name).ok_or_else(|| {
            let names = shipped_names().join(", ");
            format!("`{name}` is neither a file nor a shipped model; the shipped models are {names}")
        }),
        _ => read_source(&path).map_err(|error| error.0),
    }
}

fn text(findings: &Findings) -> String {
    // Always with colors: `print_colored` removes them if standard output is not a terminal.
    let mut text = render(&findings.problems, &findings.sources, true);
    for consequence in &findings.consequences {
        text.push_str(&consequence.text);
        text.push('\n');
    }
    if !findings.consequences.is_empty() {
        text.push('\n');
    }
    let count = |severity| findings.problems.iter().filter(|problem| problem.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let models = findings.sources.len() - 1 - findings.mappings;
    let catalogues = usize::from(findings.has_catalogue);
    let files: Vec<String> = [(models, "model"), (catalogues, "catalogue"), (findings.mappings, "mapping")]
        .into_iter()
        .filter(|&(number, _)| number > 0)
        .map(|(number, what)| counted(number, what))
        .collect();
    let files = files.join(" and ");
    let summary = match (errors, warnings) {
        (0, 0) => format!("{files} without problems\n"),
        (0, _) => format!("{files} usable, {}\n", counted(warnings, "warning")),
        _ => format!("invalid: {}, {}\n", counted(errors, "error"), counted(warnings, "warning")),
    };
    text.push_str(&summary);
    text
}

fn json(findings: &Findings) -> serde_json::Value {
    let problems: Vec<serde_json::Value> = findings
        .problems
        .iter()
        .map(|problem| {
            let source = findings.sources.get(problem.file);
            let position = |at| source.map(|source| line_and_column(&source.text, at));
            let (start, end) = (position(problem.span.start), position(problem.span.end));
            json!({
                "severity": match problem.severity { Severity::Error => "error", Severity::Warning => "warning" },
                "code": problem.code,
                "file": source.map(|source| source.name.as_str()),
                "line": start.map(|(line, _)| line),
                "column": start.map(|(_, column)| column),
                "end_line": end.map(|(line, _)| line),
                "end_column": end.map(|(_, column)| column),
                "message": problem.message,
                "label": problem.label,
                "help": problem.help,
            })
        })
        .collect();
    let consequences: Vec<serde_json::Value> = findings
        .consequences
        .iter()
        .map(|consequence| json!({"model": consequence.model, "kind": consequence.kind, "text": consequence.text}))
        .collect();
    json!({"problems": problems, "consequences": consequences})
}
