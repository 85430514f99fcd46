//! Makes histories: believable journeys and chance mixed, with every unpleasantness that a topic can bring.
//!
//! The same seed gives the same lines, for ever. No history has more lines than the customers' duplicate window, nor
//! more orders than the ledger keeps one by one.

use std::collections::BTreeSet;

use fastrand::Rng;

use super::catalogue;
use super::journeys::{JOURNEYS, Step};
use super::picture::{DAY, HOUR, THRESHOLDS};
use super::touchpoint::Millis;
use super::writing::Draft;

/// The most touchpoints of a customer, repetitions not counted.
const TOUCHPOINTS_MAX: usize = 44;
/// The most repetitions.
const REPETITIONS_MAX: usize = 12;
/// The most different order ids that the touchpoints of a customer name.
const ORDERS_MAX: usize = 24;
/// A little less than the lateness that is allowed by default.
const SLIGHT_DELAY: Millis = 59_000;

/// The histories of `count` customers as lines of JSON, in the order in which they arrive.
pub(crate) fn histories(seed: u64, count: usize) -> Vec<String> {
    let mut rng = Rng::with_seed(seed);
    let base = match rng.u8(..20) {
        0 => -20 * DAY,
        1 => 250_000_000_000_000,
        _ => 1_704_067_200_000,
    };
    let mut arrivals = Vec::new();
    let mut ids = BTreeSet::new();
    for _ in 0..count {
        let id = unused(&mut ids, "c", &mut rng);
        let start = base + [0, rng.i64(0..200 * DAY), rng.i64(0..200) * DAY][rng.usize(..3)];
        for (arrives_at, draft) in History::generate(start, &mut rng) {
            arrivals.push((arrives_at, draft.write(&id, &mut rng)));
        }
    }
    arrivals.sort_by_key(|&(arrives_at, _)| arrives_at);
    arrivals.into_iter().map(|(_, line)| line).collect()
}

/// An id that is in none of `taken`, but often like one that is.
fn unused(taken: &mut BTreeSet<String>, prefix: &str, rng: &mut Rng) -> String {
    loop {
        let number = taken.len();
        let id = match (rng.u8(..12), taken.iter().nth(rng.usize(..=number))) {
            (0, Some(known)) => known.to_uppercase(),
            (1, Some(known)) => format!("{known} "),
            (2, Some(known)) => format!(" {known}"),
            (3, Some(known)) => format!("{known}0"),
            (4, Some(known)) => known.replace('c', "\u{441}").replace('e', "\u{435}").replace('o', "\u{43e}"),
            (5, Some(known)) => format!("{known}\u{e9}"),
            (6, Some(known)) => format!("{known}e\u{301}"),
            (7, Some(known)) => format!("{known}\u{200b}"),
            (8, Some(known)) => known.chars().rev().collect(),
            _ => format!("{prefix}{number}"),
        };
        if id.len() <= 60 && taken.insert(id.clone()) {
            return id;
        }
    }
}

/// An order as the generator remembers it.
#[derive(Clone, Debug)]
struct Sold {
    id: String,
    at: Millis,
    amount: Option<i64>,
    currency: Option<&'static str>,
    refunded: i64,
}

/// The history of one customer in the making.
struct History<'r> {
    rng: &'r mut Rng,
    now: Millis,
    drafts: Vec<Draft>,
    event_ids: BTreeSet<String>,
    order_ids: BTreeSet<String>,
    sold: Vec<Sold>,
    /// Ids that were voided before they were ordered.
    awaited: Vec<String>,
    /// What chance prefers.
    tastes: Vec<&'static [&'static str]>,
}

const REVERSALS: &[&str] = &["order_cancelled", "order_refunded"];
const ORDERS: &[&str] = &["order_completed"];
const FEEDBACK: &[&str] = &["feedback_given"];
const CHECKOUT: &[&str] = &["checkout_started"];
const PARTNERSHIP: &[&str] = &["partner_joined", "partner_left"];
const LOYALTY: &[&str] = &["loyalty_enrolled", "social_followed", "community_joined"];

