//! Mistakes of a first connection, on a real broker with TLS and SASL listeners.
//!
//! For each mistake, every command that connects has the same exit code and the same message, and the message says what
//! is wrong and which setting to change. `tests/golden/first-connection.txt` has the messages.
#![expect(clippy::unwrap_used, reason = "a failed setup step fails the test")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::cli::lifecycle;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka");
/// `FAR` is a plaintext listener that advertises an address on which nothing listens.
const LISTENERS: [&str; 5] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL", "FAR"];
const LOGIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"admin\" password=\"a\" \
                     user_admin=\"a\" user_app=\"right\";";

/// A broker with a listener of each security protocol. SASL accepts PLAIN, user `app`, password `right`.
struct SecureBroker {
    directory: PathBuf,
    /// The process of `scripts/kafka hold`; closing its standard input stops the broker.
    script: Child,
    /// The ports of `LISTENERS`, then one that nothing listens on, that of the controller, and one that accepts and
    /// stays silent.
    ports: Vec<u16>,
    _silent: TcpListener,
}

impl SecureBroker {
    fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("lifecycle-secure-").tempdir().unwrap().keep();
        let keys = directory.join("keys");
        std::fs::create_dir(&keys).unwrap();
        make_certificate(&keys, "broker");
        make_certificate(&keys, "other");
        std::fs::write(keys.join("garbage.pem"), "garbage\n").unwrap();
        std::fs::write(keys.join("right"), "right\n").unwrap();
        std::fs::write(keys.join("wrong"), "wrong\n").unwrap();

        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut reserved: Vec<TcpListener> =
            (0..LISTENERS.len() + 2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let mut ports: Vec<u16> = reserved.iter().map(|it| it.local_addr().unwrap().port()).collect();
        let [.., closed, controller] = ports[..] else { unreachable!("the ports of all listeners") };
        ports.push(silent.local_addr().unwrap().port());
        reserved.clear();
        let listeners = |names: &[&str]| -> String {
            let listener = |(name, port)| format!("{name}://127.0.0.1:{port}");
            names.iter().zip(&ports).map(listener).collect::<Vec<_>>().join(",")
        };
        let store = keys.join("broker.p12");
        let settings = [
            format!("listeners={},CONTROLLER://127.0.0.1:{controller}", listeners(&LISTENERS)),
            format!("advertised.listeners={},FAR://127.0.0.1:{closed}", listeners(&LISTENERS[..4])),
            format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,\
             SASL_SSL:SASL_SSL,FAR:PLAINTEXT"
                .to_owned(),
            format!("ssl.keystore.location={}", store.display()),
            "ssl.keystore.type=PKCS12".to_owned(),
            "ssl.keystore.password=secret".to_owned(),
            "ssl.key.password=secret".to_owned(),
            "sasl.enabled.mechanisms=PLAIN".to_owned(),
            format!("listener.name.sasl_plaintext.plain.sasl.jaas.config={LOGIN}"),
            format!("listener.name.sasl_ssl.plain.sasl.jaas.config={LOGIN}"),
        ];
        let mut command = Command::new(SCRIPT);
        command.arg("hold").arg(directory.join("node")).args(settings);
        let mut script = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.contains(':'), "the broker did not start; see its output above");
        Self { directory, script, ports, _silent: silent }
    }

    fn keys(&self) -> PathBuf {
        self.directory.join("keys")
    }

    /// Returns `text` with the addresses and folders of this run replaced by names.
    fn without_addresses(&self, text: &str) -> String {
        let names = LISTENERS.iter().chain(&["CLOSED", "CONTROLLER", "SILENT"]);
        let text = names.zip(&self.ports).fold(text.to_owned(), |text, (name, port)| {
            text.replace(&format!("127.0.0.1:{port}"), &format!("{}:9092", name.to_lowercase().replace('_', "-")))
        });
        text.replace(&self.keys().display().to_string(), "/keys")
    }
}

