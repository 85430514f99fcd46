//! Touchpoints: validated input events of customers.

use super::id::{PropertyIndex, TypeIndex};
use super::identity::IdentityOptions;
use super::money::{Amount, Currency};
use super::time::{Duration, Timestamp};
use super::value::{Horizon, Inputs, Slot, Value};

/// A validated touchpoint. It borrows from the record that carried it.
#[derive(Clone, Copy, Debug)]
pub struct Touchpoint<'a> {
    /// A unique id, not empty. A second touchpoint of the same customer with this id is a duplicate.
    pub event_id: &'a str,
    /// The customer, not empty; the visitor, if the record has no customer.
    pub customer_id: &'a str,
    /// The visitor named beside the customer; never equal to `customer_id`. `None` without identity resolution.
    pub anonymous_id: Option<&'a str>,
    /// The id that a [`MERGED`](Self::MERGED) merges into the customer. `None` if it is blocked, for other types, and
    /// without identity resolution.
    pub merged_id: Option<&'a str>,
    /// The blocked id that an [`IDENTIFIED`](Self::IDENTIFIED) or a [`MERGED`](Self::MERGED) names. `None` for other
    /// types, and without identity resolution.
    pub blocked_id: Option<&'a str>,
    /// Whether `customer_id` is that of a visitor.
    pub is_visitor: bool,
    /// The type, resolved by the [`Vocabulary`](super::vocabulary::Vocabulary).
    pub kind: TypeIndex,
    /// The type as written in the record.
    pub type_name: &'a str,
    /// Event time.
    pub occurred_at: Timestamp,
    /// The id of the order that it completes, cancels or refunds; never empty.
    pub order_id: Option<&'a str>,
    /// An amount of money in `currency`.
    pub amount: Option<Amount>,
    /// The currency of `amount`; `None` means the configured currency.
    pub currency: Option<Currency>,
    /// The properties that a fact or a group condition reads, each once, in no particular order.
    pub properties: &'a [(PropertyIndex, Value<'a>)],
}

impl<'a> Touchpoint<'a> {
    /// The reserved type of a touchpoint that erases its customer. Models cannot read it.
    pub const ERASED: &'static str = "customer_erased";

    /// The type of a touchpoint that links a visitor to its customer.
    pub const IDENTIFIED: &'static str = "customer_identified";

    /// The type of the command that merges another id into its customer, with identity resolution. It has no facts.
    pub const MERGED: &'static str = "customer_merged";

    /// The type of the command that ends the merge of its customer id, with identity resolution. It has no facts.
    pub const SPLIT: &'static str = "customer_split";

    /// Whether the touchpoint requests the erasure of its customer: the removal of all its state.
    #[must_use]
    pub fn is_erasure(&self) -> bool {
        self.kind == TypeIndex::UNKNOWN && self.type_name == Self::ERASED
    }

    /// Whether it is the command [`MERGED`](Self::MERGED), given identity resolution.
    #[must_use]
    pub fn is_merge(&self) -> bool {
        self.type_name == Self::MERGED
    }

    /// Whether it is the command [`SPLIT`](Self::SPLIT), given identity resolution.
    #[must_use]
    pub fn is_split(&self) -> bool {
        self.type_name == Self::SPLIT
    }

    /// Whether the service gives the type a meaning, so that a catalogue need not have it.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        [Self::ERASED, Self::IDENTIFIED, Self::MERGED, Self::SPLIT].contains(&self.type_name)
    }

    /// Returns the value of `property`; absent if the touchpoint does not have it.
    #[must_use]
    pub fn property(&self, property: PropertyIndex) -> Value<'a> {
        self.properties.iter().find(|(index, _)| *index == property).map_or(Value::Absent, |&(_, value)| value)
    }
}

impl Inputs for Touchpoint<'_> {
    /// Reads a property: the slots of a group condition are property indices. Properties do not change with time.
    fn read(&self, slot: Slot, _now: Timestamp, _horizon: &mut Horizon) -> Value<'_> {
        self.property(PropertyIndex(slot.0))
    }
}

/// How facts are kept: currency, limits and retention. Part of the configuration.
#[derive(Clone, Debug)]
pub struct FactOptions {
    /// The currency of revenue, and of amounts without a currency.
    pub currency: Currency,
    /// The number of orders of a customer that are kept individually. Older orders are folded into counts and sums.
    pub orders_kept_max: usize,
    /// The number of latest `event_id`s of a customer that are kept for deduplication.
    pub duplicates_kept_max: usize,
    /// How far the watermark stays behind stream time (bounded out-of-orderness).
    pub lateness: Duration,
    /// Inactivity after which customers who never ordered are removed; `None` means never.
    pub forget_after: Option<Duration>,
    /// How ids are linked; `None` means that they are not.
    pub identity: Option<IdentityOptions>,
}

impl Default for FactOptions {
    fn default() -> Self {
        Self {
            currency: Currency::parse("USD").expect("three capital letters"),
            orders_kept_max: 32,
            duplicates_kept_max: 1_024,
            lateness: Duration::from_millis(60_000),
            forget_after: None,
            identity: None,
        }
    }
}
