//! Mailchimp: events and tags of a member of an audience.

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::server::{Answer, Event, Request, Rules, Tool, Vendor, is_time, list, text};

/// The API key that the server accepts: the password of basic authentication, with any user name.
pub(crate) const KEY: &str = "test-us21";
/// The id of the audience.
pub(crate) const AUDIENCE: &str = "a1b2c3";

/// The limits, each with its source.
const RULES: Rules = Rules {
    rates: &[],
    // Not documented; a request concerns one member.
    body_bytes_max: 1_000_000,
    // <https://mailchimp.com/developer/marketing/docs/fundamentals/#api-limits>: 10 connections of a user.
    in_flight_max: Some(10),
};

pub(crate) struct Mailchimp;

impl Vendor for Mailchimp {
    fn rules(&self) -> Rules {
        RULES
    }

    fn answer(&self, request: &Request, tool: &mut Tool) -> Answer {
        if password(request).as_deref() != Some(KEY) {
            return problem(401, "API Key Invalid", "Your API key may be invalid.");
        }
        if (request.method.as_str(), request.path.as_str()) == ("GET", "/3.0/ping") {
            return Answer::json(200, &json!({"health_status": "Everything's Chimpy!"}));
        }
        let parts: Vec<&str> = request.path.split('/').skip(1).collect();
        let ("POST", ["3.0", "lists", AUDIENCE, "members", hash, kind @ ("events" | "tags")]) =
            (request.method.as_str(), parts.as_slice())
        else {
            return problem(404, "Resource Not Found", "The requested resource could not be found.");
        };
        // <https://mailchimp.com/developer/marketing/api/list-member-events/>: MD5 of the address in lower case; an
        // event does not create a member.
        let Some(member) = tool.members.get(*hash).cloned().filter(|member| !tool.rejects(member)) else {
            return problem(404, "Resource Not Found", "The requested resource could not be found.");
        };
        let Some(body) = request.json() else {
            return problem(400, "JSON Parse Error", "We encountered an unspecified JSON parsing error.");
        };
        if *kind == "events" { add_event(&member, &body, tool) } else { set_tags(&member, &body, tool) }
    }

    fn too_many(&self, _wait: Duration) -> Answer {
        // <https://mailchimp.com/developer/marketing/docs/errors/>: TooManyRequests; no header with a time.
        problem(429, "Too Many Requests", "You have exceeded the limit of 10 simultaneous connections.")
    }

    fn too_large(&self) -> Answer {
        problem(413, "Request Too Large", "The request is too large.")
    }
}

/// Returns the password of basic authentication.
fn password(request: &Request) -> Option<String> {
    let encoded = request.header("authorization").strip_prefix("Basic ")?;
    let pair = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).ok()?).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

fn add_event(member: &str, body: &Value, tool: &mut Tool) -> Answer {
    // The page of list member events: a name of 2 to 30 characters, properties as texts, a time in ISO 8601.
    let is_named = text(body, "name").is_some_and(|name| (2..=30).contains(&name.chars().count()));
    let has_texts = match &body["properties"] {
        Value::Null => true,
        Value::Object(properties) => properties.values().all(Value::is_string),
        _ => false,
    };
    let has_time = body["occurred_at"].is_null() || text(body, "occurred_at").is_some_and(is_time);
    if !(is_named && has_texts && has_time) {
        return problem(400, "Invalid Resource", "The resource submitted could not be validated.");
    }
    tool.add_event(
        Event {
            customer: member.to_owned(),
            name: text(body, "name").unwrap_or_default().to_owned(),
            properties: body["properties"].clone(),
            // The same page: events with `is_syncing` start no automation.
            starts_campaigns: body["is_syncing"] != true,
        },
        None,
    );
    Answer::text(204, "")
}

fn set_tags(member: &str, body: &Value, tool: &mut Tool) -> Answer {
    // <https://mailchimp.com/developer/marketing/api/list-member-tags/>
    let tags = list(body, "tags");
    let is_good =
        |tag: &Value| text(tag, "name").is_some() && ["active", "inactive"].iter().any(|it| tag["status"] == *it);
    if tags.is_empty() || !tags.iter().all(is_good) {
        return problem(400, "Invalid Resource", "The resource submitted could not be validated.");
    }
    let mut attributes = Map::new();
    for tag in tags {
        let value = if tag["status"] == "active" { json!(true) } else { Value::Null };
        attributes.insert(text(tag, "name").unwrap_or_default().to_owned(), value);
    }
    tool.set_attributes(member, &attributes);
    Answer::text(204, "")
}

