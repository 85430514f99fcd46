//! Batches: several records in one value, such as `{"batch": [...], "sentAt": "..."}`, or a list of records.
//!
//! Each record of a batch is mapped on its own: one that is invalid does not affect the others. Members of the value
//! that its records share are added to each of them, so that a record of a batch and a single record have one shape.

use serde_json::{Map, Value};

use super::explain::Explanation;
use super::record::{RecordValues, not_an_object};
use super::{Mapping, Outcome, SourceRecord};
use crate::partition::DeadLetterReason;
use crate::wire::touchpoint_json::DeadLetterCause;

/// Maximum number of records of a batch.
pub const BATCH_RECORDS_MAX: usize = 2_500;
/// Maximum size of the members that the records of a batch share, in bytes of JSON: each record gets a copy.
const SHARED_BYTES_MAX: usize = 64 << 10;

/// Where a mapping finds the records of a batch.
#[derive(Clone, Debug)]
pub(super) struct BatchRule {
    /// The names of the members from the value to its list of records.
    pub(super) path: Box<[Box<str>]>,
    /// The path as written.
    pub(super) text: String,
    /// The members of the value that each record has, too, unless it has its own.
    pub(super) shared: Vec<String>,
}

/// The records of one value.
#[derive(Clone, PartialEq, Debug)]
pub struct Records {
    key: Value,
    headers: Value,
    values: Values,
}

#[derive(Clone, PartialEq, Debug)]
enum Values {
    One(Value),
    /// The records of a batch, and the path of their list.
    Batch(Vec<Value>, String),
}

impl Records {
    /// Returns the number of records; 0 only for an empty batch.
    #[must_use]
    pub const fn count(&self) -> usize {
        match &self.values {
            Values::One(_) => 1,
            Values::Batch(records, _) => records.len(),
        }
    }

    /// Whether the value is a batch, even if it has one record or none.
    #[must_use]
    pub const fn is_batch(&self) -> bool {
        matches!(self.values, Values::Batch(..))
    }

    /// Returns the record with the index `at`.
    ///
    /// # Panics
    /// If `at` is not below the number of records.
    #[must_use]
    pub fn record(&self, at: usize) -> SourceRecord<'_> {
        let value = match &self.values {
            Values::One(value) => value,
            Values::Batch(records, _) => &records[at],
        };
        SourceRecord { key: &self.key, headers: &self.headers, value }
    }

    /// Returns a record, unless it is an item of a batch and not an object.
    fn check(&self, at: usize) -> Result<SourceRecord<'_>, DeadLetterCause> {
        let record = self.record(at);
        if self.is_batch() && !record.value.is_object() {
            return Err(DeadLetterCause::new(DeadLetterReason::BadField, "expected an object"));
        }
        Ok(record)
    }

    /// Names the record of a batch in the detail of its dead letter.
    fn located<'m>(&self, at: usize, mut outcome: Outcome<'m>) -> Outcome<'m> {
        if let (Values::Batch(_, path), Outcome::Invalid(cause)) = (&self.values, &mut outcome) {
            cause.detail = format!("item {at} of {path}: {}", cause.detail).into();
        }
        outcome
    }
}

impl Mapping {
    /// Returns the records that a value contains: those of its batch, or the value itself.
    ///
    /// # Errors
    /// If the value is a list and the mapping reads no batches, or if the batch as a whole is invalid.
    pub fn records(&self, values: RecordValues) -> Result<Records, DeadLetterCause> {
        let RecordValues { key, headers, mut value } = values;
        let batch = match &self.batch {
            Some(rule) => rule.take(&mut value)?,
            None if value.is_array() => return Err(not_an_object()),
            None => None,
        };
        let values = match batch {
            Some((records, path)) => Values::Batch(records, path),
            None => Values::One(value),
        };
        Ok(Records { key, headers, values })
    }

    /// Maps the record with the index `at`.
    #[must_use]
    pub fn map_record(&self, records: &Records, at: usize) -> Outcome<'_> {
        match records.check(at) {
            Ok(record) => records.located(at, self.map(&record)),
            Err(cause) => records.located(at, Outcome::Invalid(cause)),
        }
    }

    /// Maps the record with the index `at`, and explains the result.
    #[must_use]
    pub fn explain_record(&self, records: &Records, at: usize) -> Explanation<'_> {
        let explanation = match records.check(at) {
            Ok(record) => self.explain(&record),
            Err(cause) => Explanation { outcome: Outcome::Invalid(cause), touchpoints: Vec::new(), unread: Vec::new() },
        };
        Explanation { outcome: records.located(at, explanation.outcome), ..explanation }
    }
}

impl BatchRule {
    /// Takes the records out of `value`, and returns the path of their list. `None` if the value is one record.
    fn take(&self, value: &mut Value) -> Result<Option<(Vec<Value>, String)>, DeadLetterCause> {
        let invalid = |what: String| DeadLetterCause::new(DeadLetterReason::BadField, what);
        let (mut records, path) = match &mut *value {
            Value::Array(records) => (std::mem::take(records), "record"),
            value => match self.path.iter().try_fold(&mut *value, |value, name| value.get_mut(&**name)) {
                Some(Value::Array(records)) => (std::mem::take(records), self.text.as_str()),
                None | Some(Value::Null) => return Ok(None),
                Some(_) if self.path.is_empty() => return Ok(None),
                Some(_) => return Err(invalid(format!("{}: expected a list", self.text))),
            },
        };
        if records.len() > BATCH_RECORDS_MAX {
            return Err(invalid(format!("{path}: more than {BATCH_RECORDS_MAX} records")));
        }
        let shared = self.shared_members(value);
        if !shared.is_empty() {
            if serde_json::to_string(&shared).map_or(0, |json| json.len()) > SHARED_BYTES_MAX {
                let names = self.shared.join(", ");
                return Err(invalid(format!("{names}: more than {SHARED_BYTES_MAX} bytes, which all records share")));
            }
            records.iter_mut().filter_map(Value::as_object_mut).for_each(|record| add_shared(record, &shared));
        }
        Ok(Some((records, path.to_owned())))
    }

    /// Returns the first record of a batch; `None` if the value is one record, or if the batch has none.
    pub(super) fn first(&self, value: &Value) -> Option<Value> {
        let list = if value.is_array() {
            value
        } else {
            self.path.iter().try_fold(value, |value, name| value.get(&**name)).filter(|found| found.is_array())?
        };
        let mut first = list.get(0)?.clone();
        if let Some(record) = first.as_object_mut() {
            add_shared(record, &self.shared_members(value));
        }
        Some(first)
    }

    fn shared_members(&self, value: &Value) -> Map<String, Value> {
        let shared = self.shared.iter().filter_map(|name| Some((name, value.get(name).filter(|it| !it.is_null())?)));
        shared.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// Adds the shared members to a record. Those of the record win; the members of two objects are combined.
fn add_shared(record: &mut Map<String, Value>, shared: &Map<String, Value>) {
    for (name, value) in shared {
        match (record.get_mut(name), value) {
            (None | Some(Value::Null), value) => _ = record.insert(name.clone(), value.clone()),
            (Some(Value::Object(own)), Value::Object(members)) => {
                for (name, member) in members {
                    if !own.contains_key(name) {
                        own.insert(name.clone(), member.clone());
                    }
                }
            }
            _ => {}
        }
    }
}
