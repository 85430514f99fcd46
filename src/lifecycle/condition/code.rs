//! The executable form of a program: a flat array of nodes, children before parents, with fused nodes for the common
//! comparisons.
//!
//! Evaluation does not allocate. Each bool comes with its horizon: the instant until which time alone cannot change it.
//! `&&` and `||` combine the horizons of their operands as tightly as possible.

use std::cmp::Ordering;

use super::arithmetic::{self, compare};
use super::operation::{ArithmeticOperator, Function};
use super::relation::Relation;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::value::{Horizon, Inputs, OwnedValue, Slot, Value};

/// Index of a node in [`Code::nodes`].
pub(super) type NodeIndex = u16;

/// A range of [`Code::lists`].
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) first: u16,
    pub(super) count: u16,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Constant(OwnedValue),
    Slot(Slot),
    /// Whether a slot has a value; of an int, timestamp or duration.
    Has(Slot),
    /// Compares an int, timestamp or duration slot with an int or a number of milliseconds.
    CompareInt(Slot, Relation, i64),
    /// Compares a number slot with a constant.
    CompareDouble(Slot, Relation, f64),
    /// Compares a time slot with another time slot plus a constant.
    CompareSlots(Slot, Relation, Slot, i64),
    /// Compares `now` with a time slot plus a constant.
    CompareNow(Relation, Slot, i64),
    Sum(u16),
    Compare(Relation, NodeIndex, NodeIndex),
    In(NodeIndex, List),
    Not(NodeIndex),
    And(List),
    Or(List),
    Conditional(NodeIndex, NodeIndex, NodeIndex),
    Arithmetic(ArithmeticOperator, NodeIndex, NodeIndex),
    Negate(NodeIndex),
    Call(Function, List),
}

/// A comparison of a sum of times with zero, see [`Linear`](super::linear::Linear).
#[derive(Clone, Debug)]
pub(super) struct Sum {
    pub(super) relation: Relation,
    pub(super) now_coefficient: i64,
    pub(super) parts: Box<[(i64, NodeIndex)]>,
    pub(super) constant: i128,
}

#[derive(Clone, Debug)]
pub(super) struct Code {
    /// The last node is the root.
    pub(super) nodes: Box<[Node]>,
    pub(super) lists: Box<[NodeIndex]>,
    pub(super) sums: Box<[Sum]>,
}

/// One evaluation of a program: its code, its inputs and `now`.
struct Evaluation<'a, I> {
    code: &'a Code,
    inputs: &'a I,
    now: Timestamp,
}

impl Code {
    pub(super) fn evaluate<'a, I: Inputs>(&'a self, inputs: &'a I, now: Timestamp, horizon: &mut Horizon) -> Value<'a> {
        let root = self.nodes.len() - 1;
        Evaluation { code: self, inputs, now }.value_at(root, horizon)
    }

    pub(super) fn holds<I: Inputs>(&self, inputs: &I, now: Timestamp, horizon: &mut Horizon) -> bool {
        let (holds, until) = Evaluation { code: self, inputs, now }.bool_value_at(self.nodes.len() - 1);
        *horizon = horizon.earlier(until);
        holds
    }
}

