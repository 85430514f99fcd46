//! Customer.io: the Track API, version 2, `POST /api/v2/batch`.

use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Answer, Event, Rate, Request, Rules, Tool, Vendor, list, text};

/// `site:key` in Base64: the site id and the API key that the server accepts.
pub(crate) const BASIC: &str = "Basic c2l0ZTprZXk=";
// <https://docs.customer.io/integrations/api/track/#section/Track-API-limits>
const ITEM_BYTES_MAX: usize = 32_000;
const NAME_BYTES_MAX: usize = 100;
const ID_BYTES_MAX: usize = 150;
const ATTRIBUTE_NAME_BYTES_MAX: usize = 150;
const ATTRIBUTE_BYTES_MAX: usize = 1000;
const ATTRIBUTES_MAX: usize = 300;

/// The limits, each with its source.
const RULES: Rules = Rules {
    // The same page: 3,000 requests in 3 seconds over all endpoints. Above it the vendor may throttle or drop.
    rates: &[Rate { path: "/", requests: 3000, per: Duration::from_secs(3) }],
    // The same page: 500 KB for a batch.
    body_bytes_max: 500_000,
    in_flight_max: None,
};

pub(crate) struct CustomerIo;

impl Vendor for CustomerIo {
    fn rules(&self) -> Rules {
        RULES
    }

    fn answer(&self, request: &Request, tool: &mut Tool) -> Answer {
        // <https://docs.customer.io/integrations/api/track/#section/Authentication>: basic, site id and API key.
        if request.header("authorization") != BASIC {
            return Answer::json(401, &json!({"meta": {"error": "Unauthorized request"}}));
        }
        match (request.method.as_str(), request.path.as_str()) {
            // <https://docs.customer.io/integrations/api/track/#operation/getRegion>: checks the credentials.
            ("GET", "/api/v1/accounts/region") => {
                return Answer::json(
                    200,
                    &json!({"url": "track.customer.io", "data_center": "us", "environment_id": 1}),
                );
            }
            ("POST", "/api/v2/batch") => {}
            _ => return Answer::json(404, &json!({"meta": {"error": "not found"}})),
        }
        let Some(items) = request.json().and_then(|body| body["batch"].as_array().cloned()) else {
            return Answer::json(
                400,
                &json!({"errors": [{"reason": "invalid", "field": "batch", "message": "not an array"}]}),
            );
        };
        let mut errors = Vec::new();
        for (index, item) in items.iter().enumerate() {
            if let Some((field, message)) = problem(item, tool) {
                // <https://docs.customer.io/integrations/api/track/#operation/batch>: the shape of an error.
                errors.push(json!({"batch_index": index, "reason": "invalid", "field": field, "message": message}));
                continue;
            }
            let customer = item["identifiers"]["id"].as_str().unwrap_or_default();
            if item["action"] == "identify" {
                let attributes = item["attributes"].as_object().cloned().unwrap_or_default();
                // <https://docs.customer.io/journeys/attributes/>: an empty text removes an attribute.
                let attributes =
                    attributes.into_iter().map(|(name, value)| (name, if value == "" { Value::Null } else { value }));
                tool.set_attributes(customer, &attributes.collect());
            } else {
                // The same page: events with an id that was sent before are ignored.
                tool.add_event(
                    Event {
                        customer: customer.to_owned(),
                        name: item["name"].as_str().unwrap_or_default().to_owned(),
                        properties: item["attributes"].clone(),
                        starts_campaigns: true,
                    },
                    text(item, "id").map(str::to_owned),
                );
            }
        }
        if errors.is_empty() { Answer::json(200, &json!({})) } else { Answer::json(207, &json!({"errors": errors})) }
    }

    fn too_many(&self, _wait: Duration) -> Answer {
        // No header with the time to wait is documented.
        Answer::json(429, &json!({"meta": {"error": "too many requests"}}))
    }

    fn too_large(&self) -> Answer {
        Answer::json(413, &json!({"meta": {"error": "request is too large"}}))
    }
}

/// Returns the field and the message of the first problem of an item.
fn problem(item: &Value, tool: &Tool) -> Option<(&'static str, &'static str)> {
    if item.to_string().len() > ITEM_BYTES_MAX {
        return Some(("batch", "larger than 32 KB"));
    }
    if item["type"] != "person" {
        return Some(("type", "must be person"));
    }
    let Some(id) = text(&item["identifiers"], "id").filter(|id| id.len() <= ID_BYTES_MAX) else {
        return Some(("identifiers", "must have an id of at most 150 bytes"));
    };
    let attributes = item["attributes"].as_object();
    if !(item["attributes"].is_null() || attributes.is_some()) {
        return Some(("attributes", "must be an object"));
    }
    if let Some(attributes) = attributes {
        if attributes.len() > ATTRIBUTES_MAX {
            return Some(("attributes", "more than 300"));
        }
        for (name, value) in attributes {
            let bytes = value.as_str().map_or_else(|| value.to_string().len(), str::len);
            if name.len() > ATTRIBUTE_NAME_BYTES_MAX || (item["action"] == "identify" && bytes > ATTRIBUTE_BYTES_MAX) {
                return Some(("attributes", "name or value too long"));
            }
        }
    }
    match item["action"].as_str() {
        Some("identify") => {}
        Some("event") => {
            if text(item, "name").is_none_or(|name| name.len() > NAME_BYTES_MAX) {
                return Some(("name", "must be a text of at most 100 bytes"));
            }
            if !(item["timestamp"].is_null() || item["timestamp"].is_u64()) {
                return Some(("timestamp", "must be seconds since 1970"));
            }
            if !(item["id"].is_null() || text(item, "id").is_some_and(is_ulid)) {
                return Some(("id", "must be a ULID"));
            }
        }
        _ => return Some(("action", "must be identify or event")),
    }
    tool.rejects(id).then_some(("identifiers", "not accepted"))
}

