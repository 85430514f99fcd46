//! `lifecycle dlq list`: the dead letters of a selection, and their numbers by reason and source.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};

use clap::Args;
use serde_json::{Value, json};

use super::selection::Selection;
use super::{Completeness, DeadLetter, DeadLetterTopic, Failure};
use crate::cli::config::ConfigFile;
use crate::cli::number::whole_number_in;
use crate::cli::{Exit, Format};
use crate::wire::transition_text::escape_control_characters;

/// List dead letters with reason and source, and count them
///
/// Dead letters that were redriven are counted, but listed only with --all.
#[derive(Args, Debug)]
pub(super) struct ListArguments {
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    selection: Selection,
    /// Also list the dead letters that were redriven
    #[arg(long)]
    all: bool,
    /// List at most this many; all are counted
    #[arg(long, value_name = "N", default_value_t = 100, allow_negative_numbers = true, value_parser = whole_number_in::<usize>(0, 1_000_000))]
    limit: usize,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Numbers of dead letters.
#[derive(Default)]
struct Counts {
    /// Those that were not redriven.
    open: u64,
    redriven: u64,
    by_reason: BTreeMap<String, u64>,
    by_source: BTreeMap<String, u64>,
}

/// Lists the dead letters.
pub(super) fn run(arguments: &ListArguments) -> Result<Exit, Failure> {
    let config = arguments.config.load_for_kafka()?;
    let topic = DeadLetterTopic::open(&config, Completeness::UpToOpenTransactions)?;
    let mut output = BufWriter::new(io::stdout().lock());
    let mut listed = Vec::new();
    let mut counts = Counts::default();
    let mut count_listed = 0;
    for partition in topic.partitions() {
        let redriven = topic.redriven(partition)?;
        topic.for_each::<Failure>(partition, |letter| {
            if !arguments.selection.contains(&letter) {
                return Ok(true);
            }
            let is_redriven = redriven.contains(letter.offset);
            if is_redriven {
                counts.redriven += 1;
            } else {
                counts.open += 1;
                *counts.by_reason.entry(letter.reason().to_owned()).or_default() += 1;
                *counts.by_source.entry(letter.source().to_owned()).or_default() += 1;
            }
            if count_listed < arguments.limit && (arguments.all || !is_redriven) {
                count_listed += 1;
                match arguments.format {
                    Format::Text => writeln!(output, "{}", row(&letter, is_redriven))?,
                    Format::Json => listed.push(object(&letter, is_redriven)),
                }
            }
            Ok(true)
        })?;
    }
    match arguments.format {
        Format::Text => write!(output, "{}", summary(&counts, count_listed))?,
        Format::Json => {
            let Counts { open, redriven, by_reason, by_source } = &counts;
            let report = json!({
                "dead_letters": listed, "count": open, "redriven": redriven, "by_reason": by_reason,
                "by_source": by_source,
            });
            writeln!(output, "{report:#}")?;
        }
    }
    output.flush()?;
    Ok(Exit::Success)
}

/// Returns the line of a dead letter: where it is, when and why it was rejected, where it came from.
fn row(letter: &DeadLetter, is_redriven: bool) -> String {
    let DeadLetter { partition, offset, .. } = letter;
    let place = format!("{partition}:{offset}");
    let mut row = format!("{place:<12} {}  {:<13}", letter.rejected_at_text(), letter.reason());
    if let Some(stored) = &letter.stored {
        _ = write!(row, "  {}/{}:{}", stored.topic, stored.partition, stored.offset);
        if !stored.detail.is_empty() {
            row = row + "  " + &stored.detail;
        }
        if stored.cut.is_some() {
            row += "  (truncated)";
        }
    }
    if is_redriven {
        row += "  (redriven)";
    }
    escape_control_characters(&row).into_owned()
}

fn object(letter: &DeadLetter, is_redriven: bool) -> Value {
    let stored = letter.stored.as_ref();
    json!({
        "partition": letter.partition,
        "offset": letter.offset,
        "rejected_at": letter.rejected_at.map(crate::wire::time::format_timestamp),
        "reason": stored.map(|stored| &stored.reason),
        "detail": stored.map(|stored| &stored.detail),
        "source": stored.map(|it| json!({"topic": it.topic, "partition": it.partition, "offset": it.offset})),
        "truncated": stored.is_some_and(|stored| stored.cut.is_some()),
        "redriven": is_redriven,
    })
}

fn summary(counts: &Counts, count_listed: usize) -> String {
    let Counts { open, redriven, by_reason, by_source } = counts;
    let letters = if *open == 1 { "dead letter" } else { "dead letters" };
    let mut text = format!("{open} {letters}, {redriven} others redriven, {count_listed} listed\n");
    for (name, counts) in [("by reason", by_reason), ("by source", by_source)] {
        let counts: Vec<String> = counts.iter().map(|(of, count)| format!("{of} {count}")).collect();
        if !counts.is_empty() {
            _ = writeln!(text, "{name}: {}", escape_control_characters(&counts.join(", ")));
        }
    }
    text
}
