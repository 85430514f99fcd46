//! Questions to all workers at once, under a deadline.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use crate::partition::CustomerView;
use crate::runtime::{CustomerAnswer, Query};

/// How many questions may wait for one worker.
const WAITING_MAX: usize = 64;

/// The ends of the channels to the workers.
#[derive(Clone, Debug)]
pub struct Workers {
    questions: Vec<SyncSender<Query>>,
    patience: Duration,
}

/// What the workers together know of a customer.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Known {
    /// The customer, and the partition that holds it.
    Customer(i32, Box<CustomerView>),
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

    /// Asks every worker for the customer. Blocks.
    pub(super) fn customer(&self, customer_id: &str) -> Known {
        let deadline = Instant::now() + self.patience;
        let (answer, answers) = mpsc::channel();
        let mut known = Known::Nothing;
        for worker in &self.questions {
            let question = Query { customer_id: customer_id.into(), answer: answer.clone() };
            if worker.try_send(question).is_err() {
                known = Known::Silence;
            }
        }
        drop(answer);
        loop {
            match answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(CustomerAnswer::Found { partition, customer }) => return Known::Customer(partition, customer),
                Ok(CustomerAnswer::Unknown) => {}
                Ok(CustomerAnswer::Restoring) => known = Known::Restoring,
                // Every worker has answered, or let go of its question.
                Err(RecvTimeoutError::Disconnected) => return known,
                Err(RecvTimeoutError::Timeout) => return Known::Silence,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_workers_restore_hides_what_nobody_else_knows() {
        let (workers, receivers) = Workers::channels(2, Duration::from_mins(1));
        let replies = std::thread::spawn(move || {
            for (receiver, reply) in receivers.iter().zip([CustomerAnswer::Unknown, CustomerAnswer::Restoring]) {
                let Query { answer, customer_id } = receiver.recv().unwrap();
                assert_eq!(&*customer_id, "c1");
                answer.send(reply).unwrap();
            }
        });
        assert_eq!(workers.customer("c1"), Known::Restoring);
        replies.join().unwrap();
    }

    #[test]
    fn a_worker_that_is_gone_or_busy_is_silence() {
        let (workers, receivers) = Workers::channels(1, Duration::ZERO);
        assert_eq!(workers.customer("c1"), Known::Silence);
        drop(receivers);
        assert_eq!(workers.customer("c1"), Known::Silence);
    }
}
