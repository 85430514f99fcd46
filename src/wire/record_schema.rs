//! JSON Schemas and Protobuf schemas of the records that other programs write and read.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::current_stages::CurrentStagesRecord;
use super::transition_json::TransitionRecord;
use crate::lifecycle::value::Type;

/// The path of the Protobuf file of touchpoints.
pub const TOUCHPOINT_FILE: &str = "lifecycle/v1/touchpoint.proto";
/// The path of the Protobuf file of transitions, by which others import it.
pub const TRANSITION_FILE: &str = "lifecycle/v1/transition.proto";
/// The path of the Protobuf file of current stages.
pub const CURRENT_STAGES_FILE: &str = "lifecycle/v1/current_stages.proto";

/// The schemas of `proto/` that other programs use, by path.
pub const PROTO_FILES: [(&str, &str); 3] = [
    (TOUCHPOINT_FILE, include_str!("../../proto/lifecycle/v1/touchpoint.proto")),
    (TRANSITION_FILE, include_str!("../../proto/lifecycle/v1/transition.proto")),
    (CURRENT_STAGES_FILE, include_str!("../../proto/lifecycle/v1/current_stages.proto")),
];

/// Returns the text of one of [`PROTO_FILES`]; an empty text for another path.
#[must_use]
pub fn proto_file(path: &str) -> &'static str {
    PROTO_FILES.iter().find(|(known, _)| *known == path).map_or("", |(_, text)| text)
}

/// Returns the JSON Schema of transitions that carry `attributes`: names and types.
#[must_use]
pub fn transition_schema(attributes: &[(String, Type)]) -> Value {
    let mut schema =
        described::<TransitionRecord<'static>>("Transition", "One published change of one customer in one model.");
    if !attributes.is_empty() {
        let properties: Map<String, Value> =
            attributes.iter().map(|(name, value_type)| (name.clone(), attribute_schema(*value_type))).collect();
        let required: Vec<&String> = attributes.iter().map(|(name, _)| name).collect();
        schema["properties"]["attributes"] = json!({
            "description": "Absent if the customer is being erased. An attribute without a value is null.",
            "type": "object",
            "properties": properties,
            "required": required,
        });
    }
    schema
}

fn attribute_schema(value_type: Type) -> Value {
    match value_type {
        Type::Int => json!({"type": ["integer", "null"]}),
        // Numbers that JSON does not have are text: `NaN`, `Infinity`, `-Infinity`.
        Type::Double => json!({"type": ["number", "string", "null"]}),
        Type::Bool => json!({"type": ["boolean", "null"]}),
        Type::String => json!({"type": ["string", "null"]}),
        Type::Timestamp => json!({"type": ["string", "null"], "format": "date-time"}),
        Type::Duration => json!({"type": ["string", "null"], "description": "Seconds with an `s`, such as `90s`."}),
    }
}

/// Returns the JSON Schema of records of the topic of current stages.
#[must_use]
pub fn current_stages_schema() -> Value {
    described::<CurrentStagesRecord>("Current stages", "What is published of one customer in all models.")
}

/// Returns the JSON Schema of touchpoints.
#[must_use]
pub fn touchpoint_schema() -> Value {
    let id = |description: &str| json!({"type": ["string", "integer"], "description": description, "minLength": 1, "maxLength": 512});
    json!({
        "title": "Touchpoint",
        "description": "One thing that a customer did, or that happened to the customer. Other fields are properties.",
        "type": "object",
        "required": ["event_id", "customer_id", "type", "occurred_at"],
        "properties": {
            "event_id": id("Unique id of the event."),
            "customer_id": id("Id of the customer; also the record's key."),
            "type": {"type": "string", "minLength": 1, "maxLength": 128, "description": "A type of the catalogue, or one of your own."},
            "occurred_at": {"type": "string", "format": "date-time", "description": "When it happened."},
            "order_id": {"type": ["string", "integer", "null"], "description": "The order that the touchpoint completes, cancels or refunds."},
            "amount": {"type": ["number", "string", "null"], "description": "A number or a decimal text, exact to six decimal places."},
            "currency": {"type": ["string", "null"], "description": "ISO 4217 code of the amount."},
            "properties": {"type": ["object", "array", "null"], "description": "Any other data."},
        },
        "additionalProperties": true,
    })
}

/// Returns the schema of a record type, with the schemas of its parts inside.
fn described<T: JsonSchema>(title: &str, description: &str) -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = Value::from(settings.into_generator().into_root_schema_for::<T>());
    schema["title"] = title.into();
    schema["description"] = description.into();
    schema
}
