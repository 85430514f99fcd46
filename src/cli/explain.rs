//! `lifecycle explain`: one customer of replayed files: what happened, why, and what will happen in silence.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::fact_arguments::{FactArguments, parse_until};
use super::touchpoint_files::{TOUCHPOINT_OPTIONS, each_line};
use super::{Exit, Format, print};
use crate::config::ModelChoice;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::Currency;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::Touchpoint;
use crate::lifecycle::transition::{Cause, Transition};
use crate::partition::CustomerView;
use crate::replay::{Replay, ReplayOptions};
use crate::wire::time::format_timestamp;
use crate::wire::touchpoint_json::{Scratch, TouchpointDecoder};
use crate::wire::transition::{Mode, Publication};
use crate::wire::transition_json::write_json;
use crate::wire::transition_text::{change, instant, reason, rough_length, stage_name};

/// After how many wake-ups the look ahead ends; nearly always nothing is left long before.
const WAKE_UPS_AHEAD_MAX: usize = 100;

const EXAMPLES: &str = "\
Examples:
  lifecycle explain --customer anna examples/touchpoints.ndjson
  lifecycle explain --customer anna --model retention --until 2026-06-01T00:00:00Z touchpoints.ndjson.gz
  lifecycle explain --customer anna --format json touchpoints.ndjson | jq .forecast";

/// Explain one customer of files: what happened, why, and what silence will bring
///
/// Shows each touchpoint with the transitions that it led to, those that time led to, the conditions that held and the
/// values that they read; then where the customer stands, and what is published if nothing more is heard of them.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExplainArguments {
    /// Whom to explain
    #[arg(long, value_name = "ID")]
    customer: String,
    /// A shipped model, or a model file; may be repeated [default: all shipped models]
    #[arg(long = "model", value_name = "NAME|FILE")]
    models: Vec<String>,
    /// Leave out later touchpoints, and let time pass up to this instant (RFC 3339) [default: the latest touchpoint]
    #[arg(long, value_name = "TIME", value_parser = parse_until)]
    until: Option<Timestamp>,
    #[command(flatten)]
    facts: FactArguments,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Files with touchpoints, plain or gzipped, in the order of arrival; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What happened at one moment: a touchpoint, or time alone.
struct Moment {
    at: Timestamp,
    touchpoint: Option<Seen>,
    transitions: Vec<Transition>,
}

/// A touchpoint of the customer.
struct Seen {
    event_id: String,
    type_name: String,
    order_id: Option<String>,
    amount: Option<String>,
    is_late: bool,
    is_duplicate: bool,
}

/// Everything that is told.
struct Story {
    moments: Vec<Moment>,
    /// As of when the customer stands as `view` says.
    now: Timestamp,
    view: CustomerView,
    forecast: Vec<Moment>,
    /// Whether the look ahead ended before nothing was left.
    is_cut: bool,
}

/// Explains a customer.
pub(super) fn run(arguments: &ExplainArguments) -> ExitCode {
    let models = match ModelChoice::of(&arguments.models).load(io::stderr().is_terminal()) {
        Ok(models) => Arc::new(models),
        Err(report) => {
            eprintln!("{report}");
            return Exit::Usage.into();
        }
    };
    let mut bad_lines = 0;
    match tell(arguments, &models, &mut bad_lines) {
        Ok(Some(story)) => {
            let written = print(&match arguments.format {
                Format::Text => text(&story, &models, arguments.facts.currency),
                Format::Json => format!("{:#}\n", object(&story, &models, arguments.facts.currency)),
            });
            if bad_lines > 0 && written == Exit::Success { Exit::Problems } else { written }.into()
        }
        Ok(None) => {
            eprintln!("lifecycle explain: there is no touchpoint of the customer {}", arguments.customer);
            Exit::Problems.into()
        }
        Err(message) => {
            eprintln!("lifecycle explain: {message}");
            Exit::Usage.into()
        }
    }
}

