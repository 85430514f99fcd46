//! Which dead letters a command is about.

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::lifecycle::time::Timestamp;
use crate::partition::DeadLetterReason;
use crate::wire::time::parse_timestamp;

use super::DeadLetter;

/// Options that select dead letters; together they restrict the selection.
#[derive(Args, Debug)]
pub(super) struct Selection {
    /// Only dead letters with this reason, such as `bad_field`. Can be repeated
    #[arg(
        long = "reason",
        value_name = "REASON",
        value_parser = PossibleValuesParser::new(DeadLetterReason::ALL.map(DeadLetterReason::as_str))
    )]
    reasons: Vec<String>,
    /// Only records that were consumed from this topic. Can be repeated
    #[arg(long = "topic", value_name = "NAME")]
    pub(super) topics: Vec<String>,
    /// Only records that were consumed from this partition. Can be repeated
    #[arg(long = "partition", value_name = "N")]
    partitions: Vec<i32>,
    /// Only records that were rejected at or after this instant (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<Timestamp>,
    /// Only records that were rejected before this instant (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<Timestamp>,
}

impl Selection {
    /// Whether the selection contains `letter`. A record of another program has neither a reason nor a source.
    pub(super) fn contains(&self, letter: &DeadLetter) -> bool {
        let stored = letter.stored.as_ref();
        let is_any = |options: &[String], value: Option<&str>| {
            options.is_empty() || options.iter().any(|option| Some(option.as_str()) == value)
        };
        is_any(&self.reasons, stored.map(|stored| &*stored.reason))
            && is_any(&self.topics, stored.map(|stored| &*stored.topic))
            && (self.partitions.is_empty() || stored.is_some_and(|it| self.partitions.contains(&it.partition)))
            && self.from.is_none_or(|from| letter.rejected_at.is_some_and(|at| at >= from))
            && self.to.is_none_or(|to| letter.rejected_at.is_some_and(|at| at < to))
    }
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    parse_timestamp(text).map_err(|error| format!("{error}; write an instant such as 2026-01-31T00:00:00Z"))
}
