//! Checks the language of the project: plain English in comments, messages and documents, current names in the code.
//!
//! `lists` has the phrases to avoid, the replaced names, and the uses that are correct. Every other occurrence fails,
//! with its position and a plainer form. The test compares words only; grammar is left to reviews.

mod lists;
mod source;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use lists::{AFTER_IS_NO, ALLOWED, BEFORE_IS_NO, OLD_NAMES, PHRASES};
use source::{split_lines, split_rust, words};

const ROOTS: &[&str] =
    &["src", "tests", "benches", "examples", "scripts", "deploy", "models", "proto", "docs", ".github"];
const FILES: &[&str] = &[
    "build.rs",
    "docker-compose.yml",
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
];
/// Columns of a comment line in Rust, as for code (rustfmt.toml).
const COLUMNS_MAX: usize = 120;

/// An occurrence of a listed phrase or name.
struct Hit {
    /// From 1.
    line: usize,
    found: &'static str,
    plainer: &'static str,
}

/// Returns the listed phrases in `lines`, in order.
fn phrases(lines: &[String]) -> Vec<Hit> {
    let words = words(lines);
    let word = |index: usize| words.get(index).map_or("", |(word, _)| word.as_str());
    let mut hits = Vec::new();
    for (start, (_, line)) in words.iter().enumerate() {
        for (alternatives, plainer) in PHRASES {
            let is_here = |phrase: &&str| phrase.split(' ').zip(start..).all(|(part, index)| word(index) == part);
            let Some(found) = alternatives.split('|').find(is_here) else { continue };
            let is_correct = found.ends_with(" no")
                && (AFTER_IS_NO.contains(&word(start + 2)) || start > 0 && BEFORE_IS_NO.contains(&word(start - 1)));
            if !is_correct {
                hits.push(Hit { line: *line, found, plainer });
            }
        }
    }
    hits
}

/// Returns the replaced names among the identifiers of `code`, a file at `path`.
fn old_names(path: &str, code: &[String]) -> Vec<Hit> {
    let names: Vec<(&str, &str)> = OLD_NAMES
        .iter()
        .filter(|(folder, ..)| path.starts_with(folder))
        .flat_map(|(_, names, plainer)| names.split('|').map(move |name| (name, *plainer)))
        .collect();
    let mut hits = Vec::new();
    for (text, line) in code.iter().zip(1..) {
        for identifier in text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')) {
            let name = names.iter().find(|(name, _)| *name == identifier);
            hits.extend(name.map(|&(found, plainer)| Hit { line, found, plainer }));
        }
    }
    hits
}

/// Adds the files at or below `path`, in order, without test data.
fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        files.push(path.to_owned());
    } else if !["data", "golden", "corpus"].iter().any(|data| path.ends_with(data)) {
        let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut entries: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        entries.sort();
        for entry in &entries {
            collect(entry, files);
        }
    }
}

/// The share of lines that contain a listed phrase, allowed ones included.
#[derive(Default)]
struct Share {
    lines: u32,
    hits: u32,
}

impl Share {
    fn add(&mut self, lines: &[String], hits: &[Hit]) {
        for (text, line) in lines.iter().zip(1..) {
            self.lines += u32::from(!text.trim().is_empty());
            self.hits += u32::from(hits.iter().any(|hit| hit.line == line));
        }
    }

    fn percent(&self) -> f64 {
        100.0 * f64::from(self.hits) / f64::from(self.lines)
    }
}

/// Everything found in the files checked so far.
#[derive(Default)]
struct Findings {
    problems: Vec<String>,
    /// Entries of `ALLOWED` that matched.
    used: Vec<usize>,
    comments: Share,
    documents: Share,
}

impl Findings {
    fn check(&mut self, path: &str, text: &str) {
        let hits = match Path::new(path).extension().and_then(|ending| ending.to_str()).unwrap_or_default() {
            "md" => self.check_document(path, text),
            ending @ ("rs" | "sh" | "yaml" | "yml" | "proto" | "") => self.check_source(path, ending, text),
            _ => Vec::new(),
        };
        let lines: Vec<&str> = text.lines().collect();
        for Hit { line, found, plainer } in hits {
            let text = lines[line - 1].trim();
            let allowed = ALLOWED.iter().position(|(file, part)| *file == path && text.contains(part));
            match allowed {
                Some(entry) => self.used.push(entry),
                None => self.problems.push(format!("{path}:{line}: `{found}`; plainer: {plainer}\n    {text}")),
            }
        }
    }

