//! Calls: facts that the scope makes first, then the built-in functions.

use std::ops::Range;

use super::compile::{Compiler, named};
use super::literal;
use super::problem::{ExpressionProblem, codes};
use super::scope::{Argument, Constant};
use super::suggest::nearest;
use super::syntax::{Syntax, SyntaxKind};
use super::term::{Function, Term, TermKind};
use crate::lifecycle::rfc3339::parse_timestamp;
use crate::lifecycle::value::Type;

/// The built-in functions, as a call writes them.
const FUNCTIONS: [&str; 13] = [
    "days",
    "hours",
    "minutes",
    "seconds",
    "duration",
    "timestamp",
    "has",
    "size",
    "int",
    "double",
    "string",
    "min",
    "max",
];

/// The built-in functions that stand behind a text: `name.startsWith("A")`.
const METHODS: [&str; 4] = ["startsWith", "endsWith", "contains", "size"];

/// What other languages call, and what to write here.
const SLIPS: [(&str, &str); 24] = [
    ("now", "write `now` without brackets"),
    ("today", "write `now`"),
    ("current_timestamp", "write `now`"),
    ("getdate", "write `now`"),
    ("week", "write `days(7)`"),
    ("weeks", "write `days(7 * n)`"),
    ("day", "write `days(n)`"),
    ("hour", "write `hours(n)`"),
    ("months", "a month has no fixed length: write `days(30)`"),
    ("years", "a year has no fixed length: write `days(365)`"),
    ("datediff", "write `now - x >= days(30)`"),
    ("date_diff", "write `now - x >= days(30)`"),
    ("date_add", "write `x + days(30)`"),
    ("dateadd", "write `x + days(30)`"),
    ("len", "write `size(x)`"),
    ("length", "write `size(x)`"),
    ("coalesce", "write `has(x) ? x : 0`"),
    ("ifnull", "write `has(x) ? x : 0`"),
    ("isnull", "write `!has(x)`"),
    ("exists", "write `has(x)`"),
    ("matches", "there are no patterns: use `startsWith`, `endsWith` or `contains`"),
    ("least", "write `min(a, b)`"),
    ("greatest", "write `max(a, b)`"),
    ("float", "write `double(x)`"),
];

