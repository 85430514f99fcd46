//! What a running service tells: its models, transitions and customers, taken from the answers of its HTTP interface.
//!
//! What is missing in an answer is left out of the view and breaks nothing: the service may be older or newer than this
//! program.

use serde_json::{Map, Value};

use super::metrics_page::Figures;
use super::words::{self, minute, minute_of};
use crate::lifecycle::time::Timestamp;
use crate::wire::time::parse_timestamp;

/// Something that a service told.
#[derive(Clone, Debug)]
pub enum Told {
    /// The models that run.
    Models(Vec<ModelStages>),
    /// Its metrics.
    Figures(Box<Figures>),
    /// Transitions that were committed since, and how many were missed between.
    Passed(Vec<Passed>, u64),
    /// The customer who was asked for.
    Customer(Box<CustomerPage>),
    /// Why nothing is told of the customer who was asked for.
    NoCustomer(String, String),
    /// Why nothing is told at all.
    Silence(String),
}

/// A model and its stages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelStages {
    /// Its name.
    pub name: String,
    /// Its title in English, or its name.
    pub title: String,
    /// The stages of the journey in order, then those outside.
    pub stages: Vec<StageName>,
}

/// A stage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StageName {
    /// Its name.
    pub name: String,
    /// Whether it lies outside the journey.
    pub is_outside: bool,
}

/// A transition that was published.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Passed {
    /// Its number.
    pub cursor: u64,
    /// When it occurred: `2025-10-24 14:00`.
    pub occurred_at: String,
    /// Whose.
    pub customer_id: String,
    /// Of which model.
    pub model: String,
    /// `stage`, `signal`, `milestone` or `counter`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// From which stage to which, or what it says beside stages.
    pub change: String,
    /// `forward`, `backward`, `exit`, `reentry`, or nothing.
    pub direction: String,
    /// Why, in a line.
    pub reason: String,
    /// The condition that holds now.
    pub condition: String,
}

/// A customer, ready to be read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CustomerPage {
    /// The customer.
    pub customer_id: String,
    /// The customer's own time.
    pub clock: String,
    /// `3 orders, 120.50 USD, the last on 2025-12-19`.
    pub orders: String,
    /// Where the customer stands, by model.
    pub standings: Vec<Standing>,
    /// Facts and their values.
    pub facts: Vec<(String, String)>,
    /// The latest transitions, the latest first.
    pub latest: Vec<Passed>,
    /// What will be published if the customer stays silent.
    pub forecast: Vec<Passed>,
    /// When something may be published next if the customer stays silent.
    pub next_wake_up: String,
}

/// Where a customer stands in a model.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// The model.
    pub model: String,
    /// The stage, or `no stage`.
    pub stage: String,
    /// Since when.
    pub since: String,
    /// Why: the condition.
    pub condition: String,
    /// Why: what it read.
    pub values: String,
}

/// The value without what a terminal would obey: ids, types and properties come from strangers.
pub(super) fn harmless(value: Value) -> Value {
    let clean = |text: String| text.replace(char::is_control, "?");
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(values) => Value::Array(values.into_iter().map(harmless).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (clean(name), harmless(value))).collect())
        }
        other => other,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn instant(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(|text| parse_timestamp(text).ok())
}

impl ModelStages {
    /// The models of `/v1/models`.
    #[must_use]
    pub fn of_answer(answer: &Value) -> Vec<Self> {
        list(&answer["models"]).map(Self::of).collect()
    }

    fn of(model: &Value) -> Self {
        let name = text(&model["model"]);
        let stages: Vec<(String, bool)> = list(&model["stages"])
            .map(|stage| (text(&stage["stage"]), stage["outside"].as_bool().unwrap_or_default()))
            .collect();
        let journey = list(&model["journey"]).map(text).map(|name| StageName { name, is_outside: false });
        let outside = stages.into_iter().filter(|(_, is_outside)| *is_outside);
        let outside = outside.map(|(name, is_outside)| StageName { name, is_outside });
        let title = model["titles"]["en"].as_str().map_or_else(|| words::spaced(&name), str::to_owned);
        Self { title, stages: journey.chain(outside).collect(), name }
    }
}

impl Passed {
    /// The transitions of `/v1/transitions`, and how many were missed.
    #[must_use]
    pub fn of_answer(answer: &Value) -> (Vec<Self>, u64) {
        (list(&answer["transitions"]).map(Self::of).collect(), answer["missed"].as_u64().unwrap_or_default())
    }

