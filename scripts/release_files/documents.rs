//! The documents of a release: README.md and CHANGELOG.md, everything that they link to, and so on.
//!
//! A test includes this file, to check the links of all documents and those of a release.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

/// What is copied besides the linked files: commands in the documents name these folders.
const STARTS: [&str; 4] = ["README.md", "CHANGELOG.md", "examples", "models"];

/// Copies the documents below `root` into `folder`, with the same paths.
pub(crate) fn copy(root: &Path, folder: &Path) -> io::Result<()> {
    let mut pending: Vec<PathBuf> = STARTS.iter().map(PathBuf::from).collect();
    let mut seen = BTreeSet::new();
    while let Some(path) = pending.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let (source, copied) = (root.join(&path), folder.join(&path));
        if source.is_dir() {
            fs::create_dir_all(&copied)?;
            for entry in fs::read_dir(&source)? {
                pending.push(path.join(entry?.file_name()));
            }
            continue;
        }
        fs::create_dir_all(copied.parent().unwrap_or(folder))?;
        fs::copy(&source, &copied).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        if path.extension().is_some_and(|extension| extension == "md") {
            let links = links(&fs::read_to_string(&source)?);
            pending.extend(links.iter().map(|(_, link)| target(&path, link)));
        }
    }
    Ok(())
}

/// Returns the lines outside fenced code, with their numbers.
pub(crate) fn prose(document: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    (1..).zip(document.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Returns the links of a Markdown document to files and headings of the repository, with their lines.
pub(crate) fn links(document: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, line) in prose(document) {
        // Every second part is the text of a code span.
        let text: String = line.split('`').step_by(2).collect();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        links.extend(targets.filter(|target| !target.contains(':')).map(|target| (number, target.to_owned())));
    }
    links
}

/// Returns the path to which a link of `document` leads, without its anchor.
pub(crate) fn target(document: &Path, link: &str) -> PathBuf {
    let path = link.split('#').next().unwrap_or_default();
    if path.is_empty() {
        return document.to_owned();
    }
    let mut target = document.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => _ = target.pop(),
            Component::CurDir => {}
            _ => target.push(part),
        }
    }
    target
}
