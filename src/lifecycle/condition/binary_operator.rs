//! Binary operators of the grammar, and their precedence.

use super::operation::ArithmeticOperator;
use super::relation::Relation;

/// Precedence of binary operators, from lowest to highest, as in CEL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Precedence {
    Or,
    And,
    Relation,
    Sum,
    Product,
}

/// A binary operator of the grammar.
#[derive(Clone, Copy)]
pub(super) enum Operator {
    Or,
    And,
    Relation(Relation),
    In,
    Arithmetic(ArithmeticOperator),
}

impl Operator {
    /// Returns the operator with this symbol, and its precedence.
    pub(super) fn of(symbol: &str) -> Option<(Self, Precedence)> {
        Some(match symbol {
            "||" => (Self::Or, Precedence::Or),
            "&&" => (Self::And, Precedence::And),
            "==" => (Self::Relation(Relation::EQUAL), Precedence::Relation),
            "!=" => (Self::Relation(Relation::NOT_EQUAL), Precedence::Relation),
            "<" => (Self::Relation(Relation::LESS), Precedence::Relation),
            "<=" => (Self::Relation(Relation::LESS_OR_EQUAL), Precedence::Relation),
            ">" => (Self::Relation(Relation::GREATER), Precedence::Relation),
            ">=" => (Self::Relation(Relation::GREATER_OR_EQUAL), Precedence::Relation),
            "in" => (Self::In, Precedence::Relation),
            "+" => (Self::Arithmetic(ArithmeticOperator::Add), Precedence::Sum),
            "-" => (Self::Arithmetic(ArithmeticOperator::Subtract), Precedence::Sum),
            "*" => (Self::Arithmetic(ArithmeticOperator::Multiply), Precedence::Product),
            "/" => (Self::Arithmetic(ArithmeticOperator::Divide), Precedence::Product),
            "%" => (Self::Arithmetic(ArithmeticOperator::Remainder), Precedence::Product),
            _ => return None,
        })
    }
}
