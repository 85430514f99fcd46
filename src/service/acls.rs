//! The permissions (Kafka ACLs) that each role needs on the configured topics, group and transactional ids.
//!
//! Pure: the source of `lifecycle topics --acls` and of the tables in docs/secure.md. The doctor tests the permissions
//! of the service by using them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::config::Config;

/// A program or person that connects to Kafka with a principal of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// `lifecycle run`.
    Service,
    /// `lifecycle topics --create`.
    Setup,
    /// `lifecycle doctor`, in addition to the permissions of the service.
    Doctor,
    /// A consumer of transitions.
    Consumer,
    /// `lifecycle deliver`, with the section `deliver` of the service's configuration.
    Deliver,
    /// `lifecycle dlq`.
    Dlq,
}

impl Role {
    /// Returns the name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Setup => "setup",
            Self::Doctor => "doctor",
            Self::Consumer => "consumer",
            Self::Deliver => "deliver",
            Self::Dlq => "dlq",
        }
    }
}

/// The kind of a resource, as Kafka names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResourceKind {
    /// A topic.
    Topic,
    /// All topics with a prefix.
    TopicPrefix,
    /// A consumer group.
    Group,
    /// All consumer groups with a prefix.
    GroupPrefix,
    /// All transactional ids with a prefix.
    TransactionalIdPrefix,
    /// The cluster, which has no name.
    Cluster,
}

/// One operation on one resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The kind of the resource.
    pub kind: ResourceKind,
    /// The name of the resource; empty for the cluster.
    pub name: String,
    /// The operation as `kafka-acls.sh` writes it: `Read`.
    pub operation: &'static str,
    /// What it is needed for, or what happens without it.
    pub purpose: &'static str,
}

/// Returns the permissions that `role` needs, grouped by resource.
#[must_use]
pub fn grants(config: &Config, role: Role) -> Vec<Grant> {
    let topics = &config.topics;
    let topic =
        |name: &str, operation, purpose| Grant { kind: ResourceKind::Topic, name: name.to_owned(), operation, purpose };
    let all = all_topics(config);
    match role {
        Role::Service => {
            let mut grants = vec![
                topic(&topics.touchpoints, "Read", "to read touchpoints"),
                topic(
                    &topics.touchpoints,
                    "Write",
                    "to forward erasures to the other partitions; without it, the first one stops the service",
                ),
                topic(&topics.transitions, "Write", "to publish transitions"),
            ];
            if topics.replay != topics.transitions {
                grants.push(topic(&topics.replay, "Write", "to publish transitions of history"));
            }
            let routes: BTreeSet<&str> = config.publish.routes.iter().map(|route| route.topic.as_str()).collect();
            grants.extend(routes.into_iter().map(|route| topic(route, "Write", "to publish transitions of routes")));
            grants.extend(topics.current_stages.iter().map(|name| topic(name, "Write", "to publish current stages")));
            grants.extend([
                topic(&topics.changelog, "Read", "to restore the state"),
                topic(&topics.changelog, "Write", "to store the state"),
                topic(
                    &topics.changelog,
                    "Delete",
                    "to truncate the changelog after a sweep; without it the changelog keeps growing",
                ),
                topic(&topics.dead_letters, "Write", "to publish dead letters"),
            ]);
            if config.identity.enabled {
                grants.extend([
                    topic(&topics.hand_overs, "Read", "to read what other partitions hand over"),
                    topic(&topics.hand_overs, "Write", "to hand visitors over to customers of other partitions"),
                ]);
            }
            grants.extend([
                group(config, "to join the group and to commit offsets"),
                transactions(config, "transactions, and aborting those of failed instances"),
            ]);
            grants.extend(of_sources(config));
            grants.extend(of_section(config));
            grants
        }
        Role::Setup => all
            .iter()
            .flat_map(|name| {
                [
                    topic(name, "Create", "to create the topic"),
                    topic(name, "Describe", "to verify the topic"),
                    topic(name, "DescribeConfigs", "to verify its settings"),
                ]
            })
            .collect(),
        Role::Doctor => {
            let settings = |name: &String| topic(name, "DescribeConfigs", "to check the settings of the topic");
            let mut grants: Vec<Grant> = all.iter().map(settings).collect();
            grants.push(Grant {
                kind: ResourceKind::Cluster,
                name: String::new(),
                operation: "DescribeConfigs",
                purpose: "to check the limits of the brokers",
            });
            grants
        }
        Role::Consumer => {
            let mut grants = vec![topic(&topics.transitions, "Read", "to read transitions")];
            if topics.replay != topics.transitions {
                grants.push(topic(&topics.replay, "Read", "to read transitions of history; not needed otherwise"));
            }
            let routes: BTreeSet<&str> = config.publish.routes.iter().map(|route| route.topic.as_str()).collect();
            grants.extend(routes.into_iter().map(|route| topic(route, "Read", "to read transitions of routes")));
            grants.extend(topics.current_stages.iter().map(|name| topic(name, "Read", "to read current stages")));
            grants
        }
        Role::Deliver => of_section(config),
        Role::Dlq => {
            let mut grants = vec![
                topic(&topics.dead_letters, "Read", "to list and show dead letters"),
                topic(&topics.dead_letters, "Write", "to mark those that are redriven"),
                topic(&topics.touchpoints, "Write", "to redrive touchpoints"),
            ];
            grants.extend(topics_of_sources(config).map(|(kind, name)| Grant {
                kind,
                name: name.to_owned(),
                operation: "Write",
                purpose: "to redrive records of a source",
            }));
            grants.extend([
                group(config, "to read; it does not join the group"),
                transactions(config, "to redrive in transactions"),
            ]);
            grants
        }
    }
}

