//! Checks that the tables of metrics, commands and routes in docs/, and docs/openapi.json, match the program.

use std::path::Path;

use lifecycle_processor::api::{self, ROUTES, Route};
use lifecycle_processor::partition::RefusalReason;
use lifecycle_processor::telemetry::catalogue;
use lifecycle_processor::telemetry::deliveries::DELIVERY_METRICS;

use super::cli::lifecycle;

fn table(document: &str) -> Vec<&str> {
    document.lines().filter(|line| line.starts_with('|')).collect()
}

#[test]
fn docs_metrics_has_the_table_of_all_metrics() {
    let reference = catalogue::reference();
    let expected: Vec<_> = reference.lines().collect();
    assert_eq!(table(include_str!("../../docs/metrics.md")), expected, "docs/metrics.md should contain\n{reference}");
}

#[test]
fn docs_deliver_has_the_table_of_all_delivery_metrics() {
    let rows: Vec<String> = (DELIVERY_METRICS.iter())
        .map(|metric| {
            let labels = if metric.labels.is_empty() { String::new() } else { format!(", `{}`", metric.labels) };
            format!("| `{}` | {} | `destination`{labels} | {} |", metric.name, metric.kind, metric.help)
        })
        .collect();
    let document = include_str!("../../docs/deliver.md");
    let documented: Vec<&str> = document.lines().filter(|line| line.starts_with("| `lifecycle_deliver")).collect();
    assert_eq!(documented, rows, "docs/deliver.md should contain\n{}", rows.join("\n"));
}

#[test]
fn docs_commands_has_the_help_text() {
    let help = lifecycle(Path::new("."), &["--help"], b"").output;
    let (_, help) = help.split_once("\n\n").expect("the help starts with a sentence");
    let document = include_str!("../../docs/commands.md");
    assert!(document.contains(help.trim_end()), "docs/commands.md should contain\n{help}");
}

#[test]
fn docs_performance_has_the_budget_of_instructions() {
    let budget = include_str!("../../benches/instructions.tsv");
    let count = |stage: &str| {
        let row = budget.lines().find_map(|line| line.strip_prefix(stage)?.strip_prefix('\t'));
        row.and_then(|count| count.parse::<u64>().ok()).unwrap_or_else(|| panic!("no budget of {stage}"))
    };
    let grouped = |number: u64| {
        let digits = number.to_string();
        let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
        groups.iter().map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
    };
    let document = include_str!("../../docs/performance.md");
    let touchpoints = count("touchpoints");
    for stage in ["decode", "apply", "encode", "write", "replay"] {
        let per_touchpoint = (count(stage) + touchpoints * 50) / (touchpoints * 100) * 100;
        let cells = format!("| {} | {} |", grouped(count(stage)), grouped(per_touchpoint));
        assert!(document.contains(&cells), "docs/performance.md should contain {cells:?} for {stage}");
    }
    assert!(document.contains(&format!("write {} transitions", grouped(count("transitions")))));
}

#[test]
fn docs_identity_has_the_reasons_of_refused_links() {
    let document = include_str!("../../docs/identity.md");
    let (_, table) = document.split_once("| reason | the link |\n|---|---|\n").expect("the page has the table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let mut documented: Vec<_> = rows.map(|row| row.split('`').nth(1).expect("a name")).collect();
    let mut reasons = RefusalReason::ALL.map(RefusalReason::as_str);
    documented.sort_unstable();
    reasons.sort_unstable();
    assert_eq!(documented, reasons);
}

#[test]
fn docs_http_has_the_table_of_all_routes() {
    let rows = ROUTES.iter().map(|Route { path, description, .. }| format!("| `{path}` | {description} |"));
    let expected: Vec<String> =
        ["| path | response |".to_owned(), "|---|---|".to_owned()].into_iter().chain(rows).collect();
    assert_eq!(
        table(include_str!("../../docs/http.md")),
        expected,
        "docs/http.md should contain\n{}",
        expected.join("\n")
    );
}

#[test]
fn docs_openapi_matches_the_program() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let document = format!("{:#}\n", api::document());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &document).expect("docs can be written");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == document,
        "docs/openapi.json is outdated; run `UPDATE_GOLDEN=1 cargo test --test it docs` to regenerate it"
    );
}
