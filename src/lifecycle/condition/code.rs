//! The code of a program: a flat array of nodes, children before parents, with the common comparisons fused.
//!
//! Evaluation walks it without allocating. Each truth comes with the horizon until which it holds; `&&` and `||` combine
//! horizons as tightly as the terms that were looked at allow.

use std::cmp::Ordering;

use super::arithmetic::{self, compare};
use super::relation::Relation;
use super::scope::Constant;
use super::syntax::ArithmeticSign;
use super::term::Function;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::value::{Horizon, Inputs, Slot, Value};

/// The index of a node.
pub(super) type NodeIndex = u16;

/// Nodes one after another in [`Code::lists`].
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) first: u16,
    pub(super) count: u16,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Constant(Constant),
    Slot(Slot),
    /// A slot of whole numbers or times, against a constant.
    WholeAgainst(Slot, Relation, i64),
    /// A slot of numbers, against a constant.
    DoubleAgainst(Slot, Relation, f64),
    /// A slot of times, against another one and a constant.
    SlotAgainst(Slot, Relation, Slot, i64),
    /// `now`, against a slot of times and a constant.
    NowAgainst(Relation, Slot, i64),
    Sum(u16),
    Compare(Relation, NodeIndex, NodeIndex),
    In(NodeIndex, List),
    Not(NodeIndex),
    All(List),
    Any(List),
    Choose(NodeIndex, NodeIndex, NodeIndex),
    Arithmetic(ArithmeticSign, NodeIndex, NodeIndex),
    Negate(NodeIndex),
    Call(Function, List),
}

/// A sum of times against zero, as in [`Linear`](super::linear::Linear).
#[derive(Clone, Debug)]
pub(super) struct Sum {
    pub(super) relation: Relation,
    pub(super) now: i64,
    pub(super) parts: Box<[(i64, NodeIndex)]>,
    pub(super) constant: i128,
}

#[derive(Clone, Debug)]
pub(super) struct Code {
    /// The last one is the whole.
    pub(super) nodes: Box<[Node]>,
    pub(super) lists: Box<[NodeIndex]>,
    pub(super) sums: Box<[Sum]>,
}

/// What a program is evaluated over.
struct Over<'a, I> {
    code: &'a Code,
    inputs: &'a I,
    now: Timestamp,
}

impl Code {
    pub(super) fn evaluate<'a, I: Inputs>(&'a self, inputs: &'a I, now: Timestamp, horizon: &mut Horizon) -> Value<'a> {
        let root = self.nodes.len() - 1;
        Over { code: self, inputs, now }.value_at(root, horizon)
    }
}

