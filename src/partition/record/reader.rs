//! A minimal Protobuf reader: splits bytes into fields and varints, without a schema.
//!
//! Every function returns `None` for invalid bytes.

use super::field::{FIXED32, FIXED64, LENGTH_DELIMITED, VARINT};

/// Returns the instant `age` before `clock`, in milliseconds.
pub(super) fn time_before(clock: i64, age: u64) -> i64 {
    clock.wrapping_sub(age.cast_signed())
}

/// Decodes a zigzag-encoded number.
pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Combines a number with its upper 64 bits, which records store separately.
pub(super) fn with_high_bits(number: i128, high: u64) -> i128 {
    number.wrapping_add(i128::from(unzigzag(high)) << 64)
}

/// The value of a field.
pub(super) enum FieldValue<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// A cursor over the remaining bytes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// Skips `count` varints.
    pub(super) fn skip_varints(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.varint().map(|_| ()))
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// Reads the next field. Returns `Some(None)` at the end of the input.
    #[expect(
        clippy::option_option,
        reason = "invalid, end of input and found are three cases; `?` propagates the first"
    )]
    pub(super) fn field(&mut self) -> Option<Option<(u32, FieldValue<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = u32::try_from(self.varint()?).ok()?;
        let content = match tag & 7 {
            VARINT => FieldValue::Number(self.varint()?),
            FIXED64 => FieldValue::Number(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            LENGTH_DELIMITED => {
                let length = usize::try_from(self.varint()?).ok()?;
                FieldValue::Bytes(self.take(length)?)
            }
            FIXED32 => FieldValue::Number(u64::from(u32::from_le_bytes(self.take(4)?.try_into().ok()?))),
            _ => return None,
        };
        Some(Some((tag >> 3, content)))
    }
}
