//! A tree of JSON whose texts contain expressions: `{"plan": "${record.plan}"}`.

use std::fmt;

use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::datum::Datum;
use super::error::EvaluationError;
use super::evaluate::{TEXT_BYTES_MAX, too_long};
use super::expression::{Environment, Expression};
use super::function::plain_text;
use super::kind::Kind;
use super::node::{Path, paths_of_root};
use super::slots::Roots;
use crate::lifecycle::condition::{ExpressionProblem, codes};

/// Maximum nesting depth of a template.
const DEPTH_MAX: usize = 32;
/// Maximum number of values in a template.
const NODES_MAX: usize = 4_096;

/// A tree of JSON whose texts may contain `${expression}`.
///
/// A text that is exactly one `${...}` becomes the value of the expression, with its kind. Otherwise the values are
/// written into the text, nothing for null. `$${` writes `${`. A member or item whose value is `omit_null(null)` is
/// left out. The name of a member is a text, too. All other values are copied.
#[derive(Clone, Debug)]
pub struct Template {
    part: Part,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(Value),
    Expression(Expression),
    /// Literal texts and expressions in turn.
    Text(Vec<TextPart>),
    List(Vec<Part>),
    Object(Vec<(Name, Part)>),
}

/// The name of a member of an object.
#[derive(Clone, Debug)]
enum Name {
    Literal(String),
    Computed(Box<Part>),
}

#[derive(Clone, Debug)]
enum TextPart {
    Literal(String),
    Expression(Expression),
}

/// A problem of a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TemplateProblem {
    /// Where in the tree: `properties.items[2].id`; empty for the whole.
    pub place: String,
    /// The text that contains the expression.
    pub text: String,
    /// What is wrong; its span is a range of `text`.
    pub problem: ExpressionProblem,
}

impl fmt::Display for TemplateProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(formatter, "{}: ", self.place)?;
        }
        write!(formatter, "{}", self.problem.message)?;
        if let Some(part) = self.text.get(self.problem.span.clone()).filter(|part| !part.is_empty()) {
            write!(formatter, " in `{part}`")?;
        }
        self.problem.help.as_ref().map_or(Ok(()), |help| write!(formatter, "; {help}"))
    }
}

impl Template {
    /// Compiles a tree. `roots` are the names that may start a path.
    ///
    /// # Errors
    /// Every problem of every text.
    pub fn compile(tree: &Value, roots: &[&str]) -> Result<Self, Vec<TemplateProblem>> {
        let environment = Environment { roots, ..Environment::default() };
        Self::compile_in(tree, &environment)
    }

    /// Compiles a tree with the names of `environment`.
    ///
    /// # Errors
    /// Every problem of every text.
    pub fn compile_in(tree: &Value, environment: &Environment<'_>) -> Result<Self, Vec<TemplateProblem>> {
        let mut compiler = Compiler { environment, place: String::new(), nodes: 0, problems: Vec::new() };
        match compiler.part(tree, 0) {
            Some(part) if compiler.problems.is_empty() => Ok(Self { part }),
            _ => Err(compiler.problems),
        }
    }

    /// Creates a template that is the same for every record.
    pub(super) const fn literal(value: Value) -> Self {
        Self { part: Part::Literal(value) }
    }

    /// Creates a list of templates.
    pub(super) fn list(items: Vec<Self>) -> Self {
        Self { part: Part::List(items.into_iter().map(|item| item.part).collect()) }
    }

    /// Creates an object of templates.
    pub(super) fn object(members: Vec<(String, Self)>) -> Self {
        Self {
            part: Part::Object(members.into_iter().map(|(name, member)| (Name::Literal(name), member.part)).collect()),
        }
    }

    /// Combines the members of two objects; those of `own` win. Anything but two objects becomes `own`.
    pub(super) fn merged(default: Self, own: Self) -> Self {
        match (default.part, own.part) {
            (Part::Object(defaults), Part::Object(mut members)) => {
                let is_missing = |name: &Name| members.iter().all(|(own, _)| !own.is_literally(name));
                let missing = defaults.into_iter().filter(|(name, _)| is_missing(name));
                let missing: Vec<_> = missing.collect();
                members.extend(missing);
                Self { part: Part::Object(members) }
            }
            (_, part) => Self { part },
        }
    }

