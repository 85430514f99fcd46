//! The order ledger of a customer: keeps the latest orders individually, and folds older ones into exact counts and
//! sums.
//!
//! While an order is kept individually, the touchpoints that complete, cancel or refund it may arrive in any order and
//! more than once, with the same result. The ids of the orders folded last are kept, so that an order that is completed
//! again counts once. Cancellations and refunds whose order is not known yet have a limit of their own: they never
//! displace an order.

use xxhash_rust::xxh3::xxh3_64;

use crate::lifecycle::money::{Amount, Currency};
use crate::lifecycle::time::Duration;
use crate::lifecycle::touchpoint::{FactOptions, Touchpoint};

use super::times::RecentTimes;

/// The value of a time that is not set.
pub(crate) const ABSENT: i64 = i64::MIN;

/// The touchpoint types that the ledger reads, as in the touchpoint catalogue.
const COMPLETED: &str = "order_completed";
const CANCELLED: &str = "order_cancelled";
const REFUNDED: &str = "order_refunded";

/// Whether `touchpoint` completes, cancels or refunds an order.
pub(crate) fn is_about_order(touchpoint: &Touchpoint<'_>) -> bool {
    matches!(touchpoint.type_name, COMPLETED | CANCELLED | REFUNDED)
}

/// An order. It may exist before it is completed, if a cancellation or refund arrives first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderEntry {
    /// Hash of the order id, or of the `event_id` if there is no order id.
    pub id: u64,
    /// The earliest time of a completion; [`i64::MIN`] while only a cancellation or refund is known.
    pub time: i64,
    /// The earliest time of any touchpoint about the order. It determines the position of an order that is not
    /// completed.
    pub first_mentioned_at: i64,
    /// The amount, from the earliest completion that has one.
    pub amount: Option<OrderAmount>,
    /// Whether it was cancelled, or refunded without an amount, that is, in full.
    pub is_void: bool,
    /// Refunds with an amount, each `event_id` once.
    pub refunds: Vec<Refund>,
    /// The time of the earliest touchpoint at or after the order, by follow-up group; [`i64::MIN`] if there is none.
    pub follow_ups: Vec<i64>,
}

/// The amount of an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderAmount {
    /// The amount, in `currency`.
    pub amount: Amount,
    /// The currency of `amount`.
    pub currency: Currency,
    /// The event time of the completion that it comes from, in milliseconds.
    pub at: i64,
    /// The `event_id` of that completion; the smaller one if two completions have the same time.
    pub event_id: Box<str>,
}

/// A refund with an amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refund {
    /// Hash of its `event_id`.
    pub event: u64,
    /// The absolute amount, in `currency`.
    pub amount: Amount,
    /// The currency of `amount`.
    pub currency: Currency,
}

/// Aggregates over the orders that are no longer kept individually.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoldedOrders {
    /// The number of valid folded orders.
    pub count: u64,
    /// Their revenue, in the configured currency.
    pub revenue: Amount,
    /// The time of the earliest order; [`i64::MIN`] if there is none.
    pub first: i64,
    /// The time of the latest order; [`i64::MIN`] if there is none.
    pub last: i64,
    /// The streak that ends with the latest folded order, by gap: the number of orders and the time of the first.
    pub streaks: Vec<(u64, i64)>,
    /// The time of the earliest touchpoint at or after the latest folded order, by follow-up group; [`i64::MIN`] if
    /// there is none.
    pub follow_ups: Vec<i64>,
    /// Hashes of the ids of the orders folded last, valid or not; the oldest first.
    pub ids: Vec<u64>,
}

impl FoldedOrders {
    /// The limit of ids. An older order that is completed again counts again.
    pub const IDS_MAX: usize = 256;

    pub(super) fn contains(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }

    /// Whether orders were folded whose ids are not known.
    fn has_unknown_ids(&self) -> bool {
        self.ids.len() >= Self::IDS_MAX || self.count > self.ids.len() as u64
    }
}

