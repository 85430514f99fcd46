//! HubSpot: batch upsert of contacts, and custom events.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::server::{Answer, Event, Rate, Request, Rules, Tool, Vendor, is_time, list, text};

/// The token of the private app that the server accepts.
pub(crate) const TOKEN: &str = "pat-test";
/// <https://developers.hubspot.com/docs/api/crm/contacts>: records of a batch.
const RECORDS_MAX: usize = 100;
/// HubSpot-public-api-spec-collection, `Send Event Completions/2026-03`: events of a batch.
const EVENTS_MAX: usize = 500;
const UPSERT: &str = "/crm/objects/2026-03/contacts/batch/upsert";
const EVENTS: &str = "/events/2026-03/send/batch";

/// The limits, each with its source.
const RULES: Rules = Rules {
    rates: &[
        // <https://developers.hubspot.com/docs/guides/apps/api-usage/usage-details>: 100 requests in 10 seconds
        // for a private app of a free or starter account.
        Rate { path: "/crm/", requests: 100, per: Duration::from_secs(10) },
        // The page of custom events: 1,250 requests a second; the spec exempts them from the limit above.
        Rate { path: "/events/", requests: 1250, per: Duration::from_secs(1) },
    ],
    // Not documented; large enough for 500 events of 2 KB.
    body_bytes_max: 4_000_000,
    in_flight_max: None,
};

/// The server, with the contact properties that the account defines.
pub(crate) struct HubSpot {
    pub(crate) properties: BTreeSet<String>,
}

impl HubSpot {
    pub(crate) fn new(properties: &[&str]) -> Self {
        Self { properties: properties.iter().map(|name| (*name).to_owned()).collect() }
    }
}

impl Vendor for HubSpot {
    fn rules(&self) -> Rules {
        RULES
    }

    fn answer(&self, request: &Request, tool: &mut Tool) -> Answer {
        if request.header("authorization") != format!("Bearer {TOKEN}") {
            return error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.");
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/account-info/v3/details") => return Answer::json(200, &json!({"portalId": 123})),
            ("POST", UPSERT | EVENTS) => {}
            _ => return error(404, "OBJECT_NOT_FOUND", "No such resource."),
        }
        let inputs = request.json().and_then(|body| body["inputs"].as_array().cloned());
        match inputs {
            Some(inputs) if request.path == UPSERT => self.upsert(&inputs, tool),
            Some(inputs) => send(&inputs, tool),
            None => error(400, "VALIDATION_ERROR", "Invalid input JSON."),
        }
    }

    fn too_many(&self, _wait: Duration) -> Answer {
        // The page of usage details: the policy in the body, the window in a header, no time to wait.
        let body = json!({
            "status": "error", "message": "You have reached your ten_secondly_rolling limit.", "errorType": "RATE_LIMIT",
            "correlationId": "1", "policyName": "TEN_SECONDLY_ROLLING"
        });
        Answer::json(429, &body).with("x-hubspot-ratelimit-interval-milliseconds", &10_000)
    }

    fn too_large(&self) -> Answer {
        error(413, "VALIDATION_ERROR", "The request is too large.")
    }
}

