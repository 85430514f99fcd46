//! Formats JSON values, instants and numbers as short text for narrow lines.

use serde_json::{Map, Value};

use crate::lifecycle::time::Timestamp;
use crate::wire::time::parse_timestamp;
use crate::wire::transition_text::describe_duration_roughly;

/// Replaces underscores by spaces: `order_completed` becomes `order completed`.
pub(super) fn with_spaces(name: &str) -> String {
    name.replace('_', " ")
}

/// Shortens an RFC 3339 instant to the minute: `2025-10-24 14:00`.
pub(super) fn shorten_to_minute(instant: &str) -> String {
    instant.get(..16).unwrap_or(instant).replace('T', " ")
}

/// Formats an instant to the minute: `2025-10-24 14:00`.
pub(super) fn format_to_minute(instant: Timestamp) -> String {
    shorten_to_minute(&crate::wire::time::format_timestamp(instant))
}

/// Formats a JSON value. Formats an instant as its distance from `now`, such as `31 days ago`.
pub(super) fn value(value: &Value, now: Option<Timestamp>) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => match (parse_timestamp(text), now) {
            (Ok(time), Some(now)) if time < now => format!("{} ago", describe_duration_roughly(now - time)),
            (Ok(time), Some(now)) if time > now => format!("in {}", describe_duration_roughly(time - now)),
            (Ok(_), Some(_)) => "now".to_owned(),
            (Ok(_), None) => shorten_to_minute(text),
            (Err(_), _) => text.clone(),
        },
        other => other.to_string(),
    }
}

/// Formats the cause of a transition: `after order completed: orders.count is 2`, or `time passed: orders.last was 90
/// days ago`.
pub(super) fn reason(transition: &Value) -> String {
    let cause = &transition["cause"];
    let mut text = match (transition["mode"].as_str(), cause["time"].as_bool(), cause["type"].as_str()) {
        (Some("reconcile"), _, _) => "the model was edited".to_owned(),
        (_, Some(true), _) => "time passed".to_owned(),
        (_, _, Some(type_name)) => format!("after {}", with_spaces(type_name)),
        _ => "unknown cause".to_owned(),
    };
    let occurred_at = transition["occurred_at"].as_str().and_then(|text| parse_timestamp(text).ok());
    let values = transition["because"]["values"].as_object();
    let (instants, others) = values.map(|values| split_values(values, occurred_at)).unwrap_or_default();
    // The values that explain the transition best come first: instants if time caused it, other values if a touchpoint
    // did.
    let values = if cause["time"] == true { [instants, others] } else { [others, instants] }.concat().join(", ");
    if !values.is_empty() {
        text.push_str(": ");
        text.push_str(&values);
    }
    text
}

/// Formats the non-null values that a condition read, instants last.
pub(super) fn values(values: &Map<String, Value>, now: Option<Timestamp>) -> String {
    let (instants, others) = split_values(values, now);
    [others, instants].concat().join(", ")
}

/// Formats the non-null values that a condition read: instants, and all others.
fn split_values(values: &Map<String, Value>, now: Option<Timestamp>) -> (Vec<String>, Vec<String>) {
    let (mut instants, mut others) = (Vec::new(), Vec::new());
    for (name, json) in values.iter().filter(|(_, json)| !json.is_null()) {
        let instant = json.as_str().and_then(|text| parse_timestamp(text).ok());
        let verb = if instant.is_some() && now > instant { "was" } else { "is" };
        let text = format!("{name} {verb} {}", value(json, now));
        if instant.is_some() { instants.push(text) } else { others.push(text) }
    }
    (instants, others)
}

/// Leaves out the last values of a reason until it fits `width` columns, so that no value is cut.
pub(super) fn shorten_reason(reason: &str, width: usize) -> &str {
    let fits = |text: &str| ratatui::text::Span::raw(text).width() <= width;
    let ends =
        std::iter::once(reason.len()).chain(reason.rmatch_indices(", ").map(|(end, _)| end)).chain(reason.find(": "));
    ends.map(|end| &reason[..end]).find(|text| fits(text)).unwrap_or("")
}

