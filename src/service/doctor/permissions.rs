//! Checks permissions (Kafka ACLs).
//!
//! librdkafka cannot list the ACLs of the current principal, so the caller tests each permission by using it. Pure:
//! evaluates the outcomes of these attempts.

use crate::kafka::Error;
use crate::kafka::cluster::permission_probe::PermissionProbe;

use crate::finding::{Finding, Severity};

const ABOUT: &str = "rights";

/// Returns the check for the `outcome` of a request that needs the permission `operation` on `resource`.
pub(super) fn permission_check(resource: &str, operation: &str, outcome: &Result<(), Error>) -> Finding {
    match outcome {
        Ok(()) => Finding::passed(ABOUT, resource, format!("{operation} is granted")),
        Err(error) if error.is_denied() => Finding::new(
            Severity::Problem,
            ABOUT,
            resource,
            format!("{operation} is not granted"),
            format!("grant {operation} on it"),
        ),
        Err(error) => Finding::new(
            Severity::Unknown,
            ABOUT,
            resource,
            format!("cannot determine whether {operation} is granted: {error}"),
            "run `lifecycle doctor` again once the brokers answer",
        ),
    }
}

/// Checks DELETE on the changelog. A missing permission is only a warning, because the service runs without it, but
/// cannot truncate the changelog.
pub(super) fn delete_permission(changelog: &str, outcome: Result<bool, Error>) -> Finding {
    match outcome {
        Ok(true) => Finding::passed(ABOUT, changelog, "DELETE is granted"),
        Ok(false) => Finding::new(
            Severity::Warning,
            ABOUT,
            changelog,
            "DELETE is not granted",
            "grant DELETE on it: without it the changelog is never truncated and keeps growing; restores are not slower",
        ),
        Err(error) => permission_check(changelog, "DELETE", &Err(error)),
    }
}

/// Returns the check that lists the permissions that only a probe can test.
pub(super) fn untested_permissions(topics: &[&str], group: &str) -> Finding {
    Finding::new(
        Severity::Unknown,
        ABOUT,
        "cluster",
        format!(
            "not tested: WRITE on {}; WRITE on transactional ids with the prefix {group}-; READ on the group {group}",
            topics.join(", ")
        ),
        "run `lifecycle doctor --probe`, which writes to the topics in transactions that it aborts, or check with kafka-acls.sh --list",
    )
}

/// Returns the checks of a probe.
pub(super) fn probe_results(probed: &PermissionProbe, group: &str) -> Vec<Finding> {
    let mut checks = vec![permission_check(
        &format!("transactional ids with the prefix {group}-"),
        "WRITE",
        &probed.transactional_id,
    )];
    checks.extend(probed.topics.iter().map(|(topic, outcome)| permission_check(topic, "WRITE", outcome)));
    checks.push(match &probed.group {
        Some(outcome) => permission_check(&format!("group {group}"), "READ", outcome),
        None => Finding::new(
            Severity::Unknown,
            ABOUT,
            format!("group {group}"),
            "cannot determine whether READ is granted before the service has committed an offset",
            "grant READ on the group",
        ),
    });
    checks
}
