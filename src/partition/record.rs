//! A customer as bytes: the Protobuf message `lifecycle.v1.Customer`, written and read by hand.
//!
//! By hand, since every touchpoint pays for it: no intermediate message, no allocation beyond the customer's own. Times are
//! stored as ages, counted back from the customer's clock, since those are short. Unknown fields are skipped. The test
//! `wire::a_customer_record_is_the_protobuf_message` reads the bytes through the generated code.

use std::sync::Arc;

use crate::lifecycle::customer::{Customer, Published};
use crate::lifecycle::fact::{ABSENT, FoldedOrders, Latest, OrderAmount, OrderEntry, RecentTimes, Refund};
use crate::lifecycle::id::StageIndex;
use crate::lifecycle::money::{Amount, Currency};
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::transition::OwnedValue;

/// How many of each kind of fact, and how many counters of each model, a record was written with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Shape {
    pub(crate) number_is_time: Vec<bool>,
    pub(crate) latest: usize,
    pub(crate) windows: usize,
    pub(crate) followed: usize,
    pub(crate) counters: Vec<usize>,
}

/// The field number of a customer in a `ChangelogBatch`.
pub(crate) const ENTRY_FIELD: u32 = 15;

mod field {
    pub(super) const CUSTOMER_ID: u32 = 1;
    pub(super) const REMOVED: u32 = 2;
    pub(super) const CLOCK: u32 = 3;
    pub(super) const WAKE_UP_IN: u32 = 4;
    pub(super) const STANDINGS: u32 = 5;
    pub(super) const NUMBERS: u32 = 6;
    pub(super) const RECENT_EVENTS: u32 = 7;
    pub(super) const ORDERS: u32 = 8;
    pub(super) const LATEST: u32 = 9;
    pub(super) const WINDOWS: u32 = 10;
    pub(super) const FOLLOWED: u32 = 11;
    pub(super) const FOLDED: u32 = 12;
    pub(super) const OUTDATED_MODELS: u32 = 13;

    pub(super) mod order {
        pub(in super::super) const ID: u32 = 1;
        pub(in super::super) const AGE: u32 = 2;
        pub(in super::super) const NAMED_AGE: u32 = 3;
        pub(in super::super) const AMOUNT: u32 = 4;
        pub(in super::super) const CURRENCY: u32 = 5;
        pub(in super::super) const AMOUNT_AGE: u32 = 6;
        pub(in super::super) const AMOUNT_EVENT_ID: u32 = 7;
        pub(in super::super) const AMOUNT_EVENT_UUID: u32 = 8;
        pub(in super::super) const VOID: u32 = 9;
        pub(in super::super) const REFUNDS: u32 = 10;
        pub(in super::super) const FOLLOWED: u32 = 11;
    }

    pub(super) mod latest {
        pub(in super::super) const INDEX: u32 = 1;
        pub(in super::super) const AGE: u32 = 2;
        pub(in super::super) const INT: u32 = 3;
        pub(in super::super) const DOUBLE: u32 = 4;
        pub(in super::super) const BOOL: u32 = 5;
        pub(in super::super) const STRING: u32 = 6;
        pub(in super::super) const TIMESTAMP: u32 = 7;
        pub(in super::super) const DURATION: u32 = 8;
    }

    pub(super) mod folded {
        pub(in super::super) const COUNT: u32 = 1;
        pub(in super::super) const REVENUE: u32 = 2;
        pub(in super::super) const FIRST_AGE: u32 = 3;
        pub(in super::super) const LAST_AGE: u32 = 4;
        pub(in super::super) const CHAINS: u32 = 5;
        pub(in super::super) const FOLLOWED: u32 = 6;
    }
}

/// What a record says without being read to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) customer_id: &'a str,
    pub(crate) is_removed: bool,
    pub(crate) wake_up: Option<Timestamp>,
}

// ---- writing

