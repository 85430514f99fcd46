//! One generated customer: which activity comes next, and when.
//!
//! A customer follows a plan, a list of activities with pauses before them. At the end of a plan, the behavior of the
//! customer determines the next plan: an order soon, an order after months without activity, or no further activity.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::lifecycle::time::Timestamp;

use super::own_types::OwnTypes;
use super::touchpoint::{Activity, CAMPAIGNS, PRODUCTS};

/// The behavior pattern of a customer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Behavior {
    /// Views products, never orders.
    Visitor,
    /// Orders once or twice.
    Occasional,
    /// Orders every few weeks.
    Regular,
    /// Orders every few weeks and recommends the shop.
    Enthusiast,
    /// Orders, is inactive for months, orders again.
    Lapsing,
    /// Orders and gives bad feedback.
    Disappointed,
}

/// A generated customer.
#[derive(Debug)]
pub(super) struct Customer {
    pub(super) id: String,
    behavior: Behavior,
    orders: u32,
    is_partner: bool,
    /// Planned activities, each with the days since the previous one.
    plan: VecDeque<(f64, Activity)>,
}

/// An activity, and the days until the next one; `None` if it is the last.
pub(super) struct Step {
    pub(super) activity: Activity,
    pub(super) pause_days: Option<f64>,
}

impl Customer {
    pub(super) fn new(id: String, rng: &mut Rng) -> Self {
        let behavior = match rng.u32(0..100) {
            0..25 => Behavior::Visitor,
            25..45 => Behavior::Occasional,
            45..62 => Behavior::Regular,
            62..72 => Behavior::Enthusiast,
            72..92 => Behavior::Lapsing,
            _ => Behavior::Disappointed,
        };
        let mut customer = Self { id, behavior, orders: 0, is_partner: false, plan: VecDeque::new() };
        customer.plan_first_visits(rng);
        customer
    }

    /// Removes the next activity from the plan and extends the plan at its end.
    pub(super) fn step(&mut self, now: Timestamp, rng: &mut Rng, own_types: &OwnTypes) -> Step {
        let (_, activity) = self.plan.pop_front().unwrap_or_else(|| (0.0, Activity::of("page_viewed")));
        if self.plan.is_empty() {
            self.plan_next(rng);
        }
        if !own_types.is_empty() && rng.bool() {
            self.plan_own_type(now, rng, own_types);
        }
        Step { activity, pause_days: self.plan.front().map(|&(days, _)| days) }
    }

    /// Plans a touchpoint of one of `own_types` before the next activity, which keeps its time.
    fn plan_own_type(&mut self, now: Timestamp, rng: &mut Rng, own_types: &OwnTypes) {
        let Some((days, _)) = self.plan.front_mut() else { return };
        let pause = *days * rng.f64();
        *days -= pause;
        self.plan.push_front((pause, own_types.activity(now, rng)));
    }

    fn add(&mut self, days: f64, type_name: &'static str) {
        self.plan.push_back((days, Activity::of(type_name)));
    }

    fn add_with(&mut self, days: f64, type_name: &'static str, property: (&'static str, &'static str)) {
        self.plan.push_back((days, Activity { property: Some(property), ..Activity::of(type_name) }));
    }

    fn uniform(rng: &mut Rng, low: f64, high: f64) -> f64 {
        low + rng.f64() * (high - low)
    }

    fn product(rng: &mut Rng) -> (&'static str, &'static str) {
        ("product", PRODUCTS[rng.usize(0..PRODUCTS.len())])
    }

    fn campaign(rng: &mut Rng) -> (&'static str, &'static str) {
        ("campaign", CAMPAIGNS[rng.usize(0..CAMPAIGNS.len())])
    }

