//! Takes Protobuf apart: fields and numbers, nothing of what they mean. `None` everywhere means that the bytes are no message.

use super::field::{FIXED32, FIXED64, LENGTH_DELIMITED, VARINT};

/// The instant `age` before `clock`.
pub(super) fn back(clock: i64, age: u64) -> i64 {
    clock.wrapping_sub(age.cast_signed())
}

/// The number that zigzag made `number` of.
pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// The content of a field.
pub(super) enum Content<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Bytes that are still to be read.
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

    /// Passes over `count` varints.
    pub(super) fn skip_varints(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.varint().map(|_| ()))
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next field; `Some(None)` at the end.
    #[expect(clippy::option_option, reason = "broken, at the end and found are three things, and `?` takes the first")]
    pub(super) fn field(&mut self) -> Option<Option<(u32, Content<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = u32::try_from(self.varint()?).ok()?;
        let content = match tag & 7 {
            VARINT => Content::Number(self.varint()?),
            FIXED64 => Content::Number(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            LENGTH_DELIMITED => {
                let length = usize::try_from(self.varint()?).ok()?;
                Content::Bytes(self.take(length)?)
            }
            FIXED32 => Content::Number(u64::from(u32::from_le_bytes(self.take(4)?.try_into().ok()?))),
            _ => return None,
        };
        Some(Some((tag >> 3, content)))
    }
}
