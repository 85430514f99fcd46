//! Brokers: that each answers, speaks what is needed, and allows the timeouts that are configured. Pure: compares what they said.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kafka::inspect::{Broker, PartitionLayout, Settings};
use crate::kafka::versions::{PRODUCE, Spoken, TXN_OFFSET_COMMIT};

use super::check::{Check, Verdict};

const ABOUT: &str = "brokers";
const VERSIONS: &str = "versions";
const LIMITS: &str = "broker limits";

/// From this version of its request on, a broker refuses offsets of a generation that is over.
const TXN_OFFSET_COMMIT_MIN: i16 = 3;
/// The shortest time for which a broker should remember the offsets of a group that is stopped.
const OFFSETS_RETENTION_MIN: Duration = Duration::from_hours(24);

/// Looks at whether each broker answers, and with what.
pub(super) fn reachable(brokers: &[(Broker, Settings)]) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut answering = Vec::new();
    for (broker, settings) in brokers {
        match settings {
            Settings::Known(_) | Settings::Denied => answering.push(format!("{} at {}", broker.id, broker.address)),
            Settings::Unanswered(why) => checks.push(Check::new(
                Verdict::Problem,
                ABOUT,
                format!("broker {} at {}", broker.id, broker.address),
                format!("it does not answer: {why}"),
                "start it, or mend the way there: its advertised.listeners must be reachable from here",
            )),
        }
    }
    if !answering.is_empty() {
        let what = format!("{} of {} answer: {}", answering.len(), brokers.len(), answering.join(", "));
        checks.insert(0, Check::passed(ABOUT, "cluster", what));
    }
    if brokers.len() == 1 {
        checks.push(Check::new(
            Verdict::Warning,
            ABOUT,
            "cluster",
            "it has one broker",
            "run three or more where it matters: when the one is away the service waits, and when its disk is lost all is lost",
        ));
    }
    checks
}

/// Looks at which versions the brokers speak.
pub(super) fn versions(brokers: &[(Broker, Settings)], spoken: &BTreeMap<String, Spoken>) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut releases = Vec::new();
    for (broker, _) in brokers {
        let place = format!("broker {} at {}", broker.id, broker.address);
        let Some(spoken) = spoken.get(&broker.address) else {
            checks.push(Check::new(
                Verdict::Unknown,
                VERSIONS,
                place,
                "it was not heard to say what it speaks",
                "ask it: kafka-broker-api-versions.sh --bootstrap-server ...",
            ));
            continue;
        };
        if spoken.get(&TXN_OFFSET_COMMIT).is_some_and(|&it| it < TXN_OFFSET_COMMIT_MIN) {
            checks.push(Check::new(
                Verdict::Problem,
                VERSIONS,
                place,
                "it is older than Kafka 2.5 and does not refuse positions committed by a member that has lost its partitions",
                "upgrade it: exactly-once rests on that",
            ));
        } else {
            releases.push(format!("{}: {}", broker.id, release(spoken)));
        }
    }
    if !releases.is_empty() {
        checks.push(Check::passed(VERSIONS, "cluster", format!("Kafka of {}", releases.join(", "))));
    }
    checks
}

/// The releases that speak so; told from the versions of one request.
fn release(spoken: &Spoken) -> &'static str {
    match spoken.get(&PRODUCE) {
        Some(13..) => "4.1 or newer",
        Some(12) => "4.0",
        Some(11) => "3.8 or 3.9",
        Some(10) => "3.7",
        Some(9) => "2.8 to 3.6",
        Some(_) | None => "2.5 to 2.7",
    }
}

/// Looks at whether the brokers allow the timeouts of the service, and how long they remember.
pub(super) fn limits(brokers: &[(Broker, Settings)], transaction: Duration, session: Duration) -> Vec<Check> {
    let mut checks = Vec::new();
    let known: Vec<_> = brokers
        .iter()
        .filter_map(|(broker, settings)| match settings {
            Settings::Known(settings) => Some((broker, settings)),
            Settings::Denied | Settings::Unanswered(_) => None,
        })
        .collect();
    if known.is_empty() {
        return vec![Check::new(
            Verdict::Unknown,
            LIMITS,
            "cluster",
            "the brokers' settings cannot be seen",
            format!(
                "grant DESCRIBE_CONFIGS on the cluster, or make sure yourself that transaction.max.timeout.ms is {} or more, \
                 and that group.min.session.timeout.ms and group.max.session.timeout.ms have {} between them",
                transaction.as_millis(),
                session.as_millis()
            ),
        )];
    }
    let mut retention = None;
    for (broker, settings) in known {
        let millis = |name: &str| Some(Duration::from_millis(settings.get(name)?.parse().ok()?));
        let mut add = |verdict, what: String, to_do: String| {
            checks.push(Check::new(verdict, LIMITS, format!("broker {}", broker.id), what, to_do));
        };
        if let Some(most) = millis("transaction.max.timeout.ms").filter(|&most| most < transaction) {
            add(
                Verdict::Problem,
                format!("transaction.max.timeout.ms is {}", most.as_millis()),
                format!(
                    "raise it, or lower kafka.transaction_timeout (now {} ms): the broker refuses longer transactions",
                    transaction.as_millis()
                ),
            );
        }
        let most = millis("group.max.session.timeout.ms").filter(|&most| most < session);
        let least = millis("group.min.session.timeout.ms").filter(|&least| least > session);
        for (name, bound) in [("group.max.session.timeout.ms", most), ("group.min.session.timeout.ms", least)] {
            if let Some(bound) = bound {
                add(
                    Verdict::Problem,
                    format!("{name} is {}", bound.as_millis()),
                    format!(
                        "change it, or kafka.session_timeout (now {} ms): the broker refuses such a member",
                        session.as_millis()
                    ),
                );
            }
        }
        let minutes: Option<u64> = settings.get("offsets.retention.minutes").and_then(|it| it.parse().ok());
        retention = retention.min(minutes).or(minutes);
        if let Some(short) = minutes.map(|it| Duration::from_secs(it * 60)).filter(|it| *it < OFFSETS_RETENTION_MIN) {
            add(
                Verdict::Warning,
                format!("offsets.retention.minutes is {}", short.as_secs() / 60),
                "raise it to days: a service that is stopped for longer loses its position, and refuses to start"
                    .to_owned(),
            );
        }
    }
    if checks.is_empty() {
        let remembered = retention
            .map(|minutes| format!("; a stopped service's position is remembered for {} days", minutes / (60 * 24)));
        let what = format!("they allow the configured timeouts{}", remembered.unwrap_or_default());
        checks.push(Check::passed(LIMITS, "cluster", what));
    }
    checks
}

