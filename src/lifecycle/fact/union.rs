//! Unites the facts of two customers: the result is that of one customer with the touchpoints of both.
//!
//! Exact while both are within the limits of what is kept individually. Beyond them, an order that both have folded
//! counts twice, a streak of folded orders misses those that the other customer placed among them, and a follow-up
//! touchpoint may be missing if many follow it.

use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::touchpoint::FactOptions;

use super::facts::{ABSENT_NUMBER, Facts, is_later};
use super::layout::{FactUpdate, Layout};
use super::orders::{ABSENT, FoldedOrders, OrderEntry, OrderLedger};
use super::times::RecentTimes;

impl Facts {
    /// Adds the facts of `other`. `now` is the later clock of both customers.
    pub fn unite(&mut self, other: &Self, layout: &Layout, options: &FactOptions, now: Timestamp) {
        for &update in layout.updates.iter().flatten() {
            match update {
                FactUpdate::Count(index) | FactUpdate::Sum(index, _) => {
                    let number = &mut self.numbers[usize::from(index)];
                    *number = number.saturating_add(other.numbers[usize::from(index)]);
                }
                FactUpdate::First(index) => {
                    let number = &mut self.numbers[usize::from(index)];
                    let times = [*number, other.numbers[usize::from(index)]];
                    *number = times.into_iter().filter(|&time| time != ABSENT_NUMBER).min().unwrap_or(ABSENT_NUMBER);
                }
                FactUpdate::Last(index) => {
                    let number = &mut self.numbers[usize::from(index)];
                    *number = (*number).max(other.numbers[usize::from(index)]);
                }
                FactUpdate::Latest(index, _) => {
                    let latest = &mut self.latest[usize::from(index)];
                    if let Some(theirs) = &other.latest[usize::from(index)]
                        && is_later(theirs.at, theirs.value.as_value(), latest.as_ref())
                    {
                        *latest = Some(theirs.clone());
                    }
                }
                FactUpdate::Window(index, length) => {
                    let window = &mut self.windows[usize::from(index)];
                    window.merge(&other.windows[usize::from(index)], RecentTimes::WINDOW_MAX);
                    window.remove_until(now.as_millis().saturating_sub(length.as_millis()));
                }
                // Part of the order ledger.
                FactUpdate::FollowUp(_) => {}
            }
        }
        self.orders.unite(&other.orders, &layout.gaps, layout.follow_ups.len(), options);
    }
}

impl OrderLedger {
    fn unite(&mut self, other: &Self, gaps: &[Duration], follow_up_groups: usize, options: &FactOptions) {
        // An order that one of both has folded is complete there, as in `add`.
        self.entries.retain(|entry| !other.folded.contains(entry.id));
        for theirs in other.entries.iter().filter(|entry| !self.folded.contains(entry.id)) {
            match self.entries.iter_mut().find(|entry| entry.id == theirs.id) {
                Some(entry) => entry.unite(theirs),
                None => self.entries.push(theirs.clone()),
            }
        }
        self.entries.sort_by_key(OrderEntry::sort_key);
        let ours = std::mem::take(&mut self.folded);
        let follow_ups = self.all_follow_ups(&[&ours, &other.folded], other, follow_up_groups);
        self.folded = ours.united(&other.folded, gaps);
        // Every known touchpoint is a candidate: the entries of one ledger have only seen the touchpoints of that one.
        for (group, times) in follow_ups.iter().enumerate() {
            let first_from = |start: i64| times.get(times.partition_point(|&time| time < start)).copied();
            for entry in self.entries.iter_mut().filter(|entry| entry.time != ABSENT) {
                entry.follow_ups[group] = first_from(entry.time).unwrap_or(ABSENT);
            }
            if self.folded.last != ABSENT {
                self.folded.follow_ups.resize(follow_up_groups, ABSENT);
                self.folded.follow_ups[group] = first_from(self.folded.last).unwrap_or(ABSENT);
            }
        }
        for (ours, theirs) in self.recent.iter_mut().zip(&other.recent) {
            ours.merge(theirs, usize::MAX);
            ours.deduplicate();
            ours.merge(&RecentTimes::default(), RecentTimes::FOLLOW_UPS_MAX);
        }
        self.enforce_limits(gaps, options);
        self.derive_aggregates(gaps, follow_up_groups, options.currency);
    }

