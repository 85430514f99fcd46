//! The same in plain lines, where there is no terminal: some transitions as they come, and once a second where everybody stands.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use super::pulse::Pulse;
use super::state::Pace;
use super::told::{ModelStages, Passed, Told};
use super::words::{self, minute_of};
use crate::lifecycle::time::Timestamp;

/// How many transitions are printed in a second; more cannot be read.
const PRINTED_MAX: u32 = 10;
/// How many of one name, so that the frequent ones leave room for the others.
const PRINTED_OF_NAME_MAX: u32 = 2;
const SECOND: Duration = Duration::from_secs(1);

/// What has been told.
#[derive(Debug, Default)]
pub struct Lines {
    has_color: bool,
    /// The models whose transitions are printed; all when there are none.
    printed_models: Vec<String>,
    /// That of the longest name that is printed.
    model_width: usize,
    models: Vec<ModelStages>,
    pulse: Pulse,
    transitions: u64,
    by_name: BTreeMap<(String, String), u64>,
    printed: u32,
    printed_names: BTreeMap<String, u32>,
    second_due: Duration,
    silence: Option<String>,
}

impl Lines {
    /// Prints transitions of `models`, the first of which is counted by stage; without any of all.
    #[must_use]
    pub fn new(models: &[String], has_color: bool) -> Self {
        Self { has_color, printed_models: models.to_vec(), second_due: SECOND, ..Self::default() }
    }

    /// Prints what was told `now`, as far as there is room.
    ///
    /// # Errors
    /// As of `out`.
    pub fn hear(&mut self, told: Told, now: Duration, out: &mut impl Write) -> io::Result<()> {
        match told {
            Told::Models(models) if models != self.models => {
                self.models = models;
                self.introduce(out)?;
            }
            Told::Figures(figures) => self.pulse.note(now, *figures),
            Told::Passed(passed, _) => {
                self.silence = None;
                for passed in passed {
                    self.pass(&passed, out)?;
                }
            }
            Told::Silence(why) if self.silence.as_ref() != Some(&why) => {
                eprintln!("{why}");
                self.silence = Some(why);
            }
            Told::Models(_) | Told::Silence(_) | Told::Customer(_) | Told::NoCustomer(..) => {}
        }
        Ok(())
    }

    /// Says which models are printed, where others run that are not.
    fn introduce(&mut self, out: &mut impl Write) -> io::Result<()> {
        let names = self.models.iter().map(|model| model.name.as_str());
        let (mut printed, others): (Vec<_>, Vec<_>) = names.partition(|name| self.is_printed(name));
        printed.sort_by_key(|name| self.printed_models.iter().position(|printed| printed == name));
        self.model_width = printed.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        if others.is_empty() {
            return Ok(());
        }
        let (printed, others) = (printed.join(", "), others.join(", "));
        writeln!(out, "== transitions of {printed}; others run, too, and --model NAME prints one of them: {others}")
    }

    fn is_printed(&self, model: &str) -> bool {
        self.printed_models.is_empty() || self.printed_models.iter().any(|printed| printed == model)
    }

    fn pass(&mut self, passed: &Passed, out: &mut impl Write) -> io::Result<()> {
        self.transitions += 1;
        *self.by_name.entry((passed.model.clone(), passed.name.clone())).or_default() += 1;
        // Awareness is where everybody begins and says little.
        let is_news = passed.kind == "stage" && self.is_printed(&passed.model) && passed.name != "became_aware";
        let printed_of_name = self.printed_names.get(&passed.name).copied().unwrap_or_default();
        if !is_news || self.printed >= PRINTED_MAX || printed_of_name >= PRINTED_OF_NAME_MAX {
            return Ok(());
        }
        self.printed += 1;
        self.printed_names.insert(passed.name.clone(), printed_of_name + 1);
        let (begin, end) = self.color(&passed.direction);
        let change = passed.change.replace('→', "->").replace('·', "-");
        writeln!(
            out,
            "{}  {:<14} {:<width$} {begin}{:<24}{end} {change:<30} {}",
            passed.occurred_at,
            passed.customer_id,
            passed.model,
            passed.name,
            passed.reason,
            width = self.model_width,
        )
    }

