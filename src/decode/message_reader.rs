//! Reads Protobuf messages into JSON in one step, without a dynamic message in between.
//!
//! It reads what orders and events consist of, and returns `None` for anything else: well-known types except
//! `Timestamp`, maps, groups, a message field that occurs twice, and bytes that are not valid. The dynamic message is
//! slower and reads all of Protobuf, and it finds the error of an invalid message; both have the same result.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_reflect::{DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, OneofDescriptor};
use serde_json::{Map, Number, Value};

use crate::lifecycle::time::Timestamp;
use crate::wire::time::format_timestamp;

/// Maximum depth of a message; the dynamic message has its own limit.
const DEPTH_MAX: usize = 50;

/// The messages of a schema.
#[derive(Debug)]
pub(super) struct MessageReader {
    messages: Vec<Message>,
    /// Indexes of the messages by full name.
    names: HashMap<String, usize>,
}

#[derive(Debug)]
enum Message {
    Fields {
        /// The values of the fields that have one when they are not set.
        defaults: Map<String, Value>,
        /// In ascending order of numbers.
        fields: Vec<(u32, Field)>,
    },
    Timestamp,
    Other,
}

#[derive(Debug)]
struct Field {
    name: String,
    kind: FieldKind,
    is_list: bool,
    /// Names of the other fields of which at most one is set.
    others: Vec<String>,
}

#[derive(Debug)]
enum FieldKind {
    Scalar(Kind),
    Enum(EnumDescriptor),
    Message(usize),
    Other,
}

impl MessageReader {
    /// Prepares the messages of `pool`. `to_json` converts a message.
    pub(super) fn new(pool: &DescriptorPool, to_json: impl Fn(&DynamicMessage) -> Option<Value>) -> Self {
        let names: HashMap<_, _> =
            pool.all_messages().enumerate().map(|(at, message)| (message.full_name().to_owned(), at)).collect();
        let messages = pool.all_messages().map(|message| {
            if message.full_name() == "google.protobuf.Timestamp" {
                return Message::Timestamp;
            }
            if message.full_name().starts_with("google.protobuf.") || message.extensions().len() > 0 {
                return Message::Other;
            }
            let fields = message.fields().map(|field| (field.number(), Field::new(&field, &names)));
            let mut fields: Vec<_> = fields.collect();
            fields.sort_unstable_by_key(|(number, _)| *number);
            match to_json(&DynamicMessage::new(message)) {
                Some(Value::Object(defaults)) => Message::Fields { defaults, fields },
                _ => Message::Other,
            }
        });
        let messages = messages.collect();
        Self { messages, names }
    }

    /// Reads the message with a full name; `None` if the dynamic message must read it.
    pub(super) fn read(&self, name: &str, bytes: &[u8]) -> Option<Value> {
        self.message(*self.names.get(name)?, bytes, 0)
    }

    fn message(&self, at: usize, mut bytes: &[u8], depth: usize) -> Option<Value> {
        let (defaults, fields) = match &self.messages[at] {
            Message::Fields { defaults, fields } if depth < DEPTH_MAX => (defaults, fields),
            Message::Timestamp => return timestamp(bytes),
            Message::Fields { .. } | Message::Other => return None,
        };
        let mut members = defaults.clone();
        while !bytes.is_empty() {
            let (number, wire_type) = decode_key(&mut bytes).ok()?;
            let Ok(found) = fields.binary_search_by_key(&number, |(number, _)| *number) else {
                skip_field(wire_type, number, &mut bytes, DecodeContext::default()).ok()?;
                continue;
            };
            let field = &fields[found].1;
            if field.is_list {
                let Value::Array(items) = members.get_mut(&field.name)? else { return None };
                self.items(field, wire_type, &mut bytes, depth, items)?;
                continue;
            }
            let value = self.value(&field.kind, wire_type, &mut bytes, depth)?;
            if let Some(member) = members.get_mut(&field.name) {
                if matches!(field.kind, FieldKind::Message(_)) {
                    return None;
                }
                *member = value;
            } else if field.others.iter().any(|other| members.contains_key(other)) {
                return None;
            } else {
                members.insert(field.name.clone(), value);
            }
        }
        Some(Value::Object(members))
    }

    /// Reads an item of a list, or several packed into one field.
    fn items(
        &self,
        field: &Field,
        wire_type: WireType,
        bytes: &mut &[u8],
        depth: usize,
        items: &mut Vec<Value>,
    ) -> Option<()> {
        let packed_type = field.kind.wire_type()?;
        if wire_type == packed_type {
            items.push(self.value(&field.kind, wire_type, bytes, depth)?);
            return Some(());
        }
        let mut packed = sized(wire_type, bytes)?;
        while !packed.is_empty() {
            items.push(self.value(&field.kind, packed_type, &mut packed, depth)?);
        }
        Some(())
    }

