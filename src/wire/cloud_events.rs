//! Headers that make a transition record a `CloudEvents` event: version 1.0, Kafka protocol binding, binary mode.
//!
//! The record's value is the event's data, the headers are its attributes. The value is complete without the headers,
//! because many sinks drop them.

use super::header::Header;
use super::time::format_timestamp;
use super::transition::Publication;

/// `content-type` of transition records in JSON.
pub const JSON: &str = "application/json";

/// `ce_type` of transition records: the name of the Protobuf message.
const TYPE: &str = "lifecycle.v1.Transition";

/// The `CloudEvents` attributes that depend on the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CloudEvents {
    /// `ce_source`: a URI reference that identifies this deployment, such as `/lifecycle/production`.
    pub source: String,
    /// Whether `ce_subject` carries the customer id. Off by default, because headers end up in logs.
    pub with_subject: bool,
}

impl CloudEvents {
    /// Returns the headers for `publication`, whose value has the media type `content_type`.
    #[must_use]
    pub fn headers(&self, publication: &Publication<'_>, content_type: &str) -> Vec<Header> {
        let transition = publication.transition;
        let mut headers = Vec::with_capacity(7);
        headers.push(Header::text("content-type", content_type));
        headers.push(Header::text("ce_specversion", "1.0"));
        headers.push(Header::text("ce_id", transition.id.hyphenated().to_string()));
        headers.push(Header::text("ce_source", self.source.as_str()));
        headers.push(Header::text("ce_type", TYPE));
        headers.push(Header::text("ce_time", format_timestamp(transition.occurred_at)));
        if self.with_subject {
            headers.push(Header::text("ce_subject", &*transition.customer_id));
        }
        headers
    }
}
