//! Keeps `docs/guide.md` correct: runs its commands and compares their output, and checks what the example model
//! publishes.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it guide` regenerates outputs, tables and pictures.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::cli::lifecycle;

const MODEL: &str = "examples/subscription.yaml";
const TOUCHPOINTS: &str = "examples/subscription.ndjson";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn updates_golden_files() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// Compares `found` with the committed file, or rewrites the file.
fn assert_committed(path: &str, found: &str) {
    let path = root().join(path);
    if updates_golden_files() {
        fs::write(&path, found).expect("writable");
    } else {
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == found, "{} is outdated; UPDATE_GOLDEN=1 regenerates it:\n{found}", path.display());
    }
}

fn guide() -> (PathBuf, String) {
    let path = root().join("docs/guide.md");
    let text = fs::read_to_string(&path).expect("readable");
    (path, text)
}

/// Runs a command of the guide in a shell, with the program on the `PATH` and in a folder with the examples and the
/// models.
fn run_command(directory: &Path, line: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_lifecycle"));
    let program_folder = program.parent().expect("the program is in a folder").display();
    let output = Command::new("sh")
        .args(["-e", "-c", line])
        .current_dir(directory)
        .env_clear()
        .env("PATH", format!("{program_folder}:/usr/local/bin:/usr/bin:/bin"))
        .output()
        .expect("there is a shell");
    let errors = String::from_utf8(output.stderr).expect("errors are text");
    assert!(output.status.success() && errors.is_empty(), "{line}\n{errors}");
    String::from_utf8(output.stdout).expect("output is text")
}

fn copy_folder(name: &str, to: &Path) {
    fs::create_dir(to.join(name)).expect("writable");
    for entry in fs::read_dir(root().join(name)).expect("readable") {
        let entry = entry.expect("readable").path();
        if entry.is_dir() {
            continue;
        }
        fs::copy(&entry, to.join(name).join(entry.file_name().expect("a file"))).expect("writable");
    }
}

#[test]
fn every_command_of_the_guide_prints_the_documented_output() {
    let directory = tempfile::tempdir().expect("writable");
    copy_folder("examples", directory.path());
    copy_folder("models", directory.path());
    let (path, text) = guide();
    let mut expected = String::new();
    let mut count = 0;
    let mut is_console = false;
    for line in text.split_inclusive('\n') {
        if line.starts_with("```") {
            is_console = line.trim_end() == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| is_console) {
            expected.push_str(line);
            expected.push_str(&run_command(directory.path(), command));
            count += 1;
            continue;
        } else if is_console {
            continue;
        }
        expected.push_str(line);
    }
    assert!(count >= 9, "only {count} commands were found");
    for file in ["classic_seven.svg", "subscription.svg", "model.schema.json", "new.yaml"] {
        assert!(directory.path().join(file).exists(), "{file} was not written");
    }
    if updates_golden_files() {
        fs::write(&path, expected).expect("writable");
    } else {
        let different = text.lines().zip(expected.lines()).find(|(current, expected)| current != expected);
        assert!(text == expected, "docs/guide.md is outdated; UPDATE_GOLDEN=1 regenerates it: {different:?}");
    }
}

/// Replays the example and returns the published transitions as text and as JSON values.
fn transitions() -> (String, Vec<Value>) {
    let run = lifecycle(root(), &["replay", "--model", MODEL, TOUCHPOINTS], b"");
    assert_eq!(run.code, 0, "{}", run.errors);
    let values = run.output.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (run.output, values)
}

