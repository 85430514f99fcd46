//! What the demo prints: some transitions as they come, and once a second where everybody stands.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::Value;

use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;
use crate::wire::time::format_timestamp;

/// How many transitions are printed in a second; more cannot be read.
const PRINTED_MAX: u32 = 10;
/// How many of one name, so that the frequent ones leave room for the others.
const PRINTED_OF_NAME_MAX: u32 = 2;
/// Models that people understand at once, the first of them that runs is counted by stage.
const PREFERRED: [&str; 2] = ["classic_seven", "retention"];

/// What has been seen.
#[derive(Debug)]
pub(super) struct Screen {
    has_color: bool,
    /// The models whose transitions are printed.
    printed_models: Vec<String>,
    /// The stages of the model that is counted, from the beginning of the journey.
    stages: Vec<String>,
    counted_model: String,
    standing: BTreeMap<String, u64>,
    touchpoints: u64,
    transitions: u64,
    by_name: BTreeMap<(String, String), u64>,
    touchpoints_before: u64,
    transitions_before: u64,
    printed: u32,
    printed_names: BTreeMap<String, u32>,
}

impl Screen {
    pub(super) fn new(models: &ModelSet, has_color: bool) -> Self {
        let running: Vec<&str> = models.models.iter().map(|model| &*model.name).collect();
        let mut printed_models: Vec<String> =
            PREFERRED.iter().filter(|name| running.contains(name)).map(|&name| name.to_owned()).collect();
        if printed_models.is_empty() {
            printed_models = running.iter().map(|&name| name.to_owned()).collect();
        }
        let counted_model = printed_models.first().cloned().unwrap_or_default();
        let model = models.models.iter().find(|model| *model.name == *counted_model);
        let mut stages: Vec<String> = model.map_or_else(Vec::new, |model| {
            model.journey().into_iter().map(|stage| model.stage(stage).name.to_string()).collect()
        });
        let outside = model.map_or_else(Vec::new, |model| {
            model.stages.iter().map(|stage| stage.name.to_string()).filter(|name| !stages.contains(name)).collect()
        });
        stages.extend(outside);
        Self {
            has_color,
            printed_models,
            stages,
            counted_model,
            standing: BTreeMap::new(),
            touchpoints: 0,
            transitions: 0,
            by_name: BTreeMap::new(),
            touchpoints_before: 0,
            transitions_before: 0,
            printed: 0,
            printed_names: BTreeMap::new(),
        }
    }

    pub(super) fn welcome(servers: &str, address: &str, days_per_second: u32) {
        eprintln!("generated customers of a shop, {days_per_second} days a second; Ctrl-C ends the demo");
        eprintln!(
            "kafka at {servers} (topic lifecycle.transitions), http at http://{address}/v1/customers/customer-00001"
        );
    }

    /// Notes a touchpoint that was sent.
    pub(super) fn fed(&mut self) {
        self.touchpoints += 1;
    }

    /// Notes a published transition; prints it if there is room.
    pub(super) fn transition(&mut self, record: &[u8], out: &mut impl Write) -> io::Result<()> {
        self.transitions += 1;
        let transition: Value = serde_json::from_slice(record).map_err(io::Error::other)?;
        let text = |field: &str| transition[field].as_str().unwrap_or_default().to_owned();
        let (model, name) = (text("model"), text("name"));
        *self.by_name.entry((model.clone(), name.clone())).or_default() += 1;
        let (from, to) = (text("from"), text("to"));
        let is_move = text("kind") == "stage";
        if is_move && model == self.counted_model {
            if let Some(count) = self.standing.get_mut(&from) {
                *count = count.saturating_sub(1);
            }
            if !to.is_empty() {
                *self.standing.entry(to.clone()).or_default() += 1;
            }
        }
        // Awareness is where everybody begins and says little.
        let is_news = is_move && self.printed_models.contains(&model) && !(from.is_empty() && name == "became_aware");
        let printed_of_name = self.printed_names.get(&name).copied().unwrap_or_default();
        if !is_news || self.printed >= PRINTED_MAX || printed_of_name >= PRINTED_OF_NAME_MAX {
            return Ok(());
        }
        self.printed += 1;
        self.printed_names.insert(name.clone(), printed_of_name + 1);
        let from = if from.is_empty() { "-" } else { &from };
        let to = if to.is_empty() { "-" } else { &to };
        let (begin, end) = self.color(&text("direction"));
        let date = text("occurred_at");
        writeln!(
            out,
            "{}  {:<14} {model:<14} {begin}{name:<24}{end} {from} -> {to}",
            date.get(..16).unwrap_or(&date).replace('T', " "),
            text("customer_id"),
        )
    }

    /// Prints where everybody stands; to be called once a second.
    pub(super) fn second(&mut self, now: Timestamp, out: &mut impl Write) -> io::Result<()> {
        let standing = self.stages.iter().fold(String::new(), |mut text, stage| {
            _ = write!(text, "  {stage} {}", self.standing.get(stage).copied().unwrap_or_default());
            text
        });
        let date = format_timestamp(now);
        let (begin, end) = if self.has_color { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        writeln!(
            out,
            "{begin}== {}  {} touchpoints/s  {} transitions/s |{standing}{end}",
            date.get(..10).unwrap_or(&date),
            self.touchpoints - self.touchpoints_before,
            self.transitions - self.transitions_before,
        )?;
        self.touchpoints_before = self.touchpoints;
        self.transitions_before = self.transitions;
        self.printed = 0;
        self.printed_names.clear();
        Ok(())
    }

    /// Prints what there was in all.
    pub(super) fn farewell(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "\n{} touchpoints, {} transitions", self.touchpoints, self.transitions)?;
        for ((model, name), count) in self.by_name.iter().filter(|((model, _), _)| self.printed_models.contains(model))
        {
            writeln!(out, "  {model:<14} {name:<24} {count}")?;
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
