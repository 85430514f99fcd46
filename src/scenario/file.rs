//! Parses a scenario file: a header, then scenarios line by line.
//!
//! Reports all errors, each with its line, instead of stopping at the first.

use std::fmt;

use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::Currency;
use crate::lifecycle::time::Timestamp;
use crate::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

use super::assertion::{Assertion, parse_assertions};
use super::expectation::{Expectation, parse_expectations};
use super::given_touchpoint::parse_touchpoint;
use super::step_time::{StepTime, parse_step_time};
use super::words::{without_comment, words};

/// The size limit of a scenario file, in bytes.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The size limit of one touchpoint of a scenario, in bytes.
const RECORD_BYTES_MAX: usize = 64 * 1024;
/// The customer of a line if neither this line nor an earlier line of the scenario names one.
const DEFAULT_CUSTOMER: &str = "customer";

/// The settings before the first scenario of a file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// Names or files of models, each with its line; empty if the file tests the model file with the same name.
    pub models: Vec<(usize, String)>,
    /// The currency of revenue.
    pub currency: Option<Currency>,
}

/// An error in a scenario file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyntaxError {
    /// The line number, starting at 1.
    pub line: usize,
    /// The error, and what to write instead.
    pub message: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.line, self.message)
    }
}

/// A test of a model: the touchpoints of one or more customers, and the expected transitions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scenario {
    /// The text after `scenario:`.
    pub title: Box<str>,
    /// Its first line, starting at 1.
    pub line: usize,
    pub(super) steps: Vec<Step>,
}

/// One line of a scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Step {
    pub(super) line: usize,
    /// The text in the file up to `->`.
    pub(super) text: Box<str>,
    pub(super) now: Timestamp,
    pub(super) customer: Box<str>,
    pub(super) action: StepAction,
    pub(super) expected: Vec<Expectation>,
}

/// The action of a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum StepAction {
    /// Only time passes.
    Wait,
    /// A touchpoint arrives: its JSON record.
    Touchpoint(String),
    /// The assertions are checked.
    Assert(Vec<(Box<str>, Assertion)>),
}

/// Parses the header of a file.
///
/// # Errors
/// Every error in the header.
pub fn parse_header(text: &str) -> Result<Header, Vec<SyntaxError>> {
    let mut header = Header::default();
    let mut errors = Vec::new();
    for (line, content) in lines(text) {
        let (key, value) = content.split_once(':').map_or((content, ""), |(key, value)| (key.trim(), value.trim()));
        let mut report = |message: String| errors.push(SyntaxError { line, message });
        match key {
            "scenario" => break,
            "model" | "models" if !value.is_empty() => {
                header.models.extend(value.split(',').map(|name| (line, name.trim().to_owned())));
            }
            "model" | "models" => report("write a model: `model: loyalty_ladder` or `model: ./mine.yaml`".to_owned()),
            "currency" => match Currency::parse(value) {
                Some(currency) => header.currency = Some(currency),
                None => report("write three capital letters: `currency: EUR`".to_owned()),
            },
            _ => report("before the first scenario only `model:` and `currency:` are allowed: start a scenario with `scenario: TITLE`".to_owned()),
        }
    }
    if errors.is_empty() { Ok(header) } else { Err(errors) }
}

/// Parses the scenarios of a file. `models` are those of its header.
///
/// # Errors
/// Every error in the scenarios.
pub fn parse(text: &str, models: &ModelSet) -> Result<Vec<Scenario>, Vec<SyntaxError>> {
    let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: RECORD_BYTES_MAX });
    let mut parser = ScenarioParser { models, decoder, scenarios: Vec::new() };
    let mut errors = Vec::new();
    for (line, content) in lines(text) {
        if let Err(message) = parser.parse_line(line, content) {
            errors.push(SyntaxError { line, message });
        }
    }
    if parser.scenarios.is_empty() {
        let message = "the file has no scenario: start one with `scenario: TITLE`".to_owned();
        errors.push(SyntaxError { line: 1, message });
    }
    let empty = parser.scenarios.iter().filter(|scenario| scenario.steps.is_empty());
    // A scenario in which every line is invalid has no steps either, but its errors are already reported.
    if errors.is_empty() {
        let message = "the scenario has no lines: write one such as `2026-01-01 10:00 product_viewed`";
        errors.extend(empty.map(|scenario| SyntaxError { line: scenario.line, message: message.to_owned() }));
    }
    if errors.is_empty() { Ok(parser.scenarios) } else { Err(errors) }
}

