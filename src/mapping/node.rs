//! A compiled expression: names are resolved to roots, variables and constants, functions to their code.

use std::sync::OnceLock;

use serde_json::Value;

use super::function::{Function, TimePattern};
use crate::lifecycle::condition::{ArithmeticOperator, Relation};

/// Returns the members of each path that is read from the root with this index, among those that `visit_paths` visits.
pub(super) fn paths_of_root<'n>(
    root: usize,
    visit_paths: impl FnOnce(&mut dyn FnMut(usize, &'n Path)),
) -> Vec<&'n [Box<str>]> {
    let mut paths = Vec::new();
    visit_paths(&mut |it, path| {
        if it == root {
            paths.push(&*path.members);
        }
    });
    paths
}

/// A node of a compiled expression.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Constant(Value),
    /// A root or a variable, and the members to follow.
    Path(Path),
    /// A member of a computed value.
    Member(Box<Node>, Box<str>),
    Index(Box<Node>, Box<Node>),
    /// Items that are not all constant.
    List(Vec<Node>),
    /// Keys and values in turn, not all constant.
    Object(Vec<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Relation(Relation, Box<Node>, Box<Node>),
    In(Box<Node>, Box<Node>),
    Arithmetic(ArithmeticOperator, Box<Node>, Box<Node>),
    Conditional(Box<[Node; 3]>),
    Call(&'static Function, Vec<Node>),
    /// `pattern(x, ...)`.
    ParseTime(TimePattern, Box<Node>),
    /// `format_time(x, ...)`.
    FormatTime(TimePattern, Box<Node>),
    /// `coalesce`: evaluates its arguments only as far as needed.
    Coalesce(Vec<Node>),
    /// `attempt`: as `coalesce`, but an error counts as null.
    Attempt(Vec<Node>),
    /// `list.map(x, ...)` and the like.
    Loop(LoopKind, Box<[Node; 2]>),
}

/// Where a value is found.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) start: Start,
    /// The name of the root or variable.
    pub(super) start_name: Box<str>,
    pub(super) members: Box<[Box<str>]>,
    /// As written, for messages.
    pub(super) text: Box<str>,
    /// The slot of the record, once the mapping is complete.
    pub(super) slot: OnceLock<usize>,
}

/// The start of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    /// Index of a root.
    Root(usize),
    /// Index of a variable, counted from the outermost loop.
    Variable(usize),
}

/// What a loop does with the items of its list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LoopKind {
    Map,
    Filter,
    Exists,
    All,
}

impl Node {
    /// Calls `visit` with each path that starts with a root.
    pub(super) fn visit_paths<'n>(&'n self, visit: &mut dyn FnMut(usize, &'n Path)) {
        match self {
            Self::Constant(_) => {}
            Self::Path(path) => {
                if let Start::Root(root) = path.start {
                    visit(root, path);
                }
            }
            Self::Member(of, _)
            | Self::Not(of)
            | Self::Negate(of)
            | Self::ParseTime(_, of)
            | Self::FormatTime(_, of) => of.visit_paths(visit),
            Self::Index(one, other)
            | Self::Relation(_, one, other)
            | Self::In(one, other)
            | Self::Arithmetic(_, one, other) => {
                one.visit_paths(visit);
                other.visit_paths(visit);
            }
            Self::List(nodes)
            | Self::Object(nodes)
            | Self::And(nodes)
            | Self::Or(nodes)
            | Self::Call(_, nodes)
            | Self::Coalesce(nodes)
            | Self::Attempt(nodes) => nodes.iter().for_each(|node| node.visit_paths(visit)),
            Self::Conditional(nodes) => nodes.iter().for_each(|node| node.visit_paths(visit)),
            Self::Loop(_, nodes) => nodes.iter().for_each(|node| node.visit_paths(visit)),
        }
    }

    /// Returns the value, if it is the same for every record.
    pub(super) const fn constant(&self) -> Option<&Value> {
        match self {
            Self::Constant(value) => Some(value),
            _ => None,
        }
    }
}
