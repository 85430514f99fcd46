//! `/v1/customers/{customer_id}`: facts, standings, why, what comes next, and the latest transitions of a customer, as
//! committed.

#![expect(clippy::struct_field_names, reason = "fields are named as in the answer")]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::lifecycle::model::Model;
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::transition::Transition;
use crate::partition::{Because, CustomerView, ModelView, Snapshot, WhyView};
use crate::runtime::{WallClock, mode};
use crate::wire::touchpoint_json::ID_BYTES_MAX;

use super::Api;
use super::answer::{Expected, Instant, Orders, Published, Teller, Titles, Values};
use super::extract::{Path, Query};
use super::peers::{Elsewhere, Peers};
use super::problem::Problem;
use super::workers::Known;

/// How many of a customer's latest transitions are told.
const TRANSITIONS_MAX: usize = 50;
/// How many wake-ups a forecast works off.
const WAKE_UPS_MAX: usize = 1000;
/// How many wake-ups are worked off to find out what the next one does: those in vain come before it.
const WAKE_UPS_IN_VAIN_MAX: usize = 64;

/// A customer as committed.
#[derive(Serialize, JsonSchema)]
pub(super) struct Customer {
    customer_id: String,
    /// The partition that holds the customer.
    partition: i32,
    /// The latest instant applied to the customer; facts and conditions are told as of it.
    clock: Instant,
    /// When time alone may next change something; null when it changes nothing any more.
    next_wake_up: Option<Instant>,
    /// What is published then if the customer stays silent; often nothing.
    next_wake_up_publishes: Vec<Expected>,
    orders: Orders,
    facts: Values,
    /// The facts that count since a certain instant only, because a model was edited when there were customers already.
    #[schemars(with = "std::collections::BTreeMap<String, Instant>")]
    facts_count_since: Map<String, Value>,
    /// By model, in the order of the configuration.
    models: Vec<Standing>,
    /// The latest transitions of the customer that this instance still keeps, the latest last. None after a restart.
    transitions: Vec<Published>,
}

/// Where a customer stands in a model, as published last.
#[derive(Serialize, JsonSchema)]
struct Standing {
    model: String,
    version: u32,
    /// Null when no stage's condition holds.
    stage: Option<String>,
    titles: Option<Titles>,
    /// The instant of the latest move; null before the first.
    since: Option<Instant>,
    /// The condition of the stage, and what it reads; null when no stage's condition holds.
    because: Option<Grounds>,
    /// How many publications so far.
    sequence: u64,
    /// The signals that are on.
    signals: Vec<String>,
    /// The conditions of those signals, in the same order.
    signals_because: Vec<Grounds>,
    /// The milestones reached.
    milestones: Vec<String>,
    /// The highest number published of each counter; one below its first where none was.
    #[schemars(with = "std::collections::BTreeMap<String, i64>")]
    counters: Map<String, Value>,
}

/// A condition and what it reads.
#[derive(Serialize, JsonSchema)]
struct Grounds {
    condition: String,
    values: Values,
}

/// What is published of a customer that stays silent.
#[derive(Serialize, JsonSchema)]
pub(super) struct Forecast {
    customer_id: String,
    partition: i32,
    /// The latest instant applied to the customer.
    clock: Instant,
    /// How far is looked ahead.
    until: Instant,
    /// In the order of publication. Ids and numbers are those that will be published.
    transitions: Vec<Expected>,
    /// Whether time alone changes nothing any more after the last one.
    is_complete: bool,
}

/// How far to look ahead.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ForecastQuery {
    /// How many days from the clock of the customer's partition, or from the customer's own, whichever is later.
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
    match find(&api, &customer_id, &uri, &headers).await {
        Ok((partition, snapshot)) => Json(describe(&api, partition, &snapshot)).into_response(),
        Err(answer) => answer,
    }
}

pub(super) async fn forecast(
    State(api): State<Arc<Api>>,
    Path(customer_id): Path<String>,
    Query(query): Query<ForecastQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    match find(&api, &customer_id, &uri, &headers).await {
        Ok((partition, snapshot)) => Json(foretell(&api, partition, &snapshot, query.days)).into_response(),
        Err(answer) => answer,
    }
}

/// Asks the workers for a customer, and then the other instances. What is not found here has its answer already.
async fn find(api: &Api, customer_id: &str, uri: &Uri, headers: &HeaderMap) -> Result<(i32, Box<Snapshot>), Response> {
    if customer_id.is_empty() || customer_id.len() > ID_BYTES_MAX {
        let detail = format!("a customer id has 1 to {ID_BYTES_MAX} bytes");
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown-customer", detail).into_response());
    }
    let known = api.workers.customer(customer_id).await;
    if let Known::Customer(partition, snapshot) = known {
        return Ok((partition, snapshot));
    }
    let peers = api.peers.as_ref().filter(|_| !Peers::has_been_asked(headers));
    let elsewhere = match peers {
        Some(peers) => peers.ask(uri, headers).await,
        None => Elsewhere::Nothing,
    };
    let unavailable =
        |kind, detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail).into_response();
    Err(match (elsewhere, known) {
        (Elsewhere::Answer(answer), _) => answer,
        (_, Known::Restoring) => unavailable("restoring", "partitions are being restored; ask again later".to_owned()),
        (_, Known::Silence) => unavailable("busy", "a worker did not answer in time; ask again later".to_owned()),
        (Elsewhere::Silence(addresses), _) if addresses.is_empty() => {
            unavailable("group-unknown", "the group could not be asked for its instances; ask again later".to_owned())
        }
        (Elsewhere::Silence(addresses), _) => {
            let addresses = addresses.join(", ");
            unavailable(
                "elsewhere",
                format!("not on this instance, and these could not tell: {addresses}; ask there, or again later"),
            )
        }
        (Elsewhere::Nothing, _) => {
            let detail = match peers {
                Some(_) => {
                    "no instance holds the customer; there was no touchpoint yet, or partitions are on their way"
                }
                None => {
                    "no partition of this instance holds the customer; ask the others (with http.advertise they are asked \
                     from here), or wait for a touchpoint"
                }
            };
            Problem::new(StatusCode::NOT_FOUND, "unknown-customer", detail.to_owned()).into_response()
        }
    })
}

