//! Reads a generic webhook: one request for each transition, or a batch of `CloudEvents`.

use serde_json::{Value, json};

use super::reader::{Fields, Reader};
use crate::deliver::request::{Auth, Body, Content, Limits, RequestPlan, SETTINGS_ROOTS, TRANSITION_ROOTS};
use crate::deliver::response::{Outcome, Rule};
use crate::deliver::signature::Signer;
use crate::mapping::Template;

/// Maximum size of a body, in bytes.
const BODY_BYTES_MAX: usize = 1_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    WebhookMessage,
    Transition,
    CloudEvent,
    CloudEventBatch,
}

const FORMATS: &[(&str, Format)] = &[
    ("standard_webhooks", Format::WebhookMessage),
    ("transition", Format::Transition),
    ("cloudevents", Format::CloudEvent),
    ("cloudevents_batch", Format::CloudEventBatch),
];

/// Reads the keys under `webhook`. Adds secrets to `secrets`.
pub(super) fn webhook(
    reader: &mut Reader,
    value: &Value,
    path: &str,
    secrets: &mut Vec<String>,
) -> Option<RequestPlan> {
    let mut fields = reader.fields(value, path);
    let format = fields.one_of(reader, "format", FORMATS);
    let is_batch = format == Some(Format::CloudEventBatch);
    let roots = if is_batch { SETTINGS_ROOTS } else { TRANSITION_ROOTS };
    let url = url(reader, &mut fields, roots, secrets);
    let body = fields.get("body").map(|body| (body, fields.at("body")));
    let content = match (format, body) {
        (Some(_), Some((_, path))) => {
            reader.problem(&path, "write either `format` or `body`");
            return None;
        }
        (None, Some((body, path))) => Content::Single(Body::Template(reader.body(body, &path, TRANSITION_ROOTS)?)),
        (None | Some(Format::WebhookMessage), None) => Content::Single(Body::WebhookMessage),
        (Some(Format::Transition), None) => Content::Single(Body::Transition),
        (Some(Format::CloudEvent), None) => Content::Single(Body::CloudEvent),
        (Some(Format::CloudEventBatch), None) => Content::EventBatch,
    };
    let mut signing = Vec::new();
    for (value, path) in fields.items("signing_secret_files") {
        if let Some(secret) = value.as_str().and_then(|file| reader.secret(&path, file)) {
            match Signer::new([secret.as_str()]) {
                Ok(_) => signing.push(secret),
                Err(problem) => reader.problem(&path, &problem),
            }
        }
    }
    let signer = (!signing.is_empty()).then(|| Signer::new(signing.iter().map(String::as_str)).ok()).flatten();
    secrets.extend(signing);
    let auth = auth(reader, &mut fields, secrets);
    let mut headers = Vec::new();
    for (name, value, path) in fields.entries(reader, "headers") {
        if let Some(value) = reader.template(value, &path, roots) {
            headers.push((name.to_lowercase(), value));
        }
    }
    for (name, value, path) in fields.entries(reader, "header_files") {
        if let Some(secret) = value.as_str().and_then(|file| reader.secret(&path, file)) {
            headers.extend(literal(&secret).map(|value| (name.to_lowercase(), value)));
            secrets.push(secret);
        }
    }
    let items_max = fields.number(reader, "items_max", 1, 10_000).unwrap_or(100);
    fields.reject_unknown(reader);
    Some(RequestPlan {
        name: "webhook".to_owned(),
        when: None,
        method: "POST".to_owned(),
        url: url?,
        headers,
        auth,
        content,
        limits: Limits { items_max, bytes_max: BODY_BYTES_MAX, item_bytes_max: None },
        rates: Vec::new(),
        retry_after: None,
        // A URL may name the customer: one that the receiver does not know must not hold up the others.
        rules: vec![Rule { statuses: vec![404..=404], when: None, outcome: Outcome::Dead, failures: Vec::new() }],
        signer,
        has_webhook_headers: true,
    })
}

fn url(reader: &mut Reader, fields: &mut Fields<'_>, roots: &[&str], secrets: &mut Vec<String>) -> Option<Template> {
    match (fields.get("url"), fields.text(reader, "url_file")) {
        (Some(url), None) => reader.template(url, &fields.at("url"), roots),
        (None, Some(file)) => {
            let secret = reader.secret(&fields.at("url_file"), &file)?;
            let template = literal(&secret);
            secrets.push(secret);
            template
        }
        _ => {
            reader.problem(&fields.path, "write `url`, or `url_file` if the URL contains a secret");
            None
        }
    }
}

fn auth(reader: &mut Reader, fields: &mut Fields<'_>, secrets: &mut Vec<String>) -> Option<Auth> {
    if let Some(file) = fields.text(reader, "bearer_file") {
        let token = reader.secret(&fields.at("bearer_file"), &file)?;
        let template = literal(&token);
        secrets.push(token);
        return template.map(Auth::Bearer);
    }
    let value = fields.get("basic")?;
    let mut fields = reader.fields(value, &fields.at("basic"));
    let user = fields.text(reader, "user").unwrap_or_default();
    let file = fields.text(reader, "password_file");
    if file.is_none() {
        reader.problem(&fields.at("password_file"), "the file of the password is missing");
    }
    let password = reader.secret(&fields.at("password_file"), &file?)?;
    let template = literal(&password);
    secrets.push(password);
    fields.reject_unknown(reader);
    Some(Auth::Basic(literal(&user)?, template?))
}

/// Returns a template that renders to `text`, whatever it contains.
fn literal(text: &str) -> Option<Template> {
    Template::compile(&json!(text.replace("${", "$${")), &[]).ok()
}
