//! Renders and sends the requests of a batch of transitions, and reports what became of each.
//!
//! A request with several transitions that is rejected as a whole is sent again in halves, so that only the transition
//! at fault is rejected in the end. After a failure that concerns the destination, the rest of the batch is not
//! attempted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::destination::Destination;
use super::gate::Verdict;
use super::queue::Ticket;
use super::rate::RateLimiter;
use super::request::{Content, Item, RenderedRequest, RequestPlan};
use super::response::{Judgement, Outcome, judge};
use super::transition::Transition;
use crate::http_client::{Error, HttpClient, Request, Response};
use crate::runtime::WallClock;
use crate::wire::percent_encoding::percent_encoded;

/// Maximum number of bytes of a response that are kept with a dead letter.
const EXCERPT_BYTES_MAX: usize = 2_000;
/// Longest uninterrupted wait for the limit of requests per time.
const WAIT_STEP: Duration = Duration::from_millis(100);

/// A transition to send.
#[derive(Clone, Debug)]
pub(super) struct TaskItem {
    pub(super) ticket: Ticket,
    pub(super) transition: Arc<Transition>,
    /// The index of the first request that is still to be sent for it.
    pub(super) step: usize,
}

/// What became of a transition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ItemResult {
    Done,
    Retry {
        asked: Option<Duration>,
        problem: Problem,
    },
    Dead(Problem),
    /// The destination does not accept requests at the moment; the transition was not judged.
    Unsent,
}

/// Why a delivery failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The kind, for metrics and the API: `status 400`, `timeout`, `template`.
    pub kind: String,
    /// What failed, without data of customers.
    pub what: String,
    /// The status of the response.
    pub status: Option<u16>,
    /// The start of the response body; may contain data of customers.
    pub excerpt: Vec<u8>,
}

/// One request that was sent.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Attempt {
    pub(super) verdict: Verdict,
    pub(super) duration: Duration,
    pub(super) problem: Option<Problem>,
}

/// What became of a batch.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct TaskResult {
    /// For each transition: how many requests are done, and the result.
    pub(super) items: Vec<(Ticket, usize, ItemResult)>,
    pub(super) attempts: Vec<Attempt>,
}

/// A request as it would be sent, with secrets replaced.
#[derive(Clone, PartialEq, Debug)]
pub struct Preview {
    /// The name of the request.
    pub name: String,
    /// The method and the URL.
    pub line: String,
    /// Names and values of headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// Sends the requests of one destination. Shared by its threads.
#[derive(Debug)]
pub struct Sender {
    destination: Arc<Destination>,
    client: HttpClient,
    /// For each request of the destination.
    limiters: Vec<Mutex<RateLimiter>>,
    clock: WallClock,
    is_stopping: Arc<AtomicBool>,
}

/// A transition on its way through the requests of the destination.
struct InProgress {
    item: TaskItem,
    result: Option<ItemResult>,
}

/// Transitions of one request: indices into the batch, with their items.
type Chunk = Vec<(usize, Vec<Item>)>;

impl Sender {
    /// Creates a sender.
    ///
    /// # Errors
    /// If a TLS file cannot be used.
    pub fn new(destination: Arc<Destination>, clock: WallClock, is_stopping: Arc<AtomicBool>) -> Result<Self, Error> {
        let client = HttpClient::new(&destination.http)?;
        let limiters = destination.requests.iter().map(|it| Mutex::new(RateLimiter::new(&it.rates))).collect();
        Ok(Self { destination, client, limiters, clock, is_stopping })
    }

