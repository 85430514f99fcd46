//! Type rules of the operators, and the suggestions for operands whose types do not fit.

use std::ops::Range;

use super::compile::{Compiler, type_with_article};
use super::linear::Linear;
use super::operation::ArithmeticOperator;
use super::problem::{ExpressionProblem, codes};
use super::range::{before_touchpoint, beyond_limit};
use super::relation::Relation;
use super::syntax::{Syntax, SyntaxKind};
use super::term::{Term, TermKind};
use crate::lifecycle::value::{OwnedValue, Type};

fn is_number(value_type: Type) -> bool {
    matches!(value_type, Type::Int | Type::Double)
}

impl Compiler<'_> {
    pub(super) fn relation(
        &mut self,
        relation: Relation,
        left: &Syntax,
        right: &Syntax,
        operator_span: &Range<usize>,
    ) -> Option<Term> {
        let span = left.span.start..right.span.end;
        // The type of one side helps to suggest a fix for an unknown name on the other side.
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
                    if let TermKind::CompareTimes(relation, sum) = &kind
                        && let Some(problem) = before_touchpoint(*relation, sum, &span, self.scope)
                    {
                        self.report(problem);
                        return None;
                    }
                    return self.fold_constant(Term::boolean(kind), &span);
                }
                self.report_unsolvable_product(&span);
                None
            }
            (left_type, right_type) if left_type == right_type || is_number(left_type) && is_number(right_type) => {
                // The constant moves to the right, so that equivalent comparisons have the same form.
                let (relation, one, other) = match one.as_constant() {
                    Some(_) => (relation.swapped(), other, one),
                    None => (relation, one, other),
                };
                if let Some(problem) = beyond_limit(relation, &one, &other, &span, self.scope) {
                    self.report(problem);
                    return None;
                }
                self.fold_constant(Term::boolean(TermKind::Compare(relation, Box::new(one), Box::new(other))), &span)
            }
            _ => {
                let message = format!(
                    "`{}` compares {} with {}",
                    relation.as_str(),
                    type_with_article(one.value_type),
                    type_with_article(other.value_type)
                );
                let mut problem = ExpressionProblem::new(codes::TYPE_MISMATCH, span, message);
                problem.help = self
                    .comparison_help(relation, (left, &one), (right, &other))
                    .or_else(|| self.comparison_help(relation.swapped(), (right, &other), (left, &one)));
                if problem.help.is_none() {
                    problem = problem.label(format!("`{}` needs two values of the same type", relation.as_str()));
                    problem.span = operator_span.clone();
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
        let symbol = relation.as_str();
        let (left_text, right_text) = (self.operand(left), self.operand(right));
        Some(match (one.value_type, other.value_type) {
            (Type::Timestamp, Type::Duration) if one.kind == TermKind::Now => {
                format!("compare a duration with a duration: `now - x {symbol} {right_text}`")
            }
            (Type::Timestamp, Type::Duration) => {
                format!("the time since then is `now - {left_text}`: `now - {left_text} {symbol} {right_text}`")
            }
            (Type::Duration, Type::Int) => format!("add a unit: `days({right_text})` or `hours({right_text})`"),
            (Type::Duration, Type::String) => format!("write `duration({right_text})`"),
            (Type::Timestamp, Type::String) => format!("write `timestamp({right_text})`"),
            (Type::Timestamp, Type::Int) => format!("compare it with a timestamp: `now - days({right_text})`"),
            (Type::Int | Type::Double, Type::String) => match right.text() {
                Some(text) if text.parse::<f64>().is_ok() => format!("write the number without quotes: `{text}`"),
                Some(_) => "a number cannot be compared with text".into(),
                None => format!("convert the text to a number: `int({right_text})`"),
            },
            (Type::Bool, _) if matches!(left.kind, SyntaxKind::Relation(..)) => {
                "comparisons cannot be chained: write `a < b && b < c`".into()
            }
            (Type::Bool, Type::String) => format!("write the bool without quotes: `{left_text} {symbol} true`"),
            (Type::Bool, Type::Int) => format!("write `{left_text} {symbol} true`, or just `{left_text}`"),
            _ => return None,
        })
    }

    fn report_unsolvable_product(&mut self, span: &Range<usize>) {
        let message = "`now` is multiplied by a value that is not a constant";
        let problem = ExpressionProblem::new(codes::UNSOLVABLE_TIME, span.clone(), message);
        self.report(problem.help("add to `now` or subtract from it instead: `now - x >= days(30) * y`"));
    }

    pub(super) fn list_membership(&mut self, of: &Syntax, list: &Syntax, span: &Range<usize>) -> Option<Term> {
        let SyntaxKind::List(items) = &list.kind else {
            let message = "the right side of `in` must be a list";
            let problem = ExpressionProblem::new(codes::UNSUPPORTED, list.span.clone(), message);
            self.report(problem.help("write `x in [1, 2, 3]`; to search in text, write `x.contains(\"...\")`"));
            self.term_without_now(of, "`in`");
            return None;
        };
        let element = self.term_without_now(of, "`in`");
        let sibling_type = element.as_ref().map(|element| element.value_type);
        let terms: Vec<_> = items.iter().map(|item| self.list_item(item, sibling_type)).collect();
        let (element, terms) = (element?, terms.into_iter().collect::<Option<Vec<_>>>()?);
        for (item, term) in items.iter().zip(&terms) {
            if let Some(problem) = beyond_limit(Relation::EQUAL, &element, term, &item.span, self.scope) {
                self.report(problem);
                return None;
            }
        }
        self.fold_constant(Term::boolean(TermKind::In(Box::new(element), terms)), span)
    }

    fn list_item(&mut self, item: &Syntax, sibling_type: Option<Type>) -> Option<Term> {
        // The type of the left side is passed so that an unquoted word gets the suggestion to quote it.
        let term = self.term(item, sibling_type)?;
        if term.varies_with_now() {
            return self.term_without_now(item, "`in`");
        }
        match sibling_type {
            Some(sibling_type)
                if sibling_type != term.value_type && !(is_number(sibling_type) && is_number(term.value_type)) =>
            {
                let message = format!(
                    "the list contains {}, but the left side is {}",
                    type_with_article(term.value_type),
                    type_with_article(sibling_type)
                );
                self.report(ExpressionProblem::new(codes::TYPE_MISMATCH, item.span.clone(), message));
                None
            }
            _ => Some(term),
        }
    }

    pub(super) fn negation(&mut self, of: &Syntax, span: &Range<usize>) -> Option<Term> {
        let term = self.term(of, None)?;
        let value_type = term.value_type;
        match value_type {
            Type::Int | Type::Double | Type::Duration => {
                self.fold_constant(Term { value_type, kind: TermKind::Negate(Box::new(term)) }, span)
            }
            _ => {
                let message = format!("`-` cannot be applied to {}", type_with_article(value_type));
                let problem = ExpressionProblem::new(codes::TYPE_MISMATCH, span.clone(), message);
                let help = if value_type == Type::Bool { "write `!`" } else { "`-` needs a number or a duration" };
                self.report(problem.help(help));
                None
            }
        }
    }

    pub(super) fn arithmetic(
        &mut self,
        operator: ArithmeticOperator,
        left: &Syntax,
        right: &Syntax,
        operator_span: &Range<usize>,
    ) -> Option<Term> {
        use ArithmeticOperator::{Add, Multiply, Remainder, Subtract};
        let span = left.span.start..right.span.end;
        let (one, other) = (self.term(left, None), self.term(right, None));
        let (one, other) = (one?, other?);
        let value_type = match (one.value_type, operator, other.value_type) {
            (Type::Int, _, Type::Int) => Type::Int,
            (
                Type::Int | Type::Double,
                Add | Subtract | Multiply | ArithmeticOperator::Divide,
                Type::Int | Type::Double,
            ) => Type::Double,
            (Type::Timestamp, Subtract, Type::Timestamp) | (Type::Duration, Add | Subtract, Type::Duration) => {
                Type::Duration
            }
            (Type::Timestamp, Add | Subtract, Type::Duration) | (Type::Duration, Add, Type::Timestamp) => {
                Type::Timestamp
            }
            (Type::Duration, Multiply, Type::Int) | (Type::Int, Multiply, Type::Duration) => Type::Duration,
            (Type::String, Add, Type::String) => return self.concatenation(&one, &other, &span),
            _ => {
                let message = format!(
                    "`{}` cannot be applied to {} and {}",
                    operator.as_str(),
                    type_with_article(one.value_type),
                    type_with_article(other.value_type)
                );
                let (left_text, right_text) = (self.quoted(left), self.quoted(right));
                let help = match (one.value_type, operator, other.value_type) {
                    (Type::Timestamp | Type::Duration, Add | Subtract, Type::Int) => {
                        Some(format!("write `{left_text} {} days({right_text})`", operator.as_str()))
                    }
                    (Type::Timestamp, Add, Type::Timestamp) => Some(format!(
                        "subtract the timestamps, `{left_text} - {right_text}`, or add a duration, `{left_text} + days(30)`"
                    )),
                    (Type::Duration, Subtract, Type::Timestamp) => {
                        Some(format!("to subtract a duration from a timestamp, write `{right_text} - {left_text}`"))
                    }
                    (Type::Duration, _, Type::Double) | (Type::Double, _, Type::Duration) => Some(
                        "a duration can only be multiplied by a whole number; use a smaller unit: `hours(36)`".into(),
                    ),
                    (Type::Double, Remainder, _) | (_, Remainder, Type::Double) => {
                        Some("`%` needs whole numbers: `int(x) % 2`".into())
                    }
                    (Type::Timestamp, Multiply | ArithmeticOperator::Divide | Remainder, _) => {
                        Some("add a duration, `x + days(30)`, or subtract a timestamp, `now - x`".into())
                    }
                    (Type::Bool, ..) | (.., Type::Bool) => Some("write `&&` or `||` between conditions".into()),
                    _ => None,
                };
                let is_time = one.varies_with_now() || other.varies_with_now();
                let code = if is_time { codes::UNSOLVABLE_TIME } else { codes::TYPE_MISMATCH };
                let mut problem = ExpressionProblem::new(code, operator_span.clone(), message);
                problem.help = help;
                self.report(problem);
                return None;
            }
        };
        let is_product = operator == Multiply && (one.varies_with_now() || other.varies_with_now());
        if is_product && one.as_constant().or(other.as_constant()).is_none() {
            self.report_unsolvable_product(&span);
            return None;
        }
        self.fold_constant(
            Term { value_type, kind: TermKind::Arithmetic(operator, Box::new(one), Box::new(other)) },
            &span,
        )
    }

    /// Concatenates two constant texts. Texts of facts are rejected, because evaluation does not allocate.
    fn concatenation(&mut self, one: &Term, other: &Term, span: &Range<usize>) -> Option<Term> {
        if let (Some(OwnedValue::String(one)), Some(OwnedValue::String(other))) =
            (one.as_constant(), other.as_constant())
        {
            return Some(Term::constant(OwnedValue::String(format!("{one}{other}").into())));
        }
        let problem =
            ExpressionProblem::new(codes::UNSUPPORTED, span.clone(), "text from facts cannot be concatenated");
        self.report(problem.help("compare each fact separately: `a == \"x\" && b == \"y\"`"));
        None
    }
}
