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

/// The topics and formats of a deployment.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Bootstrap servers: `host:port`, comma-separated.
    pub bootstrap_servers: String,
    /// The topic of touchpoints.
    pub touchpoints: String,
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
    customer id, except that dead letters have the key that they were received with.";

impl Deployment {
    /// Returns the document.
    #[must_use]
    pub fn document(&self) -> Value {
        let mut channels = Map::new();
        let mut operations = Map::new();
        let mut add = |name: &str,
                       topic: &str,
                       message: &str,
                       action: &str,
                       description: &str,
                       policy: Option<&str>| {
            let mut binding = json!({"topic": topic, "bindingVersion": "0.5.0"});
            if let Some(policy) = policy {
                binding["topicConfiguration"] = json!({"cleanup.policy": [policy]});
            }
            channels.insert(
                name.to_owned(),
                json!({
                    "address": topic,
                    "description": description,
                    "messages": {message: {"$ref": format!("#/components/messages/{message}")}},
                    "bindings": {"kafka": binding},
                }),
            );
            let operation =
                json!({"action": action, "channel": {"$ref": format!("#/channels/{name}")}, "summary": description});
            operations.insert(format!("{action}_{name}"), operation);
        };
        add("touchpoints", &self.touchpoints, "touchpoint", "receive", "Touchpoints of customers.", None);
        for (index, TransitionTopic { topic, description }) in self.transitions.iter().enumerate() {
            add(&format!("transitions_{index}"), topic, "transition", "send", description, Some("delete"));
        }
        if let Some(topic) = &self.current_stages {
            let description =
                "The current stages of each customer. A record without value means that the customer was removed.";
            add("current_stages", topic, "current_stages", "send", description, Some("compact"));
        }
        let description = "Records that are not valid touchpoints, as received, with the reason in their headers.";
        add("dead_letters", &self.dead_letters, "dead_letter", "send", description, Some("delete"));

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
            "channels": channels,
            "operations": operations,
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
