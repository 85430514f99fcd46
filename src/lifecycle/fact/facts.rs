//! To be written.
/// Facts.
#[derive(Clone, Debug, Default)]
pub struct Facts;
/// Facts at an instant.
pub struct FactsAt;
/// A latest value.
pub struct Latest;
