//! Finds a customer by any of its ids, on this instance or another one of the group.
//!
//! With identity resolution, the id of a visitor that became a customer, or of a merged customer, is answered as that
//! customer. The two may be on different instances: the instance that a client asks finds both, and the others answer
//! for their own partitions only.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::partition::Snapshot;
use crate::wire::percent_encoding::percent_encoded;
use crate::wire::touchpoint_json::ID_BYTES_MAX;

use super::Api;
use super::peers::{PeerLookup, Peers};
use super::problem::Problem;
use super::workers::CustomerLookup;

/// Maximum number of ids that are looked up for one request. A stub refers to its customer directly, except for some
/// hundred milliseconds after a merge.
const HOPS_MAX: usize = 8;

/// A customer of this instance.
struct Found {
    partition: i32,
    snapshot: Box<Snapshot>,
    /// The URI of the customer, if the request names another id of it.
    uri: Option<Uri>,
}

/// The result of the look-up of one id.
enum Lookup {
    Found(i32, Box<Snapshot>),
    /// The id belongs to this customer.
    MergedInto(String),
    /// The response of the instance that has the customer.
    Elsewhere(Response),
    Missing(Problem),
}

/// Responds with what `describe` makes of the customer that the id belongs to: its partition and a snapshot.
pub(super) async fn respond<T: Serialize>(
    api: &Api,
    id: &str,
    uri: &Uri,
    headers: &HeaderMap,
    describe: impl FnOnce(i32, &Snapshot) -> T,
) -> Response {
    match find_customer(api, id, uri, headers).await {
        Ok(Found { partition, snapshot, uri }) => {
            with_location(Json(describe(partition, &snapshot)).into_response(), uri.as_ref())
        }
        Err(response) => response,
    }
}

/// Finds the customer that an id belongs to. The error is a complete response: a problem, or the response of the
/// instance that has the customer.
async fn find_customer(api: &Api, id: &str, uri: &Uri, headers: &HeaderMap) -> Result<Found, Response> {
    if id.is_empty() || id.len() > ID_BYTES_MAX {
        let detail = format!("a customer id has 1 to {ID_BYTES_MAX} bytes");
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown-customer", detail).into_response());
    }
    let mut customer: Option<(String, Uri)> = None;
    for _ in 0..HOPS_MAX {
        let (id, uri) = customer.as_ref().map_or((id, uri), |(id, uri)| (id.as_str(), uri));
        match look_up(api, id, uri, headers).await {
            Lookup::Found(partition, snapshot) => {
                return Ok(Found { partition, snapshot, uri: customer.map(|(_, uri)| uri) });
            }
            Lookup::Elsewhere(response) => {
                return Err(with_location(response, customer.as_ref().map(|(_, uri)| uri)));
            }
            // The instance that forwarded the request finds the customer.
            Lookup::MergedInto(merged_into) if Peers::is_forwarded(headers) => {
                let detail = format!("the id belongs to the customer {merged_into}");
                let problem = Problem::new(StatusCode::GONE, "merged-visitor", detail);
                return Err(problem.with_merged_into(&merged_into).into_response());
            }
            Lookup::MergedInto(merged_into) => {
                let uri = uri_of(uri, &merged_into);
                customer = Some((merged_into, uri));
            }
            Lookup::Missing(problem) => {
                let problem = match customer {
                    Some((id, _)) => problem.with_merged_into(&id),
                    None => problem,
                };
                return Err(problem.into_response());
            }
        }
    }
    let detail = "the customer of the id changes at the moment; retry later".to_owned();
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).into_response())
}

/// Returns the URI `/v1/customers/{customer_id}...` of another customer.
fn uri_of(uri: &Uri, customer_id: &str) -> Uri {
    let mut segments: Vec<&str> = uri.path().split('/').collect();
    let encoded = percent_encoded(customer_id);
    if let Some(segment) = segments.get_mut(3) {
        *segment = &encoded;
    }
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    format!("{}{query}", segments.join("/")).parse().unwrap_or_else(|_| uri.clone())
}

