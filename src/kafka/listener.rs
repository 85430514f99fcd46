//! Keeps what the client library reports while it is polled, until the thread that polls asks for it.
//!
//! The library speaks through callbacks; here each only takes a note. So nothing of ours runs inside the library, and a
//! rebalance is answered where the worker's loop wants to answer it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{NoCustomPartitioner, ProducerContext};
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::RDKafkaRespErr;
use serde::Deserialize;

use super::member::PartitionId;
use super::read_position::Fetched;
use super::repeats::OF_CLIENTS;

/// Partitions that the group gives or takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Rebalance {
    Gained(Vec<PartitionId>),
    Revoked(Vec<PartitionId>),
    Lost(Vec<PartitionId>),
}

/// The fate of the records of one `send`, filled in as the broker answers.
#[derive(Debug)]
pub(super) struct Deliveries(Mutex<Vec<Option<Result<i64, RDKafkaErrorCode>>>>);

impl Deliveries {
    pub(super) fn of(records: usize) -> Self {
        Self(Mutex::new(vec![None; records]))
    }

    fn note(&self, index: usize, outcome: Result<i64, RDKafkaErrorCode>) {
        lock(&self.0)[index] = Some(outcome);
    }

    /// The outcome of each record, in order; `None` while the broker has not answered.
    pub(super) fn outcomes(&self) -> Vec<Option<Result<i64, RDKafkaErrorCode>>> {
        lock(&self.0).clone()
    }
}

/// Which record of which `send` a delivery report belongs to.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) of: std::sync::Arc<Deliveries>,
    pub(super) index: usize,
}

/// What one client has reported and nobody has asked for yet.
#[derive(Default, Debug)]
pub(super) struct Listener {
    rebalances: Mutex<VecDeque<Rebalance>>,
    statistics: Mutex<Option<ReadStatistics>>,
    last_error: Mutex<Option<String>>,
    reports: AtomicU64,
    is_closing: AtomicBool,
}

impl Listener {
    /// The oldest rebalance not yet taken.
    pub(super) fn take_rebalance(&self) -> Option<Rebalance> {
        lock(&self.rebalances).pop_front()
    }

    /// The latest statistics, when there are new ones.
    pub(super) fn take_statistics(&self) -> Option<ReadStatistics> {
        lock(&self.statistics).take()
    }

    /// The last error that the client reported beside its calls; the cause of a lost connection is told only here.
    pub(super) fn take_error(&self) -> Option<String> {
        lock(&self.last_error).take()
    }

    /// How often the client has reported anything. Unchanged over a poll that returned nothing, it says that the
    /// client's queue was empty: a poll also returns nothing after it has served a report.
    pub(super) fn reports(&self) -> u64 {
        self.reports.load(Ordering::Relaxed)
    }

    /// From now on revoked partitions are let go at once, since nobody is left to answer.
    pub(super) fn begin_closing(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    fn count(&self) {
        self.reports.fetch_add(1, Ordering::Relaxed);
    }
}

/// A line of the library without the name of its thread, which says nothing to a reader.
fn without_thread(message: &str) -> &str {
    message.strip_prefix("[thrd:").and_then(|rest| Some(rest.split_once("]: ")?.1)).unwrap_or(message)
}

/// A lock whose holder panicked still guards a whole value: each is replaced in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.count();
        let message = without_thread(message);
        match level {
            // It warns of settings of the other kinds of client, which are passed to every one of ours; and of a connection that
            // failed it tells a second time, as an error.
            _ if matches!(facility, "CONFWARN" | "FAIL") => tracing::debug!(target: "kafka", facility, "{message}"),
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "kafka", facility, "{message}");
            }
            // The library calls a broker that went away an error; it comes back to it by itself.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                if let Some(unsaid) = OF_CLIENTS.tell(facility, Instant::now()) {
                    tracing::warn!(target: "kafka", facility, unsaid, "{message}");
                } else {
                    tracing::debug!(target: "kafka", facility, "{message}");
                }
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(target: "kafka", facility, "{message}"),
            RDKafkaLogLevel::Debug => tracing::debug!(target: "kafka", facility, "{message}"),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.count();
        match read_statistics(statistics) {
            Ok(read) => *lock(&self.statistics) = Some(read),
            Err(error) => tracing::warn!(target: "kafka", %error, "the client's statistics cannot be read"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.count();
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        let name = code.map_or_else(|| "Unspecified".to_owned(), |code| format!("{code:?}"));
        match OF_CLIENTS.tell(&name, Instant::now()) {
            None => tracing::debug!(target: "kafka", code = name, reason, "the client reports an error again"),
            Some(unsaid) if code == Some(RDKafkaErrorCode::AllBrokersDown) => {
                tracing::warn!(target: "kafka", reason, unsaid, "no broker can be reached; the client goes on trying");
            }
            Some(unsaid) if code == Some(RDKafkaErrorCode::BrokerTransportFailure) => {
                tracing::warn!(target: "kafka", reason, unsaid, "a connection to a broker failed; the client goes on trying");
            }
            Some(unsaid) => {
                tracing::warn!(target: "kafka", code = name, reason, unsaid, "the client reports an error");
            }
        }
        let mut last = lock(&self.last_error);
        // That no broker is left says less than why the last one went.
        if last.is_none() || code != Some(RDKafkaErrorCode::AllBrokersDown) {
            *last = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Listener {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        self.count();
        let partitions: Vec<PartitionId> = list.elements().iter().map(TopicPartitionListElem::partition).collect();
        let gained = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.is_closing.load(Ordering::Relaxed) {
            let answered = if gained {
                consumer.incremental_assign(&TopicPartitionList::new())
            } else {
                // Only what is fetched can be given up.
                match consumer.assignment() {
                    Ok(fetched) => consumer.incremental_unassign(&fetched),
                    Err(error) => Err(error),
                }
            };
            if let Err(error) = answered {
                tracing::debug!(target: "kafka", %error, "a rebalance while closing was not answered");
            }
            return;
        }
        let rebalance = if gained {
            Rebalance::Gained(partitions)
        } else if consumer.assignment_lost() {
            Rebalance::Lost(partitions)
        } else {
            Rebalance::Revoked(partitions)
        };
        lock(&self.rebalances).push_back(rebalance);
    }
}

impl ProducerContext<NoCustomPartitioner> for Listener {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        let outcome = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)),
        };
        delivery.of.note(delivery.index, outcome);
    }
}

