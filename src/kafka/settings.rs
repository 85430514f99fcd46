//! What a member is told, and the client settings made of it.
//!
//! Operators may pass any client setting through (TLS, SASL, buffers), except those on which exactly-once rests: they
//! are the service's own, and [`refuse_owned_settings`] says so. Values never appear in `Debug` output, log or error: any of
//! them may be a secret.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use super::error::Error;

/// What a member of the group is told.
#[derive(Clone)]
pub struct Options {
    /// The brokers to begin with: `host:port`, comma-separated.
    pub bootstrap_servers: String,
    /// The consumer group.
    pub group_id: String,
    /// The member's fixed name in the group, when it has one: a restart then takes its partitions back without a rebalance.
    pub group_instance_id: Option<String>,
    /// The member's name within the group, unique among live members and the same after a restart: `a-0`.
    pub member: String,
    /// The address at which other instances of the group find this one's HTTP server: `host:port`.
    pub advertise: Option<String>,
    /// The topic of touchpoints.
    pub input_topic: String,
    /// The topic of the members' state.
    pub changelog_topic: String,
    /// After this time the broker aborts a transaction. Longer than a broker's failover takes.
    pub transaction_timeout: Duration,
    /// After this time without a heartbeat the group takes a member for dead.
    pub session_timeout: Duration,
    /// Client settings passed through, by their librdkafka names.
    pub settings: Vec<(String, String)>,
    /// Reads from the text committed beside an offset which member committed it.
    pub owner_of: fn(&str) -> Option<String>,
    /// Called by the watchdog when a call has ignored its deadline twice over, with the name of the call. Does not return in
    /// the service: nothing but the end of the process frees the thread.
    pub on_stuck: fn(&'static str),
    /// Called with the length of each committed transaction, from its beginning until it was visible.
    pub on_commit: Arc<dyn Fn(Duration) + Send + Sync>,
    /// Called with each error of a call of the member, before the caller deals with it.
    pub on_error: Arc<dyn Fn(&Error) + Send + Sync>,
}

/// The exit code of a process that ended because a call into the client never returned.
pub const STUCK_EXIT_CODE: i32 = 70;

/// The shortest transaction timeout accepted: anything less expires in a pause of the machine.
const TRANSACTION_TIMEOUT_MIN: Duration = Duration::from_secs(3);

impl Options {
    /// Options with the defaults that suit production.
    #[must_use]
    pub fn new(bootstrap_servers: &str, group_id: &str, member: &str, input: &str, changelog: &str) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.to_owned(),
            group_id: group_id.to_owned(),
            group_instance_id: None,
            member: member.to_owned(),
            advertise: None,
            input_topic: input.to_owned(),
            changelog_topic: changelog.to_owned(),
            transaction_timeout: Duration::from_secs(30),
            session_timeout: Duration::from_secs(20),
            settings: Vec::new(),
            owner_of: |_| None,
            on_stuck: end_process,
            on_commit: Arc::new(|_| ()),
            on_error: Arc::new(|_| ()),
        }
    }
}

/// What the names of all members of ours begin with.
pub(super) const CLIENT_ID_PREFIX: &str = "lifecycle-";

/// The name under which the clients of `member` are shown in the brokers' logs, metrics and lists of members. An address
/// that the member advertises stands behind it, after an `@`.
pub(super) fn client_id(member: &str) -> String {
    format!("{CLIENT_ID_PREFIX}{member}")
}

/// A cluster and how to talk to it.
#[derive(Clone)]
pub struct Cluster {
    /// The brokers to begin with: `host:port`, comma-separated.
    pub bootstrap_servers: String,
    /// Client settings passed through, by their librdkafka names.
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
    /// For questions to the cluster and acts of administration.
    pub(super) fn for_questions(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers).set("client.id", "lifecycle-admin");
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config
    }
}

/// The names of settings, which unlike their values may be shown.
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
            .field("transaction_timeout", &self.transaction_timeout)
            .field("session_timeout", &self.session_timeout)
            .field("settings", &names(&self.settings))
            .finish_non_exhaustive()
    }
}

fn end_process(call: &'static str) {
    tracing::error!(target: "kafka", call, exit_code = STUCK_EXIT_CODE, "a call into the kafka client did not return; ending the process");
    std::process::exit(STUCK_EXIT_CODE);
}

