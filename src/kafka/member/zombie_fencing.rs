//! Aborts the open transaction of a dead previous owner of a partition.
//!
//! A process that is killed in the middle of a transaction leaves it open. Until the broker aborts it after the
//! transaction timeout, the next owner cannot read the committed offsets, and consumers of the outputs with
//! `read_committed` see nothing written after it. So the next owner fences the dead one: it starts a producer with the
//! dead owner's transactional id, which aborts the open transaction of that id. Only owners that are no longer members
//! of the group are fenced. If such an owner is still alive (it was suspended or disconnected), the broker correctly
//! rejects its producer from then on. If any step fails, the transaction timeout still applies.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::PartitionId;
use super::topic_reader::QUERY_TIMEOUT;
use crate::kafka::cluster::group::describe_group_with;
use crate::kafka::context::Context;
use crate::kafka::error::Error;
use crate::kafka::settings::Options;

/// The coordinator returns committed offsets within this time unless an open transaction holds them up.
const STABLE_OFFSETS_WITHIN: Duration = Duration::from_millis(500);

/// A fencing in progress on its own thread.
pub(super) struct ZombieFencing {
    is_done: Arc<AtomicBool>,
}

impl ZombieFencing {
    /// Starts to fence the dead previous owners of `partitions`.
    pub(super) fn start(options: &Options, partitions: Vec<PartitionId>) -> Self {
        let is_done = Arc::new(AtomicBool::new(false));
        let (options, done) = (options.clone(), Arc::clone(&is_done));
        let spawned = thread::Builder::new().name("kafka-fencing".to_owned()).spawn(move || {
            if let Err(error) = fence_previous_owners(&options, &partitions) {
                tracing::warn!(
                    target: "kafka",
                    call = error.call,
                    code = %error.code,
                    ?partitions,
                    "cannot abort the open transaction of a dead owner, the broker aborts it after the transaction timeout"
                );
            }
            done.store(true, Ordering::Release);
        });
        if spawned.is_err() {
            is_done.store(true, Ordering::Release);
        }
        Self { is_done }
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Acquire)
    }
}

fn fence_previous_owners(options: &Options, partitions: &[PartitionId]) -> Result<(), Error> {
    let read_uncommitted = consumer(&options.for_queries_with_isolation("read_uncommitted"))?;
    let owners = previous_owners(options, &read_uncommitted, partitions)?;
    if owners.is_empty() || !has_open_transaction(options, &read_uncommitted, partitions)? {
        return Ok(());
    }
    let group = describe_group_with(&read_uncommitted, &options.group_id, &options.input_topic)?;
    for owner in owners.iter().filter(|owner| !group.has_member(owner)) {
        let started = Instant::now();
        fence_producer(options, owner)?;
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(target: "kafka", owner, milliseconds, "aborted the open transaction of a dead owner");
    }
    Ok(())
}

/// Returns the members, except this one, that last committed an offset of one of `partitions`.
fn previous_owners(
    options: &Options,
    read_uncommitted: &BaseConsumer<Context>,
    partitions: &[PartitionId],
) -> Result<BTreeSet<String>, Error> {
    let committed = read_uncommitted
        .committed_offsets(partition_list(&options.input_topic, partitions), QUERY_TIMEOUT)
        .map_err(|error| Error::of_query("committed", &error))?;
    let owners = committed.elements().into_iter().filter_map(|it| (options.owner_of)(it.metadata()));
    Ok(owners.filter(|owner| *owner != options.member).collect())
}

/// Returns whether an open transaction may hold up the offsets or the changelog of one of `partitions`. Every
/// transaction that changes a customer writes to the changelog. Without a changelog, an open transaction may hold up
/// any partition of the output, so the answer is always yes.
fn has_open_transaction(
    options: &Options,
    read_uncommitted: &BaseConsumer<Context>,
    partitions: &[PartitionId],
) -> Result<bool, Error> {
    let Some(changelog) = &options.changelog_topic else { return Ok(true) };
    let read_committed = consumer(&options.for_queries_with_isolation("read_committed"))?;
    for &partition in partitions {
        let end = |client: &BaseConsumer<Context>| {
            let range = client.fetch_watermarks(changelog, partition, QUERY_TIMEOUT);
            range.map(|(_, end)| end).map_err(|error| Error::of_query("changelog_range", &error))
        };
        // The last stable offset is read first, so that a commit between the two requests does not look like an open
        // transaction.
        let last_stable = end(&read_committed)?;
        if last_stable < end(read_uncommitted)? {
            return Ok(true);
        }
    }
    Ok(read_committed
        .committed_offsets(partition_list(&options.input_topic, partitions), STABLE_OFFSETS_WITHIN)
        .is_err())
}

/// Aborts the open transaction of the producer of `owner`, and fences that producer if it is still alive.
fn fence_producer(options: &Options, owner: &str) -> Result<(), Error> {
    let producer: BaseProducer<Context> = options
        .for_producer_of(owner)
        .create_with_context(Context::default())
        .map_err(|error| Error::of_creation("producer", &error))?;
    producer
        .init_transactions(options.transaction_timeout)
        .map_err(|error| Error::of_transaction("init_transactions", &error))
}

fn consumer(config: &ClientConfig) -> Result<BaseConsumer<Context>, Error> {
    config.create_with_context(Context::default()).map_err(|error| Error::of_creation("consumer", &error))
}

fn partition_list(topic: &str, partitions: &[PartitionId]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for &partition in partitions {
        list.add_partition(topic, partition);
    }
    list
}
