//! `lifecycle schema`: prints the schemas of files, for editors, and of topics, for other programs.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::config::ConfigFile;
use super::{Exit, print, print_error, print_json};
use crate::config::{Config, SourceConfig, SourcesError};
use crate::decode::{Format, Framing};
use crate::lifecycle::value::Type;
use crate::runtime::RouteDraft;
use crate::wire::asyncapi::{Deployment, SourceTopics, TransitionTopic};
use crate::wire::model_file::{catalogue_schema, model_schema};
use crate::wire::record_schema::{
    PROTO_FILES, TOUCHPOINT_FILE, current_stages_schema, proto_file, touchpoint_schema, transition_schema,
};

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
            Ok((config, attributes)) => match config.sources.iter().map(|it| source_topics(&config, it)).collect() {
                Ok(sources) => deployment(&config, sources, attributes).document(),
                Err(problem) => {
                    print_error(problem);
                    return Exit::Usage.into();
                }
            },
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
fn deployment(config: &Config, sources: Vec<SourceTopics>, attributes: Vec<(String, Type)>) -> Deployment {
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
        sources,
        transitions,
        current_stages: topics.current_stages.clone(),
        dead_letters: topics.dead_letters.clone(),
        format: publish.format,
        has_schema_ids: publish.framing == Framing::Confluent,
        headers: publish.cloudevents,
        attributes,
    }
}

/// Returns the topics of `source` and what they contain. A pattern names no topic.
fn source_topics(config: &Config, source: &SourceConfig) -> Result<SourceTopics, SourcesError> {
    let SourceConfig { name, format, framing, schema, mapping, message, .. } = source;
    let protobuf = "application/vnd.google.protobuf;version=3";
    let payload = match (format, config.schema_text(source)?) {
        (Format::Avro, Some(text)) => {
            let schema = serde_json::from_str::<Value>(&text).unwrap_or(Value::String(text));
            json!({"schemaFormat": "application/vnd.apache.avro;version=1.9.0", "schema": schema})
        }
        (Format::Protobuf, Some(text))
            if schema.as_ref().and_then(|it| it.extension()).is_some_and(|it| it == "proto") =>
        {
            json!({"schemaFormat": protobuf, "schema": text})
        }
        (Format::Protobuf, None) if *framing == Framing::Plain && message.is_none() => {
            json!({"schemaFormat": protobuf, "schema": proto_file(TOUCHPOINT_FILE)})
        }
        (Format::Avro | Format::Protobuf, _) => {
            let message = message.as_ref().map_or_else(String::new, |message| format!(": the message {message}"));
            let place = match schema {
                Some(file) => format!("that {} contains{message}", file.display()),
                None => "that its id names in the schema registry".to_owned(),
            };
            json!({"description": format!("A value of the schema {place}.")})
        }
        (Format::Json, _) if mapping.is_none() => touchpoint_schema(),
        (Format::Json | Format::CloudEvents, _) => {
            let mapping =
                mapping.as_ref().map_or_else(String::new, |mapping| format!(" that the mapping {mapping} reads"));
            json!({"type": "object", "description": format!("A record{mapping}.")})
        }
    };
    Ok(SourceTopics {
        name: name.clone(),
        topics: source.named_topics().map(str::to_owned).collect(),
        content_type: match format {
            Format::Json => "application/json",
            Format::CloudEvents => "application/cloudevents+json",
            Format::Avro => "application/avro",
            Format::Protobuf => "application/protobuf",
        },
        payload,
        has_schema_ids: *framing == Framing::Confluent,
    })
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
