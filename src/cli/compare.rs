//! `lifecycle replay --compare`: compares two models over the same touchpoints.
//!
//! Replays all touchpoints with both models from the beginning. In addition, migrates the final state of the old model
//! to the new one, as the service does when it restarts with the new model: facts that the old model did not keep start
//! empty.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::model_arguments::{ModelArguments, load};
use super::number::counted;
use super::touchpoint_arguments::TouchpointArguments;
use super::touchpoint_source::{InvalidRecords, Source, SourceError, Stream};
use super::{Exit, Format, print, print_error, print_json};
use crate::config::Config;
use crate::lifecycle::model::Model;
use crate::lifecycle::model_edit::{Consequence, consequences};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;
use crate::partition::{Clock, CustomerView, Effects, Input, Partition};
use crate::replay::{Replay, ReplayOptions};
use crate::wire::changelog::{ChangelogDecoder, InputProgress, encode};
use crate::wire::time::format_timestamp;
use crate::wire::touchpoint_json::Scratch;
use crate::wire::transition_text::{NO_STAGE, describe_timestamp, stage_name};

/// Limit of wake-ups per call of `Partition::apply`.
const WAKE_UPS_MAX: usize = 10_000;

/// Number of customers by name.
type Counts = BTreeMap<String, u64>;

/// Number of customers by their stages in the old and in the new model.
type StageMatrix = BTreeMap<(String, String), u64>;

/// Result of a comparison.
#[derive(Default)]
struct Comparison {
    touchpoints: u64,
    customers: usize,
    until: Option<Timestamp>,
    /// Number of customers by their final stages, with each model running from the beginning.
    stages: StageMatrix,
    /// Number of customers by milestone, for milestones that a customer reaches only in the new model.
    milestones: Counts,
    /// Number of transitions at deployment, when the new model evaluates the state of the old one, by kind and name.
    transitions_at_deployment: Counts,
    /// Number of customers whose stage after the migration differs from the one of a full replay with the new model.
    stages_differ: u64,
    consequences: Vec<Consequence>,
}

/// Compares the models `old` and `new` over the touchpoints of `arguments` and prints the result.
pub(super) fn run(
    old: &str,
    new: &str,
    arguments: &TouchpointArguments,
    config: Option<&Config>,
    format: Format,
) -> Result<Exit, Exit> {
    let load = |name: &str, models: &ModelArguments| load(&models.choice(&[name.to_owned()], config));
    // Both are loaded before the command gives up, so that the problems of both are reported.
    let (old, new) = (load(old, &arguments.model_arguments.before()), load(new, &arguments.model_arguments));
    let (old, new) = (old?, new?);
    let failed = |exit: Exit, problem: &dyn std::fmt::Display| {
        print_error(format_args!("lifecycle replay: {problem}"));
        exit
    };
    let options = arguments.options(config);
    let source = arguments.source(config).map_err(|error| failed(error.exit(), &error))?;
    let mut invalid = InvalidRecords::default();
    let mut comparison = Comparison { consequences: consequences(&old, &new), ..Comparison::default() };
    for stream in source.streams() {
        compare(&old, &new, &options, &source, stream, &mut invalid, &mut comparison).map_err(|error| match error {
            CompareError::Source(error) => failed(error.exit(), &error),
            CompareError::Migration(problem) => failed(Exit::Usage, &problem),
        })?;
    }
    invalid.finish("");
    source.report_dropped();
    let models = (&old.models[0], &new.models[0]);
    let written = match format {
        Format::Text => print(&text(&comparison, models)),
        Format::Json => print_json(&format!("{:#}\n", to_json(&comparison, models))),
    };
    Ok(if invalid.count > 0 && written == Exit::Success { Exit::Problems } else { written })
}

/// Why the models cannot be compared.
enum CompareError {
    Source(SourceError),
    /// The state of the old model cannot be migrated.
    Migration(String),
}

impl From<SourceError> for CompareError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// Adds the comparison over a stream to `comparison`.
fn compare(
    old: &Arc<ModelSet>,
    new: &Arc<ModelSet>,
    options: &ReplayOptions,
    source: &Source,
    stream: Stream,
    invalid: &mut InvalidRecords,
    comparison: &mut Comparison,
) -> Result<(), CompareError> {
    let mut runs = [old, new].map(|models| {
        let decoder = source.decoder(&models.vocabulary);
        (decoder, Replay::new(Arc::clone(models), options.clone()))
    });
    let mut discard = |_: &_, _| Ok::<(), Infallible>(());
    invalid.for_each(source, stream, |record| {
        for (decoder, replay) in &mut runs {
            let mut scratch = Scratch::default();
            let touchpoint = decoder.decode(record, &mut scratch).map_err(|error| error.detail.into_owned())?;
            let Ok(()) = replay.apply(&touchpoint, &mut discard);
        }
        Ok(())
    })?;
    let [(_, mut old_replay), (_, mut new_replay)] = runs;
    let (Ok(()), Ok(())) = (old_replay.finish(&mut discard), new_replay.finish(&mut discard));

    let (old_model, new_model) = (&old.models[0], &new.models[0]);
    // Both replays have applied the same touchpoints, so they have the same customers in the same order.
    for (old_view, new_view) in old_replay.partition().customers().zip(new_replay.partition().customers()) {
        let pair = (stage_of(&old_view, old_model), stage_of(&new_view, new_model));
        *comparison.stages.entry(pair).or_default() += 1;
        let old_milestones = reached_milestones(&old_view, old_model);
        for name in reached_milestones(&new_view, new_model).into_iter().filter(|name| !old_milestones.contains(name)) {
            *comparison.milestones.entry(name.to_owned()).or_default() += 1;
        }
    }
    let until = old_replay.end();
    comparison.touchpoints += old_replay.summary().tally.consumed;
    comparison.customers += old_replay.partition().len();
    comparison.until = comparison.until.max(until);
    let migrated = migrate(old_replay.into_partition(), new, options, until, &mut comparison.transitions_at_deployment)
        .map_err(CompareError::Migration)?;
    let pairs = migrated.customers().zip(new_replay.partition().customers());
    let differs = |(migrated, replayed): &(CustomerView, CustomerView)| {
        stage_of(migrated, new_model) != stage_of(replayed, new_model)
    };
    comparison.stages_differ += pairs.filter(differs).count() as u64;
    Ok(())
}

