//! Instants and lengths of time as text: instants in RFC 3339, lengths as people write them.

pub use crate::lifecycle::rfc3339::{NoTimestamp, format_timestamp, parse_timestamp, write_timestamp};

use crate::lifecycle::time::Duration;

const DAY_MS: i64 = 86_400_000;

/// A text is no length of time; says what was expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected a length of time, such as 90d, 1h30m or 100ms")]
pub struct NoDuration;

/// From the longest: the unit and its milliseconds.
const UNITS: [(&str, i64); 5] = [("d", DAY_MS), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a length of time as people write it: `90d`, `1h30m`, `100ms`. Units are d, h, m, s and ms, each at most once,
/// from the longest; a day is 24 hours.
///
/// # Errors
/// When it is no such text, or longer than 64 bits of milliseconds.
pub fn parse_duration(text: &str) -> Result<Duration, NoDuration> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut sum = 0_i64;
    while !rest.is_empty() || text.is_empty() {
        let number_ends = rest.find(|character: char| !character.is_ascii_digit()).ok_or(NoDuration)?;
        let (number, tail) = rest.split_at(number_ends);
        let unit_ends = tail.find(|character: char| character.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_ends);
        // The iterator goes on where the last unit was found: units that do not descend are not found any more.
        let &(_, millis) = units.find(|&&(name, _)| name == unit).ok_or(NoDuration)?;
        let number: i64 = number.parse().map_err(|_| NoDuration)?;
        sum = number.checked_mul(millis).and_then(|part| sum.checked_add(part)).ok_or(NoDuration)?;
        rest = tail;
    }
    Ok(Duration::from_millis(sum))
}

/// A length of time as [`parse_duration`] reads it: `90d`, `1h30m`, `0s`. A negative one has a sign, and is not read back.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
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
            assert_eq!(parse_duration(text), Err(NoDuration), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_fatal(text in "\\PC*", dense in "[0-9dhms.-]{0,32}") {
            let _ = (parse_duration(&text), parse_duration(&dense));
        }

        #[test]
        fn lengths_survive_the_way_out_and_back(millis in 0..=i64::MAX) {
            let length = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&format_duration(length)), Ok(length));
        }
    }
}
