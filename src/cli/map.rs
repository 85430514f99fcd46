//! `lifecycle map`: shows what a preset or a mapping file makes of records, field by field.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::mapping_argument::{self, parse_setting};
use super::number::counted;
use super::touchpoint_source::{LINE_BYTES_MAX, Source, SourceError};
use super::{Exit, print, print_error};
use crate::config::Config;
use crate::kafka::Cluster;
use crate::lifecycle::identity::BlockedIds;
use crate::lifecycle::vocabulary::Vocabulary;
use crate::mapping::{
    Explanation, MappedTouchpoint, Mapping, Outcome, Presets, RecordValues, draft, preset, preset_names,
};
use crate::service::topics;
use crate::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};
use crate::wire::transition_text::escape_control_characters;

/// Group id of the client that samples a topic. The client joins no group.
const GROUP: &str = "lifecycle-map";
/// Longer texts of expressions are cut.
const TEXT_CHARACTERS_MAX: usize = 72;
/// More paths that no rule reads are only counted.
const UNREAD_MAX: usize = 12;

const EXAMPLES: &str = "\
Examples:
  lifecycle map --list
  lifecycle map --show segment > my-mapping.yaml
  lifecycle map segment-events.ndjson
  lifecycle map --preset shopify --from-topic shopify.webhooks --bootstrap-servers localhost:9092
  lifecycle map --mapping ./my-mapping.yaml --set currency=EUR --output touchpoints events.ndjson
  lifecycle map --suggest events.ndjson > my-mapping.yaml";

/// Show what a preset or a mapping file makes of records
///
/// Reads samples, one JSON record per line or the first records of a topic, and shows the touchpoints that they become,
/// field by field, with the expression that made each field and the parts of the record that no rule reads. Without
/// --preset or --mapping, takes the preset that recognises the record. A line {"headers": {...}, "key": "...", "value":
/// {...}} is a record with headers. The records of a batch are shown one by one.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct MapArguments {
    /// Preset to apply [default: the one that recognises the record]
    #[arg(long, value_name = "NAME", conflicts_with = "mapping")]
    preset: Option<String>,
    /// Mapping file to apply
    #[arg(long, value_name = "FILE")]
    mapping: Option<String>,
    /// Set a setting of the mapping, such as `currency=EUR`. Can be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, Value)>,
    /// What to write to standard output
    #[arg(long, value_enum, default_value_t = Output::Fields)]
    output: Output,
    /// Draft a mapping file from the samples instead
    #[arg(long, conflicts_with_all = ["preset", "mapping", "output"])]
    suggest: bool,
    /// List the presets
    #[arg(long, exclusive = true)]
    list: bool,
    /// Print a preset, to read or to copy
    #[arg(long, value_name = "NAME", exclusive = true)]
    show: Option<String>,
    /// Sample this topic instead of files
    #[arg(long, value_name = "TOPIC", conflicts_with = "files")]
    from_topic: Option<String>,
    /// Kafka cluster of --from-topic: bootstrap servers as host:port, comma-separated
    #[arg(long, value_name = "HOST:PORT", requires = "from_topic", conflicts_with = "config")]
    bootstrap_servers: Option<String>,
    /// Configuration file of the service: use its Kafka settings for --from-topic, and the format, schema and mapping
    /// of the source that reads the topic
    #[arg(long, value_name = "FILE", requires = "from_topic")]
    config: Option<PathBuf>,
    /// Maximum number of records to read; 0 reads all [default: 20 of a topic, all of files]
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
    /// Samples: files of records, one JSON object per line, plain or gzipped; - reads standard input
    #[arg(required_unless_present_any = ["list", "show", "from_topic"], value_name = "SAMPLE")]
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Output {
    /// Touchpoints field by field, and what no rule reads
    Fields,
    /// Touchpoints as JSON, one per line, as `replay` reads them
    Touchpoints,
    /// One JSON object for each record: its place and what becomes of it
    Json,
}

/// Runs the command.
pub(super) fn run(arguments: &MapArguments) -> ExitCode {
    map(arguments).unwrap_or_else(|exit| exit).into()
}

