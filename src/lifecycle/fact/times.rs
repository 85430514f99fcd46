//! To be written.
/// Times.
#[derive(Clone, Debug, Default)]
pub struct RecentTimes;
