//! One generated customer: what they do next, and after how long.
//!
//! A customer follows a list of acts with pauses between them. When the list is done, temper decides what the next
//! one is: another order soon, another order after a long silence, or nothing any more.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::lifecycle::time::Duration;

use super::days_of;
use super::touchpoint::Act;

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
    /// What is to be done, each with the days before it.
    plan: VecDeque<(f64, Act)>,
}

/// What a customer does, and how long it takes until the next act; `None` when there is none.
pub(super) struct Step {
    pub(super) act: Act,
    pub(super) pause: Option<Duration>,
}

impl Customer {
    pub(super) fn new(index: usize, rng: &mut Rng) -> Self {
        let temper = match rng.u32(0..100) {
            0..25 => Temper::Visitor,
            25..45 => Temper::Occasional,
            45..62 => Temper::Regular,
            62..72 => Temper::Enthusiast,
            72..92 => Temper::Lapsing,
            _ => Temper::Disappointed,
        };
        let mut customer = Self { id: format!("customer-{index:05}"), temper, orders: 0, plan: VecDeque::new() };
        customer.discover(rng);
        customer
    }

    /// Does what comes next.
    pub(super) fn step(&mut self, rng: &mut Rng) -> Step {
        let (_, act) = self.plan.pop_front().unwrap_or_else(|| (0.0, Act::of("page_viewed")));
        if self.plan.is_empty() {
            self.decide(rng);
        }
        let pause = self.plan.front().map(|&(days, _)| days_of(days.max(0.000_1)));
        Step { act, pause }
    }

    fn then(&mut self, days: f64, type_name: &'static str) {
        self.plan.push_back((days, Act::of(type_name)));
    }

    fn between(rng: &mut Rng, least: f64, most: f64) -> f64 {
        least + rng.f64() * (most - least)
    }

    /// The way from a first impression to a first order, or to nothing.
    fn discover(&mut self, rng: &mut Rng) {
        for _ in 0..rng.u32(1..4) {
            self.then(Self::between(rng, 0.1, 2.0), "ad_impression");
        }
        self.then(Self::between(rng, 0.01, 1.0), if rng.bool() { "ad_clicked" } else { "referral_visited" });
        for _ in 0..rng.u32(1..4) {
            self.then(Self::between(rng, 0.001, 0.02), "product_viewed");
        }
        if rng.u32(0..3) == 0 {
            self.then(Self::between(rng, 0.01, 0.1), "newsletter_subscribed");
        }
        if self.temper == Temper::Visitor {
            return;
        }
        self.then(Self::between(rng, 0.5, 6.0), "product_compared");
        self.then(0.01, "signed_up");
        if rng.u32(0..3) == 0 {
            // Thinks it over.
            self.then(0.02, "cart_item_added");
            self.then(0.01, "checkout_started");
            self.then(Self::between(rng, 2.0, 9.0), "email_clicked");
        }
        self.order(rng, 0.1);
    }

    /// An order with what belongs to it, `days` from the act before.
    fn order(&mut self, rng: &mut Rng, days: f64) {
        self.orders += 1;
        let order_id = format!("{}-{}", self.id, self.orders);
        // Most orders are small, a few are large.
        let cents = 800 + rng.u32(0..40) * rng.u32(0..40) * rng.u32(1..12);
        self.then(days, "product_viewed");
        self.then(Self::between(rng, 0.002, 0.05), "cart_item_added");
        self.then(0.005, "checkout_started");
        let order = Act { order_id: Some(order_id.clone()), cents: Some(cents), ..Act::of("order_completed") };
        self.plan.push_back((0.01, order));
        self.then(Self::between(rng, 1.0, 4.0), "order_delivered");
        if rng.u32(0..100) < 4 {
            let refund = Act { order_id: Some(order_id), cents: Some(cents), ..Act::of("order_refunded") };
            self.plan.push_back((Self::between(rng, 1.0, 6.0), refund));
            return;
        }
        self.then(Self::between(rng, 0.2, 3.0), "product_used");
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
        match self.temper {
            Temper::Enthusiast => {
                let telling = ["referral_shared", "positive_review_published", "product_shared", "ugc_posted"];
                self.then(Self::between(rng, 0.5, 8.0), telling[rng.usize(0..telling.len())]);
                if self.orders == 3 && rng.u32(0..3) == 0 {
                    self.then(Self::between(rng, 1.0, 10.0), "partner_joined");
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
                self.order(rng, days);
            }
            // Turns into somebody who comes and goes.
            Temper::Regular => {
                self.temper = Temper::Lapsing;
                self.then(Self::between(rng, 95.0, 170.0), "email_opened");
            }
            Temper::Enthusiast => {
                let days = Self::between(rng, 8.0, 40.0);
                self.order(rng, days);
            }
            Temper::Lapsing if chance < 75 => {
                // Past the day on which silence becomes a risk, often before it becomes a loss.
                self.then(Self::between(rng, 91.0, 200.0), "email_clicked");
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
