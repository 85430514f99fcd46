//! Generates customer histories from scripts and random touchpoints, with duplicates, late arrivals and unusual values.
//!
//! The same seed always gives the same lines. A history never has more lines than the duplicate window of a customer,
//! nor more orders than the ledger keeps individually.

use std::collections::BTreeSet;

use fastrand::Rng;

use super::random_touchpoints::{ORDERS, TYPE_LISTS};
use super::scripts::{SCRIPTS, Step};
use super::summary::{DAY, HOUR};
use super::touchpoint::Millis;
use super::touchpoint_draft::TouchpointDraft;

/// Maximum number of touchpoints per customer, without duplicates.
pub(super) const TOUCHPOINTS_MAX: usize = 44;
/// Maximum number of duplicates per customer.
const DUPLICATES_MAX: usize = 12;
/// Maximum number of different order ids per customer.
pub(super) const ORDERS_MAX: usize = 24;
/// Slightly less than the default allowed lateness.
const SLIGHT_DELAY: Millis = 59_000;

/// Generates the histories of `count` customers as JSON lines, in order of arrival.
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
        let id = unused_id(&mut ids, "c", &mut rng);
        let start = base + [0, rng.i64(0..200 * DAY), rng.i64(0..200) * DAY][rng.usize(..3)];
        for (arrives_at, draft) in History::generate(start, &mut rng) {
            arrivals.push((arrives_at, draft.write(&id, &mut rng)));
        }
    }
    arrivals.sort_by_key(|&(arrives_at, _)| arrives_at);
    arrivals.into_iter().map(|(_, line)| line).collect()
}

/// Generates one long history: 60 to 220 touchpoints, with more orders than the ledger keeps individually.
///
/// Touchpoints refer only to recent orders, and all arrive in order.
pub(crate) fn long_history(seed: u64) -> Vec<String> {
    let mut rng = Rng::with_seed(seed);
    let mut drafts = History::generate_long(1_704_067_200_000, &mut rng);
    drafts.sort_by_key(|draft| draft.at);
    drafts.into_iter().map(|draft| draft.write("c", &mut rng)).collect()
}

/// Returns an id that is not in `taken`, but often similar to one that is.
pub(super) fn unused_id(taken: &mut BTreeSet<String>, prefix: &str, rng: &mut Rng) -> String {
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

/// An order that the generator has created.
#[derive(Clone, Debug)]
pub(super) struct GeneratedOrder {
    pub(super) id: String,
    pub(super) at: Millis,
    pub(super) amount: Option<i64>,
    pub(super) currency: Option<&'static str>,
    pub(super) refunded: i64,
}

/// The history of one customer under construction.
pub(super) struct History<'r> {
    pub(super) rng: &'r mut Rng,
    pub(super) now: Millis,
    pub(super) drafts: Vec<TouchpointDraft>,
    pub(super) event_ids: BTreeSet<String>,
    pub(super) order_ids: BTreeSet<String>,
    pub(super) orders: Vec<GeneratedOrder>,
    /// Ids of orders that were cancelled or refunded before they were reported.
    pub(super) voided_in_advance: Vec<String>,
    /// The type lists from which random touchpoints are mostly drawn.
    pub(super) preferred_types: Vec<&'static [&'static str]>,
    pub(super) length: HistoryLength,
}

/// The length of a history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HistoryLength {
    /// Within the limits that the program keeps individually per customer.
    Short,
    /// Beyond these limits. Touchpoints refer only to the latest orders, and none is generated out of order.
    Long,
}

impl<'r> History<'r> {
    /// Generates a short history: the touchpoints with their times of arrival.
    fn generate(start: Millis, rng: &'r mut Rng) -> Vec<(Millis, TouchpointDraft)> {
        let mut history = Self::new(start, HistoryLength::Short, rng);
        let length = match history.rng.u8(..10) {
            0..3 => history.rng.usize(1..=5),
            3..8 => history.rng.usize(6..=18),
            _ => history.rng.usize(19..=40),
        };
        let is_scripted = history.rng.u8(..10) < 6;
        let random_first = if is_scripted && history.rng.bool() { history.rng.usize(..4) } else { 0 };
        for _ in 0..random_first {
            history.add_random();
        }
        if is_scripted {
            let script = SCRIPTS[history.rng.usize(..SCRIPTS.len())];
            let noise = if history.rng.bool() { 0 } else { history.rng.u8(..5) };
            for &step in script {
                history.run_step(step);
                if history.rng.u8(..10) < noise {
                    history.add_random();
                }
            }
        }
        while history.drafts.len() < length || history.drafts.is_empty() {
            history.add_random();
        }
        history.drafts.truncate(TOUCHPOINTS_MAX);
        history.into_arrivals()
    }

    /// Generates a long history.
    fn generate_long(start: Millis, rng: &'r mut Rng) -> Vec<TouchpointDraft> {
        let mut history = Self::new(start, HistoryLength::Long, rng);
        history.preferred_types.push(ORDERS);
        let length = history.rng.usize(60..220);
        while history.drafts.len() < length {
            history.add_random();
        }
        history.drafts
    }

    fn new(start: Millis, length: HistoryLength, rng: &'r mut Rng) -> Self {
        let preferred_types = (0..rng.usize(1..8)).map(|_| TYPE_LISTS[rng.usize(..TYPE_LISTS.len())]).collect();
        Self {
            rng,
            now: start,
            drafts: Vec::new(),
            event_ids: BTreeSet::new(),
            order_ids: BTreeSet::new(),
            orders: Vec::new(),
            voided_in_advance: Vec::new(),
            preferred_types,
            length,
        }
    }

