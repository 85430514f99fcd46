//! Decodes Avro's binary encoding into JSON.
//!
//! A union is the value of its branch. Logical types become what mappings expect: a decimal is text, an instant is RFC
//! 3339, a date is `2026-01-31`, a UUID is text. Bytes are base64, as in Protobuf's JSON. The number of values and the
//! depth are limited, because an array of nulls has no bytes, and a schema may refer to itself.
//! Format: <https://avro.apache.org/docs/1.12.0/specification/#binary-encoding>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use crate::lifecycle::time::Timestamp;
use crate::wire::time::format_timestamp;

use super::DecodeError;
use super::avro_schema::{AvroSchema, Node};
use super::framing::zigzag;

/// Maximum depth of a value.
const DEPTH_MAX: usize = 64;
/// Maximum number of values in a record.
const VALUES_MAX: usize = 200_000;
/// Maximum size of a decimal in bytes: 128 bits.
const DECIMAL_BYTES_MAX: usize = 16;
/// Maximum scale of a decimal.
const SCALE_MAX: u32 = 38;
/// The first and the last instant that RFC 3339 can express, in milliseconds since the Unix epoch.
const INSTANTS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// Decodes a value of `schema`, which must take all of `bytes`.
///
/// # Errors
/// A dead letter that names the path of the field.
pub(super) fn decode(schema: &AvroSchema, bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut reader = Reader { nodes: &schema.nodes, rest: bytes, values: 0, path: Vec::new() };
    let value = reader.value(0, 0);
    let trailing = reader.rest.len();
    value.and_then(|value| if trailing == 0 { Ok(value) } else { Err("bytes follow the last field") }).map_err(|what| {
        let path = if reader.path.is_empty() { "the record".to_owned() } else { reader.path.join(".") };
        DecodeError::bad_encoding(format!("{path}: does not match its Avro schema: {what}"))
    })
}

type Decoded<T> = Result<T, &'static str>;

struct Reader<'a> {
    nodes: &'a [Node],
    rest: &'a [u8],
    values: usize,
    /// Names of the fields around the current value. A failure leaves them in place.
    path: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    fn value(&mut self, node: usize, depth: usize) -> Decoded<Value> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err("it has too many values");
        }
        if depth > DEPTH_MAX {
            return Err("it is nested too deeply");
        }
        let nodes = self.nodes;
        Ok(match &nodes[node] {
            Node::Null => Value::Null,
            Node::Boolean => match self.take(1)? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return Err("a boolean is neither 0 nor 1"),
            },
            Node::Int => i32::try_from(self.long()?).map_err(|_| "an int has more than 32 bits")?.into(),
            Node::Long => self.long()?.into(),
            Node::Float => number(f64::from(f32::from_le_bytes(self.chunk()?))),
            Node::Double => number(f64::from_le_bytes(self.chunk()?)),
            Node::Bytes => STANDARD.encode(self.sized()?).into(),
            Node::Fixed(size) => STANDARD.encode(self.take(*size)?).into(),
            Node::Text => self.text()?.into(),
            Node::Uuid => uuid::Uuid::from_bytes(self.chunk()?).to_string().into(),
            Node::Decimal { scale, size } => {
                let unscaled = match size {
                    Some(size) => self.take(*size)?,
                    None => self.sized()?,
                };
                decimal(unscaled, *scale)?.into()
            }
            Node::Date => {
                let millis = self.long()?.checked_mul(86_400_000).ok_or("a date is out of range")?;
                let text = instant(millis)?;
                text[..10].into()
            }
            Node::Timestamp { per_second, is_local } => {
                let mut text = instant(millis(self.long()?, *per_second))?;
                if *is_local {
                    text.pop();
                }
                text.into()
            }
            Node::Enum(symbols) => {
                let index = usize::try_from(self.long()?).ok();
                index.and_then(|index| symbols.get(index)).ok_or("an enum has no such symbol")?.as_str().into()
            }
            Node::Union(branches) => {
                let index = usize::try_from(self.long()?).ok();
                let branch = index.and_then(|index| branches.get(index)).ok_or("a union has no such branch")?;
                self.value(*branch, depth + 1)?
            }
            Node::Record(fields) => {
                let mut members = Map::new();
                for (name, node) in fields {
                    self.path.push(name);
                    let value = self.value(*node, depth + 1)?;
                    self.path.pop();
                    members.insert(name.clone(), value);
                }
                Value::Object(members)
            }
            Node::Array(items) => {
                let mut array = Vec::new();
                while let Some(count) = self.block()? {
                    for _ in 0..count {
                        array.push(self.value(*items, depth + 1)?);
                    }
                }
                Value::Array(array)
            }
            Node::Map(values) => {
                let mut members = Map::new();
                while let Some(count) = self.block()? {
                    for _ in 0..count {
                        let name = self.text()?;
                        members.insert(name.to_owned(), self.value(*values, depth + 1)?);
                    }
                }
                Value::Object(members)
            }
        })
    }

    /// Returns the number of items of the next block of an array or a map; `None` at its end.
    fn block(&mut self) -> Decoded<Option<u64>> {
        let count = self.long()?;
        if count < 0 {
            // The size of the block in bytes, for readers that skip it.
            self.long()?;
        }
        Ok(Some(count.unsigned_abs()).filter(|count| *count > 0))
    }

    fn long(&mut self) -> Decoded<i64> {
        let (value, rest) = zigzag(self.rest).ok_or("a number is not complete")?;
        self.rest = rest;
        Ok(value)
    }

    fn sized(&mut self) -> Decoded<&'a [u8]> {
        let size = usize::try_from(self.long()?).map_err(|_| "a size is negative")?;
        self.take(size)
    }

    fn text(&mut self) -> Decoded<&'a str> {
        std::str::from_utf8(self.sized()?).map_err(|_| "a string is not UTF-8")
    }

    fn take(&mut self, size: usize) -> Decoded<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(size).ok_or("the record ends within a value")?;
        self.rest = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or("the record ends within a value")?;
        self.rest = rest;
        Ok(*chunk)
    }
}

