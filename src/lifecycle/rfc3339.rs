//! Parses and formats instants as RFC 3339 text, in records and in conditions.
//!
//! The parser follows RFC 3339, section 5.6, strictly. It works on fixed columns and does not allocate, since it runs
//! for every touchpoint. Tests compare it with `jiff`.

use std::ops::Deref;

use super::time::Timestamp;

const DAY_MS: i64 = 86_400_000;
/// The days from 0000-03-01 to 1970-01-01.
const MARCH_DAYS_TO_1970: i64 = 719_468;

/// A text is not a valid instant. The message describes the expected format or range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct TimestampError(&'static str);

const NOT_RFC_3339: TimestampError = TimestampError(
    "expected an RFC 3339 time with an offset, such as 1997-01-18T15:55:44Z or 1997-01-18T17:55:44.5+02:00",
);
const OUT_OF_RANGE: TimestampError = TimestampError("expected a time in the years 1 to 9999 (UTC)");

/// Parses an RFC 3339 time with any offset. Truncates to milliseconds. A leap second (`23:59:60` UTC) becomes the first
/// second of the next day, as in POSIX time.
///
/// # Errors
/// When `text` is not such a time, or is outside [`Timestamp::MIN`] to [`Timestamp::MAX`].
pub fn parse_timestamp(text: &str) -> Result<Timestamp, TimestampError> {
    let millis = epoch_millis(text.as_bytes()).ok_or(NOT_RFC_3339)?;
    let instant = Timestamp::from_millis(millis);
    if (Timestamp::MIN..=Timestamp::MAX).contains(&instant) { Ok(instant) } else { Err(OUT_OF_RANGE) }
}

fn epoch_millis(text: &[u8]) -> Option<i64> {
    let (&fixed, rest) = text.split_first_chunk::<19>()?;
    let [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b't', _, _, b':', _, _, b':', _, _] = fixed else { return None };
    let two = |at: usize| digits(&fixed[at..at + 2]);
    let (year, month, day) = (digits(&fixed[..4])?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_of_month(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }

    let (fraction_ms, rest) = match rest.strip_prefix(b".") {
        Some(rest) => {
            let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let kept = digits(&rest[..length.min(3)])?;
            (kept * [0, 100, 10, 1][length.min(3)], &rest[length..])
        }
        None => (0, rest),
    };
    let offset_minutes = match rest {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let magnitude = hours * 60 + minutes;
            if *sign == b'-' { -magnitude } else { magnitude }
        }
        _ => return None,
    };

    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + (minute - offset_minutes) * 60 + second;
    // Leap seconds occur only at the end of a UTC day.
    if second == 60 && seconds.rem_euclid(86_400) != 0 {
        return None;
    }
    Some(seconds * 1_000 + fraction_ms)
}

/// Parses ASCII digits. Returns `None` for empty input and for any other character.
fn digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the days since 1970-01-01 in the proleptic Gregorian calendar.
///
/// Counts years from March, so that the leap day is the last day of a year. An era has 400 years or 146,097 days.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - MARCH_DAYS_TO_1970
}

/// Returns year, month and day of a number of days since 0000-03-01: figure 12 of Neri and Schneider, "Euclidean affine
/// functions and their application to calendar algorithms" (2022), which needs no division by a variable.
fn civil_from_march_days(days: u32) -> (u32, u32, u32) {
    let (century, day_of_century) = ((4 * days + 3) / 146_097, (4 * days + 3) % 146_097 / 4);
    let scaled = 2_939_745 * u64::from(4 * day_of_century + 3);
    let (year_of_century, day_of_year) = (small(scaled >> 32), small(scaled & 0xffff_ffff) / 2_939_745 / 4);
    let scaled = 2_141 * day_of_year + 197_913;
    let (month, day) = (scaled >> 16, (scaled & 0xffff) / 2_141 + 1);
    let year = 100 * century + year_of_century;
    // January and February belong to the following year.
    if day_of_year >= 306 { (year + 1, month - 12, day) } else { (year, month, day) }
}

