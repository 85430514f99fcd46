//! Times. Every function that reads a time returns it as RFC 3339 text in UTC, truncated to milliseconds.

use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::TimeZone;

use super::super::datum::Datum;
use super::super::error::EvaluationError;
use super::super::evaluate::expected;
use super::number;
use super::text::text_argument;
use crate::lifecycle::time::Timestamp;
use crate::wire::time::{format_timestamp, parse_timestamp};

type Evaluated<'a> = Result<Datum<'a>, EvaluationError>;

fn instant(millis: i64) -> Evaluated<'static> {
    let instant = Timestamp::from_millis(millis);
    if (Timestamp::MIN..=Timestamp::MAX).contains(&instant) {
        Ok(Datum::text(format_timestamp(instant)))
    } else {
        Err(EvaluationError::new("expected a time in the years 1 to 9999"))
    }
}

fn parsed(text: &str) -> Result<Timestamp, EvaluationError> {
    parse_timestamp(text.trim()).map_err(|error| EvaluationError::new(error.to_string()))
}

pub(super) fn rfc3339<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    match text_argument(values, 0)? {
        Some(text) if text.ends_with('Z') && text.len() <= 24 && parsed(&text).is_ok() => Ok(Datum::Text(text)),
        Some(text) if !text.trim().is_empty() => instant(parsed(&text)?.as_millis()),
        _ => Ok(Datum::Null),
    }
}

/// Reads a number since 1970, of which `per_second` are a second.
fn epoch<'a>(values: &mut [Datum<'a>], per_second: i32) -> Evaluated<'a> {
    let millis = match number::number(values)? {
        Datum::Null => return Ok(Datum::Null),
        Datum::Int(number) => i64::try_from((number * 1_000).div_euclid(per_second.into())).ok(),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float to int cast saturates, and the range is checked below"
        )]
        Datum::Double(number) => Some((number * 1_000.0 / f64::from(per_second)).floor() as i64),
        other => return Err(expected("a number", &other)),
    };
    instant(millis.unwrap_or(i64::MAX))
}

pub(super) fn epoch_seconds<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    epoch(values, 1)
}

pub(super) fn epoch_millis<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    epoch(values, 1_000)
}

pub(super) fn epoch_micros<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    epoch(values, 1_000_000)
}

pub(super) fn unix_seconds<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let Some(text) = text_argument(values, 0)? else { return Ok(Datum::Null) };
    Ok(Datum::Int(parsed(&text)?.as_millis().div_euclid(1_000).into()))
}

pub(super) fn unix_millis<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let Some(text) = text_argument(values, 0)? else { return Ok(Datum::Null) };
    Ok(Datum::Int(parsed(&text)?.as_millis().into()))
}

/// A named pattern of a time, and the time zone of texts without an offset.
#[derive(Clone, Debug)]
pub(in crate::mapping) struct TimePattern {
    format: Box<str>,
    zone: TimeZone,
}

impl TimePattern {
    /// Prepares a pattern in the notation of `strftime`, and a zone of the IANA database.
    ///
    /// # Errors
    /// Returns what is wrong with the pattern or the zone.
    pub(in crate::mapping) fn new(format: &str, zone: &str) -> Result<Self, String> {
        let zone = TimeZone::get(zone).map_err(|_| {
            format!("unknown time zone `{zone}`: write a name of the IANA database, such as `Europe/Berlin` or `UTC`")
        })?;
        // A pattern that cannot be formatted is not valid; every field of this time is set.
        let example =
            DateTime::constant(2026, 1, 31, 9, 0, 0, 0).to_zoned(zone.clone()).map_err(|error| error.to_string())?;
        strtime::format(format, &example).map_err(|error| format!("the pattern is not valid: {error}"))?;
        Ok(Self { format: format.into(), zone })
    }

