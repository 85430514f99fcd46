//! A refused link as JSON, for the HTTP API and the output of commands.

use schemars::JsonSchema;
use serde::Serialize;

use super::transition_value::Instant;
use crate::partition::RefusedLink;

/// A link that identity resolution refused.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RefusedLink")]
pub struct RefusedLinkRecord<'a> {
    /// Why: `blocked_id`, `customer_id`, `merged_id`, `shared_id`, `new_ids_max`, `merged_ids_max`, `not_merged`,
    /// `split_before` or `split_later`.
    reason: &'static str,
    /// The customer of the touchpoint; the visitor, if its customer id is blocked.
    customer_id: &'a str,
    /// The id that the touchpoint links or merges; for a split, the customer to split it from, if there is one.
    other_id: &'a str,
    /// The touchpoint that names both.
    event_id: &'a str,
    /// Its type.
    r#type: &'a str,
    /// Its time.
    occurred_at: Instant,
}

impl<'a> RefusedLinkRecord<'a> {
    /// Returns the record of `refused`.
    #[must_use]
    pub fn of(refused: &'a RefusedLink) -> Self {
        Self {
            reason: refused.reason.as_str(),
            customer_id: &refused.customer_id,
            other_id: &refused.other_id,
            event_id: &refused.link.event_id,
            r#type: &refused.link.type_name,
            occurred_at: Instant(refused.link.occurred_at),
        }
    }
}
