//! Scripted histories: paths through the models that random touchpoints would rarely find.

/// One step of a script.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A touchpoint of this type.
    Touchpoint(&'static str),
    /// One touchpoint of each of these types, one minute apart.
    Touchpoints(&'static [&'static str]),
    /// An order with an amount.
    Order,
    /// Feedback: scale and score.
    Feedback(&'static str, &'static str),
    /// Cancels an order, counted back from the last one (0).
    Cancel(usize),
    /// Refunds an order in full, counted back from the last one (0).
    Refund(usize),
    /// Reports an order (counted back from the last one) again, with amount zero and a time one day before the first
    /// order.
    LateZeroAmount(usize),
    /// Advances the time by this many hours, plus or minus one millisecond.
    Wait(i64),
    /// A random touchpoint.
    Random,
}

use Step::{Cancel, Feedback, LateZeroAmount, Order, Random, Refund, Touchpoint, Touchpoints, Wait};

const DAYS: i64 = 24;

/// The scripts.
pub(crate) const SCRIPTS: &[&[Step]] = &[
    // From the first impression to an order, then at risk, then churned.
    &[
        Touchpoints(&["ad_impression", "email_delivered", "push_delivered", "content_exposed"]),
        Touchpoints(&["promotion_viewed", "ad_impression", "ad_impression", "ad_impression"]),
        Wait(1),
        Touchpoint("page_viewed"),
        Wait(2),
        Touchpoint("content_viewed"),
        Touchpoint("signed_up"),
        Wait(1),
        Touchpoint("product_viewed"),
        Touchpoint("cart_item_added"),
        Wait(1),
        Touchpoint("checkout_started"),
        Wait(0),
        Order,
        Wait(180 * DAYS),
        Random,
    ],
    // An abandoned checkout, then an abandoned decision.
    &[
        Touchpoint("product_viewed"),
        Wait(1),
        Touchpoint("checkout_started"),
        Wait(24),
        Wait(6 * DAYS),
        Random,
        Touchpoint("app_opened"),
    ],
    // A regular buyer: first a promoter, then unhappy, then content again.
    &[
        Order,
        Wait(20 * DAYS),
        Touchpoint("order_delivered"),
        Wait(20 * DAYS),
        Order,
        Wait(DAYS),
        Feedback("nps", "9"),
        Wait(60 * DAYS),
        Feedback("csat", "1"),
        Wait(90 * DAYS),
        Feedback("csat", "5"),
        Wait(90 * DAYS),
        Order,
    ],
    // One order, unhappy, at risk, churned, reconciled.
    &[Order, Wait(14 * DAYS), Feedback("rating", "2"), Wait(76 * DAYS), Feedback("rating", "3"), Wait(3), Random],
    // Two orders, unhappy, churned, reconciled.
    &[Order, Wait(3 * DAYS), Order, Wait(9 * DAYS), Feedback("nps", "0"), Wait(100 * DAYS), Feedback("nps", "8")],
    // Three orders, unhappy, churned, reconciled and loyal.
    &[
        Order,
        Wait(30 * DAYS),
        Order,
        Wait(30 * DAYS),
        Order,
        Wait(5 * DAYS),
        Feedback("nps", "6"),
        Wait(90 * DAYS),
        Feedback("nps", "10"),
        Wait(80 * DAYS),
        Order,
    ],
    // Left after three orders and came back.
    &[
        Order,
        Wait(40 * DAYS),
        Order,
        Wait(40 * DAYS),
        Order,
        Wait(5),
        Touchpoint("account_deleted"),
        Wait(9 * DAYS),
        Order,
    ],
    // Left after one order and came back.
    &[Order, Wait(20 * DAYS), Touchpoint("churn_declared"), Wait(20 * DAYS), Order],
    // An advocate whose advocacy lapses, and whose orders are reversed.
    &[
        Order,
        Wait(15 * DAYS),
        Touchpoint("referral_shared"),
        Wait(30 * DAYS),
        Order,
        Wait(335 * DAYS),
        Order,
        Touchpoint("testimonial_given"),
        Wait(1),
        Refund(0),
        Wait(1),
        Cancel(1),
    ],
    // A partner who leaves the program, joins again, and then leaves the brand.
    &[
        Touchpoint("partner_joined"),
        Order,
        Wait(10 * DAYS),
        Order,
        Wait(10 * DAYS),
        Touchpoint("partner_left"),
        Wait(1),
        Touchpoint("partner_joined"),
        Wait(50 * DAYS),
        Touchpoint("subscription_cancelled"),
        Wait(1),
        Order,
    ],
    // A partner who recommends, leaves the program, joins again, and then leaves the brand.
    &[
        Order,
        Wait(DAYS),
        Order,
        Touchpoint("ugc_posted"),
        Touchpoint("partner_joined"),
        Wait(DAYS),
        Touchpoint("partner_left"),
        Wait(0),
        Touchpoint("partner_joined"),
        Wait(1),
        Touchpoint("account_deleted"),
        Wait(DAYS),
        Cancel(0),
        Cancel(1),
    ],
    // A partner whose orders are later reported with amount zero.
    &[Order, Wait(DAYS), Order, Touchpoint("partner_joined"), Wait(1), LateZeroAmount(1), Wait(1), LateZeroAmount(0)],
    // A bonded customer who starts a checkout and abandons it; the bond lapses with time.
    &[
        Order,
        Wait(2 * DAYS),
        Touchpoint("product_used"),
        Wait(1),
        Feedback("csat", "4"),
        Wait(10 * DAYS),
        Touchpoint("checkout_started"),
        Wait(24),
        Wait(168 * DAYS),
        Random,
    ],
    // A checkout without a bond, abandoned; in touch after 60 days; leaves.
    &[
        Order,
        Wait(14 * DAYS),
        Wait(2 * DAYS),
        Touchpoint("checkout_started"),
        Wait(24),
        Wait(60 * DAYS),
        Touchpoint("page_viewed"),
        Wait(5),
        Touchpoint("account_deleted"),
    ],
    // Bonded, then unhappy.
    &[
        Order,
        Wait(14 * DAYS),
        Touchpoint("loyalty_enrolled"),
        Wait(8),
        Feedback("nps", "3"),
        Wait(1),
        Feedback("csat", "3.5"),
    ],
    // Loyal only because of the streak, until the gap is too long.
    &[
        Order,
        Wait(100 * DAYS),
        Order,
        Wait(100 * DAYS),
        Feedback("nps", "9"),
        Wait(1),
        Order,
        Wait(180 * DAYS),
        Order,
        Wait(DAYS),
        Feedback("csat", "2"),
    ],
    // Loses loyalty with a streak of two: the first order drops out of the streak.
    &[
        Order,
        Wait(170 * DAYS),
        Order,
        Feedback("rating", "5"),
        Wait(1),
        Feedback("csat", "1"),
        Wait(2),
        Refund(0),
        Refund(1),
    ],
    // An abandoned checkout after an order that is later reported with amount zero.
    &[Order, Wait(3), Touchpoint("checkout_started"), Wait(2), LateZeroAmount(0), Wait(24), Random],
    // Churned, then the only order is voided, then a new order.
    &[Order, Wait(180 * DAYS), Cancel(0), Wait(2), Touchpoint("trial_started"), Wait(1), Order],
    // Churned, then both orders are voided, one by a cancellation and one by a refund.
    &[Order, Wait(60 * DAYS), Order, Wait(95 * DAYS), Cancel(0), Wait(1), Refund(1)],
    // Unhappy with an order that is cancelled after the customer is content again.
    &[
        Order,
        Wait(1),
        Feedback("nps", "3"),
        Wait(1),
        Order,
        Wait(1),
        Touchpoint("testimonial_given"),
        Wait(1),
        Cancel(1),
    ],
    // Recommends after an order that is cancelled after later orders.
    &[Order, Wait(DAYS), Touchpoint("product_shared"), Wait(DAYS), Order, Wait(DAYS), Order, Wait(2), Cancel(2)],
    // A trial that ends with an order.
    &[
        Touchpoint("email_opened"),
        Wait(1),
        Touchpoint("trial_started"),
        Wait(8 * DAYS),
        Touchpoint("coupon_applied"),
        Wait(7 * DAYS),
        Order,
    ],
];
