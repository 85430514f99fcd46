//! Derives from a condition the instants at which time alone may change it: "90 days after `orders.last`".
//!
//! Diagrams and explanations of models use deadlines; evaluation computes horizons instead. A deadline
//! means that a change is possible; whether it happens depends on the facts of the customer.

use super::covers::implies;
use super::operation::{ArithmeticOperator, Function};
use super::program::Program;
use super::relation::Relation;
use super::term::{Term, TermKind};
use crate::lifecycle::time::Duration;
use crate::lifecycle::value::{OwnedValue, Slot, Type};

/// An instant at which time alone may change a condition.
#[derive(Clone, PartialEq, Debug)]
pub struct Deadline {
    /// The fact from which the deadline is counted.
    pub slot: Slot,
    /// Time after the fact; `None` if the fact is a number: the condition does not determine whether and when
    /// it changes.
    pub after: Option<Duration>,
    /// Whether the condition may become true at the deadline; otherwise it may become false.
    pub turns_true: bool,
    guards: Guards,
}

/// Conditions that must hold at the deadline; otherwise the change has no effect.
#[derive(Clone, PartialEq, Debug, Default)]
struct Guards {
    /// If one of these does not hold, the condition is false both before and after the deadline.
    false_without: Vec<Term>,
    /// If one of these does not hold, the condition is true both before and after the deadline.
    true_without: Vec<Term>,
}

impl Deadline {
    /// Whether `condition` provably holds right after the deadline.
    #[must_use]
    pub fn implies(&self, condition: &Program) -> bool {
        implies(&Term::boolean(TermKind::And(self.guards().cloned().collect())), &condition.term)
    }

    /// Whether the guards without which the condition is false read only slots for which `known` returns true.
    #[must_use]
    pub fn guards_read_only(&self, known: impl Fn(Slot) -> bool) -> bool {
        let mut references = Vec::new();
        self.guards.false_without.iter().for_each(|guard| guard.collect_references(&mut references));
        references.into_iter().all(|reference| known(reference.slot))
    }

    fn guards(&self) -> impl Iterator<Item = &Term> {
        self.guards.false_without.iter().chain(&self.guards.true_without)
    }

    /// Whether two guards contradict each other.
    fn is_impossible(&self) -> bool {
        let together = Term::boolean(TermKind::And(self.guards().cloned().collect()));
        self.guards().any(|guard| matches!(&guard.kind, TermKind::Not(of) if implies(&together, of)))
    }
}

/// Returns the deadlines at which time alone may change `program`, in order of appearance.
#[must_use]
pub fn deadlines(program: &Program) -> Vec<Deadline> {
    let mut found = Vec::new();
    collect_deadlines(&program.term, true, &mut Guards::default(), &mut found);
    found.retain(|deadline| !deadline.is_impossible());
    found
}

/// Adds the deadlines of `term`, which is negated unless `is_positive`.
fn collect_deadlines(term: &Term, is_positive: bool, guards: &mut Guards, found: &mut Vec<Deadline>) {
    match &term.kind {
        TermKind::Not(of) => collect_deadlines(of, !is_positive, guards, found),
        TermKind::And(parts) => {
            for (index, part) in parts.iter().enumerate() {
                // An operand of `&&` matters only while the others hold.
                let others = parts[..index].iter().chain(&parts[index + 1..]).cloned();
                with_guards(others.collect(), is_positive, guards, |guards| {
                    collect_deadlines(part, is_positive, guards, found);
                });
            }
        }
        TermKind::Or(parts) => {
            for (index, part) in parts.iter().enumerate() {
                let others = parts[..index].iter().chain(&parts[index + 1..]);
                let others = others.map(|other| Term::boolean(TermKind::Not(Box::new(other.clone()))));
                with_guards(others.collect(), !is_positive, guards, |guards| {
                    collect_deadlines(part, is_positive, guards, found);
                });
            }
        }
        TermKind::Conditional(parts) => {
            let [condition, then, otherwise] = parts.as_ref();
            with_guards(vec![condition.clone()], true, guards, |guards| {
                collect_deadlines(then, is_positive, guards, found);
            });
            let not = Term::boolean(TermKind::Not(Box::new(condition.clone())));
            with_guards(vec![not], true, guards, |guards| collect_deadlines(otherwise, is_positive, guards, found));
        }
        TermKind::CompareTimes(relation, sum) if sum.now_coefficient == 1 => {
            let [(-1, since)] = sum.parts.as_slice() else { return };
            let Some(becomes_true) = is_lower_bound(*relation) else { return };
            let mut after = guards.clone();
            after.false_without.push(if becomes_true {
                term.clone()
            } else {
                Term::boolean(TermKind::Not(Box::new(term.clone())))
            });
            let mut times = Vec::new();
            collect_start_times(since, -sum.constant, &mut times);
            found.extend(times.into_iter().filter(|&(_, millis)| millis > 0).map(|(slot, millis)| Deadline {
                slot,
                after: Some(Duration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))),
                turns_true: becomes_true == is_positive,
                guards: after.clone(),
            }));
        }
        TermKind::Compare(relation, left, _) => {
            let TermKind::Slot(slot, _) = left.kind else { return };
            // Time can only decrease a number: touchpoints leave a window, or a streak ends.
            let Some(is_lower_bound) = is_lower_bound(*relation).filter(|_| left.value_type == Type::Int) else {
                return;
            };
            let guards = guards.clone();
            found.push(Deadline { slot, after: None, turns_true: is_lower_bound != is_positive, guards });
        }
        _ => {}
    }
}