fn map(arguments: &MapArguments) -> Result<Exit, Exit> {
    if arguments.list {
        return Ok(print(&list()));
    }
    if let Some(name) = &arguments.show {
        let Some(source) = preset(name) else {
            print_error(format_args!(
                "lifecycle map: there is no preset `{name}`; the presets are {}",
                preset_names().join(", ")
            ));
            return Err(Exit::Usage);
        };
        return Ok(print(&source.text));
    }
    let mapping = match arguments.preset.as_ref().or(arguments.mapping.as_ref()) {
        Some(name) => Some(mapping_argument::load(name, &arguments.settings)?),
        None => None,
    };
    let failed = |error: SourceError| {
        print_error(format_args!("lifecycle map: {error}"));
        error.exit()
    };
    let source = open(arguments)?.map_err(failed)?.with_mapping(mapping);
    let mut samples = Samples {
        arguments,
        mapping: source.mapping().map(Arc::clone),
        presets: Presets::load(),
        recognised: BTreeMap::new(),
        decoder: TouchpointDecoder::new(&Vocabulary::default(), TouchpointOptions { bytes_max: LINE_BYTES_MAX })
            .with_identity(Some(BlockedIds::default())),
        counts: Counts::default(),
        values: Vec::new(),
    };
    let limit = arguments.count.unwrap_or(if arguments.from_topic.is_some() { 20 } else { 0 });
    let outcome = read(&source, limit, &mut samples);
    match outcome {
        Ok(()) | Err(Stop::Enough) => {}
        Err(Stop::Source(error)) => return Err(failed(error)),
        Err(Stop::Output(exit)) => return Err(exit),
    }
    Ok(samples.finish())
}

fn list() -> String {
    let mut text = String::new();
    for (name, title) in Presets::load().titles() {
        _ = writeln!(text, "{name:<12}  {title}");
    }
    text
}

/// Opens the files or the topic.
fn open(arguments: &MapArguments) -> Result<Result<Source, SourceError>, Exit> {
    let Some(topic) = &arguments.from_topic else { return Ok(Ok(Source::files(arguments.files.clone()))) };
    if let Some(path) = &arguments.config {
        let config = Config::load(Some(path)).map_err(|error| {
            print_error(&error);
            Exit::Usage
        })?;
        let source = Source::topic(&topics::cluster(&config), topic, &config.kafka.group_id, LINE_BYTES_MAX);
        return Ok(source.and_then(|source| source.with_source_of(&config, topic, config.identity.enabled)));
    }
    let Some(servers) = &arguments.bootstrap_servers else {
        print_error("lifecycle map: --from-topic needs --bootstrap-servers or --config");
        return Err(Exit::Usage);
    };
    let cluster = Cluster { bootstrap_servers: servers.clone(), settings: Vec::new() };
    Ok(Source::topic(&cluster, topic, GROUP, LINE_BYTES_MAX))
}

/// Why reading ended before the end.
enum Stop {
    Enough,
    Source(SourceError),
    Output(Exit),
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

fn read(source: &Source, limit: u64, samples: &mut Samples<'_>) -> Result<(), Stop> {
    for stream in source.streams() {
        source.for_each_value(stream, |place, values| {
            samples.record(place, values)?;
            if limit > 0 && samples.counts.records >= limit { Err(Stop::Enough) } else { Ok(()) }
        })?;
    }
    Ok(())
}

#[derive(Default)]
struct Counts {
    records: u64,
    touchpoints: BTreeMap<String, u64>,
    dropped: BTreeMap<String, u64>,
    /// Records that are touchpoints without a mapping.
    already: u64,
    invalid: u64,
    unrecognised: u64,
    /// With `--suggest`, the records that each preset recognises.
    of_presets: BTreeMap<&'static str, u64>,
}

impl Counts {
    fn add(&mut self, outcome: &Outcome<'_>) {
        self.records += 1;
        match outcome {
            Outcome::Touchpoints(touchpoints) => {
                for touchpoint in touchpoints {
                    *self.touchpoints.entry(touchpoint.type_name.clone()).or_default() += 1;
                }
            }
            Outcome::Dropped(reason) => *self.dropped.entry((*reason).to_owned()).or_default() += 1,
            Outcome::Invalid(_) => self.invalid += 1,
        }
    }
}

struct Samples<'a> {
    arguments: &'a MapArguments,
    /// The mapping of the command line, or of the configuration.
    mapping: Option<Arc<Mapping>>,
    presets: Presets,
    /// The presets of recognised records, with the settings of the command line.
    recognised: BTreeMap<&'static str, Mapping>,
    /// Reads records that are touchpoints already.
    decoder: TouchpointDecoder,
    counts: Counts,
    /// The values, for `--suggest`.
    values: Vec<Value>,
}

