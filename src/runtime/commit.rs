//! The only place that begins, commits or aborts a transaction.
//!
//! A transaction lives within one call: nothing of it is open while the worker polls. The offsets go last, so that
//! once they are in the transaction, every effect of the batch already is.

use crate::kafka::{Error, Member, Outgoing, PartitionOffset, Reaction};

use super::fatal::Fatal;

/// How a transaction ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Visible.
    Committed,
    /// Undone, whole.
    Aborted(Error),
    /// Nobody can tell yet: the producer must be renewed, then the committed offsets say.
    Unknown(Error),
}

/// Makes one transaction of `records` and the input positions with their texts, which `mark` makes once it knows the offset
/// that each record got.
///
/// # Errors
/// Those after which nothing can be done.
pub(super) fn transact<M: Member>(
    member: &mut M,
    records: Vec<Outgoing>,
    mark: impl FnOnce(&[i64]) -> Vec<(PartitionOffset, String)>,
) -> Result<Outcome, Fatal> {
    if let Err(error) = member.begin() {
        return match sorted(&error) {
            Reaction::Fatal => Err(Fatal::Client(error)),
            Reaction::Renew => Ok(Outcome::Unknown(error)),
            // Nothing is open, so there is nothing to abort.
            Reaction::Abort | Reaction::Retry => Ok(Outcome::Aborted(error)),
        };
    }
    let offsets = if records.is_empty() {
        Vec::new()
    } else {
        match member.send(records) {
            Ok(offsets) => offsets,
            Err(error) => return undo(member, error),
        }
    };
    if let Err(error) = member.send_offsets(&mark(&offsets)) {
        return undo(member, error);
    }
    match member.commit() {
        Ok(()) => Ok(Outcome::Committed),
        Err(error) => undo(member, error),
    }
}

/// Ends a transaction that met `error`.
fn undo<M: Member>(member: &mut M, error: Error) -> Result<Outcome, Fatal> {
    match sorted(&error) {
        Reaction::Fatal => Err(Fatal::Client(error)),
        Reaction::Renew => Ok(Outcome::Unknown(error)),
        Reaction::Abort | Reaction::Retry => match member.abort() {
            Ok(()) => Ok(Outcome::Aborted(error)),
            Err(abort) if sorted(&abort) == Reaction::Fatal => Err(Fatal::Client(abort)),
            // A new producer ends what the old one could not.
            Err(abort) => Ok(Outcome::Unknown(abort)),
        },
    }
}

/// What to do about an error of a transaction. A fenced producer is no reason to stop: the broker fences also those that
/// were too slow, and whether the partitions are still ours is for the group to say.
fn sorted(error: &Error) -> Reaction {
    if error.fenced { Reaction::Renew } else { error.reaction }
}
