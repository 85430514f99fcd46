//! The options of a group member, and the librdkafka settings derived from them.
//!
//! Operators may pass any client setting through (TLS, SASL, buffers), except those that exactly-once depends on. The
//! service owns these, and [`reject_owned_settings`] rejects them. The values of settings never appear in `Debug`
//! output, logs or errors, because any of them may be a secret.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use super::error::Error;
use super::exit::exit_process;
use super::settings_updates::SettingsUpdates;

/// The options of a group member.
#[derive(Clone)]
pub struct Options {
    /// Bootstrap servers: `host:port`, comma-separated.
    pub bootstrap_servers: String,
    /// The consumer group; also the prefix of the transactional ids.
    pub group_id: String,
    /// Makes the member static: it takes its partitions back after a restart without a rebalance.
    pub group_instance_id: Option<String>,
    /// The member's name, unique among live members of the group and stable across restarts: `a-0`.
    pub member: String,
    /// The address of this instance's HTTP server for other instances of the group: `host:port`.
    pub advertise: Option<String>,
    /// The topic to read: of touchpoints, or of a source.
    pub input_topic: String,
    /// The changelog topic, with the state of each input partition; `None` for a member that keeps no state.
    pub changelog_topic: Option<String>,
    /// The topic of hand-overs, with as many partitions as the input topic; `None` without identity resolution.
    pub hand_overs_topic: Option<String>,
    /// The broker aborts a transaction after this time. It must exceed the duration of a broker failover.
    pub transaction_timeout: Duration,
    /// The coordinator removes a member after this time without a heartbeat.
    pub session_timeout: Duration,
    /// Passed-through client settings by librdkafka name.
    pub settings: Vec<(String, String)>,
    /// Settings that replace `settings` while the member runs.
    pub updates: SettingsUpdates,
    /// Extracts the committing member's name from offset metadata.
    pub owner_of: fn(&str) -> Option<String>,
    /// Called by the watchdog with the name of a call that has exceeded twice its timeout. In the service it does not
    /// return, because only the end of the process frees the blocked thread.
    pub on_stuck: fn(&'static str),
    /// Called with each error of a member call, before the caller handles it.
    pub on_error: Arc<dyn Fn(&Error) + Send + Sync>,
}

/// The exit code of a process that ends because a call into the client never returned.
pub const STUCK_EXIT_CODE: u8 = 5;

/// The minimum transaction timeout: a shorter one would expire during a pause of the machine.
const TRANSACTION_TIMEOUT_MIN: Duration = Duration::from_secs(3);
/// The longest `socket.timeout.ms` that the client accepts.
const SOCKET_TIMEOUT_MAX: Duration = Duration::from_mins(5);

/// The client's limit for a response and for a decompressed batch: 1 GiB. It multiplies its buffer by three until a
/// zstd batch fits or the limit is exceeded, so every batch of up to a third of the limit can be read; with the default
/// of 100 MB, a batch of 35 MB may not. The memory is used only while such a batch is read.
const RESPONSE_BYTES_MAX: &str = "1073741824";

impl Options {
    /// Returns options with production defaults.
    #[must_use]
    pub fn new(bootstrap_servers: &str, group_id: &str, member: &str, input: &str, changelog: &str) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.to_owned(),
            group_id: group_id.to_owned(),
            group_instance_id: None,
            member: member.to_owned(),
            advertise: None,
            input_topic: input.to_owned(),
            changelog_topic: Some(changelog.to_owned()),
            hand_overs_topic: None,
            transaction_timeout: Duration::from_secs(30),
            session_timeout: Duration::from_secs(8),
            settings: Vec::new(),
            updates: SettingsUpdates::default(),
            owner_of: |_| None,
            on_stuck: exit_on_stuck_call,
            on_error: Arc::new(|_| ()),
        }
    }
}

/// The prefix of the `client.id` of every member of this service.
pub(super) const CLIENT_ID_PREFIX: &str = "lifecycle-";

/// Returns the `client.id` of `member`, which brokers show in logs, metrics and group descriptions. An advertised
/// address is appended after an `@`.
pub(super) fn client_id(member: &str) -> String {
    format!("{CLIENT_ID_PREFIX}{member}")
}

/// The connection options of a cluster.
#[derive(Clone)]
pub struct Cluster {
    /// Bootstrap servers: `host:port`, comma-separated.
    pub bootstrap_servers: String,
    /// Passed-through client settings by librdkafka name.
    pub settings: Vec<(String, String)>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cluster")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("settings", &names(&self.settings))
            .finish()
    }
}