    /// Sends a batch.
    pub(super) fn send(&self, task: Vec<TaskItem>) -> TaskResult {
        let mut batch: Vec<InProgress> = task.into_iter().map(|item| InProgress { item, result: None }).collect();
        let mut result = TaskResult::default();
        let mut is_stopped = false;
        for (step, plan) in self.destination.requests.iter().enumerate() {
            let mut chunk = Chunk::new();
            let (mut count, mut bytes) = (0, 0);
            for index in 0..batch.len() {
                let Some(items) = self.prepare(plan, step, &mut batch[index]) else { continue };
                let (more, more_bytes) = (items.len(), items.iter().map(|item| item.bytes + 1).sum::<usize>());
                let is_full = matches!(plan.content, Content::Single(_))
                    || count + more > plan.limits.items_max
                    || bytes + more_bytes > plan.limits.bytes_max * 9 / 10;
                if is_full && !chunk.is_empty() {
                    is_stopped |=
                        self.send_chunk(plan, step, &mut batch, std::mem::take(&mut chunk), is_stopped, &mut result);
                    (count, bytes) = (0, 0);
                }
                count += more;
                bytes += more_bytes;
                chunk.push((index, items));
            }
            if !chunk.is_empty() {
                is_stopped |= self.send_chunk(plan, step, &mut batch, chunk, is_stopped, &mut result);
            }
        }
        let steps = self.destination.requests.len();
        result.items = (batch.into_iter())
            .map(|it| {
                let otherwise = if it.item.step == steps { ItemResult::Done } else { ItemResult::Unsent };
                (it.item.ticket, it.item.step, it.result.unwrap_or(otherwise))
            })
            .collect();
        result
    }

    /// Returns the items of a transition for a request; `None` if the request is not to be sent for it.
    fn prepare(&self, plan: &RequestPlan, step: usize, entry: &mut InProgress) -> Option<Vec<Item>> {
        if entry.result.is_some() || entry.item.step != step {
            return None;
        }
        let (transition, settings) = (&*entry.item.transition, &self.destination.settings);
        match plan.items_to_send(transition, settings) {
            Ok(Some(items)) => Some(items),
            Ok(None) => {
                entry.item.step += 1;
                None
            }
            Err(what) => {
                entry.result = Some(ItemResult::Dead(Problem::of_template(what)));
                None
            }
        }
    }

    /// Sends one request, in halves if it is rejected as a whole. Returns whether the rest of the batch must wait.
    fn send_chunk(
        &self,
        plan: &RequestPlan,
        step: usize,
        batch: &mut [InProgress],
        chunk: Chunk,
        is_stopped: bool,
        result: &mut TaskResult,
    ) -> bool {
        if is_stopped {
            return true;
        }
        let transitions: Vec<Arc<Transition>> =
            chunk.iter().map(|(index, _)| Arc::clone(&batch[*index].item.transition)).collect();
        let transitions: Vec<&Transition> = transitions.iter().map(|it| &**it).collect();
        let items: Vec<&[Item]> = chunk.iter().map(|(_, items)| items.as_slice()).collect();
        let rendered = plan.render(&transitions, &items, &self.destination.settings);
        let mut request = match rendered {
            Ok(request) => request,
            Err(_) if chunk.len() > 1 => return self.send_halves(plan, step, batch, chunk, result),
            Err(what) => {
                batch[chunk[0].0].result = Some(ItemResult::Dead(Problem::of_template(what)));
                return false;
            }
        };
        let is_oversized = request.body.as_ref().is_some_and(|body| body.len() > plan.limits.bytes_max);
        if is_oversized && chunk.len() > 1 {
            return self.send_halves(plan, step, batch, chunk, result);
        }
        if is_oversized {
            let what = format!("{}: the body is larger than {} bytes", plan.name, plan.limits.bytes_max);
            batch[chunk[0].0].result = Some(ItemResult::Dead(Problem::of_template(what)));
            return false;
        }
        if self.destination.is_dry_run {
            for (index, _) in &chunk {
                batch[*index].item.step += 1;
            }
            return false;
        }
        self.wait_for_rate(step);
        let started = Instant::now();
        let response = self.attempt(plan, &mut request);
        let duration = started.elapsed();
        let (judgement, problem) = self.meaning(plan, &response, &items);
        let Judgement { verdict, outcome, failed, asked } = judgement;
        let is_good = outcome == Outcome::Done && failed.is_empty();
        result.attempts.push(Attempt { verdict, duration, problem: (!is_good).then(|| problem.clone()) });
        if outcome == Outcome::Dead && chunk.len() > 1 {
            return self.send_halves(plan, step, batch, chunk, result);
        }
        for (position, (index, _)) in chunk.iter().enumerate() {
            let outcome = failed.iter().find(|(it, _)| *it == position).map_or(outcome, |(_, outcome)| *outcome);
            let entry = &mut batch[*index];
            match outcome {
                Outcome::Done => entry.item.step += 1,
                Outcome::Retry => entry.result = Some(ItemResult::Retry { asked, problem: problem.clone() }),
                Outcome::Dead => entry.result = Some(ItemResult::Dead(problem.clone())),
                Outcome::Hold | Outcome::Disable => entry.result = Some(ItemResult::Unsent),
            }
        }
        verdict != Verdict::Works
    }

