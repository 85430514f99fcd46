//! Settings handed to the Kafka client: which are secrets, and where secrets come from.

use std::fmt;
use std::path::Path;

use crate::kafka::settings::refuse_owned_settings;

use super::settings::read_limited;

/// How many bytes a file with a secret may have.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// A value for the Kafka client. Shown only when it can be no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    value: String,
    is_shown: bool,
}

impl Setting {
    /// The value; for the client alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// The value if it can be no secret, else `***`.
    #[must_use]
    pub fn shown(&self) -> &str {
        if self.is_shown { &self.value } else { "***" }
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.shown())
    }
}

/// Beginnings of names whose values can be no secrets.
const SHOWN: &[&str] = &[
    "security.protocol",
    "sasl.mechanism",
    "sasl.username",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.endpoint.identification.algorithm",
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

/// Parts of names whose values are secrets: not written in the configuration file itself.
const SECRET: &[&str] = &["password", "secret", "passphrase", ".pem", "sasl.oauthbearer.config", "token.value"];

/// The setting `name` as the file has it.
pub(super) fn from_file(name: &str, text: &str, directory: &Path) -> Result<Setting, String> {
    if !text.starts_with("file:") && SECRET.iter().any(|part| name.contains(part)) {
        let variable = name.replace('.', "_").to_uppercase();
        return Err(format!(
            "a secret does not belong in this file: write `file:/path` to read it from there, or set LIFECYCLE_KAFKA_CLIENT_{variable}"
        ));
    }
    from_variable(name, text, directory)
}

/// The setting `name` as a variable has it, where a secret may stand in the open.
pub(super) fn from_variable(name: &str, text: &str, directory: &Path) -> Result<Setting, String> {
    refuse_owned_settings(&[(name.to_owned(), String::new())]).map_err(|refused| refused.message)?;
    let Some(path) = text.strip_prefix("file:") else {
        let is_shown = SHOWN.iter().any(|beginning| name.starts_with(beginning));
        return Ok(Setting { value: text.to_owned(), is_shown });
    };
    let path = directory.join(path);
    let content =
        read_limited(&path, SECRET_BYTES_MAX).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(Setting { value: content.trim_end_matches(['\r', '\n']).to_owned(), is_shown: false })
}
