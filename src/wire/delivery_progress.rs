//! The progress of a destination in a partition, as committed in the metadata of a consumer offset.
//!
//! The committed offset is that of the first record that is not done. The metadata adds which later records are done:
//! `lifecycle-deliver=1 read_to=1042 runs=AgED`, where `runs` are the lengths of the runs of offsets from the committed
//! one on, alternately not done and done, as base-128 numbers in URL-safe base64. Brokers limit metadata to 4,096
//! bytes. If the runs do not fit, `read_to` is lowered to the end of those that do: the rest is delivered again after a
//! restart.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::encoding::{decode_varint, encode_varint};

/// The offsets of a partition that are done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// All records below it that are not pending are done.
    pub read_to: i64,
    /// Offsets below `read_to` of records that are not done.
    pub pending: BTreeSet<i64>,
}

/// Metadata that is not a progress of this version.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the metadata of the committed offset is not that of a destination")]
pub struct ForeignMetadata;

const PREFIX: &str = "lifecycle-deliver=1 ";

/// Maximum size of the encoded runs before base64, in bytes. With prefix and base64 it stays below 4,095 bytes.
const RUNS_BYTES_MAX: usize = 3_000;

impl Progress {
    /// Returns the progress at an offset with nothing done beyond it.
    #[must_use]
    pub const fn at(offset: i64) -> Self {
        Self { read_to: offset, pending: BTreeSet::new() }
    }

    /// Returns the offset to commit.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.pending.first().copied().unwrap_or(self.read_to)
    }

    /// Returns the progress in which a record is done if it is done in either of two.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        let is_pending =
            |offset: &i64| [self, other].iter().all(|it| *offset >= it.read_to || it.pending.contains(offset));
        let pending = self.pending.union(&other.pending).copied().filter(is_pending).collect();
        Self { read_to: self.read_to.max(other.read_to), pending }
    }

    /// Encodes what is done beyond the committed offset.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut runs = Vec::new();
        let mut read_to = self.offset();
        let mut pending = self.pending.iter().copied().peekable();
        while let Some(start) = pending.next() {
            let mut end = start + 1;
            while pending.next_if_eq(&end).is_some() {
                end += 1;
            }
            // The run of done records ends at the next pending one.
            let done_to = pending.peek().copied().unwrap_or(self.read_to);
            let mut pair = Vec::new();
            encode_varint(end.abs_diff(start), &mut pair);
            encode_varint(done_to.abs_diff(end), &mut pair);
            if runs.len() + pair.len() > RUNS_BYTES_MAX {
                break;
            }
            runs.extend(pair);
            read_to = done_to;
        }
        format!("{PREFIX}read_to={read_to} runs={}", URL_SAFE_NO_PAD.encode(&runs))
    }

    /// Decodes metadata that was committed with `offset`.
    ///
    /// # Errors
    /// If the metadata was not written by [`encode`](Self::encode), for example by a tool that reset the offsets.
    pub fn decode(offset: i64, metadata: &str) -> Result<Self, ForeignMetadata> {
        let fields = metadata.strip_prefix(PREFIX).ok_or(ForeignMetadata)?;
        let (read_to, runs) = fields.split_once(" runs=").ok_or(ForeignMetadata)?;
        let read_to: i64 = read_to.strip_prefix("read_to=").and_then(|it| it.parse().ok()).ok_or(ForeignMetadata)?;
        let runs = URL_SAFE_NO_PAD.decode(runs).map_err(|_| ForeignMetadata)?;
        let mut pending = BTreeSet::new();
        let (mut at, mut rest) = (offset, runs.as_slice());
        while !rest.is_empty() {
            let (not_done, done) = (read_count(&mut rest)?, read_count(&mut rest)?);
            let end = at.checked_add(not_done).filter(|end| *end <= read_to).ok_or(ForeignMetadata)?;
            // Bounds the work for metadata that we have not written.
            if not_done > PENDING_MAX {
                return Err(ForeignMetadata);
            }
            pending.extend(at..end);
            at = end.checked_add(done).filter(|at| *at <= read_to).ok_or(ForeignMetadata)?;
        }
        if at == read_to { Ok(Self { read_to, pending }) } else { Err(ForeignMetadata) }
    }
}

