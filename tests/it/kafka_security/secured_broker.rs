//! A broker with one listener for each way to authenticate.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::certificates;
use super::token_server::TokenServer;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka");
/// `PLAINTEXT` is for the test itself and for the broker's own traffic.
const LISTENERS: [(&str, &str); 6] = [
    ("PLAINTEXT", "PLAINTEXT"),
    ("TLS", "SSL"),
    ("MTLS", "SSL"),
    ("PLAIN", "SASL_SSL"),
    ("SCRAM", "SASL_SSL"),
    ("OIDC", "SASL_SSL"),
];
const LOGIN: &str = "org.apache.kafka.common.security";

pub(crate) struct SecuredBroker {
    directory: PathBuf,
    /// The process of `scripts/kafka hold`; closing its standard input stops the broker.
    script: Child,
    ports: Vec<u16>,
    pub(super) tokens: TokenServer,
}

impl SecuredBroker {
    /// Starts a broker. With SCRAM and PLAIN it knows the users `svc` and, for PLAIN, `users`, each with the password
    /// `svc-password`. `settings` are added to those of the node.
    pub(crate) fn start(users: &[&str], settings: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("lifecycle-security-").tempdir().unwrap().keep();
        let keys = directory.join("keys");
        std::fs::create_dir(&keys).unwrap();
        certificates::write(&keys);
        std::fs::write(keys.join("password"), "svc-password\n").unwrap();
        std::fs::write(keys.join("wrong-password"), "wrong\n").unwrap();
        std::fs::write(keys.join("token-secret"), "token-secret\n").unwrap();
        let tokens = TokenServer::start();
        let mut reserved: Vec<TcpListener> =
            (0..=LISTENERS.len()).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let mut ports: Vec<u16> = reserved.iter().map(|it| it.local_addr().unwrap().port()).collect();
        let controller = ports.pop().unwrap();
        reserved.clear();
        let listeners: Vec<String> =
            LISTENERS.iter().zip(&ports).map(|((name, _), port)| format!("{name}://127.0.0.1:{port}")).collect();
        let listeners = listeners.join(",");
        let protocols: Vec<String> = LISTENERS.iter().map(|(name, protocol)| format!("{name}:{protocol}")).collect();
        let (store, ca) = (keys.join("broker-store.pem"), keys.join("ca.pem"));
        let plain: Vec<String> =
            users.iter().chain(&["svc"]).map(|user| format!("user_{user}=\"svc-password\"")).collect();
        let mut all = vec![
            format!("listeners={listeners},CONTROLLER://127.0.0.1:{controller}"),
            format!("advertised.listeners={listeners}"),
            format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
            format!("listener.security.protocol.map=CONTROLLER:PLAINTEXT,{}", protocols.join(",")),
            "ssl.keystore.type=PEM".to_owned(),
            format!("ssl.keystore.location={}", store.display()),
            "ssl.truststore.type=PEM".to_owned(),
            format!("ssl.truststore.location={}", ca.display()),
            "listener.name.mtls.ssl.client.auth=required".to_owned(),
            "ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/,DEFAULT".to_owned(),
            "listener.name.plain.sasl.enabled.mechanisms=PLAIN".to_owned(),
            format!(
                "listener.name.plain.plain.sasl.jaas.config={LOGIN}.plain.PlainLoginModule required {};",
                plain.join(" ")
            ),
            "listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512".to_owned(),
            format!("listener.name.scram.scram-sha-256.sasl.jaas.config={LOGIN}.scram.ScramLoginModule required;"),
            format!("listener.name.scram.scram-sha-512.sasl.jaas.config={LOGIN}.scram.ScramLoginModule required;"),
            "listener.name.oidc.sasl.enabled.mechanisms=OAUTHBEARER".to_owned(),
            format!(
                "listener.name.oidc.oauthbearer.sasl.jaas.config={LOGIN}.oauthbearer.OAuthBearerLoginModule required;"
            ),
            format!(
                "listener.name.oidc.oauthbearer.sasl.server.callback.handler.class={LOGIN}.oauthbearer.OAuthBearerValidatorCallbackHandler"
            ),
            format!("listener.name.oidc.sasl.oauthbearer.jwks.endpoint.url={}/jwks", tokens.url),
            "listener.name.oidc.sasl.oauthbearer.expected.audience=kafka".to_owned(),
        ];
        all.extend(settings.iter().map(|it| (*it).to_owned()));
        let allowed = format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={}/jwks", tokens.url);
        let mut command = Command::new(SCRIPT);
        command.arg("hold").arg(directory.join("node")).args(all).env("KAFKA_TEST_JVM", allowed);
        let mut script = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.contains(':'), "the broker did not start; see its output above");
        Self { directory, script, ports, tokens }
    }

    /// Creates the SCRAM credentials of the user `svc`, with the password of the file `password`.
    pub(super) fn add_scram_user(&self) {
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            self.set_scram_password(mechanism, "svc-password");
        }
    }

    /// Creates or replaces the password of the user `svc` for a mechanism.
    pub(crate) fn set_scram_password(&self, mechanism: &str, password: &str) {
        let credentials = format!("{mechanism}=[password={password}]");
        let user = ["--alter", "--entity-type", "users", "--entity-name", "svc", "--add-config", &credentials];
        self.tool(&[&["kafka.admin.ConfigCommand"], user.as_slice()].concat());
    }

    /// Runs a Kafka tool as an administrator.
    pub(crate) fn tool(&self, arguments: &[&str]) {
        let mut command = Command::new(SCRIPT);
        command.arg("tool").arg(self.directory.join("node")).args(arguments).stdin(Stdio::null());
        let run = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(run.status.success(), "{arguments:?}: {}{}", text(&run.stdout), text(&run.stderr));
    }

    /// Returns the address of a listener.
    pub(crate) fn address(&self, listener: &str) -> String {
        let index = LISTENERS.iter().position(|(name, _)| *name == listener).unwrap();
        format!("127.0.0.1:{}", self.ports[index])
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.directory.join("keys")
    }

    /// Returns `text` with the addresses, folders and milliseconds of this run replaced by names.
    pub(super) fn without_addresses(&self, text: &str) -> String {
        let named = LISTENERS.iter().zip(&self.ports).fold(text.to_owned(), |text, ((name, _), port)| {
            text.replace(&format!("127.0.0.1:{port}"), &format!("{}:9092", name.to_lowercase()))
                .replace(&format!("localhost:{port}"), &format!("localhost-{}:9092", name.to_lowercase()))
        });
        let folder: &Path = &self.keys();
        let named = named.replace(&folder.display().to_string(), "/keys").replace(&self.tokens.url, "http://tokens");
        // The client says how long it tried to connect.
        let words: Vec<&str> = named.split(' ').collect();
        let is_milliseconds =
            |index: usize| index > 0 && words[index - 1] == "after" && words.get(index + 1) == Some(&"ms:");
        let words: Vec<&str> =
            words.iter().enumerate().map(|(index, word)| if is_milliseconds(index) { "N" } else { word }).collect();
        words.join(" ")
    }
}

impl Drop for SecuredBroker {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        drop(self.script.wait());
        drop(std::fs::remove_dir_all(&self.directory));
    }
}