fn describe(api: &Api, partition: i32, snapshot: &Snapshot) -> Customer {
    let view = snapshot.view();
    let since = |(name, since): (&str, Timestamp)| (name.to_owned(), serde_json::json!(Instant::from(since)));
    let counts_since = view.facts.iter().filter_map(|fact| Some((&*fact.name, fact.counts_since?))).map(since);
    let models = api.models.models.iter().zip(view.models.iter().zip(snapshot.why()));
    let next = view.next_wake_up.map(|next| snapshot.forecast(next, WAKE_UPS_IN_VAIN_MAX).transitions);
    let teller = teller(api);
    // A commit may have come since the copy was made: the answer tells one instant.
    let mut recent = api.recent.of_customer(&view.customer_id, TRANSITIONS_MAX);
    recent.retain(|committed| {
        let transition = committed.transition();
        view.models.get(usize::from(transition.model.0)).is_none_or(|model| transition.sequence <= model.sequence)
    });
    Customer {
        customer_id: view.customer_id.to_string(),
        partition,
        clock: view.clock.into(),
        next_wake_up: view.next_wake_up.map(Instant::from),
        next_wake_up_publishes: expected(api, &next.unwrap_or_default()),
        orders: Orders::of(&view.orders, api.currency),
        facts: view.facts.iter().map(|fact| (&*fact.name, &fact.value)).collect(),
        facts_count_since: counts_since.collect(),
        models: models.map(|(model, (view, why))| standing(model, view, &why)).collect(),
        transitions: recent.iter().map(|committed| teller.published(committed)).collect(),
    }
}

fn foretell(api: &Api, partition: i32, snapshot: &Snapshot, days: u16) -> Forecast {
    let view: CustomerView = snapshot.view();
    let from = present(api, partition).map_or(view.clock, |present| present.max(view.clock));
    let until = from + Duration::from_days(days.into());
    let forecast = snapshot.forecast(until, WAKE_UPS_MAX);
    Forecast {
        customer_id: view.customer_id.to_string(),
        partition,
        clock: view.clock.into(),
        until: until.into(),
        transitions: expected(api, &forecast.transitions),
        is_complete: forecast.cut_at.is_none(),
    }
}

/// What lies before this instant is past for the customers of a partition; `None` while nothing is known of it.
fn present(api: &Api, partition: i32) -> Option<Timestamp> {
    let seen: Vec<_> = api.board.read().into_iter().flatten().collect();
    let mut partitions = seen.iter().flat_map(|seen| &seen.status.partitions);
    partitions.find(|status| status.partition == partition)?.present
}

fn teller(api: &Api) -> Teller<'_> {
    Teller { models: &api.models, currency: api.currency }
}

/// A wake-up fires once the clock, which stays behind by the lateness, has come to it.
fn expected(api: &Api, transitions: &[Transition]) -> Vec<Expected> {
    let now = WallClock::start().now().wall;
    let tell = |transition: &Transition| {
        let detected_at = now.max(transition.occurred_at + api.lateness);
        teller(api).expected(transition, detected_at, mode(transition, detected_at, api.fresh_for))
    };
    transitions.iter().map(tell).collect()
}

fn standing(model: &Model, view: &ModelView, why: &WhyView) -> Standing {
    let stage = view.stage.map(|stage| model.stage(stage));
    let counters = model.counters.iter().zip(&view.counters);
    let names = |indices: &[usize], name: fn(&Model, usize) -> Option<&Box<str>>| -> Vec<String> {
        indices.iter().filter_map(|&index| name(model, index)).map(ToString::to_string).collect()
    };
    Standing {
        model: model.name.to_string(),
        version: model.version,
        stage: stage.map(|stage| stage.name.to_string()),
        titles: stage.map(|stage| Titles::of(&stage.titles)),
        since: view.since.map(Instant::from),
        because: why.stage.as_ref().map(Grounds::of),
        sequence: view.sequence,
        signals: names(&view.signals, |model, index| Some(&model.signals.get(index)?.name)),
        signals_because: why.signals.iter().map(Grounds::of).collect(),
        milestones: names(&view.milestones, |model, index| Some(&model.milestones.get(index)?.name)),
        counters: counters.map(|(counter, &count)| (counter.name.to_string(), count.into())).collect(),
    }
}

impl Grounds {
    fn of(because: &Because) -> Self {
        let values = because.values.iter().map(|(name, value)| (&**name, value));
        Self { condition: because.condition.to_string(), values: values.collect() }
    }
}