/// Maximum length of a run of records that are not done, above the number of deliveries a destination holds in memory.
const PENDING_MAX: i64 = 1_000_000;

fn read_count(bytes: &mut &[u8]) -> Result<i64, ForeignMetadata> {
    decode_varint(bytes).ok().and_then(|count| i64::try_from(count).ok()).ok_or(ForeignMetadata)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The limit of brokers, which reject 4,096 bytes.
    const METADATA_BYTES_MAX: usize = 4_095;

    #[test]
    fn other_metadata_is_foreign() {
        for text in ["", "spark", "lifecycle=1 changelog=0..1 models=0", "lifecycle-deliver=2 read_to=1 runs="] {
            assert_eq!(Progress::decode(0, text), Err(ForeignMetadata), "{text}");
        }
        let valid = Progress { read_to: 9, pending: BTreeSet::from([3, 4, 7]) };
        assert_eq!(Progress::decode(3, &valid.encode()), Ok(valid.clone()));
        // Another program has reset the offset and kept the metadata.
        assert_eq!(Progress::decode(0, &valid.encode()), Err(ForeignMetadata));
        assert_eq!(Progress::decode(1 << 40, &valid.encode()), Err(ForeignMetadata));
    }

    #[test]
    fn what_does_not_fit_is_not_reported_as_done() {
        let pending: BTreeSet<i64> = (0..20_000).map(|it| it * 2).collect();
        let progress = Progress { read_to: 40_000, pending };
        let text = progress.encode();
        assert!(text.len() <= METADATA_BYTES_MAX, "{}", text.len());
        let read = Progress::decode(0, &text).expect("our own encoding");
        assert!(read.read_to > 2_000 && read.read_to < 40_000, "{}", read.read_to);
        assert!(read.pending.iter().copied().eq(progress.pending.range(..read.read_to).copied()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn progress_round_trips_and_fits(
            start in 0_i64..1 << 50,
            lengths in proptest::collection::vec((1_i64..4, 1_i64..300), 0..2_000),
        ) {
            let mut progress = Progress::at(start);
            for (not_done, done) in lengths {
                progress.pending.extend(progress.read_to..progress.read_to + not_done);
                progress.read_to += not_done + done;
            }
            let text = progress.encode();
            prop_assert!(text.len() <= METADATA_BYTES_MAX);
            let read = Progress::decode(progress.offset(), &text).expect("our own encoding");
            prop_assert!(read.read_to <= progress.read_to);
            prop_assert!(read.pending.iter().copied().eq(progress.pending.range(..read.read_to).copied()));
        }

        #[test]
        fn what_is_done_in_either_progress_is_done_after_a_merge(
            first in (0_i64..60, proptest::collection::btree_set(0_i64..60, 0..30)),
            second in (0_i64..60, proptest::collection::btree_set(0_i64..60, 0..30)),
        ) {
            let progress = |(read_to, pending): (i64, BTreeSet<i64>)| {
                Progress { read_to, pending: pending.into_iter().filter(|it| *it < read_to).collect() }
            };
            let (first, second) = (progress(first), progress(second));
            let is_done = |it: &Progress, offset: i64| offset < it.read_to && !it.pending.contains(&offset);
            let merged = first.merge(&second);
            for offset in 0..60 {
                prop_assert_eq!(is_done(&merged, offset), is_done(&first, offset) || is_done(&second, offset));
            }
        }

        #[test]
        fn arbitrary_text_never_panics(offset in any::<i64>(), text in "(lifecycle-deliver=1 read_to=[0-9]{1,20} runs=[A-Za-z0-9_-]{0,40}|\\PC*)") {
            drop(Progress::decode(offset, &text));
        }
    }
}
