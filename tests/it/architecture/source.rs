//! Extracts from Rust source code which paths and macros it uses, ignoring comments and literals.
//!
//! This is not a full parser. It recognizes tokens, `use` trees, paths, inline modules and items under `#[cfg(test)]`.

/// A word or punctuation sign, and its line number, starting at 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

impl Token {
    pub(super) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    fn is_word(&self) -> bool {
        self.text.starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

/// A path in the source. Paths that begin with `crate`, `self` or `super` are resolved relative to the crate root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NamedPath {
    pub(super) start: Start,
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
}

/// What the first segment of a path refers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    /// The root of this crate.
    Root,
    /// A name in scope: another crate or a local item.
    Name,
}

/// Splits `text` into tokens. Omits comments and replaces each literal by the single token `"`.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let begin = at;
        let text = match chars[at] {
            space if space.is_whitespace() => {
                at += 1;
                None
            }
            '/' if chars.get(at + 1) == Some(&'/') => {
                at = (at..chars.len()).find(|&end| chars[end] == '\n').unwrap_or(chars.len());
                None
            }
            '/' if chars.get(at + 1) == Some(&'*') => {
                at = end_of_block_comment(&chars, at);
                None
            }
            '"' => {
                at = end_of_string(&chars, at);
                Some("\"".to_owned())
            }
            '\'' if is_char_literal(&chars, at) => {
                at = end_of_char(&chars, at);
                Some("\"".to_owned())
            }
            'r' | 'b' | 'c' if let Some(end) = end_of_prefixed_literal(&chars, at) => {
                at = end;
                Some("\"".to_owned())
            }
            first if first.is_alphanumeric() || first == '_' => {
                at = (at..chars.len())
                    .find(|&end| !(chars[end].is_alphanumeric() || chars[end] == '_'))
                    .unwrap_or(chars.len());
                Some(chars[begin..at].iter().collect())
            }
            ':' if chars.get(at + 1) == Some(&':') => {
                at += 2;
                Some("::".to_owned())
            }
            sign => {
                at += 1;
                Some(sign.to_string())
            }
        };
        tokens.extend(text.map(|text| Token { text, line }));
        line += chars[begin..at].iter().filter(|&&char| char == '\n').count();
    }
    tokens
}

