//! The only place that begins, commits or aborts the transactions of group members.
//!
//! A transaction begins and ends within one call, so it is never open while the worker polls. The input offsets are
//! sent last, so a transaction that contains them contains all records of the batch.

use crate::kafka::{Error, Member, PartitionOffset, Reaction, RecordBatch};

use super::fatal::Fatal;

/// How a transaction ended.
#[derive(Debug)]
pub enum Outcome {
    /// Its records become visible to read-committed consumers.
    Committed,
    /// None of its records will ever be visible.
    Aborted(Error),
    /// Committed or aborted: the committed offsets show the outcome once the producer has been reset.
    Unknown(Error),
}

/// Writes `records` and the input offsets in one transaction. `offsets_for` receives the offset of each written
/// record and returns the input offsets with their metadata, or why the transaction must not be committed.
///
/// # Errors
/// Errors that no retry can fix.
pub fn transact<M: Member>(
    member: &mut M,
    records: &RecordBatch,
    offsets_for: impl FnOnce(&[i64]) -> Result<Vec<(PartitionOffset, String)>, Fatal>,
) -> Result<Outcome, Fatal> {
    if let Err(error) = member.begin() {
        return match reaction_to(&error) {
            Reaction::Fatal => Err(Fatal::Client(error)),
            Reaction::ResetProducer => Ok(Outcome::Unknown(error)),
            // No transaction is open, so there is nothing to abort.
            Reaction::Abort | Reaction::Retry => Ok(Outcome::Aborted(error)),
        };
    }
    let offsets = if records.is_empty() {
        Vec::new()
    } else {
        match member.send_batch(records) {
            Ok(offsets) => offsets,
            Err(error) => return abort(member, error),
        }
    };
    let offsets = match offsets_for(&offsets) {
        Ok(offsets) => offsets,
        Err(fatal) => {
            // If the abort fails, the next producer of this transactional id or the broker aborts the transaction.
            drop(member.abort());
            return Err(fatal);
        }
    };
    if let Err(error) = member.send_offsets(&offsets) {
        return abort(member, error);
    }
    match member.commit() {
        Ok(()) => Ok(Outcome::Committed),
        Err(error) => abort(member, error),
    }
}

/// Aborts the transaction in which `error` occurred, if the producer can still be used.
fn abort<M: Member>(member: &mut M, error: Error) -> Result<Outcome, Fatal> {
    match reaction_to(&error) {
        Reaction::Fatal => Err(Fatal::Client(error)),
        Reaction::ResetProducer => Ok(Outcome::Unknown(error)),
        Reaction::Abort | Reaction::Retry => match member.abort() {
            Ok(()) => Ok(Outcome::Aborted(error)),
            Err(abort_error) if reaction_to(&abort_error) == Reaction::Fatal => Err(Fatal::Client(abort_error)),
            // Resetting the producer ends the transaction that could not be aborted.
            Err(abort_error) => Ok(Outcome::Unknown(abort_error)),
        },
    }
}

/// Returns how to react to an error of a transaction. A fenced producer does not stop the worker: the broker also
/// fences producers that were too slow, and the group decides whether we still own the partitions.
fn reaction_to(error: &Error) -> Reaction {
    if error.fenced { Reaction::ResetProducer } else { error.reaction }
}
