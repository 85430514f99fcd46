//! The six models: one function each, its stages from the top of the table.

use super::picture::{DAY, Picture, at_or_after, has_passed, is_younger, newer};
use super::touchpoint::Millis;

/// Whether something holds at an instant.
type Holds = fn(&Picture, Millis) -> bool;

/// One model: its name, its journey, and how to tell a customer's stage.
pub(crate) struct Model {
    pub(crate) name: &'static str,
    /// In the journey's order; stages in brackets are left out.
    pub(crate) journey: &'static [&'static str],
    pub(crate) brackets: &'static [&'static str],
    pub(crate) stage: fn(&Picture, Millis) -> Option<&'static str>,
    /// Names, and what has to hold.
    pub(crate) milestones: &'static [(&'static str, Holds)],
    /// Counters of valid orders, with the least number that is published.
    pub(crate) counters: &'static [(&'static str, usize)],
}

/// Every model that ships.
pub(crate) const MODELS: [Model; 6] = [
    Model {
        name: "retention",
        journey: &["active", "at_risk"],
        brackets: &["churned"],
        stage: retention,
        milestones: &[],
        counters: &[],
    },
    Model {
        name: "classic_seven",
        journey: &["awareness", "interest", "purchase", "satisfaction", "repeat_order", "loyalty"],
        brackets: &["churn"],
        stage: classic_seven,
        milestones: &[
            ("made_first_purchase", |picture, _| picture.order_count() >= 1),
            ("made_repeat_purchase", |picture, _| picture.order_count() >= 2),
        ],
        counters: &[],
    },
    Model {
        name: "reach_to_advocacy",
        journey: &["reach", "acquire", "develop", "retain", "advocate"],
        brackets: &[],
        stage: reach_to_advocacy,
        milestones: &[],
        counters: &[],
    },
    Model {
        name: "engagement_cycle",
        journey: &["awareness", "engagement", "evaluation", "purchase", "experience", "bonding"],
        brackets: &[],
        stage: engagement_cycle,
        milestones: &[("purchased", |picture, _| picture.order_count() >= 1)],
        counters: &[("reentered_cycle", 2)],
    },
    Model {
        name: "awareness_to_loyalty",
        journey: &["awareness", "consideration", "decision", "purchase", "post_purchase", "loyalty_advocacy"],
        brackets: &[],
        stage: awareness_to_loyalty,
        milestones: &[("became_advocate", |picture, now| {
            picture.order_count() >= 1 && picture.advocated_since(picture.first_order(), now)
        })],
        counters: &[],
    },
    Model {
        name: "loyalty_ladder",
        journey: &["prospect", "new_customer", "regular_customer", "brand_advocate", "partner"],
        brackets: &[],
        stage: loyalty_ladder,
        milestones: &[("made_repeat_purchase", |picture, _| picture.order_count() >= 2)],
        counters: &[],
    },
];

fn retention(picture: &Picture, now: Millis) -> Option<&'static str> {
    let last_order = picture.last_order();
    if picture.order_count() == 0 {
        None
    } else if picture.has_churned(now) {
        Some("churned")
    } else if has_passed(last_order, 90 * DAY, now) || picture.unhappy_since(last_order) {
        Some("at_risk")
    } else {
        Some("active")
    }
}

fn classic_seven(picture: &Picture, now: Millis) -> Option<&'static str> {
    let streak = picture.streak(180 * DAY, now);
    let streak_start = picture.streak_start(180 * DAY, now);
    let recommends = picture.advocated_since(streak_start, now)
        || (at_or_after(picture.last_promoter, streak_start) && !picture.unhappy_since(streak_start));
    let forms_an_opinion =
        picture.since_first_order(picture.last_use) || has_passed(picture.first_order(), 14 * DAY, now);
    if picture.has_churned(now) {
        Some("churn")
    } else if streak >= 3 || (streak >= 2 && recommends) {
        Some("loyalty")
    } else if picture.order_count() >= 2 {
        Some("repeat_order")
    } else if picture.order_count() >= 1 && forms_an_opinion {
        Some("satisfaction")
    } else if picture.order_count() >= 1 || picture.has_open_checkout(now) {
        Some("purchase")
    } else if picture.interests >= 1 {
        Some("interest")
    } else {
        (picture.touchpoints >= 1).then_some("awareness")
    }
}

