//! Finds out which protocol versions the brokers support.
//!
//! librdkafka knows them but has no API for them; it only logs them while it connects. This module parses those log
//! lines, only for reports that people read. If a future release logs other lines, the report says that the versions
//! are unknown.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;

use crate::kafka::error::Error;
use crate::kafka::settings::Cluster;

/// The maximum time to wait until all brokers have logged their versions.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long one poll of the client blocks.
const POLL_TIMEOUT: Duration = Duration::from_millis(50);

/// The highest version that a broker supports of each request type, by Kafka's API key.
pub type ApiVersions = BTreeMap<i16, i16>;

/// The API key of Produce requests, whose version identifies a broker's release best.
pub const PRODUCE: i16 = 0;
/// The API key of `TxnOffsetCommit` requests. From version 3 on the broker checks the member's generation.
pub const TXN_OFFSET_COMMIT: i16 = 28;

/// A client context that keeps the log lines about versions.
#[derive(Default)]
struct ApiVersionLog {
    lines: Mutex<Vec<String>>,
}

impl ClientContext for ApiVersionLog {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "APIVERSION" {
            self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(message.to_owned());
        }
    }

    // Errors need no handling: a broker that does not answer is missing in the result.
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ConsumerContext for ApiVersionLog {}

/// Returns the supported versions by broker address. Brokers that do not answer within the timeout are left out.
///
/// # Errors
/// `Fatal` when a setting is invalid.
pub fn api_versions(cluster: &Cluster, brokers: usize) -> Result<BTreeMap<String, ApiVersions>, Error> {
    let client: BaseConsumer<ApiVersionLog> = cluster
        .for_queries()
        .set("debug", "feature")
        // Otherwise the client connects only to the brokers it needs.
        .set("enable.sparse.connections", "false")
        .set_log_level(RDKafkaLogLevel::Debug)
        .create_with_context(ApiVersionLog::default())
        .map_err(|error| Error::of_creation("versions", &error))?;
    let deadline = Instant::now() + TIMEOUT;
    // The client learns of the other brokers from the metadata response.
    let _metadata = client.client().fetch_metadata(Some("__consumer_offsets"), TIMEOUT);
    loop {
        drop(client.poll(POLL_TIMEOUT));
        let found = parse(&client.context().lines.lock().unwrap_or_else(PoisonError::into_inner));
        if found.len() >= brokers || Instant::now() >= deadline {
            return Ok(found);
        }
    }
}

/// Parses lines such as `[thrd:...]: 127.0.0.1:9092/1:   ApiKey Produce (0) Versions 0..13`.
fn parse(lines: &[String]) -> BTreeMap<String, ApiVersions> {
    let mut found = BTreeMap::<String, ApiVersions>::new();
    for line in lines {
        let Some((before, after)) = line.split_once("ApiKey ") else { continue };
        let Some(broker) = before.rsplit("]: ").next().map(|it| it.trim().trim_end_matches(':')) else { continue };
        // A broker appears first as `address/bootstrap`, later as `address/id`.
        let address = broker.rsplit_once('/').map_or(broker, |(address, _)| address);
        let key = after.split_once('(').and_then(|(_, rest)| rest.split_once(')')?.0.parse().ok());
        let highest = after.rsplit_once("..").and_then(|(_, rest)| rest.trim().parse().ok());
        if let (Some(key), Some(highest)) = (key, highest) {
            found.entry(address.to_owned()).or_default().insert(key, highest);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_broker_are_parsed_for_its_bootstrap_and_its_regular_connection() {
        let lines = [
            "[thrd:localhost:9092/bootstrap]: localhost:9092/bootstrap: Broker API support:",
            "[thrd:localhost:9092/bootstrap]: localhost:9092/bootstrap:   ApiKey Produce (0) Versions 0..13",
            "[thrd:b:9093/2]: b:9093/2:   ApiKey TxnOffsetCommit (28) Versions 0..5",
            "[thrd:b:9093/2]: b:9093/2:   ApiKey Produce (0) Versions many",
        ];
        let found = parse(&lines.map(str::to_owned));
        assert_eq!(found["localhost:9092"], ApiVersions::from([(PRODUCE, 13)]));
        assert_eq!(found["b:9093"], ApiVersions::from([(TXN_OFFSET_COMMIT, 5)]));
    }
}
