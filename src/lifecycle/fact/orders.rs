//! To be written.
/// An order.
#[derive(Clone, Debug, Default)]
pub struct OrderEntry;
/// The ledger.
#[derive(Clone, Debug, Default)]
pub struct OrderLedger;
/// A refund.
#[derive(Clone, Debug, Default)]
pub struct Refund;
