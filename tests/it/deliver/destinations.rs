//! Destinations beside each other, and what responses mean.

use std::time::{Duration, Instant};

use lifecycle_processor::runtime::WallClock;

use super::receiver::{Answer, Receiver};
use super::{Deployment, assert_complete, key, log, produce, transition};
use crate::broker::{self, NewRecord, until};

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    until(what, || {
        std::thread::sleep(Duration::from_millis(20));
        condition().then_some(())
    });
}

fn destination(name: &str, receiver: &Receiver, options: &str) -> String {
    format!(
        "  {name}:\n    webhook: {{url: \"http://{}/secret-path\"}}\n    allow_private_addresses: true\n    start: earliest\n{options}",
        receiver.address
    )
}

#[test]
fn a_dead_and_a_slow_destination_do_not_delay_a_healthy_one() {
    let healthy = Receiver::start(|_| Answer::status(200));
    let slow = Receiver::start(|_| Answer::status(200).after(Duration::from_millis(700)));
    let dead = Receiver::start(|_| Answer::status(500));
    let config = destination("healthy", &healthy, "")
        + &destination("slow", &slow, "    concurrency: 1\n")
        + &destination("dead", &dead, "");
    let deployment = Deployment::new(2, &config);
    produce(&deployment.topic, 20, 25);
    let process = deployment.start();
    wait_until("the healthy destination has everything", || healthy.count() >= 500);
    assert!(slow.count() < 50, "the slow destination is not faster than it can be: {}", slow.count());
    assert_eq!(assert_complete(&healthy, 20, 25), 0);
    assert!(dead.received().iter().all(|it| it.status == 500) && dead.count() > 0);
    process.stop();
}

#[test]
fn rejected_deliveries_are_dead_letters_and_can_be_delivered_again() {
    let receiver = Receiver::start(|received| {
        let is_rejected = key(received).0 == "c1" && received.path == "/secret-path";
        let body = if is_rejected { "{\"error\":\"no such contact\"}" } else { "" };
        Answer { body: body.to_owned(), ..Answer::status(if is_rejected { 422 } else { 200 }) }
    });
    let deployment = Deployment::new(1, &destination("shop", &receiver, ""));
    produce(&deployment.topic, 3, 2);
    let process = deployment.start();
    wait_until("all are done", || receiver.count() >= 6 && broker::read_committed(&deployment.dead_letters).len() == 2);
    process.stop();
    let dead = broker::read_committed(&deployment.dead_letters);
    let header = |name: &str| {
        let header = dead[0].headers.iter().find(|(it, _)| it == name);
        header.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    };
    assert_eq!(dead[0].key.as_deref(), Some(&b"c1"[..]));
    assert_eq!((header("lifecycle_destination"), header("lifecycle_status")), ("shop".to_owned(), "422".to_owned()));
    assert_eq!(header("lifecycle_response"), "{\"error\":\"no such contact\"}");
    assert_eq!(header("lifecycle_topic"), deployment.topic);
    let log = log(&deployment);
    assert_eq!(log.matches("delivery is a dead letter").count(), 1, "{log}");
    // Names of topics may contain the customer's id, but not as a word.
    let names_customer = log.split(|next: char| !next.is_ascii_alphanumeric()).any(|word| word == "c1");
    assert!(!log.contains("no such contact") && !log.contains("secret-path") && !names_customer, "{log}");

    // The receiver is corrected: another path accepts them.
    let config = std::fs::read_to_string(deployment.path("deliver.yaml")).expect("a file");
    deployment.write("deliver.yaml", &config.replace("secret-path", "corrected"));
    let (code, output) = deployment.run(&["redrive", "shop", "--config", "deliver.yaml"]);
    assert!(code == 0 && output.contains("2 delivered, 0 rejected again"), "{code}: {output}");
    assert_eq!(assert_complete(&receiver, 3, 2), 0);
    let (code, output) = deployment.run(&["redrive", "shop", "--config", "deliver.yaml"]);
    assert!(code == 0 && output.contains("0 delivered"), "{code}: {output}");
}

#[test]
fn a_redrive_applies_the_filter_of_now() {
    let receiver = Receiver::start(|received| Answer::status(if received.path == "/secret-path" { 422 } else { 200 }));
    let deployment = Deployment::new(1, &destination("shop", &receiver, ""));
    produce(&deployment.topic, 2, 2);
    let process = deployment.start();
    wait_until("all are rejected", || broker::read_committed(&deployment.dead_letters).len() == 4);
    process.stop();
    let config = destination("shop", &receiver, "    filter: transition.customer_id == \"c1\"\n");
    let config = std::fs::read_to_string(deployment.path("deliver.yaml"))
        .expect("a file")
        .replace(&destination("shop", &receiver, ""), &config)
        .replace("secret-path", "corrected");
    deployment.write("deliver.yaml", &config);
    let (code, output) = deployment.run(&["redrive", "shop", "--config", "deliver.yaml"]);
    assert!(code == 0 && output.contains("2 delivered, 0 rejected again"), "{code}: {output}");
    let delivered: Vec<_> = receiver.received().into_iter().filter(|it| it.path == "/corrected").collect();
    assert!(delivered.len() == 2 && delivered.iter().all(|it| key(it).0 == "c1"), "{delivered:?}");
}

