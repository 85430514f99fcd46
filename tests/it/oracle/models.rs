//! The six models, one function each, with the stages in the order of their table.

use super::summary::{DAY, Summary, at_or_after, has_passed, is_after, is_younger};
use super::touchpoint::Millis;

/// A condition, evaluated at an instant.
type Condition = fn(&Summary, Millis) -> bool;

/// One model: its name, its journey, and the function that determines a customer's stage.
pub(crate) struct Model {
    pub(crate) name: &'static str,
    /// The stages of the journey, in order.
    pub(crate) journey: &'static [&'static str],
    /// The stages outside the journey.
    pub(crate) outside: &'static [&'static str],
    pub(crate) stage: fn(&Summary, Millis) -> Option<&'static str>,
    /// Names and conditions.
    pub(crate) milestones: &'static [(&'static str, Condition)],
    /// Counters of valid orders, with the lowest value that is published.
    pub(crate) counters: &'static [(&'static str, usize)],
}

/// Every model that ships.
pub(crate) const MODELS: [Model; 6] = [
    Model {
        name: "retention",
        journey: &["active", "at_risk"],
        outside: &["churned"],
        stage: retention,
        milestones: &[],
        counters: &[],
    },
    Model {
        name: "classic_seven",
        journey: &["awareness", "interest", "purchase", "satisfaction", "repeat_order", "loyalty"],
        outside: &["churn"],
        stage: classic_seven,
        milestones: &[
            ("made_first_purchase", |summary, _| summary.order_count() >= 1),
            ("made_repeat_purchase", |summary, _| summary.order_count() >= 2),
        ],
        counters: &[],
    },
    Model {
        name: "reach_to_advocacy",
        journey: &["reach", "acquire", "develop", "retain", "advocate"],
        outside: &[],
        stage: reach_to_advocacy,
        milestones: &[],
        counters: &[],
    },
    Model {
        name: "engagement_cycle",
        journey: &["awareness", "engagement", "evaluation", "purchase", "experience", "bonding"],
        outside: &[],
        stage: engagement_cycle,
        milestones: &[("purchased", |summary, _| summary.order_count() >= 1)],
        counters: &[("reentered_cycle", 2)],
    },
    Model {
        name: "awareness_to_loyalty",
        journey: &["awareness", "consideration", "decision", "purchase", "post_purchase", "loyalty_advocacy"],
        outside: &[],
        stage: awareness_to_loyalty,
        milestones: &[("became_advocate", |summary, now| {
            summary.order_count() >= 1 && summary.advocated_since(summary.first_order(), now)
        })],
        counters: &[],
    },
    Model {
        name: "loyalty_ladder",
        journey: &["prospect", "new_customer", "regular_customer", "brand_advocate", "partner"],
        outside: &[],
        stage: loyalty_ladder,
        milestones: &[("made_repeat_purchase", |summary, _| summary.order_count() >= 2)],
        counters: &[],
    },
];

fn retention(summary: &Summary, now: Millis) -> Option<&'static str> {
    let last_order = summary.last_order();
    if summary.order_count() == 0 {
        None
    } else if summary.has_churned(now) {
        Some("churned")
    } else if has_passed(last_order, 90 * DAY, now) || summary.unhappy_since(last_order) {
        Some("at_risk")
    } else {
        Some("active")
    }
}

fn classic_seven(summary: &Summary, now: Millis) -> Option<&'static str> {
    let streak = summary.streak(180 * DAY, now);
    let streak_start = summary.streak_start(180 * DAY, now);
    let recommends = summary.advocated_since(streak_start, now)
        || (at_or_after(summary.last_promoter, streak_start) && !summary.unhappy_since(streak_start));
    let forms_an_opinion =
        summary.since_first_order(summary.last_use) || has_passed(summary.first_order(), 14 * DAY, now);
    if summary.has_churned(now) {
        Some("churn")
    } else if streak >= 3 || (streak >= 2 && recommends) {
        Some("loyalty")
    } else if summary.order_count() >= 2 {
        Some("repeat_order")
    } else if summary.order_count() >= 1 && forms_an_opinion {
        Some("satisfaction")
    } else if summary.order_count() >= 1 || summary.has_open_checkout(now) {
        Some("purchase")
    } else if summary.interests >= 1 {
        Some("interest")
    } else {
        (summary.touchpoints >= 1).then_some("awareness")
    }
}

