//! Parses YAML into a tree in which every node has its byte range in the file.
//!
//! Built from parser events rather than with serde, which stops at the first error: the report shows all errors of a
//! file with their positions. Anchors, aliases and tags are rejected, so that the tree cannot be much larger than the
//! file.

use std::ops::Range;

use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle};

/// A YAML node and its byte range in the file.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The byte range in the file.
    pub(crate) span: Range<usize>,
    /// The value.
    pub(crate) content: Content,
}

/// The value of a node.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Text, a number, a boolean or null.
    Scalar {
        /// The text without quotes and with lines joined.
        text: String,
        /// How the scalar is written in the file.
        style: ScalarStyle,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in file order; keys may repeat.
    Mapping(Vec<(Node, Node)>),
}

/// The reason why a file cannot be parsed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct YamlError {
    /// The byte range in the file.
    pub(crate) span: Range<usize>,
    /// What is wrong.
    pub(crate) message: String,
    /// What to write instead.
    pub(crate) help: Option<&'static str>,
}

/// Maximum nesting depth of lists and mappings.
const DEPTH_MAX: usize = 16;

impl Node {
    /// Whether the value is missing or `null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, style: ScalarStyle::Plain } if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// Converts to JSON: plain scalars as the core schema of YAML 1.2 reads them, keys as texts.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;

        match &self.content {
            Content::Scalar { .. } if self.is_null() => Value::Null,
            Content::Scalar { text, style: ScalarStyle::Plain } => match text.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                other => match (other.parse::<i64>(), other.parse::<f64>()) {
                    (Ok(number), _) => Value::from(number),
                    (_, Ok(number)) if other.starts_with(|first: char| first.is_ascii_digit() || first == '-') => {
                        Value::from(number)
                    }
                    _ => Value::from(other),
                },
            },
            Content::Scalar { text, .. } => Value::from(text.as_str()),
            Content::Sequence(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Content::Mapping(entries) => {
                let members = entries.iter().filter_map(|(key, value)| match &key.content {
                    Content::Scalar { text, .. } => Some((text.clone(), value.to_json())),
                    _ => None,
                });
                Value::Object(members.collect())
            }
        }
    }

    /// Returns, for each byte of a scalar's text and for its end, the offset of that byte in the file.
    ///
    /// Exact for single-line scalars and literal blocks; exact for each word where lines were joined.
    pub(crate) fn source_offsets(&self, file: &str) -> Vec<usize> {
        let Content::Scalar { text, style } = &self.content else { return Vec::new() };
        source_offsets(text, *style, file.get(self.span.clone()).unwrap_or_default(), self.span.start)
    }
}

/// Parses the only document in `file`.
pub(crate) fn parse(file: &str) -> Result<Node, YamlError> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut open: Vec<OpenCollection> = Vec::new();
    let mut document = None;
    for event in Parser::new_from_str_with_options(file, options) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker().byte_offset().unwrap_or(0).min(file.len());
            YamlError {
                span: at..character_end(file, at),
                message: format!("not valid YAML: {}", error.info()),
                help: hint_at(file, at),
            }
        })?;
        let span = span.byte_range().unwrap_or_default();
        let reject =
            |message: &str, help| Err(YamlError { span: span.clone(), message: message.to_owned(), help: Some(help) });
        let finished = match event {
            Event::Scalar(_, _, anchor, ref tag)
            | Event::SequenceStart(_, anchor, ref tag)
            | Event::MappingStart(_, anchor, ref tag)
                if anchor != 0 || tag.is_some() =>
            {
                return reject(
                    "YAML anchors and tags are not supported here",
                    "give a value a name under `parameters` or `conditions` instead",
                );
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                return reject(
                    "YAML aliases are not supported here",
                    "give a value a name under `parameters` or `conditions` instead",
                );
            }
            Event::DocumentStart(..) if document.is_some() => {
                return reject("more than one YAML document in the file", "write one model per file");
            }
            Event::Scalar(text, style, ..) => {
                Some(Node { span, content: Content::Scalar { text: text.into_owned(), style } })
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEPTH_MAX => {
                return reject(
                    "lists and mappings are nested too deeply",
                    "no part of a model file is nested this deeply",
                );
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                let is_mapping = matches!(event, Event::MappingStart(..));
                open.push(OpenCollection { start: span.start, is_mapping, nodes: Vec::new() });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(|collection| collection.close(span.end, file)),
            _ => None,
        };
        if let Some(node) = finished {
            match open.last_mut() {
                Some(parent) => parent.nodes.push(node),
                None => document = Some(node),
            }
        }
    }
    document.ok_or_else(|| YamlError { span: 0..0, message: "the file is empty".to_owned(), help: None })
}

