//! Evaluates a compiled expression.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::datum::Datum;
use super::error::EvaluationError;
use super::function::Function;
use super::node::{LoopKind, Node, Path, Start};
use super::slots::{Roots, Slot};
use crate::lifecycle::condition::{ArithmeticOperator, Relation};

/// Maximum number of items that the loops of one evaluation visit.
pub(super) const LOOP_ITEMS_MAX: usize = 10_000;
/// Maximum length of a computed text, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 20;

type Evaluated<'a> = Result<Datum<'a>, EvaluationError>;

/// One evaluation over the values of the roots.
pub(super) struct Evaluation<'a> {
    roots: Roots<'a>,
    /// The items of the loops around the current node, the outermost first.
    variables: Vec<Datum<'a>>,
    items_visited: usize,
    /// Whether the path of a value is being looked for; an error that occurs meanwhile needs none.
    is_locating: bool,
}

impl<'a> Evaluation<'a> {
    pub(super) const fn new(roots: Roots<'a>) -> Self {
        Self { roots, variables: Vec::new(), items_visited: 0, is_locating: false }
    }

    /// Evaluates a node. The arms with large locals are functions of their own: this function is recursive, and its
    /// frame is on the path of every node.
    pub(super) fn evaluate(&mut self, node: &'a Node) -> Evaluated<'a> {
        match node {
            Node::Constant(value) => Ok(Datum::of(value)),
            Node::Path(path) => self.path(path),
            Node::Not(_) | Node::And(_) | Node::Or(_) | Node::Relation(..) | Node::In(..) => {
                self.truth(node).map(Datum::Bool)
            }
            Node::Conditional(parts) => {
                let [condition, then, otherwise] = &**parts;
                if self.truth(condition)? { self.evaluate(then) } else { self.evaluate(otherwise) }
            }
            Node::Coalesce(arguments) => {
                for argument in arguments {
                    let value = self.evaluate(argument)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Ok(Datum::Null)
            }
            Node::Attempt(arguments) => {
                for argument in arguments {
                    match self.evaluate(argument) {
                        Ok(value) if !value.is_null() => return Ok(value),
                        Ok(_) | Err(_) => {}
                    }
                }
                Ok(Datum::Null)
            }
            Node::Call(function, arguments) => {
                self.call(function, arguments).map_err(|error| self.located(error, node))
            }
            Node::Index(of, index) => self.index(of, index),
            other => self.evaluate_rare(other),
        }
    }

    #[inline(never)]
    fn evaluate_rare(&mut self, node: &'a Node) -> Evaluated<'a> {
        match node {
            Node::Member(of, name) => member(self.evaluate(of)?, name).map_err(|error| self.located(error, of)),
            Node::List(nodes) => {
                let items = nodes.iter().map(|node| self.evaluate(node)?.into_value());
                Ok(Datum::Owned(Value::Array(items.collect::<Result<_, _>>()?)))
            }
            Node::Object(nodes) => self.object(nodes),
            Node::Negate(of) => match self.evaluate(of)? {
                Datum::Int(number) => Ok(Datum::Int(-number)),
                Datum::Double(number) => Ok(Datum::Double(-number)),
                other => Err(self.located(expected("a number", &other), of)),
            },
            Node::Arithmetic(operator, left, right) => {
                let (one, other) = (self.evaluate(left)?, self.evaluate(right)?);
                arithmetic(*operator, one, other).map_err(|error| self.located(error, node))
            }
            Node::ParseTime(pattern, of) => {
                let value = self.evaluate(of)?;
                pattern.parse(&value).map_err(|error| self.located(error, of))
            }
            Node::FormatTime(pattern, of) => {
                let value = self.evaluate(of)?;
                pattern.format(&value).map_err(|error| self.located(error, of))
            }
            Node::Loop(kind, parts) => self.run_loop(*kind, &parts[0], &parts[1]),
            _ => unreachable!("evaluate handles the other nodes"),
        }
    }

    #[inline(never)]
    fn call(&mut self, function: &Function, arguments: &'a [Node]) -> Evaluated<'a> {
        match arguments {
            [argument] => (function.call)(&mut [self.evaluate(argument)?]),
            [one, other] => (function.call)(&mut [self.evaluate(one)?, self.evaluate(other)?]),
            _ => {
                let mut values = arguments.iter().map(|node| self.evaluate(node)).collect::<Result<Vec<_>, _>>()?;
                (function.call)(&mut values)
            }
        }
    }

    #[inline(never)]
    fn index(&mut self, of: &'a Node, index: &'a Node) -> Evaluated<'a> {
        // A look-up in a table.
        if let (Node::Constant(Value::Object(table)), Some(name)) = (of, self.text(index)) {
            return Ok(table.get(name).map_or(Datum::Null, Datum::of));
        }
        let (value, index) = (self.evaluate(of)?, self.evaluate(index)?);
        item(value, &index).map_err(|error| self.located(error, of))
    }

    /// Adds to an error where its value comes from.
    #[cold]
    fn located(&mut self, error: EvaluationError, node: &'a Node) -> EvaluationError {
        if error.path.is_empty() { error.at(self.source(node)) } else { error }
    }

    /// Returns the truth of a node; null counts as false.
    fn truth(&mut self, node: &'a Node) -> Result<bool, EvaluationError> {
        match node {
            Node::And(parts) => {
                for part in parts {
                    if !self.truth(part)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Node::Or(parts) => {
                for part in parts {
                    if self.truth(part)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Node::Not(of) => Ok(!self.truth(of)?),
            Node::Relation(relation, left, right) => self.relation(*relation, left, right),
            Node::In(of, list) => self.is_in(of, list),
            other => self.evaluate(other)?.truth().map_err(|error| self.located(error, other)),
        }
    }

    #[inline(never)]
    fn relation(&mut self, relation: Relation, left: &'a Node, right: &'a Node) -> Result<bool, EvaluationError> {
        let is_equality = relation == Relation::EQUAL || relation == Relation::NOT_EQUAL;
        if is_equality && let (Some(one), Node::Constant(Value::String(other))) = (self.text(left), right) {
            return Ok((one == other) == (relation == Relation::EQUAL));
        }
        let (one, other) = (self.evaluate(left)?, self.evaluate(right)?);
        compare(relation, &one, &other).map_err(|error| error.at(self.source_of_either(left, right)))
    }

    #[inline(never)]
    fn is_in(&mut self, of: &'a Node, list: &'a Node) -> Result<bool, EvaluationError> {
        if let (Some(name), Node::Constant(constant)) = (self.text(of), list) {
            match constant {
                Value::Object(table) => return Ok(table.contains_key(name)),
                Value::Array(items) => return Ok(items.iter().any(|item| item.as_str() == Some(name))),
                _ => {}
            }
        }
        let (value, list_value) = (self.evaluate(of)?, self.evaluate(list)?);
        contains(&list_value, &value).map_err(|error| self.located(error, list))
    }

    /// Returns the text at a path of a root, if the node is one and there is a text.
    #[inline]
    fn text(&self, node: &Node) -> Option<&'a str> {
        let Node::Path(path) = node else { return None };
        if let Some(slot) = self.slot(path) {
            let Slot::Value(Datum::Text(text)) = slot else { return None };
            return Some(text);
        }
        let Start::Root(root) = path.start else { return None };
        let mut value = self.roots.values[root];
        for name in &path.members {
            value = value.as_object()?.get(&**name)?;
        }
        value.as_str()
    }

    /// Returns the path that the value of `node` comes from, for the message of an error; empty if it is computed from
    /// none. Evaluates again what decides between paths.
    pub(super) fn source(&mut self, node: &'a Node) -> &'a str {
        if self.is_locating {
            return "";
        }
        self.is_locating = true;
        let source = self.find_source(node);
        self.is_locating = false;
        source
    }

    fn find_source(&mut self, node: &'a Node) -> &'a str {
        match node {
            Node::Path(path) => &path.text,
            Node::Member(of, _) | Node::Index(of, _) | Node::ParseTime(_, of) | Node::FormatTime(_, of) => {
                self.find_source(of)
            }
            Node::Call(_, nodes) => {
                let mut sources = nodes.iter().map(|node| self.find_source(node));
                sources.find(|path| !path.is_empty()).unwrap_or_default()
            }
            Node::Coalesce(nodes) | Node::Attempt(nodes) => {
                let chosen = nodes.iter().find(|node| self.evaluate(node).is_ok_and(|value| !value.is_null()));
                chosen.or(nodes.first()).map_or("", |node| self.find_source(node))
            }
            Node::Conditional(parts) => {
                let [condition, then, otherwise] = &**parts;
                let is_then = self.evaluate(condition).and_then(|value| value.truth()).unwrap_or(false);
                self.find_source(if is_then { then } else { otherwise })
            }
            Node::Arithmetic(_, left, right) => match self.find_source(left) {
                "" => self.find_source(right),
                path => path,
            },
            _ => "",
        }
    }

    fn source_of_either(&mut self, left: &'a Node, right: &'a Node) -> &'a str {
        match self.source(left) {
            "" => self.source(right),
            path => path,
        }
    }

    /// Returns the slot of a path of the record, if the record is in slots.
    #[inline]
    fn slot(&self, path: &Path) -> Option<&'a Slot<'a>> {
        let slots = self.roots.slots?;
        path.slot.get().map(|slot| &slots[*slot])
    }

    fn path(&self, path: &'a Path) -> Evaluated<'a> {
        if let Some(slot) = self.slot(path) {
            return match slot {
                Slot::Missing => Ok(Datum::Null),
                Slot::Value(value) => Ok(value.borrowed()),
                Slot::Object(text) => serde_json::from_str(text)
                    .map(Datum::Owned)
                    .map_err(|_| EvaluationError::new("is not valid JSON").at(&path.text)),
                Slot::NotInObject(at, kind) => {
                    Err(EvaluationError::new(format!("expected an object, found {kind}")).at(&prefix(path, *at)))
                }
            };
        }
        let Start::Root(root) = path.start else { return self.path_of_variable(path) };
        let mut value = self.roots.values[root];
        for (at, name) in path.members.iter().enumerate() {
            match value {
                Value::Object(members) => match members.get(&**name) {
                    Some(found) => value = found,
                    None => return Ok(Datum::Null),
                },
                Value::Null => return Ok(Datum::Null),
                other => return member(Datum::of(other), name).map_err(|error| error.at(&prefix(path, at))),
            }
        }
        Ok(Datum::of(value))
    }

    #[inline(never)]
    fn path_of_variable(&self, path: &'a Path) -> Evaluated<'a> {
        let Start::Variable(variable) = path.start else { return Ok(Datum::Null) };
        let mut value = self.variables[variable].clone();
        for (at, name) in path.members.iter().enumerate() {
            value = member(value, name).map_err(|error| error.at(&prefix(path, at)))?;
        }
        Ok(value)
    }

    fn object(&mut self, nodes: &'a [Node]) -> Evaluated<'a> {
        let mut members = Map::new();
        for pair in nodes.chunks_exact(2) {
            let Datum::Text(key) = self.evaluate(&pair[0])? else {
                return Err(EvaluationError::new("expected a text as the key of a map").at(self.source(&pair[0])));
            };
            match self.evaluate(&pair[1])? {
                Datum::Absent => {}
                value => _ = members.insert(key.into_owned(), value.into_value()?),
            }
        }
        Ok(Datum::Owned(Value::Object(members)))
    }

    fn run_loop(&mut self, kind: LoopKind, of: &'a Node, body: &'a Node) -> Evaluated<'a> {
        let list = self.evaluate(of)?;
        let items: Vec<Datum<'a>> = match list {
            Datum::Null | Datum::Absent => Vec::new(),
            Datum::Borrowed(Value::Array(items)) => items.iter().map(Datum::of).collect(),
            Datum::Owned(Value::Array(items)) => items.into_iter().map(Datum::of_owned).collect(),
            other => return Err(expected("a list", &other).at(self.source(of))),
        };
        self.items_visited += items.len();
        if self.items_visited > LOOP_ITEMS_MAX {
            let message = format!("more than {LOOP_ITEMS_MAX} items are visited");
            return Err(EvaluationError::new(message).at(self.source(of)));
        }
        let mut results = Vec::new();
        for item in items {
            self.variables.push(item.clone());
            let outcome = self.evaluate(body);
            self.variables.pop();
            let outcome = outcome?;
            match kind {
                LoopKind::Map => results.push(outcome.into_value()?),
                LoopKind::Filter => {
                    if outcome.truth()? {
                        results.push(item.into_value()?);
                    }
                }
                LoopKind::Exists => {
                    if outcome.truth()? {
                        return Ok(Datum::Bool(true));
                    }
                }
                LoopKind::All => {
                    if !outcome.truth()? {
                        return Ok(Datum::Bool(false));
                    }
                }
            }
        }
        Ok(match kind {
            LoopKind::Map | LoopKind::Filter => Datum::Owned(Value::Array(results)),
            LoopKind::Exists => Datum::Bool(false),
            LoopKind::All => Datum::Bool(true),
        })
    }
}

/// Returns the first `count` members of a path as text.
fn prefix(path: &Path, count: usize) -> String {
    let mut text = path.start_name.to_string();
    for name in &path.members[..count] {
        text.push('.');
        text.push_str(name);
    }
    text
}

/// Returns the error of a value of the wrong kind.
pub(super) fn expected(what: &str, found: &Datum<'_>) -> EvaluationError {
    EvaluationError::new(format!("expected {what}, found {}", found.describe()))
}

/// Returns a member of an object; null if it has none. Null, an empty text and an empty list count as an empty object:
/// PHP encodes an empty map as `[]`.
#[inline]
fn member<'a>(of: Datum<'a>, name: &str) -> Evaluated<'a> {
    match of {
        Datum::Borrowed(Value::Object(members)) => Ok(members.get(name).map_or(Datum::Null, Datum::of)),
        Datum::Owned(Value::Object(mut members)) => Ok(members.remove(name).map_or(Datum::Null, Datum::of_owned)),
        Datum::Null | Datum::Absent => Ok(Datum::Null),
        Datum::Text(text) if text.is_empty() => Ok(Datum::Null),
        Datum::Borrowed(Value::Array(items)) if items.is_empty() => Ok(Datum::Null),
        Datum::Owned(Value::Array(items)) if items.is_empty() => Ok(Datum::Null),
        other => Err(expected("an object", &other)),
    }
}

/// Returns an item of a list by its position, counted from the end if negative, or a member of an object by its name;
/// null if there is none.
pub(super) fn item<'a>(of: Datum<'a>, index: &Datum<'_>) -> Evaluated<'a> {
    match (of, index) {
        (_, Datum::Null | Datum::Absent) | (Datum::Null | Datum::Absent, _) => Ok(Datum::Null),
        (of, Datum::Text(name)) => member(of, name),
        (of, Datum::Int(position)) => {
            let Some(length) = of.as_list().map(<[Value]>::len) else { return Err(expected("a list", &of)) };
            let length = i128::try_from(length).expect("a list in memory");
            let position = if *position < 0 { length + position } else { *position };
            let Some(position) = usize::try_from(position).ok().filter(|_| position < length) else {
                return Ok(Datum::Null);
            };
            Ok(match of {
                Datum::Borrowed(Value::Array(items)) => Datum::of(&items[position]),
                Datum::Owned(Value::Array(mut items)) => Datum::of_owned(items.swap_remove(position)),
                _ => unreachable!("only arrays have a length"),
            })
        }
        (_, other) => Err(expected("a whole number or a text as the index", other)),
    }
}

fn compare(relation: Relation, one: &Datum<'_>, other: &Datum<'_>) -> Result<bool, EvaluationError> {
    if relation == Relation::EQUAL || relation == Relation::NOT_EQUAL {
        return Ok(one.equals(other) == (relation == Relation::EQUAL));
    }
    let ordering = match (one, other) {
        (one, other) if one.is_null() || other.is_null() => return Ok(false),
        (Datum::Int(one), Datum::Int(other)) => Some(one.cmp(other)),
        (Datum::Text(one), Datum::Text(other)) => Some(one.cmp(other)),
        (one, other) => {
            let (Some(left), Some(right)) = (one.as_double(), other.as_double()) else {
                let message = format!("`{}` compares {} with {}", relation.as_str(), one.describe(), other.describe());
                return Err(EvaluationError::new(message));
            };
            left.partial_cmp(&right)
        }
    };
    Ok(relation.holds_partial(ordering))
}

fn contains(list: &Datum<'_>, value: &Datum<'_>) -> Result<bool, EvaluationError> {
    if let Some(items) = list.as_list() {
        return Ok(items.iter().any(|item| Datum::of(item).equals(value)));
    }
    match (list.as_object(), list, value) {
        (Some(members), _, Datum::Text(name)) => Ok(members.contains_key(&**name)),
        (Some(_), ..) | (None, Datum::Null | Datum::Absent, _) => Ok(false),
        _ => Err(expected("a list or an object after `in`", list)),
    }
}

fn arithmetic<'a>(operator: ArithmeticOperator, one: Datum<'a>, other: Datum<'a>) -> Evaluated<'a> {
    use ArithmeticOperator::{Add, Divide, Multiply, Remainder, Subtract};
    match (operator, one, other) {
        // As any path, a calculation with a missing value is missing.
        (_, Datum::Null | Datum::Absent, _) | (_, _, Datum::Null | Datum::Absent) => Ok(Datum::Null),
        (Add, Datum::Text(one), Datum::Text(other)) => {
            if one.len() + other.len() > TEXT_BYTES_MAX {
                return Err(too_long());
            }
            let mut text = one.into_owned();
            text.push_str(&other);
            Ok(Datum::Text(Cow::Owned(text)))
        }
        (Add, one, other) if one.as_list().is_some() && other.as_list().is_some() => {
            let items = [one.as_list(), other.as_list()].map(Option::unwrap_or_default).concat();
            if items.len() > LOOP_ITEMS_MAX {
                return Err(EvaluationError::new(format!("the list has more than {LOOP_ITEMS_MAX} items")));
            }
            Ok(Datum::Owned(Value::Array(items)))
        }
        (operator, Datum::Int(one), Datum::Int(other)) => {
            let result = match operator {
                Add => one.checked_add(other),
                Subtract => one.checked_sub(other),
                Multiply => one.checked_mul(other),
                Divide => one.checked_div(other),
                Remainder => one.checked_rem(other),
            };
            // Within 64 bits, so that every result can be written as JSON.
            result
                .filter(|number| (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(number))
                .map(Datum::Int)
                .ok_or_else(|| EvaluationError::new("the calculation overflows or divides by zero"))
        }
        (operator, one, other) => {
            let (Some(left), Some(right)) = (one.as_double(), other.as_double()) else {
                let (one, other, symbol) = (one.describe(), other.describe(), operator.as_str());
                return Err(EvaluationError::new(format!("`{symbol}` cannot be applied to {one} and {other}")));
            };
            Ok(Datum::Double(match operator {
                Add => left + right,
                Subtract => left - right,
                Multiply => left * right,
                Divide => left / right,
                Remainder => left % right,
            }))
        }
    }
}

/// Returns the error of a text that is too long.
pub(super) fn too_long() -> EvaluationError {
    EvaluationError::new(format!("the text is longer than {TEXT_BYTES_MAX} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordering_of_numbers_does_not_depend_on_their_form() {
        assert_eq!(compare(Relation::LESS, &Datum::Int(1), &Datum::Double(1.5)), Ok(true));
        assert!(Datum::Int(2).equals(&Datum::Double(2.0)));
        assert_eq!(compare(Relation::LESS, &Datum::Int(1), &Datum::Double(f64::NAN)), Ok(false));
    }
}
