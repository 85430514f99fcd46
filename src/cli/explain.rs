//! `lifecycle explain`: replays touchpoints and explains one customer: the timeline, the reasons of transitions, and a
//! forecast without further touchpoints.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::number::counted;
use super::person::Person;
use super::timeline::{Applied, Effect, TimelineEntry, TouchpointSummary, add_to_timeline, entry_to_json, write_entry};
use super::touchpoint_arguments::TouchpointArguments;
use super::touchpoint_source::{InvalidRecords, Source, SourceError, Stream};
use super::{Exit, Format, print, print_error, print_json};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::Currency;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::{Cause, Transition};
use crate::partition::CustomerView;
use crate::replay::{Replay, ReplayOptions};
use crate::wire::time::format_timestamp;
use crate::wire::touchpoint_json::Scratch;
use crate::wire::transition_text::{
    describe_duration_roughly, describe_timestamp, escape_control_characters, stage_name,
};

/// Limit of wake-ups in the forecast. Almost every customer has far fewer wake-ups left.
const FORECAST_WAKE_UPS_MAX: usize = 100;

const EXAMPLES: &str = "\
Examples:
  lifecycle explain --customer anna examples/touchpoints.ndjson
  lifecycle explain --customer anna --model retention --until 2026-06-01T00:00:00Z touchpoints.ndjson.gz
  lifecycle explain --customer anna --config lifecycle.yaml
  lifecycle explain --customer anna --format json touchpoints.ndjson | jq .forecast";

/// Explain one customer: what happened, why, and what comes next
///
/// Prints the timeline of the customer: each touchpoint and each passage of time with the transitions that it caused,
/// their conditions, and the values that the conditions read. Then prints the current stages, and a forecast of the
/// transitions that follow if no further touchpoint arrives.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExplainArguments {
    /// Customer to explain
    #[arg(long, value_name = "ID")]
    customer: String,
    #[command(flatten)]
    touchpoints: TouchpointArguments,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Everything that the command prints about a customer.
struct Explanation {
    timeline: Vec<TimelineEntry>,
    /// Instant that `view` describes.
    now: Timestamp,
    view: CustomerView,
    /// The ids whose facts moved to the customer.
    aliases: Vec<Arc<str>>,
    forecast: Vec<TimelineEntry>,
    /// Whether the forecast ended at the limit of wake-ups.
    is_truncated: bool,
}

/// Replays the touchpoints and prints the explanation of the customer.
pub(super) fn run(arguments: &ExplainArguments) -> ExitCode {
    explain(arguments).unwrap_or_else(|exit| exit).into()
}

fn explain(arguments: &ExplainArguments) -> Result<Exit, Exit> {
    let config = arguments.touchpoints.config()?;
    let models = arguments.touchpoints.models(config.as_ref())?;
    let options = arguments.touchpoints.options(config.as_ref());
    let unreadable = |error: SourceError| {
        print_error(format_args!("lifecycle explain: {error}"));
        error.exit()
    };
    // A pipe can be read once. A file that is missing is reported when it is opened.
    let is_pipe = |path: &&PathBuf| *path == Path::new("-") || std::fs::metadata(path).is_ok_and(|it| !it.is_file());
    if options.facts.identity.is_some()
        && let Some(path) = arguments.touchpoints.files().iter().find(is_pipe)
    {
        let path = path.display();
        print_error(format_args!(
            "lifecycle explain: with --identity the touchpoints are read twice: name a regular file instead of {path}"
        ));
        return Err(Exit::Usage);
    }
    let source = arguments.touchpoints.source(config.as_ref()).map_err(unreadable)?;
    let mut invalid = InvalidRecords::default();
    let mut found = None;
    for stream in source.streams() {
        let outcome =
            read(&arguments.customer, &source, stream, &models, &options, &mut invalid).map_err(unreadable)?;
        if !matches!(outcome, Outcome::Unknown) {
            found = Some(outcome);
            break;
        }
    }
    invalid.finish("");
    source.report_dropped();
    let customer = escape_control_characters(&arguments.customer);
    let problem = match found {
        Some(Outcome::Explained(explanation)) => {
            let currency = options.facts.currency;
            let written = match arguments.format {
                Format::Text => print(&text(&explanation, &models, currency)),
                Format::Json => print_json(&format!("{:#}\n", to_json(&explanation, &models, currency))),
            };
            return Ok(if invalid.count > 0 && written == Exit::Success { Exit::Problems } else { written });
        }
        Some(Outcome::Removed) => {
            format!("the customer {customer} has no state: it was erased or forgotten, or no touchpoint counts for it")
        }
        Some(Outcome::Unknown) | None if options.until.is_some() => {
            format!("no touchpoint of the customer {customer} found before --until")
        }
        Some(Outcome::Unknown) | None => format!("no touchpoint of the customer {customer} found"),
    };
    print_error(format_args!("lifecycle explain: {problem}"));
    Ok(Exit::Problems)
}

