//! The inputs of a partition: everything that can happen to it.

use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::Touchpoint;

#[cfg(doc)]
use super::effects::Effects;
use super::hand_over::{Forwarding, HandOver};

/// An input of a partition.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A valid touchpoint.
    Touchpoint(&'a Touchpoint<'a>),
    /// An erasure that another partition has forwarded. It does not advance stream time, because it arrives out of the
    /// order of this partition: one that still loads history may be years behind.
    ForwardedErasure(&'a Touchpoint<'a>),
    /// A touchpoint of an id that belongs to another partition, with identity resolution. It is forwarded there.
    Misplaced(&'a Touchpoint<'a>),
    /// A touchpoint that another partition has forwarded; see [`Effects::forwarding`]. It does not advance stream
    /// time, because the partition that has read it does.
    Forwarded {
        /// The id that it is forwarded to.
        forwarding: &'a Forwarding,
        /// The touchpoint, as it was read.
        touchpoint: &'a Touchpoint<'a>,
    },
    /// A hand-over to an id of this partition.
    HandOver(&'a HandOver),
    /// A record that is not a valid touchpoint.
    DeadLetter(DeadLetter),
    /// A record that was applied before the offsets of the consumer group were set back. It is a duplicate, whatever
    /// it contains.
    AppliedBefore,
    /// Time may have advanced: fires the wake-ups that are due by `until`, at most `wake_ups_max` of them.
    TimePassed {
        /// The watermark: stream time or wall time, less the lateness.
        until: Timestamp,
        /// Bounds the work of one input, so that touchpoints do not wait behind a backlog of wake-ups.
        wake_ups_max: usize,
    },
}

/// The position of a record in its source: its offset in the input partition, or its line in a file, starting at 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position(pub i64);

/// A record that could not be applied, to be published to the dead-letter topic. The runtime keeps the record itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeadLetter {
    /// The position of the record in its source.
    pub position: Position,
    /// Why it could not be applied.
    pub reason: DeadLetterReason,
}

/// Why a record is a dead letter. The names are a contract: dead-letter headers and metric labels carry them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DeadLetterReason {
    /// The value is missing or empty.
    Empty,
    /// Larger than `touchpoints.bytes_max`.
    TooLarge,
    /// Not UTF-8.
    NotUtf8,
    /// Not JSON, or not an object.
    NotJson,
    /// A required field is missing or empty.
    MissingField,
    /// A field has the wrong type or format (a time, an amount, a currency).
    BadField,
    /// The customer id is missing or empty.
    NoCustomer,
    /// `occurred_at` is further in the future than `clock.max_ahead` allows.
    InFuture,
    /// The schema registry does not know the schema of the record.
    UnknownSchema,
    /// The bytes do not match their schema, or the framing of the source.
    BadEncoding,
}

impl DeadLetterReason {
    /// All reasons.
    pub const ALL: [Self; 10] = [
        Self::Empty,
        Self::TooLarge,
        Self::NotUtf8,
        Self::NotJson,
        Self::MissingField,
        Self::BadField,
        Self::NoCustomer,
        Self::InFuture,
        Self::UnknownSchema,
        Self::BadEncoding,
    ];

    /// Returns the name used in headers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::NotUtf8 => "not_utf8",
            Self::NotJson => "not_json",
            Self::MissingField => "missing_field",
            Self::BadField => "bad_field",
            Self::NoCustomer => "no_customer",
            Self::InFuture => "in_future",
            Self::UnknownSchema => "unknown_schema",
            Self::BadEncoding => "bad_encoding",
        }
    }
}
