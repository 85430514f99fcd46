//! What is told of a cluster that does not answer a question: who was asked, why the connection failed, what to do.
//!
//! The client library tells why a connection failed in sentences for those who know the library; of these the cause is taken, for
//! people alone: nothing is decided by it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::error::Error;
use super::settings::Cluster;

const TO_DO: &str = "see that Kafka runs there, and that kafka.bootstrap_servers names it";

/// An error of a question that nobody answered; `reported` is what the client reported beside it. One that was answered, such as by
/// a refusal, is told as it is.
pub(super) fn unanswered(call: &'static str, error: &KafkaError, cluster: &Cluster, reported: Option<String>) -> Error {
    let is_silence = error.rdkafka_error_code().is_some_and(|code| {
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
    let error = Error::of_question(call, error);
    if !is_silence {
        return error.because(reported);
    }
    let servers = &cluster.bootstrap_servers;
    let cause = reported.map(|reported| cause(&reported, servers)).filter(|cause| !cause.is_empty());
    let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
    let message = if servers.contains(',') {
        format!("none of {servers} answers{cause}")
    } else {
        format!("{servers} does not answer{cause}")
    };
    Error { message, to_do: Some(TO_DO), ..error }
}

/// The cause in a report such as `a:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after 0ms in state
/// CONNECT)`; of several brokers asked, with the one that it is about.
fn cause(reported: &str, servers: &str) -> String {
    // How long it took and how often it came in which state of the library.
    let reported = reported.split(" (after ").next().unwrap_or(reported);
    let (broker, reported) = match reported.split_once(": ") {
        Some((broker, rest)) if broker.contains('/') && !broker.contains(' ') => (broker.split('/').next(), rest),
        _ => (None, reported),
    };
    let refused = reported.strip_prefix("Connect to ").and_then(|rest| Some(rest.split_once(" failed: ")?.1));
    let cause = refused.unwrap_or(reported);
    let mut letters = cause.chars();
    let cause = match (letters.next(), letters.clone().next()) {
        // A sentence, and no abbreviation.
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

    fn told(code: Code, servers: &str, reported: &str) -> String {
        let cluster = Cluster { bootstrap_servers: servers.to_owned(), settings: Vec::new() };
        let reported = Some(reported.to_owned()).filter(|reported| !reported.is_empty());
        unanswered("brokers", &KafkaError::MetadataFetch(code), &cluster, reported).to_string()
    }

    #[test]
    fn who_was_asked_comes_first_then_why_then_what_to_do() {
        let refused =
            "a:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)";
        assert_eq!(
            told(Code::BrokerTransportFailure, "a:9092", refused),
            format!("a:9092 does not answer: connection refused; {TO_DO} (brokers: BrokerTransportFailure)")
        );
        let several = told(Code::AllBrokersDown, "a:9092,b:9092", refused);
        assert!(several.starts_with("none of a:9092,b:9092 answers: a:9092: connection refused; see"), "{several}");
        let silent = told(Code::OperationTimedOut, "a:9092", "");
        assert!(silent.starts_with("a:9092 does not answer; see"), "{silent}");
    }

    #[test]
    fn other_causes_are_kept_without_the_library_s_own_words() {
        for (reported, cause) in [
            (
                "nohost:1/bootstrap: Failed to resolve 'nohost:1': Name or service not known (after 3ms in state CONNECT)",
                "failed to resolve 'nohost:1': Name or service not known;",
            ),
            (
                "a:9092/bootstrap: SSL handshake failed: certificate (after 1ms in state X)",
                "SSL handshake failed: certificate;",
            ),
            ("1/1 brokers are down", "1/1 brokers are down;"),
        ] {
            let told = told(Code::BrokerTransportFailure, "a:9092", reported);
            assert!(told.starts_with(&format!("a:9092 does not answer: {cause}")), "{told}");
        }
    }

    #[test]
    fn an_answer_that_is_a_refusal_is_told_as_it_is() {
        let told = told(Code::ClusterAuthorizationFailed, "a:9092", "");
        assert!(!told.contains("does not answer"), "{told}");
    }
}
