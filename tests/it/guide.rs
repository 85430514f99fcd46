//! The guide is true: its commands are run and print what it says, its example model publishes what it promises.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it guide` writes outputs, tables and pictures anew.

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

fn is_updated() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// Compares `found` with what is committed, or commits it.
fn is_committed(path: &str, found: &str) {
    let path = root().join(path);
    if is_updated() {
        fs::write(&path, found).expect("writable");
    } else {
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == found, "{} is outdated; UPDATE_GOLDEN=1 writes it anew:\n{found}", path.display());
    }
}

fn guide() -> (PathBuf, String) {
    let path = root().join("docs/guide.md");
    let text = fs::read_to_string(&path).expect("readable");
    (path, text)
}

/// Runs a line of the guide in a shell that knows the program, in a folder that has the examples and the models.
fn run_line(directory: &Path, line: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_lifecycle"));
    let home = program.parent().expect("it lies in a folder").display();
    let output = Command::new("sh")
        .args(["-e", "-c", line])
        .current_dir(directory)
        .env_clear()
        .env("PATH", format!("{home}:/usr/local/bin:/usr/bin:/bin"))
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
fn every_command_of_the_guide_prints_what_stands_below_it() {
    let directory = tempfile::tempdir().expect("writable");
    copy_folder("examples", directory.path());
    copy_folder("models", directory.path());
    let (path, text) = guide();
    let mut wanted = String::new();
    let mut count = 0;
    let mut is_console = false;
    for line in text.split_inclusive('\n') {
        if line.starts_with("```") {
            is_console = line.trim_end() == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| is_console) {
            wanted.push_str(line);
            wanted.push_str(&run_line(directory.path(), command));
            count += 1;
            continue;
        } else if is_console {
            continue;
        }
        wanted.push_str(line);
    }
    assert!(count >= 9, "only {count} commands were found");
    for file in ["classic_seven.svg", "subscription.svg", "model.schema.json", "new.yaml"] {
        assert!(directory.path().join(file).exists(), "{file} was not written");
    }
    if is_updated() {
        fs::write(&path, wanted).expect("writable");
    } else {
        let different = text.lines().zip(wanted.lines()).find(|(is, should)| is != should);
        assert!(text == wanted, "docs/guide.md is outdated; UPDATE_GOLDEN=1 writes it anew: {different:?}");
    }
}

/// What is published of the example, line by line.
fn transitions() -> (String, Vec<Value>) {
    let run = lifecycle(root(), &["replay", "--model", MODEL, TOUCHPOINTS], b"");
    assert_eq!(run.code, 0, "{}", run.errors);
    let values = run.output.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (run.output, values)
}

#[test]
fn the_example_publishes_what_it_promises() {
    let (output, transitions) = transitions();
    is_committed("examples/subscription.transitions.ndjson", &output);
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
    assert_eq!(of("vera", "stage").len(), 2, "what is paid in grace changes no stage");
    assert_eq!(of("vera", "signal").len(), 2);
    let late = transitions.iter().filter(|transition| transition["late"] == true);
    assert!(late.clone().count() > 0 && late.clone().all(|transition| transition["customer_id"] == "nils"));
}

#[test]
fn the_table_of_the_guide_is_what_is_published() {
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
    let start = text.find("| customer | when |").expect("the table is there");
    let end = text[start..].find("\n\n").expect("it ends") + start + 1;
    if is_updated() {
        fs::write(&path, format!("{}{table}{}", &text[..start], &text[end..])).expect("writable");
    } else {
        assert_eq!(&text[start..end], table, "the table of docs/guide.md is outdated; UPDATE_GOLDEN=1 writes it anew");
    }
}

#[test]
fn the_picture_of_the_example_is_what_is_drawn() {
    let run = lifecycle(root(), &["graph", "--format", "svg", MODEL], b"");
    assert_eq!(run.code, 0, "{}", run.errors);
    is_committed("docs/graphs/subscription.svg", &run.output);
}

/// What the guide quotes of the model stands in the model, spaces and descriptions aside.
#[test]
fn what_the_guide_quotes_of_the_model_stands_there() {
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