    fn value(&self, kind: &FieldKind, wire_type: WireType, bytes: &mut &[u8], depth: usize) -> Option<Value> {
        if Some(wire_type) != kind.wire_type() {
            return None;
        }
        match kind {
            FieldKind::Message(at) => self.message(*at, sized(wire_type, bytes)?, depth + 1),
            FieldKind::Enum(symbols) => {
                #[expect(clippy::cast_possible_truncation, reason = "an enum is the lower 32 bits of a varint")]
                let number = decode_varint(bytes).ok()? as i32;
                let symbol = symbols.get_value(number);
                Some(symbol.map_or_else(|| Value::from(number), |symbol| Value::from(symbol.name())))
            }
            FieldKind::Scalar(kind) => scalar(kind, wire_type, bytes),
            FieldKind::Other => None,
        }
    }
}

impl Field {
    fn new(field: &FieldDescriptor, names: &HashMap<String, usize>) -> Self {
        let kind = match field.kind() {
            _ if field.is_group() || field.is_map() => FieldKind::Other,
            Kind::Message(message) => {
                names.get(message.full_name()).map_or(FieldKind::Other, |at| FieldKind::Message(*at))
            }
            Kind::Enum(symbols) if symbols.full_name() == "google.protobuf.NullValue" => FieldKind::Other,
            Kind::Enum(symbols) => FieldKind::Enum(symbols),
            kind => FieldKind::Scalar(kind),
        };
        let oneof = field.containing_oneof();
        let others = oneof.iter().flat_map(OneofDescriptor::fields).filter(|other| other.number() != field.number());
        let others = others.map(|other| other.name().to_owned()).collect();
        Self { name: field.name().to_owned(), kind, is_list: field.is_list(), others }
    }
}

impl FieldKind {
    /// Returns the wire type of a single value.
    fn wire_type(&self) -> Option<WireType> {
        Some(match self {
            Self::Other => return None,
            Self::Message(_) | Self::Scalar(Kind::String | Kind::Bytes) => WireType::LengthDelimited,
            Self::Scalar(Kind::Double | Kind::Fixed64 | Kind::Sfixed64) => WireType::SixtyFourBit,
            Self::Scalar(Kind::Float | Kind::Fixed32 | Kind::Sfixed32) => WireType::ThirtyTwoBit,
            Self::Enum(_) | Self::Scalar(_) => WireType::Varint,
        })
    }
}

/// Reads a value whose wire type is that of its kind.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "as Protobuf defines its numbers")]
fn scalar(kind: &Kind, wire_type: WireType, bytes: &mut &[u8]) -> Option<Value> {
    let zigzag = |number: u64| (number >> 1) as i64 ^ -((number & 1) as i64);
    Some(match kind {
        Kind::String => std::str::from_utf8(sized(wire_type, bytes)?).ok()?.into(),
        Kind::Bytes => STANDARD.encode(sized(wire_type, bytes)?).into(),
        Kind::Bool => (decode_varint(bytes).ok()? != 0).into(),
        Kind::Int32 => (decode_varint(bytes).ok()? as i32).into(),
        Kind::Int64 => (decode_varint(bytes).ok()? as i64).into(),
        Kind::Uint32 => (decode_varint(bytes).ok()? as u32).into(),
        Kind::Uint64 => decode_varint(bytes).ok()?.into(),
        Kind::Sint32 => (zigzag(u64::from(decode_varint(bytes).ok()? as u32)) as i32).into(),
        Kind::Sint64 => zigzag(decode_varint(bytes).ok()?).into(),
        Kind::Fixed32 => u32::from_le_bytes(chunk(bytes)?).into(),
        Kind::Fixed64 => u64::from_le_bytes(chunk(bytes)?).into(),
        Kind::Sfixed32 => i32::from_le_bytes(chunk(bytes)?).into(),
        Kind::Sfixed64 => i64::from_le_bytes(chunk(bytes)?).into(),
        Kind::Float => Value::Number(Number::from_f64(f32::from_le_bytes(chunk(bytes)?).into())?),
        Kind::Double => Value::Number(Number::from_f64(f64::from_le_bytes(chunk(bytes)?))?),
        Kind::Message(_) | Kind::Enum(_) => return None,
    })
}

/// Returns the bytes of a value whose length precedes it.
fn sized<'b>(wire_type: WireType, bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    if wire_type != WireType::LengthDelimited {
        return None;
    }
    let length = usize::try_from(decode_varint(bytes).ok()?).ok()?;
    let (value, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(value)
}

fn chunk<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (chunk, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*chunk)
}

/// Reads a `Timestamp` as RFC 3339, if it has whole milliseconds.
fn timestamp(mut bytes: &[u8]) -> Option<Value> {
    let (mut seconds, mut nanos) = (0, 0);
    while !bytes.is_empty() {
        match decode_key(&mut bytes).ok()? {
            (1, WireType::Varint) => seconds = decode_varint(&mut bytes).ok()?.cast_signed(),
            (2, WireType::Varint) => nanos = decode_varint(&mut bytes).ok()?,
            _ => return None,
        }
    }
    if nanos >= 1_000_000_000 || nanos % 1_000_000 != 0 {
        return None;
    }
    let millis = seconds.checked_mul(1_000)?.checked_add(i64::try_from(nanos / 1_000_000).ok()?)?;
    let instant = Timestamp::from_millis(millis);
    (Timestamp::MIN..=Timestamp::MAX).contains(&instant).then(|| format_timestamp(instant).into())
}