    /// Returns the known times of touchpoints in both ledgers by follow-up group, ascending. The entries of `other` are
    /// already part of this ledger, except those that are folded.
    fn all_follow_ups(&self, folded: &[&FoldedOrders], other: &Self, groups: usize) -> Vec<Vec<i64>> {
        let of_group = |group: usize| {
            let recent = [self, other].into_iter().filter_map(|ledger| ledger.recent.get(group));
            let entries = self.entries.iter().chain(&other.entries).map(|entry| entry.follow_ups[group]);
            let of_folded = folded.iter().filter_map(|folded| folded.follow_ups.get(group).copied());
            let mut times: Vec<i64> = recent.flat_map(RecentTimes::as_slice).copied().collect();
            times.extend(entries.chain(of_folded).filter(|&time| time != ABSENT));
            times.sort_unstable();
            times
        };
        (0..groups).map(of_group).collect()
    }
}

impl OrderEntry {
    /// Adds what another ledger knows of the same order, except its follow-up touchpoints.
    fn unite(&mut self, other: &Self) {
        self.time = earliest(self.time, other.time);
        self.first_mentioned_at = self.first_mentioned_at.min(other.first_mentioned_at);
        self.is_void |= other.is_void;
        let amounts = [self.amount.take(), other.amount.clone()];
        self.amount = amounts.into_iter().flatten().min_by(|a, b| (a.at, &a.event_id).cmp(&(b.at, &b.event_id)));
        for &refund in &other.refunds {
            self.add_refund(refund);
        }
    }
}

impl FoldedOrders {
    /// Returns the totals of both, without the follow-up touchpoints.
    fn united(self, other: &Self, gaps: &[Duration]) -> Self {
        let (earlier, later) = if self.last <= other.last { (&self, other) } else { (other, &self) };
        let streak = |(index, gap): (usize, &Duration)| {
            let of = |folded: &Self| folded.streaks.get(index).copied().unwrap_or((0, ABSENT));
            let ((count, start), (before, start_before)) = (of(later), of(earlier));
            let continues = before > 0 && earlier.last <= start && start.saturating_sub(earlier.last) < gap.as_millis();
            if continues { (before + count, start_before) } else { (count, start) }
        };
        Self {
            count: self.count + other.count,
            revenue: self.revenue.plus(other.revenue),
            first: earliest(self.first, other.first),
            last: later.last,
            streaks: gaps.iter().enumerate().map(streak).collect(),
            follow_ups: Vec::new(),
            ids: interleaved(&self.ids, &other.ids, Self::IDS_MAX),
        }
    }
}

/// Returns the earlier time that is set.
fn earliest(time: i64, other: i64) -> i64 {
    [time, other].into_iter().filter(|&time| time != ABSENT).min().unwrap_or(ABSENT)
}

