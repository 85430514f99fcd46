//! The metadata of a committed touchpoint offset, as text:
//! `lifecycle=1 changelog=7..42 models=00000000000000ff partitions=12 by=a-0 clock=1997-01-18T15:55:44Z`.
//!
//! Text rather than bytes, because Kafka's tools show it to operators. Unknown fields are ignored, so that a later
//! release can add fields without a new format version.

use std::fmt::Write as _;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::time::{format_timestamp, parse_timestamp};
use crate::lifecycle::id::StableId;
use crate::partition::Clock;

/// Format version that this release writes, and the newest one that it can read.
pub const FORMAT: u32 = 1;

/// Maximum length of a member name, in bytes; a longer name is omitted.
const MEMBER_BYTES_MAX: usize = 200;

/// The metadata of a committed offset, from which the next owner restores the partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OffsetMetadata {
    /// The changelog offset from which the committed state can be restored. If the changelog starts at a later offset,
    /// something other than this service has deleted records.
    pub changelog_start: i64,
    /// The changelog offset after the last record of the committed state.
    pub changelog_end: i64,
    /// The stream time of the partition at the commit.
    pub clock: Clock,
    /// The hash of the models that produced the committed state.
    pub models: StableId,
    /// The number of partitions of the touchpoint topic; `None` if unknown.
    pub partitions: Option<i32>,
    /// The offset of the next hand-over to apply; `None` without identity resolution.
    pub hand_overs: Option<i64>,
    /// A hand-over that was applied, for the comparison with the topic: the last one, or one of the last minutes.
    /// `None` before the first.
    pub last_hand_over: Option<RecordDigest>,
    /// The name of the group member that committed; `None` if it has no usable name.
    pub member: Option<String>,
}

/// Identifies a record, so that a log is recognized that was deleted and created again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordDigest {
    /// The offset of the record.
    pub offset: i64,
    /// The hash of its value and timestamp.
    pub hash: u64,
}

impl RecordDigest {
    /// Returns the digest of a record.
    #[must_use]
    pub fn of(offset: i64, timestamp_ms: Option<i64>, value: &[u8]) -> Self {
        let seed = timestamp_ms.unwrap_or_default().cast_unsigned();
        Self { offset, hash: xxh3_64_with_seed(value, seed) }
    }
}

/// Why offset metadata cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OffsetMetadataError {
    /// A newer release wrote the metadata in this format version.
    #[error("offset metadata of format {0} was written by a newer release; this release reads formats up to {FORMAT}")]
    Newer(u32),
    /// Another program wrote the metadata; it does not have the format of `lifecycle`, for this reason.
    #[error("offset metadata was not written by lifecycle: {0}")]
    Foreign(&'static str),
}

impl OffsetMetadata {
    /// Returns the metadata as text, of less than 400 bytes.
    #[must_use]
    pub fn encode(&self) -> String {
        let Self { changelog_start, changelog_end, models, .. } = self;
        let mut text =
            format!("lifecycle={FORMAT} changelog={changelog_start}..{changelog_end} models={:016x}", models.0);
        if let Some(partitions) = self.partitions {
            text.push_str(" partitions=");
            text.push_str(&partitions.to_string());
        }
        if let Some(hand_overs) = self.hand_overs {
            text.push_str(" hand_overs=");
            text.push_str(&hand_overs.to_string());
        }
        if let Some(RecordDigest { offset, hash }) = self.last_hand_over {
            _ = write!(text, " last_hand_over={offset}:{hash:016x}");
        }
        if let Some(member) = self.member.as_deref().filter(|member| is_valid_field(member)) {
            text.push_str(" by=");
            text.push_str(member);
        }
        if let Some(stream_time) = self.clock.stream_time() {
            text.push_str(" clock=");
            text.push_str(&format_timestamp(stream_time));
        }
        text
    }