impl Drop for SecureBroker {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        drop(self.script.wait());
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

/// Creates a self-signed certificate for the loopback address: `NAME.p12` and `NAME.pem`.
fn make_certificate(folder: &Path, name: &str) {
    let keytool = |arguments: &[&str]| {
        let store = format!("{name}.p12");
        let mut command = Command::new("keytool");
        command.current_dir(folder).args(arguments).args(["-alias", "it", "-keystore", &store, "-storepass", "secret"]);
        let made = command.output().expect("keytool comes with the Java that the broker needs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
    };
    let dname = format!("CN={name}");
    keytool(&[
        "-genkeypair",
        "-keyalg",
        "RSA",
        "-keysize",
        "2048",
        "-storetype",
        "PKCS12",
        "-dname",
        &dname,
        "-ext",
        "SAN=ip:127.0.0.1",
    ]);
    keytool(&["-exportcert", "-rfc", "-file", &format!("{name}.pem")]);
}

/// Name, listener (index of a port), settings of the client; `KEYS` is the folder of keys.
const MISTAKES: &[(&str, usize, &str)] = &[
    ("nothing listens", 5, ""),
    ("the listener of a controller", 6, ""),
    ("something else listens", 7, ""),
    ("plaintext client on TLS", 1, ""),
    ("plaintext client on SASL", 2, ""),
    ("plaintext client on SASL over TLS", 3, ""),
    ("TLS client on plaintext", 0, "security.protocol: ssl, ssl.ca.location: KEYS/broker.pem"),
    ("TLS client on SASL", 2, "security.protocol: ssl, ssl.ca.location: KEYS/broker.pem"),
    ("TLS client without SASL on SASL over TLS", 3, "security.protocol: ssl, ssl.ca.location: KEYS/broker.pem"),
    (
        "SASL client on plaintext",
        0,
        "security.protocol: sasl_plaintext, sasl.mechanism: PLAIN, sasl.username: app, sasl.password: 'file:KEYS/right'",
    ),
    (
        "SASL client on TLS",
        1,
        "security.protocol: sasl_plaintext, sasl.mechanism: PLAIN, sasl.username: app, sasl.password: 'file:KEYS/right'",
    ),
    (
        "wrong password",
        2,
        "security.protocol: sasl_plaintext, sasl.mechanism: PLAIN, sasl.username: app, sasl.password: 'file:KEYS/wrong'",
    ),
    (
        "wrong password over TLS",
        3,
        "security.protocol: sasl_ssl, ssl.ca.location: KEYS/broker.pem, sasl.mechanism: PLAIN, sasl.username: app, sasl.password: 'file:KEYS/wrong'",
    ),
    ("no password", 2, "security.protocol: sasl_plaintext, sasl.mechanism: PLAIN, sasl.username: app"),
    (
        "another mechanism",
        2,
        "security.protocol: sasl_plaintext, sasl.mechanism: SCRAM-SHA-256, sasl.username: app, sasl.password: 'file:KEYS/right'",
    ),
    ("no mechanism", 2, "security.protocol: sasl_plaintext, sasl.username: app, sasl.password: 'file:KEYS/right'"),
    ("Kerberos", 2, "security.protocol: sasl_plaintext, sasl.mechanism: GSSAPI"),
    ("OAUTHBEARER without a token", 2, "security.protocol: sasl_plaintext, sasl.mechanism: OAUTHBEARER"),
    ("missing CA file", 1, "security.protocol: ssl, ssl.ca.location: KEYS/missing.pem"),
    ("CA file without a certificate", 1, "security.protocol: ssl, ssl.ca.location: KEYS/garbage.pem"),
    ("wrong CA", 1, "security.protocol: ssl, ssl.ca.location: KEYS/other.pem"),
];

/// The commands that connect. `run` is left out where it retries for a minute first.
const COMMANDS: &[&[&str]] =
    &[&["topics", "--verify"], &["topics", "--create"], &["doctor"], &["generate", "--days", "1"], &["run"]];

/// Runs every command with one configuration, and returns exit code and message, which all of them share.
fn outcome(broker: &SecureBroker, listener: usize, client: &str) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    let client = client.replace("KEYS", &broker.keys().display().to_string());
    let config = format!(
        "kafka: {{bootstrap_servers: '127.0.0.1:{}', client: {{{client}}}}}\nhttp: {{listen: '127.0.0.1:0'}}\n",
        broker.ports[listener]
    );
    std::fs::write(directory.path().join("lifecycle.yaml"), config).unwrap();
    let commands = &COMMANDS[..if listener >= 4 { COMMANDS.len() - 1 } else { COMMANDS.len() }];
    let outcomes: Vec<(i32, String)> = thread::scope(|scope| {
        let run = |command: &'static [&str]| {
            let arguments = [command, &["--config", "lifecycle.yaml"]].concat();
            let run = lifecycle(directory.path(), &arguments, b"");
            let message = run.errors.lines().last().unwrap_or_default();
            let message = message.strip_prefix(&format!("lifecycle {}: ", command[0])).unwrap_or(message);
            // The failed call differs between the commands.
            let (before, after) = (message.rfind(" (").unwrap_or(0), message.rfind("); ").map_or(0, |it| it + 1));
            (run.code, format!("{}{}", &message[..before], &message[after..]))
        };
        let runs: Vec<_> = commands.iter().map(|command| scope.spawn(move || run(command))).collect();
        runs.into_iter().map(|it| it.join().unwrap()).collect()
    });
    for (command, other) in commands.iter().zip(&outcomes) {
        assert_eq!(*other, outcomes[0], "{command:?} and {:?} differ", commands[0]);
    }
    outcomes.into_iter().next().unwrap()
}