/// JSON has neither infinity nor NaN.
fn number(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

fn millis(value: i64, per_second: i64) -> i64 {
    value.div_euclid(per_second / 1_000)
}

fn instant(millis: i64) -> Decoded<String> {
    if INSTANTS.contains(&millis) {
        Ok(format_timestamp(Timestamp::from_millis(millis)))
    } else {
        Err("an instant is not between the years 1 and 9999")
    }
}

/// Writes a big-endian two's complement number as decimal text.
fn decimal(unscaled: &[u8], scale: u32) -> Decoded<String> {
    if unscaled.len() > DECIMAL_BYTES_MAX || scale > SCALE_MAX {
        return Err("a decimal has more than 38 digits");
    }
    let sign = if unscaled.first().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    let mut bytes = [sign; DECIMAL_BYTES_MAX];
    bytes[DECIMAL_BYTES_MAX - unscaled.len()..].copy_from_slice(unscaled);
    let number = i128::from_be_bytes(bytes);
    let digits = number.unsigned_abs().to_string();
    let scale = scale as usize;
    let sign = if number < 0 { "-" } else { "" };
    if scale == 0 {
        return Ok(format!("{sign}{digits}"));
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    Ok(format!("{sign}{whole}.{fraction}"))
}

#[cfg(test)]
mod tests {
    use apache_avro::types::Value as Avro;
    use apache_avro::{Days, Decimal, Duration, Millis, Months, Schema};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const SCHEMA: &str = r#"{"type":"record","name":"Order","fields":[
        {"name":"id","type":"string"},
        {"name":"total","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},
        {"name":"tax","type":{"type":"fixed","name":"Tax","size":4,"logicalType":"decimal","precision":9,"scale":3}},
        {"name":"placed","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"paid","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},
        {"name":"local","type":{"type":"long","logicalType":"local-timestamp-millis"}},
        {"name":"due","type":{"type":"int","logicalType":"date"}},
        {"name":"uuid","type":{"type":"string","logicalType":"uuid"}},
        {"name":"state","type":{"type":"enum","name":"State","symbols":["NEW","PAID"]}},
        {"name":"lines","type":{"type":"array","items":"long"}},
        {"name":"tags","type":{"type":"map","values":"string"}},
        {"name":"raw","type":"bytes"},
        {"name":"for","type":{"type":"fixed","name":"For","size":12,"logicalType":"duration"}},
        {"name":"rate","type":"float"},{"name":"weight","type":"double"},{"name":"gift","type":"boolean"},
        {"name":"part","type":["null","Order"]}]}"#;

    /// Encodes with the library, which is independent of the decoder.
    #[expect(deprecated, reason = "its replacement writes the same bytes, with more ceremony")]
    fn encode(value: Avro) -> Vec<u8> {
        apache_avro::to_avro_datum(&Schema::parse_str(SCHEMA).expect("a schema"), value).expect("a value of the schema")
    }

    fn order(id: &str, total: i64, placed: i64, lines: &[i64], part: Option<Avro>) -> Avro {
        let field = |name: &str, value: Avro| (name.to_owned(), value);
        let fixed = |number: i32| Avro::Decimal(Decimal::from(number.to_be_bytes()));
        let duration = Duration::new(Months::new(1), Days::new(2), Millis::new(3));
        Avro::Record(vec![
            field("id", Avro::String(id.to_owned())),
            field("total", Avro::Decimal(Decimal::from(total.to_be_bytes()))),
            field("tax", fixed(-5)),
            field("placed", Avro::TimestampMillis(placed)),
            field("paid", Avro::Union(1, Box::new(Avro::TimestampMicros(1_769_850_000_123_456)))),
            field("local", Avro::LocalTimestampMillis(1_769_850_000_000)),
            field("due", Avro::Date(20_484)),
            field("uuid", Avro::Uuid(uuid::Uuid::from_bytes([7; 16]))),
            field("state", Avro::Enum(1, "PAID".to_owned())),
            field("lines", Avro::Array(lines.iter().map(|it| Avro::Long(*it)).collect())),
            field("tags", Avro::Map([("a".to_owned(), Avro::String("b".to_owned()))].into())),
            field("raw", Avro::Bytes(vec![0xff, 0])),
            field("for", Avro::Duration(duration)),
            field("rate", Avro::Float(0.5)),
            field("weight", Avro::Double(f64::NAN)),
            field("gift", Avro::Boolean(true)),
            field("part", part.map_or(Avro::Union(0, Box::new(Avro::Null)), |it| Avro::Union(1, Box::new(it)))),
        ])
    }

    fn schema() -> AvroSchema {
        AvroSchema::parse(SCHEMA, &[]).expect("a valid schema")
    }

    #[test]
    fn logical_types_become_what_mappings_expect() {
        let bytes = encode(order("o-1", 4_999, 1_769_850_000_000, &[1, -2], None));
        assert_eq!(
            decode(&schema(), &bytes),
            Ok(json!({
                "id": "o-1", "total": "49.99", "tax": "-0.005", "placed": "2026-01-31T09:00:00Z",
                "paid": "2026-01-31T09:00:00.123Z", "local": "2026-01-31T09:00:00", "due": "2026-01-31",
                "uuid": "07070707-0707-0707-0707-070707070707", "state": "PAID", "lines": [1, -2], "tags": {"a": "b"},
                "raw": "/wA=", "for": "AQAAAAIAAAADAAAA", "rate": 0.5, "weight": null, "gift": true, "part": null,
            }))
        );
    }

    #[test]
    fn an_invalid_record_names_the_field() {
        let bytes = encode(order("o-1", 1, 0, &[], None));
        let Err(DecodeError::DeadLetter(cause)) = decode(&schema(), &bytes[..5]) else { panic!("it is not complete") };
        assert_eq!(cause.detail, "total: does not match its Avro schema: the record ends within a value");
        let longer = [&bytes[..], &[0]].concat();
        let Err(DecodeError::DeadLetter(cause)) = decode(&schema(), &longer) else { panic!("it is too long") };
        assert_eq!(cause.detail, "the record: does not match its Avro schema: bytes follow the last field");
    }

    #[test]
    fn work_is_bounded_by_limits_not_by_the_numbers_in_the_record() {
        let nulls = AvroSchema::parse(r#"{"type":"array","items":"null"}"#, &[]).expect("a valid schema");
        // 2^62 items without bytes.
        let bytes = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0];
        assert!(decode(&nulls, &bytes).is_err());
        let nested =
            AvroSchema::parse(r#"{"type":"record","name":"N","fields":[{"name":"n","type":["null","N"]}]}"#, &[]);
        assert!(decode(&nested.expect("a valid schema"), &vec![2; 100_000]).is_err());
        let text = AvroSchema::parse(r#""string""#, &[]).expect("a valid schema");
        assert!(decode(&text, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).is_err());
    }

    proptest! {
        #[test]
        fn what_the_library_encodes_is_decoded(id in ".{0,20}", total: i64, placed in INSTANTS, lines: Vec<i64>) {
            let inner = order("part", 1, 0, &[], None);
            let decoded = decode(&schema(), &encode(order(&id, total, placed, &lines, Some(inner)))).expect("valid");
            prop_assert_eq!(&decoded["id"], &json!(id));
            prop_assert_eq!(&decoded["lines"], &json!(lines));
            let digits: String = decoded["total"].as_str().expect("text").chars().filter(|it| *it != '.').collect();
            prop_assert_eq!(digits.parse::<i64>().ok(), Some(total));
            let text = decoded["placed"].as_str().expect("text");
            let parsed = crate::wire::time::parse_timestamp(text).expect("RFC 3339");
            prop_assert_eq!(parsed.as_millis(), placed);
            prop_assert_eq!(&decoded["part"]["id"], &json!("part"));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            drop(decode(&schema(), &bytes));
        }

        #[test]
        fn a_changed_byte_does_not_panic(at: prop::sample::Index, byte: u8) {
            let mut bytes = encode(order("o-1", 1, 0, &[1, 2, 3], None));
            let at = at.index(bytes.len());
            bytes[at] = byte;
            drop(decode(&schema(), &bytes));
        }
    }
}
