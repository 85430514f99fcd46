//! `lifecycle topics`: creates the topics that the service needs, verifies their settings, and prints the permissions
//! (ACLs) that each role needs.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::config::Config;
use crate::config::deliver::DeliverConfig;
use crate::kafka::Error;
use crate::kafka::cluster::admin::Creation;
use crate::service::acls::{self, Grant, Role};
use crate::service::topics;

use super::config::ConfigFile;
use super::number::whole_number_in;
use super::{Exit, print, print_error};

const EXAMPLES: &str = "\
Examples:
  lifecycle topics --create --partitions 12 --config lifecycle.yaml
  lifecycle topics --verify --config lifecycle.yaml
  lifecycle topics --acls --principal User:lifecycle --config lifecycle.yaml

Exit codes: 1 if the service would refuse to start with these topics, 3 if Kafka is unreachable.";

/// Create or verify the topics that the service needs, or print the ACLs
///
/// The topic names come from the configuration. Existing topics are never changed. Only `lifecycle
/// repartition` changes the number of partitions later: see docs/before-the-first-start.md.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct TopicsArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Create the missing topics, then verify all of them
    #[arg(long)]
    create: bool,
    /// Verify the topics and print every problem; changes nothing
    #[arg(long)]
    verify: bool,
    /// Print the commands that grant a role its permissions (ACLs), or a table of them; does not contact Kafka
    #[arg(long, conflicts_with_all = ["create", "verify"])]
    acls: bool,
    /// The role whose permissions to print. The doctor needs those of the service as well
    #[arg(long, value_enum, default_value_t, requires = "acls")]
    role: RoleArgument,
    /// The principal that gets the permissions
    #[arg(long, value_name = "PRINCIPAL", default_value = "User:lifecycle", requires = "acls")]
    principal: String,
    /// How to print the permissions
    #[arg(long, value_enum, default_value_t, requires = "acls")]
    format: AclFormat,
    /// Partition count of new topics. If the touchpoint topic exists, its partition count is used instead
    #[arg(long, value_name = "N", default_value_t = 12, allow_negative_numbers = true, value_parser = whole_number_in::<i32>(1, 100_000))]
    partitions: i32,
    /// Replication factor of new topics [default: the broker's default]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole_number_in::<i32>(1, 100))]
    replication: Option<i32>,
}

#[derive(Clone, Copy, Default, ValueEnum, Debug)]
enum RoleArgument {
    /// `lifecycle run`
    #[default]
    Service,
    /// `lifecycle topics --create`
    Setup,
    /// `lifecycle doctor`
    Doctor,
    /// A consumer of transitions
    Consumer,
    /// `lifecycle deliver`, with its configuration or that of the service
    Deliver,
    /// `lifecycle dlq`
    Dlq,
}

impl From<RoleArgument> for Role {
    fn from(role: RoleArgument) -> Self {
        match role {
            RoleArgument::Service => Self::Service,
            RoleArgument::Setup => Self::Setup,
            RoleArgument::Doctor => Self::Doctor,
            RoleArgument::Consumer => Self::Consumer,
            RoleArgument::Deliver => Self::Deliver,
            RoleArgument::Dlq => Self::Dlq,
        }
    }
}

#[derive(Clone, Copy, Default, ValueEnum, Debug)]
enum AclFormat {
    /// Commands of Kafka's `kafka-acls.sh`
    #[default]
    Commands,
    /// A Markdown table
    Table,
}

/// Creates and verifies the topics, or prints the permissions.
pub(super) fn run(arguments: &TopicsArguments) -> ExitCode {
    if arguments.acls {
        if let (RoleArgument::Deliver, Some(path)) = (arguments.role, arguments.config.path())
            && Config::load(Some(path)).map_or(true, |config| config.deliver.is_none())
        {
            return print_deliver_acls(arguments, path).into();
        }
        return match arguments.config.load() {
            Ok(config) => print_acls(arguments, &config).into(),
            Err(exit) => exit.into(),
        };
    }
    if !arguments.create && !arguments.verify {
        print_error(format_args!(
            "lifecycle topics: choose an action: --create creates the missing topics and verifies all of them, --verify \
             verifies them and changes nothing, --acls prints the permissions that the service needs"
        ));
        return Exit::Usage.into();
    }
    let config = match arguments.config.load_for_kafka() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    match create_and_verify(arguments, &config) {
        Ok(exit) => exit.into(),
        Err(error) => {
            print_error(format_args!("lifecycle topics: {error}"));
            Exit::Refused.into()
        }
    }
}

fn print_acls(arguments: &TopicsArguments, config: &Config) -> Exit {
    let grants = acls::grants(config, arguments.role.into());
    if grants.is_empty() {
        print_error("lifecycle topics: the configuration has no section `deliver`: name one with --config FILE");
        return Exit::Usage;
    }
    print_grants(arguments, &grants, &config.kafka.bootstrap_servers)
}

/// Prints the permissions of the deliveries that the file at `path` configures.
fn print_deliver_acls(arguments: &TopicsArguments, path: &Path) -> Exit {
    match DeliverConfig::load(path) {
        Ok(config) => {
            let grants = acls::deliver_grants(&config.group_prefix, &config.topics, &config.dead_letters);
            print_grants(arguments, &grants, &config.bootstrap_servers)
        }
        Err(problems) => {
            print_error(&problems);
            Exit::Usage
        }
    }
}

fn print_grants(arguments: &TopicsArguments, grants: &[Grant], bootstrap_servers: &str) -> Exit {
    match arguments.format {
        AclFormat::Commands => print(&acls::commands(grants, bootstrap_servers, &arguments.principal)),
        AclFormat::Table => print(&acls::table(grants)),
    }
}

fn create_and_verify(arguments: &TopicsArguments, config: &Config) -> Result<Exit, Error> {
    let mut text = String::new();
    if arguments.create {
        for (topic, creation) in topics::create(config, arguments.partitions, arguments.replication)? {
            let creation = match creation {
                Creation::Created => "created",
                Creation::Existed => "already exists",
            };
            _ = writeln!(text, "{topic}: {creation}");
        }
        // Print before verifying, which may fail.
        let printed = print(&text);
        if printed != Exit::Success {
            return Ok(printed);
        }
        text.clear();
    }
    // No retries: the user is waiting.
    let findings = topics::verify(config, || true)?;
    for finding in &findings {
        _ = writeln!(text, "{finding}");
    }
    if findings.is_empty() {
        text.push_str("all topics are correct\n");
    }
    let printed = print(&text);
    Ok(if printed == Exit::Success && topics::prevent_start(&findings) { Exit::Problems } else { printed })
}
