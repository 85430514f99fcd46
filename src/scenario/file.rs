//! A scenario file: its head, and its scenarios line by line. Every mistake is told, with its line.

use std::fmt;

use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::Currency;
use crate::lifecycle::time::Timestamp;
use crate::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

use super::act::{Given, Look, given, looks};
use super::expectation::{Expectation, expectations};
use super::moment::{Moment, moment};
use super::words::{without_comment, words};

/// How many bytes a scenario file may have.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// How many bytes a touchpoint of a scenario may have.
const RECORD_BYTES_MAX: usize = 64 * 1024;
/// Who does something in a line that names nobody.
const CUSTOMER: &str = "customer";

/// What a file says of itself before its first scenario.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Head {
    /// Names or files of models, each with its line; none when the file relies on the model beside it.
    pub models: Vec<(usize, String)>,
    /// The currency that revenue is counted in.
    pub currency: Option<Currency>,
}

/// Something in a file that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// From 1.
    pub line: usize,
    /// What is wrong and what to write.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.line, self.message)
    }
}

/// What one or several customers do, and what is expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scenario {
    /// What it shows.
    pub title: Box<str>,
    /// Where it begins, from 1.
    pub line: usize,
    pub(super) steps: Vec<Step>,
}

/// One line of a scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Step {
    pub(super) line: usize,
    /// As it stands in the file, up to `->`.
    pub(super) text: Box<str>,
    pub(super) now: Timestamp,
    pub(super) customer: Box<str>,
    pub(super) act: Act,
    pub(super) expected: Vec<Expectation>,
}

/// What happens in a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// Time passes.
    Nothing,
    /// A touchpoint in JSON.
    Record(String),
    /// Where the customer stands is looked at.
    Look(Vec<(Box<str>, Look)>),
}

/// Reads the head of a file.
///
/// # Errors
/// Every mistake in the head.
pub fn read_head(text: &str) -> Result<Head, Vec<Mistake>> {
    let mut head = Head::default();
    let mut mistakes = Vec::new();
    for (line, content) in lines(text) {
        let (key, value) = content.split_once(':').map_or((content, ""), |(key, value)| (key.trim(), value.trim()));
        let mut report = |message: String| mistakes.push(Mistake { line, message });
        match key {
            "scenario" => break,
            "model" | "models" if !value.is_empty() => {
                head.models.extend(value.split(',').map(|name| (line, name.trim().to_owned())));
            }
            "model" | "models" => report("write a model: `model: loyalty_ladder` or `model: ./mine.yaml`".to_owned()),
            "currency" => match Currency::parse(value) {
                Some(currency) => head.currency = Some(currency),
                None => report("write three capital letters: `currency: EUR`".to_owned()),
            },
            _ => report("before the first scenario only `model:` and `currency:` can stand: write `scenario: ` and what it shows".to_owned()),
        }
    }
    if mistakes.is_empty() { Ok(head) } else { Err(mistakes) }
}

/// Reads the scenarios of a file whose head has been read, over its `models`.
///
/// # Errors
/// Every mistake in the scenarios.
pub fn parse(text: &str, models: &ModelSet) -> Result<Vec<Scenario>, Vec<Mistake>> {
    let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: RECORD_BYTES_MAX });
    let mut reader = Reader { models, decoder, scenarios: Vec::new() };
    let mut mistakes = Vec::new();
    for (line, content) in lines(text) {
        if let Err(message) = reader.read(line, content) {
            mistakes.push(Mistake { line, message });
        }
    }
    if reader.scenarios.is_empty() {
        let message = "there is no scenario: write `scenario: ` and what it shows".to_owned();
        mistakes.push(Mistake { line: 1, message });
    }
    let empty = reader.scenarios.iter().filter(|scenario| scenario.steps.is_empty());
    // A scenario whose lines are all wrong has been told of already.
    if mistakes.is_empty() {
        let message = "nothing happens in this scenario: write a line such as `2026-01-01 10:00 product_viewed`";
        mistakes.extend(empty.map(|scenario| Mistake { line: scenario.line, message: message.to_owned() }));
    }
    if mistakes.is_empty() { Ok(reader.scenarios) } else { Err(mistakes) }
}