/// Restores the state of `old` with the models `new`, as the service does when it restarts. Counts the transitions that
/// this causes in `transitions_at_deployment`.
fn migrate(
    mut old: Partition,
    new: &Arc<ModelSet>,
    options: &ReplayOptions,
    until: Option<Timestamp>,
    transitions_at_deployment: &mut Counts,
) -> Result<Partition, String> {
    let mut partition = Partition::new(Arc::clone(new), options.facts.clone());
    // A sweep writes every customer to the changelog.
    old.begin_sweep();
    for batch in old.write_batches(usize::MAX) {
        let bytes = encode(old.layout(), &batch, &InputProgress::default());
        let mut decoder = ChangelogDecoder::default();
        let record = decoder.decode(&bytes).map_err(|error| error.to_string())?;
        partition.restore(&record.layout, &record.customers).map_err(|error| error.to_string())?;
    }
    let edited_at = until.max(old.clock().stream_time()).unwrap_or(Timestamp::MIN);
    partition.end_restore(Clock::at(old.clock().stream_time()), edited_at);
    let mut effects = Effects::default();
    if let Some(until) = until {
        while partition.apply(Input::TimePassed { until, wake_ups_max: WAKE_UPS_MAX }, &mut effects) {}
    }
    for transition in &effects.transitions {
        *transitions_at_deployment.entry(format!("{} {}", transition.change.kind(), transition.name)).or_default() += 1;
    }
    drop(partition.write_batches(0));
    partition.commit();
    Ok(partition)
}

fn stage_of(view: &CustomerView, model: &Model) -> String {
    stage_name(model, view.models[0].stage).to_owned()
}

fn reached_milestones<'a>(view: &CustomerView, model: &'a Model) -> Vec<&'a str> {
    view.models[0].milestones.iter().map(|&index| &*model.milestones[index].name).collect()
}

/// Returns the stages that customers are in: no stage first, then the stages of the model from the bottom up.
fn stages_present(model: &Model, is_present: impl Fn(&str) -> bool) -> Vec<String> {
    let names = model.stages.iter().rev().map(|stage| &*stage.name);
    [NO_STAGE].into_iter().chain(names).filter(|name| is_present(name)).map(str::to_owned).collect()
}

fn count_moved(comparison: &Comparison) -> u64 {
    comparison.stages.iter().filter(|((old, new), _)| old != new).map(|(_, count)| count).sum()
}

fn text(comparison: &Comparison, (old, new): (&Model, &Model)) -> String {
    let mut out = String::new();
    let until = comparison.until.map_or_else(String::new, |until| format!(", up to {}", describe_timestamp(until)));
    _ = writeln!(
        out,
        "{} version {} -> {} version {}: {} of {}{until}\n",
        old.name,
        old.version,
        new.name,
        new.version,
        counted(comparison.touchpoints, "touchpoint"),
        counted(comparison.customers, "customer")
    );
    write_matrix(&mut out, comparison, old, new);
    let moved = count_moved(comparison);
    _ = writeln!(out, "{moved} of {} customers are in a different stage\n", comparison.customers);

    if comparison.milestones.is_empty() {
        out.push_str("no milestone is newly reached\n");
    }
    for (name, count) in &comparison.milestones {
        _ = writeln!(out, "milestone {name}: newly reached by {}", counted(*count, "customer"));
    }
    out.push_str("\nif the new model replaced the old one now and started from its state:\n");
    if comparison.transitions_at_deployment.is_empty() {
        out.push_str("  no transitions at deployment\n");
    } else {
        out.push_str("  transitions at deployment, published to the replay topic with mode `reconcile`:\n");
    }
    for (what, count) in &comparison.transitions_at_deployment {
        _ = writeln!(out, "    {what}: {count}");
    }
    let stages_differ = comparison.stages_differ;
    _ = writeln!(
        out,
        "  {} in a different stage than if the new model had run from the beginning",
        if stages_differ == 1 { "1 customer is".to_owned() } else { format!("{stages_differ} customers are") }
    );
    if !comparison.consequences.is_empty() {
        out.push_str("\neffects of the change:\n");
    }
    for consequence in &comparison.consequences {
        _ = writeln!(out, "  {}", consequence.text);
    }
    out
}

fn write_matrix(out: &mut String, comparison: &Comparison, old: &Model, new: &Model) {
    let rows = stages_present(old, |name| comparison.stages.keys().any(|(old, _)| old == name));
    let columns = stages_present(new, |name| comparison.stages.keys().any(|(_, new)| new == name));
    let corner = "rows: old, columns: new";
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

fn to_json(comparison: &Comparison, (old, new): (&Model, &Model)) -> Value {
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
            .map(|((old, new), count)| json!({"old": name(old), "new": name(new), "customers": count}))
            .collect::<Vec<_>>(),
        "moved": count_moved(comparison),
        "milestones": comparison.milestones,
        "at_once": comparison.transitions_at_deployment,
        "elsewhere": comparison.stages_differ,
        "consequences": comparison.consequences.iter().map(consequence).collect::<Vec<_>>(),
    })
}
