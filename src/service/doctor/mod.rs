//! Checks a Kafka cluster for problems that prevent the service from starting, stop it, or break exactly-once.
//!
//! This file queries the cluster. The other files of the folder are pure: they turn the answers into checks.
//! The doctor changes nothing and joins no group. Only the optional probe writes, in transactions that it aborts.

mod brokers;
mod group;
mod last_hand_overs;
mod offsets;
mod permissions;
mod records;
mod report;
mod sources;
mod transactions;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::Config;
use crate::finding::{Finding, Severity};
use crate::kafka::cluster::admin;
use crate::kafka::cluster::api_versions;
use crate::kafka::cluster::group::describe_group;
use crate::kafka::cluster::inspector::{Broker, BrokerConfigs, InspectedRecord, Inspector, LogOffsets};
use crate::kafka::cluster::permission_probe::probe_permissions;
use crate::kafka::{Cluster, Error, PartitionOffset};
use crate::lifecycle::time::Timestamp;
use crate::runtime::WallClock;
use crate::wire::changelog::{ChangelogDecoder, ChangelogError};
use crate::wire::offset_metadata::OffsetMetadata;
use crate::wire::time::format_timestamp;

use super::options::{kafka_options, member_name};
use super::topics::{cluster, topics};
use offsets::{Expected, PartitionSnapshot};
pub use report::DoctorReport;

/// Milliseconds by which a record timestamp may be ahead of the local clock without a warning.
const AHEAD_MS_MAX: i64 = 1_000;
/// Maximum number of partitions that are reported as unreadable; each takes seconds to find.
const UNREADABLE_MAX: usize = 3;
/// How long the doctor waits for committed offsets that an open transaction may hold up.
const STABLE_WITHIN: Duration = Duration::from_secs(5);
/// The same at the start of the service. A predecessor of the same name that was killed leaves its transaction open,
/// and the service aborts it only after the checks, so waiting longer would only delay the start.
const STABLE_WITHIN_AT_START: Duration = Duration::from_secs(1);
/// Number of attempts, a second apart, before a log that ends before a committed offset is a problem at the start.
const SHRUNK_LOG_ATTEMPTS: u32 = 5;
/// Member name of the probe. It cannot collide with a worker, whose member name ends in a number.
const PROBE_MEMBER: &str = "doctor";

/// Returns the report for a cluster that cannot be reached: a single failed check.
#[must_use]
pub fn unreachable(config: &Config, error: &Error) -> DoctorReport {
    let otherwise = "check that the settings under `kafka` match this cluster, then run `lifecycle doctor` again";
    DoctorReport { checks: vec![error.finding("brokers", config.kafka.bootstrap_servers.as_str(), otherwise)] }
}

/// Runs all checks. With `with_probe`, also tests the permissions that can only be tested by writing.
///
/// # Errors
/// If the cluster is unreachable or denies the first requests.
pub fn run_checks(config: &Config, with_probe: bool) -> Result<DoctorReport, Error> {
    let cluster = cluster(config);
    let inspector = Inspector::new(&cluster, &config.kafka.group_id)?;
    let settings = |it: Broker| {
        let settings = inspector.broker_configs(it.id);
        (it, settings)
    };
    let brokers: Vec<(Broker, BrokerConfigs)> = inspector.brokers()?.into_iter().map(settings).collect();
    let mut checks = brokers::reachable(&brokers);
    checks.extend(brokers::versions(&brokers, &api_versions::api_versions(&cluster, brokers.len())?));
    checks.extend(brokers::limits(&brokers, config.kafka.transaction_timeout, config.kafka.session_timeout));
    let doctor = Doctor { config, cluster: &cluster, inspector: &inspector };
    let partitions = doctor.topics(&mut checks)?;
    if let Some(partitions) = partitions {
        doctor.group(partitions, &mut checks);
        let snapshots = doctor.offsets(partitions, &mut checks);
        doctor.changelog_formats(&snapshots, &mut checks);
        doctor.last_hand_overs(&snapshots, &mut checks);
        doctor.transactions(partitions, &transaction_timeout_max(&brokers), &mut checks);
        doctor.permissions(with_probe, &snapshots, &mut checks);
        doctor.unread_records(&snapshots, &mut checks);
        let latest = doctor.latest_records(partitions);
        // Files of the source that are missing are a problem of `lifecycle config check`.
        let direct = config.load_direct_source().ok().flatten();
        checks.extend(records::keys(&config.topics.touchpoints, partitions, &latest, direct));
        checks.push(doctor.clock(&latest));
    }
    checks.extend(sources::checks(config, &cluster)?);
    Ok(DoctorReport { checks })
}

