//! The service on a real broker over TLS, mutual TLS, and SASL with PLAIN, SCRAM and OAUTHBEARER (OIDC), and the
//! messages for likely mistakes.
#![expect(clippy::unwrap_used, reason = "a failed setup step fails the test")]

pub(crate) mod certificates;
pub(crate) mod secured_broker;
mod token_server;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

use crate::broker::{self, NewRecord, until};
use crate::cli::lifecycle;
use secured_broker::SecuredBroker;

const TLS: &str = "security.protocol: ssl, ssl.ca.location: KEYS/ca.pem";
const MTLS: &str = "security.protocol: ssl, ssl.ca.location: KEYS/ca.pem, ssl.certificate.location: KEYS/svc.pem, \
                    ssl.key.location: KEYS/svc.key";
const PLAIN: &str = "security.protocol: sasl_ssl, ssl.ca.location: KEYS/ca.pem, sasl.mechanism: PLAIN, \
                     sasl.username: svc, sasl.password: 'file:KEYS/password'";
const SCRAM_256: &str = "security.protocol: sasl_ssl, ssl.ca.location: KEYS/ca.pem, sasl.mechanism: SCRAM-SHA-256, \
                         sasl.username: svc, sasl.password: 'file:KEYS/password'";
const SCRAM_512: &str = "security.protocol: sasl_ssl, ssl.ca.location: KEYS/ca.pem, sasl.mechanism: SCRAM-SHA-512, \
                         sasl.username: svc, sasl.password: 'file:KEYS/password'";
const OIDC: &str = "security.protocol: sasl_ssl, ssl.ca.location: KEYS/ca.pem, sasl.mechanism: OAUTHBEARER, \
                    sasl.oauthbearer.method: oidc, sasl.oauthbearer.client.id: svc, \
                    sasl.oauthbearer.client.secret: 'file:KEYS/token-secret', \
                    sasl.oauthbearer.token.endpoint.url: TOKENS/token";

/// A configuration of the service in a folder of its own, with topics of its own.
pub(crate) struct Setup {
    pub(crate) directory: TempDir,
    pub(crate) name: String,
}

impl Setup {
    /// Writes a configuration for a listener of `broker` with the settings `client`, in which `KEYS` is the folder of
    /// keys and `TOKENS` the address of the token server.
    pub(crate) fn new(broker: &SecuredBroker, address: &str, client: &str) -> Self {
        let setup = Self { directory: tempfile::tempdir().unwrap(), name: broker::unique("secured") };
        setup.configure(broker, address, client);
        setup
    }

    pub(crate) fn configure(&self, broker: &SecuredBroker, address: &str, client: &str) {
        let client = client.replace("KEYS", &broker.keys().display().to_string()).replace("TOKENS", &broker.tokens.url);
        let name = &self.name;
        let text = format!(
            "kafka: {{bootstrap_servers: '{address}', group_id: {name}, instance_id: a, transaction_timeout: 10s, client: {{{client}}}}}\n\
             topics: {{touchpoints: {name}.in, transitions: {name}.out, replay: {name}.replay, changelog: {name}.changelog, dead_letters: {name}.dead}}\n\
             models: ['{}/examples/orders_45d.yaml']\nworkers: 1\nhttp: {{listen: '127.0.0.1:0'}}\n",
            env!("CARGO_MANIFEST_DIR")
        );
        fs::write(self.directory.path().join("lifecycle.yaml"), text).unwrap();
    }

