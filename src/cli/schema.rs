//! `lifecycle schema`: prints the schemas of files, for editors, and of topics, for other programs.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::config::ConfigFile;
use super::{Exit, print, print_error, print_json};
use crate::config::Config;
use crate::decode::Framing;
use crate::lifecycle::value::Type;
use crate::runtime::RouteDraft;
use crate::wire::asyncapi::{Deployment, TransitionTopic};
use crate::wire::model_file::{catalogue_schema, model_schema};
use crate::wire::record_schema::{PROTO_FILES, current_stages_schema, touchpoint_schema, transition_schema};

const EXAMPLES: &str = "\
Examples:
  lifecycle schema models > model.schema.json
  lifecycle schema catalogue > catalogue.schema.json
  lifecycle schema asyncapi --config lifecycle.yaml > asyncapi.json
  lifecycle schema transitions > transition.schema.json
  lifecycle schema proto > lifecycle.proto.txt

Editors with a YAML language server use the schema if the model file starts with
  # yaml-language-server: $schema=model.schema.json";

/// Print the schema of model files, of records, or of all topics
///
/// The schema of a file describes its structure: keys, types and allowed values. It does not check names and
/// conditions; `lifecycle check` does. `asyncapi` describes all topics that the configuration names.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct SchemaArguments {
    /// What the schema describes
    #[arg(value_enum)]
    kind: Kind,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Kind {
    /// Model files, as JSON Schema
    Models,
    /// Catalogues of touchpoint types, as JSON Schema
    Catalogue,
    /// All topics of the configuration, as AsyncAPI 3
    Asyncapi,
    /// Records of the touchpoint topic, as JSON Schema
    Touchpoints,
    /// Records of the transition topics, as JSON Schema; with `--config`, also the types of publish.attributes
    Transitions,
    /// Records of the topic of current stages, as JSON Schema
    CurrentStages,
    /// Touchpoints, transitions and current stages, as Protobuf files
    Proto,
}

/// Prints the schema.
pub(super) fn run(arguments: &SchemaArguments) -> ExitCode {
    let schema = match arguments.kind {
        Kind::Models => model_schema(),
        Kind::Catalogue => catalogue_schema(),
        Kind::Touchpoints => touchpoint_schema(),
        Kind::Transitions if arguments.config.path().is_none() => transition_schema(&[]),
        Kind::CurrentStages => current_stages_schema(),
        Kind::Proto => {
            let files = PROTO_FILES.iter().map(|(path, text)| format!("// {path}\n\n{text}"));
            return print(&files.collect::<Vec<_>>().join("\n")).into();
        }
        Kind::Asyncapi | Kind::Transitions => match load(&arguments.config) {
            Ok((_, attributes)) if arguments.kind == Kind::Transitions => transition_schema(&attributes),
            Ok((config, attributes)) => deployment(&config, attributes).document(),
            Err(exit) => return exit.into(),
        },
    };
    print_json(&format!("{schema:#}\n")).into()
}

/// Loads the configuration, and the names and types of its attributes, for which the models are needed.
fn load(file: &ConfigFile) -> Result<(Config, Vec<(String, Type)>), Exit> {
    let config = file.load()?;
    if config.publish.attributes.is_empty() {
        return Ok((config, Vec::new()));
    }
    match config.model_choice().load(io::stderr().is_terminal()) {
        Ok(models) => Ok((config, models.attribute_types())),
        Err(report) => {
            print_error(&report);
            Err(Exit::Usage)
        }
    }
}

/// Returns the topics and formats of `config`. A topic that several routes share is described once.
fn deployment(config: &Config, attributes: Vec<(String, Type)>) -> Deployment {
    let (topics, publish) = (&config.topics, &config.publish);
    let topic = |topic: &str, description: &str| TransitionTopic {
        topic: topic.to_owned(),
        description: description.to_owned(),
    };
    let mut transitions = vec![topic(&topics.transitions, "Live transitions without a route.")];
    if topics.replay != topics.transitions {
        transitions
            .push(topic(&topics.replay, "Transitions found while processing history, and those of edited models."));
    }
    for route in &publish.routes {
        let description = format!("Live transitions with {}.", criteria(route));
        match transitions.iter_mut().find(|known| known.topic == route.topic) {
            Some(known) => known.description = format!("{} {description}", known.description),
            None => transitions.push(topic(&route.topic, &description)),
        }
    }
    Deployment {
        bootstrap_servers: config.kafka.bootstrap_servers.clone(),
        touchpoints: topics.touchpoints.clone(),
        transitions,
        current_stages: topics.current_stages.clone(),
        dead_letters: topics.dead_letters.clone(),
        format: publish.format,
        has_schema_ids: publish.framing == Framing::Confluent,
        headers: publish.cloudevents,
        attributes,
    }
}

fn criteria(route: &RouteDraft) -> String {
    let criteria = [
        ("model", &route.models),
        ("kind", &route.kinds),
        ("name", &route.names),
        ("direction", &route.directions),
        ("stage", &route.stages),
    ];
    let given = criteria.into_iter().filter(|(_, values)| !values.is_empty());
    given.map(|(name, values)| format!("{name} {}", values.join(" or "))).collect::<Vec<_>>().join(", ")
}
