//! Broken input never panics: every decoder is fed damaged, spliced and random bytes.
//!
//! Each run takes a fixed seed and a second; `LIFECYCLE_FUZZ_SECONDS` asks for longer runs from a seed of the day,
//! which is printed. What is expected is more than survival: a refusal says something, and its place lies in the text.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use lifecycle_processor::cli::eval;
use lifecycle_processor::lifecycle::id::StableId;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::partition::{Clock, Effects, Input, Partition};
use lifecycle_processor::wire::changelog::{self, ChangelogDecoder};
use lifecycle_processor::wire::model_file::{self, ModelSource};
use lifecycle_processor::wire::offset_metadata::OffsetMetadata;
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

use crate::oracle::generator;

/// Pieces that mean something to one decoder or another.
const WORDS: &[&str] = &[
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ":",
    ",",
    "#",
    "&a",
    "*a",
    "!!",
    "|",
    ">",
    "- ",
    "\n",
    "\t",
    "\u{feff}",
    "\0",
    "\\u0000",
    "null",
    "true",
    "1e999",
    "-0",
    "9223372036854775808",
    "0x7fffffffffffffff",
    "now",
    "has(",
    " in [",
    " ? ",
    "&&",
    "||",
    "==",
    "orders.count",
    "last(any)",
    "count_within(any, days(1))",
    "days(",
    "duration(\"9d\")",
    "timestamp(\"",
    "2026-01-01T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "stages",
    "when:",
    "journey",
    "properties",
    "order_id",
    "amount",
    "ключ",
    "🦀",
    "\u{202e}",
];

/// Feeds `check` with offspring of `corpus` for the time that a run takes.
fn feed(corpus: &[Vec<u8>], mut check: impl FnMut(&[u8])) {
    let asked = std::env::var("LIFECYCLE_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let seed = if asked.is_some() { Rng::new().u64(..) } else { 7 };
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let end = Instant::now() + Duration::from_secs(asked.unwrap_or(1));
    let mut runs = 0_u64;
    while Instant::now() < end {
        for _ in 0..50 {
            check(&offspring(corpus, &mut random));
            runs += 1;
        }
    }
    println!("{runs} inputs");
    assert!(runs > 0);
}

fn offspring(corpus: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let mut bytes = corpus[random.usize(..corpus.len())].clone();
    for _ in 0..=random.usize(..4) {
        let place = random.usize(..=bytes.len());
        match random.u8(..7) {
            0 if place < bytes.len() => bytes[place] = random.u8(..),
            1 => bytes.insert(place, random.u8(..)),
            2 => {
                let end = (place + random.usize(..40)).min(bytes.len());
                bytes.drain(place..end);
            }
            3 => {
                let word = WORDS[random.usize(..WORDS.len())].as_bytes();
                bytes.splice(place..place, word.iter().copied());
            }
            4 => {
                let other = &corpus[random.usize(..corpus.len())];
                let start = random.usize(..=other.len());
                let end = (start + random.usize(..60)).min(other.len());
                bytes.splice(place..place, other[start..end].iter().copied());
            }
            5 if place < bytes.len() => bytes[place] ^= 1 << random.u8(..8),
            _ => bytes.truncate(place.max(1).min(bytes.len())),
        }
    }
    bytes
}

fn shipped() -> Vec<ModelSource> {
    model_file::shipped_names().iter().filter_map(|name| model_file::shipped(name)).collect()
}

/// A partition with customers, what it wrote, and the touchpoints that made them.
fn written() -> (Partition, Vec<Vec<u8>>, Vec<Vec<u8>>) {
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
    let records = partition.write_batches(0).iter().map(|batch| changelog::encode(partition.layout(), batch)).collect();
    partition.commit();
    (partition, records, lines)
}

#[test]
fn touchpoints() {
    let (_, _, lines) = written();
    let (models, _) = model_file::load(&shipped(), &model_file::shipped_catalogue(), &[]).expect("shipped models load");
    let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 16 });
    let mut partition = Partition::new(Arc::new(models), FactOptions::default());
    let mut known = 0;
    feed(&lines, |bytes| {
        let mut scratch = Scratch::default();
        match decoder.decode(bytes, &mut scratch) {
            Ok(touchpoint) => {
                assert!(!touchpoint.customer_id.is_empty() && !touchpoint.event_id.is_empty());
                partition.apply(Input::Touchpoint(&touchpoint), &mut Effects::default());
                known += 1;
            }
            Err(malformed) => assert!(!malformed.reason.as_str().is_empty()),
        }
        if known % 100 == 99 {
            partition.write_batches(0);
            partition.commit();
        }
    });
    assert!(known > 0, "nothing was left whole");
}

#[test]
fn changelog_records() {
    let (own, records, _) = written();
    feed(&records, |bytes| {
        let mut decoder = ChangelogDecoder::default();
        let Ok(record) = decoder.decode(bytes) else { return };
        let (models, options) = (own.models(), FactOptions::default());
        let mut partition = Partition::new(models, options);
        // A record that can be read and makes no sense is refused with a sentence.
        if let Err(sentence) = partition.restore(&record.layout, &record.customers) {
            assert!(!sentence.is_empty());
            return;
        }
        partition.end_restore(Clock::default());
        assert!(partition.customers().count() <= record.customers.len());
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
        by: Some("a-0".into()),
    };
    let corpus = [metadata.encode().into_bytes(), Vec::new()];
    feed(&corpus, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        match OffsetMetadata::decode(&text) {
            Ok(Some(read)) => assert_eq!(OffsetMetadata::decode(&read.encode()), Ok(Some(read))),
            Ok(None) => assert!(text.trim().is_empty()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

#[test]
fn model_files() {
    let catalogue = model_file::shipped_catalogue();
    let corpus: Vec<_> = shipped().into_iter().map(|source| source.text.into_bytes()).collect();
    feed(&corpus, |bytes| {
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
    });
}

#[test]
fn expressions() {
    let corpus: Vec<_> = include_str!("../../docs/language.md")
        .lines()
        .filter_map(|line| line.split_once("   # facts").map(|(expression, _)| expression.as_bytes().to_vec()))
        .collect();
    assert!(corpus.len() > 20, "the reference has examples");
    let facts = r#"{"a": 1, "orders_count": 2, "last_order": "2026-01-01T00:00:00Z", "name": "x", "flag": true}"#;
    feed(&corpus, |bytes| {
        let expression = String::from_utf8_lossy(bytes);
        if let Err(refusal) = eval::evaluate(&expression, facts, Some("2026-02-01T00:00:00Z")) {
            assert!(!format!("{refusal:?}").is_empty());
        }
    });
}
