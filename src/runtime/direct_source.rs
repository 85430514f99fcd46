//! A source that the workers read directly, because its topic is the touchpoint topic: its records are keyed by
//! customer and are not written to Kafka a second time.
//!
//! The topic also has touchpoints that the service writes: those of other sources, and forwarded erasures. They are
//! JSON whatever the format of the source is, and have a header that says so.

use std::sync::Arc;
use std::time::Duration;

use crate::kafka::Record;
use crate::wire::dead_letter::SOURCE_PREFIX;

use super::assigned_partition::AssignedPartition;
use super::record_builder::is_forwarded;
use super::translator::{Translation, Translator};

/// A source that the workers read directly.
#[derive(Clone, Debug)]
pub struct DirectSource {
    name: Arc<str>,
    topic: Arc<str>,
    translator: Translator,
}

impl DirectSource {
    /// Returns the source `name`, which reads the touchpoint topic `topic`.
    ///
    /// # Errors
    /// If the records of `translator` may be batches: the records of a batch have customers of other partitions.
    pub fn new(name: &str, topic: &str, translator: Translator) -> Result<Self, String> {
        if translator.reads_batches() {
            return Err(format!(
                "its mapping reads batches, whose records are of several customers, but the workers read `{topic}` \
                 directly, by customer: if no record is a batch, copy the mapping without `batch`; otherwise set \
                 topics.touchpoints to another topic, and the records of the source are written there by customer"
            ));
        }
        Ok(Self { name: name.into(), topic: topic.into(), translator: translator.without_keys() })
    }

    /// Returns the name of the source.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns its topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// Translates `record`; `None` if its value is a touchpoint in JSON.
    pub fn translate(&mut self, record: &Record) -> Option<Translation> {
        (!is_native(record)).then(|| self.translator.translate(record))
    }
}

/// Whether a record of the touchpoint topic is a touchpoint in JSON, even if the workers read a source from the topic:
/// its headers say that an ingest worker has written it, or that it is a forwarded erasure.
#[must_use]
pub fn is_native(record: &Record) -> bool {
    is_forwarded(record) || record.headers.iter().any(|header| header.name == SOURCE_PREFIX)
}

impl AssignedPartition {
    /// Pauses the partition before the record at its position, because the schema registry did not answer.
    pub(super) fn wait_for_registry(&mut self, elapsed: Duration) {
        self.registry_wait.extend(elapsed);
        self.watermark_mut().reset();
        self.fetch_mut().request_seek();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Decoder, Format, Framing, SchemaSource};
    use crate::kafka::RecordHeader;
    use crate::wire::touchpoint_json::TouchpointOptions;

    #[test]
    fn records_of_the_service_itself_are_not_translated() {
        let decoder = Decoder::new(Format::Protobuf, Framing::Plain, SchemaSource::None, None).expect("a decoder");
        let translator = Translator::new(decoder, None, TouchpointOptions { bytes_max: 1 << 20 });
        let mut source = DirectSource::new("app", "touchpoints", translator).expect("a source without batches");
        let mut record = Record {
            partition: 0,
            offset: 0,
            timestamp_ms: None,
            key: None,
            value: Some(b"\x0a\x01e".to_vec()),
            headers: vec![RecordHeader { name: "lifecycle_source_topic".to_owned(), value: None }],
        };
        let translation = source.translate(&record);
        let Some(Translation::Touchpoints(touchpoints)) = translation else { panic!("{translation:?}") };
        assert_eq!((touchpoints.len(), &*touchpoints[0].key), (1, ""), "the worker validates it");
        for name in ["lifecycle_source", "lifecycle_forwarded_from"] {
            record.headers = vec![RecordHeader { name: name.to_owned(), value: Some(b"x".to_vec()) }];
            assert_eq!(source.translate(&record), None);
        }
    }
}
