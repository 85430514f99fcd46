//! `lifecycle test`: runs scenario files and prints the differences. Parsing and running are in `scenario`.

use std::fmt::Write as _;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::mapping_argument::SourceArguments;
use super::model_arguments::{ModelArguments, overrides_of};
use super::number::counted;
use super::{Exit, print, print_error, test_mapping};
use crate::config::{Config, ModelChoice};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::touchpoint::FactOptions;
use crate::scenario::{Coverage, Difference, FILE_BYTES_MAX, Failure, parse, parse_header, run as run_scenario};
use crate::scenario::{SyntaxError, shipped_scenarios};
use crate::service::worker_options;
use crate::wire::model_file::shipped_names;

const EXTENSION: &str = "scenario";

const EXAMPLES: &str = "\
Examples:
  lifecycle test
  lifecycle test ./my-model.yaml
  lifecycle test --source ./my-mapping.yaml
  lifecycle test --coverage ./scenarios second-order.scenario

A scenario:
  model: loyalty_ladder
  scenario: a second order makes a regular customer
  2026-01-01 10:00  product_viewed                      -> became_prospect (prospect)
  +2 days           order_completed order_id=A amount=30 -> became_new_customer
  45 days later     nothing happens";

/// Run scenarios, the tests of a model: touchpoints and the transitions to expect
///
/// The scenarios of my-model.yaml are in my-model.scenario in the same folder. A scenario fails if an expected
/// transition is missing or an unexpected one is published. Without arguments, runs the scenarios of the models of
/// --config, or else of the shipped models. With --source, runs the golden records of a mapping: those of
/// my-mapping.yaml are in my-mapping.golden.ndjson in the same folder.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct TestArguments {
    /// Also report the stages and transition names that no scenario reaches; makes the command fail if there are any
    #[arg(long)]
    coverage: bool,
    #[command(flatten)]
    model_arguments: ModelArguments,
    #[command(flatten)]
    source: SourceArguments,
    /// Model files, scenario files, folders with scenario files, or names of shipped models
    #[arg(value_name = "MODEL|SCENARIO")]
    paths: Vec<String>,
}

/// A scenario file to run.
struct ScenarioFile {
    /// Name for messages.
    name: String,
    text: String,
    /// Base of relative paths; `None` for scenarios that ship with the program.
    directory: Option<PathBuf>,
    /// File name without extension; used as the model name if the file does not name a model.
    stem: String,
}

/// Runs the scenarios and prints the results.
pub(super) fn run(arguments: &TestArguments) -> ExitCode {
    if let Some(name) = &arguments.source.source {
        return test_mapping::run(&arguments.source, name, &arguments.paths).into();
    }
    let config = match arguments.model_arguments.config() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    let settings = Settings { model_arguments: &arguments.model_arguments, config: config.as_ref() };
    let files = match configured_files(&arguments.paths, config.as_ref()) {
        Ok(files) => files,
        Err(message) => {
            print_error(format_args!("lifecycle test: {message}"));
            return Exit::Usage.into();
        }
    };
    let mut total = Total::default();
    let mut exit = Exit::Success;
    for file in &files {
        match total.run(file, &settings, arguments.coverage) {
            Ok(text) => {
                let printed = print(&text);
                if printed != Exit::Success {
                    return printed.into();
                }
            }
            Err(report) => {
                print_error(&report);
                exit = Exit::Usage;
            }
        }
    }
    let printed = print(&format!("{}, {} failed\n", counted(total.scenarios, "scenario"), total.failed));
    if exit == Exit::Success {
        exit = printed;
    }
    if exit == Exit::Success && (total.failed > 0 || total.unreached > 0) {
        exit = Exit::Problems;
    }
    exit.into()
}

/// Where parameters, catalogue, currency and lateness come from.
struct Settings<'a> {
    model_arguments: &'a ModelArguments,
    config: Option<&'a Config>,
}

#[derive(Default)]
struct Total {
    scenarios: usize,
    failed: usize,
    unreached: usize,
}

impl Total {
    /// Runs all scenarios of a file and returns the results as text, or the reason why the file is invalid.
    fn run(&mut self, file: &ScenarioFile, settings: &Settings<'_>, with_coverage: bool) -> Result<String, String> {
        let syntax_errors = |syntax_errors: Vec<SyntaxError>| {
            let lines: Vec<String> = syntax_errors.iter().map(|error| format!("{}:{error}", file.name)).collect();
            lines.join("\n")
        };
        let header = parse_header(&file.text).map_err(syntax_errors)?;
        let names: Vec<String> = header.models.into_iter().map(|(_, name)| name).collect();
        let models = load(file, &names, settings)?;
        let scenarios = parse(&file.text, &models).map_err(syntax_errors)?;
        let mut options = settings.config.map_or_else(FactOptions::default, |config| worker_options(config).facts);
        options.currency = header.currency.unwrap_or(options.currency);

        let mut coverage = Coverage::default();
        let mut text = format!("{}\n", file.name);
        for scenario in &scenarios {
            let failures = run_scenario(scenario, &models, &options, &mut coverage);
            let verdict = if failures.is_empty() { "ok    " } else { "FAILED" };
            _ = writeln!(text, "  {verdict}  {}", scenario.title);
            for failure in &failures {
                write_failure(&mut text, failure);
            }
            self.scenarios += 1;
            self.failed += usize::from(!failures.is_empty());
        }
        if with_coverage {
            for model in &models.models {
                let unreached = coverage.unreached(model);
                self.unreached += unreached.len();
                for what in unreached {
                    _ = writeln!(text, "  no scenario reaches {what} of {}", model.name);
                }
            }
        }
        Ok(text)
    }
}

