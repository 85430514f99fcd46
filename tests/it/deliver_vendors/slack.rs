//! Slack: an incoming webhook.

use std::time::Duration;

use serde_json::json;

use super::server::{Answer, Event, Rate, Request, Rules, Tool, Vendor, text, whole_seconds};

/// The path of the webhook: it is the credential.
pub(crate) const PATH: &str = "/services/T0001/B0001/secret";
/// <https://api.slack.com/changelog/2018-04-truncating-really-long-messages>: longer texts are cut.
const TEXT_CHARS_MAX: usize = 40_000;

/// The limits, each with its source.
const RULES: Rules = Rules {
    // <https://api.slack.com/apis/rate-limits>: one message a second for an incoming webhook. Slack tolerates
    // short bursts; the server does not.
    rates: &[Rate { path: "/", requests: 1, per: Duration::from_secs(1) }],
    body_bytes_max: 1_000_000,
    in_flight_max: None,
};

/// The server; an archived channel accepts no messages.
pub(crate) struct Slack {
    pub(crate) is_archived: bool,
}

impl Vendor for Slack {
    fn rules(&self) -> Rules {
        RULES
    }

    fn answer(&self, request: &Request, tool: &mut Tool) -> Answer {
        // <https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks>: statuses and texts.
        if request.path != PATH {
            let is_webhook = request.path.starts_with("/services/T0001/B0001/");
            return if is_webhook { Answer::text(403, "invalid_token") } else { Answer::text(404, "no_service") };
        }
        if self.is_archived {
            return Answer::text(410, "channel_is_archived");
        }
        let Some(body) = request.json().filter(|_| request.method == "POST") else {
            return Answer::text(400, "invalid_payload");
        };
        let Some(message) = text(&body, "text") else {
            return Answer::text(400, "no_text");
        };
        if message.chars().count() > TEXT_CHARS_MAX {
            tool.lost.push("the text was cut".to_owned());
        }
        tool.add_event(
            Event {
                customer: String::new(),
                name: "message".to_owned(),
                properties: json!({"text": message}),
                starts_campaigns: true,
            },
            None,
        );
        Answer::text(200, "ok")
    }

    fn too_many(&self, wait: Duration) -> Answer {
        Answer::json(429, &json!({"ok": false, "error": "rate_limited"})).with("retry-after", &whole_seconds(wait))
    }

    fn too_large(&self) -> Answer {
        Answer::text(413, "payload_too_large")
    }
}

#[cfg(test)]
mod tests {
    use super::super::server::{Bad, VendorServer, refuses};
    use super::*;

    const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

    #[test]
    fn a_message_is_stored_and_the_next_one_must_wait() {
        let rate = Rate { path: "/", requests: 1, per: Duration::from_mins(1) };
        let server = VendorServer::with_rates(Slack { is_archived: false }, &[rate]);
        let (status, _, body) = server.send("POST", PATH, JSON, &json!({"text": "2 x at_risk_of_churn"}).to_string());
        assert_eq!((status, body.as_str()), (200, "ok"));
        let (status, headers, _) = server.send("POST", PATH, JSON, &json!({"text": "1 x reactivated"}).to_string());
        let seconds: u64 = headers["retry-after"].to_str().expect("text").parse().expect("seconds");
        assert!(status == 429 && (1..=60).contains(&seconds), "{status} {seconds}");
        assert_eq!(server.tool().events.len(), 1);
    }

    #[test]
    fn bad_requests_are_refused() {
        let server = VendorServer::with_rates(Slack { is_archived: false }, &[]);
        let good = json!({"text": "hello"}).to_string();
        refuses(
            &server,
            "POST",
            &[
                Bad("a wrong secret", "/services/T0001/B0001/other", JSON, good.clone(), 403),
                Bad("an unknown webhook", "/services/T2/B2/secret", JSON, good.clone(), 404),
                Bad("no content type", PATH, &[], good.clone(), 400),
                Bad("no JSON", PATH, JSON, "{".to_owned(), 400),
                Bad("no text", PATH, JSON, "{}".to_owned(), 400),
            ],
        );
        assert!(server.tool().events.is_empty());
        let archived = VendorServer::with_rates(Slack { is_archived: true }, &[]);
        refuses(&archived, "POST", &[Bad("an archived channel", PATH, JSON, good, 410)]);
        let long = json!({"text": "x".repeat(40_001)}).to_string();
        assert_eq!((server.send("POST", PATH, JSON, &long).0, server.tool().lost.len()), (200, 1));
    }
}
