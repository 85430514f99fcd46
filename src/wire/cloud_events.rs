//! Headers that make a transition record a CloudEvent (1.0, Kafka binding, binary mode).
use super::header::Header;
use super::transition::Publication;

/// How transition records present themselves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CloudEvents {
    /// `ce_source`: a URI reference that names this deployment, such as `/lifecycle/production`.
    pub source: String,
    /// Whether `ce_subject` bears the customer id. Off unless asked for: headers end up in logs.
    pub with_subject: bool,
}

impl CloudEvents {
    /// The headers of the record of `publication`, whose value is of `content_type`.
    #[must_use]
    pub fn headers(&self, _publication: &Publication<'_>, _content_type: &str) -> Vec<Header> {
        unimplemented!()
    }
}