    /// Returns the value, if it is the same for every record.
    pub(super) const fn constant(&self) -> Option<&Value> {
        match &self.part {
            Part::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// Returns the kind of the value, as far as it is known without a record.
    pub(super) const fn kind(&self) -> Kind {
        match &self.part {
            Part::Literal(value) => Kind::of(value),
            Part::Expression(expression) => expression.kind(),
            Part::Text(_) => Kind::Text,
            Part::List(_) => Kind::List,
            Part::Object(_) => Kind::Object,
        }
    }

    /// Returns the path that the value comes from, or the first one of a text; otherwise an empty text.
    pub(super) fn source<'a>(&'a self, roots: Roots<'a>) -> &'a str {
        match &self.part {
            Part::Expression(expression) => expression.source(roots),
            Part::Text(parts) => {
                let mut sources = parts.iter().map(|part| match part {
                    TextPart::Literal(_) => "",
                    TextPart::Expression(expression) => expression.source(roots),
                });
                sources.find(|path| !path.is_empty()).unwrap_or_default()
            }
            _ => "",
        }
    }

    /// Returns whether an expression reads the root with this index.
    #[must_use]
    pub fn reads(&self, root: usize) -> bool {
        !self.paths(root).is_empty()
    }

    /// Returns the members of each path that is read from the root with this index.
    #[must_use]
    pub fn paths(&self, root: usize) -> Vec<&[Box<str>]> {
        paths_of_root(root, |visit| self.visit_paths(visit))
    }

    /// Whether scheme, host or port of the URL that the template renders are read from the root with this index.
    #[must_use]
    pub fn has_host_of(&self, root: usize) -> bool {
        let parts = match &self.part {
            Part::Text(parts) => parts,
            Part::Expression(expression) => return !expression.paths(root).is_empty(),
            Part::Literal(_) | Part::List(_) | Part::Object(_) => return false,
        };
        let mut before = String::new();
        for part in parts {
            match part {
                TextPart::Literal(text) => before.push_str(text),
                TextPart::Expression(expression) => {
                    // Another root may provide scheme and host: `${settings.endpoint}/customers/`.
                    let authority = before.split_once("://").map_or(&*before, |(_, rest)| rest);
                    let is_in_path = authority.contains(['/', '?', '#']);
                    if !is_in_path && !expression.paths(root).is_empty() {
                        return true;
                    }
                    before.push('x');
                }
            }
        }
        false
    }

    /// Calls `visit` with each path that is read from a root, and the index of the root.
    pub(super) fn visit_paths<'n>(&'n self, visit: &mut dyn FnMut(usize, &'n Path)) {
        self.part.visit_paths(visit);
    }

    /// Renders the tree. `roots` are the values of the roots, in their order.
    ///
    /// # Errors
    /// If an expression has no value, with its path.
    pub fn render(&self, roots: &[&Value]) -> Result<Value, EvaluationError> {
        self.render_of(Roots::of(roots))
    }

    /// As [`render`](Self::render).
    pub(super) fn render_of(&self, roots: Roots<'_>) -> Result<Value, EvaluationError> {
        Ok(self.part.render(roots, true)?.unwrap_or(Value::Null))
    }

    /// As [`render`](Self::render), but leaves out members of the tree itself that are null.
    pub(super) fn render_present(&self, roots: Roots<'_>) -> Result<Value, EvaluationError> {
        Ok(self.part.render(roots, false)?.unwrap_or(Value::Null))
    }
}

impl Part {
    fn visit_paths<'n>(&'n self, visit: &mut dyn FnMut(usize, &'n Path)) {
        match self {
            Self::Literal(_) => {}
            Self::Expression(expression) => expression.visit_paths(visit),
            Self::Text(parts) => {
                for part in parts {
                    if let TextPart::Expression(expression) = part {
                        expression.visit_paths(visit);
                    }
                }
            }
            Self::List(parts) => parts.iter().for_each(|part| part.visit_paths(visit)),
            Self::Object(members) => {
                for (name, part) in members {
                    if let Name::Computed(name) = name {
                        name.visit_paths(visit);
                    }
                    part.visit_paths(visit);
                }
            }
        }
    }

    /// Renders the part; `None` if it is to be left out. Members that are null are left out unless `keeps_null`.
    fn render(&self, roots: Roots<'_>, keeps_null: bool) -> Result<Option<Value>, EvaluationError> {
        Ok(Some(match self {
            Self::Literal(value) => value.clone(),
            Self::Expression(expression) => match expression.datum(roots)? {
                Datum::Absent => return Ok(None),
                value => value.into_value()?,
            },
            Self::Text(parts) => {
                let mut text = String::new();
                for part in parts {
                    match part {
                        TextPart::Literal(literal) => text.push_str(literal),
                        TextPart::Expression(expression) => {
                            let value = expression.datum(roots)?;
                            match value {
                                Datum::Borrowed(tree) => text.push_str(&tree.to_string()),
                                Datum::Owned(tree) => text.push_str(&tree.to_string()),
                                plain => text.push_str(&plain_text(plain)?.unwrap_or_default()),
                            }
                        }
                    }
                    if text.len() > TEXT_BYTES_MAX {
                        return Err(too_long());
                    }
                }
                Value::String(text)
            }
            Self::List(parts) => {
                let items = parts.iter().filter_map(|part| part.render(roots, true).transpose());
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Self::Object(parts) => {
                let mut members = Map::new();
                for (name, part) in parts {
                    let Some(value) = part.render(roots, true)?.filter(|value| keeps_null || !value.is_null()) else {
                        continue;
                    };
                    let name = name.render(roots)?;
                    match members.entry(name) {
                        Entry::Vacant(member) => _ = member.insert(value),
                        // The name may be data of a customer.
                        Entry::Occupied(_) => return Err(EvaluationError::new("two members have the same name")),
                    }
                }
                Value::Object(members)
            }
        }))
    }
}

impl Name {
    /// Returns whether both names are the same for every record.
    fn is_literally(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Literal(one), Self::Literal(other)) if one == other)
    }

    fn render(&self, roots: Roots<'_>) -> Result<String, EvaluationError> {
        let problem = match self {
            Self::Literal(name) => return Ok(name.clone()),
            Self::Computed(part) => match part.render(roots, true)? {
                Some(Value::String(name)) if !name.is_empty() => return Ok(name),
                Some(Value::String(_)) => "empty",
                None | Some(Value::Null) => "missing",
                Some(_) => "not a text",
            },
        };
        Err(EvaluationError::new(format!("the name of a member is {problem}")))
    }
}

struct Compiler<'e> {
    environment: &'e Environment<'e>,
    place: String,
    nodes: usize,
    problems: Vec<TemplateProblem>,
}

