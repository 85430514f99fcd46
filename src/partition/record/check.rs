//! Validates a record without decoding it into a customer.
//!
//! A restore validates every record of the changelog, but decodes a customer only when it is next needed. `check`
//! accepts removals and exactly the records that `read` accepts; a test compares the two.

use crate::lifecycle::id::StageIndex;
use crate::lifecycle::time::Timestamp;

use super::identity::read_identity;
use super::read::read_currency;
use super::reader::{FieldValue, Reader, time_before, unzigzag};
use super::{Shape, field};

/// The number of varints after the stage and before the counters of a standing.
const BEFORE_COUNTERS: usize = 5;

/// The fields of a valid record that a restore needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CheckedRecord<'a> {
    pub(crate) customer_id: &'a str,
    /// Whether the record marks the customer as removed. Such a record has no further content.
    pub(crate) is_removed: bool,
    /// Whether there is no customer under the id, only an identity.
    pub(crate) is_vacant: bool,
    pub(crate) wake_up: Option<Timestamp>,
    pub(crate) last_active_at: Option<Timestamp>,
    standings: &'a [u8],
}

impl<'a> CheckedRecord<'a> {
    /// Returns the last published stage of each model.
    pub(crate) fn stages(self, shape: &'a Shape) -> impl Iterator<Item = Option<StageIndex>> + 'a {
        stages(self.standings, shape)
    }
}

/// Returns the last published stage of each model from a valid record.
pub(crate) fn stages_of<'a>(record: &'a [u8], shape: &'a Shape) -> impl Iterator<Item = Option<StageIndex>> + 'a {
    let mut reader = Reader(record);
    let mut standings: &[u8] = &[];
    while let Some(Some(found)) = reader.field() {
        if let (field::STANDINGS, FieldValue::Bytes(bytes)) = found {
            standings = bytes;
        }
    }
    stages(standings, shape)
}

fn stages<'a>(standings: &'a [u8], shape: &'a Shape) -> impl Iterator<Item = Option<StageIndex>> + 'a {
    let mut reader = Reader(standings);
    shape.models.iter().map_while(move |&(_, counters)| {
        let stage = reader.varint()?;
        reader.skip_varints(BEFORE_COUNTERS + counters)?;
        Some(stage.checked_sub(1).and_then(|stage| u8::try_from(stage).ok()).map(StageIndex))
    })
}

/// Validates `record` against `shape`. Returns `None` if it is not a valid record of that shape.
pub(crate) fn check<'a>(record: &'a [u8], shape: &Shape) -> Option<CheckedRecord<'a>> {
    let mut checked = CheckedRecord {
        customer_id: "",
        is_removed: false,
        is_vacant: false,
        wake_up: None,
        last_active_at: None,
        standings: &[],
    };
    let mut clock = 0;
    let mut has_standings = shape.models.is_empty();
    let mut reader = Reader(record);
    while let Some(found) = reader.field()? {
        match found {
            (field::CUSTOMER_ID, FieldValue::Bytes(id)) => checked.customer_id = std::str::from_utf8(id).ok()?,
            (field::REMOVED, FieldValue::Number(removed)) => checked.is_removed = removed != 0,
            (field::CLOCK, FieldValue::Number(value)) => clock = unzigzag(value),
            (field::WAKE_UP_IN, FieldValue::Number(value)) => {
                checked.wake_up = Some(Timestamp::from_millis(clock.wrapping_add(value.cast_signed())));
            }
            (field::HEARD_AGE, FieldValue::Number(age)) => {
                checked.last_active_at = Some(Timestamp::from_millis(time_before(clock, age)));
            }
            (field::STANDINGS, FieldValue::Bytes(bytes)) => {
                check_standings(bytes, shape)?;
                checked.standings = bytes;
                has_standings = true;
            }
            (field::NUMBERS, FieldValue::Bytes(bytes)) => {
                let mut reader = Reader(bytes);
                while !reader.0.is_empty() {
                    let index = usize::try_from(reader.varint()?).ok()?;
                    (index < shape.number_is_time.len()).then_some(())?;
                    reader.varint()?;
                }
            }
            (field::NUMBERS_HIGH, FieldValue::Bytes(bytes)) => check_high_bits(bytes, shape.number_is_time.len())?,
            (field::ORDERS, FieldValue::Bytes(bytes)) => check_order(bytes, shape.follow_ups)?,
            (field::LATEST, FieldValue::Bytes(bytes)) => check_latest(bytes, shape.latest)?,
            (field::WINDOWS, FieldValue::Bytes(bytes)) => check_times(bytes, clock, shape.windows)?,
            (field::FOLLOWED, FieldValue::Bytes(bytes)) => check_times(bytes, clock, shape.follow_ups)?,
            (field::FOLDED, FieldValue::Bytes(bytes)) => check_folded(bytes, shape.follow_ups)?,
            (field::IDENTITY, FieldValue::Bytes(bytes)) => {
                read_identity(bytes)?;
                checked.is_vacant = true;
            }
            _ => {}
        }
    }
    checked.is_vacant &= !has_standings;
    ((has_standings || checked.is_removed || checked.is_vacant) && !checked.customer_id.is_empty()).then_some(checked)
}

