//! The command line: one file per command, and the exit codes that they share.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod check;
mod compare;
mod config;
mod demo;
mod doctor;
pub mod eval;
mod explain;
mod fact_arguments;
mod generate;
mod graph;
mod number;
mod replay;
mod run;
mod schema;
mod test;
mod top;
mod topics;
mod touchpoint_files;
mod watch;

/// How a command ended. The numbers are a contract: scripts and supervisors act on them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Done.
    Success = 0,
    /// Done, and problems were found in what was read: bad lines, a model that does not check, a scenario that fails.
    Problems = 1,
    /// The command line, the configuration or a model file cannot be used.
    Usage = 2,
    /// The service refused to start: the cluster does not answer, a topic is missing or wrong, the HTTP address is taken.
    Refused = 3,
    /// The service stopped because of an error that only a person can mend.
    Fatal = 4,
    /// The service did not stop within its deadline, or a call to Kafka never returned; a restart helps.
    Stuck = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  done, and problems were found: bad lines, a model that does not check, a scenario that fails,
     a cluster on which the service cannot keep its promise
  2  the command line, the configuration or a model file cannot be used
  3  run, topics, doctor, generate, top: the cluster, its topics or the HTTP address cannot be used
  4  run: stopped by an error that only a person can mend
  5  run: did not stop in time, or a call to Kafka never returned; restart it";

/// Computes customer lifecycle stages from Kafka touchpoints and publishes every change exactly once.
#[derive(Parser, Debug)]
#[command(name = "lifecycle", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Run(run::RunArguments),
    Demo(demo::DemoArguments),
    Top(top::TopArguments),
    Generate(generate::GenerateArguments),
    Check(check::CheckArguments),
    Eval(eval::EvalArguments),
    Graph(graph::GraphArguments),
    Schema(schema::SchemaArguments),
    Replay(replay::ReplayArguments),
    Explain(explain::ExplainArguments),
    Test(test::TestArguments),
    Topics(topics::TopicsArguments),
    Doctor(doctor::DoctorArguments),
    Config(config::ConfigArguments),
}

/// How a result is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs: one object.
    Json,
}

/// Prints `text` to standard output, without its colors where nobody sees them.
///
/// Whoever reads it may have seen enough and stopped reading: that is no failure, but a full disk is.
#[must_use]
fn print(text: &str) -> Exit {
    let mut output = anstream::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("lifecycle: standard output cannot be written: {error}");
            Exit::Usage
        }
        _ => Exit::Success,
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> ExitCode {
    match CommandLine::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Top(arguments) => top::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Graph(arguments) => graph::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Topics(arguments) => topics::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
    }
}
