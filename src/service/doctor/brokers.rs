//! Checks that every broker responds, supports the required API versions and accepts the configured timeouts.
//!
//! Pure: evaluates responses that the caller has collected.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kafka::cluster::api_versions::{ApiVersions, PRODUCE, TXN_OFFSET_COMMIT};
use crate::kafka::cluster::inspector::{Broker, BrokerConfigs, PartitionReplication};

use crate::finding::{Finding, Severity};

const ABOUT: &str = "brokers";
const VERSIONS: &str = "versions";
const LIMITS: &str = "broker limits";

/// From this version of `TxnOffsetCommit` on, a broker rejects offsets of a stale group generation (KIP-447).
const TXN_OFFSET_COMMIT_MIN: i16 = 3;
/// Shortest acceptable retention of the offsets of a stopped group.
const OFFSETS_RETENTION_MIN: Duration = Duration::from_hours(24);

/// Checks that every broker responds.
pub(super) fn reachable(brokers: &[(Broker, BrokerConfigs)]) -> Vec<Finding> {
    let mut checks = Vec::new();
    let mut answering = Vec::new();
    for (broker, settings) in brokers {
        match settings {
            BrokerConfigs::Known(_) | BrokerConfigs::Denied => {
                answering.push(format!("{} at {}", broker.id, broker.address));
            }
            BrokerConfigs::Unavailable(why) => checks.push(Finding::new(
                Severity::Problem,
                ABOUT,
                format!("broker {} at {}", broker.id, broker.address),
                format!("it does not answer: {why}"),
                "start it, or fix the network: its advertised.listeners must be reachable from here",
            )),
        }
    }
    if !answering.is_empty() {
        let what = format!("{} of {} answer: {}", answering.len(), brokers.len(), answering.join(", "));
        checks.insert(0, Finding::passed(ABOUT, "cluster", what));
    }
    if brokers.len() == 1 {
        checks.push(Finding::new(
            Severity::Warning,
            ABOUT,
            "cluster",
            "the cluster has a single broker",
            "run three or more in production: while the broker is down the service waits, and a lost disk loses all data",
        ));
    }
    checks
}

/// Checks the API versions of the brokers.
pub(super) fn versions(
    brokers: &[(Broker, BrokerConfigs)],
    api_versions: &BTreeMap<String, ApiVersions>,
) -> Vec<Finding> {
    let mut checks = Vec::new();
    let mut releases = Vec::new();
    for (broker, _) in brokers {
        let place = format!("broker {} at {}", broker.id, broker.address);
        let Some(api_versions) = api_versions.get(&broker.address) else {
            checks.push(Finding::new(
                Severity::Unknown,
                VERSIONS,
                place,
                "its API versions are unknown",
                "run kafka-broker-api-versions.sh --bootstrap-server ...",
            ));
            continue;
        };
        if api_versions.get(&TXN_OFFSET_COMMIT).is_some_and(|&it| it < TXN_OFFSET_COMMIT_MIN) {
            checks.push(Finding::new(
                Severity::Problem,
                VERSIONS,
                place,
                "it is older than Kafka 2.5 and accepts offsets from members that have lost their partitions",
                "upgrade it: exactly-once depends on rejecting them",
            ));
        } else {
            releases.push(format!("{}: {}", broker.id, release(api_versions)));
        }
    }
    if !releases.is_empty() {
        checks.push(Finding::passed(VERSIONS, "cluster", format!("Kafka releases by broker: {}", releases.join(", "))));
    }
    checks
}

/// Returns the Kafka releases whose Produce request has this highest version.
fn release(api_versions: &ApiVersions) -> &'static str {
    match api_versions.get(&PRODUCE) {
        Some(13..) => "4.1 or newer",
        Some(12) => "4.0",
        Some(11) => "3.8 or 3.9",
        Some(10) => "3.7",
        Some(9) => "2.8 to 3.6",
        Some(_) | None => "2.5 to 2.7",
    }
}

/// Checks that the brokers accept the timeouts of the service, and how long they retain committed offsets.
pub(super) fn limits(brokers: &[(Broker, BrokerConfigs)], transaction: Duration, session: Duration) -> Vec<Finding> {
    let mut checks = Vec::new();
    let known: Vec<_> = brokers
        .iter()
        .filter_map(|(broker, settings)| match settings {
            BrokerConfigs::Known(settings) => Some((broker, settings)),
            BrokerConfigs::Denied | BrokerConfigs::Unavailable(_) => None,
        })
        .collect();
    if known.is_empty() {
        return vec![Finding::new(
            Severity::Unknown,
            LIMITS,
            "cluster",
            "the broker settings cannot be read",
            format!(
                "grant DESCRIBE_CONFIGS on the cluster, or check by hand that transaction.max.timeout.ms is at least {}, and \
                 that {} is between group.min.session.timeout.ms and group.max.session.timeout.ms",
                transaction.as_millis(),
                session.as_millis()
            ),
        )];
    }
    let mut retention = None;
    for (broker, settings) in known {
        let millis = |name: &str| Some(Duration::from_millis(settings.get(name)?.parse().ok()?));
        let mut add = |severity, what: String, to_do: String| {
            checks.push(Finding::new(severity, LIMITS, format!("broker {}", broker.id), what, to_do));
        };
        if let Some(max) = millis("transaction.max.timeout.ms").filter(|&max| max < transaction) {
            add(
                Severity::Problem,
                format!("transaction.max.timeout.ms is {}", max.as_millis()),
                format!(
                    "raise it, or lower kafka.transaction_timeout (now {} ms): the broker rejects longer transaction timeouts",
                    transaction.as_millis()
                ),
            );
        }
        let max = millis("group.max.session.timeout.ms").filter(|&max| max < session);
        let min = millis("group.min.session.timeout.ms").filter(|&min| min > session);
        for (name, bound) in [("group.max.session.timeout.ms", max), ("group.min.session.timeout.ms", min)] {
            if let Some(bound) = bound {
                add(
                    Severity::Problem,
                    format!("{name} is {}", bound.as_millis()),
                    format!(
                        "change it, or kafka.session_timeout (now {} ms): the broker rejects members with this timeout",
                        session.as_millis()
                    ),
                );
            }
        }
        let minutes: Option<u64> = settings.get("offsets.retention.minutes").and_then(|it| it.parse().ok());
        retention = retention.min(minutes).or(minutes);
        if let Some(short) = minutes.map(|it| Duration::from_secs(it * 60)).filter(|it| *it < OFFSETS_RETENTION_MIN) {
            add(
                Severity::Warning,
                format!("offsets.retention.minutes is {}", short.as_secs() / 60),
                "raise it to several days: a service that is stopped for longer loses its committed offsets and cannot start"
                    .to_owned(),
            );
        }
    }
    if checks.is_empty() {
        let retained = retention
            .map(|minutes| format!("; offsets of a stopped service are retained for {} days", minutes / (60 * 24)));
        let what = format!("they accept the configured timeouts{}", retained.unwrap_or_default());
        checks.push(Finding::passed(LIMITS, "cluster", what));
    }
    checks
}

