//! Polls the HTTP API of a running service and sends what it reads as updates.
//!
//! Blocks, so it needs its own thread. Errors are reported as updates and retried: the service may be restarting.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

use crate::http_client::{Error, TlsFiles};
use crate::wire::percent_encoding::percent_encoded;

use super::overview::Overview;
use super::update::{CustomerPage, FORECAST_DAYS, ModelStages, TransitionRow, Update, sanitized};

/// Timeout of one request, including the response body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit of a response body.
const RESPONSE_BYTES_MAX: u64 = 32 << 20;
/// Polling interval for the totals.
const OVERVIEW_INTERVAL: Duration = Duration::from_millis(500);
/// Polling interval for transitions and the open customer. The service logs each request for data of customers.
const CUSTOMERS_INTERVAL: Duration = Duration::from_secs(1);
/// Interval between retries while the service does not respond.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Limit of transitions per request.
const TRANSITIONS_MAX: usize = 1_000;
/// Limit of customers of a stage per request.
const STAGE_CUSTOMERS_MAX: u64 = 1_000;
/// Limit of refused links per request.
const REFUSED_LINKS_MAX: u64 = 1_000;

/// An HTTP client for one instance of the service.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    base: String,
    /// Base URL with the password redacted, for messages.
    display_url: String,
    authorization: Option<String>,
}

/// An HTTP response.
#[derive(Debug)]
struct HttpResponse {
    status: u16,
    body: String,
}

impl Client {
    /// Creates a client for the service at `url` (`http://host:port`) with an optional bearer token. An `https` server
    /// must have a certificate signed by those in the file `ca`, or else by those of the system.
    ///
    /// # Errors
    /// The URL or the file is not usable; the message says why.
    pub fn new(url: &str, token: Option<&str>, ca: Option<&Path>) -> Result<Self, String> {
        let url = url.trim();
        let display_url = redacted(url);
        let (scheme, address) = match url.split_once("://") {
            Some((scheme @ ("http" | "https"), address)) => (scheme, address),
            Some((scheme, _)) => {
                return Err(format!(
                    "{display_url}: {scheme} is not supported: write http://host:port or https://host:port"
                ));
            }
            None => ("http", url),
        };
        let address = address.trim_end_matches('/');
        check_address(address).map_err(|problem| format!("{display_url:?} is not a valid service URL: {problem}"))?;
        if scheme == "http" && ca.is_some() {
            return Err(format!("{display_url}: --ca-file needs the https:// address of the service"));
        }
        let config = Agent::config_builder()
            .timeout_global(Some(REQUEST_TIMEOUT))
            .http_status_as_error(false)
            // The service is on a local or trusted network: ignore HTTP_PROXY and connect directly.
            .proxy(None);
        let config = if scheme == "https" {
            let files = TlsFiles { ca: ca.map(Path::to_owned), ..TlsFiles::default() };
            config.tls_config(files.load().map_err(|error| error.to_string())?)
        } else {
            config
        };
        let authorization = token.map(|token| format!("Bearer {token}"));
        let base = format!("{scheme}://{address}");
        Ok(Self { agent: config.build().into(), display_url: redacted(&base).into_owned(), base, authorization })
    }

