//! The `AsyncAPI` 3 document of the topics that other programs write and read.
//!
//! The document describes the service: it receives touchpoints and sends everything else. The changelog is not in it,
//! because it is internal.

use serde_json::{Map, Value, json};

use super::cloud_events::HeaderDetail;
use super::record_schema::{
    CURRENT_STAGES_FILE, TRANSITION_FILE, current_stages_schema, proto_file, touchpoint_schema, transition_schema,
};
use super::transition::RecordFormat;
use crate::lifecycle::value::Type;
use crate::partition::DeadLetterReason;

/// A topic of transitions, and which ones it contains.
#[derive(Clone, Debug)]
pub struct TransitionTopic {
    /// The topic.
    pub topic: String,
    /// Which transitions it contains, as a sentence.
    pub description: String,
}

/// The topics of a source, whose records become touchpoints.
#[derive(Clone, Debug)]
pub struct SourceTopics {
    /// Name of the source.
    pub name: String,
    /// Its topics: only that of touchpoints, or none of the service.
    pub topics: Vec<String>,
    /// Media type of its records.
    pub content_type: &'static str,
    /// Schema of its records, in the form of a payload.
    pub payload: Value,
    /// Whether the id of a schema precedes the values, in Confluent's wire format.
    pub has_schema_ids: bool,
}

/// The topics and formats of a deployment.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Bootstrap servers: `host:port`, comma-separated.
    pub bootstrap_servers: String,
    /// The topic of touchpoints.
    pub touchpoints: String,
    /// The sources. One of them may read the topic of touchpoints.
    pub sources: Vec<SourceTopics>,
    /// The topics of transitions.
    pub transitions: Vec<TransitionTopic>,
    /// The topic of current stages, if it is written.
    pub current_stages: Option<String>,
    /// The topic of dead letters.
    pub dead_letters: String,
    /// Format of transitions and current stages.
    pub format: RecordFormat,
    /// Whether the id of a schema precedes the values, in Confluent's wire format.
    pub has_schema_ids: bool,
    /// Which headers transitions have.
    pub headers: HeaderDetail,
    /// The attributes that transitions carry: names and types.
    pub attributes: Vec<(String, Type)>,
}

const DESCRIPTION: &str = "Consumes touchpoints of customers and publishes every change of their lifecycle stages exactly \
    once. Read with isolation.level=read_committed, and deduplicate by transition_id. The key of every record is the \
    customer id, except that dead letters have the key that they were received with, and the topics of sources may have any \
    keys.";

/// The topics in the document.
#[derive(Default)]
struct Topics {
    channels: Map<String, Value>,
    operations: Map<String, Value>,
}

impl Topics {
    /// Adds a topic that contains `messages`, which the service receives or sends.
    fn add(
        &mut self,
        name: &str,
        topic: &str,
        messages: &[&str],
        action: &str,
        description: &str,
        policy: Option<&str>,
    ) {
        let mut binding = json!({"topic": topic, "bindingVersion": "0.5.0"});
        if let Some(policy) = policy {
            binding["topicConfiguration"] = json!({"cleanup.policy": [policy]});
        }
        let reference =
            |message: &&str| ((*message).to_owned(), json!({"$ref": format!("#/components/messages/{message}")}));
        self.channels.insert(
            name.to_owned(),
            json!({
                "address": topic,
                "description": description,
                "messages": messages.iter().map(reference).collect::<Map<_, _>>(),
                "bindings": {"kafka": binding},
            }),
        );
        let operation =
            json!({"action": action, "channel": {"$ref": format!("#/channels/{name}")}, "summary": description});
        self.operations.insert(format!("{action}_{name}"), operation);
    }
}

impl SourceTopics {
    fn message(&self) -> Value {
        let mut message = json!({
            "title": format!("Record of the source {}", self.name),
            "contentType": self.content_type,
            "payload": self.payload,
        });
        if self.has_schema_ids {
            message["bindings"]["kafka"] = json!({
                "schemaIdLocation": "payload", "schemaIdPayloadEncoding": "confluent", "bindingVersion": "0.5.0",
            });
        }
        message
    }
}

