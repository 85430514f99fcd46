//! Translates a record of a source into touchpoints, for ingest workers and for workers that read a source directly.
//!
//! A touchpoint of a mapping is valid because the mapping checks its fields; any other is decoded as the service does.
//! A record without a valid touchpoint thus becomes a dead letter with its position in the source.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::decode::{DecodeError, Decoder, Header};
use crate::kafka::Record;
use crate::lifecycle::identity::BlockedIds;
use crate::lifecycle::vocabulary::Vocabulary;
use crate::mapping::{MappedTouchpoint, Mapping, NO_TOUCHPOINT, Outcome, RecordValues, Records};
use crate::partition::DeadLetterReason;
use crate::wire::touchpoint_json::{DeadLetterCause, Scratch, TouchpointDecoder, TouchpointOptions};

/// Maximum number of touchpoints of one batch: all of them are written in one transaction.
const BATCH_TOUCHPOINTS_MAX: usize = 10_000;
/// Maximum size of the key and headers of a batch whose invalid records become dead letters of their own, in bytes:
/// each dead letter has a copy of them.
const COPIED_BYTES_MAX: usize = 64 << 10;

/// The expected size of a touchpoint; larger ones are allocated again.
const TOUCHPOINT_BYTES: usize = 384;

/// What becomes of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Translation {
    /// Its touchpoints, in order.
    Touchpoints(Vec<KeyedTouchpoint>),
    /// Nothing, by the rule of this name.
    Dropped(Arc<str>),
    /// It is not valid.
    DeadLetter(DeadLetterCause),
    /// One record of its batch is not valid: the record as JSON.
    ItemDeadLetter(DeadLetterCause, Vec<u8>),
    /// What becomes of each record of its batch, in order.
    Batch(Vec<Translation>),
    /// The schema registry did not answer: the record must be translated again later.
    Unavailable(String),
}

/// A touchpoint as JSON, and whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyedTouchpoint {
    /// The key of the record: the customer, or the visitor if only that is known. Empty for a source that is read
    /// directly.
    pub key: String,
    /// The touchpoint as JSON.
    pub value: Vec<u8>,
}

/// Translates the records of one source.
#[derive(Clone, Debug)]
pub struct Translator {
    decoder: Decoder,
    /// `None` if the records are touchpoints already.
    mapping: Option<Arc<Mapping>>,
    touchpoints: TouchpointDecoder,
    has_identity: bool,
    limits: TouchpointOptions,
    /// Whether the touchpoints get their keys.
    has_keys: bool,
}

impl Translator {
    /// Returns the translator of a source. Without a mapping, its records are touchpoints already.
    #[must_use]
    pub fn new(decoder: Decoder, mapping: Option<Arc<Mapping>>, touchpoints: TouchpointOptions) -> Self {
        // Properties are decoded by the service, which knows its models.
        let decode = TouchpointDecoder::new(&Vocabulary::default(), touchpoints);
        Self { decoder, mapping, touchpoints: decode, has_identity: false, limits: touchpoints, has_keys: true }
    }

    /// Accepts touchpoints of visitors, and treats `blocked_ids` as absent, if they are given.
    #[must_use]
    pub fn with_identity(self, blocked_ids: Option<BlockedIds>) -> Self {
        let has_identity = blocked_ids.is_some();
        Self { touchpoints: self.touchpoints.with_identity(blocked_ids), has_identity, ..self }
    }

    /// Leaves out the keys, for a caller that decodes the touchpoints: those without a mapping are not validated here.
    #[must_use]
    pub(super) fn without_keys(self) -> Self {
        Self { has_keys: false, ..self }
    }

    /// Whether a record may be a batch of records.
    pub(super) fn reads_batches(&self) -> bool {
        self.mapping.as_ref().is_some_and(|mapping| mapping.reads_batches())
    }

