//! Somebody new follows the documents: every command in a shell block of the README and of docs/ is run here, against a broker in
//! `newcomer_kafka`, or stands below with the reason why not. (docs/guide.md has blocks with output, which `guide` compares.)

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Commands that are run elsewhere, by how they begin.
const ELSEWHERE: &[(&str, &str)] = &[
    ("lifecycle demo", "tests/it/demo.rs runs it in a terminal and without one"),
    ("lifecycle top", "tests/it/demo.rs runs it against a demo"),
    ("./scripts/test", "it runs this test"),
    ("./scripts/record-demo", "draws pictures for a minute; tests/it/demo.rs drives the same terminal"),
    ("cargo bench ", "measures for minutes; compiled with all targets"),
    ("cargo test ", "tests run by themselves; the command repeats some of them for longer"),
    ("LIFECYCLE_CHAOS_", "tests run by themselves; the command repeats some of them for longer"),
    ("LIFECYCLE_FAILOVER_", "tests run by themselves; the command repeats some of them for longer"),
    ("LIFECYCLE_SIMULATION_", "tests run by themselves; the command repeats some of them for longer"),
    ("LIFECYCLE_LIVE_", "tests run by themselves; the command repeats some of them for longer"),
    ("LIFECYCLE_FUZZ_", "tests run by themselves; the command repeats some of them for longer"),
    ("./scripts/planted-bugs", "tests run by themselves; the command repeats some of them for longer"),
    ("scripts/planted-bugs", "tests run by themselves; the command repeats some of them for longer"),
    ("/usr/bin/time ", "measures a command that is run without it"),
    ("cargo run --example draw_dashboard", "tests/it/dashboards_live draws with the same code"),
    ("promtool test rules ", "tests/it/alerts runs it"),
    ("docker compose ", "there is no container engine; scripts/test validates the compose file and the image"),
];

/// A command and the document that it stands in.
pub(crate) struct Told {
    pub(crate) document: String,
    pub(crate) command: String,
}

/// The commands of all shell blocks, in order, without what follows them as a comment.
pub(crate) fn commands() -> Vec<Told> {
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
            let mut told = Vec::new();
            for line in text.lines() {
                if line.trim_start().starts_with("```") {
                    is_shell = line.trim() == "```sh";
                } else if is_shell && !line.trim().is_empty() && !line.starts_with('#') {
                    let command = line.split(" # ").next().unwrap_or(line).trim();
                    let command = command.replace("cargo run --release -- ", "lifecycle ");
                    told.push(Told { document: document.clone(), command });
                }
            }
            told
        })
        .collect()
}

/// Whether a command speaks to Kafka or to the running service.
pub(crate) fn needs_kafka(command: &str) -> bool {
    ["--config lifecycle.yaml", "--bootstrap-servers", "curl "].iter().any(|part| command.contains(part))
}

/// A folder as somebody has it who followed the documents: the repository's examples, and files of one's own.
fn folder() -> tempfile::TempDir {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().expect("writable");
    let copy = |from: &str, to: &str| {
        let to = directory.path().join(to);
        fs::create_dir_all(to.parent().expect("a folder")).expect("writable");
        fs::copy(root.join(from), to).expect("writable");
    };
    for folder in ["examples", "models"] {
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
fn every_command_of_the_documents_does_what_it_is_there_for() {
    let directory = folder();
    let home = Path::new(env!("CARGO_BIN_EXE_lifecycle")).parent().expect("it lies in a folder").display();
    let mut failures = Vec::new();
    let mut count = 0;
    for Told { document, command } in commands() {
        if needs_kafka(&command) || ELSEWHERE.iter().any(|(begin, _)| command.starts_with(begin)) {
            continue;
        }
        if !command.starts_with("lifecycle ") {
            failures.push(format!("{document}: `{command}` is neither run here nor listed with a reason"));
            continue;
        }
        let output = Command::new("sh")
            .args(["-e", "-c", &command])
            .current_dir(directory.path())
            .env_clear()
            .env("PATH", format!("{home}:/usr/local/bin:/usr/bin:/bin"))
            .output()
            .expect("there is a shell");
        count += 1;
        if !output.status.success() {
            failures.push(format!("{document}: `{command}`: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(count >= 8, "only {count} commands were run");
}
