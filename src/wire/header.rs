//! A record header, as this floor writes it.

/// The name and the value of a record header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The header's name.
    pub name: String,
    /// The header's value; headers that others wrote may have none, or any bytes.
    pub value: Option<Vec<u8>>,
}

impl Header {
    /// A header with a text.
    #[must_use]
    pub fn text(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: Some(value.into().into_bytes()) }
    }
}