    /// Translates `record`.
    pub fn translate(&mut self, record: &Record) -> Translation {
        let value = record.value.as_deref().unwrap_or_default();
        if self.mapping.is_none() && self.decoder.is_plain_json() {
            return self.touchpoint(value.to_vec());
        }
        let bytes_max = self.limits.bytes_max;
        if value.len() > bytes_max {
            let detail = format!("the record has {} bytes, at most {bytes_max} are allowed", value.len()).into();
            return Translation::DeadLetter(DeadLetterCause { reason: DeadLetterReason::TooLarge, detail });
        }
        let headers: Vec<_> =
            record.headers.iter().map(|header| (header.name.as_str(), header.value.as_deref())).collect();
        if let Some(mapping) = self.mapping.as_deref().filter(|_| self.decoder.is_plain_json()) {
            let headers = headers.iter().filter_map(|&(name, value)| Some((name, value?)));
            if let Some(outcome) = mapping.map_object(record.key.as_deref(), headers.clone(), value) {
                return self.outcome(outcome);
            }
            return match mapping.read(record.key.as_deref(), headers, value) {
                Ok(values) => self.mapped(mapping, values, record),
                Err(cause) => Translation::DeadLetter(cause),
            };
        }
        let decoded = match self.decoder.decode(value, &headers) {
            Ok(decoded) => decoded,
            Err(DecodeError::DeadLetter(cause)) => return Translation::DeadLetter(cause),
            Err(DecodeError::Unavailable(problem)) => return Translation::Unavailable(problem),
        };
        let Some(mapping) = self.mapping.as_deref() else { return self.touchpoint(decoded.to_string().into_bytes()) };
        let values = RecordValues { key: text(record.key.as_deref()), headers: texts(&headers), value: decoded };
        self.mapped(mapping, values, record)
    }

    /// Maps the values of `record`.
    fn mapped(&self, mapping: &Mapping, values: RecordValues, record: &Record) -> Translation {
        let records = match mapping.records(values) {
            Ok(records) => records,
            Err(cause) => return Translation::DeadLetter(cause),
        };
        if !records.is_batch() {
            return self.outcome(mapping.map_record(&records, 0));
        }
        let mut parts: Vec<_> = (0..records.count()).map(|at| self.outcome(mapping.map_record(&records, at))).collect();
        let touchpoints = parts.iter().map(Translation::touchpoints).sum::<usize>();
        if touchpoints > BATCH_TOUCHPOINTS_MAX {
            let detail = format!("the batch makes more than {BATCH_TOUCHPOINTS_MAX} touchpoints");
            return Translation::DeadLetter(DeadLetterCause::new(DeadLetterReason::BadField, detail));
        }
        if parts.is_empty() {
            return Translation::Dropped(NO_TOUCHPOINT.into());
        }
        self.add_items(mapping, record, &mut parts);
        Translation::Batch(parts)
    }

    /// Adds the invalid records of a batch, so that each can be written to the source again without the others. That
    /// needs a source of plain JSON, and few bytes of key and headers. Otherwise one dead letter has the whole value,
    /// and names the first invalid record and the number of the others.
    fn add_items(&self, mapping: &Mapping, record: &Record, parts: &mut Vec<Translation>) {
        let is_invalid = |part: &Translation| matches!(part, Translation::DeadLetter(_));
        let Some(first) = parts.iter().position(is_invalid) else { return };
        let copied = record.key.as_ref().map_or(0, Vec::len)
            + record.headers.iter().map(|it| it.name.len() + it.value.as_ref().map_or(0, Vec::len)).sum::<usize>();
        if let Some(items) = self.whole_records(mapping, record).filter(|_| copied <= COPIED_BYTES_MAX) {
            for (at, part) in parts.iter_mut().enumerate() {
                if let Translation::DeadLetter(cause) = part {
                    let value = items.record(at).value.to_string().into_bytes();
                    *part = Translation::ItemDeadLetter(cause.clone(), value);
                }
            }
            return;
        }
        let others = parts[first + 1..].iter().filter(|part| is_invalid(part)).count();
        if let (Translation::DeadLetter(cause), 1..) = (&mut parts[first], others) {
            cause.detail = format!("{}; {others} more records are invalid", cause.detail).into();
        }
        let mut at = 0;
        parts.retain(|part| {
            at += 1;
            at - 1 == first || !is_invalid(part)
        });
    }

    /// Returns the records of a batch with the parts that the mapping does not read.
    fn whole_records(&self, mapping: &Mapping, record: &Record) -> Option<Records> {
        let value = record.value.as_deref().filter(|_| self.decoder.is_plain_json())?;
        mapping.records(RecordValues::of_topic(None, [], value).ok()?).ok()
    }

    fn outcome(&self, outcome: Outcome<'_>) -> Translation {
        match outcome {
            Outcome::Touchpoints(touchpoints) => {
                match touchpoints.iter().map(|touchpoint| self.keyed_mapped(touchpoint)).collect() {
                    Ok(touchpoints) => self.sized(touchpoints),
                    Err(cause) => Translation::DeadLetter(cause),
                }
            }
            Outcome::Dropped(rule) => Translation::Dropped(rule.into()),
            Outcome::Invalid(cause) => Translation::DeadLetter(cause),
        }
    }