/// A list or mapping that has not ended yet; the nodes of a mapping alternate between keys and values.
struct OpenCollection {
    start: usize,
    is_mapping: bool,
    nodes: Vec<Node>,
}

impl OpenCollection {
    fn close(self, end: usize, file: &str) -> Node {
        // The parser ends a block where the next one starts; the white space in between is not part of it.
        let text = file.get(self.start..end.max(self.start)).unwrap_or_default();
        let span = self.start..self.start + text.trim_end().len();
        if !self.is_mapping {
            return Node { span, content: Content::Sequence(self.nodes) };
        }
        let mut nodes = self.nodes.into_iter();
        let mut entries = Vec::with_capacity(nodes.len() / 2);
        while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
            entries.push((key, value));
        }
        Node { span, content: Content::Mapping(entries) }
    }
}

/// Suggests a fix for the two most common YAML errors, based on the text of the line before byte `at`.
fn hint_at(file: &str, at: usize) -> Option<&'static str> {
    let line = file.get(..at).unwrap_or_default().rsplit('\n').next().unwrap_or_default();
    if line.contains('\t') && line.trim().is_empty() {
        return Some("indent with spaces");
    }
    // In `{when: sum(a, "b") > 1}` the value ends at the comma.
    let is_inside_call = line.contains('{') && line.matches('(').count() > line.matches(')').count();
    is_inside_call.then_some("inside { }, an expression that contains a comma must be in quotes: \"...\" or '...'")
}

fn character_end(file: &str, at: usize) -> usize {
    file.get(at..).and_then(|rest| rest.chars().next()).map_or(at, |character| at + character.len_utf8())
}

fn source_offsets(text: &str, style: ScalarStyle, raw: &str, start: usize) -> Vec<usize> {
    let mut at = match style {
        ScalarStyle::Plain => 0,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => usize::from(raw.starts_with(['"', '\''])),
        // The header line, such as `>-`, is not part of the text.
        ScalarStyle::Literal | ScalarStyle::Folded => match raw.strip_prefix(['>', '|']) {
            Some(_) => raw.find('\n').map_or(raw.len(), |line_end| line_end + 1),
            None => 0,
        },
    };
    let mut source_offsets = Vec::with_capacity(text.len() + 1);
    for character in text.chars() {
        if character.is_whitespace() {
            // A space that joins two lines maps to the end of the first line; the next word is located again.
            source_offsets.extend(std::iter::repeat_n(start + at, character.len_utf8()));
            continue;
        }
        at = skip_space(raw, at, style);
        let is_verbatim = raw[at..].starts_with(character);
        source_offsets.extend((0..character.len_utf8()).map(|byte| start + at + if is_verbatim { byte } else { 0 }));
        at = (at + encoded_length(&raw[at..], style)).min(raw.len());
    }
    source_offsets.push(start + at);
    source_offsets
}