/// What a stream says about the customer.
enum Outcome {
    Explained(Box<Explanation>),
    /// There are touchpoints, and no customer in the end.
    Removed,
    /// There is no touchpoint of the customer.
    Unknown,
}

/// Replays a stream for the customer. Counts invalid records in `invalid`.
fn read(
    customer: &str,
    source: &Source,
    stream: Stream,
    models: &Arc<ModelSet>,
    options: &ReplayOptions,
    invalid: &mut InvalidRecords,
) -> Result<Outcome, SourceError> {
    let mut replay = Replay::new(Arc::clone(models), options.clone());
    let decoder = source.decoder(&models.vocabulary);
    let person = match options.facts.identity {
        Some(_) => find_person(customer, source, stream, models, options)?,
        None => Person::with_one_id(customer),
    };
    let mut timeline = Vec::new();
    let mut clock = Timestamp::MIN;
    invalid.for_each(source, stream, |record| {
        let mut scratch = Scratch::default();
        let touchpoint = decoder.decode(record, &mut scratch).map_err(|error| error.detail.into_owned())?;
        let mut published = Vec::new();
        let entries_before = timeline.len();
        let named = [Some(touchpoint.customer_id), touchpoint.anonymous_id, touchpoint.merged_id];
        let is_named = named.into_iter().flatten().any(|id| person.is_known(id));
        // Touchpoints of other customers only advance the clock, which may fire wake-ups of this customer. With
        // identity resolution it also decides from which day on an id is independent, so they are applied.
        if is_named || options.facts.identity.is_some() {
            let before = replay.summary();
            let Ok(()) = replay.apply(&touchpoint, &mut |transition, _| collect(transition, &mut published));
            let after = replay.summary();
            if after.skipped > before.skipped {
                return Ok(());
            }
            let has_erased =
                after.tally.erased > before.tally.erased && replay.removed_customers().contains(&person.ids[0]);
            let effect = match () {
                () if has_erased => Effect::Erases,
                () if after.tally.duplicates > before.tally.duplicates => Effect::Duplicate,
                () if after.tally.older_than_erasure > before.tally.older_than_erasure => Effect::Erased,
                () => Effect::Counted,
            };
            let applied = Applied { effect, is_forwarded: after.tally.forwarded > before.tally.forwarded };
            let at = touchpoint.occurred_at;
            // A touchpoint of another customer is part of the timeline only if it makes this one leave, even if it
            // claims a visitor of this one.
            let is_cause = |it: &Transition| it.cause != Cause::Time && person.has(&it.customer_id, it.occurred_at);
            let is_shown = person.has(touchpoint.customer_id, at)
                || person.is_split(&touchpoint)
                || effect == Effect::Erases
                || published.iter().any(is_cause);
            let summary = is_shown.then(|| TouchpointSummary::of(&touchpoint, clock, applied, &person));
            add_to_timeline(at, summary, published, &person, &mut timeline);
            if is_named {
                clock = clock.max(touchpoint.occurred_at);
            }
        } else {
            let Ok(()) =
                replay.advance_to(touchpoint.occurred_at, &mut |transition, _| collect(transition, &mut published));
            add_to_timeline(touchpoint.occurred_at, None, published, &person, &mut timeline);
        }
        clock = timeline[entries_before..].iter().map(|entry: &TimelineEntry| entry.at).fold(clock, Timestamp::max);
        Ok(())
    })?;
    let mut published = Vec::new();
    let Ok(()) = replay.finish(&mut |transition, _| collect(transition, &mut published));
    add_to_timeline(Timestamp::MAX, None, published, &person, &mut timeline);
    let customer = &*person.ids[0];
    let Some(view) = replay.partition().customer(customer) else {
        let existed = timeline.iter().any(|entry| entry.touchpoint.is_some());
        return Ok(if existed { Outcome::Removed } else { Outcome::Unknown });
    };
    let now = replay.end().unwrap_or(view.clock);
    let (forecast, is_truncated) = forecast_without_touchpoints(&mut replay, customer);
    let aliases = person.ids[1..].to_vec();
    Ok(Outcome::Explained(Box::new(Explanation { timeline, now, view, aliases, forecast, is_truncated })))
}

