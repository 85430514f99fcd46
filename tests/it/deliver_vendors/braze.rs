//! Braze: `POST /users/track`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::server::{Answer, Event, Rate, Request, Rules, Tool, Vendor, is_time, list, text, whole_seconds};

/// The REST API key that the server accepts.
pub(crate) const KEY: &str = "braze-rest-key";
/// Events, attributes and purchases of a request together:
/// <https://www.braze.com/docs/api/endpoints/user_data/post_user_track> (monthly active users plans).
const OBJECTS_MAX: usize = 75;
/// <https://www.braze.com/docs/api/objects_filters/event_object>: names of events and properties.
const NAME_CHARS_MAX: usize = 255;
/// The same page, and `networkHandler` tests of rudderlabs/rudder-transformer: the message for an item without a user.
const NO_USER: &str = "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required";

/// The limits, each with its source.
const RULES: Rules = Rules {
    // <https://www.braze.com/docs/api/api_limits>: 3,000 requests in 3 seconds.
    rates: &[Rate { path: "/users/track", requests: 3000, per: Duration::from_secs(3) }],
    // <https://www.braze.com/docs/api/errors>: 413 for a payload above 4 MB.
    body_bytes_max: 4_000_000,
    in_flight_max: None,
};

pub(crate) struct Braze;

impl Vendor for Braze {
    fn rules(&self) -> Rules {
        RULES
    }

    fn answer(&self, request: &Request, tool: &mut Tool) -> Answer {
        if request.header("authorization") != format!("Bearer {KEY}") {
            return Answer::json(401, &json!({"message": "Invalid API key"}));
        }
        if (request.method.as_str(), request.path.as_str()) != ("POST", "/users/track") {
            return Answer::json(404, &json!({"message": "Invalid URL"}));
        }
        let Some(body) = request.json() else {
            return Answer::json(400, &json!({"message": "Bad syntax"}));
        };
        let lists = ["attributes", "events", "purchases"].map(|name| list(&body, name));
        let objects: usize = lists.iter().map(|list| list.len()).sum();
        if objects > OBJECTS_MAX {
            return Answer::json(
                400,
                &json!({"message": format!("{objects} objects exceed the limit of {OBJECTS_MAX}")}),
            );
        }
        let mut errors = Vec::new();
        let mut processed = Map::new();
        for (index, attributes) in lists[0].iter().enumerate() {
            if let Some(problem) = attribute_problem(attributes, tool) {
                errors.push(json!({"type": problem, "input_array": "attributes", "index": index}));
                continue;
            }
            let mut attributes = attributes.as_object().cloned().unwrap_or_default();
            let user = attributes.remove("external_id").unwrap_or_default();
            attributes.remove("_update_existing_only");
            tool.set_attributes(user.as_str().unwrap_or_default(), &attributes);
            add_one(&mut processed, "attributes_processed");
        }
        for (index, event) in lists[1].iter().enumerate() {
            if let Some(problem) = event_problem(event, tool) {
                errors.push(json!({"type": problem, "input_array": "events", "index": index}));
                continue;
            }
            // <https://www.braze.com/docs/api/objects_filters/event_object>: there is no key that identifies an event,
            // so that a repeated one counts twice.
            tool.add_event(
                Event {
                    customer: event["external_id"].as_str().unwrap_or_default().to_owned(),
                    name: event["name"].as_str().unwrap_or_default().to_owned(),
                    properties: event["properties"].clone(),
                    starts_campaigns: true,
                },
                None,
            );
            add_one(&mut processed, "events_processed");
        }
        // <https://www.braze.com/docs/api/errors>: with at least one good item the message is `success`, and
        // `errors` has the items that were not processed; with none the message is the error.
        if processed.is_empty() {
            let message = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields.";
            return Answer::json(400, &json!({"message": message, "errors": errors}));
        }
        processed.insert("message".to_owned(), json!("success"));
        if !errors.is_empty() {
            processed.insert("errors".to_owned(), Value::Array(errors));
        }
        Answer::json(201, &Value::Object(processed))
    }

    fn too_many(&self, wait: Duration) -> Answer {
        // rudder-transformer, `src/v0/destinations/braze/README.md`: seconds, in this header and not in Retry-After.
        Answer::json(429, &json!({"message": "You are being rate limited"}))
            .with("x-ratelimit-retry-after", &whole_seconds(wait))
    }

    fn too_large(&self) -> Answer {
        Answer::json(413, &json!({"message": "Payload too large"}))
    }
}

fn add_one(processed: &mut Map<String, Value>, name: &str) {
    let count = processed.get(name).and_then(Value::as_u64).unwrap_or_default();
    processed.insert(name.to_owned(), json!(count + 1));
}

