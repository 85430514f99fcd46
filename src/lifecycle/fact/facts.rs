//! The facts of one customer, and how a touchpoint changes them.

use crate::lifecycle::money::Amount;
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::touchpoint::{FactOptions, Touchpoint};
use crate::lifecycle::transition::{OrdersSummary, OwnedValue};
use crate::lifecycle::value::{Horizon, Inputs, Slot, Value};
use crate::lifecycle::vocabulary::GroupSet;

use super::layout::{Layout, Operand, Readers, Update};
use super::orders::{ABSENT, OrderLedger};
use super::times::RecentTimes;

/// The facts of one customer, shaped by a [`Layout`].
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Facts {
    /// Counts, times in milliseconds ([`i64::MIN`] is absent), sums in millionths.
    pub numbers: Vec<i64>,
    /// Latest values of properties.
    pub latest: Vec<Option<Latest>>,
    /// Times of windowed facts.
    pub windows: Vec<RecentTimes>,
    /// The orders.
    pub orders: OrderLedger,
}

/// The value of a property at the latest touchpoint that had it.
#[derive(Clone, PartialEq, Debug)]
pub struct Latest {
    /// When.
    pub at: i64,
    /// What; at equal times the greater value, so that the order of arrival does not matter.
    pub value: OwnedValue,
}

impl Facts {
    /// The facts of a customer without touchpoints.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        let mut facts = Self::default();
        facts.reset(layout);
        facts
    }

    /// Makes these the facts of a customer without touchpoints; keeps the memory.
    pub fn reset(&mut self, layout: &Layout) {
        self.numbers.clear();
        self.numbers.extend(layout.number_is_time.iter().map(|&is_time| if is_time { ABSENT } else { 0 }));
        self.latest.clear();
        self.latest.resize(layout.latest_ids.len(), None);
        self.windows.resize(layout.window_ids.len(), RecentTimes::default());
        self.windows.iter_mut().for_each(RecentTimes::clear);
        self.orders.recent.resize(layout.followed.len(), RecentTimes::default());
        self.orders.clear();
        self.read_orders(layout, &FactOptions::default());
    }

    /// Derives what conditions read of the orders; after the ledger was filled from a record.
    pub fn read_orders(&mut self, layout: &Layout, options: &FactOptions) {
        self.orders.read(&layout.gaps, layout.followed.len(), options.currency);
    }

    /// Folds a touchpoint that stands in `groups`; `now` is the customer's clock, at or after it.
    /// Returns the models that read something that changed, a bit for each.
    pub fn fold(
        &mut self,
        layout: &Layout,
        options: &FactOptions,
        touchpoint: &Touchpoint<'_>,
        groups: GroupSet,
        now: Timestamp,
    ) -> u64 {
        let mut outdated = 0;
        if layout.reads_orders && self.orders.add(touchpoint, &layout.gaps, layout.followed.len(), options) {
            outdated |= layout.readers.orders;
        }
        let at = touchpoint.occurred_at.as_millis();
        for group in groups.iter() {
            for &update in layout.updates.get(usize::from(group.0)).map_or(&[][..], Vec::as_slice) {
                outdated |= self.update(update, &layout.readers, touchpoint, at, now.as_millis());
            }
        }
        outdated
    }

    fn update(&mut self, update: Update, readers: &Readers, touchpoint: &Touchpoint<'_>, at: i64, now: i64) -> u64 {
        let (has_changed, readers) = match update {
            Update::Count(index) => {
                self.numbers[usize::from(index)] += 1;
                (true, &readers.numbers[usize::from(index)])
            }
            Update::First(index) => {
                let first = &mut self.numbers[usize::from(index)];
                let is_earlier = *first == ABSENT || at < *first;
                if is_earlier {
                    *first = at;
                }
                (is_earlier, &readers.numbers[usize::from(index)])
            }
            Update::Last(index) => {
                let last = &mut self.numbers[usize::from(index)];
                // An absent time is less than any other.
                let is_later = at > *last;
                if is_later {
                    *last = at;
                }
                (is_later, &readers.numbers[usize::from(index)])
            }
            Update::Sum(index, property) => {
                let micros = match touchpoint.property(property) {
                    Value::Int(number) => number.wrapping_mul(Amount::MICROS),
                    Value::Double(number) => to_micros(number),
                    _ => 0,
                };
                let sum = &mut self.numbers[usize::from(index)];
                *sum = sum.wrapping_add(micros);
                (micros != 0, &readers.numbers[usize::from(index)])
            }
            Update::Latest(index, property) => {
                let value = touchpoint.property(property);
                let latest = &mut self.latest[usize::from(index)];
                let is_later = value != Value::Absent
                    && latest.as_ref().is_none_or(|known| {
                        at > known.at || at == known.at && is_greater(value, known.value.as_value())
                    });
                if is_later {
                    *latest = Some(Latest { at, value: OwnedValue::from(value) });
                }
                (is_later, &readers.latest[usize::from(index)])
            }
            Update::Window(index, length) => {
                let window = &mut self.windows[usize::from(index)];
                let end = now.saturating_sub(length.as_millis());
                window.forget_until(end);
                if at > end {
                    window.insert(at, RecentTimes::WINDOW_MAX);
                }
                (at > end, &readers.windows[usize::from(index)])
            }
            Update::Follow(index) => {
                (self.orders.follow(usize::from(index), at), &readers.followed[usize::from(index)])
            }
        };
        if has_changed { *readers } else { 0 }
    }

    /// What campaigns want to know of the orders.
    #[must_use]
    pub fn orders_summary(&self) -> OrdersSummary {
        let readings = &self.orders.readings;
        OrdersSummary { count: readings.count, revenue: readings.revenue, last: time_of(readings.last) }
    }
}

