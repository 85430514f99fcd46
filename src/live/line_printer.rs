//! Prints updates as plain lines, for output that is not a terminal.
//!
//! Prints a sample of the transitions as they arrive, and once a second a summary: rates, lag and customers by stage.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use super::format::{self, format_to_minute};
use super::recent_metrics::RecentMetrics;
use super::update::{ModelStages, TransitionRow, Update};
use super::view::ClockStatus;
use crate::wire::transition_text::escape_control_characters;

/// Limit of transitions printed per second; a person cannot read more.
const PRINTED_MAX: u32 = 10;
/// Limit of transitions printed per second and name, so that frequent names do not crowd out the others.
const PRINTED_OF_NAME_MAX: u32 = 2;
const SECOND: Duration = Duration::from_secs(1);

/// Prints plain lines and counts the totals.
#[derive(Debug, Default)]
pub struct LinePrinter {
    has_color: bool,
    /// The models whose transitions are printed; empty for all models.
    printed_models: Vec<String>,
    /// Width of the longest printed model name.
    model_width: usize,
    models: Vec<ModelStages>,
    metrics: RecentMetrics,
    transitions: u64,
    by_name: BTreeMap<(String, String), u64>,
    printed: u32,
    printed_names: BTreeMap<String, u32>,
    summary_due: Duration,
    connection_error: Option<String>,
}

impl LinePrinter {
    /// Creates a printer for the transitions of `models`, or of all models if empty. Summaries show the stages of the
    /// first model.
    #[must_use]
    pub fn new(models: &[String], has_color: bool) -> Self {
        Self { has_color, printed_models: models.to_vec(), summary_due: SECOND, ..Self::default() }
    }

    /// Applies an update received at `now` and prints what is new, within the limits per second.
    ///
    /// # Errors
    /// Writing to `out` failed.
    pub fn apply(&mut self, update: Update, now: Duration, out: &mut impl Write) -> io::Result<()> {
        match update {
            Update::Models(models) if models != self.models => {
                self.models = models;
                self.print_models(out)?;
            }
            Update::Overview(overview) => self.metrics.add(now, *overview),
            Update::Transitions(rows, _) => {
                self.connection_error = None;
                for row in rows {
                    self.print_transition(&row, out)?;
                }
            }
            Update::Disconnected(why) if self.connection_error.as_ref() != Some(&why) => {
                drop(writeln!(io::stderr(), "{why}"));
                self.connection_error = Some(why);
            }
            Update::Models(_) | Update::Disconnected(_) | Update::Customer(_) | Update::CustomerUnavailable(..) => {}
        }
        Ok(())
    }

    /// Prints which models are shown and which are not; nothing if all are shown.
    fn print_models(&mut self, out: &mut impl Write) -> io::Result<()> {
        let names = self.models.iter().map(|model| model.name.as_str());
        let (mut printed, others): (Vec<_>, Vec<_>) = names.partition(|name| self.is_printed(name));
        printed.sort_by_key(|name| self.printed_models.iter().position(|printed| printed == name));
        self.model_width = printed.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        if others.is_empty() {
            return Ok(());
        }
        let (printed, others) = (printed.join(", "), others.join(", "));
        writeln!(out, "== transitions of {printed}; use --model NAME for one of the other models: {others}")
    }

    fn is_printed(&self, model: &str) -> bool {
        self.printed_models.is_empty() || self.printed_models.iter().any(|printed| printed == model)
    }

    fn print_transition(&mut self, row: &TransitionRow, out: &mut impl Write) -> io::Result<()> {
        self.transitions += 1;
        *self.by_name.entry((row.model.clone(), row.name.clone())).or_default() += 1;
        // Every customer enters awareness first, so that transition is not informative.
        let is_informative = row.kind == "stage" && self.is_printed(&row.model) && row.name != "became_aware";
        let printed_of_name = self.printed_names.get(&row.name).copied().unwrap_or_default();
        if !is_informative || self.printed >= PRINTED_MAX || printed_of_name >= PRINTED_OF_NAME_MAX {
            return Ok(());
        }
        self.printed += 1;
        self.printed_names.insert(row.name.clone(), printed_of_name + 1);
        let (begin, end) = self.color(&row.direction);
        let change = row.change.replace('→', "->").replace('·', "-");
        writeln!(
            out,
            "{}  {:<14} {:<width$} {begin}{:<24}{end} {change:<30} {}",
            row.occurred_at,
            escape_control_characters(&row.customer_id),
            row.model,
            row.name,
            escape_control_characters(&row.reason),
            width = self.model_width,
        )
    }