fn reach_to_advocacy(summary: &Summary, now: Millis) -> Option<&'static str> {
    let has_stayed = summary.since_first_order(summary.last_feedback)
        || summary.order_count() >= 2
        || has_passed(summary.first_order(), 30 * DAY, now);
    if summary.order_count() >= 1 && summary.advocated_since(summary.first_order(), now) {
        Some("advocate")
    } else if summary.order_count() >= 1 && has_stayed {
        Some("retain")
    } else if summary.order_count() >= 1 {
        Some("develop")
    } else if summary.leads >= 1 || summary.last_checkout.is_some() || summary.last_order_report.is_some() {
        Some("acquire")
    } else {
        (summary.touchpoints >= 1).then_some("reach")
    }
}

fn engagement_cycle(summary: &Summary, now: Millis) -> Option<&'static str> {
    let last_order = summary.last_order();
    let experience_began = summary.experience_began();
    let waits_for_experience = experience_began.is_some_and(|began| now < began);
    let has_bond = at_or_after(summary.last_positive, last_order)
        || at_or_after(summary.last_bonding, last_order)
        || at_or_after(summary.last_in_touch, experience_began.map(|began| began + 60 * DAY));
    if summary.has_open_checkout(now) || (summary.order_count() >= 1 && waits_for_experience) {
        Some("purchase")
    } else if summary.order_count() >= 1 && !summary.has_churned(now) && !summary.unhappy_since(last_order) && has_bond
    {
        Some("bonding")
    } else if summary.order_count() >= 1 {
        Some("experience")
    } else if summary.researches >= 1 || summary.last_decision.is_some() || summary.last_order_report.is_some() {
        Some("evaluation")
    } else if summary.engagements >= 1 || summary.sign_ups >= 1 {
        Some("engagement")
    } else {
        (summary.contacts >= 1 || summary.exposures >= 7).then_some("awareness")
    }
}

fn awareness_to_loyalty(summary: &Summary, now: Millis) -> Option<&'static str> {
    let first_order = summary.first_order();
    let streak = summary.streak(180 * DAY, now);
    let is_loyal = summary.advocated_since(first_order, now)
        || (at_or_after(summary.last_promoter, first_order) && is_younger(summary.last_promoter, 365 * DAY, now))
        || (streak >= 2 && at_or_after(summary.last_positive, first_order))
        || streak >= 3;
    let is_past_purchase = summary.since_first_order(summary.last_use)
        || summary.order_count() >= 2
        || has_passed(first_order, 14 * DAY, now);
    let decides = is_younger(summary.last_decision, 7 * DAY, now)
        && (summary.last_order_report.is_none() || is_after(summary.last_decision, summary.last_order_report));
    let considers = summary.researches >= 1
        || summary.last_decision.is_some()
        || summary.leads >= 1
        || summary.last_order_report.is_some();
    if summary.order_count() >= 1 && !summary.unhappy_since(first_order) && is_loyal {
        Some("loyalty_advocacy")
    } else if summary.order_count() >= 1 && is_past_purchase {
        Some("post_purchase")
    } else if summary.order_count() >= 1 {
        Some("purchase")
    } else if decides {
        Some("decision")
    } else if considers {
        Some("consideration")
    } else {
        (summary.touchpoints >= 1).then_some("awareness")
    }
}

fn loyalty_ladder(summary: &Summary, now: Millis) -> Option<&'static str> {
    let is_partner = summary.last_joined.is_some()
        && (summary.last_left.is_none() || is_after(summary.last_joined, summary.last_left))
        && !is_after(summary.last_leaving, summary.last_order());
    if summary.order_count() >= 2 && is_partner {
        Some("partner")
    } else if summary.order_count() >= 2 && summary.advocated_since(summary.first_order(), now) {
        Some("brand_advocate")
    } else if summary.order_count() >= 2 {
        Some("regular_customer")
    } else if summary.order_count() >= 1 {
        Some("new_customer")
    } else {
        (summary.interests >= 1).then_some("prospect")
    }
}
