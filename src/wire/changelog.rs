//! Changelog records: `lifecycle.v1.ChangelogBatch`.
//!
//! Encoding writes a header in front of the customer entries that the partition has already encoded. Decoding borrows
//! the entries from the record; the partition decodes their content. Decoding never panics, even on arbitrary bytes.

use std::ops::Range;
use std::sync::Arc;

use prost::Message as _;
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, encoded_len_varint, skip_field,
};

use super::proto;
use crate::lifecycle::id::StableId;
use crate::lifecycle::time::Timestamp;
use crate::partition::{ChangelogBatch, Clock, StoredLayout, StoredModel};

/// The newest format version that this release can read. It is written with identity resolution only.
pub const FORMAT: u32 = 4;
/// Format version of a record without identity resolution, which earlier releases can read.
const FORMAT_WITHOUT_HAND_OVERS: u32 = 2;

const FORMAT_FIELD: u32 = 1;
const LAYOUT_FIELD: u32 = 2;
const APPLIED_TO_FIELD: u32 = 3;
const STREAM_TIME_FIELD: u32 = 4;
const SKIPPED_FIELD: u32 = 5;
const HAND_OVERS_TO_FIELD: u32 = 6;
const CUSTOMERS_FIELD: u32 = 15;

/// How far the input partition was applied when a changelog record was written. The committed offset has the same
/// information, until an operator resets the group's offsets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct InputProgress {
    /// Offset after the last applied touchpoint; 0 in a record of format 1.
    pub applied_to: i64,
    /// The ranges of offsets below `applied_to` that were never applied, because the offsets of the group were set
    /// forward. In ascending order.
    pub skipped: Vec<Range<i64>>,
    /// The stream time of the partition; not set in a record of format 1.
    pub clock: Clock,
    /// Offset after the last applied hand-over; `None` without identity resolution.
    pub hand_overs_to: Option<i64>,
}

impl InputProgress {
    /// Advances to `other`, unless this is already further.
    pub fn advance(&mut self, other: Self) {
        if other.applied_to >= self.applied_to {
            (self.applied_to, self.skipped) = (other.applied_to, other.skipped);
        }
        if let Some(stream_time) = other.clock.stream_time() {
            self.clock.advance(stream_time);
        }
        self.hand_overs_to = self.hand_overs_to.max(other.hand_overs_to);
    }
}

/// A decoded changelog record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangelogRecord<'a> {
    /// Format version of the record.
    pub format: u32,
    /// Maps the indices in the customer entries to stable ids.
    pub layout: Arc<StoredLayout>,
    /// How far the input partition was applied.
    pub progress: InputProgress,
    /// Customer entries: each an encoded `lifecycle.v1.Customer`, without its tag and length.
    pub customers: Vec<&'a [u8]>,
}

/// Why a changelog record cannot be decoded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChangelogError {
    /// A newer release wrote the record in this format version.
    #[error("changelog format {0} was written by a newer release; this release reads formats up to {FORMAT}")]
    Newer(u32),
    /// The bytes are not a changelog record, for this reason.
    #[error("corrupt changelog record: {0}")]
    Corrupt(&'static str),
}