/// Appends the record of `customer` to `out`.
pub(crate) fn write(customer: &Customer, number_is_time: &[bool], home: Currency, out: &mut Vec<u8>) {
    let clock = customer.clock.as_millis();
    put_bytes(out, field::CUSTOMER_ID, customer.id.as_bytes());
    put_signed(out, field::CLOCK, clock);
    if let Some(wake_up) = customer.wake_up {
        put_number(out, field::WAKE_UP_IN, wake_up.as_millis().wrapping_sub(clock).cast_unsigned());
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
            if is_time && number != ABSENT {
                varint(out, index);
                varint(out, age(clock, number));
            } else if !is_time && number != 0 {
                varint(out, index);
                varint(out, zigzag(number));
            }
        }
    });
    if !customer.recent_events.is_empty() {
        tag(out, field::RECENT_EVENTS, LENGTH_DELIMITED);
        varint(out, customer.recent_events.len() as u64 * 6);
        for event in &customer.recent_events {
            out.extend_from_slice(&event.to_le_bytes()[..6]);
        }
    }
    let orders = &customer.facts.orders;
    for order in &orders.entries {
        put_message(out, field::ORDERS, |out| write_order(order, clock, home, out));
    }
    for (index, latest) in (0..).zip(&customer.facts.latest) {
        if let Some(latest) = latest {
            put_message(out, field::LATEST, |out| write_latest(index, latest, clock, out));
        }
    }
    put_times(out, field::WINDOWS, &customer.facts.windows, clock);
    put_times(out, field::FOLLOWED, &orders.recent, clock);
    if orders.folded.count > 0 {
        put_message(out, field::FOLDED, |out| write_folded(&orders.folded, clock, out));
    }
    if customer.outdated_models != 0 {
        put_number(out, field::OUTDATED_MODELS, customer.outdated_models);
    }
}

/// Appends the record that says that a customer is gone.
pub(crate) fn write_removed(customer_id: &str, out: &mut Vec<u8>) {
    put_bytes(out, field::CUSTOMER_ID, customer_id.as_bytes());
    put_number(out, field::REMOVED, 1);
}

/// Appends a record to a batch, as its entry.
pub(crate) fn write_entry(record: &[u8], out: &mut Vec<u8>) {
    put_bytes(out, ENTRY_FIELD, record);
}

fn write_order(order: &OrderEntry, clock: i64, home: Currency, out: &mut Vec<u8>) {
    tag(out, field::order::ID, FIXED64);
    out.extend_from_slice(&order.id.to_le_bytes());
    if order.time != ABSENT {
        put_number(out, field::order::AGE, age(clock, order.time));
    }
    if order.named_at != order.time {
        put_number(out, field::order::NAMED_AGE, age(clock, order.named_at));
    }
    if let Some(known) = &order.amount {
        put_signed(out, field::order::AMOUNT, known.amount.as_micros());
        if known.currency != home {
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
                varint(out, zigzag(refund.amount.as_micros()));
                varint(out, u64::from(refund.currency.to_number()));
            }
        });
    }
    put_optional_ages(out, field::order::FOLLOWED, &order.followed, clock);
}

fn write_latest(index: u64, latest: &Latest, clock: i64, out: &mut Vec<u8>) {
    put_number(out, field::latest::INDEX, index);
    put_number(out, field::latest::AGE, age(clock, latest.at));
    match &latest.value {
        OwnedValue::Absent => {}
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
    put_signed(out, field::folded::REVENUE, folded.revenue.as_micros());
    put_number(out, field::folded::FIRST_AGE, age(clock, folded.first));
    put_number(out, field::folded::LAST_AGE, age(clock, folded.last));
    put_packed(out, field::folded::CHAINS, |out| {
        for &(count, start) in &folded.chains {
            varint(out, count);
            varint(out, if count == 0 { 0 } else { age(clock, start) });
        }
    });
    put_optional_ages(out, field::folded::FOLLOWED, &folded.followed, clock);
}

/// Ages raised by one, so that 0 says that there is none. Left out when there is none at all.
fn put_optional_ages(out: &mut Vec<u8>, number: u32, times: &[i64], clock: i64) {
    if times.iter().any(|&time| time != ABSENT) {
        put_packed(out, number, |out| {
            times.iter().for_each(|&time| varint(out, if time == ABSENT { 0 } else { age(clock, time) + 1 }));
        });
    }
}

/// For each list with times: its index, how many, and their ages, each counted back from the one after it.
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

/// How long before `clock`. Touchpoints are never later than their customer's clock.
fn age(clock: i64, time: i64) -> u64 {
    clock.wrapping_sub(time).cast_unsigned()
}

/// The number of a UUID written in the one canonical way, so that it can be written back letter by letter.
fn canonical_uuid(text: &str) -> Option<u128> {
    let uuid = uuid::Uuid::try_parse(text).ok()?;
    let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
    (uuid.hyphenated().encode_lower(&mut buffer) == text).then_some(uuid.as_u128())
}

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;
const FIXED32: u32 = 5;

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    varint(out, u64::from(number << 3 | wire_type));
}

fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    tag(out, number, VARINT);
    varint(out, value);
}

fn put_signed(out: &mut Vec<u8>, number: u32, value: i64) {
    put_number(out, number, zigzag(value));
}

fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    tag(out, number, LENGTH_DELIMITED);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A length-delimited field whose length is known only when it is written.
fn put_message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, number, LENGTH_DELIMITED);
    let start = out.len();
    out.push(0);
    write(out);
    let length = out.len() - start - 1;
    if length < 0x80 {
        out[start] = length as u8;
    } else {
        let mut prefix = Vec::with_capacity(3);
        varint(&mut prefix, length as u64);
        out.splice(start..=start, prefix);
    }
}

/// A packed field of numbers; left out when it is empty.
fn put_packed(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put_message(out, number, write);
    if out.len() == start + 2 {
        out.truncate(start);
    }
}

// ---- reading

/// The id and wake-up of a record. `None` when the bytes are no record.
pub(crate) fn read_head(record: &[u8]) -> Option<Head<'_>> {
    let mut head = Head { customer_id: "", is_removed: false, wake_up: None };
    let mut clock = 0;
    let mut reader = Reader(record);
    while let Some(found) = reader.field()? {
        match found {
            (field::CUSTOMER_ID, Content::Bytes(id)) => head.customer_id = std::str::from_utf8(id).ok()?,
            (field::REMOVED, Content::Number(removed)) => head.is_removed = removed != 0,
            (field::CLOCK, Content::Number(value)) => clock = unzigzag(value),
            (field::WAKE_UP_IN, Content::Number(value)) => {
                head.wake_up = Some(Timestamp::from_millis(clock.wrapping_add(value.cast_signed())));
            }
            // Written in this order: nothing of the head follows.
            (field::STANDINGS.., _) => break,
            _ => {}
        }
    }
    (!head.customer_id.is_empty()).then_some(head)
}

/// The id of a record that this process wrote.
pub(crate) fn customer_id(record: &[u8]) -> &str {
    read_head(record).map_or("", |head| head.customer_id)
}

/// Reads `record`, written with `shape`, into `customer`. Orders are left to be read out by the caller.
/// `None` when the bytes are no record of that shape.
pub(crate) fn read(record: &[u8], shape: &Shape, home: Currency, customer: &mut Customer) -> Option<()> {
    clear(customer, shape);
    let mut clock = 0;
    let mut reader = Reader(record);
    while let Some(found) = reader.field()? {
        match found {
            (field::CUSTOMER_ID, Content::Bytes(id)) => customer.id = Arc::from(std::str::from_utf8(id).ok()?),
            (field::CLOCK, Content::Number(value)) => {
                clock = unzigzag(value);
                customer.clock = Timestamp::from_millis(clock);
            }
            (field::WAKE_UP_IN, Content::Number(value)) => {
                customer.wake_up = Some(Timestamp::from_millis(clock.wrapping_add(value.cast_signed())));
            }
            (field::STANDINGS, Content::Bytes(bytes)) => read_standings(bytes, shape, clock, customer)?,
            (field::NUMBERS, Content::Bytes(bytes)) => {
                let mut reader = Reader(bytes);
                while !reader.0.is_empty() {
                    let index = usize::try_from(reader.varint()?).ok()?;
                    let value = reader.varint()?;
                    let is_time = *shape.number_is_time.get(index)?;
                    customer.facts.numbers[index] = if is_time { back(clock, value) } else { unzigzag(value) };
                }
            }
            (field::RECENT_EVENTS, Content::Bytes(bytes)) => {
                customer.recent_events.extend(bytes.chunks_exact(6).map(|event| {
                    let mut hash = [0; 8];
                    hash[..6].copy_from_slice(event);
                    u64::from_le_bytes(hash)
                }));
            }
            (field::ORDERS, Content::Bytes(bytes)) => {
                customer.facts.orders.entries.push(read_order(bytes, shape.followed, clock, home)?);
            }
            (field::LATEST, Content::Bytes(bytes)) => {
                let (index, latest) = read_latest(bytes, clock)?;
                *customer.facts.latest.get_mut(index)? = Some(latest);
            }
            (field::WINDOWS, Content::Bytes(bytes)) => read_times(bytes, clock, &mut customer.facts.windows)?,
            (field::FOLLOWED, Content::Bytes(bytes)) => read_times(bytes, clock, &mut customer.facts.orders.recent)?,
            (field::FOLDED, Content::Bytes(bytes)) => {
                customer.facts.orders.folded = read_folded(bytes, clock, shape.followed)?
            }
            (field::OUTDATED_MODELS, Content::Number(models)) => customer.outdated_models = models,
            _ => {}
        }
    }
    (!customer.id.is_empty()).then_some(())
}