impl HubSpot {
    /// Answers `SimplePublicObjectBatchInputUpsert` inputs of the contacts spec, 2026-03.
    fn upsert(&self, inputs: &[Value], tool: &mut Tool) -> Answer {
        if inputs.is_empty() || inputs.len() > RECORDS_MAX {
            return error(400, "VALIDATION_ERROR", "A batch has 1 to 100 inputs.");
        }
        if inputs.iter().any(|input| text(input, "id").is_none() || !has_only_texts(&input["properties"])) {
            return error(400, "VALIDATION_ERROR", "Invalid input JSON.");
        }
        let ids: BTreeSet<&str> = inputs.iter().filter_map(|input| text(input, "id")).collect();
        if ids.len() < inputs.len() {
            return error(400, "VALIDATION_ERROR", "Duplicate IDs found in batch input.");
        }
        if tool.silent_failures > 0 {
            // rudder-transformer, `silentFailure.ts`: success without results and without errors, nothing was written.
            tool.silent_failures -= 1;
            return Answer::json(200, &json!({"status": "COMPLETE", "results": [], "errors": []}));
        }
        let mut results = Vec::new();
        let mut errors = Vec::new();
        for input in inputs {
            let (id, properties) = (text(input, "id").unwrap_or_default(), &input["properties"]);
            let unknown =
                properties.as_object().and_then(|all| all.keys().find(|name| !self.properties.contains(*name)));
            let message = match unknown {
                Some(name) => Some(format!("Property \"{name}\" does not exist")),
                None => tool.rejects(id).then(|| "Email address is invalid".to_owned()),
            };
            if let Some(message) = message {
                // `StandardError` of the spec; the trace id leads from the error to the input.
                errors.push(json!({
                    "status": "error", "category": "VALIDATION_ERROR", "message": message, "errors": [], "links": {},
                    "context": {"objectWriteTraceId": [input["objectWriteTraceId"]]}
                }));
                continue;
            }
            let attributes = properties.as_object().cloned().unwrap_or_default();
            // <https://knowledge.hubspot.com/records/use-lifecycle-stages>: this property moves only forward.
            if attributes.contains_key("lifecyclestage") {
                tool.lost.push(format!("lifecyclestage of {id}"));
            }
            tool.set_attributes(id, &attributes);
            // A contact shows what a workflow can start from: the change of a property.
            if let Some(transition) = attributes.get("lifecycle_last_transition") {
                tool.add_event(
                    Event {
                        customer: id.to_owned(),
                        name: transition.as_str().unwrap_or_default().to_owned(),
                        properties: json!({"transition_id": input["objectWriteTraceId"]}),
                        starts_campaigns: true,
                    },
                    None,
                );
            }
            results.push(json!({
                "id": results.len().to_string(), "properties": attributes, "new": false, "archived": false,
                "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
                "objectWriteTraceId": input["objectWriteTraceId"]
            }));
        }
        let mut body = Map::new();
        body.insert("status".to_owned(), json!("COMPLETE"));
        body.insert("startedAt".to_owned(), json!("2026-01-01T00:00:00Z"));
        body.insert("completedAt".to_owned(), json!("2026-01-01T00:00:00Z"));
        body.insert("results".to_owned(), Value::Array(results));
        if errors.is_empty() {
            return Answer::json(200, &Value::Object(body));
        }
        body.insert("numErrors".to_owned(), json!(errors.len()));
        body.insert("errors".to_owned(), Value::Array(errors));
        Answer::json(207, &Value::Object(body))
    }
}

/// Answers `BehavioralEventHttpCompletionRequest` inputs of the events spec, 2026-03: 204 for all, or an error for all.
fn send(inputs: &[Value], tool: &mut Tool) -> Answer {
    if inputs.is_empty() || inputs.len() > EVENTS_MAX {
        return error(400, "VALIDATION_ERROR", "A batch has 1 to 500 inputs.");
    }
    for input in inputs {
        let is_named = text(input, "eventName").is_some_and(|name| name.starts_with("pe") && name.contains('_'));
        let has_contact = text(input, "email").or_else(|| text(input, "objectId")).is_some_and(|id| !tool.rejects(id));
        let has_time = input["occurredAt"].is_null() || text(input, "occurredAt").is_some_and(is_time);
        if !(is_named && has_contact && has_time && has_only_texts(&input["properties"])) {
            return error(400, "VALIDATION_ERROR", "Event is not valid.");
        }
    }
    for input in inputs {
        let customer = text(input, "email").or_else(|| text(input, "objectId")).unwrap_or_default().to_owned();
        // The spec names `uuid` for matching, and does not promise that a repeated one is ignored.
        let name = text(input, "eventName").unwrap_or_default().to_owned();
        tool.add_event(Event { customer, name, properties: input["properties"].clone(), starts_campaigns: true }, None);
    }
    Answer::text(204, "")
}

/// Returns true for an object whose values are texts: the spec allows no numbers, booleans or nulls.
fn has_only_texts(properties: &Value) -> bool {
    properties.as_object().is_some_and(|all| all.values().all(Value::is_string))
}

/// Returns the `Error` of the spec.
fn error(status: u16, category: &str, message: &str) -> Answer {
    Answer::json(status, &json!({"status": "error", "category": category, "message": message, "correlationId": "1"}))
}

#[cfg(test)]
mod tests {
    use super::super::server::{Bad, VendorServer, exceed, refuses};
    use super::*;

    const GOOD: &[(&str, &str)] = &[("authorization", "Bearer pat-test"), ("content-type", "application/json")];

    fn server() -> VendorServer {
        VendorServer::start(HubSpot::new(&["lifecycle_retention", "lifecycle_last_transition"]))
    }

    fn contact(id: &str) -> Value {
        json!({
            "id": id, "idProperty": "email", "objectWriteTraceId": format!("trace-{id}"),
            "properties": {"lifecycle_retention": "at_risk", "lifecycle_last_transition": "at_risk_of_churn"}
        })
    }

    fn event(id: &str) -> Value {
        json!({
            "eventName": "pe123_lifecycle", "email": id, "uuid": "u", "occurredAt": "2026-05-30T10:30:00Z",
            "properties": {"name": "at_risk_of_churn"}
        })
    }

    fn inputs(inputs: &[Value]) -> String {
        json!({"inputs": inputs}).to_string()
    }

