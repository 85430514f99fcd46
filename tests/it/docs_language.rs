//! Runs every example of `docs/language.md`. The comment after each example gives its facts, `now` and the result.

use lifecycle_processor::cli::eval::evaluate;
use lifecycle_processor::lifecycle::condition::{DEPTH_MAX, EXPRESSION_BYTES_MAX, LIST_ITEMS_MAX, NODES_MAX};

const LANGUAGE: &str = include_str!("../../docs/language.md");

/// An expression with the contents of its comment.
struct Example {
    expression: String,
    facts: String,
    now: Option<String>,
    outcome: String,
}

/// Returns the examples of all `cel` blocks; an example ends with the line that has an outcome.
fn examples() -> Vec<Example> {
    let mut examples = Vec::new();
    for block in LANGUAGE.split("```cel\n").skip(1) {
        let block = block.split("```").next().expect("the first part");
        let mut expression = String::new();
        for line in block.lines() {
            let Some((code, comment)) = line.rsplit_once("  # ").or_else(|| line.rsplit_once(" # ")) else {
                expression.push_str(line);
                expression.push('\n');
                continue;
            };
            let comment = format!(" {comment}");
            let (given, outcome) = comment.rsplit_once("=> ").expect("the comment has an outcome after `=>`");
            let (facts, now) = match given.split_once("now: ") {
                Some((facts, now)) => (facts, Some(now.trim().to_owned())),
                None => (given, None),
            };
            let facts = facts.trim().strip_prefix("facts: ").unwrap_or("{}").trim().to_owned();
            expression.push_str(code);
            examples.push(Example { expression: std::mem::take(&mut expression), facts, now, outcome: outcome.into() });
        }
        assert_eq!(expression, "", "an example has no outcome");
    }
    examples
}

#[test]
fn every_example_has_the_documented_result() {
    let examples = examples();
    assert!(examples.len() > 60, "only {} examples were found", examples.len());
    for Example { expression, facts, now, outcome } in examples {
        let found = match evaluate(&expression, &facts, now.as_deref()) {
            Ok(evaluation) => evaluation.value.to_string(),
            Err(_) if outcome == "error" => continue,
            Err(error) => panic!("{expression}: {error:?}"),
        };
        assert_eq!(found, outcome, "{expression} over {facts}");
    }
}

#[test]
fn the_table_of_unsolvable_times_is_correct() {
    let section = LANGUAGE.split("| rejected | write instead |").nth(1).expect("the table of rejected expressions");
    let rows: Vec<_> = section.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), 5);
    let facts = r#"{"last_order": "2026-01-01T00:00:00Z", "x": "2026-01-01T00:00:00Z", "a": "2026-01-01T00:00:00Z",
        "b": "2026-01-01T00:00:00Z", "vip": true, "visits": 3}"#;
    for row in rows {
        let row = row.replace("\\|", "¦");
        let cells: Vec<_> = row.split('|').map(|cell| cell.replace('¦', "|")).collect();
        let code = |cell: &str| cell.split('`').nth(1).expect("code between backticks").to_owned();
        let now = Some("2026-02-01T00:00:00Z");
        let error = format!("{:?}", evaluate(&code(&cells[1]), facts, now).expect_err("it is rejected"));
        assert!(error.contains("unsolvable-time"), "{row}: {error}");
        let outcome = evaluate(&code(&cells[2]), facts, now);
        assert!(outcome.is_ok(), "{row}: {outcome:?}");
    }
}

#[test]
fn the_documented_limits_equal_the_code() {
    for limit in [EXPRESSION_BYTES_MAX, DEPTH_MAX, NODES_MAX, LIST_ITEMS_MAX] {
        assert!(LANGUAGE.contains(&format!(" {limit} ")), "{limit} is not documented");
    }
}
