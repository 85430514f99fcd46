//! The rules of the tree: what a file of each floor may name, and how long it may be.

use super::source::{self, NamedPath, Start, Token};

/// The entries of `src/`, from the ground up. An entry names those of lower floors and itself, nothing else.
const FLOORS: [&[&str]; 6] = [
    &["lifecycle"],
    &["partition"],
    &["wire", "kafka", "telemetry"],
    &["runtime", "replay", "scenario", "journeys", "graph", "live"],
    &["api"],
    &["service", "config", "cli"],
];

/// Entries of `src/` that wire the others together: they name each other as well as everything below.
const ROOTS: &[&str] = &["service", "config", "cli"];

/// Crates that have a home: the folders or files (from `src/`, without `.rs`) where they may be named.
const HOMES: &[(&str, &[&str])] = &[
    ("annotate_snippets", &["wire"]),
    ("anstream", &["cli"]),
    ("axum", &["api", "service"]),
    ("clap", &["cli", "config"]),
    ("flate2", &["replay", "cli"]),
    ("futures_executor", &["kafka"]),
    ("hyper", &["api"]),
    ("hyper_util", &["api"]),
    ("indicatif", &["cli"]),
    ("prost", &["wire"]),
    ("ratatui", &["live"]),
    ("rdkafka", &["kafka"]),
    // The client tells its statistics as JSON.
    ("serde", &["wire", "config", "api", "kafka/listener"]),
    ("serde_json", &["wire", "live", "api", "cli", "kafka/listener"]),
    ("schemars", &["wire", "api"]),
    ("serde_saphyr", &["wire", "config"]),
    ("tokio", &["api", "service"]),
    ("tracing_subscriber", &["telemetry"]),
    ("ureq", &["live/client"]),
];

/// Beside `std`, `core` and `alloc`: all that the pure floors may name.
const PURE_CRATES: &[&str] = &["foldhash", "hashbrown", "sha1", "thiserror", "uuid", "xxhash_rust"];

/// Every crate that is a direct dependency and could be named.
const CRATES: &[&str] = &[
    "annotate_snippets",
    "anstream",
    "axum",
    "clap",
    "fastrand",
    "flate2",
    "foldhash",
    "futures_executor",
    "hashbrown",
    "hyper",
    "hyper_util",
    "indicatif",
    "mimalloc",
    "prost",
    "ratatui",
    "rdkafka",
    "schemars",
    "serde",
    "serde_json",
    "serde_saphyr",
    "sha1",
    "thiserror",
    "tokio",
    "tracing",
    "tracing_subscriber",
    "ureq",
    "uuid",
    "xxhash_rust",
];

/// Parts of `std` that reach out of a pure function.
const IMPURE_STD: &[&str] = &["env", "fs", "io", "net", "os", "process", "sync", "thread", "time"];

/// The only part of `std::sync` that a pure floor needs: shared, never changed.
const PURE_SYNC: &[&str] = &["Arc"];

/// The one file that reads wall time.
const WALL_CLOCK: &str = "src/runtime/wall_clock.rs";

/// Past this many lines a file has two halves with names of their own.
const LINES_MAX: usize = 500;

/// A file of `src/`: its path from the package's root, and its text.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    /// `src/kafka/client.rs` -> `kafka`, `client`; a `mod.rs` is its folder, `lib.rs` and `main.rs` the root.
    fn module(&self) -> Vec<String> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        module
    }

    /// A file of tests only, included under `#[cfg(test)]`.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }
}

/// Every breach of a rule in `files`, as `path:line: what is wrong`.
pub(super) fn breaches(files: &[File]) -> Vec<String> {
    files.iter().flat_map(breaches_of).collect()
}

/// The modules that `lib.rs` declares and no floor knows, and those that a floor knows and `lib.rs` does not declare.
pub(super) fn unknown_modules(lib: &str) -> Vec<String> {
    let tokens = source::tokens(lib);
    let declared: Vec<&str> =
        tokens.windows(2).filter(|pair| pair[0].is("mod")).map(|pair| pair[1].text.as_str()).collect();
    let unknown = declared.iter().filter(|name| floor_of(name).is_none());
    let gone = FLOORS.iter().copied().flatten().filter(|name| !declared.contains(name));
    unknown
        .map(|name| format!("{name} stands on no floor"))
        .chain(gone.map(|name| format!("{name} is not declared")))
        .collect()
}

/// Direct dependencies in `manifest` (the text of `Cargo.toml`) that the rules do not know, or know in vain.
pub(super) fn unknown_crates(manifest: &str) -> Vec<String> {
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let named: Vec<String> =
        section.lines().filter_map(|line| Some(line.split_once('=')?.0.trim().replace('-', "_"))).collect();
    let unknown = named.iter().filter(|name| !CRATES.contains(&name.as_str())).map(|name| format!("{name} is new"));
    let gone =
        CRATES.iter().filter(|name| !named.iter().any(|other| other == *name)).map(|name| format!("{name} is gone"));
    unknown.chain(gone).collect()
}

