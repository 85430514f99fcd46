//! Compares the topic of hand-overs with the hand-over that a partition has applied last.

use crate::kafka::cluster::inspector::{Inspector, LogOffsets};
use crate::kafka::{CommittedOffset, Error, Record};
use crate::runtime::Mismatch;
use crate::wire::offset_metadata::{OffsetMetadata, RecordDigest};

/// Returns the mismatch if another record, or none, is where the partition has applied its last hand-over: the topic
/// was deleted and created again. `range` is the partition of `topic`.
///
/// # Errors
/// As [`Inspector::record_at`].
pub(super) fn find_replaced(
    inspector: &Inspector,
    topic: &str,
    committed: &CommittedOffset,
    range: LogOffsets,
) -> Result<Option<Mismatch>, Error> {
    let metadata = OffsetMetadata::decode(&committed.metadata).ok().flatten();
    // Retention may have deleted it. A topic that ends before it is another mismatch.
    let is_kept = |last: &RecordDigest| last.offset >= range.start && last.offset < range.high_watermark;
    let Some(last) = metadata.and_then(|it| it.last_hand_over).filter(is_kept) else { return Ok(None) };
    let found = inspector.record_at(topic, committed.partition, last.offset)?.map(|it| digest(&it.record));
    Ok((found != Some(last)).then_some(Mismatch::HandOversReplaced { offset: last.offset }))
}

/// Returns the digest of a record of the topic of hand-overs.
pub(super) fn digest(record: &Record) -> RecordDigest {
    RecordDigest::of(record.offset, record.timestamp_ms, record.value.as_deref().unwrap_or_default())
}
