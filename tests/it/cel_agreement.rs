//! Conditions agree with CEL in the common subset of the two languages.
//!
//! Two references: the `cel` crate evaluates generated expressions over random facts, and a table holds cases in the
//! style of CEL's conformance suite (files `basic`, `comparisons`, `integer_math`, `fp_math`, `logic`, `string`,
//! `conversions`, `parse`, `lists`), each an expression with its value.
//!
//! Not covered, because conditions do not support it (see `docs/language.md`): unsigned ints, bytes, `null`, lists
//! except to the right of `in`, maps, messages, wrappers, enums, `dyn` and `type`, macros, `matches`, optionals,
//! namespaces, calendar fields, nanoseconds. Not covered, because conditions differ: errors (overflow, division by
//! zero) are absent values here, so `&&` and `||` never absorb one; a double divided by zero is absent; arithmetic
//! mixes ints and doubles. Generated expressions contain no times, because the `cel` crate needs another dependency for
//! them; the brute-force test of horizons covers those.

use std::cmp::Ordering;
use std::ops::Range;

use lifecycle_processor::lifecycle::condition::{FactTable, compile};
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::lifecycle::value::{Horizon, OwnedValue, Type};

/// Evaluates `text` over `facts`; `None` is the absent value.
fn evaluate(text: &str, facts: &mut FactTable) -> Option<OwnedValue> {
    let condition = compile(text, None, facts).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"));
    OwnedValue::of(condition.program.evaluate(facts, Timestamp::from_millis(0), &mut Horizon::NEVER.clone()))
}

const INTS: [i64; 9] = [0, 1, -1, 2, 3, 7, -5, i64::MAX, i64::MIN];
const DOUBLES: [f64; 8] = [0.5, 1.0, -1.5, 2.0, 3.25, 1e300, -1e-300, 9_007_199_254_740_993.0];
const TEXTS: [&str; 7] = ["", "a", "ab", "b", "é", "premium", "A"];

/// Returns a random expression of `value_type` over the facts `i0`..`i2`, `d0`, `d1`, `s0`, `s1`, `b0`, `b1`.
fn expression(random: &mut fastrand::Rng, value_type: Type, depth: u32) -> String {
    let mut below = |value_type| expression(random, value_type, depth.saturating_sub(1));
    let (a, b, c, truth) = match depth {
        0 => (String::new(), String::new(), String::new(), String::new()),
        _ => (below(value_type), below(value_type), below(value_type), below(Type::Bool)),
    };
    match value_type {
        Type::Int => match random.u8(..if depth == 0 { 4 } else { 12 }) {
            0 | 1 => format!("i{}", random.u8(..3)),
            2 => format!("{}", INTS[random.usize(..7)]),
            3 => format!("size(s{})", random.u8(..2)),
            4 => format!("({a} + {b})"),
            5 => format!("({a} - {b})"),
            6 => format!("{a} * {b}"),
            7 => format!("({a} / {b})"),
            8 => format!("({a} % {b})"),
            9 => format!("-({a})"),
            10 => format!("({truth} ? {a} : {b})"),
            _ => format!("int({})", expression(random, Type::Double, 0)),
        },
        Type::Double => match random.u8(..if depth == 0 { 3 } else { 8 }) {
            0 | 1 => format!("d{}", random.u8(..2)),
            2 => format!("{:?}", DOUBLES[random.usize(..6)]),
            3 => format!("({a} + {b})"),
            4 => format!("{a} * {b}"),
            5 => format!("({a} - {b})"),
            6 => format!("({truth} ? {a} : {b})"),
            _ => format!("double({})", expression(random, Type::Int, 0)),
        },
        Type::String => match random.u8(..if depth == 0 { 3 } else { 4 }) {
            0 | 1 => format!("s{}", random.u8(..2)),
            2 => format!("{:?}", TEXTS[random.usize(..7)]),
            _ => format!("({truth} ? {a} : {b})"),
        },
        _ => match random.u8(..if depth == 0 { 3 } else { 14 }) {
            0 | 1 => format!("b{}", random.u8(..2)),
            2 => ["true", "false"][random.usize(..2)].into(),
            3 => format!("!({a})"),
            4 => format!("({a} && {b} && {c})"),
            5 => format!("({a} || {b})"),
            6 => format!("{a} && {b} || {c}"),
            7 => format!("({truth} ? {a} : {b})"),
            8 => format!(
                "s0.{}({:?})",
                ["startsWith", "endsWith", "contains"][random.usize(..3)],
                TEXTS[random.usize(..7)]
            ),
            kind => {
                let operands = [Type::Int, Type::Double, Type::String, Type::Bool][random.usize(..4)];
                let side = |random: &mut fastrand::Rng| expression(random, operands, depth - 1);
                let (left, right) = (side(random), side(random));
                if kind == 9 {
                    return format!("({left} in [{right}, {}])", side(random));
                }
                let operator = ["==", "!=", "<", "<=", ">", ">="][random.usize(..6)];
                format!("({left} {operator} {right})")
            }
        },
    }
}

