//! The client context of a subscriber: queues rebalances with the topics of their partitions, and remembers whether a
//! commit failed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::{SubscriberEvent, TopicPartition};
use crate::kafka::context::Context;

#[derive(Default, Debug)]
pub(super) struct SubscriberContext {
    /// Logs what the client reports.
    reports: Context,
    rebalances: Mutex<VecDeque<SubscriberEvent>>,
    is_closing: AtomicBool,
    has_failed_commit: AtomicBool,
}

impl SubscriberContext {
    /// Removes and returns the oldest unread rebalance.
    pub(super) fn take_rebalance(&self) -> Option<SubscriberEvent> {
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Returns whether a commit has failed since the last call.
    pub(super) fn take_failed_commit(&self) -> bool {
        self.has_failed_commit.swap(false, Ordering::Relaxed)
    }

    /// Makes the rebalance callback answer rebalances itself from now on.
    pub(super) fn begin_closing(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    /// Returns the reports of the client.
    pub(super) const fn reports(&self) -> &Context {
        &self.reports
    }
}

impl ClientContext for SubscriberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.reports.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reports.error(error, reason);
    }
}

impl ConsumerContext for SubscriberContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let is_assignment = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.is_closing.load(Ordering::Relaxed) {
            let answered = if is_assignment {
                consumer.incremental_assign(&TopicPartitionList::new())
            } else {
                consumer.incremental_unassign(list)
            };
            if let Err(error) = answered {
                tracing::debug!(target: "kafka", %error, "could not answer a rebalance while closing");
            }
            return;
        }
        let partitions: Vec<TopicPartition> = (list.elements().iter())
            .map(|it| TopicPartition { topic: it.topic().into(), partition: it.partition() })
            .collect();
        let event = if is_assignment {
            SubscriberEvent::Assigned(partitions)
        } else if consumer.assignment_lost() {
            SubscriberEvent::Lost(partitions)
        } else {
            SubscriberEvent::Revoked(partitions)
        };
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(target: "kafka", %error, "offsets were not committed, will retry");
            self.has_failed_commit.store(true, Ordering::Relaxed);
        }
    }
}
