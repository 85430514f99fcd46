//! One generated customer: what they do next, and after how long.
//!
//! A customer follows a list of acts with pauses between them. When the list is done, temper decides what the next
//! one is: another order soon, another order after a long silence, or nothing any more.

use std::collections::VecDeque;

use fastrand::Rng;

use super::touchpoint::{Act, CAMPAIGNS, PRODUCTS};

/// How a customer treats the shop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Temper {
    /// Looks around and leaves.
    Visitor,
    /// Orders once or twice.
    Occasional,
    /// Orders every few weeks.
    Regular,
    /// Orders every few weeks and tells others.
    Enthusiast,
    /// Orders, vanishes for months, comes back.
    Lapsing,
    /// Is let down, and says so.
    Disappointed,
}

/// A generated customer.
#[derive(Debug)]
pub(super) struct Customer {
    pub(super) id: String,
    temper: Temper,
    orders: u32,
    is_partner: bool,
    /// What is to be done, each with the days before it.
    plan: VecDeque<(f64, Act)>,
}

/// What a customer does, and after how many days the next act follows; `None` when there is none.
pub(super) struct Step {
    pub(super) act: Act,
    pub(super) pause_days: Option<f64>,
}

impl Customer {
    pub(super) fn new(index: u64, rng: &mut Rng) -> Self {
        let temper = match rng.u32(0..100) {
            0..25 => Temper::Visitor,
            25..45 => Temper::Occasional,
            45..62 => Temper::Regular,
            62..72 => Temper::Enthusiast,
            72..92 => Temper::Lapsing,
            _ => Temper::Disappointed,
        };
        let id = format!("customer-{index:05}");
        let mut customer = Self { id, temper, orders: 0, is_partner: false, plan: VecDeque::new() };
        customer.discover(rng);
        customer
    }

    /// Does what comes next.
    pub(super) fn step(&mut self, rng: &mut Rng) -> Step {
        let (_, act) = self.plan.pop_front().unwrap_or_else(|| (0.0, Act::of("page_viewed")));
        if self.plan.is_empty() {
            self.decide(rng);
        }
        Step { act, pause_days: self.plan.front().map(|&(days, _)| days) }
    }

    fn then(&mut self, days: f64, type_name: &'static str) {
        self.plan.push_back((days, Act::of(type_name)));
    }

    fn then_about(&mut self, days: f64, type_name: &'static str, about: (&'static str, &'static str)) {
        self.plan.push_back((days, Act { about: Some(about), ..Act::of(type_name) }));
    }

    fn between(rng: &mut Rng, least: f64, most: f64) -> f64 {
        least + rng.f64() * (most - least)
    }

    fn product(rng: &mut Rng) -> (&'static str, &'static str) {
        ("product", PRODUCTS[rng.usize(0..PRODUCTS.len())])
    }

    fn campaign(rng: &mut Rng) -> (&'static str, &'static str) {
        ("campaign", CAMPAIGNS[rng.usize(0..CAMPAIGNS.len())])
    }

    /// The way from a first impression to a first order, or to nothing.
    fn discover(&mut self, rng: &mut Rng) {
        let campaign = Self::campaign(rng);
        for _ in 0..rng.u32(1..4) {
            self.then_about(Self::between(rng, 0.1, 2.0), "ad_impression", campaign);
        }
        if rng.bool() {
            self.then_about(Self::between(rng, 0.01, 1.0), "ad_clicked", campaign);
        } else {
            self.then(Self::between(rng, 0.01, 1.0), "referral_visited");
        }
        if rng.u32(0..3) == 0 {
            // Follows for a while before looking at products.
            let engagement = ["content_viewed", "social_followed", "community_joined"];
            self.then(Self::between(rng, 0.01, 0.5), engagement[rng.usize(0..engagement.len())]);
            self.then(Self::between(rng, 0.5, 4.0), "email_opened");
        }
        for _ in 0..rng.u32(1..4) {
            self.then_about(Self::between(rng, 0.001, 0.02), "product_viewed", Self::product(rng));
        }
        if rng.u32(0..3) == 0 {
            self.then(Self::between(rng, 0.01, 0.1), "newsletter_subscribed");
        }
        if self.temper == Temper::Visitor {
            if rng.u32(0..4) == 0 {
                // Comes as far as the checkout, and no further.
                self.then_about(Self::between(rng, 0.01, 3.0), "cart_item_added", Self::product(rng));
                self.then(0.004, "checkout_started");
            }
            return;
        }
        self.then(Self::between(rng, 0.5, 6.0), "product_compared");
        self.then(0.01, "signed_up");
        if rng.u32(0..3) == 0 {
            self.think_it_over(rng);
        }
        self.order(rng, 0.1);
    }

    /// Leaves a full cart, and is brought back by a letter days later.
    fn think_it_over(&mut self, rng: &mut Rng) {
        self.then_about(0.02, "cart_item_added", Self::product(rng));
        self.then(0.01, "checkout_started");
        self.then_about(Self::between(rng, 2.0, 9.0), "email_clicked", Self::campaign(rng));
    }

