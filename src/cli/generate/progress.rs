//! Progress of the generation on standard error: a progress bar on a terminal, otherwise a line every ten seconds.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::lifecycle::time::Timestamp;
use crate::wire::time::format_timestamp;

use super::GenerateArguments;
use crate::cli::number::counted;
use crate::cli::print_error;

/// Interval of progress lines.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Prints the progress.
pub(super) struct Progress {
    bar: ProgressBar,
    prints_lines: bool,
    next_line_at: Duration,
    /// Touchpoints and elapsed time at the last line, to compute the rate since then.
    reported: u64,
    reported_at: Duration,
}

impl Progress {
    pub(super) fn new(arguments: &GenerateArguments, output_is_terminal: bool) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let bar = match arguments.touchpoints {
            _ if !is_terminal || output_is_terminal => ProgressBar::hidden(),
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
        Self { bar, prints_lines: !is_terminal, next_line_at: LOG_INTERVAL, reported: 0, reported_at: Duration::ZERO }
    }

    /// Updates the progress; `now` is the current simulated time.
    pub(super) fn update(&mut self, touchpoints: u64, customers: u64, now: Timestamp, elapsed: Duration) {
        if !self.bar.is_hidden() {
            self.bar.set_position(touchpoints);
            self.bar.set_message(format!("{customers} customers, {}", date(now)));
        }
        if self.prints_lines && elapsed >= self.next_line_at {
            let rate = rate(touchpoints - self.reported, elapsed.saturating_sub(self.reported_at));
            print_error(format_args!(
                "{touchpoints} touchpoints of {customers} customers, {rate} per second, simulated time {}",
                date(now)
            ));
            (self.reported, self.reported_at, self.next_line_at) = (touchpoints, elapsed, elapsed + LOG_INTERVAL);
        }
    }

    /// Prints the totals.
    pub(super) fn finish(&self, touchpoints: u64, customers: u64, written: u64, elapsed: Duration) {
        self.bar.finish_and_clear();
        print_error(format_args!(
            "{} of {}, {}, {} per second",
            counted(touchpoints, "touchpoint"),
            counted(customers, "customer"),
            counted(written, "record"),
            rate(touchpoints, elapsed)
        ));
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
    reason = "a rate for display, far below 2^52"
)]
fn rate(count: u64, duration: Duration) -> u64 {
    (count as f64 / duration.as_secs_f64().max(0.001)) as u64
}
