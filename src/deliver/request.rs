//! How a destination's requests are written: templates, batches and their limits.

use serde_json::{Map, Value, json};

use super::cloud_event;
use super::rate::RateLimit;
use super::response::{RetryAfterHeader, Rule};
use super::signature::Signer;
use super::transition::Transition;
use crate::http_client;
use crate::mapping::{Expression, Template};

/// The roots of `url` and `headers` of a request for one transition, of its body, and of the items of a batch.
pub const TRANSITION_ROOTS: &[&str] = &["transition", "settings"];
/// The roots of the body of a batch.
pub const BATCH_ROOTS: &[&str] = &["items", "settings"];
/// The roots of `url` and `headers` of a batch.
pub const SETTINGS_ROOTS: &[&str] = &["settings"];

/// One of the requests that deliver a transition.
#[derive(Clone, Debug)]
pub struct RequestPlan {
    /// Its name in metrics and messages.
    pub name: String,
    /// Whether it is sent for a transition; roots: [`TRANSITION_ROOTS`].
    pub when: Option<Expression>,
    /// The method.
    pub method: String,
    /// The URL; its roots are those of the content.
    pub url: Template,
    /// Names and values of headers.
    pub headers: Vec<(String, Template)>,
    /// The credentials.
    pub auth: Option<Auth>,
    /// The body.
    pub content: Content,
    /// The limits of a request.
    pub limits: Limits,
    /// The limits of requests per time.
    pub rates: Vec<RateLimit>,
    /// A header with the time of the next attempt, besides `Retry-After`.
    pub retry_after: Option<RetryAfterHeader>,
    /// What responses mean, before the defaults.
    pub rules: Vec<Rule>,
    /// The secrets of Standard Webhooks.
    pub signer: Option<Signer>,
    /// Whether the headers `webhook-id`, `webhook-timestamp` and `idempotency-key` are sent.
    pub has_webhook_headers: bool,
}

/// Credentials in the header `Authorization`.
#[derive(Clone, Debug)]
pub enum Auth {
    /// A bearer token.
    Bearer(Template),
    /// A user and a password.
    Basic(Template, Template),
}

/// What a request contains.
#[derive(Clone, Debug)]
pub enum Content {
    /// One transition.
    Single(Body),
    /// The items of several transitions, in named lists.
    Batch {
        /// The lists.
        lists: Vec<ItemList>,
        /// The body; roots: [`BATCH_ROOTS`].
        body: Template,
    },
    /// Several transitions as a batch of `CloudEvents`.
    EventBatch,
}

/// The body of a request for one transition.
#[derive(Clone, Debug)]
pub enum Body {
    /// No body.
    None,
    /// A template; roots: [`TRANSITION_ROOTS`].
    Template(Template),
    /// The record of the transition.
    Transition,
    /// A structured `CloudEvents` event.
    CloudEvent,
    /// The body that Standard Webhooks recommends.
    WebhookMessage,
}

/// A list of items in the body of a batch.
#[derive(Clone, Debug)]
pub struct ItemList {
    /// Its name under `items`.
    pub name: String,
    /// Whether a transition has an item in it; roots: [`TRANSITION_ROOTS`].
    pub when: Option<Expression>,
    /// What the receiver calls the item in its response; `None`: the `transition_id`.
    pub id: Option<Template>,
    /// The item; roots: [`TRANSITION_ROOTS`].
    pub value: Template,
}

/// The limits of one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Maximum number of items in all lists together.
    pub items_max: usize,
    /// Maximum size of the body, in bytes.
    pub bytes_max: usize,
    /// Maximum size of an item, in bytes.
    pub item_bytes_max: Option<usize>,
}

/// An item of a transition.
#[derive(Clone, PartialEq, Debug)]
pub struct Item {
    /// The index of its list.
    pub list: usize,
    /// What the receiver calls it.
    pub id: Value,
    /// Its value.
    pub value: ItemValue,
    /// Its size in JSON, in bytes.
    pub bytes: usize,
}

/// The value of an item.
#[derive(Clone, PartialEq, Debug)]
pub enum ItemValue {
    /// A tree, which the template of the body reads.
    Tree(Value),
    /// JSON that the body contains as it is.
    Json(Vec<u8>),
}

/// A request that is ready to be sent, except for time and signature.
#[derive(Clone, PartialEq, Debug)]
pub struct RenderedRequest {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// Names and values of headers, credentials included.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// The idempotency key.
    pub id: String,
}

