//! Fuzz tests: no decoder panics on any input.
//!
//! By default, each target runs for one second with a fixed seed. `LIFECYCLE_FUZZ_SECONDS` sets another duration and
//! selects a random seed, which is printed. The tests also check that errors have a message, and that a reported span
//! is within the text.

mod http;
mod mutation;

use std::sync::Arc;

use lifecycle_processor::cli::eval;
use lifecycle_processor::lifecycle::id::StableId;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::partition::{Clock, Effects, Input, Partition};
use lifecycle_processor::wire::changelog::{self, ChangelogDecoder};
use lifecycle_processor::wire::model_file::{self, ModelSource};
use lifecycle_processor::wire::offset_metadata::{OffsetMetadata, OffsetMetadataError};
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

use crate::oracle::generator;

use mutation::fuzz;

fn shipped() -> Vec<ModelSource> {
    model_file::shipped_names().iter().filter_map(|name| model_file::shipped(name)).collect()
}

/// Returns a partition with customers, its changelog records, and the touchpoints that it applied.
fn sample_state() -> (Partition, Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (models, _) = model_file::load(&shipped(), &model_file::shipped_catalogue(), &[]).expect("shipped models load");
    let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 16 });
    let mut partition = Partition::new(Arc::new(models), FactOptions::default());
    let lines: Vec<_> = generator::histories(1, 20).into_iter().map(String::into_bytes).collect();
    for line in &lines {
        let mut scratch = Scratch::default();
        if let Ok(touchpoint) = decoder.decode(line, &mut scratch) {
            partition.apply(Input::Touchpoint(&touchpoint), &mut Effects::default());
        }
    }
    let records = partition
        .write_batches(0)
        .iter()
        .map(|batch| changelog::encode(partition.layout(), batch, &changelog::InputProgress::default()))
        .collect();
    partition.commit();
    (partition, records, lines)
}

#[test]
fn touchpoints() {
    let (_, _, lines) = sample_state();
    let (models, _) = model_file::load(&shipped(), &model_file::shipped_catalogue(), &[]).expect("shipped models load");
    let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 16 });
    let mut partition = Partition::new(Arc::new(models), FactOptions::default());
    let mut valid = 0;
    fuzz("touchpoints", &lines, |bytes| {
        let mut scratch = Scratch::default();
        let outcome = match decoder.decode(bytes, &mut scratch) {
            Ok(touchpoint) => {
                assert!(!touchpoint.customer_id.is_empty() && !touchpoint.event_id.is_empty());
                partition.apply(Input::Touchpoint(&touchpoint), &mut Effects::default());
                valid += 1;
                format!("{:?} {}", touchpoint.kind, touchpoint.order_id.is_some())
            }
            Err(error) => {
                assert!(!error.reason.as_str().is_empty());
                format!("{} {}", error.reason.as_str(), error.detail)
            }
        };
        if valid % 100 == 99 {
            partition.write_batches(0);
            partition.commit();
        }
        outcome
    });
    assert!(valid > 0, "no input was a valid touchpoint");
}

#[test]
fn changelog_records() {
    let (sample, records, _) = sample_state();
    fuzz("changelog", &records, |bytes| {
        let mut decoder = ChangelogDecoder::default();
        let record = match decoder.decode(bytes) {
            Ok(record) => record,
            Err(error) => return error.to_string(),
        };
        let (models, options) = (sample.models(), FactOptions::default());
        let mut partition = Partition::new(models, options);
        // A record that decodes but is inconsistent is rejected with an error message.
        if let Err(error) = partition.restore(&record.layout, &record.customers) {
            return error.to_string();
        }
        partition.end_restore(Clock::default(), Timestamp::MIN);
        assert!(partition.customers().count() <= record.customers.len());
        format!("{} customers", partition.customers().count().min(3))
    });
}

#[test]
fn offset_metadata() {
    let clock = Clock::at(Some(Timestamp::from_millis(1_700_000_000_123)));
    let metadata = OffsetMetadata {
        changelog_start: 5,
        changelog_end: 1 << 40,
        clock,
        models: StableId(u64::MAX),
        partitions: Some(12),
        hand_overs: Some(3),
        last_hand_over: None,
        member: Some("a-0".into()),
    };
    let corpus = [metadata.encode().into_bytes(), Vec::new()];
    fuzz("offset_metadata", &corpus, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        match OffsetMetadata::decode(&text) {
            Ok(Some(read)) => {
                let kind = format!("{} {}", read.partitions.is_some(), read.member.is_some());
                assert_eq!(OffsetMetadata::decode(&read.encode()), Ok(Some(read)));
                kind
            }
            Ok(None) => {
                assert!(text.trim().is_empty());
                "none".to_owned()
            }
            Err(OffsetMetadataError::Newer(format)) => {
                assert!(format > 1);
                "newer".to_owned()
            }
            Err(error) => error.to_string(),
        }
    });
}

#[test]
fn model_files() {
    let catalogue = model_file::shipped_catalogue();
    let corpus: Vec<_> = shipped().into_iter().map(|source| source.text.into_bytes()).collect();
    fuzz("models", &corpus, |bytes| {
        let source = ModelSource { name: "broken.yaml".into(), text: String::from_utf8_lossy(bytes).into_owned() };
        let sources = [source];
        let problems = match model_file::load(&sources, &catalogue, &[]) {
            Ok((_, warnings)) => warnings,
            Err(problems) => {
                assert!(!problems.is_empty());
                problems
            }
        };
        for problem in &problems {
            assert!(!problem.message.is_empty());
            if problem.file == 0 {
                assert!(
                    problem.span.start <= problem.span.end && problem.span.end <= sources[0].text.len() + 1,
                    "{problem:?}"
                );
            }
        }
        assert!(problems.is_empty() || !model_file::render(&problems, &sources, false).is_empty());
        // The outcome is the message of the first problem, without quoted parts and digits.
        problems.first().map_or_else(String::new, |problem| {
            problem
                .message
                .split('`')
                .step_by(2)
                .collect::<String>()
                .chars()
                .filter(|character| !character.is_numeric())
                .collect()
        })
    });
}

#[test]
fn expressions() {
    let corpus: Vec<_> = include_str!("../../docs/language.md")
        .lines()
        .filter_map(|line| line.split_once("   # facts").map(|(expression, _)| expression.as_bytes().to_vec()))
        .collect();
    assert!(corpus.len() > 20, "docs/language.md has examples");
    let facts = r#"{"a": 1, "orders_count": 2, "last_order": "2026-01-01T00:00:00Z", "name": "x", "flag": true}"#;
    fuzz("expressions", &corpus, |bytes| {
        let expression = String::from_utf8_lossy(bytes);
        match eval::evaluate(&expression, facts, Some("2026-02-01T00:00:00Z")) {
            Ok(_) => "a value".to_owned(),
            Err(error) => {
                let words = format!("{error:?}");
                assert!(!words.is_empty());
                words.split(['`', '"']).nth(1).unwrap_or_default().chars().take(24).collect()
            }
        }
    });
}
