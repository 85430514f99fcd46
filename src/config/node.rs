//! Parses a YAML document into a tree of text scalars with their positions.
//!
//! Scalars stay the text of the file, regardless of their YAML type: `007`, `1.0` and `no` are not converted. The
//! parser of each key interprets them, so that a value means the same in the file and in the environment.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Location, NonFiniteFloatPolicy, Spanned};

/// Maximum size of a configuration file, in bytes.
pub(super) const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Maximum nesting depth of mappings and lists.
const DEPTH_MAX: usize = 16;

/// A node with its position: line and column, starting at 1.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) column: u64,
    pub(super) content: Content,
}

/// The value of a node.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// Parses a document to values with the types of YAML, in which `1` is a number.
pub(super) fn typed(text: &str) -> Result<Value, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, options())
}

/// Numbers that no f64 can represent are read without an error: as nodes, they are their text.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! { non_finite_float_policy: NonFiniteFloatPolicy::PassThrough }
}

impl Node {
    /// Parses a document.
    pub(super) fn parse(text: &str) -> Result<Self, serde_saphyr::Error> {
        let root: Spanned<RawNode> = serde_saphyr::from_str_with_options(text, options())?;
        Ok(Self::from_raw(root, text, 0))
    }

    /// Returns the text of a scalar; `None` for other nodes.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the node as JSON, in which all scalars are text.
    pub(super) fn to_value(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Scalar(text) => Value::from(text.as_str()),
            Content::List(items) => items.iter().map(Self::to_value).collect(),
            Content::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.text().unwrap_or_default().to_owned(), value.to_value()))
                .collect(),
        }
    }

    fn from_raw(raw: Spanned<RawNode>, file: &str, depth: usize) -> Self {
        let (line, column) = (raw.referenced.line(), raw.referenced.column());
        let content = match raw.value {
            RawNode::Null => Content::Null,
            RawNode::Text(text) => Content::Scalar(text),
            // An alias refers to the text of its anchor, so the definition counts.
            RawNode::Typed(value) => Content::Scalar(source(file, raw.defined).map_or(value, str::to_owned)),
            // Deeper nodes become null. No key accepts values this deep, so the key above them is rejected anyway.
            RawNode::List(_) | RawNode::Map(_) if depth >= DEPTH_MAX => Content::Null,
            RawNode::List(items) => {
                Content::List(items.into_iter().map(|item| Self::from_raw(item, file, depth + 1)).collect())
            }
            RawNode::Map(entries) => Content::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| (Self::from_raw(key, file, depth + 1), Self::from_raw(value, file, depth + 1)))
                    .collect(),
            ),
        };
        Self { line, column, content }
    }
}

/// Returns the message of a syntax error: its location in `file`, and what is wrong.
pub(super) fn syntax_problem(error: &serde_saphyr::Error, file: &str) -> String {
    let location = error.location().map_or(String::new(), |at| format!(":{}:{}", at.line(), at.column()));
    let text = error.without_snippet().to_string();
    // Removes advice for users of the parser's API, and the location, which is already in our message.
    let what = ["; use from_str_multiple", ", set DuplicateKeyPolicy", " at line "]
        .iter()
        .fold(text.as_str(), |text, end| text.split(end).next().unwrap_or(text));
    format!("{file}{location}: {what}")
}

/// Returns the text of the file at `location`.
fn source(file: &str, location: Location) -> Option<&str> {
    let start = usize::try_from(location.span().byte_offset()?).ok()?;
    let length = usize::try_from(location.span().byte_len()?).ok()?;
    file.get(start..start + length).map(str::trim).filter(|text| !text.is_empty())
}

enum RawNode {
    Null,
    Text(String),
    /// A scalar that YAML reads as a number or a boolean, as the parser prints it.
    Typed(String),
    List(Vec<Spanned<RawNode>>),
    Map(Vec<(Spanned<RawNode>, Spanned<RawNode>)>),
}

impl<'de> Deserialize<'de> for RawNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawNodeVisitor)
    }
}

struct RawNodeVisitor;

impl<'de> Visitor<'de> for RawNodeVisitor {
    type Value = RawNode;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value, a list or a mapping")
    }

    fn visit_unit<E>(self) -> Result<RawNode, E> {
        Ok(RawNode::Null)
    }

    fn visit_none<E>(self) -> Result<RawNode, E> {
        Ok(RawNode::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawNode, D::Error> {
        deserializer.deserialize_any(Self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawNode, E> {
        Ok(RawNode::Typed(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<RawNode, E> {
        Ok(RawNode::Typed(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<RawNode, E> {
        Ok(RawNode::Typed(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<RawNode, E> {
        Ok(RawNode::Typed(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<RawNode, E> {
        Ok(RawNode::Typed(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<RawNode, E> {
        Ok(RawNode::Typed(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<RawNode, E> {
        Ok(RawNode::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<RawNode, E> {
        Ok(RawNode::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawNode, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(RawNode::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawNode, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(RawNode::Map(entries))
    }
}
