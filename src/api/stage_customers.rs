//! `/v1/models/{model}/stages/{stage}/customers`: the committed customers of a stage, in pages.
//!
//! A page covers the partitions in ascending order. Within a partition the order is that of its worker's memory, which
//! is stable until the partition is restored: then its cursors expire. Each request reads a bounded number of
//! customers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::lifecycle::id::StageIndex;
use crate::partition::{Snapshot, StageCursor};
use crate::runtime::{StageAnswer, StageRequest};

use super::Api;
use super::customer_lookup::no_partitions;
use super::extract::{Path, Query};
use super::peers::{PeerLookup, Peers};
use super::problem::Problem;
use super::response::{Orders, TimestampText};
use super::workers::StageLookup;

/// Maximum number of queries to the workers for one page. With the limit of each query, it bounds the work of a page.
const QUERIES_MAX: usize = 64;
/// Maximum number of pages that are read at once, so that they do not delay the workers.
static PERMITS: Semaphore = Semaphore::const_new(4);

/// Some of the customers in a stage.
#[derive(Serialize, JsonSchema)]
pub(super) struct StageCustomers {
    model: String,
    stage: String,
    /// Can be empty although `next` is not null.
    customers: Vec<StageCustomer>,
    /// The `cursor` of the next page; null at the end.
    next: Option<String>,
    /// Partitions that this page left out, because other instances have them and `http.advertise` is not set.
    left_out: Vec<i32>,
}

/// A customer in a stage.
#[derive(Serialize, JsonSchema)]
struct StageCustomer {
    customer_id: String,
    partition: i32,
    /// When the customer entered the stage.
    since: Option<TimestampText>,
    /// The signals of the model that are on.
    signals: Vec<String>,
    orders: Orders,
    /// The customer's time: the latest event time or wake-up applied.
    clock: TimestampText,
    /// The next instant at which time alone may change a standing; null if there is none.
    next_wake_up: Option<TimestampText>,
}

/// The page to return.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StageQuery {
    /// Maximum number of customers.
    #[serde(default = "StageQuery::limit")]
    #[schemars(range(min = 1, max = 1000))]
    limit: u16,
    /// The `next` of the page before; without it, the first page.
    cursor: Option<String>,
}

impl StageQuery {
    const fn limit() -> u16 {
        100
    }
}

/// A position in the list: a partition, and where to start in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct ListCursor {
    partition: i32,
    within: StageCursor,
}

impl ListCursor {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let partition = parts.next()?.parse().ok().filter(|partition| (0..i32::MAX).contains(partition))?;
        let slot = parts.next()?.parse().ok()?;
        let previous = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some(Self { partition, within: StageCursor { slot, previous } })
    }

    fn start_of(partition: i32) -> Self {
        Self { partition, within: StageCursor::default() }
    }

    fn text(self) -> String {
        format!("{}.{}.{}", self.partition, self.within.slot, self.within.previous)
    }
}

pub(super) async fn stage_customers(
    State(api): State<Arc<Api>>,
    Path((model, stage)): Path<(String, String)>,
    Query(query): Query<StageQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let Some(cursor) = query.cursor.as_deref().map_or(Some(ListCursor::default()), ListCursor::parse) else {
        let detail = "cursor is not one that a page returned as `next`".to_owned();
        return Problem::new(StatusCode::NOT_FOUND, "unknown-cursor", detail).into_response();
    };
    let unknown = |kind, detail: String| Problem::new(StatusCode::NOT_FOUND, kind, detail).into_response();
    let Some(index) = api.models.models.iter().position(|it| *it.name == *model) else {
        let detail = "no running model has this name; /v1/models lists the running models".to_owned();
        return unknown("unknown-model", detail);
    };
    let stages = &api.models.models[index].stages;
    let Some(stage) = (0..).zip(stages).find(|(_, it)| *it.name == *stage).map(|(index, _)| StageIndex(index)) else {
        let names: Vec<&str> = stages.iter().map(|stage| &*stage.name).collect();
        return unknown("unknown-stage", format!("the stages of the model are {}", names.join(", ")));
    };
    let reader = PageReader { api: &api, index, stage, limit: usize::from(query.limit), uri: &uri, headers: &headers };
    reader.read(cursor).await.unwrap_or_else(|response| response)
}

/// Reads one page.
struct PageReader<'a> {
    api: &'a Api,
    index: usize,
    stage: StageIndex,
    limit: usize,
    uri: &'a Uri,
    headers: &'a HeaderMap,
}

