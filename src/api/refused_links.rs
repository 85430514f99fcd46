//! `/v1/links/refused`: the latest links that identity resolution refused on this instance.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wire::refused_link::RefusedLinkRecord;

use super::Api;
use super::extract::Query;

/// The latest refused links.
#[derive(Serialize, JsonSchema)]
pub(super) struct RefusedLinksPage<'a> {
    /// The latest first. Empty after a restart.
    links: Vec<RefusedLinkRecord<'a>>,
}

/// How many links to return.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RefusedLinksQuery {
    /// Maximum number of links.
    #[serde(default = "RefusedLinksQuery::limit")]
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
}

impl RefusedLinksQuery {
    const fn limit() -> usize {
        100
    }
}

pub(super) async fn refused_links(State(api): State<Arc<Api>>, Query(query): Query<RefusedLinksQuery>) -> Response {
    let refused = api.refused_links.latest(query.limit);
    Json(RefusedLinksPage { links: refused.iter().map(RefusedLinkRecord::of).collect() }).into_response()
}