    /// Runs a command with the configuration, and returns its exit code, output and errors.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let arguments = [arguments, &["--config", "lifecycle.yaml"]].concat();
        let run = lifecycle(self.directory.path(), &arguments, b"");
        (run.code, run.output, run.errors)
    }

    /// Starts `lifecycle run`.
    pub(crate) fn start(&self) -> Service {
        let log = self.directory.path().join("log");
        let child = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
            .args(["run", "--config", "lifecycle.yaml"])
            .current_dir(self.directory.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Service { child, log }
    }

    /// Writes an order of a new customer, and waits for its transition.
    pub(crate) fn publish(&self, broker: &SecuredBroker, service: &mut Service) {
        let customer = broker::unique("customer");
        let order = format!(
            r#"{{"event_id":"{customer}","customer_id":"{customer}","type":"order_completed","occurred_at":"2026-11-01T00:00:00Z","order_id":"{customer}","amount":1,"currency":"USD"}}"#
        );
        let address = broker.address("PLAINTEXT");
        broker::produce_at(&address, &format!("{}.in", self.name), &[NewRecord::keyed(&customer, &order)]);
        until("the transition is published", || {
            service.assert_runs();
            let published = broker::read_committed_at(&address, &format!("{}.replay", self.name));
            published.iter().any(|it| it.text().contains(&customer)).then_some(())
        });
    }
}

/// A running service.
pub(crate) struct Service {
    child: Child,
    log: std::path::PathBuf,
}

impl Service {
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn assert_runs(&mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "the service ended: {ended:?}; {}", self.log());
    }

    /// Stops the service with SIGTERM.
    pub(crate) fn stop(mut self) {
        self.assert_runs();
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}; {}", self.log());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Kill the process if the test has failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn the_service_runs_over_tls_mutual_tls_plain_scram_and_oidc() {
    let broker = SecuredBroker::start(&[], &[]);
    broker.add_scram_user();
    thread::scope(|scope| {
        for (listener, client) in
            [("TLS", TLS), ("MTLS", MTLS), ("PLAIN", PLAIN), ("SCRAM", SCRAM_256), ("SCRAM", SCRAM_512), ("OIDC", OIDC)]
        {
            let broker = &broker;
            scope.spawn(move || {
                let setup = Setup::new(broker, &broker.address(listener), client);
                let (code, output, errors) = setup.run(&["topics", "--create", "--partitions", "1"]);
                assert_eq!(code, 0, "{listener}: {output}{errors}");
                let mut service = setup.start();
                setup.publish(broker, &mut service);
                let (_, report, errors) = setup.run(&["doctor"]);
                assert!(report.contains(" 0 problems") && errors.is_empty(), "{listener}: {report}{errors}");
                service.stop();
            });
        }
    });
}

