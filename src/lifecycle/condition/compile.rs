//! Compiles expressions: gives names a meaning and everything a type, and reports all problems at once.
//!
//! A part that has a problem has no term; what stands around it is still checked, without follow-up complaints.

use std::ops::Range;

use super::code::Code;
use super::limits::{DEPTH_MAX, NODES_MAX};
use super::lower::lower;
use super::parser;
use super::problem::{ExpressionProblem, codes};
use super::program::{Condition, Program};
use super::scope::{Constant, Named, Scope};
use super::suggest::nearest;
use super::syntax::{Syntax, SyntaxKind};
use super::term::{Function, Term, TermKind};
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::value::{Horizon, Inputs, Slot, Type, Value};

/// Compiles `text`, whose value has to be of type `wanted` if that is given.
///
/// # Errors
/// Every problem of the text, in order of appearance.
pub fn compile(text: &str, wanted: Option<Type>, scope: &mut dyn Scope) -> Result<Condition, Vec<ExpressionProblem>> {
    let (syntax, problems) = parser::parse(text);
    let mut compiler = Compiler { text, scope, problems, nodes: 0 };
    let term = syntax.and_then(|syntax| compiler.whole(&syntax, wanted));
    let mut problems = compiler.problems;
    match term {
        Some(term) if problems.is_empty() => Ok(Condition { text: folded(text).into(), program: Program::new(term) }),
        _ => {
            problems.sort_by_key(|problem| (problem.span.start, problem.span.end));
            problems.dedup();
            Err(problems)
        }
    }
}

/// The value of `syntax` as a constant of type `wanted`.
pub(super) fn constant(
    syntax: &Syntax,
    wanted: Type,
    scope: &mut dyn Scope,
) -> Result<Constant, Vec<ExpressionProblem>> {
    let mut compiler = Compiler { text: "", scope, problems: Vec::new(), nodes: 0 };
    let term = compiler.whole(syntax, Some(wanted));
    let mut problems = compiler.problems;
    match term {
        Some(Term { kind: TermKind::Constant(constant), .. }) if problems.is_empty() => Ok(constant),
        Some(_) if problems.is_empty() => {
            let message = "this has to be known beforehand, and it depends on the customer or the time";
            let problem = ExpressionProblem::new(codes::NOT_CONSTANT, syntax.span.clone(), message);
            Err(vec![problem.help(format!("write {} that is always the same", example(wanted)))])
        }
        _ => {
            problems.sort_by_key(|problem| problem.span.start);
            Err(problems)
        }
    }
}

/// `text` with each run of white space outside of quotes as one space, and none around.
fn folded(text: &str) -> String {
    let (tokens, _) = super::lexer::tokens(text);
    let mut folded = String::with_capacity(text.len());
    let mut end = 0;
    for token in tokens {
        if token.span.start > end && !folded.is_empty() && !token.span.is_empty() {
            folded.push(' ');
        }
        folded.push_str(&text[token.span.clone()]);
        end = token.span.end;
    }
    folded
}

/// A type as messages name it.
pub(super) fn named(value_type: Type) -> &'static str {
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
        Type::Timestamp => "an instant such as `timestamp(\"2026-01-01T00:00:00Z\")`",
        Type::Duration => "a length of time such as `days(90)`",
    }
}

/// The inputs of a term that reads nothing.
struct NoInputs;

impl Inputs for NoInputs {
    fn read(&self, _slot: Slot, _now: Timestamp, _horizon: &mut Horizon) -> Value<'_> {
        Value::Absent
    }
}

pub(super) struct Compiler<'a> {
    /// The expression's text where it is at hand, for what to write instead.
    text: &'a str,
    pub(super) scope: &'a mut dyn Scope,
    problems: Vec<ExpressionProblem>,
    /// Terms of the named expressions that have become part of this one.
    nodes: usize,
}

