//! Reads typed fields from a YAML tree. Collects all problems instead of stopping at the first one.

use std::ops::Range;

use super::keys::Keys;
use super::yaml::{Content, Node};
use crate::lifecycle::model_draft::{About, ExpressionDraft, NamedExpression, Spanned, SpannedString};
use crate::lifecycle::problem::Problem;
use crate::lifecycle::suggest::nearest;

/// Reads one file and collects its problems.
pub(crate) struct Reader<'a> {
    /// Index of the file in the list of files that are checked together.
    pub(crate) file: usize,
    /// The whole text of the file.
    pub(crate) text: &'a str,
    /// The problems found so far.
    pub(crate) problems: Vec<Problem>,
}

/// The entries of a mapping with known keys.
pub(crate) struct Fields<'a> {
    /// The byte range of the mapping in the file.
    pub(crate) span: Range<usize>,
    entries: Vec<(String, &'a Node)>,
}

impl<'a> Fields<'a> {
    /// Returns the value of `key`, unless it is missing or null.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(name, node)| name == key && !node.is_null()).map(|&(_, node)| node)
    }
}

impl Reader<'_> {
    /// Adds an error.
    pub(crate) fn error(&mut self, code: &'static str, span: &Range<usize>, message: impl Into<String>, help: &str) {
        let problem = Problem::error(code, self.file, span.clone(), message);
        self.problems.push(if help.is_empty() { problem } else { problem.help(help) });
    }

    /// Returns the entries of the mapping `node`; a key that is not in `keys` is a problem.
    pub(crate) fn fields<'n>(&mut self, node: &'n Node, keys: &Keys) -> Option<Fields<'n>> {
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
            let hint = if value.is_null() {
                // `{a: one, two}` has a second key, `two`, without a value.
                "a value that contains a comma must be in quotes".to_owned()
            } else {
                format!("the keys of {what} are {}", join_quoted(known))
            };
            let problem = Problem::error("unknown-key", self.file, key.span, message);
            self.problems.push(problem.did_you_mean(&key.value, known.iter().copied(), &hint));
            misspelled.extend(nearest(&key.value, known.iter().copied()).map(|meant| (meant.to_owned(), value)));
        }
        // Reads the value under the key that was probably meant, so that a typo is not also reported as a missing key.
        for (meant, value) in misspelled {
            if fields.get(&meant).is_none() {
                fields.entries.push((meant, value));
            }
        }
        Some(fields)
    }

    /// Returns the entries of the mapping `node`; a repeated key is a problem.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> Option<Vec<(SpannedString, &'n Node)>> {
        let Content::Mapping(pairs) = &node.content else {
            self.error(
                "wrong-shape",
                &node.span,
                format!("{what} must be a mapping"),
                "write `key: value`, one on each line, or {key: value}",
            );
            return None;
        };
        let mut entries: Vec<(SpannedString, &Node)> = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let Some(name) = self.scalar(key, "a key") else { continue };
            if entries.iter().any(|(earlier, _)| earlier.value == name.value) {
                self.error(
                    "duplicate-key",
                    &name.span,
                    format!("duplicate key `{}` in {what}", name.value),
                    "remove one of them",
                );
            } else {
                entries.push((name, value));
            }
        }
        Some(entries)
    }

    /// Returns the items of the list `node`; a missing node counts as an empty list.
    pub(crate) fn items<'n>(&mut self, node: Option<&'n Node>, what: &str) -> &'n [Node] {
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

    /// Reads a list of scalars, or a single one.
    pub(crate) fn scalars(&mut self, node: &Node, what: &str) -> Vec<SpannedString> {
        match &node.content {
            Content::Sequence(items) => items.iter().filter_map(|item| self.scalar(item, what)).collect(),
            _ => self.scalar(node, what).into_iter().collect(),
        }
    }

    /// Reads a scalar that is not empty.
    pub(crate) fn scalar(&mut self, node: &Node, what: &str) -> Option<SpannedString> {
        match &node.content {
            Content::Scalar { text, .. } if !text.trim().is_empty() => {
                Some(Spanned { value: text.clone(), span: node.span.clone() })
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

    /// Reads the scalar under `key`; if it is missing, reports that `what` lacks it.
    pub(crate) fn required_scalar(&mut self, fields: &Fields<'_>, key: &str, what: &str) -> Option<SpannedString> {
        let node = self.required(fields, key, what)?;
        self.scalar(node, &format!("`{key}`"))
    }

    /// Reads the expression under `key`; if it is missing, reports that `what` lacks it.
    pub(crate) fn required_expression(
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

    /// Reads an expression, with the offset in the file of each of its bytes.
    pub(crate) fn expression(&mut self, node: &Node, what: &str) -> Option<ExpressionDraft> {
        let word = self.scalar(node, what)?;
        Some(ExpressionDraft { text: word.value, span: word.span, source_offsets: node.source_offsets(self.text) })
    }

    /// Reads a mapping of names to expressions.
    pub(crate) fn named_expressions(&mut self, node: Option<&Node>, what: &str) -> Vec<NamedExpression> {
        let Some(entries) = node.and_then(|node| self.entries(node, what)) else { return Vec::new() };
        let mut named = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            if let Some(expression) = self.expression(value, &format!("`{}`", name.value)) {
                named.push(NamedExpression { name, expression });
            }
        }
        named
    }

    /// Reads the text under `key`; empty if it is missing.
    pub(crate) fn optional_text(&mut self, fields: &Fields<'_>, key: &str) -> String {
        let word = fields.get(key).and_then(|node| self.scalar(node, &format!("`{key}`")));
        word.map(|word| word.value.trim().to_owned()).unwrap_or_default()
    }

    /// Reads `title` and `description`. A title without a language code is English.
    pub(crate) fn about(&mut self, fields: &Fields<'_>) -> About {
        let mut titles = Vec::new();
        match fields.get("title") {
            Some(node @ Node { content: Content::Mapping(_), .. }) => {
                for (language, value) in self.entries(node, "a title").unwrap_or_default() {
                    if !is_language(&language.value) {
                        self.error(
                            "bad-name",
                            &language.span,
                            format!("`{}` is not a language code", language.value),
                            "write a code such as `en`, `ru` or `pt-BR`",
                        );
                    } else if let Some(title) = self.scalar(value, "a title") {
                        titles.push((language, title));
                    }
                }
            }
            Some(node) => {
                if let Some(title) = self.scalar(node, "a title") {
                    titles.push((Spanned { value: "en".to_owned(), span: title.span.clone() }, title));
                }
            }
            None => {}
        }
        About { titles, description: self.optional_text(fields, "description") }
    }

    /// Reads the integer under `key`, at least `min`. Returns `default` if it is missing or invalid.
    pub(crate) fn number(&mut self, fields: &Fields<'_>, key: &str, min: i64, default: i64) -> i64 {
        let Some(node) = fields.get(key) else { return default };
        let Some(word) = self.scalar(node, &format!("`{key}`")) else { return default };
        match word.value.parse() {
            Ok(number) if number >= min => number,
            _ => {
                self.error("bad-value", &word.span, format!("`{key}` must be a whole number, at least {min}"), "");
                default
            }
        }
    }
}

/// Joins words in backticks: `one`, `two` and `three`.
pub(crate) fn join_quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// Whether `code` looks like a language tag of RFC 5646: `en`, `pt-BR`.
fn is_language(code: &str) -> bool {
    let mut parts = code.split('-');
    let language = parts.next().unwrap_or_default();
    (2..=3).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_lowercase())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}
