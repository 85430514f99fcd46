//! Transitions, timestamps and values as English text for terminals.
//!
//! Scenario files use the same wording for expected changes, so that output can be copied into them. All timestamps are
//! in UTC.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::time::format_timestamp;
use super::transition::signal_word;
use crate::lifecycle::id::StageIndex;
use crate::lifecycle::model::{Direction, Model};
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::transition::{Cause, Change, Merge, Transition};
use crate::lifecycle::value::OwnedValue;

/// Shown instead of a stage's name when the customer is in no stage.
pub const NO_STAGE: &str = "no stage";

/// Maximum number of values per line of an explanation.
const VALUES_PER_LINE: usize = 3;

/// Describes what changed: `became_loyal (repeat_order to loyalty, forward)`, `milestone made_first_purchase`,
/// `counter reentered_cycle 2`, `signal vip started`.
#[must_use]
pub fn describe_change(model: &Model, transition: &Transition) -> String {
    let name = &transition.name;
    let late = if transition.late { ", late" } else { "" };
    match &transition.change {
        Change::Stage { from, to, skipped, direction, .. } => {
            let (from, to) = (stage_name(model, *from), stage_name(model, *to));
            let mut text = format!("{name} ({from} to {to}, {}", direction.as_str());
            if *direction == Direction::Forward && !skipped.is_empty() {
                let names: Vec<&str> = skipped.iter().map(|&stage| stage_name(model, Some(stage))).collect();
                _ = write!(text, ", skips {}", names.join(" and "));
            }
            text + late + ")"
        }
        Change::Signal { on } => format!("signal {name} {}", signal_word(*on)),
        Change::Milestone => format!("milestone {name}"),
        Change::Counter { count } => format!("counter {name} {count}"),
    }
}

/// Describes the reason of a transition: a line for its cause, one for the condition that holds now, and lines with the
/// values that the condition read.
#[must_use]
pub fn describe_reason(transition: &Transition) -> Vec<String> {
    let mut lines = vec![match &transition.cause {
        Cause::Time if transition.reconciled => "caused by an edit of the model".to_owned(),
        Cause::Time => "caused by time".to_owned(),
        Cause::Touchpoint { type_name, .. } => format!("caused by {type_name}"),
    }];
    let Some(reason) = &transition.because else {
        lines.push(match transition.merge.as_ref().and_then(Merge::merged_into) {
            Some(customer) => format!("because the facts moved to {customer}"),
            None => "because no stage's condition holds any more".to_owned(),
        });
        return lines;
    };
    let because = match transition.change {
        Change::Signal { on: false } => "because no longer",
        Change::Counter { .. } => "because of",
        _ => "because",
    };
    lines.push(format!("{because} {}", reason.condition));
    let values: Vec<String> = reason
        .values()
        .map(|(name, read)| format!("{name} = {}", describe_value(read, Some(transition.occurred_at))))
        .collect();
    lines.extend(values.chunks(VALUES_PER_LINE).map(|chunk| format!("with {}", chunk.join(", "))));
    lines
}

/// Returns the name of a stage, or [`NO_STAGE`].
#[must_use]
pub fn stage_name(model: &Model, stage: Option<StageIndex>) -> &str {
    stage.map_or(NO_STAGE, |stage| &model.stage(stage).name)
}

/// Describes a value, which may be absent; for a timestamp, also its distance from `now`.
#[must_use]
pub fn describe_value(value: Option<&OwnedValue>, now: Option<Timestamp>) -> String {
    match value {
        None => "none".to_owned(),
        Some(OwnedValue::Int(number)) => number.to_string(),
        Some(OwnedValue::Double(number)) => number.to_string(),
        Some(OwnedValue::Bool(truth)) => truth.to_string(),
        Some(OwnedValue::String(text)) => format!("\"{text}\""),
        Some(OwnedValue::Timestamp(time)) => match now {
            Some(now) if *time < now => {
                format!("{} ({} before)", describe_timestamp(*time), describe_duration_roughly(now - *time))
            }
            Some(now) if *time > now => {
                format!("{} (in {})", describe_timestamp(*time), describe_duration_roughly(*time - now))
            }
            Some(_) => format!("{} (now)", describe_timestamp(*time)),
            None => describe_timestamp(*time),
        },
        Some(OwnedValue::Duration(time)) => describe_duration(*time),
    }
}

/// Escapes the control characters in a text that customers or other programs chose, so that it can neither control a
/// terminal nor forge lines: `\n`, `\u{1b}`. Also escapes the characters that reverse the direction of text, and
/// invisible ones, with which two different ids look the same.
#[must_use]
pub fn escape_control_characters(text: &str) -> Cow<'_, str> {
    if !text.contains(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    text.chars().for_each(|letter| push_escaped(letter, &mut escaped));
    Cow::Owned(escaped)
}