    /// Advances time to `now` and prints the summary once per second.
    ///
    /// # Errors
    /// Writing to `out` failed.
    pub fn tick(&mut self, now: Duration, clock_status: Option<ClockStatus>, out: &mut impl Write) -> io::Result<()> {
        if now < self.summary_due {
            return Ok(());
        }
        self.summary_due = now + SECOND;
        self.printed = 0;
        self.printed_names.clear();
        let Some(overview) = self.metrics.latest() else { return Ok(()) };
        let find = |name: &String| self.models.iter().find(|model| model.name == *name);
        let shown = self.printed_models.iter().find_map(find);
        let Some(model) = shown.or(self.models.first()) else { return Ok(()) };
        let stages = model.stages.iter().fold(String::new(), |mut text, stage| {
            let count = overview.customers_by_stage.get(&(model.name.clone(), stage.name.clone())).copied();
            _ = write!(text, "  {} {}", stage.name, count.unwrap_or_default());
            text
        });
        let date =
            clock_status.map(|status| status.now).or(overview.watermark).map(format_to_minute).unwrap_or_default();
        let rate = |rate: Option<u64>| rate.map_or("-".to_owned(), format::with_separators);
        let (begin, end) = if self.has_color { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        writeln!(
            out,
            "{begin}== {}  {} touchpoints/s  {} transitions/s  lag {} |{stages}{end}",
            date.get(..10).unwrap_or_default(),
            rate(self.metrics.rate(|overview| overview.touchpoints)),
            rate(self.metrics.rate(|overview| overview.transitions)),
            overview.lag_records,
        )
    }

    /// Prints the totals: touchpoints, and transitions by name.
    ///
    /// # Errors
    /// Writing to `out` failed.
    pub fn print_totals(&self, out: &mut impl Write) -> io::Result<()> {
        let touchpoints = self.metrics.latest().map_or(0, |overview| overview.touchpoints);
        writeln!(out, "\n{touchpoints} touchpoints, {} transitions", self.transitions)?;
        for ((model, name), count) in self.by_name.iter().filter(|((model, _), _)| self.is_printed(model)) {
            writeln!(out, "  {model:<width$} {name:<24} {count}", width = self.model_width)?;
        }
        Ok(())
    }

    fn color(&self, direction: &str) -> (&'static str, &'static str) {
        match direction {
            _ if !self.has_color => ("", ""),
            "forward" => ("\x1b[32m", "\x1b[0m"),
            "reentry" => ("\x1b[36m", "\x1b[0m"),
            "exit" => ("\x1b[31m", "\x1b[0m"),
            _ => ("\x1b[33m", "\x1b[0m"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::overview::Overview;
    use crate::live::update::ModelStage;

    #[test]
    fn frequent_names_do_not_crowd_out_others_and_summaries_count_customers_by_stage() {
        let mut lines = LinePrinter::new(&["retention".to_owned()], false);
        let mut out = Vec::new();
        let stages = vec![ModelStage { name: "active".to_owned(), is_outside: false }];
        let model = ModelStages { name: "retention".to_owned(), title: String::new(), stages };
        for _ in 0..2 {
            lines.apply(Update::Models(vec![model.clone()]), Duration::ZERO, &mut out).unwrap();
        }
        let row = |model: &str, name: &str| TransitionRow {
            model: model.to_owned(),
            name: name.to_owned(),
            kind: "stage".to_owned(),
            change: "active → at_risk".to_owned(),
            ..TransitionRow::default()
        };
        let rows = vec![
            row("retention", "frequent"),
            row("retention", "frequent"),
            row("retention", "frequent"),
            row("retention", "rare"),
            row("other", "not_printed"),
        ];
        lines.apply(Update::Transitions(rows, 0), Duration::ZERO, &mut out).unwrap();
        let customers = [(("retention".to_owned(), "active".to_owned()), 7)];
        let overview = Overview { touchpoints: 9, customers_by_stage: customers.into(), ..Overview::default() };
        lines.apply(Update::Overview(Box::new(overview)), Duration::ZERO, &mut out).unwrap();
        lines.tick(Duration::from_millis(900), None, &mut out).unwrap();
        lines.tick(Duration::from_millis(1_100), None, &mut out).unwrap();
        lines.print_totals(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("frequent    ").count(), 3, "two on arrival, one in the totals: {text}");
        assert!(text.contains("active -> at_risk") && text.contains("|  active 7\n"), "{text}");
        assert!(text.contains("9 touchpoints, 5 transitions") && !text.contains("not_printed"), "{text}");
        assert_eq!(text.matches("==").count(), 1);
    }

    #[test]
    fn models_not_printed_are_listed_once_and_names_are_padded_to_the_longest() {
        let mut lines = LinePrinter::new(&["short".to_owned(), "a_name_of_some_length".to_owned()], false);
        let mut out = Vec::new();
        let model = |name: &str| ModelStages { name: name.to_owned(), title: String::new(), stages: Vec::new() };
        let models = ["a_name_of_some_length", "other", "short", "another"].map(model).to_vec();
        for _ in 0..2 {
            lines.apply(Update::Models(models.clone()), Duration::ZERO, &mut out).unwrap();
        }
        let row = |model: &str| TransitionRow {
            model: model.to_owned(),
            kind: "stage".to_owned(),
            name: "moved".to_owned(),
            ..TransitionRow::default()
        };
        let rows = vec![row("short"), row("a_name_of_some_length")];
        lines.apply(Update::Transitions(rows, 0), Duration::ZERO, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let header = "== transitions of short, a_name_of_some_length; use --model NAME for one of the other models: other, another";
        assert_eq!(text.lines().filter(|line| line.starts_with("==")).collect::<Vec<_>>(), [header]);
        let columns: Vec<_> = text.lines().filter_map(|line| line.find(" moved ")).collect();
        assert!(columns.len() == 2 && columns[0] == columns[1], "{text}");
    }
}