    /// Plans the activities from the first ad impression to the first order; visitors stop before an order.
    fn plan_first_visits(&mut self, rng: &mut Rng) {
        let campaign = Self::campaign(rng);
        for _ in 0..rng.u32(1..4) {
            self.add_with(Self::uniform(rng, 0.1, 2.0), "ad_impression", campaign);
        }
        if rng.bool() {
            self.add_with(Self::uniform(rng, 0.01, 1.0), "ad_clicked", campaign);
        } else {
            self.add(Self::uniform(rng, 0.01, 1.0), "referral_visited");
        }
        if rng.u32(0..3) == 0 {
            // Views content for some days before the first product.
            let engagement = ["content_viewed", "social_followed", "community_joined"];
            self.add(Self::uniform(rng, 0.01, 0.5), engagement[rng.usize(0..engagement.len())]);
            self.add(Self::uniform(rng, 0.5, 4.0), "email_opened");
        }
        for _ in 0..rng.u32(1..4) {
            self.add_with(Self::uniform(rng, 0.001, 0.02), "product_viewed", Self::product(rng));
        }
        if rng.u32(0..3) == 0 {
            self.add(Self::uniform(rng, 0.01, 0.1), "newsletter_subscribed");
        }
        if self.behavior == Behavior::Visitor {
            if rng.u32(0..4) == 0 {
                // Abandons the checkout.
                self.add_with(Self::uniform(rng, 0.01, 3.0), "cart_item_added", Self::product(rng));
                self.add(0.004, "checkout_started");
            }
            return;
        }
        self.add(Self::uniform(rng, 0.5, 6.0), "product_compared");
        self.add(0.01, "signed_up");
        if rng.u32(0..3) == 0 {
            self.abandon_cart(rng);
        }
        self.plan_order(rng, 0.1);
    }

    /// Plans an abandoned cart, and the click on an e-mail days later.
    fn abandon_cart(&mut self, rng: &mut Rng) {
        self.add_with(0.02, "cart_item_added", Self::product(rng));
        self.add(0.01, "checkout_started");
        self.add_with(Self::uniform(rng, 2.0, 9.0), "email_clicked", Self::campaign(rng));
    }

    /// Plans an order with delivery, refund and feedback, `days` after the previous activity.
    fn plan_order(&mut self, rng: &mut Rng, days: f64) {
        self.orders += 1;
        let order_id = format!("{}-{}", self.id, self.orders);
        // The product of three random numbers: most amounts are small, a few are large.
        let cents = 800 + rng.u32(0..40) * rng.u32(0..40) * rng.u32(1..12);
        let product = Self::product(rng);
        let of_order =
            |type_name, cents| Activity { order_id: Some(order_id.clone()), cents, ..Activity::of(type_name) };
        self.add_with(days, "product_viewed", product);
        self.add_with(Self::uniform(rng, 0.002, 0.05), "cart_item_added", product);
        self.add(0.005, "checkout_started");
        self.plan.push_back((0.01, of_order("order_completed", Some(cents))));
        match rng.u32(0..100) {
            0..2 => {
                self.plan.push_back((Self::uniform(rng, 0.05, 0.9), of_order("order_cancelled", None)));
                return;
            }
            2..5 => {
                self.add(Self::uniform(rng, 1.0, 4.0), "order_delivered");
                self.plan.push_back((Self::uniform(rng, 1.0, 6.0), of_order("order_refunded", Some(cents))));
                return;
            }
            // A partial refund.
            5..7 => {
                self.add(Self::uniform(rng, 1.0, 4.0), "order_delivered");
                self.plan.push_back((Self::uniform(rng, 1.0, 4.0), of_order("order_refunded", Some(cents / 3))));
            }
            _ => self.add(Self::uniform(rng, 1.0, 4.0), "order_delivered"),
        }
        self.add_with(Self::uniform(rng, 0.2, 3.0), "product_used", product);
        self.plan_feedback(rng);
        self.plan_engagement(rng);
    }

