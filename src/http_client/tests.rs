//! Tests of the client against real servers on loopback, with and without TLS.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::*;

/// Starts a server that answers every connection's first request with `answer`. Returns its address and the heads of
/// the requests.
fn server(answer: &'static str) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            sender.send(read_head(&mut stream)).ok();
            stream.write_all(answer.as_bytes()).ok();
        }
    });
    (address, requests)
}

fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn local() -> Options {
    Options { is_private_allowed: true, timeout: Duration::from_secs(5), ..Options::default() }
}

fn get(client: &HttpClient, url: &str) -> Result<Response, Error> {
    client.send(&Request { method: "GET", url, headers: &[], body: None })
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

#[test]
fn a_request_is_sent_as_given() {
    let (address, requests) = server(OK);
    let client = HttpClient::new(&local()).expect("a client");
    let headers = [("X-Key".to_owned(), "7".to_owned())];
    let url = format!("http://{address}/path?q=1");
    let request = Request { method: "PUT", url: &url, headers: &headers, body: Some(b"{}") };
    let response = client.send(&request).expect("a response");
    assert_eq!((response.status, response.body.as_slice(), response.is_truncated), (200, &b"ok"[..], false));
    let head = requests.recv().expect("a request").to_lowercase();
    assert!(head.starts_with("put /path?q=1 http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nx-key: 7\r\n") && head.contains("\r\ncontent-length: 2\r\n"), "{head}");
    assert!(head.contains("\r\nuser-agent: lifecycle/"), "{head}");
}

#[test]
fn a_redirect_is_returned_and_not_followed() {
    let (target, reached) = server(OK);
    let answer = format!("HTTP/1.1 302 Found\r\nLocation: http://{target}/\r\nContent-Length: 0\r\n\r\n");
    let (address, _) = server(Box::leak(answer.into_boxed_str()));
    let client = HttpClient::new(&local()).expect("a client");
    let response = get(&client, &format!("http://{address}/")).expect("a response");
    assert_eq!(response.status, 302);
    assert!(reached.try_recv().is_err(), "the redirect was followed");
}

#[test]
fn a_long_body_is_cut_at_the_limit() {
    let (address, _) = server("HTTP/1.1 500 Oops\r\nContent-Length: 10\r\nRetry-After: 3\r\n\r\n0123456789");
    let client = HttpClient::new(&Options { response_bytes_max: 4, ..local() }).expect("a client");
    let response = get(&client, &format!("http://{address}/")).expect("a response");
    assert_eq!((response.body.as_slice(), response.is_truncated), (&b"0123"[..], true));
    assert_eq!(response.header("retry-after"), Some("3"));
    let client = HttpClient::new(&Options { response_bytes_max: 10, ..local() }).expect("a client");
    assert!(!get(&client, &format!("http://{address}/")).expect("a response").is_truncated);
}

#[test]
fn private_addresses_are_refused_unless_allowed_and_link_local_ones_always() {
    let (address, requests) = server(OK);
    let port = address.port();
    let client = HttpClient::new(&Options::default()).expect("a client");
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "2130706433", "0x7f000001"] {
        let error = get(&client, &format!("http://{host}:{port}/secret")).expect_err(host);
        assert!(matches!(error, Error::AddressRefused { .. }), "{host}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let client = HttpClient::new(&local()).expect("a client");
    for host in ["169.254.169.254", "0.0.0.0", "[fe80::1]", "[::ffff:169.254.169.254]"] {
        let error = get(&client, &format!("http://{host}:{port}/")).expect_err(host);
        assert!(matches!(error, Error::AddressRefused { .. }), "{host}: {error}");
    }
    assert!(requests.try_recv().is_err(), "a refused address was connected to");
}

/// A resolver whose answers change: the first is public, the later ones are loopback.
#[derive(Debug)]
struct Rebinding(AtomicUsize);

impl Resolver for Rebinding {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        // The first address is reserved for benchmarks in no list that is checked, and does not answer.
        let ip: IpAddr = match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => [192, 0, 1, 1].into(),
            _ => [127, 0, 0, 1].into(),
        };
        let mut answer = self.empty();
        answer.push(SocketAddr::new(ip, uri.port_u16().unwrap_or(80)));
        Ok(answer)
    }
}

#[test]
fn a_name_that_changes_its_mind_is_checked_each_time() {
    let (address, requests) = server(OK);
    let options = Options { timeout: Duration::from_millis(300), ..Options::default() };
    let client = HttpClient::with_resolver(&options, Rebinding(AtomicUsize::new(0))).expect("a client");
    let url = format!("http://shop.example:{}/", address.port());
    let first = get(&client, &url).expect_err("nothing answers at the first address");
    assert!(!matches!(first, Error::AddressRefused { .. }), "{first}");
    let second = get(&client, &url).expect_err("loopback is refused");
    assert!(matches!(second, Error::AddressRefused { .. }), "{second}");
    assert!(requests.try_recv().is_err(), "the loopback address was connected to");
}

#[test]
fn a_silent_server_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/token-in-path", listener.local_addr().expect("an address"));
    let client = HttpClient::new(&Options { timeout: Duration::from_millis(100), ..local() }).expect("a client");
    let started = Instant::now();
    let error = get(&client, &url).expect_err("no response");
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(started.elapsed() >= Duration::from_millis(100), "it did not wait");
    assert!(!error.to_string().contains("token"), "{error}");
}