/// Returns the items of both lists, newest last, alternately from the newest on; at most `kept_max`.
pub(crate) fn interleaved(ours: &[u64], theirs: &[u64], kept_max: usize) -> Vec<u64> {
    let mut items = Vec::with_capacity(kept_max.min(ours.len() + theirs.len()));
    let (mut ours, mut theirs) = (ours.iter().rev(), theirs.iter().rev());
    while items.len() < kept_max {
        let (a, b) = (ours.next(), theirs.next());
        if a.is_none() && b.is_none() {
            break;
        }
        items.extend(a.into_iter().chain(b));
    }
    items.truncate(kept_max);
    items.reverse();
    items
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lifecycle::fact::{FactInputs, FactKind, OrderFact};
    use crate::lifecycle::id::{GroupIndex, ModelIndex, PropertyIndex, StableId, TypeIndex};
    use crate::lifecycle::money::Amount;
    use crate::lifecycle::touchpoint::Touchpoint;
    use crate::lifecycle::value::{Horizon, Inputs, Slot, Type, Value};
    use crate::lifecycle::vocabulary::GroupSet;

    const HOUR: i64 = 3_600_000;

    /// A touchpoint: hours, a type, the number of an order, an amount, and whether it belongs to the group.
    #[derive(Clone, Debug)]
    struct Sample {
        event_id: String,
        hour: i64,
        type_name: &'static str,
        order: u8,
        amount: Option<i32>,
        is_in_group: bool,
    }

    fn layout() -> Layout {
        let mut layout = Layout::default();
        let group = GroupIndex(0);
        let kinds = [
            FactKind::Count(group),
            FactKind::First(group),
            FactKind::Last(group),
            FactKind::Sum(group, PropertyIndex(0)),
            FactKind::Latest(group, PropertyIndex(0)),
            FactKind::CountWithin(group, Duration::from_days(3)),
            FactKind::Orders(OrderFact::Count),
            FactKind::Orders(OrderFact::First),
            FactKind::Orders(OrderFact::Last),
            FactKind::Orders(OrderFact::Revenue),
            FactKind::Orders(OrderFact::Streak(Duration::from_days(2))),
            FactKind::Orders(OrderFact::StreakStart(Duration::from_days(2))),
            FactKind::Orders(OrderFact::FirstSinceLast(group)),
        ];
        let mut slots = Vec::new();
        for (index, kind) in (0..).zip(kinds) {
            let slot = layout.intern(kind, &format!("fact {index}"), Type::Int, StableId(index)).expect("few facts");
            slots.push((ModelIndex(0), slot));
        }
        layout.set_readers(slots);
        layout
    }

    /// Applies the touchpoints in order. Returns the facts and the clock of the customer.
    fn fold<'a>(samples: impl IntoIterator<Item = &'a Sample>, layout: &Layout, options: &FactOptions) -> (Facts, i64) {
        let mut facts = Facts::new(layout);
        let mut clock = i64::MIN;
        for sample in samples {
            let at = sample.hour * HOUR;
            clock = clock.max(at);
            let order_id = format!("order {}", sample.order);
            let property = [(PropertyIndex(0), Value::Int(sample.order.into()))];
            let touchpoint = Touchpoint {
                event_id: &sample.event_id,
                customer_id: "c",
                anonymous_id: None,
                merged_id: None,
                blocked_id: None,
                is_visitor: false,
                kind: TypeIndex::UNKNOWN,
                type_name: sample.type_name,
                occurred_at: Timestamp::from_millis(at),
                order_id: Some(&order_id),
                amount: sample.amount.map(|amount| Amount::from_micros(i128::from(amount) * Amount::MICROS)),
                currency: None,
                properties: &property,
            };
            let mut groups = GroupSet::default();
            if sample.is_in_group {
                groups.insert(GroupIndex(0));
            }
            facts.apply(layout, options, &touchpoint, groups, Timestamp::from_millis(clock));
        }
        (facts, clock)
    }

    /// Returns the value of every fact.
    fn values(facts: &Facts, layout: &Layout, now: i64) -> Vec<String> {
        let inputs = FactInputs { layout, facts };
        let now = Timestamp::from_millis(now);
        let value = |slot| format!("{:?}", inputs.read(Slot(slot), now, &mut Horizon::NEVER.clone()));
        (0_u16..).take(layout.definitions.len()).map(value).collect()
    }

    /// Returns the values of the united facts of both parts, and of all touchpoints applied to one customer.
    fn united_and_folded(
        ours: &[Sample],
        theirs: &[Sample],
        all: &[Sample],
        options: &FactOptions,
    ) -> [Vec<String>; 2] {
        let layout = layout();
        let ((mut facts, clock), (others, other_clock)) =
            (fold(ours, &layout, options), fold(theirs, &layout, options));
        let now = clock.max(other_clock);
        facts.unite(&others, &layout, options, Timestamp::from_millis(now));
        let (folded, _) = fold(all, &layout, options);
        [values(&facts, &layout, now), values(&folded, &layout, now)]
    }

    fn sample(number: u16, type_name: &'static str, hour: i64, order: u8, amount: Option<i32>) -> Sample {
        Sample { event_id: format!("event {number}"), hour, type_name, order, amount, is_in_group: true }
    }

    fn samples() -> impl Strategy<Value = Vec<Sample>> {
        let type_name = prop_oneof![
            4 => Just("order_completed"),
            1 => Just("order_cancelled"),
            2 => Just("order_refunded"),
            5 => Just("page_viewed"),
        ];
        let item = (type_name, 0_i64..300, 0_u8..12, proptest::option::of(-3_i32..20), any::<bool>());
        proptest::collection::vec(item, 1..32).prop_map(|items| {
            let numbered = (0..).zip(items);
            let sample = |(number, (type_name, hour, order, amount, is_in_group))| Sample {
                is_in_group,
                ..sample(number, type_name, hour, order, amount)
            };
            numbered.map(sample).collect()
        })
    }

    proptest! {
        #[test]
        fn a_union_is_the_fold_of_all_touchpoints_in_any_order(
            (all, shuffled) in samples().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
            split in any::<u32>(),
        ) {
            let (ours, theirs): (Vec<_>, Vec<_>) =
                shuffled.into_iter().enumerate().partition(|(index, _)| split >> index & 1 == 1);
            let part = |part: Vec<(usize, Sample)>| part.into_iter().map(|(_, sample)| sample).collect::<Vec<_>>();
            let [united, folded] = united_and_folded(&part(ours), &part(theirs), &all, &FactOptions::default());
            prop_assert_eq!(united, folded);
        }
    }

    /// Compares the union of the even and the odd touchpoints with the fold of all.
    fn assert_exact(all: &[Sample]) {
        let part = |rest: usize| all.iter().skip(rest).step_by(2).cloned().collect::<Vec<_>>();
        let [united, folded] = united_and_folded(&part(0), &part(1), all, &FactOptions::default());
        assert_eq!(united, folded);
    }

    #[test]
    fn a_window_keeps_the_latest_times_of_both() {
        let all: Vec<Sample> = (0..400).map(|number| sample(number, "page_viewed", 7, 0, None)).collect();
        assert_exact(&all);
    }

    #[test]
    fn orders_beyond_the_limit_are_folded_after_the_union() {
        let order = |number: u8| sample(number.into(), "order_completed", i64::from(number) * 5, number, Some(3));
        let all: Vec<Sample> = (0..50).map(order).collect();
        assert_exact(&all);
    }

    #[test]
    fn folded_orders_of_both_are_counted() {
        let all: Vec<Sample> = (0_u8..200)
            .map(|number| sample(number.into(), "order_completed", number.into(), number, Some(3)))
            .collect();
        let part = |rest: usize| all.iter().skip(rest).step_by(2).cloned().collect::<Vec<_>>();
        let [united, folded] = united_and_folded(&part(0), &part(1), &all, &FactOptions::default());
        // Streaks of folded orders whose times overlap are not joined: facts 10 and 11.
        assert_eq!((&united[..10], &united[12..]), (&folded[..10], &folded[12..]));
    }

    #[test]
    fn folded_orders_of_one_before_all_of_the_other_continue_the_streak() {
        let options = FactOptions { orders_kept_max: 0, ..FactOptions::default() };
        let order = |number: u8| sample(number.into(), "order_completed", number.into(), number, Some(3));
        let all: Vec<Sample> = (0..120).map(order).collect();
        let [united, folded] = united_and_folded(&all[..60], &all[60..], &all, &options);
        assert_eq!(united, folded);
    }

    #[test]
    fn refunds_beyond_the_limit_keep_their_sum() {
        let order = sample(0, "order_completed", 0, 0, Some(1_000));
        let refunds = (1..60).map(|number| sample(number, "order_refunded", 1, 0, Some(2)));
        let all: Vec<Sample> = std::iter::once(order).chain(refunds).collect();
        assert_exact(&all);
    }

    #[test]
    fn an_order_that_one_has_folded_is_not_counted_again() {
        let options = FactOptions { orders_kept_max: 1, ..FactOptions::default() };
        let order = |number: u16, order: u8| sample(number, "order_completed", number.into(), order, Some(3));
        let ours = [order(0, 0), order(1, 1), order(2, 2)];
        let again = [order(3, 0)];
        let [united, folded] = united_and_folded(&ours, &again, &ours, &options);
        assert_eq!(united[6], folded[6], "the number of orders");
    }

    #[test]
    fn the_newest_items_of_both_lists_are_kept() {
        assert_eq!(interleaved(&[1, 2, 3], &[11, 12], 4), [11, 2, 12, 3]);
        assert_eq!(interleaved(&[1, 2], &[], 4), [1, 2]);
        assert_eq!(interleaved(&[], &[], 4), Vec::<u64>::new());
    }
}
