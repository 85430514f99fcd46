//! Google Analytics 4: the Measurement Protocol, `POST /mp/collect`.
//!
//! It answers 204 to everything:
//! <https://developers.google.com/analytics/devguides/collection/protocol/ga4/sending-events>. What it drops is in
//! `lost`; the validation server, `/debug/mp/collect`, says why.

use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Answer, Event, Request, Rules, Tool, Vendor, list, text};

/// The query with the measurement id and the secret that the server accepts.
pub(crate) const QUERY: &str = "measurement_id=G-TEST&api_secret=ga4-secret";
// The page above, section on limitations.
const EVENTS_MAX: usize = 25;
const PARAMS_MAX: usize = 25;
const USER_PROPERTIES_MAX: usize = 25;
const NAME_CHARS_MAX: usize = 40;
const VALUE_CHARS_MAX: usize = 100;
const USER_PROPERTY_NAME_CHARS_MAX: usize = 24;
const USER_PROPERTY_VALUE_CHARS_MAX: usize = 36;

/// The limits. The section on limitations: 130 KB. No rate is documented.
const RULES: Rules = Rules { rates: &[], body_bytes_max: 130_000, in_flight_max: None };

pub(crate) struct Ga4;

impl Vendor for Ga4 {
    fn rules(&self) -> Rules {
        RULES
    }

    fn answer(&self, request: &Request, tool: &mut Tool) -> Answer {
        let body = request.json().unwrap_or_default();
        let problems = problems(&body);
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/debug/mp/collect") => {
                // <https://developers.google.com/analytics/devguides/collection/protocol/ga4/validating-events>: it
                // does not check the secret.
                let messages: Vec<Value> = problems.iter().map(|problem| json!({"description": problem})).collect();
                Answer::json(200, &json!({"validationMessages": messages}))
            }
            ("POST", "/mp/collect") => {
                let is_known =
                    request.parameter("measurement_id") == "G-TEST" && request.parameter("api_secret") == "ga4-secret";
                if !is_known {
                    tool.lost.push("unknown measurement id or secret".to_owned());
                } else if problems.is_empty() {
                    store(&body, tool);
                } else {
                    tool.lost.extend(problems);
                }
                Answer::text(204, "")
            }
            _ => Answer::text(404, ""),
        }
    }

    fn too_many(&self, _wait: Duration) -> Answer {
        Answer::text(429, "")
    }

    fn too_large(&self) -> Answer {
        Answer::text(413, "")
    }
}

fn store(body: &Value, tool: &mut Tool) {
    let customer = text(body, "user_id").or_else(|| text(body, "client_id")).unwrap_or_default().to_owned();
    if let Some(properties) = body["user_properties"].as_object() {
        let values = properties.iter().map(|(name, property)| (name.clone(), property["value"].clone())).collect();
        tool.set_attributes(&customer, &values);
    }
    for event in list(body, "events") {
        // No key identifies an event.
        let name = text(event, "name").unwrap_or_default().to_owned();
        let properties = event["params"].clone();
        tool.add_event(Event { customer: customer.clone(), name, properties, starts_campaigns: true }, None);
    }
}

fn problems(body: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = |is_good: bool, problem: &str| {
        if !is_good {
            problems.push(problem.to_owned());
        }
    };
    check(text(body, "client_id").is_some(), "client_id is required");
    check(body["timestamp_micros"].is_null() || body["timestamp_micros"].is_u64(), "timestamp_micros is no number");
    let events = list(body, "events");
    check((1..=EVENTS_MAX).contains(&events.len()), "1 to 25 events are allowed");
    for event in events {
        check(text(event, "name").is_some_and(is_name), "the name of an event is not valid");
        let Value::Object(params) = &event["params"] else {
            check(event["params"].is_null(), "params is no object");
            continue;
        };
        check(params.len() <= PARAMS_MAX, "more than 25 parameters");
        check(params.keys().all(|name| is_name(name)), "the name of a parameter is not valid");
        let is_value =
            |value: &Value| value.as_str().map_or(value.is_number(), |text| text.chars().count() <= VALUE_CHARS_MAX);
        check(params.values().all(is_value), "the value of a parameter is not valid");
    }
    let properties = body["user_properties"].as_object().cloned().unwrap_or_default();
    check(properties.len() <= USER_PROPERTIES_MAX, "more than 25 user properties");
    for (name, property) in &properties {
        let is_named = is_name(name) && name.chars().count() <= USER_PROPERTY_NAME_CHARS_MAX;
        check(is_named, "the name of a user property is not valid");
        let value = &property["value"];
        let is_value =
            value.as_str().map_or(value.is_number(), |text| text.chars().count() <= USER_PROPERTY_VALUE_CHARS_MAX);
        check(is_value, "the value of a user property is not valid");
        check(
            property["timestamp_micros"].is_null() || property["timestamp_micros"].is_u64(),
            "timestamp_micros is no number",
        );
    }
    problems
}

