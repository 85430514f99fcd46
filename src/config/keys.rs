//! All configuration keys. One declaration per key holds everything about it: path, type, syntax, default, parser and
//! meaning.
//!
//! The struct [`Config`], the environment variables, `lifecycle config show` and docs/configuration.md follow from it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::decode::Framing;
use crate::lifecycle::identity::{BlockedIds, LinkOn};
use crate::lifecycle::money::Currency;
use crate::runtime::{ClockSource, RouteDraft};
use crate::telemetry::logging::LogFormat;
use crate::wire::cloud_events::HeaderDetail;
use crate::wire::model_file::Override;
use crate::wire::transition::{BecauseDetail, RecordFormat};

use super::client::ClientSetting;
use super::defaults::{WORKERS_MAX, event_source, host_name, one_per_cpu, replay_topic};
use super::deliver::{DeliverSection, section};
use super::key::DefaultValue::{Derived, Is, Required, Unset};
use super::key::{Key, declare_keys, file, optional, value};
use super::settings::{Origins, Settings};
use super::sources::{SourceConfig, sources};
use super::values::{
    address, boolean, currency, duration_within, kafka_name, one_of, servers, size_within, socket_address, text,
    topic_name, uri_reference, url, whole_number,
};

// Each declaration reads: meaning; field, which is also the last part of the path; type; syntax of the value; default;
// reader. A section is a mapping of keys. The order is that of the documentation.
declare_keys! {
    section kafka: KafkaConfig {
        /// Brokers for the initial connection to the cluster.
        bootstrap_servers: String = "host:port,...", Required, value(servers);
        /// The consumer group. Instances with the same group share the partitions; the transactional ids start with
        /// it.
        group_id: String = "name", Is("lifecycle"), value(kafka_name);
        /// Name of this instance within the group: unique among running instances and stable across restarts, such as
        /// the pod name in a StatefulSet. The transactional ids consist of group, instance and worker.
        instance_id: String = "name", Derived("the host name", host_name), value(kafka_name);
        /// Joins the group as a static member (`group.instance.id`, from `kafka.instance_id`): an instance that is
        /// killed and comes back under the same id continues at once with the same partitions, instead of after the
        /// session timeout. Use it where the id is stable across restarts; the Helm chart and the systemd unit do.
        static_membership: bool = "true or false", Is("false"), value(boolean);
        /// Time without a heartbeat after which the group coordinator considers an instance dead and reassigns its
        /// partitions.
        session_timeout: Duration = "duration", Is("8s"), value(duration_within("6s", "30m"));
        /// Time after which the brokers abort an open transaction. Must be longer than a broker failover and at most
        /// the brokers' `transaction.max.timeout.ms`.
        transaction_timeout: Duration = "duration", Is("30s"), value(duration_within("3s", "15m"));
        /// Settings passed to the Kafka client (librdkafka) unchanged: `security.protocol`, `sasl.mechanism`,
        /// `ssl.ca.location`. Relative paths in `ssl.*.location` start at the folder of the configuration file.
        /// Settings that exactly-once processing depends on are rejected. A value `file:/path` is replaced by the
        /// content of that file; passwords and keys must be given this way or in the environment. The environment
        /// variable is `LIFECYCLE_KAFKA_CLIENT_` followed by the setting's name in capitals, with `_` for `.`.
        client: BTreeMap<String, ClientSetting> = "mapping", Unset("empty"), Settings::client;
    };
    section topics: TopicsConfig {
        /// Topic that touchpoints are read from.
        touchpoints: String = "topic", Is("touchpoints"), value(topic_name);
        /// Topic that transitions are published to.
        transitions: String = "topic", Is("lifecycle.transitions"), value(topic_name);
        /// Topic for transitions older than `publish.fresh_for`, so that processing history triggers no campaigns.
        /// May be the same topic as `topics.transitions`.
        replay: String =
            "topic", Derived("the transitions topic followed by `.replay`", replay_topic), value(topic_name);
        /// Topic that stores the state of the customers. Needs as many partitions as the touchpoint topic, unlimited
        /// retention and no compaction.
        changelog: String = "topic", Is("lifecycle.changelog"), value(topic_name);
        /// Topic through which partitions hand visitors over to their customers, with `identity.enabled`. Needs as many
        /// partitions as the touchpoint topic, and no compaction.
        hand_overs: String = "topic", Is("lifecycle.hand-overs"), value(topic_name);
        /// Topic for records that are not valid touchpoints, with the reason in their headers.
        dead_letters: String = "topic", Is("lifecycle.dead-letters"), value(topic_name);
        /// Compacted topic with one record per customer: the current stage in every model. A removed customer becomes a
        /// record without value. Customers that were known before the key was set follow with their next transition,
        /// or with the next sweep (`state.sweep_period`).
        current_stages: Option<String> = "topic", Unset("not written"), optional(topic_name);
    };
    /// Topics of other programs whose records become touchpoints: `[{name: web, topics: [web.events]}]`. See
    /// [sources.md](sources.md) for the keys of a source. In the environment, the same list on one line.
    sources: Vec<SourceConfig> = "list of mappings", Unset("none"), sources;
    section registry: RegistryConfig {
        /// Address of the schema registry whose schemas the records of sources name, such as `https://registry:8081`
        /// or `http://apicurio:8080/apis/ccompat/v7`.
        url: Option<String> = "URL", Unset("no registry"), optional(url);
        /// User name for the registry; needs `registry.password_file`.
        username: Option<String> = "name", Unset("none"), optional(text);
        /// File with the password for the registry.
        password_file: Option<PathBuf> = "file", Unset("none"), file();
        /// File with a token that requests to the registry send (`Authorization: Bearer ...`), instead of a password.
        token_file: Option<PathBuf> = "file", Unset("none"), file();
        /// File with the certificates, in PEM format, that the registry's certificate must be signed by.
        ca_file: Option<PathBuf> = "file", Unset("the certificates of the system"), file();
        /// File with the client certificate for the registry, in PEM format; needs `registry.key_file`.
        certificate_file: Option<PathBuf> = "file", Unset("none"), file();
        /// File with the key of the client certificate, in PEM format.
        key_file: Option<PathBuf> = "file", Unset("none"), file();
    };
    /// The models to run, in the order of publication: names of shipped models, or files (anything with a `/` or
    /// ending in `.yaml`, relative to the configuration file). In the environment, a comma-separated list.
    models: Vec<String> = "list of names or files", Unset("all shipped models"), Settings::models;
    /// Overrides of model parameters, by model and parameter: `{retention: {risk_after: days(60)}}`. In the
    /// environment, the same mapping on one line.
    parameters: Vec<Override> = "mapping of mappings", Unset("the values in the models"), Settings::parameters;
    /// The catalogue of touchpoint types and groups that the models use.
    catalogue: Option<PathBuf> = "file", Unset("the shipped catalogue"), file();
    /// Currency of amounts that have none, and the only currency that counts as revenue.
    currency: Currency = "ISO 4217 code", Is("USD"), value(currency);
    section clock: ClockConfig {
        /// What fires wake-ups while a partition has no lag: `wall` time, or only the event time of `touchpoints`
        /// (for slow replays of history, tests and accelerated time).
        source: ClockSource =
            "wall or touchpoints", Is("wall"),
            value(one_of(&[("wall", ClockSource::Wall), ("touchpoints", ClockSource::Touchpoints)]));
        /// Allowed lateness: how long wake-ups wait for late touchpoints. A touchpoint that arrives later may correct
        /// transitions that are already published.
        lateness: Duration = "duration", Is("1m"), value(duration_within("0s", "30d"));
        /// How far in the future a touchpoint's `occurred_at` may be; beyond that the record becomes a dead letter.
        /// Applies to `clock.source: wall`.
        max_ahead: Duration = "duration", Is("15m"), value(duration_within("0s", "366d"));
    };
    section publish: PublishConfig {
        /// Transitions that occurred longer ago than this when they are detected have `mode: replay` and are
        /// published to `topics.replay`.
        fresh_for: Duration = "duration", Is("24h"), value(duration_within("1s", "36500d"));
        /// Identifies this deployment in the header `ce_source` of transitions.
        source: String = "URI reference", Derived("`/lifecycle/` followed by the group", event_source), value(uri_reference);
        /// Whether to put the customer id into the header `ce_subject` of transitions. Headers end up in logs.
        subject: bool = "true or false", Is("false"), value(boolean);
        /// Format of transitions and current stages: JSON, or the Protobuf messages of `proto/lifecycle/v1`.
        format: RecordFormat =
            "json or protobuf", Is("json"),
            value(one_of(&[("json", RecordFormat::Json), ("protobuf", RecordFormat::Protobuf)]));
        /// Whether the id of a schema precedes the values, in Confluent's wire format. The service registers the
        /// schemas in `registry` when it starts, and refuses to start if consumers could not read them.
        framing: Framing =
            "plain or confluent", Is("plain"),
            value(one_of(&[("plain", Framing::Plain), ("confluent", Framing::Confluent)]));
        /// How much of the reason a transition contains in `because`: the condition and the values that it read, only
        /// the condition, or nothing.
        because: BecauseDetail =
            "full, condition or none", Is("full"),
            value(one_of(&[
                ("full", BecauseDetail::Full),
                ("condition", BecauseDetail::Condition),
                ("none", BecauseDetail::None),
            ]));
        /// The headers of transitions: `full` is all CloudEvents headers, `minimal` only those that CloudEvents
        /// requires and the content type, `none` no headers.
        cloudevents: HeaderDetail =
            "none, minimal or full", Is("full"),
            value(one_of(&[
                ("none", HeaderDetail::None),
                ("minimal", HeaderDetail::Minimal),
                ("full", HeaderDetail::Full),
            ]));
        /// Topics of their own for some live transitions: a list of mappings with a `topic` and at least one of
        /// `model`, `kind`, `name`, `direction` and `stage` (the stage that the customer enters), each a name or a
        /// list. The first route that matches is used; all other live transitions go to `topics.transitions`. In the
        /// environment, the same list on one line.
        routes: Vec<RouteDraft> = "list of mappings", Unset("none"), Settings::routes;
        /// What every transition carries in `attributes`: a mapping of names to expressions over facts, such as
        /// `{plan: 'latest(subscription_started, "plan")'}`. See [contracts.md](contracts.md#attributes). In the
        /// environment, the same mapping on one line.
        attributes: Vec<(String, String)> = "mapping", Unset("none"), Settings::attributes;
    };
    /// Delivers transitions to webhooks and marketing tools inside `lifecycle run`: a mapping with `destinations`, and
    /// optionally `topics`, `dead_letters` and `group_prefix`. See [deliver.md](deliver.md) for the keys of a
    /// destination. In the environment, the same mapping on one line.
    deliver: Option<DeliverSection> = "mapping", Unset("no deliveries"), section();
    section commit: CommitConfig {
        /// How often transactions are committed, which makes their output visible. A shorter interval reduces latency
        /// and increases overhead.
        interval: Duration = "duration", Is("100ms"), value(duration_within("5ms", "5s"));
    };
    /// Number of worker threads that share the partitions. More workers than partitions have no effect.
    workers: usize = "number", Derived("one per CPU", one_per_cpu), value(|text| whole_number(text, 1, WORKERS_MAX));
    section state: StateConfig {
        /// Limit of the memory that the customers of an instance use, in all its workers together. Above it, the
        /// instance pauses consumption and is not ready.
        max_bytes: usize = "size", Is("8GiB"), value(size_within("1MiB", "16TiB"));
        /// Inactivity after which a customer who has never ordered is removed with all their state; a later
        /// touchpoint starts a new customer. At least a day.
        forget_after: Option<Duration> = "duration", Unset("never"), optional(duration_within("1d", "36500d"));
        /// Minimum size at which the changelog of a partition is swept (live entries are rewritten, the head is
        /// truncated) once half of it is obsolete. Smaller values mean faster restores and more writes. At least
        /// 64KiB.
        sweep_min_bytes: usize = "size", Is("64MiB"), value(size_within("64KiB", "1TiB"));
        /// Interval after which the changelog is swept regardless of its size, so that removed customers disappear
        /// from it. At least a minute.
        sweep_period: Duration = "duration", Is("24h"), value(duration_within("1m", "365d"));
    };
    section touchpoints: TouchpointsConfig {
        /// Maximum record size; larger records become dead letters.
        bytes_max: usize = "size", Is("1MiB"), value(size_within("1KiB", "64MiB"));
    };
    section identity: IdentityConfig {
        /// Whether visitors become customers: a touchpoint with an `anonymous_id` and no `customer_id` is one of a
        /// visitor, and a link moves the facts of the visitor to its customer. Needs the topic `topics.hand_overs`. See
        /// [identity.md](identity.md).
        enabled: bool = "true or false", Is("false"), value(boolean);
        /// Which touchpoints with both ids are links: those of the type `customer_identified`, or `any`.
        link_on: LinkOn =
            "identified or any", Is("identified"),
            value(one_of(&[("identified", LinkOn::Identified), ("any", LinkOn::Any)]));
        /// How long the id of a visitor that became a customer is remembered after its latest use. A touchpoint that
        /// arrives later starts a new visitor.
        stub_lifetime: Duration = "duration", Is("400d"), value(duration_within("2d", "36500d"));
        /// Ids that do not identify a person, in addition to the built-in ones (`0`, `null`, `undefined`, `guest` and
        /// so on), such as the e-mail address of the shop. They count as absent. In the environment, the same list on
        /// one line.
        blocked: BlockedIds = "list of ids", Unset("none"), Settings::blocked_ids;
    };
    section http: HttpConfig {
        /// Address of the HTTP server. An address other than loopback requires `http.token_file`.
        listen: SocketAddr = "address:port", Is("127.0.0.1:8080"), value(socket_address);
        /// File with the token that requests under `/v1` must send (`Authorization: Bearer ...`), or with lines of a
        /// name, a role and a token. The role `aggregates` may read models, totals and partitions, the role `customers`
        /// everything. A changed file takes effect within seconds. Probes and metrics need no token.
        token_file: Option<PathBuf> = "file", Unset("no token"), file();
        /// Address of a server of its own for the probes and `/metrics`, without TLS and tokens. They are then not
        /// served on `http.listen`.
        probes_listen: Option<SocketAddr> = "address:port", Unset("served on `http.listen`"), optional(socket_address);
        /// Certificate chain of the HTTP server in PEM format; with it, `http.listen` accepts only TLS. A changed file
        /// takes effect within seconds.
        tls_certificate_file: Option<PathBuf> = "file", Unset("no TLS"), file();
        /// Key of the certificate in PEM format.
        tls_key_file: Option<PathBuf> = "file", Unset("no TLS"), file();
        /// Authorities in PEM format by which this instance checks the certificates of the other instances
        /// (`http.advertise`).
        tls_ca_file: Option<PathBuf> = "file", Unset("required with `http.advertise` and TLS"), file();
        /// Address where the other instances of the group reach this one's HTTP server. A request for a customer of
        /// another instance is forwarded there, with the caller's token. The address is part of the Kafka client id.
        advertise: Option<String> = "host:port", Unset("requests are not forwarded"), optional(address);
    };
    section shutdown: ShutdownConfig {
        /// Maximum duration of a graceful shutdown; after it the process exits anyway. Keep it below the supervisor's
        /// limit, such as `terminationGracePeriodSeconds` in Kubernetes.
        deadline: Duration = "duration", Is("25s"), value(duration_within("1s", "1h"));
    };
    section log: LogConfig {
        /// Format of log lines on standard error.
        format: LogFormat =
            "text or json", Is("text"), value(one_of(&[("text", LogFormat::Text), ("json", LogFormat::Json)]));
        /// Minimum severity of log lines. Lines below info may contain customer ids. Also accepts filter directives
        /// such as `info,lifecycle_processor::runtime=debug`.
        level: String = "error, warn, info, debug or trace", Is("info"), value(text);
    };
    section tracing: TracingConfig {
        /// Address of a receiver of the OpenTelemetry protocol (OTLP) over HTTP, such as a collector on the same host:
        /// `http://127.0.0.1:4318`. Touchpoints with a header `traceparent` are then traced to their transitions. See
        /// [tracing.md](tracing.md).
        endpoint: Option<String> = "URL", Unset("no tracing"), optional(url);
        /// One in this many touchpoints without the header starts a trace; 0 for none.
        sample_one_in: usize = "number", Is("1000"), value(|text| whole_number(text, 0, 1_000_000_000));
    };
}

/// Returns the key at `path`.
pub(super) fn key(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_environment_variables_are_unique() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..index].iter().all(|earlier| earlier.variable() != key.variable()), "{}", key.path);
        }
    }
}
