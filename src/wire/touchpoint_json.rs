//! Touchpoints in the native JSON format.
use std::borrow::Cow;

use crate::lifecycle::id::PropertyIndex;
use crate::lifecycle::touchpoint::Touchpoint;
use crate::lifecycle::value::Value;
use crate::lifecycle::vocabulary::Vocabulary;
use crate::partition::Reason;

/// Limits of a touchpoint record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TouchpointOptions {
    /// The largest record that is read, in bytes.
    pub bytes_max: usize,
}

/// Why a record is no touchpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// The kind of fault, as headers and metrics name it.
    pub reason: Reason,
    /// Which field, and what was expected; never its content.
    pub detail: Cow<'static, str>,
}

/// What a decoded touchpoint borrows from, beside the record. Made anew for each record (`Scratch::default()`): it costs nothing until a record
/// has properties that are read, or escapes in its texts.
#[derive(Debug, Default)]
pub struct Scratch<'a> {
    values: Vec<(PropertyIndex, Value<'a>)>,
}

/// Decodes touchpoints.
#[derive(Debug)]
pub struct TouchpointDecoder {}

impl TouchpointDecoder {
    /// A decoder that keeps the properties that `vocabulary` reads.
    #[must_use]
    pub fn new(_vocabulary: &Vocabulary, _options: TouchpointOptions) -> Self {
        Self {}
    }

    /// Decodes a record's value.
    ///
    /// # Errors
    /// The first fault found.
    pub fn decode<'a>(&self, _bytes: &'a [u8], _scratch: &'a mut Scratch<'a>) -> Result<Touchpoint<'a>, Malformed> {
        unimplemented!()
    }
}