/// Looks at how the partitions of a topic are kept just now.
pub(super) fn partitions(topic: &str, layout: &[PartitionLayout]) -> Vec<Check> {
    let numbers = |wanted: fn(&PartitionLayout) -> bool| -> Vec<usize> {
        (0..layout.len()).filter(|&it| wanted(&layout[it])).collect()
    };
    let without_leader = numbers(|it| !it.has_leader);
    let behind = numbers(|it| it.has_leader && it.in_sync < it.replicas);
    let mut checks = Vec::new();
    if !without_leader.is_empty() {
        checks.push(Check::new(
            Verdict::Problem,
            "partitions",
            topic,
            format!("partitions {without_leader:?} have no leader"),
            "start the brokers that hold them: nothing can be read or written there",
        ));
    }
    if !behind.is_empty() {
        checks.push(Check::new(
            Verdict::Warning,
            "partitions",
            topic,
            format!("partitions {behind:?} have replicas that are not in sync"),
            "start the brokers that hold them, or wait until they have caught up: below min.insync.replicas nothing can be written",
        ));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(settings: &[(&str, &str)]) -> (Broker, Settings) {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        (Broker { id: 1, address: "a:9092".to_owned() }, Settings::Known(settings))
    }

    fn limits_of(settings: &[(&str, &str)]) -> Vec<(Verdict, String)> {
        let checks = limits(&[broker(settings)], Duration::from_secs(30), Duration::from_secs(20));
        checks.into_iter().map(|it| (it.verdict, it.what)).collect()
    }

    #[test]
    fn timeouts_that_the_brokers_refuse_are_problems() {
        assert_eq!(limits_of(&[("transaction.max.timeout.ms", "30000")])[0].0, Verdict::Passed);
        for (name, value) in [
            ("transaction.max.timeout.ms", "29999"),
            ("group.max.session.timeout.ms", "19999"),
            ("group.min.session.timeout.ms", "20001"),
        ] {
            assert_eq!(limits_of(&[(name, value)]), [(Verdict::Problem, format!("{name} is {value}"))]);
        }
        assert_eq!(limits_of(&[("offsets.retention.minutes", "60")])[0].0, Verdict::Warning);
    }

    #[test]
    fn settings_that_nobody_may_see_are_no_problem_and_no_pass() {
        let denied = [(Broker { id: 1, address: "a:9092".to_owned() }, Settings::Denied)];
        let checks = limits(&denied, Duration::from_secs(30), Duration::from_secs(20));
        assert_eq!(checks.len(), 1);
        assert_eq!(checks[0].verdict, Verdict::Unknown);
        assert!(checks[0].to_do.contains("30000"), "{}", checks[0].to_do);
    }

    #[test]
    fn a_broker_that_cannot_fence_is_a_problem() {
        let brokers = [broker(&[])];
        let spoken = |version| BTreeMap::from([("a:9092".to_owned(), Spoken::from([(TXN_OFFSET_COMMIT, version)]))]);
        assert_eq!(versions(&brokers, &spoken(2))[0].verdict, Verdict::Problem);
        assert_eq!(versions(&brokers, &spoken(3))[0].verdict, Verdict::Passed);
        assert_eq!(versions(&brokers, &BTreeMap::new())[0].verdict, Verdict::Unknown);
    }

    #[test]
    fn partitions_that_nobody_leads_are_worse_than_those_that_few_follow() {
        let good = PartitionLayout { has_leader: true, replicas: 3, in_sync: 3 };
        assert_eq!(partitions("t", &[good]), []);
        let layout = [good, PartitionLayout { has_leader: false, ..good }, PartitionLayout { in_sync: 2, ..good }];
        let checks = partitions("t", &layout);
        assert_eq!(checks.iter().map(|it| it.verdict).collect::<Vec<_>>(), [Verdict::Problem, Verdict::Warning]);
        assert!(checks[0].what.contains("[1]") && checks[1].what.contains("[2]"), "{checks:?}");
    }
}
