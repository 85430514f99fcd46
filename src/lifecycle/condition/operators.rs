//! The types of operators, and what to write where they do not fit.

use std::ops::Range;

use super::compile::{Compiler, named};
use super::linear::Linear;
use super::problem::{ExpressionProblem, codes};
use super::relation::Relation;
use super::scope::Constant;
use super::syntax::{ArithmeticSign, Syntax, SyntaxKind};
use super::term::{Term, TermKind};
use crate::lifecycle::value::Type;

fn is_number(value_type: Type) -> bool {
    matches!(value_type, Type::Int | Type::Double)
}

impl Compiler<'_> {
    pub(super) fn relation(
        &mut self,
        relation: Relation,
        left: &Syntax,
        right: &Syntax,
        sign: &Range<usize>,
    ) -> Option<Term> {
        let span = left.span.start..right.span.end;
        // The text on one side tells what a lone word on the other was meant to be.
        let type_of = |term: &Option<Term>| term.as_ref().map(|term| term.value_type);
        let (one, other) = if matches!(left.kind, SyntaxKind::Name(_)) {
            let other = self.term(right, None);
            (self.term(left, type_of(&other)), other)
        } else {
            let one = self.term(left, None);
            let other = self.term(right, type_of(&one));
            (one, other)
        };
        let (one, other) = (one?, other?);
        match (one.value_type, other.value_type) {
            (Type::Timestamp, Type::Timestamp) | (Type::Duration, Type::Duration) => {
                if let Some(kind) = Linear::compare(relation, &one, &other) {
                    return self.folded(Term::truth(kind), &span);
                }
                self.unsolvable_product(&span);
                None
            }
            (left_type, right_type) if left_type == right_type || is_number(left_type) && is_number(right_type) => {
                // The constant on the right, so that equal comparisons look equal.
                let (relation, one, other) = match one.as_constant() {
                    Some(_) => (relation.swapped(), other, one),
                    None => (relation, one, other),
                };
                self.folded(Term::truth(TermKind::Compare(relation, Box::new(one), Box::new(other))), &span)
            }
            _ => {
                let message = format!(
                    "`{}` compares {} with {}",
                    relation.as_str(),
                    named(one.value_type),
                    named(other.value_type)
                );
                let mut problem = ExpressionProblem::new(codes::TYPE_MISMATCH, span, message);
                problem.help = self
                    .comparison_help(relation, (left, &one), (right, &other))
                    .or_else(|| self.comparison_help(relation.swapped(), (right, &other), (left, &one)));
                if problem.help.is_none() {
                    problem = problem.label(format!("`{}` wants two values of one type", relation.as_str()));
                    problem.span = sign.clone();
                }
                self.report(problem);
                None
            }
        }
    }

    fn comparison_help(
        &self,
        relation: Relation,
        (left, one): (&Syntax, &Term),
        (right, other): (&Syntax, &Term),
    ) -> Option<String> {
        let sign = relation.as_str();
        let (left_text, right_text) = (self.operand(left), self.operand(right));
        Some(match (one.value_type, other.value_type) {
            (Type::Timestamp, Type::Duration) if one.kind == TermKind::Now => {
                format!("compare a length with a length: `now - x {sign} {right_text}`")
            }
            (Type::Timestamp, Type::Duration) => {
                format!("a length of time since then is `now - {left_text}`: `now - {left_text} {sign} {right_text}`")
            }
            (Type::Duration, Type::Int) => format!("write `days({right_text})`, `hours({right_text})` or the like"),
            (Type::Duration, Type::String) => format!("write `duration({right_text})`"),
            (Type::Timestamp, Type::String) => format!("write `timestamp({right_text})`"),
            (Type::Timestamp, Type::Int) => format!("compare it with a time: `now - days({right_text})`"),
            (Type::Int | Type::Double, Type::String) => match right.text() {
                Some(text) if text.parse::<f64>().is_ok() => format!("write the number without quotes: `{text}`"),
                Some(_) => "a number is never text".into(),
                None => format!("read the text as a number: `int({right_text})`"),
            },
            (Type::Bool, _) if matches!(left.kind, SyntaxKind::Relation(..)) => {
                "comparisons do not chain: write `a < b && b < c`".into()
            }
            (Type::Bool, Type::String) => format!("write the truth without quotes: `{left_text} {sign} true`"),
            (Type::Bool, Type::Int) => format!("write `{left_text} {sign} true`, or just `{left_text}`"),
            _ => return None,
        })
    }

    fn unsolvable_product(&mut self, span: &Range<usize>) {
        let message = "`now` is multiplied by something that is not known beforehand";
        let problem = ExpressionProblem::new(codes::UNSOLVABLE_TIME, span.clone(), message);
        self.report(problem.help("`now` can be added to and subtracted from: `now - x >= days(30) * y`"));
    }

    pub(super) fn member_of(&mut self, of: &Syntax, list: &Syntax, span: &Range<usize>) -> Option<Term> {
        let SyntaxKind::List(items) = &list.kind else {
            let message = "to the right of `in` stands a list";
            let problem = ExpressionProblem::new(codes::UNSUPPORTED, list.span.clone(), message);
            self.report(problem.help("write `x in [1, 2, 3]`; a part of a text is found with `x.contains(\"...\")`"));
            self.closed(of, "`in`");
            return None;
        };
        let element = self.closed(of, "`in`");
        let beside = element.as_ref().map(|element| element.value_type);
        let terms: Vec<_> = items.iter().map(|item| self.item(item, beside)).collect();
        let (element, terms) = (element?, terms.into_iter().collect::<Option<Vec<_>>>()?);
        self.folded(Term::truth(TermKind::In(Box::new(element), terms)), span)
    }

    fn item(&mut self, item: &Syntax, beside: Option<Type>) -> Option<Term> {
        // Resolved with the neighbour's type first, so that a word without quotes is understood.
        let term = self.term(item, beside)?;
        if term.is_open() {
            return self.closed(item, "`in`");
        }
        match beside {
            Some(beside) if beside != term.value_type && !(is_number(beside) && is_number(term.value_type)) => {
                let message =
                    format!("the list holds {}, and the left side is {}", named(term.value_type), named(beside));
                self.report(ExpressionProblem::new(codes::TYPE_MISMATCH, item.span.clone(), message));
                None
            }
            _ => Some(term),
        }
    }

    pub(super) fn negate(&mut self, of: &Syntax, span: &Range<usize>) -> Option<Term> {
        let term = self.term(of, None)?;
        let value_type = term.value_type;
        match value_type {
            Type::Int | Type::Double | Type::Duration => {
                self.folded(Term { value_type, kind: TermKind::Negate(Box::new(term)) }, span)
            }
            _ => {
                let message = format!("`-` before {}", named(value_type));
                let problem = ExpressionProblem::new(codes::TYPE_MISMATCH, span.clone(), message);
                let help = if value_type == Type::Bool { "write `!`" } else { "`-` wants a number or a duration" };
                self.report(problem.help(help));
                None
            }
        }
    }

    pub(super) fn arithmetic(
        &mut self,
        sign: ArithmeticSign,
        left: &Syntax,
        right: &Syntax,
        at: &Range<usize>,
    ) -> Option<Term> {
        use ArithmeticSign::{Add, Multiply, Remainder, Subtract};
        let span = left.span.start..right.span.end;
        let (one, other) = (self.term(left, None), self.term(right, None));
        let (one, other) = (one?, other?);
        let value_type = match (one.value_type, sign, other.value_type) {
            (Type::Int, _, Type::Int) => Type::Int,
            (
                Type::Int | Type::Double,
                Add | Subtract | Multiply | ArithmeticSign::Divide,
                Type::Int | Type::Double,
            ) => Type::Double,
            (Type::Timestamp, Subtract, Type::Timestamp) | (Type::Duration, Add | Subtract, Type::Duration) => {
                Type::Duration
            }
            (Type::Timestamp, Add | Subtract, Type::Duration) | (Type::Duration, Add, Type::Timestamp) => {
                Type::Timestamp
            }
            (Type::Duration, Multiply, Type::Int) | (Type::Int, Multiply, Type::Duration) => Type::Duration,
            (Type::String, Add, Type::String) => return self.joined_text(&one, &other, &span),
            _ => {
                let message =
                    format!("`{}` between {} and {}", sign.as_str(), named(one.value_type), named(other.value_type));
                let (left_text, right_text) = (self.quoted(left), self.quoted(right));
                let help = match (one.value_type, sign, other.value_type) {
                    (Type::Timestamp | Type::Duration, Add | Subtract, Type::Int) => {
                        Some(format!("write `{left_text} {} days({right_text})`", sign.as_str()))
                    }
                    (Type::Timestamp, Add, Type::Timestamp) => Some(format!(
                        "times can be subtracted, `{left_text} - {right_text}`, and moved, `{left_text} + days(30)`"
                    )),
                    (Type::Duration, Subtract, Type::Timestamp) => {
                        Some(format!("a time is moved back as `{right_text} - {left_text}`"))
                    }
                    (Type::Duration, _, Type::Double) | (Type::Double, _, Type::Duration) => {
                        Some("lengths of time are multiplied by whole numbers; use a smaller unit: `hours(36)`".into())
                    }
                    (Type::Double, Remainder, _) | (_, Remainder, Type::Double) => {
                        Some("`%` wants whole numbers: `int(x) % 2`".into())
                    }
                    (Type::Timestamp, Multiply | ArithmeticSign::Divide | Remainder, _) => {
                        Some("an instant can be moved, `x + days(30)`, and subtracted, `now - x`".into())
                    }
                    (Type::Bool, ..) | (.., Type::Bool) => Some("write `&&` or `||` between conditions".into()),
                    _ => None,
                };
                let is_time = one.is_open() || other.is_open();
                let code = if is_time { codes::UNSOLVABLE_TIME } else { codes::TYPE_MISMATCH };
                let mut problem = ExpressionProblem::new(code, at.clone(), message);
                problem.help = help;
                self.report(problem);
                return None;
            }
        };
        let is_product = sign == Multiply && (one.is_open() || other.is_open());
        if is_product && one.as_constant().or(other.as_constant()).is_none() {
            self.unsolvable_product(&span);
            return None;
        }
        self.folded(Term { value_type, kind: TermKind::Arithmetic(sign, Box::new(one), Box::new(other)) }, &span)
    }

    /// Texts are joined only when both are known: evaluation makes no new text.
    fn joined_text(&mut self, one: &Term, other: &Term, span: &Range<usize>) -> Option<Term> {
        if let (Some(Constant::String(one)), Some(Constant::String(other))) = (one.as_constant(), other.as_constant()) {
            return Some(Term::constant(Constant::String(format!("{one}{other}").into())));
        }
        let problem = ExpressionProblem::new(codes::UNSUPPORTED, span.clone(), "facts cannot be joined into new text");
        self.report(problem.help("compare each by itself: `a == \"x\" && b == \"y\"`"));
        None
    }
}
