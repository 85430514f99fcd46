//! The values of expressions: their types, and the horizon until which a value holds.

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
    /// A duration.
    Duration,
}

impl Type {
    /// Returns the name of the type in model files and messages.
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

/// The value of an expression at an instant.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value<'a> {
    /// The fact was never set, or arithmetic had no result. Every comparison with an absent value is false.
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
    /// A duration.
    Duration(Duration),
}

/// A [`Value`] that is not absent and owns its text: a constant of an expression, or what a condition has read.
#[derive(Clone, PartialEq, Debug)]
pub enum OwnedValue {
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    String(Box<str>),
    /// An instant.
    Timestamp(Timestamp),
    /// A duration.
    Duration(Duration),
}

impl OwnedValue {
    /// Copies a value; `None` if it is absent.
    #[must_use]
    pub fn of(value: Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Absent => return None,
            Value::Int(number) => Self::Int(number),
            Value::Double(number) => Self::Double(number),
            Value::Bool(truth) => Self::Bool(truth),
            Value::String(text) => Self::String(text.into()),
            Value::Timestamp(instant) => Self::Timestamp(instant),
            Value::Duration(length) => Self::Duration(length),
        })
    }

    /// Borrows the value.
    #[must_use]
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::Int(number) => Value::Int(*number),
            Self::Double(number) => Value::Double(*number),
            Self::Bool(truth) => Value::Bool(*truth),
            Self::String(text) => Value::String(text),
            Self::Timestamp(instant) => Value::Timestamp(*instant),
            Self::Duration(length) => Value::Duration(*length),
        }
    }

    /// Returns the type of the value.
    #[must_use]
    pub fn value_type(&self) -> Type {
        match self {
            Self::Int(_) => Type::Int,
            Self::Double(_) => Type::Double,
            Self::Bool(_) => Type::Bool,
            Self::String(_) => Type::String,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Duration(_) => Type::Duration,
        }
    }
}

impl Value<'_> {
    /// Returns the value of an int, or the milliseconds of a timestamp or duration.
    #[inline]
    #[must_use]
    pub fn int_or_millis(self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(number),
            Self::Timestamp(instant) => Some(instant.as_millis()),
            Self::Duration(duration) => Some(duration.as_millis()),
            _ => None,
        }
    }

    /// Whether the value is `true`. An absent value is not.
    #[must_use]
    pub fn is_true(self) -> bool {
        self == Value::Bool(true)
    }
}

/// The horizon of a value: the earliest instant at which time alone may change it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Horizon(i64);

impl Horizon {
    /// Time alone never changes the value.
    pub const NEVER: Self = Self(i64::MAX);

    /// Lowers the horizon to `instant`, unless it is already earlier.
    pub fn lower_to(&mut self, instant: Timestamp) {
        self.0 = self.0.min(instant.as_millis());
    }

    /// Returns the earlier of two horizons.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// Returns the later of two horizons.
    #[must_use]
    pub fn later(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }

    /// Returns the instant; `None` if time alone never changes the value.
    #[must_use]
    pub fn instant(self) -> Option<Timestamp> {
        (self.0 != i64::MAX).then(|| Timestamp::from_millis(self.0))
    }
}

/// The index of an input of an expression: a fact of a customer, or a property of a touchpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Slot(pub u16);

/// The inputs of a compiled expression.
pub trait Inputs {
    /// Returns the value of `slot` at `now`. If time alone changes the value after `now`, lowers `horizon` to that
    /// instant.
    fn read(&self, slot: Slot, now: Timestamp, horizon: &mut Horizon) -> Value<'_>;

    /// Like [`read`](Self::read), for an int, timestamp or duration: most comparisons read nothing else, and a number
    /// is returned in registers.
    fn read_int_or_millis(&self, slot: Slot, now: Timestamp, horizon: &mut Horizon) -> Option<i64> {
        self.read(slot, now, horizon).int_or_millis()
    }
}
