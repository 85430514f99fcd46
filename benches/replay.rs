//! Measures how many touchpoints `lifecycle replay` processes per CPU second, with all shipped models and with two.
//!
//! Generates the file of a shop with `lifecycle generate`, and replays it with both sets of models in turns. The replay
//! is a single thread that writes JSON. `cargo bench --bench replay -- --help` lists the options; the results are in
//! docs/performance.md.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

#[path = "restore/arguments.rs"]
mod arguments;
#[path = "ceiling/cpu.rs"]
mod cpu;

const HELP: &str = "\
cargo bench --bench replay -- [options]
  --touchpoints N   touchpoints in the file (default 1000000)
  --repeats N       runs with each set of models (default 3)";

/// Touchpoints of one generated customer, on average; more than the file contains.
const TOUCHPOINTS_PER_CUSTOMER: usize = 16;

/// The sets of models, as options of the command.
const MODELS: [(&str, &[&str]); 2] =
    [("six models", &[]), ("two models", &["--model", "retention", "--model", "loyalty_ladder"])];

fn main() -> ExitCode {
    arguments::with_options(HELP, [("--touchpoints", 1_000_000), ("--repeats", 3)], |[touchpoints, repeats]| {
        measure(touchpoints, repeats);
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn measure(touchpoints: usize, repeats: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("shop.ndjson");
    let generated = lifecycle()
        .args([
            "generate",
            "--days",
            "180",
            "--customers",
            &(touchpoints / TOUCHPOINTS_PER_CUSTOMER).max(1).to_string(),
        ])
        .args(["--touchpoints", &touchpoints.to_string(), "--output"])
        .arg(&file)
        .stderr(Stdio::null())
        .status();
    assert!(generated.is_ok_and(|status| status.success()), "the file is generated");
    println!("| run | models | touchpoints | transitions | CPU s | touchpoints per CPU second |");
    println!("|---|---|---|---|---|---|");
    for run in 1..=repeats {
        for (name, models) in MODELS {
            let output = folder.path().join("transitions.ndjson");
            let before = cpu::children_seconds();
            let replayed = lifecycle()
                .arg("replay")
                .args(models)
                .arg(&file)
                .stdout(File::create(&output).expect("a file can be written"))
                .stderr(Stdio::null())
                .status();
            assert!(replayed.is_ok_and(|status| status.success()), "the file is replayed");
            let seconds = cpu::children_seconds() - before;
            println!(
                "| {run} | {name} | {touchpoints} | {} | {seconds:.2} | {:.0} |",
                lines(&output),
                touchpoints as f64 / seconds
            );
        }
    }
}

fn lifecycle() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lifecycle"))
}

fn lines(path: &Path) -> usize {
    BufReader::new(File::open(path).expect("a file")).split(b'\n').count()
}
