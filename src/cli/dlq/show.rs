//! `lifecycle dlq show`: one dead letter with its key, value and headers.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use clap::Args;

use super::{Completeness, DeadLetter, DeadLetterTopic, Failure};
use crate::cli::config::ConfigFile;
use crate::cli::{Exit, print_error};
use crate::kafka::PartitionId;
use crate::lifecycle::time::Timestamp;
use crate::wire::dead_letter::is_about_rejection;
use crate::wire::time::format_timestamp;
use crate::wire::transition_text::escape_control_characters;

/// Show one dead letter: reason, source, headers, key and value
///
/// Control characters and bytes that are not text are escaped, so that a record cannot control the terminal. The record
/// may contain personal data.
#[derive(Args, Debug)]
pub(super) struct ShowArguments {
    /// Partition and offset in the dead-letter topic, as `list` prints them
    #[arg(value_name = "PARTITION:OFFSET", value_parser = parse_place)]
    place: (PartitionId, i64),
    #[command(flatten)]
    config: ConfigFile,
    /// Write the value as it was received, without anything else
    #[arg(long)]
    raw: bool,
}

/// Shows the dead letter.
pub(super) fn run(arguments: &ShowArguments) -> Result<Exit, Failure> {
    let config = arguments.config.load_for_kafka()?;
    let topic = DeadLetterTopic::open(&config, Completeness::UpToOpenTransactions)?;
    let (partition, offset) = arguments.place;
    let Some(letter) = topic.get(partition, offset)? else {
        print_error(format_args!(
            "lifecycle dlq show: {} has no dead letter at {partition}:{offset}; `lifecycle dlq list --all` lists them",
            config.topics.dead_letters
        ));
        return Ok(Exit::Problems);
    };
    let mut output = io::stdout().lock();
    if arguments.raw {
        output.write_all(letter.value.as_deref().unwrap_or_default())?;
    } else {
        output.write_all(describe(&letter).as_bytes())?;
    }
    output.flush()?;
    Ok(Exit::Success)
}

fn describe(letter: &DeadLetter) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| _ = writeln!(text, "{name:<12} {}", escape_control_characters(value));
    line("rejected at", &letter.rejected_at_text());
    if let Some(stored) = &letter.stored {
        line("reason", &stored.reason);
        if !stored.detail.is_empty() {
            line("detail", &stored.detail);
        }
        line("source", &format!("{}/{}:{}", stored.topic, stored.partition, stored.offset));
        if let Some(timestamp_ms) = stored.timestamp_ms {
            line("timestamp", &format_timestamp(Timestamp::from_millis(timestamp_ms)));
        }
        if let Some(cut) = &stored.cut {
            line("truncated", &format!("from {cut} bytes"));
        }
    } else {
        line("reason", "none: another program wrote the record");
    }
    for header in letter.headers.iter().filter(|header| !is_about_rejection(&header.name)) {
        line("header", &format!("{} = {}", header.name, escape(header.value.as_deref())));
    }
    line("key", &escape(letter.key.as_deref()));
    line("value", &escape(letter.value.as_deref()));
    text
}

/// Returns `bytes` as text. Invalid UTF-8 becomes `\xff`; the caller escapes control characters.
fn escape(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "(none)".to_owned() };
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

fn parse_place(text: &str) -> Result<(PartitionId, i64), String> {
    let place = text.split_once(':').and_then(|(partition, offset)| {
        let (partition, offset) = (partition.parse::<u16>().ok()?, offset.parse::<u64>().ok()?);
        Some((PartitionId::from(partition), i64::try_from(offset).ok()?))
    });
    place.ok_or_else(|| "write partition and offset, such as 0:17".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::header::Header;

    #[test]
    fn nothing_in_a_record_reaches_the_terminal_unescaped() {
        let letter = DeadLetter {
            partition: 0,
            offset: 7,
            rejected_at: Some(Timestamp::from_millis(0)),
            stored: None,
            key: Some(b"\x1b[2Jc-1".to_vec()),
            value: Some(b"a\xff\nb\x07".to_vec()),
            headers: vec![
                Header { name: "t\u{202e}".to_owned(), value: None },
                Header::text("lifecycle_detail", "hidden"),
                Header::text("lifecycle_source", "web"),
            ],
        };
        let expected = "rejected at  1970-01-01T00:00:00Z\n\
                        reason       none: another program wrote the record\n\
                        header       t\\u{202e} = (none)\n\
                        header       lifecycle_source = web\n\
                        key          \\u{1b}[2Jc-1\n\
                        value        a\\xff\\nb\\u{7}\n";
        assert_eq!(describe(&letter), expected);
    }

    #[test]
    fn a_place_is_a_partition_and_an_offset() {
        assert_eq!(parse_place("3:17"), Ok((3, 17)));
        for invalid in ["3", "3:", "-1:2", "1:-2", "a:b", "1:2:3"] {
            assert!(parse_place(invalid).is_err(), "{invalid}");
        }
    }
}
