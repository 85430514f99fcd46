//! Compiles expressions: resolves names, checks types, folds constants, and reports all problems at once.
//!
//! A sub-expression with a problem has no term. The expression around it is still checked, but without follow-up
//! errors.

use std::ops::Range;

use super::code::Code;
use super::limits::{DEPTH_MAX, NODES_MAX};
use super::lower::lower;
use super::operation::Function;
use super::parser;
use super::problem::{ExpressionProblem, codes};
use super::program::{Condition, Program};
use super::scope::{Binding, Scope};
use super::syntax::{Argument, Dialect, Syntax, SyntaxKind};
use super::term::{Term, TermKind};
use crate::lifecycle::suggest::did_you_mean;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::value::{Horizon, Inputs, OwnedValue, Slot, Type, Value};

/// Compiles `text`. If `expected` is given, the value must have that type; an int is accepted for a
/// double.
///
/// # Errors
/// Returns every problem of the text, in order of appearance.
pub fn compile(text: &str, expected: Option<Type>, scope: &mut dyn Scope) -> Result<Condition, Vec<ExpressionProblem>> {
    let (syntax, problems) = parser::parse(text, Dialect::Conditions);
    let mut compiler = Compiler { text, scope, problems, inlined_nodes: 0 };
    let term = syntax.and_then(|syntax| compiler.compile_root(&syntax, expected));
    let mut problems = compiler.problems;
    match term {
        Some(term) if problems.is_empty() => {
            Ok(Condition { text: collapse_whitespace(text).into(), program: Program::new(term) })
        }
        _ => {
            problems.sort_by_key(|problem| (problem.span.start, problem.span.end));
            problems.dedup();
            remove_follow_ups(&mut problems);
            Err(problems)
        }
    }
}

/// Removes the type mismatches around an invalid literal: the type of `90d` is a guess.
fn remove_follow_ups(problems: &mut Vec<ExpressionProblem>) {
    let is_literal = |problem: &&ExpressionProblem| problem.code == codes::BAD_LITERAL;
    let literals: Vec<Range<usize>> = problems.iter().filter(is_literal).map(|problem| problem.span.clone()).collect();
    let is_around = |span: &Range<usize>| literals.iter().any(|it| span.start <= it.start && it.end <= span.end);
    problems.retain(|problem| problem.code != codes::TYPE_MISMATCH || !is_around(&problem.span));
}

impl Argument<'_> {
    /// Evaluates the argument to a constant of type `expected`, resolving names with `scope`.
    ///
    /// # Errors
    /// Returns every problem of the argument, including that it is not a constant or has another type.
    pub fn constant(&self, expected: Type, scope: &mut dyn Scope) -> Result<OwnedValue, Vec<ExpressionProblem>> {
        let mut compiler = Compiler { text: "", scope, problems: Vec::new(), inlined_nodes: 0 };
        let term = compiler.compile_root(self.syntax, Some(expected));
        let mut problems = compiler.problems;
        match term {
            Some(Term { kind: TermKind::Constant(constant), .. }) if problems.is_empty() => Ok(constant),
            Some(_) if problems.is_empty() => {
                let message = "this must be a constant, but it depends on the customer or the time";
                let problem = ExpressionProblem::new(codes::NOT_CONSTANT, self.span(), message);
                Err(vec![problem.help(format!("write a constant: {}", example(expected)))])
            }
            _ => {
                problems.sort_by_key(|problem| problem.span.start);
                Err(problems)
            }
        }
    }
}

/// Replaces each run of white space outside quotes by one space and trims both ends.
fn collapse_whitespace(text: &str) -> String {
    let (tokens, _) = super::lexer::tokens(text, Dialect::Conditions);
    let mut collapsed = String::with_capacity(text.len());
    let mut end = 0;
    for token in tokens {
        if token.span.start > end && !collapsed.is_empty() && !token.span.is_empty() {
            collapsed.push(' ');
        }
        collapsed.push_str(&text[token.span.clone()]);
        end = token.span.end;
    }
    collapsed
}

/// Returns the name of a type as messages use it: "an int", "a string".
pub(super) fn type_with_article(value_type: Type) -> &'static str {
    match value_type {
        Type::Int => "an int",
        Type::Double => "a double",
        Type::Bool => "a bool",
        Type::String => "a string",
        Type::Timestamp => "a timestamp",
        Type::Duration => "a duration",
    }
}

