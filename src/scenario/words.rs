//! The words of a line, and its parts: comments, quotes, lists.

/// What stands in a line before a comment: `#` at its start or behind white space, outside of quotes.
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

/// The words of `text`; white space within quotes belongs to the word.
pub(super) fn words(text: &str) -> Vec<&str> {
    split(text, char::is_whitespace).into_iter().filter(|word| !word.is_empty()).collect()
}

/// The items of a list, separated by commas outside of brackets and quotes, without white space around them.
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

/// A list as a sentence would have it: `a, b or c`.
pub(super) fn either(words: &[&str]) -> String {
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
    fn a_comment_begins_at_the_start_or_behind_white_space() {
        assert_eq!(without_comment("# all of it"), "");
        assert_eq!(without_comment("order_id=A#1  # first"), "order_id=A#1");
        assert_eq!(without_comment("query=\"a # b\" # c"), "query=\"a # b\"");
    }

    #[test]
    fn quotes_and_brackets_hold_together() {
        assert_eq!(words("a  b=\"c d\" e"), ["a", "b=\"c d\"", "e"]);
        assert_eq!(items("a (b, c) , d"), ["a (b, c)", "d"]);
        assert_eq!(either(&["a", "b", "c"]), "a, b or c");
    }
}
