//! Tests of expressions and templates: values, errors with their paths, problems of the text, limits.

mod batch;
mod file;
mod preset;

use serde_json::{Value, json};

use super::*;

const ROOTS: [&str; 2] = ["record", "headers"];

fn record() -> Value {
    json!({
        "id": 9_007_199_254_740_993_u64,
        "event": "Order Completed",
        "empty": "",
        "nothing": null,
        "flag": true,
        "properties": {"total": "49.90", "revenue": 0.1, "count": 3, "currency": "eur", "php": []},
        "time": "2026-01-31T04:00:00-05:00",
        "lines": [
            {"sku": "a", "quantity": 2, "price": "1.10", "tags": ["x"]},
            {"sku": "b", "quantity": 1, "price": 0.2, "tags": []},
        ],
        "event_params": [
            {"key": "transaction_id", "value": {"string_value": "T1", "int_value": null}},
            {"key": "value", "value": {"double_value": 12.5}},
            {"key": "plain", "value": "p"},
        ],
        "nested": "{\"a\": {\"b\": [1, 2]}}",
    })
}

fn headers() -> Value {
    json!({"ce-type": "order", "X.Y": "dotted"})
}

fn evaluate(text: &str) -> Result<Value, EvaluationError> {
    let expression = Expression::compile(text, &ROOTS).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
    expression.evaluate(&[&record(), &headers()])
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of expressions")]
fn expressions_have_the_expected_values() {
    let table: &[(&str, Value)] = &[
        // Paths.
        ("record.event", json!("Order Completed")),
        ("record.id", json!(9_007_199_254_740_993_u64)),
        ("record.missing.deeper", json!(null)),
        ("record.nothing.deeper", json!(null)),
        ("record.empty.deeper", json!(null)),
        ("record.properties.php.deeper", json!(null)),
        ("record.lines[1].sku", json!("b")),
        ("record.lines[-1].sku", json!("b")),
        ("record.lines[2]", json!(null)),
        ("headers[\"ce-type\"]", json!("order")),
        ("headers[\"X.Y\"]", json!("dotted")),
        ("record.properties[\"tot\" + \"al\"]", json!("49.90")),
        ("{\"a\": 1}[\"a\"]", json!(1)),
        ("{record.event: record.flag}", json!({"Order Completed": true})),
        ("[record.flag, 1]", json!([true, 1])),
        // Operators.
        ("record.properties.count > 2 && record.flag", json!(true)),
        ("record.missing > 2", json!(false)),
        ("record.missing <= 2", json!(false)),
        ("record.missing == null", json!(true)),
        ("record.missing != 2", json!(true)),
        ("record.missing || false", json!(false)),
        ("!record.missing", json!(true)),
        ("1 == 1.0", json!(true)),
        ("record.event == 5", json!(false)),
        ("record.event in [\"Order Completed\", \"Completed Order\"]", json!(true)),
        ("record.event in {\"Order Completed\": 1}", json!(true)),
        ("record.missing in [1, 2]", json!(false)),
        ("\"x\" in record.lines[0].tags", json!(true)),
        ("record.flag ? \"yes\" : \"no\"", json!("yes")),
        ("7 / 2", json!(3)),
        ("7 / 2.0", json!(3.5)),
        ("-record.properties.count % 2", json!(-1)),
        ("record.missing + 1", json!(null)),
        ("record.event + \"!\"", json!("Order Completed!")),
        ("record.lines[0].tags + [record.flag]", json!(["x", true])),
        ("record.lines[1].tags + record.lines[1].tags", json!([])),
        ("tally([\"b\", \"a\", \"c\", \"c\"])", json!(["2 x c", "1 x a", "1 x b"])),
        ("tally(record.missing)", json!(null)),
        // General functions.
        ("attempt(number(record.event), record.flag)", json!(true)),
        ("attempt(number(record.event))", json!(null)),
        ("require(record.flag, \"set it\")", json!(true)),
        ("has(record.empty)", json!(true)),
        ("has(record.nothing)", json!(false)),
        ("not_empty(record.empty)", json!(null)),
        ("coalesce(record.nothing, record.missing, not_empty(record.empty), record.flag)", json!(true)),
        ("size(record.lines) + size(record.event) + size(record.missing)", json!(17)),
        ("omit_null(record.missing)", json!(null)),
        ("json(record.nested).a.b[1]", json!(2)),
        ("to_json(record.lines[1].tags)", json!("[]")),
        // Texts.
        ("record.event.lower().replace(\" \", \"_\")", json!("order_completed")),
        ("upper(\"straße\")", json!("STRASSE")),
        ("trim(\"  a \")", json!("a")),
        ("remove_prefix(\"ab\", \"a\") + remove_prefix(\"ab\", \"x\")", json!("bab")),
        (
            "snake_case(record.event) + snake_case(\"articleRead\") + snake_case(\"a-B  c_\")",
            json!("order_completedarticle_reada_b_c"),
        ),
        ("string(record.id)", json!("9007199254740993")),
        ("string(record.properties.revenue)", json!("0.1")),
        ("split(\"a,b,c\", \",\")[1]", json!("b")),
        ("index(split(\"a,b,c\", \",\"), 2)", json!("c")),
        ("join([\"a\", record.missing, 1], \"-\")", json!("a-1")),
        ("record.event.startsWith(\"Order\") && record.event.endsWith(\"ed\")", json!(true)),
        ("record.missing.contains(\"x\")", json!(false)),
        ("substring(\"grüße\", 2, 4)", json!("üß")),
        ("substring(\"grüße\", 3)", json!("ße")),
        // Numbers.
        ("number(\"12.5\") + number(record.properties.count)", json!(15.5)),
        ("int(\"12\") + int(3.0)", json!(15)),
        ("number(record.empty)", json!(null)),
        ("bool(\"True\") && !bool(0)", json!(true)),
        // Money.
        ("decimal(record.properties.total)", json!("49.9")),
        ("decimal(record.properties.revenue)", json!("0.1")),
        ("decimal(\" 12.345678 \")", json!("12.345678")),
        ("decimal(record.empty)", json!(null)),
        ("add(record.properties.total, record.properties.revenue)", json!("50")),
        ("subtract(1, \"1.10\")", json!("-0.1")),
        ("multiply(3, \"0.1\")", json!("0.3")),
        ("abs(negate(\"5\"))", json!("5")),
        ("sum(record.lines.map(line, multiply(line.quantity, line.price)))", json!("2.4")),
        ("sum([])", json!("0")),
        ("minor_units(1999, \"eur\")", json!("19.99")),
        ("minor_units(1999, \"JPY\")", json!("1999")),
        ("minor_units(\"1999\", \"KWD\")", json!("1.999")),
        ("minor_units(record.missing, \"EUR\")", json!(null)),
        // Times.
        ("rfc3339(record.time)", json!("2026-01-31T09:00:00Z")),
        ("rfc3339(\"2026-01-31T09:00:00Z\")", json!("2026-01-31T09:00:00Z")),
        ("rfc3339(\"2026-01-31T09:00:00.123456Z\")", json!("2026-01-31T09:00:00.123Z")),
        ("epoch_seconds(1769850000)", json!("2026-01-31T09:00:00Z")),
        ("epoch_micros(\"1769850000123456\")", json!("2026-01-31T09:00:00.123Z")),
        ("pattern(\"31.01.2026 10:00\", \"%d.%m.%Y %H:%M\", \"Europe/Berlin\")", json!("2026-01-31T09:00:00Z")),
        ("format_time(record.time, \"%Y-%m-%d %H:%M\", \"Europe/Berlin\")", json!("2026-01-31 10:00")),
        ("unix_seconds(record.time)", json!(1_769_850_000)),
        ("unix_millis(record.time)", json!(1_769_850_000_000_i64)),
        // Lists.
        ("record.lines.map(line, line.sku)", json!(["a", "b"])),
        ("record.lines.filter(line, line.quantity > 1).map(line, line.sku)", json!(["a"])),
        ("record.lines.exists(line, line.tags.exists(tag, tag == \"x\" && line.sku == \"a\"))", json!(true)),
        ("record.lines.all(line, has(line.price))", json!(true)),
        ("record.missing.map(line, line.sku)", json!([])),
        ("first(record.lines).sku + last(record.lines).sku", json!("ab")),
        ("param(record.event_params, \"transaction_id\")", json!("T1")),
        ("param(record.event_params, \"value\")", json!(12.5)),
        ("param(record.event_params, \"plain\")", json!("p")),
        ("param(record.event_params, \"other\")", json!(null)),
        // Ids and digests. The digests are those of `printf abc | md5sum` and so on.
        ("hash(\"a\", \"bc\") == hash(\"ab\", \"c\")", json!(false)),
        ("hash(null) == hash(\"\")", json!(false)),
        ("size(hash(record.id, record.missing))", json!(32)),
        ("ulid(\"01563e3a-b5d3-d676-4c61-efb99302bd5b\")", json!("01ARZ3NDEKTSV4RRFFQ69G5FAV")),
        ("md5_hex(\"abc\")", json!("900150983cd24fb0d6963f7d28e17f72")),
        ("sha256_hex(\"abc\")", json!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")),
        ("url_encode(\"a b/ü\")", json!("a%20b%2F%C3%BC")),
        ("url_decode(\"a%20b%2F%C3%BC\")", json!("a b/ü")),
        ("header(headers, \"CE-Type\") + headers.header(\"x.y\")", json!("orderdotted")),
        ("base64(\"ab\")", json!("YWI=")),
        ("base64_decode(\"YWI=\") + base64_decode(\"YWI\")", json!("abab")),
    ];
    for (text, expected) in table {
        assert_eq!(evaluate(text).as_ref(), Ok(expected), "{text}");
    }
}

#[test]
fn an_id_from_parts_never_changes() {
    // Published ids depend on this value, which is that of `printf 4:user1:5 | sha256sum`.
    assert_eq!(evaluate("hash(\"user\", 5)"), Ok(json!("a5fbb1e7d4f2ba589e4484de6df5eec9")));
}

#[test]
fn a_value_of_the_wrong_kind_is_an_error_that_names_its_path() {
    for (text, expected) in [
        ("record.event.name", "record.event: expected an object, found a text"),
        ("record.properties.count.a.b", "record.properties.count: expected an object, found a whole number"),
        ("record.properties.total > 5", "record.properties.total: `>` compares a text with a whole number"),
        ("record.properties.total + 5", "record.properties.total: `+` cannot be applied to a text and a whole number"),
        ("record.event && true", "record.event: expected true or false, found a text"),
        ("!record.event", "record.event: expected true or false, found a text"),
        ("lower(record.lines)", "record.lines: expected a text, found a list"),
        ("decimal(record.event)", "record.event: expected a decimal number from -10^12 to 10^12, found another text"),
        ("decimal(record.flag)", "record.flag: expected a decimal number, found true or false"),
        ("number(record.event)", "record.event: expected a number, found another text"),
        (
            "int(record.properties.revenue)",
            "record.properties.revenue: expected a whole number, found a number with a fraction",
        ),
        (
            "rfc3339(record.event)",
            "record.event: expected an RFC 3339 time with an offset, such as 1997-01-18T15:55:44Z or \
             1997-01-18T17:55:44.5+02:00",
        ),
        ("pattern(record.event, \"%Y-%m-%d\")", "record.event: expected a time in the pattern `%Y-%m-%d`"),
        ("record.lines.map(line, lower(line.quantity))", "line.quantity: expected a text, found a whole number"),
        ("record.event.map(line, line)", "record.event: expected a list, found a text"),
        ("record.flag in record.event", "record.event: expected a list or an object after `in`, found a text"),
        (
            "minor_units(record.properties.count, record.event)",
            "record.properties.count: expected a currency of three letters, such as EUR",
        ),
        (
            "minor_units(record.properties.revenue, \"EUR\")",
            "record.properties.revenue: expected a whole number of minor units, found a fraction",
        ),
        ("1 / (record.properties.count - 3)", "record.properties.count: the calculation overflows or divides by zero"),
        ("require(record.missing, \"set it\")", "record.missing: missing; set it"),
        ("url_decode(record.event + \"%f\")", "record.event: `%` is not followed by two hexadecimal digits"),
        ("json(record.event)", "record.event: the text is not valid JSON"),
        (
            "record.lines[true == record.flag]",
            "record.lines: expected a whole number or a text as the index, found true or false",
        ),
    ] {
        let expression = Expression::compile(text, &ROOTS);
        match expression {
            Ok(expression) => {
                let error = expression.evaluate(&[&record(), &headers()]).expect_err(text);
                assert_eq!(error.to_string(), expected, "{text}");
                assert!(!error.to_string().contains("Order Completed"), "{text}: the error shows content");
            }
            Err(problems) => {
                assert_eq!(problems[0].message, "expected a number or a text, found true or false", "{text}");
            }
        }
    }
}

#[test]
fn problems_of_the_text_are_found_before_any_record() {
    for (text, code, message, help) in [
        ("recrd.a", "unknown-name", "unknown name `recrd`", "did you mean `record`?"),
        (
            "event == \"a\"",
            "unknown-name",
            "unknown name `event`",
            "a path starts with `record` or `headers`; write text between quotes",
        ),
        ("lower", "unknown-name", "unknown name `lower`", "`lower` is a function: write `lower(...)`"),
        ("lowr(record.a)", "unknown-function", "unknown function `lowr`", "did you mean `lower`?"),
        ("double(record.a)", "unknown-function", "unknown function `double`", "write `number(x)`"),
        ("lower()", "bad-arguments", "`lower` needs 1 value, found 0", ""),
        ("substring(record.a)", "bad-arguments", "`substring` needs 2 or 3 values, found 1", ""),
        ("lower(5)", "type-mismatch", "expected a text, found a number", "convert it: `string(x)`"),
        (
            "decimal(record.a) > 5",
            "type-mismatch",
            "`>` compares a text with a number",
            "convert the text: `number(x)`",
        ),
        (
            "decimal(record.a) - 5",
            "type-mismatch",
            "`-` cannot be applied to a text and a number",
            "amounts of money are texts: write `add(x, y)`, `subtract(x, y)` or `multiply(x, y)`",
        ),
        (
            "decimal(record.a) && true",
            "type-mismatch",
            "expected true or false, found a text",
            "compare it: `x == \"...\"`",
        ),
        ("record.a = 5", "syntax", "`=` is not an operator", "write `==`"),
        (
            "pattern(record.a, record.b)",
            "bad-arguments",
            "the pattern and the time zone must be texts that do not depend on the record",
            "write `pattern(x, \"%Y-%m-%d %H:%M:%S\", \"Europe/Berlin\")`",
        ),
        (
            "pattern(record.a, \"%Y\", \"Berlin\")",
            "bad-literal",
            "unknown time zone `Berlin`: write a name of the IANA database, such as `Europe/Berlin` or `UTC`",
            "",
        ),
        (
            "record.a.map(line)",
            "bad-arguments",
            "`map` needs a list, a name and an expression",
            "write `list.map(item, ...)`, with an expression that reads `item`",
        ),
        ("coalesce(record.a)", "bad-arguments", "`coalesce` needs 2 values or more", ""),
    ] {
        let problems = Expression::compile(text, &ROOTS).expect_err(text);
        let found: Vec<_> = problems
            .iter()
            .map(|problem| (problem.code, &*problem.message, problem.help.as_deref().unwrap_or_default()))
            .collect();
        assert_eq!(found, [(code, message, help)], "{text}");
    }
    // Several at once.
    assert_eq!(Expression::compile("a.b == lowr(c)", &ROOTS).expect_err("problems").len(), 2);
}

#[test]
fn filters_need_a_truth_value() {
    let is_true = |text: &str| Expression::compile(text, &ROOTS).expect(text).is_true(&[&record(), &headers()]);
    assert_eq!(is_true("record.flag"), Ok(true));
    assert_eq!(is_true("record.missing"), Ok(false));
    assert_eq!(
        is_true("record.event").expect_err("a text").to_string(),
        "record.event: expected true or false, found a text"
    );
}

#[test]
fn work_and_sizes_are_limited() {
    let many: Vec<u32> = (0..200).collect();
    let squares = "record.map(a, record.map(b, 1))";
    let error = Expression::compile(squares, &["record"]).expect("an expression").evaluate(&[&json!(many)]);
    assert_eq!(error.expect_err("too many").to_string(), "record: more than 10000 items are visited");

    let doubled = "record + record";
    let long = json!("x".repeat(600_000));
    let error = Expression::compile(doubled, &["record"]).expect("an expression").evaluate(&[&long]);
    assert_eq!(error.expect_err("too long").to_string(), "record: the text is longer than 1048576 bytes");

    let deep = json!(format!("{}{}", "[".repeat(40), "]".repeat(40)));
    let error = Expression::compile("json(record)", &["record"]).expect("an expression").evaluate(&[&deep]);
    assert_eq!(error.expect_err("too deep").to_string(), "record: the JSON nests deeper than 32 levels");

    // The path of an error is not looked for at each level again, which would take hours here.
    let nested = format!("{}[record]{}", "int(coalesce(".repeat(20), ", null))".repeat(20));
    let error = Expression::compile(&nested, &["record"]).expect("an expression").evaluate(&[&json!(1)]);
    assert_eq!(error.expect_err("a list").to_string(), "expected a number, found a list");

    assert!(Expression::compile(&"(".repeat(100), &["record"]).is_err());
    assert!(Expression::compile(&format!("record{}", ".a".repeat(3_000)), &["record"]).is_err());
}

#[test]
fn templates_keep_kinds_and_leave_out_what_is_absent() {
    let tree = json!({
        "typed": "${record.properties.count}",
        "text": "order ${string(record.id)} of ${record.missing}${record.lines[1].tags}",
        "literal": 5,
        "escaped": "costs $${5}",
        "braces": "${ {\"a}\": record.flag}[\"a}\"] }",
        "null": "${record.missing}",
        "left_out": "${omit_null(record.missing)}",
        "kept": "${omit_null(record.flag)}",
        "list": ["${omit_null(record.missing)}", "a", ["${record.flag}"]],
        "stage_${record.lines[0].tags[0]}": 1,
        "${omit_null(record.missing)}": "${omit_null(record.missing)}",
    });
    let template = Template::compile(&tree, &ROOTS).expect("a template");
    let expected = json!({
        "typed": 3,
        "text": "order 9007199254740993 of []",
        "literal": 5,
        "escaped": "costs ${5}",
        "braces": true,
        "null": null,
        "kept": true,
        "list": ["a", [true]],
        "stage_x": 1,
    });
    assert_eq!(template.render(&[&record(), &headers()]), Ok(expected));
    let error = Template::compile(&json!(["${lower(record.flag)}"]), &ROOTS).expect("a template");
    let error = error.render(&[&record(), &headers()]).expect_err("a bool");
    assert_eq!(error.to_string(), "record.flag: expected a text, found true or false");
}

#[test]
fn the_name_of_a_member_is_a_text_that_occurs_once() {
    for (tree, expected) in [
        (json!({"${record.missing}": 1}), "the name of a member is missing"),
        (json!({"${record.flag}": 1}), "the name of a member is not a text"),
        (json!({"${trim(\" \")}": 1}), "the name of a member is empty"),
        (json!({"x": 1, "${record.lines[0].tags[0]}": 2}), "two members have the same name"),
    ] {
        let template = Template::compile(&tree, &ROOTS).expect("a template");
        let error = template.render(&[&record(), &headers()]).expect_err("a wrong name");
        assert_eq!(error.to_string(), expected);
    }
    let problems = Template::compile(&json!({"a": {"${record.": 1}}), &ROOTS).expect_err("no expression");
    assert_eq!(problems[0].place, "a.${record.");
}

#[test]
fn problems_of_a_template_name_their_place() {
    let tree = json!({"a": {"b": ["x", "at ${recrd.x} and ${lowr(record.y)}"]}, "c": "${record.x"});
    let problems = Template::compile(&tree, &ROOTS).expect_err("problems");
    let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "a.b[1]: unknown name `recrd` in `recrd`; did you mean `record`?",
            "a.b[1]: unknown function `lowr` in `lowr`; did you mean `lower`?",
            "c: `${` has no closing `}` in `${record.x`; write `$${` for the text `${`",
        ]
    );
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(Template::compile(&deep, &ROOTS).expect_err("too deep").len(), 1);
}
