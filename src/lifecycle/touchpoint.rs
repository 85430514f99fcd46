//! One thing that a customer did or met, as it was received.

use super::id::{PropertyIndex, TypeIndex};
use super::money::{Amount, Currency};
use super::time::{Duration, Timestamp};
use super::value::{Horizon, Inputs, Slot, Value};

/// A touchpoint whose shape has been checked. Borrowed from the record that carried it.
#[derive(Clone, Copy, Debug)]
pub struct Touchpoint<'a> {
    /// Unique; a second touchpoint of the customer with this id is a duplicate. Not empty.
    pub event_id: &'a str,
    /// Whose touchpoint it is. Not empty.
    pub customer_id: &'a str,
    /// The type, resolved by the [`Vocabulary`](super::vocabulary::Vocabulary).
    pub kind: TypeIndex,
    /// The type as it was written.
    pub type_name: &'a str,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The order that it completes, cancels or refunds; an empty id is `None`.
    pub order_id: Option<&'a str>,
    /// Money, in `currency`.
    pub amount: Option<Amount>,
    /// The currency of `amount`; `None` means the configured one.
    pub currency: Option<Currency>,
    /// Those properties that some fact or group condition reads, each once, in no order.
    pub properties: &'a [(PropertyIndex, Value<'a>)],
}

impl<'a> Touchpoint<'a> {
    /// The reserved type of the touchpoint by which a customer is erased. No model can read it.
    pub const ERASED: &'static str = "customer_erased";

    /// Whether it has everything that is known of its customer removed.
    #[must_use]
    pub fn erases(&self) -> bool {
        self.kind == TypeIndex::UNKNOWN && self.type_name == Self::ERASED
    }

    /// The value of a property that is read.
    #[must_use]
    pub fn property(&self, property: PropertyIndex) -> Value<'a> {
        self.properties.iter().find(|(index, _)| *index == property).map_or(Value::Absent, |&(_, value)| value)
    }
}

impl Inputs for Touchpoint<'_> {
    /// A slot of a group condition is the index of a property; time does not change it.
    fn read(&self, slot: Slot, _now: Timestamp, _horizon: &mut Horizon) -> Value<'_> {
        self.property(PropertyIndex(slot.0))
    }
}

/// How the pure floors treat money, ids and memory; part of the configuration.
#[derive(Clone, Debug)]
pub struct FactOptions {
    /// The currency that amounts without one are in, and that revenue is counted in.
    pub currency: Currency,
    /// How many orders of a customer are kept one by one; older ones are folded into counts and sums.
    pub orders_kept_max: usize,
    /// Among how many latest touchpoints of a customer a repeated `event_id` is recognised.
    pub duplicates_kept_max: usize,
    /// How far past the latest touchpoint a partition's clock stays behind.
    pub lateness: Duration,
    /// Whether moves that an added or edited model causes by itself are published.
    pub publish_reconciled: bool,
    /// After how long a silence customers who never ordered are forgotten; `None` means never.
    pub forget_after: Option<Duration>,
}

impl Default for FactOptions {
    fn default() -> Self {
        Self {
            currency: Currency::parse("USD").expect("three capital letters"),
            orders_kept_max: 32,
            duplicates_kept_max: 64,
            lateness: Duration::from_millis(60_000),
            publish_reconciled: false,
            forget_after: None,
        }
    }
}
