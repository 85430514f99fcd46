//! Client settings that replace those of running members, for example after a password or a certificate has changed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Settings by librdkafka name, as in [`Options`](super::settings::Options).
type Settings = Vec<(String, String)>;

/// The latest settings; all members of the process share them.
#[derive(Clone, Default)]
pub struct SettingsUpdates(Arc<Mutex<(u64, Settings)>>);

impl SettingsUpdates {
    /// Publishes settings that replace all earlier ones. Each member connects again with them.
    pub fn publish(&self, settings: Settings) {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = (latest.0 + 1, settings);
    }

    /// Returns the latest settings and their number, if the number is higher than `seen`. The first has number 1.
    #[must_use]
    pub fn newer_than(&self, seen: u64) -> Option<(u64, Settings)> {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (latest.0 > seen).then(|| latest.clone())
    }
}

impl fmt::Debug for SettingsUpdates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SettingsUpdates")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_sees_the_latest_settings_once() {
        let updates = SettingsUpdates::default();
        assert!(updates.newer_than(0).is_none());
        for value in ["one", "two"] {
            updates.publish(vec![("sasl.password".to_owned(), value.to_owned())]);
        }
        let (number, settings) = updates.newer_than(0).unwrap();
        assert_eq!((number, settings[0].1.as_str()), (2, "two"));
        assert!(updates.newer_than(number).is_none());
        assert!(!format!("{updates:?}").contains("two"));
    }
}
