//! Questions to all workers at once, under a deadline.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, timeout_at};

use crate::partition::Snapshot;
use crate::runtime::{CustomerAnswer, Query};

/// How many questions may wait for one worker.
const WAITING_MAX: usize = 1024;

/// The ends of the channels to the workers.
#[derive(Clone, Debug)]
pub struct Workers {
    questions: Vec<SyncSender<Query>>,
    patience: Duration,
}

/// What the workers together know of a customer.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// The customer, and the partition that holds it.
    Customer(i32, Box<Snapshot>),
    /// No partition of this instance holds the customer.
    Nothing,
    /// Nobody knows yet: partitions are being restored.
    Restoring,
    /// Some worker did not answer in time.
    Silence,
}

impl Workers {
    /// Channels to `count` workers, each of which gets one receiver, and `patience` for their answers.
    #[must_use]
    pub fn channels(count: usize, patience: Duration) -> (Self, Vec<Receiver<Query>>) {
        let (questions, receivers) = (0..count).map(|_| mpsc::sync_channel(WAITING_MAX)).unzip();
        (Self { questions, patience }, receivers)
    }

    /// Asks every worker for the customer.
    pub(super) async fn customer(&self, customer_id: &str) -> Known {
        let deadline = Instant::now() + self.patience;
        let (answer, mut answers) = unbounded_channel();
        let mut known = Known::Nothing;
        for worker in &self.questions {
            let answer = answer.clone();
            // Whoever asked may have given up waiting.
            let answer = Box::new(move |of_worker| drop(answer.send(of_worker)));
            if worker.try_send(Query { customer_id: customer_id.into(), answer }).is_err() {
                known = Known::Silence;
            }
        }
        drop(answer);
        loop {
            match timeout_at(deadline, answers.recv()).await {
                Ok(Some(CustomerAnswer::Found { partition, customer })) => return Known::Customer(partition, customer),
                Ok(Some(CustomerAnswer::Unknown)) => {}
                Ok(Some(CustomerAnswer::Restoring)) => known = Known::Restoring,
                // Every worker has answered, or let go of its question.
                Ok(None) => return known,
                Err(_) => return Known::Silence,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(workers: &Workers) -> Known {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(workers.customer("c1"))
    }

    #[test]
    fn one_workers_restore_hides_what_nobody_else_knows() {
        let (workers, receivers) = Workers::channels(2, Duration::from_mins(1));
        let replies = std::thread::spawn(move || {
            for (receiver, reply) in receivers.iter().zip([CustomerAnswer::Unknown, CustomerAnswer::Restoring]) {
                let Query { answer, customer_id } = receiver.recv().unwrap();
                assert_eq!(&*customer_id, "c1");
                answer(reply);
            }
        });
        let known = ask(&workers);
        assert!(matches!(known, Known::Restoring), "{known:?}");
        replies.join().unwrap();
    }

    #[test]
    fn a_worker_that_is_gone_or_busy_is_silence() {
        let (workers, receivers) = Workers::channels(1, Duration::ZERO);
        let known = ask(&workers);
        assert!(matches!(known, Known::Silence), "{known:?}");
        drop(receivers);
        let known = ask(&workers);
        assert!(matches!(known, Known::Silence), "{known:?}");
    }
}
