//! Reads the requests of a destination: templates, limits, and what responses mean.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::reader::{Fields, Reader, plain};
use crate::config::values;
use crate::deliver::rate::RateLimit;
use crate::deliver::request::{
    Auth, BATCH_ROOTS, Body, Content, ItemList, Limits, RequestPlan, SETTINGS_ROOTS, TRANSITION_ROOTS,
};
use crate::deliver::response::{ERROR_ROOTS, FailedItem, FailureRule, Outcome, RESPONSE_ROOTS, RetryAfterHeader, Rule};

/// Names of outcomes.
const OUTCOMES: &[(&str, Outcome)] = &[
    ("done", Outcome::Done),
    ("retry", Outcome::Retry),
    ("dead", Outcome::Dead),
    ("hold", Outcome::Hold),
    ("disable", Outcome::Disable),
];

/// Items of a batch, unless the preset sets them.
const ITEMS_MAX: usize = 100;
/// Maximum size of a body, unless the preset sets it.
const BODY_BYTES_MAX: usize = 1_000_000;

/// Reads one request.
pub(super) fn request(reader: &mut Reader, value: &Value, path: &str) -> Option<RequestPlan> {
    let mut fields = reader.fields(value, path);
    let name = fields.text(reader, "name").unwrap_or_else(|| "request".to_owned());
    let when = match fields.get("when") {
        Some(when) => Some(reader.expression(when, &fields.at("when"), TRANSITION_ROOTS)?),
        None => None,
    };
    let method = fields.one_of(
        reader,
        "method",
        &[("POST", "POST"), ("PUT", "PUT"), ("PATCH", "PATCH"), ("DELETE", "DELETE"), ("GET", "GET")],
    );
    let lists = item_lists(reader, &mut fields);
    let is_batch = fields.get("items").is_some();
    let roots = if is_batch { SETTINGS_ROOTS } else { TRANSITION_ROOTS };
    if fields.get("url").is_none() {
        reader.problem(&fields.at("url"), "the URL is missing");
    }
    let url = fields.get("url").and_then(|url| reader.template(url, &fields.at("url"), roots));
    let auth = auth(reader, &mut fields, roots);
    let mut headers = Vec::new();
    for (name, value, path) in fields.entries(reader, "headers") {
        if let Some(value) = reader.template(value, &path, roots) {
            headers.push((name.to_lowercase(), value));
        }
    }
    let body_roots = if is_batch { BATCH_ROOTS } else { TRANSITION_ROOTS };
    let body = match fields.get("body") {
        Some(body) => Some(reader.body(body, &fields.at("body"), body_roots)?),
        None => None,
    };
    let content = match (is_batch, body) {
        (true, Some(body)) => Content::Batch { lists, body },
        (true, None) => {
            reader.problem(
                &fields.at("body"),
                "a request with `items` needs a body, such as {events: \"${items.events}\"}",
            );
            return None;
        }
        (false, Some(body)) => Content::Single(Body::Template(body)),
        (false, None) => Content::Single(Body::None),
    };
    let (limits, rates) = limits(reader, &mut fields);
    let retry_after = retry_after(reader, &mut fields);
    let rules = fields.items("responses").into_iter().filter_map(|(value, path)| rule(reader, value, &path)).collect();
    fields.reject_unknown(reader);
    Some(RequestPlan {
        name,
        when,
        method: method.unwrap_or("POST").to_owned(),
        url: url?,
        headers,
        auth,
        content,
        limits,
        rates,
        retry_after,
        rules,
        signer: None,
        has_webhook_headers: false,
    })
}

fn item_lists(reader: &mut Reader, fields: &mut Fields<'_>) -> Vec<ItemList> {
    let mut lists = Vec::new();
    for (name, value, path) in fields.entries(reader, "items") {
        let mut fields = reader.fields(value, &path);
        let when = fields.get("when").and_then(|it| reader.expression(it, &fields.at("when"), TRANSITION_ROOTS));
        let id = fields.get("id").and_then(|it| reader.template(it, &fields.at("id"), TRANSITION_ROOTS));
        match fields.get("value") {
            Some(value) => {
                if let Some(value) = reader.body(value, &fields.at("value"), TRANSITION_ROOTS) {
                    lists.push(ItemList { name: name.to_owned(), when, id, value });
                }
            }
            None => reader.problem(&fields.at("value"), "the template of the items is missing"),
        }
        fields.reject_unknown(reader);
    }
    lists
}

fn auth(reader: &mut Reader, fields: &mut Fields<'_>, roots: &[&str]) -> Option<Auth> {
    let value = fields.get("auth")?;
    let path = fields.at("auth");
    let mut fields = reader.fields(value, &path);
    let bearer = fields.get("bearer").and_then(|it| reader.template(it, &fields.at("bearer"), roots));
    let basic = fields.get("basic").and_then(|value| {
        let mut fields = reader.fields(value, &fields.at("basic"));
        let empty = json!("");
        let user = fields.get("user").unwrap_or(&empty);
        let user = reader.template(user, &fields.at("user"), roots);
        let password = fields.get("password").unwrap_or(&empty);
        let password = reader.template(password, &fields.at("password"), roots);
        fields.reject_unknown(reader);
        Some((user?, password?))
    });
    fields.reject_unknown(reader);
    match (bearer, basic) {
        (Some(token), None) => Some(Auth::Bearer(token)),
        (None, Some((user, password))) => Some(Auth::Basic(user, password)),
        _ => {
            reader.problem(&path, "write bearer or basic, such as {bearer: \"${settings.api_key}\"}");
            None
        }
    }
}

