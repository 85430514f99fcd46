//! `/v1/transitions`: the latest committed transitions of this instance, as published.

#![expect(clippy::struct_field_names, reason = "fields are named as in the answer")]

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lifecycle::transition::Transition;

use super::Api;
use super::answer::{Published, Teller};
use super::extract::Query;
use super::problem::Problem;

/// How often it is looked for what is waited for; as often as batches are committed.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// The largest number that every reader of JSON holds exactly; no cursor comes near it.
const CURSOR_MAX: u64 = (1 << 53) - 1;

/// Some of the latest transitions, in the order of commit.
#[derive(Serialize, JsonSchema)]
pub(super) struct Transitions {
    transitions: Vec<Published>,
    /// What to ask for next time as `after`.
    next: u64,
    /// How many came after the cursor and are not kept any more. Those of an earlier run of this process are not counted.
    missed: u64,
}

/// Which transitions.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TransitionsQuery {
    /// The `next` of an earlier answer. A cursor of an earlier run starts at the beginning of this one; without a cursor the latest
    /// are told.
    #[schemars(range(max = CURSOR_MAX))]
    after: Option<u64>,
    /// How many at most.
    #[serde(default = "TransitionsQuery::limit")]
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
    /// Those of this model only.
    model: Option<String>,
    /// For how many seconds to wait when there is nothing yet.
    #[serde(default)]
    #[schemars(range(min = 0, max = 20))]
    wait: u64,
}

impl TransitionsQuery {
    const fn limit() -> usize {
        100
    }
}

pub(super) async fn transitions(
    State(api): State<Arc<Api>>,
    Query(query): Query<TransitionsQuery>,
) -> Result<Json<Transitions>, Problem> {
    let model = query.model.as_deref().map(|name| api.models.models.iter().position(|model| *model.name == *name));
    if model == Some(None) {
        let detail = "no model of that name runs; /v1/models lists those that do".to_owned();
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown-model", detail));
    }
    let model = model.flatten();
    let fits = |transition: &Transition| model.is_none_or(|model| usize::from(transition.model.0) == model);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(query.wait);
    // Without a cursor the end of what is there is waited past.
    let mut excerpt = api.recent.after(query.after, query.limit, fits);
    while excerpt.transitions.is_empty() && excerpt.missed == 0 && tokio::time::Instant::now() < deadline {
        let seen = excerpt.next;
        tokio::time::sleep(LOOK_PERIOD).await;
        if api.recent.end() != seen {
            excerpt = api.recent.after(Some(seen), query.limit, fits);
        }
    }
    let teller = Teller { models: &api.models, currency: api.currency };
    let transitions = excerpt.transitions.iter().map(|committed| teller.published(committed)).collect();
    Ok(Json(Transitions { transitions, next: excerpt.next, missed: excerpt.missed }))
}
