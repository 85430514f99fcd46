//! The topics that the service works on: what is wrong with them, and making them.

use std::time::{Duration, Instant};

use crate::config::Config;
use crate::kafka::admin::{self, Creation, Finding, Severity, Topics};
use crate::kafka::{Cluster, Error, Reaction};

/// For how long a cluster that does not answer is asked again.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long brokers may take to learn of a topic that was made.
const SPREAD: Duration = Duration::from_secs(15);

/// The cluster that the configuration names.
#[must_use]
pub fn cluster(config: &Config) -> Cluster {
    let settings = config.kafka.client.iter().map(|(name, setting)| (name.clone(), setting.expose().to_owned()));
    Cluster { bootstrap_servers: config.kafka.bootstrap_servers.clone(), settings: settings.collect() }
}

/// The topics that the configuration names.
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

/// Everything that is wrong with the topics. A cluster that does not answer is asked again for a minute, unless
/// `is_stopping` says that nobody waits any more.
///
/// # Errors
/// When the cluster does not answer, or refuses to.
pub fn verify(config: &Config, is_stopping: impl Fn() -> bool) -> Result<Vec<Finding>, Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match admin::verify(&cluster(config), &topics(config)) {
            Err(error) if error.reaction == Reaction::Retry && Instant::now() < deadline && !is_stopping() => {
                tracing::warn!(%error, "the cluster does not answer; asks again");
            }
            answer => return answer,
        }
    }
}

/// How many partitions the topic of touchpoints has; `None` when the cluster does not say just now.
///
/// # Errors
/// When the cluster refuses to tell.
pub fn partitions(config: &Config) -> Result<Option<i32>, Error> {
    match admin::describe_topics(&cluster(config), &[&config.topics.touchpoints]) {
        Ok(described) => Ok(described.into_iter().flatten().next().map(|input| input.partitions)),
        Err(error) if error.reaction == Reaction::Retry => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the service must not start on topics with these findings.
#[must_use]
pub fn are_refused(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Refusal)
}

/// Makes the topics that are missing: with as many partitions as the topic of touchpoints has, or `partitions` where it
/// is missing too.
///
/// # Errors
/// When the cluster does not answer, or refuses to.
pub fn create(config: &Config, partitions: i32, replication: Option<i32>) -> Result<Vec<(String, Creation)>, Error> {
    let cluster = cluster(config);
    let described = admin::describe_topics(&cluster, &[&config.topics.touchpoints])?;
    let partitions = described.into_iter().flatten().next().map_or(partitions, |input| input.partitions);
    let made = admin::create_topics(&cluster, &topics(config).specs(partitions, replication))?;
    // The broker that is asked next learns of a new topic a moment after it was made; until then it calls it missing.
    let names: Vec<&str> = made.iter().map(|(name, _)| name.as_str()).collect();
    let deadline = Instant::now() + SPREAD;
    while admin::describe_topics(&cluster, &names)?.iter().any(Option::is_none) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(made)
}