    #[test]
    fn good_contacts_and_events_are_stored() {
        let server = server();
        let (status, _, answer) = server.send("POST", UPSERT, GOOD, &inputs(&[contact("a@x"), contact("b@x")]));
        assert_eq!(status, 200, "{answer}");
        assert_eq!(server.send("POST", EVENTS, GOOD, &inputs(&[event("a@x")])).0, 204);
        assert_eq!(server.tool().profiles["b@x"]["lifecycle_retention"], "at_risk");
        assert_eq!(server.tool().events.len(), 3);
        assert_eq!(server.send("GET", "/account-info/v3/details", GOOD, "").0, 200);
    }

    #[test]
    fn bad_requests_are_refused() {
        let server = server();
        let many: Vec<Value> = (0..101).map(|index| contact(&format!("c{index}@x"))).collect();
        let events: Vec<Value> = (0..501).map(|_| event("a@x")).collect();
        let with = |mut input: Value, name: &str, value: Value| {
            input[name] = value;
            inputs(&[input])
        };
        refuses(
            &server,
            "POST",
            &[
                Bad("no token", UPSERT, &GOOD[1..], inputs(&[contact("a@x")]), 401),
                Bad("another path", "/crm/v9", GOOD, inputs(&[contact("a@x")]), 404),
                Bad("no content type", UPSERT, &GOOD[..1], inputs(&[contact("a@x")]), 400),
                Bad("no inputs", UPSERT, GOOD, inputs(&[]), 400),
                Bad("101 inputs", UPSERT, GOOD, inputs(&many), 400),
                Bad("an id twice", UPSERT, GOOD, inputs(&[contact("a@x"), contact("a@x")]), 400),
                Bad(
                    "a number as property",
                    UPSERT,
                    GOOD,
                    with(contact("a@x"), "properties", json!({"lifecycle_retention": 1})),
                    400,
                ),
                Bad(
                    "a null as property",
                    UPSERT,
                    GOOD,
                    with(contact("a@x"), "properties", json!({"lifecycle_retention": null})),
                    400,
                ),
                Bad("501 events", EVENTS, GOOD, inputs(&events), 400),
                Bad("no name of the account", EVENTS, GOOD, with(event("a@x"), "eventName", json!("lifecycle")), 400),
                Bad("no contact", EVENTS, GOOD, with(event("a@x"), "email", json!("")), 400),
                Bad("no time", EVENTS, GOOD, with(event("a@x"), "occurredAt", json!("today")), 400),
                Bad("a number as property", EVENTS, GOOD, with(event("a@x"), "properties", json!({"count": 2})), 400),
            ],
        );
        assert!(server.tool().profiles.is_empty() && server.tool().events.is_empty());
    }

    #[test]
    fn a_bad_contact_is_named_by_its_trace_and_the_others_are_written() {
        let server = server();
        server.tool().rejected_customers.insert("b@x".to_owned());
        let mut unknown = contact("c@x");
        unknown["properties"]["stage"] = json!("x");
        let (status, _, text) = server.send("POST", UPSERT, GOOD, &inputs(&[contact("a@x"), contact("b@x"), unknown]));
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((status, &answer["numErrors"]), (207, &json!(2)));
        let traces: Vec<_> =
            list(&answer, "errors").iter().map(|error| &error["context"]["objectWriteTraceId"][0]).collect();
        assert_eq!(traces, [&json!("trace-b@x"), &json!("trace-c@x")]);
        assert_eq!(server.tool().profiles.keys().collect::<Vec<_>>(), ["a@x"]);
    }

    #[test]
    fn a_silent_failure_claims_success_and_writes_nothing() {
        let server = server();
        server.tool().silent_failures = 1;
        let (status, _, text) = server.send("POST", UPSERT, GOOD, &inputs(&[contact("a@x")]));
        assert_eq!((status, text.contains("\"results\":[]")), (200, true));
        assert!(server.tool().profiles.is_empty());
    }

    #[test]
    fn the_standard_property_is_counted_as_lost() {
        let server = VendorServer::start(HubSpot::new(&["lifecyclestage"]));
        let mut input = contact("a@x");
        input["properties"] = json!({"lifecyclestage": "lead"});
        server.send("POST", UPSERT, GOOD, &inputs(&[input]));
        assert_eq!(server.tool().lost, ["lifecyclestage of a@x"]);
    }

    #[test]
    fn too_many_requests_are_answered_with_the_policy() {
        let rate = Rate { path: "/crm/", requests: 2, per: Duration::from_secs(10) };
        let server =
            VendorServer::with_rates(HubSpot::new(&["lifecycle_retention", "lifecycle_last_transition"]), &[rate]);
        let headers = exceed(&server, rate, UPSERT, GOOD, &inputs(&[contact("a@x")]));
        assert!(
            !headers.contains_key("retry-after") && headers.contains_key("x-hubspot-ratelimit-interval-milliseconds")
        );
        assert_eq!(server.send("POST", EVENTS, GOOD, &inputs(&[event("a@x")])).0, 204, "events are exempt");
    }
}
