//! The documents' tables are those of the program.

use std::path::Path;

use lifecycle_processor::api::ROUTES;
use lifecycle_processor::telemetry::catalogue;

use super::cli::lifecycle;

fn table(document: &str) -> Vec<&str> {
    document.lines().filter(|line| line.starts_with('|')).collect()
}

#[test]
fn the_document_of_metrics_holds_the_table_of_all_metrics() {
    let reference = catalogue::reference();
    let expected: Vec<_> = reference.lines().collect();
    assert_eq!(table(include_str!("../../docs/metrics.md")), expected, "docs/metrics.md should hold\n{reference}");
}

#[test]
fn the_document_of_commands_holds_the_help() {
    let help = lifecycle(Path::new("."), &["--help"], b"").output;
    let (_, help) = help.split_once("\n\n").expect("help begins with a sentence");
    let document = include_str!("../../docs/commands.md");
    assert!(document.contains(help.trim_end()), "docs/commands.md should hold\n{help}");
}

#[test]
fn the_document_of_http_holds_the_table_of_all_routes() {
    let rows = ROUTES.iter().map(|(path, about)| format!("| `{path}` | {about} |"));
    let expected: Vec<String> =
        ["| path | answer |".to_owned(), "|---|---|".to_owned()].into_iter().chain(rows).collect();
    assert_eq!(
        table(include_str!("../../docs/http.md")),
        expected,
        "docs/http.md should hold\n{}",
        expected.join("\n")
    );
}
