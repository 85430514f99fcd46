//! An HTTP server that enforces a vendor's limits, lets the vendor answer, and stores what the vendor's tool would
//! store.
//!
//! Rate limits are windows that move with each request. Where a vendor counts in fixed windows, this is stricter: a
//! client that keeps to the moving window keeps to every fixed one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Request as HttpRequest, Response};
use serde_json::{Map, Value};

/// The largest body that a server reads before it applies the vendor's own limit.
const BODY_BYTES_MAX: usize = 32 << 20;

/// A request as the vendor sees it.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Returns a header as text, or an empty text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Returns a parameter of the query, or an empty text.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    /// Returns the body as JSON, if it is JSON and its content type is one of JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        let is_json = self.header("content-type").starts_with("application/")
            && self.header("content-type").split(';').next().is_some_and(|kind| kind.ends_with("json"));
        if is_json { serde_json::from_slice(&self.body).ok() } else { None }
    }
}

/// The vendor's answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: vec![("content-type", "application/json".to_owned())], body: body.to_string() }
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.to_owned() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &(impl ToString + ?Sized)) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// At most `requests` requests whose path begins with `path` in any period of the length `per`.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) path: &'static str,
    pub(crate) requests: usize,
    pub(crate) per: Duration,
}

/// The limits that apply before the vendor looks at a request.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) rates: &'static [Rate],
    /// A larger body is answered with [`Vendor::too_large`].
    pub(crate) body_bytes_max: usize,
    /// Requests at the same time; one more is answered with [`Vendor::too_many`].
    pub(crate) in_flight_max: Option<usize>,
}

/// A vendor's API.
pub(crate) trait Vendor: Send + 'static {
    fn rules(&self) -> Rules;

    /// Answers a request that is within the limits, and stores its content in `tool`.
    fn answer(&self, request: &Request, tool: &mut Tool) -> Answer;

    /// Answers a request that exceeds a rate; the next one is allowed after `wait`.
    fn too_many(&self, wait: Duration) -> Answer;

    fn too_large(&self) -> Answer;
}

/// An event as the tool shows it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) customer: String,
    pub(crate) name: String,
    pub(crate) properties: Value,
    /// False if the tool records the event without starting a campaign.
    pub(crate) starts_campaigns: bool,
}

/// What the tool of the vendor contains, and how it treats the customers of a test.
#[derive(Default)]
pub(crate) struct Tool {
    /// In the order of arrival, without those that the tool recognises as repeated.
    pub(crate) events: Vec<Event>,
    /// The attributes of each customer.
    pub(crate) profiles: BTreeMap<String, Map<String, Value>>,
    /// How often the tool recognised a repeated event.
    pub(crate) repeated: usize,
    /// Content that the vendor answered with success and lost all the same, as the vendor does: why.
    pub(crate) lost: Vec<String>,
    /// Customers whose items the vendor rejects, in the way in which it rejects single items.
    pub(crate) rejected_customers: BTreeSet<String>,
    /// Customers that exist in the tool, by the id that its URLs contain; for tools that create none on an event.
    pub(crate) members: BTreeMap<String, String>,
    /// The next answers that claim success and change nothing (HubSpot).
    pub(crate) silent_failures: usize,
    keys: BTreeMap<String, usize>,
}

impl Tool {
    /// Stores an event, unless the tool has one with the same `key`.
    pub(crate) fn add_event(&mut self, event: Event, key: Option<String>) {
        if let Some(key) = key
            && self.keys.insert(key, self.events.len()).is_some()
        {
            self.repeated += 1;
            return;
        }
        self.events.push(event);
    }

    /// Sets attributes of a customer; null removes one.
    pub(crate) fn set_attributes(&mut self, customer: &str, attributes: &Map<String, Value>) {
        let profile = self.profiles.entry(customer.to_owned()).or_default();
        for (name, value) in attributes {
            if value.is_null() {
                profile.remove(name);
            } else {
                profile.insert(name.clone(), value.clone());
            }
        }
    }

    pub(crate) fn rejects(&self, customer: &str) -> bool {
        self.rejected_customers.contains(customer)
    }
}

/// A fault of the server, independent of the request.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// Answers with the status without reading the request.
    Status(u16),
    /// Does what the request asks, and answers with the status.
    AnswerLost(u16),
    /// Does what the request asks, and answers late.
    Slow(Duration),
    /// Answers as if a rate were exceeded.
    TooMany(Duration),
}

struct Shared {
    vendor: Mutex<Box<dyn Vendor>>,
    rules: Rules,
    in_flight: AtomicUsize,
    state: Mutex<ServerState>,
}

struct ServerState {
    rates: Vec<(Rate, VecDeque<Instant>)>,
    faults: VecDeque<Fault>,
    statuses: BTreeMap<u16, usize>,
    tool: Tool,
}

