//! A client of a schema registry with Confluent's API, which Apicurio and Karapace have too.
//!
//! A schema never changes, so it is kept until the process ends. The id of a schema that is unknown or too large is
//! remembered for a while, and so is a registry that does not answer, so that a burst of records does not become a
//! burst of requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::http_client::{self, Error, HttpClient, Request, Response};
use crate::wire::percent_encoding::percent_encoded;

use super::framing::SchemaId;

/// Timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Attempts of a request whose connection breaks.
const ATTEMPTS: u32 = 2;
/// Maximum size of a schema.
const SCHEMA_BYTES_MAX: u64 = 4 << 20;
/// Maximum number of schemas that a schema refers to, directly or not.
const REFERENCES_MAX: usize = 100;
/// How long a schema that is unknown or too large is not asked for again.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// How long no request is sent after one that failed.
const UNAVAILABLE_FOR: Duration = Duration::from_secs(1);
/// Maximum number of ids of unusable schemas that are remembered.
const REFUSED_MAX: usize = 10_000;

/// How to reach a registry.
#[derive(Clone)]
pub struct RegistryOptions {
    /// The address of the API: `https://registry:8081`, or `http://apicurio:8080/apis/ccompat/v7`.
    pub url: String,
    /// The value of the header `Authorization`.
    pub authorization: Option<String>,
    /// Certificates and keys.
    pub tls: http_client::TlsFiles,
}

impl RegistryOptions {
    /// Returns the value of the header for a user and a password.
    #[must_use]
    pub fn basic(user: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    }

    /// Returns the value of the header for a token.
    #[must_use]
    pub fn bearer(token: &str) -> String {
        format!("Bearer {token}")
    }
}

impl std::fmt::Debug for RegistryOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RegistryOptions").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A schema of a registry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RegisteredSchema {
    /// `AVRO`, `PROTOBUF` or `JSON`.
    pub(super) kind: String,
    pub(super) text: String,
    /// The schemas that it refers to, by the name that it uses, each after those that it refers to itself.
    pub(super) references: Vec<(String, String)>,
}

/// Why a schema was not found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum LookupError {
    /// The registry does not know it.
    Unknown,
    /// The schema exceeds a limit, for this reason.
    TooLarge(String),
    /// The registry gave no answer, for this reason.
    Unavailable(String),
}

/// A client, shared by the workers.
#[derive(Debug)]
pub struct Registry {
    client: HttpClient,
    url: String,
    headers: Vec<(String, String)>,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    known: HashMap<SchemaId, Arc<RegisteredSchema>>,
    /// The ids that are unknown or too large, until when, and why.
    refused: HashMap<SchemaId, (Instant, LookupError)>,
    unavailable: Option<(Instant, String)>,
}

/// The answer to a request for a schema.
#[derive(Deserialize)]
struct SchemaAnswer {
    schema: String,
    #[serde(default, rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: i64,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error_code: u32,
}

impl Registry {
    /// Creates a client. Sends no request.
    ///
    /// # Errors
    /// The URL or a TLS file cannot be used.
    pub fn new(options: &RegistryOptions) -> Result<Self, String> {
        let client = HttpClient::new(&http_client::Options {
            timeout: TIMEOUT,
            response_bytes_max: SCHEMA_BYTES_MAX,
            // A registry is usually a neighbour.
            is_private_allowed: true,
            tls: options.tls.clone(),
            ..http_client::Options::default()
        });
        let client = client.map_err(|error| error.to_string())?;
        let mut headers =
            vec![("accept".to_owned(), "application/vnd.schemaregistry.v1+json, application/json".to_owned())];
        headers.extend(options.authorization.clone().map(|value| ("authorization".to_owned(), value)));
        Ok(Self { client, url: options.url.trim_end_matches('/').to_owned(), headers, cache: Mutex::default() })
    }