    /// Lets time pass; once a second it prints where everybody stands.
    ///
    /// # Errors
    /// As of `out`.
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970 by a thousand are far below 2^63")]
    pub fn pass_time(&mut self, now: Duration, pace: Option<Pace>, out: &mut impl Write) -> io::Result<()> {
        if now < self.second_due {
            return Ok(());
        }
        self.second_due = now + SECOND;
        self.printed = 0;
        self.printed_names.clear();
        let Some(figures) = self.pulse.latest() else { return Ok(()) };
        let of_name = |name: &String| self.models.iter().find(|model| model.name == *name);
        let shown = self.printed_models.iter().find_map(of_name);
        let Some(model) = shown.or(self.models.first()) else { return Ok(()) };
        let standing = model.stages.iter().fold(String::new(), |mut text, stage| {
            let count = figures.customers.get(&(model.name.clone(), stage.name.clone())).copied();
            _ = write!(text, "  {} {}", stage.name, count.unwrap_or_default());
            text
        });
        let clock = figures.clock.map(|seconds| Timestamp::from_millis((seconds * 1_000.0) as i64));
        let date = pace.map(|pace| pace.now).or(clock).map(minute_of).unwrap_or_default();
        let rate = |rate: Option<u64>| rate.map_or("-".to_owned(), words::grouped);
        let (begin, end) = if self.has_color { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        writeln!(
            out,
            "{begin}== {}  {} touchpoints/s  {} transitions/s  lag {} |{standing}{end}",
            date.get(..10).unwrap_or_default(),
            rate(self.pulse.rate(|figures| figures.touchpoints)),
            rate(self.pulse.rate(|figures| figures.transitions)),
            figures.lag_records,
        )
    }

    /// Prints what there was in all.
    ///
    /// # Errors
    /// As of `out`.
    pub fn farewell(&self, out: &mut impl Write) -> io::Result<()> {
        let touchpoints = self.pulse.latest().map_or(0, |figures| figures.touchpoints);
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
    use crate::live::metrics_page::Figures;
    use crate::live::told::StageName;

    #[test]
    fn frequent_names_leave_room_for_others_and_seconds_tell_where_everybody_stands() {
        let mut lines = Lines::new(&["retention".to_owned()], false);
        let mut out = Vec::new();
        let stages = vec![StageName { name: "active".to_owned(), is_outside: false }];
        let model = ModelStages { name: "retention".to_owned(), title: String::new(), stages };
        for _ in 0..2 {
            lines.hear(Told::Models(vec![model.clone()]), Duration::ZERO, &mut out).unwrap();
        }
        let of = |model: &str, name: &str| Passed {
            model: model.to_owned(),
            name: name.to_owned(),
            kind: "stage".to_owned(),
            change: "active → at_risk".to_owned(),
            ..Passed::default()
        };
        let passed = vec![
            of("retention", "often"),
            of("retention", "often"),
            of("retention", "often"),
            of("retention", "seldom"),
            of("other", "not_told"),
        ];
        lines.hear(Told::Passed(passed, 0), Duration::ZERO, &mut out).unwrap();
        let customers = [(("retention".to_owned(), "active".to_owned()), 7)];
        let figures = Figures { touchpoints: 9, customers: customers.into(), ..Figures::default() };
        lines.hear(Told::Figures(Box::new(figures)), Duration::ZERO, &mut out).unwrap();
        lines.pass_time(Duration::from_millis(900), None, &mut out).unwrap();
        lines.pass_time(Duration::from_millis(1_100), None, &mut out).unwrap();
        lines.farewell(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("often    ").count(), 3, "two as they came, one in the end: {text}");
        assert!(text.contains("active -> at_risk") && text.contains("|  active 7\n"), "{text}");
        assert!(text.contains("9 touchpoints, 5 transitions") && !text.contains("not_told"), "{text}");
        assert_eq!(text.matches("==").count(), 1);
    }
    #[test]
    fn models_that_are_not_printed_are_named_once_and_names_are_padded_to_the_longest() {
        let mut lines = Lines::new(&["short".to_owned(), "a_name_of_some_length".to_owned()], false);
        let mut out = Vec::new();
        let model = |name: &str| ModelStages { name: name.to_owned(), title: String::new(), stages: Vec::new() };
        let models = ["a_name_of_some_length", "other", "short", "another"].map(model).to_vec();
        for _ in 0..2 {
            lines.hear(Told::Models(models.clone()), Duration::ZERO, &mut out).unwrap();
        }
        let of = |model: &str| Passed {
            model: model.to_owned(),
            kind: "stage".to_owned(),
            name: "moved".to_owned(),
            ..Passed::default()
        };
        let passed = vec![of("short"), of("a_name_of_some_length")];
        lines.hear(Told::Passed(passed, 0), Duration::ZERO, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let introduction = "== transitions of short, a_name_of_some_length; others run, too, and --model NAME prints one of them: other, another";
        assert_eq!(text.lines().filter(|line| line.starts_with("==")).collect::<Vec<_>>(), [introduction]);
        let places: Vec<_> = text.lines().filter_map(|line| line.find(" moved ")).collect();
        assert!(places.len() == 2 && places[0] == places[1], "{text}");
    }
}