/// Like [`escape_control_characters`], for a whole message: keeps line ends, tabs and the colors of a report. Names of
/// files, models and keys in it cannot control the terminal.
#[must_use]
pub fn escape_message(text: &str) -> Cow<'_, str> {
    if !text.contains(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let color = color_sequence(rest);
        let length = color.max(letter.len_utf8());
        if color > 0 || matches!(letter, '\n' | '\t') {
            escaped.push_str(&rest[..length]);
        } else {
            push_escaped(letter, &mut escaped);
        }
        rest = &rest[length..];
    }
    Cow::Owned(escaped)
}

/// Returns whether `letter` can control a terminal, reverse the direction of text, or is invisible. The joiners of
/// Persian words and of emoji (U+200C, U+200D) are part of what people read.
#[must_use]
pub fn is_deceptive(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

fn push_escaped(letter: char, out: &mut String) {
    match letter {
        '\n' | '\r' | '\t' => out.extend(letter.escape_default()),
        letter if is_deceptive(letter) => out.extend(letter.escape_unicode()),
        letter => out.push(letter),
    }
}

/// Returns the length of the color sequence at the start of `text`; 0 if there is none. The one that hides text is not
/// a color.
fn color_sequence(text: &str) -> usize {
    let Some((parameters, _)) = text.strip_prefix("\u{1b}[").and_then(|rest| rest.split_once('m')) else { return 0 };
    let is_color = parameters.bytes().all(|byte| byte.is_ascii_digit() || byte == b';')
        && parameters.split(';').all(|parameter| parameter.trim_start_matches('0') != "8");
    if is_color { "\u{1b}[m".len() + parameters.len() } else { 0 }
}

/// Describes a timestamp: `2026-01-31 10:00`, with seconds only if they are not zero.
#[must_use]
pub fn describe_timestamp(instant: Timestamp) -> String {
    let text = format_timestamp(instant).replacen('T', " ", 1);
    let text = text.trim_end_matches('Z');
    text.strip_suffix(":00").unwrap_or(text).to_owned()
}

/// Describes a duration with all its units: `45 days`, `1 day 2 hours`.
#[must_use]
pub fn describe_duration(length: Duration) -> String {
    format_units(length, usize::MAX)
}

/// Describes a duration with its two longest units; omits shorter units.
#[must_use]
pub fn describe_duration_roughly(length: Duration) -> String {
    format_units(length, 2)
}

fn format_units(length: Duration, units_max: usize) -> String {
    const UNITS: [(&str, u64); 5] =
        [("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1_000), ("millisecond", 1)];
    let mut rest = length.as_millis().unsigned_abs();
    let mut parts = Vec::new();
    for (unit, millis) in UNITS {
        let count = rest / millis;
        rest %= millis;
        if count > 0 {
            parts.push(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }));
        }
    }
    if parts.is_empty() {
        return "0 seconds".to_owned();
    }
    parts.truncate(units_max);
    let sign = if length.as_millis() < 0 { "minus " } else { "" };
    format!("{sign}{}", parts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_show_seconds_only_if_they_are_not_zero() {
        for (millis, expected) in [
            (0, "1970-01-01 00:00"),
            (59_000, "1970-01-01 00:00:59"),
            (60_000, "1970-01-01 00:01"),
            (60_007, "1970-01-01 00:01:00.007"),
        ] {
            assert_eq!(describe_timestamp(Timestamp::from_millis(millis)), expected);
        }
    }

    #[test]
    fn durations_show_only_units_that_are_not_zero() {
        for (millis, expected) in [
            (0, "0 seconds"),
            (86_400_000, "1 day"),
            (2 * 86_400_000 + 3_600_000, "2 days 1 hour"),
            (90_001, "1 minute 30 seconds 1 millisecond"),
            (-7_200_000, "minus 2 hours"),
        ] {
            assert_eq!(describe_duration(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn a_timestamp_value_shows_its_distance_from_now() {
        let now = Timestamp::from_millis(0) + Duration::from_days(2);
        let described = |days| {
            describe_value(
                Some(&OwnedValue::Timestamp(Timestamp::from_millis(0) + Duration::from_days(days))),
                Some(now),
            )
        };
        assert_eq!(described(0), "1970-01-01 00:00 (2 days before)");
        assert_eq!(described(2), "1970-01-03 00:00 (now)");
        let before = |millis: i64| {
            describe_value(
                Some(&OwnedValue::Timestamp(Timestamp::from_millis(-millis))),
                Some(Timestamp::from_millis(0)),
            )
        };
        assert_eq!(before(93_784_005), "1969-12-30 21:56:55.995 (1 day 2 hours before)");
        assert_eq!(described(3), "1970-01-04 00:00 (in 1 day)");
        assert_eq!(describe_value(None, Some(now)), "none");
    }
}
