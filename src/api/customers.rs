//! `/v1/customers/{customer_id}` and `/v1/customers/{customer_id}/forecast`: a customer's committed facts, standings,
//! explanations, next wake-up and latest transitions, and the transitions to expect.

#![expect(clippy::struct_field_names, reason = "fields are named as in the response")]

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::lifecycle::model::Model;
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::transition::Transition;
use crate::partition::{ConditionView, CustomerView, ExplanationView, ModelView, Snapshot};
use crate::runtime::{WallClock, publication_mode};

use super::Api;
use super::customer_lookup::respond;
use super::extract::{Path, Query};
use super::response::{ExpectedJson, Orders, PublishedJson, TimestampText, Titles, TransitionRenderer, Values};

/// Maximum number of latest transitions in a customer response.
const TRANSITIONS_MAX: usize = 50;
/// Maximum number of wake-ups that a forecast simulates.
const FORECAST_WAKE_UPS_MAX: usize = 1000;
/// Maximum number of wake-ups simulated for `next_wake_up_publishes`. Wake-ups that publish nothing may fire before the
/// one that changes a standing, because a wake-up may be computed too early.
const NO_OP_WAKE_UPS_MAX: usize = 64;

/// A customer's committed state.
#[derive(Serialize, JsonSchema)]
pub(super) struct Customer {
    customer_id: String,
    /// Other ids of the customer, with identity resolution: visitors and customers whose facts moved to it.
    aliases: Vec<String>,
    /// The partition that holds the customer.
    partition: i32,
    /// The customer's time: the latest event time or wake-up applied. Facts and conditions are evaluated at this time.
    clock: TimestampText,
    /// The next instant at which time alone may change a standing; null if there is none.
    next_wake_up: Option<TimestampText>,
    /// The transitions published at that wake-up if no touchpoint of the customer arrives before; often empty.
    next_wake_up_publishes: Vec<ExpectedJson>,
    orders: Orders,
    facts: Values,
    /// Facts that count only from a certain instant on, because a model edit added them when customers already existed.
    #[schemars(with = "std::collections::BTreeMap<String, TimestampText>")]
    facts_count_since: Map<String, Value>,
    /// One per model, in the order of the configuration.
    models: Vec<Standing>,
    /// The customer's latest transitions that this instance has in memory, newest last. Empty after a restart.
    transitions: Vec<PublishedJson>,
}

/// A customer's stage, signals, milestones and counters in a model, as published last.
#[derive(Serialize, JsonSchema)]
struct Standing {
    model: String,
    version: u32,
    /// Null if no stage's condition holds.
    stage: Option<String>,
    titles: Option<Titles>,
    /// The instant of the latest move; null before the first one.
    since: Option<TimestampText>,
    /// The condition of the stage and the values that it reads; null if no stage's condition holds.
    because: Option<EvaluatedCondition>,
    /// Number of publications so far.
    sequence: u64,
    /// The signals that are on.
    signals: Vec<String>,
    /// The conditions of those signals, in the same order.
    signals_because: Vec<EvaluatedCondition>,
    /// The milestones reached.
    milestones: Vec<String>,
    /// The highest published number of each counter; if none was published, one less than the counter's `from`.
    #[schemars(with = "std::collections::BTreeMap<String, i64>")]
    counters: Map<String, Value>,
}

/// A condition and the values that it reads.
#[derive(Serialize, JsonSchema)]
struct EvaluatedCondition {
    condition: String,
    values: Values,
}

/// The transitions that will be published if no further touchpoint of the customer arrives.
#[derive(Serialize, JsonSchema)]
pub(super) struct Forecast {
    customer_id: String,
    partition: i32,
    /// The customer's time: the latest event time or wake-up applied.
    clock: TimestampText,
    /// The end of the forecast.
    until: TimestampText,
    /// In the order of publication. Ids and sequence numbers are those that will be published.
    transitions: Vec<ExpectedJson>,
    /// Whether the forecast is complete: false if time alone may change a standing after its end.
    is_complete: bool,
}

/// The length of the forecast.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ForecastQuery {
    /// Length in days, from the partition's current time or from the customer's clock, whichever is later.
    #[serde(default = "ForecastQuery::days")]
    #[schemars(range(min = 1, max = 3650))]
    days: u16,
}

impl ForecastQuery {
    const fn days() -> u16 {
        1095
    }
}

