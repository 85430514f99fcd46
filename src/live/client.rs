//! Asks a running service over HTTP, and turns its answers into what it told.
//!
//! Blocks; belongs on a thread of its own. A service that does not answer is asked again: it may be starting anew.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

use super::metrics_page::Figures;
use super::told::{CustomerPage, ModelStages, Passed, Told, harmless};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 32 << 20;
/// How often it is asked what was published.
const TRANSITIONS_PERIOD: Duration = Duration::from_millis(250);
/// How often metrics are read, and the customer who is looked at.
const READING_PERIOD: Duration = Duration::from_millis(500);
/// How often a service that is silent is asked again.
const SILENCE_PERIOD: Duration = Duration::from_secs(1);
/// How many transitions are asked for at once.
const TRANSITIONS_MAX: usize = 1_000;

/// A service, and how to ask it.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    base: String,
    /// As it is told: without a password.
    shown: String,
    authorization: Option<String>,
}

/// An answer: its status and what it says.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: String,
}

impl Client {
    /// The service at `url`, `http://host:port`, that asks for `token`, if for any.
    ///
    /// # Errors
    /// A sentence: the URL cannot be used.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, String> {
        let url = url.trim();
        let shown = without_password(url);
        let address = match url.split_once("://") {
            Some(("http", address)) => address,
            Some(("https", _)) => {
                return Err(format!(
                    "{shown}: https is not spoken here: ask the service itself, or through a tunnel such as `ssh -L`"
                ));
            }
            Some((scheme, _)) => return Err(format!("{shown}: {scheme} is not spoken here: write http://host:port")),
            None => url,
        };
        let address = address.trim_end_matches('/');
        check(address).map_err(|problem| format!("{shown:?} is no URL of a service: {problem}"))?;
        let config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            // What stands between here and a service is not asked for: a service is asked directly.
            .proxy(None)
            .build();
        let authorization = token.map(|token| format!("Bearer {token}"));
        let base = format!("http://{address}");
        Ok(Self { agent: config.into(), shown: without_password(&base).into_owned(), base, authorization })
    }

    /// Where the service is, without a password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shown
    }

    fn get(&self, path: &str) -> Result<Answer, String> {
        let unheard = |error: &ureq::Error| match error {
            ureq::Error::Io(refused) if refused.kind() == ErrorKind::ConnectionRefused => format!(
                "{} does not answer: connection refused; see that `lifecycle run` runs there, or name its http.listen with --url",
                self.shown
            ),
            _ => format!("{} does not answer: {error}", self.shown),
        };
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let mut response = request.call().map_err(|error| unheard(&error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        Ok(Answer { status, body: body.map_err(|error| unheard(&error))? })
    }

    /// An answer that must be there.
    fn ask(&self, path: &str) -> Result<Value, String> {
        let answer = self.get(path)?;
        match answer.status {
            200 => answer
                .json()
                .map_err(|_| format!("{}{path} answers with something that is no JSON: is it lifecycle?", self.shown)),
            401 => Err(format!("{} asks for a token: --token-file FILE", self.shown)),
            status if answer.is_of_lifecycle() => {
                Err(format!("{}{path} answers {status}: {}", self.shown, answer.detail()))
            }
            status => {
                Err(format!("{}{path} answers {status}, and not as lifecycle does: is it lifecycle?", self.shown))
            }
        }
    }

    /// The models that run.
    ///
    /// # Errors
    /// A sentence: the service does not answer, or not as expected.
    pub fn models(&self) -> Result<Vec<ModelStages>, String> {
        let models = ModelStages::of_answer(&self.ask("/v1/models")?);
        if models.is_empty() {
            return Err(format!("{}/v1/models names no models: is it lifecycle?", self.shown));
        }
        Ok(models)
    }

    fn figures(&self) -> Result<Figures, String> {
        let answer = self.get("/metrics")?;
        match answer.status {
            200 => Ok(Figures::of_page(&answer.body)),
            status => Err(format!("{}/metrics answers {status}", self.shown)),
        }
    }

    /// What was published after `cursor`, how many were missed, and the next cursor.
    fn passed(&self, cursor: Option<u64>) -> Result<(Vec<Passed>, u64, Option<u64>), String> {
        let after = cursor.map(|cursor| format!("&after={cursor}")).unwrap_or_default();
        let answer = self.ask(&format!("/v1/transitions?limit={TRANSITIONS_MAX}{after}"))?;
        let (passed, missed) = Passed::of_answer(&answer);
        Ok((passed, missed, answer["next"].as_u64()))
    }

    fn customer(&self, id: &str) -> Result<Told, String> {
        let path = format!("/v1/customers/{}", encoded(id));
        let answer = self.get(&path)?;
        if answer.status != 200 {
            return Ok(Told::NoCustomer(id.to_owned(), answer.detail()));
        }
        let customer = answer.json().map_err(|error| error.to_string())?;
        let forecast = self.get(&format!("{path}/forecast"))?.json().unwrap_or_default();
        Ok(Told::Customer(Box::new(CustomerPage::of_answer(&customer, &forecast))))
    }

    /// Asks again and again, and tells, until nobody listens. `looks` says which customer is looked at.
    pub fn follow(&self, tell: &Sender<Told>, looks: &Receiver<Option<String>>) {
        let mut customer: Option<String> = None;
        let mut cursor = None;
        let mut is_heard = false;
        let mut reading_due = Instant::now();
        loop {
            let heard = self.round(tell, customer.as_deref(), &mut cursor, &mut reading_due, is_heard);
            let rest = match heard {
                Ok(true) => {
                    is_heard = true;
                    TRANSITIONS_PERIOD
                }
                // Nobody listens.
                Ok(false) => return,
                Err(why) => {
                    is_heard = false;
                    if tell.send(Told::Silence(why)).is_err() {
                        return;
                    }
                    SILENCE_PERIOD
                }
            };
            match looks.recv_timeout(rest) {
                Ok(look) => {
                    customer = look;
                    reading_due = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Asks everything that is due; `false` when nobody listens.
    fn round(
        &self,
        tell: &Sender<Told>,
        customer: Option<&str>,
        cursor: &mut Option<u64>,
        reading_due: &mut Instant,
        is_heard: bool,
    ) -> Result<bool, String> {
        if !is_heard && tell.send(Told::Models(self.models()?)).is_err() {
            return Ok(false);
        }
        let (passed, missed, next) = self.passed(*cursor)?;
        *cursor = next.or(*cursor);
        if tell.send(Told::Passed(passed, missed)).is_err() {
            return Ok(false);
        }
        if Instant::now() < *reading_due {
            return Ok(true);
        }
        *reading_due = Instant::now() + READING_PERIOD;
        if tell.send(Told::Figures(Box::new(self.figures()?))).is_err() {
            return Ok(false);
        }
        match customer {
            Some(id) => Ok(tell.send(self.customer(id)?).is_ok()),
            None => Ok(true),
        }
    }
}

impl Answer {
    fn json(&self) -> serde_json::Result<Value> {
        serde_json::from_str(&self.body).map(harmless)
    }

    /// Whether the problem that it tells is one of lifecycle's.
    fn is_of_lifecycle(&self) -> bool {
        let problem = self.json().unwrap_or_default();
        problem["type"].as_str().is_some_and(|kind| kind.starts_with("urn:lifecycle:problem:"))
    }

    /// The detail of problem details, or the status.
    fn detail(&self) -> String {
        let problem = self.json().unwrap_or_default();
        problem["detail"].as_str().map_or_else(|| format!("status {}", self.status), str::to_owned)
    }
}

/// The URL without user and password, which stand before the last `@`; either may be a secret.
fn without_password(url: &str) -> Cow<'_, str> {
    let Some((_, host)) = url.rsplit_once('@') else { return url.into() };
    let scheme = url.find("://").map_or("", |at| &url[..at + 3]);
    format!("{scheme}***@{host}").into()
}

/// Whether `address`, what follows `http://`, names a host, and a port if any.
fn check(address: &str) -> Result<(), String> {
    let wanted = "write http://host:port, such as http://127.0.0.1:8080";
    if address.contains(['?', '#']) || address.contains(char::is_whitespace) {
        return Err(format!("nothing may follow host, port and path: {wanted}"));
    }
    let host = address.split('/').next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    // Within brackets stands an address of IPv6.
    let (host, port) =
        host.rsplit_once(':').filter(|_| !host.ends_with(']')).map_or((host, None), |(it, port)| (it, Some(port)));
    match port {
        _ if host.is_empty() => Err(format!("it names no host: {wanted}")),
        Some(port) if !port.parse::<u16>().is_ok_and(|port| port > 0) => {
            Err(format!("{port:?} is no port: write a number from 1 to 65535"))
        }
        _ if address.ends_with("/v1") => Err(format!("the URL is without /v1: {wanted}")),
        _ => Ok(()),
    }
}

/// An id as a part of a path.
fn encoded(id: &str) -> String {
    id.bytes().fold(String::new(), |mut path, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => path.push(char::from(byte)),
            _ => _ = write!(path, "%{byte:02X}"),
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_encoded_so_that_they_are_one_part_of_the_path() {
        assert_eq!(encoded("customer-7_~"), "customer-7_~");
        assert_eq!(encoded("../a b/ё?"), "%2E%2E%2Fa%20b%2F%D1%91%3F");
    }

    /// A server that answers one request with `status`; returns what it was asked.
    fn server(status: &'static str) -> (String, std::thread::JoinHandle<String>) {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut part = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                let read = stream.read(&mut part).unwrap();
                request.extend_from_slice(&part[..read]);
            }
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}").unwrap();
            String::from_utf8(request).unwrap().to_ascii_lowercase()
        });
        (url, asked)
    }

    #[test]
    fn a_token_is_borne_and_one_that_is_missing_or_wrong_is_told() {
        let (url, asked) = server("401 Unauthorized");
        let refused = Client::new(&url, Some("S3cret")).unwrap().models().unwrap_err();
        assert_eq!(refused, format!("{url} asks for a token: --token-file FILE"));
        assert!(asked.join().unwrap().contains("authorization: bearer s3cret\r\n"));
    }

    #[test]
    fn something_that_is_no_service_is_told() {
        let (url, asked) = server("200 OK");
        assert!(Client::new(&url, None).unwrap().models().unwrap_err().contains("is it lifecycle?"));
        assert!(!asked.join().unwrap().contains("authorization"));
        for status in ["404 Not Found", "503 Service Unavailable"] {
            let (url, asked) = server(status);
            let told = Client::new(&url, None).unwrap().models().unwrap_err();
            let number = &status[..3];
            assert_eq!(told, format!("{url}/v1/models answers {number}, and not as lifecycle does: is it lifecycle?"));
            drop(asked.join());
        }
    }

    #[test]
    fn only_plain_http_is_spoken() {
        let url = |url: &str| Client::new(url, None).map(|client| client.url().to_owned());
        assert_eq!(url("localhost:8080").as_deref(), Ok("http://localhost:8080"));
        assert_eq!(url("http://localhost:8080/lifecycle/").as_deref(), Ok("http://localhost:8080/lifecycle"));
        assert!(url("https://localhost").unwrap_err().contains("https is not spoken here"));
        assert!(url("ftp://localhost").is_err());
    }

    #[test]
    fn what_names_no_host_or_no_port_is_refused() {
        let refused = |url: &str| Client::new(url, None).unwrap_err();
        for url in ["", "http://", "http:///v1", "http://:8080", " "] {
            assert!(refused(url).contains("it names no host: write http://host:port"), "{url}: {}", refused(url));
        }
        for port in ["99999", "0", "", "http", "-1"] {
            let told = refused(&format!("http://localhost:{port}"));
            assert!(told.contains(&format!("{port:?} is no port: write a number from 1 to 65535")), "{told}");
        }
        assert!(refused("http://localhost:1?x=1").contains("nothing may follow"));
        assert!(refused("http://localhost:1/v1/").contains("the URL is without /v1: write http://host:port"));
        for url in ["localhost", "http://[::1]:8080", "http://[::1]", "http://localhost:8080/under/a/path/"] {
            assert!(Client::new(url, None).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_password_is_never_told() {
        for url in [
            "http://me:s3cr:e@t@127.0.0.1:9/x",
            "me:s3cr:e@t@127.0.0.1:9",
            "https://me:s3cr:e@t@host",
            "http://me:s3cr:e@t@",
        ] {
            let told = match Client::new(url, None) {
                Ok(client) => client.url().to_owned() + &client.models().unwrap_err(),
                Err(refused) => refused,
            };
            assert!(!told.contains("s3cr") && !told.contains("e@t") && told.contains("***@"), "{told}");
        }
    }
}