/// Returns an error as <https://mailchimp.com/developer/marketing/docs/errors/> describes it.
fn problem(status: u16, title: &str, detail: &str) -> Answer {
    let body = json!({"type": "about:blank", "title": title, "status": status, "detail": detail, "instance": "1"});
    Answer::text(status, &body.to_string()).with("content-type", "application/problem+json; charset=utf-8")
}

#[cfg(test)]
mod tests {
    use super::super::server::{Bad, Fault, VendorServer, refuses};
    use super::*;

    /// `anystring:test-us21` in Base64.
    const GOOD: &[(&str, &str)] =
        &[("authorization", "Basic YW55c3RyaW5nOnRlc3QtdXMyMQ=="), ("content-type", "application/json")];
    /// The example of the vendor's documentation.
    const MEMBER: (&str, &str) = ("62eeb292278cc15f5817cb78f7790b08", "urist.mcvankab@freddiesjokes.com");

    fn server() -> VendorServer {
        let server = VendorServer::start(Mailchimp);
        server.tool().members.insert(MEMBER.0.to_owned(), MEMBER.1.to_owned());
        server
    }

    fn path(kind: &str) -> String {
        format!("/3.0/lists/{AUDIENCE}/members/{}/{kind}", MEMBER.0)
    }

    fn event() -> Value {
        json!({"name": "at_risk_of_churn", "properties": {"model": "retention"}, "occurred_at": "2026-05-30T10:30:00Z"})
    }

    #[test]
    fn good_events_and_tags_are_stored() {
        let server = server();
        let tags = json!({"tags": [{"name": "retention: at_risk", "status": "active"}, {"name": "retention: active", "status": "inactive"}]});
        assert_eq!(server.send("POST", &path("tags"), GOOD, &tags.to_string()).0, 204);
        assert_eq!(server.send("POST", &path("events"), GOOD, &event().to_string()).0, 204);
        assert_eq!(server.send("GET", "/3.0/ping", GOOD, "").0, 200);
        let tool = server.tool();
        assert_eq!((tool.events[0].customer.as_str(), tool.profiles[MEMBER.1].len()), (MEMBER.1, 1));
    }

    #[test]
    fn bad_requests_are_refused() {
        let server = server();
        let (events, tags) = (path("events"), path("tags"));
        let with = |name: &str, value: Value| {
            let mut body = event();
            body[name] = value;
            body.to_string()
        };
        let unknown = format!("/3.0/lists/{AUDIENCE}/members/00000000000000000000000000000000/events");
        refuses(
            &server,
            "POST",
            &[
                Bad("no key", &events, &GOOD[1..], event().to_string(), 401),
                Bad("an unknown member", &unknown, GOOD, event().to_string(), 404),
                Bad("an unknown audience", &events.replace(AUDIENCE, "other"), GOOD, event().to_string(), 404),
                Bad("no content type", &events, &GOOD[..1], event().to_string(), 400),
                Bad("a short name", &events, GOOD, with("name", json!("x")), 400),
                Bad("a long name", &events, GOOD, with("name", json!("x".repeat(31))), 400),
                Bad("a number as property", &events, GOOD, with("properties", json!({"count": 2})), 400),
                Bad("no time", &events, GOOD, with("occurred_at", json!("today")), 400),
                Bad("no tags", &tags, GOOD, "{}".to_owned(), 400),
                Bad(
                    "an unknown status",
                    &tags,
                    GOOD,
                    json!({"tags": [{"name": "a", "status": "on"}]}).to_string(),
                    400,
                ),
            ],
        );
        assert!(server.tool().events.is_empty() && server.tool().profiles.is_empty());
    }

    #[test]
    fn the_eleventh_connection_is_refused() {
        let server = server();
        server.add_faults(&[Fault::Slow(Duration::from_secs(1)); 10]);
        std::thread::scope(|scope| {
            let slow: Vec<_> = (0..10)
                .map(|_| scope.spawn(|| server.send("POST", &path("events"), GOOD, &event().to_string()).0))
                .collect();
            while server.tool().events.len() < 10 {
                std::thread::yield_now();
            }
            assert_eq!(server.send("POST", &path("events"), GOOD, &event().to_string()).0, 429);
            assert!(slow.into_iter().all(|thread| thread.join().expect("an answer") == 204));
        });
    }
}
