//! The order ledger: a customer's latest orders one by one, older ones folded into exact counts and sums.
//!
//! Reports, cancellations and refunds of an order may arrive in any order and any number of times; the ledger is the same.
//! That holds for as long as the order is kept: one that is reported again after it was folded counts again.

use xxhash_rust::xxh3::xxh3_64;

use crate::lifecycle::money::{Amount, Currency};
use crate::lifecycle::time::Duration;
use crate::lifecycle::touchpoint::{FactOptions, Touchpoint};

use super::times::RecentTimes;

/// A time that was never set.
pub(crate) const ABSENT: i64 = i64::MIN;

/// The types that the ledger reads, as the touchpoint catalogue names them.
const COMPLETED: &str = "order_completed";
const CANCELLED: &str = "order_cancelled";
const REFUNDED: &str = "order_refunded";

/// Whether `touchpoint` is about an order, whatever became of it.
pub(crate) fn is_about_order(touchpoint: &Touchpoint<'_>) -> bool {
    matches!(touchpoint.type_name, COMPLETED | CANCELLED | REFUNDED)
}

/// An order, or what is known of one that was not reported yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderEntry {
    /// Hash of the order's id (of its event's id where it has none).
    pub id: u64,
    /// The time of the earliest report; [`i64::MIN`] while only a cancellation or refund is known.
    pub time: i64,
    /// The earliest time of anything that named the order: the place of an unreported one among the others.
    pub named_at: i64,
    /// What the earliest report that gives an amount says.
    pub amount: Option<OrderAmount>,
    /// Cancelled, or refunded in full.
    pub is_void: bool,
    /// Refunds with an amount, each event once.
    pub refunds: Vec<Refund>,
    /// By followed group: the time of the earliest touchpoint at or after the order; [`i64::MIN`] if there is none.
    pub followed: Vec<i64>,
}

/// An amount that a report gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderAmount {
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub currency: Currency,
    /// When the report occurred.
    pub at: i64,
    /// The report's event: of two at one time the lesser id wins.
    pub event_id: Box<str>,
}

/// A refund that says how much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refund {
    /// Hash of the refund's event id.
    pub event: u64,
    /// How much, without a sign.
    pub amount: Amount,
    /// Of what.
    pub currency: Currency,
}

/// The orders that are no longer kept one by one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoldedOrders {
    /// How many valid ones.
    pub count: u64,
    /// Their revenue in the configured currency.
    pub revenue: Amount,
    /// The time of the earliest; [`i64::MIN`] when there is none.
    pub first: i64,
    /// The time of the latest; [`i64::MIN`] when there is none.
    pub last: i64,
    /// By gap: how many of the latest follow one another, and the time of the first of those.
    pub chains: Vec<(u64, i64)>,
    /// By followed group: the time of the earliest touchpoint at or after the latest of them.
    pub followed: Vec<i64>,
}

impl Default for FoldedOrders {
    fn default() -> Self {
        Self {
            count: 0,
            revenue: Amount::default(),
            first: ABSENT,
            last: ABSENT,
            chains: Vec::new(),
            followed: Vec::new(),
        }
    }
}

/// What conditions read of the ledger, over valid orders. Derived, never stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OrderReadings {
    pub(crate) count: u64,
    pub(crate) revenue: Amount,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) streaks: Vec<(u64, i64)>,
    pub(crate) first_since_last: Vec<i64>,
}

impl Default for OrderReadings {
    fn default() -> Self {
        Self {
            count: 0,
            revenue: Amount::default(),
            first: ABSENT,
            last: ABSENT,
            streaks: Vec::new(),
            first_since_last: Vec::new(),
        }
    }
}

/// A customer's orders.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OrderLedger {
    /// By time, the earliest first.
    pub entries: Vec<OrderEntry>,
    /// The orders before those.
    pub folded: FoldedOrders,
    /// By followed group: its latest times, for orders that arrive after what followed them.
    pub recent: Vec<RecentTimes>,
    pub(crate) readings: OrderReadings,
}

impl OrderEntry {
    /// How many refunds of one order are told apart; the amounts of further ones are added to the last.
    pub const REFUNDS_MAX: usize = 32;

    fn new(id: u64, named_at: i64, followed_groups: usize) -> Self {
        Self {
            id,
            time: ABSENT,
            named_at,
            amount: None,
            is_void: false,
            refunds: Vec::new(),
            followed: vec![ABSENT; followed_groups],
        }
    }