    /// Plans feedback about the order.
    fn plan_feedback(&mut self, rng: &mut Rng) {
        let score = match self.behavior {
            Behavior::Disappointed => rng.u8(0..6),
            Behavior::Enthusiast => rng.u8(9..11),
            Behavior::Regular => rng.u8(7..11),
            Behavior::Visitor | Behavior::Occasional | Behavior::Lapsing => rng.u8(5..10),
        };
        if rng.u32(0..10) < 4 || self.behavior == Behavior::Disappointed {
            let feedback = Activity { nps: Some(score), ..Activity::of("feedback_given") };
            self.plan.push_back((Self::uniform(rng, 0.5, 5.0), feedback));
        }
    }

    /// Plans a recommendation, an enrolment or a complaint.
    fn plan_engagement(&mut self, rng: &mut Rng) {
        match self.behavior {
            Behavior::Enthusiast => {
                let recommendations = ["referral_shared", "positive_review_published", "product_shared", "ugc_posted"];
                self.add(Self::uniform(rng, 0.5, 8.0), recommendations[rng.usize(0..recommendations.len())]);
                if self.orders == 3 && rng.u32(0..3) == 0 {
                    self.is_partner = true;
                    self.add_with(Self::uniform(rng, 1.0, 10.0), "partner_joined", ("program", "affiliate"));
                }
            }
            Behavior::Regular if self.orders == 2 => self.add(Self::uniform(rng, 0.1, 5.0), "loyalty_enrolled"),
            Behavior::Disappointed => self.add(Self::uniform(rng, 0.1, 3.0), "support_ticket_opened"),
            _ => {}
        }
    }

    /// Extends the plan at its end, or leaves it empty: the customer becomes inactive.
    fn plan_next(&mut self, rng: &mut Rng) {
        let chance = rng.u32(0..100);
        match self.behavior {
            Behavior::Occasional if self.orders < 2 && chance < 60 => {
                let days = Self::uniform(rng, 30.0, 120.0);
                self.plan_order(rng, days);
            }
            Behavior::Regular if chance < 96 => {
                let days = Self::uniform(rng, 12.0, 55.0);
                if chance < 12 {
                    self.add_with(days, "product_viewed", Self::product(rng));
                    self.abandon_cart(rng);
                }
                self.plan_order(rng, days);
            }
            // Becomes a lapsing customer.
            Behavior::Regular => {
                self.behavior = Behavior::Lapsing;
                self.add_with(Self::uniform(rng, 95.0, 170.0), "email_opened", Self::campaign(rng));
            }
            Behavior::Enthusiast if chance < 95 => {
                let days = Self::uniform(rng, 8.0, 40.0);
                self.plan_order(rng, days);
            }
            Behavior::Enthusiast => {
                self.behavior = Behavior::Lapsing;
                if std::mem::take(&mut self.is_partner) {
                    self.add_with(Self::uniform(rng, 5.0, 30.0), "partner_left", ("program", "affiliate"));
                }
                self.add(Self::uniform(rng, 20.0, 60.0), "app_opened");
            }
            Behavior::Lapsing if chance < 75 => {
                // Later than the 90 days after which the retention model reports a churn risk, and often earlier than
                // the 180 days of churn.
                self.add_with(Self::uniform(rng, 91.0, 200.0), "email_clicked", Self::campaign(rng));
                self.plan_order(rng, 0.5);
            }
            Behavior::Disappointed if chance < 30 => {
                self.add(Self::uniform(rng, 5.0, 30.0), "account_deleted");
                self.behavior = Behavior::Visitor;
            }
            Behavior::Disappointed if chance < 60 => {
                self.add(Self::uniform(rng, 3.0, 15.0), "support_ticket_resolved");
                self.behavior = Behavior::Regular;
                let satisfied = Activity { nps: Some(rng.u8(9..11)), ..Activity::of("feedback_given") };
                self.plan.push_back((1.0, satisfied));
            }
            // No further activity.
            Behavior::Visitor | Behavior::Occasional | Behavior::Lapsing | Behavior::Disappointed => {}
        }
    }
}
