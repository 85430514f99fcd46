//! Runs `lifecycle deliver` with one preset between a topic of transitions and the server of the vendor.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::vendors::Vendor;
use crate::broker::{self, NewRecord};
use crate::deliver::{self, Deployment};
use crate::deliver_vendors::server::{Tool, VendorServer};

/// The maximum time of one run before it fails.
const TIMEOUT: Duration = Duration::from_mins(4);
/// The same for the long run: Klaviyo takes half an hour.
const LONG_TIMEOUT: Duration = Duration::from_mins(50);

/// Transition ids of each customer, in order.
pub(super) type Deliveries = BTreeMap<String, Vec<String>>;

/// Transitions as the service publishes them.
pub(super) struct Workload {
    records: Vec<Value>,
}

impl Workload {
    /// Returns 40 customers with more than a thousand transitions.
    pub(super) fn small() -> &'static Self {
        static SMALL: OnceLock<Workload> = OnceLock::new();
        SMALL.get_or_init(|| Self::generate(usize::MAX, 40))
    }

    /// Simulates customers of a shop, and computes their transitions. Those of every tenth customer are replayed ones.
    pub(super) fn generate(transitions_max: usize, customers: usize) -> Self {
        let lifecycle = env!("CARGO_BIN_EXE_lifecycle");
        let mut generate = Command::new(lifecycle)
            .args(["generate", "--customers", &customers.to_string(), "--days", "400"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let touchpoints = generate.stdout.take().expect("its output");
        let replay =
            Command::new(lifecycle).args(["replay", "-"]).stdin(touchpoints).output().expect("the binary runs");
        assert!(generate.wait().expect("it ends").success() && replay.status.success());
        let text = String::from_utf8(replay.stdout).expect("UTF-8");
        let records = text.lines().take(transitions_max).map(|line| {
            let mut record: Value = serde_json::from_str(line).expect("JSON");
            let customer = record["customer_id"].as_str().expect("a customer");
            let is_live = !customer.ends_with('0');
            // An address is a valid id for every tool.
            record["customer_id"] = format!("{customer}@example.com").into();
            record["mode"] = if is_live { "live" } else { "replay" }.into();
            record
        });
        Self { records: records.collect() }
    }

    pub(super) fn customers(&self) -> Vec<String> {
        let customers: BTreeSet<String> = self.records.iter().map(customer).collect();
        customers.into_iter().collect()
    }

    fn delivered_by<'a>(&'a self, vendor: &Vendor) -> impl Iterator<Item = &'a Value> {
        let takes_all = vendor.takes_replayed;
        self.records.iter().filter(move |record| takes_all || record["mode"] == "live")
    }

    /// Returns what the preset delivers of the customers for which `is_included`.
    pub(super) fn expected(&self, vendor: &Vendor, is_included: impl Fn(&str) -> bool) -> Deliveries {
        let mut expected = Deliveries::new();
        for record in self.delivered_by(vendor) {
            if is_included(&customer(record)) {
                expected.entry(customer(record)).or_default().push(transition_id(record));
            }
        }
        expected
    }

    /// Returns the current stage of each customer and model, as far as it is delivered.
    pub(super) fn stages(&self, vendor: &Vendor) -> BTreeMap<(String, String), Option<String>> {
        let stages = self.delivered_by(vendor).filter(|record| record["kind"] == "stage");
        let text = |value: &Value| value.as_str().map(str::to_owned);
        stages.map(|it| ((customer(it), text(&it["model"]).expect("a model")), text(&it["to"]))).collect()
    }

    /// Returns the ids of the live transitions.
    pub(super) fn live(&self) -> BTreeSet<String> {
        self.records.iter().filter(|record| record["mode"] == "live").map(transition_id).collect()
    }
}

fn customer(record: &Value) -> String {
    record["customer_id"].as_str().expect("a customer").to_owned()
}

fn transition_id(record: &Value) -> String {
    record["transition_id"].as_str().expect("an id").to_owned()
}

/// A preset between Kafka and its vendor.
pub(super) struct Run {
    pub(super) vendor: &'static Vendor,
    pub(super) server: VendorServer,
    pub(super) deployment: Deployment,
}

