//! A transition to deliver, read from its record.

use std::time::Duration;

use serde_json::Value;

use crate::kafka::Record;
use crate::lifecycle::time::Timestamp;
use crate::wire::transition_reader::read_transition;

/// Maximum size of a record, in bytes. Records of transitions are a few kilobytes.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// The `type` of a transition as a `CloudEvents` event, if its record does not name one.
const TYPE: &str = "lifecycle.v1.Transition";

/// A transition as published, with its record.
#[derive(Clone, PartialEq, Debug)]
pub struct Transition {
    /// The fields of the record: the root `transition` of expressions.
    pub value: Value,
    /// `transition_id`, the idempotency key.
    pub id: String,
    /// `customer_id`
    pub customer_id: String,
    /// `name`
    pub name: String,
    /// The source of the event: the header `ce_source`.
    pub source: String,
    /// The type of the event: the header `ce_type`.
    pub type_name: String,
    /// When the record was published.
    pub published_at: Timestamp,
    /// The record, for a dead letter.
    pub record: Record,
}

impl Transition {
    /// Reads a record of a transitions topic.
    ///
    /// # Errors
    /// What is wrong with the record; never its content.
    pub fn read(record: Record) -> Result<Self, Box<(Record, String)>> {
        match Self::parse(&record) {
            Ok(value) => {
                let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
                Ok(Self {
                    id: text("transition_id"),
                    customer_id: text("customer_id"),
                    name: text("name"),
                    source: header(&record, "ce_source").unwrap_or("/lifecycle").to_owned(),
                    type_name: header(&record, "ce_type").unwrap_or(TYPE).to_owned(),
                    published_at: Timestamp::from_millis(record.timestamp_ms.unwrap_or_default()),
                    value,
                    record,
                })
            }
            Err(problem) => Err(Box::new((record, problem))),
        }
    }

    fn parse(record: &Record) -> Result<Value, String> {
        let bytes = record.value.as_deref().unwrap_or_default();
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(format!("the record has more than {RECORD_BYTES_MAX} bytes"));
        }
        let content_type = header(record, "content-type").unwrap_or_default();
        let value = read_transition(content_type, bytes)?;
        for name in ["transition_id", "customer_id", "name"] {
            if value[name].as_str().is_none_or(str::is_empty) {
                return Err(format!("not a transition: `{name}` is missing"));
            }
        }
        Ok(value)
    }

    /// Returns the place of a transition in a request that concerns none.
    pub(super) fn absent() -> Self {
        let record =
            Record { partition: 0, offset: 0, timestamp_ms: None, key: None, value: None, headers: Vec::new() };
        Self {
            value: Value::Null,
            id: String::new(),
            customer_id: String::new(),
            name: String::new(),
            source: String::new(),
            type_name: String::new(),
            published_at: Timestamp::from_millis(0),
            record,
        }
    }

    /// Returns the time since the publication.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from((now - self.published_at).as_millis()).unwrap_or_default())
    }

    /// Returns `occurred_at`, as published.
    #[must_use]
    pub fn occurred_at(&self) -> &str {
        self.value["occurred_at"].as_str().unwrap_or_default()
    }
}

/// Returns the value of a header, if it is text.
fn header<'r>(record: &'r Record, name: &str) -> Option<&'r str> {
    let header = record.headers.iter().find(|header| header.name == name)?;
    std::str::from_utf8(header.value.as_deref()?).ok()
}