    fn touchpoint(&self, value: Vec<u8>) -> Translation {
        match self.keyed(value) {
            Ok(touchpoint) => self.sized(vec![touchpoint]),
            Err(cause) => Translation::DeadLetter(cause),
        }
    }

    /// Refuses a touchpoint that would not fit into its topic, where it would stop the service.
    fn sized(&self, touchpoints: Vec<KeyedTouchpoint>) -> Translation {
        let bytes_max = self.limits.copy_bytes_max();
        match touchpoints.iter().map(|it| it.value.len()).find(|bytes| *bytes > bytes_max) {
            Some(bytes) => {
                let detail = format!("a touchpoint has {bytes} bytes, at most {bytes_max} are allowed").into();
                Translation::DeadLetter(DeadLetterCause { reason: DeadLetterReason::TooLarge, detail })
            }
            None => Translation::Touchpoints(touchpoints),
        }
    }

    /// Returns a touchpoint with its key.
    fn keyed(&self, value: Vec<u8>) -> Result<KeyedTouchpoint, DeadLetterCause> {
        if !self.has_keys {
            return Ok(KeyedTouchpoint { key: String::new(), value });
        }
        let mut scratch = Scratch::default();
        let key = self.touchpoints.decode(&value, &mut scratch)?.customer_id.to_owned();
        Ok(KeyedTouchpoint { key, value })
    }

    /// Returns a touchpoint of the mapping with its key. With identity resolution, it is decoded: blocked ids and links
    /// have rules of their own, which the mapping does not check.
    fn keyed_mapped(&self, touchpoint: &MappedTouchpoint) -> Result<KeyedTouchpoint, DeadLetterCause> {
        let mut value = Vec::with_capacity(TOUCHPOINT_BYTES);
        touchpoint.write_json(&mut value);
        match &touchpoint.customer_id {
            Some(customer_id) if self.has_keys && !self.has_identity => {
                Ok(KeyedTouchpoint { key: customer_id.clone(), value })
            }
            _ => self.keyed(value),
        }
    }
}

impl Translation {
    /// Returns the number of touchpoints of a record that is not a batch.
    fn touchpoints(&self) -> usize {
        if let Self::Touchpoints(touchpoints) = self { touchpoints.len() } else { 0 }
    }
}

/// Returns bytes as the mapping reads them: a text, or null.
fn text(bytes: Option<&[u8]>) -> Value {
    bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).map_or(Value::Null, Value::from)
}

