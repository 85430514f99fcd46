//! Klaviyo: `POST /api/events`, one event with the properties of its profile.
//!
//! The bulk endpoint refuses a whole batch if one `unique_id` in it was sent before (openapi of
//! `bulk_create_events`), so that it does not suit deliveries that may be repeated.

use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Answer, Event, Rate, Request, Rules, Tool, Vendor, is_time, text, whole_seconds};

/// The private API key that the server accepts.
pub(crate) const KEY: &str = "pk_test";
// klaviyo/openapi, `openapi/stable/apis/create_event.json`, revision 2026-07-15: the limits of an event.
const PROPERTIES_MAX: usize = 400;
const TEXT_BYTES_MAX: usize = 100_000;
const METRIC_CHARS_MAX: usize = 127;

/// The limits, each with its source.
const RULES: Rules = Rules {
    // create_event.json: burst 350/s, steady 3500/m.
    rates: &[
        Rate { path: "/api/events", requests: 350, per: Duration::from_secs(1) },
        Rate { path: "/api/events", requests: 3500, per: Duration::from_mins(1) },
    ],
    // create_event.json: 5 MB.
    body_bytes_max: 5_000_000,
    in_flight_max: None,
};

pub(crate) struct Klaviyo;

impl Vendor for Klaviyo {
    fn rules(&self) -> Rules {
        RULES
    }

    fn answer(&self, request: &Request, tool: &mut Tool) -> Answer {
        // <https://developers.klaviyo.com/en/docs/authenticate_>
        if request.header("authorization") != format!("Klaviyo-API-Key {KEY}") {
            return error(401, "not_authenticated", "Missing or invalid private key.", "");
        }
        if (request.method.as_str(), request.path.as_str()) != ("POST", "/api/events") {
            return error(404, "not_found", "The resource was not found.", "");
        }
        // <https://developers.klaviyo.com/en/docs/api_versioning_and_deprecation_policy>: each request names a
        // revision.
        if !is_date(request.header("revision")) {
            return error(400, "invalid", "A valid revision header is required.", "");
        }
        let Some(body) = request.json() else {
            return error(400, "invalid", "The body is not JSON.", "/");
        };
        let attributes = &body["data"]["attributes"];
        if let Some((pointer, detail)) = problem(&body["data"], tool) {
            return error(400, "invalid", detail, pointer);
        }
        let profile = &attributes["profile"]["data"]["attributes"];
        let customer = identifier(profile).unwrap_or_default().to_owned();
        if let Some(properties) = profile["properties"].as_object() {
            tool.set_attributes(&customer, properties);
        }
        let metric = attributes["metric"]["data"]["attributes"]["name"].as_str().unwrap_or_default().to_owned();
        // create_event.json: a repeated unique_id of a profile and metric is recorded once; without one the time to
        // the second identifies the event.
        let unique = text(attributes, "unique_id")
            .unwrap_or_else(|| text(attributes, "time").and_then(|time| time.get(..19)).unwrap_or_default());
        let key = format!("{customer}\n{metric}\n{unique}");
        tool.add_event(
            Event {
                customer,
                name: metric,
                properties: attributes["properties"].clone(),
                starts_campaigns: attributes["backfill"] != true,
            },
            Some(key),
        );
        Answer::text(202, "")
    }

    fn too_many(&self, wait: Duration) -> Answer {
        // <https://developers.klaviyo.com/en/docs/rate_limits_and_error_handling>
        error(429, "throttled", "Request was throttled.", "").with("retry-after", &whole_seconds(wait))
    }

    fn too_large(&self) -> Answer {
        error(413, "payload_too_large", "The payload is too large.", "")
    }
}

/// Returns an error as <https://developers.klaviyo.com/en/docs/rate_limits_and_error_handling> describes it.
fn error(status: u16, code: &str, detail: &str, pointer: &str) -> Answer {
    let error = json!({"id": "1", "status": status, "code": code, "title": code, "detail": detail, "source": {"pointer": pointer}});
    Answer::json(status, &json!({"errors": [error]}))
}

fn identifier(profile: &Value) -> Option<&str> {
    ["external_id", "email", "phone_number", "anonymous_id", "id"].iter().find_map(|name| text(profile, name))
}

/// Returns the place and the description of the first problem of `data`.
fn problem(data: &Value, tool: &Tool) -> Option<(&'static str, &'static str)> {
    let attributes = &data["attributes"];
    let metric = &attributes["metric"]["data"];
    let profile = &attributes["profile"]["data"];
    if data["type"] != "event" || metric["type"] != "metric" || profile["type"] != "profile" {
        return Some(("/data/type", "The types must be event, metric and profile."));
    }
    if text(&metric["attributes"], "name").is_none_or(|name| name.chars().count() > METRIC_CHARS_MAX) {
        return Some(("/data/attributes/metric/data/attributes/name", "Must be less than 128 characters."));
    }
    let Some(customer) = identifier(&profile["attributes"]) else {
        return Some(("/data/attributes/profile", "One of the identifiers is required."));
    };
    let Some(properties) = attributes["properties"].as_object() else {
        return Some(("/data/attributes/properties", "An object is required."));
    };
    if properties.len() > PROPERTIES_MAX {
        return Some(("/data/attributes/properties", "Must not exceed 400 properties."));
    }
    if properties.values().any(|value| value.as_str().is_some_and(|text| text.len() > TEXT_BYTES_MAX)) {
        return Some(("/data/attributes/properties", "A string must not exceed 100 KB."));
    }
    if !(attributes["time"].is_null() || text(attributes, "time").is_some_and(is_time)) {
        return Some(("/data/attributes/time", "Not a date."));
    }
    if !matches!(attributes["backfill"], Value::Null | Value::Bool(_)) {
        return Some(("/data/attributes/backfill", "Not a boolean."));
    }
    if !(attributes["unique_id"].is_null() || attributes["unique_id"].is_string()) {
        return Some(("/data/attributes/unique_id", "Not a string."));
    }
    tool.rejects(customer).then_some(("/data/attributes/profile/data/attributes", "Invalid identifier."))
}

