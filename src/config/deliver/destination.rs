//! Reads one destination: a preset or a webhook, and what the operator sets beside it.

use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::reader::{Fields, Reader, plain};
use super::{ConfiguredDestination, FILE_BYTES_MAX, requests, sample, shipped, webhook};
use crate::config::settings::read_limited;
use crate::deliver::destination::FILTER_ROOTS;
use crate::deliver::queue::Order;
use crate::deliver::request::{Content, RequestPlan};
use crate::deliver::retry::RetryPolicy;
use crate::deliver::suppression::QuietHours;
use crate::deliver::{Destination, StartAt};
use crate::http_client::{self, TlsFiles};
use crate::mapping::{Expression, typed_setting};

/// Number of requests in flight, unless preset or operator set it.
const CONCURRENCY: usize = 4;
/// The maximum number of requests in flight; each needs a thread.
const CONCURRENCY_MAX: usize = 256;
/// Maximum size of a response body that is read, in bytes.
const RESPONSE_BYTES_MAX: u64 = 256 * 1024;

const ORDERS: &[(&str, Order)] = &[("per_customer", Order::PerCustomer), ("none", Order::None)];

/// What preset and operator may both set.
#[derive(Default)]
struct Choices {
    filter: Option<Expression>,
    order: Option<Order>,
    linger: Option<Duration>,
    concurrency: Option<usize>,
}

impl Choices {
    fn read(reader: &mut Reader, fields: &mut Fields<'_>) -> Self {
        Self {
            filter: fields.get("filter").and_then(|it| reader.expression(it, &fields.at("filter"), FILTER_ROOTS)),
            order: fields.one_of(reader, "order", ORDERS),
            linger: fields.duration(reader, "linger", "0s", "1h"),
            concurrency: fields.number(reader, "concurrency", 1, CONCURRENCY_MAX),
        }
    }
}

/// The part of a destination that comes from a preset, or from a webhook.
#[derive(Default)]
struct Template {
    choices: Choices,
    requests: Vec<RequestPlan>,
    check: Option<RequestPlan>,
}

/// Reads the destination `name`.
pub(super) fn destination(reader: &mut Reader, name: &str, value: &Value, path: &str) -> ConfiguredDestination {
    let problems_before = reader.problems.len();
    let mut fields = reader.fields(value, path);
    let is_name = |text: &str| text.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-');
    if name.is_empty() || name.len() > 64 || !is_name(name) {
        reader.problem(path, "name a destination with lower-case letters, digits and -");
    }
    let mut secrets = Vec::new();
    let mut settings = json!({});
    let mut template = Template::default();
    let has_webhook = fields.get("webhook").is_some();
    match (fields.text(reader, "preset"), fields.get("webhook")) {
        (Some(preset), None) => {
            let given = fields.entries(reader, "settings");
            (template, settings) = read_preset(reader, &preset, &fields.at("preset"), &given, &fields, &mut secrets);
        }
        (None, Some(value)) => {
            template.requests.extend(webhook::webhook(reader, value, &fields.at("webhook"), &mut secrets));
        }
        _ => reader.problem(path, "write either `preset` or `webhook`"),
    }
    let own = Choices::read(reader, &mut fields);
    let batch_max = fields.number(reader, "batch_max", 1, 100_000);
    let rates = requests::rates(reader, &mut fields);
    for plan in &mut template.requests {
        if let Some(batch_max) = batch_max {
            let lists = if let Content::Batch { lists, .. } = &plan.content { lists.len() } else { 1 };
            plan.limits.items_max = plan.limits.items_max.min(batch_max * lists);
        }
        plan.rates.extend(&rates);
    }
    let timeout = fields.duration(reader, "timeout", "100ms", "5m").unwrap_or(Duration::from_secs(15));
    let retry = retry(reader, &mut fields);
    let quiet_hours = quiet_hours(reader, &mut fields);
    let interval_min = fields.duration(reader, "min_interval", "1s", "366d");
    let is_dry_run = fields.is_true(reader, "dry_run");
    let is_paused = fields.is_true(reader, "paused");
    let start = fields.one_of(reader, "start", &[("latest", StartAt::Latest), ("earliest", StartAt::Earliest)]);
    let is_private_allowed = fields.is_true(reader, "allow_private_addresses");
    let tls = tls(reader, &mut fields);
    let concurrency = own.concurrency.or(template.choices.concurrency).unwrap_or(CONCURRENCY);
    let request_path = fields.at(if has_webhook { "webhook" } else { "settings" });
    // Secrets must not travel in plain text, except within the own network.
    let is_plain = |plan: &RequestPlan| {
        let roots: &[&Value] = match &plan.content {
            Content::Single(_) => &[&Value::Null, &settings],
            Content::Batch { .. } | Content::EventBatch => &[&settings],
        };
        plan.url.render(roots).is_ok_and(|url| url.as_str().is_some_and(|url| url.starts_with("http://")))
    };
    if !is_private_allowed && template.requests.iter().any(is_plain) {
        reader.problem(
            &request_path,
            "a URL starts with http://: use https://, or set allow_private_addresses: true for a server in your own network",
        );
    }
    let filter_path = fields.at(if own.filter.is_some() { "filter" } else { "preset" });
    fields.reject_unknown(reader);
    let destination = Destination {
        name: name.to_owned(),
        settings,
        filter: own.filter.or(template.choices.filter),
        requests: template.requests,
        check: template.check,
        order: own.order.or(template.choices.order).unwrap_or_default(),
        linger: own.linger.or(template.choices.linger).unwrap_or_default(),
        concurrency,
        retry,
        quiet_hours,
        interval_min,
        is_dry_run,
        is_paused,
        start: start.unwrap_or_default(),
        http: http_client::Options {
            timeout,
            idle_connections_max: concurrency,
            response_bytes_max: RESPONSE_BYTES_MAX,
            is_private_allowed,
            tls,
        },
    };
    if reader.problems.len() == problems_before {
        sample::check(reader, &destination, &filter_path, &request_path);
    }
    ConfiguredDestination { destination, secrets }
}