/// The page above, sections on limitations and reserved names.
fn is_name(name: &str) -> bool {
    name.chars().count() <= NAME_CHARS_MAX
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && !["google_", "ga_", "firebase_"].iter().any(|reserved| name.starts_with(reserved))
}

#[cfg(test)]
mod tests {
    use super::super::server::VendorServer;
    use super::*;

    const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

    fn good() -> Value {
        json!({
            "client_id": "c-1", "user_id": "c-1", "timestamp_micros": 1_780_137_000_000_000_u64,
            "user_properties": {"retention": {"value": "at_risk", "timestamp_micros": 1_780_137_000_000_000_u64}},
            "events": [{"name": "at_risk_of_churn", "params": {"model": "retention", "orders": 2}}]
        })
    }

    #[test]
    fn a_good_event_is_stored() {
        let server = VendorServer::start(Ga4);
        assert_eq!(server.send("POST", &format!("/mp/collect?{QUERY}"), JSON, &good().to_string()).0, 204);
        let tool = server.tool();
        assert_eq!((tool.events.len(), tool.lost.len()), (1, 0), "{:?}", tool.lost);
        assert_eq!(tool.profiles["c-1"]["retention"], "at_risk");
    }

    #[test]
    fn bad_events_are_answered_with_success_and_lost() {
        let with = |pointer: &str, value: Value| {
            let mut body = good();
            *body.pointer_mut(pointer).expect("a member") = value;
            body
        };
        let events: Vec<Value> = (0..26).map(|_| json!({"name": "a"})).collect();
        let params: serde_json::Map<String, Value> = (0..26).map(|index| (format!("p{index}"), json!(1))).collect();
        let bad = [
            with("/client_id", json!("")),
            with("/timestamp_micros", json!("now")),
            with("/events", json!(events)),
            with("/events/0/name", json!("x".repeat(41))),
            with("/events/0/name", json!("at risk")),
            with("/events/0/name", json!("ga_at_risk")),
            with("/events/0/params", json!(params)),
            with("/events/0/params/model", json!("x".repeat(101))),
            with("/events/0/params/model", json!(null)),
            with("/user_properties", json!({"awareness_to_loyalty_stage": {"value": "x"}})),
            with("/user_properties/retention/value", json!("x".repeat(37))),
        ];
        let server = VendorServer::start(Ga4);
        for (index, body) in bad.iter().enumerate() {
            assert_eq!(server.send("POST", &format!("/mp/collect?{QUERY}"), JSON, &body.to_string()).0, 204);
            assert_eq!(server.tool().lost.len(), index + 1, "{body}");
            let (status, _, text) = server.send("POST", "/debug/mp/collect", JSON, &body.to_string());
            assert!(status == 200 && text.contains("description"), "{text}");
        }
        server.send("POST", "/mp/collect?measurement_id=G-TEST&api_secret=wrong", JSON, &good().to_string());
        assert_eq!(server.tool().lost.last().map(String::as_str), Some("unknown measurement id or secret"));
        assert!(server.tool().events.is_empty());
        assert_eq!(server.send("POST", &format!("/mp/collect?{QUERY}"), JSON, &" ".repeat(130_001)).0, 413);
        assert_eq!(server.send("POST", "/collect", JSON, "{}").0, 404);
        assert_eq!(
            server.send("POST", "/debug/mp/collect", JSON, &good().to_string()).2,
            r#"{"validationMessages":[]}"#
        );
    }
}
