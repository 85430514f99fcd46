//! Lowers typed terms to executable code, with fused nodes for the comparisons that are frequent in models.

use super::code::{Code, List, Node, NodeIndex, Sum};
use super::linear::Linear;
use super::operation::Function;
use super::relation::Relation;
use super::term::{Term, TermKind};
use crate::lifecycle::value::{OwnedValue, Slot, Type};

/// Lowers `term`, whose size must be within the limits.
pub(super) fn lower(term: &Term) -> Code {
    let mut lowering = Lowering::default();
    lowering.term(term);
    Code { nodes: lowering.nodes.into(), lists: lowering.lists.into(), sums: lowering.sums.into() }
}

#[derive(Default)]
struct Lowering {
    nodes: Vec<Node>,
    lists: Vec<NodeIndex>,
    sums: Vec<Sum>,
}

fn index(length: usize) -> u16 {
    u16::try_from(length).expect("an expression has at most NODES_MAX nodes")
}

impl Lowering {
    fn push(&mut self, node: Node) -> NodeIndex {
        self.nodes.push(node);
        index(self.nodes.len() - 1)
    }

    fn list(&mut self, terms: &[Term]) -> List {
        let nodes: Vec<_> = terms.iter().map(|term| self.term(term)).collect();
        let first = index(self.lists.len());
        self.lists.extend(nodes);
        List { first, count: index(terms.len()) }
    }

    fn term(&mut self, term: &Term) -> NodeIndex {
        let node = match &term.kind {
            TermKind::Constant(constant) => Node::Constant(constant.clone()),
            TermKind::Slot(slot, _) => Node::Slot(*slot),
            TermKind::Now => unreachable!("`now` occurs only in comparisons of times"),
            TermKind::Not(of) => Node::Not(self.term(of)),
            TermKind::And(parts) => Node::And(self.list(parts)),
            TermKind::Or(parts) => Node::Or(self.list(parts)),
            TermKind::Compare(relation, left, right) => self.compare(*relation, left, right),
            TermKind::CompareTimes(relation, sum) => self.compare_times(*relation, sum),
            TermKind::In(of, items) => Node::In(self.term(of), self.list(items)),
            TermKind::Conditional(parts) => {
                let [condition, then, otherwise] = parts.as_ref();
                Node::Conditional(self.term(condition), self.term(then), self.term(otherwise))
            }
            TermKind::Arithmetic(operator, left, right) => {
                Node::Arithmetic(*operator, self.term(left), self.term(right))
            }
            TermKind::Negate(of) => Node::Negate(self.term(of)),
            TermKind::Call(function, arguments) => self.call(*function, arguments),
        };
        self.push(node)
    }

    fn call(&mut self, function: Function, arguments: &[Term]) -> Node {
        match (function, arguments) {
            (
                Function::Has,
                [Term { kind: TermKind::Slot(slot, _), value_type: Type::Int | Type::Timestamp | Type::Duration }],
            ) => Node::Has(*slot),
            _ => Node::Call(function, self.list(arguments)),
        }
    }

    fn compare(&mut self, relation: Relation, left: &Term, right: &Term) -> Node {
        match (&left.kind, &right.kind) {
            (TermKind::Slot(slot, _), TermKind::Constant(OwnedValue::Int(number))) if left.value_type == Type::Int => {
                Node::CompareInt(*slot, relation, *number)
            }
            (TermKind::Constant(OwnedValue::Int(number)), TermKind::Slot(slot, _)) if right.value_type == Type::Int => {
                Node::CompareInt(*slot, relation.swapped(), *number)
            }
            (TermKind::Slot(slot, _), TermKind::Constant(OwnedValue::Double(number))) => {
                Node::CompareDouble(*slot, relation, *number)
            }
            (TermKind::Constant(OwnedValue::Double(number)), TermKind::Slot(slot, _)) => {
                Node::CompareDouble(*slot, relation.swapped(), *number)
            }
            _ => Node::Compare(relation, self.term(left), self.term(right)),
        }
    }

    fn compare_times(&mut self, relation: Relation, sum: &Linear) -> Node {
        let slot = |term: &Term| -> Option<Slot> {
            match term.kind {
                TermKind::Slot(slot, _) => Some(slot),
                _ => None,
            }
        };
        if let Ok(offset) = i64::try_from(-sum.constant) {
            match (sum.now_coefficient, sum.parts.as_slice()) {
                (1, [(-1, at)]) if slot(at).is_some() => {
                    return slot(at)
                        .map(|slot| Node::CompareNow(relation, slot, offset))
                        .expect("the guard checked that it is a slot");
                }
                (0, [(1, left)]) => {
                    if let Some(left) = slot(left) {
                        return Node::CompareInt(left, relation, offset);
                    }
                }
                (0, [(1, left), (-1, right)]) => {
                    if let (Some(left), Some(right)) = (slot(left), slot(right)) {
                        return Node::CompareSlots(left, relation, right, offset);
                    }
                }
                _ => {}
            }
        }
        let parts = sum.parts.iter().map(|(coefficient, part)| (*coefficient, self.term(part))).collect();
        self.sums.push(Sum { relation, now_coefficient: sum.now_coefficient, parts, constant: sum.constant });
        Node::Sum(index(self.sums.len() - 1))
    }
}