/// Checks the leaders and the in-sync replicas of the partitions of a topic.
pub(super) fn partitions(topic: &str, layout: &[PartitionReplication]) -> Vec<Finding> {
    let numbers = |wanted: fn(&PartitionReplication) -> bool| -> Vec<usize> {
        (0..layout.len()).filter(|&it| wanted(&layout[it])).collect()
    };
    let without_leader = numbers(|it| !it.has_leader);
    let behind = numbers(|it| it.has_leader && it.in_sync < it.replicas);
    let mut checks = Vec::new();
    if !without_leader.is_empty() {
        checks.push(Finding::new(
            Severity::Problem,
            "partitions",
            topic,
            format!("partitions {without_leader:?} have no leader"),
            "start the brokers that host them: they cannot be read or written until then",
        ));
    }
    if !behind.is_empty() {
        checks.push(Finding::new(
            Severity::Warning,
            "partitions",
            topic,
            format!("partitions {behind:?} have replicas that are not in sync"),
            "start the brokers that host them, or wait until they have caught up: below min.insync.replicas writes fail",
        ));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(settings: &[(&str, &str)]) -> (Broker, BrokerConfigs) {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        (Broker { id: 1, address: "a:9092".to_owned() }, BrokerConfigs::Known(settings))
    }

    fn limits_of(settings: &[(&str, &str)]) -> Vec<(Severity, String)> {
        let checks = limits(&[broker(settings)], Duration::from_secs(30), Duration::from_secs(20));
        checks.into_iter().map(|it| (it.severity, it.what)).collect()
    }

    #[test]
    fn timeouts_that_the_brokers_reject_are_problems() {
        assert_eq!(limits_of(&[("transaction.max.timeout.ms", "30000")])[0].0, Severity::Passed);
        for (name, value) in [
            ("transaction.max.timeout.ms", "29999"),
            ("group.max.session.timeout.ms", "19999"),
            ("group.min.session.timeout.ms", "20001"),
        ] {
            assert_eq!(limits_of(&[(name, value)]), [(Severity::Problem, format!("{name} is {value}"))]);
        }
        assert_eq!(limits_of(&[("offsets.retention.minutes", "60")])[0].0, Severity::Warning);
    }

    #[test]
    fn unreadable_settings_are_unknown() {
        let denied = [(Broker { id: 1, address: "a:9092".to_owned() }, BrokerConfigs::Denied)];
        let checks = limits(&denied, Duration::from_secs(30), Duration::from_secs(20));
        assert_eq!(checks.len(), 1);
        assert_eq!(checks[0].severity, Severity::Unknown);
        assert!(checks[0].to_do.contains("30000"), "{}", checks[0].to_do);
    }

    #[test]
    fn a_broker_that_accepts_stale_generations_is_a_problem() {
        let brokers = [broker(&[])];
        let api_versions =
            |version| BTreeMap::from([("a:9092".to_owned(), ApiVersions::from([(TXN_OFFSET_COMMIT, version)]))]);
        assert_eq!(versions(&brokers, &api_versions(2))[0].severity, Severity::Problem);
        assert_eq!(versions(&brokers, &api_versions(3))[0].severity, Severity::Passed);
        assert_eq!(versions(&brokers, &BTreeMap::new())[0].severity, Severity::Unknown);
    }

    #[test]
    fn a_missing_leader_is_a_problem_and_a_lagging_replica_a_warning() {
        let good = PartitionReplication { has_leader: true, replicas: 3, in_sync: 3 };
        assert_eq!(partitions("t", &[good]), []);
        let layout =
            [good, PartitionReplication { has_leader: false, ..good }, PartitionReplication { in_sync: 2, ..good }];
        let checks = partitions("t", &layout);
        assert_eq!(checks.iter().map(|it| it.severity).collect::<Vec<_>>(), [Severity::Problem, Severity::Warning]);
        assert!(checks[0].what.contains("[1]") && checks[1].what.contains("[2]"), "{checks:?}");
    }
}