fn random_facts(random: &mut fastrand::Rng) -> Vec<(String, OwnedValue)> {
    let mut facts = Vec::new();
    for index in 0..3 {
        facts.push((format!("i{index}"), OwnedValue::Int(INTS[random.usize(..9)])));
    }
    for index in 0..2 {
        facts.push((format!("d{index}"), OwnedValue::Double(DOUBLES[random.usize(..8)])));
        facts.push((format!("s{index}"), OwnedValue::String(TEXTS[random.usize(..7)].into())));
        facts.push((format!("b{index}"), OwnedValue::Bool(random.bool())));
    }
    facts
}

/// Evaluates `text` with the `cel` crate; `None` is an error.
fn evaluate_with_cel(text: &str, facts: &[(String, OwnedValue)]) -> Option<OwnedValue> {
    let program = cel::Program::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut context = cel::Context::default();
    for (name, value) in facts {
        let value = match value {
            OwnedValue::Int(number) => cel::Value::Int(*number),
            OwnedValue::Double(number) => cel::Value::Float(*number),
            OwnedValue::Bool(truth) => cel::Value::Bool(*truth),
            OwnedValue::String(text) => cel::Value::from(&**text),
            other => panic!("{other:?} is not shared"),
        };
        context.add_variable_from_value(name.as_str(), value);
    }
    match program.execute(&context).ok()? {
        cel::Value::Int(number) => Some(OwnedValue::Int(number)),
        cel::Value::Float(number) => Some(OwnedValue::Double(number)),
        cel::Value::Bool(truth) => Some(OwnedValue::Bool(truth)),
        cel::Value::String(text) => Some(OwnedValue::String(text.as_str().into())),
        other => panic!("{text} is {other:?}"),
    }
}

fn is_same(left: &OwnedValue, right: &OwnedValue) -> bool {
    match (left, right) {
        (OwnedValue::Double(left), OwnedValue::Double(right)) => {
            left.total_cmp(right).is_eq() || left.partial_cmp(right).is_some_and(Ordering::is_eq)
        }
        _ => left == right,
    }
}

