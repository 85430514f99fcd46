//! Parses configuration values. Each parser says what it expects if a value is invalid.

use std::time::Duration;

use crate::wire::time::parse_duration;

/// Parses a duration that is not negative: `100ms`, `1h30m`, `7d`.
///
/// # Errors
/// What to write instead.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let length = parse_duration(text.trim()).ok().and_then(|length| u64::try_from(length.as_millis()).ok());
    length.map(Duration::from_millis).ok_or_else(|| "write a duration, such as 100ms, 30s, 15m, 24h or 7d".to_owned())
}

/// Parses a size in bytes: `65536`, `64KiB`, `1MiB`, `8GiB`, or decimal `1MB`.
///
/// # Errors
/// What to write instead.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    const EXPECTED: &str = "write a size, such as 512KiB, 1MiB or 8GiB";
    let (number, unit, rest) = number_and_unit(text.trim()).ok_or(EXPECTED)?;
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
        _ => return Err(EXPECTED.to_owned()),
    };
    number
        .checked_mul(factor)
        .filter(|_| rest.is_empty())
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| EXPECTED.to_owned())
}

/// Parses an integer from `min` to `max`.
///
/// # Errors
/// What to write instead.
pub fn whole_number(text: &str, min: usize, max: usize) -> Result<usize, String> {
    let number = text.trim().parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("write a whole number from {min} to {max}"))
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
    fn a_size_is_a_number_and_a_unit() {
        assert_eq!(bytes("65536"), Ok(65_536));
        assert_eq!(bytes("1MiB"), Ok(1 << 20));
        assert_eq!(bytes("2 GB"), Ok(2_000_000_000));
        for text in ["", "MiB", "1M1", "1 XB", "99999999999999GiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_outside_the_limits_are_rejected() {
        assert_eq!(whole_number("4", 1, 4), Ok(4));
        assert_eq!(whole_number("5", 1, 4), Err("write a whole number from 1 to 4".to_owned()));
    }
}
