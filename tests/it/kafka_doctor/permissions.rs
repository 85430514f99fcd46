//! `lifecycle doctor` on a broker with ACLs: missing permissions are reported by name where the protocol allows it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::{Finding, ServiceFixture};
use crate::broker::until;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka");

/// A separate broker with an ACL authorizer. Every client has all permissions that are not denied.
pub(crate) struct AclBroker {
    directory: PathBuf,
    /// The process of `scripts/kafka hold`; closing its standard input stops the broker.
    script: Child,
    pub(crate) address: String,
}

impl AclBroker {
    pub(crate) fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("lifecycle-rights-").tempdir().unwrap().keep();
        let mut script = Command::new(SCRIPT)
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
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.contains(':'), "the broker did not start; see its output above");
        let broker = Self { directory, script, address: address.trim().to_owned() };
        // One rule for all resources, because each run of the tool starts a JVM.
        let everything = ["--topic", "*", "--group", "*", "--transactional-id", "*", "--cluster"];
        broker.change_acls(&["--add", "--allow-principal", "User:*", "--operation", "All"], &everything);
        broker
    }

    /// Denies an operation to every client; the other operations stay allowed.
    pub(crate) fn deny(&self, operation: &str, resource: &[&str]) {
        self.change_acls(&["--add", "--deny-principal", "User:*", "--operation", operation], resource);
    }

    /// Removes a denial.
    pub(crate) fn remove_denial(&self, operation: &str, resource: &[&str]) {
        self.change_acls(&["--remove", "--force", "--deny-principal", "User:*", "--operation", operation], resource);
    }

    fn change_acls(&self, rule: &[&str], resource: &[&str]) {
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

impl Drop for AclBroker {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        drop(self.script.wait());
    }
}

#[test]
fn missing_permissions_and_rejected_timeouts_are_reported() {
    let broker = AclBroker::start();
    let fixture = ServiceFixture::empty(&broker.address);
    fixture.create_topics();
    fixture.configure("session_timeout: 16s, transaction_timeout: 21s");
    let mut limits = fixture.findings(&[]);
    limits.retain(|it| it.about == "broker limits" && it.verdict == "problem");
    assert_eq!(limits.len(), 2, "{limits:#?}");
    assert!(limits[0].what.contains("transaction.max.timeout.ms is 20000"), "{limits:#?}");
    assert!(limits[1].what.contains("group.max.session.timeout.ms is 15000"), "{limits:#?}");
    fixture.configure("session_timeout: 6s, transaction_timeout: 10s");

    let found = |arguments: &[&str]| -> Vec<Finding> {
        fixture
            .findings(arguments)
            .into_iter()
            .filter(|it| ["rights", "group", "broker limits"].contains(&it.about.as_str()))
            .collect()
    };
    let unprobed = found(&[]);
    assert_eq!(unprobed.len(), 1, "every permission that can be tested without writing is granted: {unprobed:#?}");
    assert_eq!(unprobed[0].verdict, "unknown");
    assert!(unprobed[0].to_do.contains("--probe"));
    let probed = found(&["--probe"]);
    assert_eq!(probed.len(), 1, "there is no committed offset to commit again: {probed:#?}");
    assert_eq!((probed[0].verdict.as_str(), probed[0].about.as_str()), ("unknown", "rights"));

    broker.deny("Read", &["--topic", &fixture.topic("in")]);
    broker.deny("Delete", &["--topic", &fixture.topic("changelog")]);
    broker.deny("Write", &["--topic", &fixture.topic("out")]);
    broker.deny("DescribeConfigs", &["--cluster"]);
    // ACL changes take effect after a moment.
    let probed = until("all denials are effective", || {
        let probed = found(&["--probe"]);
        (probed.len() == 5).then_some(probed)
    });
    let one = |place: &str, about: &str| {
        let of: Vec<_> =
            probed.iter().filter(|it| it.place == place && it.about == about && it.verdict != "unknown").collect();
        assert_eq!(of.len(), 1, "{place}: {probed:#?}");
        (of[0].verdict.as_str(), of[0].to_do.as_str())
    };
    assert_eq!(one(&fixture.topic("in"), "rights"), ("problem", "grant READ on it"));
    assert_eq!(one(&fixture.topic("out"), "rights"), ("problem", "grant WRITE on it"));
    assert_eq!(one(&fixture.topic("changelog"), "rights").0, "warning");
    assert!(probed.iter().any(|it| it.about == "broker limits" && it.verdict == "unknown"), "{probed:#?}");

    let prefix = format!("{}-", fixture.name);
    broker.deny("Write", &["--transactional-id", &prefix, "--resource-pattern-type", "prefixed"]);
    until("the last denial is effective", || {
        let probed = found(&["--probe"]);
        probed.iter().any(|it| it.place.contains("transactional ids") && it.to_do == "grant WRITE on it").then_some(())
    });
}
