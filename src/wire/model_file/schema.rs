//! JSON Schemas of model files and catalogues, for editors: completion, explanations, and slips told while one types.
//!
//! A schema knows the shape of a file. Whether names exist and conditions make sense is told by `lifecycle check` alone.

use serde_json::{Map, Value, json};

use super::keys::{
    CATALOGUE, COUNTER, DIRECTIONS, GROUP, Keys, MILESTONE, MODEL, PROPERTY, SIGNAL, STAGE, TRANSITION, TYPE, TYPES,
};
use crate::lifecycle::model::Direction;
use crate::lifecycle::model_check::NAME_BYTES_MAX;
use crate::lifecycle::value::Type;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The JSON Schema of model files.
#[must_use]
pub fn model_schema() -> Value {
    document(
        &MODEL,
        "Model of a customer lifecycle",
        "A model for lifecycle. The guide and the reference of the language tell more.",
    )
}

/// The JSON Schema of catalogues of touchpoints.
#[must_use]
pub fn catalogue_schema() -> Value {
    document(&CATALOGUE, "Catalogue of touchpoints", "The touchpoints that the models of lifecycle share.")
}

fn document(keys: &Keys, title: &str, description: &str) -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".into(), DIALECT.into());
    schema.insert("title".into(), title.into());
    schema.insert("description".into(), description.into());
    if let Value::Object(of) = mapping(keys) {
        schema.extend(of);
    }
    schema.into()
}

