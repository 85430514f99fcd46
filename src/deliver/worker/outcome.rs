//! What becomes of deliveries: applies the results of senders, and writes the dead letters of rejected ones.

use std::time::{Duration, Instant};

use super::{KAFKA_BACKOFF, Rejected, Worker};
use crate::deliver::dead_letter;
use crate::deliver::gate::Verdict;
use crate::deliver::queue::Ticket;
use crate::deliver::sender::{ItemResult, Problem, TaskResult};
use crate::deliver::suppression::Suppression;
use crate::kafka::subscriber::TopicPartition;
use crate::kafka::{self, Record};

/// Timeout of writing dead letters.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(20);

impl Worker {
    /// Takes the results of senders; waits up to `timeout` for the first one.
    ///
    /// # Errors
    /// `Fatal` if a sender has panicked.
    pub(super) fn receive(&mut self, timeout: Duration) -> Result<(), kafka::Error> {
        let mut wait = timeout;
        while let Some(result) = self.senders.receive(wait)? {
            self.apply(result);
            wait = Duration::ZERO;
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, result: TaskResult) {
        let now = Instant::now();
        let before = self.gate.state();
        for attempt in result.attempts {
            self.gate.record(attempt.verdict, now);
            let outcome = match (attempt.verdict, &attempt.problem) {
                (Verdict::Works, None) => "done",
                (Verdict::Works, Some(_)) => "dead",
                (Verdict::Failed { .. }, Some(problem)) if problem.status.is_none() => "network",
                (Verdict::Failed { .. } | Verdict::Throttled { .. }, _) => "retry",
                (Verdict::Rejected, _) => "hold",
                (Verdict::Gone, _) => "disable",
            };
            *self.snapshot.attempts.entry(outcome).or_default() += 1;
            self.snapshot.request.observe(attempt.duration.as_secs_f64());
            if let Some(problem) = attempt.problem {
                self.remember(&problem);
            }
        }
        self.log_gate(before);
        for (ticket, step, result) in result.items {
            self.apply_item(ticket, step, result, now);
        }
    }

    pub(super) fn apply_item(&mut self, ticket: Ticket, step: usize, result: ItemResult, now: Instant) {
        let Some(delivery) = self.queue.get_mut(ticket) else { return };
        delivery.step = step;
        let is_current = self.partitions.is_current(&delivery.partition, delivery.epoch);
        match result {
            ItemResult::Done => {
                if let Some(delivery) = self.queue.remove(ticket) {
                    let offset = delivery.transition.record.offset;
                    self.partitions.complete(&delivery.partition, offset, delivery.epoch);
                    if self.destination.is_dry_run {
                        self.count_suppressed(Suppression::DryRun);
                    } else {
                        self.snapshot.delivered += 1;
                        let latency = self.options.clock.now().wall - delivery.transition.published_at;
                        self.snapshot.latency.observe(latency.as_seconds());
                    }
                }
            }
            ItemResult::Dead(problem) => self.reject_delivery(ticket, problem),
            ItemResult::Retry { .. } | ItemResult::Unsent if !is_current => _ = self.queue.remove(ticket),
            ItemResult::Unsent => {
                delivery.attempts -= 1;
                self.queue.put_back(ticket);
            }
            ItemResult::Retry { asked, problem } => {
                let (retry, attempts) = (self.destination.retry, delivery.attempts);
                if retry.gives_up(delivery.transition.age(self.options.clock.now().wall)) {
                    self.reject_delivery(ticket, problem);
                } else {
                    self.queue.retry(ticket, now + retry.wait(attempts, asked, fastrand::f64()));
                }
            }
        }
    }

    pub(super) fn reject_delivery(&mut self, ticket: Ticket, problem: Problem) {
        // It stays in the queue, in flight, until its dead letter is written.
        let Some(delivery) = self.queue.get(ticket) else { return };
        let (partition, record) = (delivery.partition.clone(), delivery.transition.record.clone());
        let (epoch, attempts) = (delivery.epoch, delivery.attempts);
        self.reject(partition, epoch, record, problem, attempts, Some(ticket));
    }

    pub(super) fn reject(
        &mut self,
        partition: TopicPartition,
        epoch: u64,
        record: Record,
        problem: Problem,
        attempts: u32,
        ticket: Option<Ticket>,
    ) {
        if ticket.is_none() {
            self.remember(&problem);
        }
        self.rejected.push(Rejected { partition, epoch, record, problem, attempts, ticket });
    }

    /// Writes the dead letters of rejected deliveries; they are done when it has succeeded.
    pub(super) fn publish_rejected(&mut self) {
        let is_waiting = self.kafka_backoff_until.is_some_and(|until| Instant::now() < until);
        if self.rejected.is_empty() || is_waiting {
            return;
        }
        let now = self.options.clock.now().wall;
        let (topic, name) = (&self.options.dead_letters, &self.destination.name);
        let records: Vec<_> = (self.rejected.iter())
            .map(|it| dead_letter::dead_letter(topic, name, &it.partition, &it.record, &it.problem, it.attempts, now))
            .collect();
        if let Err(error) = self.publisher.publish(&records, PUBLISH_TIMEOUT) {
            tracing::warn!(destination = name, %error, "dead letters were not written, will retry");
            self.kafka_backoff_until = Some(Instant::now() + KAFKA_BACKOFF);
            return;
        }
        for rejected in std::mem::take(&mut self.rejected) {
            self.snapshot.dead += 1;
            let Problem { kind: reason, what: problem, .. } = &rejected.problem;
            if self.logged_kinds.insert(reason.clone()) {
                let destination = &self.destination.name;
                tracing::warn!(destination, reason, problem, "delivery is a dead letter");
            }
            if let Some(ticket) = rejected.ticket {
                self.queue.remove(ticket);
            }
            self.partitions.complete(&rejected.partition, rejected.record.offset, rejected.epoch);
        }
    }
}