fn breaches_of(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    let mut report = |line: usize, what: String| found.push(format!("{}:{line}: {what}", file.path));

    let first = file.text.lines().next().unwrap_or_default();
    if !first.starts_with("//! ") && !first.starts_with("#![doc = include_str!(") {
        report(1, "does not say at its top what it is for (`//!`)".to_owned());
    }
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        report(lines, format!("is longer than {LINES_MAX} lines: what are its two halves called?"));
    }

    let all = source::tokens(&file.text);
    for token in all.iter().filter(|token| token.is("unsafe")) {
        report(token.line, "says `unsafe`".to_owned());
    }
    if file.is_test() {
        return found;
    }
    let tokens = source::without_tests(&all);
    let module = file.module();
    let entry = module.first().map_or("", String::as_str);
    for path in source::paths(&tokens, &module) {
        let what = match path.start {
            Start::Root => floor_breach(entry, &path),
            Start::Name => crate_breach(&module.join("/"), entry, &path),
        };
        if let Some(what) = what {
            report(path.line, what);
        }
    }
    wall_clock_breaches(file, &tokens, &mut report);
    if is_pure(entry) {
        pure_breaches(&tokens, &mut report);
    }
    found
}

fn floor_of(entry: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&entry))
}

fn is_pure(entry: &str) -> bool {
    matches!(floor_of(entry), Some(0 | 1))
}

/// A path from the root must lead to the own entry or to a lower floor.
fn floor_breach(entry: &str, path: &NamedPath) -> Option<String> {
    // `lib.rs` and `main.rs` stand above all floors.
    let from = if entry.is_empty() { return None } else { floor_of(entry) };
    let Some(target) = path.segments.first().filter(|&target| target != "*") else {
        return Some("names everything at the root of the crate".to_owned());
    };
    if target == entry || (ROOTS.contains(&entry) && ROOTS.contains(&target.as_str())) {
        return None;
    }
    match (from, floor_of(target)) {
        (None, _) => Some(format!("`{entry}` stands on no floor")),
        (Some(_), None) => Some(format!("names `{target}`, which stands on no floor")),
        (Some(from), Some(to)) if to > from => Some(format!("`{entry}` names `{target}`, which is a floor above it")),
        (Some(from), Some(to)) if to == from => Some(format!("`{entry}` names `{target}`, which is beside it")),
        _ => None,
    }
}

/// A crate may be named in its home only, and on the pure floors only if it is pure.
fn crate_breach(place: &str, entry: &str, path: &NamedPath) -> Option<String> {
    let name = path.segments[0].as_str();
    if is_pure(entry) {
        let is_impure_std = matches!(name, "std" | "core")
            && path.segments.get(1).is_some_and(|part| IMPURE_STD.contains(&part.as_str()))
            && !path
                .segments
                .get(2)
                .is_some_and(|item| path.segments[1] == "sync" && PURE_SYNC.contains(&item.as_str()));
        if is_impure_std || (CRATES.contains(&name) && !PURE_CRATES.contains(&name)) {
            return Some(format!("`{entry}` is pure and names `{}`", path.segments.join("::")));
        }
    }
    let (_, homes) = HOMES.iter().find(|(named, _)| *named == name)?;
    let is_home = |home: &&str| place.strip_prefix(*home).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    (!homes.iter().any(is_home)).then(|| format!("names `{name}`, whose home is {}", homes.join(", ")))
}

/// Only one file reads wall time.
fn wall_clock_breaches(file: &File, tokens: &[Token], report: &mut impl FnMut(usize, String)) {
    if file.path == WALL_CLOCK {
        return;
    }
    for (at, token) in tokens.iter().enumerate() {
        let calls_now = tokens.get(at + 1).is_some_and(|sign| sign.is("::"))
            && tokens.get(at + 2).is_some_and(|word| word.is("now") || word.is("now_utc"));
        if token.is("SystemTime") || (calls_now && (token.is("Timestamp") || token.is("Zoned") || token.is("Utc"))) {
            report(token.line, format!("reads wall time outside of {WALL_CLOCK}"));
        }
    }
}

/// No printing, no async on the pure floors.
fn pure_breaches(tokens: &[Token], report: &mut impl FnMut(usize, String)) {
    for (at, token) in tokens.iter().enumerate() {
        let is_macro = tokens.get(at + 1).is_some_and(|sign| sign.is("!"));
        if is_macro && matches!(token.text.as_str(), "println" | "print" | "eprintln" | "eprint" | "dbg" | "env") {
            report(token.line, format!("is pure and says `{}!`", token.text));
        }
        if matches!(token.text.as_str(), "async" | "await") {
            report(token.line, format!("is pure and says `{}`", token.text));
        }
    }
}
