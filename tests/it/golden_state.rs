//! Compatibility of the changelog: records of every released format are restored to the same customers.
//!
//! `tests/golden/state` holds, for each format, records as bytes and the restored customers as text. They are generated
//! with `WRITE_GOLDEN_STATE=1 cargo test --test it golden_state`, when a format is introduced, and never change
//! afterwards.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::partition::{Clock, CustomerView, Effects, Input, Partition};
use lifecycle_processor::wire::changelog::{self, ChangelogDecoder, ChangelogError, FORMAT, InputProgress};
use lifecycle_processor::wire::model_file::{self, ModelSource};
use lifecycle_processor::wire::time::format_timestamp;
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

/// The touchpoints of the customers in the golden records.
const TOUCHPOINTS: [&str; 10] = [
    r#"{"event_id":"1","customer_id":"anna","type":"product_viewed","occurred_at":"2026-01-01T10:00:00.001Z"}"#,
    r#"{"event_id":"2","customer_id":"anna","type":"product_viewed","occurred_at":"2026-01-02T10:00:00Z"}"#,
    r#"{"event_id":"3","customer_id":"anna","type":"order_completed","occurred_at":"2026-01-03T10:00:00Z","order_id":"A","amount":49.99}"#,
    r#"{"event_id":"667b82f0-04e4-5a8f-9449-63876fdca07b","customer_id":"anna","type":"order_completed","occurred_at":"2026-02-03T10:00:00Z","order_id":"B","amount":5,"currency":"EUR"}"#,
    r#"{"event_id":"5","customer_id":"anna","type":"order_refunded","occurred_at":"2026-02-04T10:00:00Z","order_id":"A","amount":9.99}"#,
    r#"{"event_id":"6","customer_id":"bert","type":"product_viewed","occurred_at":"2026-02-05T10:00:00Z"}"#,
    r#"{"event_id":"7","customer_id":"bert","type":"feedback_given","occurred_at":"2026-02-01T10:00:00Z","score":9.5}"#,
    r#"{"event_id":"8","customer_id":"Zoë","type":"order_cancelled","occurred_at":"2026-02-06T10:00:00Z","order_id":"C"}"#,
    r#"{"event_id":"9","customer_id":"carl","type":"product_viewed","occurred_at":"2026-02-06T10:00:00Z"}"#,
    r#"{"event_id":"10","customer_id":"gone","type":"product_viewed","occurred_at":"2026-02-06T10:00:00Z"}"#,
];
const ERASURE: &str =
    r#"{"event_id":"11","customer_id":"gone","type":"customer_erased","occurred_at":"2026-02-07T10:00:00Z"}"#;

static MODELS: LazyLock<Arc<ModelSet>> = LazyLock::new(|| {
    let source = |name: &str| ModelSource { name: name.to_owned(), text: read_text(name) };
    let loaded = model_file::load(&[source("model.yaml")], &source("catalogue.yaml"), &[]);
    Arc::new(loaded.expect("the golden model has no errors").0)
});

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/state")).join(name)
}

fn read_text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Encodes two changelog records with the format of this release: the customers, then the removal of one of them.
/// `hand_overs_to` is set with identity resolution.
fn encode_records(hand_overs_to: Option<i64>) -> [Vec<u8>; 2] {
    let decoder = TouchpointDecoder::new(&MODELS.vocabulary, TouchpointOptions { bytes_max: 4096 });
    let mut partition = Partition::new(Arc::clone(&MODELS), FactOptions::default());
    let mut commit = |lines: &[String]| {
        for line in lines {
            let mut scratch = Scratch::default();
            let touchpoint = decoder.decode(line.as_bytes(), &mut scratch).expect("a touchpoint");
            partition.apply(Input::Touchpoint(&touchpoint), &mut Effects::default());
        }
        let batches = partition.write_batches(0);
        partition.commit();
        let [batch] = &batches[..] else { panic!("{} batches", batches.len()) };
        let progress =
            InputProgress { applied_to: 11, clock: partition.clock(), hand_overs_to, ..InputProgress::default() };
        changelog::encode(partition.layout(), batch, &progress)
    };
    // Dora's folded orders sum up to 13 * 10^18 millionths, which exceed 64 bits.
    let large_orders = (1..=45).map(|order| {
        let (hour, day) = (order % 24, 1 + order / 24);
        format!(
            r#"{{"event_id":"d{order}","customer_id":"dora","type":"order_completed","occurred_at":"2026-01-{day:02}T{hour:02}:00:00Z","amount":1e12}}"#
        )
    });
    let lines: Vec<_> = TOUCHPOINTS.map(str::to_owned).into_iter().chain(large_orders).collect();
    [commit(&lines), commit(&[ERASURE.to_owned()])]
}

