//! `lifecycle replay --compare`: what changes when one model takes the place of another, over the same touchpoints.
//!
//! Both models run over all of it from the beginning. Beside that the customers of the old model are taken over by the new
//! one as the service would do it, with what is then known of them: a fact that the old model did not keep starts empty.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

use super::touchpoint_files::{TOUCHPOINT_OPTIONS, each_line};
use super::{Exit, Format, print};
use crate::config::ModelChoice;
use crate::lifecycle::model::Model;
use crate::lifecycle::model_edit::{Consequence, consequences};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;
use crate::partition::{Clock, CustomerView, Effects, Input, Partition};
use crate::replay::{Replay, ReplayOptions};
use crate::wire::changelog::{ChangelogDecoder, encode};
use crate::wire::time::format_timestamp;
use crate::wire::touchpoint_json::{Scratch, TouchpointDecoder};
use crate::wire::transition_text::{NO_STAGE, instant, stage_name};

const WAKE_UPS_MAX: usize = 10_000;

/// Counts of customers, by name.
type Counts = BTreeMap<String, u64>;

/// The customers who stand in one stage of the old model and in one of the new: by both names.
type Matrix = BTreeMap<(String, String), u64>;

/// What a comparison found.
struct Comparison {
    touchpoints: u64,
    customers: usize,
    until: Option<Timestamp>,
    /// With the new model from the beginning on.
    stages: Matrix,
    /// Milestones of the new model that customers have reached, and by the old model have not.
    milestones: Counts,
    /// What the new model makes of the old one's customers at once, by kind and name.
    at_once: Counts,
    /// How many customers stand elsewhere then than if the new model had run from the beginning on.
    elsewhere: u64,
    consequences: Vec<Consequence>,
}

/// Compares.
pub(super) fn run(old: &str, new: &str, options: &ReplayOptions, format: Format, files: &[PathBuf]) -> ExitCode {
    let color = io::stderr().is_terminal();
    let load = |name: &str| ModelChoice::of(&[name.to_owned()]).load(color).map(Arc::new);
    let (old, new) = match (load(old), load(new)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(report), _) | (_, Err(report)) => {
            eprintln!("{report}");
            return Exit::Usage.into();
        }
    };
    match compare(&old, &new, options, files) {
        Ok((comparison, bad_lines)) => {
            let models = (&old.models[0], &new.models[0]);
            let written = print(&match format {
                Format::Text => text(&comparison, models),
                Format::Json => format!("{:#}\n", object(&comparison, models)),
            });
            if bad_lines > 0 && written == Exit::Success { Exit::Problems } else { written }.into()
        }
        Err(message) => {
            eprintln!("lifecycle replay: {message}");
            Exit::Usage.into()
        }
    }
}

/// Also returns how many lines were bad.
fn compare(
    old: &Arc<ModelSet>,
    new: &Arc<ModelSet>,
    options: &ReplayOptions,
    files: &[PathBuf],
) -> Result<(Comparison, u64), String> {
    let mut runs = [old, new].map(|models| {
        let decoder = TouchpointDecoder::new(&models.vocabulary, TOUCHPOINT_OPTIONS);
        (decoder, Replay::new(Arc::clone(models), options.clone()))
    });
    let mut forget = |_: &_, _| Ok::<(), Infallible>(());
    let bad_lines = each_line(files, |line| {
        for (decoder, replay) in &mut runs {
            let mut scratch = Scratch::default();
            let touchpoint = decoder.decode(line, &mut scratch).map_err(|malformed| malformed.detail.into_owned())?;
            let Ok(()) = replay.apply(&touchpoint, &mut forget);
        }
        Ok(())
    })?;
    let [(_, mut before), (_, mut after)] = runs;
    let (Ok(()), Ok(())) = (before.finish(&mut forget), after.finish(&mut forget));

    let mut stages = Matrix::new();
    let mut milestones = Counts::new();
    let (old_model, new_model) = (&old.models[0], &new.models[0]);
    // Both have met the same touchpoints, so that they know the same customers.
    for (was, is) in before.partition().customers().zip(after.partition().customers()) {
        let pair = (stage_of(&was, old_model), stage_of(&is, new_model));
        *stages.entry(pair).or_default() += 1;
        let had = reached(&was, old_model);
        for name in reached(&is, new_model).into_iter().filter(|name| !had.contains(name)) {
            *milestones.entry(name.to_owned()).or_default() += 1;
        }
    }
    let (until, tally) = (before.end(), before.summary().tally);
    let mut comparison = Comparison {
        touchpoints: tally.consumed,
        customers: before.partition().len(),
        until,
        stages,
        milestones,
        at_once: Counts::new(),
        elsewhere: 0,
        consequences: consequences(old, new),
    };
    let taken_over = take_over(before.into_partition(), new, options, until, &mut comparison.at_once)?;
    let pairs = taken_over.customers().zip(after.partition().customers());
    let differs =
        |(at_once, always): &(CustomerView, CustomerView)| stage_of(at_once, new_model) != stage_of(always, new_model);
    comparison.elsewhere = pairs.filter(differs).count() as u64;
    Ok((comparison, bad_lines))
}