    fn run_step(&mut self, step: Step) {
        match step {
            Step::Touchpoint(type_name) => self.add(type_name),
            Step::Touchpoints(types) => {
                for type_name in types {
                    self.now += 60_000;
                    self.add(type_name);
                }
            }
            Step::Order => self.order(Some(50_000_000), None, None),
            Step::Feedback(scale, score) => self.score(&format!("\"{scale}\""), score),
            Step::Cancel(back) => self.add_reversal("order_cancelled", back),
            Step::Refund(back) => self.add_reversal("order_refunded", back),
            Step::LateZeroAmount(back) => {
                if let Some(order) = self.order_from_end(back) {
                    let at = self.orders.iter().map(|order| order.at).min().unwrap_or(order.at) - DAY;
                    let draft = self.draft("order_completed", at);
                    self.drafts.push(TouchpointDraft { order_id: Some(order.id), amount: Some(0), ..draft });
                }
            }
            Step::Wait(hours) => self.now += hours * HOUR + self.jitter(),
            Step::Random => self.add_random(),
        }
    }

    pub(super) fn jitter(&mut self) -> Millis {
        [0, 0, 0, 1, -1][self.rng.usize(..5)]
    }

    fn order_from_end(&self, back: usize) -> Option<GeneratedOrder> {
        self.orders.len().checked_sub(back + 1).map(|index| self.orders[index].clone())
    }

    fn add_reversal(&mut self, type_name: &str, back: usize) {
        if let Some(order) = self.order_from_end(back) {
            let draft = self.draft(type_name, self.now);
            self.drafts.push(TouchpointDraft { order_id: Some(order.id), ..draft });
        }
    }

    /// Reserves `id` in long histories for both order ids and event ids. Otherwise an order without `order_id`, whose
    /// event id equals the id of an old order, would refer to that order by accident.
    fn reserve_id(&mut self, id: &str) {
        if self.length == HistoryLength::Long {
            self.order_ids.insert(id.to_owned());
            self.event_ids.insert(id.to_owned());
        }
    }

    /// Returns a touchpoint with a new event id and no optional fields.
    pub(super) fn draft(&mut self, type_name: &str, at: Millis) -> TouchpointDraft {
        // Sometimes reuses the id of an order, so that order ids and event ids collide.
        let like_order = self.order_ids.iter().nth(self.rng.usize(..40)).filter(|id| !self.event_ids.contains(*id));
        let like_order = like_order.filter(|_| self.length == HistoryLength::Short);
        let event_id = match like_order.cloned() {
            Some(id) if self.rng.u8(..4) == 0 => {
                self.event_ids.insert(id.clone());
                id
            }
            _ => unused_id(&mut self.event_ids, "e", self.rng),
        };
        self.reserve_id(&event_id);
        TouchpointDraft {
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

    /// Adds a new order. An order without `order_id` is identified by its event id.
    pub(super) fn order(&mut self, amount: Option<i64>, currency: Option<&'static str>, order_id: Option<String>) {
        let draft = self.draft("order_completed", self.now);
        let order_id = order_id.or_else(|| {
            let named = self.rng.u8(..10) < 7;
            named.then(|| unused_id(&mut self.order_ids, "o", self.rng))
        });
        let id = order_id.clone().unwrap_or_else(|| draft.event_id.clone());
        self.reserve_id(&id);
        self.order_ids.insert(id.clone());
        self.orders.push(GeneratedOrder { id, at: self.now, amount, currency, refunded: 0 });
        // An empty id is equivalent to a missing one.
        let order_id = order_id.or_else(|| (self.rng.u8(..3) == 0).then(String::new));
        self.drafts.push(TouchpointDraft { order_id, amount, currency, ..draft });
    }

    pub(super) fn score(&mut self, scale: &str, score: &str) {
        let mut draft = self.draft("feedback_given", self.now);
        draft.properties.push(("score".to_owned(), score.to_owned()));
        draft.properties.push(("scale".to_owned(), scale.to_owned()));
        self.drafts.push(draft);
    }

    /// Returns the touchpoints, with duplicates, and their times of arrival.
    fn into_arrivals(self) -> Vec<(Millis, TouchpointDraft)> {
        let Self { rng, mut drafts, .. } = self;
        let latest = drafts.iter().map(|draft| draft.at).max().unwrap_or(0);
        let earliest = drafts.iter().map(|draft| draft.at).min().unwrap_or(0);
        // By event time, as in most topics. The sort is stable, so equal times keep their order of creation.
        drafts.sort_by_key(|draft| draft.at);
        let arrival_pattern = rng.u8(..10);
        let mut arrivals = Vec::new();
        for draft in drafts {
            let delay = match arrival_pattern {
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
            for _ in 0..rng.usize(1..=DUPLICATES_MAX) {
                let (arrives_at, draft) = arrivals[rng.usize(..arrivals.len())].clone();
                let delay = [0, rng.i64(0..HOUR), rng.i64(0..300 * DAY)][rng.usize(..3)];
                arrivals.push((arrives_at + delay, draft));
            }
        }
        arrivals
    }
}

#[test]
fn a_seed_always_gives_the_same_histories() {
    assert_eq!(histories(7, 20), histories(7, 20));
    assert_ne!(histories(7, 20), histories(8, 20));
}

#[test]
fn histories_stay_within_the_limits_per_customer() {
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
    assert!(lines.values().all(|&count| count <= TOUCHPOINTS_MAX + DUPLICATES_MAX), "at most 56 lines a customer");
    assert!(orders.values().all(|ids| ids.len() <= 32), "at most 32 orders a customer");
}
