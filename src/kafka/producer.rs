//! The member's transactional producer.
//!
//! Every call of the transaction API runs under the watchdog. No call leaves the outcome to guesswork: what timed out asks
//! for a new producer, whose epoch fences whatever the old one still has under way.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::util::Timeout;

use super::error::{Error, Reaction};
use super::listener::{Deliveries, Delivery, Listener};
use super::member::{Outgoing, PartitionOffset};
use super::settings::Options;
use super::watchdog::Watchdog;

/// The longest text that may be committed with an offset; the broker's default limit is 4,096 bytes.
const METADATA_BYTES_MAX: usize = 4_000;

/// How long a poll for delivery reports waits. A poll lasts as long as it is told to, so this is the grain of a commit.
const GRAIN: Duration = Duration::from_millis(1);

/// How many reports are looked through for the cause of an error.
const REPORTS_MAX: usize = 1_000;

/// A call that takes this long may have sent its request more than once: the client does so when a connection ends or no answer
/// comes, and tells nobody.
const REPETITION_MIN: Duration = Duration::from_secs(1);

/// The producer side of a member.
pub(super) struct TransactionalProducer {
    client: BaseProducer<Listener>,
    /// Whether a request about an earlier transaction may still be under way. It would be taken for one about the next.
    may_have_repeated: bool,
    watchdog: Watchdog,
    transaction_timeout: Duration,
}

impl TransactionalProducer {
    /// Makes a producer that has ended whatever an earlier one of the same transactional id left open.
    pub(super) fn start(options: &Options) -> Result<Self, Error> {
        let watchdog = Watchdog::start(options.on_stuck).map_err(|error| {
            Error::new(Reaction::Fatal, "producer", "Thread", format!("cannot start a thread: {error}"))
        })?;
        let client = make(options)?;
        let mut producer =
            Self { client, may_have_repeated: false, watchdog, transaction_timeout: options.transaction_timeout };
        producer.init()?;
        Ok(producer)
    }

    /// Replaces the client by a new one of the same transactional id.
    pub(super) fn renew(&mut self, options: &Options) -> Result<(), Error> {
        let old = std::mem::replace(&mut self.client, make(options)?);
        // Dropping it may wait for its connections; nobody needs to wait with it.
        thread::spawn(move || drop(old));
        self.init()
    }

    /// Renews the client if a request about an earlier transaction may still be under way: the new epoch shuts it out.
    pub(super) fn renew_after_repetition(&mut self, options: &Options) -> Result<(), Error> {
        if !self.may_have_repeated {
            return Ok(());
        }
        tracing::info!(target: "kafka", "a call took long and may have been sent twice; the producer is renewed");
        // Should it not work, the caller goes on trying until it does.
        self.renew(options).map_err(|error| match error.reaction {
            Reaction::Fatal => error,
            Reaction::Retry | Reaction::Abort | Reaction::Renew => Error { reaction: Reaction::Renew, ..error },
        })
    }

    fn init(&mut self) -> Result<(), Error> {
        let timeout = self.transaction_timeout;
        self.call("init_transactions", |client| client.init_transactions(timeout)).map_err(|error| {
            match error.reaction {
                Reaction::Fatal => error,
                // Each renewal begins with a new client, so there is nothing else to repair.
                Reaction::Retry | Reaction::Abort | Reaction::Renew => Error { reaction: Reaction::Retry, ..error },
            }
        })?;
        // A late repetition of this very call would shut us out, which does no harm.
        self.may_have_repeated = false;
        Ok(())
    }

    pub(super) fn begin(&mut self) -> Result<(), Error> {
        // Reports gather while nothing is sent.
        self.serve_reports();
        self.call("begin_transaction", Producer::begin_transaction)
    }

    pub(super) fn send(&mut self, records: &[Outgoing]) -> Result<Vec<i64>, Error> {
        let deadline = Instant::now() + self.transaction_timeout;
        let deliveries = Arc::new(Deliveries::of(records.len()));
        for (index, record) in records.iter().enumerate() {
            self.enqueue(record, Delivery { of: Arc::clone(&deliveries), index }, deadline)?;
        }
        self.drain(deadline)?;
        let outcomes = deliveries.outcomes();
        if outcomes.contains(&Some(Err(RDKafkaErrorCode::PurgeQueue))) {
            return Err(self.cause_of_failure());
        }
        let outcomes = outcomes.into_iter().zip(records);
        outcomes
            .map(|(outcome, record)| match outcome {
                Some(Ok(offset)) => Ok(offset),
                Some(Err(code)) => Err(Error::of_record(code, &record.topic, self.client.client().fatal_error())),
                None => {
                    Err(Error::new(Reaction::Renew, "send", "NoReport", "a record was neither delivered nor refused"))
                }
            })
            .collect()
    }