/// Returns the problems of committed state that prevent the service from starting even if its topics are correct:
/// offsets that are no longer in the log, a changed partition count, a newer changelog format.
///
/// A failed query is not reported, because the workers retry it.
///
/// # Errors
/// If librdkafka rejects a client setting.
pub fn startup_problems(config: &Config, partitions: i32) -> Result<Vec<Finding>, Error> {
    let cluster = cluster(config);
    let inspector = Inspector::new(&cluster, &config.kafka.group_id)?;
    let doctor = Doctor { config, cluster: &cluster, inspector: &inspector };
    let mut snapshots =
        doctor.snapshots(partitions, STABLE_WITHIN_AT_START).map(|(found, _)| found).unwrap_or_default();
    let mut checks = offsets::mismatches(&snapshots, doctor.expected(partitions));
    checks.extend(doctor.shrunk_logs(&mut snapshots));
    doctor.changelog_formats(&snapshots, &mut checks);
    doctor.last_hand_overs(&snapshots, &mut checks);
    checks.retain(|it| it.severity == Severity::Problem);
    Ok(checks)
}

/// Returns the member names of this instance that are in the group already, before it has joined.
///
/// They belong to another instance with the same `kafka.instance_id`, or to a previous run of this one whose session
/// has not timed out yet. Returns an empty list if the group cannot be described.
#[must_use]
pub fn duplicate_members(config: &Config) -> Vec<String> {
    let Ok(group) = describe_group(&cluster(config), &config.kafka.group_id, &config.topics.touchpoints) else {
        return Vec::new();
    };
    (0..config.workers).map(|worker| member_name(config, worker)).filter(|name| group.has_member(name)).collect()
}

struct Doctor<'a> {
    config: &'a Config,
    cluster: &'a Cluster,
    inspector: &'a Inspector,
}