/// Finds the customer that `id` belongs to in the end, by reading the whole stream.
fn find_person(
    id: &str,
    source: &Source,
    stream: Stream,
    models: &Arc<ModelSet>,
    options: &ReplayOptions,
) -> Result<Person, SourceError> {
    let mut replay = Replay::new(Arc::clone(models), options.clone());
    let decoder = source.decoder(&models.vocabulary);
    let (mut refused, mut linked) = (Vec::new(), Vec::new());
    let link_on = options.facts.identity.unwrap_or_default().link_on;
    let mut discard = |_: &Transition, _| Ok::<(), Infallible>(());
    source.for_each(
        stream,
        |_| {},
        |record| -> Result<(), SourceError> {
            // Invalid records are reported when the source is read again.
            if record.problem.is_none()
                && record.is_complete()
                && let Ok(touchpoint) = decoder.decode(record.bytes, &mut Scratch::default())
            {
                let Ok(()) = replay.apply(&touchpoint, &mut discard);
                refused.extend_from_slice(replay.refused_links());
                let other = link_on.visitor(&touchpoint).or(touchpoint.merged_id);
                linked.extend(other.map(|other| [touchpoint.customer_id.into(), other.into()]));
            }
            Ok(())
        },
    )?;
    source.reset_dropped();
    let Ok(()) = replay.finish(&mut discard);
    Ok(Person::find(id, replay.partition(), refused, &linked))
}

/// Fires all future wake-ups of the customer. Returns the transitions, and whether the limit of wake-ups was reached.
fn forecast_without_touchpoints(replay: &mut Replay, customer: &str) -> (Vec<TimelineEntry>, bool) {
    let mut forecast = Vec::new();
    for _ in 0..FORECAST_WAKE_UPS_MAX {
        let next = replay.partition().customer(customer).and_then(|view| view.next_wake_up);
        let Some(next) = next else { return (forecast, false) };
        let mut published = Vec::new();
        let Ok(()) = replay.run_until(next, &mut |transition, _| collect(transition, &mut published));
        add_to_timeline(next, None, published, &Person::with_one_id(customer), &mut forecast);
    }
    (forecast, true)
}

/// Collects a transition. Never fails.
#[expect(clippy::unnecessary_wraps, reason = "the signature that a replay requires of its callback")]
fn collect(transition: &Transition, published: &mut Vec<Transition>) -> Result<(), Infallible> {
    published.push(transition.clone());
    Ok(())
}