/// Names the URI of the customer in the response, if the request names another id of it.
fn with_location(mut response: Response, uri: Option<&Uri>) -> Response {
    if let Some(location) = uri.and_then(|uri| HeaderValue::from_str(uri.path_and_query()?.as_str()).ok()) {
        response.headers_mut().insert(header::CONTENT_LOCATION, location);
    }
    response
}

/// Looks an id up in this instance's workers, then in the other instances.
async fn look_up(api: &Api, customer_id: &str, uri: &Uri, headers: &HeaderMap) -> Lookup {
    let lookup = match api.workers.find_customer(customer_id).await {
        CustomerLookup::Found(partition, snapshot) => return Lookup::Found(partition, snapshot),
        CustomerLookup::MergedInto(merged_into) => return Lookup::MergedInto(merged_into.to_string()),
        lookup => lookup,
    };
    let peers = api.peers.as_ref().filter(|_| !Peers::is_forwarded(headers));
    let peer_lookup = match peers {
        Some(peers) => peers.forward(uri, headers).await,
        None => PeerLookup::NotFound,
    };
    let unavailable = |kind, detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail);
    Lookup::Missing(match (peer_lookup, lookup) {
        (PeerLookup::Found(response), _) => return Lookup::Elsewhere(response),
        (PeerLookup::MergedInto(customer_id), _) => return Lookup::MergedInto(customer_id),
        (_, CustomerLookup::Restoring) => {
            unavailable("restoring", "partitions are being restored; retry later".to_owned())
        }
        (_, CustomerLookup::TimedOut) => {
            unavailable("busy", "a worker did not respond in time; retry later".to_owned())
        }
        (PeerLookup::Unavailable(addresses), _) if addresses.is_empty() => {
            unavailable("group-unknown", "the instances of the group could not be looked up; retry later".to_owned())
        }
        (PeerLookup::Unavailable(addresses), _) => {
            let addresses = addresses.join(", ");
            unavailable(
                "elsewhere",
                format!(
                    "the customer is not on this instance, and these instances did not respond: {addresses}; query them directly, or retry later"
                ),
            )
        }
        (PeerLookup::NotFound, _) if api.peers.is_none() && api.status_registry.partitions() == 0 => no_partitions(),
        (PeerLookup::NotFound, _) => {
            let detail = match peers {
                Some(_) => {
                    "no instance has the customer: no touchpoint has been processed yet, or the partition is being reassigned"
                }
                None if api.status_registry.has_every_partition() => {
                    "no such customer: this instance has every partition. No touchpoint of the customer was processed, or the customer \
                     was erased or forgotten"
                }
                None => {
                    "no partition of this instance has the customer: query the other instances (set http.advertise to forward \
                     requests automatically), or wait for a touchpoint"
                }
            };
            Problem::new(StatusCode::NOT_FOUND, "unknown-customer", detail.to_owned())
        }
    })
}

/// The problem of an instance that has no partition to look into.
pub(super) fn no_partitions() -> Problem {
    let detail = "no partitions are assigned to this instance: no broker is reachable, the group is being rebalanced, or \
                  other instances have all of them; retry later, or query the other instances";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no-partitions", detail.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uri_of_a_customer_differs_in_its_id_only() {
        let uri = |text: &str| text.parse::<Uri>().expect("a URI");
        let cases = [
            ("/v1/customers/visitor-7", "anna", "/v1/customers/anna"),
            (
                "/v1/customers/a%2Fb/forecast?days=7",
                "anna/\u{e9}?#",
                "/v1/customers/anna%2F%C3%A9%3F%23/forecast?days=7",
            ),
        ];
        for (from, id, to) in cases {
            assert_eq!(uri_of(&uri(from), id), uri(to));
        }
    }
}