fn attribute_problem(attributes: &Value, tool: &Tool) -> Option<&'static str> {
    let Some(user) = text(attributes, "external_id") else { return Some(NO_USER) };
    let object = attributes.as_object()?;
    if object.keys().any(|name| name.chars().count() > NAME_CHARS_MAX) {
        return Some("attribute name is too long");
    }
    tool.rejects(user).then_some("'external_id' is not valid")
}

fn event_problem(event: &Value, tool: &Tool) -> Option<&'static str> {
    let Some(user) = text(event, "external_id") else { return Some(NO_USER) };
    if text(event, "name").is_none_or(|name| name.chars().count() > NAME_CHARS_MAX) {
        return Some("'name' is not valid");
    }
    if !text(event, "time").is_some_and(is_time) {
        return Some("'time' is not valid");
    }
    if !matches!(event["properties"], Value::Null | Value::Object(_)) {
        return Some("'properties' is not valid");
    }
    tool.rejects(user).then_some("'external_id' is not valid")
}

#[cfg(test)]
mod tests {
    use super::super::server::{Bad, VendorServer, exceed, refuses};
    use super::*;

    const GOOD: &[(&str, &str)] = &[("authorization", "Bearer braze-rest-key"), ("content-type", "application/json")];

    fn event(customer: &str) -> Value {
        json!({"external_id": customer, "name": "at_risk_of_churn", "time": "2026-05-30T10:30:00Z", "properties": {"a": 1}})
    }

    #[test]
    fn a_good_request_is_stored() {
        let server = VendorServer::start(Braze);
        let body = json!({"events": [event("c-1")], "attributes": [{"external_id": "c-1", "stage": "at_risk"}]});
        let (status, _, text) = server.send("POST", "/users/track", GOOD, &body.to_string());
        assert_eq!((status, text.contains("\"message\":\"success\"")), (201, true), "{text}");
        let tool = server.tool();
        assert_eq!((tool.events[0].customer.as_str(), tool.events[0].name.as_str()), ("c-1", "at_risk_of_churn"));
        assert_eq!(tool.events[0].properties["a"], 1);
        assert_eq!(tool.profiles["c-1"]["stage"], "at_risk");
    }

    #[test]
    fn bad_requests_are_refused() {
        let server = VendorServer::start(Braze);
        let many: Vec<Value> = (0..76).map(|index| event(&format!("c-{index}"))).collect();
        let large = json!({"events": [{"name": "x".repeat(4_000_000)}]}).to_string();
        let good = json!({"events": [event("c-1")]}).to_string();
        let path = "/users/track";
        refuses(
            &server,
            "POST",
            &[
                Bad("no key", path, &GOOD[1..], good.clone(), 401),
                Bad("no content type", path, &GOOD[..1], good.clone(), 400),
                Bad("another path", "/users/trace", GOOD, good, 404),
                Bad("no JSON", path, GOOD, "{".to_owned(), 400),
                Bad("nothing in it", path, GOOD, "{}".to_owned(), 400),
                Bad("76 objects", path, GOOD, json!({"events": many}).to_string(), 400),
                Bad("more than 4 MB", path, GOOD, large, 413),
                Bad(
                    "no user",
                    path,
                    GOOD,
                    json!({"events": [{"name": "a", "time": "2026-05-30T10:30:00Z"}]}).to_string(),
                    400,
                ),
                Bad("no time", path, GOOD, json!({"events": [{"name": "a", "external_id": "c"}]}).to_string(), 400),
            ],
        );
        assert!(server.tool().events.is_empty());
    }

    #[test]
    fn a_bad_item_is_named_and_the_others_are_stored() {
        let server = VendorServer::start(Braze);
        server.tool().rejected_customers.insert("c-2".to_owned());
        let body =
            json!({"events": [event("c-1"), event("c-2")], "attributes": [{"external_id": "c-2", "stage": "x"}]});
        let (status, _, text) = server.send("POST", "/users/track", GOOD, &body.to_string());
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((status, &answer["message"], &answer["events_processed"]), (201, &json!("success"), &json!(1)));
        let places: Vec<_> =
            list(&answer, "errors").iter().map(|error| (&error["input_array"], &error["index"])).collect();
        assert_eq!(places, [(&json!("attributes"), &json!(0)), (&json!("events"), &json!(1))]);
        assert_eq!(server.tool().events.len(), 1);
    }

    #[test]
    fn too_many_requests_are_answered_with_the_seconds_to_wait() {
        let rate = Rate { path: "/users/track", requests: 3, per: Duration::from_hours(1) };
        let server = VendorServer::with_rates(Braze, &[rate]);
        let headers = exceed(&server, rate, "/users/track", GOOD, &json!({"events": [event("c-1")]}).to_string());
        let seconds: u64 = headers["x-ratelimit-retry-after"].to_str().expect("text").parse().expect("seconds");
        assert!((1..=3600).contains(&seconds), "{seconds}");
        assert!(!headers.contains_key("retry-after"));
    }
}
