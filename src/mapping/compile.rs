//! Compiles the syntax of an expression: resolves names, checks functions, kinds and constants.

use std::ops::Range;
use std::sync::OnceLock;

use serde_json::{Map, Number, Value};

use super::expression::Environment;
use super::function::{self, FUNCTION_NAMES, Function, TimePattern};
use super::kind::Kind;
use super::node::{LoopKind, Node, Path, Start};
use crate::lifecycle::condition::{
    ArithmeticOperator, Dialect, ExpressionProblem, Relation, Syntax, SyntaxKind, codes,
};
use crate::lifecycle::suggest::did_you_mean;

/// Compiles `text`.
///
/// # Errors
/// Every problem found.
pub(super) fn compile(text: &str, environment: &Environment<'_>) -> Result<(Node, Kind), Vec<ExpressionProblem>> {
    let syntax = Syntax::parse_as(text, Dialect::Records)?;
    let mut compiler = Compiler { environment, variables: Vec::new(), problems: Vec::new() };
    match compiler.node(&syntax) {
        Some(node) if compiler.problems.is_empty() => Ok(node),
        _ => Err(compiler.problems),
    }
}

struct Compiler<'e> {
    environment: &'e Environment<'e>,
    /// The variables of the loops around the current syntax, the outermost first.
    variables: Vec<Box<str>>,
    problems: Vec<ExpressionProblem>,
}

/// A node and its kind; `None` after a problem.
type Compiled = Option<(Node, Kind)>;

