//! The facts of one customer: updates them from touchpoints, and provides them to conditions.

use crate::lifecycle::money::Amount;
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::touchpoint::{FactOptions, Touchpoint};
use crate::lifecycle::transition::OrdersSummary;
use crate::lifecycle::value::{Horizon, Inputs, OwnedValue, Slot, Value};
use crate::lifecycle::vocabulary::GroupSet;

use super::layout::{FactLocation, FactUpdate, Layout, Readers};
use super::orders::{ABSENT, OrderLedger};
use super::times::RecentTimes;

/// The facts of one customer, shaped by a [`Layout`].
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Facts {
    /// Counts and times in milliseconds ([`i64::MIN`] means absent); sums in millionths.
    pub numbers: Vec<i128>,
    /// Latest values of properties.
    pub latest: Vec<Option<LatestValue>>,
    /// Times of the touchpoints in each window.
    pub windows: Vec<RecentTimes>,
    /// The order ledger.
    pub orders: OrderLedger,
}

/// The value of a property in the latest touchpoint that has it.
#[derive(Clone, PartialEq, Debug)]
pub struct LatestValue {
    /// The event time of that touchpoint, in milliseconds.
    pub at: i64,
    /// The value. If two touchpoints have the same time, the greater value is kept, so that the order of arrival does
    /// not matter.
    pub value: OwnedValue,
}

/// The value of a time in [`Facts::numbers`] that is not set.
pub(crate) const ABSENT_NUMBER: i128 = ABSENT as i128;

impl Facts {
    /// Creates the facts of a customer without touchpoints.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        let mut facts = Self::default();
        facts.reset(layout);
        facts
    }

    /// Resets to the state of [`new`](Self::new), and reuses the allocations.
    pub fn reset(&mut self, layout: &Layout) {
        self.numbers.clear();
        self.numbers.extend(layout.number_is_time.iter().map(|&is_time| if is_time { ABSENT_NUMBER } else { 0 }));
        self.latest.clear();
        self.latest.resize(layout.latest_ids.len(), None);
        self.windows.resize(layout.window_ids.len(), RecentTimes::default());
        self.windows.iter_mut().for_each(RecentTimes::clear);
        self.orders.recent.resize(layout.follow_ups.len(), RecentTimes::default());
        self.orders.clear();
        self.derive_order_aggregates(layout, &FactOptions::default());
    }

    /// Recomputes the aggregates of the order ledger, which records do not contain. Call it after decoding a record.
    pub fn derive_order_aggregates(&mut self, layout: &Layout, options: &FactOptions) {
        self.orders.derive_aggregates(&layout.gaps, layout.follow_ups.len(), options.currency);
    }

    /// Updates the facts from a touchpoint that belongs to `groups`. `now` is the customer's clock, at or after the
    /// touchpoint. Returns the models that read a changed fact, one bit per model.
    pub fn apply(
        &mut self,
        layout: &Layout,
        options: &FactOptions,
        touchpoint: &Touchpoint<'_>,
        groups: GroupSet,
        now: Timestamp,
    ) -> u64 {
        let mut affected = 0;
        if layout.reads_orders && self.orders.add(touchpoint, &layout.gaps, layout.follow_ups.len(), options) {
            affected |= layout.readers.orders;
        }
        let at = touchpoint.occurred_at.as_millis();
        for group in groups.iter() {
            for &update in layout.updates.get(usize::from(group.0)).map_or(&[][..], Vec::as_slice) {
                affected |= self.update(update, &layout.readers, touchpoint, at, now.as_millis());
            }
        }
        affected
    }

    fn update(&mut self, update: FactUpdate, readers: &Readers, touchpoint: &Touchpoint<'_>, at: i64, now: i64) -> u64 {
        let (has_changed, readers) = match update {
            FactUpdate::Count(index) => {
                self.numbers[usize::from(index)] += 1;
                (true, &readers.numbers[usize::from(index)])
            }
            FactUpdate::First(index) => {
                let (first, at) = (&mut self.numbers[usize::from(index)], i128::from(at));
                let is_earlier = *first == ABSENT_NUMBER || at < *first;
                if is_earlier {
                    *first = at;
                }
                (is_earlier, &readers.numbers[usize::from(index)])
            }
            FactUpdate::Last(index) => {
                let (last, at) = (&mut self.numbers[usize::from(index)], i128::from(at));
                // `ABSENT_NUMBER` is less than any time.
                let is_later = at > *last;
                if is_later {
                    *last = at;
                }
                (is_later, &readers.numbers[usize::from(index)])
            }
            FactUpdate::Sum(index, property) => {
                let micros = match touchpoint.property(property) {
                    Value::Int(number) => i128::from(number) * Amount::MICROS,
                    Value::Double(number) => to_micros(number),
                    _ => 0,
                };
                let sum = &mut self.numbers[usize::from(index)];
                *sum = sum.saturating_add(micros);
                (micros != 0, &readers.numbers[usize::from(index)])
            }
            FactUpdate::Latest(index, property) => {
                let value = touchpoint.property(property);
                let latest = &mut self.latest[usize::from(index)];
                let is_later = is_later(at, value, latest.as_ref());
                let later = if is_later { OwnedValue::of(value) } else { None };
                let has_changed = later.is_some();
                if let Some(value) = later {
                    *latest = Some(LatestValue { at, value });
                }
                (has_changed, &readers.latest[usize::from(index)])
            }
            FactUpdate::Window(index, length) => {
                let window = &mut self.windows[usize::from(index)];
                let end = now.saturating_sub(length.as_millis());
                window.remove_until(end);
                if at > end {
                    window.insert(at, RecentTimes::WINDOW_MAX);
                }
                (at > end, &readers.windows[usize::from(index)])
            }
            FactUpdate::FollowUp(index) => {
                (self.orders.add_follow_up(usize::from(index), at), &readers.follow_ups[usize::from(index)])
            }
        };
        if has_changed { *readers } else { 0 }
    }

    /// Returns the aggregates over the orders that are published with each transition.
    #[must_use]
    pub fn orders_summary(&self) -> OrdersSummary {
        let aggregates = &self.orders.aggregates;
        OrdersSummary { count: aggregates.count, revenue: aggregates.revenue, last: time_of(aggregates.last) }
    }
}