/// Returns true for 26 characters of Crockford's Base32 that fit into 128 bits: <https://github.com/ulid/spec>.
fn is_ulid(text: &str) -> bool {
    const ALPHABET: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    text.len() == 26 && text.starts_with(|first| first <= '7') && text.chars().all(|letter| ALPHABET.contains(letter))
}

#[cfg(test)]
mod tests {
    use super::super::server::{Bad, VendorServer, exceed, refuses};
    use super::*;

    const GOOD: &[(&str, &str)] = &[("authorization", BASIC), ("content-type", "application/json")];
    const PATH: &str = "/api/v2/batch";

    fn event(customer: &str, id: &str) -> Value {
        json!({
            "type": "person", "identifiers": {"id": customer}, "action": "event", "name": "at_risk_of_churn", "id": id,
            "timestamp": 1_780_137_000, "attributes": {"model": "retention"}
        })
    }

    fn identify(customer: &str) -> Value {
        json!({"type": "person", "identifiers": {"id": customer}, "action": "identify", "attributes": {"stage": "at_risk"}})
    }

    fn errors(server: &VendorServer, items: &[Value]) -> Vec<(u64, String)> {
        let (status, _, text) = server.send("POST", PATH, GOOD, &json!({"batch": items}).to_string());
        assert_eq!(status, 207, "{text}");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        let place = |error: &Value| {
            (error["batch_index"].as_u64().expect("an index"), error["field"].as_str().expect("a field").to_owned())
        };
        list(&answer, "errors").iter().map(place).collect()
    }

    #[test]
    fn good_items_are_stored_and_a_repeated_event_is_ignored() {
        let server = VendorServer::start(CustomerIo);
        let body = json!({"batch": [identify("c-1"), event("c-1", "3BN0C2K0D79RCGSW5A1XJ5ZQQR")]}).to_string();
        for _ in 0..2 {
            assert_eq!(server.send("POST", PATH, GOOD, &body).0, 200);
        }
        let tool = server.tool();
        assert_eq!((tool.events.len(), tool.repeated), (1, 1));
        assert_eq!(tool.profiles["c-1"]["stage"], "at_risk");
        drop(tool);
        assert_eq!(server.send("GET", "/api/v1/accounts/region", GOOD, "").0, 200);
    }

    #[test]
    fn bad_requests_are_refused() {
        let server = VendorServer::start(CustomerIo);
        let good = json!({"batch": [identify("c-1")]}).to_string();
        let large = json!({"batch": [{"x": "y".repeat(500_000)}]}).to_string();
        refuses(
            &server,
            "POST",
            &[
                Bad("no credentials", PATH, &GOOD[1..], good.clone(), 401),
                Bad("another path", "/api/v2/batches", GOOD, good.clone(), 404),
                Bad("no content type", PATH, &GOOD[..1], good, 400),
                Bad("no batch", PATH, GOOD, "{}".to_owned(), 400),
                Bad("more than 500 KB", PATH, GOOD, large, 413),
            ],
        );
        refuses(&server, "GET", &[Bad("no credentials", "/api/v1/accounts/region", &[], String::new(), 401)]);
    }

    #[test]
    fn each_bad_item_is_named_and_the_others_are_stored() {
        let server = VendorServer::start(CustomerIo);
        server.tool().rejected_customers.insert("c-9".to_owned());
        let ulid = "3BN0C2K0D79RCGSW5A1XJ5ZQQR";
        let with = |name: &str, value: Value| {
            let mut item = event("c-1", ulid);
            item[name] = value;
            item
        };
        let mut long = identify("c-1");
        long["attributes"]["stage"] = json!("x".repeat(1001));
        let items = [
            event("c-1", ulid),
            with("id", json!("6ba7b810-9dad-51d1-80b4-00c04fd430c8")),
            with("name", json!("x".repeat(101))),
            with("timestamp", json!("2026-05-30T10:30:00Z")),
            with("identifiers", json!({"id": "x".repeat(151)})),
            with("type", json!("object")),
            with("action", json!("track")),
            with("attributes", json!({"x": "y".repeat(32_000)})),
            long,
            identify("c-9"),
        ];
        let names = errors(&server, &items);
        let expected =
            ["id", "name", "timestamp", "identifiers", "type", "action", "batch", "attributes", "identifiers"];
        let expected: Vec<(u64, String)> = (1..).zip(expected.map(str::to_owned)).collect();
        assert_eq!(names, expected);
        assert_eq!(server.tool().events.len(), 1);
    }

    #[test]
    fn too_many_requests_are_refused_without_a_time_to_wait() {
        let rate = Rate { path: "/", requests: 2, per: Duration::from_hours(1) };
        let server = VendorServer::with_rates(CustomerIo, &[rate]);
        let headers = exceed(&server, rate, PATH, GOOD, &json!({"batch": [identify("c-1")]}).to_string());
        assert!(!headers.contains_key("retry-after"));
    }
}
