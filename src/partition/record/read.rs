//! Decodes records.
//!
//! Every function returns `None` for invalid bytes and never panics on any input.

use std::sync::Arc;

use crate::lifecycle::customer::{Customer, Published};
use crate::lifecycle::fact::{
    ABSENT, ABSENT_NUMBER, FoldedOrders, LatestValue, OrderAmount, OrderEntry, RecentTimes, Refund,
};
use crate::lifecycle::id::StageIndex;
use crate::lifecycle::money::{Amount, Currency};
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::value::OwnedValue;

use super::field;
use super::identity::read_identity;
use super::reader::{FieldValue, Reader, time_before, unzigzag, with_high_bits};
use super::{RecordHead, Shape};

/// The tag of the field `customer_id`.
const ID_TAG: u8 = 0x0a;

/// Reads the leading fields of a record. Returns `None` if the bytes are not a valid record.
pub(crate) fn read_head(record: &[u8]) -> Option<RecordHead<'_>> {
    let mut head =
        RecordHead { customer_id: "", is_removed: false, is_vacant: false, wake_up: None, last_active_at: None };
    let mut clock = 0;
    let mut reader = Reader(record);
    while let Some(found) = reader.field()? {
        match found {
            (field::CUSTOMER_ID, FieldValue::Bytes(id)) => head.customer_id = std::str::from_utf8(id).ok()?,
            (field::REMOVED, FieldValue::Number(removed)) => head.is_removed = removed != 0,
            (field::CLOCK, FieldValue::Number(value)) => clock = unzigzag(value),
            (field::WAKE_UP_IN, FieldValue::Number(value)) => {
                head.wake_up = Some(Timestamp::from_millis(clock.wrapping_add(value.cast_signed())));
            }
            (field::HEARD_AGE, FieldValue::Number(age)) => {
                head.last_active_at = Some(Timestamp::from_millis(time_before(clock, age)));
            }
            // The fields of the head are written before `standings`.
            (number @ field::STANDINGS.., _) => {
                // A customer has fields before those of its identity.
                head.is_vacant = number >= field::VISITOR;
                break;
            }
            _ => {}
        }
    }
    (!head.customer_id.is_empty()).then_some(head)
}

/// Returns the customer id of a record that this process wrote.
pub(crate) fn customer_id(record: &[u8]) -> &str {
    read_head(record).map_or("", |head| head.customer_id)
}

/// Whether a record that this process wrote or restored belongs to the customer `id`.
pub(crate) fn belongs_to(record: &[u8], id: &str) -> bool {
    // Fast path for nearly all records: the tag of the id, a length of one byte, the id.
    if let [ID_TAG, length @ ..0x80, rest @ ..] = record {
        return rest.get(..usize::from(*length)) == Some(id.as_bytes());
    }
    customer_id(record) == id
}

