//! Segment: the HTTP tracking API, `POST /v1/batch`.
//!
//! It answers 200 to nearly everything and drops what it cannot use:
//! <https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/> (segmentio/segment-docs,
//! `http-api/index.md`). What it drops is in `lost`.

use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Answer, Event, Rate, Request, Rules, Tool, Vendor, is_time, list, text, whole_seconds};

/// `write-key:` in Base64: the write key that the server accepts, without a password.
pub(crate) const BASIC: &str = "Basic d3JpdGUta2V5Og==";
// segment-docs, `http-api/index.md`: 32 KB for an event, 2,500 events in a batch, fewer than 100 characters for a key.
const ITEM_BYTES_MAX: usize = 32_000;
const ITEMS_MAX: usize = 2500;
const MESSAGE_ID_CHARS_MAX: usize = 99;

/// The limits, each with its source.
const RULES: Rules = Rules {
    // `http-api/index.md`: 1,000 requests a second for a workspace.
    rates: &[Rate { path: "/", requests: 1000, per: Duration::from_secs(1) }],
    // The same page: 500 KB for a batch.
    body_bytes_max: 500_000,
    in_flight_max: None,
};

pub(crate) struct Segment;

impl Vendor for Segment {
    fn rules(&self) -> Rules {
        RULES
    }

    fn answer(&self, request: &Request, tool: &mut Tool) -> Answer {
        if (request.method.as_str(), request.path.as_str()) != ("POST", "/v1/batch") {
            return Answer::text(404, "404 page not found");
        }
        let Some(body) = request.json() else {
            return Answer::json(400, &json!({"success": false, "message": "malformed JSON"}));
        };
        let items = list(&body, "batch");
        if items.iter().any(|item| item.to_string().len() > ITEM_BYTES_MAX) {
            return Answer::json(400, &json!({"success": false, "message": "exceeded max message size"}));
        }
        let success = Answer::json(200, &json!({"success": true}));
        if request.header("authorization") != BASIC {
            tool.lost.push("write key is unknown".to_owned());
            return success;
        }
        if items.is_empty() || items.len() > ITEMS_MAX {
            tool.lost.push(format!("batch of {} events", items.len()));
            return success;
        }
        for item in items {
            if let Some(problem) = problem(item, tool) {
                tool.lost.push(problem.to_owned());
                continue;
            }
            let customer = item["userId"].as_str().unwrap_or_default().to_owned();
            let key = text(item, "messageId").map(str::to_owned);
            match item["type"].as_str() {
                Some("identify") => {
                    let traits = item["traits"].as_object().cloned().unwrap_or_default();
                    tool.set_attributes(&customer, &traits);
                }
                _ => tool.add_event(
                    Event {
                        customer,
                        name: item["event"].as_str().unwrap_or_default().to_owned(),
                        properties: item["properties"].clone(),
                        starts_campaigns: true,
                    },
                    // segment-docs, `guides/duplicate-data.md`: repeated keys are dropped for about 24 hours.
                    key,
                ),
            }
        }
        success
    }

    fn too_many(&self, wait: Duration) -> Answer {
        Answer::json(429, &json!({"success": false, "message": "too many requests"}))
            .with("retry-after", &whole_seconds(wait))
            .with("x-ratelimit-reset", &whole_seconds(wait))
    }

    fn too_large(&self) -> Answer {
        Answer::json(400, &json!({"success": false, "message": "request body too large"}))
    }
}

fn problem(item: &Value, tool: &Tool) -> Option<&'static str> {
    let Some(user) = text(item, "userId") else { return Some("no_user_anon_id") };
    if text(item, "messageId").is_none_or(|id| id.chars().count() > MESSAGE_ID_CHARS_MAX) {
        return Some("message id is missing or too long");
    }
    if !(item["timestamp"].is_null() || text(item, "timestamp").is_some_and(is_time)) {
        return Some("timestamp is not valid");
    }
    match item["type"].as_str() {
        Some("track") if text(item, "event").is_none() => return Some("track event has no name"),
        Some("track" | "identify") => {}
        _ => return Some("unknown type"),
    }
    tool.rejects(user).then_some("rejected user")
}