impl Doctor<'_> {
    /// Checks the topics. Returns the partition count of the touchpoint topic, or `None` if the remaining checks cannot
    /// run: they need this topic, and a changelog with at least as many partitions.
    fn topics(&self, checks: &mut Vec<Finding>) -> Result<Option<i32>, Error> {
        let topics = topics(self.config);
        let findings = match admin::verify(self.cluster, &topics) {
            Ok(findings) => findings,
            Err(error) if error.is_denied() => {
                checks.push(error.finding("rights", "topics", "grant the missing permission"));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        for name in topics.names() {
            let before = checks.len();
            for finding in findings.iter().filter(|it| it.place == name) {
                checks.push(finding.clone());
            }
            let Some(layout) = self.inspector.replication(name)? else { continue };
            if checks.len() == before {
                let what = format!("{} partitions, all settings are correct", layout.len());
                checks.push(Finding::passed("topics", name, what));
            }
            checks.extend(brokers::partitions(name, &layout));
        }
        let partitions = |name: &str| self.inspector.replication(name).map(|it| it.map(|it| it.len()));
        let (input, changelog) = (partitions(&topics.input)?, partitions(&topics.changelog)?);
        Ok(input.filter(|input| changelog.is_some_and(|it| it >= *input)).and_then(|it| i32::try_from(it).ok()))
    }

    fn group(&self, partitions: i32, checks: &mut Vec<Finding>) {
        let name = &self.config.kafka.group_id;
        match self.inspector.group(&self.config.topics.touchpoints) {
            Ok(group) => checks.extend(group::members(name, &group, partitions)),
            Err(error) => checks.push(query_failed("group", name, &error)),
        }
    }

    fn expected(&self, partitions: i32) -> Expected<'_> {
        let topics = &self.config.topics;
        let models = self.config.model_choice().load(false).ok().map(|models| models.hash);
        Expected {
            topic: &topics.touchpoints,
            changelog: &topics.changelog,
            hand_overs: self.hand_overs(),
            partitions,
            models,
        }
    }

    /// Returns the topic of hand-overs, with identity resolution.
    fn hand_overs(&self) -> Option<&str> {
        self.config.identity.enabled.then_some(self.config.topics.hand_overs.as_str())
    }

    fn offsets(&self, partitions: i32, checks: &mut Vec<Finding>) -> Vec<PartitionSnapshot> {
        let expected = self.expected(partitions);
        let service_timeout = self.config.kafka.transaction_timeout;
        let (mut snapshots, is_stable) = match self.snapshots(partitions, STABLE_WITHIN) {
            Ok(snapshots) => snapshots,
            Err(error) => {
                checks.push(query_failed("offsets", expected.topic, &error));
                return Vec::new();
            }
        };
        let before = checks.len();
        checks.extend(offsets::mismatches(&snapshots, expected));
        // The log ranges were read before the committed offsets and may be stale, so read them again.
        self.read_ranges(&mut snapshots);
        checks.extend(offsets::shrunk_logs(&snapshots, expected));
        if checks.len() == before {
            checks.extend(offsets::summary(&snapshots, expected));
        }
        checks.extend(transactions::offsets(&self.config.kafka.group_id, is_stable, service_timeout));
        snapshots
    }

    /// Returns the logs that end before a committed offset. Reads them again for some seconds: a broker that has just
    /// become leader may report an end offset that is too low.
    fn shrunk_logs(&self, snapshots: &mut [PartitionSnapshot]) -> Vec<Finding> {
        let expected = self.expected(i32::try_from(snapshots.len()).unwrap_or(i32::MAX));
        for _ in 0..SHRUNK_LOG_ATTEMPTS {
            self.read_ranges(snapshots);
            let shrunk = offsets::shrunk_logs(snapshots, expected);
            if shrunk.is_empty() {
                return shrunk;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        offsets::shrunk_logs(snapshots, expected)
    }

    /// Reads the log ranges again.
    fn read_ranges(&self, snapshots: &mut [PartitionSnapshot]) {
        let topics = &self.config.topics;
        for snapshot in snapshots {
            let partition = snapshot.committed.partition;
            if let Ok(range) = self.inspector.range(&topics.touchpoints, partition) {
                snapshot.input = range;
            }
            if let Ok(range) = self.inspector.range(&topics.changelog, partition) {
                snapshot.changelog = range;
            }
            if let Some(Ok(range)) = self.hand_overs().map(|topic| self.inspector.range(topic, partition)) {
                snapshot.hand_overs = Some(range);
            }
        }
    }

    /// Returns a snapshot of every partition, and whether the committed offsets are stable (no pending transaction).
    ///
    /// Reads the log ranges first: a running service advances offsets and truncates logs, so a range that is read later
    /// may no longer contain the offset.
    fn snapshots(&self, partitions: i32, stable_within: Duration) -> Result<(Vec<PartitionSnapshot>, bool), Error> {
        let topics = &self.config.topics;
        let ranges = |topic: &str| -> Result<Vec<LogOffsets>, Error> {
            (0..partitions).map(|partition| self.inspector.range(topic, partition)).collect()
        };
        let (inputs, changelogs) = (ranges(&topics.touchpoints)?, ranges(&topics.changelog)?);
        // A missing topic is another finding.
        let hand_over_range = |partition| self.inspector.range(self.hand_overs()?, partition).ok();
        let hand_overs: Vec<_> = (0..partitions).map_while(hand_over_range).collect();
        let committed = self.inspector.committed_within(&topics.touchpoints, partitions, stable_within)?;
        let hand_overs = hand_overs.into_iter().map(Some).chain(std::iter::repeat(None));
        let logs = inputs.into_iter().zip(changelogs).zip(hand_overs);
        let snapshot = |(committed, ((input, changelog), hand_overs))| PartitionSnapshot {
            committed,
            input,
            changelog,
            hand_overs,
        };
        Ok((committed.offsets.into_iter().zip(logs).map(snapshot).collect(), committed.is_stable))
    }

    /// Checks that this release can decode the last committed changelog record of each partition.
    fn changelog_formats(&self, snapshots: &[PartitionSnapshot], checks: &mut Vec<Finding>) {
        let changelog = &self.config.topics.changelog;
        let mut read = 0;
        let before = checks.len();
        for PartitionSnapshot { committed, changelog: range, .. } in snapshots {
            let Ok(Some(metadata)) = OffsetMetadata::decode(&committed.metadata) else { continue };
            let last = metadata.changelog_end - 1;
            if metadata.changelog_end <= metadata.changelog_start || last < range.start || last >= range.high_watermark
            {
                continue;
            }
            let place = format!("partition {} of {changelog}", committed.partition);
            match self.inspector.record_at(changelog, committed.partition, last) {
                Ok(Some(InspectedRecord { record, .. })) => {
                    match ChangelogDecoder::default().decode(record.value.as_deref().unwrap_or_default()) {
                        Ok(_) => read += 1,
                        Err(error @ ChangelogError::Newer(_)) => checks.push(Finding::new(
                            Severity::Problem,
                            "changelog",
                            place,
                            format!("{error}: the record at offset {}", record.offset),
                            "run the release that wrote it or a newer one",
                        )),
                        Err(error) => checks.push(Finding::new(
                            Severity::Problem,
                            "changelog",
                            place,
                            format!("the record at offset {} cannot be read: {error}", record.offset),
                            "find out which other program writes to the topic, and restore the topic from a backup",
                        )),
                    }
                }
                Ok(None) => {}
                Err(error) => checks.push(query_failed("changelog", &place, &error)),
            }
        }
        if checks.len() == before && read > 0 {
            checks.push(Finding::passed(
                "changelog",
                changelog,
                format!("the last changelog records of {read} partitions can be read"),
            ));
        }
    }

    fn transactions(&self, partitions: i32, broker_max: &Duration, checks: &mut Vec<Finding>) {
        let topics = topics(self.config);
        let now = WallClock::start().now().wall;
        let mut open = Vec::new();
        let mut partitions_read = 0;
        for name in topics.names() {
            let count = match self.inspector.replication(name) {
                Ok(layout) => layout.map_or(0, |it| i32::try_from(it.len()).unwrap_or(partitions)),
                Err(error) => {
                    checks.push(query_failed("transactions", name, &error));
                    continue;
                }
            };
            for partition in 0..count {
                let Ok(range) = self.inspector.range(name, partition) else { continue };
                partitions_read += 1;
                if range.last_stable < range.high_watermark {
                    let first = self.inspector.record_at(name, partition, range.last_stable).ok().flatten();
                    let age = first
                        .and_then(|it| u64::try_from(now.as_millis() - it.record.timestamp_ms?).ok())
                        .map(Duration::from_millis);
                    let blocked_offsets = range.high_watermark - range.last_stable;
                    open.push(transactions::OpenTransaction {
                        topic: name.to_owned(),
                        partition,
                        blocked_offsets,
                        age,
                    });
                }
            }
        }
        checks.extend(transactions::open_too_long(
            &open,
            partitions_read,
            self.config.kafka.transaction_timeout,
            *broker_max,
        ));
    }

    fn permissions(&self, with_probe: bool, snapshots: &[PartitionSnapshot], checks: &mut Vec<Finding>) {
        let topics = &self.config.topics;
        let (input, changelog) = (topics.touchpoints.as_str(), topics.changelog.as_str());
        for (topic, range) in
            [(input, snapshots.first().map(|it| it.input)), (changelog, snapshots.first().map(|it| it.changelog))]
        {
            let Some(range) = range else { continue };
            let read = self.inspector.record_at(topic, 0, range.start).map(drop);
            checks.push(permissions::permission_check(topic, "READ", &read));
        }
        checks.push(permissions::delete_permission(changelog, self.inspector.may_delete(changelog, 0)));
        let mut written: Vec<&str> =
            vec![&topics.touchpoints, &topics.transitions, &topics.replay, &topics.dead_letters];
        written.extend(self.config.publish.routes.iter().map(|route| route.topic.as_str()));
        written.extend(topics.current_stages.as_deref());
        written.sort_unstable();
        written.dedup();
        let group = &self.config.kafka.group_id;
        if !with_probe {
            written.push(changelog);
            written.extend(self.hand_overs());
            checks.push(permissions::untested_permissions(&written, group));
            return;
        }
        let committed = snapshots.iter().map(|it| &it.committed).find(|it| it.offset.is_some());
        // Before the first commit, do not write to the changelog or the hand-overs. The service treats a changelog with
        // records or markers, but without committed offsets, as a loss of these offsets, and hand-overs as those of
        // an earlier run.
        if committed.is_some() {
            written.push(changelog);
            written.extend(self.hand_overs());
        }
        let Some(mut options) = kafka_options(self.config, |_| ()).pop() else { return };
        PROBE_MEMBER.clone_into(&mut options.member);
        options.group_instance_id = None;
        let offset = committed.and_then(|it| {
            let offset = PartitionOffset { partition: it.partition, offset: it.offset? };
            Some((offset, it.metadata.clone()))
        });
        let now = WallClock::start().now().wall;
        checks
            .extend(permissions::probe_results(&probe_permissions(&options, &written, offset, now.as_millis()), group));
    }

    /// Checks that the next unread record of each partition can be read.
    fn unread_records(&self, snapshots: &[PartitionSnapshot], checks: &mut Vec<Finding>) {
        let topic = &self.config.topics.touchpoints;
        let unread = snapshots.iter().filter_map(|it| {
            let next = it.committed.offset?.max(it.input.start);
            (next < it.input.last_stable).then_some((it.committed.partition, next))
        });
        let failed = unread.filter_map(|(partition, next)| {
            let error = self.inspector.record_at(topic, partition, next).err()?;
            Some(records::unreadable(topic, partition, next, &error))
        });
        checks.extend(failed.take(UNREADABLE_MAX));
    }

    /// Returns the latest record of each partition that has one.
    fn latest_records(&self, partitions: i32) -> BTreeMap<i32, InspectedRecord> {
        let topic = &self.config.topics.touchpoints;
        let latest = (0..partitions).filter_map(|partition| {
            let range = self.inspector.range(topic, partition).ok()?;
            // The last offset may be a transaction marker, which consumers do not receive.
            let record = [1, 2].into_iter().find_map(|back| {
                let from = (range.high_watermark - back).max(range.start);
                self.inspector.record_at(topic, partition, from).ok().flatten()
            });
            Some((partition, record?))
        });
        latest.collect()
    }

    /// Compares the newest record timestamp with the local clock. This detects a clock that is ahead of the local one,
    /// but not one that is behind.
    fn clock(&self, latest: &BTreeMap<i32, InspectedRecord>) -> Finding {
        let topic = &self.config.topics.touchpoints;
        let newest = latest.values().filter_map(|it| Some((it.record.timestamp_ms?, it.is_append_time))).max();
        let now = WallClock::start().now().wall;
        let place = topic.as_str();
        let to_do = "synchronize the clocks of the brokers, the producers and this machine with NTP: wake-ups of silent \
                     customers and `publish.fresh_for` depend on them";
        match newest {
            None => Finding::new(Severity::Unknown, "clock", place, "no record to compare clocks with", to_do),
            Some((at, is_append_time)) => {
                let clock_owner = if is_append_time { "the broker's clock" } else { "the producer's clock" };
                let ahead = at - now.as_millis();
                let when = format_timestamp(Timestamp::from_millis(at));
                if ahead > AHEAD_MS_MAX {
                    let what = format!(
                        "the newest touchpoint is from {when} by {clock_owner}, {ahead} ms ahead of this machine"
                    );
                    Finding::new(Severity::Warning, "clock", place, what, to_do)
                } else {
                    let what = format!(
                        "the newest touchpoint is from {when} by {clock_owner}, not ahead of this machine; a clock that is behind \
                         cannot be detected without writing"
                    );
                    Finding::passed("clock", place, what)
                }
            }
        }
    }
}

/// Returns the highest `transaction.max.timeout.ms` of the brokers, or Kafka's default if none of them reports it.
fn transaction_timeout_max(brokers: &[(Broker, BrokerConfigs)]) -> Duration {
    let of = |settings: &BrokerConfigs| match settings {
        BrokerConfigs::Known(settings) => {
            Some(Duration::from_millis(settings.get("transaction.max.timeout.ms")?.parse().ok()?))
        }
        BrokerConfigs::Denied | BrokerConfigs::Unavailable(_) => None,
    };
    brokers
        .iter()
        .filter_map(|(_, settings)| of(settings))
        .max()
        .unwrap_or(transactions::TRANSACTION_TIMEOUT_MAX_DEFAULT)
}

/// Returns the check for a failed query: a problem if permission is denied, otherwise unknown.
fn query_failed(about: &'static str, place: &str, error: &Error) -> Finding {
    if error.is_denied() {
        return error.finding(about, place, "grant the missing permission: see docs/reliability.md");
    }
    Finding::new(
        Severity::Unknown,
        about,
        place,
        format!("the query failed: {} ({}: {})", error.what, error.call, error.code),
        "run `lifecycle doctor` again once the cluster answers",
    )
}
