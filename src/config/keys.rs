//! Every key of the configuration: where it stands, what it means, what it is when nobody sets it.
//!
//! The one table behind the file, the environment, `lifecycle config show` and docs/configuration.md.

/// A key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Where it stands: `clock.lateness`.
    pub path: &'static str,
    /// What is written there.
    pub form: &'static str,
    /// What holds when nobody sets it; the empty string where there is no such text.
    pub default: &'static str,
    /// What holds when nobody sets it, in words, where `default` cannot say it.
    pub otherwise: &'static str,
    /// What it means.
    pub about: &'static str,
}

impl Key {
    /// The environment variable that overrides the file: `LIFECYCLE_CLOCK_LATENESS`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.path.replace('.', "_").to_uppercase())
    }
}

/// What the names of all environment variables of the program begin with.
pub(super) const VARIABLE_PREFIX: &str = "LIFECYCLE_";
/// Where settings for the Kafka client stand.
pub(super) const CLIENT: &str = "kafka.client";
/// Where values for parameters of models stand.
pub(super) const PARAMETERS: &str = "parameters";

/// Every key, in the order of the documentation.
pub const KEYS: &[Key] = &[
    Key {
        path: "kafka.bootstrap_servers",
        form: "host:port,...",
        default: "",
        otherwise: "required",
        about: "Brokers to ask first for the cluster's layout.",
    },
    Key {
        path: "kafka.group_id",
        form: "name",
        default: "lifecycle",
        otherwise: "",
        about: "The consumer group. Instances of one group share the work; the transactional ids begin with it.",
    },
    Key {
        path: "kafka.instance_id",
        form: "name",
        default: "",
        otherwise: "the host's name",
        about: "Names this instance within the group: unique among running instances, the same after a restart (a pod of a \
                StatefulSet has such a name). The transactional ids are made of group, instance and worker.",
    },
    Key {
        path: "kafka.static_membership",
        form: "true or false",
        default: "false",
        otherwise: "",
        about: "Joins the group as a static member (`group.instance.id`): a restart within the session timeout moves no \
                partitions, and a stopped instance keeps its partitions waiting until the session timeout.",
    },
    Key {
        path: "kafka.session_timeout",
        form: "duration",
        default: "20s",
        otherwise: "",
        about: "After how long without a sign of life the group takes an instance for dead and moves its partitions.",
    },
    Key {
        path: "kafka.transaction_timeout",
        form: "duration",
        default: "30s",
        otherwise: "",
        about: "After how long the brokers abort a transaction. Longer than the failover of a broker, at most the brokers' own \
                `transaction.max.timeout.ms`.",
    },
    Key {
        path: CLIENT,
        form: "mapping",
        default: "",
        otherwise: "empty",
        about: "Settings handed to the Kafka client (librdkafka) as they are: `security.protocol`, `sasl.mechanism`, \
                `ssl.ca.location`. Keys that exactly-once rests on are refused. A value `file:/path` is the content of that file; \
                passwords and keys may be given only so or in the environment. The variable of a setting is \
                `LIFECYCLE_KAFKA_CLIENT_` and the setting with `_` for `.`.",
    },
    Key {
        path: "topics.touchpoints",
        form: "topic",
        default: "touchpoints",
        otherwise: "",
        about: "Where touchpoints are read.",
    },
    Key {
        path: "topics.transitions",
        form: "topic",
        default: "lifecycle.transitions",
        otherwise: "",
        about: "Where transitions are published.",
    },
    Key {
        path: "topics.replay",
        form: "topic",
        default: "",
        otherwise: "that of transitions and `.replay`",
        about: "Where transitions older than `publish.fresh_for` are published, so that history starts no campaigns. May be the topic \
                of the others.",
    },
    Key {
        path: "topics.changelog",
        form: "topic",
        default: "lifecycle.changelog",
        otherwise: "",
        about: "Where the customers are kept. As many partitions as the touchpoints, no retention, no compaction.",
    },
    Key {
        path: "topics.dead_letters",
        form: "topic",
        default: "lifecycle.dead-letters",
        otherwise: "",
        about: "Where records go that are no touchpoints, with the reason in their headers.",
    },
    Key {
        path: "models",
        form: "list of names or files",
        default: "",
        otherwise: "all shipped models",
        about: "The models to run, in the order of publication: names of shipped models, or files (anything with a `/` or ending in \
                `.yaml`; relative to the configuration file). In the environment a list with commas.",
    },
    Key {
        path: PARAMETERS,
        form: "mapping of mappings",
        default: "",
        otherwise: "as the models say",
        about: "Values for parameters of models, by model and parameter: `{retention: {risk_after: days(60)}}`; in the environment \
                the same on one line.",
    },
    Key {
        path: "catalogue",
        form: "file",
        default: "",
        otherwise: "the shipped catalogue",
        about: "The catalogue of touchpoint types and groups that the models use.",
    },
    Key {
        path: "currency",
        form: "ISO 4217 code",
        default: "USD",
        otherwise: "",
        about: "What amounts without a currency are in, and the only currency that revenue is counted in.",
    },
    Key {
        path: "clock.source",
        form: "wall or touchpoints",
        default: "wall",
        otherwise: "",
        about: "What makes time pass for silent customers once all touchpoints are read: wall time, or the touchpoints alone (for \
                history that is fed slowly, tests, and sped-up time).",
    },
    Key {
        path: "clock.lateness",
        form: "duration",
        default: "1m",
        otherwise: "",
        about: "How late touchpoints may arrive without a transition having to be corrected afterwards.",
    },
    Key {
        path: "clock.max_ahead",
        form: "duration",
        default: "15m",
        otherwise: "",
        about: "How far in the future a touchpoint may lie before it is a dead letter. Applies to `clock.source: wall`.",
    },
    Key {
        path: "publish.fresh_for",
        form: "duration",
        default: "24h",
        otherwise: "",
        about: "Transitions older than this when they are found are marked `mode: replay` and go to `topics.replay`.",
    },
    Key {
        path: "publish.reconciled",
        form: "true or false",
        default: "false",
        otherwise: "",
        about: "Whether moves that an added or edited model causes by itself are published (`mode: reconcile`, to `topics.replay`). \
                Otherwise customers move in silence.",
    },
    Key {
        path: "publish.source",
        form: "URI reference",
        default: "",
        otherwise: "`/lifecycle/` and the group",
        about: "Names this deployment in the header `ce_source` of transitions.",
    },
    Key {
        path: "publish.subject",
        form: "true or false",
        default: "false",
        otherwise: "",
        about: "Puts the customer id into the header `ce_subject` of transitions. Headers end up in logs.",
    },
    Key {
        path: "commit.interval",
        form: "duration",
        default: "100ms",
        otherwise: "",
        about: "How often what was read and published becomes visible. Shorter is quicker and costs more.",
    },
    Key {
        path: "workers",
        form: "number",
        default: "",
        otherwise: "one for each processor",
        about: "How many threads share the partitions. More than there are partitions are of no use.",
    },
    Key {
        path: "state.max_bytes",
        form: "size",
        default: "8GiB",
        otherwise: "",
        about: "How much memory the customers of an instance may take, all its workers together. Past it the instance reads no \
                more, and is not ready.",
    },
    Key {
        path: "state.forget_after",
        form: "duration",
        default: "",
        otherwise: "never",
        about: "After how long a silence a customer who never ordered is forgotten: removed with all that is known of them, and new \
                when they come back. At least a day.",
    },
    Key {
        path: "state.sweep_min_bytes",
        form: "size",
        default: "64MiB",
        otherwise: "",
        about: "From which size on the changelog of a partition is written anew, and its head deleted, when half of it is dead. \
                Smaller means quicker restores and more writing. At least 64KiB.",
    },
    Key {
        path: "state.sweep_period",
        form: "duration",
        default: "24h",
        otherwise: "",
        about: "After how long the changelog is written anew whatever its size, so that removed customers leave it. At least a \
                minute.",
    },
    Key {
        path: "touchpoints.bytes_max",
        form: "size",
        default: "1MiB",
        otherwise: "",
        about: "Larger records are dead letters.",
    },
    Key {
        path: "http.listen",
        form: "address:port",
        default: "127.0.0.1:8080",
        otherwise: "",
        about: "Where the HTTP server listens. An address other than loopback needs `http.token_file`.",
    },
    Key {
        path: "http.token_file",
        form: "file",
        default: "",
        otherwise: "no token",
        about: "A file with the token that requests under `/v1` must bear (`Authorization: Bearer ...`). Probes and metrics need none.",
    },
    Key {
        path: "http.advertise",
        form: "host:port",
        default: "",
        otherwise: "no other instance is asked",
        about: "Where the other instances of the group reach this one's HTTP server. A customer that another instance holds is asked for \
                there, with the caller's token; the address travels in the Kafka client's name.",
    },
    Key {
        path: "shutdown.deadline",
        form: "duration",
        default: "25s",
        otherwise: "",
        about: "How long a stop may take before the process ends all the same. Keep it below the supervisor's own deadline.",
    },
    Key {
        path: "log.format",
        form: "text or json",
        default: "text",
        otherwise: "",
        about: "How log lines on standard error look.",
    },
    Key {
        path: "log.level",
        form: "error, warn, info, debug or trace",
        default: "info",
        otherwise: "",
        about: "The least severe lines to be written. Below info they may name customers. Also directives such as \
                `info,lifecycle_processor::runtime=debug`.",
    },
];

/// The key at `path`.
pub(super) fn key(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The name in `names` that is most like `name`, if any is like it.
pub(super) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= 1 + candidate.len() / 5)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters to insert, drop or replace to come from one text to the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (place, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = place + 1;
        for (column, &other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_stands_once_and_has_a_default_or_words_for_it() {
        for (place, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..place].iter().all(|earlier| earlier.path != key.path), "{}", key.path);
            assert!(key.default.is_empty() != key.otherwise.is_empty(), "{}", key.path);
        }
    }

    #[test]
    fn no_two_keys_share_a_variable() {
        for (place, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..place].iter().all(|earlier| earlier.variable() != key.variable()), "{}", key.path);
        }
    }

    #[test]
    fn a_slip_of_the_pen_finds_its_name_and_another_word_none() {
        let paths = || KEYS.iter().map(|key| key.path);
        assert_eq!(nearest("clock.latenes", paths()), Some("clock.lateness"));
        assert_eq!(nearest("kafka.bootstrap.servers", paths()), Some("kafka.bootstrap_servers"));
        assert_eq!(nearest("weather", paths()), None);
    }
}
