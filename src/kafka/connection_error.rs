//! Error messages for a connection that failed: which broker was asked, what answered, and which setting to change.
//!
//! The kind of listener, the error codes of the client and the configured security protocol decide what the message
//! says. librdkafka's own text is only quoted.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use super::context::{ClientReport, Context, last_report};
use super::error::{Error, Reaction};
use super::error_code::ErrorCode as Code;
use super::listener::{DEFAULT_PORT, ListenerKind, connection_failure, port_of, without_protocol};
use super::settings::Cluster;

/// Timeout of the request for the addresses of the brokers, and number of attempts.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
const METADATA_ATTEMPTS: usize = 5;
const TO_DO: &str = "check that Kafka is running there and that kafka.bootstrap_servers is correct";

/// Returns the error of a query that failed.
///
/// If a broker answered, for example with a refusal, the message is the client's. Otherwise this function connects to
/// the bootstrap servers to find the cause. `reported` is the client's own last error.
pub(super) fn connection_error(
    call: &'static str,
    error: &KafkaError,
    cluster: &Cluster,
    reported: Option<ClientReport>,
) -> Error {
    let error = Error::of_query(call, error);
    if error.code == Code::UnsupportedFeature {
        let what = format!("{} does not support a request of the client", cluster.bootstrap_servers);
        return Error { what, ..error }.with_to_do(
            "check that kafka.bootstrap_servers names listeners of brokers, not of controllers, and that the brokers run a \
             supported version of Kafka",
        );
    }
    let has_no_answer = matches!(
        error.code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::Resolve
            | Code::Authentication
            | Code::SSL
    );
    if !has_no_answer {
        return error.with_reported(reported);
    }
    let servers = cluster.bootstrap_servers.split(',').map(str::trim);
    let found = servers.map(|server| (server, ListenerKind::at(server))).find(|(_, it)| *it != ListenerKind::Absent);
    match found {
        None => absent(error, cluster, reported),
        Some((server, listener)) => diagnose(error, server, &listener, cluster, reported),
    }
}

/// Returns the error if no server accepts connections.
fn absent(error: Error, cluster: &Cluster, reported: Option<ClientReport>) -> Error {
    let servers = &cluster.bootstrap_servers;
    let cause = reported.map(|reported| cause(&reported.reason, servers)).filter(|cause| !cause.is_empty());
    let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
    let what = if servers.contains(',') {
        format!("none of {servers} answers{cause}")
    } else {
        format!("{servers} does not answer{cause}")
    };
    let without_port = servers.split(',').map(str::trim).find(|server| port_of(server).is_none());
    let to_do = without_port.map_or_else(
        || TO_DO.to_owned(),
        |server| {
            format!("{server} has no port, so {DEFAULT_PORT} is used: write HOST:PORT if it is another one; {TO_DO}")
        },
    );
    Error { what, ..error }.with_to_do(to_do)
}

/// Returns the error for a server that accepts connections. Compares its listener with the configured protocol.
fn diagnose(
    error: Error,
    server: &str,
    listener: &ListenerKind,
    cluster: &Cluster,
    reported: Option<ClientReport>,
) -> Error {
    let protocol = cluster.security_protocol();
    let name = protocol.name();
    let code = reported.as_ref().map_or(error.code, |it| it.code);
    let reason = reported.map(|it| cause(&it.reason, server)).filter(|it| !it.is_empty());
    let because = reason.map_or(String::new(), |reason| format!(": {reason}"));
    let set_protocol = |to: &str| format!("set security.protocol under kafka.client to {to}");
    let (what, to_do) = match listener {
        ListenerKind::Tls if !protocol.has_tls => {
            let to_do = if protocol.has_sasl {
                set_protocol("sasl_ssl")
            } else {
                set_protocol("ssl, or to sasl_ssl if the listener requires a user and a password")
            };
            (format!("{server} is a TLS listener, but security.protocol is {name}"), to_do)
        }
        ListenerKind::Plaintext | ListenerKind::Sasl(_) if protocol.has_tls => {
            let to = if matches!(listener, ListenerKind::Plaintext) { "plaintext" } else { "sasl_plaintext" };
            (format!("{server} is a listener without TLS, but security.protocol is {name}"), set_protocol(to))
        }
        ListenerKind::Plaintext if protocol.has_sasl => (
            format!("{server} is a listener without authentication, but security.protocol is {name}"),
            set_protocol("plaintext"),
        ),
        ListenerKind::Sasl(mechanisms) if !protocol.has_sasl => (
            format!(
                "{server} requires authentication (SASL with {}), but security.protocol is {name}",
                mechanisms.join(" or ")
            ),
            format!("{}, and sasl.mechanism, sasl.username and sasl.password", set_protocol("sasl_plaintext")),
        ),
        ListenerKind::Sasl(mechanisms) if !mechanisms.iter().any(|it| it == cluster.sasl_mechanism()) => (
            format!("{server} does not support the sasl.mechanism {}", cluster.sasl_mechanism()),
            format!("set sasl.mechanism under kafka.client to {}", mechanisms.join(" or ")),
        ),
        ListenerKind::Sasl(_) | ListenerKind::Tls
            if code == Code::Authentication && cluster.sasl_mechanism() == "OAUTHBEARER" =>
        {
            (
                format!("{server} gets no token that it accepts{because}"),
                "check sasl.oauthbearer.token.endpoint.url, sasl.oauthbearer.client.id, sasl.oauthbearer.client.secret and \
                 sasl.oauthbearer.scope under kafka.client"
                    .to_owned(),
            )
        }
        ListenerKind::Sasl(_) | ListenerKind::Tls if code == Code::Authentication => (
            format!("{server} rejects the user or the password{because}"),
            "set sasl.username and sasl.password under kafka.client, and a sasl.mechanism that the broker supports"
                .to_owned(),
        ),
        ListenerKind::Tls if code == Code::SSL => (
            // The client's text goes on with advice of its own.
            format!("the TLS handshake with {server} failed{}", because.split(", verify ").next().unwrap_or_default()),
            "set ssl.ca.location under kafka.client to the certificate of the authority that signed the broker's; if the \
             broker requires client certificates, ssl.certificate.location and ssl.key.location; and kafka.bootstrap_servers \
             to host names that are in the broker's certificate"
                .to_owned(),
        ),
        ListenerKind::Tls
            if !protocol.has_sasl && code != Code::OperationTimedOut && cluster.has_client_certificate() =>
        {
            (
                format!("{server} closes the TLS connection, as a broker does that rejects the client certificate"),
                "check that the certificate in ssl.certificate.location is not expired and that the broker trusts its \
                 authority, and that ssl.key.location is set under kafka.client"
                    .to_owned(),
            )
        }
        ListenerKind::Tls if !protocol.has_sasl && code != Code::OperationTimedOut => (
            format!("{server} closes the TLS connection, as a listener does that requires authentication"),
            format!(
                "set ssl.certificate.location and ssl.key.location under kafka.client if it requires client certificates; \
                 otherwise {}, and sasl.mechanism, sasl.username and sasl.password",
                set_protocol("sasl_ssl")
            ),
        ),
        ListenerKind::Unknown => {
            let what = format!("{server} accepts connections, but does not answer as a Kafka broker does");
            return Error { what, ..error }
                .with_to_do("check that kafka.bootstrap_servers names the listener of a broker, and the logs of the broker");
        }
        ListenerKind::Plaintext | ListenerKind::Sasl(_) | ListenerKind::Tls | ListenerKind::Absent => {
            return answered(error, server, cluster, &because);
        }
    };
    Error { what, reaction: Reaction::Fatal, ..error }.with_to_do(to_do)
}