impl Deployment {
    /// Returns the document.
    #[must_use]
    pub fn document(&self) -> Value {
        let mut topics = Topics::default();
        let mut messages = json!({
            "touchpoint": message("Touchpoint", "application/json", &touchpoint_schema(), None),
            "transition": self.message("Transition", TRANSITION_FILE, &transition_schema(&self.attributes), self.headers()),
            "dead_letter": {
                "title": "Dead letter",
                "contentType": "application/octet-stream",
                "headers": dead_letter_headers(),
                "payload": {"description": "The value as received."},
            },
        });
        let mut touchpoints = (vec!["touchpoint".to_owned()], "Touchpoints of customers.".to_owned());
        for (index, source) in self.sources.iter().enumerate() {
            let (name, message) = (&source.name, format!("source_{index}"));
            messages[&message] = source.message();
            if source.topics == [self.touchpoints.as_str()] {
                messages["touchpoint"]["headers"] = headers_of_native();
                touchpoints.0.push(message);
                touchpoints.1 = format!("Records of the source {name}, and touchpoints in JSON.");
                continue;
            }
            for (at, topic) in source.topics.iter().enumerate() {
                let description = format!("Records of the source {name}.");
                topics.add(&format!("{message}_{at}"), topic, &[&message], "receive", &description, None);
            }
        }
        let names: Vec<&str> = touchpoints.0.iter().map(String::as_str).collect();
        topics.add("touchpoints", &self.touchpoints, &names, "receive", &touchpoints.1, None);
        for (index, TransitionTopic { topic, description }) in self.transitions.iter().enumerate() {
            topics.add(&format!("transitions_{index}"), topic, &["transition"], "send", description, Some("delete"));
        }
        if let Some(topic) = &self.current_stages {
            let description =
                "The current stages of each customer. A record without value means that the customer was removed.";
            topics.add("current_stages", topic, &["current_stages"], "send", description, Some("compact"));
        }
        let description = "Records that are not valid touchpoints, as received, with the reason in their headers.";
        topics.add("dead_letters", &self.dead_letters, &["dead_letter"], "send", description, Some("delete"));
        if self.current_stages.is_some() {
            messages["current_stages"] =
                self.message("Current stages", CURRENT_STAGES_FILE, &current_stages_schema(), None);
        }
        let hosts = self.bootstrap_servers.split(',').map(str::trim).enumerate();
        let servers: Map<String, Value> =
            hosts.map(|(index, host)| (format!("kafka_{index}"), json!({"host": host, "protocol": "kafka"}))).collect();
        json!({
            "asyncapi": "3.0.0",
            "info": {
                "title": "lifecycle",
                "version": env!("CARGO_PKG_VERSION"),
                "description": DESCRIPTION,
                "license": {"name": "Apache-2.0"},
            },
            "defaultContentType": "application/json",
            "servers": servers,
            "channels": topics.channels,
            "operations": topics.operations,
            "components": {"messages": messages},
        })
    }

    /// Returns a message in the configured format. The Protobuf schema is the text of the file.
    fn message(&self, title: &str, path: &str, schema: &Value, headers: Option<Value>) -> Value {
        let content_type = self.format.content_type();
        let mut message = match self.format {
            RecordFormat::Json => message(title, content_type, schema, headers),
            RecordFormat::Protobuf => {
                let schema =
                    json!({"schemaFormat": "application/vnd.google.protobuf;version=3", "schema": proto_file(path)});
                message(title, content_type, &schema, headers)
            }
        };
        if self.has_schema_ids {
            message["bindings"]["kafka"]["schemaIdLocation"] = "payload".into();
            message["bindings"]["kafka"]["schemaIdPayloadEncoding"] = "confluent".into();
            message["bindings"]["kafka"]["schemaLookupStrategy"] = "TopicNameStrategy".into();
        }
        message
    }

    /// Returns the schema of the headers of transitions.
    fn headers(&self) -> Option<Value> {
        let text = |description: &str| json!({"type": "string", "description": description});
        let mut properties = json!({
            "content-type": {"type": "string", "const": self.format.content_type()},
            "ce_specversion": {"type": "string", "const": "1.0"},
            "ce_id": text("The transition_id."),
            "ce_source": text("The deployment."),
            "ce_type": {"type": "string", "const": "lifecycle.v1.Transition"},
        });
        match self.headers {
            HeaderDetail::None => return None,
            HeaderDetail::Minimal => {}
            HeaderDetail::Full => {
                properties["ce_time"] = text("The occurred_at.");
                properties["ce_subject"] = text("The customer id, if it is configured.");
            }
        }
        Some(json!({"type": "object", "properties": properties}))
    }
}

fn message(title: &str, content_type: &str, payload: &Value, headers: Option<Value>) -> Value {
    let mut message = json!({
        "title": title,
        "contentType": content_type,
        "payload": payload,
        "bindings": {"kafka": {"key": {"type": "string", "description": "The customer id."}, "bindingVersion": "0.5.0"}},
    });
    if let Some(headers) = headers {
        message["headers"] = headers;
    }
    message
}

/// Returns the schema of the headers that touchpoints in JSON have in the topic of a source: one of them.
fn headers_of_native() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "type": "object",
        "properties": {
            "lifecycle_source": text("The name of the source, or any text if another program writes the touchpoint."),
            "lifecycle_forwarded_from": text("The position of an erasure that the service has forwarded."),
        },
        "anyOf": [{"required": ["lifecycle_source"]}, {"required": ["lifecycle_forwarded_from"]}],
    })
}

fn dead_letter_headers() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "type": "object",
        "properties": {
            "lifecycle_reason": {"type": "string", "enum": DeadLetterReason::ALL.map(DeadLetterReason::as_str)},
            "lifecycle_detail": text("Which field is invalid, and what was expected."),
            "lifecycle_topic": text("The topic that the record was consumed from."),
            "lifecycle_partition": text("Its partition."),
            "lifecycle_offset": text("Its offset."),
            "lifecycle_timestamp": text("Its timestamp, in milliseconds since the Unix epoch."),
            "lifecycle_cut": text("The original sizes, if the record was truncated."),
            "lifecycle_redriven": text("Only in markers without key and value: the offsets that were redriven."),
        },
    })
}
