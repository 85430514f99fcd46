//! What is sent is verified by independent libraries: Standard Webhooks in Python and JavaScript, and the SDK of
//! `CloudEvents`.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::receiver::{Answer, Received, Receiver};
use super::{Deployment, produce};
use crate::broker::until;

const SECRETS: [&str; 2] =
    ["whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="];

fn libraries() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/webhook-libraries");
    let output = Command::new(script).stderr(Stdio::inherit()).output().expect("the script runs");
    assert!(output.status.success(), "scripts/webhook-libraries failed; see above");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// Delivers transitions in `format` with two secrets, and returns the requests.
fn deliver(format: &str, expected: usize) -> Vec<Received> {
    let receiver = Receiver::start(|_| Answer::status(200));
    let config = format!(
        "  shop:\n    webhook: {{url: \"http://{}/\", format: {format}, signing_secret_files: [new, old]}}\n    \
         allow_private_addresses: true\n    start: earliest\n",
        receiver.address
    );
    let deployment = Deployment::new(1, &config);
    deployment.write("new", SECRETS[0]);
    deployment.write("old", SECRETS[1]);
    produce(&deployment.topic, 4, 1);
    let process = deployment.start();
    until("all are delivered", || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        (receiver.count() >= expected).then_some(())
    });
    process.stop();
    receiver.accepted()
}

fn lines(requests: &[Received], secrets: &[&str]) -> String {
    let line = |request: &Received| {
        let headers: serde_json::Map<String, Value> =
            request.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({"secrets": secrets, "headers": headers, "body": String::from_utf8_lossy(&request.body)}).to_string()
    };
    requests.iter().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

/// Returns what a program prints for `input`.
fn verified(command: &mut Command, input: &str) -> usize {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program runs");
    child.stdin.take().expect("an input").write_all(input.as_bytes()).expect("an open input");
    let output = child.wait_with_output().expect("the program ends");
    assert!(output.status.success(), "the library refuses a request; see above");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

#[test]
fn signatures_and_events_are_accepted_by_independent_libraries() {
    let folder = libraries();
    let file = |name: &str| format!("{}/tests/it/deliver/{name}", env!("CARGO_MANIFEST_DIR"));
    let messages = deliver("standard_webhooks", 4);
    let input = lines(&messages, &SECRETS);
    let python = folder.join("python/bin/python");
    // Each of two secrets verifies each of four messages.
    assert_eq!(verified(Command::new(python).arg(file("verify.py")), &input), 8);
    let node = || {
        let mut command = Command::new("node");
        command.arg(file("verify.mjs")).arg(&folder);
        command
    };
    assert_eq!(verified(&mut node(), &input), 8);
    // Signed events: two signatures and one event of each request.
    assert_eq!(verified(&mut node(), &lines(&deliver("cloudevents", 4), &SECRETS)), 12);
    let batch = deliver("cloudevents_batch", 1);
    assert_eq!(batch.len(), 1, "four events fit in one request");
    assert_eq!(verified(&mut node(), &lines(&batch, &SECRETS)), 2 + 4);
}