/// Runs `act` with `more` added to the guards.
fn with_guards(more: Vec<Term>, is_false_without: bool, guards: &mut Guards, act: impl FnOnce(&mut Guards)) {
    let (false_count, true_count) = (guards.false_without.len(), guards.true_without.len());
    if is_false_without { &mut guards.false_without } else { &mut guards.true_without }.extend(more);
    act(guards);
    guards.false_without.truncate(false_count);
    guards.true_without.truncate(true_count);
}

/// Whether the relation is a lower bound (`true`) or an upper bound (`false`); `None` for `==` and `!=`.
fn is_lower_bound(relation: Relation) -> Option<bool> {
    match relation {
        Relation::GREATER | Relation::GREATER_OR_EQUAL => Some(true),
        Relation::LESS | Relation::LESS_OR_EQUAL => Some(false),
        _ => None,
    }
}

/// Collects the times that `term` may evaluate to, each as a fact and an offset, shifted by `millis`.
fn collect_start_times(term: &Term, millis: i128, found: &mut Vec<(Slot, i128)>) {
    match &term.kind {
        TermKind::Slot(slot, _) if !found.contains(&(*slot, millis)) => found.push((*slot, millis)),
        TermKind::Arithmetic(operator @ (ArithmeticOperator::Add | ArithmeticOperator::Subtract), left, right) => {
            let factor = if *operator == ArithmeticOperator::Add { 1 } else { -1 };
            match (left.as_constant(), right.as_constant()) {
                (_, Some(OwnedValue::Duration(duration))) => {
                    collect_start_times(left, millis + factor * i128::from(duration.as_millis()), found);
                }
                (Some(OwnedValue::Duration(duration)), _) if factor == 1 => {
                    collect_start_times(right, millis + i128::from(duration.as_millis()), found);
                }
                _ => {}
            }
        }
        TermKind::Conditional(parts) => {
            for part in &parts[1..] {
                collect_start_times(part, millis, found);
            }
        }
        TermKind::Call(Function::Least | Function::Greatest, parts) => {
            for part in parts {
                collect_start_times(part, millis, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::condition::{FactTable, compile};

    fn program(text: &str) -> Program {
        let mut facts = FactTable::default();
        for (name, value_type) in
            [("bought", Type::Timestamp), ("used", Type::Timestamp), ("orders", Type::Int), ("unhappy", Type::Bool)]
        {
            facts.set_absent(name, value_type);
        }
        compile(text, Some(Type::Bool), &mut facts).expect("it compiles").program
    }

    /// Returns each deadline as fact, days after it, and whether the condition becomes true.
    fn found_in(text: &str) -> Vec<(u16, Option<i64>, bool)> {
        let days = |duration: Duration| duration.as_millis() / 86_400_000;
        let found = deadlines(&program(text));
        found.into_iter().map(|deadline| (deadline.slot.0, deadline.after.map(days), deadline.turns_true)).collect()
    }

    #[test]
    fn a_comparison_with_now_becomes_true_or_false() {
        assert_eq!(found_in("now >= bought + days(90)"), [(0, Some(90), true)]);
        assert_eq!(found_in("now - bought < days(7)"), [(0, Some(7), false)]);
        assert_eq!(found_in("!(now > bought + days(7))"), [(0, Some(7), false)]);
        assert_eq!(found_in("bought > used"), []);
        assert_eq!(found_in("orders >= 2"), [(2, None, false)]);
    }

    #[test]
    fn every_branch_of_a_conditional_has_a_deadline() {
        let choice = "now < (used < bought + days(14) ? used : bought + days(14)) + days(1)";
        assert_eq!(found_in(choice), [(1, Some(1), false), (0, Some(15), false)]);
    }

    #[test]
    fn deadlines_without_effect_are_omitted() {
        let excluded = "!unhappy && !(now >= bought + days(180) || unhappy && now >= bought + days(90))";
        assert_eq!(found_in(excluded), [(0, Some(180), false)]);
    }

    #[test]
    fn a_deadline_implies_what_holds_at_its_instant() {
        let found = deadlines(&program("orders >= 1 && now >= bought + days(90)"));
        let deadline = found.iter().find(|deadline| deadline.after.is_some()).expect("there is a deadline");
        assert!(deadline.implies(&program("orders >= 1")));
        assert!(deadline.implies(&program("now >= bought + days(30)")));
        assert!(!deadline.implies(&program("orders >= 2")));
        assert!(deadline.guards_read_only(|slot| slot.0 == 0 || slot.0 == 2));
        assert!(!deadline.guards_read_only(|slot| slot.0 == 0));
    }
}
