//! Defaults that are not fixed values.
#![expect(clippy::unnecessary_wraps, reason = "all derived defaults have the same signature")]

use crate::wire::percent_encoding::percent_encoded;

use super::settings::Settings;
use super::values::{kafka_name, uri_reference};

/// Maximum number of workers.
pub(super) const WORKERS_MAX: usize = 256;

/// Returns the host name, which is the pod name in Kubernetes.
pub(super) fn host_name(_: &Settings) -> Result<String, String> {
    let name =
        std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let name = name.ok().map(|name| name.trim().to_owned()).filter(|name| kafka_name(name).is_ok());
    name.ok_or_else(|| "the host has no usable name: set this key".to_owned())
}

pub(super) fn replay_topic(settings: &Settings) -> Result<String, String> {
    Ok(format!("{}.replay", settings.text("topics.transitions").unwrap_or_default()))
}

pub(super) fn event_source(settings: &Settings) -> Result<String, String> {
    let group = settings.text("kafka.group_id").unwrap_or_default();
    // Kafka accepts names that cannot be part of a URI as they are.
    Ok(uri_reference(&format!("/lifecycle/{group}"))
        .unwrap_or_else(|_| format!("/lifecycle/{}", percent_encoded(group))))
}

pub(super) fn one_per_cpu(_: &Settings) -> Result<String, String> {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(workers.min(WORKERS_MAX).to_string())
}