impl Default for FoldedOrders {
    fn default() -> Self {
        Self {
            count: 0,
            revenue: Amount::default(),
            first: ABSENT,
            last: ABSENT,
            streaks: Vec::new(),
            follow_ups: Vec::new(),
            ids: Vec::new(),
        }
    }
}

/// Aggregates over all valid orders, folded or not, which conditions read. Recomputed, never persisted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OrderAggregates {
    pub(crate) count: u64,
    pub(crate) revenue: Amount,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) streaks: Vec<(u64, i64)>,
    pub(crate) first_since_last: Vec<i64>,
}

impl Default for OrderAggregates {
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

/// The orders of a customer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OrderLedger {
    /// The latest orders, and those of which only a cancellation or refund is known, sorted by time.
    pub entries: Vec<OrderEntry>,
    /// Aggregates over older orders.
    pub folded: FoldedOrders,
    /// The latest touchpoint times of each follow-up group, for an order that arrives after its follow-up touchpoint.
    pub recent: Vec<RecentTimes>,
    pub(crate) aggregates: OrderAggregates,
}

impl OrderEntry {
    /// The limit of refunds per order that are kept individually. Further amounts are added to the last refund in the
    /// same currency.
    pub const REFUNDS_MAX: usize = 32;

    fn new(id: u64, first_mentioned_at: i64, follow_up_groups: usize) -> Self {
        Self {
            id,
            time: ABSENT,
            first_mentioned_at,
            amount: None,
            is_void: false,
            refunds: Vec::new(),
            follow_ups: vec![ABSENT; follow_up_groups],
        }
    }

    /// Returns the time by which orders are sorted.
    fn sort_time(&self) -> i64 {
        if self.time == ABSENT { self.first_mentioned_at } else { self.time }
    }

    /// Returns what orders are sorted by.
    pub(super) fn sort_key(&self) -> (i64, u64) {
        (self.sort_time(), self.id)
    }

    /// Returns the sum of refunds in `currency`.
    fn refunded(&self, currency: Currency) -> Amount {
        let refunds = self.refunds.iter().filter(|refund| refund.currency == currency);
        refunds.fold(Amount::default(), |sum, refund| sum.plus(refund.amount))
    }

    /// Whether the order is valid: completed, not void, with a positive amount that is not fully refunded.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let is_paid = self
            .amount
            .as_ref()
            .is_none_or(|known| known.amount > Amount::default() && self.refunded(known.currency) < known.amount);
        self.time != ABSENT && !self.is_void && is_paid
    }

    /// Returns the contribution of a valid order to the revenue in `currency`.
    fn revenue(&self, currency: Currency) -> Amount {
        match &self.amount {
            Some(known) if known.currency == currency => known.amount.minus(self.refunded(currency)),
            _ => Amount::default(),
        }
    }

    fn add_completion(&mut self, touchpoint: &Touchpoint<'_>, options: &FactOptions) {
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

    pub(super) fn add_refund(&mut self, refund: Refund) {
        if self.refunds.iter().any(|known| known.event == refund.event) {
            return;
        }
        if self.refunds.len() < Self::REFUNDS_MAX {
            // Sorted by event, so that the ledger does not depend on the order of arrival.
            let index = self.refunds.partition_point(|known| known.event < refund.event);
            self.refunds.insert(index, refund);
        } else if let Some(last) = self.refunds.iter_mut().rfind(|known| known.currency == refund.currency) {
            last.amount = last.amount.plus(refund.amount);
        }
    }
}

impl OrderLedger {
    /// The limit of entries of which only a cancellation or refund is known.
    pub const UNMATCHED_MAX: usize = 32;

    /// Whether a cancellation or refund has no effect: `touchpoint` itself, because its order was folded, or the oldest
    /// one without an order, because `touchpoint` takes its place.
    #[must_use]
    pub fn is_order_missing(&self, touchpoint: &Touchpoint<'_>) -> bool {
        let (CANCELLED | REFUNDED, Some(order_id)) = (touchpoint.type_name, touchpoint.order_id) else { return false };
        let id = xxh3_64(order_id.as_bytes());
        if self.folded.contains(id) {
            return true;
        }
        let is_new = !self.entries.iter().any(|entry| entry.id == id);
        // An order without an entry is most likely a folded one, if there are more of these than ids.
        is_new && (self.folded.has_unknown_ids() || self.unmatched().count() >= Self::UNMATCHED_MAX)
    }