pub(super) async fn customer(
    State(api): State<Arc<Api>>,
    Path(customer_id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    respond(&api, &customer_id, &uri, &headers, |partition, snapshot| customer_response(&api, partition, snapshot))
        .await
}

pub(super) async fn forecast(
    State(api): State<Arc<Api>>,
    Path(customer_id): Path<String>,
    Query(query): Query<ForecastQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let describe = |partition, snapshot: &Snapshot| forecast_response(&api, partition, snapshot, query.days);
    respond(&api, &customer_id, &uri, &headers, describe).await
}

fn customer_response(api: &Api, partition: i32, snapshot: &Snapshot) -> Customer {
    let view = snapshot.view();
    let since = |(name, since): (&str, Timestamp)| (name.to_owned(), serde_json::json!(TimestampText::from(since)));
    let counts_since = view.facts.iter().filter_map(|fact| Some((&*fact.name, fact.counts_since?))).map(since);
    let models = api.models.models.iter().zip(view.models.iter().zip(snapshot.explanations()));
    let next = view.next_wake_up.map(|next| snapshot.forecast(next, NO_OP_WAKE_UPS_MAX).transitions);
    let renderer = renderer(api);
    // Transitions committed after the snapshot was taken are left out, so that the response is consistent.
    let mut recent = api.recent.of_customer(&view.customer_id, TRANSITIONS_MAX);
    recent.retain(|committed| {
        let transition = committed.transition();
        view.models.get(usize::from(transition.model.0)).is_none_or(|model| transition.sequence <= model.sequence)
    });
    Customer {
        customer_id: view.customer_id.to_string(),
        aliases: snapshot.aliases().iter().map(ToString::to_string).collect(),
        partition,
        clock: view.clock.into(),
        next_wake_up: view.next_wake_up.map(TimestampText::from),
        next_wake_up_publishes: expected(api, &next.unwrap_or_default()),
        orders: Orders::of(&view.orders, api.currency),
        facts: view.facts.iter().map(|fact| (&*fact.name, fact.value.as_ref())).collect(),
        facts_count_since: counts_since.collect(),
        models: models.map(|(model, (view, explanation))| standing(model, view, &explanation)).collect(),
        transitions: recent.iter().map(|committed| renderer.published(committed)).collect(),
    }
}

fn forecast_response(api: &Api, partition: i32, snapshot: &Snapshot, days: u16) -> Forecast {
    let view: CustomerView = snapshot.view();
    let from = partition_time(api, partition).map_or(view.clock, |time| time.max(view.clock));
    let until = from + Duration::from_days(days.into());
    let forecast = snapshot.forecast(until, FORECAST_WAKE_UPS_MAX);
    Forecast {
        customer_id: view.customer_id.to_string(),
        partition,
        clock: view.clock.into(),
        until: until.into(),
        transitions: expected(api, &forecast.transitions),
        is_complete: forecast.cut_at.is_none(),
    }
}

/// Returns the current time of a partition, from which forecasts start; `None` while it is unknown.
fn partition_time(api: &Api, partition: i32) -> Option<Timestamp> {
    let snapshots: Vec<_> = api.status_registry.snapshots().into_iter().flatten().collect();
    let mut partitions = snapshots.iter().flat_map(|snapshot| &snapshot.status.partitions);
    partitions.find(|status| status.partition == partition)?.current_time
}

fn renderer(api: &Api) -> TransitionRenderer<'_> {
    TransitionRenderer { models: &api.models, currency: api.currency }
}

/// Renders future transitions. A wake-up fires when the watermark reaches it. The watermark trails wall time by the
/// allowed lateness, so `detected_at` is at least that much later than `occurred_at`.
fn expected(api: &Api, transitions: &[Transition]) -> Vec<ExpectedJson> {
    let now = WallClock::start().now().wall;
    let render = |transition: &Transition| {
        let detected_at = now.max(transition.occurred_at + api.lateness);
        renderer(api).expected(transition, detected_at, publication_mode(transition, detected_at, api.fresh_for))
    };
    transitions.iter().map(render).collect()
}

fn standing(model: &Model, view: &ModelView, explanation: &ExplanationView) -> Standing {
    let stage = view.stage.map(|stage| model.stage(stage));
    let counters = model.counters.iter().zip(&view.counters);
    let names = |indices: &[usize], name: fn(&Model, usize) -> Option<&str>| -> Vec<String> {
        indices.iter().filter_map(|&index| name(model, index)).map(ToString::to_string).collect()
    };
    Standing {
        model: model.name.to_string(),
        version: model.version,
        stage: stage.map(|stage| stage.name.to_string()),
        titles: stage.map(|stage| Titles::of(&stage.titles)),
        since: view.since.map(TimestampText::from),
        because: explanation.stage.as_ref().map(EvaluatedCondition::of),
        sequence: view.sequence,
        signals: names(&view.signals, |model, index| Some(&*model.signals.get(index)?.name)),
        signals_because: explanation.signals.iter().map(EvaluatedCondition::of).collect(),
        milestones: names(&view.milestones, |model, index| Some(&*model.milestones.get(index)?.name)),
        counters: counters.map(|(counter, &count)| (counter.name.to_string(), count.into())).collect(),
    }
}

impl EvaluatedCondition {
    fn of(because: &ConditionView) -> Self {
        let values = because.values.iter().map(|(name, value)| (&**name, value.as_ref()));
        Self { condition: because.condition.to_string(), values: values.collect() }
    }
}