impl Cluster {
    /// Returns the settings of a client for queries and admin requests.
    pub(super) fn for_queries(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", "lifecycle-admin")
            .set("receive.message.max.bytes", RESPONSE_BYTES_MAX);
        // These clients do not join the group. A maximum poll interval that fits its session timeout may be shorter
        // than the default session timeout, and the client would reject it.
        for (name, value) in self.settings.iter().filter(|(name, _)| name != "max.poll.interval.ms") {
            config.set(name, value);
        }
        config
    }
}

/// Returns the names of settings. Unlike the values, they are never secret.
fn names(settings: &[(String, String)]) -> Vec<&str> {
    settings.iter().map(|(name, _)| name.as_str()).collect()
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("group_id", &self.group_id)
            .field("group_instance_id", &self.group_instance_id)
            .field("member", &self.member)
            .field("input_topic", &self.input_topic)
            .field("changelog_topic", &self.changelog_topic)
            .field("hand_overs_topic", &self.hand_overs_topic)
            .field("transaction_timeout", &self.transaction_timeout)
            .field("session_timeout", &self.session_timeout)
            .field("settings", &names(&self.settings))
            .finish_non_exhaustive()
    }
}

/// Exits the process because a call into librdkafka did not return. Runs on the watchdog thread.
pub fn exit_on_stuck_call(call: &'static str) {
    tracing::error!(target: "kafka", call, exit_code = STUCK_EXIT_CODE, "call into the kafka client did not return, exiting");
    exit_process(STUCK_EXIT_CODE);
}

/// The settings that the service owns, each with the reason.
const OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "it has a configuration key of its own"),
    ("metadata.broker.list", "it is an alias of bootstrap.servers, which has a configuration key of its own"),
    ("group.id", "it has a configuration key of its own"),
    ("group.instance.id", "each worker needs its own, so it is derived from kafka.instance_id"),
    ("client.id", "each worker needs its own, so it is derived from kafka.instance_id"),
    (
        "transactional.id",
        "each worker needs its own, the same after a restart, so it is derived from kafka.instance_id",
    ),
    ("transaction.timeout.ms", "it has a configuration key of its own"),
    ("session.timeout.ms", "it has a configuration key of its own"),
    (
        "partition.assignment.strategy",
        "the service requires incremental rebalancing, which only cooperative-sticky provides",
    ),
    ("group.protocol", "with the protocol `consumer` the bundled client fails a slow member with a fatal error"),
    ("group.remote.assignor", "it applies to the group protocol `consumer`, which is not used"),
    (
        "enable.auto.commit",
        "offsets are committed within transactions; committing them separately would lose touchpoints or count them twice",
    ),
    ("auto.commit.interval.ms", "offsets are committed within transactions"),
    ("enable.auto.offset.store", "offsets are committed within transactions"),
    ("offset.store.method", "offsets are committed within transactions"),
    (
        "auto.offset.reset",
        "an offset out of range must stop the service, because a reset would silently lose touchpoints",
    ),
    (
        "isolation.level",
        "reading uncommitted records would count touchpoints of aborted transactions and return stale committed offsets",
    ),
    ("enable.partition.eof", "the clock of an idle partition depends on knowing that its end was reached"),
    ("enable.idempotence", "transactions require it"),
    ("enable.gapless.guarantee", "transactions determine it"),
    ("acks", "transactions require acks=all"),
    ("request.required.acks", "transactions require acks=all"),
    ("max.in.flight", "transactions determine it"),
    ("max.in.flight.requests.per.connection", "transactions determine it"),
    ("retries", "a record is retried until message.timeout.ms"),
    ("message.send.max.retries", "a record is retried until message.timeout.ms"),
    ("partitioner", "keys must map to the same partitions as with the Java client"),
    ("connections.max.idle.ms", "with a longer time the client's send_offsets_to_transaction may block indefinitely"),
    ("statistics.interval.ms", "the clock of an idle partition depends on the client's statistics"),
    ("plugin.library.paths", "the service does not load external libraries"),
    ("log.queue", "the service reads log lines from the client's queue"),
];

/// Name suffixes of settings that are callbacks or pointers and have no text value.
const REJECTED_SUFFIXES: &[&str] = &["_cb", ".cb", "opaque", "interceptors"];

/// Rejects passed-through settings that the service owns. The error lists all of them with the reason.
///
/// # Errors
/// Always [`Reaction::Fatal`](super::Reaction): the operator must change the configuration.
pub fn reject_owned_settings(settings: &[(String, String)]) -> Result<(), Error> {
    let mut rejected = Vec::new();
    for (name, _) in settings {
        if let Some((_, why)) = OWNED.iter().find(|(owned, _)| owned == name) {
            rejected.push(format!("{name} is set by the service: {why}"));
        } else if REJECTED_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
            rejected.push(format!("{name} cannot be set in a configuration file"));
        }
    }
    if rejected.is_empty() { Ok(()) } else { Err(Error::settings(rejected.join("; "))) }
}