    /// The order's place in time among the others.
    fn place(&self) -> i64 {
        if self.time == ABSENT { self.named_at } else { self.time }
    }

    /// What was refunded in the order's own currency.
    fn refunded(&self, currency: Currency) -> Amount {
        let refunds = self.refunds.iter().filter(|refund| refund.currency == currency);
        refunds.fold(Amount::default(), |sum, refund| sum.plus(refund.amount))
    }

    /// Whether the order counts.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let is_paid = self
            .amount
            .as_ref()
            .is_none_or(|known| known.amount > Amount::default() && self.refunded(known.currency) < known.amount);
        self.time != ABSENT && !self.is_void && is_paid
    }

    /// What the order, if valid, adds to the revenue in `currency`.
    fn revenue(&self, currency: Currency) -> Amount {
        match &self.amount {
            Some(known) if known.currency == currency => known.amount.minus(self.refunded(currency)),
            _ => Amount::default(),
        }
    }

    fn add_report(&mut self, touchpoint: &Touchpoint<'_>, options: &FactOptions) {
        let at = touchpoint.occurred_at.as_millis();
        if self.time == ABSENT || at < self.time {
            self.time = at;
        }
        let Some(amount) = touchpoint.amount else { return };
        let is_earlier =
            self.amount.as_ref().is_none_or(|known| (at, touchpoint.event_id) < (known.at, known.event_id.as_ref()));
        if is_earlier {
            let currency = touchpoint.currency.unwrap_or(options.currency);
            self.amount = Some(OrderAmount { amount, currency, at, event_id: touchpoint.event_id.into() });
        }
    }

    fn add_refund(&mut self, refund: Refund) {
        if self.refunds.iter().any(|known| known.event == refund.event) {
            return;
        }
        if self.refunds.len() < Self::REFUNDS_MAX {
            // Sorted, so that the ledger does not depend on the order of arrival.
            let place = self.refunds.partition_point(|known| known.event < refund.event);
            self.refunds.insert(place, refund);
        } else if let Some(last) = self.refunds.iter_mut().rfind(|known| known.currency == refund.currency) {
            last.amount = last.amount.plus(refund.amount);
        }
    }
}

impl OrderLedger {
    /// Folds a touchpoint that may report, cancel or refund an order. Returns whether it named one.
    pub fn add(
        &mut self,
        touchpoint: &Touchpoint<'_>,
        gaps: &[Duration],
        followed_groups: usize,
        options: &FactOptions,
    ) -> bool {
        let id = match (touchpoint.type_name, touchpoint.order_id) {
            (COMPLETED, order_id) => order_id.unwrap_or(touchpoint.event_id),
            (CANCELLED | REFUNDED, Some(order_id)) => order_id,
            _ => return false,
        };
        let id = xxh3_64(id.as_bytes());
        let at = touchpoint.occurred_at.as_millis();
        let index = self.entries.iter().position(|entry| entry.id == id);
        let mut entry = match index {
            Some(index) => self.entries.remove(index),
            None => OrderEntry::new(id, at, followed_groups),
        };
        entry.named_at = entry.named_at.min(at);
        match touchpoint.type_name {
            COMPLETED => {
                entry.add_report(touchpoint, options);
                for group in 0..followed_groups {
                    entry.followed[group] = self.first_followed(group, entry.time, entry.followed[group]);
                }
            }
            CANCELLED => entry.is_void = true,
            _ => match touchpoint.amount {
                None => entry.is_void = true,
                Some(amount) => entry.add_refund(Refund {
                    event: xxh3_64(touchpoint.event_id.as_bytes()),
                    amount: amount.magnitude(),
                    currency: touchpoint.currency.unwrap_or(options.currency),
                }),
            },
        }
        let place = self.entries.partition_point(|other| (other.place(), other.id) < (entry.place(), entry.id));
        self.entries.insert(place, entry);
        while self.entries.len() > options.orders_kept_max {
            let oldest = self.entries.remove(0);
            self.fold(&oldest, gaps, options.currency);
        }
        self.read(gaps, followed_groups, options.currency);
        true
    }