/// Decodes `record` into `customer`. The caller must then derive the order aggregates. Returns whether there is a
/// customer under the id, not only an identity; `None` if the bytes are not a valid record of `shape`.
pub(crate) fn read(record: &[u8], shape: &Shape, default_currency: Currency, customer: &mut Customer) -> Option<bool> {
    clear(customer, shape);
    let mut clock = 0;
    // `clear` does not reset `published`; the field `standings` overwrites it completely and is therefore required.
    let mut has_standings = shape.models.is_empty();
    let mut reader = Reader(record);
    while let Some(found) = reader.field()? {
        match found {
            (field::CUSTOMER_ID, FieldValue::Bytes(id)) => customer.id = Arc::from(std::str::from_utf8(id).ok()?),
            (field::CLOCK, FieldValue::Number(value)) => {
                clock = unzigzag(value);
                customer.clock = Timestamp::from_millis(clock);
            }
            (field::WAKE_UP_IN, FieldValue::Number(value)) => {
                customer.wake_up = Some(Timestamp::from_millis(clock.wrapping_add(value.cast_signed())));
            }
            (field::HEARD_AGE, FieldValue::Number(age)) => {
                customer.last_active_at = Some(Timestamp::from_millis(time_before(clock, age)));
            }
            (field::STANDINGS, FieldValue::Bytes(bytes)) => {
                read_standings(bytes, shape, clock, customer)?;
                has_standings = true;
            }
            (field::NUMBERS, FieldValue::Bytes(bytes)) => {
                let mut reader = Reader(bytes);
                while !reader.0.is_empty() {
                    let index = usize::try_from(reader.varint()?).ok()?;
                    let value = reader.varint()?;
                    let is_time = *shape.number_is_time.get(index)?;
                    customer.facts.numbers[index] =
                        i128::from(if is_time { time_before(clock, value) } else { unzigzag(value) });
                }
            }
            (field::NUMBERS_HIGH, FieldValue::Bytes(bytes)) => {
                let mut reader = Reader(bytes);
                while !reader.0.is_empty() {
                    let number = customer.facts.numbers.get_mut(usize::try_from(reader.varint()?).ok()?)?;
                    *number = with_high_bits(*number, reader.varint()?);
                }
            }
            (field::RECENT_EVENTS, FieldValue::Bytes(bytes)) => {
                customer.recent_events.extend(bytes.chunks_exact(6).map(|event| {
                    let mut hash = [0; 8];
                    hash[..6].copy_from_slice(event);
                    u64::from_le_bytes(hash)
                }));
            }
            (field::ORDERS, FieldValue::Bytes(bytes)) => {
                customer.facts.orders.entries.push(read_order(bytes, shape.follow_ups, clock, default_currency)?);
            }
            (field::LATEST, FieldValue::Bytes(bytes)) => {
                let (index, latest) = read_latest(bytes, clock)?;
                *customer.facts.latest.get_mut(index)? = latest;
            }
            (field::WINDOWS, FieldValue::Bytes(bytes)) => read_times(bytes, clock, &mut customer.facts.windows)?,
            (field::FOLLOWED, FieldValue::Bytes(bytes)) => read_times(bytes, clock, &mut customer.facts.orders.recent)?,
            (field::FOLDED, FieldValue::Bytes(bytes)) => {
                customer.facts.orders.folded = read_folded(bytes, clock, shape.follow_ups)?;
            }
            (field::OUTDATED_MODELS, FieldValue::Number(models)) => customer.outdated_models = models,
            (field::VISITOR, FieldValue::Number(visitor)) => customer.is_visitor = visitor != 0,
            (field::IDENTITY, FieldValue::Bytes(bytes)) => customer.identity = Some(Box::new(read_identity(bytes)?)),
            _ => {}
        }
    }
    ((has_standings || customer.identity.is_some()) && !customer.id.is_empty()).then_some(has_standings)
}

fn clear(customer: &mut Customer, shape: &Shape) {
    customer.clock = Timestamp::MIN;
    customer.wake_up = None;
    customer.last_active_at = None;
    customer.recent_events.clear();
    customer.outdated_models = 0;
    customer.is_visitor = false;
    customer.identity = None;
    let facts = &mut customer.facts;
    facts.numbers.clear();
    facts.numbers.extend(shape.number_is_time.iter().map(|&is_time| if is_time { ABSENT_NUMBER } else { 0 }));
    facts.latest.clear();
    facts.latest.resize(shape.latest, None);
    facts.windows.resize(shape.windows, RecentTimes::default());
    facts.windows.iter_mut().for_each(RecentTimes::clear);
    facts.orders.recent.resize(shape.follow_ups, RecentTimes::default());
    facts.orders.clear();
    customer.published.resize(shape.models.len(), Published::default());
}

