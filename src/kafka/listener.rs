//! Finds out what kind of listener answers at an address: plaintext, SASL, TLS, something else, or nothing.
//!
//! librdkafka reports most mistakes in `security.protocol` as a closed connection. A Kafka listener without TLS answers
//! a `SaslHandshake` request before any authentication, and a TLS listener answers a `ClientHello`. Used only after a
//! connection has failed; sends no credentials.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);
/// The port that librdkafka uses for an address without one.
pub(super) const DEFAULT_PORT: u16 = 9092;
/// Size limit in bytes of a response; the list of mechanisms is far shorter.
const RESPONSE_BYTES_MAX: usize = 16 * 1024;
/// Error code of a `SaslHandshake` on a listener without SASL.
const ILLEGAL_SASL_STATE: i16 = 34;
/// `SaslHandshake` version 1, correlation id 7, no client id, and the mechanism `?`, which no broker supports.
const SASL_HANDSHAKE: [u8; 17] = [0, 0, 0, 13, 0, 17, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0, 1, b'?'];

/// What answers at an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ListenerKind {
    /// The name cannot be resolved, or nothing accepts connections.
    Absent,
    /// Connections are accepted, but neither a Kafka listener nor TLS answers.
    Unknown,
    /// A Kafka listener with neither TLS nor SASL.
    Plaintext,
    /// A Kafka listener with SASL and without TLS. Holds the names of its mechanisms.
    Sasl(Vec<String>),
    /// A TLS listener. Whether it requires SASL is unknown.
    Tls,
}

impl ListenerKind {
    /// Returns what answers at `server`, an address as in `kafka.bootstrap_servers`.
    pub(super) fn at(server: &str) -> Self {
        let address = &match port_of(server) {
            Some(_) => without_protocol(server).to_owned(),
            None => format!("{}:{DEFAULT_PORT}", without_protocol(server)),
        };
        let Some(stream) = connect(address) else { return Self::Absent };
        if let Ok(response) = ask_for_mechanisms(stream) {
            return parse(&response).unwrap_or(Self::Unknown);
        }
        match connect(address).map(is_tls) {
            Some(Ok(true)) => Self::Tls,
            _ => Self::Unknown,
        }
    }
}

/// Returns `server` without a protocol such as `SASL_SSL://`, which the client accepts.
pub(super) fn without_protocol(server: &str) -> &str {
    server.split_once("://").map_or(server, |(_, address)| address)
}

/// Returns the port of a broker address; `None` if it has none and the client uses [`DEFAULT_PORT`].
pub(super) fn port_of(server: &str) -> Option<&str> {
    let address = without_protocol(server);
    // The colons of an IPv6 address are within brackets.
    let end = address.rfind(']').map_or(0, |at| at + 1);
    address[end..].rsplit_once(':').map(|(_, port)| port)
}

/// Tries to connect to `host` and `port`. Returns the error if no address of the host accepts the connection.
pub(super) fn connection_failure(host: &str, port: u16) -> Option<io::Error> {
    let addresses = match (host, port).to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(error) => return Some(error),
    };
    let mut failure = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(_) => return None,
            Err(error) => failure = Some(error),
        }
    }
    failure
}

fn connect(address: &str) -> Option<TcpStream> {
    let stream = address.to_socket_addrs().ok()?.find_map(|it| TcpStream::connect_timeout(&it, TIMEOUT).ok())?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    stream.set_write_timeout(Some(TIMEOUT)).ok()?;
    Some(stream)
}

/// Returns the response to a `SaslHandshake` without its length.
fn ask_for_mechanisms(mut stream: TcpStream) -> io::Result<Vec<u8>> {
    stream.write_all(&SASL_HANDSHAKE)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > RESPONSE_BYTES_MAX {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut response = vec![0; length];
    stream.read_exact(&mut response)?;
    Ok(response)
}

/// Parses correlation id, error code and mechanisms; `None` if the bytes are not a response to our request.
fn parse(response: &[u8]) -> Option<ListenerKind> {
    let (correlation, rest) = response.split_first_chunk()?;
    if i32::from_be_bytes(*correlation) != 7 {
        return None;
    }
    let (code, rest) = rest.split_first_chunk()?;
    if i16::from_be_bytes(*code) == ILLEGAL_SASL_STATE {
        return Some(ListenerKind::Plaintext);
    }
    let (_count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut mechanisms = Vec::new();
    while let Some((length, following)) = rest.split_first_chunk() {
        let name = following.get(..usize::from(u16::from_be_bytes(*length)))?;
        mechanisms.push(String::from_utf8_lossy(name).into_owned());
        rest = &following[name.len()..];
    }
    Some(ListenerKind::Sasl(mechanisms))
}

/// Returns whether a TLS `ClientHello` is answered by a TLS handshake or alert.
fn is_tls(mut stream: TcpStream) -> io::Result<bool> {
    // Record header; handshake header; TLS 1.2; 32 random bytes; no session; two cipher suites; no compression.
    let mut hello = vec![0x16, 3, 1, 0, 47, 1, 0, 0, 43, 3, 3];
    hello.extend([0x4c; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x2f, 0xc0, 0x30, 1, 0]);
    stream.write_all(&hello)?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer)?;
    Ok(matches!(answer, [0x15 | 0x16, 3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_an_address_may_be_missing() {
        for server in ["kafka", "10.0.0.1", "[::1]", "PLAINTEXT://kafka"] {
            assert_eq!(port_of(server), None, "{server}");
        }
        for server in ["kafka:1", "10.0.0.1:1", "[::1]:1", "SSL://kafka:1"] {
            assert_eq!(port_of(server), Some("1"), "{server}");
        }
    }

    #[test]
    fn responses_to_a_sasl_handshake_are_parsed() {
        assert_eq!(parse(&[0, 0, 0, 7, 0, 34, 0, 0, 0, 0]), Some(ListenerKind::Plaintext));
        let sasl = [&[0, 0, 0, 7, 0, 33, 0, 0, 0, 1, 0, 5][..], b"PLAIN"].concat();
        assert_eq!(parse(&sasl), Some(ListenerKind::Sasl(vec!["PLAIN".to_owned()])));
        for other in [&b"HTTP/1.1 400"[..], &[], &[0, 0, 0, 7], &sasl[..14]] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }
}
