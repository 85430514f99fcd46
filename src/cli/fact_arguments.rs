//! Fact options of all commands that read touchpoint files: currency, allowed lateness, deletion of inactive customers.

use clap::Args;

use crate::lifecycle::money::Currency;
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::touchpoint::FactOptions;
use crate::wire::time::{parse_duration, parse_timestamp};

/// Options that determine how facts are computed.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct FactArguments {
    /// Allowed lateness: wake-ups wait this long for late touchpoints, which avoids corrections afterwards
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_lateness)]
    lateness: Duration,
    /// Delete customers without orders after this much inactivity [default: never]
    #[arg(long, value_name = "DURATION", value_parser = parse_forget_after)]
    forget_after: Option<Duration>,
    /// Currency of revenue, and of amounts without a currency. Amounts in other currencies do not count
    #[arg(long, value_name = "CODE", default_value = "USD", value_parser = parse_currency)]
    pub(super) currency: Currency,
}

impl FactArguments {
    pub(super) fn options(self) -> FactOptions {
        FactOptions {
            currency: self.currency,
            lateness: self.lateness,
            forget_after: self.forget_after,
            ..FactOptions::default()
        }
    }
}

pub(super) fn parse_until(text: &str) -> Result<Timestamp, String> {
    parse_timestamp(text).map_err(|error| format!("{error}; write an instant such as 2026-01-31T00:00:00Z"))
}

fn parse_lateness(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(length) if length >= Duration::ZERO => Ok(length),
        _ => Err("write a duration such as 30s, 1m or 24h".to_owned()),
    }
}

fn parse_forget_after(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(length) if length > Duration::ZERO => Ok(length),
        _ => Err("write a duration such as 90d or 8760h".to_owned()),
    }
}

pub(super) fn parse_currency(text: &str) -> Result<Currency, String> {
    Currency::parse(text).ok_or_else(|| "write three capital letters, such as EUR".to_owned())
}
