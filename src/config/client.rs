//! Settings handed to the Kafka client: which are refused, which are secrets, and where secrets come from.

use std::fmt;
use std::path::Path;

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

/// Settings that exactly-once or the service rests on, and what to do instead.
const OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "set kafka.bootstrap_servers instead"),
    ("metadata.broker.list", "set kafka.bootstrap_servers instead"),
    ("group.id", "set kafka.group_id instead"),
    ("group.instance.id", "set kafka.static_membership instead"),
    ("group.protocol", "the service works with the classic protocol"),
    ("partition.assignment.strategy", "the service works with cooperative-sticky"),
    ("transactional.id", "it is made of kafka.group_id, kafka.instance_id and the worker"),
    ("transaction.timeout.ms", "it must stay longer than a broker's failover; the service sets it"),
    ("message.timeout.ms", "it must stay below the transaction's timeout; the service sets it"),
    ("delivery.timeout.ms", "it must stay below the transaction's timeout; the service sets it"),
    ("enable.idempotence", "exactly-once rests on it"),
    ("acks", "exactly-once rests on it"),
    ("request.required.acks", "exactly-once rests on it"),
    ("isolation.level", "exactly-once rests on read_committed"),
    ("enable.auto.commit", "offsets are committed within the transactions"),
    ("enable.auto.offset.store", "offsets are committed within the transactions"),
    ("auto.commit.interval.ms", "offsets are committed within the transactions"),
    ("auto.offset.reset", "an offset out of range must stop the service, never jump"),
    ("enable.partition.eof", "the service rests on it to see that it has caught up"),
    ("partitioner", "transitions must be partitioned as Java clients do"),
    ("connections.max.idle.ms", "it frees calls that would never return; the service sets it"),
    ("max.poll.interval.ms", "it must stay longer than a transaction; the service sets it"),
    ("plugin.library.paths", "the service loads no foreign code"),
];

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
    if let Some((_, reason)) = OWNED.iter().find(|(owned, _)| *owned == name) {
        return Err(format!("the service owns this setting: {reason}"));
    }
    let Some(path) = text.strip_prefix("file:") else {
        let is_shown = SHOWN.iter().any(|beginning| name.starts_with(beginning));
        return Ok(Setting { value: text.to_owned(), is_shown });
    };
    let path = directory.join(path);
    let content =
        read_limited(&path, SECRET_BYTES_MAX).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(Setting { value: content.trim_end_matches(['\r', '\n']).to_owned(), is_shown: false })
}