/// Encodes `batch` as the value of a changelog record.
#[must_use]
pub fn encode(layout: &StoredLayout, batch: &ChangelogBatch, progress: &InputProgress) -> Vec<u8> {
    let layout = stored_to_proto(layout);
    let layout_bytes = layout.encoded_len();
    // The field keys and the format version take one byte each, the progress at most 10 bytes for each number.
    let header_bytes = 6 + 30 + encoded_len_varint(layout_bytes as u64) + layout_bytes;
    let mut out = Vec::with_capacity(header_bytes + batch.customers.len());

    encode_key(FORMAT_FIELD, WireType::Varint, &mut out);
    let format = if progress.hand_overs_to.is_some() { FORMAT } else { FORMAT_WITHOUT_HAND_OVERS };
    encode_varint(u64::from(format), &mut out);
    prost::encoding::message::encode(LAYOUT_FIELD, &layout, &mut out);
    prost::encoding::int64::encode(APPLIED_TO_FIELD, &progress.applied_to, &mut out);
    if let Some(stream_time) = progress.clock.stream_time() {
        prost::encoding::sint64::encode(STREAM_TIME_FIELD, &stream_time.as_millis(), &mut out);
    }
    let skipped: Vec<i64> = progress.skipped.iter().flat_map(|range| [range.start, range.end]).collect();
    prost::encoding::int64::encode_packed(SKIPPED_FIELD, &skipped, &mut out);
    if let Some(hand_overs_to) = &progress.hand_overs_to {
        prost::encoding::int64::encode(HAND_OVERS_TO_FIELD, hand_overs_to, &mut out);
    }
    out.extend_from_slice(&batch.customers);
    out
}

/// Decodes changelog records. Caches the last layout, which rarely changes.
#[derive(Debug, Default)]
pub struct ChangelogDecoder {
    last: Option<(Box<[u8]>, Arc<StoredLayout>)>,
}

impl ChangelogDecoder {
    /// Decodes the value of a record.
    ///
    /// # Errors
    /// When a newer release wrote the record, or it is corrupt.
    pub fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<ChangelogRecord<'a>, ChangelogError> {
        const CORRUPT: ChangelogError = ChangelogError::Corrupt("it is not a ChangelogBatch message");

        let mut rest = bytes;
        let mut format = 0;
        let mut layout: &[u8] = &[];
        let mut progress = InputProgress::default();
        let mut customers = Vec::new();
        while !rest.is_empty() {
            let (field, wire_type) = decode_key(&mut rest).map_err(|_| CORRUPT)?;
            match (field, wire_type) {
                (FORMAT_FIELD, WireType::Varint) => {
                    let number = decode_varint(&mut rest).map_err(|_| CORRUPT)?;
                    format = u32::try_from(number).map_err(|_| CORRUPT)?;
                    // Checked before the other fields, because a newer format may give them another meaning.
                    if format > FORMAT {
                        return Err(ChangelogError::Newer(format));
                    }
                }
                (LAYOUT_FIELD, WireType::LengthDelimited) => layout = take_delimited(&mut rest).ok_or(CORRUPT)?,
                (APPLIED_TO_FIELD, WireType::Varint) => {
                    progress.applied_to = decode_varint(&mut rest).map_err(|_| CORRUPT)?.cast_signed();
                }
                (STREAM_TIME_FIELD, WireType::Varint) => {
                    let mut millis = 0;
                    prost::encoding::sint64::merge(wire_type, &mut millis, &mut rest, DecodeContext::default())
                        .map_err(|_| CORRUPT)?;
                    progress.clock = Clock::at(Some(Timestamp::from_millis(millis)));
                }
                (SKIPPED_FIELD, WireType::LengthDelimited) => {
                    let mut ends = Vec::new();
                    prost::encoding::int64::merge_repeated(wire_type, &mut ends, &mut rest, DecodeContext::default())
                        .map_err(|_| CORRUPT)?;
                    progress.skipped = ends.as_chunks::<2>().0.iter().map(|&[start, end]| start..end).collect();
                }
                (HAND_OVERS_TO_FIELD, WireType::Varint) => {
                    progress.hand_overs_to = Some(decode_varint(&mut rest).map_err(|_| CORRUPT)?.cast_signed());
                }
                (CUSTOMERS_FIELD, WireType::LengthDelimited) => {
                    customers.push(take_delimited(&mut rest).ok_or(CORRUPT)?);
                }
                _ => skip_field(wire_type, field, &mut rest, DecodeContext::default()).map_err(|_| CORRUPT)?,
            }
        }
        if format == 0 {
            return Err(ChangelogError::Corrupt("it has no format version"));
        }
        Ok(ChangelogRecord { format, layout: self.layout(layout)?, progress, customers })
    }

    fn layout(&mut self, bytes: &[u8]) -> Result<Arc<StoredLayout>, ChangelogError> {
        if let Some((last, layout)) = &self.last
            && **last == *bytes
        {
            return Ok(Arc::clone(layout));
        }
        let message = proto::lifecycle::v1::Layout::decode(bytes)
            .map_err(|_| ChangelogError::Corrupt("its layout is not a Layout message"))?;
        let layout = Arc::new(stored_from_proto(message));
        self.last = Some((bytes.into(), Arc::clone(&layout)));
        Ok(layout)
    }
}

