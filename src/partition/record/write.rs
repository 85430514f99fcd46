//! Encodes customers as records.
//!
//! `read_head` and `belongs_to` read only the leading fields, so the order of the fields must not change.

use crate::lifecycle::customer::Customer;
use crate::lifecycle::fact::{ABSENT, ABSENT_NUMBER, FoldedOrders, LatestValue, OrderEntry, RecentTimes};
use crate::lifecycle::money::Currency;
use crate::lifecycle::value::OwnedValue;

use super::ENTRY_FIELD;
use super::field::{self, FIXED64, LENGTH_DELIMITED, VARINT};
use super::identity::put_identity;

/// Appends the record of `customer` to `out`. Amounts in `default_currency` are stored without their currency.
pub(crate) fn write(customer: &Customer, number_is_time: &[bool], default_currency: Currency, out: &mut Vec<u8>) {
    let clock = customer.clock.as_millis();
    put_bytes(out, field::CUSTOMER_ID, customer.id.as_bytes());
    put_signed(out, field::CLOCK, clock);
    if let Some(wake_up) = customer.wake_up {
        put_number(out, field::WAKE_UP_IN, wake_up.as_millis().wrapping_sub(clock).cast_unsigned());
    }
    if let Some(last_active_at) = customer.last_active_at {
        put_number(out, field::HEARD_AGE, age(clock, last_active_at.as_millis()));
    }
    put_packed(out, field::STANDINGS, |out| {
        for published in &customer.published {
            varint(out, published.stage.map_or(0, |stage| u64::from(stage.0) + 1));
            varint(out, published.since.map_or(0, |since| age(clock, since.as_millis()) + 1));
            varint(out, published.sequence);
            varint(out, u64::from(published.ordinal));
            varint(out, published.signals);
            varint(out, published.milestones);
            published.counters.iter().for_each(|&number| varint(out, zigzag(number)));
        }
    });
    put_packed(out, field::NUMBERS, |out| {
        for (index, (&number, &is_time)) in (0..).zip(customer.facts.numbers.iter().zip(number_is_time)) {
            if is_time && number != ABSENT_NUMBER {
                varint(out, index);
                varint(out, age(clock, low_bits(number)));
            } else if !is_time && number != 0 {
                varint(out, index);
                varint(out, zigzag(low_bits(number)));
            }
        }
    });
    put_high_bits(out, field::NUMBERS_HIGH, customer.facts.numbers.iter().copied());
    if !customer.recent_events.is_empty() {
        tag(out, field::RECENT_EVENTS, LENGTH_DELIMITED);
        varint(out, customer.recent_events.len() as u64 * 6);
        for event in &customer.recent_events {
            out.extend_from_slice(&event.to_le_bytes()[..6]);
        }
    }
    let orders = &customer.facts.orders;
    for order in &orders.entries {
        put_message(out, field::ORDERS, |out| write_order(order, clock, default_currency, out));
    }
    for (index, latest) in (0..).zip(&customer.facts.latest) {
        if let Some(latest) = latest {
            put_message(out, field::LATEST, |out| write_latest(index, latest, clock, out));
        }
    }
    put_times(out, field::WINDOWS, &customer.facts.windows, clock);
    put_times(out, field::FOLLOWED, &orders.recent, clock);
    if orders.folded.count > 0 || !orders.folded.ids.is_empty() {
        put_message(out, field::FOLDED, |out| write_folded(&orders.folded, clock, out));
    }
    if customer.outdated_models != 0 {
        put_number(out, field::OUTDATED_MODELS, customer.outdated_models);
    }
    put_identity(customer, out);
}

/// Appends the record that marks the customer `id` as removed to `out`.
pub(crate) fn write_removal(id: &str, out: &mut Vec<u8>) {
    put_bytes(out, field::CUSTOMER_ID, id.as_bytes());
    put_number(out, field::REMOVED, 1);
}

/// Appends `record` to a changelog batch as an element of `customers`.
pub(crate) fn write_entry(record: &[u8], out: &mut Vec<u8>) {
    put_bytes(out, ENTRY_FIELD, record);
}

fn write_order(order: &OrderEntry, clock: i64, default_currency: Currency, out: &mut Vec<u8>) {
    tag(out, field::order::ID, FIXED64);
    out.extend_from_slice(&order.id.to_le_bytes());
    if order.time != ABSENT {
        put_number(out, field::order::AGE, age(clock, order.time));
    }
    if order.first_mentioned_at != order.time {
        put_number(out, field::order::NAMED_AGE, age(clock, order.first_mentioned_at));
    }
    if let Some(known) = &order.amount {
        put_signed(out, field::order::AMOUNT, low_bits(known.amount.as_micros()));
        if known.currency != default_currency {
            put_number(out, field::order::CURRENCY, u64::from(known.currency.to_number()));
        }
        if known.at != order.time {
            put_number(out, field::order::AMOUNT_AGE, age(clock, known.at));
        }
        match canonical_uuid(&known.event_id) {
            Some(uuid) => put_bytes(out, field::order::AMOUNT_EVENT_UUID, &uuid.to_be_bytes()),
            None => put_bytes(out, field::order::AMOUNT_EVENT_ID, known.event_id.as_bytes()),
        }
    }
    if order.is_void {
        put_number(out, field::order::VOID, 1);
    }
    if !order.refunds.is_empty() {
        put_packed(out, field::order::REFUNDS, |out| {
            for refund in &order.refunds {
                varint(out, refund.event);
                varint(out, zigzag(low_bits(refund.amount.as_micros())));
                varint(out, u64::from(refund.currency.to_number()));
            }
        });
        put_high_bits(out, field::order::REFUNDS_HIGH, order.refunds.iter().map(|refund| refund.amount.as_micros()));
    }
    put_optional_ages(out, field::order::FOLLOWED, &order.follow_ups, clock);
}