    /// Reads a time.
    pub(in crate::mapping) fn parse<'a>(&self, value: &Datum<'a>) -> Evaluated<'a> {
        let text = match value {
            Datum::Null | Datum::Absent => return Ok(Datum::Null),
            Datum::Text(text) if text.trim().is_empty() => return Ok(Datum::Null),
            Datum::Text(text) => text.trim(),
            other => return Err(expected("a text", other)),
        };
        let no_match = || EvaluationError::new(format!("expected a time in the pattern `{}`", self.format));
        let fields = BrokenDownTime::parse(&*self.format, text).map_err(|_| no_match())?;
        // An offset or a zone in the text wins. A time that occurs twice or never, at a change of the clocks, is read
        // as RFC 5545 does.
        let timestamp = if let Ok(timestamp) = fields.to_timestamp() {
            timestamp
        } else {
            let local = fields.to_datetime().or_else(|_| fields.to_date().map(Date::into)).map_err(|_| no_match())?;
            self.zone.to_ambiguous_zoned(local).compatible().map_err(|_| no_match())?.timestamp()
        };
        instant(timestamp.as_millisecond())
    }

    /// Writes a time.
    pub(in crate::mapping) fn format<'a>(&self, value: &Datum<'a>) -> Evaluated<'a> {
        let text = match value {
            Datum::Null | Datum::Absent => return Ok(Datum::Null),
            Datum::Text(text) => text,
            other => return Err(expected("a time in RFC 3339", other)),
        };
        let timestamp = jiff::Timestamp::from_millisecond(parsed(text)?.as_millis())
            .map_err(|_| EvaluationError::new("expected a time in the years 1 to 9999"))?;
        strtime::format(&*self.format, &timestamp.to_zoned(self.zone.clone()))
            .map(Datum::text)
            .map_err(|_| EvaluationError::new(format!("the time cannot be written as `{}`", self.format)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(call: super::super::Code, value: Datum<'static>) -> Evaluated<'static> {
        call(&mut [value])
    }

    #[test]
    fn numbers_since_1970_are_read_in_each_unit() {
        let expected = Datum::text("2026-01-31T09:00:00Z");
        assert_eq!(read(epoch_seconds, Datum::Int(1_769_850_000)), Ok(expected.clone()));
        assert_eq!(read(epoch_millis, Datum::text("1769850000000")), Ok(expected.clone()));
        assert_eq!(read(epoch_micros, Datum::Int(1_769_850_000_000_000)), Ok(expected));
        assert_eq!(read(epoch_seconds, Datum::Double(1_769_850_000.25)), Ok(Datum::text("2026-01-31T09:00:00.250Z")));
        assert_eq!(read(epoch_millis, Datum::Int(-1)), Ok(Datum::text("1969-12-31T23:59:59.999Z")));
        assert!(read(epoch_seconds, Datum::Int(1_769_850_000_000_000)).is_err());
        assert!(read(epoch_seconds, Datum::Double(1e300)).is_err());
    }

    #[test]
    fn a_pattern_uses_its_zone_unless_the_text_has_an_offset() {
        let berlin = TimePattern::new("%Y-%m-%d %H:%M:%S", "Europe/Berlin").expect("a pattern");
        assert_eq!(berlin.parse(&Datum::text("2026-07-01 12:00:00")), Ok(Datum::text("2026-07-01T10:00:00Z")));
        // The hour that occurs twice is the first, the one that is missing is after the gap.
        assert_eq!(berlin.parse(&Datum::text("2026-10-25 02:30:00")), Ok(Datum::text("2026-10-25T00:30:00Z")));
        assert_eq!(berlin.parse(&Datum::text("2026-03-29 02:30:00")), Ok(Datum::text("2026-03-29T01:30:00Z")));
        assert!(berlin.parse(&Datum::text("01.07.2026")).is_err());
        let offset = TimePattern::new("%Y-%m-%d %H:%M %z", "Europe/Berlin").expect("a pattern");
        assert_eq!(offset.parse(&Datum::text("2026-07-01 12:00 -0500")), Ok(Datum::text("2026-07-01T17:00:00Z")));
        let day = TimePattern::new("%Y%m%d", "UTC").expect("a pattern");
        assert_eq!(day.parse(&Datum::text("20260701")), Ok(Datum::text("2026-07-01T00:00:00Z")));
        let fraction = TimePattern::new("%Y-%m-%d %H:%M:%S%.f", "UTC").expect("a pattern");
        for (text, expected) in
            [("2013-11-26 00:03:57.885", "2013-11-26T00:03:57.885Z"), ("2013-11-26 00:03:57", "2013-11-26T00:03:57Z")]
        {
            assert_eq!(fraction.parse(&Datum::text(text)), Ok(Datum::text(expected)), "{text}");
        }
        assert_eq!(day.format(&Datum::text("2026-07-01T23:59:59+02:00")), Ok(Datum::text("20260701")));
        assert!(TimePattern::new("%Y-%m-%d", "Europe/Atlantis").is_err());
        assert!(TimePattern::new("%!", "UTC").is_err());
    }
}