fn check_standings(bytes: &[u8], shape: &Shape) -> Option<()> {
    let mut reader = Reader(bytes);
    for &(stages, counters) in &shape.models {
        let stage = usize::try_from(reader.varint()?).ok()?;
        (stage <= stages && stage <= 1 + usize::from(u8::MAX)).then_some(())?;
        reader.varint()?;
        reader.varint()?;
        u32::try_from(reader.varint()?).ok()?;
        reader.skip_varints(BEFORE_COUNTERS - 3 + counters)?;
    }
    Some(())
}

/// Checks pairs of index and upper 64 bits.
fn check_high_bits(bytes: &[u8], count: usize) -> Option<()> {
    let mut reader = Reader(bytes);
    while !reader.0.is_empty() {
        (usize::try_from(reader.varint()?).ok()? < count).then_some(())?;
        reader.varint()?;
    }
    Some(())
}

fn check_order(bytes: &[u8], follow_up_groups: usize) -> Option<()> {
    let mut refunds = 0;
    let mut reader = Reader(bytes);
    while let Some(found) = reader.field()? {
        match found {
            (field::order::CURRENCY, FieldValue::Number(code)) => _ = read_currency(code)?,
            (field::order::AMOUNT_EVENT_ID, FieldValue::Bytes(id)) => _ = std::str::from_utf8(id).ok()?,
            (field::order::AMOUNT_EVENT_UUID, FieldValue::Bytes(id)) => (id.len() == 16).then_some(())?,
            (field::order::REFUNDS, FieldValue::Bytes(bytes)) => {
                let mut reader = Reader(bytes);
                while !reader.0.is_empty() {
                    reader.skip_varints(2)?;
                    read_currency(reader.varint()?)?;
                    refunds += 1;
                }
            }
            (field::order::REFUNDS_HIGH, FieldValue::Bytes(bytes)) => check_high_bits(bytes, refunds)?,
            (field::order::FOLLOWED, FieldValue::Bytes(bytes)) => check_optional_ages(bytes, follow_up_groups)?,
            _ => {}
        }
    }
    Some(())
}

fn check_latest(bytes: &[u8], values: usize) -> Option<()> {
    let mut index = 0;
    let mut reader = Reader(bytes);
    while let Some(found) = reader.field()? {
        match found {
            (field::latest::INDEX, FieldValue::Number(number)) => index = usize::try_from(number).ok()?,
            (field::latest::STRING, FieldValue::Bytes(text)) => _ = std::str::from_utf8(text).ok()?,
            _ => {}
        }
    }
    (index < values).then_some(())
}

fn check_folded(bytes: &[u8], follow_up_groups: usize) -> Option<()> {
    let mut reader = Reader(bytes);
    while let Some(found) = reader.field()? {
        match found {
            (field::folded::CHAINS, FieldValue::Bytes(bytes)) => {
                let mut reader = Reader(bytes);
                while !reader.0.is_empty() {
                    reader.skip_varints(2)?;
                }
            }
            (field::folded::FOLLOWED, FieldValue::Bytes(bytes)) => check_optional_ages(bytes, follow_up_groups)?,
            (field::folded::IDS, FieldValue::Bytes(bytes)) if bytes.len() % 8 != 0 => return None,
            _ => {}
        }
    }
    Some(())
}

fn check_optional_ages(bytes: &[u8], count: usize) -> Option<()> {
    let mut reader = Reader(bytes);
    for _ in 0..count {
        if reader.0.is_empty() {
            break;
        }
        reader.varint()?;
    }
    Some(())
}

fn check_times(bytes: &[u8], clock: i64, lists: usize) -> Option<()> {
    let mut reader = Reader(bytes);
    while !reader.0.is_empty() {
        let index = usize::try_from(reader.varint()?).ok()?;
        let count = usize::try_from(reader.varint()?).ok().filter(|&count| count <= reader.0.len())?;
        // The newest time comes first; each age is relative to the previous time.
        let mut time = clock;
        let mut previous = None;
        for _ in 0..count {
            time = time_before(time, reader.varint()?);
            if previous.is_some_and(|previous| time > previous) {
                return None;
            }
            previous = Some(time);
        }
        (index < lists).then_some(())?;
    }
    Some(())
}
