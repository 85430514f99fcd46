//! Parses the time at the start of a scenario line: an instant, or an offset from the previous line.
//!
//! Months and years are rejected, since they have no fixed length.

use crate::lifecycle::time::{Duration, Timestamp};
use crate::wire::time::parse_timestamp;

/// The time of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StepTime {
    /// At this instant.
    At(Timestamp),
    /// This long after the previous line.
    Later(Duration),
    /// The touchpoint arrives at the time of the previous line, but occurred this long before it.
    Ago(Duration),
    /// At the time of the previous line; the line only has assertions.
    Assert,
}

const TIME_HELP: &str =
    "start the line with a time: `2026-01-31 10:00`, `+2 days`, `45 days later`, `then` or `3 days ago`";

/// Parses the time at the start of `words`. Also returns the number of words of the time.
pub(super) fn parse_step_time(words: &[&str]) -> Result<(StepTime, usize), String> {
    let first = words.first().copied().unwrap_or_default();
    match words {
        ["then", ..] => return Ok((StepTime::Later(Duration::ZERO), 1)),
        ["now", ..] => return Ok((StepTime::Assert, 1)),
        ["in", "the", "end", ..] => return Ok((StepTime::Assert, 3)),
        _ => {}
    }
    if first.len() >= 10 && first.as_bytes()[4] == b'-' {
        return parse_instant(words).map(|(instant, count)| (StepTime::At(instant), count));
    }
    let has_plus = first.starts_with('+');
    let (length, count) = parse_duration(words)?;
    match words.get(count) {
        _ if has_plus => Ok((StepTime::Later(length), count)),
        Some(&"later") => Ok((StepTime::Later(length), count + 1)),
        Some(&"ago") => Ok((StepTime::Ago(length), count + 1)),
        _ => Err(format!("write `later` or `ago` after `{}`", words[..count].join(" "))),
    }
}

/// Parses the instant at the start of `words`, in UTC unless it has an offset. Also returns the number of its words.
pub(super) fn parse_instant(words: &[&str]) -> Result<(Timestamp, usize), String> {
    let date = words.first().copied().unwrap_or_default();
    let is_time = |word: &&&str| word.as_bytes().get(2) == Some(&b':') && word.as_bytes()[0].is_ascii_digit();
    let (text, count) = if date.contains('T') {
        (date.to_owned(), 1)
    } else if let Some(time) = words.get(1).filter(is_time) {
        let seconds = if time.len() == 5 { ":00" } else { "" };
        (format!("{date}T{time}{seconds}Z"), 2)
    } else {
        (format!("{date}T00:00:00Z"), 1)
    };
    let written = words[..count.min(words.len())].join(" ");
    let instant = parse_timestamp(&text).map_err(|_| {
        format!(
            "`{written}` is not an instant: write one such as `2026-01-31`, `2026-01-31 10:00` or `2026-01-31T10:00:00Z`"
        )
    })?;
    Ok((instant, count))
}

/// Parses the duration at the start of `words`: `+2 days 3 hours`, `a week`. Ignores a leading `+`.
fn parse_duration(words: &[&str]) -> Result<(Duration, usize), String> {
    let mut millis = 0_i64;
    let mut count = 0;
    while let [number, rest @ ..] = &words[count..] {
        let number = number.strip_prefix('+').unwrap_or(number);
        let amount = match number {
            "" => {
                count += 1;
                continue;
            }
            "a" | "an" => Some(1),
            _ => number.parse::<i64>().ok().filter(|amount| *amount >= 0),
        };
        let Some(amount) = amount else { break };
        let unit = rest.first().copied().unwrap_or_default();
        let length =
            unit_millis(unit).and_then(|unit| unit.checked_mul(amount)).ok_or_else(|| unit_error(number, unit))?;
        millis = millis.checked_add(length).ok_or_else(|| unit_error(number, unit))?;
        count += 2;
    }
    if count == 0 {
        return Err(TIME_HELP.to_owned());
    }
    Ok((Duration::from_millis(millis), count))
}

fn unit_error(number: &str, unit: &str) -> String {
    if unit.starts_with("month") || unit.starts_with("year") {
        return format!("a {} has no fixed length: write days", unit.trim_end_matches('s'));
    }
    format!("`{number} {unit}` is not a duration: write seconds, minutes, hours, days or weeks")
}

fn unit_millis(unit: &str) -> Option<i64> {
    Some(match unit {
        "millisecond" | "milliseconds" => 1,
        "second" | "seconds" => 1_000,
        "minute" | "minutes" => 60_000,
        "hour" | "hours" => 3_600_000,
        "day" | "days" => 86_400_000,
        "week" | "weeks" => 604_800_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(StepTime, usize), String> {
        parse_step_time(&text.split_whitespace().collect::<Vec<_>>())
    }

    #[test]
    fn times_are_parsed() {
        let later = |millis| StepTime::Later(Duration::from_millis(millis));
        for (text, expected) in [
            ("then x", (later(0), 1)),
            ("+2 days x", (later(172_800_000), 2)),
            ("+ 2 days 1 hour x", (later(176_400_000), 5)),
            ("45 days later x", (later(45 * 86_400_000), 3)),
            ("a week later x", (later(604_800_000), 3)),
            ("1 hour 1 millisecond later", (later(3_600_001), 5)),
            ("3 days ago x", (StepTime::Ago(Duration::from_days(3)), 3)),
            ("1970-01-02 x", (StepTime::At(Timestamp::from_millis(86_400_000)), 1)),
            ("1970-01-01 00:01 x", (StepTime::At(Timestamp::from_millis(60_000)), 2)),
            ("1970-01-01 00:00:00.001 x", (StepTime::At(Timestamp::from_millis(1)), 2)),
            ("1970-01-01T02:00:00+02:00 x", (StepTime::At(Timestamp::from_millis(0)), 1)),
            ("in the end x", (StepTime::Assert, 3)),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_error_says_what_to_write_instead() {
        for (text, expected) in [
            ("product_viewed", "start the line with a time"),
            ("2 months later x", "a month has no fixed length: write days"),
            ("2 fortnights later", "`2 fortnights` is not a duration"),
            ("2 days product_viewed", "write `later` or `ago` after `2 days`"),
            ("2026-13-01 x", "`2026-13-01` is not an instant"),
            ("9999999999999999 days later", "is not a duration"),
        ] {
            let found = read(text).expect_err(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
    }
}
