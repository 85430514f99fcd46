//! `lifecycle graph`: draws models as diagrams. The layouts are in `graph`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::model_arguments::ModelArguments;
use super::output_file::OutputFile;
use super::{Exit, print_error};
use crate::graph::{Language, diagrams, dot, mermaid, svg};

const EXAMPLES: &str = "\
Examples:
  lifecycle graph retention
  lifecycle graph --format svg --output retention.svg retention
  lifecycle graph --format svg --language ru classic_seven > classic_seven.svg
  lifecycle graph --format dot ./my-model.yaml | dot -Tpdf > my-model.pdf";

/// Draw models as diagrams: stages, moves, and moves caused by time alone
///
/// Writes Mermaid, DOT or SVG. Shows the named moves of a model, not every move that its conditions allow.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct GraphArguments {
    /// Shipped models or model files [default: the models of --config]
    #[arg(required_unless_present = "config", value_name = "MODEL")]
    models: Vec<String>,
    #[command(flatten)]
    model_arguments: ModelArguments,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Mermaid)]
    format: Format,
    /// Language of titles and labels; falls back to English where a model has no translation
    #[arg(long, value_enum, default_value_t = LanguageCode::En)]
    language: LanguageCode,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// Mermaid flowchart, for Markdown
    Mermaid,
    /// DOT graph, for Graphviz
    Dot,
    /// Self-contained SVG image
    Svg,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum LanguageCode {
    /// English
    En,
    /// Russian
    Ru,
    /// Finnish
    Fi,
    /// Ukrainian
    Uk,
}

impl From<LanguageCode> for Language {
    fn from(code: LanguageCode) -> Self {
        match code {
            LanguageCode::En => Self::English,
            LanguageCode::Ru => Self::Russian,
            LanguageCode::Fi => Self::Finnish,
            LanguageCode::Uk => Self::Ukrainian,
        }
    }
}

/// Draws the models and writes the result.
pub(super) fn run(arguments: &GraphArguments) -> ExitCode {
    let source = &arguments.model_arguments;
    let config = match source.config() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    let models = match source.load(&arguments.models, config.as_ref()) {
        Ok(models) => models,
        Err(exit) => return exit.into(),
    };
    let pictures = diagrams(&models, arguments.language.into());
    let text = match arguments.format {
        Format::Mermaid => mermaid(&pictures),
        Format::Dot => dot(&pictures),
        Format::Svg => svg(&pictures),
    };
    let (name, written) = match &arguments.output {
        Some(path) => {
            let inputs = source.input_files(&arguments.models, config.as_ref());
            let written = OutputFile::create(path, &inputs).and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.finish()
            });
            (path.display().to_string(), written)
        }
        None => ("standard output".to_owned(), io::stdout().lock().write_all(text.as_bytes())),
    };
    match written {
        Ok(()) => Exit::Success.into(),
        // A reader that closes the pipe (`| head`) is not a failure.
        Err(error) if arguments.output.is_none() && error.kind() == io::ErrorKind::BrokenPipe => Exit::Success.into(),
        Err(error) => {
            print_error(format_args!("lifecycle graph: {name}: cannot be written: {error}"));
            Exit::Usage.into()
        }
    }
}
