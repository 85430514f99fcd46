//! Compiles an Avro schema to nodes that the decoder walks by index.
//!
//! The library parses the schema and resolves names; a compiled schema keeps only what decoding needs.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, UuidSchema};

/// Maximum number of nodes of a schema.
const NODES_MAX: usize = 10_000;

/// A type of a schema. Other nodes are referred to by index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Record(Vec<(String, usize)>),
    Enum(Vec<String>),
    /// A decimal with this scale, in bytes or in a fixed number of them.
    Decimal {
        scale: u32,
        size: Option<usize>,
    },
    /// A UUID in 16 bytes.
    Uuid,
    /// Days since the Unix epoch.
    Date,
    /// An instant since the Unix epoch, in units of which a second has this many.
    Timestamp {
        per_second: i64,
        is_local: bool,
    },
}

/// A compiled schema. The first node is the root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct AvroSchema {
    pub(super) nodes: Vec<Node>,
}

impl AvroSchema {
    /// Compiles a schema in JSON. `references` are the schemas of types that it names.
    ///
    /// # Errors
    /// What is wrong with the schema.
    pub(super) fn parse(text: &str, references: &[String]) -> Result<Self, String> {
        let (schema, others) = Schema::parse_str_with_list(text, references)
            .map_err(|error| format!("not a valid Avro schema: {error}"))?;
        let mut compiler = Compiler { nodes: Vec::new(), names: HashMap::new(), others: &others };
        compiler.add(&schema)?;
        Ok(Self { nodes: compiler.nodes })
    }
}

struct Compiler<'a> {
    nodes: Vec<Node>,
    names: HashMap<Name, usize>,
    others: &'a [Schema],
}

impl Compiler<'_> {
    fn add(&mut self, schema: &Schema) -> Result<usize, String> {
        if self.nodes.len() >= NODES_MAX {
            return Err(format!("the schema has more than {NODES_MAX} types"));
        }
        if let Schema::Ref { name } = schema {
            if let Some(&index) = self.names.get(name) {
                return Ok(index);
            }
            let others = self.others;
            let named = others.iter().find(|other| other.name() == Some(name));
            return named.map_or_else(|| Err(format!("the type {name} is not defined")), |named| self.add(named));
        }
        let index = self.nodes.len();
        // A type may refer to itself, so its place is taken before its parts are added.
        self.nodes.push(Node::Null);
        if let Some(name) = schema.name() {
            self.names.insert(name.clone(), index);
        }
        let node = match schema {
            Schema::Null => Node::Null,
            Schema::Boolean => Node::Boolean,
            Schema::Int | Schema::TimeMillis => Node::Int,
            Schema::Long | Schema::TimeMicros => Node::Long,
            Schema::Float => Node::Float,
            Schema::Double => Node::Double,
            Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => Node::Bytes,
            Schema::String | Schema::Uuid(UuidSchema::String) => Node::Text,
            Schema::Uuid(UuidSchema::Fixed(_)) => Node::Uuid,
            Schema::Fixed(fixed) | Schema::Duration(fixed) => Node::Fixed(fixed.size),
            Schema::Decimal(decimal) => Node::Decimal {
                scale: u32::try_from(decimal.scale).map_err(|_| "a decimal has a scale that is too large")?,
                size: match &decimal.inner {
                    InnerDecimalSchema::Bytes => None,
                    InnerDecimalSchema::Fixed(fixed) => Some(fixed.size),
                },
            },
            Schema::Date => Node::Date,
            Schema::TimestampMillis => Node::Timestamp { per_second: 1_000, is_local: false },
            Schema::TimestampMicros => Node::Timestamp { per_second: 1_000_000, is_local: false },
            Schema::TimestampNanos => Node::Timestamp { per_second: 1_000_000_000, is_local: false },
            Schema::LocalTimestampMillis => Node::Timestamp { per_second: 1_000, is_local: true },
            Schema::LocalTimestampMicros => Node::Timestamp { per_second: 1_000_000, is_local: true },
            Schema::LocalTimestampNanos => Node::Timestamp { per_second: 1_000_000_000, is_local: true },
            Schema::Array(array) => Node::Array(self.add(&array.items)?),
            Schema::Map(map) => Node::Map(self.add(&map.types)?),
            Schema::Union(union) => {
                Node::Union(union.variants().iter().map(|it| self.add(it)).collect::<Result<_, _>>()?)
            }
            Schema::Record(record) => Node::Record(
                record.fields.iter().map(|field| Ok((field.name.clone(), self.add(&field.schema)?))).collect::<Result<
                    _,
                    String,
                >>(
                )?,
            ),
            Schema::Enum(symbols) => Node::Enum(symbols.symbols.clone()),
            Schema::Ref { name } => return Err(format!("the type {name} is not defined")),
        };
        self.nodes[index] = node;
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_may_refer_to_itself_and_to_types_of_other_schemas() {
        let text = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
            {"name":"part_of","type":["null","Order"]},{"name":"money","type":"shop.Money"}]}"#;
        let money = r#"{"type":"record","name":"Money","namespace":"shop","fields":[{"name":"units","type":"long"}]}"#;
        let schema = AvroSchema::parse(text, &[money.to_owned()]).expect("a valid schema");
        let Node::Record(fields) = &schema.nodes[0] else { panic!("not a record: {:?}", schema.nodes) };
        let Node::Union(variants) = &schema.nodes[fields[0].1] else { panic!("not a union") };
        assert_eq!(variants[1], 0);
        assert!(matches!(schema.nodes[fields[1].1], Node::Record(_)));
        assert!(AvroSchema::parse(text, &[]).is_err());
        assert!(AvroSchema::parse("{", &[]).is_err());
    }
}