impl<'a, I: Inputs> Evaluation<'a, I> {
    fn list(&self, list: List) -> &'a [NodeIndex] {
        let first = usize::from(list.first);
        &self.code.lists[first..first + usize::from(list.count)]
    }

    fn value(&self, node: NodeIndex, horizon: &mut Horizon) -> Value<'a> {
        self.value_at(usize::from(node), horizon)
    }

    fn value_at(&self, node: usize, horizon: &mut Horizon) -> Value<'a> {
        match &self.code.nodes[node] {
            Node::Constant(constant) => constant.as_value(),
            Node::Slot(slot) => self.inputs.read(*slot, self.now, horizon),
            Node::Conditional(condition, then, otherwise) => {
                let holds = self.condition(*condition, horizon);
                self.value(if holds { *then } else { *otherwise }, horizon)
            }
            Node::Arithmetic(operator, left, right) => {
                let left = self.value(*left, horizon);
                arithmetic::apply(*operator, left, self.value(*right, horizon))
            }
            Node::Negate(of) => arithmetic::negate(self.value(*of, horizon)),
            Node::Call(function, arguments) => self.call(*function, self.list(*arguments), horizon),
            _ => {
                let (holds, until) = self.bool_value_at(node);
                *horizon = horizon.earlier(until);
                Value::Bool(holds)
            }
        }
    }

    fn call(&self, function: Function, arguments: &'a [NodeIndex], horizon: &mut Horizon) -> Value<'a> {
        let first = self.value(arguments[0], horizon);
        match function {
            Function::Least | Function::Greatest => {
                let preferred = if function == Function::Least { Relation::LESS } else { Relation::GREATER };
                arguments[1..].iter().fold(first, |best, &argument| {
                    let other = self.value(argument, horizon);
                    if best == Value::Absent || compare(preferred, other, best) { other } else { best }
                })
            }
            _ => match arguments.get(1) {
                Some(&second) => arithmetic::call_two(function, first, self.value(second, horizon)),
                None => arithmetic::call(function, first),
            },
        }
    }

    /// Evaluates a condition and lowers `horizon` to its horizon.
    fn condition(&self, node: NodeIndex, horizon: &mut Horizon) -> bool {
        let (holds, until) = self.bool_value(node);
        *horizon = horizon.earlier(until);
        holds
    }

    fn bool_value(&self, node: NodeIndex) -> (bool, Horizon) {
        self.bool_value_at(usize::from(node))
    }

    /// Evaluates a bool node, with absent as false, and returns its horizon.
    #[expect(clippy::inline_always, reason = "a call costs more than most comparisons")]
    #[inline(always)]
    fn bool_value_at(&self, node: usize) -> (bool, Horizon) {
        let mut until = Horizon::NEVER;
        let holds = match &self.code.nodes[node] {
            Node::CompareInt(slot, relation, number) => {
                self.read_int_or_millis(*slot, &mut until).is_some_and(|value| relation.holds(value.cmp(number)))
            }
            Node::Has(slot) => self.read_int_or_millis(*slot, &mut until).is_some(),
            Node::CompareSlots(left, relation, right, offset) => {
                let left = self.read_int_or_millis(*left, &mut until);
                let right = self.read_int_or_millis(*right, &mut until);
                match (left, right) {
                    (Some(left), Some(right)) => match right.checked_add(*offset) {
                        Some(right) => relation.holds(left.cmp(&right)),
                        // The sum overflows 64 bits; the operator of the offset decides the comparison.
                        None => relation.holds(0.cmp(offset)),
                    },
                    _ => false,
                }
            }
            Node::CompareNow(relation, slot, offset) => match self.read_int_or_millis(*slot, &mut until) {
                Some(value) => match value.checked_add(*offset) {
                    Some(instant) => compare_now(*relation, self.now, instant, &mut until),
                    None => relation.holds(0.cmp(offset)),
                },
                None => false,
            },
            Node::And(parts) => return self.and_or(self.list(*parts), false),
            Node::Or(parts) => return self.and_or(self.list(*parts), true),
            _ => return self.rare_bool_value_at(node),
        };
        (holds, until)
    }

    /// Evaluates the bool nodes that [`bool_value_at`](Self::bool_value_at) leaves out, so that it is small.
    #[inline(never)]
    fn rare_bool_value_at(&self, node: usize) -> (bool, Horizon) {
        let mut until = Horizon::NEVER;
        let holds = match &self.code.nodes[node] {
            Node::Not(of) => {
                let (holds, of_until) = self.bool_value(*of);
                until = of_until;
                !holds
            }
            Node::CompareDouble(slot, relation, number) => match self.inputs.read(*slot, self.now, &mut until) {
                Value::Double(value) => relation.holds_partial(value.partial_cmp(number)),
                value => compare(*relation, value, Value::Double(*number)),
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
            Node::Conditional(condition, then, otherwise) => {
                let holds = self.condition(*condition, &mut until);
                self.condition(if holds { *then } else { *otherwise }, &mut until)
            }
            _ => self.value_at(node, &mut until).is_true(),
        };
        (holds, until)
    }

    /// Evaluates `&&` (`deciding` is false) and `||` (`deciding` is true).
    ///
    /// One operand with the value `deciding` decides the result, and the result holds until the last such operand may
    /// change. So the horizon is the latest one among the deciding operands, or the earliest of all if no operand
    /// decides.
    fn and_or(&self, parts: &[NodeIndex], deciding: bool) -> (bool, Horizon) {
        let mut undecided_until = Horizon::NEVER;
        let mut decided_until: Option<Horizon> = None;
        for &part in parts {
            let (holds, until) = self.bool_value(part);
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
    fn read_int_or_millis(&self, slot: Slot, horizon: &mut Horizon) -> Option<i64> {
        self.inputs.read_int_or_millis(slot, self.now, horizon)
    }

    fn sum(&self, sum: &Sum, horizon: &mut Horizon) -> bool {
        let mut rest = sum.constant;
        for &(coefficient, part) in &sum.parts {
            let Some(value) = self.value(part, horizon).int_or_millis() else { return false };
            rest += i128::from(coefficient) * i128::from(value);
        }
        if sum.now_coefficient == 0 {
            return sum.relation.holds(rest.cmp(&0));
        }
        // Solves `now * multiple >= -rest` and `now * multiple > -rest` for the first instant.
        let multiple = i128::from(sum.now_coefficient);
        let quotient = (-rest).div_euclid(multiple);
        let equal_from = if (-rest).rem_euclid(multiple) == 0 { quotient } else { quotient + 1 };
        compare_now_in_range(sum.relation, self.now, equal_from, quotient + 1, horizon)
    }
}

/// Evaluates `now relation instant`, and lowers `horizon` to the instant of the next change.
#[inline]
fn compare_now(relation: Relation, now: Timestamp, instant: i64, horizon: &mut Horizon) -> bool {
    let holds = relation.holds(now.as_millis().cmp(&instant));
    if now.as_millis() < instant {
        if relation.holds(Ordering::Equal) != holds {
            horizon.lower_to(Timestamp::from_millis(instant));
        } else if relation.holds(Ordering::Greater) != holds {
            horizon.lower_to(Timestamp::from_millis(instant).next());
        }
    } else if now.as_millis() == instant && relation.holds(Ordering::Greater) != holds {
        horizon.lower_to(Timestamp::from_millis(instant).next());
    }
    holds
}

/// Like [`compare_now`], for operands that are equal while `now` is in `equal_from..greater_from`, which may be empty.
fn compare_now_in_range(
    relation: Relation,
    now: Timestamp,
    equal_from: i128,
    greater_from: i128,
    horizon: &mut Horizon,
) -> bool {
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
    // An instant beyond 64 bits is never reached.
    if let Ok(change) = i64::try_from(change) {
        horizon.lower_to(Timestamp::from_millis(change));
    }
    holds
}
