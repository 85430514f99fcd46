//! Checks that docs/logs.md explains every message that the service logs at info or above, and no other messages.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const DOCUMENT: &str = include_str!("../../docs/logs.md");

/// Collects the sources of the program, without their tests.
fn sources(folder: &Path, texts: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the source folder exists") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, texts);
        } else {
            let text = fs::read_to_string(&path).expect("a source is UTF-8");
            texts.push(text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned());
        }
    }
}

/// Returns the message of each call of `macro_name`: its last string literal.
fn messages(source: &str, macro_name: &str) -> Vec<String> {
    let calls = source.split(macro_name).skip(1);
    calls.filter_map(|rest| literals(rest).pop()).map(|text| text.replace("{hint}", "")).collect()
}

/// Returns the string literals up to the parenthesis that closes the call.
fn literals(call: &str) -> Vec<String> {
    let (mut found, mut current, mut depth) = (Vec::new(), None::<String>, 1);
    let mut letters = call.chars().peekable();
    while let Some(letter) = letters.next() {
        match (&mut current, letter) {
            // A backslash at the end of a line: the literal continues on the next line.
            (Some(_), '\\') if letters.peek() == Some(&'\n') => {
                while letters.next_if(|next| next.is_whitespace()).is_some() {}
            }
            (Some(text), '\\') => text.extend(letters.next()),
            (Some(_), '"') => found.extend(current.take()),
            (Some(text), letter) => text.push(letter),
            (None, '"') => current = Some(String::new()),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

#[test]
fn the_document_explains_exactly_the_logged_messages() {
    let mut texts = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
    let macros = ["tracing::info!(", "tracing::warn!(", "tracing::error!("];
    let logged: BTreeSet<String> =
        texts.iter().flat_map(|text| macros.iter().flat_map(|name| messages(text, name))).collect();
    // Messages that consist only of a variable have no fixed text to document.
    let logged: BTreeSet<_> = logged.into_iter().filter(|message| !message.starts_with('{')).collect();
    assert!(logged.len() > 30, "{logged:?}");
    let missing: Vec<_> = logged.iter().filter(|message| !DOCUMENT.contains(&format!("`{message}`"))).collect();
    assert_eq!(missing, Vec::<&String>::new(), "docs/logs.md does not explain them");
    let explained = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let gone: Vec<_> = explained.filter(|line| !line.starts_with("TOPIC") && !logged.contains(*line)).collect();
    assert_eq!(gone, Vec::<&str>::new(), "docs/logs.md explains messages that are not logged");
}