#[cfg(test)]
mod tests {
    use super::super::server::{Bad, VendorServer, exceed, refuses};
    use super::*;

    const GOOD: &[(&str, &str)] = &[("authorization", BASIC), ("content-type", "application/json")];
    const PATH: &str = "/v1/batch";

    fn track(customer: &str, id: &str) -> Value {
        json!({
            "type": "track", "userId": customer, "event": "at_risk_of_churn", "messageId": id,
            "timestamp": "2026-05-30T10:30:00Z", "properties": {"model": "retention"}
        })
    }

    fn identify(customer: &str) -> Value {
        json!({"type": "identify", "userId": customer, "messageId": format!("{customer}-profile"), "traits": {"stage": "at_risk"}})
    }

    fn batch(items: &[Value]) -> String {
        json!({"batch": items}).to_string()
    }

    #[test]
    fn good_events_are_stored_once() {
        let server = VendorServer::start(Segment);
        for _ in 0..2 {
            assert_eq!(server.send("POST", PATH, GOOD, &batch(&[identify("c-1"), track("c-1", "m-1")])).0, 200);
        }
        let tool = server.tool();
        assert_eq!((tool.events.len(), tool.repeated, tool.lost.len()), (1, 1, 0));
        assert_eq!(tool.profiles["c-1"]["stage"], "at_risk");
    }

    #[test]
    fn only_size_and_syntax_are_refused() {
        let server = VendorServer::start(Segment);
        let long = json!({"type": "track", "userId": "c", "event": "x".repeat(32_000), "messageId": "m"});
        refuses(
            &server,
            "POST",
            &[
                Bad("another path", "/v1/batches", GOOD, batch(&[]), 404),
                Bad("no JSON", PATH, GOOD, "{".to_owned(), 400),
                Bad("no content type", PATH, &GOOD[..1], batch(&[track("c", "m")]), 400),
                Bad("an event above 32 KB", PATH, GOOD, batch(&[long]), 400),
                Bad("more than 500 KB", PATH, GOOD, " ".repeat(500_001), 400),
            ],
        );
        assert!(server.tool().lost.is_empty());
    }

    #[test]
    fn everything_else_is_answered_with_success_and_lost() {
        let server = VendorServer::start(Segment);
        server.tool().rejected_customers.insert("c-9".to_owned());
        let with = |name: &str, value: Value| {
            let mut item = track("c-1", "m-1");
            item[name] = value;
            item
        };
        let items = [
            with("userId", json!("")),
            with("event", json!("")),
            with("messageId", json!("x".repeat(100))),
            with("timestamp", json!("today")),
            with("type", json!("other")),
            track("c-9", "m-2"),
        ];
        assert_eq!(server.send("POST", PATH, GOOD, &batch(&items)).0, 200);
        assert_eq!(server.send("POST", PATH, &GOOD[1..], &batch(&[track("c-1", "m-1")])).0, 200);
        assert_eq!(server.send("POST", PATH, GOOD, &batch(&vec![json!({}); 2501])).0, 200);
        let tool = server.tool();
        assert_eq!((tool.lost.len(), tool.events.len()), (8, 0), "{:?}", tool.lost);
    }

    #[test]
    fn too_many_requests_are_answered_with_retry_after() {
        let rate = Rate { path: "/", requests: 2, per: Duration::from_mins(1) };
        let server = VendorServer::with_rates(Segment, &[rate]);
        let headers = exceed(&server, rate, PATH, GOOD, &batch(&[track("c-1", "m-1")]));
        assert_eq!(headers["retry-after"], headers["x-ratelimit-reset"]);
    }
}
