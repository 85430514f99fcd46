//! Feeds a decoder with offspring of known inputs, and keeps those that lead to something new.
//!
//! What an input led to is told by `check` in a few words. An input that leads to words not seen before becomes a parent
//! itself; with `LIFECYCLE_FUZZ_KEEP=1` it is also written to the corpus of its target, `tests/it/fuzz/corpus/TARGET`,
//! as is every input that makes a check panic. What lies there is tried first in every run.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;

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
    "GET ",
    "/v1/",
    "%00",
    "..",
    "\r\n",
    "Host: localhost",
    "Content-Length: 7",
    "Transfer-Encoding: chunked",
    "?after=",
    "limit=",
    "journey",
    "properties",
    "order_id",
    "amount",
    "ключ",
    "🦀",
    "\u{202e}",
];

/// How large a kept input is at most.
const KEPT_BYTES_MAX: usize = 4096;
/// How many kinds of outcome of one target are remembered.
const OUTCOMES_MAX: usize = 300;

/// Feeds `check` with what lies in the corpus of `target`, then with offspring of that and of `parents`, for the time that a run takes.
pub(super) fn feed(target: &str, parents: &[Vec<u8>], mut check: impl FnMut(&[u8]) -> String) {
    let asked = std::env::var("LIFECYCLE_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let keeps = std::env::var_os("LIFECYCLE_FUZZ_KEEP").is_some();
    let seed = if asked.is_some() { Rng::new().u64(..) } else { 7 };
    println!("{target}: seed {seed}");
    let mut check = |bytes: &[u8]| match catch_unwind(AssertUnwindSafe(|| check(bytes))) {
        Ok(outcome) => outcome,
        Err(panic) => {
            println!("{target}: this input is at fault: {:?}", String::from_utf8_lossy(bytes));
            if keeps {
                keep(target, "panic", bytes);
            }
            resume_unwind(panic)
        }
    };
    let mut parents: Vec<Vec<u8>> = parents.iter().cloned().chain(corpus(target)).collect();
    let mut outcomes: BTreeSet<String> = parents.iter().map(|bytes| check(bytes)).collect();
    let mut random = Rng::with_seed(seed);
    let end = Instant::now() + Duration::from_secs(asked.unwrap_or(1));
    let mut runs = 0_u64;
    while Instant::now() < end {
        for _ in 0..50 {
            let bytes = offspring(&parents, &mut random);
            runs += 1;
            let outcome = check(&bytes);
            if outcomes.len() < OUTCOMES_MAX && outcomes.insert(outcome) && bytes.len() <= KEPT_BYTES_MAX {
                if keeps {
                    keep(target, "new", &bytes);
                }
                parents.push(bytes);
            }
        }
    }
    println!("{target}: {runs} inputs, {} outcomes", outcomes.len());
    assert!(runs > 0);
}

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/fuzz/corpus").join(target)
}

/// What was kept of earlier runs, in order of name.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder(target)) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a folder that can be read").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a file that can be read")).collect()
}

fn keep(target: &str, why: &str, bytes: &[u8]) {
    let name = format!("{why}-{:016x}", xxhash_rust::xxh3::xxh3_64(bytes));
    std::fs::create_dir_all(folder(target)).expect("the corpus can be written");
    std::fs::write(folder(target).join(name), bytes).expect("the corpus can be written");
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
