//! Splits sources into comments, string literals and code, line by line, and lines into words.

/// The text of a file by kind; each kind has all lines of the file, some of them empty.
#[derive(Default)]
pub(super) struct Source {
    pub(super) comments: Vec<String>,
    /// Without escape sequences; empty unless the file is in Rust.
    pub(super) literals: Vec<String>,
    /// Empty unless the file is in Rust.
    pub(super) code: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Region {
    Code,
    Comment,
    /// A string literal: with escapes, or raw with this number of `#`.
    Literal(Option<usize>),
}

/// Splits a Rust source. Block comments are not recognized; the project has none.
pub(super) fn split_rust(text: &str) -> Source {
    let mut source = Source::default();
    let mut region = Region::Code;
    for mut rest in text.lines() {
        let (mut comment, mut literal, mut code) = (String::new(), String::new(), String::new());
        if region == Region::Comment {
            region = Region::Code;
        }
        while let Some(letter) = rest.chars().next() {
            let mut length = letter.len_utf8();
            match region {
                Region::Comment => comment.push(letter),
                Region::Literal(None) if letter == '\\' => {
                    length += rest[length..].chars().next().map_or(0, char::len_utf8);
                    literal.push(' ');
                }
                Region::Literal(hashes) => {
                    let end = format!("\"{}", "#".repeat(hashes.unwrap_or(0)));
                    if rest.starts_with(&end) {
                        (region, length) = (Region::Code, end.len());
                        literal.push('.');
                    } else {
                        literal.push(letter);
                    }
                }
                Region::Code if rest.starts_with("//") => region = Region::Comment,
                Region::Code if rest.starts_with("'\"'") => length = 3,
                Region::Code if rest.starts_with("'\\\"'") => length = 4,
                Region::Code if letter == '"' => region = Region::Literal(None),
                Region::Code => match raw_literal(rest) {
                    Some(hashes) => (region, length) = (Region::Literal(Some(hashes)), hashes + 2),
                    None => code.push(letter),
                },
            }
            rest = &rest[length..];
        }
        source.comments.push(comment);
        source.literals.push(literal);
        source.code.push(code);
    }
    source
}

/// Returns the number of `#` when a raw string literal starts here.
fn raw_literal(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let quote = after.trim_start_matches('#');
    quote.starts_with('"').then(|| after.len() - quote.len())
}

/// Returns the comments of a file in which `sign` starts a comment at the beginning of a line or between spaces.
pub(super) fn split_lines(text: &str, sign: &str) -> Source {
    let comment = |line: &str| {
        let whole = line.trim_start().strip_prefix(sign);
        whole.or_else(|| Some(line.split_once(&format!(" {sign} "))?.1)).unwrap_or_default().to_owned()
    };
    Source { comments: text.lines().map(comment).collect(), ..Source::default() }
}

/// Returns the words in lower case with their line numbers. An empty word marks the end of a sentence or of a block.
pub(super) fn words(lines: &[String]) -> Vec<(String, usize)> {
    let is_separator = |letter: char| !(letter.is_alphanumeric() || "-_'".contains(letter));
    let mut words = Vec::new();
    for (line, number) in lines.iter().zip(1..) {
        if line.trim_matches(['/', '!', ' ']).is_empty() {
            words.push((String::new(), number));
        }
        for piece in line.split_inclusive(is_separator) {
            let word = piece.trim_end_matches(is_separator);
            if !word.is_empty() {
                words.push((word.to_lowercase(), number));
            }
            if piece.ends_with(['.', ',', ';', ':', '?', '|', '(', ')', '"', '`']) {
                words.push((String::new(), number));
            }
        }
    }
    words
}
