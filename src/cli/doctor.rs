//! `lifecycle doctor`: checks the Kafka cluster and prints a report. The checks are in `service::doctor`.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::finding::{Finding, Severity};
use crate::service::doctor::{self, DoctorReport};
use crate::wire::transition_text::escape_control_characters;

use super::config::ConfigFile;
use super::{Exit, Format, print, print_error, print_json};

const EXAMPLES: &str = "\
Examples:
  lifecycle doctor --config lifecycle.yaml
  lifecycle doctor --config lifecycle.yaml --format json | jq '.checks[] | select(.verdict == \"problem\")'

Safe to run at any time, also while the service is running: it joins no group and, without --probe, writes nothing.
Exit codes: 1 if there are problems, 3 if Kafka is unreachable.";

/// Check the Kafka cluster for problems that stop the service or break exactly-once
///
/// Checks brokers and their limits, topics, the consumer group, committed offsets, the changelog format, open
/// transactions, permissions and clocks. Each check prints passed, unknown, warning or problem, and what to do about
/// it.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Also test the permissions that can only be tested by writing
    ///
    /// Writes one record to each topic that the service writes, in a transaction that it aborts. The records stay in
    /// the log, but consumers with `isolation.level=read_committed` do not see them.
    #[arg(long)]
    probe: bool,
    /// Omit the checks that passed
    #[arg(long)]
    brief: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs the checks and prints the report.
pub(super) fn run(arguments: &DoctorArguments) -> ExitCode {
    let config = match arguments.config.load_for_kafka() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    if let Err(report) = config.model_choice().load(io::stderr().is_terminal()) {
        print_error(&report);
        return Exit::Usage.into();
    }
    let mut report = match doctor::run_checks(&config, arguments.probe) {
        Ok(report) => report,
        Err(error) => {
            print_error(format_args!("lifecycle doctor: {error}"));
            let printed = match arguments.format {
                Format::Text => Exit::Success,
                Format::Json => {
                    let report = doctor::unreachable(&config, &error);
                    print_json(&format!("{:#}\n", to_json(&report, &counts(&report))))
                }
            };
            return if printed == Exit::Success { Exit::Refused } else { printed }.into();
        }
    };
    let counts = counts(&report);
    if arguments.brief {
        report.checks.retain(|check| check.severity != Severity::Passed);
    }
    let printed = match arguments.format {
        Format::Text => print(&to_text(&report, &counts)),
        Format::Json => print_json(&format!("{:#}\n", to_json(&report, &counts))),
    };
    let has_problems = counts.iter().any(|(verdict, count)| *verdict == Severity::Problem && *count > 0);
    if printed == Exit::Success && has_problems { Exit::Problems.into() } else { printed.into() }
}

type Counts = [(Severity, usize); 4];

fn counts(report: &DoctorReport) -> Counts {
    [Severity::Passed, Severity::Unknown, Severity::Warning, Severity::Problem].map(|it| (it, report.count(it)))
}

fn to_text(report: &DoctorReport, counts: &Counts) -> String {
    let mut text = String::new();
    for Finding { severity, about, place, what, to_do } in &report.checks {
        // Names of topics, groups and members come from the cluster.
        let [place, what, to_do] = [place, what, to_do].map(|text| escape_control_characters(text));
        _ = writeln!(text, "{:<8} {about}: {place}: {what}", severity.as_str());
        if !to_do.is_empty() {
            _ = writeln!(text, "         to do: {to_do}");
        }
    }
    let words: Vec<String> = counts
        .iter()
        .map(|(verdict, count)| match verdict {
            Severity::Warning | Severity::Problem if *count != 1 => format!("{count} {}s", verdict.as_str()),
            _ => format!("{count} {}", verdict.as_str()),
        })
        .collect();
    _ = writeln!(text, "{}", words.join(", "));
    text
}

fn to_json(report: &DoctorReport, counts: &Counts) -> Value {
    let check = |it: &Finding| json!({"verdict": it.severity.as_str(), "about": it.about, "place": it.place, "what": it.what, "to_do": it.to_do});
    let counts: serde_json::Map<String, Value> =
        counts.iter().map(|(verdict, count)| (verdict.as_str().to_owned(), (*count).into())).collect();
    json!({"checks": report.checks.iter().map(check).collect::<Vec<_>>(), "counts": counts})
}