/// An instant as RFC 3339 text in UTC, without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct TimestampText {
    text: [u8; 24],
    length: u8,
}

impl Deref for TimestampText {
    type Target = str;

    fn deref(&self) -> &str {
        str::from_utf8(&self.text[..usize::from(self.length)]).expect("the text is ASCII")
    }
}

/// Formats an instant as RFC 3339 in UTC: `1997-01-18T15:55:44Z`, with `.123` only if the milliseconds are not zero.
///
/// The format cannot represent instants outside [`Timestamp::MIN`] to [`Timestamp::MAX`], so they are clamped to that
/// range.
#[must_use]
pub fn timestamp_text(instant: Timestamp) -> TimestampText {
    let millis = instant.clamp(Timestamp::MIN, Timestamp::MAX).as_millis() + MARCH_DAYS_TO_1970 * DAY_MS;
    // The year 1 begins after March of the year 0.
    let (millis, day_ms) = (millis.cast_unsigned(), DAY_MS.cast_unsigned());
    let (year, month, day) = civil_from_march_days(small(millis / day_ms));
    let of_day = small(millis % day_ms);
    let (seconds, fraction) = (of_day / 1_000, of_day % 1_000);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    text[..2].copy_from_slice(two_digits(year / 100));
    text[2..4].copy_from_slice(two_digits(year % 100));
    text[5..7].copy_from_slice(two_digits(month));
    text[8..10].copy_from_slice(two_digits(day));
    text[11..13].copy_from_slice(two_digits(seconds / 3_600));
    text[14..16].copy_from_slice(two_digits(seconds / 60 % 60));
    text[17..19].copy_from_slice(two_digits(seconds % 60));
    if fraction == 0 {
        text[19] = b'Z';
        return TimestampText { text, length: 20 };
    }
    text[20..22].copy_from_slice(two_digits(fraction / 10));
    text[22] = two_digits(fraction % 10)[1];
    TimestampText { text, length: 24 }
}

/// Converts a part of a time, which is always small. 32 bits are divided faster than 64.
fn small(part: u64) -> u32 {
    u32::try_from(part).expect("a part of a time in the years 1 to 9999")
}

/// Returns the two digits of a number below 100.
fn two_digits(number: u32) -> &'static [u8; 2] {
    const DIGITS: [[u8; 2]; 100] = {
        let mut digits = [[0; 2]; 100];
        let mut number = 0;
        while number < 100 {
            digits[number as usize] = [b'0' + number / 10, b'0' + number % 10];
            number += 1;
        }
        digits
    };
    &DIGITS[number as usize]
}

