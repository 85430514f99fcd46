//! Reads the parts of a YAML tree, and notes everything that is not as it should be.

use std::ops::Range;

use super::keys::Keys;
use super::yaml::{Content, Node};
use crate::lifecycle::model_draft::{About, ExpressionDraft, NamedExpression, Placed, Word};
use crate::lifecycle::problem::{Problem, closest};

/// Reads one file; the problems add up while the reading goes on.
pub(super) struct Reader<'a> {
    /// Which of the files that are checked together.
    pub(super) file: usize,
    /// All of it.
    pub(super) text: &'a str,
    /// What was found so far.
    pub(super) problems: Vec<Problem>,
}

/// The entries of a mapping whose keys are known.
pub(super) struct Fields<'a> {
    /// The mapping in the file.
    pub(super) span: Range<usize>,
    entries: Vec<(String, &'a Node)>,
}

impl<'a> Fields<'a> {
    /// The value of `key`, unless it is missing or nothing is written there.
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(name, node)| name == key && !node.is_nothing()).map(|&(_, node)| node)
    }
}

impl Reader<'_> {
    /// Notes an error.
    pub(super) fn error(&mut self, code: &'static str, span: &Range<usize>, message: impl Into<String>, help: &str) {
        let problem = Problem::error(code, self.file, span.clone(), message);
        self.problems.push(if help.is_empty() { problem } else { problem.help(help) });
    }

    /// The entries of the mapping `node`, which may bear these keys.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, keys: &Keys) -> Option<Fields<'n>> {
        let Keys { what, known, .. } = *keys;
        let entries = self.entries(node, what)?;
        let mut fields = Fields { span: node.span.clone(), entries: Vec::with_capacity(entries.len()) };
        let mut misspelled = Vec::new();
        for (key, value) in entries {
            if known.contains(&key.value.as_str()) {
                fields.entries.push((key.value, value));
                continue;
            }
            let message = format!("unknown key `{}` in {what}", key.value);
            let otherwise = if value.is_nothing() {
                // What `{a: one, two}` makes of the second word.
                "put a text that has a comma in it in quotes".to_owned()
            } else {
                format!("the keys of {what} are {}", list(known))
            };
            let problem = Problem::error("unknown-key", self.file, key.span, message);
            self.problems.push(problem.did_you_mean(&key.value, known.iter().copied(), &otherwise));
            misspelled.extend(closest(&key.value, known.iter().copied()).map(|meant| (meant.to_owned(), value)));
        }
        // What was meant is read all the same, so that one slip is not told as two mistakes.
        for (meant, value) in misspelled {
            if fields.get(&meant).is_none() {
                fields.entries.push((meant, value));
            }
        }
        Some(fields)
    }

    /// The entries of the mapping `node`, each key once.
    pub(super) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> Option<Vec<(Word, &'n Node)>> {
        let Content::Mapping(pairs) = &node.content else {
            self.error(
                "wrong-shape",
                &node.span,
                format!("{what} must be a mapping"),
                "write `key: value`, one on each line, or {key: value}",
            );
            return None;
        };
        let mut entries: Vec<(Word, &Node)> = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let Some(name) = self.word(key, "a key") else { continue };
            if entries.iter().any(|(earlier, _)| earlier.value == name.value) {
                self.error(
                    "duplicate-key",
                    &name.span,
                    format!("`{}` stands twice in {what}", name.value),
                    "leave one of them out",
                );
            } else {
                entries.push((name, value));
            }
        }
        Some(entries)
    }

    /// The items of the list `node`; nothing at all is an empty list.
    pub(super) fn items<'n>(&mut self, node: Option<&'n Node>, what: &str) -> &'n [Node] {
        match node {
            None => &[],
            Some(Node { content: Content::Sequence(items), .. }) => items,
            Some(node) => {
                self.error(
                    "wrong-shape",
                    &node.span,
                    format!("{what} must be a list"),
                    "write `- item`, one on each line, or [item, item]",
                );
                &[]
            }
        }
    }

    /// A list of words, or one word alone.
    pub(super) fn words(&mut self, node: &Node, what: &str) -> Vec<Word> {
        match &node.content {
            Content::Sequence(items) => items.iter().filter_map(|item| self.word(item, what)).collect(),
            _ => self.word(node, what).into_iter().collect(),
        }
    }

    /// A scalar that is not empty.
    pub(super) fn word(&mut self, node: &Node, what: &str) -> Option<Word> {
        match &node.content {
            Content::Scalar { text, .. } if !text.trim().is_empty() => {
                Some(Placed { value: text.clone(), span: node.span.clone() })
            }
            Content::Scalar { .. } => {
                self.error("missing-value", &node.span, format!("{what} is empty"), "");
                None
            }
            _ => {
                self.error("wrong-shape", &node.span, format!("{what} must be a single value"), "");
                None
            }
        }
    }

    /// The word under `key`, without which `what` is nothing.
    pub(super) fn required_word(&mut self, fields: &Fields<'_>, key: &str, what: &str) -> Option<Word> {
        let node = self.required(fields, key, what)?;
        self.word(node, &format!("`{key}`"))
    }

    /// The expression under `key`, without which `what` is nothing.
    pub(super) fn required_expression(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        what: &str,
    ) -> Option<ExpressionDraft> {
        let node = self.required(fields, key, what)?;
        self.expression(node, &format!("`{key}`"))
    }

    fn required<'n>(&mut self, fields: &Fields<'n>, key: &str, what: &str) -> Option<&'n Node> {
        let node = fields.get(key);
        if node.is_none() {
            let first_line =
                self.text.get(fields.span.clone()).and_then(|text| text.lines().next()).map_or(0, str::len);
            let span = fields.span.start..fields.span.start + first_line;
            self.error("missing-key", &span, format!("{what} lacks `{key}`"), &format!("add `{key}: ...`"));
        }
        node
    }

    /// An expression, its bytes traced back into the file.
    pub(super) fn expression(&mut self, node: &Node, what: &str) -> Option<ExpressionDraft> {
        let word = self.word(node, what)?;
        Some(ExpressionDraft { text: word.value, span: word.span, places: node.places(self.text) })
    }

    /// Names with an expression each: `name: expression`.
    pub(super) fn named_expressions(&mut self, node: Option<&Node>, what: &str) -> Vec<NamedExpression> {
        let Some(entries) = node.and_then(|node| self.entries(node, what)) else { return Vec::new() };
        let mut named = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            if let Some(expression) = self.expression(value, &format!("`{}`", name.value)) {
                named.push(NamedExpression { name, expression });
            }
        }
        named
    }

    /// The text under `key`, or none.
    pub(super) fn text(&mut self, fields: &Fields<'_>, key: &str) -> String {
        let word = fields.get(key).and_then(|node| self.word(node, &format!("`{key}`")));
        word.map(|word| word.value.trim().to_owned()).unwrap_or_default()
    }

    /// `title` and `description`. A title without languages is English.
    pub(super) fn about(&mut self, fields: &Fields<'_>) -> About {
        let mut titles = Vec::new();
        match fields.get("title") {
            Some(node @ Node { content: Content::Mapping(_), .. }) => {
                for (language, value) in self.entries(node, "a title").unwrap_or_default() {
                    if !is_language(&language.value) {
                        self.error(
                            "bad-name",
                            &language.span,
                            format!("`{}` is no language code", language.value),
                            "write `en`, `ru`, `pt-BR`",
                        );
                    } else if let Some(title) = self.word(value, "a title") {
                        titles.push((language, title));
                    }
                }
            }
            Some(node) => {
                if let Some(title) = self.word(node, "a title") {
                    titles.push((Placed { value: "en".to_owned(), span: title.span.clone() }, title));
                }
            }
            None => {}
        }
        About { titles, description: self.text(fields, "description") }
    }

    /// The whole number under `key`, at least `least`; `otherwise` where it is not given.
    pub(super) fn number(&mut self, fields: &Fields<'_>, key: &str, least: i64, otherwise: i64) -> i64 {
        let Some(node) = fields.get(key) else { return otherwise };
        let Some(word) = self.word(node, &format!("`{key}`")) else { return otherwise };
        match word.value.parse() {
            Ok(number) if number >= least => number,
            _ => {
                self.error("bad-value", &word.span, format!("`{key}` must be a whole number, at least {least}"), "");
                otherwise
            }
        }
    }
}

/// `one`, `two` and `three`, in backticks.
pub(super) fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// A language tag as in RFC 5646, roughly: `en`, `pt-BR`.
fn is_language(code: &str) -> bool {
    let mut parts = code.split('-');
    let language = parts.next().unwrap_or_default();
    (2..=3).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_lowercase())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}
