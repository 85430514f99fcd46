//! The touchpoint that a mapping makes of a record, and its JSON.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::lifecycle::money::{Amount, Currency};
use crate::lifecycle::time::Timestamp;
use crate::wire::transition_value::{Decimal, Instant};

/// A touchpoint of a mapped record.
#[derive(Clone, PartialEq, Debug)]
pub struct MappedTouchpoint {
    /// As in [`Touchpoint`](crate::lifecycle::touchpoint::Touchpoint).
    pub event_id: String,
    /// The customer; `None` if only the visitor is known.
    pub customer_id: Option<String>,
    /// The visitor, with identity resolution. At least one of both ids is known.
    pub anonymous_id: Option<String>,
    /// The id that a `customer_merged` merges into the customer, with identity resolution.
    pub merged_id: Option<String>,
    /// The name of the type.
    pub type_name: String,
    /// Event time.
    pub occurred_at: Timestamp,
    /// The order that it completes, cancels or refunds.
    pub order_id: Option<String>,
    /// An amount in `currency`.
    pub amount: Option<Amount>,
    /// The currency of `amount`.
    pub currency: Option<Currency>,
    /// All other data, without nulls.
    pub properties: Map<String, Value>,
}

impl MappedTouchpoint {
    /// Returns the touchpoint as JSON, in the form of `docs/contracts.md`.
    ///
    /// # Panics
    /// Never, since it consists of texts and JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(TouchpointRecord::of(self)).expect("texts and JSON")
    }

    /// Appends the touchpoint as one line of JSON, without a line end.
    ///
    /// # Panics
    /// Never, since writing to memory cannot fail.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, &TouchpointRecord::of(self)).expect("writing to memory cannot fail");
    }
}

/// A touchpoint as it is written: its members in alphabetical order, absent ones left out.
#[derive(Serialize)]
struct TouchpointRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_id: Option<&'a str>,
    event_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    merged_id: Option<&'a str>,
    occurred_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    properties: &'a Map<String, Value>,
    #[serde(rename = "type")]
    type_name: &'a str,
}

impl<'a> TouchpointRecord<'a> {
    fn of(touchpoint: &'a MappedTouchpoint) -> Self {
        Self {
            amount: touchpoint.amount.map(Decimal),
            anonymous_id: touchpoint.anonymous_id.as_deref(),
            currency: touchpoint.currency.as_ref().map(Currency::as_str),
            customer_id: touchpoint.customer_id.as_deref(),
            event_id: &touchpoint.event_id,
            merged_id: touchpoint.merged_id.as_deref(),
            occurred_at: Instant(touchpoint.occurred_at),
            order_id: touchpoint.order_id.as_deref(),
            properties: &touchpoint.properties,
            type_name: &touchpoint.type_name,
        }
    }
}
