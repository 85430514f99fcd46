//! Tests permissions that can be tested only by using them: writing to topics, using transactional ids, committing for
//! the group.
//!
//! Every write is part of a transaction that is then aborted, under a member name that no member uses. Consumers with
//! `read_committed` see nothing; an aborted record and a control record remain in each topic.

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::kafka::context::Context;
use crate::kafka::error::{Error, Reaction};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::member::producer::TransactionalProducer;
use crate::kafka::member::{PartitionOffset, ProducerRecord};
use crate::kafka::settings::Options;

/// The result of testing each permission.
#[derive(Debug)]
pub struct PermissionProbe {
    /// Whether the service may use its transactional ids; if not, nothing else was tried.
    pub transactional_id: Result<(), Error>,
    /// Whether a record could be written, by topic.
    pub topics: Vec<(String, Result<(), Error>)>,
    /// Whether an offset could be committed for the group; `None` when there was no committed offset to repeat.
    pub group: Option<Result<(), Error>>,
}

/// Writes a record to each of `topics`, commits `offset` with its metadata again, and aborts each transaction.
///
/// The producer uses the member name in `options`, which must not be the name of a live member.
#[must_use]
pub fn probe_permissions(
    options: &Options,
    topics: &[&str],
    offset: Option<(PartitionOffset, String)>,
    now_ms: i64,
) -> PermissionProbe {
    let mut producer = match TransactionalProducer::start(options) {
        Ok(producer) => producer,
        Err(error) => return PermissionProbe { transactional_id: Err(error), topics: Vec::new(), group: None },
    };
    let mut written = Vec::with_capacity(topics.len());
    for topic in topics {
        written.push(((*topic).to_owned(), write(&mut producer, options, topic, now_ms)));
    }
    let group = offset.map(|offset| commit(&mut producer, options, offset));
    PermissionProbe { transactional_id: Ok(()), topics: written, group }
}

fn write(producer: &mut TransactionalProducer, options: &Options, topic: &str, now_ms: i64) -> Result<(), Error> {
    let record = ProducerRecord {
        topic: topic.into(),
        partition: Some(0),
        key: None,
        value: Some(b"written by lifecycle doctor and never committed".to_vec()),
        headers: Vec::new(),
        timestamp_ms: now_ms,
    };
    producer.begin()?;
    let sent = producer.send(&[record]).map(drop);
    abort(producer, options)?;
    sent
}

fn commit(
    producer: &mut TransactionalProducer,
    options: &Options,
    (offset, metadata): (PartitionOffset, String),
) -> Result<(), Error> {
    let call = "send_offsets_to_transaction";
    let consumer: BaseConsumer<Context> = options
        .for_queries_with_isolation("read_committed")
        .create_with_context(Context::default())
        .map_err(|error| Error::of_creation("probe", &error))?;
    let group_metadata = consumer
        .group_metadata()
        .ok_or_else(|| Error::new(Reaction::Retry, call, ErrorCode::NoGroup, "the client has no group metadata"))?;
    producer.begin()?;
    let sent = producer.send_offsets(&options.input_topic, &[(offset, metadata)], &group_metadata);
    abort(producer, options)?;
    sent
}

/// Aborts the transaction. If it failed at its first step, aborting it may fail too; a new producer ends it in any
/// case.
fn abort(producer: &mut TransactionalProducer, options: &Options) -> Result<(), Error> {
    producer.abort().or_else(|_| producer.reset(options))
}
