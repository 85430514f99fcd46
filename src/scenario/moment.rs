//! When a line of a scenario happens: an instant, or so much later than the line before.

use crate::lifecycle::time::{Duration, Timestamp};
use crate::wire::time::parse_timestamp;

/// The words with which a line begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Moment {
    /// At this instant.
    At(Timestamp),
    /// So much later than the line before.
    Later(Duration),
    /// Arrives now, and happened so long ago.
    Ago(Duration),
    /// At the instant of the line before; nothing happens, where the customer stands is looked at.
    Look,
}

const HOW_TO: &str =
    "begin the line with when it happens: `2026-01-31 10:00`, `+2 days`, `45 days later`, `then` or `3 days ago`";

/// The moment at the head of `words`, and how many of them tell it.
pub(super) fn moment(words: &[&str]) -> Result<(Moment, usize), String> {
    let first = words.first().copied().unwrap_or_default();
    match words {
        ["then", ..] => return Ok((Moment::Later(Duration::ZERO), 1)),
        ["now", ..] => return Ok((Moment::Look, 1)),
        ["in", "the", "end", ..] => return Ok((Moment::Look, 3)),
        _ => {}
    }
    if first.len() >= 10 && first.as_bytes()[4] == b'-' {
        return instant(words).map(|(instant, count)| (Moment::At(instant), count));
    }
    let is_ahead = first.starts_with('+');
    let (length, count) = length(words)?;
    match words.get(count) {
        _ if is_ahead => Ok((Moment::Later(length), count)),
        Some(&"later") => Ok((Moment::Later(length), count + 1)),
        Some(&"ago") => Ok((Moment::Ago(length), count + 1)),
        _ => Err(format!("write `later` or `ago` behind `{}`", words[..count].join(" "))),
    }
}

/// The instant at the head of `words`, in UTC where it does not say otherwise.
pub(super) fn instant(words: &[&str]) -> Result<(Timestamp, usize), String> {
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
            "`{written}` is no instant: write one such as `2026-01-31`, `2026-01-31 10:00` or `2026-01-31T10:00:00Z`"
        )
    })?;
    Ok((instant, count))
}

/// The length of time at the head of `words`, a sign before it aside: `+2 days 3 hours`, `a week`.
fn length(words: &[&str]) -> Result<(Duration, usize), String> {
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
            unit_millis(unit).and_then(|unit| unit.checked_mul(amount)).ok_or_else(|| no_unit(number, unit))?;
        millis = millis.checked_add(length).ok_or_else(|| no_unit(number, unit))?;
        count += 2;
    }
    if count == 0 {
        return Err(HOW_TO.to_owned());
    }
    Ok((Duration::from_millis(millis), count))
}

fn no_unit(number: &str, unit: &str) -> String {
    if unit.starts_with("month") || unit.starts_with("year") {
        return format!("a {} has no fixed length: write days", unit.trim_end_matches('s'));
    }
    format!("`{number} {unit}` is no length of time: write seconds, minutes, hours, days or weeks")
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

    fn read(text: &str) -> Result<(Moment, usize), String> {
        moment(&text.split_whitespace().collect::<Vec<_>>())
    }

    #[test]
    fn moments_are_read_as_they_are_spoken() {
        let later = |millis| Moment::Later(Duration::from_millis(millis));
        for (text, expected) in [
            ("then x", (later(0), 1)),
            ("+2 days x", (later(172_800_000), 2)),
            ("+ 2 days 1 hour x", (later(176_400_000), 5)),
            ("45 days later x", (later(45 * 86_400_000), 3)),
            ("a week later x", (later(604_800_000), 3)),
            ("1 hour 1 millisecond later", (later(3_600_001), 5)),
            ("3 days ago x", (Moment::Ago(Duration::from_days(3)), 3)),
            ("1970-01-02 x", (Moment::At(Timestamp::from_millis(86_400_000)), 1)),
            ("1970-01-01 00:01 x", (Moment::At(Timestamp::from_millis(60_000)), 2)),
            ("1970-01-01 00:00:00.001 x", (Moment::At(Timestamp::from_millis(1)), 2)),
            ("1970-01-01T02:00:00+02:00 x", (Moment::At(Timestamp::from_millis(0)), 1)),
            ("in the end x", (Moment::Look, 3)),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_told_what_to_write() {
        for (text, expected) in [
            ("product_viewed", "begin the line with when"),
            ("2 months later x", "a month has no fixed length: write days"),
            ("2 fortnights later", "`2 fortnights` is no length of time"),
            ("2 days product_viewed", "write `later` or `ago` behind `2 days`"),
            ("2026-13-01 x", "`2026-13-01` is no instant"),
            ("9999999999999999 days later", "is no length of time"),
        ] {
            let found = read(text).expect_err(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
    }
}
