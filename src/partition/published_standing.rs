//! What is published of a customer in all models: the state that consumers keep, one record per customer.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::lifecycle::customer::Customer;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::OrdersSummary;

use super::effects::Effects;
use super::machine::Partition;
use super::view::ModelView;

/// What is published of a customer in all models.
#[derive(Clone, PartialEq, Debug)]
pub struct PublishedStanding {
    /// The customer's clock: the time of the latest touchpoint or wake-up.
    pub clock: Timestamp,
    /// Aggregates over the valid orders.
    pub orders: OrdersSummary,
    /// One per model, in the order of the configuration.
    pub models: Vec<ModelView>,
}

impl PublishedStanding {
    /// Returns `None` if nothing was published of the customer.
    fn of(customer: &Customer) -> Option<Self> {
        customer.published.iter().any(|published| published.sequence > 0).then(|| Self {
            clock: customer.clock,
            orders: customer.facts.orders_summary(),
            models: customer.published.iter().map(ModelView::of).collect(),
        })
    }
}

impl Partition {
    /// Returns the customers whose published standing the open batch changes, in order of id, then those that a sweep
    /// writes again. The standing is `None` for a customer that is removed, or of which nothing is published. Call it
    /// after `write_batches`.
    #[must_use]
    pub fn published_standings(&self, effects: &Effects) -> Vec<(Arc<str>, Option<PublishedStanding>)> {
        let published = effects.transitions.iter().map(|transition| &transition.customer_id);
        let changed: BTreeSet<&Arc<str>> = published.chain(&effects.removed).collect();
        let mut standings: Vec<_> = changed
            .into_iter()
            .map(|id| (Arc::clone(id), self.customers.staged(id).and_then(PublishedStanding::of)))
            .collect();
        for &slot in self.swept_slots() {
            let customer = self.customers.committed(slot, &self.rules, &self.shape);
            if let Some(customer) = customer
                && let Some(standing) = PublishedStanding::of(&customer)
            {
                standings.push((customer.id, Some(standing)));
            }
        }
        standings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::touchpoint::FactOptions;
    use crate::partition::Input;
    use crate::wire::model_file;
    use crate::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

    fn apply(partition: &mut Partition, effects: &mut Effects, id: &str, type_name: &str) {
        let models = partition.models();
        let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1_000 });
        let text = format!(
            r#"{{"event_id":"{type_name}","customer_id":"{id}","type":"{type_name}","occurred_at":"2026-01-01T00:00:00Z"}}"#
        );
        let mut scratch = Scratch::default();
        let touchpoint = decoder.decode(text.as_bytes(), &mut scratch).expect("a touchpoint");
        partition.apply(Input::Touchpoint(&touchpoint), effects);
    }

    fn partition() -> Partition {
        let model = model_file::shipped("retention").expect("a shipped model");
        let loaded = model_file::load(&[model], &model_file::shipped_catalogue(), &[]).expect("a valid model");
        Partition::new(Arc::new(loaded.0), FactOptions::default())
    }

    /// Returns the customers of the open batch, with whether they have a standing, and commits the batch.
    fn commit(partition: &mut Partition, effects: &Effects) -> Vec<(String, bool)> {
        partition.write_batches(1 << 20);
        let standings = partition.published_standings(effects);
        partition.commit();
        standings.into_iter().map(|(id, standing)| (id.to_string(), standing.is_some())).collect()
    }

    #[test]
    fn a_batch_has_the_customers_that_it_moves_and_removes() {
        let mut partition = partition();
        let mut effects = Effects::default();
        for id in ["b", "a"] {
            apply(&mut partition, &mut effects, id, "order_completed");
        }
        assert_eq!(commit(&mut partition, &effects), [("a".to_owned(), true), ("b".to_owned(), true)]);

        let mut effects = Effects::default();
        apply(&mut partition, &mut effects, "a", "customer_erased");
        apply(&mut partition, &mut effects, "b", "unknown_type");
        assert_eq!(commit(&mut partition, &effects), [("a".to_owned(), false)], "b has not moved");

        let mut effects = Effects::default();
        apply(&mut partition, &mut effects, "b", "customer_erased");
        apply(&mut partition, &mut effects, "b", "order_completed");
        assert_eq!(commit(&mut partition, &effects), [("b".to_owned(), true)], "b is a new customer");
    }

    #[test]
    fn a_sweep_has_all_customers_of_which_something_is_published() {
        let mut partition = partition();
        let mut effects = Effects::default();
        for (id, type_name) in [("a", "order_completed"), ("b", "order_completed"), ("c", "unknown_type")] {
            apply(&mut partition, &mut effects, id, type_name);
        }
        commit(&mut partition, &effects);
        partition.begin_sweep();
        let swept = commit(&mut partition, &Effects::default());
        assert_eq!(swept, [("a".to_owned(), true), ("b".to_owned(), true)]);
        assert!(!partition.is_sweeping());
        assert_eq!(commit(&mut partition, &Effects::default()), []);
    }
}