impl ServerState {
    /// Returns how long the request must wait; `None` if it is within every rate.
    fn wait(&mut self, path: &str, now: Instant) -> Option<Duration> {
        let mut wait = None;
        for (rate, times) in self.rates.iter_mut().filter(|(rate, _)| path.starts_with(rate.path)) {
            while times.front().is_some_and(|first| now.duration_since(*first) >= rate.per) {
                times.pop_front();
            }
            if times.len() >= rate.requests {
                wait = wait.max(times.front().map(|first| rate.per.saturating_sub(now.duration_since(*first))));
            }
        }
        if wait.is_none() {
            for (_, times) in self.rates.iter_mut().filter(|(rate, _)| path.starts_with(rate.path)) {
                times.push_back(now);
            }
        }
        wait
    }
}

/// A running server. It stops when it is dropped.
pub(crate) struct VendorServer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl VendorServer {
    /// Starts a server with the documented rates of the vendor.
    pub(crate) fn start(vendor: impl Vendor) -> Self {
        let rates = vendor.rules().rates;
        Self::with_rates(vendor, rates)
    }

    /// Starts a server with other rates, such as those of a smaller plan.
    pub(crate) fn with_rates(vendor: impl Vendor, rates: &[Rate]) -> Self {
        let rules = vendor.rules();
        let shared = Arc::new(Shared {
            vendor: Mutex::new(Box::new(vendor)),
            rules,
            in_flight: AtomicUsize::new(0),
            state: Mutex::new(ServerState {
                rates: rates.iter().map(|rate| (*rate, VecDeque::new())).collect(),
                faults: VecDeque::new(),
                statuses: BTreeMap::new(),
                tool: Tool::default(),
            }),
        });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let app = Router::new().fallback(respond).with_state(Arc::clone(&shared));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    result = axum::serve(listener, app) => result.expect("a server"),
                    _ = stopped => {}
                }
            });
        });
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Returns the URL of the server, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the content of the tool, to read it or to prepare it.
    pub(crate) fn tool(&self) -> ToolGuard<'_> {
        ToolGuard(self.state())
    }

    /// The next requests meet these faults, in this order.
    pub(crate) fn add_faults(&self, faults: &[Fault]) {
        self.state().faults.extend(faults);
    }

    /// Returns how many answers had the status.
    pub(crate) fn answers(&self, status: u16) -> usize {
        self.state().statuses.get(&status).copied().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, ServerState> {
        self.shared.state.lock().expect("a server that did not panic")
    }

    /// Sends a request with an independent client, and returns status, headers and body.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, HeaderMap, String) {
        let agent = ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
        let mut request = HttpRequest::builder().method(method).uri(format!("{}{path}", self.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = agent.run(request.body(body.to_owned()).expect("a request")).expect("an answer");
        let text = response.body_mut().read_to_string().expect("a body");
        (response.status().as_u16(), response.headers().clone(), text)
    }
}

impl Drop for VendorServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a server that did not panic");
        }
    }
}

/// Access to the content of the tool; the server waits while it is held.
pub(crate) struct ToolGuard<'a>(MutexGuard<'a, ServerState>);

impl std::ops::Deref for ToolGuard<'_> {
    type Target = Tool;

    fn deref(&self) -> &Tool {
        &self.0.tool
    }
}

impl std::ops::DerefMut for ToolGuard<'_> {
    fn deref_mut(&mut self) -> &mut Tool {
        &mut self.0.tool
    }
}

async fn respond(State(shared): State<Arc<Shared>>, request: HttpRequest<Body>) -> Response<Body> {
    let others = shared.in_flight.fetch_add(1, Ordering::SeqCst);
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await.expect("a body below the limit of the server");
    let request = Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: body.to_vec(),
    };
    let (answer, delay) = shared.decide(&request, others);
    if let Some(delay) = delay {
        tokio::time::sleep(delay).await;
    }
    shared.in_flight.fetch_sub(1, Ordering::SeqCst);
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.body)).expect("an answer")
}

impl Shared {
    /// Returns the answer, and how long it is delayed. `others` is the number of other requests that are in flight.
    fn decide(&self, request: &Request, others: usize) -> (Answer, Option<Duration>) {
        let vendor = self.vendor.lock().expect("a vendor that did not panic");
        let mut state = self.state.lock().expect("a server that did not panic");
        let fault = state.faults.pop_front();
        let (answer, delay) = match fault {
            Some(Fault::Status(status)) => (Answer::text(status, ""), None),
            Some(Fault::TooMany(wait)) => (vendor.too_many(wait), None),
            _ => {
                let answer = if self.rules.in_flight_max.is_some_and(|max| others >= max) {
                    vendor.too_many(Duration::from_secs(1))
                } else if let Some(wait) = state.wait(&request.path, Instant::now()) {
                    vendor.too_many(wait)
                } else if request.body.len() > self.rules.body_bytes_max {
                    vendor.too_large()
                } else {
                    vendor.answer(request, &mut state.tool)
                };
                match fault {
                    Some(Fault::AnswerLost(status)) => (Answer::text(status, ""), None),
                    Some(Fault::Slow(delay)) => (answer, Some(delay)),
                    _ => (answer, None),
                }
            }
        };
        *state.statuses.entry(answer.status).or_default() += 1;
        (answer, delay)
    }
}