fn take_delimited<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
    let (taken, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(taken)
}

pub(super) fn stored_to_proto(layout: &StoredLayout) -> proto::lifecycle::v1::Layout {
    let StoredLayout { numbers, latest, windows, gaps, follow_ups, models, orders, added } = layout;
    proto::lifecycle::v1::Layout {
        numbers: to_numbers(numbers),
        latest: to_numbers(latest),
        windows: to_numbers(windows),
        gaps: to_numbers(gaps),
        followed: to_numbers(follow_ups),
        orders: *orders,
        added: added.iter().map(|(id, _)| id.0).collect(),
        added_at: added.iter().map(|(_, since)| since.as_millis()).collect(),
        models: models
            .iter()
            .map(|model| proto::lifecycle::v1::ModelLayout {
                id: model.id.0,
                hash: model.hash.0,
                stages: to_numbers(&model.stages),
                signals: to_numbers(&model.signals),
                milestones: to_numbers(&model.milestones),
                counters: to_numbers(&model.counters),
            })
            .collect(),
    }
}

pub(super) fn stored_from_proto(layout: proto::lifecycle::v1::Layout) -> StoredLayout {
    StoredLayout {
        numbers: to_ids(layout.numbers),
        latest: to_ids(layout.latest),
        windows: to_ids(layout.windows),
        gaps: to_ids(layout.gaps),
        follow_ups: to_ids(layout.followed),
        orders: layout.orders,
        added: to_ids(layout.added).into_iter().zip(layout.added_at.into_iter().map(Timestamp::from_millis)).collect(),
        models: layout
            .models
            .into_iter()
            .map(|model| StoredModel {
                id: StableId(model.id),
                hash: StableId(model.hash),
                stages: to_ids(model.stages),
                signals: to_ids(model.signals),
                milestones: to_ids(model.milestones),
                counters: to_ids(model.counters),
            })
            .collect(),
    }
}

fn to_numbers(ids: &[StableId]) -> Vec<u64> {
    ids.iter().map(|id| id.0).collect()
}