fn end_of_block_comment(chars: &[char], begin: usize) -> usize {
    let (mut at, mut depth) = (begin, 0);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// Distinguishes a character literal from a lifetime, which has no closing quote after its first character.
fn is_char_literal(chars: &[char], quote: usize) -> bool {
    chars.get(quote + 1) == Some(&'\\') || chars.get(quote + 2) == Some(&'\'')
}

fn end_of_char(chars: &[char], quote: usize) -> usize {
    let escape = usize::from(chars.get(quote + 1) == Some(&'\\'));
    let closing = (quote + 2 + escape..chars.len()).find(|&at| chars[at] == '\'');
    closing.map_or(chars.len(), |closing| closing + 1)
}

/// Returns the end of a prefixed literal (`b"..."`, `r"..."`, `br#"..."#`, `c"..."`, `b'.'`), or `None` if a word
/// starts here.
fn end_of_prefixed_literal(chars: &[char], begin: usize) -> Option<usize> {
    let mut at = begin;
    while matches!(chars.get(at), Some('b' | 'c' | 'r')) && at < begin + 2 {
        at += 1;
    }
    let is_raw = chars[begin..at].contains(&'r');
    match chars.get(at)? {
        '"' if !is_raw => Some(end_of_string(chars, at)),
        '\'' if !is_raw && chars[begin] == 'b' && is_char_literal(chars, at) => Some(end_of_char(chars, at)),
        '"' | '#' if is_raw => {
            let hashes = chars[at..].iter().take_while(|&&char| char == '#').count();
            if chars.get(at + hashes) != Some(&'"') {
                return None;
            }
            let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let body = at + hashes + 1;
            let end = (body..chars.len()).find(|&end| chars[end..].starts_with(&closing));
            Some(end.map_or(chars.len(), |end| end + closing.len()))
        }
        _ => None,
    }
}

/// Removes the items under `#[cfg(test)]`.
pub(super) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if starts_with(&tokens[at..], &["#", "[", "cfg", "(", "test", ")", "]"]) {
            at = end_of_item(tokens, at + 7);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

fn starts_with(tokens: &[Token], texts: &[&str]) -> bool {
    tokens.len() >= texts.len() && tokens.iter().zip(texts).all(|(token, text)| token.is(text))
}

/// Returns the index after the `;` or the closing brace that ends the item at `begin`.
fn end_of_item(tokens: &[Token], begin: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(begin) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token.is("}") {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Returns every import and every path of at least two segments in a file that is the module `module`.
pub(super) fn paths(tokens: &[Token], module: &[String]) -> Vec<NamedPath> {
    let mut module = module.to_vec();
    // Brace depths at which the open inline modules end.
    let mut inline = Vec::new();
    let (mut depth, mut at) = (0_usize, 0);
    let mut found = Vec::new();
    while at < tokens.len() {
        let rest = &tokens[at..];
        if rest[0].is("{") {
            depth += 1;
        } else if rest[0].is("}") {
            depth = depth.saturating_sub(1);
            if inline.last() == Some(&depth) {
                inline.pop();
                module.pop();
            }
        } else if rest[0].is("mod") && rest.len() > 2 && rest[2].is("{") {
            module.push(rest[1].text.clone());
            inline.push(depth);
        } else if rest[0].is("use") && !rest.get(1).is_some_and(|next| next.is("<")) {
            let mut imported = Vec::new();
            at = use_tree(tokens, at + 1, &mut Vec::new(), &mut imported);
            found.extend(imported.into_iter().filter_map(|(path, line)| resolve(&path, line, &module)));
            continue;
        } else if rest[0].is_word() && rest.get(1).is_some_and(|next| next.is("::")) {
            let mut segments = vec![rest[0].text.clone()];
            let mut end = at + 1;
            while tokens.get(end).is_some_and(|sign| sign.is("::")) && tokens.get(end + 1).is_some_and(Token::is_word) {
                segments.push(tokens[end + 1].text.clone());
                end += 2;
            }
            found.extend(resolve(&segments, rest[0].line, &module));
            at = end;
            continue;
        }
        at += 1;
    }
    found
}

/// Parses one branch of a `use` tree and returns the index after it.
fn use_tree(
    tokens: &[Token],
    begin: usize,
    prefix: &mut Vec<String>,
    imported: &mut Vec<(Vec<String>, usize)>,
) -> usize {
    let (mut at, length) = (begin, prefix.len());
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "::" => at += 1,
            "{" => {
                at += 1;
                while !tokens[at].is("}") {
                    at = use_tree(tokens, at, prefix, imported);
                    at += usize::from(tokens[at].is(","));
                }
                prefix.truncate(length);
                return at + 1;
            }
            "as" => at += 2,
            "," | "}" | ";" => break,
            segment => {
                prefix.push(segment.to_owned());
                at += 1;
            }
        }
    }
    imported.push((prefix.clone(), tokens[begin].line));
    prefix.truncate(length);
    at
}

fn resolve(path: &[String], line: usize, module: &[String]) -> Option<NamedPath> {
    let mut rest = path;
    let mut from_root = match rest.first()?.as_str() {
        "crate" | "lifecycle_processor" => Vec::new(),
        "self" | "super" => module.to_vec(),
        _ => return Some(NamedPath { start: Start::Name, segments: path.to_vec(), line }),
    };
    while let Some(("crate" | "lifecycle_processor" | "self" | "super", tail)) =
        rest.split_first().map(|(head, tail)| (head.as_str(), tail))
    {
        if rest[0] == "super" {
            from_root.pop();
        }
        rest = tail;
    }
    from_root.extend_from_slice(rest);
    Some(NamedPath { start: Start::Root, segments: from_root, line })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, module: &[&str]) -> Vec<String> {
        let module: Vec<String> = module.iter().map(ToString::to_string).collect();
        paths(&tokens(text), &module)
            .into_iter()
            .map(|path| {
                let start = if path.start == Start::Root { "crate::" } else { "" };
                format!("{start}{}", path.segments.join("::"))
            })
            .collect()
    }

    #[test]
    fn comments_and_literals_contain_no_paths() {
        let text = r##"
            // crate::kafka::A
            /* crate::kafka::B /* crate::kafka::C */ crate::kafka::D */
            const A: &str = "crate::kafka::E \" crate::kafka::F";
            const B: &str = r#"crate::kafka::"G"#;
            const C: [u8; 2] = [b'"', b'\''];
            fn f<'a>(x: &'a char) -> bool { *x == '"' || *x == '\'' }
        "##;
        assert_eq!(written(text, &["lifecycle"]), Vec::<String>::new());
    }

    #[test]
    fn use_trees_are_expanded() {
        let text = "use crate::{lifecycle::{self, time as t, id::{A, B}}, wire::*}; use std::fmt;";
        assert_eq!(
            written(text, &["api"]),
            [
                "crate::lifecycle::self",
                "crate::lifecycle::time",
                "crate::lifecycle::id::A",
                "crate::lifecycle::id::B",
                "crate::wire::*",
                "std::fmt"
            ]
        );
    }

    #[test]
    fn relative_paths_are_resolved_through_inline_modules() {
        let text = "mod a { use super::super::x::Y; } use super::Z; fn f() { super::super::kafka::g::<u8>() }";
        let module = ["runtime", "commit"];
        assert_eq!(written(text, &module), ["crate::runtime::x::Y", "crate::runtime::Z", "crate::kafka::g"]);
    }

    #[test]
    fn items_under_cfg_test_are_removed() {
        let text = "use crate::a::B; #[cfg(test)] mod tests { use crate::c::D; } #[cfg(test)] use crate::e::F; use crate::g::H;";
        let kept = without_tests(&tokens(text));
        let names: Vec<_> = paths(&kept, &[]).into_iter().map(|path| path.segments.join("::")).collect();
        assert_eq!(names, ["a::B", "g::H"]);
    }

    #[test]
    fn tokens_have_line_numbers() {
        let lines: Vec<_> =
            tokens("a\n/* \n */ b\n\"x\ny\"\nc").into_iter().map(|token| (token.text, token.line)).collect();
        let expected = [("a", 1), ("b", 3), ("\"", 4), ("c", 6)].map(|(text, line)| (text.to_owned(), line));
        assert_eq!(lines, expected);
    }
}