    fn send_halves(
        &self,
        plan: &RequestPlan,
        step: usize,
        batch: &mut [InProgress],
        mut chunk: Chunk,
        result: &mut TaskResult,
    ) -> bool {
        let second = chunk.split_off(chunk.len() / 2);
        let is_stopped = self.send_chunk(plan, step, batch, chunk, false, result);
        self.send_chunk(plan, step, batch, second, is_stopped, result)
    }

    /// Returns what the response or the error means for the transitions of the request, and its description.
    fn meaning(
        &self,
        plan: &RequestPlan,
        response: &Result<Response, Error>,
        items: &[&[Item]],
    ) -> (Judgement, Problem) {
        match response {
            Ok(response) => {
                let lists: Vec<&str> = match &plan.content {
                    Content::Batch { lists, .. } => lists.iter().map(|it| it.name.as_str()).collect(),
                    Content::Single(_) | Content::EventBatch => vec!["events"],
                };
                let (rules, retry_after) = (&plan.rules, plan.retry_after.as_ref());
                let (settings, now) = (&self.destination.settings, self.clock.now().wall);
                let judgement = judge(rules, response, retry_after, settings, &lists, items, now);
                (judgement, Problem::of_response(&plan.name, response))
            }
            Err(error) => {
                let (verdict, outcome) = match error {
                    Error::Invalid(_) | Error::AddressRefused { .. } => (Verdict::Rejected, Outcome::Hold),
                    Error::Timeout { .. } | Error::Connection { .. } => {
                        (Verdict::Failed { asked: None }, Outcome::Retry)
                    }
                };
                (Judgement { verdict, outcome, failed: Vec::new(), asked: None }, Problem::of_error(error))
            }
        }
    }

    fn attempt(&self, plan: &RequestPlan, request: &mut RenderedRequest) -> Result<Response, Error> {
        if plan.has_webhook_headers {
            request.add_webhook_headers(plan.signer.as_ref(), self.clock.now().wall.as_millis().div_euclid(1_000));
        }
        self.client.send(&Request {
            method: &request.method,
            url: &request.url,
            headers: &request.headers,
            body: request.body.as_deref(),
        })
    }

    fn wait_for_rate(&self, step: usize) {
        let Some(limiter) = self.limiters.get(step) else { return };
        let at = limiter.lock().unwrap_or_else(PoisonError::into_inner).reserve(Instant::now());
        loop {
            let wait = at.saturating_duration_since(Instant::now());
            if wait.is_zero() || self.is_stopping.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(wait.min(WAIT_STEP));
        }
    }

    /// Returns the requests that would be sent for `transition`, with secrets replaced.
    ///
    /// # Errors
    /// Why it cannot be delivered.
    pub fn preview(&self, transition: &Transition, secrets: &[String]) -> Result<Vec<Preview>, String> {
        let settings = &self.destination.settings;
        let secrets: Vec<String> = secrets.iter().filter(|it| !it.is_empty()).flat_map(|it| forms_of(it)).collect();
        let redact = |text: &str| secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"));
        let mut previews = Vec::new();
        for plan in &self.destination.requests {
            let Some(items) = plan.items_to_send(transition, settings)? else { continue };
            let mut request = plan.render(&[transition], &[&items], settings)?;
            if plan.has_webhook_headers {
                request.add_webhook_headers(plan.signer.as_ref(), self.clock.now().wall.as_millis().div_euclid(1_000));
            }
            let headers = request.headers.iter().map(|(name, value)| {
                let value = if name == "authorization" { "***".to_owned() } else { redact(value) };
                (name.clone(), value)
            });
            previews.push(Preview {
                name: plan.name.clone(),
                line: format!("{} {}", request.method, redact(&request.url)),
                headers: headers.collect(),
                body: redact(&String::from_utf8_lossy(request.body.as_deref().unwrap_or_default())),
            });
        }
        Ok(previews)
    }

