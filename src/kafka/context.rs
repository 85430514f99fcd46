//! The client context: queues what librdkafka reports through callbacks until the polling thread reads it.
//!
//! Each callback only stores its data. So no worker code runs inside a librdkafka callback, and the worker's loop
//! decides when it answers a rebalance.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{NoCustomPartitioner, ProducerContext};
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::RDKafkaRespErr;
use serde::Deserialize;

use super::error_code::ErrorCode;
use super::log_throttle::CLIENT_LOG_THROTTLE;
use super::member::PartitionId;
use super::member::read_position::FetchStatistics;

/// Maximum number of callbacks to serve before reading the last error.
const CALLBACKS_MAX: usize = 20;

/// A change of the assignment, as reported to the rebalance callback.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Rebalance {
    Assigned(Vec<PartitionId>),
    Revoked(Vec<PartitionId>),
    Lost(Vec<PartitionId>),
}

/// The delivery reports of the records of one `send`, filled in as they arrive.
#[derive(Debug, Default)]
struct DeliveryReports {
    /// The number of the first record: each record of a client has its own, so that a report that arrives after its
    /// `send` has failed is ignored.
    first: usize,
    outcomes: Vec<Option<Result<i64, RDKafkaErrorCode>>>,
}

/// An error that the client reports through its error callback.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ClientReport {
    pub(super) code: ErrorCode,
    /// The client's own words.
    pub(super) reason: String,
}

/// The unread reports of one client.
#[derive(Default, Debug)]
pub(super) struct Context {
    rebalances: Mutex<VecDeque<Rebalance>>,
    statistics: Mutex<Option<ConsumerStatistics>>,
    last_error: Mutex<Option<ClientReport>>,
    reports: Mutex<DeliveryReports>,
    event_count: AtomicU64,
    is_closing: AtomicBool,
    /// Whether the client has reported that no broker is reachable, and has not reached one since.
    is_cut_off: AtomicBool,
}

impl Context {
    /// Removes and returns the oldest unread rebalance.
    pub(super) fn take_rebalance(&self) -> Option<Rebalance> {
        lock(&self.rebalances).pop_front()
    }

    /// Removes and returns the latest statistics, if they are unread.
    pub(super) fn take_statistics(&self) -> Option<ConsumerStatistics> {
        lock(&self.statistics).take()
    }

    /// Removes and returns the last error from the error callback. The cause of a lost connection is reported only
    /// there.
    pub(super) fn take_error(&self) -> Option<ClientReport> {
        lock(&self.last_error).take()
    }

    /// Prepares for the reports of `records` records. Returns the number of the first; the others follow it.
    pub(super) fn expect_reports(&self, records: usize) -> usize {
        let mut reports = lock(&self.reports);
        reports.first = reports.first.wrapping_add(reports.outcomes.len());
        reports.outcomes = vec![None; records];
        reports.first
    }

    /// Returns the offset or error of each record, in order; `None` for a record without a delivery report.
    pub(super) fn take_reports(&self) -> Vec<Option<Result<i64, RDKafkaErrorCode>>> {
        let mut reports = lock(&self.reports);
        reports.first = reports.first.wrapping_add(reports.outcomes.len());
        std::mem::take(&mut reports.outcomes)
    }

    /// Returns the number of callbacks so far. If it has not changed during a poll that returned nothing, the client's
    /// queue was empty; a poll also returns nothing after it has served a callback.
    pub(super) fn event_count(&self) -> u64 {
        self.event_count.load(Ordering::Relaxed)
    }

