//! The command line: one file per command, and the exit codes that all commands share.
//!
//! A command parses its arguments, calls the library and prints the result. Results go to standard output, everything
//! else to standard error.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::kafka::settings::STUCK_EXIT_CODE;
use crate::service::Failure;
use crate::wire::transition_text::escape_message;

mod check;
mod compare;
mod config;
#[cfg(feature = "tools")]
mod customers;
mod deliver;
#[cfg(feature = "tools")]
mod demo;
mod dlq;
mod doctor;
pub mod eval;
mod explain;
#[cfg(feature = "tools")]
mod generate;
mod graph;
mod ingest;
mod map;
mod mapping_argument;
mod model_arguments;
mod number;
mod output_file;
mod person;
mod repartition;
mod replay;
mod replay_totals;
mod run;
mod running_process;
mod schema;
#[cfg(feature = "tools")]
mod service_arguments;
mod test;
mod test_mapping;
mod timeline;
#[cfg(feature = "tools")]
mod tools;
#[cfg(not(feature = "tools"))]
#[path = "tools_not_built.rs"]
mod tools;
#[cfg(feature = "tools")]
mod top;
mod topics;
mod touchpoint_arguments;
mod touchpoint_source;
#[cfg(feature = "tools")]
mod watch;

/// Exit code of the process. The numbers are a contract: scripts and process supervisors rely on them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// The command succeeded.
    Success = 0,
    /// The command completed and found problems in its input: invalid lines, an invalid model, a failed scenario.
    Problems = 1,
    /// The command line, the configuration or a model file is invalid, or a file cannot be read or written.
    Usage = 2,
    /// The service cannot start: Kafka is unreachable, a topic is missing or misconfigured, or the HTTP address is in
    /// use.
    Refused = 3,
    /// The service stopped because of an error that needs an operator.
    Fatal = 4,
    /// The service missed its shutdown deadline, or a Kafka call did not return. A restart helps.
    Stuck = STUCK_EXIT_CODE as isize,
}

impl From<&Failure> for Exit {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Fatal(_) | Failure::Panicked => Self::Fatal,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0  success
  1  completed, but problems were found: invalid lines, an invalid model, a failed scenario,
     a cluster that does not meet the requirements of exactly-once
  2  the command line, the configuration or a model file is invalid, or a file cannot be accessed
  3  Kafka, a topic or an HTTP address cannot be used
  4  run: stopped by an error that needs an operator
  5  run: missed the shutdown deadline, or a Kafka call did not return; restart it";

/// Computes customer lifecycle stages from Kafka touchpoints and publishes every change exactly once
#[derive(Parser, Debug)]
#[command(name = "lifecycle", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Run(run::RunArguments),
    Ingest(ingest::IngestArguments),
    #[command(flatten)]
    Tool(tools::Tool),
    Check(check::CheckArguments),
    Eval(eval::EvalArguments),
    Graph(graph::GraphArguments),
    Map(map::MapArguments),
    Schema(schema::SchemaArguments),
    Replay(replay::ReplayArguments),
    Explain(explain::ExplainArguments),
    Test(test::TestArguments),
    Topics(topics::TopicsArguments),
    Repartition(repartition::RepartitionArguments),
    Doctor(doctor::DoctorArguments),
    Dlq(dlq::DlqArguments),
    Deliver(deliver::DeliverArguments),
    Config(config::ConfigArguments),
}

/// Returns the definition of the command line, from which shell completions and manual pages are generated.
#[must_use]
pub fn command() -> clap::Command {
    CommandLine::command()
}

/// Output format of a result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Format {
    /// Text for people
    Text,
    /// One JSON object, for programs
    Json,
}

/// Prints `text` to standard output, with control characters escaped.
///
/// A closed pipe (`lifecycle ... | head`) is not a failure; any other write error, such as a full disk, is.
#[must_use]
fn print(text: &str) -> Exit {
    write_output(&mut io::stdout().lock(), &escape_message(text))
}

/// Prints JSON to standard output, unchanged, as [`print()`] does.
#[must_use]
fn print_json(text: &str) -> Exit {
    write_output(&mut io::stdout().lock(), text)
}

/// Prints `text` to standard output as [`print()`] does; removes its colors if standard output is not a terminal.
#[must_use]
fn print_colored(text: &str) -> Exit {
    write_output(&mut anstream::stdout().lock(), &escape_message(text))
}

fn write_output(output: &mut impl Write, text: &str) -> Exit {
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            print_error(format_args!("lifecycle: standard output cannot be written: {error}"));
            Exit::Usage
        }
        _ => Exit::Success,
    }
}

/// Prints a line to standard error, with control characters escaped; removes its colors if standard error is not a
/// terminal.
///
/// If standard error is closed or its disk is full, the line is lost: the exit code still gives the result.
fn print_error(message: impl fmt::Display) {
    // A single write, so that lines of several processes do not mix.
    let message = format!("{message}\n");
    drop(anstream::stderr().lock().write_all(escape_message(&message).as_bytes()));
}

/// Parses the arguments of the process and runs the command.
#[must_use]
pub fn run() -> ExitCode {
    let command = match CommandLine::try_parse() {
        Ok(line) => line.command,
        Err(error) if error.use_stderr() => {
            // An argument may be the name of a file from another person.
            print_error(error.render().ansi().to_string().trim_end());
            return Exit::Usage.into();
        }
        Err(help) => help.exit(),
    };
    match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Ingest(arguments) => ingest::run(&arguments),
        Command::Tool(tool) => tools::run(&tool),
        Command::Check(arguments) => check::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Graph(arguments) => graph::run(&arguments),
        Command::Map(arguments) => map::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Topics(arguments) => topics::run(&arguments),
        Command::Repartition(arguments) => repartition::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Dlq(arguments) => dlq::run(&arguments),
        Command::Deliver(arguments) => deliver::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
    }
}