    /// Parses the text. Returns `None` if it is empty, for example after an operator has reset the group's offsets.
    ///
    /// # Errors
    /// When a newer release or another program wrote the metadata.
    pub fn decode(text: &str) -> Result<Option<Self>, OffsetMetadataError> {
        use OffsetMetadataError::{Foreign, Newer};

        if text.is_empty() {
            return Ok(None);
        }
        let field = |name| field(text, name);
        let format = field("lifecycle").ok_or(Foreign("it has no format version"))?;
        let format: u32 = format.parse().map_err(|_| Foreign("its format version is not a number"))?;
        if format > FORMAT {
            return Err(Newer(format));
        }
        let changelog = field("changelog").ok_or(Foreign("it has no changelog offsets"))?;
        let (start, end) = changelog.split_once("..").ok_or(Foreign("its changelog offsets are not a range"))?;
        let offset = |text: &str| {
            let offset: Option<i64> = text.parse().ok();
            offset.filter(|&offset| offset >= 0).ok_or(Foreign("one of its offsets is not an offset"))
        };
        let digest = |text: &str| {
            let (at, hash) = text.split_once(':').ok_or(Foreign("its last hand-over has no hash"))?;
            let hash = u64::from_str_radix(hash, 16).map_err(|_| Foreign("its hash of a hand-over is not a hash"))?;
            Ok(RecordDigest { offset: offset(at)?, hash })
        };
        let models = field("models").ok_or(Foreign("it has no model hash"))?;
        let stream_time = match field("clock") {
            Some(clock) => Some(parse_timestamp(clock).map_err(|_| Foreign("its clock is not a timestamp"))?),
            None => None,
        };
        Ok(Some(Self {
            changelog_start: offset(start)?,
            changelog_end: offset(end)?,
            clock: Clock::at(stream_time),
            models: StableId(
                u64::from_str_radix(models, 16).map_err(|_| Foreign("its model hash is not a hexadecimal number"))?,
            ),
            partitions: match field("partitions") {
                Some(count) => Some(count.parse().map_err(|_| Foreign("its partition count is not a number"))?),
                None => None,
            },
            hand_overs: field("hand_overs").map(offset).transpose()?,
            last_hand_over: field("last_hand_over").map(digest).transpose()?,
            member: owner_of(text),
        }))
    }
}

/// Returns `text` with the mark that the customers of the group were moved to the touchpoint topic `topic`.
#[must_use]
pub fn mark_moved(text: &str, topic: &str) -> String {
    let unmarked = text.split(' ').filter(|word| !word.starts_with("moved_to="));
    let words: Vec<_> = unmarked.map(str::to_owned).chain([format!("moved_to={topic}")]).collect();
    words.join(" ")
}

/// Returns the touchpoint topic that the customers of the group were moved to, if the metadata has the mark.
#[must_use]
pub fn moved_to(text: &str) -> Option<&str> {
    field(text, "moved_to")
}

/// Returns the group member that committed `text`, if the metadata names one.
#[must_use]
pub fn owner_of(text: &str) -> Option<String> {
    field(text, "by").filter(|by| is_valid_field(by)).map(str::to_owned)
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(' ').filter_map(|word| word.split_once('=')).find_map(|(key, value)| (key == name).then_some(value))
}

