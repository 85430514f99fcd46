//! The client: sends one request on a pooled connection and reads a bounded response.

use std::io::Read;
use std::time::Duration;

use ureq::http::{HeaderName, HeaderValue, Method, Request as HttpRequest, Uri};
use ureq::unversioned::resolver::{DefaultResolver, Resolver};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body};

use super::error::Error;
use super::resolver::CheckedResolver;
use super::tls::TlsFiles;

/// How long an unused connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// The options of a client.
#[derive(Clone, Debug)]
pub struct Options {
    /// Timeout of a request, from the name lookup to the end of the response.
    pub timeout: Duration,
    /// Maximum number of connections that are kept open between requests.
    pub idle_connections_max: usize,
    /// Maximum size of a response body, in bytes; the rest is not read.
    pub response_bytes_max: u64,
    /// Whether the client connects to loopback and private addresses.
    pub is_private_allowed: bool,
    /// Certificates and keys.
    pub tls: TlsFiles,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(15),
            idle_connections_max: 16,
            response_bytes_max: 1 << 20,
            is_private_allowed: false,
            tls: TlsFiles::default(),
        }
    }
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method: `POST`.
    pub method: &'a str,
    /// The URL, with the scheme `http` or `https` and without user information.
    pub url: &'a str,
    /// Names and values of headers.
    pub headers: &'a [(String, String)],
    /// The body; `None` for a request without one.
    pub body: Option<&'a [u8]>,
}

/// A response with any status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers with names in lower case. Values that are not ASCII text are left out.
    pub headers: Vec<(String, String)>,
    /// The body, up to the limit.
    pub body: Vec<u8>,
    /// Whether the body is longer than the limit.
    pub is_truncated: bool,
}

impl Response {
    /// Returns the first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

/// A client with a pool of connections, usable from several threads.
#[derive(Clone, Debug)]
pub struct HttpClient {
    agent: Agent,
    response_bytes_max: u64,
}

impl HttpClient {
    /// Creates a client. Reads its TLS files.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a file cannot be used.
    pub fn new(options: &Options) -> Result<Self, Error> {
        Self::with_resolver(options, DefaultResolver::default())
    }

    /// Creates a client that looks up names with `resolver`.
    pub(super) fn with_resolver(options: &Options, resolver: impl Resolver) -> Result<Self, Error> {
        let config = Agent::config_builder()
            .timeout_global(Some(options.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // A proxy would resolve the name itself, and the check of addresses would be void.
            .proxy(None)
            .user_agent(concat!("lifecycle/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections(options.idle_connections_max)
            .max_idle_connections_per_host(options.idle_connections_max)
            .max_idle_age(IDLE_MAX)
            .tls_config(options.tls.load()?)
            .build();
        let resolver = CheckedResolver { inner: resolver, is_private_allowed: options.is_private_allowed };
        let agent = Agent::with_parts(config, DefaultConnector::default(), resolver);
        Ok(Self { agent, response_bytes_max: options.response_bytes_max })
    }

    /// Sends a request and reads the response, whatever its status.
    ///
    /// # Errors
    /// No complete response arrived, or the request is invalid.
    pub fn send(&self, request: &Request<'_>) -> Result<Response, Error> {
        let (uri, host) = parse_url(request.url)?;
        let is_plain = uri.scheme_str() == Some("http");
        let invalid = |what: &str| Error::Invalid(format!("{host}: {what}"));
        let method = Method::from_bytes(request.method.as_bytes()).map_err(|_| invalid("the method is invalid"))?;
        let mut builder = HttpRequest::builder().method(method).uri(uri);
        for (name, value) in request.headers {
            let value = HeaderValue::from_str(value)
                .map_err(|_| invalid(&format!("the value of the header {name} is not visible ASCII text")))?;
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| invalid(&format!("{name:?} is not the name of a header")))?;
            builder = builder.header(name, value);
        }
        let response = match request.body {
            Some(body) => builder.body(body).map_err(ureq::Error::from).and_then(|it| self.agent.run(it)),
            None => builder.body(()).map_err(ureq::Error::from).and_then(|it| self.agent.run(it)),
        };
        let response = response.map_err(|error| match error {
            // The server may have answered with a TLS record.
            ureq::Error::Protocol(error) if is_plain => {
                Error::Connection { host: host.clone(), what: format!("{error}; it may require TLS: write https://") }
            }
            error => Error::of_request(&host, error),
        })?;
        self.read(&host, response)
    }

    fn read(&self, host: &str, response: ureq::http::Response<Body>) -> Result<Response, Error> {
        let (head, body) = response.into_parts();
        let headers = head.headers.iter().filter_map(|(name, value)| {
            let value = value.to_str().ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        });
        let mut response = Response {
            status: head.status.as_u16(),
            headers: headers.collect(),
            body: Vec::new(),
            is_truncated: false,
        };
        body.into_reader()
            .take(self.response_bytes_max + 1)
            .read_to_end(&mut response.body)
            .map_err(|error| Error::of_request(host, ureq::Error::from(error)))?;
        let bytes_max = usize::try_from(self.response_bytes_max).unwrap_or(usize::MAX);
        response.is_truncated = response.body.len() > bytes_max;
        response.body.truncate(bytes_max);
        Ok(response)
    }
}

/// Returns whether `text` can be the value of a header.
#[must_use]
pub fn is_header_value(text: &str) -> bool {
    HeaderValue::from_str(text).is_ok()
}

/// Returns whether `text` can be the name of a header.
#[must_use]
pub fn is_header_name(text: &str) -> bool {
    HeaderName::from_bytes(text.as_bytes()).is_ok()
}

/// Checks that a request can be sent to `url`.
///
/// # Errors
/// [`Error::Invalid`], without the URL.
pub fn check_url(url: &str) -> Result<(), Error> {
    parse_url(url).map(drop)
}

/// Returns whether a request can be sent to `url`.
#[must_use]
pub fn is_url(url: &str) -> bool {
    parse_url(url).is_ok()
}

/// Returns the URL and its host with the port, for messages.
fn parse_url(url: &str) -> Result<(Uri, String), Error> {
    // The URL itself is in no message, because it may contain a secret.
    let uri: Uri = url.parse().map_err(|_| Error::Invalid("a URL is invalid".to_owned()))?;
    let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(Error::Invalid("a URL does not start with https:// or http:// and a host".to_owned()));
    };
    if authority.host().is_empty() {
        return Err(Error::Invalid("a URL has no host".to_owned()));
    }
    if authority.as_str().contains('@') {
        return Err(Error::Invalid(format!(
            "{}: the URL contains a user or a password: write them as credentials instead",
            authority.host()
        )));
    }
    let host = authority.to_string();
    Ok((uri, host))
}