/// `None` when nothing is known of the customer.
fn tell(arguments: &ExplainArguments, models: &Arc<ModelSet>, bad_lines: &mut u64) -> Result<Option<Story>, String> {
    let facts = arguments.facts.options();
    let mut replay = Replay::new(Arc::clone(models), ReplayOptions { facts, until: arguments.until });
    let decoder = TouchpointDecoder::new(&models.vocabulary, TOUCHPOINT_OPTIONS);
    let mut moments = Vec::new();
    let mut clock = Timestamp::MIN;
    *bad_lines = each_line(&arguments.files, |line| {
        let mut scratch = Scratch::default();
        let touchpoint = decoder.decode(line, &mut scratch).map_err(|malformed| malformed.detail.into_owned())?;
        let mut published = Vec::new();
        let moments_before = moments.len();
        // Of other customers only the time matters: what silence does to this one is found when the clock has passed it.
        if touchpoint.customer_id == arguments.customer {
            let before = replay.summary();
            let Ok(()) = replay.apply(&touchpoint, &mut |transition, _| collect(transition, &mut published));
            if replay.summary().left_out > before.left_out {
                return Ok(());
            }
            let seen = Seen::of(&touchpoint, clock, replay.summary().tally.duplicates > before.tally.duplicates);
            place(touchpoint.occurred_at, Some(seen), published, &mut moments);
            clock = clock.max(touchpoint.occurred_at);
        } else {
            let Ok(()) = replay.meet(touchpoint.occurred_at, &mut |transition, _| collect(transition, &mut published));
            place(touchpoint.occurred_at, None, published, &mut moments);
        }
        clock = moments[moments_before..].iter().map(|moment: &Moment| moment.at).fold(clock, Timestamp::max);
        Ok(())
    })?;
    let mut published = Vec::new();
    let Ok(()) = replay.finish(&mut |transition, _| collect(transition, &mut published));
    place(Timestamp::MAX, None, published, &mut moments);
    let Some(view) = replay.partition().customer(&arguments.customer) else {
        let was_there = moments.iter().any(|moment| moment.touchpoint.is_some());
        let message =
            || format!("the customer {} was erased or forgotten; nothing is known of them", arguments.customer);
        return if was_there { Err(message()) } else { Ok(None) };
    };
    let now = replay.end().unwrap_or(view.clock);
    let (forecast, is_cut) = look_ahead(&mut replay, &arguments.customer);
    Ok(Some(Story { moments, now, view, forecast, is_cut }))
}

/// What is published if the customer stays silent, and whether there would be more.
fn look_ahead(replay: &mut Replay, customer: &str) -> (Vec<Moment>, bool) {
    let mut forecast = Vec::new();
    for _ in 0..WAKE_UPS_AHEAD_MAX {
        let next = replay.partition().customer(customer).and_then(|view| view.next_wake_up);
        let Some(next) = next else { return (forecast, false) };
        let mut published = Vec::new();
        let Ok(()) = replay.run_until(next, &mut |transition, _| collect(transition, &mut published));
        place(next, None, published, &mut forecast);
    }
    (forecast, true)
}

/// Cannot fail.
#[expect(clippy::unnecessary_wraps, reason = "a replay asks whether its transitions could be handed on")]
fn collect(transition: &Transition, published: &mut Vec<Transition>) -> Result<(), Infallible> {
    published.push(transition.clone());
    Ok(())
}

/// Sorts what was published into moments: what time caused before the touchpoint, the touchpoint, what time caused after it.
fn place(at: Timestamp, mut touchpoint: Option<Seen>, published: Vec<Transition>, moments: &mut Vec<Moment>) {
    let mut own = Vec::new();
    let mut after = Vec::new();
    for transition in published {
        if transition.cause != Cause::Time {
            own.push(transition);
        } else if touchpoint.is_some() && transition.occurred_at <= at {
            add_to_time(transition, moments);
        } else {
            after.push(transition);
        }
    }
    if let Some(seen) = touchpoint.take() {
        moments.push(Moment { at, touchpoint: Some(seen), transitions: own });
    }
    for transition in after {
        add_to_time(transition, moments);
    }
}

fn add_to_time(transition: Transition, moments: &mut Vec<Moment>) {
    match moments.last_mut() {
        Some(last) if last.touchpoint.is_none() && last.at == transition.occurred_at => {
            last.transitions.push(transition);
        }
        _ => moments.push(Moment { at: transition.occurred_at, touchpoint: None, transitions: vec![transition] }),
    }
}

impl Seen {
    fn of(touchpoint: &Touchpoint<'_>, clock: Timestamp, is_duplicate: bool) -> Self {
        let currency = |currency: Currency| format!(" {}", currency.as_str());
        Self {
            event_id: touchpoint.event_id.to_owned(),
            type_name: touchpoint.type_name.to_owned(),
            order_id: touchpoint.order_id.map(str::to_owned),
            amount: touchpoint
                .amount
                .map(|amount| format!("{amount}{}", touchpoint.currency.map_or_else(String::new, currency))),
            is_late: touchpoint.occurred_at < clock,
            is_duplicate,
        }
    }
}

