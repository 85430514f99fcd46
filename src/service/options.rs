//! Translates the configuration into the option structs of `kafka`, `api` and `runtime`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::api::{Peers, SharedTls, Tokens};
use crate::config::{Config, read_secret};
use crate::kafka::cluster::group::{GroupMember, describe_group};
use crate::kafka::settings::exit_on_stuck_call;
use crate::kafka::{self, SettingsUpdates, TransactionalWriter};
use crate::lifecycle::identity::IdentityOptions;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time;
use crate::lifecycle::touchpoint::FactOptions;
use crate::runtime::{self, ClockSource, IdentitySetup, PublishOptions, Routes, SchemaPrefixes};
use crate::wire::cloud_events::CloudEvents;
use crate::wire::offset_metadata;

use super::TracingOptions;
use super::topics::cluster;

/// Returns the member name of a worker: `kafka.instance_id` and the index of the worker.
pub(super) fn member_name(config: &Config, worker: usize) -> String {
    format!("{}-{worker}", config.kafka.instance_id)
}

/// Returns the Kafka client options of each worker; every worker is a group member with its own name.
///
/// The client calls `on_stuck` if a call into librdkafka does not return.
#[must_use]
pub fn kafka_options(config: &Config, on_stuck: fn(&'static str)) -> Vec<kafka::Options> {
    (0..config.workers)
        .map(|worker| {
            let kafka = &config.kafka;
            let member = member_name(config, worker);
            let mut options = kafka::Options::new(
                &kafka.bootstrap_servers,
                &kafka.group_id,
                &member,
                &config.topics.touchpoints,
                &config.topics.changelog,
            );
            options.hand_overs_topic = config.identity.enabled.then(|| config.topics.hand_overs.clone());
            options.owner_of = offset_metadata::owner_of;
            options.group_instance_id = kafka.static_membership.then_some(member);
            options.advertise.clone_from(&config.http.advertise);
            options.session_timeout = kafka.session_timeout;
            options.transaction_timeout = kafka.transaction_timeout;
            options.on_stuck = on_stuck;
            options.settings = cluster(config).settings;
            options
        })
        .collect()
}

/// Reads the HTTP tokens of `http.token_file`.
///
/// # Errors
/// A message without a token, if the file cannot be read or is invalid.
pub fn http_tokens(file: &Path) -> Result<Tokens, String> {
    let text = read_secret(file).map_err(|problem| format!("http.token_file: {problem}"))?;
    Tokens::parse(&text).map_err(|problem| format!("http.token_file: {}: {problem}", file.display()))
}

/// Starts the transactional writer of a command, whose transactional id is the group id and `name`. The process exits
/// if a call into librdkafka does not return.
///
/// # Errors
/// As [`TransactionalWriter::start`].
pub fn command_writer(config: &Config, name: &str) -> Result<TransactionalWriter, kafka::Error> {
    let mut options = kafka_options(config, exit_on_stuck_call).swap_remove(0);
    name.clone_into(&mut options.member);
    (options.group_instance_id, options.advertise) = (None, None);
    TransactionalWriter::start(&options)
}

/// Returns the consumer group of the ingest workers.
pub(super) fn ingest_group(config: &Config) -> String {
    format!("{}-ingest", config.kafka.group_id)
}

/// Returns the Kafka client options of an ingest worker, without its topic. The ingest workers have a consumer group of
/// their own, and keep no state.
pub(super) fn source_client(config: &Config, on_stuck: fn(&'static str)) -> kafka::Options {
    let kafka = &config.kafka;
    let mut options = kafka::Options::new(&kafka.bootstrap_servers, &ingest_group(config), &kafka.instance_id, "", "");
    options.changelog_topic = None;
    options.owner_of = offset_metadata::owner_of;
    options.group_instance_id = kafka.static_membership.then(|| kafka.instance_id.clone());
    options.session_timeout = kafka.session_timeout;
    options.transaction_timeout = kafka.transaction_timeout;
    options.on_stuck = on_stuck;
    options.settings = cluster(config).settings;
    options
}

/// Returns what is traced, and where spans are sent; `None` without tracing.
#[must_use]
pub fn tracing_options(config: &Config) -> Option<TracingOptions> {
    Some(TracingOptions {
        endpoint: config.tracing.endpoint.clone()?,
        sample_one_in: config.tracing.sample_one_in,
        topic: config.topics.touchpoints.as_str().into(),
        group: config.kafka.group_id.as_str().into(),
        instance: config.kafka.instance_id.as_str().into(),
    })
}

/// Returns a lookup of the other instances by the addresses that the group members advertise, or `None` if
/// `http.advertise` is not set. `updates` replaces the client settings.
#[must_use]
pub fn peers(config: &Config, updates: SettingsUpdates, tls: Option<SharedTls>) -> Option<Peers> {
    let own = config.http.advertise.clone()?;
    let (cluster, group, topic) = (cluster(config), config.kafka.group_id.clone(), config.topics.touchpoints.clone());
    let find = move || {
        let mut cluster = cluster.clone();
        if let Some((_, settings)) = updates.newer_than(0) {
            cluster.settings = settings;
        }
        let group = describe_group(&cluster, &group, &topic).map_err(|error| error.to_string())?;
        // A member without partitions holds no customers.
        let has_partitions = |it: &&GroupMember| it.partitions.as_ref().is_none_or(|partitions| !partitions.is_empty());
        let members = group.members.iter().filter(has_partitions);
        Ok(members.filter_map(GroupMember::advertised_address).map(str::to_owned).collect())
    };
    Some(Peers::new(own, tls, Box::new(find)))
}

/// Returns the options shared by all workers. The caller sets `partitions` after querying the cluster, the routes
/// after loading the models, the schemas after registering them, and the source that is read directly.
#[must_use]
pub fn worker_options(config: &Config) -> runtime::Options {
    let topics = &config.topics;
    let topic = |name: &str| Arc::<str>::from(name);
    runtime::Options {
        topics: runtime::Topics {
            touchpoints: topic(&topics.touchpoints),
            transitions: topic(&topics.transitions),
            replay: topic(&topics.replay),
            dead_letters: topic(&topics.dead_letters),
            changelog: topic(&topics.changelog),
        },
        partitions: None,
        clock_source: config.clock.source,
        max_ahead: match config.clock.source {
            ClockSource::Wall => to_duration(config.clock.max_ahead),
            // Without wall time, no event time is in the future.
            ClockSource::Touchpoints => time::Duration::from_millis(i64::MAX),
        },
        facts: FactOptions {
            currency: config.currency,
            lateness: to_duration(config.clock.lateness),
            forget_after: config.state.forget_after.map(to_duration),
            identity: config.identity.enabled.then(|| IdentityOptions {
                link_on: config.identity.link_on,
                stub_lifetime: to_duration(config.identity.stub_lifetime),
            }),
            ..FactOptions::default()
        },
        fresh_for: to_duration(config.publish.fresh_for),
        commit_interval: config.commit.interval,
        touchpoint_bytes_max: config.touchpoints.bytes_max,
        state_bytes_max: config.state.max_bytes,
        sweep: runtime::SweepOptions {
            log_bytes_min: config.state.sweep_min_bytes as u64,
            period: config.state.sweep_period,
            ..runtime::SweepOptions::default()
        },
        cloud_events: CloudEvents {
            source: config.publish.source.clone(),
            with_subject: config.publish.subject,
            detail: config.publish.cloudevents,
        },
        publish: PublishOptions {
            routes: Routes::default(),
            format: config.publish.format,
            schemas: SchemaPrefixes::default(),
            because: config.publish.because,
            current_stages: config.topics.current_stages.as_deref().map(topic),
        },
        identity: config.identity.enabled.then(|| IdentitySetup {
            hand_overs: topic(&topics.hand_overs),
            blocked_ids: config.identity.blocked.clone(),
        }),
        direct: None,
    }
}

/// Returns the routes of `publish.routes`, checked against `models`.
///
/// # Errors
/// All problems, one per line.
pub fn routes(config: &Config, models: &ModelSet) -> Result<Routes, String> {
    Routes::check(&config.publish.routes, models).map_err(|problems| {
        let describe = |(index, problem): &(usize, String)| {
            let topic = &config.publish.routes[*index].topic;
            format!("publish.routes: route {} (topic {topic}): {problem}", index + 1)
        };
        problems.iter().map(describe).collect::<Vec<_>>().join("\n")
    })
}

fn to_duration(std: Duration) -> time::Duration {
    time::Duration::from_millis(i64::try_from(std.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn max_ahead_is_unlimited_if_touchpoints_are_the_clock() {
        let max_ahead = |source: &str| {
            let text =
                format!("kafka:\n  bootstrap_servers: localhost:9092\nclock:\n  source: {source}\n  max_ahead: 5m\n");
            let config =
                Config::parse(&text, Path::new("lifecycle.yaml"), std::iter::empty()).expect("a configuration");
            worker_options(&config).max_ahead
        };
        assert_eq!(max_ahead("wall"), time::Duration::from_millis(300_000));
        assert_eq!(max_ahead("touchpoints"), time::Duration::from_millis(i64::MAX));
    }
}