fn text(explanation: &Explanation, models: &ModelSet, currency: Currency) -> String {
    let mut out = String::new();
    let customer = escape_control_characters(&explanation.view.customer_id);
    _ = writeln!(out, "Timeline of {customer} (all times in UTC)");
    if !explanation.aliases.is_empty() {
        _ = writeln!(out, "  also known as {}", escape_control_characters(&explanation.aliases.join(", ")));
    }
    for entry in &explanation.timeline {
        write_entry(&mut out, entry, &explanation.view.customer_id, models);
    }
    _ = writeln!(out, "\nAs of {}", describe_timestamp(explanation.now));
    let width = models.models.iter().map(|model| model.name.len()).max().unwrap_or(0);
    for (model, view) in models.models.iter().zip(&explanation.view.models) {
        let since = view.since.map_or_else(String::new, |since| format!(" since {}", describe_timestamp(since)));
        let stage = stage_name(model, view.stage);
        _ = write!(out, "  {:width$}  {stage}{}", model.name, if view.stage.is_some() { since } else { String::new() });
        let signals: Vec<&str> = view.signals.iter().map(|&index| &*model.signals[index].name).collect();
        if !signals.is_empty() {
            _ = write!(out, "; signals: {}", signals.join(", "));
        }
        out.push('\n');
    }
    let orders = &explanation.view.orders;
    let count = counted(orders.count, "valid order");
    _ = write!(out, "  {count}, revenue {} {}", orders.revenue, currency.as_str());
    if let Some(last) = orders.last {
        _ = write!(out, ", last order at {}", describe_timestamp(last));
    }
    out.push('\n');
    match explanation.view.next_wake_up {
        Some(next) => {
            _ = writeln!(
                out,
                "  next wake-up at {}, in {}",
                describe_timestamp(next),
                describe_duration_roughly(next - explanation.now)
            );
        }
        None => out.push_str("  no wake-up: without further touchpoints nothing changes\n"),
    }
    if explanation.view.next_wake_up.is_some() {
        _ = writeln!(out, "\nForecast for {customer} without further touchpoints");
        for entry in &explanation.forecast {
            write_entry(&mut out, entry, &explanation.view.customer_id, models);
        }
        out.push_str(match (explanation.is_truncated, explanation.forecast.is_empty()) {
            (true, _) => "  (cut off at the limit of wake-ups)\n",
            (false, true) => "  no transitions\n",
            (false, false) => "  no further transitions\n",
        });
    }
    out
}

fn to_json(explanation: &Explanation, models: &ModelSet, currency: Currency) -> Value {
    let timeline = |timeline: &[TimelineEntry]| -> Vec<Value> {
        timeline.iter().map(|entry| entry_to_json(entry, models, currency, explanation.now)).collect()
    };
    let standings = models.models.iter().zip(&explanation.view.models).map(|(model, view)| {
        json!({
            "model": model.name,
            "stage": view.stage.map(|stage| &*model.stage(stage).name),
            "since": view.since.map(format_timestamp),
            "signals": view.signals.iter().map(|&index| &*model.signals[index].name).collect::<Vec<_>>(),
            "milestones": view.milestones.iter().map(|&index| &*model.milestones[index].name).collect::<Vec<_>>(),
        })
    });
    json!({
        "customer_id": explanation.view.customer_id,
        "aliases": explanation.aliases.iter().map(|id| &**id).collect::<Vec<_>>(),
        "timeline": timeline(&explanation.timeline),
        "as_of": format_timestamp(explanation.now),
        "standings": standings.collect::<Vec<_>>(),
        "orders": {
            "count": explanation.view.orders.count,
            "revenue": explanation.view.orders.revenue.to_string(),
            "currency": currency.as_str(),
            "last": explanation.view.orders.last.map(format_timestamp),
        },
        "next_wake_up": explanation.view.next_wake_up.map(format_timestamp),
        "forecast": timeline(&explanation.forecast),
        "forecast_is_cut": explanation.is_truncated,
    })
}