impl Samples<'_> {
    fn record(&mut self, place: &str, values: Result<RecordValues, String>) -> Result<(), Stop> {
        let values = match values {
            Ok(values) => values,
            Err(detail) => return self.invalid(place, &detail),
        };
        if self.arguments.suggest {
            if let Some(name) = self.presets.recognise(&values.as_record()) {
                *self.counts.of_presets.entry(name).or_default() += 1;
            } else if self.is_touchpoint(&values.value) {
                self.counts.already += 1;
            }
            match values.value {
                Value::Array(records) => self.values.extend(records),
                value => self.values.push(value),
            }
            self.counts.records += 1;
            return Ok(());
        }
        let record = values.as_record();
        let mapping = if let Some(mapping) = &self.mapping {
            mapping
        } else {
            let Some(name) = self.presets.recognise(&record) else {
                return self.without_mapping(place, &values.value);
            };
            if !self.recognised.contains_key(name) {
                let mapping = mapping_argument::load(name, &self.arguments.settings).map_err(Stop::Output)?;
                self.recognised.insert(name, mapping);
            }
            &self.recognised[name]
        };
        let records = match mapping.records(values) {
            Ok(records) => records,
            Err(cause) => return self.invalid(place, &format!("{}: {}", cause.reason.as_str(), cause.detail)),
        };
        for at in 0..records.count() {
            let place = if records.is_batch() { &format!("{place} item {at}") } else { place };
            let explanation = mapping.explain_record(&records, at);
            self.counts.add(&explanation.outcome);
            let text = match self.arguments.output {
                Output::Fields => fields(place, mapping, &explanation),
                Output::Touchpoints => touchpoints(place, &explanation.outcome),
                Output::Json => format!("{}\n", to_json(place, mapping, &explanation)),
            };
            written(print(&text))?;
        }
        Ok(())
    }

    /// Shows a record that no preset recognises.
    fn without_mapping(&mut self, place: &str, value: &Value) -> Result<(), Stop> {
        self.counts.records += 1;
        if !self.is_touchpoint(value) {
            self.counts.unrecognised += 1;
            let detail = "no preset recognises this record; name one with --preset, or draft a mapping with --suggest";
            return self.print_problem(place, "not recognised", detail);
        }
        self.counts.already += 1;
        let text = match self.arguments.output {
            Output::Fields => format!("{place}  a touchpoint already: it needs no mapping\n\n"),
            Output::Touchpoints => format!("{value}\n"),
            Output::Json => format!("{}\n", json!({"place": place, "mapping": null, "touchpoints": [value]})),
        };
        written(print(&text))
    }

    /// Whether the record is a touchpoint as the service reads it.
    fn is_touchpoint(&self, value: &Value) -> bool {
        self.decoder.decode(value.to_string().as_bytes(), &mut Scratch::default()).is_ok()
    }

    fn invalid(&mut self, place: &str, detail: &str) -> Result<(), Stop> {
        self.counts.records += 1;
        self.counts.invalid += 1;
        self.print_problem(place, "invalid", detail)
    }

    /// Prints what is wrong with a record. `kind` is `invalid` or `not recognised`.
    fn print_problem(&self, place: &str, kind: &str, detail: &str) -> Result<(), Stop> {
        let text = match self.arguments.output {
            // Standard output is the draft.
            _ if self.arguments.suggest => {
                print_error(format_args!("{place}: {kind}: {}", escape_control_characters(detail)));
                return Ok(());
            }
            Output::Fields => format!("{place}  {kind}: {}\n\n", escape_control_characters(detail)),
            Output::Json => format!("{}\n", json!({"place": place, (kind.replace(' ', "_")): detail})),
            Output::Touchpoints => {
                print_error(format_args!("{place}: {}", escape_control_characters(detail)));
                return Ok(());
            }
        };
        written(print(&text))
    }

    /// Prints the draft or the counts.
    fn finish(self) -> Exit {
        if self.arguments.suggest {
            let printed = print(&draft(&self.values));
            for (name, count) in &self.counts.of_presets {
                let records = counted(*count, "record");
                print_error(format_args!(
                    "the preset {name} recognises {records}: see `lifecycle map --preset {name}`"
                ));
            }
            if self.counts.already > 0 {
                let records = counted(self.counts.already, "record");
                print_error(format_args!("{records} need no mapping: they are touchpoints already"));
            }
            return if printed == Exit::Success && self.counts.invalid > 0 { Exit::Problems } else { printed };
        }
        let Counts { records, touchpoints, dropped, already, invalid, unrecognised, .. } = &self.counts;
        let named = |counts: &BTreeMap<String, u64>| {
            let parts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
            if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
        };
        let sum = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>();
        let already = if *already > 0 { format!(", {already} touchpoints already") } else { String::new() };
        print_error(escape_control_characters(&format!(
            "{}: {}{}, {} dropped{}{already}, {invalid} invalid, {unrecognised} not recognised",
            counted(*records, "record"),
            counted(sum(touchpoints), "touchpoint"),
            named(touchpoints),
            counted(sum(dropped), "record"),
            named(dropped),
        )));
        if invalid + unrecognised > 0 { Exit::Problems } else { Exit::Success }
    }
}

