//! Checks the commands in the documentation: every command in a `sh` block of README.md and docs/*.md must succeed.
//!
//! Commands that need Kafka or a running service run in `documented_commands_kafka`. `NOT_RUN` lists the commands that
//! neither runs, with the reason. Blocks with output (in docs/guide.md) are compared by `guide`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Prefixes of commands that neither test runs, with the reason. A prefix ends where a word ends: `lifecycle top` is
/// not a prefix of `lifecycle topics`.
const NOT_RUN: &[(&str, &str)] = &[
    ("lifecycle demo", "tests/it/demo.rs runs it in a terminal and without one"),
    ("lifecycle repartition", "tests/it/repartition.rs runs it on a service that is stopped"),
    ("lifecycle customers", "tests/it/api_group.rs runs it against two instances"),
    ("lifecycle top", "tests/it/demo.rs runs it against a demo"),
    ("lifecycle deliver", "tests/it/deliver runs it against a real server"),
    ("./scripts/test", "runs this test"),
    ("./scripts/record-demo", "records for a minute; tests/it/demo.rs drives the same terminal"),
    ("cargo bench", "benchmarks run for minutes; they are compiled with all targets"),
    ("scripts/instructions", "scripts/test runs it"),
    ("cargo test", "runs tests of this suite for longer"),
    ("LIFECYCLE_CHAOS_", "runs tests of this suite for longer"),
    ("LIFECYCLE_FAILOVER_", "runs tests of this suite for longer"),
    ("LIFECYCLE_SIMULATION_", "runs tests of this suite for longer"),
    ("LIFECYCLE_LIVE_", "runs tests of this suite for longer"),
    ("LIFECYCLE_FUZZ_", "runs tests of this suite for longer"),
    ("./scripts/planted-bugs", "runs tests of this suite for longer"),
    ("scripts/planted-bugs", "runs tests of this suite for longer"),
    ("/usr/bin/time", "the command itself is run without measuring"),
    ("cargo run --example draw_dashboard", "tests/it/dashboards_live draws with the same code"),
    ("promtool test rules", "tests/it/alerts runs it"),
    ("cargo build --profile dist", "an optimised build takes minutes"),
    ("scripts/release", "an optimised build for two architectures takes minutes"),
    ("kafka-console-producer.sh", "a tool of Kafka, which reads standard input"),
    ("kafka-consumer-groups.sh", "a tool of Kafka, and the group must have been moved to other topics"),
    ("docker build", "needs a container engine; scripts/test validates the Dockerfile"),
    ("docker compose", "needs a container engine; scripts/test validates the compose file and the Dockerfile"),
];

/// A command, and the document that contains it.
pub(crate) struct DocumentedCommand {
    pub(crate) document: String,
    pub(crate) command: String,
}

/// Returns the commands of all shell blocks in document order, without trailing comments.
pub(crate) fn commands() -> Vec<DocumentedCommand> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![root.join("README.md")];
    let docs = fs::read_dir(root.join("docs")).expect("readable");
    let mut others: Vec<PathBuf> = docs.map(|entry| entry.expect("readable").path()).collect();
    others.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    others.sort();
    documents.append(&mut others);
    documents
        .iter()
        .flat_map(|path| {
            let document = path.strip_prefix(root).expect("below the root").display().to_string();
            let text = fs::read_to_string(path).expect("readable").replace("\\\n", " ");
            let mut is_shell = false;
            let mut commands = Vec::new();
            for line in text.lines() {
                if line.trim_start().starts_with("```") {
                    is_shell = line.trim() == "```sh";
                } else if is_shell && !line.trim().is_empty() && !line.starts_with('#') {
                    let command = line.split(" # ").next().unwrap_or(line).trim();
                    let command = command.replace("cargo run --release -- ", "lifecycle ");
                    commands.push(DocumentedCommand { document: document.clone(), command });
                }
            }
            commands
        })
        .collect()
}

/// Returns whether a command needs Kafka or a running service.
pub(crate) fn needs_kafka(command: &str) -> bool {
    ["--config lifecycle.yaml", "--bootstrap-servers", "curl "].iter().any(|part| command.contains(part))
}

/// Returns whether `NOT_RUN` lists a command.
pub(crate) fn is_not_run(command: &str) -> bool {
    let continues_word = |rest: &str| rest.starts_with(|next: char| next.is_ascii_lowercase());
    NOT_RUN.iter().any(|(prefix, _)| command.strip_prefix(prefix).is_some_and(|rest| !continues_word(rest)))
}

/// Creates a folder with the files that the documented commands use: the examples of the repository, and files that a
/// user would write.
fn user_folder() -> tempfile::TempDir {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().expect("writable");
    let copy = |from: &str, to: &str| {
        let to = directory.path().join(to);
        fs::create_dir_all(to.parent().expect("a folder")).expect("writable");
        fs::copy(root.join(from), to).expect("writable");
    };
    for folder in ["examples", "models", "presets/sources"] {
        for entry in fs::read_dir(root.join(folder)).expect("readable") {
            let entry = entry.expect("readable");
            if entry.path().is_file() {
                let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                copy(&name, &name);
            }
        }
    }
    copy("examples/regulars.yaml", "mine.yaml");
    copy("examples/regulars.yaml", "scenarios/regulars.yaml");
    copy("examples/regulars.scenario", "mine.scenario");
    copy("examples/regulars.scenario", "scenarios/regulars.scenario");
    let scenario = fs::read_to_string(root.join("models/retention.scenario")).expect("readable");
    fs::write(directory.path().join("one.scenario"), scenario).expect("writable");
    copy("examples/touchpoints.ndjson", "touchpoints.ndjson");
    directory
}

#[test]
fn a_prefix_ends_where_a_word_ends() {
    assert!(["lifecycle top", "lifecycle top --url x", "LIFECYCLE_CHAOS_ROUNDS=1 x"].into_iter().all(is_not_run));
    assert!(!is_not_run("lifecycle topics --create"));
}

#[test]
fn every_documented_command_succeeds() {
    let directory = user_folder();
    let binaries = Path::new(env!("CARGO_BIN_EXE_lifecycle")).parent().expect("the binary has a folder").display();
    let mut failures = Vec::new();
    let mut count = 0;
    for DocumentedCommand { document, command } in commands() {
        if needs_kafka(&command) || is_not_run(&command) {
            continue;
        }
        if !command.starts_with("lifecycle ") {
            failures.push(format!("{document}: `{command}` is neither run here nor listed in NOT_RUN"));
            continue;
        }
        let output = Command::new("sh")
            .args(["-e", "-c", &command])
            .current_dir(directory.path())
            .env_clear()
            .env("PATH", format!("{binaries}:/usr/local/bin:/usr/bin:/bin"))
            .output()
            .expect("sh can be run");
        count += 1;
        if !output.status.success() {
            failures.push(format!("{document}: `{command}`: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(count >= 8, "only {count} commands were run");
}
