//! Facts: aggregates over a customer's touchpoints that do not depend on the order of arrival.
//!
//! A [`Layout`] defines which facts are kept, and where; [`Facts`] holds the facts of one customer.

mod facts;
mod layout;
mod orders;
mod times;
mod union;

pub(crate) use facts::ABSENT_NUMBER;
pub use facts::{FactInputs, Facts, LatestValue};
pub use layout::{FactDefinition, FactKind, FactLocation, FactUpdate, Layout, OrderFact};
pub(crate) use orders::{ABSENT, is_about_order};
pub use orders::{FoldedOrders, OrderAmount, OrderEntry, OrderLedger, Refund};
pub use times::RecentTimes;
pub(crate) use union::interleaved;
