//! Facts: aggregates over a customer's touchpoints that do not depend on the order of arrival.
//!
//! A [`Layout`] says which facts are kept and where; [`Facts`] are those of one customer.

mod facts;
mod layout;
mod orders;
mod times;

pub use facts::{Facts, FactsAt, Latest};
pub use layout::{FactDefinition, FactKind, Layout, Operand, OrdersReading, Update};
pub(crate) use orders::{ABSENT, is_about_order};
pub use orders::{FoldedOrders, OrderAmount, OrderEntry, OrderLedger, Refund};
pub use times::RecentTimes;