#[test]
fn invalid_requests_are_refused_without_showing_the_url() {
    let client = HttpClient::new(&local()).expect("a client");
    for url in ["ftp://host/secret", "/secret", "http://", "http://user:secret@127.0.0.1/", "http://a b/secret"] {
        let error = get(&client, url).expect_err(url);
        assert!(matches!(error, Error::Invalid(_)), "{url}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let headers = [("x".to_owned(), "secret\r\nx: y".to_owned())];
    let request = Request { method: "GET", url: "http://127.0.0.1/", headers: &headers, body: None };
    let error = client.send(&request).expect_err("an invalid header");
    assert!(matches!(error, Error::Invalid(_)) && !error.to_string().contains("secret"), "{error}");
}

#[test]
fn a_refused_connection_is_an_error_of_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let client = HttpClient::new(&local()).expect("a client");
    let error = get(&client, &format!("http://{address}/")).expect_err("nothing listens");
    assert!(matches!(error, Error::Connection { .. }), "{error}");
}

/// A certificate authority in a folder with the PEM files of a server and a client.
struct Pki {
    folder: tempfile::TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).expect("a file");
        let pki = Self { folder, ca };
        let (certificate, key) = pki.issue("client");
        std::fs::write(pki.file("client.pem"), certificate.pem()).expect("a file");
        std::fs::write(pki.file("client.key"), key.serialize_pem()).expect("a file");
        std::fs::write(pki.file("other.key"), KeyPair::generate().expect("a key").serialize_pem()).expect("a file");
        pki
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        (params.signed_by(&key, &self.ca).expect("a certificate"), key)
    }

    /// Starts a server for `localhost` that answers each connection's request with [`OK`].
    fn serve(&self, is_client_verified: bool) -> SocketAddr {
        let (certificate, key) = self.issue("localhost");
        self.serve_with(certificate.der().clone(), &key, is_client_verified)
    }

    fn serve_with(&self, certificate: CertificateDer<'static>, key: &KeyPair, is_client_verified: bool) -> SocketAddr {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = if is_client_verified {
            let mut roots = RootCertStore::empty();
            roots.add(self.ca.der().clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = Arc::new(builder.with_single_cert(vec![certificate], key).expect("a certificate"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
                let mut stream = StreamOwned::new(connection, stream.expect("a connection"));
                if read_head(&mut stream).ends_with("\r\n\r\n") {
                    stream.write_all(OK.as_bytes()).ok();
                }
                stream.conn.send_close_notify();
                stream.flush().ok();
            }
        });
        address
    }
}

#[test]
fn a_server_of_an_unknown_ca_is_refused_until_its_ca_is_named() {
    let pki = Pki::new();
    let url = format!("https://localhost:{}/", pki.serve(false).port());
    let error = get(&HttpClient::new(&local()).expect("a client"), &url).expect_err("an unknown issuer");
    assert!(error.to_string().contains("name the file of the CA"), "{error}");
    let tls = TlsFiles { ca: Some(pki.file("ca.pem")), certificate_and_key: None };
    let client = HttpClient::new(&Options { tls, ..local() }).expect("a client");
    assert_eq!(get(&client, &url).expect("a response").status, 200);
    // The certificate is for `localhost`, not for the address.
    get(&client, &url.replace("localhost", "127.0.0.1")).expect_err("another name");
}

#[test]
fn the_scheme_that_the_server_expects_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let plain = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            stream.read_exact(&mut [0; 5]).expect("a TLS record");
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok();
        }
    });
    let pki = Pki::new();
    let tls = TlsFiles { ca: Some(pki.file("ca.pem")), certificate_and_key: None };
    let client = HttpClient::new(&Options { tls, ..local() }).expect("a client");
    let error = get(&client, &format!("https://localhost:{}/", plain.port())).expect_err("no TLS").to_string();
    assert!(error.contains("the server has no TLS: write http://"), "{error}");
    let error = get(&client, &format!("http://localhost:{}/", pki.serve(false).port())).expect_err("TLS").to_string();
    assert!(error.contains("it may require TLS: write https://"), "{error}");
    let authority = pki.serve_with(pki.ca.der().clone(), pki.ca.key(), false);
    let error = get(&client, &format!("https://localhost:{}/", authority.port())).expect_err("a CA").to_string();
    assert!(error.contains("issue a server certificate with CA:FALSE"), "{error}");
}

#[test]
fn a_client_certificate_is_shown_to_a_server_that_requires_one() {
    let pki = Pki::new();
    let url = format!("https://localhost:{}/", pki.serve(true).port());
    let ca = Some(pki.file("ca.pem"));
    let tls = TlsFiles { ca: ca.clone(), certificate_and_key: None };
    let client = HttpClient::new(&Options { tls, ..local() }).expect("a client");
    get(&client, &url).expect_err("no certificate");
    let tls = TlsFiles { ca, certificate_and_key: Some((pki.file("client.pem"), pki.file("client.key"))) };
    let client = HttpClient::new(&Options { tls, ..local() }).expect("a client");
    assert_eq!(get(&client, &url).expect("a response").status, 200);
}

#[test]
fn unusable_tls_files_are_reported_with_their_path() {
    let pki = Pki::new();
    let ca = |name: &str| TlsFiles { ca: Some(pki.file(name)), certificate_and_key: None };
    let pair = |certificate: &str, key: &str| TlsFiles {
        ca: None,
        certificate_and_key: Some((pki.file(certificate), pki.file(key))),
    };
    for (tls, expected) in [
        (ca("missing.pem"), "missing.pem: cannot be read"),
        (ca("client.key"), "client.key: contains no certificates"),
        (pair("client.pem", "ca.pem"), "ca.pem: contains no private key"),
        (pair("client.pem", "other.key"), "other.key: cannot be used with"),
    ] {
        let error = HttpClient::new(&Options { tls, ..local() }).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_default_resolver_is_usable() {
    let client = HttpClient::with_resolver(&local(), DefaultResolver::default()).expect("a client");
    let (address, _) = server(OK);
    assert_eq!(get(&client, &format!("http://localhost:{}/", address.port())).expect("a response").status, 200);
}