impl RequestPlan {
    /// Returns the number of transitions that one request can deliver.
    #[must_use]
    pub fn transitions_max(&self) -> usize {
        match &self.content {
            Content::Single(_) => 1,
            Content::Batch { lists, .. } => (self.limits.items_max / lists.len().max(1)).max(1),
            Content::EventBatch => self.limits.items_max.max(1),
        }
    }

    /// Returns the number of roots of `url`.
    pub(super) const fn url_roots(&self) -> usize {
        match self.content {
            Content::Single(_) => TRANSITION_ROOTS.len(),
            Content::Batch { .. } | Content::EventBatch => SETTINGS_ROOTS.len(),
        }
    }

    /// Renders a request that concerns no transition: the check of the credentials.
    ///
    /// # Errors
    /// Why the request cannot be written.
    pub fn render_without_transition(&self, settings: &Value) -> Result<RenderedRequest, String> {
        self.render(&[&Transition::absent()], &[], settings)
    }

    /// Renders the items of a transition; `None` if the request is not sent for it.
    ///
    /// # Errors
    /// Why it cannot be delivered.
    pub fn items_to_send(&self, transition: &Transition, settings: &Value) -> Result<Option<Vec<Item>>, String> {
        if let Some(when) = &self.when
            && !when.is_true(&[&transition.value, settings]).map_err(|error| format!("{}: {error}", self.name))?
        {
            return Ok(None);
        }
        let items = self.items(transition, settings)?;
        let is_sent = !items.is_empty() || matches!(self.content, Content::Single(_));
        Ok(is_sent.then_some(items))
    }

    /// Renders the items of a transition.
    ///
    /// # Errors
    /// Why it cannot be delivered.
    pub fn items(&self, transition: &Transition, settings: &Value) -> Result<Vec<Item>, String> {
        let roots = [&transition.value, settings];
        let mut items = Vec::new();
        match &self.content {
            Content::Single(_) => {}
            Content::EventBatch => {
                let event = cloud_event::event(transition);
                items.push(Item {
                    list: 0,
                    id: json!(transition.id),
                    bytes: event.len(),
                    value: ItemValue::Json(event),
                });
            }
            Content::Batch { lists, .. } => {
                for (index, list) in lists.iter().enumerate() {
                    let problem = |error: &dyn std::fmt::Display| format!("{}.{}: {error}", self.name, list.name);
                    if let Some(when) = &list.when
                        && !when.is_true(&roots).map_err(|error| problem(&error))?
                    {
                        continue;
                    }
                    let value = list.value.render(&roots).map_err(|error| problem(&error))?;
                    let id = match &list.id {
                        Some(id) => id.render(&roots).map_err(|error| problem(&error))?,
                        None => json!(transition.id),
                    };
                    items.push(Item { list: index, id, bytes: json_size(&value), value: ItemValue::Tree(value) });
                }
            }
        }
        if let Some(bytes_max) = self.limits.item_bytes_max
            && let Some(item) = items.iter().find(|item| item.bytes > bytes_max)
        {
            return Err(format!("{}: an item has {} bytes, more than {bytes_max}", self.name, item.bytes));
        }
        Ok(items)
    }

