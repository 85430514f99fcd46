//! Reads the fields of a YAML document, and collects every problem with its position.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use super::sample::unknown_fields;
use crate::config::node::{self, Content, Node, syntax_problem};
use crate::config::secret::read_token;
use crate::config::values;
use crate::lifecycle::suggest::suggestion;
use crate::mapping::{Expression, Template};

/// A document, and the problems found in it.
pub(super) struct Reader {
    file: String,
    directory: PathBuf,
    /// The document with the types of YAML.
    typed: Value,
    positions: Option<Node>,
    pub(super) problems: Vec<String>,
}

/// The fields of a mapping that are not read yet.
pub(super) struct Fields<'v> {
    map: &'v Map<String, Value>,
    pub(super) path: String,
    known: BTreeSet<&'static str>,
}

impl Reader {
    /// Parses `text`, the content of `file`. Relative paths start at `directory`.
    pub(super) fn parse(text: &str, file: &str, directory: &Path) -> (Self, Value) {
        let mut reader = Self {
            file: file.to_owned(),
            directory: directory.to_owned(),
            typed: Value::Null,
            positions: None,
            problems: Vec::new(),
        };
        match Node::parse(text) {
            Ok(root) => {
                let value = root.to_value();
                reader.positions = Some(root);
                match node::typed(text) {
                    Ok(typed) => reader.typed = typed,
                    Err(error) => reader.problems.push(syntax_problem(&error, file)),
                }
                (reader, value)
            }
            Err(error) => {
                reader.problems.push(syntax_problem(&error, file));
                (reader, Value::Null)
            }
        }
    }

    /// Returns the value at a path with the types of YAML, in which `1` is a number. Everything else is text.
    pub(super) fn typed(&self, path: &str) -> Option<Value> {
        let mut value = &self.typed;
        for step in path.split(['.', '[']) {
            let step = step.trim_end_matches(']');
            value = match value {
                Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
                Value::Object(members) => members.get(step)?,
                _ => return None,
            };
        }
        Some(value.clone())
    }

    /// Records a problem at a path such as `destinations.shop.retry`.
    pub(super) fn problem(&mut self, path: &str, what: &str) {
        let position = self.positions.as_ref().map(|root| locate(root, path));
        let position = position.map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
        self.problems.push(format!("{}{position}: `{path}`: {what}", self.file));
    }

    /// Returns the fields of a mapping. Null counts as an empty one.
    pub(super) fn fields<'v>(&mut self, value: &'v Value, path: &str) -> Fields<'v> {
        static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        let map = match value {
            Value::Object(map) => map,
            Value::Null => &EMPTY,
            _ => {
                self.problem(path, "write a mapping of keys");
                &EMPTY
            }
        };
        Fields { map, path: path.to_owned(), known: BTreeSet::new() }
    }

    /// Returns a path of the configuration, relative to the directory of its file.
    pub(super) fn resolve(&self, text: &str) -> PathBuf {
        self.directory.join(text)
    }

    /// Reads a secret from a file.
    pub(super) fn secret(&mut self, path: &str, file: &str) -> Option<String> {
        match read_token(&self.resolve(file)) {
            Ok(secret) => Some(secret),
            Err(problem) => {
                self.problem(path, &problem);
                None
            }
        }
    }

    /// Compiles an expression.
    pub(super) fn expression(&mut self, value: &Value, path: &str, roots: &[&str]) -> Option<Expression> {
        let Some(text) = plain(value) else {
            self.problem(path, "write an expression, such as transition.mode == \"live\"");
            return None;
        };
        match Expression::compile(&text, roots) {
            Ok(expression) => self.has_known_fields(&expression.paths(0), path, roots).then_some(expression),
            Err(problems) => {
                for problem in problems {
                    let part = text.get(problem.span.clone()).filter(|part| !part.is_empty());
                    let part = part.map_or(String::new(), |part| format!(" in `{part}`"));
                    let help = problem.help.as_ref().map_or(String::new(), |help| format!("; {help}"));
                    self.problem(path, &format!("{}{part}{help}", problem.message));
                }
                None
            }
        }
    }

    /// Whether a transition has the fields that are read from the first root, if that is a transition.
    fn has_known_fields(&mut self, paths: &[&[Box<str>]], path: &str, roots: &[&str]) -> bool {
        let is_transition = roots.first() == Some(&"transition");
        let problems = if is_transition { unknown_fields(paths) } else { Vec::new() };
        for problem in &problems {
            self.problem(path, problem);
        }
        problems.is_empty()
    }

    /// Compiles the template of a JSON body, whose numbers, `true` and `false` keep their type.
    pub(super) fn body(&mut self, value: &Value, path: &str, roots: &[&str]) -> Option<Template> {
        let typed = self.typed(path);
        self.template(typed.as_ref().unwrap_or(value), path, roots)
    }

    /// Compiles a template.
    pub(super) fn template(&mut self, value: &Value, path: &str, roots: &[&str]) -> Option<Template> {
        match Template::compile(value, roots) {
            Ok(template) => self.has_known_fields(&template.paths(0), path, roots).then_some(template),
            Err(problems) => {
                for problem in problems {
                    self.problem(path, &problem.to_string());
                }
                None
            }
        }
    }
}

