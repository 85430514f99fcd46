//! The architecture rules: what the files of each floor may import, and how long a file may be.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{self, NamedPath, Start, Token};

/// The entries of `src/` by floor, the lowest first. An entry may import itself and lower floors, nothing else.
const FLOORS: [&[&str]; 8] = [
    &["lifecycle", "finding"],
    &["partition"],
    &["wire", "kafka", "telemetry", "http_client"],
    &["mapping", "decode"],
    &["runtime", "replay", "scenario", "workload", "graph", "live"],
    &["ingest", "deliver"],
    &["api"],
    &["service", "config", "cli"],
];

/// Entries that connect the others. They may also import each other.
const ROOTS: &[&str] = &["service", "config", "cli"];

/// Crates with a restricted use: the folders or files (relative to `src/`, without `.rs`) that may name them.
const ALLOWED_PLACES: &[(&str, &[&str])] = &[
    ("annotate_snippets", &["wire"]),
    ("apache_avro", &["decode"]),
    ("anstream", &["cli"]),
    ("axum", &["api", "service"]),
    ("base64", &["mapping", "decode", "wire", "deliver"]),
    ("clap", &["cli", "config"]),
    ("flate2", &["replay", "cli"]),
    ("futures_executor", &["kafka"]),
    ("hyper", &["api"]),
    ("hyper_util", &["api"]),
    ("indicatif", &["cli"]),
    ("jiff", &["mapping", "deliver", "config"]),
    ("md5", &["mapping"]),
    ("metrics", &["telemetry"]),
    ("metrics_exporter_prometheus", &["telemetry"]),
    ("prost", &["wire", "decode"]),
    ("prost_reflect", &["decode"]),
    ("protox", &["decode"]),
    ("ratatui", &["live"]),
    ("rdkafka", &["kafka"]),
    ("ring", &["http_client", "deliver"]),
    ("rustls", &["http_client", "api/tls", "api/peers"]),
    ("rustls_native_certs", &["http_client"]),
    // librdkafka reports its statistics as JSON.
    ("serde", &["wire", "mapping", "decode", "config", "api", "kafka/context"]),
    (
        "serde_json",
        &[
            "wire",
            "mapping",
            "decode",
            "runtime/translator",
            "deliver",
            "config",
            "live",
            "api",
            "cli",
            "kafka/context",
        ],
    ),
    ("schemars", &["wire", "api"]),
    ("sha2", &["mapping"]),
    ("signal_hook", &["kafka/exit"]),
    ("serde_saphyr", &["wire", "config"]),
    ("tokio", &["api", "service"]),
    ("tokio_rustls", &["api"]),
    ("tracing_subscriber", &["telemetry"]),
    ("ureq", &["live/client", "http_client"]),
];

/// Crates that the pure floors may use besides `std`, `core` and `alloc`.
const PURE_CRATES: &[&str] = &["foldhash", "hashbrown", "itoa", "sha1", "strsim", "thiserror", "uuid", "xxhash_rust"];

/// All direct dependencies.
const CRATES: &[&str] = &[
    "annotate_snippets",
    "anstream",
    "apache_avro",
    "axum",
    "base64",
    "clap",
    "fastrand",
    "flate2",
    "foldhash",
    "futures_executor",
    "hashbrown",
    "hyper",
    "hyper_util",
    "indicatif",
    "itoa",
    "jiff",
    "md_5",
    "metrics",
    "metrics_exporter_prometheus",
    "mimalloc",
    "prost",
    "prost_reflect",
    "protox",
    "ratatui",
    "rdkafka",
    "ring",
    "rustls",
    "rustls_native_certs",
    "schemars",
    "serde",
    "serde_json",
    "serde_saphyr",
    "sha1",
    "sha2",
    "signal_hook",
    "strsim",
    "thiserror",
    "tokio",
    "tokio_rustls",
    "tracing",
    "tracing_subscriber",
    "ureq",
    "uuid",
    "xxhash_rust",
];

/// Modules of `std` with side effects, which pure floors may not use.
const IMPURE_STD: &[&str] = &["env", "fs", "io", "net", "os", "process", "sync", "thread", "time"];

/// Items of `std::sync` that pure floors may use: shared ownership of immutable data, and constants.
const PURE_SYNC: &[&str] = &["Arc", "LazyLock"];