/// Formats an instant as RFC 3339 in UTC; see [`timestamp_text`].
#[must_use]
pub fn format_timestamp(instant: Timestamp) -> String {
    (*timestamp_text(instant)).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(text: &str) -> Option<i64> {
        parse_timestamp(text).ok().map(Timestamp::as_millis)
    }

    #[test]
    fn any_offset_is_accepted() {
        let expected = Some(853_602_944_000);
        for text in [
            "1997-01-18T15:55:44Z",
            "1997-01-18t15:55:44z",
            "1997-01-18T17:55:44+02:00",
            "1997-01-18T15:55:44-00:00",
            "1997-01-18T10:25:44-05:30",
            "1997-01-19T05:40:44.000999999999+13:45",
        ] {
            assert_eq!(millis(text), expected, "{text}");
        }
    }

    #[test]
    fn digits_after_the_millisecond_are_truncated() {
        assert_eq!(millis("1970-01-01T00:00:00.9999Z"), Some(999));
        assert_eq!(millis("1970-01-01T00:00:00.5Z"), Some(500));
        assert_eq!(millis("1970-01-01T00:00:00.05Z"), Some(50));
        assert_eq!(millis("1969-12-31T23:59:59.9999Z"), Some(-1));
    }

    #[test]
    fn a_leap_second_begins_the_next_day() {
        assert_eq!(millis("1990-12-31T23:59:60Z"), millis("1991-01-01T00:00:00Z"));
        assert_eq!(millis("1990-12-31T15:59:60.25-08:00"), millis("1991-01-01T00:00:00.25Z"));
        assert_eq!(millis("1990-12-31T15:59:60Z"), None);
    }

    #[test]
    fn anything_else_is_rejected() {
        for text in [
            "",
            "1997-01-18",
            "1997-01-18T15:55:44",
            "1997-01-18 15:55:44Z",
            "1997-01-18T15:55Z",
            "1997-01-18T15:55:44.Z",
            "1997-01-18T15:55:44,5Z",
            "1997-01-18T15:55:44+0200",
            "1997-01-18T15:55:44+02",
            "1997-01-18T15:55:44+24:00",
            "1997-01-18T15:55:44Z ",
            " 1997-01-18T15:55:44Z",
            "1997-01-18T15:55:44[UTC]",
            "1997-13-18T15:55:44Z",
            "1997-00-18T15:55:44Z",
            "1997-02-29T15:55:44Z",
            "1900-02-29T15:55:44Z",
            "1997-01-18T24:00:00Z",
            "1997-01-18T15:60:44Z",
            "1997-01-18T15:55:61Z",
            "1997-01-18T15:55:4\u{663}Z",
            "+1997-01-18T15:55:44Z",
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
        ] {
            assert!(parse_timestamp(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_formatted_in_utc_with_milliseconds_only_if_they_are_not_zero() {
        assert_eq!(format_timestamp(Timestamp::from_millis(853_602_944_000)), "1997-01-18T15:55:44Z");
        assert_eq!(format_timestamp(Timestamp::from_millis(853_602_944_120)), "1997-01-18T15:55:44.120Z");
        assert_eq!(format_timestamp(Timestamp::from_millis(-1)), "1969-12-31T23:59:59.999Z");
        assert_eq!(format_timestamp(Timestamp::MIN), "0001-01-01T00:00:00Z");
        assert_eq!(format_timestamp(Timestamp::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(format_timestamp(Timestamp::MAX.next()), "9999-12-31T23:59:59.999Z");
    }

    proptest! {
        #[test]
        fn formatted_instants_parse_to_the_same_instant(
            millis in Timestamp::MIN.as_millis()..=Timestamp::MAX.as_millis(),
        ) {
            let instant = Timestamp::from_millis(millis);
            prop_assert_eq!(parse_timestamp(&format_timestamp(instant)), Ok(instant));
        }

        #[test]
        fn jiff_parses_and_formats_the_same(
            millis in Timestamp::MIN.as_millis()..=Timestamp::MAX.as_millis(),
            offset_minutes in -1_439_i32..=1_439,
            precision in 0_u8..=9,
        ) {
            let expected_instant = jiff::Timestamp::from_millisecond(millis).expect("within its range");
            prop_assert_eq!(
                expected_instant,
                format_timestamp(Timestamp::from_millis(millis)).parse::<jiff::Timestamp>().expect("RFC 3339")
            );
            let offset = jiff::tz::Offset::from_seconds(offset_minutes * 60).expect("within a day");
            let text = jiff::fmt::temporal::DateTimePrinter::new()
                .precision(Some(precision))
                .timestamp_with_offset_to_string(&expected_instant, offset);
            // `jiff` writes local times outside the years 0 to 9999 with a sign, which RFC 3339 does not allow.
            prop_assume!(text.starts_with(|first: char| first.is_ascii_digit()));
            let expected: jiff::Timestamp = text.parse().expect("`jiff` parses its own output");
            prop_assert_eq!(
                parse_timestamp(&text).map(Timestamp::as_millis),
                Ok(expected.as_nanosecond().div_euclid(1_000_000).try_into().expect("64 bits"))
            );
        }

        #[test]
        fn no_text_causes_a_panic(text in "\\PC*", dense in "[0-9TtZz:.+-]{0,32}") {
            let _ = (parse_timestamp(&text), parse_timestamp(&dense));
        }
    }
}
