//! Translates a record of a source into touchpoints.
//!
//! Every touchpoint that is written has been decoded as the service decodes it, so a record without a valid touchpoint
//! becomes a dead letter with its position in the source.

use std::sync::Arc;

use crate::kafka::Record;
use crate::lifecycle::vocabulary::Vocabulary;
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
#[derive(Debug)]
pub struct Translator {
    touchpoints: TouchpointDecoder,
}

impl Translator {
    /// Returns the translator of a source whose records are touchpoints in JSON already.
    #[must_use]
    pub fn new(touchpoints: TouchpointOptions) -> Self {
        // Properties are decoded by the service, which knows its models.
        Self { touchpoints: TouchpointDecoder::new(&Vocabulary::default(), touchpoints) }
    }

    /// Translates `record`.
    pub fn translate(&mut self, record: &Record) -> Translation {
        match self.keyed(record.value.clone().unwrap_or_default()) {
            Ok(touchpoint) => Translation::Touchpoints(vec![touchpoint]),
            Err(cause) => Translation::DeadLetter(cause),
        }
    }

    /// Returns a touchpoint with its key.
    fn keyed(&self, value: Vec<u8>) -> Result<KeyedTouchpoint, DeadLetterCause> {
        let mut scratch = Scratch::default();
        let customer_id = self.touchpoints.decode(&value, &mut scratch)?.customer_id.to_owned();
        Ok(KeyedTouchpoint { customer_id, value })
    }
}