fn text(story: &Story, models: &ModelSet, currency: Currency) -> String {
    let mut out = String::new();
    _ = writeln!(out, "What happened to {} (all times in UTC)", story.view.customer_id);
    for moment in &story.moments {
        write_moment(&mut out, moment, models);
    }
    _ = writeln!(out, "\nAs of {}", instant(story.now));
    let width = models.models.iter().map(|model| model.name.len()).max().unwrap_or(0);
    for (model, view) in models.models.iter().zip(&story.view.models) {
        let since = view.since.map_or_else(String::new, |since| format!(" since {}", instant(since)));
        let stage = stage_name(model, view.stage);
        _ = write!(out, "  {:width$}  {stage}{}", model.name, if view.stage.is_some() { since } else { String::new() });
        let signals: Vec<&str> = view.signals.iter().map(|&index| &*model.signals[index].name).collect();
        if !signals.is_empty() {
            _ = write!(out, "; signals: {}", signals.join(", "));
        }
        out.push('\n');
    }
    let orders = &story.view.orders;
    _ = write!(out, "  {} valid orders, revenue {} {}", orders.count, orders.revenue, currency.as_str());
    if let Some(last) = orders.last {
        _ = write!(out, ", the last at {}", instant(last));
    }
    out.push('\n');
    match story.view.next_wake_up {
        Some(next) => _ = writeln!(out, "  next looked at {}, in {}", instant(next), rough_length(next - story.now)),
        None => out.push_str("  time alone changes nothing any more\n"),
    }
    if story.view.next_wake_up.is_some() {
        _ = writeln!(out, "\nIf {} stays silent", story.view.customer_id);
        for moment in &story.forecast {
            write_moment(&mut out, moment, models);
        }
        out.push_str(match (story.is_cut, story.forecast.is_empty()) {
            (true, _) => "  and so on\n",
            (false, true) => "  nothing is published\n",
            (false, false) => "  after that nothing is published any more\n",
        });
    }
    out
}

fn write_moment(out: &mut String, moment: &Moment, models: &ModelSet) {
    _ = write!(out, "  {}  ", instant(moment.at));
    match &moment.touchpoint {
        None => out.push_str("time passed"),
        Some(seen) => {
            out.push_str(&seen.type_name);
            if let Some(order_id) = &seen.order_id {
                _ = write!(out, " order_id={order_id}");
            }
            if let Some(amount) = &seen.amount {
                _ = write!(out, " amount={amount}");
            }
            if seen.is_duplicate {
                out.push_str(" (a duplicate, which counts once)");
            } else if seen.is_late {
                out.push_str(" (arrived late)");
            }
        }
    }
    out.push('\n');
    for transition in &moment.transitions {
        let model = models.model(transition.model);
        _ = writeln!(out, "      {}: {}", model.name, change(model, transition));
        // The cause is the moment itself.
        for line in reason(transition).iter().skip(1) {
            _ = writeln!(out, "          {line}");
        }
    }
}

fn object(story: &Story, models: &ModelSet, currency: Currency) -> Value {
    let moments = |moments: &[Moment]| -> Vec<Value> {
        moments.iter().map(|moment| moment_object(moment, models, currency, story.now)).collect()
    };
    let standings = models.models.iter().zip(&story.view.models).map(|(model, view)| {
        json!({
            "model": model.name,
            "stage": view.stage.map(|stage| &*model.stage(stage).name),
            "since": view.since.map(format_timestamp),
            "signals": view.signals.iter().map(|&index| &*model.signals[index].name).collect::<Vec<_>>(),
            "milestones": view.milestones.iter().map(|&index| &*model.milestones[index].name).collect::<Vec<_>>(),
        })
    });
    json!({
        "customer_id": story.view.customer_id,
        "timeline": moments(&story.moments),
        "as_of": format_timestamp(story.now),
        "standings": standings.collect::<Vec<_>>(),
        "orders": {
            "count": story.view.orders.count,
            "revenue": story.view.orders.revenue.to_string(),
            "currency": currency.as_str(),
            "last": story.view.orders.last.map(format_timestamp),
        },
        "next_wake_up": story.view.next_wake_up.map(format_timestamp),
        "forecast": moments(&story.forecast),
        "forecast_is_cut": story.is_cut,
    })
}

fn moment_object(moment: &Moment, models: &ModelSet, currency: Currency, now: Timestamp) -> Value {
    let transitions = moment.transitions.iter().map(|transition| {
        let mut record = Vec::new();
        // Found as it happened, or, ahead of the end, not before it will happen.
        let detected_at = transition.occurred_at.max(now);
        write_json(&Publication { transition, models, detected_at, mode: Mode::Replay, currency }, &mut record);
        serde_json::from_slice::<Value>(&record).expect("what is published is JSON")
    });
    let touchpoint = moment.touchpoint.as_ref().map(|seen| {
        json!({
            "event_id": seen.event_id,
            "type": seen.type_name,
            "order_id": seen.order_id,
            "amount": seen.amount,
            "late": seen.is_late,
            "duplicate": seen.is_duplicate,
        })
    });
    json!({
        "occurred_at": format_timestamp(moment.at),
        "touchpoint": touchpoint,
        "transitions": transitions.collect::<Vec<_>>(),
    })
}