fn reach_to_advocacy(picture: &Picture, now: Millis) -> Option<&'static str> {
    let has_stayed = picture.since_first_order(picture.last_feedback)
        || picture.order_count() >= 2
        || has_passed(picture.first_order(), 30 * DAY, now);
    if picture.order_count() >= 1 && picture.advocated_since(picture.first_order(), now) {
        Some("advocate")
    } else if picture.order_count() >= 1 && has_stayed {
        Some("retain")
    } else if picture.order_count() >= 1 {
        Some("develop")
    } else if picture.leads >= 1 || picture.last_checkout.is_some() || picture.last_order_report.is_some() {
        Some("acquire")
    } else {
        (picture.touchpoints >= 1).then_some("reach")
    }
}

fn engagement_cycle(picture: &Picture, now: Millis) -> Option<&'static str> {
    let last_order = picture.last_order();
    let experience_began = picture.experience_began();
    let waits_for_experience = experience_began.is_some_and(|began| now < began);
    let has_bond = at_or_after(picture.last_positive, last_order)
        || at_or_after(picture.last_bonding, last_order)
        || at_or_after(picture.last_in_touch, experience_began.map(|began| began + 60 * DAY));
    if picture.has_open_checkout(now) || (picture.order_count() >= 1 && waits_for_experience) {
        Some("purchase")
    } else if picture.order_count() >= 1 && !picture.has_churned(now) && !picture.unhappy_since(last_order) && has_bond
    {
        Some("bonding")
    } else if picture.order_count() >= 1 {
        Some("experience")
    } else if picture.researches >= 1 || picture.last_decision.is_some() || picture.last_order_report.is_some() {
        Some("evaluation")
    } else if picture.engagements >= 1 || picture.sign_ups >= 1 {
        Some("engagement")
    } else {
        (picture.contacts >= 1 || picture.exposures >= 7).then_some("awareness")
    }
}

fn awareness_to_loyalty(picture: &Picture, now: Millis) -> Option<&'static str> {
    let first_order = picture.first_order();
    let streak = picture.streak(180 * DAY, now);
    let is_loyal = picture.advocated_since(first_order, now)
        || (at_or_after(picture.last_promoter, first_order) && is_younger(picture.last_promoter, 365 * DAY, now))
        || (streak >= 2 && at_or_after(picture.last_positive, first_order))
        || streak >= 3;
    let is_past_purchase = picture.since_first_order(picture.last_use)
        || picture.order_count() >= 2
        || has_passed(first_order, 14 * DAY, now);
    let decides = is_younger(picture.last_decision, 7 * DAY, now)
        && (picture.last_order_report.is_none() || newer(picture.last_decision, picture.last_order_report));
    let considers = picture.researches >= 1
        || picture.last_decision.is_some()
        || picture.leads >= 1
        || picture.last_order_report.is_some();
    if picture.order_count() >= 1 && !picture.unhappy_since(first_order) && is_loyal {
        Some("loyalty_advocacy")
    } else if picture.order_count() >= 1 && is_past_purchase {
        Some("post_purchase")
    } else if picture.order_count() >= 1 {
        Some("purchase")
    } else if decides {
        Some("decision")
    } else if considers {
        Some("consideration")
    } else {
        (picture.touchpoints >= 1).then_some("awareness")
    }
}

fn loyalty_ladder(picture: &Picture, now: Millis) -> Option<&'static str> {
    let is_partner = picture.last_joined.is_some()
        && (picture.last_left.is_none() || newer(picture.last_joined, picture.last_left))
        && !newer(picture.last_leaving, picture.last_order());
    if picture.order_count() >= 2 && is_partner {
        Some("partner")
    } else if picture.order_count() >= 2 && picture.advocated_since(picture.first_order(), now) {
        Some("brand_advocate")
    } else if picture.order_count() >= 2 {
        Some("regular_customer")
    } else if picture.order_count() >= 1 {
        Some("new_customer")
    } else {
        (picture.interests >= 1).then_some("prospect")
    }
}
