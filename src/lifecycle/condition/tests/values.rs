//! Values of expressions: precedence, types, functions, absent facts.

use super::super::compile;
use super::{DAY, NEW_YEAR, table};
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::value::{Horizon, OwnedValue, Type, Value};

/// Evaluates `text` 30 days after the new year; `None` is the absent value.
fn value(text: &str) -> Option<OwnedValue> {
    let mut table = table();
    let condition = compile(text, None, &mut table).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"));
    let now = Timestamp::from_millis(NEW_YEAR + 30 * DAY);
    OwnedValue::of(condition.program.evaluate(&table, now, &mut Horizon::NEVER.clone()))
}

#[track_caller]
fn assert_true(text: &str) {
    assert_eq!(value(text), Some(OwnedValue::Bool(true)), "{text}");
}

#[track_caller]
fn assert_false(text: &str) {
    assert_eq!(value(text), Some(OwnedValue::Bool(false)), "{text}");
}

#[track_caller]
fn assert_int(text: &str, expected: i64) {
    assert_eq!(value(text), Some(OwnedValue::Int(expected)), "{text}");
}

#[test]
fn operators_bind_as_in_cel() {
    assert_int("2 + 3 * 4", 14);
    assert_int("(2 + 3) * 4", 20);
    assert_int("20 - 3 - 2", 15);
    assert_int("100 / 10 / 5", 2);
    assert_int("7 % 4 * 2", 6);
    assert_int("-2 + 5", 3);
    assert_int("- -2", 2);
    assert_int("false ? 1 : true ? 2 : 3", 2);
    assert_true("true || false && false");
    assert_false("(true || false) && false");
    assert_true("1 + 1 == 2 && 2 < 3");
    assert_true("!false && true");
    assert_true("!(visits > 10) == true");
    assert_true("1 < 2 == true");
    assert_int("visits > 5 ? visits + 1 : 0", 8);
    assert_int("-9223372036854775808", i64::MIN);
}

#[test]
fn each_type_has_its_arithmetic() {
    assert_int("orders.count + visits * 2", 17);
    assert_int("-7 / 2", -3);
    assert_int("-7 % 2", -1);
    assert_eq!(value("score * 2"), Some(OwnedValue::Double(17.0)));
    assert_eq!(value("visits / 2.0"), Some(OwnedValue::Double(3.5)));
    assert_eq!(value("\"a\" + 'b'"), Some(OwnedValue::String("ab".into())));
    let length = |days| Some(OwnedValue::Duration(Duration::from_days(days)));
    assert_eq!(value("last_order - signed_up"), length(10));
    assert_eq!(value("grace + days(2) - hours(24)"), length(15));
    assert_eq!(value("grace * 2"), length(28));
    assert_eq!(value("3 * days(2)"), length(6));
    assert_eq!(value("-grace"), length(-14));
    assert_eq!(value("signed_up + days(10)"), value("last_order"));
    assert_eq!(value("grace + signed_up"), value("signed_up + grace"));
}

#[test]
fn functions_return_the_documented_values() {
    let length = |millis| Some(OwnedValue::Duration(Duration::from_millis(millis)));
    assert_eq!(value("days(visits)"), length(7 * DAY));
    assert_eq!(value("hours(1) + minutes(2) + seconds(3)"), length(3_723_000));
    assert_eq!(value("duration(\"2160h\")"), length(90 * DAY));
    assert_eq!(value("duration(\"1w2d\")"), length(9 * DAY));
    assert_eq!(value("timestamp(\"2026-01-01T02:00:00+02:00\")"), value("last_order"));
    assert_eq!(value("timestamp(1767225600)"), value("last_order"));
    assert_int("int(last_order)", 1_767_225_600);
    assert_true("has(plan) && !has(no_string)");
    assert_int("size(\"día\")", 3);
    assert_int("plan.size()", 7);
    assert_true("plan.startsWith(\"pre\") && plan.endsWith(\"um\") && plan.contains(\"mi\")");
    assert_false("plan.contains(\"x\")");
    assert_int("int(8.9)", 8);
    assert_int("int(-8.9)", -8);
    assert_int("int(\"42\")", 42);
    assert_eq!(value("double(visits)"), Some(OwnedValue::Double(7.0)));
    assert_eq!(value("double(\"1.5\")"), Some(OwnedValue::Double(1.5)));
    assert_eq!(value("string(3)"), Some(OwnedValue::String("3".into())));
    assert_int("min(visits, 3, 5)", 3);
    assert_int("max(orders.count, visits)", 7);
    assert_eq!(value("max(visits, score)"), Some(OwnedValue::Double(8.5)));
    assert_eq!(value("min(last_order, signed_up)"), value("signed_up"));
    assert_true("plan in [\"basic\", \"premium\"]");
    assert_true("visits in [1, 7.0]");
    assert_false("visits in []");
}