    /// A transition record.
    #[must_use]
    pub fn of(transition: &Value) -> Self {
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
            occurred_at: minute(transition["occurred_at"].as_str().unwrap_or_default()),
            customer_id: text(&transition["customer_id"]),
            model: text(&transition["model"]),
            name: text(&transition["name"]),
            change,
            direction: text(&transition["direction"]),
            reason: words::reason(transition),
            condition: text(&transition["because"]["condition"]),
            kind,
        }
    }
}

impl CustomerPage {
    /// A customer of `/v1/customers/{id}` and of its forecast, if there is one.
    #[must_use]
    pub fn of_answer(customer: &Value, forecast: &Value) -> Self {
        let clock = instant(&customer["clock"]);
        let no_facts = Map::new();
        let facts = customer["facts"].as_object().unwrap_or(&no_facts);
        let mut latest: Vec<Passed> = list(&customer["transitions"]).map(Passed::of).collect();
        latest.reverse();
        Self {
            customer_id: text(&customer["customer_id"]),
            clock: clock.map(minute_of).unwrap_or_default(),
            orders: orders(&customer["orders"]),
            standings: list(&customer["models"]).map(|model| Standing::of(model, clock)).collect(),
            facts: facts
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), words::value(value, clock)))
                .collect(),
            latest,
            forecast: list(&forecast["transitions"]).map(Passed::of).collect(),
            next_wake_up: instant(&customer["next_wake_up"]).map(minute_of).unwrap_or_default(),
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

impl Standing {
    fn of(model: &Value, now: Option<Timestamp>) -> Self {
        let because = &model["because"];
        Self {
            model: text(&model["model"]),
            stage: model["stage"].as_str().unwrap_or("no stage").to_owned(),
            since: model["since"].as_str().map(minute).unwrap_or_default(),
            condition: text(&because["condition"]),
            values: because["values"].as_object().map(|values| words::read(values, now)).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stages_come_in_journey_order_and_those_outside_last() {
        let answer = json!({"models": [{
            "model": "classic_seven", "titles": {"en": "The classic seven"}, "journey": ["awareness", "loyalty"],
            "stages": [{"stage": "churn", "outside": true}, {"stage": "loyalty"}, {"stage": "awareness"}],
        }]});
        let models = ModelStages::of_answer(&answer);
        let names: Vec<_> = models[0].stages.iter().map(|stage| (stage.name.as_str(), stage.is_outside)).collect();
        assert_eq!(names, [("awareness", false), ("loyalty", false), ("churn", true)]);
        assert_eq!(models[0].title, "The classic seven");
    }

    #[test]
    fn what_is_missing_breaks_nothing() {
        assert_eq!(ModelStages::of_answer(&json!({})), []);
        assert_eq!(Passed::of_answer(&json!([])), (vec![], 0));
        assert_eq!(CustomerPage::of_answer(&json!(null), &json!(null)).orders, "no orders");
        assert_eq!(Passed::of(&json!({"kind": "stage"})).change, "· → ·");
    }

    #[test]
    fn nothing_that_a_terminal_would_obey_is_let_through() {
        let answer =
            json!({"customer_id": "a\u{1b}[2Jb\n", "cause": {"type": "x\u{9b}c"}, "count": 2, "\r": ["\u{7}"]});
        assert_eq!(
            harmless(answer),
            json!({"customer_id": "a?[2Jb?", "cause": {"type": "x?c"}, "count": 2, "?": ["?"]})
        );
    }

    #[test]
    fn a_customer_is_told_as_of_its_own_time() {
        let page = CustomerPage::of_answer(
            &json!({
                "customer_id": "anna", "clock": "2026-01-31T10:00:00Z", "next_wake_up": "2026-04-01T10:00:00Z",
                "orders": {"count": 1, "revenue": "39.9", "currency": "USD", "last": "2026-01-01T10:00:00Z"},
                "facts": {"first(any)": "2025-12-31T10:00:00Z", "used_at": null},
                "models": [{"model": "retention", "stage": null}],
                "transitions": [{"name": "first"}, {"name": "second"}],
            }),
            &json!({"transitions": [{"name": "churned"}]}),
        );
        assert_eq!(page.orders, "1 order for 39.9 USD, the last on 2026-01-01");
        assert_eq!(page.facts, [("first(any)".to_owned(), "31 days ago".to_owned())]);
        assert_eq!(page.standings[0].stage, "no stage");
        assert_eq!(
            [&page.latest[0].name, &page.forecast[0].name, &page.next_wake_up],
            ["second", "churned", "2026-04-01 10:00"]
        );
    }
}