    /// Why the transaction has failed: the client then throws away what is queued, and tells the cause at the next call only.
    fn cause_of_failure(&mut self) -> Error {
        let call = "commit_transaction";
        let refused = self.call(call, |client| client.commit_transaction(Timeout::Never));
        refused
            .err()
            .unwrap_or_else(|| Error::new(Reaction::Renew, call, "NoCause", "records were thrown away for no reason"))
    }

    fn enqueue(&self, record: &Outgoing, delivery: Delivery, deadline: Instant) -> Result<(), Error> {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for it in &record.headers {
            headers = headers.insert(Header { key: &it.name, value: it.value.as_ref() });
        }
        let mut next = BaseRecord::<[u8], [u8], Box<Delivery>>::with_opaque_to(&record.topic, Box::new(delivery))
            .timestamp(record.timestamp_ms)
            .headers(headers);
        next.partition = record.partition;
        next.key = record.key.as_deref();
        next.payload = record.value.as_deref();
        loop {
            match self.client.send(next) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused))
                    if Instant::now() < deadline =>
                {
                    next = refused;
                    self.client.poll(GRAIN);
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => return Err(timed_out("send")),
                Err((error, _)) => {
                    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                    return Err(Error::of_record(code, &record.topic, self.client.client().fatal_error()));
                }
            }
        }
    }

    /// Waits until the fate of every record under way is known.
    ///
    /// The library's own flush polls for 100 ms at a time whatever happens meanwhile, which every commit would pay.
    fn drain(&self, deadline: Instant) -> Result<(), Error> {
        // Records wait for company no longer. That this says the queue is not empty yet is no error.
        let _not_yet_empty = self.client.flush(Duration::ZERO);
        while self.client.in_flight_count() > 0 {
            if Instant::now() >= deadline {
                return Err(timed_out("send"));
            }
            self.client.poll(GRAIN);
        }
        Ok(())
    }

    pub(super) fn send_offsets(
        &mut self,
        topic: &str,
        offsets: &[(PartitionOffset, String)],
        generation: &ConsumerGroupMetadata,
    ) -> Result<(), Error> {
        let call = "send_offsets_to_transaction";
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (it, text) in offsets {
            if text.len() > METADATA_BYTES_MAX {
                let message = format!(
                    "the text committed with an offset has {} bytes, more than {METADATA_BYTES_MAX}",
                    text.len()
                );
                return Err(Error::new(Reaction::Fatal, call, "OffsetMetadataTooLarge", message));
            }
            let mut element = list.add_partition(topic, it.partition);
            element.set_offset(Offset::Offset(it.offset)).map_err(|error| Error::of_assignment(call, &error))?;
            element.set_metadata(text);
        }
        let timeout = self.transaction_timeout;
        self.call(call, |client| client.send_offsets_to_transaction(&list, generation, timeout))
    }

    pub(super) fn commit(&mut self) -> Result<(), Error> {
        self.drain(Instant::now() + self.transaction_timeout)?;
        // Without a timeout of ours the library takes what is left of the transaction's, as it recommends.
        self.call("commit_transaction", |client| client.commit_transaction(Timeout::Never))
    }

    pub(super) fn abort(&mut self) -> Result<(), Error> {
        // The library waits for the reports of records under way, and it is us who must take them.
        self.client.purge(PurgeConfig::default().queue().inflight());
        self.drain(Instant::now() + self.transaction_timeout)?;
        self.call("abort_transaction", |client| client.abort_transaction(Timeout::Never))
    }

    fn call(
        &mut self,
        name: &'static str,
        act: impl FnOnce(&BaseProducer<Listener>) -> KafkaResult<()>,
    ) -> Result<(), Error> {
        let begun = Instant::now();
        let outcome = self.watchdog.during(name, self.transaction_timeout * 2, || act(&self.client));
        self.may_have_repeated |= begun.elapsed() >= REPETITION_MIN;
        outcome.map_err(|error| {
            self.serve_reports();
            let error = Error::of_transaction(name, &error);
            if error.fenced { error } else { error.because(self.client.context().take_error()) }
        })
    }
}

impl TransactionalProducer {
    /// Takes what the client has reported from its queue; a poll takes one report at a time.
    fn serve_reports(&self) {
        for _ in 0..REPORTS_MAX {
            let before = self.client.context().reports();
            self.client.poll(Duration::ZERO);
            if self.client.context().reports() == before {
                break;
            }
        }
    }
}

fn make(options: &Options) -> Result<BaseProducer<Listener>, Error> {
    options
        .for_output()
        .create_with_context(Listener::default())
        .map_err(|error| Error::of_creation("producer", &error))
}

fn timed_out(call: &'static str) -> Error {
    Error::new(Reaction::Renew, call, "OperationTimedOut", "the broker did not answer within the transaction timeout")
}
