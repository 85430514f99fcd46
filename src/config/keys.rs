//! All configuration keys: path, syntax, default and meaning.
//!
//! The file, the environment, `lifecycle config show` and docs/configuration.md all use this table.

/// A configuration key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Path in the file: `clock.lateness`.
    pub path: &'static str,
    /// Syntax of the value, for the reference.
    pub syntax: &'static str,
    /// Default value; empty if `default_note` describes it instead.
    pub default: &'static str,
    /// Description of a default that is not a fixed value; empty if `default` is set.
    pub default_note: &'static str,
    /// Meaning of the key, for the reference.
    pub meaning: &'static str,
}

impl Key {
    /// Returns the environment variable that overrides the file: `LIFECYCLE_CLOCK_LATENESS`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.path.replace('.', "_").to_uppercase())
    }
}

/// Prefix of all environment variables of the program.
pub(super) const VARIABLE_PREFIX: &str = "LIFECYCLE_";
/// Path of the settings for the Kafka client.
pub(super) const CLIENT: &str = "kafka.client";
/// Path of the overrides of model parameters.
pub(super) const PARAMETERS: &str = "parameters";

/// All keys, in the order of the documentation.
pub const KEYS: &[Key] = &[
    Key {
        path: "kafka.bootstrap_servers",
        syntax: "host:port,...",
        default: "",
        default_note: "required",
        meaning: "Brokers for the initial connection to the cluster.",
    },
    Key {
        path: "kafka.group_id",
        syntax: "name",
        default: "lifecycle",
        default_note: "",
        meaning: "The consumer group. Instances with the same group share the partitions; the transactional ids start \
                with it.",
    },
    Key {
        path: "kafka.instance_id",
        syntax: "name",
        default: "",
        default_note: "the host name",
        meaning: "Name of this instance within the group: unique among running instances and stable across restarts, \
                such as the pod name in a StatefulSet. The transactional ids consist of group, instance and worker.",
    },
    Key {
        path: "kafka.static_membership",
        syntax: "true or false",
        default: "false",
        default_note: "",
        meaning: "Joins the group as a static member (`group.instance.id`). A restart within the session timeout then \
                causes no rebalance, but the partitions of a stopped instance are not reassigned until the session \
                timeout expires.",
    },
    Key {
        path: "kafka.session_timeout",
        syntax: "duration",
        default: "20s",
        default_note: "",
        meaning: "Time without a heartbeat after which the group coordinator considers an instance dead and reassigns \
                its partitions.",
    },
    Key {
        path: "kafka.transaction_timeout",
        syntax: "duration",
        default: "30s",
        default_note: "",
        meaning: "Time after which the brokers abort an open transaction. Must be longer than a broker failover and at \
                most the brokers' `transaction.max.timeout.ms`.",
    },
    Key {
        path: CLIENT,
        syntax: "mapping",
        default: "",
        default_note: "empty",
        meaning: "Settings passed to the Kafka client (librdkafka) unchanged: `security.protocol`, `sasl.mechanism`, \
                `ssl.ca.location`. Relative paths in `ssl.*.location` start at the folder of the configuration file. \
                Settings that exactly-once processing depends on are rejected. A value `file:/path` is replaced by the \
                content of that file; passwords and keys must be given this way or in the environment. The \
                environment variable is `LIFECYCLE_KAFKA_CLIENT_` followed by the setting's name in capitals, with `_` \
                for `.`.",
    },
    Key {
        path: "topics.touchpoints",
        syntax: "topic",
        default: "touchpoints",
        default_note: "",
        meaning: "Topic that touchpoints are read from.",
    },
    Key {
        path: "topics.transitions",
        syntax: "topic",
        default: "lifecycle.transitions",
        default_note: "",
        meaning: "Topic that transitions are published to.",
    },
    Key {
        path: "topics.replay",
        syntax: "topic",
        default: "",
        default_note: "the transitions topic followed by `.replay`",
        meaning: "Topic for transitions older than `publish.fresh_for`, so that processing history triggers no \
                campaigns. May be the same topic as `topics.transitions`.",
    },
    Key {
        path: "topics.changelog",
        syntax: "topic",
        default: "lifecycle.changelog",
        default_note: "",
        meaning: "Topic that stores the state of the customers. Needs as many partitions as the touchpoint topic, \
                unlimited retention and no compaction.",
    },
    Key {
        path: "topics.dead_letters",
        syntax: "topic",
        default: "lifecycle.dead-letters",
        default_note: "",
        meaning: "Topic for records that are not valid touchpoints, with the reason in their headers.",
    },
    Key {
        path: "models",
        syntax: "list of names or files",
        default: "",
        default_note: "all shipped models",
        meaning: "The models to run, in the order of publication: names of shipped models, or files (anything with a \
                `/` or ending in `.yaml`, relative to the configuration file). In the environment, a comma-separated \
                list.",
    },
    Key {
        path: PARAMETERS,
        syntax: "mapping of mappings",
        default: "",
        default_note: "the values in the models",
        meaning: "Overrides of model parameters, by model and parameter: `{retention: {risk_after: days(60)}}`. In the \
                environment, the same mapping on one line.",
    },
    Key {
        path: "catalogue",
        syntax: "file",
        default: "",
        default_note: "the shipped catalogue",
        meaning: "The catalogue of touchpoint types and groups that the models use.",
    },
    Key {
        path: "currency",
        syntax: "ISO 4217 code",
        default: "USD",
        default_note: "",
        meaning: "Currency of amounts that have none, and the only currency that counts as revenue.",
    },
    Key {
        path: "clock.source",
        syntax: "wall or touchpoints",
        default: "wall",
        default_note: "",
        meaning: "What fires wake-ups while a partition has no lag: `wall` time, or only the event time of \
                `touchpoints` (for slow replays of history, tests and accelerated time).",
    },
    Key {
        path: "clock.lateness",
        syntax: "duration",
        default: "1m",
        default_note: "",
        meaning: "Allowed lateness: how long wake-ups wait for late touchpoints. A touchpoint that arrives later may \
                correct transitions that are already published.",
    },
    Key {
        path: "clock.max_ahead",
        syntax: "duration",
        default: "15m",
        default_note: "",
        meaning: "How far in the future a touchpoint's `occurred_at` may be; beyond that the record becomes a dead \
                letter. Applies to `clock.source: wall`.",
    },
    Key {
        path: "publish.fresh_for",
        syntax: "duration",
        default: "24h",
        default_note: "",
        meaning: "Transitions that occurred longer ago than this when they are detected have `mode: replay` and are \
                published to `topics.replay`.",
    },
    Key {
        path: "publish.source",
        syntax: "URI reference",
        default: "",
        default_note: "`/lifecycle/` followed by the group",
        meaning: "Identifies this deployment in the header `ce_source` of transitions.",
    },
    Key {
        path: "publish.subject",
        syntax: "true or false",
        default: "false",
        default_note: "",
        meaning: "Whether to put the customer id into the header `ce_subject` of transitions. Headers end up in logs.",
    },
    Key {
        path: "commit.interval",
        syntax: "duration",
        default: "100ms",
        default_note: "",
        meaning: "How often transactions are committed, which makes their output visible. A shorter interval reduces \
                latency and increases overhead.",
    },
    Key {
        path: "workers",
        syntax: "number",
        default: "",
        default_note: "one per CPU",
        meaning: "Number of worker threads that share the partitions. More workers than partitions have no effect.",
    },
    Key {
        path: "state.max_bytes",
        syntax: "size",
        default: "8GiB",
        default_note: "",
        meaning: "Limit of the memory that the customers of an instance use, in all its workers together. Above it, \
                the instance pauses consumption and is not ready.",
    },
    Key {
        path: "state.forget_after",
        syntax: "duration",
        default: "",
        default_note: "never",
        meaning: "Inactivity after which a customer who has never ordered is removed with all their state; a later \
                touchpoint starts a new customer. At least a day.",
    },
    Key {
        path: "state.sweep_min_bytes",
        syntax: "size",
        default: "64MiB",
        default_note: "",
        meaning: "Minimum size at which the changelog of a partition is swept (live entries are rewritten, the head is \
                truncated) once half of it is obsolete. Smaller values mean faster restores and more writes. At least \
                64KiB.",
    },
    Key {
        path: "state.sweep_period",
        syntax: "duration",
        default: "24h",
        default_note: "",
        meaning: "Interval after which the changelog is swept regardless of its size, so that removed customers disappear \
                from it. At least a minute.",
    },
    Key {
        path: "touchpoints.bytes_max",
        syntax: "size",
        default: "1MiB",
        default_note: "",
        meaning: "Maximum record size; larger records become dead letters.",
    },
    Key {
        path: "http.listen",
        syntax: "address:port",
        default: "127.0.0.1:8080",
        default_note: "",
        meaning: "Address of the HTTP server. An address other than loopback requires `http.token_file`.",
    },
    Key {
        path: "http.token_file",
        syntax: "file",
        default: "",
        default_note: "no token",
        meaning: "File with the token that requests under `/v1` must send (`Authorization: Bearer ...`). Probes and \
                metrics need no token.",
    },
    Key {
        path: "http.advertise",
        syntax: "host:port",
        default: "",
        default_note: "requests are not forwarded",
        meaning: "Address where the other instances of the group reach this one's HTTP server. A request for a \
                customer of another instance is forwarded there, with the caller's token. The address is part of the \
                Kafka client id.",
    },
    Key {
        path: "shutdown.deadline",
        syntax: "duration",
        default: "25s",
        default_note: "",
        meaning: "Maximum duration of a graceful shutdown; after it the process exits anyway. Keep it below the \
                supervisor's limit, such as `terminationGracePeriodSeconds` in Kubernetes.",
    },
    Key {
        path: "log.format",
        syntax: "text or json",
        default: "text",
        default_note: "",
        meaning: "Format of log lines on standard error.",
    },
    Key {
        path: "log.level",
        syntax: "error, warn, info, debug or trace",
        default: "info",
        default_note: "",
        meaning: "Minimum severity of log lines. Lines below info may contain customer ids. Also accepts filter \
                directives such as `info,lifecycle_processor::runtime=debug`.",
    },
];

/// Returns the key at `path`.
pub(super) fn key(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_unique_and_have_either_a_default_or_a_note() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..index].iter().all(|earlier| earlier.path != key.path), "{}", key.path);
            assert!(key.default.is_empty() != key.default_note.is_empty(), "{}", key.path);
        }
    }

    #[test]
    fn environment_variables_are_unique() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..index].iter().all(|earlier| earlier.variable() != key.variable()), "{}", key.path);
        }
    }
}
