//! Amounts of money as exact fixed-point numbers, and the currency that they are in.

/// An amount in millionths of a currency unit.
///
/// Fixed point, since floating-point addition depends on the order of its terms.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Amount(i64);

impl Amount {
    /// Millionths in one unit.
    pub const MICROS: i64 = 1_000_000;
    /// The largest amount, either sign, that a touchpoint may bear: 10^12 units.
    pub const MAX: Self = Self(1_000_000_000_000 * Self::MICROS);

    /// The amount of `micros` millionths.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Millionths of a unit.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The sum, modulo 2^64 millionths: whatever the order of the terms, the same sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// The difference, modulo 2^64 millionths.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }

    /// The amount without its sign.
    #[must_use]
    pub const fn magnitude(self) -> Self {
        Self(self.0.wrapping_abs())
    }
}

impl std::fmt::Display for Amount {
    /// The shortest decimal: `6.79`, `-3`, `0.000001`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let (units, micros) = (magnitude / 1_000_000, magnitude % 1_000_000);
        if micros == 0 {
            return write!(formatter, "{sign}{units}");
        }
        let digits = format!("{micros:06}");
        write!(formatter, "{sign}{units}.{}", digits.trim_end_matches('0'))
    }
}

/// An ISO 4217 code: three capital letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The currency `code`, or `None` unless it is three ASCII capital letters.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        let code: [u8; 3] = code.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(Self(code))
    }

    /// The three letters.
    ///
    /// # Panics
    /// Never: it is made of ASCII letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a currency is made of ASCII letters")
    }

    /// The code as a number below 2^24, for records.
    #[must_use]
    pub fn to_number(self) -> u32 {
        u32::from_be_bytes([0, self.0[0], self.0[1], self.0[2]])
    }

    /// The currency that [`to_number`](Self::to_number) gave; `None` for anything else.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        let [zero, code @ ..] = number.to_be_bytes();
        (zero == 0 && code.iter().all(u8::is_ascii_uppercase)).then_some(Self(code))
    }
}