    /// Returns the entries of which only a cancellation or refund is known.
    fn unmatched(&self) -> impl Iterator<Item = &OrderEntry> {
        self.entries.iter().filter(|entry| entry.time == ABSENT)
    }

    /// Applies a touchpoint if it completes, cancels or refunds an order that is not folded. Returns whether it does.
    pub fn add(
        &mut self,
        touchpoint: &Touchpoint<'_>,
        gaps: &[Duration],
        follow_up_groups: usize,
        options: &FactOptions,
    ) -> bool {
        let id = match (touchpoint.type_name, touchpoint.order_id) {
            (COMPLETED, order_id) => order_id.unwrap_or(touchpoint.event_id),
            (CANCELLED | REFUNDED, Some(order_id)) => order_id,
            _ => return false,
        };
        let id = xxh3_64(id.as_bytes());
        let at = touchpoint.occurred_at.as_millis();
        if self.folded.contains(id) {
            return false;
        }
        let index = self.entries.iter().position(|entry| entry.id == id);
        let mut entry = match index {
            Some(index) => self.entries.remove(index),
            None => OrderEntry::new(id, at, follow_up_groups),
        };
        entry.first_mentioned_at = entry.first_mentioned_at.min(at);
        match touchpoint.type_name {
            COMPLETED => {
                entry.add_completion(touchpoint, options);
                for group in 0..follow_up_groups {
                    entry.follow_ups[group] = self.first_follow_up(group, entry.time, entry.follow_ups[group]);
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
        let index = self.entries.partition_point(|other| other.sort_key() < entry.sort_key());
        self.entries.insert(index, entry);
        self.enforce_limits(gaps, options);
        self.derive_aggregates(gaps, follow_up_groups, options.currency);
        true
    }

    /// Removes and folds the oldest entries beyond the limits.
    pub(super) fn enforce_limits(&mut self, gaps: &[Duration], options: &FactOptions) {
        let mut unmatched = self.unmatched().count();
        while unmatched > Self::UNMATCHED_MAX {
            self.remove_oldest(|entry| entry.time == ABSENT);
            unmatched -= 1;
        }
        while self.entries.len() - unmatched > options.orders_kept_max
            && let Some(oldest) = self.remove_oldest(|entry| entry.time != ABSENT)
        {
            self.fold(&oldest, gaps, options.currency);
        }
    }

    /// Applies a touchpoint of the follow-up group `group`. Returns whether an aggregate changed.
    pub fn add_follow_up(&mut self, group: usize, at: i64) -> bool {
        if self.recent.len() <= group {
            self.recent.resize(group + 1, RecentTimes::default());
        }
        if !self.recent[group].contains(at) {
            self.recent[group].insert(at, RecentTimes::FOLLOW_UPS_MAX);
        }
        for entry in self.entries.iter_mut().filter(|entry| entry.time != ABSENT) {
            lower(&mut entry.follow_ups[group], entry.time, at);
        }
        if let Some(follow_ups) = self.folded.follow_ups.get_mut(group) {
            lower(follow_ups, self.folded.last, at);
        }
        let last = self.aggregates.last;
        self.aggregates.first_since_last.get_mut(group).is_some_and(|first| last != ABSENT && lower(first, last, at))
    }

    /// Returns the time of the earliest known touchpoint of `group` at or after `start`, or `known` if that is earlier.
    fn first_follow_up(&self, group: usize, start: i64, known: i64) -> i64 {
        let of_entries = self.entries.iter().map(|entry| entry.follow_ups[group]);
        let of_folded = self.folded.follow_ups.get(group).copied();
        let recent = self.recent.get(group).and_then(|times| times.first_from(start));
        let candidates = of_entries.chain(of_folded).chain(recent).chain([known]);
        candidates.filter(|&time| time != ABSENT && time >= start).min().unwrap_or(ABSENT)
    }

    fn remove_oldest(&mut self, is_candidate: impl Fn(&OrderEntry) -> bool) -> Option<OrderEntry> {
        let oldest = self.entries.iter().position(is_candidate)?;
        Some(self.entries.remove(oldest))
    }

    /// Adds the oldest order to the aggregates of folded orders, if it is valid.
    fn fold(&mut self, oldest: &OrderEntry, gaps: &[Duration], currency: Currency) {
        if self.folded.ids.len() >= FoldedOrders::IDS_MAX {
            self.folded.ids.remove(0);
        }
        self.folded.ids.push(oldest.id);
        if !oldest.is_valid() {
            return;
        }
        let folded = &mut self.folded;
        folded.count += 1;
        folded.revenue = folded.revenue.plus(oldest.revenue(currency));
        folded.first = if folded.first == ABSENT { oldest.time } else { folded.first.min(oldest.time) };
        // An order that is older than the latest folded one is counted, but no longer changes the streaks.
        if oldest.time >= folded.last {
            folded.streaks.resize(gaps.len(), (0, ABSENT));
            for (streak, gap) in folded.streaks.iter_mut().zip(gaps) {
                let continues = streak.0 > 0 && oldest.time.saturating_sub(folded.last) < gap.as_millis();
                *streak = if continues { (streak.0 + 1, streak.1) } else { (1, oldest.time) };
            }
            folded.last = oldest.time;
            folded.follow_ups.clone_from(&oldest.follow_ups);
        }
    }

    /// Recomputes the aggregates, in time linear in the number of orders kept.
    pub fn derive_aggregates(&mut self, gaps: &[Duration], follow_up_groups: usize, currency: Currency) {
        let folded = &self.folded;
        let mut aggregates = std::mem::take(&mut self.aggregates);
        (aggregates.count, aggregates.revenue) = (folded.count, folded.revenue);
        (aggregates.first, aggregates.last) = (folded.first, folded.last);
        aggregates.streaks.clear();
        aggregates.streaks.extend((0..gaps.len()).map(|gap| folded.streaks.get(gap).copied().unwrap_or((0, ABSENT))));
        aggregates.first_since_last.clear();
        let follow_ups = |group| folded.follow_ups.get(group).copied().unwrap_or(ABSENT);
        aggregates.first_since_last.extend((0..follow_up_groups).map(follow_ups));
        for order in self.entries.iter().filter(|entry| entry.is_valid()) {
            for (streak, gap) in aggregates.streaks.iter_mut().zip(gaps) {
                let continues = streak.0 > 0 && order.time.saturating_sub(aggregates.last) < gap.as_millis();
                *streak = if continues { (streak.0 + 1, streak.1) } else { (1, order.time) };
            }
            aggregates.count += 1;
            aggregates.revenue = aggregates.revenue.plus(order.revenue(currency));
            aggregates.first = if aggregates.first == ABSENT { order.time } else { aggregates.first.min(order.time) };
            // An order that is older than folded ones must not move the latest time back.
            if order.time >= aggregates.last {
                aggregates.last = order.time;
                aggregates.first_since_last.clone_from(&order.follow_ups);
            }
        }
        self.aggregates = aggregates;
    }

    /// Removes everything, and keeps the allocations for another customer.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.folded = FoldedOrders::default();
        self.recent.iter_mut().for_each(RecentTimes::clear);
        let aggregates = &mut self.aggregates;
        (aggregates.count, aggregates.revenue, aggregates.first, aggregates.last) =
            (0, Amount::default(), ABSENT, ABSENT);
        aggregates.streaks.clear();
        aggregates.first_since_last.clear();
    }
}

/// Lowers `first`, the earliest time at or after `start`, to `at` if that is earlier. Returns whether it changed.
fn lower(first: &mut i64, start: i64, at: i64) -> bool {
    let is_earlier = at >= start && (*first == ABSENT || at < *first);
    if is_earlier {
        *first = at;
    }
    is_earlier
}
