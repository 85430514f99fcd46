//! Transitions, instants and values in plain words, for people who read a terminal.
//!
//! What a change is called here is also what a scenario file expects it by, so that what was got can be copied there.
//! All instants are in UTC.

use std::fmt::Write as _;

use super::time::format_timestamp;
use super::transition::signal_word;
use crate::lifecycle::id::StageIndex;
use crate::lifecycle::model::{Direction, Model};
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::transition::{Cause, Change, OwnedValue, Transition};

/// What stands in place of a stage's name where there is none.
pub const NO_STAGE: &str = "no stage";

/// How many values an explanation shows in a line.
const VALUES_IN_LINE: usize = 3;

/// What changed: `became_loyal (repeat_order to loyalty, forward)`, `milestone made_first_purchase`,
/// `counter reentered_cycle 2`, `signal vip started`.
#[must_use]
pub fn change(model: &Model, transition: &Transition) -> String {
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

/// Why: lines that say what caused the change, which condition holds now, and what it read.
#[must_use]
pub fn reason(transition: &Transition) -> Vec<String> {
    let mut lines = vec![match &transition.cause {
        Cause::Time if transition.reconciled => "caused by an edit of the model".to_owned(),
        Cause::Time => "caused by time".to_owned(),
        Cause::Touchpoint { type_name, .. } => format!("caused by {type_name}"),
    }];
    if transition.because.is_empty() {
        lines.push("because no stage's condition holds any more".to_owned());
        return lines;
    }
    let because = match transition.change {
        Change::Signal { on: false } => "because no longer",
        Change::Counter { .. } => "because of",
        _ => "because",
    };
    lines.push(format!("{because} {}", transition.because));
    let values: Vec<String> = transition
        .values
        .iter()
        .map(|(name, read)| format!("{name} = {}", value(read, Some(transition.occurred_at))))
        .collect();
    lines.extend(values.chunks(VALUES_IN_LINE).map(|chunk| format!("with {}", chunk.join(", "))));
    lines
}

/// The name of a stage, or that there is none.
#[must_use]
pub fn stage_name(model: &Model, stage: Option<StageIndex>) -> &str {
    stage.map_or(NO_STAGE, |stage| &model.stage(stage).name)
}

/// A value; an instant is also told by its distance from `now`.
#[must_use]
pub fn value(value: &OwnedValue, now: Option<Timestamp>) -> String {
    match value {
        OwnedValue::Absent => "none".to_owned(),
        OwnedValue::Int(number) => number.to_string(),
        OwnedValue::Double(number) => number.to_string(),
        OwnedValue::Bool(truth) => truth.to_string(),
        OwnedValue::String(text) => format!("\"{text}\""),
        OwnedValue::Timestamp(time) => match now {
            Some(now) if *time < now => format!("{} ({} before)", instant(*time), rough_length(now - *time)),
            Some(now) if *time > now => format!("{} (in {})", instant(*time), rough_length(*time - now)),
            Some(_) => format!("{} (now)", instant(*time)),
            None => instant(*time),
        },
        OwnedValue::Duration(time) => length(*time),
    }
}

/// An instant: `2026-01-31 10:00`, with seconds where there are any.
#[must_use]
pub fn instant(instant: Timestamp) -> String {
    let text = format_timestamp(instant).replacen('T', " ", 1);
    let text = text.trim_end_matches('Z');
    text.strip_suffix(":00").unwrap_or(text).to_owned()
}

/// A length of time: `45 days`, `1 day 2 hours`.
#[must_use]
pub fn length(length: Duration) -> String {
    parts(length, usize::MAX)
}

/// A length of time by its two longest units; what is shorter is cut off.
#[must_use]
pub fn rough_length(length: Duration) -> String {
    parts(length, 2)
}

fn parts(length: Duration, parts_max: usize) -> String {
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
        return "no time".to_owned();
    }
    parts.truncate(parts_max);
    let sign = if length.as_millis() < 0 { "minus " } else { "" };
    format!("{sign}{}", parts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_tell_seconds_only_where_there_are_any() {
        for (millis, expected) in [
            (0, "1970-01-01 00:00"),
            (59_000, "1970-01-01 00:00:59"),
            (60_000, "1970-01-01 00:01"),
            (60_007, "1970-01-01 00:01:00.007"),
        ] {
            assert_eq!(instant(Timestamp::from_millis(millis)), expected);
        }
    }

    #[test]
    fn lengths_are_told_by_the_units_that_they_have() {
        for (millis, expected) in [
            (0, "no time"),
            (86_400_000, "1 day"),
            (2 * 86_400_000 + 3_600_000, "2 days 1 hour"),
            (90_001, "1 minute 30 seconds 1 millisecond"),
            (-7_200_000, "minus 2 hours"),
        ] {
            assert_eq!(length(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn an_instant_among_values_says_how_far_it_is() {
        let now = Timestamp::from_millis(0) + Duration::from_days(2);
        let told =
            |days| value(&OwnedValue::Timestamp(Timestamp::from_millis(0) + Duration::from_days(days)), Some(now));
        assert_eq!(told(0), "1970-01-01 00:00 (2 days before)");
        assert_eq!(told(2), "1970-01-03 00:00 (now)");
        let before = |millis: i64| {
            value(&OwnedValue::Timestamp(Timestamp::from_millis(-millis)), Some(Timestamp::from_millis(0)))
        };
        assert_eq!(before(93_784_005), "1969-12-30 21:56:55.995 (1 day 2 hours before)");
        assert_eq!(told(3), "1970-01-04 00:00 (in 1 day)");
        assert_eq!(value(&OwnedValue::Absent, Some(now)), "none");
    }
}
