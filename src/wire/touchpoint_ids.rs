//! Determines whose touchpoint a record is: that of a customer or, with identity resolution, of a visitor.

use crate::lifecycle::identity::BlockedIds;
use crate::lifecycle::touchpoint::Touchpoint;
use crate::partition::DeadLetterReason;

use super::touchpoint_hint;
use super::touchpoint_json::{DeadLetterCause, missing};

/// The ids in a record; never empty.
pub(super) struct Ids<'a> {
    pub(super) customer_id: Option<&'a str>,
    pub(super) anonymous_id: Option<&'a str>,
    pub(super) merged_id: Option<&'a str>,
    pub(super) kind: RecordKind,
}

/// Which ids the type of a record requires.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordKind {
    /// `customer_id` and `anonymous_id`.
    Link,
    /// `customer_id` and `merged_id`.
    Merge,
    /// `customer_id`.
    Split,
    /// One of `customer_id` and `anonymous_id`, also if it is blocked: it may have been allowed before.
    Erasure,
    /// One of `customer_id` and `anonymous_id`.
    Other,
}

impl RecordKind {
    pub(super) fn of(type_name: Option<&str>) -> Self {
        match type_name {
            Some(Touchpoint::IDENTIFIED) => Self::Link,
            Some(Touchpoint::MERGED) => Self::Merge,
            Some(Touchpoint::SPLIT) => Self::Split,
            Some(Touchpoint::ERASED) => Self::Erasure,
            _ => Self::Other,
        }
    }
}

/// Whose touchpoint it is.
pub(super) struct ResolvedIds<'a> {
    pub(super) customer_id: &'a str,
    /// The visitor named beside the customer.
    pub(super) anonymous_id: Option<&'a str>,
    /// The id to merge into the customer.
    pub(super) merged_id: Option<&'a str>,
    /// The blocked id that a link or a merge names.
    pub(super) blocked_id: Option<&'a str>,
    /// Whether `customer_id` is that of a visitor.
    pub(super) is_visitor: bool,
}

impl<'a> Ids<'a> {
    /// Returns the customer, without identity resolution. `record` is the text of the record.
    pub(super) fn without_identity(self, record: &str) -> Result<ResolvedIds<'a>, DeadLetterCause> {
        match self.customer_id {
            Some(customer_id) => {
                let (anonymous_id, merged_id, blocked_id) = (None, None, None);
                Ok(ResolvedIds { customer_id, anonymous_id, merged_id, blocked_id, is_visitor: false })
            }
            // The decoder does not read the field then: it is a property like any other.
            None if touchpoint_hint::has_member(record, "anonymous_id") => {
                let detail = "customer_id is missing; the anonymous_id counts only with identity resolution (identity.enabled, \
                              --identity)";
                Err(DeadLetterCause::new(DeadLetterReason::NoCustomer, detail))
            }
            None => Err(missing(DeadLetterReason::NoCustomer, "customer_id", record)),
        }
    }

    /// Returns the customer or the visitor. Ids in `blocked` count as absent.
    pub(super) fn resolve(self, blocked: &BlockedIds, record: &str) -> Result<ResolvedIds<'a>, DeadLetterCause> {
        let (is_link, is_merge) = (self.kind == RecordKind::Link, self.kind == RecordKind::Merge);
        if is_link && (self.customer_id.is_none() || self.anonymous_id.is_none()) {
            let detail = "customer_identified: expected customer_id and anonymous_id, found at most one of them";
            return Err(DeadLetterCause::new(DeadLetterReason::BadField, detail));
        }
        if is_merge && (self.customer_id.is_none() || self.merged_id.is_none()) {
            let detail = "customer_merged: expected customer_id and merged_id, found at most one of them";
            return Err(DeadLetterCause::new(DeadLetterReason::BadField, detail));
        }
        if self.kind == RecordKind::Split && self.customer_id.is_none() {
            let detail = "customer_split: expected the customer_id that was merged, found none";
            return Err(DeadLetterCause::new(DeadLetterReason::BadField, detail));
        }
        let is_allowed = |id: &&str| !blocked.contains(id);
        // What is known of an id that was blocked later can still be erased and split.
        let must_be_allowed = match self.kind {
            RecordKind::Erasure => {
                self.customer_id.is_some_and(|id| is_allowed(&id))
                    || self.anonymous_id.is_some_and(|id| is_allowed(&id))
            }
            RecordKind::Split => false,
            RecordKind::Link | RecordKind::Merge | RecordKind::Other => true,
        };
        let allowed = |id: &&str| !must_be_allowed || is_allowed(id);
        let named = match self.kind {
            RecordKind::Link => self.anonymous_id,
            RecordKind::Merge => self.merged_id,
            RecordKind::Split | RecordKind::Erasure | RecordKind::Other => None,
        };
        let is_command = matches!(self.kind, RecordKind::Merge | RecordKind::Split);
        let anonymous_id = self.anonymous_id.filter(|id| !is_command && allowed(id));
        match (self.customer_id.filter(allowed), anonymous_id) {
            (Some(customer_id), anonymous_id) => {
                let anonymous_id = anonymous_id.filter(|id| *id != customer_id);
                let merged_id = self.merged_id.filter(|id| is_merge && allowed(id));
                let blocked_id = named.filter(|id| !allowed(id));
                Ok(ResolvedIds { customer_id, anonymous_id, merged_id, blocked_id, is_visitor: false })
            }
            (None, Some(visitor)) => {
                let (anonymous_id, merged_id, blocked_id) = (None, None, self.customer_id.filter(|_| is_link));
                Ok(ResolvedIds { customer_id: visitor, anonymous_id, merged_id, blocked_id, is_visitor: true })
            }
            (None, None) if self.customer_id.or(self.anonymous_id).is_some() => {
                let detail = "customer_id and anonymous_id are missing or blocked ids, such as 0 or null";
                Err(DeadLetterCause::new(DeadLetterReason::NoCustomer, detail))
            }
            (None, None) => Err(missing(DeadLetterReason::NoCustomer, "customer_id", record)),
        }
    }
}
