//! `lifecycle doctor`: examines the cluster for the service, and prints a report.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::service::doctor::{self, Check, Examination, Verdict};

use super::config::ConfigFile;
use super::{Exit, Format, print};

const EXAMPLES: &str = "\
Examples:
  lifecycle doctor --config lifecycle.yaml
  lifecycle doctor --config lifecycle.yaml --format json | jq '.checks[] | select(.verdict == \"problem\")'

Nothing is changed, except by --probe, and no group is joined: it may be run beside the service at any time.
Exit codes: 1 when there are problems, 3 when the cluster does not answer.";

/// Examine the cluster for all that would stop the service or break its promise
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Also try rights that only an attempt can tell, in transactions that are aborted: a record that no reader of committed
    /// records sees stays in each topic
    #[arg(long)]
    probe: bool,
    /// Print nothing that has passed
    #[arg(long)]
    brief: bool,
    /// How the report is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Examines the cluster.
pub(super) fn run(arguments: &DoctorArguments) -> ExitCode {
    let config = match arguments.config.load() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    if let Err(report) = config.models.load(io::stderr().is_terminal()) {
        eprintln!("{report}");
        return Exit::Usage.into();
    }
    let mut examination = match doctor::examine(&config, arguments.probe) {
        Ok(examination) => examination,
        Err(error) => {
            eprintln!("lifecycle doctor: {error}");
            let printed = match arguments.format {
                Format::Text => Exit::Success,
                Format::Json => {
                    let examination = doctor::unexamined(&config, &error);
                    print(&format!("{:#}\n", object(&examination, &counts(&examination))))
                }
            };
            return if printed == Exit::Success { Exit::Refused } else { printed }.into();
        }
    };
    let counts = counts(&examination);
    if arguments.brief {
        examination.checks.retain(|check| check.verdict != Verdict::Passed);
    }
    let text = match arguments.format {
        Format::Text => report(&examination, &counts),
        Format::Json => format!("{:#}\n", object(&examination, &counts)),
    };
    let has_problems = counts.iter().any(|(verdict, count)| *verdict == Verdict::Problem && *count > 0);
    let printed = print(&text);
    if printed == Exit::Success && has_problems { Exit::Problems.into() } else { printed.into() }
}

type Counts = [(Verdict, usize); 4];

fn counts(examination: &Examination) -> Counts {
    [Verdict::Passed, Verdict::Unknown, Verdict::Warning, Verdict::Problem].map(|it| (it, examination.count(it)))
}

fn report(examination: &Examination, counts: &Counts) -> String {
    let mut text = String::new();
    for Check { verdict, about, place, what, to_do } in &examination.checks {
        _ = writeln!(text, "{:<8} {about}: {place}: {what}", verdict.word());
        if !to_do.is_empty() {
            _ = writeln!(text, "         to do: {to_do}");
        }
    }
    let words: Vec<String> = counts
        .iter()
        .map(|(verdict, count)| match verdict {
            Verdict::Warning | Verdict::Problem if *count != 1 => format!("{count} {}s", verdict.word()),
            _ => format!("{count} {}", verdict.word()),
        })
        .collect();
    _ = writeln!(text, "{}", words.join(", "));
    text
}

fn object(examination: &Examination, counts: &Counts) -> Value {
    let check = |it: &Check| json!({"verdict": it.verdict.word(), "about": it.about, "place": it.place, "what": it.what, "to_do": it.to_do});
    let counts: serde_json::Map<String, Value> =
        counts.iter().map(|(verdict, count)| (verdict.word().to_owned(), (*count).into())).collect();
    json!({"checks": examination.checks.iter().map(check).collect::<Vec<_>>(), "counts": counts})
}
