//! Verifies and creates the topics that the service uses.
//!
//! Passes the configured topics to `kafka::cluster::admin`, which makes the requests and finds the problems.

use std::time::{Duration, Instant};

use crate::config::{Config, SourceConfig};
use crate::finding::{Finding, Severity};
use crate::kafka::cluster::admin::{self, Creation, Topics};
use crate::kafka::{Cluster, Error, Reaction};

/// How long `verify` retries while the cluster is unreachable.
const RETRY_TIMEOUT: Duration = Duration::from_mins(1);

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
        hand_overs: config.identity.enabled.then(|| topics.hand_overs.clone()),
        dead_letters: topics.dead_letters.clone(),
        outputs: [&topics.transitions, &topics.replay]
            .into_iter()
            .chain(config.publish.routes.iter().map(|route| &route.topic))
            .cloned()
            .collect(),
        compacted: topics.current_stages.iter().cloned().collect(),
        sources: config.rekeyed_sources().flat_map(SourceConfig::named_topics).map(str::to_owned).collect(),
        touchpoint_bytes_max: bytes_max(config),
    }
}

fn bytes_max(config: &Config) -> i64 {
    i64::try_from(config.touchpoints.bytes_max).unwrap_or(i64::MAX)
}

/// Returns another touchpoint topic, its changelog and its topic of hand-overs for the same service, for their specs.
#[must_use]
pub fn topics_to_move_to(config: &Config, touchpoints: &str, changelog: &str, hand_overs: Option<&str>) -> Topics {
    Topics {
        input: touchpoints.to_owned(),
        changelog: changelog.to_owned(),
        hand_overs: hand_overs.map(str::to_owned),
        // Names without duplicates are created once.
        dead_letters: touchpoints.to_owned(),
        outputs: Vec::new(),
        compacted: Vec::new(),
        sources: Vec::new(),
        touchpoint_bytes_max: bytes_max(config),
    }
}

/// Returns the problems of the configured topics.
///
/// Retries for one minute while the cluster is unreachable; `is_stopping` returning true ends the retries.
///
/// # Errors
/// If the cluster is unreachable or denies the request.
pub fn verify(config: &Config, is_stopping: impl Fn() -> bool) -> Result<Vec<Finding>, Error> {
    until_answered(is_stopping, || admin::verify(&cluster(config), &topics(config)))
}

/// Returns the partition count of the touchpoint topic; `None` if the topic does not exist.
///
/// Retries as [`verify`] does: without the count, the service could not check the committed offsets.
///
/// # Errors
/// If the cluster is unreachable or denies the request.
pub fn partitions(config: &Config, is_stopping: impl Fn() -> bool) -> Result<Option<i32>, Error> {
    let described =
        until_answered(is_stopping, || admin::describe_topics(&cluster(config), &[&config.topics.touchpoints]))?;
    Ok(described.into_iter().flatten().next().map(|input| input.partitions))
}

/// Repeats `query` for one minute while the cluster is unreachable, or until `is_stopping`.
fn until_answered<T>(is_stopping: impl Fn() -> bool, query: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    let deadline = Instant::now() + RETRY_TIMEOUT;
    loop {
        match query() {
            Err(error) if error.reaction == Reaction::Retry && Instant::now() < deadline && !is_stopping() => {
                tracing::warn!(%error, "cannot read topic metadata, will retry");
            }
            answer => return answer,
        }
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
    admin::create_topics(&cluster, &topics(config).specs(partitions, replication))
}