impl Compiler<'_> {
    fn report(&mut self, text: &str, problem: ExpressionProblem) {
        self.problems.push(TemplateProblem { place: self.place.clone(), text: text.to_owned(), problem });
    }

    fn part(&mut self, tree: &Value, depth: usize) -> Option<Part> {
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            let message = format!("the template has more than {NODES_MAX} values or {DEPTH_MAX} levels");
            // Report once, and do not descend further.
            if self.problems.iter().all(|problem| problem.problem.code != codes::TOO_LARGE) {
                self.report("", ExpressionProblem::new(codes::TOO_LARGE, 0..0, message));
            }
            return None;
        }
        match tree {
            Value::String(text) if text.contains("${") => self.text(text),
            Value::Array(items) => {
                let parts: Vec<_> = (items.iter().enumerate())
                    .map(|(at, item)| self.within(&format!("[{at}]"), |compiler| compiler.part(item, depth + 1)))
                    .collect();
                Some(Part::List(parts.into_iter().collect::<Option<_>>()?))
            }
            Value::Object(members) => {
                let parts: Vec<_> = (members.iter())
                    .map(|(name, value)| {
                        let step = if self.place.is_empty() { name.clone() } else { format!(".{name}") };
                        let part = self.within(&step, |compiler| compiler.part(value, depth + 1));
                        let name = match name {
                            name if name.contains("${") => {
                                let part = self.within(&step, |compiler| compiler.text(name));
                                part.map(|part| Name::Computed(Box::new(part)))
                            }
                            name => Some(Name::Literal(name.clone())),
                        };
                        Some((name?, part?))
                    })
                    .collect();
                Some(Part::Object(parts.into_iter().collect::<Option<_>>()?))
            }
            literal => Some(Part::Literal(literal.clone())),
        }
    }

    fn within<T>(&mut self, step: &str, act: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.place.len();
        self.place.push_str(step);
        let result = act(self);
        self.place.truncate(length);
        result
    }

    fn text(&mut self, text: &str) -> Option<Part> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        let mut is_valid = true;
        while let Some(found) = text[at..].find("${") {
            let start = at + found;
            if text[..start].ends_with('$') && start > at {
                literal.push_str(&text[at..start - 1]);
                literal.push_str("${");
                at = start + 2;
                continue;
            }
            literal.push_str(&text[at..start]);
            let inside = start + 2;
            let Some(length) = expression_end(&text[inside..]) else {
                let problem = ExpressionProblem::new(codes::SYNTAX, start..text.len(), "`${` has no closing `}`");
                self.report(text, problem.help("write `$${` for the text `${`"));
                return None;
            };
            match Expression::compile_in(&text[inside..inside + length], self.environment) {
                Ok(expression) => {
                    if !literal.is_empty() {
                        parts.push(TextPart::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(TextPart::Expression(expression));
                }
                Err(problems) => {
                    is_valid = false;
                    for problem in problems {
                        let span = problem.span.start + inside..problem.span.end + inside;
                        self.report(text, ExpressionProblem { span, ..problem });
                    }
                }
            }
            at = inside + length + 1;
        }
        literal.push_str(&text[at..]);
        if !literal.is_empty() {
            parts.push(TextPart::Literal(literal));
        }
        if !is_valid {
            return None;
        }
        Some(match parts.as_mut_slice() {
            [TextPart::Expression(_)] => match parts.pop() {
                Some(TextPart::Expression(expression)) => Part::Expression(expression),
                _ => unreachable!("the only part is an expression"),
            },
            [TextPart::Literal(literal)] => Part::Literal(Value::String(std::mem::take(literal))),
            _ => Part::Text(parts),
        })
    }
}

/// Returns the length of an expression up to its closing brace, outside of quotes and inner braces.
fn expression_end(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (Some(_), '\\') => _ = characters.next(),
            (Some(open), close) if open == close => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(at),
            (None, '}') => depth -= 1,
            _ => {}
        }
    }
    None
}
