//! Updates from a running service: models, transitions and customers, parsed from the responses of its HTTP API.
//!
//! The service may be older or newer than this program: a missing field is shown as empty and is not an error.

use serde_json::{Map, Value};

use super::format::{self, format_to_minute, shorten_to_minute};
use super::overview::{Overview, instant, list, text};
use crate::lifecycle::time::{Duration, Timestamp};
use crate::wire::transition_text::is_deceptive;

/// New information about the service, sent by the client to the view.
#[derive(Clone, Debug)]
pub enum Update {
    /// The models that run.
    Models(Vec<ModelStages>),
    /// The current totals.
    Overview(Box<Overview>),
    /// Transitions committed since the previous update, and the number of those that the service evicted before the
    /// client read them.
    Transitions(Vec<TransitionRow>, u64),
    /// The requested customer.
    Customer(Box<CustomerPage>),
    /// The requested customer id, and why the service did not return the customer.
    CustomerUnavailable(String, String),
    /// Why the service does not respond.
    Disconnected(String),
}

/// A model and its stages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelStages {
    /// Name of the model in the API.
    pub name: String,
    /// English title, or the name if the model has none.
    pub title: String,
    /// The stages of the journey in order, then those outside the journey.
    pub stages: Vec<ModelStage>,
}

/// A stage of a model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelStage {
    /// Name of the stage in the API.
    pub name: String,
    /// Whether the stage is outside the journey.
    pub is_outside: bool,
}

/// A published transition, formatted for display.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TransitionRow {
    /// Cursor of `/v1/transitions`; 0 in responses without cursors.
    pub cursor: u64,
    /// Event time to the minute: `2025-10-24 14:00`.
    pub occurred_at: String,
    /// The customer that the transition belongs to.
    pub customer_id: String,
    /// Name of the model.
    pub model: String,
    /// `stage`, `signal`, `milestone` or `counter`.
    pub kind: String,
    /// Name of the transition: `became_interested`.
    pub name: String,
    /// `from → to` for a stage; the new value for a signal or counter; empty for a milestone.
    pub change: String,
    /// `forward`, `backward`, `exit`, `reentry`, or empty.
    pub direction: String,
    /// The cause in one line: `after order completed: orders.count is 2`.
    pub reason: String,
    /// The condition that now holds.
    pub condition: String,
}

/// Length of the forecast that the client requests, in days.
pub(super) const FORECAST_DAYS: i64 = 1_095;

/// A customer, formatted for display.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CustomerPage {
    /// Id of the customer. The view ignores the page if another customer is open.
    pub customer_id: String,
    /// The current time of the customer's partition, to the minute. Ages are relative to it.
    pub now: String,
    /// `3 orders for 120.50 USD, the last on 2025-12-19`.
    pub orders: String,
    /// One standing per model.
    pub standings: Vec<StandingRow>,
    /// Names and values of the facts that are set.
    pub facts: Vec<(String, String)>,
    /// The latest transitions, newest first.
    pub latest: Vec<TransitionRow>,
    /// Transitions that will be published if no further touchpoint arrives.
    pub forecast: Vec<TransitionRow>,
    /// Next instant at which time alone may cause a transition; empty if there is none.
    pub next_wake_up: String,
}

/// The standing of a customer in one model, formatted for display.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StandingRow {
    /// Name of the model.
    pub model: String,
    /// Name of the stage, or `no stage`.
    pub stage: String,
    /// When the customer entered the stage, to the minute.
    pub since: String,
    /// The condition that put the customer into the stage.
    pub condition: String,
    /// The values that the condition read.
    pub values: String,
    /// The signals that are on, each with the values that its condition read.
    pub signals: Vec<String>,
}

/// Replaces the characters that control a terminal or are invisible: ids, types and properties are untrusted input.
pub(super) fn sanitized(value: Value) -> Value {
    let clean = |text: String| text.replace(is_deceptive, "?");
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(values) => Value::Array(values.into_iter().map(sanitized).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (clean(name), sanitized(value))).collect())
        }
        other => other,
    }
}

