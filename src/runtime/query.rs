//! Queries for customers, which a worker answers from committed state between two polls.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use crate::kafka::PartitionId;
use crate::lifecycle::id::StageIndex;
use crate::partition::{Snapshot, StageCursor, StagePage};

/// Maximum number of queries answered between two polls.
pub(super) const QUERIES_MAX: usize = 256;

/// A query about committed customers. The caller waits with its own timeout; an answer that arrives later is dropped.
/// `answer` receives the answer on the worker's thread, so it must not block.
pub enum Query {
    /// A query for one customer.
    Customer {
        /// The customer to look up.
        customer_id: Box<str>,
        /// Receives the answer.
        answer: Box<dyn FnOnce(CustomerAnswer) + Send>,
    },
    /// A query for some of the customers in a stage.
    Stage {
        /// The customers to return.
        request: StageRequest,
        /// Receives the answer.
        answer: Box<dyn FnOnce(StageAnswer) + Send>,
    },
}

impl fmt::Debug for Query {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Query").finish_non_exhaustive()
    }
}

/// Which customers of a stage to return.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StageRequest {
    /// The partition to read.
    pub partition: PartitionId,
    /// Index of the model.
    pub model: usize,
    /// The stage.
    pub stage: StageIndex,
    /// Where to start within the partition.
    pub cursor: StageCursor,
    /// Maximum number of customers.
    pub customers_max: usize,
}

/// Answer of a worker to a [`StageRequest`].
#[derive(Debug)]
pub enum StageAnswer {
    /// Customers in the stage.
    Page {
        /// The customers and where the next page starts.
        page: StagePage,
        /// Partition count of the touchpoint topic; `None` while it is unknown.
        partitions: Option<i32>,
    },
    /// The worker does not have the partition.
    NotAssigned {
        /// Partition count of the touchpoint topic; `None` while it is unknown.
        partitions: Option<i32>,
    },
    /// The partition is being restored.
    Restoring,
    /// The cursor is from before a restore of the partition.
    CursorExpired,
}

/// Answer of a worker to a query for one customer.
#[derive(Clone, Debug)]
pub enum CustomerAnswer {
    /// The customer's committed state.
    Found {
        /// The partition that contains the customer.
        partition: PartitionId,
        /// The customer.
        customer: Box<Snapshot>,
    },
    /// The id is that of a visitor that became this customer.
    MergedInto(Arc<str>),
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
