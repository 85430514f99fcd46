//! Rights, as far as they can be told: the client library cannot ask for them, so that an attempt has to tell.

use crate::kafka::Error;
use crate::kafka::probe::Probed;

use super::check::{Check, Verdict};

const ABOUT: &str = "rights";

/// An attempt that changes nothing.
pub(super) fn tried(topic: &str, right: &str, outcome: &Result<(), Error>) -> Check {
    match outcome {
        Ok(()) => Check::passed(ABOUT, topic, format!("{right} is granted")),
        Err(error) if error.is_denied() => Check::new(
            Verdict::Problem,
            ABOUT,
            topic,
            format!("{right} is not granted"),
            format!("grant {right} on it"),
        ),
        Err(error) => Check::new(
            Verdict::Unknown,
            ABOUT,
            topic,
            format!("whether {right} is granted cannot be told: {error}"),
            "ask again once the brokers answer",
        ),
    }
}

/// Whether the changelog's head can be deleted, which is no condition for running.
pub(super) fn deletion(changelog: &str, outcome: Result<bool, Error>) -> Check {
    match outcome {
        Ok(true) => Check::passed(ABOUT, changelog, "DELETE is granted"),
        Ok(false) => Check::new(
            Verdict::Warning,
            ABOUT,
            changelog,
            "DELETE is not granted",
            "grant DELETE on it: without, what the changelog no longer needs stays there, and restores still read only what they need",
        ),
        Err(error) => tried(changelog, "DELETE", &Err(error)),
    }
}

/// What nobody tried.
pub(super) fn untried(topics: &[&str], group: &str) -> Check {
    Check::new(
        Verdict::Unknown,
        ABOUT,
        "cluster",
        format!(
            "not tried: WRITE on {}; WRITE on transactional ids that begin with {group}-; READ on the group {group}",
            topics.join(", ")
        ),
        "run `lifecycle doctor --probe`, which writes to them in transactions that it aborts, or look: kafka-acls.sh --list",
    )
}

/// What came of trying.
pub(super) fn probed(probed: &Probed, group: &str) -> Vec<Check> {
    let mut checks =
        vec![tried(&format!("transactional ids that begin with {group}-"), "WRITE", &probed.transactional_id)];
    checks.extend(probed.topics.iter().map(|(topic, outcome)| tried(topic, "WRITE", outcome)));
    checks.push(match &probed.group {
        Some(outcome) => tried(&format!("group {group}"), "READ", outcome),
        None => Check::new(
            Verdict::Unknown,
            ABOUT,
            format!("group {group}"),
            "whether READ is granted cannot be told before the service has committed something",
            "grant READ on the group",
        ),
    });
    checks
}