fn read_standings(bytes: &[u8], shape: &Shape, clock: i64, customer: &mut Customer) -> Option<()> {
    let mut reader = Reader(bytes);
    for (published, &(stages, counters)) in customer.published.iter_mut().zip(&shape.models) {
        published.stage = match reader.varint()? {
            0 => None,
            stage => Some(StageIndex(u8::try_from(stage - 1).ok().filter(|&index| usize::from(index) < stages)?)),
        };
        published.since = match reader.varint()? {
            0 => None,
            since => Some(Timestamp::from_millis(time_before(clock, since - 1))),
        };
        published.sequence = reader.varint()?;
        published.ordinal = u32::try_from(reader.varint()?).ok()?;
        published.signals = reader.varint()?;
        published.milestones = reader.varint()?;
        published.counters.clear();
        for _ in 0..counters {
            published.counters.push(unzigzag(reader.varint()?));
        }
    }
    Some(())
}

fn read_order(bytes: &[u8], follow_up_groups: usize, clock: i64, default_currency: Currency) -> Option<OrderEntry> {
    let mut order = OrderEntry {
        id: 0,
        time: ABSENT,
        first_mentioned_at: ABSENT,
        amount: None,
        is_void: false,
        refunds: Vec::new(),
        follow_ups: vec![ABSENT; follow_up_groups],
    };
    let (mut amount, mut currency, mut amount_at, mut event_id) = (None, default_currency, None, String::new());
    let mut reader = Reader(bytes);
    while let Some(found) = reader.field()? {
        match found {
            (field::order::ID, FieldValue::Number(id)) => order.id = id,
            (field::order::AGE, FieldValue::Number(age)) => order.time = time_before(clock, age),
            (field::order::NAMED_AGE, FieldValue::Number(age)) => order.first_mentioned_at = time_before(clock, age),
            (field::order::AMOUNT, FieldValue::Number(value)) => {
                amount = Some(Amount::from_micros(i128::from(unzigzag(value))));
            }
            (field::order::CURRENCY, FieldValue::Number(code)) => currency = read_currency(code)?,
            (field::order::AMOUNT_AGE, FieldValue::Number(age)) => amount_at = Some(time_before(clock, age)),
            (field::order::AMOUNT_EVENT_ID, FieldValue::Bytes(id)) => {
                std::str::from_utf8(id).ok()?.clone_into(&mut event_id);
            }
            (field::order::AMOUNT_EVENT_UUID, FieldValue::Bytes(id)) => {
                event_id = uuid::Uuid::from_slice(id).ok()?.hyphenated().to_string();
            }
            (field::order::VOID, FieldValue::Number(void)) => order.is_void = void != 0,
            (field::order::REFUNDS, FieldValue::Bytes(bytes)) => {
                let mut reader = Reader(bytes);
                while !reader.0.is_empty() {
                    let event = reader.varint()?;
                    let amount = Amount::from_micros(i128::from(unzigzag(reader.varint()?)));
                    order.refunds.push(Refund { event, amount, currency: read_currency(reader.varint()?)? });
                }
            }
            (field::order::REFUNDS_HIGH, FieldValue::Bytes(bytes)) => {
                let mut reader = Reader(bytes);
                while !reader.0.is_empty() {
                    let refund = order.refunds.get_mut(usize::try_from(reader.varint()?).ok()?)?;
                    refund.amount = Amount::from_micros(with_high_bits(refund.amount.as_micros(), reader.varint()?));
                }
            }
            (field::order::FOLLOWED, FieldValue::Bytes(bytes)) => {
                read_optional_ages(bytes, clock, &mut order.follow_ups)?;
            }
            _ => {}
        }
    }
    if order.first_mentioned_at == ABSENT {
        order.first_mentioned_at = order.time;
    }
    let at = amount_at.unwrap_or(order.time);
    order.amount = amount.map(|amount| OrderAmount { amount, currency, at, event_id: event_id.into() });
    Some(order)
}