#[test]
fn ints_and_doubles_compare_as_numbers() {
    assert_true("visits == 7.0");
    assert_true("score > 8");
    assert_false("9223372036854775807 < 9223372036854775808.0");
    assert_true("9223372036854775807 == 9223372036854775808.0");
    assert_true("-9223372036854775808 == -9223372036854775808.0");
    assert_false("visits < 6.9");
}

#[test]
fn a_comparison_with_an_absent_fact_is_false() {
    for operator in ["==", "!=", "<", "<=", ">", ">="] {
        for (absent, other) in
            [("no_int", "1"), ("no_double", "1.0"), ("no_string", "\"a\""), ("no_bool", "true"), ("no_length", "grace")]
        {
            assert_false(&format!("{absent} {operator} {other}"));
            assert_false(&format!("{other} {operator} {absent}"));
            assert_false(&format!("{absent} {operator} {absent}"));
        }
        assert_false(&format!("no_time {operator} now"));
        assert_false(&format!("now {operator} no_time + days(1)"));
        assert_false(&format!("now - no_time {operator} days(1)"));
        assert_false(&format!("no_time {operator} no_time"));
        assert_false(&format!("now - no_time {operator} now - no_time"));
    }
    assert_true("!(no_int > 1)");
    assert_false("no_int in [1, 2]");
    assert_false("1 in [no_int]");
    assert_false("no_bool && true");
    assert_false("no_bool || false");
    assert_true("!no_bool");
    assert_int("no_bool ? 1 : 2", 2);
    assert_false("no_string.startsWith(\"\")");
}

#[test]
fn operations_without_a_result_are_absent() {
    for text in [
        "no_int + 1",
        "1 / (visits - 7)",
        "visits % (visits - 7)",
        "score / 0",
        "visits * 9223372036854775807",
        "-(visits - 7 - 9223372036854775807 - 1)",
        "no_time + days(1)",
        "days(visits * 9000000000000)",
        "size(no_string)",
        "int(plan)",
        "timestamp(plan)",
        "double(plan)",
        "no_bool",
        "min(no_int, no_int)",
        "visits > 1 ? no_int : 1",
    ] {
        assert_eq!(value(text), None, "{text}");
    }
    // Like LEAST and GREATEST in PostgreSQL.
    assert_int("min(no_int, 3)", 3);
    assert_int("max(3, no_int, 2)", 3);
}

#[test]
fn and_and_or_are_commutative_with_absent_operands() {
    assert_true("no_int > 1 || true == subscribed");
    assert_true("subscribed || no_int > 1");
    assert_false("no_int > 1 && subscribed");
    assert_false("subscribed && no_int > 1");
}

#[test]
fn references_list_each_fact_once() {
    let mut table = table();
    let text = "visits > 1 && last_order + grace > signed_up || visits < 9 && has(plan)";
    let condition = compile(text, Some(Type::Bool), &mut table).expect("it compiles");
    let names: Vec<_> = condition.program.references.iter().map(|reference| reference.name.to_string()).collect();
    assert_eq!(names, ["visits", "last_order", "grace", "signed_up", "plan"]);
    assert_eq!(condition.program.value_type(), Type::Bool);
}

#[test]
fn the_text_is_kept_with_white_space_collapsed() {
    let mut table = table();
    let condition = compile("  visits\n  > 1 && plan ==  \"a  b\" ", None, &mut table).expect("it compiles");
    assert_eq!(&*condition.text, "visits > 1 && plan == \"a  b\"");
}

#[test]
fn a_wanted_type_converts_ints_to_doubles_only() {
    let mut table = table();
    let condition = compile("visits", Some(Type::Double), &mut table).expect("an int is a double");
    let value = condition.program.evaluate(&table, Timestamp::from_millis(0), &mut Horizon::NEVER.clone());
    assert_eq!(value, Value::Double(7.0));
    assert!(compile("score", Some(Type::Int), &mut table).is_err());
}
