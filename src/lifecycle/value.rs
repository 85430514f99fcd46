//! What an expression can be: typed values, and until when a value holds.

use super::time::{Duration, Timestamp};

/// The type of an expression.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Type {
    /// A whole number of 64 bits.
    Int,
    /// A floating-point number of 64 bits.
    Double,
    /// True or false.
    Bool,
    /// Text in UTF-8.
    String,
    /// An instant.
    Timestamp,
    /// A length of time.
    Duration,
}

impl Type {
    /// As model files and messages name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Double => "double",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Timestamp => "timestamp",
            Self::Duration => "duration",
        }
    }
}

/// A value at an instant. `Absent` is a fact that was never set, or arithmetic that has no result.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value<'a> {
    /// Not set: a comparison with it is false.
    Absent,
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    String(&'a str),
    /// An instant.
    Timestamp(Timestamp),
    /// A length of time.
    Duration(Duration),
}

impl Value<'_> {
    /// Whether it is `true`; an absent value is not.
    #[must_use]
    pub fn is_true(self) -> bool {
        self == Value::Bool(true)
    }
}

/// Until when a value holds: the earliest instant noted at which time alone may change it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Horizon(i64);

impl Horizon {
    /// Time alone never changes it.
    pub const NEVER: Self = Self(i64::MAX);

    /// Notes that the value may change at `instant`.
    pub fn note(&mut self, instant: Timestamp) {
        self.0 = self.0.min(instant.as_millis());
    }

    /// The earlier of two horizons.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// The later of two horizons.
    #[must_use]
    pub fn later(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }

    /// The instant, or `None` when time alone never changes the value.
    #[must_use]
    pub fn instant(self) -> Option<Timestamp> {
        (self.0 != i64::MAX).then(|| Timestamp::from_millis(self.0))
    }
}

/// A place in the inputs of an expression: a fact of a customer, or a property of a touchpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Slot(pub u16);

/// What a program reads while it is evaluated.
pub trait Inputs {
    /// The value of `slot` at `now`; notes in `horizon` when time alone changes it after `now`.
    fn read(&self, slot: Slot, now: Timestamp, horizon: &mut Horizon) -> Value<'_>;
}
