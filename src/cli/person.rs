//! The ids of one customer, as `lifecycle explain` finds them by reading all touchpoints.

use std::collections::HashMap;
use std::sync::Arc;

use crate::lifecycle::identity::Former;
use crate::lifecycle::time::Timestamp;
use crate::partition::{Partition, RefusedLink};

/// The ids of a customer at the end of its touchpoints.
pub(super) struct Person {
    /// The id of the customer, then those whose facts moved to it.
    pub(super) ids: Vec<Arc<str>>,
    /// The customers that some of the ids belonged to, until when.
    former: HashMap<Arc<str>, Former>,
    /// The links of the customer that were refused, by event id.
    refused: HashMap<Arc<str>, RefusedLink>,
}

impl Person {
    /// Returns a customer with one id.
    pub(super) fn with_one_id(customer: &str) -> Self {
        Self { ids: vec![customer.into()], former: HashMap::new(), refused: HashMap::new() }
    }

    /// Finds the customer that `id` belongs to. `refused` are all links that `partition` has refused.
    pub(super) fn find(id: &str, partition: &Partition, refused: Vec<RefusedLink>) -> Self {
        let identity = |id: &str| partition.identity(id).unwrap_or_default();
        let canonical: Arc<str> = identity(id).stub.map_or_else(|| id.into(), |stub| stub.into);
        let mut ids = identity(&canonical).moved_ids(&canonical);
        ids.insert(0, canonical);
        let former = |id: &Arc<str>| {
            let identity = identity(id);
            identity.former.filter(|_| identity.stub.is_none()).map(|former| (Arc::clone(id), former))
        };
        let refused = refused.into_iter().filter(|it| ids.contains(&it.customer_id));
        let refused = refused.map(|it| (Arc::clone(&it.link.event_id), it)).collect();
        Self { former: ids.iter().filter_map(former).collect(), refused, ids }
    }

    /// Whether `id` is, or was, one of the customer.
    pub(super) fn is_known(&self, id: &str) -> bool {
        self.ids.iter().any(|known| **known == *id)
    }

    /// Whether `id` is one of the customer at this time. A visitor that several customers claim is independent again.
    pub(super) fn has(&self, id: &str, at: Timestamp) -> bool {
        let is_alias = || self.former.get(id).is_none_or(|former| at < former.until);
        *self.ids[0] == *id || self.is_known(id) && is_alias()
    }

    /// Returns the customer that the facts of the visitor moved to before it became independent again.
    pub(super) fn former_customer(&self) -> Option<&Arc<str>> {
        self.former.get(&self.ids[0]).map(|former| &former.into)
    }

    /// Returns the refused link that a touchpoint names.
    pub(super) fn refused_link(&self, event_id: &str) -> Option<&RefusedLink> {
        self.refused.get(event_id)
    }
}