    fn check_document(&mut self, path: &str, text: &str) -> Vec<Hit> {
        // The changelog quotes old messages in the first column of a table.
        let is_quoted = |line: &str| path == "CHANGELOG.md" && line.starts_with("| `");
        let current = |line: &str| if is_quoted(line) { line.split("` | ").skip(1).collect() } else { line.to_owned() };
        let lines: Vec<String> = text.lines().map(current).collect();
        let hits = phrases(&lines);
        self.documents.add(&lines, &hits);
        hits
    }

    fn check_source(&mut self, path: &str, ending: &str, text: &str) -> Vec<Hit> {
        let source = match ending {
            "rs" => split_rust(text),
            "proto" => split_lines(text, "//"),
            _ => split_lines(text, "#"),
        };
        let mut hits = phrases(&source.comments);
        self.comments.add(&source.comments, &hits);
        if path.starts_with("src/") {
            hits.extend(phrases(&source.literals));
            hits.extend(old_names(path, &source.code));
        }
        for (line, number) in text.lines().zip(1..).filter(|(line, _)| ending == "rs" && line.trim().starts_with("//"))
        {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                self.problems.push(format!("{path}:{number}: a comment of {columns} columns; at most {COLUMNS_MAX}"));
            }
        }
        hits
    }
}

#[test]
fn comments_messages_documents_and_names_are_plain() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    ROOTS.iter().chain(FILES).for_each(|path| collect(&root.join(path), &mut files));
    let mut findings = Findings::default();
    for file in files {
        let path = file.strip_prefix(root).expect("a file of this repository").display().to_string();
        // Pictures and other files that are not text have nothing to check.
        if let Ok(text) = fs::read_to_string(&file) {
            findings.check(&path, &text);
        }
    }
    let Findings { mut problems, used, comments, documents } = findings;
    for (what, share) in [("comments", &comments), ("documents", &documents)] {
        let Share { lines, hits } = share;
        eprintln!("{what}: {hits} of {lines} lines contain a listed phrase ({:.3} %)", share.percent());
    }
    for (entry, (path, part)) in ALLOWED.iter().enumerate().filter(|(entry, _)| !used.contains(entry)) {
        problems.push(format!("entry {entry} of ALLOWED matches nothing: {path}, {part:?}"));
    }
    let mut report = String::new();
    for problem in &problems {
        _ = writeln!(report, "{problem}");
    }
    assert!(problems.is_empty(), "{} problems:\n{report}", problems.len());
    assert!(comments.lines > 5_000 && documents.lines > 2_000, "files were skipped");
    assert!(comments.percent() < 0.3 && documents.percent() < 1.0);
}

#[test]
fn planted_phrases_and_names_are_found() {
    let found = |lines: &[String]| -> Vec<(usize, &str)> {
        phrases(lines).into_iter().map(|hit| (hit.line, hit.found)).collect()
    };
    let source = split_rust(concat!(
        "//! What is set\n",
        "//! aside, \"in vain\".\n",
        "let Held = r#\"Nobody \"knows\"\"#; // The Road\n",
        "let quotes = ('\"', \"a\\ntells \\\n",
        "  anew\", Held);\n",
    ));
    assert_eq!(found(&source.comments), [(1, "set aside"), (2, "in vain"), (3, "road")]);
    assert_eq!(found(&source.literals), [(3, "nobody"), (4, "tells"), (5, "anew")]);
    let names: Vec<usize> = old_names("src/a.rs", &source.code).iter().map(|hit| hit.line).collect();
    assert_eq!(names, [3, 5]);
    assert_eq!(split_lines("a: 1 # told\n# in\nb: '#'", "#").comments, ["told", " in", ""]);
    for (text, hits) in [
        ("It is no text. There is no text, and it is no longer read.", 1),
        ("The set. Aside from that, roadside bearers understand standing and lifelines.", 0),
    ] {
        assert_eq!(found(&[text.to_owned()]).len(), hits, "{text}");
    }
    for phrase in PHRASES.iter().flat_map(|(phrases, _)| phrases.split('|')) {
        assert_eq!(found(&[phrase.to_uppercase()]).first(), Some(&(1, phrase)));
    }
}