impl Options {
    /// Checks that the options are consistent. The broker or the client would detect most conflicts only at the first
    /// failure.
    ///
    /// # Errors
    /// Always [`Reaction::Fatal`](super::Reaction): the operator must change the configuration.
    pub fn check(&self) -> Result<(), Error> {
        reject_owned_settings(&self.settings)?;
        self.cluster().check()?;
        let transaction = self.transaction_timeout;
        if transaction < TRANSACTION_TIMEOUT_MIN {
            return Err(Error::settings(format!(
                "the transaction timeout is {transaction:?}, shorter than {TRANSACTION_TIMEOUT_MIN:?}"
            ))
            .with_to_do(format!("set kafka.transaction_timeout to {TRANSACTION_TIMEOUT_MIN:?} or more")));
        }
        for name in ["message.timeout.ms", "delivery.timeout.ms"] {
            if self.millis(name)?.is_some_and(|it| it == 0 || Duration::from_millis(it) >= transaction) {
                return Err(Error::settings(format!(
                    "{name} must be shorter than the transaction timeout of {transaction:?}, otherwise a transaction may expire with records in flight"
                )));
            }
        }
        if self.millis("socket.timeout.ms")?.is_some_and(|it| Duration::from_millis(it + 100) > transaction) {
            return Err(Error::settings(format!(
                "socket.timeout.ms must be at least 100 ms shorter than the transaction timeout of {transaction:?}"
            )));
        }
        let longest = transaction.max(self.session_timeout);
        if self.millis("max.poll.interval.ms")?.is_some_and(|it| Duration::from_millis(it) <= longest) {
            return Err(Error::settings(format!(
                "max.poll.interval.ms must be longer than {longest:?}, the longer of transaction timeout and session timeout, \
                 otherwise a slow commit removes the member from the group"
            )));
        }
        // librdkafka validates the names and values of the settings.
        for config in [self.for_group_consumer(), self.for_producer()] {
            config.create_native_config().map_err(|error| Error::of_settings(&error))?;
        }
        Ok(())
    }

    /// Returns the transactional id of the producer of `member`.
    pub(super) fn transactional_id(&self, member: &str) -> String {
        format!("{}-{member}", self.group_id)
    }

    fn client_id(&self) -> String {
        let client_id = client_id(&self.member);
        match &self.advertise {
            Some(address) => format!("{client_id}@{address}"),
            None => client_id,
        }
    }

    fn millis(&self, name: &str) -> Result<Option<u64>, Error> {
        let Some((_, value)) = self.settings.iter().rev().find(|(it, _)| it == name) else { return Ok(None) };
        value.trim().parse().map(Some).map_err(|_| Error::settings(format!("{name} must be a number of milliseconds")))
    }

