//! Translates a record of a source into touchpoints.
//!
//! A touchpoint of a mapping is valid because the mapping checks its fields; any other is decoded as the service does.
//! A record without a valid touchpoint thus becomes a dead letter with its position in the source.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::decode::{DecodeError, Decoder, Header};
use crate::kafka::Record;
use crate::lifecycle::vocabulary::Vocabulary;
use crate::mapping::{MappedTouchpoint, Mapping, Outcome, SourceRecord};
use crate::partition::DeadLetterReason;
use crate::wire::touchpoint_json::{DeadLetterCause, Scratch, TouchpointDecoder, TouchpointOptions};

/// What becomes of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Translation {
    /// Its touchpoints, in order.
    Touchpoints(Vec<KeyedTouchpoint>),
    /// Nothing, by the rule of this name.
    Dropped(Arc<str>),
    /// It is not valid.
    DeadLetter(DeadLetterCause),
    /// The schema registry did not answer: the record must be translated again later.
    Unavailable(String),
}

/// A touchpoint as JSON, and the id of its customer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyedTouchpoint {
    /// The customer, which is the key of the record.
    pub customer_id: String,
    /// The touchpoint as JSON.
    pub value: Vec<u8>,
}

/// Translates the records of one source.
#[derive(Clone, Debug)]
pub struct Translator {
    decoder: Decoder,
    /// `None` if the records are touchpoints already.
    mapping: Option<Arc<Mapping>>,
    touchpoints: TouchpointDecoder,
    bytes_max: usize,
}

impl Translator {
    /// Returns the translator of a source. Without a mapping, its records are touchpoints already.
    #[must_use]
    pub fn new(decoder: Decoder, mapping: Option<Arc<Mapping>>, touchpoints: TouchpointOptions) -> Self {
        // Properties are decoded by the service, which knows its models.
        let bytes_max = touchpoints.bytes_max;
        Self { decoder, mapping, touchpoints: TouchpointDecoder::new(&Vocabulary::default(), touchpoints), bytes_max }
    }

    /// Translates `record`.
    pub fn translate(&mut self, record: &Record) -> Translation {
        let value = record.value.as_deref().unwrap_or_default();
        if self.mapping.is_none() && self.decoder.is_plain_json() {
            return self.touchpoint(value.to_vec());
        }
        if value.len() > self.bytes_max {
            let detail = format!("the record has {} bytes, at most {} are allowed", value.len(), self.bytes_max).into();
            return Translation::DeadLetter(DeadLetterCause { reason: DeadLetterReason::TooLarge, detail });
        }
        let headers: Vec<_> =
            record.headers.iter().map(|header| (header.name.as_str(), header.value.as_deref())).collect();
        if let Some(mapping) = self.mapping.as_deref().filter(|_| self.decoder.is_plain_json()) {
            let headers = headers.iter().filter_map(|&(name, value)| Some((name, value?)));
            return match mapping.read(record.key.as_deref(), headers, value) {
                Ok(values) => self.mapped(mapping.map(&values.as_record())),
                Err(cause) => Translation::DeadLetter(cause),
            };
        }
        let decoded = match self.decoder.decode(value, &headers) {
            Ok(decoded) => decoded,
            Err(DecodeError::DeadLetter(cause)) => return Translation::DeadLetter(cause),
            Err(DecodeError::Unavailable(problem)) => return Translation::Unavailable(problem),
        };
        let Some(mapping) = self.mapping.as_deref() else { return self.touchpoint(decoded.to_string().into_bytes()) };
        let (key, headers) = (text(record.key.as_deref()), texts(&headers));
        self.mapped(mapping.map(&SourceRecord { key: &key, headers: &headers, value: &decoded }))
    }

    fn mapped(&self, outcome: Outcome<'_>) -> Translation {
        match outcome {
            Outcome::Touchpoints(touchpoints) => self.sized(touchpoints.iter().map(keyed).collect()),
            Outcome::Dropped(rule) => Translation::Dropped(rule.into()),
            Outcome::Invalid(cause) => Translation::DeadLetter(cause),
        }
    }

    fn touchpoint(&self, value: Vec<u8>) -> Translation {
        match self.keyed(value) {
            Ok(touchpoint) => self.sized(vec![touchpoint]),
            Err(cause) => Translation::DeadLetter(cause),
        }
    }

    /// Refuses a touchpoint that would not fit into its topic, where it would stop the service. A 64th of the maximum
    /// is left for the key and for headers.
    fn sized(&self, touchpoints: Vec<KeyedTouchpoint>) -> Translation {
        let bytes_max = self.bytes_max - self.bytes_max / 64;
        match touchpoints.iter().map(|it| it.value.len()).find(|bytes| *bytes > bytes_max) {
            Some(bytes) => {
                let detail = format!("a touchpoint has {bytes} bytes, at most {bytes_max} are allowed").into();
                Translation::DeadLetter(DeadLetterCause { reason: DeadLetterReason::TooLarge, detail })
            }
            None => Translation::Touchpoints(touchpoints),
        }
    }

    /// Returns a touchpoint with its key.
    fn keyed(&self, value: Vec<u8>) -> Result<KeyedTouchpoint, DeadLetterCause> {
        let mut scratch = Scratch::default();
        let customer_id = self.touchpoints.decode(&value, &mut scratch)?.customer_id.to_owned();
        Ok(KeyedTouchpoint { customer_id, value })
    }
}

fn keyed(touchpoint: &MappedTouchpoint) -> KeyedTouchpoint {
    let mut value = Vec::new();
    touchpoint.write_json(&mut value);
    KeyedTouchpoint { customer_id: touchpoint.customer_id.clone(), value }
}

/// Returns bytes as the mapping reads them: a text, or null.
fn text(bytes: Option<&[u8]>) -> Value {
    bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).map_or(Value::Null, Value::from)
}

/// Returns headers as the mapping reads them. Of headers with one name, the last counts.
fn texts(headers: &[Header<'_>]) -> Value {
    Value::Object(headers.iter().map(|(name, value)| ((*name).to_owned(), text(*value))).collect::<Map<_, _>>())
}