/// The only file that may read wall time.
const WALL_CLOCK: &str = "src/runtime/wall_clock.rs";

/// Maximum number of lines of a file.
const LINES_MAX: usize = 500;

/// A source file: its path relative to the package root, and its text.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    /// Returns the module path: `kafka`, `client` for `src/kafka/client.rs`. A `mod.rs` is its folder; `lib.rs` and
    /// `main.rs` are the root.
    fn module(&self) -> Vec<String> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        module
    }

    /// Returns whether the file contains only tests, included under `#[cfg(test)]`.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }
}

/// Returns every violation of a rule in `files`, as `path:line: message`.
pub(super) fn violations(files: &[File]) -> Vec<String> {
    files.iter().flat_map(violations_of).collect()
}

/// Returns the pairs of files of which each imports the other.
pub(super) fn mutual_imports(files: &[File]) -> Vec<String> {
    let modules: BTreeMap<Vec<String>, &File> =
        files.iter().filter(|file| !file.is_test()).map(|file| (file.module(), file)).collect();
    let imports: BTreeMap<&[String], BTreeSet<&[String]>> = modules
        .iter()
        .map(|(module, file)| {
            let tokens = source::without_tests(&source::tokens(&file.text));
            let paths = source::paths(&tokens, module).into_iter().filter(|path| path.start == Start::Root);
            // The longest beginning of a path that is a file.
            let file_of = |path: NamedPath| {
                let mut ends = (1..=path.segments.len()).rev();
                ends.find_map(|end| modules.get_key_value(&path.segments[..end])).map(|(file, _)| &file[..])
            };
            (&module[..], paths.filter_map(file_of).collect())
        })
        .collect();
    let is_mutual = |from: &[String], to: &[String]| from < to && imports[to].contains(from);
    imports
        .iter()
        .flat_map(|(from, targets)| targets.iter().map(move |to| (*from, *to)))
        .filter(|(from, to)| is_mutual(from, to))
        .map(|(from, to)| format!("{} and {}", from.join("::"), to.join("::")))
        .collect()
}

/// Returns the differences between the modules that `lib.rs` declares and those in `FLOORS`.
pub(super) fn unknown_modules(lib: &str) -> Vec<String> {
    let tokens = source::tokens(lib);
    let declared: Vec<&str> =
        tokens.windows(2).filter(|pair| pair[0].is("mod")).map(|pair| pair[1].text.as_str()).collect();
    let unknown = declared.iter().filter(|name| floor_of(name).is_none());
    let gone = FLOORS.iter().copied().flatten().filter(|name| !declared.contains(name));
    unknown
        .map(|name| format!("{name} belongs to no floor"))
        .chain(gone.map(|name| format!("{name} is not declared")))
        .collect()
}

/// Returns the dependencies in a section of `manifest` (the text of `Cargo.toml`).
fn dependencies<'a>(manifest: &'a str, section: &str) -> Vec<&'a str> {
    let section = manifest.split(&format!("\n[{section}]\n")).nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    section.lines().filter_map(|line| Some(line.split_once('=')?.0.trim())).collect()
}

/// Returns the dependencies in `manifest`, also those of the build and the tests, that `decision` does not name in the
/// first column of a table or in backticks.
pub(super) fn unexplained_dependencies(manifest: &str, decision: &str) -> Vec<String> {
    let columns = decision.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let explained: Vec<&str> = columns.flat_map(|column| column.split([' ', ','])).chain(decision.split('`')).collect();
    ["dependencies", "build-dependencies", "dev-dependencies"]
        .into_iter()
        .flat_map(|section| dependencies(manifest, section))
        .filter(|name| !explained.contains(name))
        .map(str::to_owned)
        .collect()
}

/// Returns the differences between the direct dependencies in `manifest` and `CRATES`.
pub(super) fn unknown_crates(manifest: &str) -> Vec<String> {
    let named: Vec<String> =
        dependencies(manifest, "dependencies").into_iter().map(|name| name.replace('-', "_")).collect();
    let unknown = named.iter().filter(|name| !CRATES.contains(&name.as_str())).map(|name| format!("{name} is new"));
    let gone =
        CRATES.iter().filter(|name| !named.iter().any(|other| other == *name)).map(|name| format!("{name} is gone"));
    unknown.chain(gone).collect()
}

