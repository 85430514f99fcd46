//! A Kafka record header, independent of the Kafka client library.

/// A Kafka record header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The header's key.
    pub name: String,
    /// The header's value. Headers from other producers may have no value, or bytes that are not text.
    pub value: Option<Vec<u8>>,
}

impl Header {
    /// Creates a header with a text value.
    #[must_use]
    pub fn text(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: Some(value.into().into_bytes()) }
    }
}
