//! JSON Schemas of model files and catalogues, for completion, hover text and validation in editors.
//!
//! A schema covers only the shape of a file. `lifecycle check` also verifies names and conditions.

use serde_json::{Map, Value, json};

use super::keys::{
    CATALOGUE, COUNTER, DIRECTIONS, GROUP, Keys, MILESTONE, MODEL, PROPERTY, SIGNAL, STAGE, TRANSITION, TYPE, TYPES,
};
use crate::lifecycle::model::Direction;
use crate::lifecycle::model_check::NAME_BYTES_MAX;
use crate::lifecycle::value::Type;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Returns the JSON Schema of model files.
#[must_use]
pub fn model_schema() -> Value {
    document(&MODEL, "Model of a customer lifecycle", "A lifecycle model. See docs/guide.md and docs/language.md.")
}

/// Returns the JSON Schema of touchpoint catalogues.
#[must_use]
pub fn catalogue_schema() -> Value {
    document(&CATALOGUE, "Catalogue of touchpoints", "Touchpoint types and groups that all models share.")
}

fn document(keys: &Keys, title: &str, description: &str) -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".into(), DIALECT.into());
    schema.insert("title".into(), title.into());
    schema.insert("description".into(), description.into());
    if let Value::Object(keywords) = mapping(keys) {
        schema.extend(keywords);
    }
    schema.into()
}