/// Returns the first byte at or after `at` that is not white space.
fn skip_space(raw: &str, mut at: usize, style: ScalarStyle) -> usize {
    while let Some(character) = raw[at..].chars().next() {
        let is_escaped_space = style == ScalarStyle::DoubleQuoted
            && character == '\\'
            && raw[at + 1..].starts_with([' ', '\n', 't', 'n', 'r']);
        if is_escaped_space {
            at += 2;
        } else if character.is_whitespace() {
            at += character.len_utf8();
        } else {
            break;
        }
    }
    at
}

/// Returns the number of bytes in the file that encode the first character of `raw`, escape sequences included.
fn encoded_length(raw: &str, style: ScalarStyle) -> usize {
    let Some(first) = raw.chars().next() else { return 0 };
    match (style, first) {
        (ScalarStyle::SingleQuoted, '\'') => 2,
        (ScalarStyle::DoubleQuoted, '\\') => match raw[1..].chars().next() {
            Some('x') => 4,
            Some('u') => 6,
            Some('U') => 10,
            Some(other) => 1 + other.len_utf8(),
            None => 1,
        },
        _ => first.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the value of the only key of `file`, and its source offsets.
    fn scalar(file: &str) -> (String, Vec<usize>) {
        let Content::Mapping(entries) = parse(file).expect("valid YAML").content else { panic!("not a mapping") };
        let Content::Scalar { text, .. } = &entries[0].1.content else { panic!("not a scalar") };
        (text.clone(), entries[0].1.source_offsets(file))
    }

    /// Asserts that each word of the value maps to the same word of the file.
    fn assert_words_map_to_the_file(file: &str, words: &[&str]) {
        let (text, source_offsets) = scalar(file);
        assert_eq!(source_offsets.len(), text.len() + 1, "{file}");
        for word in words {
            let at = text.find(word).unwrap_or_else(|| panic!("`{word}` is not in `{text}`"));
            assert_eq!(
                file.get(source_offsets[at]..source_offsets[at + word.len()]),
                Some(*word),
                "{file}: {source_offsets:?}"
            );
        }
    }

    #[test]
    fn words_of_every_scalar_style_map_to_the_file() {
        assert_words_map_to_the_file("when: a >= b + days(3)  # why\n", &["a", ">=", "b", "days(3)"]);
        assert_words_map_to_the_file("when: \"name == 'é' && b\"\n", &["name", "== 'é'", "b"]);
        assert_words_map_to_the_file("when: 'it''s == b'\n", &["== b"]);
        assert_words_map_to_the_file("when: \"a == \\\"x\\\" && b\"\n", &["a ==", "&& b"]);
        assert_words_map_to_the_file(
            "# é\nwhen: >-\n  first >= b\n  && second\n\n  && third\nnext: 1\n",
            &["first >= b", "&& second", "&& third"],
        );
        assert_words_map_to_the_file("when: |\n  first\n    && second\n", &["first", "&& second"]);
        assert_words_map_to_the_file("when: first\n  && second\n", &["first", "&& second"]);
        assert_words_map_to_the_file("{when: \"first\n   && second\"}\n", &["first", "&& second"]);
    }

    #[test]
    fn unsupported_yaml_is_rejected() {
        for file in ["a: &x 1\nb: *x\n", "a: !!str 1\n", "a: 1\n---\nb: 2\n", "", "a: [1, 2\n", "a: *nowhere\n"] {
            assert!(parse(file).is_err(), "{file}");
        }
        assert!(parse(&"[".repeat(DEPTH_MAX + 1)).is_err());
        assert!(parse(&format!("{}1{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX))).is_ok());
    }

    #[test]
    fn a_mapping_ends_where_its_last_value_ends() {
        let file = "list:\n  - a: 1\n    b: 2\n\n  - c: 3\n";
        let Content::Mapping(entries) = parse(file).expect("valid YAML").content else { panic!("not a mapping") };
        let Content::Sequence(items) = &entries[0].1.content else { panic!("not a list") };
        assert_eq!(&file[items[0].span.clone()], "a: 1\n    b: 2");
        assert_eq!(&file[items[1].span.clone()], "c: 3");
    }
}
