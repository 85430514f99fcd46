//! Amounts of money as exact fixed-point numbers, and currencies.

/// An amount in millionths of a currency unit.
///
/// Fixed-point, because the result of floating-point addition depends on the order of the terms. A touchpoint carries
/// at most 2^60 millionths ([`MAX`](Self::MAX)), so a total of 128 bits is exact for 2^67 touchpoints of a customer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Amount(i128);

impl Amount {
    /// Millionths in one unit.
    pub const MICROS: i128 = 1_000_000;
    /// The largest absolute amount of a touchpoint: 10^12 units.
    pub const MAX: Self = Self(1_000_000_000_000 * Self::MICROS);

    /// Creates an amount from millionths.
    #[must_use]
    pub const fn from_micros(micros: i128) -> Self {
        Self(micros)
    }

    /// Returns the amount in millionths.
    #[must_use]
    pub const fn as_micros(self) -> i128 {
        self.0
    }

    /// Returns the sum. Saturates at the limits of 128 bits.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Returns the difference. Saturates at the limits of 128 bits.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns the absolute amount.
    #[must_use]
    pub const fn magnitude(self) -> Self {
        Self(self.0.saturating_abs())
    }
}

impl std::fmt::Display for Amount {
    /// Formats the shortest decimal: `6.79`, `-3`, `0.000001`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let mut digits = itoa::Buffer::new();
        // Nearly every amount fits into 64 bits, which are divided and formatted much faster than 128.
        let (units, micros) = if let Ok(magnitude) = u64::try_from(magnitude) {
            (digits.format(magnitude / 1_000_000), magnitude % 1_000_000)
        } else {
            let micros = u64::try_from(magnitude % 1_000_000).expect("a remainder below a million");
            (digits.format(magnitude / 1_000_000), micros)
        };
        if self.0 < 0 {
            formatter.write_str("-")?;
        }
        formatter.write_str(units)?;
        if micros == 0 {
            return Ok(());
        }
        let mut fraction = *b".000000";
        let mut rest = micros;
        for digit in fraction[1..].iter_mut().rev() {
            *digit += (rest % 10).to_le_bytes()[0];
            rest /= 10;
        }
        formatter.write_str(str::from_utf8(&fraction).expect("digits are ASCII").trim_end_matches('0'))
    }
}

/// An ISO 4217 currency code: three capital letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Parses a code. Returns `None` unless it consists of three ASCII capital letters.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        let code: [u8; 3] = code.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(Self(code))
    }

    /// Returns the code.
    ///
    /// # Panics
    /// Never, since the code consists of ASCII letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a currency consists of ASCII letters")
    }

    /// Encodes the code as a number below 2^24, for records.
    #[must_use]
    pub fn to_number(self) -> u32 {
        u32::from_be_bytes([0, self.0[0], self.0[1], self.0[2]])
    }

    /// Decodes the result of [`to_number`](Self::to_number); `None` for any other number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        let [zero, code @ ..] = number.to_be_bytes();
        (zero == 0 && code.iter().all(u8::is_ascii_uppercase)).then_some(Self(code))
    }
}