/// Returns the schema of a mapping that allows exactly these keys.
fn mapping(keys: &Keys) -> Value {
    let describe = |key: &&str| ((*key).to_owned(), value_of(keys.what, key));
    let properties: Map<String, Value> = keys.known.iter().map(describe).collect();
    let required = keys.required;
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// Returns the schema of the value under `key` in `what`.
fn value_of(what: &str, key: &str) -> Value {
    match (what, key) {
        (_, "title") => title(),
        (_, "description") => text("Description for readers; not published."),
        ("a model", "model") => published("Name of the model, as published.", "loyalty_ladder"),
        ("a model", "version") => json!({"type": "integer", "minimum": 1, "maximum": u32::MAX, "default": 1,
            "description": "Published with each transition; increase it with each change."}),
        ("a model", "journey") => words(
            "Stages that a customer passes through, in this order. The order determines the direction of a move and the skipped stages. A stage that is not listed is outside the journey: entering it is an `exit`, leaving it a `reentry`.",
            &json!(["newcomer", "regular"]),
        ),
        ("a model", "parameters") => {
            named("Named constants; the configuration can override their values.", &json!({"risk_after": "days(90)"}))
        }
        ("a model", "facts") => named(
            "Named facts, derived from a customer's touchpoints: count, count_within, first, last, latest, sum, orders.",
            &json!({"orders": "orders()", "recommended_at": "last(advocacy)"}),
        ),
        ("a model", "conditions") => named(
            "Named conditions, which stages and other conditions can use by name.",
            &json!({"silent": "now >= orders.last + days(90)"}),
        ),
        ("a model", "stages") => {
            list(&STAGE, "Stages in order of evaluation: a customer is in the first stage whose condition holds.")
        }
        ("a model", "transitions") => list(
            &TRANSITION,
            "Names of moves between stages; the first matching entry applies. A move without a match is published as `stage_entered`.",
        ),
        ("a model", "signals") => list(&SIGNAL, "Conditions published when they start and when they stop holding."),
        ("a model", "milestones") => list(&MILESTONE, "Conditions published once per customer, when they first hold."),
        ("a model", "counters") => {
            list(&COUNTER, "Numbers published each time they exceed the highest number published so far.")
        }
        (_, "types") if what != "a group" => types(),
        ("a model", "touchpoints") => groups("Groups of touchpoint types, in addition to those of the catalogue."),
        ("a catalogue", "groups") => groups("Groups of touchpoint types."),
        ("a catalogue", "catalogue") => text("Name of the catalogue."),
        ("a stage", "stage") => published("Name of the stage, as published; `any` and `none` are reserved.", "regular"),
        ("a signal", "signal") => published("Name of the signal, as published.", "high_value"),
        ("a milestone", "milestone") => published("Name of the milestone, as published.", "made_first_purchase"),
        ("a counter", "counter") => published("Name of the counter, as published.", "reentered_cycle"),
        ("a counter", "of") => expression("The number to publish; an integer.", "orders.count"),
        ("a counter", "from") => {
            json!({"type": "integer", "minimum": 1, "default": 1, "description": "Lowest number that is published."})
        }
        ("a transition", "name") => published("Name of the move, as published.", "became_regular"),
        ("a transition", "from") => words(
            "Stages that the move leaves: names, `any` for any stage, `none` for no stage. If omitted, anything matches.",
            &json!("lapsed"),
        ),
        ("a transition", "to") => words(
            "Stages that the move enters: names, `any` for any stage, `none` for no stage. If omitted, anything matches.",
            &json!("regular"),
        ),
        ("a transition", "cause") => words(
            "Possible causes of the move: touchpoint types and groups, or `time` for the passing of time.",
            &json!(["time", "order_refunded"]),
        ),
        ("a transition", "when") => expression("Condition that must hold right after the move.", "orders.count >= 2"),
        ("a transition", "direction") => json!({"enum": DIRECTIONS.map(Direction::as_str),
            "description": "Overrides the direction derived from the journey."}),
        (_, "when") => expression("The condition.", "orders.count >= 1 && now < orders.last + days(90)"),
        ("a group", "types") => words("Touchpoint types in the group.", &json!(["order_completed"])),
        ("a group", "groups") => {
            words("Groups whose touchpoint types are all in this group.", &json!(["research", "decision"]))
        }
        ("a group", "except") => words(
            "Touchpoint types and groups to exclude from those of `types` and `groups`.",
            &json!(["email_opened"]),
        ),
        ("a group", "where") => expression(
            "Condition on a touchpoint's properties; only touchpoints for which it holds are in the group.",
            "scale == \"nps\" && score >= 9",
        ),
        ("a property", "type") => property_type(),
        ("a property", "unit") => text("Unit of the number."),
        (_, "properties") => {
            json!({"type": "object", "description": "Touchpoint properties by name: a type, or a mapping with type, unit and description.",
            "additionalProperties": {"anyOf": [property_type(), mapping(&PROPERTY)]}, "examples": [{"score": "double"}]})
        }
        _ => unreachable!("`{key}` of {what} is not described"),
    }
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

/// Returns the schema of a published name.
fn published(description: &str, example: &str) -> Value {
    json!({"type": "string", "description": description, "pattern": "^[A-Za-z][A-Za-z0-9_.-]*$",
        "maxLength": NAME_BYTES_MAX, "examples": [example]})
}

/// Returns the schema of an expression. YAML parses some expressions as numbers or booleans.
fn expression(description: &str, example: &str) -> Value {
    json!({"type": ["string", "number", "boolean"], "description": description, "examples": [example]})
}

fn title() -> Value {
    json!({
        "description": "The title: in English, or by language code.",
        "examples": [{"en": "Regular customer", "ru": "Постоянный покупатель"}],
        "anyOf": [
            {"type": "string"},
            {"type": "object", "additionalProperties": {"type": "string"},
                "propertyNames": {"pattern": "^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$"}},
        ],
    })
}

/// Returns the schema of one word or a list of words.
fn words(description: &str, example: &Value) -> Value {
    let word = json!({"type": "string", "minLength": 1});
    json!({"description": description, "anyOf": [word, {"type": "array", "items": word}], "examples": [example]})
}

/// Returns the schema of a mapping of names to expressions.
fn named(description: &str, example: &Value) -> Value {
    json!({"type": "object", "description": description, "examples": [example],
        "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": NAME_BYTES_MAX},
        "additionalProperties": {"type": ["string", "number", "boolean"]}})
}

fn list(keys: &Keys, description: &str) -> Value {
    json!({"type": "array", "description": description, "items": mapping(keys)})
}

fn types() -> Value {
    let one = json!({"anyOf": [{"type": "null"}, mapping(&TYPE)]});
    json!({"type": "object", "description": "Touchpoint types by name, with their properties.",
        "examples": [{"subscription_started": {"description": "a subscription began"}}], "additionalProperties": one})
}

fn groups(description: &str) -> Value {
    let names = json!({"type": "array", "items": {"type": "string", "minLength": 1}});
    json!({"type": "object", "description": description, "examples": [{"paid": ["payment_succeeded", "payment_refunded"]}],
        "additionalProperties": {"anyOf": [names, mapping(&GROUP)]}})
}

fn property_type() -> Value {
    json!({"enum": TYPES.map(Type::name), "description": "Type of the property. Values of another type count as absent."})
}
