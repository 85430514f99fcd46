//! Reads off a condition at which instants time alone may change it: "90 days after `orders.last`".
//!
//! For people who look at a model; evaluation finds its instants by itself. What is told is possible as far as can be seen,
//! not certain: whether it happens is up to the facts.

use super::covers::implies;
use super::program::Program;
use super::relation::Relation;
use super::scope::Constant;
use super::syntax::ArithmeticSign;
use super::term::{Function, Term, TermKind};
use crate::lifecycle::time::Duration;
use crate::lifecycle::value::{Slot, Type};

/// An instant at which time alone may change a condition.
#[derive(Clone, PartialEq, Debug)]
pub struct Deadline {
    /// The time or the number from which it is counted.
    pub slot: Slot,
    /// How long after that time; `None` where a number is compared, which may or may not change with time.
    pub after: Option<Duration>,
    /// Whether the condition may begin to hold then; otherwise it may cease to.
    pub begins: bool,
    guards: Guards,
}

/// What must hold at the instant, or the change would make no difference.
#[derive(Clone, PartialEq, Debug, Default)]
struct Guards {
    /// Without these the condition does not hold on the side of the deadline on which it may.
    needed: Vec<Term>,
    /// Without these it holds on both sides.
    others: Vec<Term>,
}

impl Deadline {
    /// Whether `condition` is sure to hold right after the instant.
    #[must_use]
    pub fn implies(&self, condition: &Program) -> bool {
        implies(&Term::truth(TermKind::All(self.guards().cloned().collect())), &condition.term)
    }

    /// Whether what must hold beside the deadline reads only facts that are `known`.
    #[must_use]
    pub fn holds_by(&self, known: impl Fn(Slot) -> bool) -> bool {
        let mut readings = Vec::new();
        self.guards.needed.iter().for_each(|guard| guard.read_into(&mut readings));
        readings.into_iter().all(|reading| known(reading.slot))
    }

    fn guards(&self) -> impl Iterator<Item = &Term> {
        self.guards.needed.iter().chain(&self.guards.others)
    }

    /// Whether two things that must hold exclude each other.
    fn is_impossible(&self) -> bool {
        let together = Term::truth(TermKind::All(self.guards().cloned().collect()));
        self.guards().any(|guard| matches!(&guard.kind, TermKind::Not(of) if implies(&together, of)))
    }
}

/// The instants at which time alone may change `program`, in order of appearance.
#[must_use]
pub fn deadlines(program: &Program) -> Vec<Deadline> {
    let mut found = Vec::new();
    walk(&program.term, true, &mut Guards::default(), &mut found);
    found.retain(|deadline| !deadline.is_impossible());
    found
}

/// Adds the deadlines of `term`, which counts as it stands when `is_plain` and negated otherwise.
fn walk(term: &Term, is_plain: bool, guards: &mut Guards, found: &mut Vec<Deadline>) {
    match &term.kind {
        TermKind::Not(of) => walk(of, !is_plain, guards, found),
        TermKind::All(parts) => {
            for (index, part) in parts.iter().enumerate() {
                // A part makes a difference only while the others hold.
                let others = parts[..index].iter().chain(&parts[index + 1..]).cloned();
                within(others.collect(), is_plain, guards, |guards| walk(part, is_plain, guards, found));
            }
        }
        TermKind::Any(parts) => {
            for (index, part) in parts.iter().enumerate() {
                let others = parts[..index].iter().chain(&parts[index + 1..]);
                let others = others.map(|other| Term::truth(TermKind::Not(Box::new(other.clone()))));
                within(others.collect(), !is_plain, guards, |guards| walk(part, is_plain, guards, found));
            }
        }
        TermKind::Choose(parts) => {
            let [condition, then, otherwise] = parts.as_ref();
            within(vec![condition.clone()], true, guards, |guards| walk(then, is_plain, guards, found));
            let not = Term::truth(TermKind::Not(Box::new(condition.clone())));
            within(vec![not], true, guards, |guards| walk(otherwise, is_plain, guards, found));
        }
        TermKind::CompareTimes(relation, sum) if sum.now == 1 => {
            let [(-1, since)] = sum.parts.as_slice() else { return };
            let Some(becomes_true) = side(*relation) else { return };
            let mut after = guards.clone();
            after.needed.push(if becomes_true {
                term.clone()
            } else {
                Term::truth(TermKind::Not(Box::new(term.clone())))
            });
            let mut times = Vec::new();
            starts(since, -sum.constant, &mut times);
            found.extend(times.into_iter().filter(|&(_, millis)| millis > 0).map(|(slot, millis)| Deadline {
                slot,
                after: Some(Duration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))),
                begins: becomes_true == is_plain,
                guards: after.clone(),
            }));
        }
        TermKind::Compare(relation, left, _) => {
            let TermKind::Slot(slot, _) = left.kind else { return };
            // A number that time changes only falls: what is left of a window or of a streak.
            let Some(is_lower_bound) = side(*relation).filter(|_| left.value_type == Type::Int) else { return };
            let guards = guards.clone();
            found.push(Deadline { slot, after: None, begins: is_lower_bound != is_plain, guards });
        }
        _ => {}
    }
}