/// Returns the text of a member, if it is a text that is not empty.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value[name].as_str().filter(|text| !text.is_empty())
}

/// Returns the elements of a member that is a list, or none.
pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

/// Returns true if the text is a time in RFC 3339.
pub(crate) fn is_time(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok()
}

/// Returns whole seconds, at least one, as `Retry-After` has them.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// A request that the server must refuse: what is wrong, path, headers, body, and the status of the answer.
pub(crate) struct Bad<'a>(
    pub(crate) &'a str,
    pub(crate) &'a str,
    pub(crate) &'a [(&'a str, &'a str)],
    pub(crate) String,
    pub(crate) u16,
);

/// Sends each request by `method` and compares the status.
pub(crate) fn refuses(server: &VendorServer, method: &str, requests: &[Bad<'_>]) {
    for Bad(what, path, headers, body, status) in requests {
        let (found, _, text) = server.send(method, path, headers, body);
        assert_eq!(found, *status, "{what}: {text}");
    }
}

/// Sends `good` more often than `rate` allows, and returns the headers of the answer to the last request.
pub(crate) fn exceed(server: &VendorServer, rate: Rate, path: &str, headers: &[(&str, &str)], good: &str) -> HeaderMap {
    for _ in 0..rate.requests {
        let (status, _, text) = server.send("POST", path, headers, good);
        assert!((200..300).contains(&status), "{status} {text}");
    }
    let (status, headers, text) = server.send("POST", path, headers, good);
    assert_eq!(status, 429, "{text}");
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Anything;

    impl Vendor for Anything {
        fn rules(&self) -> Rules {
            Rules { rates: &[], body_bytes_max: 10, in_flight_max: None }
        }

        fn answer(&self, request: &Request, tool: &mut Tool) -> Answer {
            tool.lost.push(request.path.clone());
            Answer::text(200, "done")
        }

        fn too_many(&self, wait: Duration) -> Answer {
            Answer::text(429, "").with("retry-after", &whole_seconds(wait))
        }

        fn too_large(&self) -> Answer {
            Answer::text(413, "")
        }
    }

    #[test]
    fn a_rate_counts_a_moving_window_of_the_requests_that_it_admitted() {
        let server =
            VendorServer::with_rates(Anything, &[Rate { path: "/a", requests: 2, per: Duration::from_secs(10) }]);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut state = server.state();
        assert_eq!(state.wait("/a/1", at(0)), None);
        assert_eq!(state.wait("/b", at(1)), None);
        assert_eq!(state.wait("/a/2", at(4)), None);
        assert_eq!(state.wait("/a/3", at(5)), Some(Duration::from_secs(5)));
        assert_eq!(state.wait("/a/3", at(10)), None);
        assert_eq!(state.wait("/a/4", at(10)), Some(Duration::from_secs(4)));
        assert_eq!(state.wait("/b", at(10)), None);
    }

    #[test]
    fn faults_apply_in_order_and_only_once() {
        let server = VendorServer::start(Anything);
        server.add_faults(&[Fault::Status(503), Fault::AnswerLost(500), Fault::TooMany(Duration::from_millis(2500))]);
        let statuses: Vec<u16> = (0..4).map(|index| server.send("POST", &format!("/{index}"), &[], "x").0).collect();
        assert_eq!(statuses, [503, 500, 429, 200]);
        // The server did what the second request asked, although the client cannot know.
        assert_eq!(server.tool().lost, ["/1", "/3"]);
        assert_eq!(server.answers(200), 1);
        server.add_faults(&[Fault::TooMany(Duration::from_millis(2500))]);
        assert_eq!(server.send("POST", "/5", &[], "x").1["retry-after"], "3");
        assert_eq!(server.send("POST", "/6", &[], "eleven bytes").0, 413);
    }

    #[test]
    fn a_slow_answer_is_counted_as_in_flight() {
        struct One;
        impl Vendor for One {
            fn rules(&self) -> Rules {
                Rules { in_flight_max: Some(1), ..Anything.rules() }
            }

            fn answer(&self, request: &Request, tool: &mut Tool) -> Answer {
                Anything.answer(request, tool)
            }

            fn too_many(&self, wait: Duration) -> Answer {
                Anything.too_many(wait)
            }

            fn too_large(&self) -> Answer {
                Anything.too_large()
            }
        }
        let server = VendorServer::start(One);
        server.add_faults(&[Fault::Slow(Duration::from_secs(1))]);
        thread::scope(|scope| {
            let slow = scope.spawn(|| server.send("POST", "/slow", &[], "").0);
            // The first request is in flight as soon as the server has stored it.
            while server.tool().lost.is_empty() {
                thread::yield_now();
            }
            assert_eq!(server.send("POST", "/second", &[], "").0, 429);
            assert_eq!(slow.join().expect("an answer"), 200);
        });
    }
}
