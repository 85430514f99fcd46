//! Timestamps and durations as text: timestamps in RFC 3339, durations such as `1h30m`.

pub use crate::lifecycle::rfc3339::{TimestampError, TimestampText, format_timestamp, parse_timestamp, timestamp_text};

use crate::lifecycle::time::Duration;

const DAY_MS: i64 = 86_400_000;

/// The error for a text that is not a duration. The message shows the expected format.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected a duration, such as 90d, 1h30m or 100ms")]
pub struct InvalidDuration;

/// The units, longest first, with their length in milliseconds.
const UNITS: [(&str, i64); 5] = [("d", DAY_MS), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Parses a duration such as `90d`, `1h30m` or `100ms`. The units are d, h, m, s and ms, each at most once and longest
/// first; a day is 24 hours.
///
/// # Errors
/// When the text is not a duration, or the duration exceeds `i64::MAX` milliseconds.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut sum = 0_i64;
    while !rest.is_empty() || text.is_empty() {
        let number_ends = rest.find(|character: char| !character.is_ascii_digit()).ok_or(InvalidDuration)?;
        let (number, tail) = rest.split_at(number_ends);
        let unit_ends = tail.find(|character: char| character.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_ends);
        // `find` continues after the previous unit, so that a repeated or longer unit is not found.
        let &(_, millis) = units.find(|&&(name, _)| name == unit).ok_or(InvalidDuration)?;
        let number: i64 = number.parse().map_err(|_| InvalidDuration)?;
        sum = number.checked_mul(millis).and_then(|part| sum.checked_add(part)).ok_or(InvalidDuration)?;
        rest = tail;
    }
    Ok(Duration::from_millis(sum))
}

/// Formats a duration as [`parse_duration`] expects it: `90d`, `1h30m`, `0s`. A negative duration gets a sign, which
/// [`parse_duration`] rejects.
#[must_use]
pub fn format_duration(length: Duration) -> String {
    use std::fmt::Write as _;

    let mut text = String::from(if length.as_millis() < 0 { "-" } else { "" });
    let mut rest = length.as_millis().unsigned_abs();
    if rest == 0 {
        return "0s".to_owned();
    }
    for (unit, millis) in UNITS {
        let millis = millis.unsigned_abs();
        if rest >= millis {
            write!(text, "{}{unit}", rest / millis).expect("writing to memory cannot fail");
            rest %= millis;
        }
    }
    text
}

/// Formats a duration like Protobuf's JSON mapping: `7776000s`, `-0.500s`.
pub(super) fn format_seconds(length: Duration) -> String {
    let sign = if length.as_millis() < 0 { "-" } else { "" };
    let millis = length.as_millis().unsigned_abs();
    match millis % 1_000 {
        0 => format!("{sign}{}s", millis / 1_000),
        fraction => format!("{sign}{}.{fraction:03}s", millis / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_parsed() {
        for (text, expected) in [
            ("90d", 90 * DAY_MS),
            ("15m", 900_000),
            ("100ms", 100),
            ("1h30m", 5_400_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("0s", 0),
            ("36h", 129_600_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(expected)), "{text}");
        }
        for text in
            ["", "d", "90", "90 d", "30m1h", "1h1h", "-1d", "1.5h", "1w", "9223372036854775807d", "1ms1s", "1d2"]
        {
            assert_eq!(parse_duration(text), Err(InvalidDuration), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC*", dense in "[0-9dhms.-]{0,32}") {
            let _ = (parse_duration(&text), parse_duration(&dense));
        }

        #[test]
        fn durations_round_trip(millis in 0..=i64::MAX) {
            let length = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&format_duration(length)), Ok(length));
        }
    }
}