fn example(value_type: Type) -> &'static str {
    match value_type {
        Type::Int => "a number such as `3`",
        Type::Double => "a number such as `2.5`",
        Type::Bool => "`true` or `false`",
        Type::String => "text such as `\"nps\"`",
        Type::Timestamp => "a timestamp such as `timestamp(\"2026-01-01T00:00:00Z\")`",
        Type::Duration => "a duration such as `days(90)`",
    }
}

/// Inputs for constant folding, where no slot is read.
struct NoInputs;

impl Inputs for NoInputs {
    fn read(&self, _slot: Slot, _now: Timestamp, _horizon: &mut Horizon) -> Value<'_> {
        Value::Absent
    }
}

pub(super) struct Compiler<'a> {
    /// The text of the expression if available, quoted in suggestions; otherwise empty.
    text: &'a str,
    pub(super) scope: &'a mut dyn Scope,
    problems: Vec<ExpressionProblem>,
    /// Number of terms inlined from named conditions.
    inlined_nodes: usize,
}

impl Compiler<'_> {
    pub(super) fn report(&mut self, problem: ExpressionProblem) {
        self.problems.push(problem);
    }

    /// Returns the text of `syntax` for use in suggestions, or the placeholder `x` if the text is long or unavailable.
    pub(super) fn quoted(&self, syntax: &Syntax) -> &str {
        self.text.get(syntax.span.clone()).filter(|text| text.len() <= 60).unwrap_or("x")
    }

    /// Like [`quoted`](Self::quoted), in parentheses if an adjacent operator could change the meaning.
    pub(super) fn operand(&self, syntax: &Syntax) -> String {
        let text = self.quoted(syntax);
        let is_whole = syntax.call().is_some() || syntax.kind.children().next().is_none() || text.starts_with('(');
        if is_whole || matches!(syntax.kind, SyntaxKind::Member(..)) { text.into() } else { format!("({text})") }
    }

    fn compile_root(&mut self, syntax: &Syntax, expected: Option<Type>) -> Option<Term> {
        let term = self.term(syntax, None)?;
        let term = match expected {
            Some(expected) => self.coerce(syntax, term, expected)?,
            None => term,
        };
        if term.varies_with_now() {
            let message = "this value changes every millisecond";
            let problem = ExpressionProblem::new(codes::UNSOLVABLE_TIME, syntax.span.clone(), message);
            self.report(problem.help("compare it, as in `now >= x + days(90)` or `now - x < days(30)`"));
            return None;
        }
        if term.size() > NODES_MAX || term.height() > DEPTH_MAX {
            self.report(too_large(syntax.span.clone()));
            return None;
        }
        Some(term)
    }

    /// Checks that `term` has the type `expected`; converts an int to a double.
    pub(super) fn coerce(&mut self, syntax: &Syntax, term: Term, expected: Type) -> Option<Term> {
        if term.value_type == expected {
            return Some(term);
        }
        if expected == Type::Double && term.value_type == Type::Int {
            let term = Term { value_type: Type::Double, kind: TermKind::Call(Function::Double, vec![term]) };
            return self.fold_constant(term, &syntax.span);
        }
        let message = format!("expected {}, found {}", type_with_article(expected), type_with_article(term.value_type));
        let text = self.operand(syntax);
        let help = match (expected, term.value_type) {
            (Type::Bool, Type::Int | Type::Double) => format!("compare it: `{text} > 0`"),
            (Type::Bool, Type::Timestamp | Type::Duration) if term.varies_with_now() => {
                "compare it, as in `now >= x + days(90)`".into()
            }
            (Type::Bool, Type::Timestamp) => format!("test whether it is set, `has({text})`, or compare it with `now`"),
            (Type::Bool, Type::Duration) => format!("compare it: `{text} > days(30)`"),
            (Type::Bool, Type::String) => format!("compare it: `{text} == \"...\"`"),
            (Type::Duration, Type::Int) => format!("write `days({text})`"),
            (Type::Int | Type::Double, Type::Bool) => format!("write `{text} ? 1 : 0`"),
            _ => format!("write {}", example(expected)),
        };
        self.report(ExpressionProblem::new(codes::TYPE_MISMATCH, syntax.span.clone(), message).help(help));
        None
    }

    /// Returns the term of `syntax`. `sibling_type` is the type of the other operand of a comparison, for suggestions.
    pub(super) fn term(&mut self, syntax: &Syntax, sibling_type: Option<Type>) -> Option<Term> {
        let span = &syntax.span;
        match &syntax.kind {
            SyntaxKind::Int(number) => Some(Term::constant(OwnedValue::Int(*number))),
            SyntaxKind::Double(number) => Some(Term::constant(OwnedValue::Double(*number))),
            SyntaxKind::String(text) => Some(Term::constant(OwnedValue::String(text.clone()))),
            SyntaxKind::Bool(truth) => Some(Term::constant(OwnedValue::Bool(*truth))),
            SyntaxKind::Name(name) if **name == *"now" => {
                Some(Term { value_type: Type::Timestamp, kind: TermKind::Now })
            }
            SyntaxKind::Name(_) | SyntaxKind::Member(..) => self.name(syntax, sibling_type),
            SyntaxKind::Call(callee, arguments) => self.call(callee, arguments, span),
            SyntaxKind::List(_) => {
                let message = "a list is only allowed to the right of `in`";
                let problem = ExpressionProblem::new(codes::UNSUPPORTED, span.clone(), message);
                self.report(problem.help("write `x in [1, 2, 3]`"));
                None
            }
            // The dialect of conditions does not contain them, so its parser has reported them already.
            SyntaxKind::Null | SyntaxKind::Index(..) | SyntaxKind::Map(_) => {
                let message = "this value is not supported in conditions";
                self.report(ExpressionProblem::new(codes::UNSUPPORTED, span.clone(), message));
                None
            }
            SyntaxKind::Not(of) => {
                let of = self.bool_term(of)?;
                self.fold_constant(Term::boolean(TermKind::Not(Box::new(of))), span)
            }
            SyntaxKind::And(parts) => self.and_or(parts, true),
            SyntaxKind::Or(parts) => self.and_or(parts, false),
            SyntaxKind::Negate(of) => self.negation(of, span),
            SyntaxKind::Relation(relation, left, right, operator_span) => {
                self.relation(*relation, left, right, operator_span)
            }
            SyntaxKind::In(of, list) => self.list_membership(of, list, span),
            SyntaxKind::Arithmetic(operator, left, right, operator_span) => {
                self.arithmetic(*operator, left, right, operator_span)
            }
            SyntaxKind::Conditional(condition, then, otherwise) => self.conditional(condition, then, otherwise, span),
        }
    }

    /// Returns the term of `syntax`, which must be a bool.
    fn bool_term(&mut self, syntax: &Syntax) -> Option<Term> {
        let term = self.term(syntax, None)?;
        self.coerce(syntax, term, Type::Bool)
    }

    /// Returns the term of `&&` or `||`, with nested chains flattened and constants folded.
    fn and_or(&mut self, parts: &[Syntax], is_all: bool) -> Option<Term> {
        let terms: Vec<_> = parts.iter().map(|part| self.bool_term(part)).collect();
        let mut flat = Vec::new();
        for term in terms.into_iter().collect::<Option<Vec<_>>>()? {
            match term.kind {
                TermKind::And(inner) if is_all => flat.extend(inner),
                TermKind::Or(inner) if !is_all => flat.extend(inner),
                TermKind::Constant(OwnedValue::Bool(truth)) if truth == is_all => {}
                TermKind::Constant(OwnedValue::Bool(_)) => return Some(Term::constant(OwnedValue::Bool(!is_all))),
                kind => flat.push(Term::boolean(kind)),
            }
        }
        if flat.is_empty() {
            return Some(Term::constant(OwnedValue::Bool(is_all)));
        }
        // A bare fact stays wrapped in `&&` or `||`, because an absent operand is false there.
        if flat.len() == 1 && flat[0].is_definite() {
            return flat.pop();
        }
        Some(Term::boolean(if is_all { TermKind::And(flat) } else { TermKind::Or(flat) }))
    }

    fn conditional(
        &mut self,
        condition: &Syntax,
        then: &Syntax,
        otherwise: &Syntax,
        span: &Range<usize>,
    ) -> Option<Term> {
        let condition = self.bool_term(condition);
        let (first, second) = (self.term_without_now(then, "`?`"), self.term_without_now(otherwise, "`?`"));
        let (condition, first, second) = (condition?, first?, second?);
        let value_type = match (first.value_type, second.value_type) {
            (one, other) if one == other => one,
            (Type::Int | Type::Double, Type::Int | Type::Double) => Type::Double,
            (one, other) => {
                let message = format!(
                    "the two results have different types: {} and {}",
                    type_with_article(one),
                    type_with_article(other)
                );
                self.report(ExpressionProblem::new(codes::TYPE_MISMATCH, span.clone(), message));
                return None;
            }
        };
        let first = self.coerce(then, first, value_type)?;
        let second = self.coerce(otherwise, second, value_type)?;
        match condition.as_constant() {
            Some(OwnedValue::Bool(true)) => Some(first),
            Some(_) => Some(second),
            None => Some(Term { value_type, kind: TermKind::Conditional(Box::new([condition, first, second])) }),
        }
    }

    /// Returns the term of `syntax`, an operand of `construct`. Reports an error if its value varies with `now`.
    pub(super) fn term_without_now(&mut self, syntax: &Syntax, construct: &str) -> Option<Term> {
        let term = self.term(syntax, None)?;
        if !term.varies_with_now() {
            return Some(term);
        }
        let help = match construct {
            "`?`" => "move the comparison inside: `condition ? now >= a : now >= b`",
            "`in`" => "write `now == a || now == b`",
            "`max`" => "compare with each: `now >= a && now >= b`",
            "`has`" => "`now` is always set",
            "`min`" => "compare with each: `now >= a || now >= b`",
            _ => "compare `now` with a time: `now >= x + days(90)`, `now - x < days(30)`",
        };
        let message =
            format!("`now` cannot be used inside {construct}: the instant of the next change cannot be computed");
        self.report(ExpressionProblem::new(codes::UNSOLVABLE_TIME, syntax.span.clone(), message).help(help));
        None
    }

    fn name(&mut self, syntax: &Syntax, sibling_type: Option<Type>) -> Option<Term> {
        let span = &syntax.span;
        let Some(path) = syntax.path() else {
            let message = "this value has no fields";
            let problem = ExpressionProblem::new(codes::UNSUPPORTED, span.clone(), message);
            self.report(problem.help("only facts have fields, read by name: `orders.count`"));
            return None;
        };
        if let Some(binding) = self.scope.name(&path, span.clone()) {
            return self.bound_term(binding, span);
        }
        let problem = self.unknown_name(&path, span, sibling_type);
        self.report(problem);
        None
    }

    fn unknown_name(&self, path: &str, span: &Range<usize>, sibling_type: Option<Type>) -> ExpressionProblem {
        let problem = ExpressionProblem::new(codes::UNKNOWN_NAME, span.clone(), format!("unknown name `{path}`"));
        let names = self.scope.suggestions();
        let question = did_you_mean(path, names.iter().map(String::as_str).chain(["now", "true", "false"]));
        match (question, sibling_type) {
            (Some(question), _) => problem.help(question),
            (None, Some(Type::String)) => problem.help(format!("write text between quotes: `\"{path}\"`")),
            _ => problem,
        }
    }

    /// Returns the term that a name or call of the scope resolves to.
    pub(super) fn bound_term(
        &mut self,
        binding: Result<Binding, Vec<ExpressionProblem>>,
        span: &Range<usize>,
    ) -> Option<Term> {
        match binding {
            Ok(Binding::Slot { slot, value_type, name }) => Some(Term { value_type, kind: TermKind::Slot(slot, name) }),
            Ok(Binding::Constant(constant)) => Some(Term::constant(constant)),
            Ok(Binding::Expression(program)) => {
                // Checked before the copy, because conditions that use conditions can double in size at each level.
                self.inlined_nodes += program.term.size();
                if self.inlined_nodes > NODES_MAX {
                    self.report(too_large(span.clone()));
                    return None;
                }
                Some(program.term.as_ref().clone())
            }
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    /// Folds `term` to a constant if all its operands are constants.
    pub(super) fn fold_constant(&mut self, term: Term, span: &Range<usize>) -> Option<Term> {
        if !term.children().all(|child| child.as_constant().is_some()) || term.varies_with_now() {
            return Some(term);
        }
        if matches!(&term.kind, TermKind::CompareTimes(_, sum) if sum.now_coefficient != 0) {
            return Some(term);
        }
        let code: Code = lower(&term);
        let value = code.evaluate(&NoInputs, Timestamp::from_millis(0), &mut Horizon::NEVER.clone());
        if let Some(constant) = OwnedValue::of(value) {
            return Some(Term::constant(constant));
        }
        let message = "this expression has no result: it divides by zero or overflows";
        self.report(ExpressionProblem::new(codes::NO_RESULT, span.clone(), message));
        None
    }
}

fn too_large(span: Range<usize>) -> ExpressionProblem {
    let message = format!(
        "including the named conditions it uses, the expression has more than {NODES_MAX} operators, names and literals"
    );
    ExpressionProblem::new(codes::TOO_LARGE, span, format!("{message}, or is nested deeper than {DEPTH_MAX} levels"))
        .help("split it into several stages or signals, or compare fewer values")
}
