//! Writes compact JSON to a byte buffer: a serde serializer for records of maps, lists, texts and numbers.
//!
//! It writes the same bytes as `serde_json`, with fewer instructions: names of fields are copied without a search for
//! characters to escape, and texts are searched eight bytes at a time. Texts with such characters, and numbers, are
//! left to `serde_json`. See docs/decisions/0025.

use std::fmt::Display;
use std::io::Write as _;

use serde::Serialize;
use serde::ser::{Error as _, Impossible, SerializeMap, SerializeSeq, SerializeStruct, Serializer};
use serde_json::Error;

/// Appends `value` to `out`.
///
/// # Panics
/// If `value` contains an enum variant with content, a tuple, bytes, or a map with keys that are not text.
pub(super) fn write(value: &impl Serialize, out: &mut Vec<u8>) {
    value.serialize(JsonWriter { out }).expect("records consist of objects, lists, texts and numbers");
}

/// Appends `text` as a JSON string.
fn write_text(text: &str, out: &mut Vec<u8>) {
    if has_escape(text.as_bytes()) {
        serde_json::to_writer(out, text).expect("writing to memory cannot fail");
    } else {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }
}

/// Whether a JSON string must escape one of `bytes`: a control character, a quotation mark or a backslash.
fn has_escape(bytes: &[u8]) -> bool {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // A subtraction borrows from the high bit of the first byte that is too small. Bytes of 0x80 and above are not.
    let word_has_escape = |word: u64| {
        let (quotes, backslashes) = (word ^ (LOW * u64::from(b'"')), word ^ (LOW * u64::from(b'\\')));
        let borrows = word.wrapping_sub(LOW * 0x20) | quotes.wrapping_sub(LOW) | backslashes.wrapping_sub(LOW);
        borrows & !word & HIGH != 0
    };
    // The last word may overlap the one before.
    if let Some(last) = bytes.last_chunk() {
        bytes.as_chunks().0.iter().any(|chunk| word_has_escape(u64::from_le_bytes(*chunk)))
            || word_has_escape(u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        word_has_escape(u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last)))
    } else {
        bytes.iter().any(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\')
    }
}

struct JsonWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl JsonWriter<'_> {
    fn number(self, number: impl Serialize) -> Result<(), Error> {
        serde_json::to_writer(self.out, &number)
    }
}

fn unsupported<T>() -> Result<T, Error> {
    Err(Error::custom("the type is not part of any record"))
}

/// A list or an object that is being written.
struct Compound<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
    end: u8,
}

impl<'a> Compound<'a> {
    fn open(out: &'a mut Vec<u8>, [begin, end]: [u8; 2]) -> Self {
        out.push(begin);
        Self { out, is_empty: true, end }
    }

    fn separate(&mut self) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
    }
}

impl<'a> Serializer for JsonWriter<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeStructVariant = Impossible<(), Error>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_i8(self, number: i8) -> Result<(), Error> {
        self.number(number)
    }

    fn serialize_i16(self, number: i16) -> Result<(), Error> {
        self.number(number)
    }

    fn serialize_i32(self, number: i32) -> Result<(), Error> {
        self.number(number)
    }

    fn serialize_i64(self, number: i64) -> Result<(), Error> {
        self.number(number)
    }

    fn serialize_u8(self, number: u8) -> Result<(), Error> {
        self.number(number)
    }

    fn serialize_u16(self, number: u16) -> Result<(), Error> {
        self.number(number)
    }

    fn serialize_u32(self, number: u32) -> Result<(), Error> {
        self.number(number)
    }

    fn serialize_u64(self, number: u64) -> Result<(), Error> {
        self.number(number)
    }

    fn serialize_f32(self, number: f32) -> Result<(), Error> {
        self.number(number)
    }

    fn serialize_f64(self, number: f64) -> Result<(), Error> {
        self.number(number)
    }

    fn serialize_char(self, letter: char) -> Result<(), Error> {
        self.serialize_str(letter.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<(), Error> {
        write_text(text, self.out);
        Ok(())
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        let start = self.out.len();
        self.out.push(b'"');
        write!(self.out, "{value}").expect("writing to memory cannot fail");
        if has_escape(&self.out[start + 1..]) {
            self.out.truncate(start);
            return self.serialize_str(&value.to_string());
        }
        self.out.push(b'"');
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Error> {
        unsupported()
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        unsupported()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'a>, Error> {
        Ok(Compound::open(self.out, *b"[]"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'a>, Error> {
        Ok(Compound::open(self.out, *b"{}"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Compound<'a>, Error> {
        Ok(Compound::open(self.out, *b"{}"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Impossible<(), Error>, Error> {
        unsupported()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Impossible<(), Error>, Error> {
        unsupported()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Error>, Error> {
        unsupported()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Error>, Error> {
        unsupported()
    }
}

impl SerializeSeq for Compound<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.separate();
        value.serialize(JsonWriter { out: self.out })
    }

    fn end(self) -> Result<(), Error> {
        self.out.push(self.end);
        Ok(())
    }
}

impl SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.separate();
        let start = self.out.len();
        key.serialize(JsonWriter { out: self.out })?;
        if self.out.get(start) == Some(&b'"') { Ok(()) } else { unsupported() }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.out.push(b':');
        value.serialize(JsonWriter { out: self.out })
    }

    fn end(self) -> Result<(), Error> {
        self.out.push(self.end);
        Ok(())
    }
}

impl SerializeStruct for Compound<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.separate();
        // The names of Rust fields need no escapes.
        self.out.reserve(name.len() + 3);
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        value.serialize(JsonWriter { out: self.out })
    }

    fn end(self) -> Result<(), Error> {
        self.out.push(self.end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(value: &impl Serialize) -> String {
        let mut out = Vec::new();
        write(value, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn every_character_at_every_place_is_written_as_by_serde_json() {
        for byte in 0..=0xff_u8 {
            for length in [1, 3, 7, 8, 9, 15, 16, 17, 31] {
                for place in 0..length {
                    let mut letters = vec!['a'; length];
                    letters[place] = char::from(byte);
                    let text: String = letters.into_iter().collect();
                    let expected = serde_json::to_string(&text).expect("JSON");
                    assert_eq!(written(&text), expected, "{byte} at {place}");
                    let mut displayed = Vec::new();
                    JsonWriter { out: &mut displayed }.collect_str(&text).expect("text");
                    assert_eq!(displayed, expected.as_bytes(), "{byte} at {place}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn records_are_written_as_by_serde_json(
            texts in prop::collection::vec("\\PC*|[\"\\\\\\x00-\\x7f]{0,20}", 0..6),
            number in any::<i64>(),
            double in any::<f64>(),
        ) {
            #[derive(Serialize)]
            struct Record<'a> {
                texts: &'a [String],
                by_name: std::collections::BTreeMap<&'a str, Option<usize>>,
                number: i64,
                double: f64,
                nested: serde_json::Value,
            }
            let by_name = texts.iter().map(|text| (text.as_str(), text.find('a'))).collect();
            let nested = serde_json::json!({"list": [true, null, {"of": texts.first()}], "empty": []});
            let record = Record { texts: &texts, by_name, number, double, nested };
            prop_assert_eq!(written(&record), serde_json::to_string(&record).expect("JSON"));
        }
    }
}