#[test]
fn the_example_publishes_the_expected_transitions() {
    let (output, transitions) = transitions();
    assert_committed("examples/subscription.transitions.ndjson", &output);
    let of = |customer: &str, kind: &str| -> Vec<String> {
        let of =
            transitions.iter().filter(|transition| transition["customer_id"] == customer && transition["kind"] == kind);
        of.map(|transition| {
            let text = |field: &str| transition[field].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}>{}", text("occurred_at"), text("name"), text("from"), text("to"))
        })
        .collect()
    };
    assert_eq!(
        of("lena", "stage"),
        [
            "2026-01-10T09:00:00Z subscribed ->active",
            "2026-02-13T09:00:00Z payment_overdue active>past_due",
            "2026-02-20T15:00:00Z payment_made_up past_due>active",
            "2026-03-10T09:00:00Z cancelled active>cancelled",
            "2026-05-02T11:00:00Z won_back cancelled>won_back",
        ]
    );
    assert_eq!(of("otto", "stage")[1..], ["2026-01-20T08:30:00Z trial_expired trial>-"]);
    assert_eq!(of("vera", "stage").len(), 2, "a payment within the grace period changes no stage");
    assert_eq!(of("vera", "signal").len(), 2);
    let late = transitions.iter().filter(|transition| transition["late"] == true);
    assert!(late.clone().count() > 0 && late.clone().all(|transition| transition["customer_id"] == "nils"));
}

#[test]
fn the_table_of_the_guide_lists_the_published_transitions() {
    let mut table = String::from("| customer | when | what | |\n|---|---|---|---|\n");
    for transition in transitions().1 {
        let text = |field: &str| transition[field].as_str();
        let change = match (text("from"), text("to"), transition["count"].as_i64()) {
            (None, None, Some(count)) => count.to_string(),
            (None, None, None) => String::new(),
            (None, Some(to), _) => to.to_owned(),
            (Some(from), to, _) => format!("{from} → {}", to.unwrap_or("no stage")),
        };
        let by_time = if transition["cause"]["time"] == true { ", by time" } else { "" };
        let late = if transition["late"] == true { ", late" } else { "" };
        let (customer, when, name) =
            (text("customer_id").expect("text"), text("occurred_at").expect("text"), text("name").expect("text"));
        let kind = text("kind").expect("text");
        let _ = writeln!(table, "| {customer} | {when} | {kind} `{name}` | {change}{by_time}{late} |");
    }
    let (path, text) = guide();
    let start = text.find("| customer | when |").expect("the guide has the table");
    let end = text[start..].find("\n\n").expect("the table ends") + start + 1;
    if updates_golden_files() {
        fs::write(&path, format!("{}{table}{}", &text[..start], &text[end..])).expect("writable");
    } else {
        assert_eq!(&text[start..end], table, "the table of docs/guide.md is outdated; UPDATE_GOLDEN=1 regenerates it");
    }
}

#[test]
fn the_committed_picture_of_the_example_is_current() {
    let run = lifecycle(root(), &["graph", "--format", "svg", MODEL], b"");
    assert_eq!(run.code, 0, "{}", run.errors);
    assert_committed("docs/graphs/subscription.svg", &run.output);
}

/// Checks that the guide quotes lines of the model file exactly, apart from indentation and descriptions.
#[test]
fn the_guide_quotes_the_model_correctly() {
    let model = fs::read_to_string(root().join(MODEL)).expect("readable");
    let conditions: Vec<&str> =
        ["subscribed: has(started_at)", "payment_open: subscribed", "{name: trial_expired"].into();
    let (_, guide) = guide();
    for condition in conditions {
        let line = |text: &str| -> String {
            let found = text.lines().find(|line| line.contains(condition));
            found.unwrap_or_else(|| panic!("`{condition}` is missing")).trim().to_owned()
        };
        assert_eq!(line(&guide), line(&model));
    }
    for quoted in guide.lines().filter_map(|line| line.trim().strip_prefix("- {stage: ")) {
        let (stage, when) = quoted.trim_end_matches('}').split_once(", when: ").expect("a stage with its condition");
        assert!(model.contains(&format!("- stage: {stage}\n")), "{stage}");
        assert!(model.contains(&format!("when: {when}\n")), "{stage}: {when}");
    }
}
