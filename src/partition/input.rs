//! Everything that can happen to a partition.

use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::Touchpoint;

/// Something that happens to a partition.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A record that is a touchpoint.
    Touchpoint(&'a Touchpoint<'a>),
    /// A record that is none.
    Rejected(Rejected),
    /// The clock may have moved: work off wake-ups due up to `until`, `wake_ups_max` at most.
    TimePassed {
        /// The partition's clock.
        until: Timestamp,
        /// After how many wake-ups to return, so that live touchpoints keep their latency.
        wake_ups_max: usize,
    },
}

/// Where a record was read: its offset in the input partition, or its line in a file (from 1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position(pub i64);

/// A record that is set aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rejected {
    /// Where it was read.
    pub position: Position,
    /// Why.
    pub reason: Reason,
}

/// Why a record is set aside. The names are a contract: dead-letter headers and metric labels bear them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// No value at all, or an empty one.
    Empty,
    /// Larger than `touchpoints.bytes_max`.
    TooLarge,
    /// Not UTF-8.
    NotUtf8,
    /// Not JSON, or not an object.
    NotJson,
    /// A field is missing or empty that must be there.
    MissingField,
    /// A field is of the wrong type or form (a time, an amount, a currency).
    BadField,
    /// The customer id is missing or empty.
    NoCustomer,
    /// Further in the future than `clock.max_ahead` allows.
    InFuture,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Empty,
        Self::TooLarge,
        Self::NotUtf8,
        Self::NotJson,
        Self::MissingField,
        Self::BadField,
        Self::NoCustomer,
        Self::InFuture,
    ];

    /// The name in headers and metrics.
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
        }
    }
}
