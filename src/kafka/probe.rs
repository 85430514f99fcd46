//! Tries rights that only an attempt can tell: to write topics, to use transactional ids, to commit for the group.
//!
//! Everything is done in transactions that are aborted, under a name that no member has. So nobody who reads what is committed sees
//! anything; what stays is an aborted record in each topic, and markers.

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::error::{Error, Reaction};
use super::listener::Listener;
use super::member::{Outgoing, PartitionOffset};
use super::producer::TransactionalProducer;
use super::settings::Options;

/// What came of the attempts.
#[derive(Debug)]
pub struct Probed {
    /// Whether the service's transactional ids may be used; when not, the rest was not tried.
    pub transactional_id: Result<(), Error>,
    /// Whether a record could be written, for each topic.
    pub topics: Vec<(String, Result<(), Error>)>,
    /// Whether an offset could be committed for the group; `None` when there was none to commit again.
    pub group: Option<Result<(), Error>>,
}

/// Writes a record to each of `topics`, commits `offset` again with the `text` beside it, and aborts all of it. The name of the
/// member in `options` is the one that is used, and no member may have it.
#[must_use]
pub fn probe(options: &Options, topics: &[&str], offset: Option<(PartitionOffset, String)>, now_ms: i64) -> Probed {
    let mut producer = match TransactionalProducer::start(options) {
        Ok(producer) => producer,
        Err(error) => return Probed { transactional_id: Err(error), topics: Vec::new(), group: None },
    };
    let mut written = Vec::with_capacity(topics.len());
    for topic in topics {
        written.push(((*topic).to_owned(), write(&mut producer, options, topic, now_ms)));
    }
    let group = offset.map(|offset| commit(&mut producer, options, offset));
    Probed { transactional_id: Ok(()), topics: written, group }
}

fn write(producer: &mut TransactionalProducer, options: &Options, topic: &str, now_ms: i64) -> Result<(), Error> {
    let record = Outgoing {
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
    (offset, text): (PartitionOffset, String),
) -> Result<(), Error> {
    let call = "send_offsets_to_transaction";
    let consumer: BaseConsumer<Listener> = options
        .for_questions_about_what_is_open("read_committed")
        .create_with_context(Listener::default())
        .map_err(|error| Error::of_creation("probe", &error))?;
    let stranger = consumer
        .group_metadata()
        .ok_or_else(|| Error::new(Reaction::Retry, call, "NoGroup", "the client knows of no group"))?;
    producer.begin()?;
    let sent = producer.send_offsets(&options.input_topic, &[(offset, text)], &stranger);
    abort(producer, options)?;
    sent
}

/// Ends the transaction. One that failed at its first step may not be abortable; a new producer ends it all the same.
fn abort(producer: &mut TransactionalProducer, options: &Options) -> Result<(), Error> {
    producer.abort().or_else(|_| producer.renew(options))
}