/// Returns the error for a server that answers with the configured protocol. Connects to the addresses that the brokers
/// advertise: the client uses them after its first request.
fn answered(error: Error, server: &str, cluster: &Cluster, because: &str) -> Error {
    let what = match (0..METADATA_ATTEMPTS).find_map(|_| unreachable_address(cluster)) {
        Some(unreachable) => format!("{server} answers, but {unreachable}"),
        None => format!("{server} answers, but the request failed{because}"),
    };
    Error { what, ..error }.with_to_do(
        "set advertised.listeners of the brokers to addresses that this machine can reach, or run lifecycle where it can",
    )
}

/// Returns the address of a broker that the client learns and that cannot be reached.
fn unreachable_address(cluster: &Cluster) -> Option<String> {
    let client: BaseConsumer<Context> = cluster.for_queries().create_with_context(Context::default()).ok()?;
    let brokers: Vec<(String, i32, i32)> = match client.fetch_metadata(None, METADATA_TIMEOUT) {
        Ok(metadata) => {
            metadata.brokers().iter().map(|broker| (broker.host().to_owned(), broker.port(), broker.id())).collect()
        }
        // The client knows the address, and has sent the request there.
        Err(_) => last_report(&client).and_then(|report| advertised(&report.reason)).into_iter().collect(),
    };
    brokers.into_iter().find_map(|(host, port, id)| {
        let failure = connection_failure(&host, u16::try_from(port).ok()?)?;
        Some(format!("{host}:{port}, the address that broker {id} advertises, cannot be reached: {failure}"))
    })
}

/// Returns host, port and id of the broker that a report is about, such as `ssl://a:9092/1: Connect to ...`; `None` for
/// a bootstrap server, which has no id.
fn advertised(reported: &str) -> Option<(String, i32, i32)> {
    let (broker, _) = reported.split_once(": ")?;
    let (address, id) = broker.rsplit_once('/')?;
    let (host, port) = without_protocol(address).rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?, id.parse().ok()?))
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
        let reported = ClientReport { code: Code::BrokerTransportFailure, reason: reported.to_owned() };
        absent(Error::new(Reaction::Retry, "brokers", code, ""), &cluster, Some(reported)).to_string()
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
    fn an_address_without_a_port_is_named() {
        let several = message(Code::AllBrokersDown, "a:9092, kafka", "");
        assert!(several.contains("; kafka has no port, so 9092 is used: write HOST:PORT if"), "{several}");
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
    fn a_report_about_a_learned_address_names_the_broker() {
        let broker = |host: &str, port, id| Some((host.to_owned(), port, id));
        for (reported, expected) in [
            ("10.0.0.1:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused", broker("10.0.0.1", 9092, 1)),
            ("sasl_ssl://a:9093/2: Connect to ipv4#10.0.0.1:9093 failed: timed out", broker("a", 9093, 2)),
            ("[::1]:9092/3: Connect to ipv6#[::1]:9092 failed: Connection refused", broker("::1", 9092, 3)),
            ("a:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused", None),
            ("1/1 brokers are down", None),
        ] {
            assert_eq!(advertised(reported), expected, "{reported}");
        }
    }

    #[test]
    fn a_refusal_from_a_broker_keeps_the_client_s_message() {
        let cluster = Cluster { bootstrap_servers: "a:9092".to_owned(), settings: Vec::new() };
        let refusal = KafkaError::MetadataFetch(rdkafka::error::RDKafkaErrorCode::ClusterAuthorizationFailed);
        let message = connection_error("brokers", &refusal, &cluster, None).to_string();
        assert!(!message.contains("does not answer"), "{message}");
    }
}