/// The facts of one customer as the inputs of conditions.
#[derive(Clone, Copy, Debug)]
pub struct FactsAt<'a> {
    /// Which facts there are.
    pub layout: &'a Layout,
    /// What they are.
    pub facts: &'a Facts,
}

impl Inputs for FactsAt<'_> {
    fn read(&self, slot: Slot, now: Timestamp, horizon: &mut Horizon) -> Value<'_> {
        let Facts { numbers, latest, windows, orders } = self.facts;
        let readings = &orders.readings;
        match self.layout.operands[usize::from(slot.0)] {
            Operand::Count(index) => Value::Int(numbers[usize::from(index)]),
            Operand::Time(index) => time_value(numbers[usize::from(index)]),
            Operand::Sum(index) => Value::Double(from_micros(numbers[usize::from(index)])),
            Operand::Latest(index) => {
                latest[usize::from(index)].as_ref().map_or(Value::Absent, |known| known.value.as_value())
            }
            Operand::CountWithin(index, length) => {
                let inside = windows[usize::from(index)].after(now.as_millis().saturating_sub(length.as_millis()));
                if let Some(&oldest) = inside.first() {
                    horizon.note(Timestamp::from_millis(oldest) + length);
                }
                Value::Int(i64::try_from(inside.len()).unwrap_or(i64::MAX))
            }
            Operand::OrdersCount => Value::Int(i64::try_from(readings.count).unwrap_or(i64::MAX)),
            Operand::OrdersFirst => time_value(readings.first),
            Operand::OrdersLast => time_value(readings.last),
            Operand::OrdersRevenue => Value::Double(from_micros(readings.revenue.as_micros())),
            Operand::Streak(index) => match self.streak(index, now, horizon) {
                Some((count, _)) => Value::Int(i64::try_from(count).unwrap_or(i64::MAX)),
                None => Value::Int(0),
            },
            Operand::StreakStart(index) => match self.streak(index, now, horizon) {
                Some((_, start)) => time_value(start),
                None => Value::Absent,
            },
            Operand::FirstSinceLast(index) => time_value(readings.first_since_last[usize::from(index)]),
        }
    }
}

impl FactsAt<'_> {
    /// The streak of the gap `index` while it lasts: how many orders, and the time of the first of them.
    fn streak(&self, index: u16, now: Timestamp, horizon: &mut Horizon) -> Option<(u64, i64)> {
        let index = usize::from(index);
        let gap: Duration = self.layout.gaps[index];
        let readings = &self.facts.orders.readings;
        let ends_at = time_of(readings.last)? + gap;
        if now >= ends_at {
            return None;
        }
        horizon.note(ends_at);
        Some(readings.streaks[index])
    }
}

fn time_of(millis: i64) -> Option<Timestamp> {
    (millis != ABSENT).then(|| Timestamp::from_millis(millis))
}

fn time_value(millis: i64) -> Value<'static> {
    time_of(millis).map_or(Value::Absent, Value::Timestamp)
}

/// Millionths, the nearest; a number beyond the range of a sum is cut to it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float that does not fit is cut to the nearest integer that does"
)]
fn to_micros(number: f64) -> i64 {
    (number * 1e6).round() as i64
}

#[expect(clippy::cast_precision_loss, reason = "sums are read as doubles; past 2^53 millionths the last digits go")]
fn from_micros(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// A total order of the values of one property.
fn is_greater(value: Value<'_>, known: Value<'_>) -> bool {
    match (value, known) {
        (Value::Int(value), Value::Int(known)) => value > known,
        (Value::Double(value), Value::Double(known)) => value.total_cmp(&known).is_gt(),
        (Value::Bool(value), Value::Bool(known)) => value && !known,
        (Value::String(value), Value::String(known)) => value > known,
        (Value::Timestamp(value), Value::Timestamp(known)) => value > known,
        (Value::Duration(value), Value::Duration(known)) => value > known,
        _ => false,
    }
}
