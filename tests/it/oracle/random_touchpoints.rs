//! Random touchpoints for generated histories, at instants that are likely to matter for the models.

use super::catalogue;
use super::generator::{History, HistoryLength, ORDERS_MAX, TOUCHPOINTS_MAX, unused_id};
use super::summary::{DAY, HOUR, THRESHOLDS};
use super::touchpoint::Millis;
use super::touchpoint_draft::TouchpointDraft;

const REVERSALS: &[&str] = &["order_cancelled", "order_refunded"];
pub(super) const ORDERS: &[&str] = &["order_completed"];
const FEEDBACK: &[&str] = &["feedback_given"];
const CHECKOUT: &[&str] = &["checkout_started"];
const PARTNERSHIP: &[&str] = &["partner_joined", "partner_left"];
const LOYALTY: &[&str] = &["loyalty_enrolled", "social_followed", "community_joined"];

/// Lists of touchpoint types to choose from. Frequent lists appear several times.
pub(super) const TYPE_LISTS: &[&[&str]] = &[
    ORDERS,
    ORDERS,
    ORDERS,
    FEEDBACK,
    FEEDBACK,
    CHECKOUT,
    REVERSALS,
    catalogue::ADVOCACY,
    catalogue::LEAVING,
    PARTNERSHIP,
    catalogue::USE,
    catalogue::DECISION,
    catalogue::RESEARCH,
    catalogue::LEAD,
    catalogue::ENGAGEMENT,
    catalogue::CONTACT,
    catalogue::EXPOSURE,
    LOYALTY,
    catalogue::UNKNOWN,
];