impl Compiler<'_> {
    pub(super) fn report(&mut self, problem: ExpressionProblem) {
        self.problems.push(problem);
    }

    /// The text of `syntax`, for suggestions; a short one, or a stand-in.
    pub(super) fn quoted(&self, syntax: &Syntax) -> &str {
        self.text.get(syntax.span.clone()).filter(|text| text.len() <= 60).unwrap_or("x")
    }

    /// The same, in brackets where an operator beside it would tear it apart.
    pub(super) fn operand(&self, syntax: &Syntax) -> String {
        let text = self.quoted(syntax);
        let is_whole = syntax.call().is_some() || syntax.kind.children().next().is_none() || text.starts_with('(');
        if is_whole || matches!(syntax.kind, SyntaxKind::Member(..)) { text.into() } else { format!("({text})") }
    }

    fn whole(&mut self, syntax: &Syntax, wanted: Option<Type>) -> Option<Term> {
        let term = self.term(syntax, None)?;
        let term = match wanted {
            Some(wanted) => self.wanted(syntax, term, wanted)?,
            None => term,
        };
        if term.is_open() {
            let message = "this changes with every millisecond";
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

    /// `term` as a value of type `wanted`.
    pub(super) fn wanted(&mut self, syntax: &Syntax, term: Term, wanted: Type) -> Option<Term> {
        if term.value_type == wanted {
            return Some(term);
        }
        if wanted == Type::Double && term.value_type == Type::Int {
            let term = Term { value_type: Type::Double, kind: TermKind::Call(Function::Double, vec![term]) };
            return self.folded(term, &syntax.span);
        }
        let message = format!("this has to be {}, and it is {}", named(wanted), named(term.value_type));
        let text = self.operand(syntax);
        let help = match (wanted, term.value_type) {
            (Type::Bool, Type::Int | Type::Double) => format!("compare it: `{text} > 0`"),
            (Type::Bool, Type::Timestamp | Type::Duration) if term.is_open() => {
                "compare it, as in `now >= x + days(90)`".into()
            }
            (Type::Bool, Type::Timestamp) => format!("ask whether it is set, `has({text})`, or compare it with `now`"),
            (Type::Bool, Type::Duration) => format!("compare it: `{text} > days(30)`"),
            (Type::Bool, Type::String) => format!("compare it: `{text} == \"...\"`"),
            (Type::Duration, Type::Int) => format!("write `days({text})`"),
            (Type::Int | Type::Double, Type::Bool) => format!("write `{text} ? 1 : 0`"),
            _ => format!("write {}", example(wanted)),
        };
        self.report(ExpressionProblem::new(codes::TYPE_MISMATCH, syntax.span.clone(), message).help(help));
        None
    }

    /// The term of `syntax`. `beside`: the type of what it is compared with, for what was probably meant.
    pub(super) fn term(&mut self, syntax: &Syntax, beside: Option<Type>) -> Option<Term> {
        let span = &syntax.span;
        match &syntax.kind {
            SyntaxKind::Int(number) => Some(Term::constant(Constant::Int(*number))),
            SyntaxKind::Double(number) => Some(Term::constant(Constant::Double(*number))),
            SyntaxKind::String(text) => Some(Term::constant(Constant::String(text.clone()))),
            SyntaxKind::Bool(truth) => Some(Term::constant(Constant::Bool(*truth))),
            SyntaxKind::Name(name) if **name == *"now" => {
                Some(Term { value_type: Type::Timestamp, kind: TermKind::Now })
            }
            SyntaxKind::Name(_) | SyntaxKind::Member(..) => self.name(syntax, beside),
            SyntaxKind::Call(callee, arguments) => self.call(callee, arguments, span),
            SyntaxKind::List(_) => {
                let message = "a list stands only to the right of `in`";
                let problem = ExpressionProblem::new(codes::UNSUPPORTED, span.clone(), message);
                self.report(problem.help("write `x in [1, 2, 3]`"));
                None
            }
            SyntaxKind::Not(of) => {
                let of = self.truth(of)?;
                self.folded(Term::truth(TermKind::Not(Box::new(of))), span)
            }
            SyntaxKind::All(parts) => self.combined(parts, true),
            SyntaxKind::Any(parts) => self.combined(parts, false),
            SyntaxKind::Negate(of) => self.negate(of, span),
            SyntaxKind::Relation(relation, left, right, sign) => self.relation(*relation, left, right, sign),
            SyntaxKind::In(of, list) => self.member_of(of, list, span),
            SyntaxKind::Arithmetic(sign, left, right, at) => self.arithmetic(*sign, left, right, at),
            SyntaxKind::Choose(condition, then, otherwise) => self.choose(condition, then, otherwise, span),
        }
    }

    /// The term of `syntax`, a condition.
    fn truth(&mut self, syntax: &Syntax) -> Option<Term> {
        let term = self.term(syntax, None)?;
        self.wanted(syntax, term, Type::Bool)
    }

    /// `&&` and `||`, with constants and brackets worked in.
    fn combined(&mut self, parts: &[Syntax], is_all: bool) -> Option<Term> {
        let terms: Vec<_> = parts.iter().map(|part| self.truth(part)).collect();
        let mut flat = Vec::new();
        for term in terms.into_iter().collect::<Option<Vec<_>>>()? {
            match term.kind {
                TermKind::All(inner) if is_all => flat.extend(inner),
                TermKind::Any(inner) if !is_all => flat.extend(inner),
                TermKind::Constant(Constant::Bool(truth)) if truth == is_all => {}
                TermKind::Constant(Constant::Bool(_)) => return Some(Term::constant(Constant::Bool(!is_all))),
                kind => flat.push(Term::truth(kind)),
            }
        }
        if flat.is_empty() {
            return Some(Term::constant(Constant::Bool(is_all)));
        }
        // A bare fact stays wrapped: absent, it would be absent and not false.
        if flat.len() == 1 && flat[0].is_definite() {
            return flat.pop();
        }
        Some(Term::truth(if is_all { TermKind::All(flat) } else { TermKind::Any(flat) }))
    }

    fn choose(&mut self, condition: &Syntax, then: &Syntax, otherwise: &Syntax, span: &Range<usize>) -> Option<Term> {
        let condition = self.truth(condition);
        let (first, second) = (self.closed(then, "`?`"), self.closed(otherwise, "`?`"));
        let (condition, first, second) = (condition?, first?, second?);
        let value_type = match (first.value_type, second.value_type) {
            (one, other) if one == other => one,
            (Type::Int | Type::Double, Type::Int | Type::Double) => Type::Double,
            (one, other) => {
                let message = format!("the two results differ: one is {}, the other {}", named(one), named(other));
                self.report(ExpressionProblem::new(codes::TYPE_MISMATCH, span.clone(), message));
                return None;
            }
        };
        let first = self.wanted(then, first, value_type)?;
        let second = self.wanted(otherwise, second, value_type)?;
        match condition.as_constant() {
            Some(Constant::Bool(true)) => Some(first),
            Some(_) => Some(second),
            None => Some(Term { value_type, kind: TermKind::Choose(Box::new([condition, first, second])) }),
        }
    }

    /// The term of `syntax` where it must not move with `now`: inside `place`.
    pub(super) fn closed(&mut self, syntax: &Syntax, place: &str) -> Option<Term> {
        let term = self.term(syntax, None)?;
        if !term.is_open() {
            return Some(term);
        }
        let help = match place {
            "`?`" => "compare inside: `condition ? now >= a : now >= b`",
            "`in`" => "write `now == a || now == b`",
            "`max`" => "compare with each: `now >= a && now >= b`",
            "`has`" => "`now` is always set",
            "`min`" => "compare with each: `now >= a || now >= b`",
            _ => "compare `now` with a time: `now >= x + days(90)`, `now - x < days(30)`",
        };
        let message = format!("`now` inside {place}: when that changes cannot be computed");
        self.report(ExpressionProblem::new(codes::UNSOLVABLE_TIME, syntax.span.clone(), message).help(help));
        None
    }

    fn name(&mut self, syntax: &Syntax, beside: Option<Type>) -> Option<Term> {
        let span = &syntax.span;
        let Some(path) = syntax.path() else {
            let message = "this has no parts";
            let problem = ExpressionProblem::new(codes::UNSUPPORTED, span.clone(), message);
            self.report(problem.help("only facts have parts, read by name: `orders.count`"));
            return None;
        };
        if let Some(named) = self.scope.name(&path, span.clone()) {
            return self.resolved(named, span);
        }
        let problem = self.unknown_name(&path, span, beside);
        self.report(problem);
        None
    }

    fn unknown_name(&self, path: &str, span: &Range<usize>, beside: Option<Type>) -> ExpressionProblem {
        let problem = ExpressionProblem::new(codes::UNKNOWN_NAME, span.clone(), format!("unknown name `{path}`"));
        let names = self.scope.suggestions();
        let near = nearest(path, names.iter().map(String::as_str).chain(["now", "true", "false"]));
        match (near, beside) {
            (Some(near), _) => problem.help(format!("did you mean `{near}`?")),
            (None, Some(Type::String)) => problem.help(format!("text stands between quotes: `\"{path}\"`")),
            _ => problem,
        }
    }

    /// The term that a name or a call of the scope stands for.
    pub(super) fn resolved(
        &mut self,
        named: Result<Named, Vec<ExpressionProblem>>,
        span: &Range<usize>,
    ) -> Option<Term> {
        match named {
            Ok(Named::Slot { slot, value_type, name }) => Some(Term { value_type, kind: TermKind::Slot(slot, name) }),
            Ok(Named::Constant(constant)) => Some(Term::constant(constant)),
            Ok(Named::Expression(program)) => {
                // Counted before it is copied: names that use names can double at each step.
                self.nodes += program.term.size();
                if self.nodes > NODES_MAX {
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

    /// `term`, or the constant that it always is.
    pub(super) fn folded(&mut self, term: Term, span: &Range<usize>) -> Option<Term> {
        if !term.children().all(|child| child.as_constant().is_some()) || term.is_open() {
            return Some(term);
        }
        if matches!(&term.kind, TermKind::CompareTimes(_, sum) if sum.now != 0) {
            return Some(term);
        }
        let code: Code = lower(&term);
        let value = code.evaluate(&NoInputs, Timestamp::from_millis(0), &mut Horizon::NEVER.clone());
        if let Some(constant) = Constant::of(value) {
            return Some(Term::constant(constant));
        }
        let message = "this has no result: it divides by zero or is too large";
        self.report(ExpressionProblem::new(codes::NO_RESULT, span.clone(), message));
        None
    }
}

fn too_large(span: Range<usize>) -> ExpressionProblem {
    let message = format!("with the conditions that it names, the expression has more than {NODES_MAX} parts");
    ExpressionProblem::new(codes::TOO_LARGE, span, format!("{message} or {DEPTH_MAX} levels"))
        .help("split it, or compare fewer things")
}