/// The facts of one customer as the inputs of conditions.
#[derive(Clone, Copy, Debug)]
pub struct FactInputs<'a> {
    /// The definitions of the facts.
    pub layout: &'a Layout,
    /// Their values.
    pub facts: &'a Facts,
}

impl Inputs for FactInputs<'_> {
    fn read(&self, slot: Slot, now: Timestamp, horizon: &mut Horizon) -> Value<'_> {
        let Facts { numbers, latest, windows, orders } = self.facts;
        let aggregates = &orders.aggregates;
        match self.layout.locations[usize::from(slot.0)] {
            FactLocation::Count(index) => Value::Int(saturated(numbers[usize::from(index)])),
            FactLocation::Time(index) => time_value(saturated(numbers[usize::from(index)])),
            FactLocation::Sum(index) => Value::Double(from_micros(numbers[usize::from(index)])),
            FactLocation::Latest(index) => {
                latest[usize::from(index)].as_ref().map_or(Value::Absent, |known| known.value.as_value())
            }
            FactLocation::CountWithin(index, length) => {
                let inside = windows[usize::from(index)].after(now.as_millis().saturating_sub(length.as_millis()));
                if let Some(&oldest) = inside.first() {
                    horizon.lower_to(Timestamp::from_millis(oldest) + length);
                }
                Value::Int(i64::try_from(inside.len()).unwrap_or(i64::MAX))
            }
            FactLocation::OrdersCount => Value::Int(i64::try_from(aggregates.count).unwrap_or(i64::MAX)),
            FactLocation::OrdersFirst => time_value(aggregates.first),
            FactLocation::OrdersLast => time_value(aggregates.last),
            FactLocation::OrdersRevenue => Value::Double(from_micros(aggregates.revenue.as_micros())),
            FactLocation::Streak(index) => match self.streak(index, now, horizon) {
                Some((count, _)) => Value::Int(i64::try_from(count).unwrap_or(i64::MAX)),
                None => Value::Int(0),
            },
            FactLocation::StreakStart(index) => match self.streak(index, now, horizon) {
                Some((_, start)) => time_value(start),
                None => Value::Absent,
            },
            FactLocation::FirstSinceLast(index) => time_value(aggregates.first_since_last[usize::from(index)]),
        }
    }

    fn read_int_or_millis(&self, slot: Slot, now: Timestamp, horizon: &mut Horizon) -> Option<i64> {
        let Facts { numbers, orders, .. } = self.facts;
        let aggregates = &orders.aggregates;
        let time = match self.layout.locations[usize::from(slot.0)] {
            FactLocation::Count(index) => return Some(saturated(numbers[usize::from(index)])),
            FactLocation::OrdersCount => return Some(i64::try_from(aggregates.count).unwrap_or(i64::MAX)),
            FactLocation::Time(index) => saturated(numbers[usize::from(index)]),
            FactLocation::OrdersFirst => aggregates.first,
            FactLocation::OrdersLast => aggregates.last,
            FactLocation::FirstSinceLast(index) => aggregates.first_since_last[usize::from(index)],
            _ => return self.read(slot, now, horizon).int_or_millis(),
        };
        (time != ABSENT).then_some(time)
    }
}