    /// Returns the base URL with the password redacted.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.display_url
    }

    fn get(&self, path: &str) -> Result<HttpResponse, String> {
        let connection_error = |error: ureq::Error| match &error {
            ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => format!(
                "{} does not answer: connection refused; check that `lifecycle run` runs there, or set --url to its http.listen",
                self.display_url
            ),
            _ if self.base.starts_with("https") => {
                format!(
                    "{}; --ca-file names the authority that issued the certificate (not a certificate that signed itself)",
                    Error::of_request(&self.display_url, error)
                )
            }
            _ => format!("{} does not answer: {error}", self.display_url),
        };
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let mut response = request.call().map_err(connection_error)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(RESPONSE_BYTES_MAX).read_to_string();
        Ok(HttpResponse { status, body: body.map_err(connection_error)? })
    }

    /// Requests a path that must exist, and parses the body as JSON for a terminal: without control characters.
    fn get_json(&self, path: &str) -> Result<Value, String> {
        self.get_unchanged_json(path).map(sanitized)
    }

    /// Requests a path that must exist, and parses the body as JSON.
    fn get_unchanged_json(&self, path: &str) -> Result<Value, String> {
        let response = self.get(path)?;
        match response.status {
            200 => serde_json::from_str(&response.body)
                .map_err(|_| format!("{}{path} did not return JSON: is this a lifecycle service?", self.display_url)),
            401 if self.authorization.is_some() => Err(format!(
                "{} rejects the token: --token-file FILE or --config FILE must name the file of the service",
                self.display_url
            )),
            401 => Err(format!("{} requires a token: --token-file FILE or --config FILE", self.display_url)),
            status if response.is_lifecycle_problem() => {
                Err(format!("{}{path} returned status {status}: {}", self.display_url, response.detail()))
            }
            status => Err(format!(
                "{}{path} returned status {status} without a lifecycle error: is this a lifecycle service?",
                self.display_url
            )),
        }
    }

    /// Returns the models that the service runs.
    ///
    /// # Errors
    /// The service did not respond, or not as expected; the message says why.
    pub fn models(&self) -> Result<Vec<ModelStages>, String> {
        let models = ModelStages::from_response(&self.get_json("/v1/models")?);
        if models.is_empty() {
            return Err(format!("{}/v1/models lists no models: is this a lifecycle service?", self.display_url));
        }
        Ok(models)
    }

    /// Returns at most `limit` customers of a stage, from `cursor` on, exactly as the API returns them.
    ///
    /// # Errors
    /// The service did not respond, or not as expected; the message says why.
    pub fn stage_customers(&self, model: &str, stage: &str, limit: u64, cursor: Option<&str>) -> Result<Value, String> {
        let (model, stage, limit) = (segment(model), segment(stage), limit.min(STAGE_CUSTOMERS_MAX));
        let cursor = cursor.map_or_else(String::new, |cursor| format!("&cursor={cursor}"));
        self.get_unchanged_json(&format!("/v1/models/{model}/stages/{stage}/customers?limit={limit}{cursor}"))
    }

    /// Returns at most `limit` of the latest refused links, exactly as the API returns them.
    ///
    /// # Errors
    /// The service did not respond, or not as expected; the message says why.
    pub fn refused_links(&self, limit: u64) -> Result<Value, String> {
        self.get_unchanged_json(&format!("/v1/links/refused?limit={}", limit.min(REFUSED_LINKS_MAX)))
    }

    fn overview(&self) -> Result<Overview, String> {
        Ok(Overview::from_response(&self.get_json("/v1/overview")?))
    }

    /// Returns the transitions published after `cursor`, how many were missed, and the next cursor.
    fn transitions(&self, cursor: Option<u64>) -> Result<(Vec<TransitionRow>, u64, Option<u64>), String> {
        let after = cursor.map(|cursor| format!("&after={cursor}")).unwrap_or_default();
        let response = self.get_json(&format!("/v1/transitions?limit={TRANSITIONS_MAX}{after}"))?;
        let (rows, missed) = TransitionRow::from_response(&response);
        Ok((rows, missed, response["next"].as_u64()))
    }

    fn customer(&self, id: &str) -> Result<Update, String> {
        let path = format!("/v1/customers/{}", segment(id));
        let response = self.get(&path)?;
        if response.status != 200 {
            return Ok(Update::CustomerUnavailable(id.to_owned(), response.detail()));
        }
        let customer = response.json().map_err(|error| error.to_string())?;
        let forecast = self.get(&format!("{path}/forecast?days={FORECAST_DAYS}"))?.json().unwrap_or_default();
        Ok(Update::Customer(Box::new(CustomerPage::from_response(&customer, &forecast))))
    }

    /// Polls the service and sends updates until the receiver is gone. `customers` receives the id of the customer to
    /// poll, or `None` for no customer.
    pub fn follow(&self, updates: &Sender<Update>, customers: &Receiver<Option<String>>) {
        let mut customer: Option<String> = None;
        let mut cursor = None;
        let mut is_connected = false;
        let mut customers_due = Instant::now();
        loop {
            let polled = self.poll_once(updates, customer.as_deref(), &mut cursor, &mut customers_due, is_connected);
            let delay = match polled {
                Ok(true) => {
                    is_connected = true;
                    OVERVIEW_INTERVAL
                }
                // The receiver is gone.
                Ok(false) => return,
                Err(why) => {
                    is_connected = false;
                    if updates.send(Update::Disconnected(why)).is_err() {
                        return;
                    }
                    RETRY_INTERVAL
                }
            };
            match customers.recv_timeout(delay) {
                Ok(requested) => {
                    customer = requested;
                    customers_due = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Sends every update that is due; returns `false` if the receiver is gone.
    fn poll_once(
        &self,
        updates: &Sender<Update>,
        customer: Option<&str>,
        cursor: &mut Option<u64>,
        customers_due: &mut Instant,
        is_connected: bool,
    ) -> Result<bool, String> {
        if !is_connected && updates.send(Update::Models(self.models()?)).is_err() {
            return Ok(false);
        }
        if Instant::now() >= *customers_due {
            *customers_due = Instant::now() + CUSTOMERS_INTERVAL;
            let (rows, missed, next) = self.transitions(*cursor)?;
            *cursor = next.or(*cursor);
            if updates.send(Update::Transitions(rows, missed)).is_err() {
                return Ok(false);
            }
            if let Some(id) = customer
                && updates.send(self.customer(id)?).is_err()
            {
                return Ok(false);
            }
        }
        Ok(updates.send(Update::Overview(Box::new(self.overview()?))).is_ok())
    }
}

impl HttpResponse {
    fn json(&self) -> serde_json::Result<Value> {
        serde_json::from_str(&self.body).map(sanitized)
    }

    /// Returns whether the body is a problem details object of lifecycle.
    fn is_lifecycle_problem(&self) -> bool {
        let problem = self.json().unwrap_or_default();
        problem["type"].as_str().is_some_and(|kind| kind.starts_with("urn:lifecycle:problem:"))
    }

    /// Returns the `detail` of a problem details body, or else the status code.
    fn detail(&self) -> String {
        let problem = self.json().unwrap_or_default();
        problem["detail"].as_str().map_or_else(|| format!("status {}", self.status), str::to_owned)
    }
}

/// Redacts user and password, which precede the last `@`; either may be a secret.
fn redacted(url: &str) -> Cow<'_, str> {
    let Some((_, host)) = url.rsplit_once('@') else { return url.into() };
    let scheme = url.find("://").map_or("", |at| &url[..at + 3]);
    format!("{scheme}***@{host}").into()
}

/// Checks that `address`, the URL without `http://`, has a host and, if present, a valid port.
fn check_address(address: &str) -> Result<(), String> {
    let hint = "write http://host:port, such as http://127.0.0.1:8080";
    if address.contains(['?', '#']) || address.contains(char::is_whitespace) {
        return Err(format!("query and fragment are not allowed: {hint}"));
    }
    let host = address.split('/').next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    // Brackets enclose an IPv6 address, whose colons do not start a port.
    let (host, port) =
        host.rsplit_once(':').filter(|_| !host.ends_with(']')).map_or((host, None), |(it, port)| (it, Some(port)));
    match port {
        _ if host.is_empty() => Err(format!("the host is missing: {hint}")),
        Some(port) if !port.parse::<u16>().is_ok_and(|port| port > 0) => {
            Err(format!("{port:?} is not a port: write a number from 1 to 65535"))
        }
        _ if address.ends_with("/v1") => Err(format!("leave out /v1: {hint}")),
        _ => Ok(()),
    }
}

/// Returns an id as one segment of a path; dots are encoded, because `.` and `..` are not segments of their own.
fn segment(id: &str) -> String {
    percent_encoded(id).replace('.', "%2E")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_encoded_as_one_path_segment() {
        assert_eq!(segment("customer-7_~"), "customer-7_~");
        assert_eq!(segment("../a b/ё?"), "%2E%2E%2Fa%20b%2F%D1%91%3F");
    }

    /// Starts a server that answers one request with `status`. Returns its URL and the thread, which returns the
    /// request.
    fn server(status: &'static str) -> (String, std::thread::JoinHandle<String>) {
        server_with(status, "{}")
    }

    fn server_with(status: &'static str, body: &'static str) -> (String, std::thread::JoinHandle<String>) {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let request = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut part = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                let read = stream.read(&mut part).unwrap();
                request.extend_from_slice(&part[..read]);
            }
            let length = body.len();
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").unwrap();
            String::from_utf8(request).unwrap().to_ascii_lowercase()
        });
        (url, request)
    }

    #[test]
    fn the_token_is_sent_and_a_rejected_token_is_reported() {
        let (url, request) = server("401 Unauthorized");
        let error = Client::new(&url, Some("S3cret"), None).unwrap().models().unwrap_err();
        assert!(error.starts_with(&format!("{url} rejects the token: --token-file FILE or --config FILE")), "{error}");
        assert!(request.join().unwrap().contains("authorization: bearer s3cret\r\n"));
    }

    #[test]
    fn a_missing_token_is_reported() {
        let (url, request) = server("401 Unauthorized");
        let error = Client::new(&url, None, None).unwrap().models().unwrap_err();
        assert_eq!(error, format!("{url} requires a token: --token-file FILE or --config FILE"));
        drop(request.join());
    }

    #[test]
    fn the_customers_of_a_stage_are_returned_unchanged() {
        const BODY: &str = r#"{"customers":[{"customer_id":"a\u001bb\u007fc\u202e"}]}"#;
        let (url, request) = server_with("200 OK", BODY);
        let page = Client::new(&url, None, None).unwrap().stage_customers("m", "s", 1, None).unwrap();
        assert_eq!(page["customers"][0]["customer_id"], "a\u{1b}b\u{7f}c\u{202e}");
        drop(request.join());
    }

    #[test]
    fn a_server_other_than_lifecycle_is_reported() {
        let (url, request) = server("200 OK");
        assert!(Client::new(&url, None, None).unwrap().models().unwrap_err().contains("is this a lifecycle service?"));
        assert!(!request.join().unwrap().contains("authorization"));
        for status in ["404 Not Found", "503 Service Unavailable"] {
            let (url, request) = server(status);
            let error = Client::new(&url, None, None).unwrap().models().unwrap_err();
            let number = &status[..3];
            assert_eq!(
                error,
                format!(
                    "{url}/v1/models returned status {number} without a lifecycle error: is this a lifecycle service?"
                )
            );
            drop(request.join());
        }
    }

    #[test]
    fn http_and_https_are_supported() {
        let url = |url: &str| Client::new(url, None, None).map(|client| client.url().to_owned());
        assert_eq!(url("localhost:8080").as_deref(), Ok("http://localhost:8080"));
        assert_eq!(url("http://localhost:8080/lifecycle/").as_deref(), Ok("http://localhost:8080/lifecycle"));
        assert_eq!(url("https://localhost").as_deref(), Ok("https://localhost"));
        assert!(url("ftp://localhost").unwrap_err().contains("ftp is not supported"));
        let problem = |url: &str| Client::new(url, None, Some(Path::new("missing.pem"))).unwrap_err();
        assert!(problem("localhost").contains("--ca-file needs the https:// address"));
        assert!(problem("https://localhost").contains("missing.pem"));
    }

    #[test]
    fn urls_without_a_host_or_a_valid_port_are_rejected() {
        let rejected = |url: &str| Client::new(url, None, None).unwrap_err();
        for url in ["", "http://", "http:///v1", "http://:8080", " "] {
            assert!(rejected(url).contains("the host is missing: write http://host:port"), "{url}: {}", rejected(url));
        }
        for port in ["99999", "0", "", "http", "-1"] {
            let error = rejected(&format!("http://localhost:{port}"));
            assert!(error.contains(&format!("{port:?} is not a port: write a number from 1 to 65535")), "{error}");
        }
        assert!(rejected("http://localhost:1?x=1").contains("query and fragment are not allowed"));
        assert!(rejected("http://localhost:1/v1/").contains("leave out /v1: write http://host:port"));
        for url in ["localhost", "http://[::1]:8080", "http://[::1]", "http://localhost:8080/under/a/path/"] {
            assert!(Client::new(url, None, None).is_ok(), "{url}");
        }
    }

    #[test]
    fn passwords_are_redacted() {
        for url in [
            "http://me:s3cr:e@t@127.0.0.1:9/x",
            "me:s3cr:e@t@127.0.0.1:9",
            "https://me:s3cr:e@t@host",
            "http://me:s3cr:e@t@",
        ] {
            let text = match Client::new(url, None, None) {
                Ok(client) => client.url().to_owned() + &client.models().unwrap_err(),
                Err(error) => error,
            };
            assert!(!text.contains("s3cr") && !text.contains("e@t") && text.contains("***@"), "{text}");
        }
    }
}