/// Name, listener, host, and settings of the client.
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    ("no client certificate", "MTLS", "127.0.0.1", TLS),
    (
        "client certificate of another authority",
        "MTLS",
        "127.0.0.1",
        "security.protocol: ssl, ssl.ca.location: KEYS/ca.pem, ssl.certificate.location: KEYS/stranger.pem, ssl.key.location: KEYS/stranger.key",
    ),
    (
        "expired client certificate",
        "MTLS",
        "127.0.0.1",
        "security.protocol: ssl, ssl.ca.location: KEYS/ca.pem, ssl.certificate.location: KEYS/expired.pem, ssl.key.location: KEYS/expired.key",
    ),
    (
        "key of another certificate",
        "MTLS",
        "127.0.0.1",
        "security.protocol: ssl, ssl.ca.location: KEYS/ca.pem, ssl.certificate.location: KEYS/svc.pem, ssl.key.location: KEYS/stranger.key",
    ),
    (
        "certificate without its key",
        "MTLS",
        "127.0.0.1",
        "security.protocol: ssl, ssl.ca.location: KEYS/ca.pem, ssl.certificate.location: KEYS/svc.pem",
    ),
    ("wrong authority", "TLS", "127.0.0.1", "security.protocol: ssl, ssl.ca.location: KEYS/other-ca.pem"),
    ("host name that is not in the certificate", "TLS", "localhost", TLS),
    (
        "wrong password",
        "SCRAM",
        "127.0.0.1",
        "security.protocol: sasl_ssl, ssl.ca.location: KEYS/ca.pem, sasl.mechanism: SCRAM-SHA-512, sasl.username: svc, sasl.password: 'file:KEYS/wrong-password'",
    ),
    ("PLAIN on a SCRAM listener", "SCRAM", "127.0.0.1", PLAIN),
    (
        "MSK IAM",
        "SCRAM",
        "127.0.0.1",
        "security.protocol: sasl_ssl, ssl.ca.location: KEYS/ca.pem, sasl.mechanism: AWS_MSK_IAM",
    ),
    (
        "Kerberos",
        "SCRAM",
        "127.0.0.1",
        "security.protocol: sasl_ssl, ssl.ca.location: KEYS/ca.pem, sasl.mechanism: GSSAPI",
    ),
    (
        "OIDC without a client id",
        "OIDC",
        "127.0.0.1",
        "security.protocol: sasl_ssl, ssl.ca.location: KEYS/ca.pem, sasl.mechanism: OAUTHBEARER, sasl.oauthbearer.method: oidc, sasl.oauthbearer.token.endpoint.url: TOKENS/token",
    ),
    (
        "wrong client secret",
        "OIDC",
        "127.0.0.1",
        "security.protocol: sasl_ssl, ssl.ca.location: KEYS/ca.pem, sasl.mechanism: OAUTHBEARER, sasl.oauthbearer.method: oidc, sasl.oauthbearer.client.id: svc, sasl.oauthbearer.client.secret: 'file:KEYS/wrong-password', sasl.oauthbearer.token.endpoint.url: TOKENS/token",
    ),
    (
        "token server that does not answer",
        "OIDC",
        "127.0.0.1",
        "security.protocol: sasl_ssl, ssl.ca.location: KEYS/ca.pem, sasl.mechanism: OAUTHBEARER, sasl.oauthbearer.method: oidc, sasl.oauthbearer.client.id: svc, sasl.oauthbearer.client.secret: 'file:KEYS/token-secret', sasl.oauthbearer.token.endpoint.url: 'http://127.0.0.1:1/token'",
    ),
    (
        "token for another audience",
        "OIDC",
        "127.0.0.1",
        "security.protocol: sasl_ssl, ssl.ca.location: KEYS/ca.pem, sasl.mechanism: OAUTHBEARER, sasl.oauthbearer.method: oidc, sasl.oauthbearer.client.id: svc, sasl.oauthbearer.client.secret: 'file:KEYS/token-secret', sasl.oauthbearer.scope: other-audience, sasl.oauthbearer.token.endpoint.url: TOKENS/token",
    ),
];

#[test]
fn every_mistake_of_a_secured_connection_is_named_with_the_setting_to_change() {
    let broker = SecuredBroker::start(&[], &[]);
    broker.add_scram_user();
    let outcomes = MISTAKES.chunks(4).flat_map(|mistakes| {
        thread::scope(|scope| {
            let run = |(_, listener, host, client): &(&str, &str, &str, &str)| {
                let address = broker.address(listener).replace("127.0.0.1", host);
                let setup = Setup::new(&broker, &address, client);
                let (code, _, errors) = setup.run(&["topics", "--verify"]);
                (code, broker.without_addresses(errors.lines().last().unwrap_or_default()))
            };
            let runs: Vec<_> = mistakes.iter().map(|mistake| scope.spawn(move || run(mistake))).collect();
            runs.into_iter().map(|it| it.join().unwrap()).collect::<Vec<(i32, String)>>()
        })
    });
    let mut found = String::new();
    for ((name, ..), (code, message)) in MISTAKES.iter().zip(outcomes) {
        _ = writeln!(found, "{name}\n  exit code {code}: {message}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kafka-security.txt");
    if fs::read_to_string(&path).unwrap_or_default() != found {
        let actual = std::env::temp_dir().join("kafka-security.txt");
        fs::write(&actual, &found).unwrap();
        panic!("the messages differ from {}; the new ones are in {}:\n{found}", path.display(), actual.display());
    }
}
