//! A web shop with identity resolution: its customers browse on a laptop and a phone before they sign up, order, browse
//! without signing in, and pairs of them share a tablet.
//!
//! In every shipped model, each customer must have the stages and orders of all its touchpoints, as if they had been
//! sent under one id from the start, and no device may be a customer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use fastrand::Rng;
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::wire::model_file::shipped_names;
use lifecycle_processor::wire::time::format_timestamp;
use lifecycle_processor::workload::{Workload, WorkloadOptions};
use serde_json::{Value, json};

use crate::cli::lifecycle;

const CUSTOMERS: u64 = 300;
const START: Timestamp = Timestamp::from_millis(1_640_995_200_000);

/// The touchpoints of the shop in order of time.
#[derive(Default)]
struct Shop {
    /// As the shop sends them.
    sent: Vec<(Timestamp, Value)>,
    /// The same touchpoints under the id of the person.
    of_persons: Vec<(Timestamp, Value)>,
    /// The person of each device.
    owners: BTreeMap<String, String>,
}

impl Shop {
    fn send(
        &mut self,
        at: Timestamp,
        mut touchpoint: Value,
        customer: Option<&str>,
        device: Option<&str>,
        person: &str,
    ) {
        touchpoint["occurred_at"] = format_timestamp(at).into();
        let members = touchpoint.as_object_mut().expect("an object");
        members.remove("customer_id");
        let with_id = |name: &str, id: &str| {
            let mut all = members.clone();
            all.insert(name.to_owned(), id.into());
            Value::from(all)
        };
        self.of_persons.push((at, with_id("customer_id", person)));
        let mut sent = with_id("customer_id", person);
        let sent_members = sent.as_object_mut().expect("an object");
        sent_members.remove("customer_id");
        for (name, id) in [("customer_id", customer), ("anonymous_id", device)] {
            if let Some(id) = id {
                sent_members.insert(name.to_owned(), id.into());
            }
        }
        self.sent.push((at, sent));
    }

    /// Sends a link, and remembers the person of the device.
    fn identify(&mut self, at: Timestamp, customer: &str, device: &str) {
        let link =
            json!({"event_id": format!("link-{customer}-{device}-{}", at.as_millis()), "type": "customer_identified"});
        self.send(at, link, Some(customer), Some(device), customer);
        self.owners.entry(device.to_owned()).or_insert_with(|| customer.to_owned());
    }
}

fn shop() -> Shop {
    let mut rng = Rng::with_seed(7);
    let options = WorkloadOptions { seed: 7, start: START, customers_per_day: 10.0 };
    let mut workload = Workload::new(options).with_customer_limit(CUSTOMERS);
    let mut customers: BTreeMap<String, Vec<(Timestamp, Value)>> = BTreeMap::new();
    while let Some(touchpoint) = workload.next_until(START + Duration::from_days(400)) {
        let value = serde_json::from_str(&touchpoint.to_json()).expect("JSON");
        customers.entry(touchpoint.customer_id).or_default().push((touchpoint.occurred_at, value));
    }
    let mut shop = Shop::default();
    for (customer, touchpoints) in &customers {
        let devices = ["laptop", "phone"].map(|device| format!("{device}-{customer}"));
        let is_order = |(_, it): &(_, Value)| it.get("order_id").is_some();
        // They sign up with their first order, or with their third touchpoint.
        let signs_up = touchpoints.iter().position(is_order).unwrap_or(2).min(touchpoints.len() - 1);
        for (index, (at, touchpoint)) in touchpoints.iter().enumerate() {
            let device = &devices[rng.usize(..2)];
            if index == signs_up || index > signs_up && rng.u8(..4) == 0 {
                shop.identify(*at, customer, device);
            }
            let is_signed_in = index >= signs_up && (is_order(&touchpoints[index]) || rng.u8(..3) > 0);
            let id = is_signed_in.then_some(customer.as_str());
            shop.send(*at, touchpoint.clone(), id, Some(device), customer);
        }
        // Sooner or later they sign in on both devices.
        let (last, _) = touchpoints[touchpoints.len() - 1];
        for device in &devices {
            shop.identify(last, customer, device);
        }
    }
    // On a tablet, the first to sign in has what was seen before. After the second, it belongs to neither.
    let names: Vec<&String> = customers.keys().collect();
    for pair in names.chunks_exact(2).step_by(5) {
        let (tablet, start) = (format!("tablet-{}", pair[0]), customers[pair[0]][0].0);
        let seen = |number: u8| json!({"event_id": format!("{tablet}-{number}"), "type": "product_viewed"});
        let day = |number: i64| start + Duration::from_days(number);
        shop.send(day(1), seen(1), None, Some(&tablet), pair[0]);
        shop.identify(day(2), pair[0], &tablet);
        shop.send(day(3), seen(2), None, Some(&tablet), pair[0]);
        shop.identify(day(4), pair[1], &tablet);
        shop.send(day(6), seen(3), None, Some(&tablet), &tablet);
    }
    shop.sent.sort_by_key(|(at, _)| *at);
    shop.of_persons.sort_by_key(|(at, _)| *at);
    shop
}