impl<'a, I: Inputs> Over<'a, I> {
    fn list(&self, list: List) -> &'a [NodeIndex] {
        let first = usize::from(list.first);
        &self.code.lists[first..first + usize::from(list.count)]
    }

    fn value(&self, node: NodeIndex, horizon: &mut Horizon) -> Value<'a> {
        self.value_at(usize::from(node), horizon)
    }

    fn value_at(&self, node: usize, horizon: &mut Horizon) -> Value<'a> {
        match &self.code.nodes[node] {
            Node::Constant(constant) => constant.value(),
            Node::Slot(slot) => self.inputs.read(*slot, self.now, horizon),
            Node::Choose(condition, then, otherwise) => {
                let holds = self.note(*condition, horizon);
                self.value(if holds { *then } else { *otherwise }, horizon)
            }
            Node::Arithmetic(sign, left, right) => {
                let left = self.value(*left, horizon);
                arithmetic::apply(*sign, left, self.value(*right, horizon))
            }
            Node::Negate(of) => arithmetic::negate(self.value(*of, horizon)),
            Node::Call(function, arguments) => self.call(*function, self.list(*arguments), horizon),
            _ => {
                let (holds, until) = self.truth_at(node);
                *horizon = horizon.earlier(until);
                Value::Bool(holds)
            }
        }
    }

    fn call(&self, function: Function, arguments: &'a [NodeIndex], horizon: &mut Horizon) -> Value<'a> {
        let first = self.value(arguments[0], horizon);
        match function {
            Function::Least | Function::Greatest => {
                let kept = if function == Function::Least { Relation::LESS } else { Relation::GREATER };
                arguments[1..].iter().fold(first, |best, &argument| {
                    let other = self.value(argument, horizon);
                    if best == Value::Absent || compare(kept, other, best) { other } else { best }
                })
            }
            _ => match arguments.get(1) {
                Some(&second) => arithmetic::call_two(function, first, self.value(second, horizon)),
                None => arithmetic::call(function, first),
            },
        }
    }

    /// Whether `node` holds; notes its horizon.
    fn note(&self, node: NodeIndex, horizon: &mut Horizon) -> bool {
        let (holds, until) = self.truth(node);
        *horizon = horizon.earlier(until);
        holds
    }

    #[inline]
    fn truth(&self, node: NodeIndex) -> (bool, Horizon) {
        self.truth_at(usize::from(node))
    }

    /// Whether the node holds, absent counting as false, and until when that stays so.
    fn truth_at(&self, node: usize) -> (bool, Horizon) {
        let mut until = Horizon::NEVER;
        let holds = match &self.code.nodes[node] {
            Node::WholeAgainst(slot, relation, number) => {
                self.whole(*slot, &mut until).is_some_and(|value| relation.holds(value.cmp(number)))
            }
            Node::DoubleAgainst(slot, relation, number) => match self.inputs.read(*slot, self.now, &mut until) {
                Value::Double(value) => relation.holds_partly(value.partial_cmp(number)),
                value => compare(*relation, value, Value::Double(*number)),
            },
            Node::SlotAgainst(left, relation, right, offset) => {
                let left = self.whole(*left, &mut until);
                let right = self.whole(*right, &mut until);
                match (left, right) {
                    (Some(left), Some(right)) => match right.checked_add(*offset) {
                        Some(right) => relation.holds(left.cmp(&right)),
                        // Beyond 64 bits: the offset's sign tells on which side.
                        None => relation.holds(0.cmp(offset)),
                    },
                    _ => false,
                }
            }
            Node::NowAgainst(relation, slot, offset) => match self.whole(*slot, &mut until) {
                Some(value) => match value.checked_add(*offset) {
                    Some(instant) => against_instant(*relation, self.now, instant, &mut until),
                    None => relation.holds(0.cmp(offset)),
                },
                None => false,
            },
            Node::Sum(sum) => self.sum(&self.code.sums[usize::from(*sum)], &mut until),
            Node::Compare(relation, left, right) => {
                let left = self.value(*left, &mut until);
                compare(*relation, left, self.value(*right, &mut until))
            }
            Node::In(of, items) => {
                let of = self.value(*of, &mut until);
                self.list(*items).iter().any(|&item| compare(Relation::EQUAL, of, self.value(item, &mut until)))
            }
            Node::Not(of) => {
                let (holds, of_until) = self.truth(*of);
                until = of_until;
                !holds
            }
            Node::All(parts) => return self.combined(self.list(*parts), false),
            Node::Any(parts) => return self.combined(self.list(*parts), true),
            Node::Choose(condition, then, otherwise) => {
                let holds = self.note(*condition, &mut until);
                self.note(if holds { *then } else { *otherwise }, &mut until)
            }
            Node::Constant(_) | Node::Slot(_) | Node::Arithmetic(..) | Node::Negate(_) | Node::Call(..) => {
                self.value_at(node, &mut until).is_true()
            }
        };
        (holds, until)
    }

    /// `&&` and `||`: one part that is `deciding` decides the whole, and does so as long as any such part stays that way.
    /// So the latest horizon among the deciding parts counts; without one, the earliest among all.
    fn combined(&self, parts: &[NodeIndex], deciding: bool) -> (bool, Horizon) {
        let mut undecided_until = Horizon::NEVER;
        let mut decided_until: Option<Horizon> = None;
        for &part in parts {
            let (holds, until) = self.truth(part);
            if holds != deciding {
                undecided_until = undecided_until.earlier(until);
            } else if until == Horizon::NEVER {
                return (deciding, until);
            } else {
                decided_until = Some(decided_until.map_or(until, |known| known.later(until)));
            }
        }
        match decided_until {
            Some(until) => (deciding, until),
            None => (!deciding, undecided_until),
        }
    }

    #[inline]
    fn whole(&self, slot: Slot, horizon: &mut Horizon) -> Option<i64> {
        arithmetic::whole(self.inputs.read(slot, self.now, horizon))
    }

    fn sum(&self, sum: &Sum, horizon: &mut Horizon) -> bool {
        let mut rest = sum.constant;
        for &(weight, part) in &sum.parts {
            let Some(value) = arithmetic::whole(self.value(part, horizon)) else { return false };
            rest += i128::from(weight) * i128::from(value);
        }
        if sum.now == 0 {
            return sum.relation.holds(rest.cmp(&0));
        }
        // `now * multiple` against `-rest`: the first instants at which it is equal or greater, and greater.
        let multiple = i128::from(sum.now);
        let whole = (-rest).div_euclid(multiple);
        let equal_from = if (-rest).rem_euclid(multiple) == 0 { whole } else { whole + 1 };
        between(sum.relation, self.now, equal_from, whole + 1, horizon)
    }
}

/// Whether `now` stands in `relation` to `instant`; notes when that changes.
#[inline]
fn against_instant(relation: Relation, now: Timestamp, instant: i64, horizon: &mut Horizon) -> bool {
    let holds = relation.holds(now.as_millis().cmp(&instant));
    if now.as_millis() < instant {
        if relation.holds(Ordering::Equal) != holds {
            horizon.note(Timestamp::from_millis(instant));
        } else if relation.holds(Ordering::Greater) != holds {
            horizon.note(Timestamp::from_millis(instant).next());
        }
    } else if now.as_millis() == instant && relation.holds(Ordering::Greater) != holds {
        horizon.note(Timestamp::from_millis(instant).next());
    }
    holds
}

/// The same where the two sides are equal from `equal_from` until before `greater_from`, which may be never.
fn between(relation: Relation, now: Timestamp, equal_from: i128, greater_from: i128, horizon: &mut Horizon) -> bool {
    let at = i128::from(now.as_millis());
    let ordering = if at < equal_from {
        Ordering::Less
    } else if at < greater_from {
        Ordering::Equal
    } else {
        Ordering::Greater
    };
    let holds = relation.holds(ordering);
    let is_equal_ahead = at < equal_from && equal_from < greater_from;
    let change = if is_equal_ahead && relation.holds(Ordering::Equal) != holds {
        equal_from
    } else if at < greater_from && relation.holds(Ordering::Greater) != holds {
        greater_from
    } else {
        return holds;
    };
    // An instant beyond 64 bits never comes.
    if let Ok(change) = i64::try_from(change) {
        horizon.note(Timestamp::from_millis(change));
    }
    holds
}