fn write_failure(text: &mut String, failure: &Failure) {
    _ = writeln!(text, "    line {}: {}", failure.line, failure.step);
    for difference in &failure.differences {
        match difference {
            Difference::Missing { expected } => _ = writeln!(text, "      - expected  {expected}"),
            Difference::Unexpected { got, reason } => {
                _ = writeln!(text, "      + got       {got}");
                for line in reason {
                    _ = writeln!(text, "                    {line}");
                }
            }
            Difference::OutOfOrder { got } => {
                _ = writeln!(text, "      the expected transitions were published, but in this order:");
                for line in got {
                    _ = writeln!(text, "                  {line}");
                }
            }
            Difference::Mismatch { expected, got } => {
                _ = writeln!(text, "      - expected  {expected}\n      + got       {got}");
            }
        }
    }
}

/// Loads the models that the scenario file names, or the model file with the same name in the same folder.
fn load(file: &ScenarioFile, names: &[String], settings: &Settings<'_>) -> Result<Arc<ModelSet>, String> {
    let stem = [file.stem.clone()];
    let names = if names.is_empty() { &stem } else { names };
    let directory = file.directory.clone().unwrap_or_default();
    // A model file next to the scenarios takes precedence over a shipped model with the same name.
    let beside = |name: &String| {
        let model_file = format!("{name}.yaml");
        let is_beside = file.directory.is_some() && directory.join(&model_file).is_file();
        if is_beside { model_file } else { name.clone() }
    };
    let mut choice = ModelChoice { names: names.iter().map(beside).collect(), directory, ..ModelChoice::default() };
    if let Some(config) = settings.config {
        choice.overrides = overrides_of(&choice, &config.parameters);
        choice.catalogue.clone_from(&config.catalogue);
    }
    settings.model_arguments.apply(&mut choice);
    let color = std::io::stderr().is_terminal();
    choice.load(color).map(Arc::new).map_err(|report| format!("{}: {report}", file.name))
}

/// Returns the scenarios at `paths`, or if there are none, those of the models of `config`.
fn configured_files(paths: &[String], config: Option<&Config>) -> Result<Vec<ScenarioFile>, String> {
    let Some(config) = config.filter(|_| paths.is_empty()) else { return files(paths) };
    let choice = config.model_choice();
    let path = |name: &String| {
        let is_shipped = shipped_scenarios(name).is_some();
        if is_shipped { name.clone() } else { choice.directory.join(name).display().to_string() }
    };
    files(&choice.names.iter().map(path).collect::<Vec<_>>())
}

fn files(paths: &[String]) -> Result<Vec<ScenarioFile>, String> {
    if paths.is_empty() {
        return shipped_names().iter().map(|name| shipped_file(name)).collect();
    }
    let mut files = Vec::new();
    for text in paths {
        let path = Path::new(text);
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension {
            Some(EXTENSION) => files.push(open(path)?),
            Some("yaml" | "yml") => {
                let beside = path.with_extension(EXTENSION);
                if !beside.is_file() {
                    let beside = beside.display();
                    return Err(format!("{text} has no scenarios: create {beside}, or pass a scenario file"));
                }
                files.push(open(&beside)?);
            }
            _ if path.is_dir() => files.extend(open_all(path)?),
            _ => files.push(shipped_file(text)?),
        }
    }
    Ok(files)
}

fn shipped_file(name: &str) -> Result<ScenarioFile, String> {
    let text = shipped_scenarios(name).ok_or_else(|| {
        format!("`{name}` is not a shipped model, a folder, or a file with the extension .yaml or .{EXTENSION}")
    })?;
    Ok(ScenarioFile {
        name: format!("{name}.{EXTENSION}"),
        text: text.to_owned(),
        directory: None,
        stem: name.to_owned(),
    })
}

fn open_all(directory: &Path) -> Result<Vec<ScenarioFile>, String> {
    let unreadable = |error| format!("{}: cannot be read: {error}", directory.display());
    let entries = fs::read_dir(directory).map_err(unreadable)?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(format!("{} contains no file with the extension .{EXTENSION}", directory.display()));
    }
    files.sort();
    files.iter().map(|path| open(path)).collect()
}

fn open(path: &Path) -> Result<ScenarioFile, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("{}: cannot be read: {error}", path.display());
    let length = fs::metadata(path).map_err(|error| unreadable(&error))?.len();
    if length > FILE_BYTES_MAX {
        return Err(unreadable(&format!("it has {length} bytes, the limit is {FILE_BYTES_MAX}")));
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let directory = Some(path.parent().unwrap_or(Path::new("")).to_owned());
    Ok(ScenarioFile { name: path.display().to_string(), text, directory, stem })
}
