//! The records of one transaction, in buffers that are kept between transactions.

use std::ops::Range;
use std::sync::Arc;

use super::member::{PartitionId, ProducerRecord, RecordHeader};

/// Records to write within a transaction. Their keys, values and headers are in one buffer.
#[derive(Clone, Debug, Default)]
pub struct RecordBatch {
    records: Vec<Spans>,
    headers: Vec<HeaderSpans>,
    bytes: Vec<u8>,
}

/// A record: its parts are ranges of [`RecordBatch::bytes`] and [`RecordBatch::headers`].
#[derive(Clone, Debug)]
struct Spans {
    topic: Arc<str>,
    partition: Option<PartitionId>,
    timestamp_ms: i64,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

#[derive(Clone, Debug)]
struct HeaderSpans {
    name: Range<usize>,
    value: Option<Range<usize>>,
}

/// A record of a [`RecordBatch`].
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    batch: &'a RecordBatch,
    spans: &'a Spans,
}

/// Adds the parts of the last record of a batch.
#[derive(Debug)]
pub struct RecordWriter<'a>(&'a mut RecordBatch);

impl RecordBatch {
    /// Adds a record without key, value and headers. `partition` is `None` to let the partitioner choose: murmur2 over
    /// the key, as in the Java client.
    pub fn add(&mut self, topic: &Arc<str>, partition: Option<PartitionId>, timestamp_ms: i64) -> RecordWriter<'_> {
        let headers = self.headers.len()..self.headers.len();
        let topic = Arc::clone(topic);
        self.records.push(Spans { topic, partition, timestamp_ms, key: None, value: None, headers });
        RecordWriter(self)
    }

    /// Adds `record`.
    pub fn push(&mut self, record: &ProducerRecord) {
        let ProducerRecord { topic, partition, key, value, headers, timestamp_ms } = record;
        let mut writer = self.add(topic, *partition, *timestamp_ms);
        if let Some(key) = key {
            writer.key(key);
        }
        if let Some(value) = value {
            writer.value(|out| out.extend_from_slice(value));
        }
        for RecordHeader { name, value } in headers {
            writer.header(name, value.as_deref());
        }
    }

    /// Returns the records, in the order in which they were added.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RecordRef<'_>> {
        self.records.iter().map(|spans| RecordRef { batch: self, spans })
    }

    /// Returns the number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Removes all records, and keeps the buffers.
    pub fn clear(&mut self) {
        self.records.clear();
        self.headers.clear();
        self.bytes.clear();
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}

impl FromIterator<ProducerRecord> for RecordBatch {
    fn from_iter<I: IntoIterator<Item = ProducerRecord>>(records: I) -> Self {
        let mut batch = Self::default();
        records.into_iter().for_each(|record| batch.push(&record));
        batch
    }
}

impl RecordWriter<'_> {
    fn last(&mut self) -> &mut Spans {
        self.0.records.last_mut().expect("a writer exists only after its record was added")
    }

    /// Sets the key.
    pub fn key(&mut self, key: &[u8]) {
        let span = self.0.append(key);
        self.last().key = Some(span);
    }

    /// Adds a header.
    pub fn header(&mut self, name: &str, value: Option<&[u8]>) {
        let (name, value) = (self.0.append(name.as_bytes()), value.map(|value| self.0.append(value)));
        self.0.headers.push(HeaderSpans { name, value });
        self.last().headers.end += 1;
    }

    /// Sets the value to what `write` appends to the buffer.
    pub fn value(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.0.bytes.len();
        write(&mut self.0.bytes);
        let end = self.0.bytes.len();
        self.last().value = Some(start..end);
    }

    /// Returns the number of bytes of key and value.
    #[must_use]
    pub fn bytes(&mut self) -> usize {
        let Spans { key, value, .. } = self.last();
        key.iter().chain(value.iter()).map(ExactSizeIterator::len).sum()
    }
}

impl<'a> RecordRef<'a> {
    fn text(self, span: &Range<usize>) -> &'a [u8] {
        &self.batch.bytes[span.clone()]
    }

    /// Returns the topic.
    #[must_use]
    pub fn topic(self) -> &'a str {
        &self.spans.topic
    }

    /// Returns the partition; `None` lets the partitioner choose.
    #[must_use]
    pub fn partition(self) -> Option<PartitionId> {
        self.spans.partition
    }

    /// Returns the timestamp, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn timestamp_ms(self) -> i64 {
        self.spans.timestamp_ms
    }

    /// Returns the key.
    #[must_use]
    pub fn key(self) -> Option<&'a [u8]> {
        self.spans.key.as_ref().map(|span| self.text(span))
    }

    /// Returns the value; `None` is a tombstone.
    #[must_use]
    pub fn value(self) -> Option<&'a [u8]> {
        self.spans.value.as_ref().map(|span| self.text(span))
    }

    /// Returns the headers.
    ///
    /// # Panics
    /// Never: names are added as text.
    #[must_use]
    pub fn headers(self) -> impl ExactSizeIterator<Item = (&'a str, Option<&'a [u8]>)> {
        self.batch.headers[self.spans.headers.clone()].iter().map(move |HeaderSpans { name, value }| {
            let name = str::from_utf8(self.text(name)).expect("a name was added as text");
            (name, value.as_ref().map(|span| self.text(span)))
        })
    }
}

impl From<RecordRef<'_>> for ProducerRecord {
    fn from(record: RecordRef<'_>) -> Self {
        let headers = record.headers();
        Self {
            topic: Arc::clone(&record.spans.topic),
            partition: record.partition(),
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: headers
                .map(|(name, value)| RecordHeader { name: name.to_owned(), value: value.map(<[u8]>::to_vec) })
                .collect(),
            timestamp_ms: record.timestamp_ms(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cleared_batch_contains_only_what_was_added_since() {
        let header = |name: &str, value: Option<&str>| RecordHeader {
            name: name.to_owned(),
            value: value.map(|value| value.as_bytes().to_vec()),
        };
        let full = ProducerRecord {
            topic: "out".into(),
            partition: None,
            key: Some(b"c-1".to_vec()),
            value: Some(b"{}".to_vec()),
            headers: vec![header("a", Some("1")), header("b", None), header("a", Some(""))],
            timestamp_ms: 5,
        };
        let bare = ProducerRecord { partition: Some(3), key: None, value: None, headers: Vec::new(), ..full.clone() };
        let empty = ProducerRecord { key: Some(Vec::new()), value: Some(Vec::new()), ..bare.clone() };
        let mut batch = RecordBatch::default();
        for records in [vec![full.clone(), bare.clone()], vec![empty, bare, full], vec![]] {
            batch.clear();
            for record in &records {
                batch.push(record);
            }
            assert_eq!(batch.iter().map(ProducerRecord::from).collect::<Vec<_>>(), records);
            assert_eq!((batch.len(), batch.is_empty()), (records.len(), records.is_empty()));
        }
    }
}