    /// Returns the cluster that the member connects to.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        Cluster { bootstrap_servers: self.bootstrap_servers.clone(), settings: self.settings.clone() }
    }

    /// Returns the settings common to all clients of a member.
    fn shared(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", self.client_id())
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.max.ms", "2000")
            // A broker that has just started may return incomplete metadata. The client uses it until the next refresh,
            // by default five minutes, and meanwhile neither fetches nor describes the missing partitions.
            .set("topic.metadata.refresh.interval.ms", "30000")
            // Half the transaction timeout, so that a request can be retried once before the transaction expires. The
            // client accepts up to five minutes.
            .set("socket.timeout.ms", (self.transaction_timeout / 2).min(SOCKET_TIMEOUT_MAX).as_millis().to_string())
            .set_log_level(RDKafkaLogLevel::Info);
        config
    }

    fn pass_through(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config
    }

    fn for_consumer(&self) -> ClientConfig {
        let mut config = self.shared();
        config
            .set("group.id", &self.group_id)
            .set("session.timeout.ms", self.session_timeout.as_millis().to_string())
            .set(
                "max.poll.interval.ms",
                (self.transaction_timeout * 4).max(self.session_timeout * 2).as_millis().to_string(),
            )
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("allow.auto.create.topics", "false")
            .set("statistics.interval.ms", "500")
            .set("fetch.error.backoff.ms", "100")
            .set("receive.message.max.bytes", RESPONSE_BYTES_MAX)
            // Otherwise a resumed partition waits for the fetch request in flight.
            .set("fetch.wait.max.ms", "100")
            // With the default of 1 s the client pauses fetching for that long whenever its queue was full for a
            // moment.
            .set("fetch.queue.backoff.ms", "5");
        config
    }

    /// Returns the settings of the group consumer.
    pub(super) fn for_group_consumer(&self) -> ClientConfig {
        let mut config = self.for_consumer();
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            // Members learn of a rebalance from a heartbeat response, so this bounds how long a rebalance takes.
            .set("heartbeat.interval.ms", "500")
            .set("queued.max.messages.kbytes", "32768");
        if let Some(name) = &self.group_instance_id {
            config.set("group.instance.id", name);
        }
        self.pass_through(config)
    }

    /// Returns the settings of the readers of changelog and hand-overs, tuned for throughput.
    pub(super) fn for_log_reader(&self) -> ClientConfig {
        let mut config = self.for_consumer();
        config.set("fetch.message.max.bytes", "8388608").set("queued.max.messages.kbytes", "65536");
        self.pass_through(config)
    }

    /// Returns the settings of a consumer for queries about committed offsets and end offsets at an isolation level.
    pub(super) fn for_queries_with_isolation(&self, isolation_level: &str) -> ClientConfig {
        let mut config = self.pass_through(self.for_consumer());
        config.set("isolation.level", isolation_level).set("statistics.interval.ms", "0");
        config
    }

    /// Returns the settings of the transactional producer.
    pub(super) fn for_producer(&self) -> ClientConfig {
        self.for_producer_of(&self.member)
    }

    /// Returns the settings of a producer with the transactional id of `member`. A new producer fences the previous
    /// one.
    pub(super) fn for_producer_of(&self, member: &str) -> ClientConfig {
        let mut config = self.shared();
        config
            .set("transactional.id", self.transactional_id(member))
            .set("transaction.timeout.ms", self.transaction_timeout.as_millis().to_string())
            .set("message.timeout.ms", (self.transaction_timeout * 2 / 3).as_millis().to_string())
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            // Makes a send to a deleted topic fail with the topic's error instead of a timeout.
            .set("topic.metadata.propagation.max.ms", (self.transaction_timeout / 4).as_millis().to_string())
            // Above the maximum of touchpoints.bytes_max. The broker applies the topic's own limit, to the compressed
            // batch.
            .set("message.max.bytes", "68157440")
            // Without an idle disconnect the client may wait indefinitely for a group coordinator that is gone.
            .set("connections.max.idle.ms", "4000");
        self.pass_through(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(settings: &[(&str, &str)]) -> Options {
        let mut options = Options::new("localhost:9092", "group", "id", "input", "changelog");
        options.settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        options
    }

    #[test]
    fn owned_settings_are_rejected_together_with_the_reasons() {
        let rejected = options(&[("acks", "1"), ("ssl.ca.location", "/ca"), ("isolation.level", "read_uncommitted")]);
        let message = rejected.check().unwrap_err().what;
        assert!(message.contains("acks is set by the service: transactions require"), "{message}");
        assert!(message.contains("isolation.level is set by the service"), "{message}");
        assert!(!message.contains("ssl.ca.location"), "{message}");
        assert!(!message.contains("read_uncommitted"), "the message contains no values: {message}");
    }

    #[test]
    fn security_settings_pass_through_to_every_client() {
        let options = options(&[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "service"),
            ("sasl.password", "hunter2"),
        ]);
        options.check().unwrap();
        for config in [
            options.for_group_consumer(),
            options.for_producer(),
            options.for_log_reader(),
            options.cluster().for_queries(),
        ] {
            assert_eq!(config.get("sasl.password"), Some("hunter2"));
        }
    }

    #[test]
    fn debug_output_does_not_contain_secrets() {
        let shown = format!("{:?}", options(&[("sasl.password", "hunter2")]));
        assert!(shown.contains("sasl.password"));
        assert!(!shown.contains("hunter2"));
    }

    #[test]
    fn inconsistent_timeouts_are_rejected() {
        options(&[("message.timeout.ms", "29999"), ("socket.timeout.ms", "29900")]).check().unwrap();
        for invalid in [
            ("message.timeout.ms", "30000"),
            ("message.timeout.ms", "0"),
            ("delivery.timeout.ms", "60000"),
            ("socket.timeout.ms", "29901"),
            ("max.poll.interval.ms", "30000"),
            ("message.timeout.ms", "soon"),
        ] {
            options(&[invalid]).check().unwrap_err();
        }
        let mut short = options(&[]);
        short.transaction_timeout = Duration::from_secs(2);
        short.check().unwrap_err();
    }
}
