//! Iterable: `POST /api/events/trackBulk` and `POST /api/users/bulkUpdate`.

use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Answer, Event, Rate, Request, Rules, Tool, Vendor, list, text};

/// The server-side API key that the server accepts.
pub(crate) const KEY: &str = "iterable-key";
/// <https://api.iterable.com/api/docs#events_track>: bytes of the id of an event.
const ID_BYTES_MAX: usize = 512;
const EVENTS: &str = "/api/events/trackBulk";
const USERS: &str = "/api/users/bulkUpdate";

/// The limits, each with its source.
const RULES: Rules = Rules {
    // <https://api.iterable.com/api/docs>: trackBulk 10 requests a second, bulkUpdate 5.
    rates: &[
        Rate { path: EVENTS, requests: 10, per: Duration::from_secs(1) },
        Rate { path: USERS, requests: 5, per: Duration::from_secs(1) },
    ],
    // The same page: 4 MB.
    body_bytes_max: 4_000_000,
    in_flight_max: None,
};

pub(crate) struct Iterable;

impl Vendor for Iterable {
    fn rules(&self) -> Rules {
        RULES
    }

    fn answer(&self, request: &Request, tool: &mut Tool) -> Answer {
        // <https://support.iterable.com/hc/en-us/articles/39629320560148-API-Response-Codes>: codes and their
        // statuses.
        if request.header("api-key") != KEY {
            return error(401, "BadApiKey", "Invalid API key");
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/api/users/getFields") => return Answer::json(200, &json!({"fields": {}})),
            ("POST", EVENTS | USERS) => {}
            _ => return error(404, "NotFound", "Not found"),
        }
        let is_events = request.path == EVENTS;
        let name = if is_events { "events" } else { "users" };
        let Some(items) = request.json().and_then(|body| body[name].as_array().cloned()) else {
            return error(400, "BadJsonBody", "Invalid JSON");
        };
        if let Some(message) = items.iter().find_map(|item| malformed(item, is_events)) {
            return error(400, "BadParams", message);
        }
        // The names of the lists: rudder-transformer, `iterable/config.js`, `ITERABLE_RESPONSE_USER_ID_PATHS`. They
        // contain users, not positions.
        let mut not_found = Vec::new();
        for item in &items {
            let user = text(item, "userId").or_else(|| text(item, "email")).unwrap_or_default();
            if tool.rejects(user) {
                not_found.push(user.to_owned());
                continue;
            }
            if is_events {
                // The id of an event: one with the same id is updated (segmentio/action-destinations, `iterable`).
                tool.add_event(
                    Event {
                        customer: user.to_owned(),
                        name: text(item, "eventName").unwrap_or_default().to_owned(),
                        properties: item["dataFields"].clone(),
                        starts_campaigns: true,
                    },
                    text(item, "id").map(str::to_owned),
                );
            } else {
                tool.set_attributes(user, &item["dataFields"].as_object().cloned().unwrap_or_default());
            }
        }
        let body = json!({
            "successCount": items.len() - not_found.len(), "failCount": not_found.len(), "disallowedEventNames": [],
            "invalidEmails": [], "invalidUserIds": [], "filteredOutFields": [], "createdFields": [],
            "failedUpdates": {
                "invalidEmails": [], "invalidUserIds": [], "notFoundEmails": [], "notFoundUserIds": not_found,
                "forgottenEmails": [], "forgottenUserIds": [], "conflictEmails": [], "conflictUserIds": [],
                "invalidDataEmails": [], "invalidDataUserIds": []
            }
        });
        Answer::json(200, &body)
    }

    fn too_many(&self, _wait: Duration) -> Answer {
        error(429, "RateLimitExceeded", "Rate limit exceeded")
    }

    fn too_large(&self) -> Answer {
        error(413, "RequestEntityTooLarge", "Request entity too large")
    }
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, &json!({"code": code, "msg": message, "params": null}))
}

