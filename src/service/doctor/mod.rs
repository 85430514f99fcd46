//! Examines a cluster for the service: everything that keeps it from starting, from going on, or from keeping its promise.
//!
//! Nothing is changed, and no group is joined; only a probe that is asked for writes, in transactions that it aborts. Here the
//! cluster is asked; what follows from its answers is said by the other files of the folder.

mod brokers;
mod check;
mod group;
mod offsets;
mod rights;
mod transactions;

use std::time::Duration;

use crate::config::Config;
use crate::kafka::admin::{self, Severity};
use crate::kafka::group::describe_group;
use crate::kafka::inspect::{Broker, Inspector, LogRange, Settings};
use crate::kafka::probe::probe;
use crate::kafka::{Cluster, Error, PartitionOffset, versions};
use crate::lifecycle::time::Timestamp;
use crate::runtime::WallClock;
use crate::wire::changelog::{ChangelogDecoder, ChangelogError};
use crate::wire::offset_metadata::OffsetMetadata;
use crate::wire::time::format_timestamp;

use super::options::{kafka_options, member_name};
use super::topics::{cluster, topics};
pub use check::{Check, Examination, Verdict};
use offsets::{Expected, Position};

/// How far ahead of us a record may be before it is said so.
const AHEAD_MAX: i64 = 1_000;
/// The name of the member under which a probe writes. No instance is called so: their members end in a number.
const PROBE: &str = "doctor";

/// The report on a cluster that cannot be examined: one check, and what came of it.
#[must_use]
pub fn unexamined(config: &Config, error: &Error) -> Examination {
    let to_do =
        error.to_do.unwrap_or("see that the settings below `kafka` are those that this cluster wants, then ask again");
    let servers = config.kafka.bootstrap_servers.as_str();
    Examination { checks: vec![Check::new(Verdict::Problem, "brokers", servers, error.message.as_str(), to_do)] }
}

/// Looks at everything. With `is_probing`, also tries what only an attempt can tell.
///
/// # Errors
/// When the cluster does not answer at all, or refuses to.
pub fn examine(config: &Config, is_probing: bool) -> Result<Examination, Error> {
    let cluster = cluster(config);
    let inspector = Inspector::new(&cluster, &config.kafka.group_id)?;
    let settings = |it: Broker| {
        let settings = inspector.broker_settings(it.id);
        (it, settings)
    };
    let brokers: Vec<(Broker, Settings)> = inspector.brokers()?.into_iter().map(settings).collect();
    let mut checks = brokers::reachable(&brokers);
    checks.extend(brokers::versions(&brokers, &versions::spoken(&cluster, brokers.len())?));
    checks.extend(brokers::limits(&brokers, config.kafka.transaction_timeout, config.kafka.session_timeout));
    let doctor = Doctor { config, cluster: &cluster, inspector: &inspector };
    let partitions = doctor.topics(&mut checks)?;
    if let Some(partitions) = partitions {
        doctor.group(partitions, &mut checks);
        let positions = doctor.offsets(partitions, &mut checks);
        doctor.changelog_formats(&positions, &mut checks);
        doctor.transactions(partitions, &longest(&brokers), &mut checks);
        doctor.rights(is_probing, &positions, &mut checks);
        doctor.clock(partitions, &mut checks);
    }
    Ok(Examination { checks })
}

/// What keeps the service from starting though its topics are good: positions that are gone, another number of partitions, a
/// newer format. An answer that does not come is no refusal, since the workers ask again.
///
/// # Errors
/// When a setting of the client is refused.
pub fn refusals(config: &Config, partitions: i32) -> Result<Vec<Check>, Error> {
    let cluster = cluster(config);
    let inspector = Inspector::new(&cluster, &config.kafka.group_id)?;
    let doctor = Doctor { config, cluster: &cluster, inspector: &inspector };
    let positions = doctor.positions(partitions).map(|(positions, _)| positions).unwrap_or_default();
    let mut checks = offsets::refusals(&positions, doctor.expected(partitions));
    doctor.changelog_formats(&positions, &mut checks);
    checks.retain(|it| it.verdict == Verdict::Problem);
    Ok(checks)
}

