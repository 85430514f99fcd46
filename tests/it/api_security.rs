//! The HTTP server with TLS, with tokens of two roles, and with a listener of its own for the probes.
#![expect(clippy::unwrap_used, reason = "a failed setup step fails the test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use lifecycle_processor::api::{Listeners, Peers, SharedTls, SharedTokens, TlsFiles, Tokens};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

use crate::api::{Server, snapshot, status as partition_status};
use crate::kafka_security::certificates;

const AGGREGATES: &str = "aaaaaaaaaaaaaaaaaaaa";
const CUSTOMERS: &str = "cccccccccccccccccccc";

/// Sends a request over TLS, trusting the authorities in `ca`. Returns the response, or the problem of the handshake.
fn get_over_tls(address: SocketAddr, ca: &Path, path: &str, token: &str) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    let mut stream = Stream::new(&mut connection, &mut socket);
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut response = Vec::new();
    // The server may close the connection without a closing message of TLS.
    drop(stream.read_to_end(&mut response));
    Ok(String::from_utf8(response).unwrap())
}

fn tokens() -> SharedTokens {
    let text = format!("dashboard aggregates {AGGREGATES}\nsupport customers {CUSTOMERS}\n");
    SharedTokens::new(Tokens::parse(&text).unwrap())
}

fn tls(folder: &Path, name: &str) -> SharedTls {
    SharedTls::load(TlsFiles {
        certificate: folder.join(format!("{name}.pem")),
        key: folder.join(format!("{name}.key")),
        ca: Some(folder.join("ca.pem")),
    })
    .unwrap()
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn a_token_reads_what_its_role_allows_and_tokens_can_be_replaced() {
    let tokens = tokens();
    let mut server = Server::start(Some(tokens.clone()));
    server.answer_queries();
    server.status_registry.publish(0, snapshot(vec![partition_status(7, Vec::new())]));
    let status = |path: &str, token: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n");
        server.request(&request).status
    };
    let of_customers = [
        "/v1/customers/anna%2F1",
        "/v1/customers/anna%2F1/forecast",
        "/v1/links/refused",
        "/v1/models/retention/stages/active/customers",
        "/v1/transitions",
    ];
    for path in of_customers {
        assert_eq!((status(path, AGGREGATES), status(path, CUSTOMERS)), (403, 200), "{path}");
    }
    for path in ["/v1/models", "/v1/models/retention", "/v1/overview", "/v1/partitions"] {
        assert_eq!((status(path, AGGREGATES), status(path, CUSTOMERS), status(path, "x")), (200, 200, 401), "{path}");
    }
    tokens.replace(Tokens::parse("another-token-of-all-roles").unwrap());
    assert_eq!(status("/v1/models", CUSTOMERS), 401);
    assert_eq!(status("/v1/customers/anna%2F1", "another-token-of-all-roles"), 200);
}

#[test]
fn with_tls_requests_need_it_and_a_replaced_certificate_takes_effect() {
    let folder = tempfile::tempdir().unwrap();
    certificates::write(folder.path());
    let (ca, other) = (folder.path().join("ca.pem"), folder.path().join("other-ca.pem"));
    let tls = tls(folder.path(), "broker");
    let listeners = Listeners { api: listener(), tls: Some(tls.clone()), probes: None };
    let server = Server::with_listeners(listeners, None, Some(tokens()));
    let response = get_over_tls(server.address, &ca, "/v1/models", AGGREGATES).unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    let problem = get_over_tls(server.address, &other, "/v1/models", AGGREGATES).unwrap_err();
    assert!(problem.contains("UnknownIssuer"), "{problem}");
    let mut plain = TcpStream::connect(server.address).unwrap();
    plain.write_all(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer));
    assert!(!answer.starts_with(b"HTTP"), "a request without TLS has no response");

    // A key of another certificate is rejected, and the current certificate stays in use.
    let replace = |name: &str, from: &str| {
        std::fs::copy(folder.path().join(from), folder.path().join(name)).unwrap();
    };
    replace("broker.pem", "other-broker.pem");
    assert!(tls.reload().unwrap_err().contains("cannot be used with the key"));
    assert!(get_over_tls(server.address, &ca, "/v1/models", AGGREGATES).is_ok());
    replace("broker.key", "other-broker.key");
    tls.reload().unwrap();
    assert!(get_over_tls(server.address, &ca, "/v1/models", AGGREGATES).is_err());
    assert!(get_over_tls(server.address, &other, "/v1/models", AGGREGATES).is_ok());
}

