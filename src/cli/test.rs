//! `lifecycle test`: runs scenario files and shows where they went another way.

use std::fmt::Write as _;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::{Exit, print};
use crate::config::ModelChoice;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::touchpoint::FactOptions;
use crate::scenario::{Coverage, Difference, FILE_BYTES_MAX, Failure, parse, read_head, run as run_scenario};
use crate::scenario::{Mistake, shipped_scenarios};
use crate::wire::model_file::shipped_names;

const EXTENSION: &str = "scenario";

const EXAMPLES: &str = "\
Examples:
  lifecycle test
  lifecycle test ./my-model.yaml
  lifecycle test --coverage ./scenarios second-order.scenario

A scenario:
  model: loyalty_ladder
  scenario: a second order makes a regular customer
  2026-01-01 10:00  product_viewed                      -> became_prospect (prospect)
  +2 days           order_completed order_id=A amount=30 -> became_new_customer
  45 days later     nothing happens";

/// Run scenarios: what a customer does, and what is expected to be published.
///
/// A model is tested by the file of its name that ends in `.scenario` and lies beside it. Everything that is published
/// must be expected. Without arguments the scenarios of the shipped models are run.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct TestArguments {
    /// Also tell which stages and names of the models no scenario reaches, and count them as problems
    #[arg(long)]
    coverage: bool,
    /// Model files, scenario files, folders of scenario files, or names of shipped models
    #[arg(value_name = "MODEL|SCENARIO")]
    paths: Vec<String>,
}

/// A scenario file to be run.
struct Sheet {
    /// As it is told to people.
    name: String,
    text: String,
    /// Where relative paths start; `None` for what ships inside the program.
    directory: Option<PathBuf>,
    /// The model when the file names none: a file name without its extension.
    stem: String,
}

/// Runs the scenarios.
pub(super) fn run(arguments: &TestArguments) -> ExitCode {
    let sheets = match sheets(&arguments.paths) {
        Ok(sheets) => sheets,
        Err(message) => {
            eprintln!("lifecycle test: {message}");
            return Exit::Usage.into();
        }
    };
    let mut total = Total::default();
    let mut exit = Exit::Success;
    for sheet in &sheets {
        let printed = match total.run(sheet, arguments.coverage) {
            Ok(text) => print(&text),
            Err(report) => {
                eprintln!("{report}");
                Exit::Usage
            }
        };
        if printed != Exit::Success {
            exit = printed;
        }
    }
    let printed = print(&format!("{} scenarios, {} failed\n", total.scenarios, total.failed));
    if exit == Exit::Success {
        exit = printed;
    }
    if exit == Exit::Success && (total.failed > 0 || total.unreached > 0) {
        exit = Exit::Problems;
    }
    exit.into()
}

#[derive(Default)]
struct Total {
    scenarios: usize,
    failed: usize,
    unreached: usize,
}

impl Total {
    /// Runs a file; the outcome as text, or why the file cannot be used.
    fn run(&mut self, sheet: &Sheet, tells_coverage: bool) -> Result<String, String> {
        let mistakes = |mistakes: Vec<Mistake>| {
            let lines: Vec<String> = mistakes.iter().map(|mistake| format!("{}:{mistake}", sheet.name)).collect();
            lines.join("\n")
        };
        let head = read_head(&sheet.text).map_err(mistakes)?;
        let names: Vec<String> = head.models.into_iter().map(|(_, name)| name).collect();
        let models = load(sheet, &names)?;
        let scenarios = parse(&sheet.text, &models).map_err(mistakes)?;
        let mut options = FactOptions::default();
        options.currency = head.currency.unwrap_or(options.currency);

        let mut coverage = Coverage::default();
        let mut text = format!("{}\n", sheet.name);
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
        if tells_coverage {
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
            Difference::Disordered { got } => {
                _ = writeln!(text, "      all of it was published, but in this order:");
                for line in got {
                    _ = writeln!(text, "                  {line}");
                }
            }
            Difference::Otherwise { expected, got } => {
                _ = writeln!(text, "      - expected  {expected}\n      + got       {got}");
            }
        }
    }
}

/// The models that a file names, or the one beside it.
fn load(sheet: &Sheet, names: &[String]) -> Result<Arc<ModelSet>, String> {
    let stem = [sheet.stem.clone()];
    let names = if names.is_empty() { &stem } else { names };
    let directory = sheet.directory.clone().unwrap_or_default();
    // A model beside the scenarios goes before a shipped one of the same name: it may be an edited copy.
    let beside = |name: &String| {
        let file = format!("{name}.yaml");
        let is_beside = sheet.directory.is_some() && directory.join(&file).is_file();
        if is_beside { file } else { name.clone() }
    };
    let choice = ModelChoice { names: names.iter().map(beside).collect(), directory, ..ModelChoice::default() };
    let color = std::io::stderr().is_terminal();
    choice.load(color).map(Arc::new).map_err(|report| format!("{}: {report}", sheet.name))
}

fn sheets(paths: &[String]) -> Result<Vec<Sheet>, String> {
    if paths.is_empty() {
        return shipped_names().iter().map(|name| shipped_sheet(name)).collect();
    }
    let mut sheets = Vec::new();
    for text in paths {
        let path = Path::new(text);
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension {
            Some(EXTENSION) => sheets.push(open(path)?),
            Some("yaml" | "yml") => {
                let beside = path.with_extension(EXTENSION);
                if !beside.is_file() {
                    let beside = beside.display();
                    return Err(format!("{text} has no scenarios: write them to {beside}, or name their file"));
                }
                sheets.push(open(&beside)?);
            }
            _ if path.is_dir() => sheets.extend(open_all(path)?),
            _ => sheets.push(shipped_sheet(text)?),
        }
    }
    Ok(sheets)
}

fn shipped_sheet(name: &str) -> Result<Sheet, String> {
    let text = shipped_scenarios(name).ok_or_else(|| {
        format!("`{name}` is no shipped model, no folder, and no file that ends in .yaml or .{EXTENSION}")
    })?;
    Ok(Sheet { name: format!("{name}.{EXTENSION}"), text: text.to_owned(), directory: None, stem: name.to_owned() })
}

fn open_all(directory: &Path) -> Result<Vec<Sheet>, String> {
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
        return Err(format!("{} holds no file that ends in .{EXTENSION}", directory.display()));
    }
    files.sort();
    files.iter().map(|path| open(path)).collect()
}

fn open(path: &Path) -> Result<Sheet, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("{}: cannot be read: {error}", path.display());
    let length = fs::metadata(path).map_err(|error| unreadable(&error))?.len();
    if length > FILE_BYTES_MAX {
        return Err(unreadable(&format!("it has {length} bytes, {FILE_BYTES_MAX} are allowed")));
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let directory = Some(path.parent().unwrap_or(Path::new("")).to_owned());
    Ok(Sheet { name: path.display().to_string(), text, directory, stem })
}
