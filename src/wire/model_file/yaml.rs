//! YAML as a tree in which every node knows its bytes.
//!
//! Built from parser events rather than through serde, since a reader wants all mistakes of a file at once, each with its
//! place, and serde stops at the first. Anchors, aliases and tags are refused, so a small file stays a small tree.

use std::ops::Range;

use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle};

/// A YAML node and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Bytes of the file.
    pub(super) span: Range<usize>,
    /// What it is.
    pub(super) content: Content,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Text, a number, `true`, or nothing.
    Scalar {
        /// With quotes taken off and lines joined.
        text: String,
        /// How it was written.
        style: ScalarStyle,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in order; keys may repeat.
    Mapping(Vec<(Node, Node)>),
}

/// Why a file is not a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct YamlError {
    /// Bytes of the file.
    pub(super) span: Range<usize>,
    /// What is wrong.
    pub(super) message: String,
    /// What to write instead.
    pub(super) help: Option<&'static str>,
}

/// How deep lists and mappings may stand in one another.
const DEPTH_MAX: usize = 16;

impl Node {
    /// Whether nothing was written, or `null`.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, style: ScalarStyle::Plain } if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// For each byte of a scalar's text, and for its end, the byte of the file that it came from.
    ///
    /// Exact for what stands on one line and for literal blocks; where lines were joined, by the words.
    pub(super) fn places(&self, file: &str) -> Vec<usize> {
        let Content::Scalar { text, style } = &self.content else { return Vec::new() };
        places(text, *style, file.get(self.span.clone()).unwrap_or_default(), self.span.start)
    }
}

/// The tree of the only document in `file`.
pub(super) fn parse(file: &str) -> Result<Node, YamlError> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut open: Vec<Open> = Vec::new();
    let mut document = None;
    for event in Parser::new_from_str_with_options(file, options) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker().byte_offset().unwrap_or(0).min(file.len());
            YamlError {
                span: at..end_of_character(file, at),
                message: format!("not valid YAML: {}", error.info()),
                help: help_at(file, at),
            }
        })?;
        let span = span.byte_range().unwrap_or_default();
        let refuse =
            |message: &str, help| Err(YamlError { span: span.clone(), message: message.to_owned(), help: Some(help) });
        let finished = match event {
            Event::Scalar(_, _, anchor, ref tag)
            | Event::SequenceStart(_, anchor, ref tag)
            | Event::MappingStart(_, anchor, ref tag)
                if anchor != 0 || tag.is_some() =>
            {
                return refuse(
                    "YAML anchors and tags are not supported here",
                    "give a value a name under `parameters` or `conditions` instead",
                );
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                return refuse(
                    "YAML aliases are not supported here",
                    "give a value a name under `parameters` or `conditions` instead",
                );
            }
            Event::DocumentStart(..) if document.is_some() => {
                return refuse("a second YAML document in one file", "write one model in one file");
            }
            Event::Scalar(text, style, ..) => {
                Some(Node { span, content: Content::Scalar { text: text.into_owned(), style } })
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEPTH_MAX => {
                return refuse(
                    "lists and mappings stand too deep in one another",
                    "no part of a model file is as deep as this",
                );
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                let is_mapping = matches!(event, Event::MappingStart(..));
                open.push(Open { start: span.start, is_mapping, nodes: Vec::new() });
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

/// A list or mapping that has not ended; the nodes of a mapping are keys and values by turns.
struct Open {
    start: usize,
    is_mapping: bool,
    nodes: Vec<Node>,
}

impl Open {
    fn close(self, end: usize, file: &str) -> Node {
        // A block ends where the next one starts; the space between belongs to neither.
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

/// What to write instead of the two most common ways to break YAML, judged by the line before byte `at`.
fn help_at(file: &str, at: usize) -> Option<&'static str> {
    let line = file.get(..at).unwrap_or_default().rsplit('\n').next().unwrap_or_default();
    if line.contains('\t') && line.trim().is_empty() {
        return Some("indent with spaces");
    }
    // `{when: sum(a, "b") > 1}` ends at the comma.
    let is_inside_call = line.contains('{') && line.matches('(').count() > line.matches(')').count();
    is_inside_call.then_some("inside of { } an expression with a comma must stand in quotes: \"...\" or '...'")
}

fn end_of_character(file: &str, at: usize) -> usize {
    file.get(at..).and_then(|rest| rest.chars().next()).map_or(at, |character| at + character.len_utf8())
}

fn places(text: &str, style: ScalarStyle, raw: &str, start: usize) -> Vec<usize> {
    let mut at = match style {
        ScalarStyle::Plain => 0,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => usize::from(raw.starts_with(['"', '\''])),
        // The header `>-` is no part of the text.
        ScalarStyle::Literal | ScalarStyle::Folded => match raw.strip_prefix(['>', '|']) {
            Some(_) => raw.find('\n').map_or(raw.len(), |line_end| line_end + 1),
            None => 0,
        },
    };
    let mut places = Vec::with_capacity(text.len() + 1);
    for character in text.chars() {
        if character.is_whitespace() {
            // Where lines are joined, the space stands at the end of the first; words are matched with words.
            places.extend(std::iter::repeat_n(start + at, character.len_utf8()));
            continue;
        }
        at = skip_space(raw, at, style);
        let is_verbatim = raw[at..].starts_with(character);
        places.extend((0..character.len_utf8()).map(|byte| start + at + if is_verbatim { byte } else { 0 }));
        at = (at + unit_length(&raw[at..], style)).min(raw.len());
    }
    places.push(start + at);
    places
}

/// The first byte at or after `at` where something other than space stands.
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

/// How many bytes of the file stand for the one character that `raw` begins with.
fn unit_length(raw: &str, style: ScalarStyle) -> usize {
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

    /// The value of the only key of `file`, and its places.
    fn scalar(file: &str) -> (String, Vec<usize>) {
        let Content::Mapping(entries) = parse(file).expect("valid YAML").content else { panic!("not a mapping") };
        let Content::Scalar { text, .. } = &entries[0].1.content else { panic!("not a scalar") };
        (text.clone(), entries[0].1.places(file))
    }

    /// Every word of the value is traced back to the same word of the file.
    fn assert_words_are_traced(file: &str, words: &[&str]) {
        let (text, places) = scalar(file);
        assert_eq!(places.len(), text.len() + 1, "{file}");
        for word in words {
            let at = text.find(word).unwrap_or_else(|| panic!("`{word}` is not in `{text}`"));
            assert_eq!(file.get(places[at]..places[at + word.len()]), Some(*word), "{file}: {places:?}");
        }
    }

    #[test]
    fn words_of_every_kind_of_scalar_are_traced_into_the_file() {
        assert_words_are_traced("when: a >= b + days(3)  # why\n", &["a", ">=", "b", "days(3)"]);
        assert_words_are_traced("when: \"name == 'é' && b\"\n", &["name", "== 'é'", "b"]);
        assert_words_are_traced("when: 'it''s == b'\n", &["== b"]);
        assert_words_are_traced("when: \"a == \\\"x\\\" && b\"\n", &["a ==", "&& b"]);
        assert_words_are_traced(
            "# é\nwhen: >-\n  first >= b\n  && second\n\n  && third\nnext: 1\n",
            &["first >= b", "&& second", "&& third"],
        );
        assert_words_are_traced("when: |\n  first\n    && second\n", &["first", "&& second"]);
        assert_words_are_traced("when: first\n  && second\n", &["first", "&& second"]);
        assert_words_are_traced("{when: \"first\n   && second\"}\n", &["first", "&& second"]);
    }

    #[test]
    fn what_no_model_needs_is_refused() {
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
