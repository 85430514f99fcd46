//! The documents' tables are those of the program.

use std::path::Path;

use lifecycle_processor::api::{self, ROUTES, Route};
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
    let rows = ROUTES.iter().map(|Route { path, about, .. }| format!("| `{path}` | {about} |"));
    let expected: Vec<String> =
        ["| path | answer |".to_owned(), "|---|---|".to_owned()].into_iter().chain(rows).collect();
    assert_eq!(
        table(include_str!("../../docs/http.md")),
        expected,
        "docs/http.md should hold\n{}",
        expected.join("\n")
    );
}

#[test]
fn the_openapi_document_is_that_of_the_program() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let document = format!("{:#}\n", api::document());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &document).expect("docs can be written");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == document,
        "docs/openapi.json is another; UPDATE_GOLDEN=1 cargo test --test it docs writes it anew"
    );
}