/// A mapping with these keys and no others.
fn mapping(keys: &Keys) -> Value {
    let describe = |key: &&str| ((*key).to_owned(), value_of(keys.what, key));
    let properties: Map<String, Value> = keys.known.iter().map(describe).collect();
    let required = keys.required;
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// What may stand under `key` in `what`.
fn value_of(what: &str, key: &str) -> Value {
    match (what, key) {
        (_, "title") => title(),
        (_, "description") => text("A sentence for people; not published."),
        ("a model", "model") => published("The model's name, as it is published.", "loyalty_ladder"),
        ("a model", "version") => json!({"type": "integer", "minimum": 1, "maximum": u32::MAX, "default": 1,
            "description": "Published with each transition; raise it with each change."}),
        ("a model", "journey") => words(
            "The stages that a customer passes, in this order. It gives direction and skipped stages; a stage left out lies outside: entering it is an exit, leaving it a re-entry.",
            &json!(["newcomer", "regular"]),
        ),
        ("a model", "parameters") => {
            named("Named constants; the configuration may give them other values.", &json!({"risk_after": "days(90)"}))
        }
        ("a model", "facts") => named(
            "Names for what is known of a customer, made of touchpoints: count, count_within, first, last, latest, sum, orders.",
            &json!({"orders": "orders()", "recommended_at": "last(advocacy)"}),
        ),
        ("a model", "conditions") => named(
            "Names for parts of conditions, which several stages may share.",
            &json!({"silent": "now >= orders.last + days(90)"}),
        ),
        ("a model", "stages") => list(&STAGE, "From the top: the customer's stage is the first whose condition holds."),
        ("a model", "transitions") => list(
            &TRANSITION,
            "Names of moves between stages, the first that fits; a move without one is published as stage_entered.",
        ),
        ("a model", "signals") => list(&SIGNAL, "Conditions published when they start and when they stop to hold."),
        ("a model", "milestones") => {
            list(&MILESTONE, "Conditions published once in a customer's life, when they first hold.")
        }
        ("a model", "counters") => {
            list(&COUNTER, "Numbers published each time they exceed the highest published so far.")
        }
        (_, "types") if what != "a group" => types(),
        ("a model", "touchpoints") => groups("Groups of touchpoint types beside those of the catalogue."),
        ("a catalogue", "groups") => groups("Groups of touchpoint types."),
        ("a catalogue", "catalogue") => text("What the catalogue is called."),
        ("a stage", "stage") => {
            published("The stage's name, as it is published; `any` and `none` mean something else.", "regular")
        }
        ("a signal", "signal") => published("The signal's name, as it is published.", "high_value"),
        ("a milestone", "milestone") => published("The milestone's name, as it is published.", "made_first_purchase"),
        ("a counter", "counter") => published("The counter's name, as it is published.", "reentered_cycle"),
        ("a counter", "of") => expression("The number; a whole one.", "orders.count"),
        ("a counter", "from") => {
            json!({"type": "integer", "minimum": 1, "default": 1, "description": "The least number that is published."})
        }
        ("a transition", "name") => published("What such a move is called, as it is published.", "became_regular"),
        ("a transition", "from") => words(
            "The stages that are left: names, `any` for any stage, `none` for no stage. Left out, everything fits.",
            &json!("lapsed"),
        ),
        ("a transition", "to") => words(
            "The stages that are entered: names, `any` for any stage, `none` for no stage. Left out, everything fits.",
            &json!("regular"),
        ),
        ("a transition", "cause") => words(
            "What may have caused the move: types and groups of touchpoints, `time` for the passing of time.",
            &json!(["time", "order_refunded"]),
        ),
        ("a transition", "when") => {
            expression("What must hold at the instant of the move, after it.", "orders.count >= 2")
        }
        ("a transition", "direction") => json!({"enum": DIRECTIONS.map(Direction::as_str),
            "description": "Published instead of the direction that the journey gives."}),
        (_, "when") => expression("The condition.", "orders.count >= 1 && now < orders.last + days(90)"),
        ("a group", "types") => words("Members: touchpoint types.", &json!(["order_completed"])),
        ("a group", "groups") => words("Members: all types of these groups.", &json!(["research", "decision"])),
        ("a group", "except") => words("Types and groups that are taken out again.", &json!(["email_opened"])),
        ("a group", "where") => expression(
            "Holds for the touchpoints that count; reads their properties.",
            "scale == \"nps\" && score >= 9",
        ),
        ("a property", "type") => property_type(),
        ("a property", "unit") => text("What a number is measured in."),
        (_, "properties") => {
            json!({"type": "object", "description": "Properties of touchpoints by name: a type, or type, unit and description.",
            "additionalProperties": {"anyOf": [property_type(), mapping(&PROPERTY)]}, "examples": [{"score": "double"}]})
        }
        _ => unreachable!("`{key}` of {what} is not described"),
    }
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

/// A name that is published.
fn published(description: &str, example: &str) -> Value {
    json!({"type": "string", "description": description, "pattern": "^[A-Za-z][A-Za-z0-9_.-]*$",
        "maxLength": NAME_BYTES_MAX, "examples": [example]})
}

/// An expression. What YAML takes for a number or a truth is one as well.
fn expression(description: &str, example: &str) -> Value {
    json!({"type": ["string", "number", "boolean"], "description": description, "examples": [example]})
}

fn title() -> Value {
    json!({
        "description": "The title: in English, or by language.",
        "examples": [{"en": "Regular customer", "ru": "Постоянный покупатель"}],
        "anyOf": [
            {"type": "string"},
            {"type": "object", "additionalProperties": {"type": "string"},
                "propertyNames": {"pattern": "^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$"}},
        ],
    })
}

/// One word or several.
fn words(description: &str, example: &Value) -> Value {
    let word = json!({"type": "string", "minLength": 1});
    json!({"description": description, "anyOf": [word, {"type": "array", "items": word}], "examples": [example]})
}

/// Expressions by name.
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
    json!({"type": "object", "description": "Touchpoint types by name, with what they may bear.",
        "examples": [{"subscription_started": {"description": "a subscription began"}}], "additionalProperties": one})
}

fn groups(description: &str) -> Value {
    let names = json!({"type": "array", "items": {"type": "string", "minLength": 1}});
    json!({"type": "object", "description": description, "examples": [{"paid": ["payment_succeeded", "payment_refunded"]}],
        "additionalProperties": {"anyOf": [names, mapping(&GROUP)]}})
}

fn property_type() -> Value {
    json!({"enum": TYPES.map(Type::name), "description": "Values of another type count as absent."})
}