/// Returns what deliveries need that read `topics` in groups with the prefix `group_prefix`.
#[must_use]
pub fn deliver_grants(group_prefix: &str, topics: &[String], dead_letters: &str) -> Vec<Grant> {
    let grant = |kind, name: &str, operation, purpose| Grant { kind, name: name.to_owned(), operation, purpose };
    let of_topic = |name: &String| grant(ResourceKind::Topic, name, "Read", "to read transitions to deliver");
    let mut grants: Vec<Grant> = topics.iter().map(of_topic).collect();
    let purposes = [
        ("Write", "to publish dead letters of deliveries"),
        ("Read", "to deliver dead letters again"),
        ("Create", "to create the topic; not needed if it exists"),
    ];
    grants.extend(purposes.map(|(operation, purpose)| grant(ResourceKind::Topic, dead_letters, operation, purpose)));
    let groups = format!("{group_prefix}-");
    grants.push(grant(
        ResourceKind::GroupPrefix,
        &groups,
        "Read",
        "to join the groups of the destinations and to commit offsets",
    ));
    grants
}

/// Returns what the deliveries of the service need; nothing without the section `deliver`.
fn of_section(config: &Config) -> Vec<Grant> {
    let section = config.deliver.as_ref();
    section.map_or(Vec::new(), |it| deliver_grants(&it.group_prefix, &it.topics, &it.dead_letters))
}

/// Returns the topics that `lifecycle topics --create` creates and the doctor checks: those that every service has,
/// then those of routes, current stages and sources.
fn all_topics(config: &Config) -> Vec<String> {
    let topics = &config.topics;
    let every_service =
        [&topics.touchpoints, &topics.transitions, &topics.replay, &topics.changelog, &topics.dead_letters];
    let mut all: Vec<String> = Vec::new();
    for name in every_service.into_iter().map(String::as_str).chain(super::topics::topics(config).names()) {
        if !all.iter().any(|known| known == name) {
            all.push(name.to_owned());
        }
    }
    all
}

/// Returns what the service needs to read its sources; nothing if it has none. The ingest workers write to topics of
/// the service, and their transactional ids have its prefix.
fn of_sources(config: &Config) -> Vec<Grant> {
    let grant = |kind, name: &str, purpose| Grant { kind, name: name.to_owned(), operation: "Read", purpose };
    let mut grants: Vec<Grant> = Vec::new();
    for (kind, name) in topics_of_sources(config) {
        let is_prefix = kind == ResourceKind::TopicPrefix;
        grants.push(grant(kind, name, if is_prefix { "to read the topics of a source" } else { "to read a source" }));
    }
    if !grants.is_empty() {
        let group = format!("{}-ingest", config.kafka.group_id);
        grants.push(grant(ResourceKind::Group, &group, "to join the group that reads the sources"));
    }
    grants
}

/// Returns the topics of the sources, or the prefixes of those that patterns match.
fn topics_of_sources(config: &Config) -> impl Iterator<Item = (ResourceKind, &str)> {
    config.rekeyed_sources().flat_map(|source| &source.topics).map(|topic| match topic.split_once('*') {
        None => (ResourceKind::Topic, topic.as_str()),
        Some((prefix, _)) => (ResourceKind::TopicPrefix, prefix),
    })
}

/// Returns the right to use the consumer group of the service.
fn group(config: &Config, purpose: &'static str) -> Grant {
    Grant { kind: ResourceKind::Group, name: config.kafka.group_id.clone(), operation: "Read", purpose }
}

/// Returns the right to use the transactional ids of the service.
fn transactions(config: &Config, purpose: &'static str) -> Grant {
    Grant {
        kind: ResourceKind::TransactionalIdPrefix,
        name: format!("{}-", config.kafka.group_id),
        operation: "Write",
        purpose,
    }
}

/// Returns the commands of Kafka's `kafka-acls.sh` that grant `grants` to `principal`, one per resource.
#[must_use]
pub fn commands(grants: &[Grant], bootstrap_servers: &str, principal: &str) -> String {
    let mut text = String::new();
    for of_resource in grants.chunk_by(|one, next| (one.kind, &one.name) == (next.kind, &next.name)) {
        _ = write!(
            text,
            "kafka-acls.sh --bootstrap-server {} --command-config admin.properties --add --allow-principal {}",
            quoted(bootstrap_servers),
            quoted(principal)
        );
        for grant in of_resource {
            _ = write!(text, " --operation {}", grant.operation);
        }
        let name = quoted(&of_resource[0].name);
        _ = match of_resource[0].kind {
            ResourceKind::Topic => writeln!(text, " --topic {name}"),
            ResourceKind::TopicPrefix => writeln!(text, " --topic {name} --resource-pattern-type prefixed"),
            ResourceKind::Group => writeln!(text, " --group {name}"),
            ResourceKind::GroupPrefix => writeln!(text, " --group {name} --resource-pattern-type prefixed"),
            ResourceKind::TransactionalIdPrefix => {
                writeln!(text, " --transactional-id {name} --resource-pattern-type prefixed")
            }
            ResourceKind::Cluster => writeln!(text, " --cluster"),
        };
    }
    text
}