fn written(exit: Exit) -> Result<(), Stop> {
    if exit == Exit::Success { Ok(()) } else { Err(Stop::Output(exit)) }
}

fn fields(place: &str, mapping: &Mapping, explanation: &Explanation<'_>) -> String {
    let mut text = format!("{place}  {}", mapping.name());
    match &explanation.outcome {
        Outcome::Dropped(reason) => _ = writeln!(text, "  dropped: {reason}"),
        Outcome::Invalid(cause) => _ = writeln!(text, "  invalid: {}: {}", cause.reason.as_str(), cause.detail),
        Outcome::Touchpoints(_) => text.push('\n'),
    }
    for touchpoint in &explanation.touchpoints {
        for field in touchpoint.iter().filter(|field| !field.value.is_null()) {
            let value = match &field.value {
                Value::String(text) => text.clone(),
                Value::Object(members) => {
                    let present = members.iter().filter(|(_, value)| !value.is_null());
                    Value::Object(present.map(|(name, value)| (name.clone(), value.clone())).collect()).to_string()
                }
                other => other.to_string(),
            };
            if value == "{}" {
                continue;
            }
            let indent = if field.name == "touchpoint" { "  " } else { "    " };
            let template = one_line(field.text);
            let template = if template == value { String::new() } else { format!("  <- {template}") };
            _ = writeln!(text, "{indent}{:<12} {}{template}", field.name, escape_control_characters(&value));
        }
    }
    if !explanation.unread.is_empty() {
        let shown = &explanation.unread[..explanation.unread.len().min(UNREAD_MAX)];
        let more = explanation.unread.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        _ = writeln!(text, "  not read by any rule: {}{more}", escape_control_characters(&shown.join(", ")));
    }
    text.push('\n');
    text
}

/// Returns a template on one line, cut after some characters.
fn one_line(text: &str) -> String {
    let text = text.trim_start_matches(['>', '|', '-']).split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.trim_matches(['\'', '"']);
    if text.chars().count() <= TEXT_CHARACTERS_MAX {
        return text.to_owned();
    }
    format!("{}...", text.chars().take(TEXT_CHARACTERS_MAX).collect::<String>())
}

fn touchpoints(place: &str, outcome: &Outcome<'_>) -> String {
    match outcome {
        Outcome::Touchpoints(touchpoints) => {
            let mut lines = String::new();
            for touchpoint in touchpoints {
                _ = writeln!(lines, "{}", touchpoint.to_json());
            }
            lines
        }
        Outcome::Dropped(_) => String::new(),
        Outcome::Invalid(cause) => {
            print_error(format_args!("{place}: {}: {}", cause.reason.as_str(), cause.detail));
            String::new()
        }
    }
}

fn to_json(place: &str, mapping: &Mapping, explanation: &Explanation<'_>) -> Value {
    let mut members = Map::new();
    members.insert("place".into(), place.into());
    members.insert("mapping".into(), mapping.name().into());
    let (name, value) = match &explanation.outcome {
        Outcome::Touchpoints(all) => {
            ("touchpoints", all.iter().map(MappedTouchpoint::to_json).collect::<Vec<_>>().into())
        }
        Outcome::Dropped(reason) => ("dropped", (*reason).into()),
        Outcome::Invalid(cause) => ("invalid", format!("{}: {}", cause.reason.as_str(), cause.detail).into()),
    };
    members.insert(name.into(), value);
    members.insert("not_read".into(), explanation.unread.clone().into());
    Value::Object(members)
}
