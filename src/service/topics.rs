//! Verifies and creates the topics that the service uses.
//!
//! Passes the configured topics to `kafka::cluster::admin`, which makes the requests and finds the problems.

use std::time::{Duration, Instant};

use crate::config::Config;
use crate::finding::{Finding, Severity};
use crate::kafka::cluster::admin::{self, Creation, Topics};
use crate::kafka::{Cluster, Error, Reaction};

/// How long `verify` retries while the cluster is unreachable.
const RETRY_TIMEOUT: Duration = Duration::from_mins(1);

/// How long `create` waits for the metadata of a new topic to reach all brokers.
const METADATA_TIMEOUT: Duration = Duration::from_secs(15);

/// Returns the connection settings of the configured cluster.
#[must_use]
pub fn cluster(config: &Config) -> Cluster {
    let settings = config.kafka.client.iter().map(|(name, setting)| (name.clone(), setting.expose().to_owned()));
    Cluster { bootstrap_servers: config.kafka.bootstrap_servers.clone(), settings: settings.collect() }
}

/// Returns the configured topic names.
#[must_use]
pub fn topics(config: &Config) -> Topics {
    let topics = &config.topics;
    Topics {
        input: topics.touchpoints.clone(),
        changelog: topics.changelog.clone(),
        dead_letters: topics.dead_letters.clone(),
        outputs: vec![topics.transitions.clone(), topics.replay.clone()],
    }
}

/// Returns the problems of the configured topics.
///
/// Retries for one minute while the cluster is unreachable; `is_stopping` returning true ends the retries.
///
/// # Errors
/// If the cluster is unreachable or denies the request.
pub fn verify(config: &Config, is_stopping: impl Fn() -> bool) -> Result<Vec<Finding>, Error> {
    let deadline = Instant::now() + RETRY_TIMEOUT;
    loop {
        match admin::verify(&cluster(config), &topics(config)) {
            Err(error) if error.reaction == Reaction::Retry && Instant::now() < deadline && !is_stopping() => {
                tracing::warn!(%error, "cannot read topic metadata, will retry");
            }
            answer => return answer,
        }
    }
}

/// Returns the partition count of the touchpoint topic; `None` if the cluster is unreachable right now.
///
/// # Errors
/// If the cluster denies the request.
pub fn partitions(config: &Config) -> Result<Option<i32>, Error> {
    match admin::describe_topics(&cluster(config), &[&config.topics.touchpoints]) {
        Ok(described) => Ok(described.into_iter().flatten().next().map(|input| input.partitions)),
        Err(error) if error.reaction == Reaction::Retry => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns whether these findings prevent the service from starting.
#[must_use]
pub fn prevent_start(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Problem)
}

/// Creates the missing topics with the partition count of the touchpoint topic, or with `partitions` if that topic is
/// missing too.
///
/// # Errors
/// If the cluster is unreachable or denies the request.
pub fn create(config: &Config, partitions: i32, replication: Option<i32>) -> Result<Vec<(String, Creation)>, Error> {
    let cluster = cluster(config);
    let described = admin::describe_topics(&cluster, &[&config.topics.touchpoints])?;
    let partitions = described.into_iter().flatten().next().map_or(partitions, |input| input.partitions);
    let created = admin::create_topics(&cluster, &topics(config).specs(partitions, replication))?;
    // Metadata propagates asynchronously: until it arrives, a broker reports a new topic as unknown.
    let names: Vec<&str> = created.iter().map(|(name, _)| name.as_str()).collect();
    let deadline = Instant::now() + METADATA_TIMEOUT;
    while admin::describe_topics(&cluster, &names)?.iter().any(Option::is_none) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(created)
}