    /// An order with what belongs to it, `days` from the act before.
    fn order(&mut self, rng: &mut Rng, days: f64) {
        self.orders += 1;
        let order_id = format!("{}-{}", self.id, self.orders);
        // Most orders are small, a few are large.
        let cents = 800 + rng.u32(0..40) * rng.u32(0..40) * rng.u32(1..12);
        let product = Self::product(rng);
        let of_order = |type_name, cents| Act { order_id: Some(order_id.clone()), cents, ..Act::of(type_name) };
        self.then_about(days, "product_viewed", product);
        self.then_about(Self::between(rng, 0.002, 0.05), "cart_item_added", product);
        self.then(0.005, "checkout_started");
        self.plan.push_back((0.01, of_order("order_completed", Some(cents))));
        match rng.u32(0..100) {
            0..2 => {
                self.plan.push_back((Self::between(rng, 0.05, 0.9), of_order("order_cancelled", None)));
                return;
            }
            2..5 => {
                self.then(Self::between(rng, 1.0, 4.0), "order_delivered");
                self.plan.push_back((Self::between(rng, 1.0, 6.0), of_order("order_refunded", Some(cents))));
                return;
            }
            // One of several things is sent back.
            5..7 => {
                self.then(Self::between(rng, 1.0, 4.0), "order_delivered");
                self.plan.push_back((Self::between(rng, 1.0, 4.0), of_order("order_refunded", Some(cents / 3))));
            }
            _ => self.then(Self::between(rng, 1.0, 4.0), "order_delivered"),
        }
        self.then_about(Self::between(rng, 0.2, 3.0), "product_used", product);
        self.say(rng);
        self.bond(rng);
    }

    /// What the customer says of the order.
    fn say(&mut self, rng: &mut Rng) {
        let score = match self.temper {
            Temper::Disappointed => rng.u8(0..6),
            Temper::Enthusiast => rng.u8(9..11),
            Temper::Regular => rng.u8(7..11),
            Temper::Visitor | Temper::Occasional | Temper::Lapsing => rng.u8(5..10),
        };
        if rng.u32(0..10) < 4 || self.temper == Temper::Disappointed {
            let feedback = Act { nps: Some(score), ..Act::of("feedback_given") };
            self.plan.push_back((Self::between(rng, 0.5, 5.0), feedback));
        }
    }

    /// What the customer does for the shop, or against it.
    fn bond(&mut self, rng: &mut Rng) {
        match self.temper {
            Temper::Enthusiast => {
                let telling = ["referral_shared", "positive_review_published", "product_shared", "ugc_posted"];
                self.then(Self::between(rng, 0.5, 8.0), telling[rng.usize(0..telling.len())]);
                if self.orders == 3 && rng.u32(0..3) == 0 {
                    self.is_partner = true;
                    self.then_about(Self::between(rng, 1.0, 10.0), "partner_joined", ("program", "affiliate"));
                }
            }
            Temper::Regular if self.orders == 2 => self.then(Self::between(rng, 0.1, 5.0), "loyalty_enrolled"),
            Temper::Disappointed => self.then(Self::between(rng, 0.1, 3.0), "support_ticket_opened"),
            _ => {}
        }
    }

    /// What to do when the list is done.
    fn decide(&mut self, rng: &mut Rng) {
        let chance = rng.u32(0..100);
        match self.temper {
            Temper::Occasional if self.orders < 2 && chance < 60 => {
                let days = Self::between(rng, 30.0, 120.0);
                self.order(rng, days);
            }
            Temper::Regular if chance < 96 => {
                let days = Self::between(rng, 12.0, 55.0);
                if chance < 12 {
                    self.then_about(days, "product_viewed", Self::product(rng));
                    self.think_it_over(rng);
                }
                self.order(rng, days);
            }
            // Turns into somebody who comes and goes.
            Temper::Regular => {
                self.temper = Temper::Lapsing;
                self.then_about(Self::between(rng, 95.0, 170.0), "email_opened", Self::campaign(rng));
            }
            Temper::Enthusiast if chance < 95 => {
                let days = Self::between(rng, 8.0, 40.0);
                self.order(rng, days);
            }
            Temper::Enthusiast => {
                self.temper = Temper::Lapsing;
                if std::mem::take(&mut self.is_partner) {
                    self.then_about(Self::between(rng, 5.0, 30.0), "partner_left", ("program", "affiliate"));
                }
                self.then(Self::between(rng, 20.0, 60.0), "app_opened");
            }
            Temper::Lapsing if chance < 75 => {
                // Past the day on which silence becomes a risk, often before it becomes a loss.
                self.then_about(Self::between(rng, 91.0, 200.0), "email_clicked", Self::campaign(rng));
                self.order(rng, 0.5);
            }
            Temper::Disappointed if chance < 30 => {
                self.then(Self::between(rng, 5.0, 30.0), "account_deleted");
                self.temper = Temper::Visitor;
            }
            Temper::Disappointed if chance < 60 => {
                self.then(Self::between(rng, 3.0, 15.0), "support_ticket_resolved");
                self.temper = Temper::Regular;
                let content = Act { nps: Some(rng.u8(9..11)), ..Act::of("feedback_given") };
                self.plan.push_back((1.0, content));
            }
            // Never heard of again.
            Temper::Visitor | Temper::Occasional | Temper::Lapsing | Temper::Disappointed => {}
        }
    }
}