/// Everything that chance may choose from.
const TASTES: &[&[&str]] = &[
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

impl<'r> History<'r> {
    /// The touchpoints, with the instants at which they arrive.
    fn generate(start: Millis, rng: &'r mut Rng) -> Vec<(Millis, Draft)> {
        let tastes = (0..rng.usize(1..8)).map(|_| TASTES[rng.usize(..TASTES.len())]).collect();
        let mut history = Self {
            rng,
            now: start,
            drafts: Vec::new(),
            event_ids: BTreeSet::new(),
            order_ids: BTreeSet::new(),
            sold: Vec::new(),
            awaited: Vec::new(),
            tastes,
        };
        let length = match history.rng.u8(..10) {
            0..3 => history.rng.usize(1..=5),
            3..8 => history.rng.usize(6..=18),
            _ => history.rng.usize(19..=40),
        };
        let has_journey = history.rng.u8(..10) < 6;
        let chances_first = if has_journey && history.rng.bool() { history.rng.usize(..4) } else { 0 };
        for _ in 0..chances_first {
            history.chance();
        }
        if has_journey {
            let journey = JOURNEYS[history.rng.usize(..JOURNEYS.len())];
            let noise = if history.rng.bool() { 0 } else { history.rng.u8(..5) };
            for &step in journey {
                history.take(step);
                if history.rng.u8(..10) < noise {
                    history.chance();
                }
            }
        }
        while history.drafts.len() < length || history.drafts.is_empty() {
            history.chance();
        }
        history.drafts.truncate(TOUCHPOINTS_MAX);
        history.arrive()
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Meets(type_name) => self.add(type_name),
            Step::MeetsEach(types) => {
                for type_name in types {
                    self.now += 60_000;
                    self.add(type_name);
                }
            }
            Step::Orders => self.order(Some(50_000_000), None, None),
            Step::Scores(scale, score) => self.score(&format!("\"{scale}\""), score),
            Step::Cancels(back) => self.void("order_cancelled", back),
            Step::Refunds(back) => self.void("order_refunded", back),
            Step::TurnsOutFree(back) => {
                if let Some(sold) = self.sold_before_last(back) {
                    let at = self.sold.iter().map(|sold| sold.at).min().unwrap_or(sold.at) - DAY;
                    let draft = self.draft("order_completed", at);
                    self.drafts.push(Draft { order_id: Some(sold.id), amount: Some(0), ..draft });
                }
            }
            Step::Waits(hours) => self.now += hours * HOUR + self.jitter(),
            Step::Chance => self.chance(),
        }
    }

    fn jitter(&mut self) -> Millis {
        [0, 0, 0, 1, -1][self.rng.usize(..5)]
    }

    fn sold_before_last(&self, back: usize) -> Option<Sold> {
        self.sold.len().checked_sub(back + 1).map(|index| self.sold[index].clone())
    }

    fn void(&mut self, type_name: &str, back: usize) {
        if let Some(sold) = self.sold_before_last(back) {
            let draft = self.draft(type_name, self.now);
            self.drafts.push(Draft { order_id: Some(sold.id), ..draft });
        }
    }

    /// A touchpoint with an id of its own and nothing else.
    fn draft(&mut self, type_name: &str, at: Millis) -> Draft {
        // Now and then the id of an order, so that ids of orders and of touchpoints meet.
        let like_order = self.order_ids.iter().nth(self.rng.usize(..40)).filter(|id| !self.event_ids.contains(*id));
        let event_id = match like_order.cloned() {
            Some(id) if self.rng.u8(..4) == 0 => {
                self.event_ids.insert(id.clone());
                id
            }
            _ => unused(&mut self.event_ids, "e", self.rng),
        };
        Draft {
            event_id,
            type_name: type_name.to_owned(),
            at,
            order_id: None,
            amount: None,
            currency: None,
            properties: Vec::new(),
        }
    }

    fn add(&mut self, type_name: &str) {
        let draft = self.draft(type_name, self.now);
        self.drafts.push(draft);
    }

    /// A new order; without `order_id` it is known by its event.
    fn order(&mut self, amount: Option<i64>, currency: Option<&'static str>, order_id: Option<String>) {
        let draft = self.draft("order_completed", self.now);
        let order_id = order_id.or_else(|| {
            let named = self.rng.u8(..10) < 7;
            named.then(|| unused(&mut self.order_ids, "o", self.rng))
        });
        let id = order_id.clone().unwrap_or_else(|| draft.event_id.clone());
        self.order_ids.insert(id.clone());
        self.sold.push(Sold { id, at: self.now, amount, currency, refunded: 0 });
        // An empty id is none.
        let order_id = order_id.or_else(|| (self.rng.u8(..3) == 0).then(String::new));
        self.drafts.push(Draft { order_id, amount, currency, ..draft });
    }

    fn score(&mut self, scale: &str, score: &str) {
        let mut draft = self.draft("feedback_given", self.now);
        draft.properties.push(("score".to_owned(), score.to_owned()));
        draft.properties.push(("scale".to_owned(), scale.to_owned()));
        self.drafts.push(draft);
    }

    /// One more touchpoint, whichever.
    fn chance(&mut self) {
        if self.drafts.len() >= TOUCHPOINTS_MAX {
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
        if instant < self.now && rng.u8(..4) != 0 { self.now } else { instant }
    }

    fn some_amount(&mut self) -> Option<i64> {
        const AMOUNTS: &[i64] =
            &[100_000, 300_000, 10_000_000, 99_990_000, 33_330_000, 1, 999_999_999_999_999_999, 19_999_999];
        match self.rng.u8(..20) {
            0..3 => None,
            3 => Some(0),
            4 => Some(-self.rng.i64(0..100_000_000)),
            _ => Some(AMOUNTS[self.rng.usize(..AMOUNTS.len())]),
        }
    }

    fn some_currency(&mut self) -> Option<&'static str> {
        [None, None, None, Some("USD"), Some("USD"), Some("EUR"), Some("JPY")][self.rng.usize(..7)]
    }

    fn some_order(&mut self) {
        let (amount, currency) = (self.some_amount(), self.some_currency());
        let is_repetition = self.rng.u8(..4) == 0 || self.order_ids.len() >= ORDERS_MAX;
        if is_repetition && !self.sold.is_empty() {
            let sold = self.sold[self.rng.usize(..self.sold.len())].clone();
            let at = match self.rng.u8(..4) {
                0 => sold.at,
                1 => sold.at - self.rng.i64(0..40 * DAY),
                2 => sold.at + self.jitter(),
                _ => self.now,
            };
            let amount = if self.rng.u8(..3) == 0 { sold.amount } else { amount };
            let draft = self.draft("order_completed", at);
            self.drafts.push(Draft { order_id: Some(sold.id), amount, currency, ..draft });
        } else if is_repetition {
            self.something("order_completed_twice");
        } else if !self.awaited.is_empty() && self.rng.bool() {
            let id = self.awaited.swap_remove(self.rng.usize(..self.awaited.len()));
            self.order(amount, currency, Some(id));
        } else if self.rng.u8(..40) == 0 {
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
            2 => (self.drafts.first().map(|draft| draft.event_id.clone()), None),
            3..6 if self.order_ids.len() < ORDERS_MAX => {
                let id = unused(&mut self.order_ids, "o", self.rng);
                self.awaited.push(id.clone());
                (Some(id), None)
            }
            _ if self.sold.is_empty() => (None, None),
            _ => {
                let index = self.rng.usize(..self.sold.len());
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
                draft.properties.push(("basket".to_owned(), r#"{"score":1,"lines":[{"sku":"a\"b"},null]}"#.to_owned()))
            }
            _ => {}
        }
        self.drafts.push(draft);
    }

    /// When each touchpoint arrives, repetitions included.
    fn arrive(self) -> Vec<(Millis, Draft)> {
        let Self { rng, mut drafts, .. } = self;
        let latest = drafts.iter().map(|draft| draft.at).max().unwrap_or(0);
        let earliest = drafts.iter().map(|draft| draft.at).min().unwrap_or(0);
        // By time, which most topics come near to; touchpoints of equal times stay as they were made.
        drafts.sort_by_key(|draft| draft.at);
        let manner = rng.u8(..10);
        let mut arrivals = Vec::new();
        for draft in drafts {
            let delay = match manner {
                0..5 => 0,
                5 => rng.i64(0..SLIGHT_DELAY),
                6..8 if rng.u8(..4) == 0 => {
                    [rng.i64(0..2 * HOUR), rng.i64(0..20 * DAY), rng.i64(0..200 * DAY)][rng.usize(..3)]
                }
                8 => rng.i64(0..300 * DAY),
                9 => rng.i64(earliest..=latest) - draft.at,
                _ => 0,
            };
            arrivals.push((draft.at + delay, draft));
        }
        if rng.u8(..3) == 0 {
            for _ in 0..rng.usize(1..=REPETITIONS_MAX) {
                let (arrives_at, draft) = arrivals[rng.usize(..arrivals.len())].clone();
                let delay = [0, rng.i64(0..HOUR), rng.i64(0..300 * DAY)][rng.usize(..3)];
                arrivals.push((arrives_at + delay, draft));
            }
        }
        arrivals
    }
}

#[test]
fn a_seed_gives_the_same_histories_for_ever() {
    assert_eq!(histories(7, 20), histories(7, 20));
    assert_ne!(histories(7, 20), histories(8, 20));
}

#[test]
fn no_history_outgrows_what_a_customer_remembers() {
    use super::touchpoint::Touchpoint;
    use std::collections::BTreeMap;
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    let mut orders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for touchpoint in histories(3, 2_000).iter().map(|line| Touchpoint::parse(line)) {
        *lines.entry(touchpoint.customer_id.clone()).or_default() += 1;
        let named =
            touchpoint.order_id.or_else(|| (touchpoint.type_name == "order_completed").then_some(touchpoint.event_id));
        orders.entry(touchpoint.customer_id).or_default().extend(named);
    }
    assert_eq!(lines.len(), 2_000);
    assert!(lines.values().all(|&count| count <= TOUCHPOINTS_MAX + REPETITIONS_MAX), "at most 56 lines a customer");
    assert!(orders.values().all(|ids| ids.len() <= 32), "at most 32 orders a customer");
}
