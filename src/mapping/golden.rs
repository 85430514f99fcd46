//! Golden records: the tests of a mapping, one JSON object per line.
//!
//! `{"about": "...", "value": {...}, "headers": {...}, "key": "...", "touchpoints": [...]}`: what the line shows, the
//! record, and what becomes of it: `touchpoints`, `dropped` (the reason) or `invalid` (the reason and the detail); of a
//! batch, `records` lists one of these for each of its records. The first line may have `settings` instead of a record.

use serde_json::{Map, Value, json};

use super::mapping::{Mapping, Outcome};
use super::record::RecordValues;
use super::touchpoint::MappedTouchpoint;

/// A golden record and its outcome.
#[derive(Clone, PartialEq, Debug)]
pub struct GoldenRecord {
    /// Number of the line, from 1.
    pub line: usize,
    /// What the record shows.
    pub about: String,
    /// The outcome that the line names: `touchpoints`, `dropped`, `invalid` or `records`, and its value.
    pub expected: Option<(&'static str, Value)>,
    /// The outcome of the mapping.
    pub found: (&'static str, Value),
}

impl GoldenRecord {
    /// Whether the outcome is the expected one.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.expected.as_ref() == Some(&self.found)
    }
}

const OUTCOMES: [&str; 4] = ["touchpoints", "dropped", "invalid", "records"];

/// Returns the settings in the first line.
///
/// # Errors
/// If the first line is not a JSON object.
pub fn golden_settings(text: &str) -> Result<Map<String, Value>, String> {
    let first = parse(1, text.lines().next().unwrap_or("{}"))?;
    Ok(first.get("settings").and_then(Value::as_object).cloned().unwrap_or_default())
}

/// Maps the golden records in `text`.
///
/// # Errors
/// The number of the first line that is not a JSON object with `value`.
pub fn golden_records(mapping: &Mapping, text: &str) -> Result<Vec<GoldenRecord>, String> {
    let mut records = Vec::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let mut members = parse(line, text)?;
        let Some(value) = members.remove("value") else {
            if line == 1 {
                continue;
            }
            return Err(format!("line {line}: the golden record has no `value`"));
        };
        let expected = OUTCOMES.iter().find_map(|name| Some((*name, members.remove(*name)?)));
        let headers = members.remove("headers").unwrap_or_else(|| Value::Object(Map::new()));
        let values = RecordValues { key: members.remove("key").unwrap_or_default(), headers, value };
        let found = match mapping.records(values) {
            Ok(records) if records.is_batch() => {
                let found = (0..records.count()).map(|at| outcome(mapping.map_record(&records, at)));
                ("records", found.map(|(name, value)| json!({ name: value })).collect())
            }
            Ok(records) => outcome(mapping.map_record(&records, 0)),
            Err(cause) => outcome(Outcome::Invalid(cause)),
        };
        let about = members.get("about").and_then(Value::as_str).unwrap_or_default().to_owned();
        records.push(GoldenRecord { line, about, expected, found });
    }
    Ok(records)
}

/// Returns the name of an outcome and its value.
fn outcome(outcome: Outcome<'_>) -> (&'static str, Value) {
    match outcome {
        Outcome::Touchpoints(all) => ("touchpoints", all.iter().map(MappedTouchpoint::to_json).collect()),
        Outcome::Dropped(reason) => ("dropped", reason.into()),
        Outcome::Invalid(cause) => ("invalid", format!("{}: {}", cause.reason.as_str(), cause.detail).into()),
    }
}

fn parse(line: usize, text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(format!("line {line}: not a JSON object")),
    }
}