/// Whether `name` can be a field value: not empty, not too long, and without white space.
fn is_valid_field(name: &str) -> bool {
    !name.is_empty() && name.len() <= MEMBER_BYTES_MAX && !name.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lifecycle::time::Timestamp;

    #[test]
    fn metadata_is_readable_text() {
        let metadata = OffsetMetadata {
            changelog_start: 7,
            changelog_end: 42,
            clock: Clock::at(Some(Timestamp::from_millis(853_602_944_000))),
            models: StableId(255),
            partitions: Some(12),
            hand_overs: None,
            last_hand_over: None,
            member: Some("a-0".to_owned()),
        };
        let text =
            "lifecycle=1 changelog=7..42 models=00000000000000ff partitions=12 by=a-0 clock=1997-01-18T15:55:44Z";
        assert_eq!(metadata.encode(), text);
        assert_eq!(OffsetMetadata::decode(&format!("{text} later=word")), Ok(Some(metadata.clone())));
        let with_hand_overs = OffsetMetadata { hand_overs: Some(3), ..metadata };
        let text = text.replace("by=", "hand_overs=3 by=");
        assert_eq!(with_hand_overs.encode(), text);
        assert_eq!(OffsetMetadata::decode(&text), Ok(Some(with_hand_overs.clone())));
        let last_hand_over = Some(RecordDigest { offset: 2, hash: 254 });
        let with_last = OffsetMetadata { last_hand_over, ..with_hand_overs };
        let text = text.replace("by=", "last_hand_over=2:00000000000000fe by=");
        assert_eq!(with_last.encode(), text);
        assert_eq!(OffsetMetadata::decode(&text), Ok(Some(with_last)));
    }

    #[test]
    fn the_mark_of_a_move_is_replaced_by_that_of_a_later_one() {
        let text = "lifecycle=1 changelog=7..42 models=00000000000000ff";
        assert_eq!(moved_to(text), None);
        let marked = mark_moved(&mark_moved(text, "in-48"), "in-96");
        assert_eq!((marked.matches("moved_to=").count(), moved_to(&marked)), (1, Some("in-96")));
        assert_eq!(OffsetMetadata::decode(&marked), OffsetMetadata::decode(text));
    }

    #[test]
    fn metadata_of_earlier_releases_is_decoded() {
        let texts = [
            "lifecycle=1 changelog=7..42 models=00000000000000ff clock=1997-01-18T15:55:44Z",
            "lifecycle=1 changelog=7..42 models=00000000000000ff partitions=12 by=a-0 clock=1997-01-18T15:55:44Z",
        ];
        for text in texts {
            let metadata = OffsetMetadata::decode(text).expect("format 1").expect("not empty");
            assert_eq!((metadata.changelog_start, metadata.changelog_end, metadata.models.0), (7, 42, 255));
            assert_eq!(metadata.clock.stream_time(), Some(Timestamp::from_millis(853_602_944_000)));
        }
    }

    #[test]
    fn empty_text_is_none_and_foreign_text_is_an_error() {
        assert_eq!(OffsetMetadata::decode(""), Ok(None));
        for text in [
            "spark",
            "{\"v\":1}",
            "lifecycle=one",
            "lifecycle=1",
            "lifecycle=1 changelog=1 models=0",
            "lifecycle=1 changelog=0..-1 models=0",
            "lifecycle=1 changelog=0..1 models=x",
            "lifecycle=1 changelog=0..1 models=0 clock=noon",
            "lifecycle=1 changelog=0..1 models=0 partitions=many",
            "lifecycle=1 changelog=0..1 models=0 hand_overs=some",
            "lifecycle=1 changelog=0..1 models=0 last_hand_over=1",
            "lifecycle=1 changelog=0..1 models=0 last_hand_over=1:x",
        ] {
            assert!(matches!(OffsetMetadata::decode(text), Err(OffsetMetadataError::Foreign(_))), "{text}");
        }
    }

    #[test]
    fn a_newer_format_version_is_rejected() {
        assert_eq!(OffsetMetadata::decode("lifecycle=2 changelog=?"), Err(OffsetMetadataError::Newer(2)));
    }

    proptest! {
        #[test]
        fn metadata_round_trips(
            changelog_start in 0..=i64::MAX,
            changelog_end in 0..=i64::MAX,
            stream_time in proptest::option::of(Timestamp::MIN.as_millis()..=Timestamp::MAX.as_millis()),
            models in any::<u64>(),
            partitions in proptest::option::of(any::<i32>()),
            hand_overs in proptest::option::of(0..=i64::MAX),
            last_hand_over in proptest::option::of((0..=i64::MAX, any::<u64>())),
            member in proptest::option::of("[a-z0-9._-]{1,100}"),
        ) {
            let metadata = OffsetMetadata {
                changelog_start,
                changelog_end,
                clock: Clock::at(stream_time.map(Timestamp::from_millis)),
                models: StableId(models),
                partitions,
                hand_overs,
                last_hand_over: last_hand_over.map(|(offset, hash)| RecordDigest { offset, hash }),
                member,
            };
            prop_assert!(metadata.encode().len() < 400);
            prop_assert_eq!(OffsetMetadata::decode(&metadata.encode()), Ok(Some(metadata)));
        }

        #[test]
        fn arbitrary_text_never_panics(text in "\\PC*", words in "(lifecycle=1|changelog=|models=|clock=|[0-9a-f]{1,20}| ){0,9}") {
            let _ = (OffsetMetadata::decode(&text), OffsetMetadata::decode(&words));
        }
    }
}