fn to_ids(numbers: Vec<u64>) -> Vec<StableId> {
    numbers.into_iter().map(StableId).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layout() -> StoredLayout {
        let ids = |from: u64, count: u64| (from..from + count).map(|id| StableId(id << 40 | id)).collect();
        StoredLayout {
            numbers: ids(1, 20),
            latest: ids(30, 2),
            windows: vec![],
            gaps: ids(40, 1),
            follow_ups: ids(50, 1),
            orders: true,
            added: vec![(StoredLayout::ORDERS, Timestamp::from_millis(-1))],
            models: vec![StoredModel {
                id: StableId(0),
                hash: StableId(u64::MAX),
                stages: ids(60, 5),
                signals: vec![],
                milestones: ids(70, 2),
                counters: ids(80, 1),
            }],
        }
    }

    fn progress() -> InputProgress {
        let clock = Clock::at(Some(Timestamp::from_millis(-5)));
        InputProgress { applied_to: 1 << 40, skipped: vec![3..17, 1000..1 << 39], clock, hand_overs_to: None }
    }

    fn batch(customers: &[&[u8]]) -> ChangelogBatch {
        let mut bytes = Vec::new();
        for customer in customers {
            encode_key(CUSTOMERS_FIELD, WireType::LengthDelimited, &mut bytes);
            encode_varint(customer.len() as u64, &mut bytes);
            bytes.extend_from_slice(customer);
        }
        ChangelogBatch { customers: bytes, count: customers.len() }
    }

    #[test]
    fn a_record_round_trips() {
        let customers: [&[u8]; 3] = [b"one", b"", &[7; 300]];
        for progress in [InputProgress::default(), progress(), InputProgress { hand_overs_to: Some(7), ..progress() }] {
            // A release without identity resolution can read what a service without it writes.
            let format = if progress.hand_overs_to.is_some() { 4 } else { 2 };
            let bytes = encode(&layout(), &batch(&customers), &progress);
            let mut decoder = ChangelogDecoder::default();
            let record = decoder.decode(&bytes).expect("just encoded");
            let layout = Arc::new(layout());
            assert_eq!(record, ChangelogRecord { format, layout, progress, customers: customers.to_vec() });
        }
    }

    #[test]
    fn the_protobuf_schema_decodes_a_record() {
        // Field 1, a string of three bytes.
        let bytes = encode(&layout(), &batch(&[b"\x0a\x03c-1"]), &progress());
        let message = proto::lifecycle::v1::ChangelogBatch::decode(&*bytes).expect("a ChangelogBatch");
        assert_eq!((message.format, message.applied_to, message.stream_time), (2, 1 << 40, Some(-5)));
        assert_eq!(message.skipped, [3, 17, 1000, 1 << 39]);
        assert_eq!(message.customers.len(), 1);
        assert_eq!(message.customers[0].customer_id, "c-1");
        assert_eq!(stored_from_proto(message.layout.expect("every record has a layout")), layout());
    }

    #[test]
    fn the_layout_is_shared_until_it_changes() {
        let mut decoder = ChangelogDecoder::default();
        let (one, other) =
            (encode(&layout(), &batch(&[]), &progress()), encode(&StoredLayout::default(), &batch(&[]), &progress()));
        let first = decoder.decode(&one).expect("just encoded").layout;
        let second = decoder.decode(&one).expect("just encoded").layout;
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(*decoder.decode(&other).expect("just encoded").layout, StoredLayout::default());
        assert_eq!(*decoder.decode(&one).expect("just encoded").layout, layout());
    }

    #[test]
    fn a_newer_format_version_is_rejected() {
        // Format 5, followed by bytes that format 4 cannot decode.
        let error = ChangelogDecoder::default().decode(&[8, 5, 0xff]).expect_err("a newer format");
        assert_eq!(error, ChangelogError::Newer(5));
        assert_eq!(
            error.to_string(),
            "changelog format 5 was written by a newer release; this release reads formats up to 4"
        );
    }

    #[test]
    fn unknown_fields_are_skipped_and_corruption_is_reported() {
        let mut bytes = encode(&layout(), &batch(&[b"one"]), &progress());
        encode_key(99, WireType::Varint, &mut bytes);
        encode_varint(5, &mut bytes);
        let mut decoder = ChangelogDecoder::default();
        assert_eq!(decoder.decode(&bytes).expect("unknown fields are skipped").customers, [b"one"]);
        assert!(matches!(decoder.decode(&bytes[..bytes.len() - 1]), Err(ChangelogError::Corrupt(_))));
        assert!(matches!(decoder.decode(b""), Err(ChangelogError::Corrupt(_))));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            noise in proptest::collection::vec(any::<u8>(), 0..200),
            at in 0_usize..200,
            byte in any::<u8>(),
        ) {
            let mut decoder = ChangelogDecoder::default();
            let _ = decoder.decode(&noise);
            let mut bytes = encode(&layout(), &batch(&[b"one", b"two"]), &progress());
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = decoder.decode(&bytes);
            let _ = decoder.decode(&bytes[..at]);
        }
    }
}
