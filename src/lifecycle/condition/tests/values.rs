//! Expressions end to end: precedence, types, functions, absence.

use super::super::{Constant, compile};
use super::{DAY, NEW_YEAR, table};
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::value::{Horizon, Type, Value};

/// The value of `text` thirty days after the new year; absent as `None`.
fn value(text: &str) -> Option<Constant> {
    let mut table = table();
    let condition = compile(text, None, &mut table).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"));
    let now = Timestamp::from_millis(NEW_YEAR + 30 * DAY);
    Constant::of(condition.program.evaluate(&table, now, &mut Horizon::NEVER.clone()))
}

#[track_caller]
fn holds(text: &str) {
    assert_eq!(value(text), Some(Constant::Bool(true)), "{text}");
}

#[track_caller]
fn fails(text: &str) {
    assert_eq!(value(text), Some(Constant::Bool(false)), "{text}");
}

#[track_caller]
fn int(text: &str, expected: i64) {
    assert_eq!(value(text), Some(Constant::Int(expected)), "{text}");
}

#[test]
fn operators_bind_as_in_cel() {
    int("2 + 3 * 4", 14);
    int("(2 + 3) * 4", 20);
    int("20 - 3 - 2", 15);
    int("100 / 10 / 5", 2);
    int("7 % 4 * 2", 6);
    int("-2 + 5", 3);
    int("- -2", 2);
    int("false ? 1 : true ? 2 : 3", 2);
    holds("true || false && false");
    fails("(true || false) && false");
    holds("1 + 1 == 2 && 2 < 3");
    holds("!false && true");
    holds("!(visits > 10) == true");
    holds("1 < 2 == true");
    int("visits > 5 ? visits + 1 : 0", 8);
    int("-9223372036854775808", i64::MIN);
}

#[test]
fn each_type_has_its_arithmetic() {
    int("orders.count + visits * 2", 17);
    int("-7 / 2", -3);
    int("-7 % 2", -1);
    assert_eq!(value("score * 2"), Some(Constant::Double(17.0)));
    assert_eq!(value("visits / 2.0"), Some(Constant::Double(3.5)));
    assert_eq!(value("\"a\" + 'b'"), Some(Constant::String("ab".into())));
    let length = |days| Some(Constant::Duration(Duration::from_days(days)));
    assert_eq!(value("last_order - signed_up"), length(10));
    assert_eq!(value("grace + days(2) - hours(24)"), length(15));
    assert_eq!(value("grace * 2"), length(28));
    assert_eq!(value("3 * days(2)"), length(6));
    assert_eq!(value("-grace"), length(-14));
    assert_eq!(value("signed_up + days(10)"), value("last_order"));
    assert_eq!(value("grace + signed_up"), value("signed_up + grace"));
}

#[test]
fn functions_do_what_they_say() {
    let length = |millis| Some(Constant::Duration(Duration::from_millis(millis)));
    assert_eq!(value("days(visits)"), length(7 * DAY));
    assert_eq!(value("hours(1) + minutes(2) + seconds(3)"), length(3_723_000));
    assert_eq!(value("duration(\"2160h\")"), length(90 * DAY));
    assert_eq!(value("duration(\"1w2d\")"), length(9 * DAY));
    assert_eq!(value("timestamp(\"2026-01-01T02:00:00+02:00\")"), value("last_order"));
    assert_eq!(value("timestamp(1767225600)"), value("last_order"));
    int("int(last_order)", 1_767_225_600);
    holds("has(plan) && !has(no_string)");
    int("size(\"día\")", 3);
    int("plan.size()", 7);
    holds("plan.startsWith(\"pre\") && plan.endsWith(\"um\") && plan.contains(\"mi\")");
    fails("plan.contains(\"x\")");
    int("int(8.9)", 8);
    int("int(-8.9)", -8);
    int("int(\"42\")", 42);
    assert_eq!(value("double(visits)"), Some(Constant::Double(7.0)));
    assert_eq!(value("double(\"1.5\")"), Some(Constant::Double(1.5)));
    assert_eq!(value("string(3)"), Some(Constant::String("3".into())));
    int("min(visits, 3, 5)", 3);
    int("max(orders.count, visits)", 7);
    assert_eq!(value("max(visits, score)"), Some(Constant::Double(8.5)));
    assert_eq!(value("min(last_order, signed_up)"), value("signed_up"));
    holds("plan in [\"basic\", \"premium\"]");
    holds("visits in [1, 7.0]");
    fails("visits in []");
}

#[test]
fn ints_and_doubles_compare_as_numbers() {
    holds("visits == 7.0");
    holds("score > 8");
    fails("9223372036854775807 < 9223372036854775808.0");
    holds("9223372036854775807 == 9223372036854775808.0");
    holds("-9223372036854775808 == -9223372036854775808.0");
    fails("visits < 6.9");
}

#[test]
fn a_comparison_with_an_absent_fact_is_false() {
    for sign in ["==", "!=", "<", "<=", ">", ">="] {
        for (absent, other) in
            [("no_int", "1"), ("no_double", "1.0"), ("no_string", "\"a\""), ("no_bool", "true"), ("no_length", "grace")]
        {
            fails(&format!("{absent} {sign} {other}"));
            fails(&format!("{other} {sign} {absent}"));
            fails(&format!("{absent} {sign} {absent}"));
        }
        fails(&format!("no_time {sign} now"));
        fails(&format!("now {sign} no_time + days(1)"));
        fails(&format!("now - no_time {sign} days(1)"));
        fails(&format!("no_time {sign} no_time"));
        fails(&format!("now - no_time {sign} now - no_time"));
    }
    holds("!(no_int > 1)");
    fails("no_int in [1, 2]");
    fails("1 in [no_int]");
    fails("no_bool && true");
    fails("no_bool || false");
    holds("!no_bool");
    int("no_bool ? 1 : 2", 2);
    fails("no_string.startsWith(\"\")");
}

#[test]
fn what_has_no_result_is_absent() {
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
    // As LEAST and GREATEST of SQL.
    int("min(no_int, 3)", 3);
    int("max(3, no_int, 2)", 3);
}

#[test]
fn and_and_or_do_not_care_about_the_order_of_an_absent_part() {
    holds("no_int > 1 || true == subscribed");
    holds("subscribed || no_int > 1");
    fails("no_int > 1 && subscribed");
    fails("subscribed && no_int > 1");
}

#[test]
fn readings_name_each_fact_once_and_follow_named_conditions() {
    let mut table = table();
    let text = "visits > 1 && last_order + grace > signed_up || visits < 9 && has(plan)";
    let condition = compile(text, Some(Type::Bool), &mut table).expect("it is well-formed");
    let names: Vec<_> = condition.program.readings.iter().map(|reading| reading.name.to_string()).collect();
    assert_eq!(names, ["visits", "last_order", "grace", "signed_up", "plan"]);
    assert_eq!(condition.program.value_type(), Type::Bool);
}

#[test]
fn the_text_is_kept_with_white_space_folded() {
    let mut table = table();
    let condition = compile("  visits\n  > 1 && plan ==  \"a  b\" ", None, &mut table).expect("it is well-formed");
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
