//! The forms that values are written in. Each says what it wants when it gets something else.

use std::time::Duration;

use crate::wire::time::parse_duration;

/// A length of time, as people write it: `100ms`, `1h30m`, `7d`; not negative.
///
/// # Errors
/// What is wanted instead.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let length = parse_duration(text.trim()).ok().and_then(|length| u64::try_from(length.as_millis()).ok());
    length.map(Duration::from_millis).ok_or_else(|| "write a duration, such as 100ms, 30s, 15m, 24h or 7d".to_owned())
}

/// A number of bytes: `65536`, `64KiB`, `1MiB`, `8GiB`, or decimal `1MB`.
///
/// # Errors
/// What is wanted instead.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    const WANTED: &str = "write a size, such as 512KiB, 1MiB or 8GiB";
    let (number, unit, after) = number_and_unit(text.trim()).ok_or(WANTED)?;
    let factor = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(WANTED.to_owned()),
    };
    number
        .checked_mul(factor)
        .filter(|_| after.is_empty())
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| WANTED.to_owned())
}

/// A whole number from `least` to `most`.
///
/// # Errors
/// What is wanted instead.
pub fn whole_number(text: &str, least: usize, most: usize) -> Result<usize, String> {
    let number = text.trim().parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("write a whole number from {least} to {most}"))
}

/// Splits `12msrest` into `(12, "ms", "rest")`; the unit ends at the next digit.
fn number_and_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..digits].parse().ok()?;
    let unit = text[digits..].find(|letter: char| letter.is_ascii_digit()).map_or(text.len(), |end| digits + end);
    Some((number, &text[digits..unit], &text[unit..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_not_negative() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for text in ["", "m", "-1s", "a week"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_a_number_and_a_unit() {
        assert_eq!(bytes("65536"), Ok(65_536));
        assert_eq!(bytes("1MiB"), Ok(1 << 20));
        assert_eq!(bytes("2 GB"), Ok(2_000_000_000));
        for text in ["", "MiB", "1M1", "1 XB", "99999999999999GiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_keep_to_their_limits() {
        assert_eq!(whole_number("4", 1, 4), Ok(4));
        assert_eq!(whole_number("5", 1, 4), Err("write a whole number from 1 to 4".to_owned()));
    }
}