fn clear(customer: &mut Customer, shape: &Shape) {
    customer.clock = Timestamp::MIN;
    customer.wake_up = None;
    customer.recent_events.clear();
    customer.outdated_models = 0;
    let facts = &mut customer.facts;
    facts.numbers.clear();
    facts.numbers.extend(shape.number_is_time.iter().map(|&is_time| if is_time { ABSENT } else { 0 }));
    facts.latest.clear();
    facts.latest.resize(shape.latest, None);
    facts.windows.resize(shape.windows, RecentTimes::default());
    facts.windows.iter_mut().for_each(RecentTimes::clear);
    facts.orders.recent.resize(shape.followed, RecentTimes::default());
    facts.orders.clear();
    customer.published.resize(shape.counters.len(), Published::default());
}

fn read_standings(bytes: &[u8], shape: &Shape, clock: i64, customer: &mut Customer) -> Option<()> {
    let mut reader = Reader(bytes);
    for (published, &counters) in customer.published.iter_mut().zip(&shape.counters) {
        published.stage = match reader.varint()? {
            0 => None,
            stage => Some(StageIndex(u8::try_from(stage - 1).ok()?)),
        };
        published.since = match reader.varint()? {
            0 => None,
            since => Some(Timestamp::from_millis(back(clock, since - 1))),
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

fn read_order(bytes: &[u8], followed_groups: usize, clock: i64, home: Currency) -> Option<OrderEntry> {
    let mut order = OrderEntry {
        id: 0,
        time: ABSENT,
        named_at: ABSENT,
        amount: None,
        is_void: false,
        refunds: Vec::new(),
        followed: vec![ABSENT; followed_groups],
    };
    let (mut amount, mut currency, mut amount_at, mut event_id) = (None, home, None, String::new());
    let mut reader = Reader(bytes);
    while let Some(found) = reader.field()? {
        match found {
            (field::order::ID, Content::Number(id)) => order.id = id,
            (field::order::AGE, Content::Number(age)) => order.time = back(clock, age),
            (field::order::NAMED_AGE, Content::Number(age)) => order.named_at = back(clock, age),
            (field::order::AMOUNT, Content::Number(value)) => amount = Some(Amount::from_micros(unzigzag(value))),
            (field::order::CURRENCY, Content::Number(code)) => currency = read_currency(code)?,
            (field::order::AMOUNT_AGE, Content::Number(age)) => amount_at = Some(back(clock, age)),
            (field::order::AMOUNT_EVENT_ID, Content::Bytes(id)) => event_id = std::str::from_utf8(id).ok()?.to_owned(),
            (field::order::AMOUNT_EVENT_UUID, Content::Bytes(id)) => {
                event_id = uuid::Uuid::from_slice(id).ok()?.hyphenated().to_string();
            }
            (field::order::VOID, Content::Number(void)) => order.is_void = void != 0,
            (field::order::REFUNDS, Content::Bytes(bytes)) => {
                let mut reader = Reader(bytes);
                while !reader.0.is_empty() {
                    let event = reader.varint()?;
                    let amount = Amount::from_micros(unzigzag(reader.varint()?));
                    order.refunds.push(Refund { event, amount, currency: read_currency(reader.varint()?)? });
                }
            }
            (field::order::FOLLOWED, Content::Bytes(bytes)) => read_optional_ages(bytes, clock, &mut order.followed)?,
            _ => {}
        }
    }
    if order.named_at == ABSENT {
        order.named_at = order.time;
    }
    let at = amount_at.unwrap_or(order.time);
    order.amount = amount.map(|amount| OrderAmount { amount, currency, at, event_id: event_id.into() });
    Some(order)
}

fn read_latest(bytes: &[u8], clock: i64) -> Option<(usize, Latest)> {
    let mut index = 0;
    let mut latest = Latest { at: ABSENT, value: OwnedValue::Absent };
    let mut reader = Reader(bytes);
    while let Some(found) = reader.field()? {
        match found {
            (field::latest::INDEX, Content::Number(number)) => index = usize::try_from(number).ok()?,
            (field::latest::AGE, Content::Number(age)) => latest.at = back(clock, age),
            (field::latest::INT, Content::Number(number)) => latest.value = OwnedValue::Int(unzigzag(number)),
            (field::latest::DOUBLE, Content::Number(bits)) => latest.value = OwnedValue::Double(f64::from_bits(bits)),
            (field::latest::BOOL, Content::Number(truth)) => latest.value = OwnedValue::Bool(truth != 0),
            (field::latest::STRING, Content::Bytes(text)) => {
                latest.value = OwnedValue::String(std::str::from_utf8(text).ok()?.into());
            }
            (field::latest::TIMESTAMP, Content::Number(number)) => {
                latest.value = OwnedValue::Timestamp(Timestamp::from_millis(unzigzag(number)));
            }
            (field::latest::DURATION, Content::Number(number)) => {
                latest.value = OwnedValue::Duration(Duration::from_millis(unzigzag(number)));
            }
            _ => {}
        }
    }
    Some((index, latest))
}

fn read_folded(bytes: &[u8], clock: i64, followed_groups: usize) -> Option<FoldedOrders> {
    let mut folded = FoldedOrders { followed: vec![ABSENT; followed_groups], ..FoldedOrders::default() };
    let mut reader = Reader(bytes);
    while let Some(found) = reader.field()? {
        match found {
            (field::folded::COUNT, Content::Number(count)) => folded.count = count,
            (field::folded::REVENUE, Content::Number(revenue)) => {
                folded.revenue = Amount::from_micros(unzigzag(revenue))
            }
            (field::folded::FIRST_AGE, Content::Number(age)) => folded.first = back(clock, age),
            (field::folded::LAST_AGE, Content::Number(age)) => folded.last = back(clock, age),
            (field::folded::CHAINS, Content::Bytes(bytes)) => {
                let mut reader = Reader(bytes);
                while !reader.0.is_empty() {
                    let count = reader.varint()?;
                    let age = reader.varint()?;
                    folded.chains.push((count, if count == 0 { ABSENT } else { back(clock, age) }));
                }
            }
            (field::folded::FOLLOWED, Content::Bytes(bytes)) => read_optional_ages(bytes, clock, &mut folded.followed)?,
            _ => {}
        }
    }
    Some(folded)
}

fn read_currency(code: u64) -> Option<Currency> {
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
            age => back(clock, age - 1),
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
        let mut later = clock;
        for _ in 0..count {
            later = back(later, reader.varint()?);
            times.push(later);
        }
        times.reverse();
        if !times.is_sorted() {
            return None;
        }
        *lists.get_mut(index)? = RecentTimes::from_sorted(times);
    }
    Some(())
}

fn back(clock: i64, age: u64) -> i64 {
    clock.wrapping_sub(age.cast_signed())
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// The content of a field.
enum Content<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Bytes that are still to be read. `None` everywhere means that they are no message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next field; `Some(None)` at the end.
    fn field(&mut self) -> Option<Option<(u32, Content<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = u32::try_from(self.varint()?).ok()?;
        let content = match tag & 7 {
            VARINT => Content::Number(self.varint()?),
            FIXED64 => Content::Number(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            LENGTH_DELIMITED => {
                let length = usize::try_from(self.varint()?).ok()?;
                Content::Bytes(self.take(length)?)
            }
            FIXED32 => Content::Number(u64::from(u32::from_le_bytes(self.take(4)?.try_into().ok()?))),
            _ => return None,
        };
        Some(Some((tag >> 3, content)))
    }
}
