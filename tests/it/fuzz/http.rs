//! Fuzzes the HTTP server over TCP: it responds with HTTP or closes the connection, never with status 500, and keeps
//! running.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use lifecycle_processor::api::ROUTES;

use super::mutation::fuzz;
use crate::api::Server;

/// The read timeout; shorter than the maximum wait of a long poll.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

#[test]
fn requests() {
    let mut server = Server::start(None);
    server.answer_queries();
    let address = server.address;
    let mut seeds = Vec::new();
    for route in ROUTES {
        let path = route.path.replace("{customer_id}", "anna%2F1").replace("{model}", "retention");
        for query in ["", "?days=30", "?after=1&limit=2&model=retention", "?format=svg"] {
            seeds.push(
                format!("GET {path}{query} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").into_bytes(),
            );
        }
    }
    seeds.push(format!("POST /v1/models HTTP/1.1\r\nHost: {address}\r\nContent-Length: 2\r\n\r\n{{}}").into_bytes());
    seeds.push(b"HEAD /metrics HTTP/1.0\r\nAuthorization: Bearer unknown\r\nAccept: */*\r\n\r\n".to_vec());
    fuzz("http", &seeds, |bytes| {
        let mut stream = TcpStream::connect(address).expect("the server accepts connections");
        stream.set_read_timeout(Some(READ_TIMEOUT)).expect("a timeout can be set");
        // The server may close the connection before it has read the whole request.
        if stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write)).is_err() {
            return "closed early".to_owned();
        }
        let mut response = Vec::new();
        match stream.read_to_end(&mut response) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return "slow".to_owned();
            }
            // Closing a socket with unread bytes resets the connection.
            Err(_) => return "reset".to_owned(),
        }
        if response.is_empty() {
            return "no response".to_owned();
        }
        outcome(&String::from_utf8_lossy(&response))
    });
    assert_eq!(server.get("/v1/models").status, 200, "the server is still up");
}

/// Returns the status of the first response, and the title of its problem document.
fn outcome(response: &str) -> String {
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {response}"));
    let status =
        head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|status| status.parse::<u16>().ok());
    let status = status.unwrap_or_else(|| panic!("no status: {head}"));
    assert!((200..=599).contains(&status) && status != 500, "{response}");
    if !head.contains("application/problem+json") {
        return status.to_string();
    }
    // Without `Connection: close` a second request may follow, and its response.
    let problem = serde_json::Deserializer::from_str(body).into_iter::<serde_json::Value>().next();
    match problem {
        Some(Ok(problem)) => {
            assert_eq!(problem["status"], status, "{response}");
            format!("{status} {}", problem["title"])
        }
        // A response to HEAD has no body.
        Some(Err(_)) | None => format!("{status} without a body"),
    }
}