/// Returns the permissions as a Markdown table.
#[must_use]
pub fn table(grants: &[Grant]) -> String {
    let mut text = "| resource | operation | purpose |\n|---|---|---|\n".to_owned();
    for Grant { kind, name, operation, purpose } in grants {
        let resource = match kind {
            ResourceKind::Topic => format!("topic `{name}`"),
            ResourceKind::TopicPrefix => format!("topics with the prefix `{name}`"),
            ResourceKind::Group => format!("group `{name}`"),
            ResourceKind::GroupPrefix => format!("groups with the prefix `{name}`"),
            ResourceKind::TransactionalIdPrefix => format!("transactional ids with the prefix `{name}`"),
            ResourceKind::Cluster => "cluster".to_owned(),
        };
        _ = writeln!(text, "| {resource} | {operation} | {purpose} |");
    }
    text
}

/// Quotes `text` for a POSIX shell if it contains more than the usual characters of names.
fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-:,=/@".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn sources_add_their_topics_and_their_group() {
        let text = "kafka: {bootstrap_servers: a:9092}\nsources: [{name: web, topics: [web.orders, 'app.*']}]\n";
        let config = Config::parse(text, Path::new("lifecycle.yaml"), std::iter::empty()).unwrap();
        let commands = commands(&of_sources(&config), "a:9092", "User:svc");
        let resources: Vec<&str> =
            commands.lines().map(|line| line.split(" --operation Read ").nth(1).unwrap()).collect();
        let expected =
            ["--topic web.orders", "--topic app. --resource-pattern-type prefixed", "--group lifecycle-ingest"];
        assert_eq!(resources, expected);
        let without =
            Config::parse("kafka: {bootstrap_servers: a:9092}\n", Path::new("x"), std::iter::empty()).unwrap();
        assert_eq!(of_sources(&without), []);
    }

    #[test]
    fn deliveries_add_their_topics_and_groups_to_those_of_the_service() {
        let text = "kafka: {bootstrap_servers: a:9092, group_id: shop}\n\
                    deliver: {dead_letters: undelivered, destinations: {web: {webhook: {url: 'https://a.example/'}}}}\n";
        let config = Config::parse(text, Path::new("lifecycle.yaml"), std::iter::empty()).unwrap();
        let of_deliver = grants(&config, Role::Deliver);
        let commands = commands(&of_deliver, "a:9092", "User:svc");
        let resources: Vec<&str> =
            commands.lines().map(|line| line.split(" --allow-principal User:svc ").nth(1).unwrap()).collect();
        let expected = [
            "--operation Read --topic lifecycle.transitions",
            "--operation Write --operation Read --operation Create --topic undelivered",
            "--operation Read --group shop-deliver- --resource-pattern-type prefixed",
        ];
        assert_eq!(resources, expected);
        let of_service = grants(&config, Role::Service);
        assert!(of_deliver.iter().all(|grant| of_service.contains(grant)), "{of_service:?}");
    }

    #[test]
    fn setup_and_doctor_may_use_every_topic_that_is_created() {
        let text = "kafka: {bootstrap_servers: a:9092}\ntopics: {current_stages: stages}\n\
                    publish: {routes: [{topic: churn, model: retention}]}\n\
                    sources: [{name: web, topics: web.orders}]\n";
        let config = Config::parse(text, Path::new("lifecycle.yaml"), std::iter::empty()).unwrap();
        let created = super::super::topics::topics(&config);
        for (role, operation) in [(Role::Setup, "Create"), (Role::Doctor, "DescribeConfigs")] {
            let grants = grants(&config, role);
            let is_granted =
                |name: &&str| grants.iter().any(|grant| grant.name == **name && grant.operation == operation);
            let missing: Vec<&str> = created.names().into_iter().filter(|name| !is_granted(name)).collect();
            assert_eq!(missing, [""; 0], "{role:?}");
        }
        assert_eq!(created.names().len(), 8, "{created:?}");
        let consumer: Vec<String> = grants(&config, Role::Consumer).into_iter().map(|grant| grant.name).collect();
        assert_eq!(consumer, ["lifecycle.transitions", "lifecycle.transitions.replay", "churn", "stages"]);
    }

    #[test]
    fn names_are_quoted_for_the_shell() {
        assert_eq!(quoted("User:CN=svc,O=a"), "User:CN=svc,O=a");
        assert_eq!(quoted("User:a b"), "'User:a b'");
        assert_eq!(quoted("a'; rm -r"), r"'a'\''; rm -r'");
    }
}