impl ModelStages {
    /// Parses a response of `/v1/models`.
    #[must_use]
    pub fn from_response(response: &Value) -> Vec<Self> {
        list(&response["models"]).map(Self::from_json).collect()
    }

    fn from_json(model: &Value) -> Self {
        let name = text(&model["model"]);
        let stages: Vec<(String, bool)> = list(&model["stages"])
            .map(|stage| (text(&stage["stage"]), stage["outside"].as_bool().unwrap_or_default()))
            .collect();
        let journey = list(&model["journey"]).map(text).map(|name| ModelStage { name, is_outside: false });
        let outside = stages.into_iter().filter(|(_, is_outside)| *is_outside);
        let outside = outside.map(|(name, is_outside)| ModelStage { name, is_outside });
        let title = model["titles"]["en"].as_str().map_or_else(|| format::with_spaces(&name), str::to_owned);
        Self { title, stages: journey.chain(outside).collect(), name }
    }
}

impl TransitionRow {
    /// Parses a response of `/v1/transitions`: the transitions, and the number of missed ones.
    #[must_use]
    pub fn from_response(response: &Value) -> (Vec<Self>, u64) {
        (list(&response["transitions"]).map(Self::from_json).collect(), response["missed"].as_u64().unwrap_or_default())
    }

    /// Parses one transition, as in the transitions topic.
    #[must_use]
    pub fn from_json(transition: &Value) -> Self {
        let kind = text(&transition["kind"]);
        let or = |value: &Value, other: &str| value.as_str().unwrap_or(other).to_owned();
        let change = match kind.as_str() {
            "stage" => {
                format!("{} → {}", or(&transition["from"], "·"), or(&transition["to"], "·"))
            }
            "signal" => text(&transition["to"]),
            "counter" => transition["count"].as_u64().map(|count| count.to_string()).unwrap_or_default(),
            _ => String::new(),
        };
        Self {
            cursor: transition["cursor"].as_u64().unwrap_or_default(),
            occurred_at: shorten_to_minute(transition["occurred_at"].as_str().unwrap_or_default()),
            customer_id: text(&transition["customer_id"]),
            model: text(&transition["model"]),
            name: text(&transition["name"]),
            change,
            direction: text(&transition["direction"]),
            reason: format::reason(transition),
            condition: text(&transition["because"]["condition"]),
            kind,
        }
    }
}

impl CustomerPage {
    /// Parses the responses of `/v1/customers/{id}` and of its `/forecast` for `FORECAST_DAYS`, which may be null.
    #[must_use]
    pub fn from_response(customer: &Value, forecast: &Value) -> Self {
        // A forecast starts now; the customer's own clock may be months behind.
        let now = instant(&forecast["until"]).map(|until| until - Duration::from_days(FORECAST_DAYS));
        let now = now.or_else(|| instant(&customer["clock"]));
        let no_facts = Map::new();
        let facts = customer["facts"].as_object().unwrap_or(&no_facts);
        let mut latest: Vec<TransitionRow> = list(&customer["transitions"]).map(TransitionRow::from_json).collect();
        latest.reverse();
        Self {
            customer_id: text(&customer["customer_id"]),
            now: now.map(format_to_minute).unwrap_or_default(),
            orders: orders(&customer["orders"]),
            standings: list(&customer["models"]).map(|model| StandingRow::from_json(model, now)).collect(),
            facts: facts
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), format::value(value, now)))
                .collect(),
            latest,
            forecast: list(&forecast["transitions"]).map(TransitionRow::from_json).collect(),
            next_wake_up: instant(&customer["next_wake_up"]).map(format_to_minute).unwrap_or_default(),
        }
    }
}

fn orders(orders: &Value) -> String {
    let count = orders["count"].as_u64().unwrap_or_default();
    if count == 0 {
        return "no orders".to_owned();
    }
    let plural = if count == 1 { "" } else { "s" };
    let (revenue, currency) = (text(&orders["revenue"]), text(&orders["currency"]));
    let last = orders["last"]
        .as_str()
        .map(|last| format!(", the last on {}", last.get(..10).unwrap_or(last)))
        .unwrap_or_default();
    format!("{count} order{plural} for {revenue} {currency}{last}")
}