    /// Returns a schema, from the cache if possible.
    pub(super) fn schema(&self, id: SchemaId) -> Result<Arc<RegisteredSchema>, LookupError> {
        let now = Instant::now();
        {
            let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(schema) = cache.known.get(&id) {
                return Ok(Arc::clone(schema));
            }
            if let Some((_, error)) = cache.refused.get(&id).filter(|(until, _)| now < *until) {
                return Err(error.clone());
            }
            if let Some((_, problem)) = cache.unavailable.as_ref().filter(|(until, _)| now < *until) {
                return Err(LookupError::Unavailable(problem.clone()));
            }
        }
        // Not under the lock, so that the other workers continue with the schemas that are known.
        let found = self.fetch(id);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(schema) => {
                let schema = Arc::new(schema);
                cache.known.insert(id, Arc::clone(&schema));
                Ok(schema)
            }
            Err(error) => {
                match &error {
                    LookupError::Unknown | LookupError::TooLarge(_) => {
                        if cache.refused.len() >= REFUSED_MAX {
                            cache.refused.clear();
                        }
                        cache.refused.insert(id, (now + REFUSED_FOR, error.clone()));
                    }
                    LookupError::Unavailable(problem) => {
                        cache.unavailable = Some((Instant::now() + UNAVAILABLE_FOR, problem.clone()));
                    }
                }
                Err(error)
            }
        }
    }

    fn fetch(&self, id: SchemaId) -> Result<RegisteredSchema, LookupError> {
        let answer = match id {
            SchemaId::Number(id) => self.get(&format!("/schemas/ids/{id}"))?,
            SchemaId::Guid(_) => self.get(&format!("/schemas/guids/{id}"))?,
        };
        let mut references = Vec::new();
        self.add_references(answer.references, &mut references, 0)?;
        Ok(RegisteredSchema { kind: answer.kind.unwrap_or_else(|| "AVRO".to_owned()), text: answer.schema, references })
    }

    fn add_references(
        &self,
        references: Vec<Reference>,
        all: &mut Vec<(String, String)>,
        depth: usize,
    ) -> Result<(), LookupError> {
        for Reference { name, subject, version } in references {
            if all.iter().any(|(other, _)| *other == name) {
                continue;
            }
            if all.len() >= REFERENCES_MAX || depth >= REFERENCES_MAX {
                return Err(LookupError::TooLarge(format!("it has more than {REFERENCES_MAX} references")));
            }
            let answer = self.get(&format!("/subjects/{}/versions/{version}", percent_encoded(&subject)))?;
            self.add_references(answer.references, all, depth + 1)?;
            all.push((name, answer.schema));
        }
        Ok(())
    }

    fn get(&self, path: &str) -> Result<SchemaAnswer, LookupError> {
        let url = format!("{}{path}", self.url);
        let request = Request { method: "GET", url: &url, headers: &self.headers, body: None };
        let response = self.send(&request).map_err(|error| LookupError::Unavailable(error.to_string()))?;
        match response.status {
            200 if response.is_truncated => {
                Err(LookupError::TooLarge(format!("it, or one that it refers to, exceeds {SCHEMA_BYTES_MAX} bytes")))
            }
            200 => serde_json::from_slice(&response.body).map_err(|_| {
                LookupError::Unavailable(format!("{} is not a schema registry: check registry.url", self.url))
            }),
            404 if is_unknown_schema(&response.body) => Err(LookupError::Unknown),
            status => {
                let what = match status {
                    401 | 403 => "the registry refuses the credentials",
                    404 => "the registry has no such path, check registry.url",
                    _ => "the registry failed",
                };
                Err(LookupError::Unavailable(format!("{what} (status {status})")))
            }
        }
    }

    /// Returns the address of the API, without a slash at its end.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the headers of every request.
    pub(super) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    pub(super) fn send(&self, request: &Request<'_>) -> Result<Response, Error> {
        let mut attempt = 1;
        loop {
            match self.client.send(request) {
                // The registry may have closed a connection that was kept open.
                Err(Error::Connection { .. }) if attempt < ATTEMPTS => attempt += 1,
                answer => return answer,
            }
        }
    }
}

