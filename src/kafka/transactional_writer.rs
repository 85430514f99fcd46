//! A transactional producer without a group member, for commands that write records exactly once.
//!
//! The caller decides from the topics themselves what a transaction still has to write, so a failed or indeterminate
//! transaction needs no recovery here: the caller starts again.

use super::error::Error;
use super::member::ProducerRecord;
use super::member::producer::TransactionalProducer;
use super::settings::Options;

/// A transactional producer without a group member.
pub struct TransactionalWriter(TransactionalProducer);

impl TransactionalWriter {
    /// Creates a writer with the transactional id of `options`. Fences an earlier writer with this id and aborts the
    /// transaction that it left open.
    ///
    /// # Errors
    /// `Fatal` when an option is invalid or a permission is missing; `Retry` while the brokers do not answer.
    pub fn start(options: &Options) -> Result<Self, Error> {
        options.check()?;
        TransactionalProducer::start(options).map(Self)
    }

    /// Writes `records` in one transaction.
    ///
    /// # Errors
    /// When the transaction was aborted, or its outcome is unknown. The writer must not be used again.
    pub fn write(&mut self, records: &[ProducerRecord]) -> Result<(), Error> {
        self.0.begin()?;
        let written = self.0.send(records).and_then(|_| self.0.commit());
        if written.is_err() {
            // If this fails too, the next writer of this id or the broker aborts the transaction.
            drop(self.0.abort());
        }
        written
    }
}

impl std::fmt::Debug for TransactionalWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TransactionalWriter").finish_non_exhaustive()
    }
}