/// Reads a preset by its name or from a file, with the values of its settings.
fn read_preset(
    reader: &mut Reader,
    preset: &str,
    path: &str,
    given: &[(&str, &Value, String)],
    fields: &Fields<'_>,
    secrets: &mut Vec<String>,
) -> (Template, Value) {
    let is_file = preset.contains(['/', '.']);
    let text = if is_file {
        let file = reader.resolve(preset);
        read_limited(&file, FILE_BYTES_MAX).map_err(|error| format!("{} cannot be read: {error}", file.display()))
    } else {
        shipped::preset(preset).map(str::to_owned)
    };
    let text = match text {
        Ok(text) => text,
        Err(problem) => {
            reader.problem(path, &problem);
            return (Template::default(), json!({}));
        }
    };
    let file = if is_file { reader.resolve(preset).display().to_string() } else { format!("preset {preset}") };
    let (mut inner, value) = Reader::parse(&text, &file, &reader.resolve(""));
    let (template, declared) = preset_template(&mut inner, &value);
    let problems = std::mem::take(&mut inner.problems);
    reader.problems.extend(problems);
    let settings = settings(reader, given, &declared, &fields.at("settings"), secrets);
    (template, settings)
}

/// A setting that a preset declares.
struct Declared {
    name: String,
    is_secret: bool,
    default: Option<Value>,
    about: String,
}

fn preset_template(reader: &mut Reader, value: &Value) -> (Template, Vec<Declared>) {
    let mut fields = reader.fields(value, "");
    for key in ["preset", "title", "about", "idempotency"] {
        drop(fields.text(reader, key));
    }
    let mut declared = Vec::new();
    for (name, value, path) in fields.entries(reader, "settings") {
        let mut fields = reader.fields(value, &path);
        declared.push(Declared {
            name: name.to_owned(),
            about: fields.text(reader, "about").unwrap_or_default(),
            is_secret: fields.is_true(reader, "secret"),
            default: fields.get("default").and_then(|_| reader.typed(&fields.at("default"))),
        });
        drop(fields.text(reader, "example"));
        fields.reject_unknown(reader);
    }
    let choices = Choices::read(reader, &mut fields);
    let check = fields.get("check").and_then(|value| requests::request(reader, value, "check"));
    let plans = fields.items("requests");
    if plans.is_empty() {
        reader.problem("requests", "a preset needs at least one request");
    }
    let requests = plans.into_iter().filter_map(|(value, path)| requests::request(reader, value, &path)).collect();
    fields.reject_unknown(reader);
    (Template { choices, requests, check }, declared)
}

