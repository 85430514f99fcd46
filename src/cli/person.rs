//! The ids of one customer, as `lifecycle explain` finds them by reading all touchpoints.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::lifecycle::identity::Identity;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::Touchpoint;
use crate::partition::{Partition, RefusedLink};

/// The ids of a customer at the end of its touchpoints.
pub(super) struct Person {
    /// The id of the customer, then those whose facts moved to it.
    pub(super) ids: Vec<Arc<str>>,
    /// The ids whose touchpoints the customer depends on: also those of a customer that one of them was split from.
    identities: HashMap<Arc<str>, Identity>,
    /// The links and splits of these ids that were refused, by event id.
    refused: HashMap<Arc<str>, RefusedLink>,
}

impl Person {
    /// Returns a customer with one id.
    pub(super) fn with_one_id(customer: &str) -> Self {
        let id: Arc<str> = customer.into();
        let identities = HashMap::from([(Arc::clone(&id), Identity::default())]);
        Self { ids: vec![id], identities, refused: HashMap::new() }
    }

    /// Finds the customer that `id` belongs to. `refused` are all links that `partition` has refused, and `linked` the
    /// ids that each link or merge names.
    pub(super) fn find(id: &str, partition: &Partition, refused: Vec<RefusedLink>, linked: &[[Arc<str>; 2]]) -> Self {
        let identity = |id: &str| partition.identity(id).unwrap_or_default();
        let canonical: Arc<str> = identity(id).stub.map_or_else(|| id.into(), |stub| stub.into);
        let mut ids = identity(&canonical).moved_ids(&canonical);
        ids.insert(0, canonical);
        // All ids that links connect, whatever became of them: an erasure leaves no trace in the identities.
        let mut others: HashMap<&str, Vec<&Arc<str>>> = HashMap::new();
        for [one, other] in linked {
            others.entry(one).or_default().push(other);
            others.entry(other).or_default().push(one);
        }
        let mut identities = HashMap::new();
        let mut pending = vec![Arc::clone(&ids[0])];
        while let Some(id) = pending.pop() {
            if let Entry::Vacant(entry) = identities.entry(id) {
                pending.extend(others.get(&**entry.key()).into_iter().flatten().map(|&id| Arc::clone(id)));
                let identity = identity(entry.key());
                entry.insert(identity);
            }
        }
        let refused = refused.into_iter().filter(|it| identities.contains_key(&it.customer_id));
        let refused = refused.map(|it| (Arc::clone(&it.link.event_id), it)).collect();
        Self { ids, identities, refused }
    }

    /// Whether the customer depends on the touchpoints of `id`.
    pub(super) fn is_known(&self, id: &str) -> bool {
        self.identities.contains_key(id)
    }

    /// Whether `id` is one of the customer at this time. A visitor that several customers claim, and an id that was
    /// split, are independent again.
    pub(super) fn has(&self, id: &str, at: Timestamp) -> bool {
        let customer = &self.ids[0];
        let Some(identity) = self.identities.get(id) else { return false };
        let is_alias = || match &identity.former {
            Some(former) if at < former.until => former.into == *customer,
            Some(_) => identity.stub.as_ref().is_some_and(|stub| stub.into == *customer),
            None => self.ids.iter().any(|known| **known == *id),
        };
        **customer == *id || is_alias()
    }

    /// Whether the touchpoint has split an id from the customer.
    pub(super) fn is_split(&self, touchpoint: &Touchpoint<'_>) -> bool {
        let identity = self.identities.get(touchpoint.customer_id);
        let former = identity.and_then(|it| it.former.as_ref()).filter(|former| former.into == self.ids[0]);
        let split = former.and_then(|former| former.split).filter(|_| touchpoint.is_split());
        split.is_some_and(|split| split.at == touchpoint.occurred_at)
    }

    /// Returns the customer that the facts of the id moved to before it became independent again.
    pub(super) fn former_customer(&self) -> Option<&Arc<str>> {
        self.identities.get(&self.ids[0])?.former.as_ref().map(|former| &former.into)
    }

    /// Returns the refused link that a touchpoint names.
    pub(super) fn refused_link(&self, event_id: &str) -> Option<&RefusedLink> {
        self.refused.get(event_id)
    }
}