/// Generates an expression per seed and compares its values; returns the number of values that both sides had.
fn compare(seeds: Range<u64>) -> usize {
    let mut compared = 0;
    for seed in seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let value_type = [Type::Bool, Type::Bool, Type::Int, Type::Double, Type::String][random.usize(..5)];
        let depth = random.u32(1..4);
        let text = expression(&mut random, value_type, depth);
        for _ in 0..4 {
            let facts = random_facts(&mut random);
            let mut table = FactTable::default();
            for (name, value) in &facts {
                table.set(name, value.clone());
            }
            // A constant sub-expression without a result is a compile error here and a runtime error in CEL.
            let Ok(condition) = compile(&text, None, &mut table) else {
                break;
            };
            let value = condition.program.evaluate(&table, Timestamp::from_millis(0), &mut Horizon::NEVER.clone());
            // CEL returns a value despite an error in an operand if that operand does not affect the result. Here, too,
            // it must not.
            let Some(expected) = evaluate_with_cel(&text, &facts) else { continue };
            let found = OwnedValue::of(value);
            let found =
                found.unwrap_or_else(|| panic!("seed {seed}: {text} over {facts:?} is {expected:?}, not absent"));
            assert!(is_same(&found, &expected), "seed {seed}: {text} over {facts:?} is {expected:?}, not {found:?}");
            compared += 1;
        }
    }
    compared
}

#[test]
fn generated_expressions_have_the_value_that_cel_gives_them() {
    let compared = compare(0..3000);
    assert!(compared > 6000, "only {compared} values were compared");
}