impl StandingRow {
    fn from_json(model: &Value, now: Option<Timestamp>) -> Self {
        let because = &model["because"];
        Self {
            model: text(&model["model"]),
            stage: model["stage"].as_str().unwrap_or("no stage").to_owned(),
            since: model["since"].as_str().map(shorten_to_minute).unwrap_or_default(),
            condition: text(&because["condition"]),
            values: because["values"].as_object().map(|values| format::values(values, now)).unwrap_or_default(),
            signals: list(&model["signals"])
                .zip(list(&model["signals_because"]))
                .map(|(signal, because)| {
                    let values = because["values"].as_object().map(|values| format::values(values, now));
                    let values = values.filter(|values| !values.is_empty()).map(|values| format!(": {values}"));
                    text(signal) + &values.unwrap_or_default()
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stages_come_in_journey_order_and_those_outside_last() {
        let response = json!({"models": [{
            "model": "classic_seven", "titles": {"en": "The classic seven"}, "journey": ["awareness", "loyalty"],
            "stages": [{"stage": "churn", "outside": true}, {"stage": "loyalty"}, {"stage": "awareness"}],
        }]});
        let models = ModelStages::from_response(&response);
        let names: Vec<_> = models[0].stages.iter().map(|stage| (stage.name.as_str(), stage.is_outside)).collect();
        assert_eq!(names, [("awareness", false), ("loyalty", false), ("churn", true)]);
        assert_eq!(models[0].title, "The classic seven");
    }

    #[test]
    fn missing_fields_are_shown_as_empty() {
        assert_eq!(ModelStages::from_response(&json!({})), []);
        assert_eq!(TransitionRow::from_response(&json!([])), (vec![], 0));
        assert_eq!(CustomerPage::from_response(&json!(null), &json!(null)).orders, "no orders");
        assert_eq!(TransitionRow::from_json(&json!({"kind": "stage"})).change, "· → ·");
    }

    #[test]
    fn characters_that_control_the_terminal_are_replaced() {
        let response = json!({
            "customer_id": "a\u{1b}[2Jb\n", "cause": {"type": "x\u{9b}c"}, "count": 2, "\r": ["\u{7}"],
            "link": "\u{1b}]8;;http://a\u{7}b\u{9c}", "order_id": "\u{202e}evil\u{2066}\u{200f}\u{2028}\u{200b}",
        });
        let expected = json!({
            "customer_id": "a?[2Jb?", "cause": {"type": "x?c"}, "count": 2, "?": ["?"],
            "link": "?]8;;http://a?b?", "order_id": "?evil????",
        });
        assert_eq!(sanitized(response), expected);
    }

    #[test]
    fn ages_are_relative_to_now() {
        let page = CustomerPage::from_response(
            &json!({
                "customer_id": "anna", "clock": "2026-01-31T10:00:00Z", "next_wake_up": "2026-04-01T10:00:00Z",
                "orders": {"count": 1, "revenue": "39.9", "currency": "USD", "last": "2026-01-01T10:00:00Z"},
                "facts": {"first(any)": "2025-12-31T10:00:00Z", "used_at": null},
                "models": [{
                    "model": "retention", "stage": null, "signals": ["vip"],
                    "signals_because": [{"condition": "c", "values": {"orders.last": "2026-01-01T10:00:00Z"}}],
                }],
                "transitions": [{"name": "first"}, {"name": "second"}],
            }),
            &json!({"until": "2029-03-02T10:00:00Z", "transitions": [{"name": "churned"}]}),
        );
        assert_eq!(page.orders, "1 order for 39.9 USD, the last on 2026-01-01");
        assert_eq!(page.facts, [("first(any)".to_owned(), "62 days ago".to_owned())]);
        assert_eq!(page.standings[0].signals, ["vip: orders.last was 61 days ago"]);
        assert_eq!(page.now, "2026-03-03 10:00");
        assert_eq!(page.standings[0].stage, "no stage");
        assert_eq!(
            [&page.latest[0].name, &page.forecast[0].name, &page.next_wake_up],
            ["second", "churned", "2026-04-01 10:00"]
        );
    }
}