/// What the client's statistics say, as far as it matters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ReadStatistics {
    /// Of each partition.
    pub(super) partitions: BTreeMap<PartitionId, Fetched>,
    /// Whether the client is a member of the group with nothing under way.
    pub(super) is_settled: bool,
}

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: BTreeMap<String, TopicStatistics>,
    cgrp: Option<GroupStatistics>,
}

#[derive(Deserialize)]
struct GroupStatistics {
    #[serde(default)]
    join_state: String,
}

#[derive(Deserialize)]
struct TopicStatistics {
    #[serde(default)]
    partitions: BTreeMap<String, PartitionStatistics>,
}

/// What the client writes for an offset that it does not know.
const fn unknown() -> i64 {
    -1001
}

#[derive(Deserialize)]
struct PartitionStatistics {
    partition: PartitionId,
    next_offset: i64,
    eof_offset: i64,
    #[serde(default = "unknown")]
    ls_offset: i64,
}

/// Reads the few fields that we need. A consumer of ours reads one topic, so the partition alone tells them apart.
fn read_statistics(json: &[u8]) -> Result<ReadStatistics, serde_json::Error> {
    let statistics: Statistics = serde_json::from_slice(json)?;
    let is_settled = statistics.cgrp.is_some_and(|it| it.join_state == "steady");
    let partitions = statistics.topics.into_values().flat_map(|topic| topic.partitions.into_values());
    let partitions = partitions
        .filter(|it| it.partition >= 0)
        .map(|it| (it.partition, Fetched { next: it.next_offset, end_met: it.eof_offset, end: it.ls_offset }))
        .collect();
    Ok(ReadStatistics { partitions, is_settled })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistics_that_decide_are_read_and_the_rest_is_skipped() {
        let json = br#"{"name":"rdkafka#consumer-1","ts":5,"brokers":{"a":{"rtt":{"avg":1}}},"topics":{"input":{"topic":"input",
            "partitions":{"0":{"partition":0,"next_offset":7,"eof_offset":7,"hi_offset":9,"ls_offset":9},
                          "3":{"partition":3,"next_offset":-1001,"eof_offset":-1001},
                          "-1":{"partition":-1,"next_offset":-1001,"eof_offset":-1001}}}},"cgrp":{"state":"up","join_state":"steady"}}"#;
        let ReadStatistics { partitions: read, is_settled } = read_statistics(json).unwrap();
        assert!(is_settled);
        assert_eq!(read.len(), 2);
        assert_eq!(read[&0], Fetched { next: 7, end_met: 7, end: 9 });
        assert_eq!(read[&3].end_met, -1001);
    }

    #[test]
    fn lines_of_the_library_do_not_name_its_threads() {
        assert_eq!(without_thread("[thrd:main]: Session timed out: rejoining"), "Session timed out: rejoining");
        assert_eq!(without_thread("rejoining"), "rejoining");
    }

    #[test]
    fn statistics_of_a_client_that_reads_nothing_are_empty() {
        let read = read_statistics(br#"{"name":"x","topics":{}}"#).unwrap();
        assert!(read.partitions.is_empty() && !read.is_settled);
    }
}