impl Compiler<'_> {
    pub(super) fn call(&mut self, callee: &Syntax, arguments: &[Syntax], span: &Range<usize>) -> Option<Term> {
        if let Some(path) = callee.path() {
            let parsed: Vec<_> = arguments.iter().map(|syntax| Argument { syntax }).collect();
            if let Some(named) = self.scope.call(&path, &parsed, span.clone()) {
                return self.resolved(named, span);
            }
        }
        match &callee.kind {
            SyntaxKind::Name(name) if FUNCTIONS.contains(&name.as_ref()) => self.function(name, arguments, span),
            SyntaxKind::Member(of, name, _) if METHODS.contains(&name.as_ref()) => {
                let of = self.closed(of, "a function");
                self.method(name, of, arguments, span)
            }
            _ => {
                let problem = self.unknown_function(callee);
                self.report(problem);
                None
            }
        }
    }

    fn unknown_function(&mut self, callee: &Syntax) -> ExpressionProblem {
        let path = callee.path();
        let (name, at) = match &callee.kind {
            SyntaxKind::Member(_, name, at) => (name.as_ref(), at),
            SyntaxKind::Name(name) => (name.as_ref(), &callee.span),
            _ => ("", &callee.span),
        };
        let path = path.as_deref().unwrap_or(name);
        if let Some(Ok(_)) = self.scope.name(path, callee.span.clone()) {
            let message = format!("`{path}` is a value, not a function");
            let problem = ExpressionProblem::new(codes::UNKNOWN_FUNCTION, callee.span.clone(), message);
            return problem.help(format!("write `{path}` without brackets"));
        }
        let problem = ExpressionProblem::new(codes::UNKNOWN_FUNCTION, at.clone(), format!("unknown function `{path}`"));
        let lower = name.to_ascii_lowercase();
        if let Some((_, help)) = SLIPS.iter().find(|(slip, _)| *slip == lower) {
            return problem.help(*help);
        }
        if name.starts_with("get") {
            return problem.help("calendar parts depend on a time zone; compare with instants and lengths of time");
        }
        let names = self.scope.suggestions();
        let known = names.iter().map(String::as_str).chain(FUNCTIONS);
        let near = nearest(path, known).or_else(|| nearest(name, METHODS));
        match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem,
        }
    }

    /// Checks the number of arguments; `usage` shows the call.
    fn counted(&mut self, arguments: &[Syntax], count: usize, usage: &str, span: &Range<usize>) -> Option<()> {
        if arguments.len() == count {
            return Some(());
        }
        let wants = if count == 1 { "1 argument".into() } else { format!("{count} arguments") };
        let message = format!("this function wants {wants}, not {}", arguments.len());
        self.report(
            ExpressionProblem::new(codes::BAD_ARGUMENTS, span.clone(), message).help(format!("write `{usage}`")),
        );
        None
    }

    fn wrong_argument(&mut self, argument: &Syntax, found: Type, wants: &str, help: String) -> Option<Term> {
        let message = format!("this function wants {wants}, not {}", named(found));
        self.report(ExpressionProblem::new(codes::TYPE_MISMATCH, argument.span.clone(), message).help(help));
        None
    }

    fn function(&mut self, name: &str, arguments: &[Syntax], span: &Range<usize>) -> Option<Term> {
        if name == "min" || name == "max" {
            return self.extreme(name, arguments, span);
        }
        let usage = match name {
            "days" | "hours" | "minutes" | "seconds" => format!("{name}(30)"),
            "duration" => "duration(\"90d\")".into(),
            "timestamp" => "timestamp(\"2026-01-01T00:00:00Z\")".into(),
            _ => format!("{name}(x)"),
        };
        self.counted(arguments, 1, &usage, span)?;
        let argument = &arguments[0];
        let of = self.closed(argument, &format!("`{name}`"))?;
        let found = of.value_type;
        let (function, value_type) = match (name, found) {
            ("timestamp", Type::Timestamp)
            | ("int", Type::Int)
            | ("double", Type::Double)
            | ("string", Type::String) => return Some(of),
            ("has", _) => (Function::Has, Type::Bool),
            ("days", Type::Int) => (Function::Length(86_400_000), Type::Duration),
            ("hours", Type::Int) => (Function::Length(3_600_000), Type::Duration),
            ("minutes", Type::Int) => (Function::Length(60_000), Type::Duration),
            ("seconds", Type::Int) => (Function::Length(1_000), Type::Duration),
            ("days" | "hours" | "minutes" | "seconds", _) => {
                let help = match (found, argument.text()) {
                    (Type::String, Some(text)) if text.trim().parse::<i64>().is_ok() => {
                        format!("write the number without quotes: `{name}({})`", text.trim())
                    }
                    (Type::String, _) => "a length with a unit is `duration(\"90d\")`".into(),
                    (Type::Double, _) => "use a smaller unit: `hours(36)` for one day and a half".into(),
                    (Type::Duration, _) => "this is a length of time already: leave the function out".into(),
                    _ => format!("write `{usage}`"),
                };
                return self.wrong_argument(argument, found, "a whole number", help);
            }
            ("duration", _) => return self.duration(argument, of),
            ("timestamp", Type::String | Type::Int) => {
                if let Some(Constant::String(text)) = of.as_constant()
                    && parse_timestamp(text).is_err()
                {
                    let message = "this is no instant";
                    let problem = ExpressionProblem::new(codes::BAD_LITERAL, argument.span.clone(), message);
                    let help = "write date, time and zone: \"2026-01-31T00:00:00Z\"";
                    self.report(problem.help(help));
                    return None;
                }
                (Function::Timestamp, Type::Timestamp)
            }
            ("size", Type::String) => (Function::Size, Type::Int),
            ("int", Type::Double | Type::String | Type::Timestamp) => (Function::Int, Type::Int),
            ("double", Type::Int | Type::String) => (Function::Double, Type::Double),
            ("string", _) => return self.text(argument, &of),
            _ => return self.wrong_argument(argument, found, wanted_by(name), format!("write `{usage}`")),
        };
        self.folded(Term { value_type, kind: TermKind::Call(function, vec![of]) }, span)
    }

    fn duration(&mut self, argument: &Syntax, of: Term) -> Option<Term> {
        if of.value_type == Type::Duration {
            return Some(of);
        }
        let problem = match of.as_constant() {
            Some(Constant::String(text)) => match literal::duration(text) {
                Ok(length) => return Some(Term::constant(Constant::Duration(length))),
                Err(message) => {
                    ExpressionProblem::new(codes::BAD_LITERAL, argument.span.clone(), "this is no length of time")
                        .help(message)
                }
            },
            Some(Constant::Int(number)) => {
                let message = "this function wants text with a unit, not an int";
                ExpressionProblem::new(codes::TYPE_MISMATCH, argument.span.clone(), message)
                    .help(format!("write `days({number})`"))
            }
            _ => ExpressionProblem::new(
                codes::NOT_CONSTANT,
                argument.span.clone(),
                "a length written as text has to be known beforehand",
            )
            .help("a length that depends on the customer is `days(n)`"),
        };
        self.report(problem);
        None
    }

    /// Text out of a constant: evaluation makes no new text.
    fn text(&mut self, argument: &Syntax, of: &Term) -> Option<Term> {
        let text = match of.as_constant() {
            Some(Constant::Int(number)) => number.to_string(),
            Some(Constant::Double(number)) => number.to_string(),
            Some(Constant::Bool(truth)) => truth.to_string(),
            _ => {
                let message = "new text cannot be made out of a fact";
                let problem = ExpressionProblem::new(codes::UNSUPPORTED, argument.span.clone(), message);
                self.report(problem.help("compare the fact itself: `x == 3` rather than `string(x) == \"3\"`"));
                return None;
            }
        };
        Some(Term::constant(Constant::String(text.into())))
    }

    /// `min` and `max`.
    fn extreme(&mut self, name: &str, arguments: &[Syntax], span: &Range<usize>) -> Option<Term> {
        let place = format!("`{name}`");
        let terms: Vec<_> = arguments.iter().map(|argument| self.closed(argument, &place)).collect();
        let terms = terms.into_iter().collect::<Option<Vec<_>>>()?;
        if terms.len() < 2 {
            let message = "this function wants at least 2 arguments";
            let problem = ExpressionProblem::new(codes::BAD_ARGUMENTS, span.clone(), message);
            self.report(problem.help(format!("write `{name}(a, b)`")));
            return None;
        }
        let mut value_type = terms[0].value_type;
        for (argument, term) in arguments.iter().zip(&terms) {
            value_type = match (value_type, term.value_type) {
                (Type::Bool, _) | (_, Type::Bool) => {
                    let help = "write `a && b` or `a || b`".into();
                    return self.wrong_argument(argument, Type::Bool, "numbers, times or texts", help);
                }
                (known, found) if known == found => known,
                (Type::Int | Type::Double, Type::Int | Type::Double) => Type::Double,
                (known, found) => {
                    let help = "all arguments have to be of one type".into();
                    return self.wrong_argument(argument, found, named(known), help);
                }
            };
        }
        let terms = arguments.iter().zip(terms).map(|(argument, term)| self.wanted(argument, term, value_type));
        let terms = terms.collect::<Option<Vec<_>>>()?;
        let function = if name == "min" { Function::Least } else { Function::Greatest };
        self.folded(Term { value_type, kind: TermKind::Call(function, terms) }, span)
    }

    fn method(&mut self, name: &str, of: Option<Term>, arguments: &[Syntax], span: &Range<usize>) -> Option<Term> {
        let (function, value_type, count) = match name {
            "startsWith" => (Function::StartsWith, Type::Bool, 1),
            "endsWith" => (Function::EndsWith, Type::Bool, 1),
            "contains" => (Function::Contains, Type::Bool, 1),
            _ => (Function::Size, Type::Int, 0),
        };
        let usage = if count == 1 { format!("x.{name}(\"...\")") } else { format!("x.{name}()") };
        self.counted(arguments, count, &usage, span)?;
        let parts: Vec<_> = arguments.iter().map(|argument| self.closed(argument, "a function")).collect();
        let mut terms = vec![of?];
        for (argument, part) in arguments.iter().zip(parts) {
            let part = part?;
            if part.value_type != Type::String {
                let help = "text stands between quotes".into();
                return self.wrong_argument(argument, part.value_type, "a string", help);
            }
            terms.push(part);
        }
        if terms[0].value_type != Type::String {
            let message = format!("`{name}` stands behind a string, not behind {}", named(terms[0].value_type));
            self.report(ExpressionProblem::new(codes::TYPE_MISMATCH, span.clone(), message));
            return None;
        }
        self.folded(Term { value_type, kind: TermKind::Call(function, terms) }, span)
    }
}

fn wanted_by(function: &str) -> &'static str {
    match function {
        "size" => "a string",
        "int" => "a double, a string or a timestamp",
        "double" => "an int or a string",
        _ => "a string or an int",
    }
}
