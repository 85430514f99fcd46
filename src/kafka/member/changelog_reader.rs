//! Reads several changelog partitions at once, each from a given offset, without joining a group.
//!
//! The caller decodes the records and chooses the offsets to start and end at.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::Offset;

use super::topic_reader::TopicReader;
use super::{PartitionId, Record};
use crate::kafka::error::Error;
use crate::kafka::settings::Options;

/// A consumer of changelog partitions with manual assignment.
pub(super) struct ChangelogReader {
    reader: TopicReader,
    open: BTreeSet<PartitionId>,
}

impl ChangelogReader {
    /// Returns a reader of the changelog; `None` if the member has no changelog.
    pub(super) fn new(options: &Options) -> Result<Option<Self>, Error> {
        let Some(changelog) = &options.changelog_topic else { return Ok(None) };
        Ok(Some(Self { reader: TopicReader::new(&options.for_changelog_reader(), changelog)?, open: BTreeSet::new() }))
    }

    pub(super) fn range(&self, partition: PartitionId) -> Result<(i64, i64), Error> {
        self.reader.range("changelog_range", partition)
    }

    /// Starts reading `partition` at `offset`; an open partition restarts there.
    pub(super) fn open(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error> {
        self.close(partition)?;
        let list = self.reader.list_at([(partition, Offset::Offset(offset))])?;
        self.reader
            .client()
            .incremental_assign(&list)
            .map_err(|error| Error::of_assignment("open_changelog", &error))?;
        self.open.insert(partition);
        self.reader.positions.start(partition, offset);
        Ok(())
    }

    pub(super) fn close(&mut self, partition: PartitionId) -> Result<(), Error> {
        if self.open.remove(&partition) {
            self.reader.positions.stop(partition);
            self.reader
                .client()
                .incremental_unassign(&self.reader.list([partition]))
                .map_err(|error| Error::of_assignment("close_changelog", &error))?;
        }
        Ok(())
    }

    pub(super) fn read(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<Record>, Error> {
        let polled =
            self.reader.read("read_changelog", records_max, timeout).map_err(Error::reclassify_for_changelog)?;
        self.reader.check_progress("read_changelog", &self.open.iter().copied().collect::<Vec<_>>())?;
        Ok(polled.records)
    }

    /// Removes and returns the errors from which the client recovers automatically.
    pub(super) fn take_transient_errors(&mut self) -> Vec<Error> {
        self.reader.take_transient_errors()
    }

    pub(super) fn has_read_to(&self, partition: PartitionId, end: i64) -> bool {
        self.reader.positions.has_read_to(partition, end)
    }
}
