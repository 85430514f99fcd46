//! The assigned partitions of a destination, each with its window, and what is to be committed.

use std::collections::BTreeMap;

use super::destination::StartAt;
use super::window::{Admission, Window};
use crate::kafka::subscriber::{Committed, TopicPartition};
use crate::wire::delivery_progress::Progress;

/// An assigned partition.
#[derive(Debug)]
struct Assigned {
    window: Window,
    /// Number of the assignment, so that the result of an earlier one is recognised.
    epoch: u64,
    /// The offset up to which a redrive reads.
    end: i64,
    /// Whether there is something to commit.
    is_changed: bool,
    /// Whether it is about to be given up: nothing of it is started any more.
    is_closing: bool,
}

/// The assigned partitions.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    assigned: BTreeMap<TopicPartition, Assigned>,
    /// What was done in partitions that were lost without a commit.
    lost: BTreeMap<TopicPartition, Progress>,
    epoch: u64,
}

impl Partitions {
    /// Adds an assigned partition. Returns the offset to read from.
    pub(super) fn add(&mut self, committed: Committed, start: StartAt, destination: &str) -> i64 {
        let partition = committed.partition;
        let first = match start {
            StartAt::Latest => committed.end,
            StartAt::Earliest => committed.start,
        };
        let progress = match committed.offset {
            None => Progress::at(first),
            Some(offset) if offset > committed.end => {
                tracing::error!(
                    destination, %partition, offset, end = committed.end,
                    "committed offset is beyond the end of the topic, which was recreated; delivering from its start"
                );
                Progress::at(committed.start)
            }
            Some(offset) => {
                if offset < committed.start {
                    let deleted = committed.start - offset;
                    tracing::error!(
                        destination, %partition, deleted,
                        "retention has deleted transitions before they were delivered"
                    );
                }
                let progress = Progress::decode(offset, &committed.metadata).unwrap_or(Progress::at(offset));
                // What this process has delivered is done, although the broker was not available to commit it.
                match self.lost.remove(&partition) {
                    Some(lost) if lost.read_to <= committed.end => progress.merge(&lost),
                    _ => progress,
                }
            }
        };
        self.epoch += 1;
        let window = Window::new(progress);
        let next = window.next();
        let assigned = Assigned { window, epoch: self.epoch, end: committed.end, is_changed: true, is_closing: false };
        self.assigned.insert(partition, assigned);
        next
    }

    /// Removes a partition whose progress is committed.
    pub(super) fn remove(&mut self, partition: &TopicPartition) {
        self.assigned.remove(partition);
    }

    /// Removes a partition that was lost, and remembers its progress in case that it is assigned again.
    pub(super) fn on_lost(&mut self, partition: &TopicPartition) {
        if let Some(assigned) = self.assigned.remove(partition) {
            self.lost.insert(partition.clone(), assigned.window.progress());
        }
    }

    /// Returns the epoch of a partition and what to do with its record; `None` if it is not assigned.
    pub(super) fn admit(&mut self, partition: &TopicPartition, offset: i64) -> Option<(u64, Admission)> {
        let assigned = self.assigned.get_mut(partition)?;
        assigned.is_changed = true;
        Some((assigned.epoch, assigned.window.admit(offset)))
    }

    /// Marks a record as done, unless its partition was assigned again since it was read.
    pub(super) fn complete(&mut self, partition: &TopicPartition, offset: i64, epoch: u64) {
        if let Some(assigned) = self.assigned.get_mut(partition).filter(|it| it.epoch == epoch) {
            assigned.window.complete(offset);
            assigned.is_changed = true;
        }
    }

    /// Whether a delivery may still be attempted.
    pub(super) fn is_current(&self, partition: &TopicPartition, epoch: u64) -> bool {
        self.assigned.get(partition).is_some_and(|it| it.epoch == epoch && !it.is_closing)
    }

    pub(super) fn close(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            if let Some(assigned) = self.assigned.get_mut(partition) {
                assigned.is_closing = true;
            }
        }
    }

    /// Returns offsets and metadata to commit, of the partitions for which `is_chosen` holds.
    pub(super) fn take_changed(
        &mut self,
        is_chosen: impl Fn(&TopicPartition) -> bool,
    ) -> Vec<(TopicPartition, i64, String)> {
        let changed = self.assigned.iter_mut().filter(|(partition, it)| it.is_changed && is_chosen(partition));
        changed
            .map(|(partition, assigned)| {
                assigned.is_changed = false;
                let progress = assigned.window.progress();
                (partition.clone(), progress.offset(), progress.encode())
            })
            .collect()
    }

    /// Commits everything again, after a commit has failed.
    pub(super) fn set_changed(&mut self) {
        for assigned in self.assigned.values_mut() {
            assigned.is_changed = true;
        }
    }

    pub(super) fn names(&self) -> Vec<TopicPartition> {
        self.assigned.keys().cloned().collect()
    }

    /// Returns the offset of the next record to read of each partition.
    pub(super) fn positions(&self) -> Vec<(String, i64)> {
        self.assigned.iter().map(|(partition, it)| (partition.to_string(), it.window.next())).collect()
    }

    /// Returns whether everything up to the ends at assignment is read.
    pub(super) fn has_reached_ends(&self) -> bool {
        self.assigned.values().all(|it| it.window.next() >= it.end)
    }

    /// Returns the end of a partition when it was assigned.
    pub(super) fn end(&self, partition: &TopicPartition) -> i64 {
        self.assigned.get(partition).map_or(0, |it| it.end)
    }
}
