//! Settings that are passed to the Kafka client: reads secrets from files, and redacts every value that may be one.

use std::fmt;
use std::path::Path;

use crate::kafka::settings::reject_owned_settings;

use super::secret::read_secret;

/// The value of `ssl.ca.location` with which the client looks for the certificates of the system.
const CA_PROBE: &str = "probe";

/// The value of a Kafka client setting. Printed as `***` unless it is known not to be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSetting {
    value: String,
    is_printable: bool,
}

impl ClientSetting {
    /// Returns the value, which may be a secret; pass it only to the Kafka client.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// Returns the value if it is known not to be a secret, else `***`.
    #[must_use]
    pub fn redacted(&self) -> &str {
        if self.is_printable { &self.value } else { "***" }
    }
}

impl fmt::Debug for ClientSetting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.redacted())
    }
}

/// Prefixes of the names of settings that are not secret.
const PRINTABLE: &[&str] = &[
    "security.protocol",
    "sasl.mechanism",
    "sasl.username",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.endpoint.identification.algorithm",
    "https.ca.location",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.oauthbearer.grant.type",
    "socket.",
    "fetch.",
    "queue",
    "reconnect.",
    "retry.",
    "metadata.",
    "topic.metadata.",
    "broker.",
    "client.",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "statistics.",
    "debug",
    "log",
    "linger.ms",
    "batch.",
    "compression.",
    "message.max.bytes",
];

/// Substrings of the names of secret settings. The configuration file must not contain their values in plain text.
const SECRET_PARTS: &[&str] = &["password", "secret", "passphrase", ".pem", "sasl.oauthbearer.config", "token.value"];

/// Reads the setting `name` from the configuration file.
pub(super) fn from_file(name: &str, text: &str, directory: &Path) -> Result<ClientSetting, String> {
    if !text.starts_with("file:") && SECRET_PARTS.iter().any(|part| name.contains(part)) {
        let variable = name.replace('.', "_").to_uppercase();
        return Err(format!(
            "a secret must not be written in this file: write `file:/path` to read it from another file, or set LIFECYCLE_KAFKA_CLIENT_{variable}"
        ));
    }
    from_variable(name, text, directory)
}

/// Reads the setting `name` from an environment variable, which may contain a secret in plain text.
pub(super) fn from_variable(name: &str, text: &str, directory: &Path) -> Result<ClientSetting, String> {
    reject_owned_settings(&[(name.to_owned(), String::new())]).map_err(|owned| owned.what)?;
    let Some(path) = text.strip_prefix("file:") else {
        // The client itself would look for the file in the working directory.
        let is_path =
            (name.starts_with("ssl.") || name.starts_with("https.")) && name.ends_with(".location") && text != CA_PROBE;
        if is_path && !directory.as_os_str().is_empty() {
            let path = directory.join(text).display().to_string();
            return Ok(ClientSetting { value: path, is_printable: true });
        }
        let is_printable = PRINTABLE.iter().any(|prefix| name.starts_with(prefix));
        return Ok(ClientSetting { value: text.to_owned(), is_printable });
    };
    Ok(ClientSetting { value: read_secret(&directory.join(path))?, is_printable: false })
}
