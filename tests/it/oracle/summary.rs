//! A summary of a history: the counts and times that the definitions of the stages use.
//!
//! It is computed from the whole history after each touchpoint. A history never extends past the instant of evaluation,
//! so the summary does not depend on `now`; only its methods do.

use super::catalogue::{self, any};
use super::orders::{Order, valid_orders};
use super::touchpoint::{Micros, Millis, Touchpoint};

pub(crate) const HOUR: Millis = 3_600_000;
pub(crate) const DAY: Millis = 24 * HOUR;

/// Every duration in the definitions, and the sums of two consecutive ones.
pub(crate) const THRESHOLDS: &[Millis] =
    &[24 * HOUR, 7 * DAY, 14 * DAY, 30 * DAY, 60 * DAY, 74 * DAY, 90 * DAY, 180 * DAY, 365 * DAY];

/// The latest times and the counts that the definitions read.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Summary {
    pub(crate) orders: Vec<Order>,
    pub(crate) touchpoints: usize,
    pub(crate) exposures: usize,
    pub(crate) contacts: usize,
    pub(crate) engagements: usize,
    pub(crate) sign_ups: usize,
    pub(crate) leads: usize,
    pub(crate) researches: usize,
    pub(crate) interests: usize,
    pub(crate) last_checkout: Option<Millis>,
    pub(crate) last_order_report: Option<Millis>,
    pub(crate) last_decision: Option<Millis>,
    pub(crate) last_use: Option<Millis>,
    pub(crate) last_feedback: Option<Millis>,
    pub(crate) last_scored: Option<Millis>,
    pub(crate) last_positive: Option<Millis>,
    pub(crate) last_negative: Option<Millis>,
    pub(crate) last_promoter: Option<Millis>,
    pub(crate) last_advocacy: Option<Millis>,
    pub(crate) last_bonding: Option<Millis>,
    pub(crate) last_in_touch: Option<Millis>,
    pub(crate) last_leaving: Option<Millis>,
    pub(crate) last_joined: Option<Millis>,
    pub(crate) last_left: Option<Millis>,
    /// Time of the earliest use at or after the last valid order.
    first_use_of_last_order: Option<Millis>,
}

impl Summary {
    pub(crate) fn of(history: &[Touchpoint]) -> Self {
        let times = |group: fn(&Touchpoint) -> bool| {
            history.iter().filter(move |touchpoint| group(touchpoint)).map(|touchpoint| touchpoint.at)
        };
        let last = |group| times(group).max();
        let count = |group| times(group).count();
        let orders = valid_orders(history);
        let last_order = orders.last().map(|order| order.at);
        Self {
            touchpoints: count(any),
            exposures: count(catalogue::exposure),
            contacts: count(catalogue::contact),
            engagements: count(catalogue::engagement),
            sign_ups: count(|touchpoint| touchpoint.is("signed_up")),
            leads: count(catalogue::lead),
            researches: count(catalogue::research),
            interests: count(catalogue::interest),
            last_checkout: last(|touchpoint| touchpoint.is("checkout_started")),
            last_order_report: last(|touchpoint| touchpoint.is("order_completed")),
            last_decision: last(catalogue::decision),
            last_use: last(catalogue::usage),
            last_feedback: last(catalogue::feedback),
            last_scored: last(catalogue::scored_feedback),
            last_positive: last(catalogue::positive_feedback),
            last_negative: last(catalogue::negative_feedback),
            last_promoter: last(catalogue::promoter),
            last_advocacy: last(catalogue::advocacy),
            last_bonding: last(catalogue::bonding),
            last_in_touch: last(catalogue::in_touch),
            last_leaving: last(catalogue::leaving),
            last_joined: last(|touchpoint| touchpoint.is("partner_joined")),
            last_left: last(|touchpoint| touchpoint.is("partner_left")),
            first_use_of_last_order: times(catalogue::usage).filter(|&at| Some(at) >= last_order).min(),
            orders,
        }
    }

    pub(crate) fn order_count(&self) -> usize {
        self.orders.len()
    }

    pub(crate) fn first_order(&self) -> Option<Millis> {
        self.orders.first().map(|order| order.at)
    }

    pub(crate) fn last_order(&self) -> Option<Millis> {
        self.orders.last().map(|order| order.at)
    }

    pub(crate) fn revenue(&self) -> Micros {
        self.orders.iter().map(|order| order.revenue).sum()
    }

    /// Returns the current streak: the latest orders with less than `gap` between neighbours, in ascending order.
    fn streak_orders(&self, gap: Millis, now: Millis) -> &[Order] {
        if self.last_order().is_none_or(|last| now >= last + gap) {
            return &[];
        }
        let mut start = self.orders.len() - 1;
        while start > 0 && self.orders[start].at - self.orders[start - 1].at < gap {
            start -= 1;
        }
        &self.orders[start..]
    }

    pub(crate) fn streak(&self, gap: Millis, now: Millis) -> usize {
        self.streak_orders(gap, now).len()
    }

    pub(crate) fn streak_start(&self, gap: Millis, now: Millis) -> Option<Millis> {
        self.streak_orders(gap, now).first().map(|order| order.at)
    }

    pub(crate) fn unhappy_since(&self, since: Option<Millis>) -> bool {
        at_or_after(self.last_negative, since) && !is_after(self.last_scored, self.last_negative)
    }

    pub(crate) fn advocated_since(&self, since: Option<Millis>, now: Millis) -> bool {
        at_or_after(self.last_advocacy, since)
            && is_younger(self.last_advocacy, 365 * DAY, now)
            && !self.unhappy_since(self.last_advocacy)
    }

    pub(crate) fn has_open_checkout(&self, now: Millis) -> bool {
        is_younger(self.last_checkout, 24 * HOUR, now)
            && (self.last_order_report.is_none() || is_after(self.last_checkout, self.last_order_report))
    }

    pub(crate) fn has_churned(&self, now: Millis) -> bool {
        let last_order = self.last_order();
        self.order_count() >= 1
            && (has_passed(last_order, 180 * DAY, now)
                || (self.unhappy_since(last_order) && has_passed(last_order, 90 * DAY, now))
                || is_after(self.last_leaving, last_order))
    }

    /// Returns when the experience of the last valid order began or will begin.
    pub(crate) fn experience_began(&self) -> Option<Millis> {
        let settled = self.last_order()? + 14 * DAY;
        Some(self.first_use_of_last_order.map_or(settled, |first_use| first_use.min(settled)))
    }

    /// Whether `last` is at or after the first valid order.
    pub(crate) fn since_first_order(&self, last: Option<Millis>) -> bool {
        at_or_after(last, self.first_order())
    }
}

/// Whether `one` is at or after `other`; false if either is absent.
pub(crate) fn at_or_after(one: Option<Millis>, other: Option<Millis>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one >= other)
}

/// Whether `one` is after `other`; false if either is absent.
pub(crate) fn is_after(one: Option<Millis>, other: Option<Millis>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one > other)
}

/// Whether at least `length` has passed since `since`.
pub(crate) fn has_passed(since: Option<Millis>, length: Millis, now: Millis) -> bool {
    since.is_some_and(|since| now >= since + length)
}

/// Whether `since` is less than `length` ago.
pub(crate) fn is_younger(since: Option<Millis>, length: Millis, now: Millis) -> bool {
    since.is_some_and(|since| now < since + length)
}
