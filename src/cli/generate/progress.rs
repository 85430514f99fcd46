//! Tells how far the work is, where somebody watches: a bar on a terminal, a line now and then in a log.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::lifecycle::time::Timestamp;
use crate::wire::time::format_timestamp;

use super::GenerateArguments;

/// How often a log is told.
const LINE_PERIOD: Duration = Duration::from_secs(10);

/// How far the work is.
pub(super) struct Progress {
    bar: ProgressBar,
    has_lines: bool,
    line_due: Duration,
    told: u64,
    told_at: Duration,
}

impl Progress {
    pub(super) fn new(arguments: &GenerateArguments, is_watched: bool) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let bar = match arguments.touchpoints {
            _ if !is_terminal || is_watched => ProgressBar::hidden(),
            Some(touchpoints) => ProgressBar::new(touchpoints),
            None => ProgressBar::new_spinner(),
        };
        let template = match arguments.touchpoints {
            Some(_) => "{human_pos} of {human_len} touchpoints [{wide_bar}] {per_sec} {eta}  {msg}",
            None => "{spinner} {human_pos} touchpoints, {per_sec}  {msg}",
        };
        let bar = match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        Self { bar, has_lines: !is_terminal, line_due: LINE_PERIOD, told: 0, told_at: Duration::ZERO }
    }

    /// So much is made, the customers' time being `now`.
    pub(super) fn made(&mut self, touchpoints: u64, customers: u64, now: Timestamp, elapsed: Duration) {
        if !self.bar.is_hidden() {
            self.bar.set_position(touchpoints);
            self.bar.set_message(format!("{customers} customers, {}", date(now)));
        }
        if self.has_lines && elapsed >= self.line_due {
            let rate = rate(touchpoints - self.told, elapsed.saturating_sub(self.told_at));
            eprintln!("{touchpoints} touchpoints of {customers} customers, {rate} a second, now at {}", date(now));
            (self.told, self.told_at, self.line_due) = (touchpoints, elapsed, elapsed + LINE_PERIOD);
        }
    }

    /// All is made and written.
    pub(super) fn finish(&self, touchpoints: u64, customers: u64, written: u64, elapsed: Duration) {
        self.bar.finish_and_clear();
        eprintln!(
            "{touchpoints} touchpoints of {customers} customers, {written} records, {} a second",
            rate(touchpoints, elapsed)
        );
    }
}

fn date(time: Timestamp) -> String {
    let text = format_timestamp(time);
    text.get(..10).unwrap_or(&text).to_owned()
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people, far below 2^52"
)]
fn rate(count: u64, length: Duration) -> u64 {
    (count as f64 / length.as_secs_f64().max(0.001)) as u64
}