    /// Makes the rebalance callback answer rebalances itself from now on, because the worker no longer does.
    pub(super) fn begin_closing(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    /// Logs the end of an outage, once for all clients. A client that was not cut off proves nothing: its connections
    /// may be lost and not yet be noticed.
    fn broker_reached(&self) {
        if self.is_cut_off.swap(false, Ordering::Relaxed) && CLIENT_LOG_THROTTLE.admit_recovery() {
            tracing::info!(target: "kafka", "brokers are reachable again");
        }
    }

    fn count_event(&self) {
        self.event_count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Serves the client's queued callbacks, and returns the last error from its error callback: the cause of a failed
/// connection.
pub(super) fn last_report(client: &BaseConsumer<Context>) -> Option<ClientReport> {
    for _ in 0..CALLBACKS_MAX {
        drop(client.poll(Duration::from_millis(1)));
    }
    client.context().take_error()
}

/// Strips librdkafka's internal thread name from a log line.
fn strip_thread_name(message: &str) -> &str {
    message.strip_prefix("[thrd:").and_then(|rest| Some(rest.split_once("]: ")?.1)).unwrap_or(message)
}

/// Locks `mutex`, ignoring poisoning: each update is a single assignment, so the value is consistent after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.count_event();
        let message = strip_thread_name(message);
        match level {
            // CONFWARN is logged for passed-through settings that only producers or only consumers use. FAIL repeats
            // what the error callback reports.
            _ if matches!(facility, "CONFWARN" | "FAIL") => tracing::debug!(target: "kafka", facility, "{message}"),
            // A fenced producer reports each transaction that it loses, and the worker recovers.
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                if let Some(suppressed) = CLIENT_LOG_THROTTLE.admit(facility, Instant::now()) {
                    tracing::error!(target: "kafka", facility, suppressed, "{message}");
                } else {
                    tracing::debug!(target: "kafka", facility, "{message}");
                }
            }
            // librdkafka logs a lost broker as an error although it reconnects automatically.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                if let Some(suppressed) = CLIENT_LOG_THROTTLE.admit(facility, Instant::now()) {
                    tracing::warn!(target: "kafka", facility, suppressed, "{message}");
                } else {
                    tracing::debug!(target: "kafka", facility, "{message}");
                }
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(target: "kafka", facility, "{message}"),
            RDKafkaLogLevel::Debug => tracing::debug!(target: "kafka", facility, "{message}"),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.count_event();
        match parse_statistics(statistics) {
            Ok(read) => {
                if read.is_connected {
                    self.broker_reached();
                }
                *lock(&self.statistics) = Some(read);
            }
            Err(error) => tracing::warn!(target: "kafka", %error, "cannot parse the client statistics"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.count_event();
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.is_cut_off.store(true, Ordering::Relaxed);
        }
        let name = code.map_or_else(|| "Unspecified".to_owned(), |code| format!("{code:?}"));
        match CLIENT_LOG_THROTTLE.admit(&name, Instant::now()) {
            None => tracing::debug!(target: "kafka", code = name, reason, "kafka client reported an error again"),
            Some(suppressed) if code == Some(RDKafkaErrorCode::AllBrokersDown) => {
                tracing::warn!(target: "kafka", reason, suppressed, "no broker is reachable, client keeps retrying");
                CLIENT_LOG_THROTTLE.outage_logged();
            }
            Some(suppressed) if code == Some(RDKafkaErrorCode::BrokerTransportFailure) => {
                tracing::warn!(target: "kafka", reason, suppressed, "broker connection failed, client will reconnect");
            }
            Some(suppressed) => {
                tracing::warn!(target: "kafka", code = name, reason, suppressed, "kafka client reported an error");
            }
        }
        let mut last = lock(&self.last_error);
        // "All brokers down" must not replace the cause of the last failed connection, and a connection that ends must
        // not replace a failed handshake: another address of the same name may have no listener.
        let is_consequence = match code {
            Some(RDKafkaErrorCode::AllBrokersDown) => true,
            Some(RDKafkaErrorCode::BrokerTransportFailure) => {
                last.as_ref().is_some_and(|known| known.code == ErrorCode::from(RDKafkaErrorCode::SSL))
            }
            _ => false,
        };
        if last.is_none() || !is_consequence {
            let code = code.map_or(ErrorCode::Unspecified, ErrorCode::from);
            *last = Some(ClientReport { code, reason: reason.to_owned() });
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        self.count_event();
        let partitions: Vec<PartitionId> = list.elements().iter().map(TopicPartitionListElem::partition).collect();
        let is_assignment = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.is_closing.load(Ordering::Relaxed) {
            let acknowledged = if is_assignment {
                consumer.incremental_assign(&TopicPartitionList::new())
            } else {
                // The client's assignment contains only the partitions that are being fetched.
                match consumer.assignment() {
                    Ok(fetched) => consumer.incremental_unassign(&fetched),
                    Err(error) => Err(error),
                }
            };
            if let Err(error) = acknowledged {
                tracing::debug!(target: "kafka", %error, "could not answer a rebalance while closing");
            }
            return;
        }
        let rebalance = if is_assignment {
            Rebalance::Assigned(partitions)
        } else if consumer.assignment_lost() {
            Rebalance::Lost(partitions)
        } else {
            Rebalance::Revoked(partitions)
        };
        lock(&self.rebalances).push_back(rebalance);
    }
}

impl ProducerContext<NoCustomPartitioner> for Context {
    /// The number of the record.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, record: usize) {
        let outcome = match result {
            Ok(message) => {
                self.broker_reached();
                Ok(message.offset())
            }
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)),
        };
        let mut reports = lock(&self.reports);
        let index = record.wrapping_sub(reports.first);
        if let Some(report) = reports.outcomes.get_mut(index) {
            *report = Some(outcome);
        }
    }
}