fn is_date(text: &str) -> bool {
    text.parse::<jiff::civil::Date>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::server::{Bad, VendorServer, exceed, refuses};
    use super::*;

    const GOOD: &[(&str, &str)] = &[
        ("authorization", "Klaviyo-API-Key pk_test"),
        ("revision", "2026-07-15"),
        ("content-type", "application/vnd.api+json"),
    ];
    const PATH: &str = "/api/events";

    fn event(customer: &str, unique_id: &str) -> Value {
        json!({"data": {"type": "event", "attributes": {
            "properties": {"model": "retention"}, "time": "2026-05-30T10:30:00Z", "unique_id": unique_id,
            "metric": {"data": {"type": "metric", "attributes": {"name": "at_risk_of_churn"}}},
            "profile": {"data": {"type": "profile", "attributes": {
                "external_id": customer, "properties": {"stage": "at_risk"}
            }}},
        }}})
    }

    fn with(pointer: &str, value: Value) -> String {
        let mut body = event("c-1", "u-1");
        *body.pointer_mut(pointer).expect("a member") = value;
        body.to_string()
    }

    #[test]
    fn a_good_event_is_stored_once() {
        let server = VendorServer::start(Klaviyo);
        for _ in 0..2 {
            assert_eq!(server.send("POST", PATH, GOOD, &event("c-1", "u-1").to_string()).0, 202);
        }
        let mut replayed = event("c-1", "u-2");
        replayed["data"]["attributes"]["backfill"] = json!(true);
        assert_eq!(server.send("POST", PATH, GOOD, &replayed.to_string()).0, 202);
        let tool = server.tool();
        assert_eq!((tool.events.len(), tool.repeated), (2, 1));
        assert_eq!(tool.events.iter().map(|event| event.starts_campaigns).collect::<Vec<_>>(), [true, false]);
        assert_eq!(tool.profiles["c-1"]["stage"], "at_risk");
    }

    #[test]
    fn bad_requests_are_refused() {
        let server = VendorServer::start(Klaviyo);
        server.tool().rejected_customers.insert("c-9".to_owned());
        let good = event("c-1", "u-1").to_string();
        let many: serde_json::Map<String, Value> = (0..401).map(|index| (format!("p{index}"), json!(1))).collect();
        refuses(
            &server,
            "POST",
            &[
                Bad("no key", PATH, &GOOD[1..], good.clone(), 401),
                Bad("no revision", PATH, &[GOOD[0], GOOD[2]], good.clone(), 400),
                Bad("no content type", PATH, &GOOD[..2], good.clone(), 400),
                Bad("another path", "/api/event", GOOD, good, 404),
                Bad("no data", PATH, GOOD, "{}".to_owned(), 400),
                Bad("another type", PATH, GOOD, with("/data/type", json!("profile")), 400),
                Bad(
                    "a long metric",
                    PATH,
                    GOOD,
                    with("/data/attributes/metric/data/attributes/name", json!("x".repeat(128))),
                    400,
                ),
                Bad("no identifier", PATH, GOOD, with("/data/attributes/profile/data/attributes", json!({})), 400),
                Bad("no properties", PATH, GOOD, with("/data/attributes/properties", json!(null)), 400),
                Bad("401 properties", PATH, GOOD, with("/data/attributes/properties", json!(many)), 400),
                Bad(
                    "a long text",
                    PATH,
                    GOOD,
                    with("/data/attributes/properties", json!({"a": "x".repeat(100_001)})),
                    400,
                ),
                Bad("no time", PATH, GOOD, with("/data/attributes/time", json!("yesterday")), 400),
                Bad("a number as key", PATH, GOOD, with("/data/attributes/unique_id", json!(5)), 400),
                Bad("a rejected profile", PATH, GOOD, event("c-9", "u-1").to_string(), 400),
                Bad(
                    "more than 5 MB",
                    PATH,
                    GOOD,
                    with("/data/attributes/properties", json!({"a": "x".repeat(5_000_000)})),
                    413,
                ),
            ],
        );
        assert!(server.tool().events.is_empty());
    }

    #[test]
    fn too_many_requests_are_answered_with_retry_after() {
        let rate = Rate { path: PATH, requests: 2, per: Duration::from_mins(1) };
        let server = VendorServer::with_rates(Klaviyo, &[rate]);
        let headers = exceed(&server, rate, PATH, GOOD, &event("c-1", "u-1").to_string());
        let seconds: u64 = headers["retry-after"].to_str().expect("text").parse().expect("seconds");
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
}
