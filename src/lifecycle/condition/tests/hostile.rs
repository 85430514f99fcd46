//! Hostile input: the compiler never panics, and it enforces every limit.

use proptest::prelude::*;

use super::super::{
    Argument, Binding, DEPTH_MAX, EXPRESSION_BYTES_MAX, ExpressionProblem, FactTable, LIST_ITEMS_MAX, NODES_MAX, Scope,
    Syntax, codes, compile,
};
use super::table;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::value::{Horizon, OwnedValue, Type};

const WORDS: [&str; 48] = [
    "now",
    "orders.count",
    "visits",
    "score",
    "plan",
    "last_order",
    "no_time",
    "no_bool",
    "grace",
    "subscribed",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    "?",
    ":",
    "&&",
    "||",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "in",
    "true",
    "1",
    "0",
    "2.5",
    "\"a\"",
    "days(",
    "duration(\"1d\")",
    "has(",
    "min(",
    "int(",
    "and",
    "not",
    "=",
    "é",
    "9223372036854775808",
];

/// Compiles `text` and evaluates it if it compiles. The spans of problems must be inside the text.
fn check_text(text: &str) {
    let mut table = table();
    match compile(text, None, &mut table) {
        Ok(condition) => {
            for now in [i64::MIN, -1, 0, 1_767_225_600_000, i64::MAX] {
                let mut horizon = Horizon::NEVER;
                let now = Timestamp::from_millis(now);
                let _ = condition.program.evaluate(&table, now, &mut horizon);
                assert!(horizon.instant().is_none_or(|instant| instant > now), "{text} at {now:?}: {horizon:?}");
            }
            let again = compile(&condition.text, None, &mut table).expect("collapsing white space keeps the meaning");
            assert_eq!(again.text, condition.text);
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "{text}");
            for problem in problems {
                assert!(text.get(problem.span.clone()).is_some(), "{text}: {problem:?}");
                assert!(!problem.message.is_empty() && !problem.message.ends_with('.'), "{text}: {problem:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_compiles_or_is_rejected(text in any::<String>()) {
        check_text(&text);
    }

    #[test]
    fn any_sequence_of_words_compiles_or_is_rejected(words in proptest::collection::vec(0..WORDS.len(), 0..24)) {
        check_text(&words.iter().map(|word| WORDS[*word]).collect::<Vec<_>>().join(" "));
    }

    #[test]
    fn a_damaged_expression_compiles_or_is_rejected(cut in 0..120_usize, length in 0..8_usize, put in any::<char>()) {
        let text = "orders.count >= 2 && (now < last_order + days(90) || plan in [\"a\\n\", 'b']) ? -score * 0x1F : 2.5e3 + 1";
        let characters: Vec<char> = text.chars().collect();
        let cut = cut.min(characters.len());
        let end = (cut + length).min(characters.len());
        let damaged = characters[..cut].iter().chain([&put]).chain(&characters[end..]).collect::<String>();
        check_text(&damaged);
    }
}

fn assert_rejected(text: &str, code: &str) {
    let problems = compile(text, None, &mut table()).expect_err("it is too large");
    assert_eq!(problems[0].code, code, "{}", problems[0].message);
}

#[test]
fn oversized_expressions_are_rejected() {
    let long = format!("{}1", " ".repeat(EXPRESSION_BYTES_MAX - 1));
    assert!(compile(&long, None, &mut table()).is_ok());
    assert_rejected(&format!(" {long}"), codes::TOO_LARGE);
    for (open, inner, close) in [("(", "1", ")"), ("!", "true", ""), ("- ", "visits", ""), ("has(", "visits", ")")] {
        let nested = |depth: usize| format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
        assert!(compile(&nested(DEPTH_MAX / 4), None, &mut table()).is_ok(), "{}", nested(DEPTH_MAX / 4));
        assert_rejected(&nested(DEPTH_MAX + 1), codes::TOO_LARGE);
        assert_rejected(&nested(900), codes::TOO_LARGE);
    }
    assert_rejected(&format!("{}1", "1+".repeat(DEPTH_MAX + 1)), codes::TOO_LARGE);
    assert_rejected(&format!("{}1", "true?1:".repeat(DEPTH_MAX + 1)), codes::TOO_LARGE);
    let list = |items: usize| format!("1 in [{}1]", "1,".repeat(items - 1));
    assert!(compile(&list(LIST_ITEMS_MAX), None, &mut table()).is_ok());
    assert_rejected(&list(LIST_ITEMS_MAX + 1), codes::TOO_LARGE);
}

#[test]
fn a_long_chain_counts_as_one_level() {
    let chain = |parts: usize| vec!["no_bool"; parts].join("||");
    assert!(compile(&chain(400), Some(Type::Bool), &mut table()).is_ok());
    // Each `||` and each name counts as one node.
    let short = vec!["x"; NODES_MAX / 2 + 2].join("||");
    let mut table = FactTable::default();
    table.set_absent("x", Type::Bool);
    let problems = compile(&short, None, &mut table).expect_err("it is too large");
    assert_eq!(problems[0].code, codes::TOO_LARGE);
}

/// A scope in which each name expands to two uses of the previous one.
struct Doubling(FactTable);

impl Scope for Doubling {
    fn name(&mut self, path: &str, span: std::ops::Range<usize>) -> Option<Result<Binding, Vec<ExpressionProblem>>> {
        let Some(level) = path.strip_prefix("level").and_then(|level| level.parse::<u32>().ok()) else {
            return self.0.name(path, span);
        };
        let text = match level {
            0 => "visits > 1".into(),
            _ => format!("!level{} || !level{}", level - 1, level - 1),
        };
        Some(compile(&text, Some(Type::Bool), self).map(|condition| Binding::Expression(condition.program)))
    }

    fn call(
        &mut self,
        _function: &str,
        _arguments: &[Argument<'_>],
        _span: std::ops::Range<usize>,
    ) -> Option<Result<Binding, Vec<ExpressionProblem>>> {
        None
    }

    fn suggestions(&self) -> Vec<String> {
        Vec::new()
    }
}

#[test]
fn inlined_conditions_cannot_exceed_the_size_limit() {
    let mut scope = Doubling(table());
    let small = compile("level5", Some(Type::Bool), &mut scope).expect("it is small enough");
    assert_eq!(small.program.references.len(), 1);
    let problems = compile("level10", Some(Type::Bool), &mut scope).expect_err("it is too large");
    assert_eq!(problems[0].code, codes::TOO_LARGE);
}

#[test]
fn arguments_are_names_texts_or_constants() {
    let syntax = Syntax::parse("orders.streak(days(90) * 2, checkout_started, \"score\", visits)").expect("it parses");
    let (function, arguments) = syntax.call().expect("it is a call");
    assert_eq!(function, "orders.streak");
    assert_eq!(arguments[1].name().as_deref(), Some("checkout_started"));
    assert_eq!(arguments[2].text(), Some("score"));
    assert_eq!(arguments[0].span(), 14..26);
    let length = arguments[0].constant(Type::Duration, &mut table());
    assert_eq!(length, Ok(OwnedValue::Duration(crate::lifecycle::time::Duration::from_days(180))));
    let problems = arguments[3].constant(Type::Int, &mut table()).expect_err("it is a fact");
    assert_eq!(problems[0].code, codes::NOT_CONSTANT);
    let problems = arguments[1].constant(Type::Int, &mut table()).expect_err("it is a group");
    assert_eq!(problems[0].code, codes::UNKNOWN_NAME);
}
