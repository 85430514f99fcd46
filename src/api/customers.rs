//! `/v1/customers/{customer_id}`: facts, standings and the next wake-up of a customer, as committed.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::lifecycle::model::Model;
use crate::partition::{CustomerView, FactView, ModelView};
use crate::wire::touchpoint_json::ID_BYTES_MAX;

use super::Api;
use super::answer::{amount, instant, titles, value};
use super::problem::Problem;
use super::workers::Known;

pub(super) async fn customer(State(api): State<Arc<Api>>, Path(customer_id): Path<String>) -> Response {
    if customer_id.len() > ID_BYTES_MAX {
        let detail = format!("a customer id has at most {ID_BYTES_MAX} bytes");
        return Problem::new(StatusCode::BAD_REQUEST, "bad-customer-id", detail).into_response();
    }
    let workers = api.workers.clone();
    let Ok(known) = tokio::task::spawn_blocking(move || workers.customer(&customer_id)).await else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "failed", "the question could not be asked");
    };
    match known {
        Known::Customer(partition, customer) => axum::Json(describe(&api, partition, &customer)).into_response(),
        Known::Nothing => {
            let detail = "no partition of this instance holds the customer; ask the others, or wait for a touchpoint";
            problem(StatusCode::NOT_FOUND, "unknown-customer", detail)
        }
        Known::Restoring => {
            problem(StatusCode::SERVICE_UNAVAILABLE, "restoring", "partitions are being restored; ask again later")
        }
        Known::Silence => {
            problem(StatusCode::SERVICE_UNAVAILABLE, "busy", "a worker did not answer in time; ask again later")
        }
    }
}

fn problem(status: StatusCode, kind: &'static str, detail: &str) -> Response {
    Problem::new(status, kind, detail.to_owned()).into_response()
}

fn describe(api: &Api, partition: i32, customer: &CustomerView) -> Value {
    let facts: Map<String, Value> =
        customer.facts.iter().map(|fact| (fact.name.to_string(), value(&fact.value))).collect();
    let since = |fact: &FactView| Some((fact.name.to_string(), instant(Some(fact.counts_since?))));
    let counts_since: Map<String, Value> = customer.facts.iter().filter_map(since).collect();
    let models: Vec<Value> =
        api.models.models.iter().zip(&customer.models).map(|(model, view)| standing(model, view)).collect();
    json!({
        "customer_id": customer.customer_id,
        "partition": partition,
        "clock": instant(Some(customer.clock)),
        "next_wake_up": instant(customer.next_wake_up),
        "orders": {
            "count": customer.orders.count,
            "revenue": amount(customer.orders.revenue),
            "currency": api.currency.as_str(),
            "last": instant(customer.orders.last),
        },
        "facts": facts,
        "facts_count_since": counts_since,
        "models": models,
    })
}

fn standing(model: &Model, view: &ModelView) -> Value {
    let stage = view.stage.map(|stage| model.stage(stage));
    let counters: Map<String, Value> = model
        .counters
        .iter()
        .zip(&view.counters)
        .map(|(counter, &count)| (counter.name.to_string(), count.into()))
        .collect();
    json!({
        "model": model.name,
        "version": model.version,
        "stage": stage.map(|stage| &stage.name),
        "titles": stage.map(|stage| titles(&stage.titles)),
        "since": instant(view.since),
        "sequence": view.sequence,
        "signals": view.signals.iter().filter_map(|&index| Some(&model.signals.get(index)?.name)).collect::<Vec<_>>(),
        "milestones": view.milestones.iter().filter_map(|&index| Some(&model.milestones.get(index)?.name)).collect::<Vec<_>>(),
        "counters": counters,
    })
}