impl History<'_> {
    /// Whether the history has the maximum number of order ids.
    fn has_reached_orders_max(&self) -> bool {
        self.length == HistoryLength::Short && self.order_ids.len() >= ORDERS_MAX
    }

    /// Returns the index of an order that touchpoints may still refer to. There must be at least one order.
    fn random_order_index(&mut self) -> usize {
        let count = self.orders.len();
        let first = if self.length == HistoryLength::Long { count.saturating_sub(6) } else { 0 };
        self.rng.usize(first..count)
    }

    /// Adds one random touchpoint.
    pub(super) fn add_random(&mut self) {
        if self.length == HistoryLength::Short && self.drafts.len() >= TOUCHPOINTS_MAX {
            return;
        }
        self.now = self.random_time();
        if self.rng.u8(..12) == 0 {
            let types = TYPE_LISTS[self.rng.usize(..TYPE_LISTS.len())];
            let index = self.rng.usize(..self.preferred_types.len());
            self.preferred_types[index] = types;
        }
        let types = if self.rng.u8(..5) == 0 {
            TYPE_LISTS[self.rng.usize(..TYPE_LISTS.len())]
        } else {
            self.preferred_types[self.rng.usize(..self.preferred_types.len())]
        };
        match types[self.rng.usize(..types.len())] {
            "order_completed" => self.random_order(),
            "feedback_given" => self.random_score(),
            type_name @ ("order_cancelled" | "order_refunded") => self.random_reversal(type_name),
            type_name => self.add_plain(type_name),
        }
    }

    /// Returns a random instant, often one near a threshold of the models.
    fn random_time(&mut self) -> Millis {
        let rng = &mut *self.rng;
        let anchor = match rng.u8(..3) {
            0 => self.now,
            1 if !self.orders.is_empty() => self.orders[rng.usize(..self.orders.len())].at,
            _ if !self.drafts.is_empty() => self.drafts[rng.usize(..self.drafts.len())].at,
            _ => self.now,
        };
        let mut threshold = THRESHOLDS[rng.usize(..THRESHOLDS.len())];
        if rng.u8(..5) == 0 {
            threshold += THRESHOLDS[rng.usize(..THRESHOLDS.len())];
        }
        let instant = match rng.u8(..20) {
            0..3 => self.now,
            3 => self.now + 1,
            4 => anchor + [-1, 0, 1][rng.usize(..3)],
            5..11 => anchor + threshold + [-1, 0, 1][rng.usize(..3)],
            11..15 => self.now + rng.i64(0..10 * HOUR),
            15..18 => self.now + rng.i64(1..40) * DAY + rng.i64(0..HOUR),
            18 => self.now + rng.i64(50..400) * DAY,
            _ => anchor - rng.i64(0..30) * DAY,
        };
        // Usually does not go back in time: touchpoints generated out of order also arrive out of order.
        if instant < self.now && (self.length == HistoryLength::Long || rng.u8(..4) != 0) { self.now } else { instant }
    }

    fn random_amount(&mut self) -> Option<i64> {
        const AMOUNTS: &[i64] =
            &[100_000, 300_000, 10_000_000, 99_990_000, 33_330_000, 1, 19_999_999, 999_999_999_999_999_999];
        match self.rng.u8(..20) {
            0..3 => None,
            3 => Some(0),
            4 => Some(-self.rng.i64(0..100_000_000)),
            // Ten of the largest amount exceed 64 bits.
            _ if self.length == HistoryLength::Long && self.rng.bool() => Some(AMOUNTS[AMOUNTS.len() - 1]),
            _ => Some(AMOUNTS[self.rng.usize(..AMOUNTS.len())]),
        }
    }

    fn random_currency(&mut self) -> Option<&'static str> {
        [None, None, None, Some("USD"), Some("USD"), Some("EUR"), Some("JPY")][self.rng.usize(..7)]
    }

    fn random_order(&mut self) {
        let (amount, currency) = (self.random_amount(), self.random_currency());
        let is_repetition = self.rng.u8(..4) == 0 || self.has_reached_orders_max();
        if is_repetition && !self.orders.is_empty() {
            let index = self.random_order_index();
            let order = self.orders[index].clone();
            let at = match self.rng.u8(..4) {
                _ if self.length == HistoryLength::Long => self.now,
                0 => order.at,
                1 => order.at - self.rng.i64(0..40 * DAY),
                2 => order.at + self.jitter(),
                _ => self.now,
            };
            let amount = if self.rng.u8(..3) == 0 { order.amount } else { amount };
            let draft = self.draft("order_completed", at);
            self.drafts.push(TouchpointDraft { order_id: Some(order.id), amount, currency, ..draft });
        } else if is_repetition {
            self.add_plain("order_placed");
        } else if !self.voided_in_advance.is_empty() && self.rng.bool() {
            let id = self.voided_in_advance.swap_remove(self.rng.usize(..self.voided_in_advance.len()));
            self.order(amount, currency, Some(id));
        } else if self.length == HistoryLength::Short && self.rng.u8(..40) == 0 {
            self.order(amount, currency, Some(" ".to_owned()));
        } else {
            self.order(amount, currency, None);
        }
    }

    fn random_score(&mut self) {
        const SCALES: &[&str] = &["\"nps\"", "\"csat\"", "\"rating\""];
        const ODD_SCALES: &[&str] = &["\"NPS\"", "\"ces\"", "\"\"", "7", "null", "\"nps \"", "[\"nps\"]"];
        const SCORES: &[&str] = &[
            "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "8.9", "6.5", "6.0", "9.0", "2.5", "3.99", "4.5",
            "2.0001", "1e0", "0.9e1", "5.0",
        ];
        const ODD_SCORES: &[&str] =
            &["11", "-1", "10.01", "0.99", "5.5", "\"9\"", "\"\"", "true", "null", "{}", "[9]", "1e3", "-0.5"];
        let scale = if self.rng.u8(..8) == 0 { ODD_SCALES } else { SCALES };
        let scale = scale[self.rng.usize(..scale.len())];
        let score = if self.rng.u8(..8) == 0 { ODD_SCORES } else { SCORES };
        let score = score[self.rng.usize(..score.len())];
        self.score(scale, score);
        if self.rng.u8(..15) == 0
            && let Some(draft) = self.drafts.last_mut()
        {
            let index = self.rng.usize(..draft.properties.len());
            draft.properties.swap_remove(index);
        }
    }

    fn random_reversal(&mut self, type_name: &str) {
        let draft = self.draft(type_name, self.now);
        let (order_id, order) = match self.rng.u8(..20) {
            0 => (None, None),
            1 => (Some(String::new()), None),
            // An `event_id` that is not the id of an order.
            2 if self.length == HistoryLength::Short => (self.drafts.first().map(|draft| draft.event_id.clone()), None),
            3..6 if self.length == HistoryLength::Short && !self.has_reached_orders_max() => {
                let id = unused_id(&mut self.order_ids, "o", self.rng);
                self.voided_in_advance.push(id.clone());
                (Some(id), None)
            }
            _ if self.orders.is_empty() => (None, None),
            _ => {
                let index = self.random_order_index();
                (Some(self.orders[index].id.clone()), Some(index))
            }
        };
        if let Some(id) = order_id.iter().find(|id| !id.is_empty()) {
            self.order_ids.insert(id.clone());
        }
        let (amount, currency) = self.random_refund(order);
        self.drafts.push(TouchpointDraft { order_id, amount, currency, ..draft });
    }

    /// Returns a random refund for the order at `index`: often exactly its amount, or one millionth less.
    fn random_refund(&mut self, index: Option<usize>) -> (Option<i64>, Option<&'static str>) {
        let Some(order) = index.map(|index| &mut self.orders[index]) else {
            return (self.random_amount(), self.random_currency());
        };
        let rest = order.amount.unwrap_or(5_000_000).abs() - order.refunded;
        let amount = match self.rng.u8(..20) {
            0..4 => None,
            4..9 => Some(rest),
            9..14 => Some(rest / [2, 3][self.rng.usize(..2)]),
            14..16 => Some(rest - 1),
            16 => Some(rest + 1),
            17 => Some(0),
            _ => Some(-rest),
        };
        let currency = match (self.rng.u8(..10), order.currency) {
            (0, _) => Some("EUR"),
            (1, None) => Some("USD"),
            (2, _) => None,
            (_, currency) => currency,
        };
        order.refunded += amount.unwrap_or(0).abs();
        (amount, currency)
    }

    /// Adds a touchpoint of this type, occasionally with fields that only orders and feedback should have.
    fn add_plain(&mut self, type_name: &str) {
        let mut draft = self.draft(type_name, self.now);
        match self.rng.u8(..25) {
            0 => draft.order_id = self.orders.last().map(|order| order.id.clone()),
            1 => (draft.amount, draft.currency) = (self.random_amount(), self.random_currency()),
            2 => {
                draft.properties.push(("score".to_owned(), "10".to_owned()));
                draft.properties.push(("scale".to_owned(), "\"nps\"".to_owned()));
            }
            3 => {
                let basket = r#"{"score":1,"lines":[{"sku":"a\"b"},null]}"#;
                draft.properties.push(("basket".to_owned(), basket.to_owned()));
            }
            _ => {}
        }
        self.drafts.push(draft);
    }
}
