//! Sends queries to all workers at once, and combines their answers within a timeout.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, timeout_at};

use crate::partition::Snapshot;
use crate::runtime::{CustomerAnswer, Query, StageAnswer, StageRequest};

/// Maximum number of queries queued for one worker.
const QUEUED_QUERIES_MAX: usize = 1024;

/// The senders of the query channels to the workers.
#[derive(Clone, Debug)]
pub struct WorkerChannels {
    queries: Vec<SyncSender<Query>>,
    timeout: Duration,
}

/// The combined answer of all workers about a customer.
#[derive(Clone, Debug)]
pub(super) enum CustomerLookup {
    /// The partition that holds the customer, and a snapshot of the customer.
    Found(i32, Box<Snapshot>),
    /// The id is that of a visitor that became this customer, or of a customer that was merged into it.
    MergedInto(Arc<str>),
    /// No partition of this instance holds the customer.
    NotFound,
    /// No worker has the customer, but some partitions are still being restored.
    Restoring,
    /// At least one worker did not answer in time.
    TimedOut,
}

impl WorkerChannels {
    /// Creates channels to `count` workers, each of which gets one of the receivers. `timeout` limits the wait for
    /// answers.
    #[must_use]
    pub fn new(count: usize, timeout: Duration) -> (Self, Vec<Receiver<Query>>) {
        let (queries, receivers) = (0..count).map(|_| mpsc::sync_channel(QUEUED_QUERIES_MAX)).unzip();
        (Self { queries, timeout }, receivers)
    }

    /// Asks every worker for the customer.
    pub(super) async fn find_customer(&self, customer_id: &str) -> CustomerLookup {
        let deadline = Instant::now() + self.timeout;
        let (answer, mut answers) = unbounded_channel();
        let mut lookup = CustomerLookup::NotFound;
        for worker in &self.queries {
            let answer = answer.clone();
            // The caller may have stopped waiting.
            let answer = Box::new(move |reply| drop(answer.send(reply)));
            if worker.try_send(Query::Customer { customer_id: customer_id.into(), answer }).is_err() {
                lookup = CustomerLookup::TimedOut;
            }
        }
        drop(answer);
        loop {
            match timeout_at(deadline, answers.recv()).await {
                Ok(Some(CustomerAnswer::Found { partition, customer })) => {
                    return CustomerLookup::Found(partition, customer);
                }
                Ok(Some(CustomerAnswer::MergedInto(customer_id))) => return CustomerLookup::MergedInto(customer_id),
                Ok(Some(CustomerAnswer::Unknown)) => {}
                Ok(Some(CustomerAnswer::Restoring)) => lookup = CustomerLookup::Restoring,
                // Every worker has answered or has dropped the query.
                Ok(None) => return lookup,
                Err(_) => return CustomerLookup::TimedOut,
            }
        }
    }
}

/// The combined answer of all workers about a stage.
pub(super) enum StageLookup {
    /// The answer of the worker that has the partition, or `NotAssigned` if no worker has it.
    Answer(StageAnswer),
    /// At least one worker did not answer in time.
    TimedOut,
}

impl WorkerChannels {
    /// Asks every worker for customers of a stage.
    pub(super) async fn find_stage(&self, request: StageRequest) -> StageLookup {
        let deadline = Instant::now() + self.timeout;
        let (answer, mut answers) = unbounded_channel();
        let mut is_complete = true;
        for worker in &self.queries {
            let answer = answer.clone();
            // The caller may have stopped waiting.
            let answer = Box::new(move |reply| drop(answer.send(reply)));
            is_complete &= worker.try_send(Query::Stage { request, answer }).is_ok();
        }
        drop(answer);
        let mut partitions = None;
        loop {
            match timeout_at(deadline, answers.recv()).await {
                Ok(Some(StageAnswer::NotAssigned { partitions: known })) => partitions = partitions.max(known),
                Ok(Some(answer)) => return StageLookup::Answer(answer),
                // Every worker has answered or has dropped the query.
                Ok(None) if is_complete => return StageLookup::Answer(StageAnswer::NotAssigned { partitions }),
                Ok(None) | Err(_) => return StageLookup::TimedOut,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(workers: &WorkerChannels) -> CustomerLookup {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(workers.find_customer("c1"))
    }

    #[test]
    fn a_restoring_worker_takes_precedence_over_workers_without_the_customer() {
        let (workers, receivers) = WorkerChannels::new(2, Duration::from_mins(1));
        let replies = std::thread::spawn(move || {
            for (receiver, reply) in receivers.iter().zip([CustomerAnswer::Unknown, CustomerAnswer::Restoring]) {
                let Query::Customer { answer, customer_id } = receiver.recv().unwrap() else { panic!("no customer") };
                assert_eq!(&*customer_id, "c1");
                answer(reply);
            }
        });
        let lookup = ask(&workers);
        assert!(matches!(lookup, CustomerLookup::Restoring), "{lookup:?}");
        replies.join().unwrap();
    }

    #[test]
    fn a_stopped_or_busy_worker_counts_as_timed_out() {
        let (workers, receivers) = WorkerChannels::new(1, Duration::ZERO);
        let lookup = ask(&workers);
        assert!(matches!(lookup, CustomerLookup::TimedOut), "{lookup:?}");
        drop(receivers);
        let lookup = ask(&workers);
        assert!(matches!(lookup, CustomerLookup::TimedOut), "{lookup:?}");
    }
}