fn violations_of(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    let mut report = |line: usize, what: String| found.push(format!("{}:{line}: {what}", file.path));

    let first = file.text.lines().next().unwrap_or_default();
    if !first.starts_with("//! ") && !first.starts_with("#![doc = include_str!(") {
        report(1, "has no `//!` header that says what the file is for".to_owned());
    }
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        report(lines, format!("is longer than {LINES_MAX} lines: split it"));
    }

    let all = source::tokens(&file.text);
    for token in all.iter().filter(|token| token.is("unsafe")) {
        report(token.line, "uses `unsafe`".to_owned());
    }
    if file.is_test() {
        return found;
    }
    let tokens = source::without_tests(&all);
    let module = file.module();
    let entry = module.first().map_or("", String::as_str);
    for path in source::paths(&tokens, &module) {
        let what = match path.start {
            Start::Root => floor_violation(entry, &path),
            Start::Name => crate_violation(&module.join("/"), entry, &path),
        };
        if let Some(what) = what {
            report(path.line, what);
        }
    }
    wall_clock_violations(file, &tokens, &mut report);
    if is_pure(entry) {
        pure_violations(&tokens, &mut report);
    }
    found
}

fn floor_of(entry: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&entry))
}

fn is_pure(entry: &str) -> bool {
    matches!(floor_of(entry), Some(0 | 1))
}

/// Checks that a path from the crate root leads to the same entry or to a lower floor.
fn floor_violation(entry: &str, path: &NamedPath) -> Option<String> {
    // `lib.rs` and `main.rs` are above all floors.
    let from = if entry.is_empty() { return None } else { floor_of(entry) };
    let Some(target) = path.segments.first().filter(|&target| target != "*") else {
        return Some("imports the whole crate root".to_owned());
    };
    if target == entry || (ROOTS.contains(&entry) && ROOTS.contains(&target.as_str())) {
        return None;
    }
    match (from, floor_of(target)) {
        (None, _) => Some(format!("`{entry}` belongs to no floor")),
        (Some(_), None) => Some(format!("imports `{target}`, which belongs to no floor")),
        (Some(from), Some(to)) if to > from => {
            Some(format!("`{entry}` imports `{target}`, which is on a higher floor"))
        }
        (Some(from), Some(to)) if to == from => {
            Some(format!("`{entry}` imports `{target}`, which is on the same floor"))
        }
        _ => None,
    }
}

/// Checks that a crate is used only where `ALLOWED_PLACES` permits it, and on the pure floors only if it is pure.
fn crate_violation(place: &str, entry: &str, path: &NamedPath) -> Option<String> {
    let name = path.segments[0].as_str();
    if is_pure(entry) {
        let is_impure_std = matches!(name, "std" | "core")
            && path.segments.get(1).is_some_and(|part| IMPURE_STD.contains(&part.as_str()))
            && !path
                .segments
                .get(2)
                .is_some_and(|item| path.segments[1] == "sync" && PURE_SYNC.contains(&item.as_str()));
        if is_impure_std || (CRATES.contains(&name) && !PURE_CRATES.contains(&name)) {
            return Some(format!("`{entry}` is pure and uses `{}`", path.segments.join("::")));
        }
    }
    let (_, places) = ALLOWED_PLACES.iter().find(|(named, _)| *named == name)?;
    let is_allowed =
        |allowed: &&str| place.strip_prefix(*allowed).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    (!places.iter().any(is_allowed)).then(|| format!("uses `{name}`, which is allowed only in {}", places.join(", ")))
}

/// Checks that only `WALL_CLOCK` reads wall time.
fn wall_clock_violations(file: &File, tokens: &[Token], report: &mut impl FnMut(usize, String)) {
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

/// Checks that pure floors neither print nor use async.
fn pure_violations(tokens: &[Token], report: &mut impl FnMut(usize, String)) {
    for (at, token) in tokens.iter().enumerate() {
        let is_macro = tokens.get(at + 1).is_some_and(|sign| sign.is("!"));
        if is_macro && matches!(token.text.as_str(), "println" | "print" | "eprintln" | "eprint" | "dbg" | "env") {
            report(token.line, format!("is pure and uses `{}!`", token.text));
        }
        if matches!(token.text.as_str(), "async" | "await") {
            report(token.line, format!("is pure and uses `{}`", token.text));
        }
    }
}
