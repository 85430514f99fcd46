//! Checks the links in the documents: the files and headings exist, in the repository and in the archive of a release.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use documents::{links, prose, target};

#[path = "../../scripts/release_files/documents.rs"]
mod documents;

/// Folders without documents of the project, besides the hidden ones.
const OTHER_FOLDERS: [&str; 2] = ["target", "node_modules"];

/// Returns the Markdown documents below `root`, relative to it.
fn markdown_files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
            let is_hidden = name.starts_with('.') && name != ".github";
            if path.is_dir() && !is_hidden && !OTHER_FOLDERS.contains(&name) {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path.strip_prefix(root).expect("a path below the root").to_owned());
            }
        }
    }
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a document in UTF-8")
}

/// Returns the anchors of the headings as GitHub generates them. A repeated heading gets a number.
fn anchors(document: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(document) {
        let Some(heading) = line.strip_prefix('#').map(|rest| rest.trim_start_matches('#')) else { continue };
        let kept = heading.trim().chars().filter(|char| char.is_alphanumeric() || ['-', '_', ' '].contains(char));
        let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(numbered).find(|name| !anchors.contains(name));
        anchors.extend(free);
    }
    anchors
}

/// Returns the links in documents below `root` that lead to nothing.
fn broken_links(root: &Path) -> Vec<String> {
    let mut broken = Vec::new();
    for document in markdown_files(root) {
        for (line, link) in links(&read(&root.join(&document))) {
            let target = target(&document, &link);
            let path = root.join(&target);
            let anchor = link.split_once('#').map(|(_, anchor)| anchor);
            let is_known = match anchor {
                Some(anchor) if target.extension().is_some_and(|extension| extension == "md") && path.is_file() => {
                    anchors(&read(&path)).contains(anchor)
                }
                _ => path.exists(),
            };
            if !is_known {
                broken.push(format!("{}:{line}: {link}", document.display()));
            }
        }
    }
    broken
}

#[test]
fn every_link_leads_to_a_file_or_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(markdown_files(root).len() > 60, "the documents are found");
    assert_eq!(broken_links(root), Vec::<String>::new());
}

#[test]
fn broken_links_are_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let document = "# A `b` c!\n# A b c\n[1](#a-b-c) [2](#a-b-c-1) [3](a.md#a-b-c) [4](https://example.com) `[5](x)`\n\
                    ```\n# D\n[6](y)\n```\n[7](#d) ![8](../z.svg \"z\") [9](z/)\n";
    fs::write(folder.path().join("a.md"), document).expect("the folder is writable");
    assert_eq!(broken_links(folder.path()), ["a.md:8: #d", "a.md:8: ../z.svg", "a.md:8: z/"]);
}

/// The documents of a release name files in links and in commands.
#[test]
fn a_release_contains_what_its_documents_name() {
    let folder = tempfile::tempdir().expect("a folder");
    documents::copy(Path::new(env!("CARGO_MANIFEST_DIR")), folder.path()).expect("the documents are copied");
    assert_eq!(broken_links(folder.path()), Vec::<String>::new());
    let mut examples = 0;
    // The changelog names files of earlier releases.
    for document in markdown_files(folder.path()).iter().filter(|path| !path.ends_with("CHANGELOG.md")) {
        let text = read(&folder.path().join(document));
        let words = text.split(|char: char| !(char.is_alphanumeric() || "._-/".contains(char)));
        for path in words.filter(|word| word.starts_with("examples/")) {
            let path = path.trim_end_matches(['.', '/']);
            assert!(folder.path().join(path).exists(), "{} names {path}", document.display());
            examples += 1;
        }
    }
    assert!(examples > 20, "only {examples} examples are named");
}
