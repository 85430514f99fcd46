//! Determines whose touchpoint a record is: that of a customer or, with identity resolution, of a visitor.

use crate::lifecycle::identity::BlockedIds;
use crate::partition::DeadLetterReason;

use super::touchpoint_json::{DeadLetterCause, missing};

/// The ids in a record; never empty.
pub(super) struct Ids<'a> {
    pub(super) customer_id: Option<&'a str>,
    pub(super) anonymous_id: Option<&'a str>,
    /// Whether the type of the record requires both.
    pub(super) is_link: bool,
}

/// Whose touchpoint it is.
pub(super) struct ResolvedIds<'a> {
    pub(super) customer_id: &'a str,
    /// The visitor named beside the customer.
    pub(super) anonymous_id: Option<&'a str>,
    /// Whether `customer_id` is that of a visitor.
    pub(super) is_visitor: bool,
}

impl<'a> Ids<'a> {
    /// Returns the customer, without identity resolution. `record` is the text of the record.
    pub(super) fn without_identity(self, record: &str) -> Result<ResolvedIds<'a>, DeadLetterCause> {
        match self.customer_id {
            Some(customer_id) => Ok(ResolvedIds { customer_id, anonymous_id: None, is_visitor: false }),
            None if self.anonymous_id.is_some() => {
                let detail = "customer_id is missing; the anonymous_id counts only with identity resolution (identity.enabled, \
                              --identity)";
                Err(DeadLetterCause::new(DeadLetterReason::NoCustomer, detail))
            }
            None => Err(missing(DeadLetterReason::NoCustomer, "customer_id", record)),
        }
    }

    /// Returns the customer or the visitor. Ids in `blocked` count as absent.
    pub(super) fn resolve(self, blocked: &BlockedIds, record: &str) -> Result<ResolvedIds<'a>, DeadLetterCause> {
        if self.is_link && (self.customer_id.is_none() || self.anonymous_id.is_none()) {
            let detail = "customer_identified: expected customer_id and anonymous_id, found at most one of them";
            return Err(DeadLetterCause::new(DeadLetterReason::BadField, detail));
        }
        let allowed = |id: &&str| !blocked.contains(id);
        match (self.customer_id.filter(allowed), self.anonymous_id.filter(allowed)) {
            (Some(customer_id), anonymous_id) => {
                let anonymous_id = anonymous_id.filter(|id| *id != customer_id);
                Ok(ResolvedIds { customer_id, anonymous_id, is_visitor: false })
            }
            (None, Some(visitor)) => Ok(ResolvedIds { customer_id: visitor, anonymous_id: None, is_visitor: true }),
            (None, None) if self.customer_id.or(self.anonymous_id).is_some() => {
                let detail = "customer_id and anonymous_id are missing or blocked ids, such as 0 or null";
                Err(DeadLetterCause::new(DeadLetterReason::NoCustomer, detail))
            }
            (None, None) => Err(missing(DeadLetterReason::NoCustomer, "customer_id", record)),
        }
    }
}
