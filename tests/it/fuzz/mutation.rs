//! A small mutation fuzzer: mutates a seed corpus, and adds inputs with a new outcome to it.
//!
//! `check` returns the outcome of an input as a short string. An input with a new outcome is added to the corpus of the
//! run. With `LIFECYCLE_FUZZ_KEEP=1`, such inputs, and inputs that cause a panic, are also written to
//! `tests/it/fuzz/corpus/TARGET`. Each run starts with the inputs in that folder.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;

/// The dictionary: tokens that are meaningful to at least one decoder.
const DICTIONARY: &[&str] = &[
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

/// The size limit of inputs that are added to the corpus, in bytes.
const KEPT_BYTES_MAX: usize = 4096;
/// The limit of distinct outcomes that are recorded per target.
const OUTCOMES_MAX: usize = 300;

/// Runs `check` on the stored corpus of `target` and on `seeds`, then on mutations of both until the time limit of the
/// run.
pub(super) fn fuzz(target: &str, seeds: &[Vec<u8>], mut check: impl FnMut(&[u8]) -> String) {
    let seconds = std::env::var("LIFECYCLE_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let keep_inputs = std::env::var_os("LIFECYCLE_FUZZ_KEEP").is_some();
    let seed = if seconds.is_some() { Rng::new().u64(..) } else { 7 };
    println!("{target}: seed {seed}");
    let mut check = |bytes: &[u8]| match catch_unwind(AssertUnwindSafe(|| check(bytes))) {
        Ok(outcome) => outcome,
        Err(panic) => {
            println!("{target}: this input panics: {:?}", String::from_utf8_lossy(bytes));
            if keep_inputs {
                store(target, "panic", bytes);
            }
            resume_unwind(panic)
        }
    };
    let mut inputs: Vec<Vec<u8>> = seeds.iter().cloned().chain(stored_corpus(target)).collect();
    let mut outcomes: BTreeSet<String> = inputs.iter().map(|bytes| check(bytes)).collect();
    let mut random = Rng::with_seed(seed);
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(1));
    let mut runs = 0_u64;
    while Instant::now() < end {
        for _ in 0..50 {
            let bytes = mutate(&inputs, &mut random);
            runs += 1;
            let outcome = check(&bytes);
            if outcomes.len() < OUTCOMES_MAX && outcomes.insert(outcome) && bytes.len() <= KEPT_BYTES_MAX {
                if keep_inputs {
                    store(target, "new", &bytes);
                }
                inputs.push(bytes);
            }
        }
    }
    println!("{target}: {runs} inputs, {} outcomes", outcomes.len());
    assert!(runs > 0);
}

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/fuzz/corpus").join(target)
}

/// Returns the inputs stored by earlier runs, in order of file name.
fn stored_corpus(target: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder(target)) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a folder that can be read").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a file that can be read")).collect()
}

fn store(target: &str, prefix: &str, bytes: &[u8]) {
    let name = format!("{prefix}-{:016x}", xxhash_rust::xxh3::xxh3_64(bytes));
    std::fs::create_dir_all(folder(target)).expect("the corpus can be written");
    std::fs::write(folder(target).join(name), bytes).expect("the corpus can be written");
}

fn mutate(corpus: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let mut bytes = corpus[random.usize(..corpus.len())].clone();
    for _ in 0..=random.usize(..4) {
        let at = random.usize(..=bytes.len());
        match random.u8(..7) {
            0 if at < bytes.len() => bytes[at] = random.u8(..),
            1 => bytes.insert(at, random.u8(..)),
            2 => {
                let end = (at + random.usize(..40)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let token = DICTIONARY[random.usize(..DICTIONARY.len())].as_bytes();
                bytes.splice(at..at, token.iter().copied());
            }
            4 => {
                let other = &corpus[random.usize(..corpus.len())];
                let start = random.usize(..=other.len());
                let end = (start + random.usize(..60)).min(other.len());
                bytes.splice(at..at, other[start..end].iter().copied());
            }
            5 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            _ => bytes.truncate(at.max(1).min(bytes.len())),
        }
    }
    bytes
}