    /// Renders a request for `transitions`; `items` are those of each, for a batch.
    ///
    /// # Errors
    /// Why the request cannot be written.
    pub fn render(
        &self,
        transitions: &[&Transition],
        items: &[&[Item]],
        settings: &Value,
    ) -> Result<RenderedRequest, String> {
        let problem = |what: &str, error: &dyn std::fmt::Display| format!("{}: {what}: {error}", self.name);
        let first = transitions.first().ok_or_else(|| format!("{}: no transition", self.name))?;
        let (body, content_type, id) = match &self.content {
            Content::Single(body) => {
                let (value, content_type) = match body {
                    Body::None => (None, None),
                    Body::Template(template) => {
                        let value = template.render(&[&first.value, settings]).map_err(|it| problem("body", &it))?;
                        (Some(to_bytes(&value)), Some("application/json"))
                    }
                    Body::Transition => (Some(to_bytes(&first.value)), Some("application/json")),
                    Body::CloudEvent => (Some(cloud_event::event(first)), Some(cloud_event::EVENT)),
                    Body::WebhookMessage => (Some(cloud_event::webhook_message(first)), Some("application/json")),
                };
                (value, content_type, first.id.clone())
            }
            Content::EventBatch => (Some(event_batch(items)), Some(cloud_event::BATCH), batch_id(transitions)),
            Content::Batch { lists, body } => {
                let mut named = Map::new();
                for (index, list) in lists.iter().enumerate() {
                    let of_list = items.iter().flat_map(|it| it.iter()).filter(|item| item.list == index);
                    let trees = of_list.filter_map(|item| match &item.value {
                        ItemValue::Tree(tree) => Some(tree.clone()),
                        ItemValue::Json(_) => None,
                    });
                    named.insert(list.name.clone(), trees.collect());
                }
                let body = body.render(&[&Value::Object(named), settings]).map_err(|it| problem("body", &it))?;
                (Some(to_bytes(&body)), Some("application/json"), batch_id(transitions))
            }
        };
        let roots: &[&Value] = match &self.content {
            Content::Single(_) => &[&first.value, settings],
            Content::Batch { .. } | Content::EventBatch => &[settings],
        };
        let text = |what: &str, template: &Template| match template.render(roots) {
            Ok(Value::String(text)) => Ok(text),
            Ok(Value::Null) => Err(problem(what, &"is empty")),
            Ok(other) => Ok(other.to_string()),
            Err(error) => Err(problem(what, &error)),
        };
        // What a transition makes invalid concerns that transition only: others are not to wait for it.
        let is_of_transition = |template: &Template| roots.len() > 1 && template.reads(0);
        let header = |what: &str, template: &Template| {
            let value = text(what, template)?;
            if is_of_transition(template) && !http_client::is_header_value(&value) {
                return Err(problem(what, &"the value of a header is visible ASCII text, see url_encode()"));
            }
            Ok(value)
        };
        let mut headers = Vec::new();
        if let Some(content_type) = content_type {
            headers.push(("content-type".to_owned(), content_type.to_owned()));
        }
        match &self.auth {
            None => {}
            Some(Auth::Bearer(token)) => {
                headers.push(("authorization".to_owned(), format!("Bearer {}", header("auth", token)?)));
            }
            Some(Auth::Basic(user, password)) => {
                use base64::Engine as _;
                let pair = format!("{}:{}", text("auth", user)?, text("auth", password)?);
                let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
                headers.push(("authorization".to_owned(), format!("Basic {encoded}")));
            }
        }
        for (name, value) in &self.headers {
            headers.retain(|(it, _)| it != name);
            headers.push((name.clone(), header(name, value)?));
        }
        if self.has_webhook_headers {
            headers.push(("idempotency-key".to_owned(), id.clone()));
        }
        let url = text("url", &self.url)?;
        if is_of_transition(&self.url) && !http_client::is_url(&url) {
            return Err(problem("url", &"is not a URL: write url_encode() around the parts that are data"));
        }
        Ok(RenderedRequest { method: self.method.clone(), url, headers, body, id })
    }
}

impl RenderedRequest {
    /// Adds the headers that depend on the time of the attempt: those of Standard Webhooks.
    pub fn add_webhook_headers(&mut self, signer: Option<&Signer>, seconds: i64) {
        self.headers.push(("webhook-id".to_owned(), self.id.clone()));
        self.headers.push(("webhook-timestamp".to_owned(), seconds.to_string()));
        if let Some(signer) = signer {
            let signature = signer.sign(&self.id, seconds, self.body.as_deref().unwrap_or_default());
            self.headers.push(("webhook-signature".to_owned(), signature));
        }
    }
}

/// Returns the idempotency key of a batch: the same for the same transitions.
fn batch_id(transitions: &[&Transition]) -> String {
    let ids: Vec<&str> = transitions.iter().map(|it| it.id.as_str()).collect();
    format!("batch-{:032x}", xxhash_rust::xxh3::xxh3_128(ids.join(",").as_bytes()))
}

/// Returns the JSON list of the events.
fn event_batch(items: &[&[Item]]) -> Vec<u8> {
    let bytes: usize = items.iter().copied().flatten().map(|item| item.bytes + 1).sum();
    let mut list = Vec::with_capacity(bytes + 1);
    list.push(b'[');
    for item in items.iter().copied().flatten() {
        if let ItemValue::Json(event) = &item.value {
            list.extend_from_slice(event);
            list.push(b',');
        }
    }
    if list.len() > 1 {
        list.pop();
    }
    list.push(b']');
    list
}

fn to_bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a JSON value can be written to memory")
}

/// Returns the size of a value in JSON, in bytes.
fn json_size(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).expect("counting cannot fail");
    count.0
}