fn write_latest(index: u64, latest: &LatestValue, clock: i64, out: &mut Vec<u8>) {
    put_number(out, field::latest::INDEX, index);
    put_number(out, field::latest::AGE, age(clock, latest.at));
    match &latest.value {
        OwnedValue::Int(number) => put_signed(out, field::latest::INT, *number),
        OwnedValue::Double(number) => {
            tag(out, field::latest::DOUBLE, FIXED64);
            out.extend_from_slice(&number.to_le_bytes());
        }
        OwnedValue::Bool(truth) => put_number(out, field::latest::BOOL, u64::from(*truth)),
        OwnedValue::String(text) => put_bytes(out, field::latest::STRING, text.as_bytes()),
        OwnedValue::Timestamp(instant) => put_signed(out, field::latest::TIMESTAMP, instant.as_millis()),
        OwnedValue::Duration(length) => put_signed(out, field::latest::DURATION, length.as_millis()),
    }
}

fn write_folded(folded: &FoldedOrders, clock: i64, out: &mut Vec<u8>) {
    put_number(out, field::folded::COUNT, folded.count);
    put_signed(out, field::folded::REVENUE, low_bits(folded.revenue.as_micros()));
    match high_bits(folded.revenue.as_micros()) {
        0 => {}
        high => put_signed(out, field::folded::REVENUE_HIGH, high),
    }
    put_number(out, field::folded::FIRST_AGE, age(clock, folded.first));
    put_number(out, field::folded::LAST_AGE, age(clock, folded.last));
    put_packed(out, field::folded::CHAINS, |out| {
        for &(count, start) in &folded.streaks {
            varint(out, count);
            varint(out, if count == 0 { 0 } else { age(clock, start) });
        }
    });
    put_optional_ages(out, field::folded::FOLLOWED, &folded.follow_ups, clock);
    if !folded.ids.is_empty() {
        put_packed(out, field::folded::IDS, |out| {
            folded.ids.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
        });
    }
}

/// Writes each age plus one, or 0 for an absent time. Omits the field if all times are absent.
fn put_optional_ages(out: &mut Vec<u8>, number: u32, times: &[i64], clock: i64) {
    if times.iter().any(|&time| time != ABSENT) {
        put_packed(out, number, |out| {
            for &time in times {
                varint(out, if time == ABSENT { 0 } else { age(clock, time) + 1 });
            }
        });
    }
}

/// Writes, for each list that is not empty: its index, the number of times, and their ages, newest first and each
/// relative to the previous one.
fn put_times(out: &mut Vec<u8>, number: u32, lists: &[RecentTimes], clock: i64) {
    if lists.iter().all(|times| times.as_slice().is_empty()) {
        return;
    }
    put_packed(out, number, |out| {
        for (index, times) in (0..).zip(lists) {
            let times = times.as_slice();
            if times.is_empty() {
                continue;
            }
            varint(out, index);
            varint(out, times.len() as u64);
            let mut later = clock;
            for &time in times.iter().rev() {
                varint(out, age(later, time));
                later = time;
            }
        }
    });
}

/// Returns the lower 64 bits, as a signed number.
#[expect(clippy::cast_possible_truncation, reason = "the upper bits are stored separately")]
fn low_bits(number: i128) -> i64 {
    number as i64
}

/// Returns the number which, shifted left by 64 bits, must be added to the lower 64 bits; 0 if they are enough.
fn high_bits(number: i128) -> i64 {
    (number.wrapping_sub(i128::from(low_bits(number))) >> 64) as i64
}

/// Writes pairs of index and upper 64 bits for the numbers that do not fit into 64 bits. Nearly always, there are none.
fn put_high_bits(out: &mut Vec<u8>, number: u32, numbers: impl Iterator<Item = i128> + Clone) {
    if numbers.clone().all(|number| high_bits(number) == 0) {
        return;
    }
    put_packed(out, number, |out| {
        for (index, number) in (0..).zip(numbers) {
            if high_bits(number) != 0 {
                varint(out, index);
                varint(out, zigzag(high_bits(number)));
            }
        }
    });
}

/// Returns how long `time` is before `clock`, in milliseconds. No touchpoint is later than its customer's clock.
fn age(clock: i64, time: i64) -> u64 {
    clock.wrapping_sub(time).cast_unsigned()
}

/// Returns the UUID in `text`, if it is written in the canonical form and can therefore be restored exactly.
fn canonical_uuid(text: &str) -> Option<u128> {
    let uuid = uuid::Uuid::try_parse(text).ok()?;
    let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
    (uuid.hyphenated().encode_lower(&mut buffer) == text).then_some(uuid.as_u128())
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

pub(super) fn tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    varint(out, u64::from(number << 3 | wire_type));
}

pub(super) fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    tag(out, number, VARINT);
    varint(out, value);
}

pub(super) fn put_signed(out: &mut Vec<u8>, number: u32, value: i64) {
    put_number(out, number, zigzag(value));
}

pub(super) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    tag(out, number, LENGTH_DELIMITED);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a length-delimited field. Its length is only known after `write`.
pub(super) fn put_message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, number, LENGTH_DELIMITED);
    let start = out.len();
    out.push(0);
    write(out);
    let length = out.len() - start - 1;
    if let Ok(short @ ..0x80) = u8::try_from(length) {
        out[start] = short;
    } else {
        let mut prefix = Vec::with_capacity(3);
        varint(&mut prefix, length as u64);
        out.splice(start..=start, prefix);
    }
}

/// Writes a packed field of varints; omits it if it is empty.
fn put_packed(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put_message(out, number, write);
    if out.len() == start + 2 {
        out.truncate(start);
    }
}