impl PageReader<'_> {
    /// Returns the page from `cursor` on. The error is a complete response: a problem.
    async fn read(&self, mut cursor: ListCursor) -> Result<Response, Response> {
        // The semaphore is never closed.
        let permit = PERMITS.acquire().await.ok();
        let peers = self.api.peers.as_ref().filter(|_| !Peers::is_forwarded(self.headers));
        let mut customers = Vec::new();
        let mut left_out = Vec::new();
        let mut next = Some(cursor);
        let mut has_read = false;
        for _ in 0..QUERIES_MAX {
            let request = StageRequest {
                partition: cursor.partition,
                model: self.index,
                stage: self.stage,
                cursor: cursor.within,
                customers_max: self.limit - customers.len(),
            };
            let StageLookup::Answer(answer) = self.api.workers.find_stage(request).await else {
                return Err(unavailable("busy", "a worker did not respond in time; retry later".to_owned()));
            };
            let partitions = match answer {
                StageAnswer::Page { page, partitions } => {
                    has_read = true;
                    customers.extend(page.customers.iter().map(|it| self.customer(cursor.partition, it)));
                    if let Some(within) = page.next {
                        cursor.within = within;
                        next = Some(cursor);
                        if customers.len() == self.limit {
                            break;
                        }
                        continue;
                    }
                    partitions
                }
                StageAnswer::Restoring => {
                    let detail = format!("partition {} is being restored; retry later", cursor.partition);
                    return Err(unavailable("restoring", detail));
                }
                StageAnswer::CursorExpired => return Err(expired()),
                StageAnswer::NotAssigned { partitions: None } => {
                    return Err(unavailable(
                        "group-unknown",
                        "the partitions are not known yet; retry later".to_owned(),
                    ));
                }
                StageAnswer::NotAssigned { partitions: Some(partitions) } if cursor.partition < partitions => {
                    if Peers::is_forwarded(self.headers) && !has_read {
                        let detail = format!("this instance does not have partition {}", cursor.partition);
                        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown-partition", detail).into_response());
                    }
                    if Peers::is_forwarded(self.headers) || (peers.is_some() && !customers.is_empty()) {
                        break;
                    }
                    match peers {
                        Some(peers) => {
                            // The other instance needs a permit of its own. If both waited with one, neither would
                            // proceed.
                            drop(permit);
                            return self.forward(peers, cursor).await;
                        }
                        None if self.api.status_registry.partitions() == 0 => {
                            return Err(no_partitions().into_response());
                        }
                        None => left_out.push(cursor.partition),
                    }
                    Some(partitions)
                }
                StageAnswer::NotAssigned { partitions } => partitions,
            };
            cursor = ListCursor::start_of(cursor.partition + 1);
            next = partitions.is_none_or(|partitions| cursor.partition < partitions).then_some(cursor);
            if next.is_none() || customers.len() == self.limit {
                break;
            }
        }
        let model = &self.api.models.models[self.index];
        let page = StageCustomers {
            model: model.name.to_string(),
            stage: model.stage(self.stage).name.to_string(),
            customers,
            next: next.map(ListCursor::text),
            left_out,
        };
        Ok(Json(page).into_response())
    }

    /// Forwards the request to the instance that has the partition of `cursor`.
    async fn forward(&self, peers: &Peers, cursor: ListCursor) -> Result<Response, Response> {
        let path = format!("{}?limit={}&cursor={}", self.uri.path(), self.limit, cursor.text());
        let uri = path.parse::<Uri>().expect("the path is that of the request, the query has only digits and dots");
        let partition = cursor.partition;
        match peers.forward(&uri, self.headers).await {
            PeerLookup::Found(response) => Ok(response),
            PeerLookup::Unavailable(addresses) if !addresses.is_empty() => {
                let addresses = addresses.join(", ");
                let detail =
                    format!("partition {partition} is elsewhere, and these instances did not respond: {addresses}");
                Err(unavailable("elsewhere", detail))
            }
            PeerLookup::Unavailable(_) | PeerLookup::NotFound | PeerLookup::MergedInto(_) => {
                let detail = format!("no instance has partition {partition}: it is being reassigned; retry later");
                Err(unavailable("elsewhere", detail))
            }
        }
    }

    fn customer(&self, partition: i32, snapshot: &Snapshot) -> StageCustomer {
        let view = snapshot.view();
        let standing = &view.models[self.index];
        let signals = &self.api.models.models[self.index].signals;
        StageCustomer {
            customer_id: view.customer_id.to_string(),
            partition,
            since: standing.since.map(TimestampText::from),
            signals: standing.signals.iter().map(|&index| signals[index].name.to_string()).collect(),
            orders: Orders::of(&view.orders, self.api.currency),
            clock: view.clock.into(),
            next_wake_up: view.next_wake_up.map(TimestampText::from),
        }
    }
}

fn unavailable(kind: &'static str, detail: String) -> Response {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail).into_response()
}

fn expired() -> Response {
    let detail = "the partition was restored since the cursor was returned: start again without a cursor".to_owned();
    Problem::new(StatusCode::GONE, "cursor-expired", detail).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor = ListCursor { partition: 3, within: StageCursor { slot: 4_096, previous: u32::MAX } };
        assert_eq!(ListCursor::parse(&cursor.text()), Some(cursor));
        for text in ["", "1", "1.2", "1.2.3.4", "-1.0.0", "a.0.0", "0.0.4294967296"] {
            assert_eq!(ListCursor::parse(text), None, "{text}");
        }
    }
}
