//! What chance adds to a history: whichever touchpoint, at an instant that is likely to matter.

use super::catalogue;
use super::generator::{History, ORDERS_MAX, Stay, TOUCHPOINTS_MAX, unused};
use super::picture::{DAY, HOUR, THRESHOLDS};
use super::touchpoint::Millis;
use super::writing::Draft;

const REVERSALS: &[&str] = &["order_cancelled", "order_refunded"];
pub(super) const ORDERS: &[&str] = &["order_completed"];
const FEEDBACK: &[&str] = &["feedback_given"];
const CHECKOUT: &[&str] = &["checkout_started"];
const PARTNERSHIP: &[&str] = &["partner_joined", "partner_left"];
const LOYALTY: &[&str] = &["loyalty_enrolled", "social_followed", "community_joined"];

/// Everything that chance may choose from.
pub(super) const TASTES: &[&[&str]] = &[
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
    /// Whether the ids of orders are used up.
    fn has_orders_enough(&self) -> bool {
        self.stay == Stay::Short && self.order_ids.len() >= ORDERS_MAX
    }

    /// The place of an order that may still be spoken of; there must be one.
    fn some_sold(&mut self) -> usize {
        let count = self.sold.len();
        let first = if self.stay == Stay::Long { count.saturating_sub(6) } else { 0 };
        self.rng.usize(first..count)
    }

    /// One more touchpoint, whichever.
    pub(super) fn chance(&mut self) {
        if self.stay == Stay::Short && self.drafts.len() >= TOUCHPOINTS_MAX {
            return;
        }
        self.now = self.some_time();
        if self.rng.u8(..12) == 0 {
            let taste = TASTES[self.rng.usize(..TASTES.len())];
            let index = self.rng.usize(..self.tastes.len());
            self.tastes[index] = taste;
        }
        let types = if self.rng.u8(..5) == 0 {
            TASTES[self.rng.usize(..TASTES.len())]
        } else {
            self.tastes[self.rng.usize(..self.tastes.len())]
        };
        match types[self.rng.usize(..types.len())] {
            "order_completed" => self.some_order(),
            "feedback_given" => self.some_score(),
            type_name @ ("order_cancelled" | "order_refunded") => self.some_reversal(type_name),
            type_name => self.something(type_name),
        }
    }

    /// An instant that is likely to matter.
    fn some_time(&mut self) -> Millis {
        let rng = &mut *self.rng;
        let anchor = match rng.u8(..3) {
            0 => self.now,
            1 if !self.sold.is_empty() => self.sold[rng.usize(..self.sold.len())].at,
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
        // Mostly onwards; what is made out of order also arrives so.
        if instant < self.now && (self.stay == Stay::Long || rng.u8(..4) != 0) { self.now } else { instant }
    }

    fn some_amount(&mut self) -> Option<i64> {
        const AMOUNTS: &[i64] =
            &[100_000, 300_000, 10_000_000, 99_990_000, 33_330_000, 1, 19_999_999, 999_999_999_999_999_999];
        match self.rng.u8(..20) {
            0..3 => None,
            3 => Some(0),
            4 => Some(-self.rng.i64(0..100_000_000)),
            // Ten of the largest are more than revenue can count.
            _ if self.stay == Stay::Long => Some(AMOUNTS[self.rng.usize(..AMOUNTS.len() - 1)]),
            _ => Some(AMOUNTS[self.rng.usize(..AMOUNTS.len())]),
        }
    }

    fn some_currency(&mut self) -> Option<&'static str> {
        [None, None, None, Some("USD"), Some("USD"), Some("EUR"), Some("JPY")][self.rng.usize(..7)]
    }

    fn some_order(&mut self) {
        let (amount, currency) = (self.some_amount(), self.some_currency());
        let is_repetition = self.rng.u8(..4) == 0 || self.has_orders_enough();
        if is_repetition && !self.sold.is_empty() {
            let index = self.some_sold();
            let sold = self.sold[index].clone();
            let at = match self.rng.u8(..4) {
                _ if self.stay == Stay::Long => self.now,
                0 => sold.at,
                1 => sold.at - self.rng.i64(0..40 * DAY),
                2 => sold.at + self.jitter(),
                _ => self.now,
            };
            let amount = if self.rng.u8(..3) == 0 { sold.amount } else { amount };
            let draft = self.draft("order_completed", at);
            self.drafts.push(Draft { order_id: Some(sold.id), amount, currency, ..draft });
        } else if is_repetition {
            self.something("order_placed");
        } else if !self.awaited.is_empty() && self.rng.bool() {
            let id = self.awaited.swap_remove(self.rng.usize(..self.awaited.len()));
            self.order(amount, currency, Some(id));
        } else if self.stay == Stay::Short && self.rng.u8(..40) == 0 {
            self.order(amount, currency, Some(" ".to_owned()));
        } else {
            self.order(amount, currency, None);
        }
    }

    fn some_score(&mut self) {
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

    fn some_reversal(&mut self, type_name: &str) {
        let draft = self.draft(type_name, self.now);
        let (order_id, sold) = match self.rng.u8(..20) {
            0 => (None, None),
            1 => (Some(String::new()), None),
            // The event of an order that has an id of its own, or of something that is no order.
            2 if self.stay == Stay::Short => (self.drafts.first().map(|draft| draft.event_id.clone()), None),
            3..6 if self.stay == Stay::Short && !self.has_orders_enough() => {
                let id = unused(&mut self.order_ids, "o", self.rng);
                self.awaited.push(id.clone());
                (Some(id), None)
            }
            _ if self.sold.is_empty() => (None, None),
            _ => {
                let index = self.some_sold();
                (Some(self.sold[index].id.clone()), Some(index))
            }
        };
        if let Some(id) = order_id.iter().find(|id| !id.is_empty()) {
            self.order_ids.insert(id.clone());
        }
        let (amount, currency) = self.some_refund(sold);
        self.drafts.push(Draft { order_id, amount, currency, ..draft });
    }

    /// What is given back of the order at `index`: often just enough, or a millionth too little.
    fn some_refund(&mut self, index: Option<usize>) -> (Option<i64>, Option<&'static str>) {
        let Some(sold) = index.map(|index| &mut self.sold[index]) else {
            return (self.some_amount(), self.some_currency());
        };
        let rest = sold.amount.unwrap_or(5_000_000).abs() - sold.refunded;
        let amount = match self.rng.u8(..20) {
            0..4 => None,
            4..9 => Some(rest),
            9..14 => Some(rest / [2, 3][self.rng.usize(..2)]),
            14..16 => Some(rest - 1),
            16 => Some(rest + 1),
            17 => Some(0),
            _ => Some(-rest),
        };
        let currency = match (self.rng.u8(..10), sold.currency) {
            (0, _) => Some("EUR"),
            (1, None) => Some("USD"),
            (2, _) => None,
            (_, currency) => currency,
        };
        sold.refunded += amount.unwrap_or(0).abs();
        (amount, currency)
    }

    /// A touchpoint of this type; now and then with what only orders and feedback should have.
    fn something(&mut self, type_name: &str) {
        let mut draft = self.draft(type_name, self.now);
        match self.rng.u8(..25) {
            0 => draft.order_id = self.sold.last().map(|sold| sold.id.clone()),
            1 => (draft.amount, draft.currency) = (self.some_amount(), self.some_currency()),
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
