//! The order ledger beyond its limits, against sets of orders that are computed independently.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use super::cli::lifecycle;

const MODEL: &str = "model: spend
version: 1
title: {en: Spend}
journey: [small]
facts: {orders: orders()}
stages:
  - {stage: small, when: orders.count >= 1}
";

/// Touchpoints of one customer, a minute apart.
#[derive(Default)]
struct History {
    lines: String,
    count: usize,
}

impl History {
    fn add(&mut self, kind: &str, order: usize, amount: Option<usize>) {
        let amount = amount.map_or(String::new(), |amount| format!(r#","amount":{amount},"currency":"USD""#));
        let (day, hour, minute) = (1 + self.count / 1440, self.count / 60 % 24, self.count % 60);
        _ = writeln!(
            self.lines,
            r#"{{"event_id":"e{}","customer_id":"c","type":"{kind}","occurred_at":"2026-01-{day:02}T{hour:02}:{minute:02}:00Z","order_id":"o{order}"{amount}}}"#,
            self.count
        );
        self.count += 1;
    }

    /// Returns the valid orders, their revenue, and the number of cancellations and refunds without effect.
    fn replay(&self) -> (u64, u64, u64) {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("spend.yaml"), MODEL).expect("written");
        fs::write(folder.path().join("in.ndjson"), &self.lines).expect("written");
        let arguments = ["replay", "--model", "./spend.yaml", "--output", "standings", "--summary", "in.ndjson"];
        let run = lifecycle(folder.path(), &arguments, b"");
        assert_eq!(run.code, 0, "{}", run.errors);
        let standing: Value = serde_json::from_str(run.output.lines().next().expect("a customer")).expect("JSON");
        let revenue = standing["revenue"].as_str().and_then(|text| text.parse().ok());
        let missing = run.errors.split(", ").find(|part| part.contains("refunds without effect"));
        let missing = missing.and_then(|part| part.split(' ').next()?.parse().ok()).unwrap_or_default();
        (standing["orders"].as_u64().expect("a number"), revenue.expect("a number"), missing)
    }
}

#[test]
fn early_cancellations_do_not_displace_orders() {
    let mut history = History::default();
    (0..32).for_each(|order| history.add("order_completed", order, Some(10)));
    // Cancellations whose orders arrive later.
    (100..132).for_each(|order| history.add("order_cancelled", order, None));
    // All 32 orders are still kept individually.
    (0..32).for_each(|order| history.add("order_refunded", order, Some(4)));
    assert_eq!(history.replay(), (32, 32 * 6, 0));
    (100..132).for_each(|order| history.add("order_completed", order, Some(10)));
    assert_eq!(history.replay(), (32, 32 * 6, 0), "cancelled before they were completed");
}

#[test]
fn the_oldest_early_cancellation_is_dropped_and_counted() {
    let mut history = History::default();
    (0..35).for_each(|order| history.add("order_cancelled", order, None));
    (0..35).for_each(|order| history.add("order_completed", order, Some(10)));
    assert_eq!(history.replay(), (3, 30, 3));
}

#[test]
fn an_order_completed_again_after_it_was_folded_counts_once() {
    let mut history = History::default();
    (0..288).for_each(|order| history.add("order_completed", order, Some(10)));
    (0..288).for_each(|order| history.add("order_completed", order, Some(10)));
    assert_eq!(history.replay(), (288, 2880, 0));
    // Of folded orders: counted, without effect, and without an entry in place of an order.
    (0..256).for_each(|order| history.add("order_refunded", order, None));
    assert_eq!(history.replay(), (288, 2880, 256));
    (256..288).for_each(|order| history.add("order_refunded", order, None));
    assert_eq!(history.replay(), (256, 2560, 256));
}

#[test]
fn orders_agree_with_sets_of_orders_within_the_limits() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut history = History::default();
        let (mut completed, mut void, mut refunded) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        let mut latest = Vec::new();
        let mut early = BTreeSet::new();
        for next in 0..random.usize(20..200) {
            // Some orders are cancelled or refunded before they are completed.
            if random.u8(..4) == 0 && early.len() < 20 {
                let order = 1000 + random.usize(..500);
                if !completed.contains(&order) && early.insert(order) {
                    void.insert(order);
                    history.add("order_cancelled", order, None);
                }
            }
            let order = match early.first().copied() {
                Some(order) if random.bool() => {
                    early.remove(&order);
                    order
                }
                _ => next,
            };
            history.add("order_completed", order, Some(100));
            completed.insert(order);
            latest.push(order);
            let recent = latest[latest.len().saturating_sub(30)..].to_vec();
            match random.u8(..4) {
                0 => {
                    let order = recent[random.usize(..recent.len())];
                    void.insert(order);
                    history.add(if random.bool() { "order_cancelled" } else { "order_refunded" }, order, None);
                }
                1 => {
                    let order = recent[random.usize(..recent.len())];
                    *refunded.entry(order).or_insert(0) += 7;
                    history.add("order_refunded", order, Some(7));
                }
                // Completed again, however long ago.
                2 => history.add("order_completed", latest[random.usize(..latest.len())], Some(100)),
                _ => {}
            }
        }
        let valid: Vec<_> = completed.difference(&void).collect();
        let refunds: u64 = valid.iter().filter_map(|order| refunded.get(*order)).sum();
        let expected = (valid.len() as u64, valid.len() as u64 * 100 - refunds, 0);
        assert_eq!(history.replay(), expected, "seed {seed}");
    }
}