/// Settings that are the service's own, and why.
const OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "it has a configuration key of its own"),
    ("metadata.broker.list", "it is another name of bootstrap.servers, which has a configuration key of its own"),
    ("group.id", "it has a configuration key of its own"),
    ("group.instance.id", "each worker needs its own, so it is made from the instance's name"),
    ("client.id", "each worker needs its own, so it is made from the instance's name"),
    ("transactional.id", "each worker needs its own, the same after a restart; it is made from the instance's name"),
    ("transaction.timeout.ms", "it has a configuration key of its own"),
    ("session.timeout.ms", "it has a configuration key of its own"),
    (
        "partition.assignment.strategy",
        "members take and give partitions one by one, which only cooperative-sticky does",
    ),
    ("group.protocol", "the bundled client's group protocol `consumer` ends a slow member with a fatal error"),
    ("group.remote.assignor", "it belongs to the group protocol `consumer`, which is not used"),
    (
        "enable.auto.commit",
        "positions are committed within transactions, or touchpoints would be lost or counted twice",
    ),
    ("auto.commit.interval.ms", "positions are committed within transactions"),
    ("enable.auto.offset.store", "positions are committed within transactions"),
    ("offset.store.method", "positions are committed within transactions"),
    (
        "auto.offset.reset",
        "a position that is gone must stop the service, since skipping would lose touchpoints in silence",
    ),
    (
        "isolation.level",
        "reading what was not committed would count what never happened, and take stale positions for true",
    ),
    ("enable.partition.eof", "the clock of a silent partition rests on knowing that its end was reached"),
    ("enable.idempotence", "transactions need it"),
    ("enable.gapless.guarantee", "transactions rule it"),
    ("acks", "transactions need all replicas to acknowledge"),
    ("request.required.acks", "transactions need all replicas to acknowledge"),
    ("max.in.flight", "transactions rule the order of requests"),
    ("max.in.flight.requests.per.connection", "transactions rule the order of requests"),
    ("retries", "a record is tried until message.timeout.ms"),
    ("message.send.max.retries", "a record is tried until message.timeout.ms"),
    ("partitioner", "customers must fall on the same partitions as with Java clients"),
    ("connections.max.idle.ms", "a longer time lets the client's send_offsets_to_transaction wait for ever"),
    ("statistics.interval.ms", "the clock of a silent partition rests on the client's statistics"),
    ("plugin.library.paths", "the service loads no foreign code"),
    ("log.queue", "log lines are taken from the client's queue"),
];

/// Settings that are not text: callbacks and pointers of the client library.
const REFUSED_SUFFIXES: &[&str] = &["_cb", ".cb", "opaque", "interceptors"];

/// Refuses passed-through settings that the service owns, all of them at once, each with the reason.
///
/// # Errors
/// Always [`Reaction::Fatal`](super::Reaction): the configuration must be changed.
pub fn refuse_owned_settings(settings: &[(String, String)]) -> Result<(), Error> {
    let mut refused = Vec::new();
    for (name, _) in settings {
        if let Some((_, why)) = OWNED.iter().find(|(owned, _)| owned == name) {
            refused.push(format!("{name} is set by the service: {why}"));
        } else if REFUSED_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
            refused.push(format!("{name} cannot be set from a configuration"));
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(Error::settings(refused.join("; "))) }
}

impl Options {
    /// Checks that the options fit together, as the broker or the client would only after the first failure.
    ///
    /// # Errors
    /// Always [`Reaction::Fatal`](super::Reaction): the configuration must be changed.
    pub fn check(&self) -> Result<(), Error> {
        refuse_owned_settings(&self.settings)?;
        let transaction = self.transaction_timeout;
        if transaction < TRANSACTION_TIMEOUT_MIN {
            return Err(Error::settings(format!(
                "the transaction timeout is {transaction:?}: give it {TRANSACTION_TIMEOUT_MIN:?} or more"
            )));
        }
        for name in ["message.timeout.ms", "delivery.timeout.ms"] {
            if self.millis(name)?.is_some_and(|it| it == 0 || Duration::from_millis(it) >= transaction) {
                return Err(Error::settings(format!(
                    "{name} must be shorter than the transaction timeout of {transaction:?}, else a transaction ends with records under way"
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
                "max.poll.interval.ms must be longer than the transaction timeout and the session timeout, that is than {longest:?}, \
                 else a slow commit costs the membership"
            )));
        }
        // The client itself knows which settings exist, and what each of them takes.
        for config in [self.for_input(), self.for_output()] {
            config.create_native_config().map_err(|error| Error::of_settings(&error))?;
        }
        Ok(())
    }

    /// The name under which the producer of `member` is known to the brokers.
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

    /// The cluster that the member works on.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        Cluster { bootstrap_servers: self.bootstrap_servers.clone(), settings: self.settings.clone() }
    }