#[test]
fn top_and_customers_read_a_server_whose_certificate_is_signed_by_an_own_authority() {
    let folder = tempfile::tempdir().unwrap();
    certificates::write(folder.path());
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(file("token"), CUSTOMERS).unwrap();
    let listeners = Listeners { api: listener(), tls: Some(tls(folder.path(), "broker")), probes: None };
    let mut server = Server::with_listeners(listeners, None, Some(tokens()));
    server.answer_queries();
    server.status_registry.publish(0, snapshot(vec![partition_status(7, Vec::new())]));
    let url = format!("https://{}", server.address);
    let run = |command: &[&str], ca: &[&str]| {
        let token = file("token");
        let connection = ["--url", &url, "--token-file", &token];
        crate::cli::lifecycle(folder.path(), &[command, &connection, ca].concat(), b"")
    };
    let commands = [
        ["customers", "--model", "retention", "--stage", "active"].as_slice(),
        ["top", "--lines", "--seconds", "1"].as_slice(),
    ];
    for command in commands {
        let trusted = run(command, &["--ca-file", &file("ca.pem")]);
        assert_eq!(trusted.code, 0, "{}", trusted.errors);
        for ca in [["--ca-file", &file("other-ca.pem")].as_slice(), [].as_slice()] {
            let rejected = run(command, ca);
            let expected = format!("{url}: TLS failed: invalid peer certificate: UnknownIssuer");
            assert!(rejected.code == 3 && rejected.errors.contains(&expected), "{}", rejected.errors);
            assert!(rejected.errors.contains("--ca-file"), "{}", rejected.errors);
        }
    }
}

#[test]
fn instances_ask_each_other_over_tls_and_check_the_certificate() {
    let folder = tempfile::tempdir().unwrap();
    certificates::write(folder.path());
    let ca = folder.path().join("ca.pem");
    for (of_second, status) in [("broker", "200"), ("other-broker", "503")] {
        let listeners = [listener(), listener()];
        let addresses: Vec<String> = listeners.iter().map(|it| it.local_addr().unwrap().to_string()).collect();
        let mut servers = listeners.into_iter().zip(["broker", of_second]).map(|(api, certificate)| {
            let (own, all, tls) =
                (api.local_addr().unwrap().to_string(), addresses.clone(), tls(folder.path(), certificate));
            let peers = Peers::new(own, Some(tls.clone()), Box::new(move || Ok(all.clone())));
            let listeners = Listeners { api, tls: Some(tls), probes: None };
            Server::with_listeners(listeners, Some(peers), Some(tokens()))
        });
        let (mut first, mut second) = (servers.next().unwrap(), servers.next().unwrap());
        first.answer_queries_with_unknown();
        second.answer_queries();
        let response = get_over_tls(first.address, &ca, "/v1/customers/anna%2F1", CUSTOMERS).unwrap();
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{response}");
    }
}

#[test]
fn probes_and_metrics_may_have_a_listener_of_their_own() {
    let probes = listener();
    let address = probes.local_addr().unwrap();
    let listeners = Listeners { api: listener(), tls: None, probes: Some(probes) };
    let server = Server::with_listeners(listeners, None, Some(tokens()));
    let probe = |path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: 10.0.0.1\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    for path in ["/livez", "/metrics"] {
        assert_eq!((probe(path), server.get(path).status), (200, 404), "{path}");
    }
    for path in ["/v1/models", "/v1/customers/anna", "/openapi.json"] {
        assert_eq!(probe(path), 404, "{path}");
    }
}
