//! `lifecycle check`: every problem of model files at once, and what an edit of them does.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Exit, print};
use crate::config::read_source;
use crate::lifecycle::model_edit::{Consequence, consequences};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::problem::{Problem, Severity};
use crate::wire::model_file::{
    ModelSource, Override, load, position, read, render, shipped, shipped_catalogue, shipped_names,
};

const EXAMPLES: &str = "\
Examples:
  lifecycle check ./my-model.yaml
  lifecycle check --set retention.risk_after=days(60) retention ./my-model.yaml
  lifecycle check --against ./my-model-v1.yaml ./my-model.yaml";

/// Report every problem of model files at once, and what an edit of them does.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckArguments {
    /// Model files, or names of shipped models; those that run together belong together here
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<String>,
    /// A model file that one of them takes the place of: tells what the edit does
    #[arg(long, value_name = "OLD")]
    against: Vec<String>,
    /// The catalogue of touchpoints, instead of the one that ships with the program
    #[arg(long, value_name = "FILE")]
    catalogue: Option<PathBuf>,
    /// A value for a parameter, as the configuration would give it: `retention.risk_after=days(60)`
    #[arg(long = "set", value_name = "MODEL.PARAMETER=VALUE", value_parser = parse_override)]
    overrides: Vec<Override>,
    /// How the findings are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How the findings are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs: one object.
    Json,
}

/// Everything that a check finds.
struct Findings {
    problems: Vec<Problem>,
    sources: Vec<ModelSource>,
    consequences: Vec<Consequence>,
}

/// Checks the models and prints what was found; fails when a model is refused.
#[must_use]
pub(super) fn run(arguments: &CheckArguments) -> ExitCode {
    let findings = match find(arguments) {
        Ok(findings) => findings,
        Err(message) => {
            anstream::eprintln!("error: {message}");
            return Exit::Usage.into();
        }
    };
    let printed = match arguments.format {
        Format::Text => print(&text(&findings)),
        Format::Json => print(&format!("{:#}\n", json(&findings))),
    };
    let is_refused = findings.problems.iter().any(|problem| problem.severity == Severity::Error);
    if is_refused && printed == Exit::Success { Exit::Problems } else { printed }.into()
}

fn find(arguments: &CheckArguments) -> Result<Findings, String> {
    let models = arguments.models.iter().map(|name| open(name)).collect::<Result<Vec<_>, _>>()?;
    let catalogue = match &arguments.catalogue {
        Some(path) => read_source(path).map_err(|refused| refused.0)?,
        None => shipped_catalogue(),
    };
    let (set, problems) = match load(&models, &catalogue, &arguments.overrides) {
        Ok((set, warnings)) => (Some(set), warnings),
        Err(problems) => (None, problems),
    };
    let consequences = match set {
        Some(new) if !arguments.against.is_empty() => {
            let old = open_old(&arguments.against, &models, &catalogue, &arguments.overrides)?;
            consequences(&old, &new)
        }
        _ => Vec::new(),
    };
    let sources = models.into_iter().chain([catalogue]).collect();
    Ok(Findings { problems, sources, consequences })
}

/// The models as they were: the old files, and those of the new ones that replace none of them.
fn open_old(
    against: &[String],
    models: &[ModelSource],
    catalogue: &ModelSource,
    overrides: &[Override],
) -> Result<ModelSet, String> {
    let mut old = against.iter().map(|name| open(name)).collect::<Result<Vec<_>, _>>()?;
    let replaced: Vec<String> = read(&old, catalogue).0.into_iter().map(|draft| draft.name.value).collect();
    for model in models {
        let (drafts, ..) = read(std::slice::from_ref(model), catalogue);
        if !drafts.iter().any(|draft| replaced.contains(&draft.name.value)) {
            old.push(model.clone());
        }
    }
    // A value for a parameter that only the new file has is of no use to the old one.
    let (drafts, ..) = read(&old, catalogue);
    let is_known = |given: &&Override| {
        let mut models = drafts.iter().filter(|draft| draft.name.value == given.model);
        models.any(|draft| draft.parameters.iter().any(|named| named.name.value == given.parameter))
    };
    let overrides: Vec<Override> = overrides.iter().filter(is_known).cloned().collect();
    load(&old, catalogue, &overrides).map(|(set, _)| set).map_err(|problems| {
        old.push(catalogue.clone());
        format!("what `--against` names cannot be loaded itself\n\n{}", render(&problems, &old, false))
    })
}

/// The model file at the path `name`, or the shipped model called so.
fn open(name: &str) -> Result<ModelSource, String> {
    let path = PathBuf::from(name);
    match shipped(name) {
        Some(source) if !path.exists() => Ok(source),
        _ if !path.exists() => Err(format!(
            "there is no file `{name}`, and no shipped model of that name; shipped are {}",
            shipped_names().join(", ")
        )),
        _ => read_source(&path).map_err(|refused| refused.0),
    }
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

fn text(findings: &Findings) -> String {
    // Colors go out; printing takes them away where nobody sees them.
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
    let models = findings.sources.len() - 1;
    let summary = match (errors, warnings) {
        (0, 0) => format!("{} without problems\n", counted(models, "model")),
        (0, _) => format!("{} usable, {}\n", counted(models, "model"), counted(warnings, "warning")),
        _ => format!("refused: {}, {}\n", counted(errors, "error"), counted(warnings, "warning")),
    };
    text.push_str(&summary);
    text
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn json(findings: &Findings) -> serde_json::Value {
    let problems: Vec<serde_json::Value> = findings
        .problems
        .iter()
        .map(|problem| {
            let source = findings.sources.get(problem.file);
            let place = |at| source.map(|source| position(&source.text, at));
            let (start, end) = (place(problem.span.start), place(problem.span.end));
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
