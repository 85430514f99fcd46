//! Decodes Protobuf messages into JSON, by a descriptor set, a `.proto` file or a schema of a registry.
//!
//! The JSON has the field names of the `.proto` file, whole numbers as numbers, enums by name, and the well-known types
//! in their JSON form: an instant is RFC 3339. A field without presence that is not set has its default value.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};
use serde_json::Value;

use super::DecodeError;
use super::message_reader::MessageReader;

/// The contract of touchpoints, which needs no file.
const TOUCHPOINT: (&str, &str) =
    ("lifecycle/v1/touchpoint.proto", include_str!("../../proto/lifecycle/v1/touchpoint.proto"));
/// The message of a touchpoint.
pub(super) const TOUCHPOINT_MESSAGE: &str = "lifecycle.v1.Touchpoint";

/// The messages of a compiled schema.
#[derive(Clone, Debug)]
pub(super) struct ProtobufSchema {
    pool: DescriptorPool,
    /// The file whose messages are found by index.
    file: String,
    reader: Arc<MessageReader>,
}

impl ProtobufSchema {
    /// Compiles a schema of a registry: the text of a `.proto` file, or its descriptor in base64, as Confluent's client
    /// for Python registers it and Apicurio returns it. `references` are the files that it imports, by name.
    ///
    /// # Errors
    /// What is wrong with the schema.
    pub(super) fn parse(text: &str, references: &[(String, String)]) -> Result<Self, String> {
        let name = descriptor(text).map_or_else(|| "schema.proto".to_owned(), |file| file.name().to_owned());
        let mut files: HashMap<_, _> = references.iter().cloned().collect();
        files.insert(name.clone(), text.to_owned());
        Self::compile(Texts(files), &name)
    }

    /// Returns the contract of touchpoints.
    pub(super) fn touchpoint() -> Result<Self, String> {
        let (name, text) = TOUCHPOINT;
        Self::compile(Texts([(name.to_owned(), text.to_owned())].into()), name)
    }

    /// Reads a descriptor set, or compiles a `.proto` file with the folder of the file for its imports.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Self, String> {
        if path.extension().is_some_and(|extension| extension == "proto") {
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            let name = path.file_name().and_then(|name| name.to_str()).ok_or("its name is not valid UTF-8")?;
            return Self::compile(IncludeFileResolver::new(folder), name);
        }
        let pool = DescriptorPool::decode(bytes).map_err(|error| format!("not a descriptor set: {error}"))?;
        let file = pool.files().last().map(|file| file.name().to_owned()).ok_or("the descriptor set is empty")?;
        Ok(Self::new(pool, file))
    }

    fn compile(files: impl FileResolver + 'static, name: &str) -> Result<Self, String> {
        let mut chain = ChainFileResolver::new();
        chain.add(files);
        chain.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(chain);
        compiler.include_imports(true);
        compiler.open_file(name).map_err(|error| format!("not a valid .proto file: {error}"))?;
        Ok(Self::new(compiler.descriptor_pool(), name.to_owned()))
    }

    fn new(pool: DescriptorPool, file: String) -> Self {
        let reader = MessageReader::new(&pool, |message| to_json(message).ok());
        Self { pool, file, reader: Arc::new(reader) }
    }

    /// Returns the message with a full name.
    pub(super) fn message(&self, name: &str) -> Option<MessageDescriptor> {
        self.pool.get_message_by_name(name)
    }

    /// Returns the message at a path of indexes, the first of which counts the messages of the file.
    pub(super) fn message_at(&self, path: &[usize]) -> Option<MessageDescriptor> {
        let (first, rest) = path.split_first()?;
        let top_level = self.pool.get_file_by_name(&self.file)?.messages().nth(*first);
        rest.iter().try_fold(top_level?, |message, index| message.child_messages().nth(*index))
    }
}

/// The texts of `.proto` files by name.
struct Texts(HashMap<String, String>);

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.get(name) {
            Some(text) => descriptor(text).map_or_else(|| File::from_source(name, text), Ok),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// Returns the file of a descriptor in base64; `None` for the text of a `.proto` file, which is never valid base64.
fn descriptor(text: &str) -> Option<File> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    File::decode_file_descriptor_proto(&*bytes).ok()
}

/// Converts a message to JSON.
fn to_json(message: &DynamicMessage) -> Result<Value, serde_json::Error> {
    const OPTIONS: SerializeOptions =
        SerializeOptions::new().stringify_64_bit_integers(false).use_proto_field_name(true).skip_default_fields(false);
    message.serialize_with_options(serde_json::value::Serializer, &OPTIONS)
}

/// Decodes a message of `schema`.
///
/// # Errors
/// A dead letter.
pub(super) fn decode(schema: &ProtobufSchema, message: &MessageDescriptor, bytes: &[u8]) -> Result<Value, DecodeError> {
    match schema.reader.read(message.full_name(), bytes) {
        Some(value) => Ok(value),
        None => decode_dynamic(message, bytes),
    }
}

