//! The catalogue of touchpoint types as constants, with one predicate per group.

use super::touchpoint::Touchpoint;

pub(crate) const EXPOSURE: &[&str] =
    &["ad_impression", "promotion_viewed", "email_delivered", "push_delivered", "content_exposed"];
pub(crate) const CONTACT: &[&str] =
    &["ad_clicked", "page_viewed", "app_opened", "referral_visited", "word_of_mouth", "store_visited"];
pub(crate) const ENGAGEMENT: &[&str] = &[
    "social_followed",
    "newsletter_subscribed",
    "email_opened",
    "email_clicked",
    "community_joined",
    "content_viewed",
];
pub(crate) const LEAD: &[&str] = &[
    "signed_up",
    "newsletter_subscribed",
    "lead_created",
    "email_clicked",
    "sales_contacted",
    "quote_requested",
    "trial_started",
    "presale_chat_started",
];
pub(crate) const RESEARCH: &[&str] = &[
    "product_viewed",
    "product_list_viewed",
    "product_searched",
    "product_compared",
    "reviews_read",
    "help_viewed",
    "wishlist_added",
    "quote_requested",
    "trial_started",
    "presale_chat_started",
];
pub(crate) const DECISION: &[&str] = &[
    "cart_item_added",
    "cart_viewed",
    "checkout_started",
    "checkout_step_completed",
    "payment_info_entered",
    "coupon_applied",
    "shipping_terms_viewed",
    "warranty_viewed",
];
pub(crate) const USE: &[&str] =
    &["order_delivered", "product_used", "support_ticket_opened", "support_ticket_resolved", "feedback_given"];
pub(crate) const ADVOCACY: &[&str] = &[
    "referral_shared",
    "referral_converted",
    "product_shared",
    "positive_review_published",
    "social_mention_positive",
    "ugc_posted",
    "testimonial_given",
];
pub(crate) const LEAVING: &[&str] = &["account_deleted", "subscription_cancelled", "churn_declared"];

/// Names of groups and names outside the catalogue: touchpoints with such a type have an unknown type.
pub(crate) const UNKNOWN: &[&str] = &[
    "exposure",
    "contact",
    "engagement",
    "lead",
    "research",
    "decision",
    "order",
    "use",
    "feedback",
    "advocacy",
    "bonding",
    "leaving",
    "partnership",
    "interest",
    "positive_feedback",
    "negative_feedback",
    "promoter",
    "scored_feedback",
    "in_touch",
    "any",
    "orders",
    "reversal",
    "Order_Completed",
    "order_completed ",
    "order-completed",
    "purchase",
    "something_else",
];

pub(crate) fn any(_: &Touchpoint) -> bool {
    true
}

pub(crate) fn exposure(touchpoint: &Touchpoint) -> bool {
    touchpoint.is_one_of(EXPOSURE)
}

pub(crate) fn contact(touchpoint: &Touchpoint) -> bool {
    touchpoint.is_one_of(CONTACT)
}

pub(crate) fn engagement(touchpoint: &Touchpoint) -> bool {
    touchpoint.is_one_of(ENGAGEMENT)
}

/// Excludes opened mail, because mail programs open mail automatically.
fn engagement_without_opened_mail(touchpoint: &Touchpoint) -> bool {
    engagement(touchpoint) && !touchpoint.is("email_opened")
}

pub(crate) fn lead(touchpoint: &Touchpoint) -> bool {
    touchpoint.is_one_of(LEAD)
}

pub(crate) fn research(touchpoint: &Touchpoint) -> bool {
    touchpoint.is_one_of(RESEARCH)
}

pub(crate) fn decision(touchpoint: &Touchpoint) -> bool {
    touchpoint.is_one_of(DECISION)
}

/// The group `use`.
pub(crate) fn usage(touchpoint: &Touchpoint) -> bool {
    touchpoint.is_one_of(USE)
}

pub(crate) fn feedback(touchpoint: &Touchpoint) -> bool {
    touchpoint.is("feedback_given")
}

pub(crate) fn advocacy(touchpoint: &Touchpoint) -> bool {
    touchpoint.is_one_of(ADVOCACY)
}

pub(crate) fn bonding(touchpoint: &Touchpoint) -> bool {
    touchpoint.is_one_of(&["loyalty_enrolled", "social_followed", "community_joined"]) || advocacy(touchpoint)
}

pub(crate) fn leaving(touchpoint: &Touchpoint) -> bool {
    touchpoint.is_one_of(LEAVING)
}

pub(crate) fn interest(touchpoint: &Touchpoint) -> bool {
    research(touchpoint)
        || decision(touchpoint)
        || lead(touchpoint)
        || engagement_without_opened_mail(touchpoint)
        || touchpoint.is_one_of(&["ad_clicked", "referral_visited", "order_completed"])
}

pub(crate) fn in_touch(touchpoint: &Touchpoint) -> bool {
    contact(touchpoint)
        || lead(touchpoint)
        || research(touchpoint)
        || decision(touchpoint)
        || engagement_without_opened_mail(touchpoint)
        || touchpoint.is("product_used")
}

/// Returns scale and score if the score is valid.
fn scored(touchpoint: &Touchpoint) -> Option<(&str, f64)> {
    let (scale, score) = (touchpoint.scale.as_deref()?, touchpoint.score?);
    let within = match scale {
        "nps" => (0.0..=10.0).contains(&score),
        "csat" | "rating" => (1.0..=5.0).contains(&score),
        _ => false,
    };
    (feedback(touchpoint) && within).then_some((scale, score))
}

pub(crate) fn scored_feedback(touchpoint: &Touchpoint) -> bool {
    scored(touchpoint).is_some()
}

pub(crate) fn positive_feedback(touchpoint: &Touchpoint) -> bool {
    scored(touchpoint).is_some_and(|(scale, score)| if scale == "nps" { score >= 9.0 } else { score >= 4.0 })
}

pub(crate) fn negative_feedback(touchpoint: &Touchpoint) -> bool {
    scored(touchpoint).is_some_and(|(scale, score)| if scale == "nps" { score <= 6.0 } else { score <= 2.0 })
}

pub(crate) fn promoter(touchpoint: &Touchpoint) -> bool {
    scored(touchpoint).is_some_and(|(scale, score)| scale == "nps" && score >= 9.0)
}

/// Whether the type is in the catalogue.
pub(crate) fn is_known(touchpoint: &Touchpoint) -> bool {
    interest(touchpoint)
        || in_touch(touchpoint)
        || exposure(touchpoint)
        || engagement(touchpoint)
        || usage(touchpoint)
        || bonding(touchpoint)
        || leaving(touchpoint)
        || touchpoint.is_reversal()
        || touchpoint.is_one_of(&["partner_joined", "partner_left"])
}
