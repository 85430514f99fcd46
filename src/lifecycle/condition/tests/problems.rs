//! Problems as users read them: code, underlined text, message, help. The expected reports are in `problems.txt`.

use super::super::compile;
use super::table;
use crate::lifecycle::suggest::nearest;
use crate::lifecycle::value::Type;

/// Returns the problems of `text` as a condition, one per line.
fn problems_of(text: &str) -> String {
    let problems = compile(text, Some(Type::Bool), &mut table()).expect_err(text);
    let line = |problem: &super::super::ExpressionProblem| {
        let help = problem.help.as_ref().map(|help| format!(" => {help}")).unwrap_or_default();
        format!("{} [{}] {}{help}", problem.code, &text[problem.span.clone()], problem.message)
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn problems_have_the_expected_reports() {
    let mut wrong = Vec::new();
    for (text, expected) in include_str!("problems.txt").split("\n\n").filter_map(|case| case.trim().split_once('\n')) {
        let found = problems_of(text);
        if found != expected {
            wrong.push(format!("{text}\n{found}\n"));
        }
    }
    assert!(wrong.is_empty(), "these differ:\n\n{}", wrong.join("\n"));
}

#[test]
fn the_nearest_name_is_suggested_from_all_names() {
    assert_eq!(nearest("last_ordr", ["last_order", "last_opened"]), Some("last_order"));
}