/// The part of librdkafka's statistics that the readers use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ConsumerStatistics {
    /// The fetch state of each partition.
    pub(super) partitions: BTreeMap<PartitionId, FetchStatistics>,
    /// Whether the client is a group member and no rebalance is in progress (join state `steady`).
    pub(super) is_steady: bool,
    /// Whether the client is not in the group: it has left, or has not begun to join (join state `init`).
    pub(super) is_outside: bool,
    /// Whether the client has a usable connection to a broker.
    pub(super) is_connected: bool,
}

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: BTreeMap<String, TopicStatistics>,
    #[serde(default)]
    brokers: BTreeMap<String, BrokerStatistics>,
    cgrp: Option<GroupStatistics>,
}

#[derive(Deserialize)]
struct BrokerStatistics {
    #[serde(default)]
    state: String,
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

/// The value of an unknown offset in the statistics (`RD_KAFKA_OFFSET_INVALID`).
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
    #[serde(default = "unknown")]
    hi_offset: i64,
}

/// Parses the statistics. Each consumer reads a single topic, so the partition number is a sufficient key.
fn parse_statistics(json: &[u8]) -> Result<ConsumerStatistics, serde_json::Error> {
    let statistics: Statistics = serde_json::from_slice(json)?;
    let join_state = statistics.cgrp.map(|it| it.join_state).unwrap_or_default();
    let (is_steady, is_outside) = (join_state == "steady", join_state == "init");
    let is_connected = statistics.brokers.values().any(|broker| matches!(broker.state.as_str(), "UP" | "UPDATE"));
    let partitions = statistics.topics.into_values().flat_map(|topic| topic.partitions.into_values());
    let partitions = partitions
        .filter(|it| it.partition >= 0)
        .map(|it| {
            (
                it.partition,
                FetchStatistics {
                    next_offset: it.next_offset,
                    eof_offset: it.eof_offset,
                    last_stable: it.ls_offset,
                    high_watermark: it.hi_offset,
                },
            )
        })
        .collect();
    Ok(ConsumerStatistics { partitions, is_steady, is_outside, is_connected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistics_in_use_are_parsed_and_the_rest_is_skipped() {
        let json = br#"{"name":"rdkafka#consumer-1","ts":5,"brokers":{"a":{"state":"DOWN","rtt":{"avg":1}},"b":{"state":"UP"}},"topics":{"input":{"topic":"input",
            "partitions":{"0":{"partition":0,"next_offset":7,"eof_offset":7,"hi_offset":11,"ls_offset":9},
                          "3":{"partition":3,"next_offset":-1001,"eof_offset":-1001},
                          "-1":{"partition":-1,"next_offset":-1001,"eof_offset":-1001}}}},"cgrp":{"state":"up","join_state":"steady"}}"#;
        let statistics = parse_statistics(json).unwrap();
        let ConsumerStatistics { partitions: read, is_steady, is_outside, is_connected } = statistics;
        assert!(is_steady && !is_outside && is_connected);
        assert_eq!(read.len(), 2);
        assert_eq!(read[&0], FetchStatistics { next_offset: 7, eof_offset: 7, last_stable: 9, high_watermark: 11 });
        assert_eq!(read[&3].eof_offset, -1001);
    }

    #[test]
    fn thread_names_are_stripped_from_log_lines() {
        assert_eq!(strip_thread_name("[thrd:main]: Session timed out: rejoining"), "Session timed out: rejoining");
        assert_eq!(strip_thread_name("rejoining"), "rejoining");
    }

    #[test]
    fn statistics_of_a_client_without_partitions_are_empty() {
        let read = parse_statistics(br#"{"name":"x","topics":{}}"#).unwrap();
        assert!(read.partitions.is_empty() && !read.is_steady && !read.is_outside && !read.is_connected);
        assert!(parse_statistics(br#"{"cgrp":{"join_state":"init"}}"#).unwrap().is_outside);
    }
}