impl FactInputs<'_> {
    /// Returns the current streak for the gap `index`: the number of orders and the time of the first. `None` if the
    /// streak has ended.
    fn streak(&self, index: u16, now: Timestamp, horizon: &mut Horizon) -> Option<(u64, i64)> {
        let index = usize::from(index);
        let gap: Duration = self.layout.gaps[index];
        let aggregates = &self.facts.orders.aggregates;
        let ends_at = time_of(aggregates.last)? + gap;
        if now >= ends_at {
            return None;
        }
        horizon.lower_to(ends_at);
        Some(aggregates.streaks[index])
    }
}

fn time_of(millis: i64) -> Option<Timestamp> {
    (millis != ABSENT).then(|| Timestamp::from_millis(millis))
}

fn time_value(millis: i64) -> Value<'static> {
    time_of(millis).map_or(Value::Absent, Value::Timestamp)
}

/// The largest absolute value that a touchpoint adds to a sum, in millionths: 2^63, the range of an `int` property.
/// Without the limit, a single `double` could saturate a sum, which would then depend on the order of its terms.
const SUMMAND_MAX: i128 = (1 << 63) * Amount::MICROS;

/// Converts to millionths, rounded to the nearest and limited to [`SUMMAND_MAX`].
#[expect(clippy::cast_possible_truncation, reason = "a cast from float to integer saturates")]
fn to_micros(number: f64) -> i128 {
    ((number * 1e6).round() as i128).clamp(-SUMMAND_MAX, SUMMAND_MAX)
}

/// Converts to a double, which is exact up to 2^53 millionths. Rounding is monotone, so a sum never compares as less
/// than a smaller sum.
#[expect(clippy::cast_precision_loss, reason = "rounding is monotone")]
fn from_micros(micros: i128) -> f64 {
    micros as f64 / 1e6
}

/// Returns a count or time, which always fits.
fn saturated(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Whether a value at `at` replaces the `known` one.
pub(super) fn is_later(at: i64, value: Value<'_>, known: Option<&LatestValue>) -> bool {
    known.is_none_or(|known| at > known.at || at == known.at && is_greater(value, known.value.as_value()))
}

/// Whether `value` is greater than `known`, in a total order of the values of one property.
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
