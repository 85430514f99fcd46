//! Decodes the inside of literals: escape sequences in text, and durations such as `2h30m`.

use std::ops::Range;

use crate::lifecycle::time::Duration;

/// Finds the closing quote `mark` in `body`. With `has_escapes`, a backslash escapes the next character.
pub(super) fn string_end(body: &str, mark: &str, has_escapes: bool) -> Option<usize> {
    let mut at = 0;
    while at < body.len() {
        let rest = &body[at..];
        if rest.starts_with(mark) {
            return Some(at);
        }
        let mut characters = rest.chars();
        let first = characters.next()?;
        // Only triple-quoted text may span lines.
        if mark.len() == 1 && (first == '\n' || first == '\r') {
            return None;
        }
        at += first.len_utf8();
        if first == '\\' && has_escapes {
            at += characters.next()?.len_utf8();
        }
    }
    None
}

/// Replaces the escape sequences of `body`, or returns the range of the first invalid one and the message.
pub(super) fn unescape(body: &str) -> Result<String, (Range<usize>, String)> {
    let mut text = String::with_capacity(body.len());
    let mut at = 0;
    while let Some(found) = body[at..].find('\\') {
        text.push_str(&body[at..at + found]);
        let start = at + found;
        let letter = body[start + 1..].chars().next().unwrap_or('\\');
        let digits = match letter {
            'x' | 'X' => Some((2, 2, 16)),
            'u' => Some((2, 4, 16)),
            'U' => Some((2, 8, 16)),
            '0'..='3' => Some((1, 3, 8)),
            _ => None,
        };
        let (character, length) = match digits {
            Some((skip, count, radix)) => {
                let code = body.get(start + skip..start + skip + count).filter(|digits| digits.is_ascii());
                // `from_str_radix` would accept a leading sign.
                let code = code.filter(|digits| !digits.starts_with('+'));
                let code = code.and_then(|digits| u32::from_str_radix(digits, radix).ok());
                (code.and_then(char::from_u32), skip + count)
            }
            None => (simple_escape(letter), 1 + letter.len_utf8()),
        };
        let Some(character) = character else {
            let end = start + 1 + letter.len_utf8();
            let end = end.min(body.len());
            return Err((start..end, format!("`{}` is not a valid escape sequence", &body[start..end])));
        };
        text.push(character);
        at = start + length;
    }
    text.push_str(&body[at..]);
    Ok(text)
}

fn simple_escape(letter: char) -> Option<char> {
    Some(match letter {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        '\\' | '?' | '"' | '\'' | '`' => letter,
        _ => return None,
    })
}

/// The units of a duration in milliseconds; `None` for units below one millisecond. `ms` comes before `m`.
const UNITS: [(&str, Option<i64>); 9] = [
    ("ms", Some(1)),
    ("us", None),
    ("µs", None),
    ("ns", None),
    ("w", Some(604_800_000)),
    ("d", Some(86_400_000)),
    ("h", Some(3_600_000)),
    ("m", Some(60_000)),
    ("s", Some(1_000)),
];

/// Parses a duration as CEL writes it (`2h30m`, `1.5h`, `-90s`), with the additional units `d` and `w`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let expected_format = || "a duration is a number with a unit: \"90d\", \"2h30m\"".to_owned();
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(expected_format());
    }
    let mut total = 0_i128;
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(expected_format());
        }
        let unit_end = tail.find(|character: char| character.is_ascii_digit() || character == '.');
        let unit = &tail[..unit_end.unwrap_or(tail.len())];
        let Some(&(_, millis)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(match unit {
                "" => format!(
                    "`{number}` has no unit: write \"{number}d\", \"{number}h\", \"{number}m\" or \"{number}s\""
                ),
                _ => format!("unknown unit `{}`: the units are w, d, h, m, s and ms", unit.trim()),
            });
        };
        let Some(millis) = millis else {
            return Err("the smallest unit is one millisecond".into());
        };
        let digits = format!("{whole}{fraction}");
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).unwrap_or(u32::MAX));
        let part = digits.parse::<i128>().ok().and_then(|number| number.checked_mul(millis.into()));
        let (Some(scale), Some(part)) = (scale, part) else {
            return Err("the duration is too large".into());
        };
        if part % scale != 0 {
            return Err("the smallest unit is one millisecond".into());
        }
        total = total.checked_add(part / scale).ok_or("the duration is too large")?;
        rest = &tail[unit.len()..];
    }
    let total = if is_negative { -total } else { total };
    i64::try_from(total).map(Duration::from_millis).map_err(|_| "the duration is too large".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, millis) in [
            ("2160h", 7_776_000_000),
            ("90d", 7_776_000_000),
            ("1w", 604_800_000),
            ("2h30m", 9_000_000),
            ("1.5h", 5_400_000),
            ("-1.5s", -1500),
            (".5s", 500),
            ("250ms", 250),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "-", "90", "d", "3 weeks", "1.2.3s", ".s", "1us", "0.0001s", "999999999999999999999d", "1y"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