fn read_latest(bytes: &[u8], clock: i64) -> Option<(usize, Option<LatestValue>)> {
    let mut index = 0;
    let (mut at, mut value) = (ABSENT, None);
    let mut reader = Reader(bytes);
    while let Some(found) = reader.field()? {
        match found {
            (field::latest::INDEX, FieldValue::Number(number)) => index = usize::try_from(number).ok()?,
            (field::latest::AGE, FieldValue::Number(age)) => at = time_before(clock, age),
            (field::latest::INT, FieldValue::Number(number)) => value = Some(OwnedValue::Int(unzigzag(number))),
            (field::latest::DOUBLE, FieldValue::Number(bits)) => {
                value = Some(OwnedValue::Double(f64::from_bits(bits)));
            }
            (field::latest::BOOL, FieldValue::Number(truth)) => value = Some(OwnedValue::Bool(truth != 0)),
            (field::latest::STRING, FieldValue::Bytes(text)) => {
                value = Some(OwnedValue::String(std::str::from_utf8(text).ok()?.into()));
            }
            (field::latest::TIMESTAMP, FieldValue::Number(number)) => {
                value = Some(OwnedValue::Timestamp(Timestamp::from_millis(unzigzag(number))));
            }
            (field::latest::DURATION, FieldValue::Number(number)) => {
                value = Some(OwnedValue::Duration(Duration::from_millis(unzigzag(number))));
            }
            _ => {}
        }
    }
    // A later release may know more types of values.
    Some((index, value.map(|value| LatestValue { at, value })))
}

fn read_folded(bytes: &[u8], clock: i64, follow_up_groups: usize) -> Option<FoldedOrders> {
    let mut folded = FoldedOrders { follow_ups: vec![ABSENT; follow_up_groups], ..FoldedOrders::default() };
    let mut reader = Reader(bytes);
    while let Some(found) = reader.field()? {
        match found {
            (field::folded::COUNT, FieldValue::Number(count)) => folded.count = count,
            (field::folded::REVENUE, FieldValue::Number(revenue)) => {
                folded.revenue = Amount::from_micros(i128::from(unzigzag(revenue)));
            }
            (field::folded::REVENUE_HIGH, FieldValue::Number(high)) => {
                folded.revenue = Amount::from_micros(with_high_bits(folded.revenue.as_micros(), high));
            }
            (field::folded::FIRST_AGE, FieldValue::Number(age)) => folded.first = time_before(clock, age),
            (field::folded::LAST_AGE, FieldValue::Number(age)) => folded.last = time_before(clock, age),
            (field::folded::CHAINS, FieldValue::Bytes(bytes)) => {
                let mut reader = Reader(bytes);
                while !reader.0.is_empty() {
                    let count = reader.varint()?;
                    let age = reader.varint()?;
                    folded.streaks.push((count, if count == 0 { ABSENT } else { time_before(clock, age) }));
                }
            }
            (field::folded::FOLLOWED, FieldValue::Bytes(bytes)) => {
                read_optional_ages(bytes, clock, &mut folded.follow_ups)?;
            }
            (field::folded::IDS, FieldValue::Bytes(bytes)) => {
                folded.ids.extend(bytes.as_chunks::<8>().0.iter().map(|id| u64::from_le_bytes(*id)));
            }
            _ => {}
        }
    }
    Some(folded)
}

pub(super) fn read_currency(code: u64) -> Option<Currency> {
    Currency::from_number(u32::try_from(code).ok()?)
}

fn read_optional_ages(bytes: &[u8], clock: i64, times: &mut [i64]) -> Option<()> {
    let mut reader = Reader(bytes);
    for time in times {
        if reader.0.is_empty() {
            break;
        }
        *time = match reader.varint()? {
            0 => ABSENT,
            age => time_before(clock, age - 1),
        };
    }
    Some(())
}

fn read_times(bytes: &[u8], clock: i64, lists: &mut [RecentTimes]) -> Option<()> {
    let mut reader = Reader(bytes);
    while !reader.0.is_empty() {
        let index = usize::try_from(reader.varint()?).ok()?;
        let count = usize::try_from(reader.varint()?).ok().filter(|&count| count <= reader.0.len())?;
        let mut times = Vec::with_capacity(count);
        let mut time = clock;
        for _ in 0..count {
            time = time_before(time, reader.varint()?);
            times.push(time);
        }
        times.reverse();
        if !times.is_sorted() {
            return None;
        }
        *lists.get_mut(index)? = RecentTimes::from_sorted(times);
    }
    Some(())
}