/// Whether the body of an answer with status 404 says that a subject, a version or a schema is not found.
fn is_unknown_schema(body: &[u8]) -> bool {
    serde_json::from_slice::<ErrorAnswer>(body).is_ok_and(|answer| (40_401..=40_403).contains(&answer.error_code))
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;

    /// A registry with canned answers: a path, a status and a body. Returns its address and the requests it received,
    /// each with its headers.
    pub(in crate::decode) fn registry(
        answers: &'static [(&'static str, u16, &'static str)],
    ) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let received = Arc::clone(&requests);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
                let request: Vec<_> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                let path = request[0].split(' ').nth(1).expect("a path");
                let found = answers.iter().find(|(answered, ..)| *answered == path);
                let (status, body) = found.map_or((500, "{}"), |(_, status, body)| (*status, *body));
                received.lock().expect("no panic").push(request.join("\n"));
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
                drop(stream.write_all(answer.as_bytes()));
            }
        });
        (url, requests)
    }

    pub(in crate::decode) fn client(url: &str, authorization: Option<String>) -> Registry {
        let options = RegistryOptions { url: format!("{url}/"), authorization, tls: http_client::TlsFiles::default() };
        Registry::new(&options).expect("valid options")
    }

    #[test]
    fn a_schema_is_fetched_once_with_its_references() {
        let (url, requests) = registry(&[
            (
                "/schemas/ids/7",
                200,
                r#"{"schema":"a","schemaType":"PROTOBUF","references":[{"name":"b.proto","subject":"x/b","version":3}]}"#,
            ),
            (
                "/subjects/x%2Fb/versions/3",
                200,
                r#"{"schema":"b","references":[{"name":"c.proto","subject":"c","version":1}]}"#,
            ),
            ("/subjects/c/versions/1", 200, r#"{"schema":"c"}"#),
        ]);
        let registry = client(&url, Some(RegistryOptions::basic("user", "secret")));
        for _ in 0..3 {
            let schema = registry.schema(SchemaId::Number(7)).expect("a schema");
            assert_eq!((schema.kind.as_str(), schema.text.as_str()), ("PROTOBUF", "a"));
            let references =
                [("c.proto", "c"), ("b.proto", "b")].map(|(name, text)| (name.to_owned(), text.to_owned()));
            assert_eq!(schema.references, references);
        }
        let requests = requests.lock().expect("no panic");
        assert_eq!(requests.len(), 3);
        assert!(requests.iter().all(|it| it.to_lowercase().contains("authorization: basic dxnlcjpzzwnyzxq=")));
    }

    #[test]
    fn an_answer_of_another_server_names_the_url_and_its_key() {
        let (url, _) = registry(&[("/schemas/ids/7", 200, "<html></html>")]);
        let error =
            client(&url, None).get("/schemas/ids/7").err().map(|error| format!("{error:?}")).unwrap_or_default();
        assert!(error.contains(&url) && error.contains("is not a schema registry: check registry.url"), "{error}");
    }

    #[test]
    fn a_guid_has_a_path_of_its_own_and_avro_is_the_default_type() {
        let (url, _) = registry(&[("/schemas/guids/89898989-8989-8989-8989-898989898989", 200, r#"{"schema":"s"}"#)]);
        let schema = client(&url, None).schema(SchemaId::Guid([0x89; 16])).expect("a schema");
        assert_eq!((schema.kind.as_str(), schema.text.as_str()), ("AVRO", "s"));
    }

    #[test]
    fn an_unknown_schema_is_asked_for_once_in_a_while() {
        let (url, requests) = registry(&[("/schemas/ids/9", 404, r#"{"error_code":40403,"message":"x"}"#)]);
        let registry = client(&url, None);
        for _ in 0..3 {
            assert_eq!(registry.schema(SchemaId::Number(9)), Err(LookupError::Unknown));
        }
        assert_eq!(requests.lock().expect("no panic").len(), 1);
    }

    #[test]
    fn a_schema_beyond_a_limit_is_refused_and_others_are_still_found() {
        let body = |length: u64| format!(r#"{{"schema":"{}"}}"#, "x".repeat(usize::try_from(length).expect("fits")));
        let references = |count: usize| {
            let reference = |at: usize| format!(r#"{{"name":"{at}","subject":"s","version":1}}"#);
            let references: Vec<_> = (0..count).map(reference).collect();
            format!(r#"{{"schema":"a","references":[{}]}}"#, references.join(","))
        };
        let envelope = body(0).len() as u64;
        let answers = [
            ("/schemas/ids/1", body(SCHEMA_BYTES_MAX - envelope)),
            ("/schemas/ids/2", body(SCHEMA_BYTES_MAX - envelope + 1)),
            ("/schemas/ids/3", references(REFERENCES_MAX)),
            ("/schemas/ids/4", references(REFERENCES_MAX + 1)),
            ("/subjects/s/versions/1", body(1)),
        ];
        let answers = answers.map(|(path, body)| (path, 200, &*body.leak()));
        let (url, requests) = registry(answers.to_vec().leak());
        let registry = client(&url, None);
        for (id, is_refused) in [(1, false), (2, true), (3, false), (4, true)] {
            for _ in 0..2 {
                let found = registry.schema(SchemaId::Number(id));
                assert_eq!(matches!(found, Err(LookupError::TooLarge(_))), is_refused, "{id}");
                assert_eq!(found.is_ok(), !is_refused, "{id}");
            }
        }
        assert_eq!(requests.lock().expect("no panic").len(), 4 + 2 * REFERENCES_MAX, "each is asked for once");
    }

    #[test]
    fn other_answers_are_the_fault_of_the_registry_and_not_repeated_at_once() {
        let (url, requests) = registry(&[
            ("/schemas/ids/1", 404, "<html>"),
            ("/schemas/ids/2", 401, "{}"),
            ("/schemas/ids/3", 200, "not json"),
            ("/schemas/ids/4", 302, "{}"),
        ]);
        for id in 1..=5 {
            let registry = client(&url, None);
            let first = registry.schema(SchemaId::Number(id));
            assert!(matches!(first, Err(LookupError::Unavailable(_))), "{id}: {first:?}");
            assert_eq!(registry.schema(SchemaId::Number(77)), first);
        }
        assert_eq!(requests.lock().expect("no panic").len(), 5);
    }

    #[test]
    fn a_registry_that_is_not_there_is_unavailable() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        drop(listener);
        assert!(matches!(client(&url, None).schema(SchemaId::Number(1)), Err(LookupError::Unavailable(_))));
    }

    #[test]
    fn secrets_are_not_printed() {
        let options = RegistryOptions {
            url: "http://registry".to_owned(),
            authorization: Some(RegistryOptions::bearer("secret")),
            tls: http_client::TlsFiles::default(),
        };
        assert!(!format!("{options:?}").contains("secret"));
    }
}