    /// The settings that a member's clients share.
    fn shared(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", self.client_id())
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.max.ms", "2000")
            // A broker that has just started may leave out partitions. The client believes it until it asks anew, by default for
            // five minutes, in which it neither reads nor answers for them.
            .set("topic.metadata.refresh.interval.ms", "30000")
            // Half the transaction timeout, so that a request is tried twice before the transaction expires.
            .set("socket.timeout.ms", (self.transaction_timeout / 2).as_millis().to_string())
            .set_log_level(RDKafkaLogLevel::Info);
        config
    }

    fn pass_through(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config
    }

    fn for_reading(&self) -> ClientConfig {
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
            // Else a partition that is resumed waits for the fetch under way.
            .set("fetch.wait.max.ms", "100")
            // The default of 1 s leaves the reader idle whenever the queue was full for a moment.
            .set("fetch.queue.backoff.ms", "5");
        config
    }

    /// For the member of the group.
    pub(super) fn for_input(&self) -> ClientConfig {
        let mut config = self.for_reading();
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            // Members learn of a rebalance by heartbeat, so this decides how long one takes.
            .set("heartbeat.interval.ms", "500")
            .set("queued.max.messages.kbytes", "32768");
        if let Some(name) = &self.group_instance_id {
            config.set("group.instance.id", name);
        }
        self.pass_through(config)
    }

    /// For reading the changelog: nothing but throughput counts.
    pub(super) fn for_changelog(&self) -> ClientConfig {
        let mut config = self.for_reading();
        config.set("fetch.message.max.bytes", "8388608").set("queued.max.messages.kbytes", "65536");
        self.pass_through(config)
    }

    /// For questions about the group's offsets and the ends of logs, as somebody sees them who reads so.
    pub(super) fn for_questions_about_what_is_open(&self, isolation_level: &str) -> ClientConfig {
        let mut config = self.pass_through(self.for_reading());
        config.set("isolation.level", isolation_level).set("statistics.interval.ms", "0");
        config
    }

    /// For the transactional producer.
    pub(super) fn for_output(&self) -> ClientConfig {
        self.for_output_of(&self.member)
    }

    /// For a producer under the name of `member`: a new one shuts out the last.
    pub(super) fn for_output_of(&self, member: &str) -> ClientConfig {
        let mut config = self.shared();
        config
            .set("transactional.id", self.transactional_id(member))
            .set("transaction.timeout.ms", self.transaction_timeout.as_millis().to_string())
            .set("message.timeout.ms", (self.transaction_timeout * 2 / 3).as_millis().to_string())
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            // A topic that is gone is to be named, not to look like a broker that does not answer.
            .set("topic.metadata.propagation.max.ms", (self.transaction_timeout / 4).as_millis().to_string())
            // The topic's own limit is the broker's to apply, to what is left after compression.
            .set("message.max.bytes", "16777216")
            // Without an idle disconnect the client can wait for ever for a group coordinator that has gone.
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
    fn owned_settings_are_refused_all_at_once_with_the_reason() {
        let refused = options(&[("acks", "1"), ("ssl.ca.location", "/ca"), ("isolation.level", "read_uncommitted")]);
        let message = refused.check().unwrap_err().message;
        assert!(message.contains("acks is set by the service: transactions need"), "{message}");
        assert!(message.contains("isolation.level is set by the service"), "{message}");
        assert!(!message.contains("ssl.ca.location"), "{message}");
        assert!(!message.contains("read_uncommitted"), "values are not repeated: {message}");
    }

    #[test]
    fn security_settings_pass_through_to_every_client() {
        let options = options(&[("security.protocol", "SASL_SSL"), ("sasl.password", "hunter2")]);
        options.check().unwrap();
        for config in
            [options.for_input(), options.for_output(), options.for_changelog(), options.cluster().for_questions()]
        {
            assert_eq!(config.get("sasl.password"), Some("hunter2"));
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let shown = format!("{:?}", options(&[("sasl.password", "hunter2")]));
        assert!(shown.contains("sasl.password"));
        assert!(!shown.contains("hunter2"));
    }

    #[test]
    fn timeouts_must_nest() {
        options(&[("message.timeout.ms", "29999"), ("socket.timeout.ms", "29900")]).check().unwrap();
        for refused in [
            ("message.timeout.ms", "30000"),
            ("message.timeout.ms", "0"),
            ("delivery.timeout.ms", "60000"),
            ("socket.timeout.ms", "29901"),
            ("max.poll.interval.ms", "30000"),
            ("message.timeout.ms", "soon"),
        ] {
            options(&[refused]).check().unwrap_err();
        }
        let mut short = options(&[]);
        short.transaction_timeout = Duration::from_secs(2);
        short.check().unwrap_err();
    }
}
