//! Ends what a dead former owner of a partition has left open.
//!
//! A process that is killed in the middle of a transaction leaves it open. Until the brokers abort it, after the
//! transaction timeout, the next owner cannot learn the committed offsets, and readers of the outputs see nothing that is
//! written behind it. So the next owner shuts the dead one out: a producer that starts under its name ends whatever
//! is open under that name. Only owners that the group has given up are shut out; one that lives all the same (it was
//! frozen, or cut off) is refused from then on, as it must be. Should any of this fail, the timeout still holds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::error::Error;
use super::group::describe_group_with;
use super::listener::Listener;
use super::member::PartitionId;
use super::settings::Options;
use super::topic_reader::QUESTION_TIMEOUT;

/// How long committed offsets that nothing holds up take at most.
const SETTLED_WITHIN: Duration = Duration::from_millis(500);

/// A succession under way, beside the member's own thread.
pub(super) struct Succession {
    /// Set once it is over.
    is_over: Arc<AtomicBool>,
}

impl Succession {
    /// Begins to end what former owners of `partitions` have left open.
    pub(super) fn begin(options: &Options, partitions: Vec<PartitionId>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (options, told) = (options.clone(), Arc::clone(&is_over));
        let made = thread::Builder::new().name("kafka-succession".to_owned()).spawn(move || {
            if let Err(error) = succeed(&options, &partitions) {
                tracing::warn!(
                    target: "kafka",
                    call = error.call,
                    code = error.code,
                    ?partitions,
                    "what a dead owner left open cannot be ended; the brokers do it after the transaction timeout"
                );
            }
            told.store(true, Ordering::Release);
        });
        if made.is_err() {
            is_over.store(true, Ordering::Release);
        }
        Self { is_over }
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}

fn succeed(options: &Options, partitions: &[PartitionId]) -> Result<(), Error> {
    let hasty = consumer(&options.for_questions_about_what_is_open("read_uncommitted"))?;
    let owners = owners(options, &hasty, partitions)?;
    if owners.is_empty() || !is_anything_open(options, &hasty, partitions)? {
        return Ok(());
    }
    let group = describe_group_with(&hasty, &options.group_id, &options.input_topic)?;
    for owner in owners.iter().filter(|owner| !group.has_member(owner)) {
        let begun = Instant::now();
        shut_out(options, owner)?;
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(target: "kafka", owner, milliseconds, "ended what a dead owner had left open");
    }
    Ok(())
}

/// The members that last committed something for one of `partitions`, this one left out.
fn owners(
    options: &Options,
    hasty: &BaseConsumer<Listener>,
    partitions: &[PartitionId],
) -> Result<BTreeSet<String>, Error> {
    let committed = hasty
        .committed_offsets(list(&options.input_topic, partitions), QUESTION_TIMEOUT)
        .map_err(|error| Error::of_question("committed", &error))?;
    let owners = committed.elements().into_iter().filter_map(|it| (options.owner_of)(it.metadata()));
    Ok(owners.filter(|owner| *owner != options.member).collect())
}

/// Whether a transaction is open that holds up one of `partitions`: its offsets, or its changelog, which every
/// transaction writes that changes a customer.
fn is_anything_open(
    options: &Options,
    hasty: &BaseConsumer<Listener>,
    partitions: &[PartitionId],
) -> Result<bool, Error> {
    let patient = consumer(&options.for_questions_about_what_is_open("read_committed"))?;
    for &partition in partitions {
        let end = |client: &BaseConsumer<Listener>| {
            let range = client.fetch_watermarks(&options.changelog_topic, partition, QUESTION_TIMEOUT);
            range.map(|(_, end)| end).map_err(|error| Error::of_question("changelog_range", &error))
        };
        // The stable end first: what is committed in between must not look open.
        let stable = end(&patient)?;
        if stable < end(hasty)? {
            return Ok(true);
        }
    }
    Ok(patient.committed_offsets(list(&options.input_topic, partitions), SETTLED_WITHIN).is_err())
}

/// Ends whatever is open under the name of `owner`, and refuses whoever still writes under it.
fn shut_out(options: &Options, owner: &str) -> Result<(), Error> {
    let producer: BaseProducer<Listener> = options
        .for_output_of(owner)
        .create_with_context(Listener::default())
        .map_err(|error| Error::of_creation("producer", &error))?;
    producer
        .init_transactions(options.transaction_timeout)
        .map_err(|error| Error::of_transaction("init_transactions", &error))
}

fn consumer(config: &ClientConfig) -> Result<BaseConsumer<Listener>, Error> {
    config.create_with_context(Listener::default()).map_err(|error| Error::of_creation("consumer", &error))
}

fn list(topic: &str, partitions: &[PartitionId]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for &partition in partitions {
        list.add_partition(topic, partition);
    }
    list
}
