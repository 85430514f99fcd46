//! The tree that the parser makes of an expression's text, before any name has a meaning.

use std::ops::Range;

use super::parser;
use super::problem::ExpressionProblem;
use super::relation::Relation;
use super::scope::Argument;

/// A parsed expression.
#[derive(Clone, PartialEq, Debug)]
pub struct Syntax {
    /// Where it stands in the text, in bytes.
    pub(super) span: Range<usize>,
    /// How many levels it has, itself included.
    pub(super) height: usize,
    pub(super) kind: SyntaxKind,
}

/// What an expression is made of.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum SyntaxKind {
    Int(i64),
    Double(f64),
    String(Box<str>),
    Bool(bool),
    Name(Box<str>),
    /// `of.name`; the range is that of the name.
    Member(Box<Syntax>, Box<str>, Range<usize>),
    /// The callee is a name or a member.
    Call(Box<Syntax>, Vec<Syntax>),
    List(Vec<Syntax>),
    Not(Box<Syntax>),
    Negate(Box<Syntax>),
    /// `a && b && c`, flat, so that a long chain is not deep.
    All(Vec<Syntax>),
    /// `a || b || c`, flat.
    Any(Vec<Syntax>),
    /// The range is that of the operator.
    Relation(Relation, Box<Syntax>, Box<Syntax>, Range<usize>),
    In(Box<Syntax>, Box<Syntax>),
    /// The range is that of the operator.
    Arithmetic(ArithmeticSign, Box<Syntax>, Box<Syntax>, Range<usize>),
    Choose(Box<Syntax>, Box<Syntax>, Box<Syntax>),
}

impl SyntaxKind {
    /// The parts one level below.
    pub(super) fn children(&self) -> impl Iterator<Item = &Syntax> {
        let (single, list): ([Option<&Syntax>; 3], &[Syntax]) = match self {
            Self::Int(_) | Self::Double(_) | Self::String(_) | Self::Bool(_) | Self::Name(_) => ([None; 3], &[]),
            Self::Member(of, ..) | Self::Not(of) | Self::Negate(of) => ([Some(of), None, None], &[]),
            Self::Call(callee, arguments) => ([Some(callee), None, None], arguments),
            Self::List(parts) | Self::All(parts) | Self::Any(parts) => ([None; 3], parts),
            Self::Relation(_, left, right, _) | Self::In(left, right) | Self::Arithmetic(_, left, right, _) => {
                ([Some(left), Some(right), None], &[])
            }
            Self::Choose(condition, then, otherwise) => ([Some(condition), Some(then), Some(otherwise)], &[]),
        };
        single.into_iter().flatten().chain(list)
    }
}

/// An operator between two numbers or times.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum ArithmeticSign {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl ArithmeticSign {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

impl Syntax {
    /// Parses `text`.
    ///
    /// # Errors
    /// What breaks the grammar or the limits.
    pub fn parse(text: &str) -> Result<Self, Vec<ExpressionProblem>> {
        match parser::parse(text) {
            (Some(syntax), problems) if problems.is_empty() => Ok(syntax),
            (_, problems) => Err(problems),
        }
    }

    /// The plain or dotted name that the whole expression is.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        match &self.kind {
            SyntaxKind::Name(name) => Some(name.to_string()),
            SyntaxKind::Member(of, name, _) => Some(format!("{}.{name}", of.path()?)),
            _ => None,
        }
    }

    /// The text that the whole expression is, when it is a string literal.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            SyntaxKind::String(text) => Some(text),
            _ => None,
        }
    }

    /// The callee as it is written and the arguments, when the whole expression is one call.
    #[must_use]
    pub fn call(&self) -> Option<(String, Vec<Argument<'_>>)> {
        match &self.kind {
            SyntaxKind::Call(callee, arguments) => {
                Some((callee.path()?, arguments.iter().map(|syntax| Argument { syntax }).collect()))
            }
            _ => None,
        }
    }
}
