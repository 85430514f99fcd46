//! Error messages for an unreachable cluster: which brokers were asked, why the connection failed, what to check.
//!
//! librdkafka reports the cause of a failed connection only as free text. This module extracts the cause for people to
//! read; no decision depends on it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::error::Error;
use super::settings::Cluster;

const TO_DO: &str = "check that Kafka is running there and that kafka.bootstrap_servers is correct";

/// Returns the error of a query that failed. If no broker answered, the message names the brokers and the cause in
/// `reported`, the client's own last error. If a broker answered, for example with a refusal, the message is the
/// client's.
pub(super) fn connection_error(
    call: &'static str,
    error: &KafkaError,
    cluster: &Cluster,
    reported: Option<String>,
) -> Error {
    let is_unreachable = error.rdkafka_error_code().is_some_and(|code| {
        matches!(
            code,
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::OperationTimedOut
                | Code::TimedOutQueue
                | Code::RequestTimedOut
                | Code::Resolve
        )
    });
    let error = Error::of_query(call, error);
    if !is_unreachable {
        return error.with_reported(reported);
    }
    let servers = &cluster.bootstrap_servers;
    let cause = reported.map(|reported| cause(&reported, servers)).filter(|cause| !cause.is_empty());
    let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
    let message = if servers.contains(',') {
        format!("none of {servers} answers{cause}")
    } else {
        format!("{servers} does not answer{cause}")
    };
    Error { what: message, to_do: Some(TO_DO.to_owned()), ..error }
}

/// Extracts the cause from a report such as `a:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused
/// (after 0ms in state CONNECT)`. The result names the broker only if `servers` lists several.
fn cause(reported: &str, servers: &str) -> String {
    // The suffix is librdkafka's own connection state and timing.
    let reported = reported.split(" (after ").next().unwrap_or(reported);
    let (broker, reported) = match reported.split_once(": ") {
        Some((broker, rest)) if broker.contains('/') && !broker.contains(' ') => (broker.split('/').next(), rest),
        _ => (None, reported),
    };
    let refused = reported.strip_prefix("Connect to ").and_then(|rest| Some(rest.split_once(" failed: ")?.1));
    let cause = refused.unwrap_or(reported);
    let mut letters = cause.chars();
    let cause = match (letters.next(), letters.clone().next()) {
        // Our messages start in lower case; an abbreviation such as SSL keeps its case.
        (Some(first), Some(second)) if second.is_lowercase() => format!("{}{}", first.to_lowercase(), letters.as_str()),
        _ => cause.to_owned(),
    };
    match broker {
        Some(broker) if servers.contains(',') => format!("{broker}: {cause}"),
        _ => cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(code: Code, servers: &str, reported: &str) -> String {
        let cluster = Cluster { bootstrap_servers: servers.to_owned(), settings: Vec::new() };
        let reported = Some(reported.to_owned()).filter(|reported| !reported.is_empty());
        connection_error("brokers", &KafkaError::MetadataFetch(code), &cluster, reported).to_string()
    }

    #[test]
    fn the_message_names_the_brokers_then_the_cause_then_what_to_check() {
        let refused =
            "a:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)";
        assert_eq!(
            message(Code::BrokerTransportFailure, "a:9092", refused),
            format!("a:9092 does not answer: connection refused (brokers: BrokerTransportFailure); {TO_DO}")
        );
        let several = message(Code::AllBrokersDown, "a:9092,b:9092", refused);
        assert!(
            several.starts_with(
                "none of a:9092,b:9092 answers: a:9092: connection refused (brokers: AllBrokersDown); check"
            ),
            "{several}"
        );
        let without_cause = message(Code::OperationTimedOut, "a:9092", "");
        assert!(
            without_cause.starts_with("a:9092 does not answer (brokers: OperationTimedOut); check"),
            "{without_cause}"
        );
    }

    #[test]
    fn other_causes_are_kept_without_the_library_s_own_suffix() {
        for (reported, cause) in [
            (
                "nohost:1/bootstrap: Failed to resolve 'nohost:1': Name or service not known (after 3ms in state CONNECT)",
                "failed to resolve 'nohost:1': Name or service not known (",
            ),
            (
                "a:9092/bootstrap: SSL handshake failed: certificate (after 1ms in state X)",
                "SSL handshake failed: certificate (",
            ),
            ("1/1 brokers are down", "1/1 brokers are down ("),
        ] {
            let message = message(Code::BrokerTransportFailure, "a:9092", reported);
            assert!(message.starts_with(&format!("a:9092 does not answer: {cause}")), "{message}");
        }
    }

    #[test]
    fn a_refusal_from_a_broker_keeps_the_client_s_message() {
        let message = message(Code::ClusterAuthorizationFailed, "a:9092", "");
        assert!(!message.contains("does not answer"), "{message}");
    }
}