/// Returns headers as the mapping reads them. Of headers with one name, the last counts.
fn texts(headers: &[Header<'_>]) -> Value {
    Value::Object(headers.iter().map(|(name, value)| ((*name).to_owned(), text(*value))).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decode::{Format, Framing, SchemaSource};
    use crate::mapping::IDENTITY;
    use crate::wire::model_file::ModelSource;

    const MAPPING: &str = "mapping: calls\nbatch: {records: record.calls, shared: [user]}\ntouchpoints:\n  - touchpoint: \
                           page_viewed\n    event_id: ${record.id}\n    customer_id: ${record.user}\n    occurred_at: \
                           ${epoch_seconds(record.at)}\n";

    fn translated(framing: Framing, value: Vec<u8>) -> Translation {
        let source = ModelSource { name: String::new(), text: MAPPING.to_owned() };
        let (mapping, _) = Mapping::compile(&source, &Map::new()).expect("a mapping");
        let decoder = Decoder::new(Format::Json, framing, SchemaSource::None, None).expect("a decoder");
        let options = TouchpointOptions { bytes_max: 1 << 20 };
        let record =
            Record { partition: 0, offset: 0, timestamp_ms: None, key: None, value: Some(value), headers: Vec::new() };
        Translator::new(decoder, Some(Arc::new(mapping)), options).translate(&record)
    }

    fn batch() -> Value {
        json!({"user": "c", "calls": [{"id": 1, "unread": [1]}, {"id": 2, "at": 0}, 5, {"id": 3, "at": 0, "user": "d"}]})
    }

    /// Returns the key, or the detail of the dead letter.
    fn summary(translation: &Translation) -> String {
        match translation {
            Translation::Touchpoints(touchpoints) => touchpoints[0].key.clone(),
            Translation::DeadLetter(cause) => cause.detail.to_string(),
            Translation::ItemDeadLetter(cause, item) => {
                format!("{} {}", cause.detail, std::str::from_utf8(item).expect("JSON"))
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn an_invalid_record_of_a_batch_is_a_dead_letter_without_the_others() {
        let Translation::Batch(parts) = translated(Framing::Plain, batch().to_string().into_bytes()) else {
            panic!("a batch")
        };
        let expected = [
            r#"item 0 of record.calls: occurred_at: record.at: missing or empty {"id":1,"unread":[1],"user":"c"}"#,
            "c",
            "item 2 of record.calls: expected an object 5",
            "d",
        ];
        assert_eq!(parts.iter().map(summary).collect::<Vec<_>>(), expected);
        let dropped = translated(Framing::Plain, b"{\"calls\": []}".to_vec());
        assert_eq!(dropped, Translation::Dropped(NO_TOUCHPOINT.into()));
    }

    #[test]
    fn the_dead_letter_of_a_batch_in_another_form_has_the_whole_value() {
        let framed = [&[0, 0, 0, 0, 7][..], batch().to_string().as_bytes()].concat();
        let Translation::Batch(parts) = translated(Framing::Confluent, framed) else { panic!("a batch") };
        let expected =
            ["item 0 of record.calls: occurred_at: record.at: missing or empty; 1 more records are invalid", "c", "d"];
        assert_eq!(parts.iter().map(summary).collect::<Vec<_>>(), expected);
    }

    const VISITORS: &str = "mapping: m\ntouchpoints:\n  - touchpoint: ${record.type}\n    event_id: ${record.id}\n    \
                           customer_id: ${record.user}\n    anonymous_id: ${record.device}\n    \
                           occurred_at: ${epoch_seconds(record.at)}\n";

    fn translator(blocked_ids: Option<BlockedIds>, mapping: Option<&str>) -> Translator {
        let settings = Map::from_iter([(IDENTITY.to_owned(), Value::Bool(blocked_ids.is_some()))]);
        let mapping = mapping.map(|text| {
            let source = ModelSource { name: "m.yaml".to_owned(), text: text.to_owned() };
            Arc::new(Mapping::compile(&source, &settings).expect("a mapping").0)
        });
        let decoder = Decoder::new(Format::Json, Framing::Plain, SchemaSource::None, None).expect("a decoder");
        Translator::new(decoder, mapping, TouchpointOptions { bytes_max: 10_000 }).with_identity(blocked_ids)
    }

    /// Returns the key and the value of the touchpoint, or the reason of the dead letter.
    fn keyed_by(translator: &mut Translator, value: &str) -> Result<(String, Value), &'static str> {
        keyed_by_bytes(translator, value.as_bytes().to_vec()).map_err(|cause| cause.reason.as_str())
    }

    fn keyed_by_bytes(translator: &mut Translator, value: Vec<u8>) -> Result<(String, Value), DeadLetterCause> {
        let value = Some(value);
        let record = Record { partition: 0, offset: 0, timestamp_ms: None, key: None, value, headers: Vec::new() };
        match translator.translate(&record) {
            Translation::Touchpoints(all) => {
                let value = serde_json::from_slice(&all[0].value).expect("JSON");
                Ok((all[0].key.clone(), value))
            }
            Translation::DeadLetter(cause) => Err(cause),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_record_of_a_visitor_has_the_anonymous_id_as_key() {
        let mut mapped = translator(Some(BlockedIds::default()), Some(VISITORS));
        let visitor = r#"{"id": 1, "type": "page_viewed", "device": "d", "at": 0}"#;
        let (key, value) = keyed_by(&mut mapped, visitor).expect("a touchpoint");
        assert_eq!((&*key, &value["anonymous_id"], value.get("customer_id")), ("d", &Value::from("d"), None));
        let blocked = r#"{"id": 1, "type": "page_viewed", "user": "guest", "device": "d", "at": 0}"#;
        assert_eq!(keyed_by(&mut mapped, blocked).expect("a touchpoint").0, "d");
        let both = r#"{"id": 1, "type": "customer_identified", "user": "u", "device": "d", "at": 0}"#;
        assert_eq!(keyed_by(&mut mapped, both).expect("a touchpoint").0, "u");
        let half = r#"{"id": 1, "type": "customer_identified", "user": "u", "at": 0}"#;
        assert_eq!(keyed_by(&mut mapped, half), Err("bad_field"));
        let neither = r#"{"id": 1, "type": "page_viewed", "user": "0", "device": "null", "at": 0}"#;
        assert_eq!(keyed_by(&mut mapped, neither), Err("no_customer"));
        let native =
            r#"{"event_id": "1", "type": "page_viewed", "anonymous_id": "d", "occurred_at": "2026-03-01T10:00:00Z"}"#;
        assert_eq!(keyed_by(&mut translator(Some(BlockedIds::default()), None), native).expect("one").0, "d");

        let mut without = translator(None, Some(VISITORS));
        assert_eq!(keyed_by(&mut without, visitor), Err("no_customer"));
        let (key, value) = keyed_by(&mut without, both).expect("a touchpoint");
        assert_eq!((&*key, value.get("anonymous_id")), ("u", None));
        assert_eq!(keyed_by(&mut without, blocked).expect("a touchpoint").0, "guest");
        assert_eq!(keyed_by(&mut translator(None, None), native), Err("no_customer"));
    }

    const MERGES: &str = "mapping: m\ntouchpoints:\n  - touchpoint: customer_merged\n    event_id: ${record.id}\n    \
                         customer_id: ${record.user}\n    merged_id: ${record.former}\n    \
                         occurred_at: ${rfc3339(record.at)}\n";
    const AT: &str = "2026-03-01T10:00:00Z";
    const RECORD_AVRO: &str = r#"{"type": "record", "name": "M", "fields": [{"name": "id", "type": "string"},
        {"name": "user", "type": "string"}, {"name": "former", "type": "string"}, {"name": "at", "type": "string"}]}"#;
    const RECORD_PROTO: &str =
        "syntax = \"proto3\"; message M { string id = 1; string user = 2; string former = 3; string at = 4; }";

    /// Appends a short text: in Avro with its length in zigzag encoding, in Protobuf behind the tag of its field.
    fn push_text(out: &mut Vec<u8>, format: Format, field: u8, text: &str) {
        let length = u8::try_from(text.len()).expect("a short text");
        match format {
            Format::Avro => out.push(length << 1),
            _ => out.extend([field << 3 | 2, length]),
        }
        out.extend(text.as_bytes());
    }

    #[test]
    fn records_of_each_format_merge_customers() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("a file");
            SchemaSource::File(path, text.as_bytes().to_vec())
        };
        let formats = [
            (Format::Json, SchemaSource::None, None),
            (Format::Avro, file("m.avsc", RECORD_AVRO), None),
            (Format::Protobuf, file("m.proto", RECORD_PROTO), Some("M")),
        ];
        for (format, schema, message) in formats {
            let decoder = Decoder::new(format, Framing::Plain, schema, message).expect("a decoder");
            let mut translator = Translator { decoder, ..translator(Some(BlockedIds::default()), Some(MERGES)) };
            let mut translated = |former: &str| {
                let value = if format == Format::Json {
                    json!({"id": "1", "user": "u", "former": former, "at": AT}).to_string().into_bytes()
                } else {
                    let mut value = Vec::new();
                    let fields = (1..).zip(["1", "u", former, AT]);
                    fields.for_each(|(field, text)| push_text(&mut value, format, field, text));
                    value
                };
                keyed_by_bytes(&mut translator, value)
            };
            let (key, value) = translated("guest-7").expect("a touchpoint");
            assert_eq!((&*key, &value["merged_id"]), ("u", &Value::from("guest-7")), "{format:?}");
            let cause = translated("").expect_err("it merges no id");
            assert_eq!(cause.reason.as_str(), "bad_field", "{format:?}");
            assert_eq!(cause.detail, "customer_merged: expected customer_id and merged_id, found at most one of them");
        }
    }

    #[test]
    fn protobuf_records_of_the_contract_merge_customers() {
        let encoded = |fields: &[(u8, &str)]| {
            let mut value = Vec::new();
            for &(field, text) in fields {
                push_text(&mut value, Format::Protobuf, field, text);
            }
            value
        };
        // Field 4 is a `Timestamp` of one second: its field 1 is the number 1.
        let fields = [(1, "1"), (2, "u"), (3, "customer_merged"), (4, "\u{8}\u{1}"), (10, "guest-7")];
        let decoder = Decoder::new(Format::Protobuf, Framing::Plain, SchemaSource::None, None).expect("a decoder");
        let mut translator = Translator { decoder, ..translator(Some(BlockedIds::default()), None) };
        let (key, value) = keyed_by_bytes(&mut translator, encoded(&fields)).expect("a touchpoint");
        assert_eq!((&*key, &value["merged_id"]), ("u", &Value::from("guest-7")));
        let cause = keyed_by_bytes(&mut translator, encoded(&fields[..4])).expect_err("it merges no id");
        assert_eq!(cause.reason.as_str(), "bad_field");
    }
}