/// Expressions without facts, each with an expression that has the expected value.
const CASES: &[(&str, &str)] = &[
    // basic
    ("0", "0"),
    ("42", "42"),
    ("-1", "-1"),
    ("0x55555555", "1431655765"),
    ("-0x55555555", "-1431655765"),
    ("-9223372036854775808", "-9223372036854775807 - 1"),
    ("0.0 + 1.0", "1.0"),
    ("1.5e-2", "0.015"),
    ("'abc'", "\"abc\""),
    ("r'''a'''", "'a'"),
    (r"'\x41\u00ff\101'", "'AÿA'"),
    ("true", "true"),
    ("1 + 2 + 3 + 4", "10"),
    ("(1 + 2) * (3 + 4)", "21"),
    // parse
    ("1 + 2 * 3 - 1 / 2 == 6 % 1", "false"),
    ("1 + 1 == 2 && 2 + 2 == 4", "true"),
    ("!true || true", "true"),
    ("-2 + 2 == 0", "true"),
    ("5 - 3 - 2", "0"),
    ("16 / 4 / 2", "2"),
    ("2 < 3 == true", "true"),
    ("false ? 1 : true ? 2 : 3", "2"),
    ("((((((((((((((((7))))))))))))))))", "7"),
    ("!!!!true", "true"),
    ("--3", "3"),
    ("'🐁' + \"π\"", "\"🐁π\""),
    ("1 // comment\n + 1", "2"),
    // comparisons
    ("1 == 1", "true"),
    ("1 == 2", "false"),
    ("1.0 == 1.0", "true"),
    ("-0.0 == 0.0", "true"),
    ("'' == \"\"", "true"),
    ("'a' == 'b'", "false"),
    ("'abc' == 'ABC'", "false"),
    ("'ίσος' == 'ίσος'", "true"),
    ("true == true", "true"),
    ("false == true", "false"),
    ("24 != 42", "true"),
    ("9.0e+3 != 9001.0", "true"),
    ("'resistance' != 'futile'", "true"),
    ("-1 < 0", "true"),
    ("0 < 0", "false"),
    ("1.0 < 1.0000001", "true"),
    ("-0.0 < 0.0", "false"),
    ("'a' < 'b'", "true"),
    ("'a' < 'aa'", "true"),
    ("'a' < 'B'", "false"),
    ("'abc' < 'abd'", "true"),
    ("'Σ' < 'Ω'", "true"),
    ("false < true", "true"),
    ("true < false", "false"),
    ("42 > -42", "true"),
    ("'x' > 'x'", "false"),
    ("1.5 >= 1.5", "true"),
    ("0 >= 1", "false"),
    ("3 <= 3", "true"),
    ("'z' >= 'a'", "true"),
    ("1 < 1.5", "true"),
    ("1.0 == 1", "true"),
    ("9223372036854775807 < 9223372036854775808.0", "false"),
    ("9223372036854775807 >= 9223372036854775808.0", "true"),
    ("9223372036854775807 == 9223372036854775808.0", "true"),
    ("-9223372036854775808 >= -9223372036854775808.0", "true"),
    // integer_math
    ("40 + 2", "42"),
    ("42 - 12 - 30", "0"),
    ("4 - -7", "11"),
    ("4 * 5 * -2", "-40"),
    ("0 * -1", "0"),
    ("948 / 3", "316"),
    ("-7 / 2", "-3"),
    ("7 / -2", "-3"),
    ("47 % 5", "2"),
    ("43 % -5", "3"),
    ("-42 % 5", "-2"),
    ("-42 % -5", "-2"),
    ("-(42)", "-42"),
    ("4 + 3 * 2 - 1", "9"),
    ("9223372036854775806 + 1", "9223372036854775807"),
    ("-9223372036854775807 - 1", "-9223372036854775808"),
    // fp_math
    ("4.25 + 15.25", "19.5"),
    ("42.0 - 12.0", "30.0"),
    ("6.0 * 1.5", "9.0"),
    ("47.5 / 5.5", "8.636363636363637"),
    ("-(4.5)", "-4.5"),
    ("1.0 + 2.0 + 3.0 == 6.0", "true"),
    ("1.75e308 * 2.0 > 1.75e308", "true"),
    ("5.0e-324 / 2.0", "0.0"),
    // logic
    ("true ? 1 : 2", "1"),
    ("false ? 'foo' : 'bar'", "'bar'"),
    ("true && false", "false"),
    ("false && false", "false"),
    ("true && true", "true"),
    ("true || false", "true"),
    ("false || false", "false"),
    ("!true", "false"),
    ("!false", "true"),
    ("!(1 == 2) && (2 > 1 || false)", "true"),
    ("true || false && false", "true"),
    ("(2 + 2 == 4) ? 2 + 2 : 5", "4"),
    // string
    ("size('')", "0"),
    ("size('A')", "1"),
    (r"size('one\ntwo')", "7"),
    ("size('😀')", "1"),
    ("'hello'.size()", "5"),
    ("'foobar'.startsWith('foo')", "true"),
    ("'foobar'.startsWith('bar')", "false"),
    ("''.startsWith('foo')", "false"),
    ("'foobar'.startsWith('')", "true"),
    ("'завтра'.startsWith('за')", "true"),
    ("'foobar'.endsWith('bar')", "true"),
    ("'foobar'.endsWith('foo')", "false"),
    ("''.endsWith('')", "true"),
    ("'forté'.endsWith('té')", "true"),
    ("'he' + 'llo'", "'hello'"),
    ("'' + ''", "''"),
    ("'elementary'.contains('men')", "true"),
    ("'elementary'.contains('')", "true"),
    ("'foobar'.contains('ofb')", "false"),
    // conversions
    ("double(1)", "1.0"),
    ("double(-1)", "-1.0"),
    ("double('1.5')", "1.5"),
    ("double('-1.25e2')", "-125.0"),
    ("double(3.25)", "3.25"),
    ("int(42.7)", "42"),
    ("int(-987.9)", "-987"),
    ("int(-7.01)", "-7"),
    ("int('987')", "987"),
    ("int('-12')", "-12"),
    ("int(9)", "9"),
    ("string(123)", "'123'"),
    ("string(-5)", "'-5'"),
    ("string('abc')", "'abc'"),
    ("string(true)", "'true'"),
    ("string(0.5)", "'0.5'"),
    ("int(1e3) == 1000", "true"),
    // lists
    ("1 in [1, 2, 3]", "true"),
    ("4 in [1, 2, 3]", "false"),
    ("'elephant' in []", "false"),
    ("'b' in ['a', 'b']", "true"),
    ("2.0 in [1.0, 2.0]", "true"),
    ("!(5 in [1, 2])", "true"),
    ("3 in [1 + 2,]", "true"),
    ("true in [false]", "false"),
];

