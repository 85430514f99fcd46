//! The text committed beside an input offset:
//! `lifecycle=1 changelog=7..42 models=00000000000000ff partitions=12 by=a-0 clock=1997-01-18T15:55:44Z`.
//!
//! Text rather than bytes, since Kafka's tools show it to operators. Words that are unknown are passed over, so that a later
//! release may add some without a new format.

use super::time::{format_timestamp, parse_timestamp};
use crate::lifecycle::id::StableId;
use crate::partition::Clock;

/// The format that this release writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// The longest name of a member that is noted.
const MEMBER_BYTES_MAX: usize = 200;

/// What the next owner of a partition has to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OffsetMetadata {
    /// The changelog offset from which on the committed state can be restored; a log that starts later was cut by somebody else.
    pub changelog_start: i64,
    /// The changelog offset after the last record that belongs to the committed state.
    pub changelog_end: i64,
    /// The event time reached.
    pub clock: Clock,
    /// The hash of the models that were run.
    pub models: StableId,
    /// How many partitions the topic of touchpoints had; `None` where nobody counted.
    pub partitions: Option<i32>,
    /// The member that committed, unless it has no name.
    pub by: Option<String>,
}

/// Why the text cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OffsetMetadataError {
    /// Written by a later release.
    #[error("offset metadata of format {0} was written by a newer release, this one reads formats up to {FORMAT}")]
    Newer(u32),
    /// Not what any release writes.
    #[error("offset metadata was not written by lifecycle: {0}")]
    Foreign(&'static str),
}

impl OffsetMetadata {
    /// The text; below 400 bytes.
    #[must_use]
    pub fn encode(&self) -> String {
        let Self { changelog_start, changelog_end, models, .. } = self;
        let mut text =
            format!("lifecycle={FORMAT} changelog={changelog_start}..{changelog_end} models={:016x}", models.0);
        if let Some(partitions) = self.partitions {
            text.push_str(" partitions=");
            text.push_str(&partitions.to_string());
        }
        if let Some(by) = self.by.as_deref().filter(|by| is_word(by)) {
            text.push_str(" by=");
            text.push_str(by);
        }
        if let Some(reached) = self.clock.reached() {
            text.push_str(" clock=");
            text.push_str(&format_timestamp(reached));
        }
        text
    }

    /// Reads the text; `None` when it is empty, as after an operator has reset the group's offsets.
    ///
    /// # Errors
    /// When a newer release or somebody else wrote it.
    pub fn decode(text: &str) -> Result<Option<Self>, OffsetMetadataError> {
        use OffsetMetadataError::{Foreign, Newer};

        if text.is_empty() {
            return Ok(None);
        }
        let word = |name| word(text, name);
        let format = word("lifecycle").ok_or(Foreign("it bears no format"))?;
        let format: u32 = format.parse().map_err(|_| Foreign("its format is no number"))?;
        if format > FORMAT {
            return Err(Newer(format));
        }
        let changelog = word("changelog").ok_or(Foreign("it bears no changelog offsets"))?;
        let (start, end) = changelog.split_once("..").ok_or(Foreign("its changelog offsets are no range"))?;
        let offset = |text: &str| {
            let offset: Option<i64> = text.parse().ok();
            offset.filter(|&offset| offset >= 0).ok_or(Foreign("its changelog offset is no offset"))
        };
        let models = word("models").ok_or(Foreign("it bears no hash of the models"))?;
        let reached = match word("clock") {
            Some(clock) => Some(parse_timestamp(clock).map_err(|_| Foreign("its clock is no time"))?),
            None => None,
        };
        Ok(Some(Self {
            changelog_start: offset(start)?,
            changelog_end: offset(end)?,
            clock: Clock::at(reached),
            models: StableId(
                u64::from_str_radix(models, 16)
                    .map_err(|_| Foreign("its hash of the models is no hexadecimal number"))?,
            ),
            partitions: match word("partitions") {
                Some(count) => Some(count.parse().map_err(|_| Foreign("its number of partitions is no number"))?),
                None => None,
            },
            by: owner_of(text),
        }))
    }
}

/// The member that committed `text`, if it names one.
#[must_use]
pub fn owner_of(text: &str) -> Option<String> {
    word(text, "by").filter(|by| is_word(by)).map(str::to_owned)
}

fn word<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(' ').filter_map(|word| word.split_once('=')).find_map(|(key, value)| (key == name).then_some(value))
}

/// Whether `name` can stand among other words, and is not of any length.
fn is_word(name: &str) -> bool {
    !name.is_empty() && name.len() <= MEMBER_BYTES_MAX && !name.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lifecycle::time::Timestamp;

    #[test]
    fn it_reads_well() {
        let metadata = OffsetMetadata {
            changelog_start: 7,
            changelog_end: 42,
            clock: Clock::at(Some(Timestamp::from_millis(853_602_944_000))),
            models: StableId(255),
            partitions: Some(12),
            by: Some("a-0".to_owned()),
        };
        let text =
            "lifecycle=1 changelog=7..42 models=00000000000000ff partitions=12 by=a-0 clock=1997-01-18T15:55:44Z";
        assert_eq!(metadata.encode(), text);
        assert_eq!(OffsetMetadata::decode(&format!("{text} later=word")), Ok(Some(metadata)));
    }

    #[test]
    fn what_earlier_releases_wrote_is_read() {
        let texts = [
            "lifecycle=1 changelog=7..42 models=00000000000000ff clock=1997-01-18T15:55:44Z",
            "lifecycle=1 changelog=7..42 models=00000000000000ff partitions=12 by=a-0 clock=1997-01-18T15:55:44Z",
        ];
        for text in texts {
            let metadata = OffsetMetadata::decode(text).expect("of format 1").expect("a text");
            assert_eq!((metadata.changelog_start, metadata.changelog_end, metadata.models.0), (7, 42, 255));
            assert_eq!(metadata.clock.reached(), Some(Timestamp::from_millis(853_602_944_000)));
        }
    }

    #[test]
    fn no_text_is_none_and_a_foreign_text_is_an_error() {
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
        ] {
            assert!(matches!(OffsetMetadata::decode(text), Err(OffsetMetadataError::Foreign(_))), "{text}");
        }
    }

    #[test]
    fn a_newer_format_is_refused_by_its_number() {
        assert_eq!(OffsetMetadata::decode("lifecycle=2 changelog=?"), Err(OffsetMetadataError::Newer(2)));
    }

    proptest! {
        #[test]
        fn it_survives_the_way_out_and_back(
            changelog_start in 0..=i64::MAX,
            changelog_end in 0..=i64::MAX,
            reached in proptest::option::of(Timestamp::MIN.as_millis()..=Timestamp::MAX.as_millis()),
            models in any::<u64>(),
            partitions in proptest::option::of(any::<i32>()),
            by in proptest::option::of("[a-z0-9._-]{1,100}"),
        ) {
            let metadata = OffsetMetadata {
                changelog_start,
                changelog_end,
                clock: Clock::at(reached.map(Timestamp::from_millis)),
                models: StableId(models),
                partitions,
                by,
            };
            prop_assert!(metadata.encode().len() < 400);
            prop_assert_eq!(OffsetMetadata::decode(&metadata.encode()), Ok(Some(metadata)));
        }

        #[test]
        fn no_text_is_fatal(text in "\\PC*", words in "(lifecycle=1|changelog=|models=|clock=|[0-9a-f]{1,20}| ){0,9}") {
            let _ = (OffsetMetadata::decode(&text), OffsetMetadata::decode(&words));
        }
    }
}
