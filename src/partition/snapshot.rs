//! A snapshot of one committed customer, which another thread can read and use for a forecast.
//!
//! It holds a copy of the encoded record, so taking one costs the worker only a lookup and a copy. Decoding and
//! forecasting happen on the thread of the caller and do not affect the partition.

use std::sync::Arc;

use crate::lifecycle::customer::{Customer, Rules};
use crate::lifecycle::id::StableId;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::Transition;

use super::customers::read_trusted;
use super::record::Shape;
use super::view::{CustomerView, ExplanationView};

/// A copy of one committed customer.
#[derive(Clone, Debug)]
pub struct Snapshot {
    record: Box<[u8]>,
    rules: Rules,
    shape: Arc<Shape>,
    added: Box<[(StableId, Timestamp)]>,
}

/// The transitions of a customer under the assumption that no touchpoint arrives.
#[derive(Clone, PartialEq, Debug)]
pub struct Forecast {
    /// In the order of publication, with the ids and sequence numbers that they will have.
    pub transitions: Vec<Transition>,
    /// The first wake-up that the forecast does not include; `None` if time alone changes nothing after the last
    /// transition.
    pub cut_at: Option<Timestamp>,
}

impl Snapshot {
    pub(super) fn new(record: &[u8], rules: &Rules, shape: &Arc<Shape>, added: &[(StableId, Timestamp)]) -> Self {
        Self { record: record.into(), rules: rules.clone(), shape: Arc::clone(shape), added: added.into() }
    }

    /// Returns the customer with its facts by name.
    #[must_use]
    pub fn view(&self) -> CustomerView {
        CustomerView::of(&self.customer(), &self.rules, &self.added)
    }

    /// Returns the ids whose facts moved to the customer.
    #[must_use]
    pub fn aliases(&self) -> Vec<Arc<str>> {
        let customer = self.customer();
        customer.identity.map(|identity| identity.moved_ids(&customer.id)).unwrap_or_default()
    }

    /// Explains the customer's stage and signals in each model, in the order of the configuration.
    #[must_use]
    pub fn explanations(&self) -> Vec<ExplanationView> {
        ExplanationView::of(&self.customer(), &self.rules.models)
    }

    /// Forecasts the transitions up to `until` if no touchpoint arrives: fires at most `wake_ups_max` wake-ups of the
    /// customer, as its partition would.
    #[must_use]
    pub fn forecast(&self, until: Timestamp, wake_ups_max: usize) -> Forecast {
        let mut customer = self.customer();
        let mut transitions = Vec::new();
        for _ in 0..wake_ups_max {
            if !customer.wake(&self.rules, until, &mut transitions) {
                break;
            }
        }
        // A customer that is forgotten before its next wake-up does not wake.
        let forgotten_at = customer.forgotten_at(&self.rules.options);
        let cut_at = customer.wake_up.filter(|&due| forgotten_at.is_none_or(|end| due < end));
        Forecast { transitions, cut_at }
    }

    fn customer(&self) -> Customer {
        let mut customer = Customer::new(Arc::from(""), Timestamp::MIN, &self.rules.models);
        read_trusted(&self.record, &self.rules, &self.shape, &mut customer);
        customer
    }
}