/// Cases with times, from the files `timestamps` and `conversions`.
const TIME_CASES: &[(&str, &str)] = &[
    ("timestamp('2009-02-13T23:31:30Z') - timestamp('2009-02-13T23:29:00Z')", "duration('150s')"),
    ("timestamp('2009-02-13T23:00:00Z') + duration('240s')", "timestamp('2009-02-13T23:04:00Z')"),
    ("duration('120s') + timestamp('2009-02-13T23:01:00Z')", "timestamp('2009-02-13T23:03:00Z')"),
    ("timestamp('2009-02-13T23:10:00Z') - duration('600s')", "timestamp('2009-02-13T23:00:00Z')"),
    ("duration('600s') + duration('50s')", "duration('650s')"),
    ("duration('900s') - duration('42s')", "duration('858s')"),
    ("timestamp('2009-02-13T23:31:30Z') == timestamp('2009-02-13T23:31:30Z')", "true"),
    ("timestamp('2009-02-13T23:31:30Z') != timestamp('2009-02-13T23:31:29Z')", "true"),
    ("timestamp('2009-02-13T23:31:00Z') < timestamp('2009-02-13T23:31:30Z')", "true"),
    ("timestamp('2009-02-13T23:31:00Z') >= timestamp('2009-02-13T23:31:30Z')", "false"),
    ("duration('123s') == duration('123s')", "true"),
    ("duration('60s') == duration('1m')", "true"),
    ("duration('200s') > duration('100s')", "true"),
    ("duration('-1h') < duration('0')", "true"),
    ("duration('1h30m15s')", "duration('5415s')"),
    ("duration('1.5s')", "duration('1500ms')"),
    ("timestamp('2009-02-13T23:31:30-02:00')", "timestamp('2009-02-14T01:31:30Z')"),
    ("int(timestamp('2004-09-16T23:59:59Z'))", "1095379199"),
    ("timestamp(1095379199)", "timestamp('2004-09-16T23:59:59Z')"),
    ("timestamp(timestamp('2004-09-16T23:59:59Z'))", "timestamp('2004-09-16T23:59:59Z')"),
    ("duration(duration('100s'))", "duration('100s')"),
    ("timestamp('2009-02-13T23:31:30.000Z')", "timestamp('2009-02-13T23:31:30Z')"),
    ("timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z')", "duration('315537897599s')"),
];

/// Expressions with a runtime error in CEL. Constant folding rejects them here.
const ERRORS: &[&str] = &[
    "9223372036854775807 + 1",
    "-9223372036854775808 - 1",
    "5000000000 * 5000000000",
    "-(-9223372036854775808)",
    "-9223372036854775808 / -1",
    "17 / 0",
    "34 % 0",
    "int(1e99)",
    "int(9223372036854775807.0)",
    "int(-9223372036854775808.0)",
    "int('x')",
    "int('')",
];

#[test]
fn the_cases_have_the_expected_values() {
    let mut no_facts = FactTable::default();
    for (text, expected) in CASES.iter().chain(TIME_CASES) {
        let (found, expected) = (evaluate(text, &mut no_facts), evaluate(expected, &mut no_facts));
        assert!(found.is_some() && found == expected, "{text} is {found:?}, not {expected:?}");
    }
}

#[test]
fn the_cases_agree_with_the_cel_crate() {
    let mut no_facts = FactTable::default();
    for (text, expected) in CASES {
        assert_eq!(evaluate_with_cel(text, &[]), evaluate(expected, &mut no_facts), "{text}");
    }
}

#[test]
fn runtime_errors_of_cel_have_no_result() {
    for text in ERRORS {
        assert_eq!(evaluate_with_cel(text, &[]), None, "{text}");
        let problems = compile(text, None, &mut FactTable::default()).expect_err("it has no result");
        assert_eq!(problems[0].code, "no-result", "{text}");
    }
}