/// Lines with their numbers, without comments, white space at either end, and those that are empty.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = (1..).zip(text.lines().map(|line| without_comment(line).trim()));
    lines.filter(|(_, content)| !content.is_empty())
}

struct Reader<'a> {
    models: &'a ModelSet,
    decoder: TouchpointDecoder,
    scenarios: Vec<Scenario>,
}

impl Reader<'_> {
    fn read(&mut self, line: usize, content: &str) -> Result<(), String> {
        if let Some(title) = content.strip_prefix("scenario:") {
            self.scenarios.push(Scenario { title: title.trim().into(), line, steps: Vec::new() });
            return if title.trim().is_empty() { Err("say what the scenario shows".to_owned()) } else { Ok(()) };
        }
        let Some(scenario) = self.scenarios.last_mut() else { return Ok(()) };
        if let Some(more) = content.strip_prefix("->") {
            let step = scenario.steps.last_mut().ok_or("there is no line before that this could belong to")?;
            let more = expectations(more, &step.customer, self.models)?;
            return add(step, more);
        }
        let (text, expected) = match content.split_once("->") {
            Some((text, expected)) => (text.trim(), Some(expected)),
            None => (content, None),
        };
        let mut step = read_step(line, text, scenario.steps.last(), self.models, &self.decoder)?;
        if let Some(expected) = expected {
            let expected = expectations(expected, &step.customer, self.models);
            // The step stays, so that lines that follow are read from its instant.
            let outcome = expected.and_then(|expected| add(&mut step, expected));
            scenario.steps.push(step);
            return outcome;
        }
        scenario.steps.push(step);
        Ok(())
    }
}

fn add(step: &mut Step, expected: Vec<Expectation>) -> Result<(), String> {
    if matches!(step.act, Act::Look(_)) && !expected.is_empty() {
        return Err(
            "looking publishes nothing: write what is expected behind a line in which something happens".to_owned()
        );
    }
    step.expected.extend(expected);
    Ok(())
}

fn read_step(
    line: usize,
    text: &str,
    before: Option<&Step>,
    models: &ModelSet,
    decoder: &TouchpointDecoder,
) -> Result<Step, String> {
    let words = words(text);
    let (moment, count) = moment(&words)?;
    let mut rest = &words[count..];
    let mut customer = before.map_or(CUSTOMER, |step| &step.customer);
    if let [name, ..] = rest
        && let Some(name) = name.strip_suffix(':').filter(|name| !name.is_empty())
    {
        if name.contains(['"', '\\']) {
            return Err(format!("`{name}` cannot be the name of a customer: write a word"));
        }
        customer = name;
        rest = &rest[1..];
    }
    let present = before.map(|step| step.now).ok_or("the first line must say when: begin it with `2026-01-31 10:00`");
    let (now, occurred_at) = match moment {
        Moment::At(now) => match before {
            Some(step) if now < step.now => {
                return Err("time runs forward: for a touchpoint that arrives late write `3 days ago`".to_owned());
            }
            _ => (now, now),
        },
        Moment::Later(length) => (present? + length, present? + length),
        Moment::Ago(length) => (present?, present? - length),
        Moment::Look => (present?, present?),
    };
    let step = |act| Step { line, text: text.into(), now, customer: customer.into(), act, expected: Vec::new() };
    if moment == Moment::Look {
        let list = rest.join(" ");
        return Ok(step(Act::Look(looks(&list, models)?)));
    }
    if matches!(rest, [] | ["nothing", "happens"]) {
        if matches!(moment, Moment::Ago(_)) {
            return Err("say which touchpoint arrives late: `3 days ago order_completed`".to_owned());
        }
        return Ok(step(Act::Nothing));
    }
    let given: Given = given(rest, models)?;
    let record = given.record(customer, line, occurred_at);
    match decoder.decode(record.as_bytes(), &mut Scratch::default()) {
        Ok(_) => Ok(step(Act::Record(record))),
        Err(malformed) => Err(malformed.detail.into_owned()),
    }
}