fn replay(directory: &Path, touchpoints: &[(Timestamp, Value)], arguments: &[&str]) -> Vec<Value> {
    let lines: Vec<_> = touchpoints.iter().map(|(_, touchpoint)| touchpoint.to_string()).collect();
    let text = lines.join("\n");
    let run = lifecycle(directory, &[&["replay"], arguments, &["-"]].concat(), text.as_bytes());
    assert_eq!(run.code, 0, "{}", run.errors);
    run.output.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Returns the standings by customer and model. Since when a stage holds depends on the order of reading.
fn standings(lines: Vec<Value>) -> BTreeMap<(String, String), Value> {
    let standing = |mut line: Value| {
        let key = (line["customer_id"].to_string(), line["model"].to_string());
        line.as_object_mut().expect("an object").remove("since");
        (key, line)
    };
    lines.into_iter().map(standing).collect()
}

#[test]
fn the_first_stages_of_every_model_belong_to_the_right_customer() {
    let shop = shop();
    let directory = tempfile::tempdir().expect("a folder");
    let found = standings(replay(directory.path(), &shop.sent, &["--identity", "--output", "standings"]));
    let expected = standings(replay(directory.path(), &shop.of_persons, &["--output", "standings"]));
    let differing: Vec<_> = expected.iter().filter(|(key, standing)| found.get(key) != Some(standing)).collect();
    assert!(differing.is_empty(), "{} of {}: {:#?}", differing.len(), expected.len(), &differing[..1]);
    assert_eq!(found.len(), expected.len(), "no device is a customer, except for shared tablets");
    // Without identity resolution, the touchpoints of visitors are missing.
    let separate: Vec<_> = shop.sent.iter().filter(|(_, it)| it.get("customer_id").is_some()).cloned().collect();
    let without = standings(replay(directory.path(), &separate, &["--output", "standings"]));
    let wrong = expected.iter().filter(|(key, standing)| without.get(key) != Some(standing)).count();
    assert!(wrong * 10 > expected.len(), "{wrong} of {}", expected.len());

    // The person is in the first stage of each model from its first touchpoint on, whichever device that was.
    let first_stages = |transitions: &[Value], owners: &BTreeMap<String, String>| {
        let mut first: BTreeMap<(String, String), String> = BTreeMap::new();
        for it in transitions.iter().filter(|it| it["kind"] == "stage" && it["to"].is_string()) {
            let id = it["customer_id"].as_str().expect("an id");
            let person = owners.get(id).map_or(id, String::as_str).to_owned();
            let at = it["occurred_at"].as_str().expect("a time").to_owned();
            first.entry((person, it["model"].to_string())).or_insert(at);
        }
        first
    };
    let sent = replay(directory.path(), &shop.sent, &["--identity"]);
    let of_persons = replay(directory.path(), &shop.of_persons, &[]);
    let expected = first_stages(&of_persons, &BTreeMap::new());
    let found = first_stages(&sent, &shop.owners);
    let models: BTreeSet<_> = expected.keys().map(|(_, model)| model.trim_matches('"')).collect();
    assert!(models.iter().copied().eq(shipped_names().iter().copied().collect::<BTreeSet<_>>()), "{models:?}");
    let is_person = |((id, _), _): &(&(String, String), &String)| !id.starts_with("tablet-");
    for (key, at) in expected.iter().filter(is_person) {
        assert_eq!(found.get(key), Some(at), "{key:?}");
    }

    // Every device leaves its stages for the customer that it belongs to.
    let mut merged = BTreeMap::new();
    for it in sent.iter().filter(|it| it["merged_into"].is_string()) {
        merged.insert(it["customer_id"].as_str().expect("an id"), it["merged_into"].as_str().expect("an id"));
    }
    assert!(merged.len() as u64 > CUSTOMERS, "{}", merged.len());
    assert!(merged.iter().all(|(device, customer)| shop.owners[*device] == *customer));
}

#[test]
fn the_picture_of_a_customer_is_what_explain_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let arguments = ["explain", "--identity", "--customer", "anna", "--model", "awareness_to_loyalty"];
    let explained = lifecycle(root, &[&arguments[..], &["examples/visitors.ndjson"]].concat(), b"");
    assert_eq!(explained.code, 0, "{}", explained.errors);
    let mut drawing = Command::new("python3")
        .arg("scripts/terminal-svg")
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    drawing.stdin.take().expect("a pipe").write_all(explained.output.as_bytes()).expect("the text is written");
    let drawn = drawing.wait_with_output().expect("the picture is drawn");
    let picture = std::fs::read(root.join("docs/pictures/visitor.svg")).expect("the picture");
    assert!(
        drawn.stdout == picture,
        "lifecycle {} ... | scripts/terminal-svg > docs/pictures/visitor.svg",
        arguments.join(" ")
    );
}
