//! Raw bytes at the real server: it answers in HTTP or hangs up, never with a fault of its own, and lives on.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use lifecycle_processor::api::ROUTES;

use super::feed::feed;
use crate::api::Server;

/// How long an answer is waited for; a question may ask to wait for news.
const PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn requests() {
    let mut server = Server::start(None);
    server.answer_questions();
    let address = server.address;
    let mut parents = Vec::new();
    for route in ROUTES {
        let path = route.path.replace("{customer_id}", "anna%2F1").replace("{model}", "retention");
        for query in ["", "?days=30", "?after=1&limit=2&model=retention", "?format=svg"] {
            parents.push(
                format!("GET {path}{query} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").into_bytes(),
            );
        }
    }
    parents.push(format!("POST /v1/models HTTP/1.1\r\nHost: {address}\r\nContent-Length: 2\r\n\r\n{{}}").into_bytes());
    parents.push(b"HEAD /metrics HTTP/1.0\r\nAuthorization: Bearer nobody\r\nAccept: */*\r\n\r\n".to_vec());
    feed("http", &parents, |bytes| {
        let mut stream = TcpStream::connect(address).expect("the server takes connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        // It may hang up before it has heard everything.
        if stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write)).is_err() {
            return "hung up early".to_owned();
        }
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return "slow".to_owned();
            }
            // Bytes that nobody read reset the connection.
            Err(_) => return "reset".to_owned(),
        }
        if answer.is_empty() {
            return "silent".to_owned();
        }
        outcome(&String::from_utf8_lossy(&answer))
    });
    assert_eq!(server.get("/v1/models").status, 200, "the server lives on");
}

/// What the first answer says: its status, and the title of the problem.
fn outcome(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {answer}"));
    let status =
        head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|status| status.parse::<u16>().ok());
    let status = status.unwrap_or_else(|| panic!("no status: {head}"));
    assert!((200..=599).contains(&status) && status != 500, "{answer}");
    if !head.contains("application/problem+json") {
        return status.to_string();
    }
    // A request without `Connection: close` may have had a second one behind it.
    let problem = serde_json::Deserializer::from_str(body).into_iter::<serde_json::Value>().next();
    match problem {
        Some(Ok(problem)) => {
            assert_eq!(problem["status"], status, "{answer}");
            format!("{status} {}", problem["title"])
        }
        // The answer to HEAD has no body.
        Some(Err(_)) | None => format!("{status} without a body"),
    }
}