/// Breaks `text` into lines of at most `width` columns, between words.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let columns = |text: &str| ratatui::text::Span::raw(text).width();
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if columns(line) + 1 + columns(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Formats a number with thousands separators: `1,234,567`.
pub(super) fn with_separators(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats the speed of a clock relative to wall time: `5 days/s`, `1.5 hours/s`, `real time`.
pub(super) fn speed(seconds_per_second: f64) -> String {
    if (0.8..1.2).contains(&seconds_per_second) {
        return "real time".to_owned();
    }
    let units = [("day", 86_400.0), ("hour", 3_600.0), ("minute", 60.0), ("second", 1.0)];
    let fitting = units.iter().find(|(_, seconds)| seconds_per_second >= *seconds);
    let &(unit, seconds) = fitting.unwrap_or(&units[3]);
    let count = (seconds_per_second / seconds * 10.0).round() / 10.0;
    let plural = if (count - 1.0).abs() < 0.05 { "" } else { "s" };
    if count >= 10.0 { format!("{count:.0} {unit}{plural}/s") } else { format!("{count} {unit}{plural}/s") }
}

/// Formats a duration in seconds with a unit that fits: `12 ms`, `1.2 s`.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 0.000_95 => format!("{:.0} us", s * 1e6),
        s if s < 0.095 => format!("{:.1} ms", s * 1e3),
        s if s < 0.95 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3_600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reason_names_the_cause_and_the_values_read() {
        let mut transition = json!({
            "occurred_at": "2025-07-01T10:00:00Z", "mode": "live", "cause": {"event_id": "t1", "type": "order_completed"},
            "because": {"condition": "orders.count >= 2", "values": {"orders.count": 2, "used_at": null}},
        });
        assert_eq!(reason(&transition), "after order completed: orders.count is 2");
        transition["cause"] = json!({"time": true});
        transition["because"]["values"] = json!({"orders.last": "2025-04-02T10:00:00Z"});
        assert_eq!(reason(&transition), "time passed: orders.last was 90 days ago");
        transition["because"] = Value::Null;
        transition["mode"] = json!("reconcile");
        assert_eq!(reason(&transition), "the model was edited");
    }

    #[test]
    fn a_reason_loses_whole_values_and_is_never_cut() {
        let reason = "after order completed: orders.count is 2, streak is 1, used_at was 5 days ago";
        for (width, expected) in [
            (100, reason),
            (60, "after order completed: orders.count is 2, streak is 1"),
            (45, "after order completed: orders.count is 2"),
            (25, "after order completed"),
            (5, ""),
        ] {
            assert_eq!(shorten_reason(reason, width), expected);
        }
    }

    #[test]
    fn text_wraps_between_words() {
        assert_eq!(wrap("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrap("unbreakable word", 4), ["unbreakable", "word"]);
        assert!(wrap("", 4).is_empty());
    }

    #[test]
    fn numbers_durations_and_speeds_are_short() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(with_separators), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0004, 0.0123, 0.5, 3.0, 600.0].map(seconds), ["400 us", "12.3 ms", "500 ms", "3.0 s", "10 min"]);
        assert_eq!(
            [1.0, 86_400.0, 432_000.0, 5_400.0, 0.0].map(speed),
            ["real time", "1 day/s", "5 days/s", "1.5 hours/s", "0 seconds/s"]
        );
    }

    #[test]
    fn instants_are_formatted_as_a_distance() {
        let now = parse_timestamp("2025-07-01T10:00:00Z").ok();
        for (instant, expected) in [
            ("2025-06-30T10:00:00Z", "1 day ago"),
            ("2025-07-01T12:00:00Z", "in 2 hours"),
            ("2025-07-01T10:00:00Z", "now"),
        ] {
            assert_eq!(value(&json!(instant), now), expected);
        }
        assert_eq!(value(&json!("2025-07-01T10:00:00Z"), None), "2025-07-01 10:00");
        assert_eq!(value(&json!("vip"), now), "vip");
    }
}
