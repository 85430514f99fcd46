//! Believable journeys: the ways through the models that chance would seldom find.

/// What happens next in a journey.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A touchpoint of this type.
    Meets(&'static str),
    /// One touchpoint each of these types, a minute apart.
    MeetsEach(&'static [&'static str]),
    /// Orders something at a known price.
    Orders,
    /// Scores on a scale.
    Scores(&'static str, &'static str),
    /// Cancels the order before the last by so many.
    Cancels(usize),
    /// Refunds, in full, the order before the last by so many.
    Refunds(usize),
    /// A late report, a day before the first, that the last order by so many cost nothing.
    TurnsOutFree(usize),
    /// So many hours go by, give or take a millisecond.
    Waits(i64),
    /// Whatever this customer does.
    Chance,
}

use Step::{Cancels, Chance, Meets, MeetsEach, Orders, Refunds, Scores, TurnsOutFree, Waits};

const DAYS: i64 = 24;

/// The journeys.
pub(crate) const JOURNEYS: &[&[Step]] = &[
    // From the first impression to an order, in the end at risk and lost.
    &[
        MeetsEach(&["ad_impression", "email_delivered", "push_delivered", "content_exposed"]),
        MeetsEach(&["promotion_viewed", "ad_impression", "ad_impression", "ad_impression"]),
        Waits(1),
        Meets("page_viewed"),
        Waits(2),
        Meets("content_viewed"),
        Meets("signed_up"),
        Waits(1),
        Meets("product_viewed"),
        Meets("cart_item_added"),
        Waits(1),
        Meets("checkout_started"),
        Waits(0),
        Orders,
        Waits(180 * DAYS),
        Chance,
    ],
    // A checkout that nobody finished, then a decision that came to nothing.
    &[
        Meets("product_viewed"),
        Waits(1),
        Meets("checkout_started"),
        Waits(24),
        Waits(6 * DAYS),
        Chance,
        Meets("app_opened"),
    ],
    // A regular buyer who promotes, is let down, and makes up.
    &[
        Orders,
        Waits(20 * DAYS),
        Meets("order_delivered"),
        Waits(20 * DAYS),
        Orders,
        Waits(DAYS),
        Scores("nps", "9"),
        Waits(60 * DAYS),
        Scores("csat", "1"),
        Waits(90 * DAYS),
        Scores("csat", "5"),
        Waits(90 * DAYS),
        Orders,
    ],
    // One order, let down, at risk, lost, reconciled.
    &[Orders, Waits(14 * DAYS), Scores("rating", "2"), Waits(76 * DAYS), Scores("rating", "3"), Waits(3), Chance],
    // Two orders, let down, lost; reconciled.
    &[Orders, Waits(3 * DAYS), Orders, Waits(9 * DAYS), Scores("nps", "0"), Waits(100 * DAYS), Scores("nps", "8")],
    // Three orders, let down, lost; reconciled and loyal.
    &[
        Orders,
        Waits(30 * DAYS),
        Orders,
        Waits(30 * DAYS),
        Orders,
        Waits(5 * DAYS),
        Scores("nps", "6"),
        Waits(90 * DAYS),
        Scores("nps", "10"),
        Waits(80 * DAYS),
        Orders,
    ],
    // Left after three orders, and came back.
    &[
        Orders,
        Waits(40 * DAYS),
        Orders,
        Waits(40 * DAYS),
        Orders,
        Waits(5),
        Meets("account_deleted"),
        Waits(9 * DAYS),
        Orders,
    ],
    // Left after one order, and came back.
    &[Orders, Waits(20 * DAYS), Meets("churn_declared"), Waits(20 * DAYS), Orders],
    // An advocate whose advocacy lapses, and who reverses.
    &[
        Orders,
        Waits(15 * DAYS),
        Meets("referral_shared"),
        Waits(30 * DAYS),
        Orders,
        Waits(335 * DAYS),
        Orders,
        Meets("testimonial_given"),
        Waits(1),
        Refunds(0),
        Waits(1),
        Cancels(1),
    ],
    // A partner who leaves the program, joins again, and leaves altogether.
    &[
        Meets("partner_joined"),
        Orders,
        Waits(10 * DAYS),
        Orders,
        Waits(10 * DAYS),
        Meets("partner_left"),
        Waits(1),
        Meets("partner_joined"),
        Waits(50 * DAYS),
        Meets("subscription_cancelled"),
        Waits(1),
        Orders,
    ],
    // A partner who recommends, leaves the program, joins, and leaves altogether.
    &[
        Orders,
        Waits(DAYS),
        Orders,
        Meets("ugc_posted"),
        Meets("partner_joined"),
        Waits(DAYS),
        Meets("partner_left"),
        Waits(0),
        Meets("partner_joined"),
        Waits(1),
        Meets("account_deleted"),
        Waits(DAYS),
        Cancels(0),
        Cancels(1),
    ],
    // A partner whose orders turn out to have cost nothing.
    &[Orders, Waits(DAYS), Orders, Meets("partner_joined"), Waits(1), TurnsOutFree(1), Waits(1), TurnsOutFree(0)],
    // Bound, tempted again, and not; the bond lapses with time.
    &[
        Orders,
        Waits(2 * DAYS),
        Meets("product_used"),
        Waits(1),
        Scores("csat", "4"),
        Waits(10 * DAYS),
        Meets("checkout_started"),
        Waits(24),
        Waits(168 * DAYS),
        Chance,
    ],
    // Buys again without a bond, and does not; in touch after sixty days; leaves.
    &[
        Orders,
        Waits(14 * DAYS),
        Waits(2 * DAYS),
        Meets("checkout_started"),
        Waits(24),
        Waits(60 * DAYS),
        Meets("page_viewed"),
        Waits(5),
        Meets("account_deleted"),
    ],
    // Bound and let down.
    &[
        Orders,
        Waits(14 * DAYS),
        Meets("loyalty_enrolled"),
        Waits(8),
        Scores("nps", "3"),
        Waits(1),
        Scores("csat", "3.5"),
    ],
    // Loyal by the gap of the orders alone, until it grows too long.
    &[
        Orders,
        Waits(100 * DAYS),
        Orders,
        Waits(100 * DAYS),
        Scores("nps", "9"),
        Waits(1),
        Orders,
        Waits(180 * DAYS),
        Orders,
        Waits(DAYS),
        Scores("csat", "2"),
    ],
    // Lapsed from loyalty in a bond of two: the first falls out of the streak.
    &[
        Orders,
        Waits(170 * DAYS),
        Orders,
        Scores("rating", "5"),
        Waits(1),
        Scores("csat", "1"),
        Waits(2),
        Refunds(0),
        Refunds(1),
    ],
    // An abandoned checkout after an order that turns out to have cost nothing.
    &[Orders, Waits(3), Meets("checkout_started"), Waits(2), TurnsOutFree(0), Waits(24), Chance],
    // Lost, then all orders voided; a new one.
    &[Orders, Waits(180 * DAYS), Cancels(0), Waits(2), Meets("trial_started"), Waits(1), Orders],
    // Lost, then the last of two orders voided; reversal of what was reversed does not exist.
    &[Orders, Waits(60 * DAYS), Orders, Waits(95 * DAYS), Cancels(0), Waits(1), Refunds(1)],
    // Let down by an order that is cancelled when all is well again.
    &[
        Orders,
        Waits(1),
        Scores("nps", "3"),
        Waits(1),
        Orders,
        Waits(1),
        Meets("testimonial_given"),
        Waits(1),
        Cancels(1),
    ],
    // Recommends after an order that is cancelled after others.
    &[Orders, Waits(DAYS), Meets("product_shared"), Waits(DAYS), Orders, Waits(DAYS), Orders, Waits(2), Cancels(2)],
    // Pays for a trial in the end.
    &[
        Meets("email_opened"),
        Waits(1),
        Meets("trial_started"),
        Waits(8 * DAYS),
        Meets("coupon_applied"),
        Waits(7 * DAYS),
        Orders,
    ],
];