#[test]
fn every_mistake_of_a_first_connection_is_named_with_the_setting_to_change() {
    let broker = SecureBroker::start();
    let mut found = String::new();
    for (name, listener, client) in MISTAKES {
        let (code, message) = outcome(&broker, *listener, client);
        let message = broker.without_addresses(&message);
        _ = writeln!(found, "{name}\n  exit code {code}: {message}");
    }
    // The client finds an address that it cannot reach only once it asks for an existing topic.
    let config = format!("kafka: {{bootstrap_servers: '127.0.0.1:{}'}}\n", broker.ports[0]);
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("lifecycle.yaml"), config).unwrap();
    let create = ["topics", "--create", "--partitions", "1", "--config", "lifecycle.yaml"];
    let created = lifecycle(directory.path(), &create, b"");
    assert_eq!(created.code, 0, "{}", created.errors);
    let (code, message) = outcome(&broker, 4, "");
    _ = writeln!(
        found,
        "an advertised address that cannot be reached\n  exit code {code}: {}",
        broker.without_addresses(&message)
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/first-connection.txt");
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if found != expected {
        let actual = std::env::temp_dir().join("first-connection.txt");
        std::fs::write(&actual, &found).unwrap();
        panic!("the messages differ from {}; the new ones are in {}:\n{found}", path.display(), actual.display());
    }
}

#[test]
fn what_needs_no_broker_is_found_by_config_check() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("password"), "a\n").unwrap();
    for (client, expected) in [
        ("security.protocol: ssl, ssl.ca.location: /missing.pem", "set kafka.client.ssl.ca.location to a file"),
        ("security.protocol: sasl_ssl", "sasl.mechanism is not set, and its default GSSAPI"),
        ("security.protocol: sasl_ssl, sasl.mechanism: OAUTHBEARER", "needs a token server"),
        (
            "security.protocol: sasl_ssl, sasl.mechanism: OAUTHBEARER, sasl.oauthbearer.method: oidc",
            "set kafka.client.sasl.oauthbearer.token.endpoint.url",
        ),
        ("security.protocol: sasl_ssl, sasl.mechanism: AWS_MSK_IAM", "use SCRAM-SHA-512 or a client certificate"),
        ("security.protocol: sasl_ssl, sasl.mechanism: PLAIN, sasl.username: a", "needs a user and a password"),
        ("security.protocol: SASL-SSL", "security.protocol SASL-SSL is unknown"),
        ("security.protocol: tls", "set kafka.client.security.protocol to plaintext, ssl, sasl_plaintext or sasl_ssl"),
        ("security.protocol: sasl_ssl, sasl.mechanism: plain, sasl.username: a", "sasl.mechanism plain is unknown"),
        (
            "sasl.mechanism: PLAIN, sasl.username: a, sasl.password: 'file:password'",
            "sasl.password has no effect, because security.protocol is plaintext",
        ),
        ("security.protocol: ssl, sasl.password: 'file:password'", "set kafka.client.security.protocol to sasl_ssl"),
        ("sasl.jaas.config: a", "set kafka.client.sasl.mechanism, sasl.username and sasl.password instead"),
        ("security.protocol: ssl, ssl.truststore.location: a.jks", "set kafka.client.ssl.ca.location"),
        ("ssl.ca: a", "No such configuration property: \"ssl.ca\""),
    ] {
        let config = format!("kafka: {{bootstrap_servers: '127.0.0.1:1', client: {{{client}}}}}\n");
        std::fs::write(directory.path().join("lifecycle.yaml"), config).unwrap();
        let run = lifecycle(directory.path(), &["config", "check", "--config", "lifecycle.yaml"], b"");
        assert!(run.code == 2 && run.errors.contains(expected), "{client}: {} {}", run.code, run.errors);
    }
}