impl Compiler<'_> {
    fn report(&mut self, code: &'static str, span: &Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        let help = help.into();
        let problem = ExpressionProblem::new(code, span.clone(), message);
        self.problems.push(if help.is_empty() { problem } else { problem.help(help) });
    }

    fn node(&mut self, syntax: &Syntax) -> Compiled {
        let constant = |value: Value, kind| Some((Node::Constant(value), kind));
        match &syntax.kind {
            SyntaxKind::Null => constant(Value::Null, Kind::Any),
            SyntaxKind::Int(number) => constant(Value::from(*number), Kind::Number),
            SyntaxKind::Double(number) => {
                constant(Number::from_f64(*number).map_or(Value::Null, Value::Number), Kind::Number)
            }
            SyntaxKind::String(text) => constant(Value::from(&**text), Kind::Text),
            SyntaxKind::Bool(truth) => constant(Value::Bool(*truth), Kind::Bool),
            SyntaxKind::Name(name) => self.name(name, syntax),
            SyntaxKind::Member(of, name, _) => self.member(of, name),
            SyntaxKind::Index(of, index) => self.index(of, index),
            SyntaxKind::Call(callee, arguments) => self.call(callee, arguments, &syntax.span),
            SyntaxKind::List(items) => {
                let nodes = self.nodes(items)?;
                let constants = nodes.iter().map(|node| node.constant().cloned()).collect::<Option<Vec<_>>>();
                Some((constants.map_or(Node::List(nodes), |items| Node::Constant(Value::Array(items))), Kind::List))
            }
            SyntaxKind::Map(parts) => self.map(parts),
            SyntaxKind::Not(of) => Some((Node::Not(Box::new(self.of_kind(of, Kind::Bool)?)), Kind::Bool)),
            SyntaxKind::Negate(of) => Some((Node::Negate(Box::new(self.of_kind(of, Kind::Number)?)), Kind::Number)),
            SyntaxKind::And(parts) => Some((Node::And(self.conditions(parts)?), Kind::Bool)),
            SyntaxKind::Or(parts) => Some((Node::Or(self.conditions(parts)?), Kind::Bool)),
            SyntaxKind::Relation(relation, left, right, _) => self.relation(*relation, left, right, &syntax.span),
            SyntaxKind::In(of, list) => {
                let (of, list) = (self.node(of), self.in_list(list));
                Some((Node::In(Box::new(of?.0), Box::new(list?)), Kind::Bool))
            }
            SyntaxKind::Arithmetic(operator, left, right, at) => self.arithmetic(*operator, left, right, at),
            SyntaxKind::Conditional(condition, then, otherwise) => {
                let condition = self.of_kind(condition, Kind::Bool);
                let (then, otherwise) = (self.node(then), self.node(otherwise));
                let ((then, kind), (otherwise, other_kind)) = (then?, otherwise?);
                let kind = if kind == other_kind { kind } else { Kind::Any };
                Some((Node::Conditional(Box::new([condition?, then, otherwise])), kind))
            }
        }
    }

    fn nodes(&mut self, parts: &[Syntax]) -> Option<Vec<Node>> {
        let nodes: Vec<_> = parts.iter().map(|part| self.node(part)).collect();
        nodes.into_iter().map(|node| Some(node?.0)).collect()
    }

    fn conditions(&mut self, parts: &[Syntax]) -> Option<Vec<Node>> {
        let nodes: Vec<_> = parts.iter().map(|part| self.of_kind(part, Kind::Bool)).collect();
        nodes.into_iter().collect()
    }

    /// Compiles `syntax`, which must have the kind `expected`.
    fn of_kind(&mut self, syntax: &Syntax, expected: Kind) -> Option<Node> {
        let (node, kind) = self.node(syntax)?;
        if kind.fits(expected) {
            return Some(node);
        }
        let message = format!("expected {}, found {}", expected.with_article(), kind.with_article());
        let help = match (expected, kind) {
            (Kind::Bool, Kind::Text) => "compare it: `x == \"...\"`",
            (Kind::Bool, Kind::Number) => "compare it: `x > 0`",
            (Kind::Text, Kind::Number | Kind::Bool) => "convert it: `string(x)`",
            (Kind::Number, Kind::Text) => "convert it: `number(x)`",
            _ => "",
        };
        self.report(codes::TYPE_MISMATCH, &syntax.span, message, help);
        None
    }

    fn name(&mut self, name: &str, syntax: &Syntax) -> Compiled {
        let path = |start| Path {
            start,
            start_name: name.into(),
            members: Box::default(),
            text: name.into(),
            slot: OnceLock::new(),
        };
        if let Some(variable) = self.variables.iter().rposition(|variable| **variable == *name) {
            return Some((Node::Path(path(Start::Variable(variable))), Kind::Any));
        }
        if let Some(root) = self.environment.roots.iter().position(|root| *root == name) {
            return Some((Node::Path(path(Start::Root(root))), Kind::Any));
        }
        if let Some(value) = self.environment.constants.get(name) {
            return Some((Node::Constant(value.clone()), Kind::of(value)));
        }
        let known: Vec<&str> = self
            .environment
            .roots
            .iter()
            .copied()
            .chain(self.environment.constants.keys().copied())
            .chain(self.variables.iter().map(|name| &**name))
            .collect();
        let help = match did_you_mean(name, known.iter().copied()) {
            Some(question) => question,
            None if FUNCTION_NAMES.contains(&name) => format!("`{name}` is a function: write `{name}(...)`"),
            None => format!("a path starts with {}; write text between quotes", listed(&known)),
        };
        self.report(codes::UNKNOWN_NAME, &syntax.span, format!("unknown name `{name}`"), help);
        None
    }

    fn member(&mut self, of: &Syntax, name: &str) -> Compiled {
        match self.node(of)? {
            (Node::Constant(Value::Object(members)), _) => {
                if let Some(value) = members.get(name) {
                    return Some((Node::Constant(value.clone()), Kind::of(value)));
                }
                let known = members.keys().map(String::as_str);
                let help = did_you_mean(name, known.clone())
                    .unwrap_or_else(|| format!("its members are {}", known.collect::<Vec<_>>().join(", ")));
                self.report(codes::UNKNOWN_NAME, &of.span, format!("there is no member `{name}`"), help);
                None
            }
            (Node::Path(mut path), _) => {
                path.members = path.members.iter().cloned().chain([name.into()]).collect();
                path.text = format!("{}.{name}", path.text).into();
                Some((Node::Path(path), Kind::Any))
            }
            (node, Kind::Any | Kind::Object) => Some((Node::Member(Box::new(node), name.into()), Kind::Any)),
            (_, kind) => {
                let message = format!("{} has no members", kind.with_article());
                self.report(codes::TYPE_MISMATCH, &of.span, message, "");
                None
            }
        }
    }

    fn index(&mut self, of: &Syntax, index: &Syntax) -> Compiled {
        let position = self.node(index);
        if let Some((Node::Constant(Value::String(name)), _)) = &position {
            return self.member(of, name);
        }
        let (node, kind) = self.node(of)?;
        let (position, position_kind) = position?;
        if !matches!(kind, Kind::Any | Kind::List | Kind::Object) {
            let message = format!("{} cannot be indexed", kind.with_article());
            self.report(codes::TYPE_MISMATCH, &of.span, message, "");
            return None;
        }
        if !matches!(position_kind, Kind::Any | Kind::Number | Kind::Text) {
            let message = format!("expected a number or a text, found {}", position_kind.with_article());
            self.report(codes::TYPE_MISMATCH, &index.span, message, "");
            return None;
        }
        Some((Node::Index(Box::new(node), Box::new(position)), Kind::Any))
    }

    fn map(&mut self, parts: &[Syntax]) -> Compiled {
        let mut nodes = Vec::new();
        for pair in parts.chunks_exact(2) {
            nodes.push(self.of_kind(&pair[0], Kind::Text));
            nodes.push(self.node(&pair[1]).map(|(node, _)| node));
        }
        let nodes = nodes.into_iter().collect::<Option<Vec<_>>>()?;
        let constants = nodes.chunks_exact(2).map(|pair| match (pair[0].constant(), pair[1].constant()) {
            (Some(Value::String(key)), Some(value)) => Some((key.clone(), value.clone())),
            _ => None,
        });
        let node = match constants.collect::<Option<Map<_, _>>>() {
            Some(members) => Node::Constant(Value::Object(members)),
            None => Node::Object(nodes),
        };
        Some((node, Kind::Object))
    }

    fn relation(&mut self, relation: Relation, left: &Syntax, right: &Syntax, span: &Range<usize>) -> Compiled {
        let (one, other) = (self.node(left), self.node(right));
        let ((one, kind), (other, other_kind)) = (one?, other?);
        let is_equality = relation == Relation::EQUAL || relation == Relation::NOT_EQUAL;
        let has_order = |kind| matches!(kind, Kind::Any | Kind::Number | Kind::Text);
        if !kind.fits(other_kind) || !(is_equality || has_order(kind) && has_order(other_kind)) {
            let message =
                format!("`{}` compares {} with {}", relation.as_str(), kind.with_article(), other_kind.with_article());
            let help = match (kind, other_kind) {
                (Kind::Text, Kind::Number) | (Kind::Number, Kind::Text) => "convert the text: `number(x)`",
                _ => "",
            };
            self.report(codes::TYPE_MISMATCH, span, message, help);
            return None;
        }
        Some((Node::Relation(relation, Box::new(one), Box::new(other)), Kind::Bool))
    }

    fn in_list(&mut self, syntax: &Syntax) -> Option<Node> {
        let (node, kind) = self.node(syntax)?;
        if matches!(kind, Kind::Any | Kind::List | Kind::Object) {
            return Some(node);
        }
        let message = format!("expected a list or an object after `in`, found {}", kind.with_article());
        self.report(codes::TYPE_MISMATCH, &syntax.span, message, "write `x in [\"a\", \"b\"]`");
        None
    }

    fn arithmetic(
        &mut self,
        operator: ArithmeticOperator,
        left: &Syntax,
        right: &Syntax,
        at: &Range<usize>,
    ) -> Compiled {
        let (one, other) = (self.node(left), self.node(right));
        let ((one, kind), (other, other_kind)) = (one?, other?);
        let result = match (kind, operator, other_kind) {
            (Kind::Number, _, Kind::Number | Kind::Any) | (Kind::Any, _, Kind::Number) => Kind::Number,
            (Kind::Text, ArithmeticOperator::Add, Kind::Text | Kind::Any)
            | (Kind::Any, ArithmeticOperator::Add, Kind::Text) => Kind::Text,
            (Kind::List, ArithmeticOperator::Add, Kind::List | Kind::Any)
            | (Kind::Any, ArithmeticOperator::Add, Kind::List) => Kind::List,
            (Kind::Any, _, Kind::Any) => Kind::Any,
            _ => {
                let symbol = operator.as_str();
                let message = format!(
                    "`{symbol}` cannot be applied to {} and {}",
                    kind.with_article(),
                    other_kind.with_article()
                );
                let help = match (kind, operator, other_kind) {
                    (Kind::Text, ArithmeticOperator::Add, Kind::Number) => "convert the number: `x + string(y)`",
                    (Kind::Number, ArithmeticOperator::Add, Kind::Text) => "convert the number: `string(x) + y`",
                    (Kind::Text, ..) | (.., Kind::Text) => {
                        "amounts of money are texts: write `add(x, y)`, `subtract(x, y)` or `multiply(x, y)`"
                    }
                    _ => "",
                };
                self.report(codes::TYPE_MISMATCH, at, message, help);
                return None;
            }
        };
        Some((Node::Arithmetic(operator, Box::new(one), Box::new(other)), result))
    }

    /// Compiles `function(x, y)`, and `x.function(y)` with the same meaning.
    fn call(&mut self, callee: &Syntax, arguments: &[Syntax], span: &Range<usize>) -> Compiled {
        let (name, at, arguments): (&str, &Range<usize>, Vec<&Syntax>) = match &callee.kind {
            SyntaxKind::Name(name) => (name, &callee.span, arguments.iter().collect()),
            SyntaxKind::Member(of, name, at) => (name, at, std::iter::once(&**of).chain(arguments).collect()),
            _ => {
                self.report(codes::SYNTAX, span, "this value is not a function", "");
                return None;
            }
        };
        match name {
            "map" => return self.loop_over(LoopKind::Map, &arguments, name, span),
            "filter" => return self.loop_over(LoopKind::Filter, &arguments, name, span),
            "exists" => return self.loop_over(LoopKind::Exists, &arguments, name, span),
            "all" => return self.loop_over(LoopKind::All, &arguments, name, span),
            "coalesce" | "attempt" => {
                let nodes: Vec<_> = arguments.iter().map(|argument| self.node(argument)).collect();
                let nodes = nodes.into_iter().collect::<Option<Vec<_>>>()?;
                let kind = nodes.first().map_or(Kind::Any, |&(_, kind)| kind);
                let is_same = nodes.iter().all(|&(_, other)| other == kind);
                let least = if name == "coalesce" { 2 } else { 1 };
                if nodes.len() < least {
                    let message = format!("`{name}` needs {least} values or more");
                    self.report(codes::BAD_ARGUMENTS, span, message, "");
                    return None;
                }
                let nodes = nodes.into_iter().map(|(node, _)| node).collect();
                let node = if name == "coalesce" { Node::Coalesce(nodes) } else { Node::Attempt(nodes) };
                return Some((node, if is_same { kind } else { Kind::Any }));
            }
            "pattern" | "format_time" => return self.time_pattern(name, &arguments, span),
            _ => {}
        }
        let Some(function) = function::find(name) else {
            let help = match (did_you_mean(name, FUNCTION_NAMES.iter().copied()), name) {
                (_, "timestamp") => {
                    "write `rfc3339(x)`, `epoch_seconds(x)` or `pattern(x, \"%Y-%m-%d\", \"UTC\")`".into()
                }
                (_, "lowerAscii") => "write `lower(x)`".into(),
                (_, "upperAscii") => "write `upper(x)`".into(),
                (_, "double") => "write `number(x)`".into(),
                (Some(question), _) => question,
                (None, _) => format!("the functions are {}", FUNCTION_NAMES.join(", ")),
            };
            self.report(codes::UNKNOWN_FUNCTION, at, format!("unknown function `{name}`"), help);
            return None;
        };
        self.arguments(function, &arguments, span)
    }

    fn arguments(&mut self, function: &'static Function, arguments: &[&Syntax], span: &Range<usize>) -> Compiled {
        let most = function.parameters.len();
        if arguments.len() < function.required || arguments.len() > most && !function.is_variadic {
            let name = function.name;
            let count =
                if function.required == most { most.to_string() } else { format!("{} or {most}", function.required) };
            let plural = if count == "1" { "value" } else { "values" };
            let message = format!("`{name}` needs {count} {plural}, found {}", arguments.len());
            self.report(codes::BAD_ARGUMENTS, span, message, "");
            return None;
        }
        let nodes: Vec<_> = (arguments.iter().enumerate())
            .map(|(at, argument)| self.of_kind(argument, function.parameters[at.min(most - 1)]))
            .collect();
        let nodes = nodes.into_iter().collect::<Option<Vec<_>>>()?;
        Some((Node::Call(function, nodes), function.result))
    }

    fn time_pattern(&mut self, name: &str, arguments: &[&Syntax], span: &Range<usize>) -> Compiled {
        let example = format!("write `{name}(x, \"%Y-%m-%d %H:%M:%S\", \"Europe/Berlin\")`");
        let (of, format, zone) = match arguments {
            [of, format] => (of, self.constant_text(format), Some("UTC".to_owned())),
            [of, format, zone] => (of, self.constant_text(format), self.constant_text(zone)),
            _ => {
                let message = format!("`{name}` needs a time, a pattern and a time zone");
                self.report(codes::BAD_ARGUMENTS, span, message, example);
                return None;
            }
        };
        let node = self.of_kind(of, Kind::Text);
        let (Some(format), Some(zone)) = (format, zone) else {
            self.report(
                codes::BAD_ARGUMENTS,
                span,
                "the pattern and the time zone must be texts that do not depend on the record",
                example,
            );
            return None;
        };
        let pattern = match TimePattern::new(&format, &zone) {
            Ok(pattern) => pattern,
            Err(message) => {
                self.report(codes::BAD_LITERAL, span, message, "");
                return None;
            }
        };
        let node = Box::new(node?);
        let node = if name == "pattern" { Node::ParseTime(pattern, node) } else { Node::FormatTime(pattern, node) };
        Some((node, Kind::Text))
    }

    fn constant_text(&mut self, syntax: &Syntax) -> Option<String> {
        match self.node(syntax)? {
            (Node::Constant(Value::String(text)), _) => Some(text),
            _ => None,
        }
    }

    /// Compiles `list.map(x, ...)`: the second argument is evaluated with each item as `x`.
    fn loop_over(&mut self, kind: LoopKind, arguments: &[&Syntax], name: &str, span: &Range<usize>) -> Compiled {
        let [list, variable, body] = arguments else {
            let help = format!("write `list.{name}(item, ...)`, with an expression that reads `item`");
            self.report(codes::BAD_ARGUMENTS, span, format!("`{name}` needs a list, a name and an expression"), help);
            return None;
        };
        let SyntaxKind::Name(variable) = &variable.kind else {
            let message = "expected a name for the items of the list";
            self.report(codes::BAD_ARGUMENTS, &variable.span, message, format!("write `list.{name}(item, ...)`"));
            return None;
        };
        let list = self.of_kind(list, Kind::List);
        self.variables.push(variable.clone());
        let body =
            if kind == LoopKind::Map { self.node(body).map(|(node, _)| node) } else { self.of_kind(body, Kind::Bool) };
        self.variables.pop();
        let result = if matches!(kind, LoopKind::Map | LoopKind::Filter) { Kind::List } else { Kind::Bool };
        Some((Node::Loop(kind, Box::new([list?, body?])), result))
    }
}

/// Joins names for a message: "`a`, `b` or `c`".
fn listed(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