/// Returns the values of the declared settings.
fn settings(
    reader: &mut Reader,
    given: &[(&str, &Value, String)],
    declared: &[Declared],
    path: &str,
    secrets: &mut Vec<String>,
) -> Value {
    let mut values = Map::new();
    for (name, value, path) in given {
        let from_file = name.strip_suffix("_file").and_then(|name| declared.iter().find(|it| it.name == name));
        if let Some(setting) = declared.iter().find(|it| it.name == *name) {
            if setting.is_secret {
                let what = format!("a secret must not be written in this file: write `{name}_file: PATH` instead");
                reader.problem(path, &what);
            } else if value.is_object() || value.is_array() {
                reader.problem(path, "write a single value");
            } else {
                let default = setting.default.as_ref().unwrap_or(&Value::Null);
                match typed_setting(value, default) {
                    Ok(value) => _ = values.insert((*name).to_owned(), value),
                    Err(problem) => reader.problem(path, &problem),
                }
            }
        } else if let Some(setting) = from_file {
            if let Some(secret) = plain(value).and_then(|file| reader.secret(path, &file)) {
                secrets.push(secret.clone());
                values.insert(setting.name.clone(), Value::String(secret));
            }
        } else {
            let names: Vec<String> = declared.iter().map(Declared::key).collect();
            reader.problem(path, &format!("the preset has no such setting; it has {}", names.join(", ")));
        }
    }
    for setting in declared {
        let is_given = given.iter().any(|(name, ..)| *name == setting.name || *name == setting.key());
        match &setting.default {
            _ if is_given => {}
            Some(default) => _ = values.insert(setting.name.clone(), default.clone()),
            None => reader.problem(path, &format!("`{}` is missing: {}", setting.key(), setting.about)),
        }
    }
    Value::Object(values)
}

impl Declared {
    /// Returns the key that an operator writes.
    fn key(&self) -> String {
        if self.is_secret { format!("{}_file", self.name) } else { self.name.clone() }
    }
}

fn retry(reader: &mut Reader, fields: &mut Fields<'_>) -> RetryPolicy {
    let path = fields.at("retry");
    let value = fields.get("retry").unwrap_or(&Value::Null);
    let mut fields = reader.fields(value, &path);
    let default = RetryPolicy::default();
    let policy = RetryPolicy {
        first: fields.duration(reader, "first", "10ms", "1h").unwrap_or(default.first),
        max: fields.duration(reader, "max", "10ms", "1d").unwrap_or(default.max),
        give_up_after: fields.duration(reader, "give_up_after", "0s", "366d").unwrap_or(default.give_up_after),
    };
    fields.reject_unknown(reader);
    if policy.first > policy.max {
        reader.problem(&path, "`first` is longer than `max`: write a longer `max`, or a shorter `first`");
    }
    policy
}

fn quiet_hours(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<QuietHours> {
    let path = fields.at("quiet_hours");
    let value = fields.get("quiet_hours")?;
    let mut fields = reader.fields(value, &path);
    let time = |text: &str| {
        let (hour, minute) = text.split_once(':').ok_or("write a time such as 21:00, in quotes")?;
        let parse = |text: &str| text.parse::<i8>().ok();
        parse(hour)
            .zip(parse(minute))
            .and_then(|(hour, minute)| Time::new(hour, minute, 0, 0).ok())
            .ok_or_else(|| "write a time from 00:00 to 23:59, in quotes".to_owned())
    };
    let from = fields.parse(reader, "from", time);
    let to = fields.parse(reader, "to", time);
    let zone = fields.parse(reader, "time_zone", |text| {
        TimeZone::get(text).map_err(|_| "write a time zone such as Europe/Berlin or UTC".to_owned())
    });
    let is_suppressing = fields.one_of(reader, "during", &[("wait", false), ("suppress", true)]).unwrap_or(false);
    for (key, is_missing) in [("from", from.is_none()), ("to", to.is_none()), ("time_zone", zone.is_none())] {
        if is_missing && fields.get(key).is_none() {
            reader.problem(&path, &format!("`{key}` is missing"));
        }
    }
    fields.reject_unknown(reader);
    if from.is_some() && from == to {
        reader.problem(&path, "`from` and `to` are the same time: write two times, or remove quiet_hours");
    }
    Some(QuietHours { from: from?, to: to?, zone: zone?, is_suppressing })
}

fn tls(reader: &mut Reader, fields: &mut Fields<'_>) -> TlsFiles {
    let path = fields.at("tls");
    let value = fields.get("tls").unwrap_or(&Value::Null);
    let mut fields = reader.fields(value, &path);
    let ca = fields.text(reader, "ca_file").map(|file| reader.resolve(&file));
    let certificate = fields.text(reader, "certificate_file").map(|file| reader.resolve(&file));
    let key = fields.text(reader, "key_file").map(|file| reader.resolve(&file));
    fields.reject_unknown(reader);
    if certificate.is_some() != key.is_some() {
        reader.problem(&path, "write both certificate_file and key_file");
    }
    let files = TlsFiles { ca, certificate_and_key: certificate.zip(key) };
    if (files.ca.is_some() || files.certificate_and_key.is_some())
        && let Err(error) = files.load()
    {
        reader.problem(&path, &error.to_string());
    }
    files
}
