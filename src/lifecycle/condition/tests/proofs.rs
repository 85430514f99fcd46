//! Tests of the implication proofs: `covers(above, below)`.

use super::super::{FactTable, Program, compile, covers};
use super::table;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::value::{Horizon, OwnedValue, Type};

fn program(text: &str) -> Program {
    compile(text, Some(Type::Bool), &mut table()).unwrap_or_else(|problems| panic!("{text}: {problems:?}")).program
}

#[test]
fn a_weaker_condition_covers_a_stronger_one() {
    for (above, below) in [
        ("true", "visits > 3"),
        ("visits > 3", "false"),
        ("visits >= 1", "visits >= 1"),
        ("visits >= 1", "visits >= 2"),
        ("visits > 0", "visits >= 1"),
        ("visits >= 1", "visits > 0"),
        ("0 < visits", "visits == 5"),
        ("visits != 3", "visits > 3"),
        ("visits >= 1", "visits >= 2 && subscribed"),
        ("visits >= 1 && subscribed", "subscribed && plan == \"a\" && visits > 4"),
        ("visits >= 1 || subscribed", "subscribed"),
        ("visits >= 1", "visits > 3 || visits == 2"),
        ("visits in [1, 2, 3]", "visits in [3, 1]"),
        ("visits in [1, 2, 3]", "visits == 2"),
        ("visits <= 3", "visits in [1, 2, 3]"),
        ("score >= 1", "score > 1.5"),
        ("plan < \"b\"", "plan == \"a\""),
        ("now >= last_order + days(90)", "now - last_order >= days(180)"),
        ("last_order + days(90) <= now", "now > last_order + days(89) + hours(24)"),
        ("now - last_order < days(30)", "now < last_order + days(7)"),
        ("signed_up <= last_order", "last_order > signed_up + days(1)"),
        ("has(last_order)", "now >= last_order + days(90)"),
        ("has(plan)", "plan == \"a\" && visits > 1"),
        ("!(visits >= 2)", "!(visits >= 1)"),
    ] {
        assert!(covers(&program(above), &program(below)), "{above} covers {below}");
    }
}

#[test]
fn a_stronger_condition_does_not_cover_a_weaker_one() {
    for (above, below) in [
        ("visits >= 2", "visits >= 1"),
        ("visits > 1", "visits >= 1"),
        ("score > 1", "score > 0"),
        ("score >= 1", "score > 0"),
        ("visits >= 1 && subscribed", "visits >= 1"),
        ("visits >= 1", "visits >= 1 || subscribed"),
        ("visits in [1, 2]", "visits in [1, 3]"),
        ("now >= last_order + days(90)", "now >= last_order + days(89)"),
        ("now >= last_order", "now >= signed_up"),
        // Not opposites: both are false if the fact is absent.
        ("visits < 2", "!(visits >= 2)"),
        ("has(plan)", "plan == \"a\" || visits > 1"),
        ("visits != 3", "visits < 5"),
        ("score != 3", "score != 2"),
        // Converted to double, the two numbers are equal.
        ("score != 9007199254740992", "score == 9007199254740993"),
        ("visits > 9007199254740992.0", "visits > 9007199254740992"),
    ] {
        assert!(!covers(&program(above), &program(below)), "{above} does not cover {below}");
    }
}

#[test]
fn a_proven_implication_holds_for_every_customer() {
    let atoms = [
        "n >= 1",
        "n > 1",
        "n == 2",
        "n != 2",
        "n < 3",
        "n <= 2",
        "n in [1, 2]",
        "n in [2]",
        "has(n)",
        "x > 1",
        "x <= 1.5",
        "x != 1",
        "now >= t",
        "now > t + days(1)",
        "now - t < days(2)",
        "t == now",
        "has(t)",
        "flag",
        "true",
        "n >= x",
    ];
    let mut scope = FactTable::default();
    for (name, value_type) in [("n", Type::Int), ("x", Type::Double), ("t", Type::Timestamp), ("flag", Type::Bool)] {
        scope.set_absent(name, value_type);
    }
    let mut random = fastrand::Rng::with_seed(7);
    let mut proven = 0;
    for _ in 0..6000 {
        let mut condition = || {
            let parts: Vec<_> = (0..random.usize(1..4))
                .map(|_| {
                    let atom = atoms[random.usize(..atoms.len())];
                    if random.u8(..5) == 0 { format!("!({atom})") } else { atom.into() }
                })
                .collect();
            let text = parts.join(if random.bool() { " && " } else { " || " });
            (compile(&text, Some(Type::Bool), &mut scope).expect("it compiles").program, text)
        };
        let ((above, above_text), (below, below_text)) = (condition(), condition());
        if !covers(&above, &below) {
            continue;
        }
        proven += 1;
        for n in [None, Some(0), Some(1), Some(2), Some(3)] {
            for x in [None, Some(0.5), Some(1.0), Some(1.5), Some(f64::NAN)] {
                for t in [None, Some(-2), Some(-1), Some(0), Some(1)] {
                    let mut inputs = scope.clone();
                    if let Some(n) = n {
                        inputs.set("n", OwnedValue::Int(n));
                    }
                    if let Some(x) = x {
                        inputs.set("x", OwnedValue::Double(x));
                    }
                    if let Some(t) = t {
                        inputs.set("t", OwnedValue::Timestamp(Timestamp::from_millis(t * super::DAY)));
                    }
                    inputs.set("flag", OwnedValue::Bool(n == Some(1)));
                    let now = Timestamp::from_millis(0);
                    let holds =
                        |program: &Program| program.evaluate(&inputs, now, &mut Horizon::NEVER.clone()).is_true();
                    let is_covered = holds(&above) || !holds(&below);
                    assert!(is_covered, "{above_text} should cover {below_text}: n {n:?}, x {x:?}, t {t:?}");
                }
            }
        }
    }
    assert!(proven > 200, "too few implications were proven: {proven}");
}