/// Runs `act` with `more` among the guards.
fn within(more: Vec<Term>, are_needed: bool, guards: &mut Guards, act: impl FnOnce(&mut Guards)) {
    let (needed, others) = (guards.needed.len(), guards.others.len());
    if are_needed { &mut guards.needed } else { &mut guards.others }.extend(more);
    act(guards);
    guards.needed.truncate(needed);
    guards.others.truncate(others);
}

/// Whether the relation holds above (`true`) or below (`false`) the bound; neither for `==` and `!=`.
fn side(relation: Relation) -> Option<bool> {
    match relation {
        Relation::GREATER | Relation::GREATER_OR_EQUAL => Some(true),
        Relation::LESS | Relation::LESS_OR_EQUAL => Some(false),
        _ => None,
    }
}

/// The times that `term` may be, each a fact and a length after it, moved by `millis`.
fn starts(term: &Term, millis: i128, found: &mut Vec<(Slot, i128)>) {
    match &term.kind {
        TermKind::Slot(slot, _) if !found.contains(&(*slot, millis)) => found.push((*slot, millis)),
        TermKind::Arithmetic(sign @ (ArithmeticSign::Add | ArithmeticSign::Subtract), left, right) => {
            let sign = if *sign == ArithmeticSign::Add { 1 } else { -1 };
            match (left.as_constant(), right.as_constant()) {
                (_, Some(Constant::Duration(length))) => {
                    starts(left, millis + sign * i128::from(length.as_millis()), found);
                }
                (Some(Constant::Duration(length)), _) if sign == 1 => {
                    starts(right, millis + i128::from(length.as_millis()), found);
                }
                _ => {}
            }
        }
        TermKind::Choose(parts) => {
            for part in &parts[1..] {
                starts(part, millis, found);
            }
        }
        TermKind::Call(Function::Least | Function::Greatest, parts) => {
            for part in parts {
                starts(part, millis, found);
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
        compile(text, Some(Type::Bool), &mut facts).expect("it is sound").program
    }

    /// Each deadline as the fact, the days after it, and whether the condition begins.
    fn told(text: &str) -> Vec<(u16, Option<i64>, bool)> {
        let days = |length: Duration| length.as_millis() / 86_400_000;
        let found = deadlines(&program(text));
        found.into_iter().map(|deadline| (deadline.slot.0, deadline.after.map(days), deadline.begins)).collect()
    }

    #[test]
    fn a_comparison_with_now_begins_or_ceases_to_hold() {
        assert_eq!(told("now >= bought + days(90)"), [(0, Some(90), true)]);
        assert_eq!(told("now - bought < days(7)"), [(0, Some(7), false)]);
        assert_eq!(told("!(now > bought + days(7))"), [(0, Some(7), false)]);
        assert_eq!(told("bought > used"), []);
        assert_eq!(told("orders >= 2"), [(2, None, false)]);
    }

    #[test]
    fn every_branch_of_a_choice_is_told() {
        let choice = "now < (used < bought + days(14) ? used : bought + days(14)) + days(1)";
        assert_eq!(told(choice), [(1, Some(1), false), (0, Some(15), false)]);
    }

    #[test]
    fn what_can_make_no_difference_is_not_told() {
        let excluded = "!unhappy && !(now >= bought + days(180) || unhappy && now >= bought + days(90))";
        assert_eq!(told(excluded), [(0, Some(180), false)]);
    }

    #[test]
    fn what_holds_at_the_instant_is_known() {
        let found = deadlines(&program("orders >= 1 && now >= bought + days(90)"));
        let deadline = found.iter().find(|deadline| deadline.after.is_some()).expect("it is told");
        assert!(deadline.implies(&program("orders >= 1")));
        assert!(deadline.implies(&program("now >= bought + days(30)")));
        assert!(!deadline.implies(&program("orders >= 2")));
        assert!(deadline.holds_by(|slot| slot.0 == 0 || slot.0 == 2));
        assert!(!deadline.holds_by(|slot| slot.0 == 0));
    }
}
