//! Queries for customers, which a worker answers from committed state between two polls.

use std::fmt;
use std::sync::mpsc::{Receiver, TryRecvError};

use crate::kafka::PartitionId;
use crate::partition::Snapshot;

/// Maximum number of queries answered between two polls.
pub(super) const QUERIES_MAX: usize = 256;

/// A query for one customer. The caller waits with its own timeout; an answer that arrives later is dropped.
pub struct Query {
    /// The customer to look up.
    pub customer_id: Box<str>,
    /// Receives the answer. Runs on the worker's thread, so it must not block.
    pub answer: Box<dyn FnOnce(CustomerAnswer) + Send>,
}

impl fmt::Debug for Query {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Query").finish_non_exhaustive()
    }
}

/// Answer of a worker to a [`Query`].
#[derive(Clone, Debug)]
pub enum CustomerAnswer {
    /// The customer's committed state.
    Found {
        /// The partition that contains the customer.
        partition: PartitionId,
        /// The customer.
        customer: Box<Snapshot>,
    },
    /// None of the worker's partitions contains the customer.
    Unknown,
    /// None of the restored partitions contains the customer; others are still being restored.
    Restoring,
}

/// Takes the waiting queries, at most [`QUERIES_MAX`].
pub(super) fn take_waiting(queries: &Receiver<Query>) -> Vec<Query> {
    let mut taken = Vec::new();
    while taken.len() < QUERIES_MAX {
        match queries.try_recv() {
            Ok(query) => taken.push(query),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
        }
    }
    taken
}