/// Restores `records` and describes the customers as text.
fn describe(records: &[Vec<u8>]) -> String {
    let mut partition = Partition::new(Arc::clone(&MODELS), FactOptions::default());
    let mut decoder = ChangelogDecoder::default();
    for value in records {
        let record = decoder.decode(value).expect("a supported format");
        partition.restore(&record.layout, &record.customers).expect("valid customers");
    }
    partition.end_restore(Clock::at(Some(Timestamp::from_millis(1_770_000_000_000))), Timestamp::MIN);
    let mut text = String::new();
    for view in partition.customers() {
        write_view(&view, &mut text);
    }
    text
}

fn write_view(view: &CustomerView, text: &mut String) {
    let instant = |instant: Option<Timestamp>| instant.map_or_else(|| "never".to_owned(), format_timestamp);
    let line = |text: &mut String, words: String| writeln!(text, "{words}").expect("text can be written");
    line(text, format!("{}: clock {}", view.customer_id, format_timestamp(view.clock)));
    line(text, format!("  wakes up {}", instant(view.next_wake_up)));
    line(text, format!("  orders {} {:?} {}", view.orders.count, view.orders.revenue, instant(view.orders.last)));
    for fact in &view.facts {
        let value = fact.value.as_ref().map_or_else(|| "Absent".to_owned(), |value| format!("{value:?}"));
        line(text, format!("  {} = {value}", fact.name));
    }
    for model in &view.models {
        let (stage, since) = (model.stage.map(|stage| stage.0), instant(model.since));
        line(text, format!("  stage {stage:?} since {since}, {} published", model.sequence));
        line(text, format!("  signals {:?}, milestones {:?}", model.signals, model.milestones));
    }
}

#[test]
fn every_format_is_restored_to_the_same_customers() {
    if std::env::var_os("WRITE_GOLDEN_STATE").is_some() {
        let records = encode_records(None);
        for (number, record) in records.iter().enumerate() {
            fs::write(path(&format!("written.{number}.bin")), record).expect("the record is written");
        }
        let records = encode_records(Some(7));
        for (number, record) in records.iter().enumerate() {
            let first_of_format = path(&format!("format_{FORMAT}.{number}.bin"));
            if !first_of_format.exists() {
                fs::write(first_of_format, record).expect("the record is written");
                fs::write(path(&format!("format_{FORMAT}.txt")), describe(&records)).expect("the text is written");
            }
        }
    }
    assert_eq!(
        describe(&encode_records(Some(7))),
        read_text(&format!("format_{FORMAT}.txt")),
        "what this release writes"
    );
    for format in 1..=FORMAT {
        let records: Vec<Vec<u8>> = (0..2)
            .map(|number| path(&format!("format_{format}.{number}.bin")))
            .map(|path| fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
            .collect();
        let mut decoder = ChangelogDecoder::default();
        for record in &records {
            assert_eq!(decoder.decode(record).expect("a record").format, format);
        }
        assert_eq!(describe(&records), read_text(&format!("format_{format}.txt")), "format {format}");
    }
}

#[test]
fn encoded_records_equal_the_golden_records_byte_for_byte() {
    for (number, record) in encode_records(None).iter().enumerate() {
        let golden = fs::read(path(&format!("written.{number}.bin"))).expect("the golden record");
        assert!(
            *record == golden,
            "record {number} has changed: introduce a new format number, unless older releases read it correctly by skipping \
             new fields; then write it again with WRITE_GOLDEN_STATE=1"
        );
    }
}

#[test]
fn a_newer_format_is_rejected() {
    let mut newer = fs::read(path(&format!("format_{FORMAT}.0.bin"))).expect("the golden record");
    // The format is the first field: a tag byte, then the number.
    newer[1] = u8::try_from(FORMAT).expect("a small number") + 1;
    let error = ChangelogDecoder::default().decode(&newer).expect_err("too new");
    assert_eq!(error, ChangelogError::Newer(FORMAT + 1));
    assert!(error.to_string().contains(&format!("format {} was written by a newer release", FORMAT + 1)));
}
