//! The name, direction and skipped stages of a move between stages.

use super::catalogue;
use super::models::Model;
use super::summary::{Summary, at_or_after};
use super::touchpoint::Touchpoint;

/// A move as it is published.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Move {
    pub(crate) name: &'static str,
    pub(crate) direction: &'static str,
    pub(crate) skipped: Vec<&'static str>,
}

type Stage = Option<&'static str>;

/// Returns name and direction of the move of `model` from `from` to `to`; `cause` is `None` for time.
pub(crate) fn describe(model: &Model, from: Stage, to: Stage, cause: Option<&Touchpoint>, summary: &Summary) -> Move {
    let name = name(model, from, to, cause, summary);
    let plain = |direction| Move { name, direction, skipped: Vec::new() };
    let is_outside = |stage: Stage| stage.is_some_and(|stage| model.outside.contains(&stage));
    let index_of =
        |stage: &str| model.journey.iter().position(|known| *known == stage).expect("the stage is in the journey");
    match (name, from, to) {
        ("purchase_reversed", _, Some(_)) if is_outside(from) => plain("reentry"),
        ("purchase_reversed", ..) | (_, _, None) => plain("backward"),
        ("repurchase_started", ..) => plain("reentry"),
        ("checkout_abandoned", ..) if model.name == "engagement_cycle" => plain("backward"),
        _ if is_outside(to) => plain("exit"),
        _ if is_outside(from) => plain("reentry"),
        (_, None, Some(to)) => Move { name, direction: "forward", skipped: model.journey[..index_of(to)].to_vec() },
        (_, Some(from), Some(to)) if index_of(from) < index_of(to) => {
            Move { name, direction: "forward", skipped: model.journey[index_of(from) + 1..index_of(to)].to_vec() }
        }
        _ => plain("backward"),
    }
}

fn name(model: &Model, from: Stage, to: Stage, cause: Option<&Touchpoint>, summary: &Summary) -> &'static str {
    let Some(entered) = to else { return "purchase_reversed" };
    let keeps_its_own_name =
        from.is_none() || (model.name == "retention" && entered == "at_risk") || model.outside.contains(&entered);
    if cause.is_some_and(Touchpoint::is_reversal) && !keeps_its_own_name {
        return "purchase_reversed";
    }
    let from = from.unwrap_or("");
    match model.name {
        "retention" => name_in_retention(from, entered, cause),
        "classic_seven" => name_in_classic_seven(from, entered, cause),
        "reach_to_advocacy" => name_in_reach_to_advocacy(from, entered),
        "engagement_cycle" => name_in_engagement_cycle(from, entered, cause, summary),
        "awareness_to_loyalty" => name_in_awareness_to_loyalty(from, entered, cause),
        _ => name_in_loyalty_ladder(from, entered, summary),
    }
}

fn is_caused_by(cause: Option<&Touchpoint>, type_name: &str) -> bool {
    cause.is_some_and(|touchpoint| touchpoint.is(type_name))
}

fn name_in_retention(from: &str, entered: &str, cause: Option<&Touchpoint>) -> &'static str {
    match (entered, from) {
        ("churned", _) => "churned",
        ("at_risk", "churned") if is_caused_by(cause, "feedback_given") => "reconciled",
        ("at_risk", _) => "at_risk_of_churn",
        ("active", "at_risk") => "risk_cleared",
        ("active", "churned") => "reactivated",
        _ => "became_active",
    }
}

fn name_in_classic_seven(from: &str, entered: &str, cause: Option<&Touchpoint>) -> &'static str {
    match (entered, from) {
        ("churn", _) => "churned",
        ("loyalty" | "repeat_order" | "satisfaction", "churn") if is_caused_by(cause, "feedback_given") => "reconciled",
        ("loyalty" | "repeat_order" | "satisfaction", "churn") => "reactivated",
        ("loyalty", _) => "became_loyal",
        ("repeat_order", "loyalty") => "loyalty_lost",
        ("repeat_order", _) => "moved_to_repeat_order",
        ("satisfaction", _) => "entered_satisfaction",
        ("purchase", _) => "started_purchase",
        ("interest", "purchase") if !is_caused_by(cause, "order_completed") => "checkout_abandoned",
        ("interest", _) => "became_interested",
        _ => "became_aware",
    }
}

fn name_in_reach_to_advocacy(from: &str, entered: &str) -> &'static str {
    match (entered, from) {
        ("advocate", _) => "became_advocate",
        ("retain", "advocate") => "advocacy_lapsed",
        ("retain", _) => "moved_to_retention",
        ("develop", _) => "became_customer",
        ("acquire", _) => "acquired_lead",
        _ => "reached",
    }
}

fn name_in_engagement_cycle(from: &str, entered: &str, cause: Option<&Touchpoint>, summary: &Summary) -> &'static str {
    let checkout_followed_experience = at_or_after(summary.last_checkout, summary.experience_began());
    match (entered, from) {
        ("purchase", "experience" | "bonding") => "repurchase_started",
        ("purchase", _) => "started_purchase",
        ("bonding" | "experience", "purchase") if cause.is_none() && checkout_followed_experience => {
            "checkout_abandoned"
        }
        ("bonding", _) => "bonded",
        ("experience", "bonding") if summary.unhappy_since(summary.last_order()) => "bond_broken",
        ("experience", "bonding") if cause.is_none_or(catalogue::leaving) => "bond_lapsed",
        ("experience", _) => "entered_experience",
        ("evaluation", "purchase") if !is_caused_by(cause, "order_completed") => "checkout_abandoned",
        ("evaluation", _) => "started_evaluation",
        ("engagement", _) => "engaged",
        _ => "became_aware",
    }
}

fn name_in_awareness_to_loyalty(from: &str, entered: &str, cause: Option<&Touchpoint>) -> &'static str {
    match (entered, from) {
        ("loyalty_advocacy", _) => "became_loyal",
        ("post_purchase", "loyalty_advocacy") => "loyalty_lost",
        ("post_purchase", _) => "entered_post_purchase",
        ("purchase", _) => "purchased",
        ("decision", _) => "ready_to_decide",
        ("consideration", "decision") if !is_caused_by(cause, "order_completed") => "decision_abandoned",
        ("consideration", _) => "started_considering",
        _ => "became_aware",
    }
}

fn name_in_loyalty_ladder(from: &str, entered: &str, summary: &Summary) -> &'static str {
    let has_left = at_or_after(summary.last_left, summary.last_joined);
    match (entered, from) {
        ("partner", _) => "became_partner",
        ("brand_advocate" | "regular_customer", "partner") if has_left => "partner_left",
        ("brand_advocate" | "regular_customer", "partner") => "partnership_lapsed",
        ("brand_advocate", _) => "became_advocate",
        ("regular_customer", "brand_advocate") => "advocacy_lapsed",
        ("regular_customer", _) => "moved_to_repeat_purchase",
        ("new_customer", _) => "became_new_customer",
        _ => "became_prospect",
    }
}