/// Decodes a message by way of a dynamic message.
fn decode_dynamic(message: &MessageDescriptor, bytes: &[u8]) -> Result<Value, DecodeError> {
    let invalid = |what: &str| {
        DecodeError::bad_encoding(format!(
            "the record does not match the Protobuf message {}: {what}",
            message.full_name()
        ))
    };
    let decoded = DynamicMessage::decode(message.clone(), bytes).map_err(|error| invalid(&error.to_string()))?;
    to_json(&decoded).map_err(|_| invalid("a well-known type has no valid value"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;
    use serde_json::json;

    use super::*;
    use crate::wire::proto::{google::protobuf::Timestamp, lifecycle::v1::Touchpoint};

    const ORDER: &str = r#"syntax = "proto3";
        package shop;
        import "money.proto";
        import "google/protobuf/timestamp.proto";
        message Other {}
        message Order {
            enum State { NEW = 0; PAID = 1; }
            message Line { string sku = 1; }
            int64 order_id = 1; Money total = 2; google.protobuf.Timestamp placed_at = 3; State state = 4;
            repeated Line lines = 5; bytes raw = 6; optional string note = 7; map<string, int32> counts = 8;
            Order part_of = 9;
        }"#;
    const MONEY: &str = r#"syntax = "proto3"; package shop; message Money { string units = 1; }"#;

    fn schema() -> ProtobufSchema {
        ProtobufSchema::parse(ORDER, &[("money.proto".to_owned(), MONEY.to_owned())]).expect("a valid schema")
    }

    #[test]
    fn a_message_is_found_by_name_and_by_path() {
        let schema = schema();
        assert_eq!(schema.message_at(&[1]).expect("the second message").full_name(), "shop.Order");
        assert_eq!(schema.message_at(&[1, 0]).expect("a nested message").full_name(), "shop.Order.Line");
        assert!(schema.message_at(&[7]).is_none() && schema.message_at(&[]).is_none());
        assert!(schema.message("shop.Order").is_some() && schema.message("shop.None").is_none());
    }

    #[test]
    fn a_schema_may_be_a_descriptor_in_base64() {
        // The messages Return { id } and Order { id, buyer, total, placed_at }, as a registry returns them.
        let text = "CgxvcmRlcnMucHJvdG8SBHNob3AaH2dvb2dsZS9wcm90b2J1Zi90aW1lc3RhbXAucHJvdG8iFAoGUmV0dXJuEgoKAmlkGAEgASgJ\
                    ImAKBU9yZGVyEgoKAmlkGAEgASgJEg0KBWJ1eWVyGAIgASgJEg0KBXRvdGFsGAMgASgJEi0KCXBsYWNlZF9hdBgEIAEoCzIaLmdv\
                    b2dsZS5wcm90b2J1Zi5UaW1lc3RhbXBiBnByb3RvMw==";
        let schema = ProtobufSchema::parse(text, &[]).expect("a valid schema");
        let message = schema.message_at(&[1]).expect("the second message");
        let bytes = [0x0a, 1, b'a', 0x22, 6, 8, 0x80, 0xf2, 0xd6, 0xca, 6];
        let decoded = decode(&schema, &message, &bytes).expect("a valid message");
        assert_eq!((&decoded["id"], &decoded["placed_at"]), (&json!("a"), &json!("2026-01-01T00:00:00Z")));
    }

    #[test]
    fn a_schema_that_is_not_valid_is_explained() {
        assert!(ProtobufSchema::parse("syntax = 1", &[]).is_err());
        assert!(ProtobufSchema::parse(ORDER, &[]).is_err(), "an import is missing");
        assert!(ProtobufSchema::read(Path::new("a.desc"), b"\xff").is_err());
    }

    #[test]
    fn a_message_has_the_names_of_its_schema_and_plain_values() {
        let schema = schema();
        let message = schema.message("shop.Order").expect("a message");
        // order_id = 2^53 + 1, total.units = "4.50", placed_at = {}, state = PAID, lines = [{sku: "a"}], raw = ff
        let bytes = [
            &[0x08, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10][..],
            &[0x12, 6, 0x0a, 4, b'4', b'.', b'5', b'0'],
            &[0x1a, 0],
            &[0x20, 1],
            &[0x2a, 3, 0x0a, 1, b'a'],
            &[0x32, 1, 0xff],
        ]
        .concat();
        let decoded = decode(&schema, &message, &bytes).expect("a valid message");
        assert_eq!(decoded["order_id"], json!(9_007_199_254_740_993_i64));
        assert_eq!(decoded["total"], json!({"units": "4.50"}));
        assert_eq!(decoded["placed_at"], json!("1970-01-01T00:00:00Z"));
        assert_eq!(
            (&decoded["state"], &decoded["lines"], &decoded["raw"]),
            (&json!("PAID"), &json!([{"sku": "a"}]), &json!("/w=="))
        );
        assert_eq!((&decoded["note"], &decoded["counts"]), (&Value::Null, &json!({})));
        assert!(decode(&schema, &message, &[0x08]).is_err());
    }

    #[test]
    fn a_touchpoint_becomes_the_json_of_the_contract() {
        let touchpoint = Touchpoint {
            event_id: "e".to_owned(),
            customer_id: "c".to_owned(),
            r#type: "order_completed".to_owned(),
            occurred_at: Some(Timestamp { seconds: 1_769_850_000, nanos: 0 }),
            amount: Some("4.50".to_owned()),
            ..Touchpoint::default()
        };
        let schema = ProtobufSchema::touchpoint().expect("the contract");
        let message = schema.message(TOUCHPOINT_MESSAGE).expect("a message");
        let decoded = decode(&schema, &message, &touchpoint.encode_to_vec()).expect("a valid message");
        assert_eq!(decoded["occurred_at"], json!("2026-01-31T09:00:00Z"));
        assert_eq!((&decoded["type"], &decoded["amount"]), (&json!("order_completed"), &json!("4.50")));
    }

    #[test]
    fn a_deeply_nested_message_is_rejected() {
        let schema = schema();
        let message = schema.message("shop.Order").expect("a message");
        let mut bytes = Vec::new();
        for _ in 0..200 {
            let mut outer = vec![0x4a];
            prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
            outer.append(&mut bytes);
            bytes = outer;
        }
        assert!(decode(&schema, &message, &bytes).is_err());
    }

    const KINDS: &str = r#"syntax = "proto3";
        package kinds;
        import "google/protobuf/timestamp.proto";
        import "google/protobuf/wrappers.proto";
        enum Color { RED = 0; BLUE = 3; }
        message Kinds {
            double a = 1; float b = 2; int32 c = 3; int64 d = 4; uint32 e = 5; uint64 f = 6; sint32 g = 7; sint64 h = 8;
            fixed32 i = 9; fixed64 j = 10; sfixed32 k = 11; sfixed64 l = 12; bool m = 13; string n = 14; bytes o = 15;
            repeated int32 p = 16; repeated string q = 17; repeated Color r = 18; Color s = 19; optional int32 t = 20;
            oneof choice { string u = 21; Kinds v = 22; } repeated Kinds w = 23; google.protobuf.Timestamp x = 24;
            google.protobuf.StringValue y = 25; map<string, int32> z = 26;
        }"#;

    fn kinds() -> (ProtobufSchema, MessageDescriptor) {
        let schema = ProtobufSchema::parse(KINDS, &[]).expect("a valid schema");
        let message = schema.message("kinds.Kinds").expect("a message");
        (schema, message)
    }

    /// A field of any kind: number, wire type and content.
    fn field() -> impl Strategy<Value = Vec<u8>> {
        let payload = prop_oneof![
            any::<u64>().prop_map(|number| (0, varint(number))),
            (0..40_u64).prop_map(|number| (0, varint(number))),
            any::<[u8; 8]>().prop_map(|bytes| (1, bytes.to_vec())),
            any::<[u8; 4]>().prop_map(|bytes| (5, bytes.to_vec())),
            prop::collection::vec(0..40_u8, 0..6).prop_map(|bytes| (2, [varint(bytes.len() as u64), bytes].concat())),
        ];
        (1..28_u64, payload).prop_map(|(number, (wire, bytes))| [varint(number << 3 | wire), bytes].concat())
    }

    fn varint(number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(number, &mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let schema = schema();
            let message = schema.message("shop.Order").expect("a message");
            drop(decode(&schema, &message, &bytes));
        }

        #[test]
        fn a_message_that_is_read_in_one_step_is_the_dynamic_message(
            fields in prop::collection::vec(field(), 0..6), inner in prop::collection::vec(field(), 0..3),
        ) {
            let (schema, message) = kinds();
            let inner = inner.concat();
            let nested = |number: u64| [varint(number << 3 | 2), varint(inner.len() as u64), inner.clone()].concat();
            for bytes in [fields.concat(), [fields.concat(), nested(22), nested(23)].concat()] {
                if let Some(read) = schema.reader.read("kinds.Kinds", &bytes) {
                    prop_assert_eq!(Ok(read), decode_dynamic(&message, &bytes));
                }
            }
        }
    }

    #[test]
    fn what_events_consist_of_is_read_in_one_step() {
        let (schema, _) = kinds();
        let field =
            |number: u64, bytes: &[u8]| [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat();
        let instant = [8, 0x90, 0x89, 0xf7, 0xcb, 0x06];
        let bytes =
            [field(14, b"a"), field(16, &[1, 2]), field(21, b"b"), field(23, &field(14, b"c")), field(24, &instant)];
        let read = schema.reader.read("kinds.Kinds", &bytes.concat()).expect("one step");
        assert_eq!((&read["n"], &read["p"], &read["u"]), (&json!("a"), &json!([1, 2]), &json!("b")));
        assert_eq!((&read["w"][0]["n"], &read["x"]), (&json!("c"), &json!("2026-01-31T09:00:00Z")));
        assert_eq!(schema.reader.read("kinds.Kinds", &field(25, b"")), None);
    }
}