/// The names of this instance's members that the group has already, before they join: of another instance, or of this one as
/// long as the group does not know that it has ended. None while the group cannot be asked.
#[must_use]
pub fn namesakes(config: &Config) -> Vec<String> {
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
    /// Returns how many partitions the topic of touchpoints has, if what else is to be looked at is there.
    fn topics(&self, checks: &mut Vec<Check>) -> Result<Option<i32>, Error> {
        let topics = topics(self.config);
        let findings = match admin::verify(self.cluster, &topics) {
            Ok(findings) => findings,
            Err(error) if error.is_denied() => {
                let to_do = "grant what is missing; the rest is looked at once the topics can be seen";
                checks.push(Check::new(Verdict::Problem, "rights", "topics", error.message, to_do));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        for name in topics.names() {
            let before = checks.len();
            for finding in findings.iter().filter(|it| it.topic == name) {
                let verdict = match finding.severity {
                    Severity::Warning => Verdict::Warning,
                    Severity::Refusal => Verdict::Problem,
                };
                checks.push(Check::new(verdict, "topics", name, finding.what.clone(), finding.to_do.clone()));
            }
            let Some(layout) = self.inspector.layout(name)? else { continue };
            if checks.len() == before {
                let what = format!("{} partitions, its settings are good", layout.len());
                checks.push(Check::passed("topics", name, what));
            }
            checks.extend(brokers::partitions(name, &layout));
        }
        let partitions = |name: &str| self.inspector.layout(name).map(|it| it.map(|it| it.len()));
        let (input, changelog) = (partitions(&topics.input)?, partitions(&topics.changelog)?);
        Ok(input.filter(|input| changelog.is_some_and(|it| it >= *input)).and_then(|it| i32::try_from(it).ok()))
    }

    fn group(&self, partitions: i32, checks: &mut Vec<Check>) {
        let name = &self.config.kafka.group_id;
        match self.inspector.group(&self.config.topics.touchpoints) {
            Ok(group) => checks.extend(group::members(name, &group, partitions)),
            Err(error) => checks.push(unanswered("group", name, &error)),
        }
    }

    fn expected(&self, partitions: i32) -> Expected<'_> {
        let topics = &self.config.topics;
        let models = self.config.models.load(false).ok().map(|models| models.hash);
        Expected { topic: &topics.touchpoints, changelog: &topics.changelog, partitions, models }
    }

    fn offsets(&self, partitions: i32, checks: &mut Vec<Check>) -> Vec<Position> {
        let expected = self.expected(partitions);
        let ours = self.config.kafka.transaction_timeout;
        let (mut positions, is_settled) = match self.positions(partitions) {
            Ok(found) => found,
            Err(error) => {
                checks.push(unanswered("offsets", expected.topic, &error));
                return Vec::new();
            }
        };
        let before = checks.len();
        checks.extend(offsets::refusals(&positions, expected));
        // What was asked for before the offsets may be older than they are.
        for position in &mut positions {
            let partition = position.committed.partition;
            if let Ok(range) = self.inspector.range(expected.topic, partition) {
                position.input = range;
            }
            if let Ok(range) = self.inspector.range(expected.changelog, partition) {
                position.changelog = range;
            }
        }
        checks.extend(offsets::shrunk(&positions, expected));
        if checks.len() == before {
            checks.extend(offsets::summary(&positions, expected));
        }
        checks.extend(transactions::offsets(&self.config.kafka.group_id, is_settled, ours));
        positions
    }

    fn positions(&self, partitions: i32) -> Result<(Vec<Position>, bool), Error> {
        let topics = &self.config.topics;
        let ranges = |topic: &str| -> Result<Vec<LogRange>, Error> {
            (0..partitions).map(|partition| self.inspector.range(topic, partition)).collect()
        };
        let (inputs, changelogs) = (ranges(&topics.touchpoints)?, ranges(&topics.changelog)?);
        let committed = self.inspector.committed(&topics.touchpoints, partitions)?;
        let logs = inputs.into_iter().zip(changelogs);
        let position = |(committed, (input, changelog))| Position { committed, input, changelog };
        Ok((committed.offsets.into_iter().zip(logs).map(position).collect(), committed.is_settled))
    }

    /// Reads the last committed changelog record of each partition.
    fn changelog_formats(&self, positions: &[Position], checks: &mut Vec<Check>) {
        let changelog = &self.config.topics.changelog;
        let mut read = 0;
        let before = checks.len();
        for Position { committed, changelog: range, .. } in positions {
            let Ok(Some(metadata)) = OffsetMetadata::decode(&committed.metadata) else { continue };
            let last = metadata.changelog_end - 1;
            if metadata.changelog_end <= metadata.changelog_start || last < range.start || last >= range.end {
                continue;
            }
            let place = format!("partition {} of {changelog}", committed.partition);
            match self.inspector.record_at(changelog, committed.partition, last) {
                Ok(Some(record)) => match ChangelogDecoder::default().decode(&record.value) {
                    Ok(_) => read += 1,
                    Err(error @ ChangelogError::Newer(_)) => checks.push(Check::new(
                        Verdict::Problem,
                        "changelog",
                        place,
                        format!("{error}: the record at offset {}", record.offset),
                        "run the release that wrote it or a newer one",
                    )),
                    Err(error) => checks.push(Check::new(
                        Verdict::Problem,
                        "changelog",
                        place,
                        format!("the record at offset {} cannot be read: {error}", record.offset),
                        "find out who else writes to the topic, and restore it from a copy",
                    )),
                },
                Ok(None) => {}
                Err(error) => checks.push(unanswered("changelog", &place, &error)),
            }
        }
        if checks.len() == before && read > 0 {
            checks.push(Check::passed(
                "changelog",
                changelog,
                format!("the last records of {read} partitions can be read"),
            ));
        }
    }

    fn transactions(&self, partitions: i32, longest: &Duration, checks: &mut Vec<Check>) {
        let names = topics(self.config);
        let now = WallClock::start().now().wall;
        let mut open = Vec::new();
        let mut logs = 0;
        for name in names.names() {
            let count = match self.inspector.layout(name) {
                Ok(layout) => layout.map_or(0, |it| i32::try_from(it.len()).unwrap_or(partitions)),
                Err(error) => {
                    checks.push(unanswered("transactions", name, &error));
                    continue;
                }
            };
            for partition in 0..count {
                let Ok(range) = self.inspector.range(name, partition) else { continue };
                logs += 1;
                if range.stable_end < range.end {
                    let first = self.inspector.record_at(name, partition, range.stable_end).ok().flatten();
                    let age = first
                        .and_then(|it| u64::try_from(now.as_millis() - it.timestamp_ms?).ok())
                        .map(Duration::from_millis);
                    let waiting = range.end - range.stable_end;
                    open.push(transactions::Open { topic: name.to_owned(), partition, waiting, age });
                }
            }
        }
        checks.extend(transactions::open(&open, logs, self.config.kafka.transaction_timeout, *longest));
    }

    fn rights(&self, is_probing: bool, positions: &[Position], checks: &mut Vec<Check>) {
        let topics = &self.config.topics;
        let (input, changelog) = (topics.touchpoints.as_str(), topics.changelog.as_str());
        for (topic, range) in
            [(input, positions.first().map(|it| it.input)), (changelog, positions.first().map(|it| it.changelog))]
        {
            let Some(range) = range else { continue };
            let read = self.inspector.record_at(topic, 0, range.start).map(drop);
            checks.push(rights::tried(topic, "READ", &read));
        }
        checks.push(rights::deletion(changelog, self.inspector.may_delete(changelog, 0)));
        let mut written: Vec<&str> = vec![&topics.transitions, &topics.replay, &topics.dead_letters];
        written.dedup();
        let group = &self.config.kafka.group_id;
        if !is_probing {
            written.push(changelog);
            checks.push(rights::untried(&written, group));
            return;
        }
        let committed = positions.iter().map(|it| &it.committed).find(|it| it.offset.is_some());
        // Before the first commit a changelog that holds anything, if only a marker, stands for offsets that were lost.
        if committed.is_some() {
            written.push(changelog);
        }
        let Some(mut options) = kafka_options(self.config, |_| ()).pop() else { return };
        PROBE.clone_into(&mut options.member);
        options.group_instance_id = None;
        let offset = committed.and_then(|it| {
            let position = PartitionOffset { partition: it.partition, offset: it.offset? };
            Some((position, it.metadata.clone()))
        });
        let now = WallClock::start().now().wall;
        checks.extend(rights::probed(&probe(&options, &written, offset, now.as_millis()), group));
    }

    /// A record from the future proves that a clock is ahead of ours; nothing that is there proves that one is behind.
    fn clock(&self, partitions: i32, checks: &mut Vec<Check>) {
        let topic = &self.config.topics.touchpoints;
        let mut newest = None;
        for partition in 0..partitions {
            let Ok(range) = self.inspector.range(topic, partition) else { continue };
            if range.end == range.start {
                continue;
            }
            // The last offset may be that of a marker.
            let from = (range.end - 2).max(range.start);
            let Ok(Some(record)) = self.inspector.record_at(topic, partition, from) else { continue };
            newest = newest.max(record.timestamp_ms.map(|at| (at, record.is_append_time)));
        }
        let now = WallClock::start().now().wall;
        let place = topic.as_str();
        let to_do = "compare the clocks of the brokers, of the writers and of this machine, and have all of them set by NTP: \
                     wake-ups of silent customers and the age of news go by them";
        checks.push(match newest {
            None => Check::new(Verdict::Unknown, "clock", place, "no record tells of any other clock", to_do),
            Some((at, is_append_time)) => {
                let whose = if is_append_time { "the broker's clock" } else { "the writer's clock" };
                let ahead = at - now.as_millis();
                let when = format_timestamp(Timestamp::from_millis(at));
                if ahead > AHEAD_MAX {
                    let what = format!("the newest touchpoint is of {when} by {whose}: {ahead} ms ahead of this machine");
                    Check::new(Verdict::Warning, "clock", place, what, to_do)
                } else {
                    let what = format!(
                        "the newest touchpoint is of {when} by {whose}: none is ahead of this machine; one that is behind \
                         cannot be told without writing"
                    );
                    Check::passed("clock", place, what)
                }
            }
        });
    }
}

/// The longest transaction that the brokers allow.
fn longest(brokers: &[(Broker, Settings)]) -> Duration {
    let of = |settings: &Settings| match settings {
        Settings::Known(settings) => {
            Some(Duration::from_millis(settings.get("transaction.max.timeout.ms")?.parse().ok()?))
        }
        Settings::Denied | Settings::Unanswered(_) => None,
    };
    brokers.iter().filter_map(|(_, settings)| of(settings)).max().unwrap_or(transactions::TRANSACTION_MAX)
}

fn unanswered(about: &'static str, place: &str, error: &Error) -> Check {
    if error.is_denied() {
        return Check::new(
            Verdict::Problem,
            about,
            place,
            error.to_string(),
            "grant what is missing: see docs/reliability.md",
        );
    }
    Check::new(Verdict::Unknown, about, place, format!("the cluster did not say: {error}"), "ask again once it answers")
}