impl Run {
    pub(super) fn new(vendor: &'static Vendor) -> Self {
        let server = (vendor.start)();
        let mut destination = format!("  {0}:\n    preset: {0}\n    settings:\n", vendor.preset);
        for line in (vendor.settings)(&server.url()) {
            destination = destination + "      " + &line + "\n";
        }
        // Few customers fill no batch, so that waiting for one would only take time.
        destination.push_str(
            "    linger: 50ms\n    start: earliest\n    timeout: 2s\n    retry: {first: 100ms, max: 500ms}\n    \
             allow_private_addresses: true\n",
        );
        let run = Self { vendor, server, deployment: Deployment::new(4, &destination) };
        run.restore_credentials();
        run
    }

    pub(super) fn restore_credentials(&self) {
        self.deployment.write("secret", &(self.vendor.secret)(&self.server.url()));
    }

    /// Writes a secret that the vendor rejects.
    pub(super) fn spoil_credentials(&self) {
        let good = (self.vendor.secret)(&self.server.url());
        // The secret of Slack is a URL, whose last part is the password.
        let wrong = good.rsplit_once('/').map_or("wrong-secret".to_owned(), |(url, _)| format!("{url}/wrong-secret"));
        self.deployment.write("secret", &wrong);
    }

    pub(super) fn produce(&self, workload: &Workload) {
        for record in &workload.records {
            (self.vendor.prepare)(&mut self.server.tool(), &customer(record));
        }
        for records in workload.records.chunks(10_000) {
            let records: Vec<NewRecord> =
                records.iter().map(|record| NewRecord::keyed(&customer(record), &record.to_string())).collect();
            broker::produce(&self.deployment.topic, &records);
        }
    }

    /// Waits until the tool contains `count` different transitions.
    pub(super) fn wait_for(&self, count: usize) {
        let timeout = if count > 10_000 { LONG_TIMEOUT } else { TIMEOUT };
        let is_done = || {
            if self.server.tool().events.len() < count {
                return None;
            }
            (self.delivered().values().map(Vec::len).sum::<usize>() >= count).then_some(())
        };
        if until_within(timeout, is_done).is_none() {
            let found = self.delivered().values().map(Vec::len).sum::<usize>();
            let lost = self.server.tool().lost.clone();
            panic!("{found} of {count} transitions arrived at {}; lost: {lost:?}\n{}", self.vendor.preset, self.log());
        }
    }

    /// Returns the transitions in the tool, each at its first arrival.
    pub(super) fn delivered(&self) -> Deliveries {
        let tool = self.server.tool();
        let mut seen = BTreeSet::new();
        let mut delivered = Deliveries::new();
        for event in tool.events.iter().filter(|event| (self.vendor.is_counted)(event)) {
            let id = event.properties["transition_id"].as_str().expect("every event has a transition_id");
            if seen.insert(id) {
                delivered.entry(event.customer.clone()).or_default().push(id.to_owned());
            }
        }
        delivered
    }

    /// Returns whether the tool recognised every delivery that was repeated.
    pub(super) fn has_no_event_twice(&self) -> bool {
        let count = self.server.tool().events.len();
        count == self.delivered().values().map(Vec::len).sum::<usize>()
    }

    /// Waits for `count` dead letters, and returns all.
    pub(super) fn dead_letters(&self, count: usize) -> Deliveries {
        let topic = &self.deployment.dead_letters;
        let records = until("dead letters", || {
            let records = broker::read_committed(topic);
            (records.len() >= count).then_some(records)
        });
        let mut dead = Deliveries::new();
        for record in records {
            let record: Value = serde_json::from_str(&record.text()).expect("the record of the transition");
            dead.entry(customer(&record)).or_default().push(transition_id(&record));
        }
        dead
    }

    pub(super) fn log(&self) -> String {
        deliver::log(&self.deployment)
    }
}

/// Waits until the condition returns a value.
pub(super) fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    until_within(TIMEOUT, condition).unwrap_or_else(|| panic!("timed out waiting for {what}"))
}

fn until_within<T>(timeout: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() > deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Returns the sum of the counts in all digests.
pub(super) fn counted_by_slack(tool: &Tool) -> usize {
    let texts = tool.events.iter().filter_map(|event| event.properties["text"].as_str());
    let lines = texts.flat_map(str::lines).filter_map(|line| line.split_once(" x "));
    lines.map(|(count, _)| count.parse::<usize>().expect("a count")).sum()
}