#[test]
fn rejected_credentials_hold_and_lose_nothing() {
    let receiver = Receiver::start(|received| {
        Answer::status(if received.header("authorization") == "Bearer right" { 200 } else { 401 })
    });
    let config = format!(
        "  shop:\n    webhook: {{url: \"http://{}/\", bearer_file: token}}\n    allow_private_addresses: true\n    start: earliest\n",
        receiver.address
    );
    let deployment = Deployment::new(1, &config);
    deployment.write("token", "wrong\n");
    produce(&deployment.topic, 5, 2);
    let process = deployment.start();
    wait_until("the credentials are rejected", || receiver.count() > 0);
    std::thread::sleep(Duration::from_secs(1));
    assert!(receiver.count() <= 5, "{} requests with a wrong token", receiver.count());
    process.stop();
    let text = log(&deployment);
    assert!(text.contains("destination rejects credentials or URL") && !text.contains("wrong"), "{text}");
    deployment.write("token", "right\n");
    let process = deployment.start();
    wait_until("all are delivered", || receiver.accepted().len() >= 10);
    process.stop();
    assert_eq!(assert_complete(&receiver, 5, 2), 0);
    assert_eq!(broker::read_committed(&deployment.dead_letters), []);
}

#[test]
fn a_customer_whose_request_cannot_be_written_holds_up_no_other() {
    let receiver = Receiver::start(|_| Answer::status(200));
    let webhook = |rest: &str| {
        let address = receiver.address;
        format!(
            "    webhook: {{url: \"http://{address}/{rest}}}\n    allow_private_addresses: true\n    start: earliest\n"
        )
    };
    let header = webhook("header\", headers: {x-customer: \"${transition.customer_id}\"}");
    let path = webhook("path/${transition.customer_id}\"");
    let deployment = Deployment::new(1, &format!("  header:\n{header}  path:\n{path}"));
    let record = |customer: &str| NewRecord::keyed(customer, &transition(customer, 1).to_string());
    broker::produce(&deployment.topic, &[record("two\nlines and Zo\u{eb}"), record("c1")]);
    let process = deployment.start();
    let dead_letters = || broker::read_committed(&deployment.dead_letters);
    wait_until("all are done", || receiver.count() >= 2 && dead_letters().len() == 2);
    process.stop();
    assert!(receiver.received().iter().all(|it| key(it).0 == "c1"), "{:?}", receiver.received());
    let is_template = |(name, value): &(String, Vec<u8>)| name == "lifecycle_reason" && value == b"template";
    assert!(dead_letters().iter().all(|it| it.headers.iter().any(is_template)), "{:?}", dead_letters());
}

#[test]
fn a_customer_whom_the_receiver_does_not_know_holds_up_no_other() {
    let receiver = Receiver::start(|received| {
        let is_unknown = received.path == "/customers/c1";
        Answer { body: "no such customer".to_owned(), ..Answer::status(if is_unknown { 404 } else { 200 }) }
    });
    let config = format!(
        "  shop:\n    webhook: {{url: \"http://{}/customers/${{transition.customer_id}}\"}}\n    \
         allow_private_addresses: true\n    start: earliest\n    concurrency: 1\n",
        receiver.address
    );
    let deployment = Deployment::new(1, &config);
    produce(&deployment.topic, 3, 2);
    let process = deployment.start();
    let dead_letters = || broker::read_committed(&deployment.dead_letters);
    wait_until("all are done", || receiver.accepted().len() == 4 && dead_letters().len() == 2);
    process.stop();
    assert_eq!(receiver.count(), 6, "each was sent once");
    for dead in dead_letters() {
        assert_eq!(dead.key.as_deref(), Some(&b"c1"[..]));
        let has = |name: &str, value: &[u8]| dead.headers.iter().any(|(it, is)| it == name && is == value);
        assert!(has("lifecycle_status", b"404") && has("lifecycle_response", b"no such customer"), "{dead:?}");
    }
}

#[test]
fn the_age_at_which_a_delivery_is_given_up_counts_from_its_publication() {
    let receiver = Receiver::start(|_| Answer::status(425));
    let retry = "    retry: {first: 50ms, max: 100ms, give_up_after: 1h}\n";
    let deployment = Deployment::new(1, &destination("shop", &receiver, retry));
    let now = WallClock::start().now().wall.as_millis();
    let published = |customer: &str, hours_ago: i64| NewRecord {
        timestamp_ms: Some(now - hours_ago * 3_600_000),
        ..NewRecord::keyed(customer, &transition(customer, 1).to_string())
    };
    broker::produce(&deployment.topic, &[published("new", 0), published("old", 2)]);
    let process = deployment.start();
    wait_until("the old one is a dead letter", || broker::read_committed(&deployment.dead_letters).len() == 1);
    // The other one is attempted again after a restart as well, and is not given up.
    process.stop();
    let before = receiver.count();
    let process = deployment.start();
    wait_until("it is attempted again", || receiver.count() > before + 1);
    process.stop();
    let dead = broker::read_committed(&deployment.dead_letters);
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].key.as_deref(), Some(&b"old"[..]));
}