fn malformed(item: &Value, is_event: bool) -> Option<&'static str> {
    if text(item, "userId").or_else(|| text(item, "email")).is_none() {
        return Some("userId or email is required");
    }
    if !matches!(item["dataFields"], Value::Null | Value::Object(_)) {
        return Some("dataFields must be an object");
    }
    if !is_event {
        return None;
    }
    if text(item, "eventName").is_none() {
        return Some("eventName is required");
    }
    if !(item["createdAt"].is_null() || item["createdAt"].is_u64()) {
        return Some("createdAt must be seconds since 1970");
    }
    (item["id"].as_str().unwrap_or_default().len() > ID_BYTES_MAX).then_some("id is too long")
}

#[cfg(test)]
mod tests {
    use super::super::server::{Bad, VendorServer, exceed, refuses};
    use super::*;

    const GOOD: &[(&str, &str)] = &[("api-key", KEY), ("content-type", "application/json")];

    fn event(user: &str, id: &str) -> Value {
        json!({"userId": user, "eventName": "at_risk_of_churn", "id": id, "createdAt": 1_780_137_000, "dataFields": {"a": 1}})
    }

    fn user(user: &str) -> Value {
        json!({"userId": user, "dataFields": {"stage": "at_risk"}, "preferUserId": true})
    }

    #[test]
    fn good_requests_are_stored_and_a_repeated_event_stays_one() {
        let server = VendorServer::start(Iterable);
        for _ in 0..2 {
            assert_eq!(server.send("POST", EVENTS, GOOD, &json!({"events": [event("c-1", "t-1")]}).to_string()).0, 200);
        }
        assert_eq!(server.send("POST", USERS, GOOD, &json!({"users": [user("c-1")]}).to_string()).0, 200);
        assert_eq!(server.send("GET", "/api/users/getFields", GOOD, "").0, 200);
        let tool = server.tool();
        assert_eq!((tool.events.len(), tool.repeated), (1, 1));
        assert_eq!(tool.profiles["c-1"]["stage"], "at_risk");
    }

    #[test]
    fn bad_requests_are_refused() {
        let server = VendorServer::start(Iterable);
        let good = json!({"events": [event("c-1", "t-1")]}).to_string();
        let with = |name: &str, value: Value| {
            let mut item = event("c-1", "t-1");
            item[name] = value;
            json!({"events": [item]}).to_string()
        };
        refuses(
            &server,
            "POST",
            &[
                Bad("no key", EVENTS, &GOOD[1..], good.clone(), 401),
                Bad("another path", "/api/events/bulk", GOOD, good.clone(), 404),
                Bad("no content type", EVENTS, &GOOD[..1], good, 400),
                Bad("no events", EVENTS, GOOD, "{}".to_owned(), 400),
                Bad("no user", EVENTS, GOOD, with("userId", json!("")), 400),
                Bad("no name", EVENTS, GOOD, with("eventName", json!("")), 400),
                Bad("a text as time", EVENTS, GOOD, with("createdAt", json!("2026-05-30T10:30:00Z")), 400),
                Bad("a long id", EVENTS, GOOD, with("id", json!("x".repeat(513))), 400),
                Bad("a text as data", EVENTS, GOOD, with("dataFields", json!("x")), 400),
                Bad("more than 4 MB", USERS, GOOD, " ".repeat(4_000_001), 413),
            ],
        );
        assert!(server.tool().events.is_empty());
    }

    #[test]
    fn a_failed_user_is_listed_and_the_others_are_stored() {
        let server = VendorServer::start(Iterable);
        server.tool().rejected_customers.insert("c-2".to_owned());
        let body = json!({"events": [event("c-1", "t-1"), event("c-2", "t-2")]}).to_string();
        let (status, _, text) = server.send("POST", EVENTS, GOOD, &body);
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((status, &answer["failCount"]), (200, &json!(1)));
        assert_eq!(list(&answer["failedUpdates"], "notFoundUserIds"), [json!("c-2")]);
        assert_eq!(server.tool().events.len(), 1);
    }

    #[test]
    fn too_many_requests_are_refused() {
        let rate = Rate { path: USERS, requests: 2, per: Duration::from_mins(1) };
        let server = VendorServer::with_rates(Iterable, &[rate]);
        exceed(&server, rate, USERS, GOOD, &json!({"users": [user("c-1")]}).to_string());
        assert_eq!(server.send("POST", EVENTS, GOOD, &json!({"events": [event("c", "t")]}).to_string()).0, 200);
    }
}
