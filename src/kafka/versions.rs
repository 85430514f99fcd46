//! Which versions of the protocol the brokers speak.
//!
//! The client library knows and tells nobody, but for the log lines that it writes while it connects. They are read here for
//! a report to people and for nothing else; lines that read otherwise one day make the report say that it does not know.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;

use super::error::Error;
use super::settings::Cluster;

/// How long to listen at most.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long one look into the client's queue takes.
const LOOK: Duration = Duration::from_millis(50);

/// The highest version of each kind of request that a broker takes, by Kafka's number of the request.
pub type Spoken = BTreeMap<i16, i16>;

/// Produce requests, whose versions tell releases apart best.
pub const PRODUCE: i16 = 0;
/// Offsets committed within a transaction; from version 3 on a broker compares the member's generation.
pub const TXN_OFFSET_COMMIT: i16 = 28;

/// Keeps the log lines about versions.
#[derive(Default)]
struct Hearing {
    lines: Mutex<Vec<String>>,
}

impl ClientContext for Hearing {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "APIVERSION" {
            self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(message.to_owned());
        }
    }

    // Whoever asks learns elsewhere that a broker does not answer.
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ConsumerContext for Hearing {}

/// What each broker speaks, by its address; those that are not heard in time are left out.
///
/// # Errors
/// `Fatal` when a setting is refused.
pub fn spoken(cluster: &Cluster, brokers: usize) -> Result<BTreeMap<String, Spoken>, Error> {
    let client: BaseConsumer<Hearing> = cluster
        .for_questions()
        .set("debug", "feature")
        // Else only those brokers are connected to that are needed.
        .set("enable.sparse.connections", "false")
        .set_log_level(RDKafkaLogLevel::Debug)
        .create_with_context(Hearing::default())
        .map_err(|error| Error::of_creation("versions", &error))?;
    let deadline = Instant::now() + PATIENCE;
    // The answer makes the client know of the other brokers.
    let _known = client.client().fetch_metadata(Some("__consumer_offsets"), PATIENCE);
    loop {
        drop(client.poll(LOOK));
        let heard = read(&client.context().lines.lock().unwrap_or_else(PoisonError::into_inner));
        if heard.len() >= brokers || Instant::now() >= deadline {
            return Ok(heard);
        }
    }
}

/// Reads lines such as `[thrd:...]: 127.0.0.1:9092/1:   ApiKey Produce (0) Versions 0..13`.
fn read(lines: &[String]) -> BTreeMap<String, Spoken> {
    let mut heard = BTreeMap::<String, Spoken>::new();
    for line in lines {
        let Some((before, after)) = line.split_once("ApiKey ") else { continue };
        let Some(broker) = before.rsplit("]: ").next().map(|it| it.trim().trim_end_matches(':')) else { continue };
        // One connection to begin with, later one under the broker's number: both lead to the same address.
        let address = broker.rsplit_once('/').map_or(broker, |(address, _)| address);
        let number = after.split_once('(').and_then(|(_, rest)| rest.split_once(')')?.0.parse().ok());
        let highest = after.rsplit_once("..").and_then(|(_, rest)| rest.trim().parse().ok());
        if let (Some(number), Some(highest)) = (number, highest) {
            heard.entry(address.to_owned()).or_default().insert(number, highest);
        }
    }
    heard
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_broker_are_read_whatever_the_connection_is_called() {
        let lines = [
            "[thrd:localhost:9092/bootstrap]: localhost:9092/bootstrap: Broker API support:",
            "[thrd:localhost:9092/bootstrap]: localhost:9092/bootstrap:   ApiKey Produce (0) Versions 0..13",
            "[thrd:b:9093/2]: b:9093/2:   ApiKey TxnOffsetCommit (28) Versions 0..5",
            "[thrd:b:9093/2]: b:9093/2:   ApiKey Produce (0) Versions many",
        ];
        let heard = read(&lines.map(str::to_owned));
        assert_eq!(heard["localhost:9092"], Spoken::from([(PRODUCE, 13)]));
        assert_eq!(heard["b:9093"], Spoken::from([(TXN_OFFSET_COMMIT, 5)]));
    }
}
