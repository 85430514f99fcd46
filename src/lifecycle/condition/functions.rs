//! Compiles calls. The scope resolves fact constructors (`last(...)`) first; all other calls are built-in functions.

use std::ops::Range;

use super::compile::{Compiler, type_with_article};
use super::literal;
use super::operation::Function;
use super::problem::{ExpressionProblem, codes};
use super::syntax::{Argument, Syntax, SyntaxKind};
use super::term::{Term, TermKind};
use crate::lifecycle::rfc3339::parse_timestamp;
use crate::lifecycle::suggest::did_you_mean;
use crate::lifecycle::value::{OwnedValue, Type};

/// The built-in functions.
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

/// The built-in methods of strings: `name.startsWith("A")`.
const METHODS: [&str; 4] = ["startsWith", "endsWith", "contains", "size"];

/// Functions of other languages, each with what to write instead.
const FOREIGN_FUNCTIONS: [(&str, &str); 24] = [
    ("now", "write `now` without parentheses"),
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
    ("matches", "patterns are not supported: use `startsWith`, `endsWith` or `contains`"),
    ("least", "write `min(a, b)`"),
    ("greatest", "write `max(a, b)`"),
    ("float", "write `double(x)`"),
];

impl Compiler<'_> {
    pub(super) fn call(&mut self, callee: &Syntax, arguments: &[Syntax], span: &Range<usize>) -> Option<Term> {
        if let Some(path) = callee.path() {
            let parsed: Vec<_> = arguments.iter().map(|syntax| Argument { syntax }).collect();
            if let Some(binding) = self.scope.call(&path, &parsed, span.clone()) {
                return self.bound_term(binding, span);
            }
        }
        match &callee.kind {
            SyntaxKind::Name(name) if FUNCTIONS.contains(&name.as_ref()) => self.function(name, arguments, span),
            SyntaxKind::Member(of, name, _) if METHODS.contains(&name.as_ref()) => {
                let of = self.term_without_now(of, "a function");
                self.string_method(name, of, arguments, span)
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
            return problem.help(format!("write `{path}` without parentheses"));
        }
        let problem = ExpressionProblem::new(codes::UNKNOWN_FUNCTION, at.clone(), format!("unknown function `{path}`"));
        let lower = name.to_ascii_lowercase();
        if let Some((_, help)) = FOREIGN_FUNCTIONS.iter().find(|(foreign, _)| *foreign == lower) {
            return problem.help(*help);
        }
        if name.starts_with("get") {
            return problem
                .help("calendar fields depend on a time zone and are not supported; compare timestamps and durations");
        }
        let names = self.scope.suggestions();
        let known = names.iter().map(String::as_str).chain(FUNCTIONS);
        match did_you_mean(path, known).or_else(|| did_you_mean(name, METHODS)) {
            Some(question) => problem.help(question),
            None => problem,
        }
    }

    /// Checks the number of arguments and reports a mismatch with `usage`, an example call.
    fn check_argument_count(
        &mut self,
        arguments: &[Syntax],
        count: usize,
        usage: &str,
        span: &Range<usize>,
    ) -> Option<()> {
        if arguments.len() == count {
            return Some(());
        }
        let expected = if count == 1 { "1 argument".into() } else { format!("{count} arguments") };
        let message = format!("this function takes {expected}, not {}", arguments.len());
        self.report(
            ExpressionProblem::new(codes::BAD_ARGUMENTS, span.clone(), message).help(format!("write `{usage}`")),
        );
        None
    }

    fn wrong_argument(&mut self, argument: &Syntax, found: Type, expected: &str, help: String) -> Option<Term> {
        let message = format!("this function takes {expected}, not {}", type_with_article(found));
        self.report(ExpressionProblem::new(codes::TYPE_MISMATCH, argument.span.clone(), message).help(help));
        None
    }

    fn function(&mut self, name: &str, arguments: &[Syntax], span: &Range<usize>) -> Option<Term> {
        if name == "min" || name == "max" {
            return self.least_or_greatest(name, arguments, span);
        }
        let usage = match name {
            "days" | "hours" | "minutes" | "seconds" => format!("{name}(30)"),
            "duration" => "duration(\"90d\")".into(),
            "timestamp" => "timestamp(\"2026-01-01T00:00:00Z\")".into(),
            _ => format!("{name}(x)"),
        };
        self.check_argument_count(arguments, 1, &usage, span)?;
        let argument = &arguments[0];
        let of = self.term_without_now(argument, &format!("`{name}`"))?;
        let found = of.value_type;
        let (function, value_type) = match (name, found) {
            ("timestamp", Type::Timestamp)
            | ("int", Type::Int)
            | ("double", Type::Double)
            | ("string", Type::String) => return Some(of),
            ("has", _) => (Function::Has, Type::Bool),
            ("days", Type::Int) => (Function::DurationOf(86_400_000), Type::Duration),
            ("hours", Type::Int) => (Function::DurationOf(3_600_000), Type::Duration),
            ("minutes", Type::Int) => (Function::DurationOf(60_000), Type::Duration),
            ("seconds", Type::Int) => (Function::DurationOf(1_000), Type::Duration),
            ("days" | "hours" | "minutes" | "seconds", _) => {
                let help = match (found, argument.text()) {
                    (Type::String, Some(text)) if text.trim().parse::<i64>().is_ok() => {
                        format!("write the number without quotes: `{name}({})`", text.trim())
                    }
                    (Type::String, _) => "write a duration with a unit as `duration(\"90d\")`".into(),
                    (Type::Double, _) => "use a smaller unit: `hours(36)` for one day and a half".into(),
                    (Type::Duration, _) => "this is already a duration: remove the function".into(),
                    _ => format!("write `{usage}`"),
                };
                return self.wrong_argument(argument, found, "a whole number", help);
            }
            ("duration", _) => return self.duration(argument, of),
            ("timestamp", Type::String | Type::Int) => {
                if let Some(OwnedValue::String(text)) = of.as_constant()
                    && parse_timestamp(text).is_err()
                {
                    let message = "this is not a valid timestamp";
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
            ("string", _) => return self.constant_text(argument, &of),
            _ => return self.wrong_argument(argument, found, accepted_by(name), format!("write `{usage}`")),
        };
        self.fold_constant(Term { value_type, kind: TermKind::Call(function, vec![of]) }, span)
    }

    fn duration(&mut self, argument: &Syntax, of: Term) -> Option<Term> {
        if of.value_type == Type::Duration {
            return Some(of);
        }
        let problem = match of.as_constant() {
            Some(OwnedValue::String(text)) => match literal::duration(text) {
                Ok(duration) => return Some(Term::constant(OwnedValue::Duration(duration))),
                Err(message) => {
                    ExpressionProblem::new(codes::BAD_LITERAL, argument.span.clone(), "this is not a valid duration")
                        .help(message)
                }
            },
            Some(OwnedValue::Int(number)) => {
                let message = "this function takes text with a unit, not an int";
                ExpressionProblem::new(codes::TYPE_MISMATCH, argument.span.clone(), message)
                    .help(format!("write `days({number})`"))
            }
            _ => ExpressionProblem::new(
                codes::NOT_CONSTANT,
                argument.span.clone(),
                "a duration given as text must be a constant",
            )
            .help("for a duration that depends on the customer, write `days(n)`"),
        };
        self.report(problem);
        None
    }

    /// Converts a constant to text. Facts are rejected, because evaluation does not allocate.
    fn constant_text(&mut self, argument: &Syntax, of: &Term) -> Option<Term> {
        let text = match of.as_constant() {
            Some(OwnedValue::Int(number)) => number.to_string(),
            Some(OwnedValue::Double(number)) => number.to_string(),
            Some(OwnedValue::Bool(truth)) => truth.to_string(),
            _ => {
                let message = "a fact cannot be converted to text";
                let problem = ExpressionProblem::new(codes::UNSUPPORTED, argument.span.clone(), message);
                self.report(problem.help("compare the fact itself: `x == 3` rather than `string(x) == \"3\"`"));
                return None;
            }
        };
        Some(Term::constant(OwnedValue::String(text.into())))
    }

    /// Compiles `min` and `max`.
    fn least_or_greatest(&mut self, name: &str, arguments: &[Syntax], span: &Range<usize>) -> Option<Term> {
        let construct = format!("`{name}`");
        let terms: Vec<_> = arguments.iter().map(|argument| self.term_without_now(argument, &construct)).collect();
        let terms = terms.into_iter().collect::<Option<Vec<_>>>()?;
        if terms.len() < 2 {
            let message = "this function takes at least 2 arguments";
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
                    let help = "all arguments must have the same type".into();
                    return self.wrong_argument(argument, found, type_with_article(known), help);
                }
            };
        }
        let terms = arguments.iter().zip(terms).map(|(argument, term)| self.coerce(argument, term, value_type));
        let terms = terms.collect::<Option<Vec<_>>>()?;
        let function = if name == "min" { Function::Least } else { Function::Greatest };
        self.fold_constant(Term { value_type, kind: TermKind::Call(function, terms) }, span)
    }

    fn string_method(
        &mut self,
        name: &str,
        of: Option<Term>,
        arguments: &[Syntax],
        span: &Range<usize>,
    ) -> Option<Term> {
        let (function, value_type, count) = match name {
            "startsWith" => (Function::StartsWith, Type::Bool, 1),
            "endsWith" => (Function::EndsWith, Type::Bool, 1),
            "contains" => (Function::Contains, Type::Bool, 1),
            _ => (Function::Size, Type::Int, 0),
        };
        let usage = if count == 1 { format!("x.{name}(\"...\")") } else { format!("x.{name}()") };
        self.check_argument_count(arguments, count, &usage, span)?;
        let parts: Vec<_> = arguments.iter().map(|argument| self.term_without_now(argument, "a function")).collect();
        let mut terms = vec![of?];
        for (argument, part) in arguments.iter().zip(parts) {
            let part = part?;
            if part.value_type != Type::String {
                let help = "write text between quotes".into();
                return self.wrong_argument(argument, part.value_type, "a string", help);
            }
            terms.push(part);
        }
        if terms[0].value_type != Type::String {
            let message = format!("`{name}` is a method of strings, not of {}", type_with_article(terms[0].value_type));
            self.report(ExpressionProblem::new(codes::TYPE_MISMATCH, span.clone(), message));
            return None;
        }
        self.fold_constant(Term { value_type, kind: TermKind::Call(function, terms) }, span)
    }
}

fn accepted_by(function: &str) -> &'static str {
    match function {
        "size" => "a string",
        "int" => "a double, a string or a timestamp",
        "double" => "an int or a string",
        _ => "a string or an int",
    }
}
