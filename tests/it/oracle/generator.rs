//! Makes histories: believable journeys and chance mixed, with every unpleasantness that a topic can bring.
//!
//! The same seed gives the same lines, for ever. No history has more lines than the customers' duplicate window, nor
//! more orders than the ledger keeps one by one.

use std::collections::BTreeSet;

use fastrand::Rng;

use super::chance::{ORDERS, TASTES};
use super::journeys::{JOURNEYS, Step};
use super::picture::{DAY, HOUR};
use super::touchpoint::Millis;
use super::writing::Draft;

/// The most touchpoints of a customer, repetitions not counted.
pub(super) const TOUCHPOINTS_MAX: usize = 44;
/// The most repetitions.
const REPETITIONS_MAX: usize = 12;
/// The most different order ids that the touchpoints of a customer name.
pub(super) const ORDERS_MAX: usize = 24;
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

/// The history of one customer who stays for long: a hundred touchpoints and more, with more orders than the ledger keeps
/// one by one. What concerns an order, by its id, comes while the order is one of the latest; all arrives in time.
pub(crate) fn long_history(seed: u64) -> Vec<String> {
    let mut rng = Rng::with_seed(seed);
    let mut drafts = History::generate_long(1_704_067_200_000, &mut rng);
    drafts.sort_by_key(|draft| draft.at);
    drafts.into_iter().map(|draft| draft.write("c", &mut rng)).collect()
}

/// An id that is in none of `taken`, but often like one that is.
pub(super) fn unused(taken: &mut BTreeSet<String>, prefix: &str, rng: &mut Rng) -> String {
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
pub(super) struct Sold {
    pub(super) id: String,
    pub(super) at: Millis,
    pub(super) amount: Option<i64>,
    pub(super) currency: Option<&'static str>,
    pub(super) refunded: i64,
}

/// The history of one customer in the making.
pub(super) struct History<'r> {
    pub(super) rng: &'r mut Rng,
    pub(super) now: Millis,
    pub(super) drafts: Vec<Draft>,
    pub(super) event_ids: BTreeSet<String>,
    pub(super) order_ids: BTreeSet<String>,
    pub(super) sold: Vec<Sold>,
    /// Ids that were voided before they were ordered.
    pub(super) awaited: Vec<String>,
    /// What chance prefers.
    pub(super) tastes: Vec<&'static [&'static str]>,
    pub(super) stay: Stay,
}

/// How long a customer stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stay {
    /// Within what is remembered of a customer one by one.
    Short,
    /// Past it; so only the latest orders are spoken of, and nothing is made out of order.
    Long,
}

impl<'r> History<'r> {
    /// The touchpoints, with the instants at which they arrive.
    fn generate(start: Millis, rng: &'r mut Rng) -> Vec<(Millis, Draft)> {
        let mut history = Self::begin(start, Stay::Short, rng);
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

    /// The touchpoints of a customer who stays for long.
    fn generate_long(start: Millis, rng: &'r mut Rng) -> Vec<Draft> {
        let mut history = Self::begin(start, Stay::Long, rng);
        history.tastes.push(ORDERS);
        let length = history.rng.usize(60..220);
        while history.drafts.len() < length {
            history.chance();
        }
        history.drafts
    }

    fn begin(start: Millis, stay: Stay, rng: &'r mut Rng) -> Self {
        let tastes = (0..rng.usize(1..8)).map(|_| TASTES[rng.usize(..TASTES.len())]).collect();
        Self {
            rng,
            now: start,
            drafts: Vec::new(),
            event_ids: BTreeSet::new(),
            order_ids: BTreeSet::new(),
            sold: Vec::new(),
            awaited: Vec::new(),
            tastes,
            stay,
        }
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

    pub(super) fn jitter(&mut self) -> Millis {
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

    /// Sees to it that no touchpoint of one who stays for long means an order of long ago by chance: an order without
    /// `order_id` would, when its event bears the id of another.
    fn keep_apart(&mut self, id: &str) {
        if self.stay == Stay::Long {
            self.order_ids.insert(id.to_owned());
            self.event_ids.insert(id.to_owned());
        }
    }

    /// A touchpoint with an id of its own and nothing else.
    pub(super) fn draft(&mut self, type_name: &str, at: Millis) -> Draft {
        // Now and then the id of an order, so that ids of orders and of touchpoints meet.
        let like_order = self.order_ids.iter().nth(self.rng.usize(..40)).filter(|id| !self.event_ids.contains(*id));
        let like_order = like_order.filter(|_| self.stay == Stay::Short);
        let event_id = match like_order.cloned() {
            Some(id) if self.rng.u8(..4) == 0 => {
                self.event_ids.insert(id.clone());
                id
            }
            _ => unused(&mut self.event_ids, "e", self.rng),
        };
        self.keep_apart(&event_id);
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
    pub(super) fn order(&mut self, amount: Option<i64>, currency: Option<&'static str>, order_id: Option<String>) {
        let draft = self.draft("order_completed", self.now);
        let order_id = order_id.or_else(|| {
            let named = self.rng.u8(..10) < 7;
            named.then(|| unused(&mut self.order_ids, "o", self.rng))
        });
        let id = order_id.clone().unwrap_or_else(|| draft.event_id.clone());
        self.keep_apart(&id);
        self.order_ids.insert(id.clone());
        self.sold.push(Sold { id, at: self.now, amount, currency, refunded: 0 });
        // An empty id is none.
        let order_id = order_id.or_else(|| (self.rng.u8(..3) == 0).then(String::new));
        self.drafts.push(Draft { order_id, amount, currency, ..draft });
    }

    pub(super) fn score(&mut self, scale: &str, score: &str) {
        let mut draft = self.draft("feedback_given", self.now);
        draft.properties.push(("score".to_owned(), score.to_owned()));
        draft.properties.push(("scale".to_owned(), scale.to_owned()));
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
