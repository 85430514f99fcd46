//! `lifecycle repartition`: moves the customers of a stopped service to topics with another number of partitions.

use std::process::ExitCode;

use clap::Args;

use crate::config::SourceConfig;
use crate::service::repartition::{Action, Failure, Outcome, Progress, Target, repartition};

use super::config::ConfigFile;
use super::number::whole_number_in;
use super::{Exit, print, print_error};

const EXAMPLES: &str = "\
Examples:
  lifecycle repartition --to 48 --touchpoints touchpoints-48 --changelog lifecycle.changelog-48 --check --config lifecycle.yaml
  lifecycle repartition --to 48 --touchpoints touchpoints-48 --changelog lifecycle.changelog-48 --config lifecycle.yaml

Exit codes: 3 if the customers cannot be moved now, or Kafka is unreachable.";

/// Move the customers to topics with another number of partitions
///
/// Copies every customer (state, wake-ups, what was published) from the changelog to the partition that their id hashes
/// to in the new one, and compares both. With identity resolution, hand-overs that are under way are copied as well.
/// Missing topics are created. The service must be stopped, and must have read everything: let producers write to the
/// new touchpoint topic before. Old topics are not changed, and an interrupted run continues where it stopped. See
/// docs/partitions.md.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct RepartitionArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Number of partitions of the new topics
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole_number_in::<i32>(1, 100_000))]
    to: i32,
    /// New touchpoint topic
    #[arg(long, value_name = "TOPIC")]
    touchpoints: String,
    /// New changelog topic
    #[arg(long, value_name = "TOPIC")]
    changelog: String,
    /// New topic of hand-overs, with `identity.enabled`
    #[arg(long, value_name = "TOPIC")]
    hand_overs: Option<String>,
    /// Only check whether the customers can be moved; changes nothing
    #[arg(long)]
    check: bool,
}

/// Moves the customers.
pub(super) fn run(arguments: &RepartitionArguments) -> ExitCode {
    let config = match arguments.config.load_for_kafka() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    let target = Target {
        touchpoints: arguments.touchpoints.clone(),
        changelog: arguments.changelog.clone(),
        hand_overs: arguments.hand_overs.clone(),
        partitions: arguments.to,
    };
    let action = if arguments.check { Action::Check } else { Action::Move };
    match repartition(&config, &target, action, &mut |progress| print_error(describe(&progress))) {
        Ok(outcome) => print(&summary(&outcome, &target, config.direct_source())).into(),
        Err(failure) => {
            print_error(format_args!("lifecycle repartition: {failure}"));
            if let Failure::Refused(problems) = failure {
                for problem in problems {
                    print_error(problem);
                }
            }
            Exit::Refused.into()
        }
    }
}

fn describe(progress: &Progress) -> String {
    match progress {
        Progress::Created(topic) => format!("{topic}: created"),
        Progress::Copied { partition, entries } => format!("partition {partition}: {entries} entries copied"),
        Progress::HandOversCopied(count) => format!("hand-overs under way: {count} copied"),
        Progress::Compared { topic, partition } => format!("partition {partition} of {topic}: compared"),
    }
}

fn summary(outcome: &Outcome, target: &Target, direct: Option<&SourceConfig>) -> String {
    let Target { touchpoints, changelog, hand_overs, partitions } = target;
    // With its old topic, ingest would read the source from the first record and apply it all again.
    let source = direct.map_or_else(String::new, |it| format!(" and the topic of the source `{}`", it.name));
    let hand_overs = hand_overs.as_ref().map_or_else(String::new, |it| format!(" and topics.hand_overs to {it}"));
    let next = format!(
        "set topics.touchpoints{source} to {touchpoints} and topics.changelog to {changelog}{hand_overs} in the configuration, \
         then start the service\n"
    );
    match outcome {
        Outcome::Possible => "all checks passed; nothing was changed\n".to_owned(),
        Outcome::MovedBefore => format!("the customers are already in {partitions} partitions; {next}"),
        Outcome::Moved(contents) => {
            format!("{} customers are now in {partitions} partitions, the same as before; {next}", contents.customers)
        }
    }
}
