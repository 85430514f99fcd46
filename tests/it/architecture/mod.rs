//! Enforces the architecture: the import rules between the folders of `src/`, where external crates may be used, file
//! sizes.
//!
//! `source.rs` extracts the paths that a file names, and `rules.rs` checks them. Every rule is also tested with a file
//! that violates it, to detect a rule that no longer works.

mod rules;
mod source;

use std::path::Path;

use rules::File;

/// The number of pairs of files of which each imports the other. It only goes down.
const MUTUAL_IMPORTS_MAX: usize = 17;

/// Returns every `*.rs` file under `src/`, sorted by path.
fn files() -> Vec<File> {
    fn collect(folder: &Path, root: &Path, files: &mut Vec<File>) {
        for entry in std::fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                collect(&path, root, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source in UTF-8");
                let path = path.strip_prefix(root).expect("a path below the root");
                files.push(File { path: path.to_str().expect("a path in UTF-8").to_owned(), text });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), root, &mut files);
    files.sort_by(|left, right| left.path.cmp(&right.path));
    files
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a file of the package")
}

#[test]
fn every_source_file_follows_the_rules() {
    let files = files();
    assert!(files.len() > 30, "only {} source files found", files.len());
    let violations = rules::violations(&files);
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

#[test]
fn hardly_any_files_import_each_other() {
    let mutual = rules::mutual_imports(&files());
    let pairs = mutual.join("\n");
    assert!(mutual.len() <= MUTUAL_IMPORTS_MAX, "{} pairs of files import each other:\n{pairs}", mutual.len());
    let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
    let files = [
        file("src/kafka/a.rs", "use super::b::{B, c}; use crate::wire::D;"),
        file("src/kafka/b.rs", "fn f() { crate::kafka::a::g(); }"),
        file("src/wire/mod.rs", "#[cfg(test)]\nmod tests { use crate::kafka::a; }"),
    ];
    assert_eq!(rules::mutual_imports(&files), ["kafka::a and kafka::b"]);
}

#[test]
fn every_module_of_the_crate_belongs_to_a_floor() {
    assert_eq!(rules::unknown_modules(&read("src/lib.rs")), Vec::<String>::new());
    let changed = rules::unknown_modules("pub mod lifecycle;\npub mod utils;");
    assert_eq!(changed[..2], ["utils belongs to no floor", "finding is not declared"]);
}

#[test]
fn the_rules_list_every_dependency() {
    assert_eq!(rules::unknown_crates(&read("Cargo.toml")), Vec::<String>::new());
    let changed = "\n[dependencies]\nleft-pad = \"1\"\nserde = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n";
    let unknown = rules::unknown_crates(changed);
    assert!(
        unknown.contains(&"left_pad is new".to_owned()) && unknown.contains(&"tokio is gone".to_owned()),
        "{unknown:?}"
    );
    assert!(!unknown.iter().any(|line| line.contains("proptest") || line.contains("serde is")), "{unknown:?}");
}

#[test]
fn the_decision_on_dependencies_explains_each() {
    let decision = read("docs/decisions/0005-dependencies.md");
    assert_eq!(rules::unexplained_dependencies(&read("Cargo.toml"), &decision), Vec::<String>::new());
    let changed = "\n[dependencies]\nleft-pad = \"1\"\nserde = \"1\"\n[dev-dependencies]\nprop = \"1\"\n";
    assert_eq!(rules::unexplained_dependencies(changed, &decision), ["left-pad", "prop"]);
}

#[test]
fn every_rule_detects_a_file_that_violates_it() {
    // Path, source text, and a part of the expected message.
    let broken = [
        ("src/lifecycle/a.rs", "use crate::partition::Input;", "a higher floor"),
        ("src/lifecycle/a.rs", "fn f() { crate::wire::g() }", "a higher floor"),
        ("src/lifecycle/a.rs", "use super::super::kafka::Member;", "a higher floor"),
        ("src/runtime/mod.rs", "use super::{lifecycle::id, api::Routes};", "a higher floor"),
        ("src/kafka/a.rs", "use crate::wire::touchpoint;", "the same floor"),
        ("src/wire/a/b.rs", "use crate::{lifecycle::id, telemetry::Metrics};", "the same floor"),
        ("src/kafka/mod.rs", "use super::*;", "the whole crate root"),
        ("src/utils.rs", "use crate::lifecycle::id;", "belongs to no floor"),
        ("src/runtime/a.rs", "use rdkafka::Message;", "which is allowed only in kafka"),
        ("src/runtime/a.rs", "fn f(x: rdkafka::Offset) {}", "which is allowed only in kafka"),
        ("src/runtime/a.rs", "#[tokio::main] async fn f() {}", "which is allowed only in api"),
        ("src/cli/a.rs", "use axum::Router;", "which is allowed only in api"),
        ("src/partition/record.rs", "use prost::Message;", "pure"),
        ("src/runtime/a.rs", "use prost::Message;", "which is allowed only in wire"),
        ("src/kafka/a.rs", "#[derive(serde::Deserialize)] struct A;", "which is allowed only in wire"),
        ("src/kafka/context_b.rs", "use serde_json::Value;", "which is allowed only in wire"),
        ("src/lifecycle/a.rs", "use std::time::Instant;", "pure"),
        ("src/lifecycle/a.rs", "use std::sync::{Arc, Mutex};", "std::sync::Mutex"),
        ("src/partition/a.rs", "fn f() { std::fs::read(\"x\"); }", "pure"),
        ("src/partition/a.rs", "fn f() { tracing::info!(\"x\"); }", "pure"),
        ("src/partition/a.rs", "fn f() { println!(\"x\"); }", "println!"),
        ("src/lifecycle/a.rs", "async fn f() {}", "async"),
        ("src/kafka/a.rs", "fn f() { std::time::SystemTime::now(); }", "wall time"),
        ("src/cli/a.rs", "fn f() { jiff::Timestamp::now(); }", "wall time"),
        ("src/cli/a.rs", "fn f() { unsafe { g() } }", "unsafe"),
    ];
    for (path, text, expected) in broken {
        let file = File { path: path.to_owned(), text: format!("//! A file.\n{text}\n") };
        let violations = rules::violations(&[file]);
        assert!(violations.iter().any(|violation| violation.contains(expected)), "{path}: {text}: {violations:?}");
        assert!(violations.iter().all(|violation| violation.starts_with(&format!("{path}:2: "))), "{violations:?}");
    }

    let bare = File { path: "src/cli/a.rs".to_owned(), text: "fn f() {}\n".to_owned() };
    assert!(rules::violations(&[bare])[0].contains("no `//!` header"));
    let long = File { path: "src/cli/a.rs".to_owned(), text: format!("//! A file.\n{}", "\n".repeat(500)) };
    assert!(rules::violations(&[long])[0].contains("longer than 500 lines"));
}

#[test]
fn permitted_code_passes() {
    let permitted = [
        ("src/partition/a.rs", "use crate::lifecycle::time::Timestamp; use super::input::Input; use std::sync::Arc;"),
        ("src/runtime/wall_clock.rs", "fn now() { std::time::SystemTime::now(); }"),
        ("src/kafka/member/client.rs", "use rdkafka::Message; use std::time::{Duration, Instant};"),
        ("src/kafka/context/a.rs", "use serde_json::Value;"),
        ("src/cli/run.rs", "use crate::service; use crate::config::Config;"),
        ("src/wire/a.rs", "// unsafe, crate::api::X\nconst A: &str = \"use rdkafka::X\";"),
        ("src/partition/b.rs", "#[cfg(test)]\nmod tests { use crate::wire::model_file; }"),
    ];
    for (path, text) in permitted {
        let file = File { path: path.to_owned(), text: format!("//! A file.\n{text}\n") };
        assert_eq!(rules::violations(&[file]), Vec::<String>::new(), "{path}: {text}");
    }
}
