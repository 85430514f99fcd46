//! Rights on a broker that asks for them: what is missing is told by name, as far as it can be.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::{Clinic, Finding};
use crate::broker::until;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka");

/// A broker of its own that checks rights; everybody has those that nobody was given.
pub(crate) struct Guarded {
    directory: PathBuf,
    hold: Child,
    pub(crate) address: String,
}

impl Guarded {
    pub(crate) fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("lifecycle-rights-").tempdir().unwrap().keep();
        let mut hold = Command::new(SCRIPT)
            .arg("hold")
            .arg(&directory)
            .args([
                "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "allow.everyone.if.no.acl.found=true",
                "transaction.max.timeout.ms=20000",
                "group.max.session.timeout.ms=15000",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(hold.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.contains(':'), "the broker did not start; its words are above");
        Self { directory, hold, address: address.trim().to_owned() }
    }

    /// Takes a right from everybody; the others stay.
    pub(crate) fn deny(&self, operation: &str, resource: &[&str]) {
        self.rule(&["--add", "--allow-principal", "User:*", "--operation", "All"], resource);
        self.rule(&["--add", "--deny-principal", "User:*", "--operation", operation], resource);
    }

    /// Gives back a right that was taken.
    pub(crate) fn give_back(&self, operation: &str, resource: &[&str]) {
        self.rule(&["--remove", "--force", "--deny-principal", "User:*", "--operation", operation], resource);
    }

    fn rule(&self, rule: &[&str], resource: &[&str]) {
        let changed = Command::new(SCRIPT)
            .arg("tool")
            .arg(&self.directory)
            .arg("AclCommand")
            .args(rule)
            .args(resource)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(changed.status.success(), "{}{}", text(&changed.stdout), text(&changed.stderr));
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.hold.stdin.take());
        drop(self.hold.wait());
    }
}

#[test]
fn rights_that_are_missing_and_timeouts_that_are_refused_are_told() {
    let broker = Guarded::start();
    let clinic = Clinic::empty(&broker.address);
    clinic.create_topics();
    clinic.configure("session_timeout: 16s, transaction_timeout: 21s");
    let mut limits = clinic.findings(&[]);
    limits.retain(|it| it.about == "broker limits" && it.verdict == "problem");
    assert_eq!(limits.len(), 2, "{limits:#?}");
    assert!(limits[0].what.contains("transaction.max.timeout.ms is 20000"), "{limits:#?}");
    assert!(limits[1].what.contains("group.max.session.timeout.ms is 15000"), "{limits:#?}");
    clinic.configure("session_timeout: 6s, transaction_timeout: 10s");

    let found = |words: &[&str]| -> Vec<Finding> {
        clinic
            .findings(words)
            .into_iter()
            .filter(|it| ["rights", "group", "broker limits"].contains(&it.about.as_str()))
            .collect()
    };
    let untried = found(&[]);
    assert_eq!(untried.len(), 1, "what can be told without writing is granted: {untried:#?}");
    assert_eq!(untried[0].verdict, "unknown");
    assert!(untried[0].to_do.contains("--probe"));
    let probed = found(&["--probe"]);
    assert_eq!(probed.len(), 1, "nothing is committed that could be committed again: {probed:#?}");
    assert_eq!((probed[0].verdict.as_str(), probed[0].about.as_str()), ("unknown", "rights"));

    broker.deny("Read", &["--topic", &clinic.topic("in")]);
    broker.deny("Delete", &["--topic", &clinic.topic("changelog")]);
    broker.deny("Write", &["--topic", &clinic.topic("out")]);
    broker.deny("DescribeConfigs", &["--cluster"]);
    // Rights that were taken are effective a moment later.
    let probed = until("all is taken", || {
        let probed = found(&["--probe"]);
        (probed.len() == 5).then_some(probed)
    });
    let one = |place: &str, about: &str| {
        let of: Vec<_> =
            probed.iter().filter(|it| it.place == place && it.about == about && it.verdict != "unknown").collect();
        assert_eq!(of.len(), 1, "{place}: {probed:#?}");
        (of[0].verdict.as_str(), of[0].to_do.as_str())
    };
    assert_eq!(one(&clinic.topic("in"), "rights"), ("problem", "grant READ on it"));
    assert_eq!(one(&clinic.topic("out"), "rights"), ("problem", "grant WRITE on it"));
    assert_eq!(one(&clinic.topic("changelog"), "rights").0, "warning");
    assert!(probed.iter().any(|it| it.about == "broker limits" && it.verdict == "unknown"), "{probed:#?}");

    let prefix = format!("{}-", clinic.name);
    broker.deny("Write", &["--transactional-id", &prefix, "--resource-pattern-type", "prefixed"]);
    until("this is taken, too", || {
        let probed = found(&["--probe"]);
        probed.iter().any(|it| it.place.contains("transactional ids") && it.to_do == "grant WRITE on it").then_some(())
    });
}