    /// Sends one transition now, without retries. Returns the problem if it was not delivered.
    ///
    /// # Errors
    /// Why it was not delivered.
    pub fn send_one(&self, transition: Transition) -> Result<(), Problem> {
        let result = self.send(vec![TaskItem { ticket: 0, transition: Arc::new(transition), step: 0 }]);
        let problem = result.attempts.into_iter().rev().find_map(|it| it.problem);
        match result.items.into_iter().next() {
            Some((_, _, ItemResult::Done)) => Ok(()),
            Some((_, _, ItemResult::Retry { problem, .. } | ItemResult::Dead(problem))) => Err(problem),
            _ => Err(problem.unwrap_or_else(|| Problem::of_template("not sent".to_owned()))),
        }
    }

    /// Checks the connection and, if the destination has a request for that, the credentials. Sends no customer.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<String, String> {
        let settings = &self.destination.settings;
        let Some(plan) = &self.destination.check else {
            let mut hosts = Vec::new();
            for plan in &self.destination.requests {
                // The URL of a transition may need the transition, but not its host.
                let mut roots = vec![settings; plan.url_roots()];
                if roots.len() > 1 {
                    roots[0] = &serde_json::Value::Null;
                }
                let Ok(url) = plan.url.render(&roots) else { continue };
                let Some(host) = url.as_str().and_then(host_url) else { continue };
                if !hosts.contains(&host) {
                    hosts.push(host);
                }
            }
            for host in &hosts {
                let request = Request { method: "HEAD", url: host, headers: &[], body: None };
                self.client.send(&request).map_err(|error| error.to_string())?;
            }
            return Ok(format!("{} answers; its credentials cannot be checked without a delivery", hosts.join(", ")));
        };
        let request = plan.render_without_transition(settings)?;
        let request = Request {
            method: &request.method,
            url: &request.url,
            headers: &request.headers,
            body: request.body.as_deref(),
        };
        let response = self.client.send(&request).map_err(|error| error.to_string())?;
        let judgement = judge(&plan.rules, &response, None, settings, &[], &[], self.clock.now().wall);
        match judgement.outcome {
            Outcome::Done => Ok(format!("connection and credentials are good (status {})", response.status)),
            _ if matches!(response.status, 401 | 403) => {
                Err(format!("status {}: the credentials are rejected", response.status))
            }
            _ => Err(format!("status {}: the check failed", response.status)),
        }
    }
}

/// Returns the forms that a secret can have in a request: as it is, in a URL, and in JSON.
fn forms_of(secret: &str) -> [String; 3] {
    let json = Value::from(secret).to_string();
    [secret.to_owned(), percent_encoded(secret), json[1..json.len() - 1].to_owned()]
}

/// Returns scheme, host and port of a URL.
fn host_url(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    Some(format!("{scheme}://{host}/"))
}

impl Problem {
    fn of_template(what: String) -> Self {
        Self { kind: "template".to_owned(), what, status: None, excerpt: Vec::new() }
    }

    /// A record that cannot become a delivery.
    pub(super) fn of_record(what: String) -> Self {
        Self { kind: "record".to_owned(), what, status: None, excerpt: Vec::new() }
    }

    fn of_response(request: &str, response: &Response) -> Self {
        let mut excerpt = response.body.clone();
        excerpt.truncate(EXCERPT_BYTES_MAX);
        Self {
            kind: format!("status {}", response.status),
            what: format!("{request}: status {}", response.status),
            status: Some(response.status),
            excerpt,
        }
    }

    fn of_error(error: &Error) -> Self {
        let kind = match error {
            Error::Invalid(_) => "invalid request",
            Error::AddressRefused { .. } => "address refused",
            Error::Timeout { .. } => "timeout",
            Error::Connection { .. } => "connection",
        };
        Self { kind: kind.to_owned(), what: error.to_string(), status: None, excerpt: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::forms_of;

    #[test]
    fn a_secret_is_found_in_a_url_and_in_json() {
        assert_eq!(forms_of("a\"b/c"), ["a\"b/c", "a%22b%2Fc", "a\\\"b/c"]);
    }
}
