//! Strips comments from scenario lines, and splits lines into words and lists into items. Quotes and brackets keep
//! their content together.

/// Returns `line` without its comment. A `#` starts a comment at the start of the line or after white space, outside
/// quotes.
pub(super) fn without_comment(line: &str) -> &str {
    let mut is_quoted = false;
    let mut is_start = true;
    for (at, character) in line.char_indices() {
        match character {
            '"' => is_quoted = !is_quoted,
            '#' if is_start && !is_quoted => return line[..at].trim_end(),
            _ => {}
        }
        is_start = character.is_whitespace();
    }
    line.trim_end()
}

/// Returns the words of `text`. White space within quotes or brackets does not separate words.
pub(super) fn words(text: &str) -> Vec<&str> {
    split(text, char::is_whitespace).into_iter().filter(|word| !word.is_empty()).collect()
}

/// Returns the items of a comma-separated list, trimmed. Commas within brackets and quotes do not separate items.
pub(super) fn items(text: &str) -> Vec<&str> {
    split(text, |character| character == ',').into_iter().map(str::trim).collect()
}

fn split(text: &str, is_separator: impl Fn(char) -> bool) -> Vec<&str> {
    let (mut is_quoted, mut depth, mut start) = (false, 0_usize, 0);
    let mut parts = Vec::new();
    for (at, character) in text.char_indices() {
        match character {
            '"' => is_quoted = !is_quoted,
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if !is_quoted && depth == 0 && is_separator(character) => {
                parts.push(&text[start..at]);
                start = at + character.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Formats alternatives for a sentence: `a, b or c`.
pub(super) fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_begins_at_the_start_or_after_white_space() {
        assert_eq!(without_comment("# all of it"), "");
        assert_eq!(without_comment("order_id=A#1  # first"), "order_id=A#1");
        assert_eq!(without_comment("query=\"a # b\" # c"), "query=\"a # b\"");
    }

    #[test]
    fn quotes_and_brackets_keep_their_content_together() {
        assert_eq!(words("a  b=\"c d\" e"), ["a", "b=\"c d\"", "e"]);
        assert_eq!(items("a (b, c) , d"), ["a (b, c)", "d"]);
        assert_eq!(one_of(&["a", "b", "c"]), "a, b or c");
    }
}
