//! Lowers typed terms to code, fusing the comparisons that models are made of.

use super::code::{Code, List, Node, NodeIndex, Sum};
use super::linear::Linear;
use super::relation::Relation;
use super::scope::Constant;
use super::term::{Term, TermKind};
use crate::lifecycle::value::{Slot, Type};

/// The code of `term`, whose size is within the limits.
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
    u16::try_from(length).expect("the size of an expression is limited")
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
            TermKind::Now => unreachable!("`now` stands in comparisons only"),
            TermKind::Not(of) => Node::Not(self.term(of)),
            TermKind::All(parts) => Node::All(self.list(parts)),
            TermKind::Any(parts) => Node::Any(self.list(parts)),
            TermKind::Compare(relation, left, right) => self.compare(*relation, left, right),
            TermKind::CompareTimes(relation, sum) => self.compare_times(*relation, sum),
            TermKind::In(of, items) => Node::In(self.term(of), self.list(items)),
            TermKind::Choose(parts) => {
                let [condition, then, otherwise] = parts.as_ref();
                Node::Choose(self.term(condition), self.term(then), self.term(otherwise))
            }
            TermKind::Arithmetic(sign, left, right) => Node::Arithmetic(*sign, self.term(left), self.term(right)),
            TermKind::Negate(of) => Node::Negate(self.term(of)),
            TermKind::Call(function, arguments) => Node::Call(*function, self.list(arguments)),
        };
        self.push(node)
    }

    fn compare(&mut self, relation: Relation, left: &Term, right: &Term) -> Node {
        match (&left.kind, &right.kind) {
            (TermKind::Slot(slot, _), TermKind::Constant(Constant::Int(number))) if left.value_type == Type::Int => {
                Node::WholeAgainst(*slot, relation, *number)
            }
            (TermKind::Constant(Constant::Int(number)), TermKind::Slot(slot, _)) if right.value_type == Type::Int => {
                Node::WholeAgainst(*slot, relation.swapped(), *number)
            }
            (TermKind::Slot(slot, _), TermKind::Constant(Constant::Double(number))) => {
                Node::DoubleAgainst(*slot, relation, *number)
            }
            (TermKind::Constant(Constant::Double(number)), TermKind::Slot(slot, _)) => {
                Node::DoubleAgainst(*slot, relation.swapped(), *number)
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
            match (sum.now, sum.parts.as_slice()) {
                (1, [(-1, at)]) if slot(at).is_some() => {
                    return slot(at).map(|slot| Node::NowAgainst(relation, slot, offset)).expect("just seen");
                }
                (0, [(1, left)]) => {
                    if let Some(left) = slot(left) {
                        return Node::WholeAgainst(left, relation, offset);
                    }
                }
                (0, [(1, left), (-1, right)]) => {
                    if let (Some(left), Some(right)) = (slot(left), slot(right)) {
                        return Node::SlotAgainst(left, relation, right, offset);
                    }
                }
                _ => {}
            }
        }
        let parts = sum.parts.iter().map(|(weight, part)| (*weight, self.term(part))).collect();
        self.sums.push(Sum { relation, now: sum.now, parts, constant: sum.constant });
        Node::Sum(index(self.sums.len() - 1))
    }
}