/// The customers of `old` under the models `new`, as after a restart of the service; counts what they do at once.
fn take_over(
    mut old: Partition,
    new: &Arc<ModelSet>,
    options: &ReplayOptions,
    until: Option<Timestamp>,
    at_once: &mut Counts,
) -> Result<Partition, String> {
    let mut facts = options.facts.clone();
    // By default such moves are silent; here they are what is asked for.
    facts.publish_reconciled = true;
    let mut partition = Partition::new(Arc::clone(new), facts);
    // A sweep writes every customer.
    old.begin_sweep();
    for batch in old.write_batches(usize::MAX) {
        let bytes = encode(old.layout(), &batch);
        let mut decoder = ChangelogDecoder::default();
        let record = decoder.decode(&bytes).map_err(|error| error.to_string())?;
        partition.restore(&record.layout, &record.customers)?;
    }
    partition.end_restore(Clock::at(old.clock().reached()));
    let mut effects = Effects::default();
    if let Some(until) = until {
        while partition.apply(Input::TimePassed { until, wake_ups_max: WAKE_UPS_MAX }, &mut effects) {}
    }
    for transition in &effects.transitions {
        *at_once.entry(format!("{} {}", transition.change.kind(), transition.name)).or_default() += 1;
    }
    drop(partition.write_batches(0));
    partition.commit();
    Ok(partition)
}

fn stage_of(view: &CustomerView, model: &Model) -> String {
    stage_name(model, view.models[0].stage).to_owned()
}

fn reached<'a>(view: &CustomerView, model: &'a Model) -> Vec<&'a str> {
    view.models[0].milestones.iter().map(|&index| &*model.milestones[index].name).collect()
}

/// The stages of a model from the bottom up, and none, as far as customers stand in them.
fn stages_met(model: &Model, met: impl Fn(&str) -> bool) -> Vec<String> {
    let names = model.stages.iter().rev().map(|stage| &*stage.name);
    [NO_STAGE].into_iter().chain(names).filter(|name| met(name)).map(str::to_owned).collect()
}

fn moved(comparison: &Comparison) -> u64 {
    comparison.stages.iter().filter(|((was, is), _)| was != is).map(|(_, count)| count).sum()
}

fn text(comparison: &Comparison, (old, new): (&Model, &Model)) -> String {
    let mut out = String::new();
    let until = comparison.until.map_or_else(String::new, |until| format!(", up to {}", instant(until)));
    _ = writeln!(
        out,
        "{} version {} -> {} version {}: {} touchpoints of {} customers{until}\n",
        old.name, old.version, new.name, new.version, comparison.touchpoints, comparison.customers
    );
    write_matrix(&mut out, comparison, old, new);
    let moved = moved(comparison);
    _ = writeln!(out, "{moved} of {} customers stand in another stage\n", comparison.customers);

    if comparison.milestones.is_empty() {
        out.push_str("no milestone is reached that was not\n");
    }
    for (name, count) in &comparison.milestones {
        _ = writeln!(out, "milestone {name}: {count} customers have reached it who had not");
    }
    out.push_str("\nput in the place of the old model now, with what that one knew of its customers:\n");
    if comparison.at_once.is_empty() {
        out.push_str("  nothing changes at once\n");
    } else {
        out.push_str("  silently, unless `publish.reconciled` is set:\n");
    }
    for (what, count) in &comparison.at_once {
        _ = writeln!(out, "    {what}: {count}");
    }
    let elsewhere = comparison.elsewhere;
    _ = writeln!(out, "  {elsewhere} customers stand elsewhere than if it had run from the beginning");
    if !comparison.consequences.is_empty() {
        out.push_str("\nwhat the edit does:\n");
    }
    for consequence in &comparison.consequences {
        _ = writeln!(out, "  {}", consequence.text);
    }
    out
}

fn write_matrix(out: &mut String, comparison: &Comparison, old: &Model, new: &Model) {
    let rows = stages_met(old, |name| comparison.stages.keys().any(|(was, _)| was == name));
    let columns = stages_met(new, |name| comparison.stages.keys().any(|(_, is)| is == name));
    let corner = "old, down; new, across";
    let first = rows.iter().map(String::len).chain([corner.len()]).max().unwrap_or(0);
    _ = write!(out, "{corner:first$}");
    for column in &columns {
        _ = write!(out, "  {column:>8}");
    }
    out.push('\n');
    for row in rows {
        _ = write!(out, "{row:first$}");
        for column in &columns {
            let width = column.len().max(8);
            match comparison.stages.get(&(row.clone(), column.clone())) {
                Some(count) => _ = write!(out, "  {count:>width$}"),
                None => _ = write!(out, "  {:>width$}", "-"),
            }
        }
        out.push('\n');
    }
}

fn object(comparison: &Comparison, (old, new): (&Model, &Model)) -> Value {
    let name = |name: &str| if name == NO_STAGE { Value::Null } else { name.into() };
    let stages = comparison.stages.iter();
    let consequence = |found: &Consequence| json!({"kind": found.kind, "text": found.text});
    json!({
        "old": {"model": old.name, "version": old.version},
        "new": {"model": new.name, "version": new.version},
        "touchpoints": comparison.touchpoints,
        "customers": comparison.customers,
        "until": comparison.until.map(format_timestamp),
        "stages": stages
            .map(|((was, is), count)| json!({"old": name(was), "new": name(is), "customers": count}))
            .collect::<Vec<_>>(),
        "moved": moved(comparison),
        "milestones": comparison.milestones,
        "at_once": comparison.at_once,
        "elsewhere": comparison.elsewhere,
        "consequences": comparison.consequences.iter().map(consequence).collect::<Vec<_>>(),
    })
}
