//! The bytes in front of a payload that name its schema: Confluent's wire format, which Apicurio writes too in its
//! compatible mode.
//!
//! A prefix of 0x00 and a schema id of four bytes, or of 0x01 and a GUID of 16 bytes; the prefix is in the value, or in
//! the header `__value_schema_id`. In Protobuf, the path of the message within the schema follows the prefix: a count
//! and as many indexes, zigzag varints; a count of zero means the first message.

use std::fmt;

use prost::encoding::decode_varint;

use super::{DecodeError, Header};

/// The header with the prefix, of newer clients.
const HEADER: &str = "__value_schema_id";
/// Maximum depth of a message within its schema.
const INDEXES_MAX: usize = 32;

/// The framing of a source's values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// The value is the payload.
    Plain,
    /// A schema id precedes the payload, or is in a header.
    Confluent,
}

/// How a record names its schema.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum SchemaId {
    /// A number within a registry.
    Number(u32),
    /// A GUID.
    Guid([u8; 16]),
}

impl fmt::Display for SchemaId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(id) => id.fmt(formatter),
            Self::Guid(bytes) => uuid::Uuid::from_bytes(*bytes).fmt(formatter),
        }
    }
}

/// A value without its prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Framed<'a> {
    pub(super) schema: SchemaId,
    /// The path of the message within the schema; empty for a format without one.
    pub(super) message: Vec<usize>,
    pub(super) payload: &'a [u8],
}

/// Splits a value in Confluent's wire format. `has_message` says whether the path of a message follows the prefix.
pub(super) fn split<'a>(value: &'a [u8], headers: &[Header<'a>], has_message: bool) -> Result<Framed<'a>, DecodeError> {
    let in_header = headers.iter().find(|(name, _)| *name == HEADER).and_then(|(_, value)| *value);
    let prefix = in_header.unwrap_or(value);
    let (schema, rest) = schema_id(prefix).ok_or_else(|| {
        DecodeError::bad_encoding(
            "the record does not begin with the magic byte and the id of a schema: if it has no schema registry, set \
             `framing: plain` in its source",
        )
    })?;
    let (message, rest) = if has_message {
        message_path(rest)
            .ok_or_else(|| DecodeError::bad_encoding("the message indexes after the schema id are not valid"))?
    } else {
        (Vec::new(), rest)
    };
    Ok(Framed { schema, message, payload: if in_header.is_some() { value } else { rest } })
}

fn schema_id(bytes: &[u8]) -> Option<(SchemaId, &[u8])> {
    let (magic, rest) = bytes.split_first()?;
    match magic {
        0 => rest.split_first_chunk().map(|(id, rest)| (SchemaId::Number(u32::from_be_bytes(*id)), rest)),
        1 => rest.split_first_chunk().map(|(guid, rest)| (SchemaId::Guid(*guid), rest)),
        _ => None,
    }
}

fn message_path(bytes: &[u8]) -> Option<(Vec<usize>, &[u8])> {
    let (count, mut rest) = zigzag(bytes)?;
    if count == 0 {
        return Some((vec![0], rest));
    }
    let count = usize::try_from(count).ok().filter(|count| *count <= INDEXES_MAX)?;
    let mut path = Vec::with_capacity(count);
    for _ in 0..count {
        let (index, after) = zigzag(rest)?;
        path.push(usize::try_from(index).ok()?);
        rest = after;
    }
    Some((path, rest))
}

/// Reads a zigzag varint of up to ten bytes, which Avro uses too.
pub(super) fn zigzag(mut bytes: &[u8]) -> Option<(i64, &[u8])> {
    let value = decode_varint(&mut bytes).ok()?;
    Some(((value >> 1).cast_signed() ^ -(value & 1).cast_signed(), bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(value: &[u8], has_message: bool) -> (SchemaId, Vec<usize>, Vec<u8>) {
        let framed = split(value, &[], has_message).expect("a framed value");
        (framed.schema, framed.message, framed.payload.to_vec())
    }

    #[test]
    fn the_bytes_of_confluents_serialisers_are_split() {
        // As confluent-kafka 2.16.1 writes them.
        let id = SchemaId::Number(7);
        assert_eq!(number(&[0, 0, 0, 0, 7, 9], false), (id, vec![], vec![9]));
        assert_eq!(number(&[0, 0, 0, 0, 7, 0, 9], true), (id, vec![0], vec![9]));
        assert_eq!(number(&[0, 0, 0, 0, 7, 2, 2, 9], true), (id, vec![1], vec![9]));
        assert_eq!(number(&[0, 0, 0, 0, 7, 4, 0, 0, 9], true), (id, vec![0, 0], vec![9]));
        assert_eq!(number(&[0, 0, 0, 0, 7, 4, 4, 2, 9], true), (id, vec![2, 1], vec![9]));
        assert_eq!(number(&[0, 0, 0, 0, 7, 2, 0, 9], true), (id, vec![0], vec![9]));
    }

    #[test]
    fn a_header_takes_precedence_and_leaves_the_value_whole() {
        let mut prefix = vec![1];
        prefix.extend([0x89; 16]);
        prefix.push(0);
        let headers = [("trace", None), (HEADER, Some(&prefix[..]))];
        let framed = split(&[0, 1, 2], &headers, true).expect("a framed value");
        assert_eq!(framed, Framed { schema: SchemaId::Guid([0x89; 16]), message: vec![0], payload: &[0, 1, 2] });
        assert_eq!(framed.schema.to_string(), "89898989-8989-8989-8989-898989898989");
    }

    #[test]
    fn other_bytes_are_rejected() {
        for value in [&b""[..], b"{}", &[0, 0, 0, 1], &[1, 2, 3], &[0, 0, 0, 0, 7]] {
            assert!(split(value, &[], true).is_err(), "{value:?}");
        }
        assert!(split(&[0, 0, 0, 0, 7, 0xff, 0xff, 0x7f], &[], true).is_err(), "too many indexes");
        assert!(split(&[0, 0, 0, 0, 7, 2, 1], &[], true).is_err(), "a negative index");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), has_message: bool) {
            drop(split(&bytes, &[], has_message));
            let _ = zigzag(&bytes);
        }
    }
}