/// Returns the lines with their numbers, without comments and surrounding white space; skips empty ones.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = (1..).zip(text.lines().map(|line| without_comment(line).trim()));
    lines.filter(|(_, content)| !content.is_empty())
}

struct ScenarioParser<'a> {
    models: &'a ModelSet,
    decoder: TouchpointDecoder,
    scenarios: Vec<Scenario>,
}

impl ScenarioParser<'_> {
    fn parse_line(&mut self, line: usize, content: &str) -> Result<(), String> {
        if let Some(title) = content.strip_prefix("scenario:") {
            self.scenarios.push(Scenario { title: title.trim().into(), line, steps: Vec::new() });
            return if title.trim().is_empty() {
                Err("missing title: write `scenario: TITLE`".to_owned())
            } else {
                Ok(())
            };
        }
        let Some(scenario) = self.scenarios.last_mut() else { return Ok(()) };
        if let Some(more) = content.strip_prefix("->") {
            let step = scenario.steps.last_mut().ok_or("expectations must follow a line of the same scenario")?;
            let more = parse_expectations(more, &step.customer, self.models)?;
            return add_expectations(step, more);
        }
        let (text, expected) = match content.split_once("->") {
            Some((text, expected)) => (text.trim(), Some(expected)),
            None => (content, None),
        };
        let mut step = parse_step(line, text, scenario.steps.last(), self.models, &self.decoder)?;
        if let Some(expected) = expected {
            let expected = parse_expectations(expected, &step.customer, self.models);
            // The step is kept despite the error, because the times of later lines are relative to it.
            let outcome = expected.and_then(|expected| add_expectations(&mut step, expected));
            scenario.steps.push(step);
            return outcome;
        }
        scenario.steps.push(step);
        Ok(())
    }
}

fn add_expectations(step: &mut Step, expected: Vec<Expectation>) -> Result<(), String> {
    if matches!(step.action, StepAction::Assert(_)) && !expected.is_empty() {
        return Err(
            "a line with assertions cannot have expectations: write them after a touchpoint or `nothing happens`"
                .to_owned(),
        );
    }
    step.expected.extend(expected);
    Ok(())
}

fn parse_step(
    line: usize,
    text: &str,
    before: Option<&Step>,
    models: &ModelSet,
    decoder: &TouchpointDecoder,
) -> Result<Step, String> {
    let words = words(text);
    let (time, count) = parse_step_time(&words)?;
    let mut rest = &words[count..];
    let mut customer = before.map_or(DEFAULT_CUSTOMER, |step| &step.customer);
    if let [name, ..] = rest
        && let Some(name) = name.strip_suffix(':').filter(|name| !name.is_empty())
    {
        if name.contains(['"', '\\']) {
            return Err(format!("`{name}` is not a valid customer id: write one word without quotes"));
        }
        customer = name;
        rest = &rest[1..];
    }
    let previous =
        before.map(|step| step.now).ok_or("the first line of a scenario must start with a date: `2026-01-31 10:00`");
    let (now, occurred_at) = match time {
        StepTime::At(now) => match before {
            Some(step) if now < step.now => {
                return Err("this time is before that of the previous line: for a late touchpoint write `3 days ago`"
                    .to_owned());
            }
            _ => (now, now),
        },
        StepTime::Later(length) => (previous? + length, previous? + length),
        StepTime::Ago(length) => (previous?, previous? - length),
        StepTime::Assert => (previous?, previous?),
    };
    let step = |action| Step { line, text: text.into(), now, customer: customer.into(), action, expected: Vec::new() };
    if time == StepTime::Assert {
        let list = rest.join(" ");
        return Ok(step(StepAction::Assert(parse_assertions(&list, models)?)));
    }
    if matches!(rest, [] | ["nothing", "happens"]) {
        if matches!(time, StepTime::Ago(_)) {
            return Err("missing touchpoint: write one such as `3 days ago order_completed`".to_owned());
        }
        return Ok(step(StepAction::Wait));
    }
    let given = parse_touchpoint(rest, models)?;
    let record = given.to_record(customer, line, occurred_at);
    match decoder.decode(record.as_bytes(), &mut Scratch::default()) {
        Ok(_) => Ok(step(StepAction::Touchpoint(record))),
        Err(error) => Err(error.detail.into_owned()),
    }
}
