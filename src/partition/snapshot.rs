//! A customer as committed, apart from its partition: it can be read, and sent ahead in time, on another thread.
//!
//! A copy of the committed record and nothing else, so that taking one costs the partition's owner a look-up and a copy. What it
//! is asked afterwards changes nothing anywhere.

use std::sync::Arc;

use crate::lifecycle::customer::{Customer, Rules};
use crate::lifecycle::id::StableId;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::Transition;

use super::customers::read_own;
use super::record::Shape;
use super::view::{CustomerView, WhyView};

/// A customer as committed.
#[derive(Clone, Debug)]
pub struct Snapshot {
    record: Box<[u8]>,
    rules: Rules,
    shape: Arc<Shape>,
    added: Box<[(StableId, Timestamp)]>,
}

/// What is published of a customer that stays silent.
#[derive(Clone, PartialEq, Debug)]
pub struct Forecast {
    /// In the order of publication. The record's own words, ids and numbers included.
    pub transitions: Vec<Transition>,
    /// The wake-up that was not looked at any more; `None` when time alone changes nothing after the last one.
    pub cut_at: Option<Timestamp>,
}

impl Snapshot {
    pub(super) fn new(record: &[u8], rules: &Rules, shape: &Arc<Shape>, added: &[(StableId, Timestamp)]) -> Self {
        Self { record: record.into(), rules: rules.clone(), shape: Arc::clone(shape), added: added.into() }
    }

    /// The customer with facts by name.
    #[must_use]
    pub fn view(&self) -> CustomerView {
        CustomerView::of(&self.customer(), &self.rules, &self.added)
    }

    /// Why the customer stands where it does: by model, in the order of the configuration.
    #[must_use]
    pub fn why(&self) -> Vec<WhyView> {
        WhyView::of(&self.customer(), &self.rules.models)
    }

    /// What is published up to `until` if the customer stays silent: its wake-ups, `wake_ups_max` at most, worked off as its
    /// partition would.
    #[must_use]
    pub fn forecast(&self, until: Timestamp, wake_ups_max: usize) -> Forecast {
        let mut customer = self.customer();
        let mut transitions = Vec::new();
        for _ in 0..wake_ups_max {
            if !customer.wake(&self.rules, until, &mut transitions) {
                break;
            }
        }
        transitions.retain(|transition| !transition.is_muted);
        // Whoever is forgotten first is not woken any more.
        let forgotten_at = customer.forgotten_at(&self.rules.options);
        let cut_at = customer.wake_up.filter(|&due| forgotten_at.is_none_or(|end| due < end));
        Forecast { transitions, cut_at }
    }

    fn customer(&self) -> Customer {
        let mut customer = Customer::new(Arc::from(""), Timestamp::MIN, &self.rules.models);
        read_own(&self.record, &self.rules, &self.shape, &mut customer);
        customer
    }
}