    /// Notes a touchpoint of the followed group `group`. Returns whether a reading changed.
    pub fn follow(&mut self, group: usize, at: i64) -> bool {
        if self.recent.len() <= group {
            self.recent.resize(group + 1, RecentTimes::default());
        }
        if !self.recent[group].contains(at) {
            self.recent[group].insert(at, RecentTimes::FOLLOWED_MAX);
        }
        for entry in self.entries.iter_mut().filter(|entry| entry.time != ABSENT) {
            lower(&mut entry.followed[group], entry.time, at);
        }
        if let Some(followed) = self.folded.followed.get_mut(group) {
            lower(followed, self.folded.last, at);
        }
        let last = self.readings.last;
        self.readings.first_since_last.get_mut(group).is_some_and(|first| last != ABSENT && lower(first, last, at))
    }

    /// The earliest known touchpoint of `group` at or after `start`; `known` is one of them, if set.
    fn first_followed(&self, group: usize, start: i64, known: i64) -> i64 {
        let of_entries = self.entries.iter().map(|entry| entry.followed[group]);
        let of_folded = self.folded.followed.get(group).copied();
        let recent = self.recent.get(group).and_then(|times| times.first_from(start));
        let candidates = of_entries.chain(of_folded).chain(recent).chain([known]);
        candidates.filter(|&time| time != ABSENT && time >= start).min().unwrap_or(ABSENT)
    }

    fn fold(&mut self, oldest: &OrderEntry, gaps: &[Duration], currency: Currency) {
        if !oldest.is_valid() {
            return;
        }
        let folded = &mut self.folded;
        folded.count += 1;
        folded.revenue = folded.revenue.plus(oldest.revenue(currency));
        folded.first = if folded.first == ABSENT { oldest.time } else { folded.first.min(oldest.time) };
        // An order that comes after later ones were folded counts, but can no longer be put between them.
        if oldest.time >= folded.last {
            folded.chains.resize(gaps.len(), (0, ABSENT));
            for (chain, gap) in folded.chains.iter_mut().zip(gaps) {
                let goes_on = chain.0 > 0 && oldest.time.saturating_sub(folded.last) < gap.as_millis();
                *chain = if goes_on { (chain.0 + 1, chain.1) } else { (1, oldest.time) };
            }
            folded.last = oldest.time;
            folded.followed.clone_from(&oldest.followed);
        }
    }

    /// Derives the readings. Linear in the orders kept.
    pub fn read(&mut self, gaps: &[Duration], followed_groups: usize, currency: Currency) {
        let folded = &self.folded;
        let mut readings = std::mem::take(&mut self.readings);
        (readings.count, readings.revenue) = (folded.count, folded.revenue);
        (readings.first, readings.last) = (folded.first, folded.last);
        readings.streaks.clear();
        readings.streaks.extend((0..gaps.len()).map(|gap| folded.chains.get(gap).copied().unwrap_or((0, ABSENT))));
        readings.first_since_last.clear();
        let followed = |group| folded.followed.get(group).copied().unwrap_or(ABSENT);
        readings.first_since_last.extend((0..followed_groups).map(followed));
        for order in self.entries.iter().filter(|entry| entry.is_valid()) {
            for (streak, gap) in readings.streaks.iter_mut().zip(gaps) {
                let goes_on = streak.0 > 0 && order.time.saturating_sub(readings.last) < gap.as_millis();
                *streak = if goes_on { (streak.0 + 1, streak.1) } else { (1, order.time) };
            }
            readings.count += 1;
            readings.revenue = readings.revenue.plus(order.revenue(currency));
            readings.first = if readings.first == ABSENT { order.time } else { readings.first.min(order.time) };
            // An order earlier than folded ones must not pull the last one back.
            if order.time >= readings.last {
                readings.last = order.time;
                readings.first_since_last.clone_from(&order.followed);
            }
        }
        self.readings = readings;
    }

    /// Forgets everything, and keeps the memory for another customer.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.folded = FoldedOrders::default();
        self.recent.iter_mut().for_each(RecentTimes::clear);
        let readings = &mut self.readings;
        (readings.count, readings.revenue, readings.first, readings.last) = (0, Amount::default(), ABSENT, ABSENT);
        readings.streaks.clear();
        readings.first_since_last.clear();
    }
}

/// Lowers `first`, the earliest time at or after `start`, to `at` where that is earlier. Returns whether it changed.
fn lower(first: &mut i64, start: i64, at: i64) -> bool {
    let is_earlier = at >= start && (*first == ABSENT || at < *first);
    if is_earlier {
        *first = at;
    }
    is_earlier
}