fn limits(reader: &mut Reader, fields: &mut Fields<'_>) -> (Limits, Vec<RateLimit>) {
    let path = fields.at("limits");
    let value = fields.get("limits").unwrap_or(&Value::Null);
    let mut fields = reader.fields(value, &path);
    let limits = Limits {
        items_max: fields.number(reader, "items_max", 1, 100_000).unwrap_or(ITEMS_MAX),
        bytes_max: fields.size(reader, "bytes_max", "1KiB", "64MiB").unwrap_or(BODY_BYTES_MAX),
        item_bytes_max: fields.size(reader, "item_bytes_max", "1KiB", "64MiB"),
    };
    let rates = rates(reader, &mut fields);
    fields.reject_unknown(reader);
    (limits, rates)
}

/// Reads `rate`: one or several limits such as `100/1s`.
pub(super) fn rates(reader: &mut Reader, fields: &mut Fields<'_>) -> Vec<RateLimit> {
    let mut rates = Vec::new();
    for (value, path) in fields.items("rate") {
        let parsed = plain(value).and_then(|text| {
            let (requests, per) = text.split_once('/')?;
            let requests = values::whole_number(requests, 1, 1_000_000).ok()?;
            let per = values::duration(per).ok().filter(|per| !per.is_zero())?;
            Some(RateLimit { requests, per })
        });
        match parsed {
            Some(rate) => rates.push(rate),
            None => reader.problem(&path, "write requests and a time, such as 100/1s"),
        }
    }
    rates
}

fn retry_after(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<RetryAfterHeader> {
    let path = fields.at("retry_after");
    let value = fields.get("retry_after")?;
    let mut fields = reader.fields(value, &path);
    let name = fields.text(reader, "header");
    let is_epoch = fields.one_of(reader, "as", &[("seconds", false), ("epoch_seconds", true)]);
    fields.reject_unknown(reader);
    if name.is_none() {
        reader.problem(&path, "write the name of a header, such as {header: x-ratelimit-reset, as: epoch_seconds}");
    }
    Some(RetryAfterHeader { name: name?.to_lowercase(), is_epoch: is_epoch.unwrap_or(false) })
}

fn rule(reader: &mut Reader, value: &Value, path: &str) -> Option<Rule> {
    let mut fields = reader.fields(value, path);
    let mut statuses = Vec::new();
    for (value, path) in fields.items("status") {
        match plain(value).as_deref().and_then(status_range) {
            Some(range) => statuses.push(range),
            None => reader.problem(&path, "write a status such as 207, or 2xx, 4xx, 5xx"),
        }
    }
    if statuses.is_empty() {
        reader.problem(&fields.at("status"), "the status of the rule is missing");
    }
    let when = match fields.get("when") {
        Some(when) => Some(reader.expression(when, &fields.at("when"), RESPONSE_ROOTS)?),
        None => None,
    };
    let outcome = fields.one_of(reader, "outcome", OUTCOMES).unwrap_or(Outcome::Done);
    let failures =
        fields.items("failures").into_iter().filter_map(|(value, path)| failure(reader, value, &path)).collect();
    fields.reject_unknown(reader);
    Some(Rule { statuses, when, outcome, failures })
}

fn failure(reader: &mut Reader, value: &Value, path: &str) -> Option<FailureRule> {
    let mut fields = reader.fields(value, path);
    let mut expression = |reader: &mut Reader, key: &'static str, roots: &[&str]| {
        let value = fields.get(key)?;
        reader.expression(value, &fields.at(key), roots)
    };
    let errors = expression(reader, "errors", RESPONSE_ROOTS);
    let when = expression(reader, "when", ERROR_ROOTS);
    let list = expression(reader, "list", ERROR_ROOTS);
    let index = expression(reader, "index", ERROR_ROOTS);
    let id = expression(reader, "id", ERROR_ROOTS);
    let outcome = fields.one_of(reader, "outcome", &[("dead", Outcome::Dead), ("retry", Outcome::Retry)]);
    fields.reject_unknown(reader);
    let item = match (index, id) {
        (Some(index), None) => FailedItem::Index(index),
        (None, Some(id)) => FailedItem::Id(id),
        _ => {
            reader.problem(path, "write `index` or `id`: how an error names an item");
            return None;
        }
    };
    if errors.is_none() {
        reader.problem(path, "write `errors`: where the response lists them");
    }
    Some(FailureRule { errors: errors?, when, list, item, outcome: outcome.unwrap_or(Outcome::Dead) })
}

fn status_range(text: &str) -> Option<RangeInclusive<u16>> {
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
        return Some(class * 100..=class * 100 + 99);
    }
    let status: u16 = text.parse().ok().filter(|status| (100..600).contains(status))?;
    Some(status..=status)
}
