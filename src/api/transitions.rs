//! `/v1/transitions`: the latest committed transitions of this instance, as published.

#![expect(clippy::struct_field_names, reason = "fields are named as in the response")]

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lifecycle::transition::Transition;

use super::Api;
use super::authorization::NoCustomerData;
use super::extract::Query;
use super::problem::Problem;
use super::response::{PublishedJson, TransitionRenderer};

/// How often a waiting request checks for new transitions; as often as batches are committed by default.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The largest integer that every JSON parser represents exactly. Cursors stay far below it.
const CURSOR_MAX: u64 = (1 << 53) - 1;

/// Some of the latest transitions, in commit order.
#[derive(Serialize, JsonSchema)]
pub(super) struct Transitions {
    transitions: Vec<PublishedJson>,
    /// The cursor to send as `after` in the next request.
    next: u64,
    /// Number of transitions after the cursor that are no longer in memory, without those from before a restart.
    missed: u64,
}

/// Which transitions to return.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TransitionsQuery {
    /// The `next` of an earlier response. A cursor from before a restart of the instance starts at the first transition
    /// after it. Without a cursor, the latest transitions are returned.
    #[schemars(range(max = CURSOR_MAX))]
    after: Option<u64>,
    /// Maximum number of transitions.
    #[serde(default = "TransitionsQuery::limit")]
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
    /// Only transitions of this model.
    model: Option<String>,
    /// Number of seconds to wait if there is no transition yet.
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
) -> Result<Response, Problem> {
    let model = query.model.as_deref().map(|name| api.models.models.iter().position(|model| *model.name == *name));
    if model == Some(None) {
        let detail = "no running model has this name; /v1/models lists the running models".to_owned();
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown-model", detail));
    }
    let model = model.flatten();
    let matches = |transition: &Transition| model.is_none_or(|model| usize::from(transition.model.0) == model);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(query.wait);
    // Without a cursor, waits for a transition after the current end.
    let mut page = api.recent.after(query.after, query.limit, matches);
    while page.transitions.is_empty() && page.missed == 0 && tokio::time::Instant::now() < deadline {
        let seen = page.next;
        tokio::time::sleep(POLL_INTERVAL).await;
        if api.recent.end() != seen {
            page = api.recent.after(Some(seen), query.limit, matches);
        }
    }
    let renderer = TransitionRenderer { models: &api.models, currency: api.currency };
    let transitions = page.transitions.iter().map(|committed| renderer.published(committed)).collect();
    let body = Json(Transitions { transitions, next: page.next, missed: page.missed });
    Ok(if page.transitions.is_empty() {
        (Extension(NoCustomerData), body).into_response()
    } else {
        body.into_response()
    })
}
