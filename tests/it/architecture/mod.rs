//! The tree is the diagram: these tests keep it true.
//!
//! Floors (`rules.rs`) are read from the sources themselves (`source.rs`), and every rule is shown to fail on a
//! file that breaks it, so that a rule which stopped working is noticed.

mod rules;
mod source;

use std::path::Path;

use rules::File;

/// Every `*.rs` file below `src/`, in order of path.
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
fn every_source_keeps_the_rules_of_its_floor() {
    let files = files();
    assert!(files.len() > 30, "only {} sources were found", files.len());
    let breaches = rules::breaches(&files);
    assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
}

#[test]
fn every_module_of_the_crate_stands_on_a_floor() {
    assert_eq!(rules::unknown_modules(&read("src/lib.rs")), Vec::<String>::new());
    let changed = rules::unknown_modules("pub mod lifecycle;\npub mod utils;");
    assert_eq!(changed[..2], ["utils stands on no floor", "partition is not declared"]);
}

#[test]
fn every_dependency_is_known_to_the_rules() {
    assert_eq!(rules::unknown_crates(&read("Cargo.toml")), Vec::<String>::new());
    let changed = "\n[dependencies]\nleft-pad = \"1\"\nserde = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n";
    let unknown = rules::unknown_crates(changed);
    assert!(
        unknown.contains(&"left_pad is new".to_owned()) && unknown.contains(&"tokio is gone".to_owned()),
        "{unknown:?}"
    );
    assert!(!unknown.iter().any(|line| line.contains("proptest") || line.contains("serde is")), "{unknown:?}");
}

/// A file that breaks one rule, and what the check must say about it.
#[test]
fn every_rule_is_broken_by_a_file_that_breaks_it() {
    let broken = [
        ("src/lifecycle/a.rs", "use crate::partition::Input;", "a floor above"),
        ("src/lifecycle/a.rs", "fn f() { crate::wire::g() }", "a floor above"),
        ("src/lifecycle/a.rs", "use super::super::kafka::Member;", "a floor above"),
        ("src/runtime/mod.rs", "use super::{lifecycle::id, api::Routes};", "a floor above"),
        ("src/kafka/a.rs", "use crate::wire::touchpoint;", "beside it"),
        ("src/wire/a/b.rs", "use crate::{lifecycle::id, telemetry::Metrics};", "beside it"),
        ("src/kafka/mod.rs", "use super::*;", "everything at the root"),
        ("src/utils.rs", "use crate::lifecycle::id;", "stands on no floor"),
        ("src/runtime/a.rs", "use rdkafka::Message;", "whose home is kafka"),
        ("src/runtime/a.rs", "fn f(x: rdkafka::Offset) {}", "whose home is kafka"),
        ("src/runtime/a.rs", "#[tokio::main] async fn f() {}", "whose home is api"),
        ("src/cli/a.rs", "use axum::Router;", "whose home is api"),
        ("src/partition/record.rs", "use prost::Message;", "pure"),
        ("src/runtime/a.rs", "use prost::Message;", "whose home is wire"),
        ("src/kafka/a.rs", "#[derive(serde::Deserialize)] struct A;", "whose home is wire"),
        ("src/kafka/listener_b.rs", "use serde_json::Value;", "whose home is wire"),
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
        let breaches = rules::breaches(&[file]);
        assert!(breaches.iter().any(|breach| breach.contains(expected)), "{path}: {text}: {breaches:?}");
        assert!(breaches.iter().all(|breach| breach.starts_with(&format!("{path}:2: "))), "{breaches:?}");
    }

    let bare = File { path: "src/cli/a.rs".to_owned(), text: "fn f() {}\n".to_owned() };
    assert!(rules::breaches(&[bare])[0].contains("does not say at its top"));
    let long = File { path: "src/cli/a.rs".to_owned(), text: format!("//! A file.\n{}", "\n".repeat(500)) };
    assert!(rules::breaches(&[long])[0].contains("longer than 500 lines"));
}

#[test]
fn what_the_rules_allow_is_let_through() {
    let sound = [
        ("src/partition/a.rs", "use crate::lifecycle::time::Timestamp; use super::input::Input; use std::sync::Arc;"),
        ("src/runtime/wall_clock.rs", "fn now() { std::time::SystemTime::now(); }"),
        ("src/kafka/client.rs", "use rdkafka::Message; use std::time::{Duration, Instant};"),
        ("src/kafka/listener/a.rs", "use serde_json::Value;"),
        ("src/cli/run.rs", "use crate::service; use crate::config::Config;"),
        ("src/wire/a.rs", "// unsafe, crate::api::X\nconst A: &str = \"use rdkafka::X\";"),
        ("src/partition/b.rs", "#[cfg(test)]\nmod tests { use crate::wire::model_file; }"),
    ];
    for (path, text) in sound {
        let file = File { path: path.to_owned(), text: format!("//! A file.\n{text}\n") };
        assert_eq!(rules::breaches(&[file]), Vec::<String>::new(), "{path}: {text}");
    }
}