impl<'v> Fields<'v> {
    /// Returns the path of a field.
    pub(super) fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Returns a field unless it is missing or null.
    pub(super) fn get(&mut self, key: &'static str) -> Option<&'v Value> {
        self.known.insert(key);
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Returns a field parsed from its text; `None` if it is missing or invalid.
    pub(super) fn parse<T>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.get(key)?;
        let parsed = match plain(value) {
            Some(text) => parse(&text),
            None => Err("write a single value".to_owned()),
        };
        parsed.map_err(|problem| reader.problem(&self.at(key), &problem)).ok()
    }

    pub(super) fn text(&mut self, reader: &mut Reader, key: &'static str) -> Option<String> {
        self.parse(reader, key, |text| Ok(text.to_owned()))
    }

    pub(super) fn duration(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        min: &str,
        max: &str,
    ) -> Option<Duration> {
        self.parse(reader, key, values::duration_within(min, max))
    }

    pub(super) fn size(&mut self, reader: &mut Reader, key: &'static str, min: &str, max: &str) -> Option<usize> {
        self.parse(reader, key, values::size_within(min, max))
    }

    pub(super) fn number(&mut self, reader: &mut Reader, key: &'static str, min: usize, max: usize) -> Option<usize> {
        self.parse(reader, key, |text| values::whole_number(text, min, max))
    }

    pub(super) fn is_true(&mut self, reader: &mut Reader, key: &'static str) -> bool {
        self.parse(reader, key, values::boolean).unwrap_or(false)
    }

    pub(super) fn one_of<T: Copy>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        self.parse(reader, key, values::one_of(choices))
    }

    /// Returns the items of a list, each with its path; a single value counts as a list of one.
    pub(super) fn items(&mut self, key: &'static str) -> Vec<(&'v Value, String)> {
        let path = self.at(key);
        match self.get(key) {
            None => Vec::new(),
            Some(Value::Array(items)) => {
                items.iter().enumerate().map(|(index, item)| (item, format!("{path}[{index}]"))).collect()
            }
            Some(single) => vec![(single, path)],
        }
    }

    /// Returns the entries of a mapping, each with its path.
    pub(super) fn entries(&mut self, reader: &mut Reader, key: &'static str) -> Vec<(&'v str, &'v Value, String)> {
        let path = self.at(key);
        match self.get(key) {
            None => Vec::new(),
            Some(Value::Object(entries)) => {
                entries.iter().map(|(name, value)| (name.as_str(), value, format!("{path}.{name}"))).collect()
            }
            Some(_) => {
                reader.problem(&path, "write a mapping");
                Vec::new()
            }
        }
    }

    /// Reports fields that no call has named.
    pub(super) fn reject_unknown(self, reader: &mut Reader) {
        for name in self.map.keys().filter(|name| !self.known.contains(name.as_str())) {
            let hint = suggestion(name, self.known.iter().copied());
            reader.problem(&self.at(name), &format!("unknown key{hint}"));
        }
    }
}

/// Returns the text of a scalar.
pub(super) fn plain(value: &Value) -> Option<String> {
    value.as_str().map(|text| text.trim().to_owned())
}

/// Returns line and column of the node at a path, or of the nearest node above it.
fn locate(root: &Node, path: &str) -> (u64, u64) {
    let mut node = root;
    for step in path.split(['.', '[']) {
        let step = step.trim_end_matches(']');
        let next = match &node.content {
            Content::Map(entries) => entries.iter().find(|(key, _)| key.text() == Some(step)),
            Content::List(items) => match step.parse().ok().and_then(|index: usize| items.get(index)) {
                Some(item) => {
                    node = item;
                    continue;
                }
                None => None,
            },
            Content::Null | Content::Scalar(_) => None,
        };
        let Some((key, value)) = next else { break };
        // The key is where a person looks; a block starts at its first line.
        node = if matches!(value.content, Content::Null) { key } else { value };
    }
    (node.line, node.column)
}