#[test]
fn private_addresses_are_refused_unless_allowed() {
    let receiver = Receiver::start(|_| Answer::status(200));
    let port = receiver.address.port();
    let config = format!("  shop:\n    webhook: {{url: \"https://localhost:{port}/\"}}\n    start: earliest\n");
    let deployment = Deployment::new(1, &config);
    produce(&deployment.topic, 1, 1);
    let (code, output) = deployment.run(&["--config", "deliver.yaml", "--check"]);
    assert!(code == 1 && output.contains("refused to connect to the private address"), "{code}: {output}");
    let process = deployment.start();
    wait_until("the address is refused", || log(&deployment).contains("refused to connect to the private address"));
    process.stop();
    assert_eq!(receiver.count(), 0);
}

#[test]
fn a_gone_endpoint_disables_the_destination_which_keeps_its_position() {
    let receiver = Receiver::start(|received| Answer::status(if key(received).1 == 2 { 410 } else { 200 }));
    let deployment = Deployment::new(1, &destination("shop", &receiver, "    concurrency: 1\n"));
    produce(&deployment.topic, 1, 4);
    let process = deployment.start();
    wait_until("the endpoint is gone", || receiver.count() >= 2);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(receiver.count(), 2, "nothing is sent to a disabled destination");
    process.stop();
    assert_eq!(broker::read_committed(&deployment.dead_letters), []);
}

/// Writes 200 transitions a second for 20 s, and returns the sorted microseconds from writing to receiving each in the
/// destination `healthy`. `others` are the destinations beside it.
fn latencies(others: &str) -> Vec<u64> {
    let started = Instant::now();
    let micros = move || u64::try_from(started.elapsed().as_micros()).expect("a short test");
    let (sender, received) = std::sync::mpsc::channel();
    let healthy = Receiver::start(move |received| {
        let sent = received.json()["sent_micros"].as_u64().expect("the time of writing");
        // The test has ended if it is not received.
        _ = sender.send(micros() - sent);
        Answer::status(200)
    });
    let healthy = format!(
        "  healthy:\n    webhook: {{url: \"http://{}/\", format: transition}}\n    allow_private_addresses: true\n    start: earliest\n",
        healthy.address
    );
    let deployment = Deployment::new(2, &(healthy + others));
    let process = deployment.start();
    let producer = broker::producer(None);
    let write = |batch: u64| {
        let records: Vec<NewRecord> = (0..10)
            .map(|customer| {
                let customer = format!("c{customer}");
                let mut transition = transition(&customer, batch);
                transition["sent_micros"] = micros().into();
                NewRecord::keyed(&customer, &transition.to_string())
            })
            .collect();
        broker::write(&producer, &deployment.topic, &records);
    };
    // The first ones wait for the assignment of partitions.
    write(0);
    let next = || received.recv_timeout(Duration::from_mins(1)).expect("a delivery");
    for _ in 0..10 {
        next();
    }
    for batch in 1..=400 {
        write(batch);
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut latencies: Vec<u64> = (0..4_000).map(|_| next()).collect();
    process.stop();
    latencies.sort_unstable();
    latencies
}

/// Measures a healthy destination alone, and beside a dead and a slow one, in turn.
#[test]
#[ignore = "a measurement of minutes"]
fn the_latency_of_a_healthy_destination_beside_a_dead_and_a_slow_one() {
    for pair in 1..=5 {
        let slow = Receiver::start(|_| Answer::status(200).after(Duration::from_millis(700)));
        let dead = Receiver::start(|_| Answer::status(500));
        let others = destination("slow", &slow, "    concurrency: 1\n") + &destination("dead", &dead, "");
        for (what, others) in [("alone", ""), ("beside them", &*others)] {
            let latencies = latencies(others);
            let (median, p99) = (latencies[latencies.len() / 2], latencies[latencies.len() * 99 / 100]);
            println!("pair {pair}, {what}: median {median} us, p99 {p99} us");
        }
    }
}

/// 100,000 transitions to a webhook.
#[test]
#[ignore = "a long run"]
fn a_long_run_of_a_webhook_delivers_each_transition_in_order() {
    let receiver = Receiver::start(|_| Answer::status(200));
    let deployment = Deployment::new(4, &destination("shop", &receiver, "    concurrency: 16\n"));
    produce(&deployment.topic, 4_000, 25);
    let started = Instant::now();
    let process = deployment.start();
    while receiver.count() < 100_000 {
        assert!(started.elapsed() < Duration::from_mins(20), "{} were delivered", receiver.count());
        std::thread::sleep(Duration::from_millis(100));
    }
    let seconds = started.elapsed().as_secs_f64();
    process.stop();
    assert_eq!(assert_complete(&receiver, 4_000, 25), 0);
    println!("webhook: 100000 transitions in {seconds:.1} s");
}
