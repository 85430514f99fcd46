//! The syntax tree of an expression, before names are resolved and types are checked.

use std::ops::Range;

use super::operation::ArithmeticOperator;
use super::relation::Relation;

/// The language that a text is written in. Both have the same grammar; some values exist only in one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// Conditions of models, over typed facts.
    Conditions,
    /// Expressions over JSON records, with `null`, `x[index]` and `{key: value}`.
    Records,
}

/// A parsed expression.
#[derive(Clone, PartialEq, Debug)]
pub struct Syntax {
    /// Byte range in the text.
    pub span: Range<usize>,
    /// Number of levels, including this one.
    pub(super) height: usize,
    /// The node, with its operands.
    pub kind: SyntaxKind,
}

/// The node of a syntax tree, with its operands.
#[derive(Clone, PartialEq, Debug)]
pub enum SyntaxKind {
    /// `null`, only in records.
    Null,
    /// A whole number.
    Int(i64),
    /// A number with a fraction or an exponent.
    Double(f64),
    /// A text, without quotes and escapes.
    String(Box<str>),
    /// `true` or `false`.
    Bool(bool),
    /// A plain name.
    Name(Box<str>),
    /// `of.name`, with the byte range of the name.
    Member(Box<Syntax>, Box<str>, Range<usize>),
    /// `of[index]`, only in records.
    Index(Box<Syntax>, Box<Syntax>),
    /// The callee is a name or a member.
    Call(Box<Syntax>, Vec<Syntax>),
    /// `[a, b]`.
    List(Vec<Syntax>),
    /// `{key: value}`, only in records: keys and values in turn.
    Map(Vec<Syntax>),
    /// `!a`.
    Not(Box<Syntax>),
    /// `-a`.
    Negate(Box<Syntax>),
    /// `a && b && c`. One flat node, so that a long chain is not deeply nested.
    And(Vec<Syntax>),
    /// `a || b || c`. One flat node.
    Or(Vec<Syntax>),
    /// A comparison. The range is the byte range of the operator.
    Relation(Relation, Box<Syntax>, Box<Syntax>, Range<usize>),
    /// `a in b`.
    In(Box<Syntax>, Box<Syntax>),
    /// A calculation. The range is the byte range of the operator.
    Arithmetic(ArithmeticOperator, Box<Syntax>, Box<Syntax>, Range<usize>),
    /// `a ? b : c`.
    Conditional(Box<Syntax>, Box<Syntax>, Box<Syntax>),
}

impl SyntaxKind {
    /// Returns the direct children.
    pub(super) fn children(&self) -> impl Iterator<Item = &Syntax> {
        let (single, list): ([Option<&Syntax>; 3], &[Syntax]) = match self {
            Self::Null | Self::Int(_) | Self::Double(_) | Self::String(_) | Self::Bool(_) | Self::Name(_) => {
                ([None; 3], &[])
            }
            Self::Member(of, ..) | Self::Not(of) | Self::Negate(of) => ([Some(of), None, None], &[]),
            Self::Call(callee, arguments) => ([Some(callee), None, None], arguments),
            Self::List(parts) | Self::Map(parts) | Self::And(parts) | Self::Or(parts) => ([None; 3], parts),
            Self::Relation(_, left, right, _)
            | Self::In(left, right)
            | Self::Index(left, right)
            | Self::Arithmetic(_, left, right, _) => ([Some(left), Some(right), None], &[]),
            Self::Conditional(condition, then, otherwise) => ([Some(condition), Some(then), Some(otherwise)], &[]),
        };
        single.into_iter().flatten().chain(list)
    }
}

impl Syntax {
    /// Returns the plain or dotted name, if the whole expression is one.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        match &self.kind {
            SyntaxKind::Name(name) => Some(name.to_string()),
            SyntaxKind::Member(of, name, _) => Some(format!("{}.{name}", of.path()?)),
            _ => None,
        }
    }

    /// Returns the text, if the whole expression is a string literal.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            SyntaxKind::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the callee as written and the arguments, if the whole expression is a single call.
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

/// An argument of a call, parsed but not resolved. Some arguments are not names of the scope, such as groups.
#[derive(Clone, Copy, Debug)]
pub struct Argument<'a> {
    pub(super) syntax: &'a Syntax,
}

impl Argument<'_> {
    /// Returns the byte range in the expression's text.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.syntax.span.clone()
    }

    /// Returns the argument as a plain or dotted name, such as the name of a group; `None` if it is anything else.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        self.syntax.path()
    }

    /// Returns the text of a string literal; `None` if the argument is anything else.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.syntax.text()
    }
}
