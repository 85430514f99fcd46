//! Headers that make a transition record a `CloudEvents` event: version 1.0, Kafka protocol binding, binary mode.
//!
//! The record's value is the event's data, the headers are its attributes. The value is complete without the headers,
//! because many sinks drop them.

use super::header::Header;
use super::time::timestamp_text;
use super::transition::Publication;

/// `ce_type` of transition records: the name of the Protobuf message.
const TYPE: &str = "lifecycle.v1.Transition";

/// The `CloudEvents` attributes that depend on the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CloudEvents {
    /// `ce_source`: a URI reference that identifies this deployment, such as `/lifecycle/production`.
    pub source: String,
    /// Whether `ce_subject` carries the customer id. Off by default, because headers end up in logs.
    pub with_subject: bool,
    /// Which headers a record has.
    pub detail: HeaderDetail,
}

/// Which headers a transition record has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HeaderDetail {
    /// None.
    None,
    /// The content type and the attributes that every event must have.
    Minimal,
    /// All attributes.
    #[default]
    Full,
}

impl CloudEvents {
    /// Calls `add` with the name and the value of each header for `publication`, whose value has the media type
    /// `content_type`.
    pub fn write_headers(
        &self,
        publication: &Publication<'_>,
        content_type: &str,
        mut add: impl FnMut(&'static str, &str),
    ) {
        if self.detail == HeaderDetail::None {
            return;
        }
        let transition = publication.transition;
        add("content-type", content_type);
        add("ce_specversion", "1.0");
        add("ce_id", transition.id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()));
        add("ce_source", &self.source);
        add("ce_type", TYPE);
        if self.detail == HeaderDetail::Minimal {
            return;
        }
        add("ce_time", &timestamp_text(transition.occurred_at));
        if self.with_subject {
            add("ce_subject", &transition.customer_id);
        }
    }

    /// Returns the headers for `publication`, whose value has the media type `content_type`.
    #[must_use]
    pub fn headers(&self, publication: &Publication<'_>, content_type: &str) -> Vec<Header> {
        let mut headers = Vec::with_capacity(7);
        self.write_headers(publication, content_type, |name, value| headers.push(Header::text(name, value)));
        headers
    }
}
