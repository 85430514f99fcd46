//! The valid orders of a customer, computed from the whole history.

use std::collections::{BTreeMap, BTreeSet};

use super::touchpoint::{Micros, Millis, Touchpoint};

/// The configured currency: of amounts without a currency, and of the revenue.
const CONFIGURED: &str = "USD";

/// A valid order.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Order {
    pub(crate) at: Millis,
    /// Contribution to the revenue.
    pub(crate) revenue: Micros,
}

/// Returns the valid orders by time.
pub(crate) fn valid_orders(history: &[Touchpoint]) -> Vec<Order> {
    let mut reports: BTreeMap<&str, Vec<&Touchpoint>> = BTreeMap::new();
    for report in history.iter().filter(|touchpoint| touchpoint.is("order_completed")) {
        reports.entry(report.order_id.as_ref().unwrap_or(&report.event_id)).or_default().push(report);
    }
    let mut orders: Vec<Order> = reports.iter().filter_map(|(id, reports)| valid_order(id, reports, history)).collect();
    orders.sort_by_key(|order| order.at);
    orders
}

/// Computes the order `id` from its reports and the whole history; `None` if it is not valid.
fn valid_order(id: &str, reports: &[&Touchpoint], history: &[Touchpoint]) -> Option<Order> {
    let naming = |type_name: &'static str| {
        history.iter().filter(move |touchpoint| touchpoint.is(type_name) && touchpoint.order_id.as_deref() == Some(id))
    };
    let at = reports.iter().map(|report| report.at).min()?;
    if naming("order_cancelled").next().is_some() || naming("order_refunded").any(|refund| refund.amount.is_none()) {
        return None;
    }
    let priced = reports
        .iter()
        .filter(|report| report.amount.is_some())
        .min_by(|one, other| (one.at, one.event_id.as_bytes()).cmp(&(other.at, other.event_id.as_bytes())));
    let Some(priced) = priced else {
        return Some(Order { at, revenue: 0 });
    };
    let amount = priced.amount.unwrap_or_default();
    let mut seen = BTreeSet::new();
    let refunded: Micros = naming("order_refunded")
        .filter(|refund| currency(refund) == currency(priced) && seen.insert(&refund.event_id))
        .map(|refund| refund.amount.unwrap_or_default().abs())
        .sum();
    let revenue = if currency(priced) == CONFIGURED { amount - refunded } else { 0 };
    (amount > 0 && refunded < amount).then_some(Order { at, revenue })
}

fn currency(touchpoint: &Touchpoint) -> &str {
    touchpoint.currency.as_deref().unwrap_or(CONFIGURED)
}
