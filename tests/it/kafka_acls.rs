//! The permissions that `lifecycle topics --acls` prints, on a broker that grants nothing else: the service runs with
//! exactly those, and when one is missing, the doctor names it.
#![expect(clippy::unwrap_used, reason = "a failed setup step fails the test")]

use std::thread;

use lifecycle_processor::kafka::Cluster;
use lifecycle_processor::kafka::cluster::admin::{TopicSpec, create_topics};

use crate::broker::{self, NewRecord, until};
use crate::deliver::receiver::{Answer, Receiver};
use crate::deliver::{Deliverer, transition};
use crate::kafka_security::Setup;
use crate::kafka_security::secured_broker::SecuredBroker;

/// Maximum number of attempts to get an answer from a broker in time.
const ATTEMPTS: usize = 5;

/// One operation on one resource: the operation, and the arguments that name the resource.
type Grant = (String, Vec<String>);

/// Parses the printed commands, which grant one or more operations on a resource each.
fn grants(commands: &str) -> Vec<Grant> {
    let mut grants = Vec::new();
    for command in commands.lines() {
        let mut words = command.split(' ').map(str::to_owned);
        assert_eq!(words.next().unwrap(), "kafka-acls.sh");
        let (mut operations, mut resource) = (Vec::new(), Vec::new());
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bootstrap-server" | "--command-config" | "--allow-principal" => drop(words.next().unwrap()),
                "--operation" => operations.push(words.next().unwrap()),
                "--add" => {}
                _ => resource.push(word),
            }
        }
        grants.extend(operations.into_iter().map(|operation| (operation, resource.clone())));
    }
    grants
}

/// Grants an operation to `users`.
fn grant(broker: &SecuredBroker, (operation, resource): &Grant, users: &[String]) {
    let principals: Vec<String> = users.iter().map(|user| format!("User:{user}")).collect();
    let mut arguments = vec!["AclCommand", "--add", "--operation", operation];
    for principal in &principals {
        arguments.extend(["--allow-principal", principal]);
    }
    arguments.extend(resource.iter().map(String::as_str));
    broker.tool(&arguments);
}

fn client(user: &str) -> String {
    format!(
        "security.protocol: sasl_ssl, ssl.ca.location: KEYS/ca.pem, sasl.mechanism: PLAIN, sasl.username: {user}, \
         sasl.password: 'file:KEYS/password'"
    )
}

#[test]
fn the_printed_permissions_suffice_and_the_doctor_names_each_missing_one() {
    // One user for each permission of the service, who lacks this one, and at least as many as there are.
    let lacking: Vec<String> = (0..12).map(|index| format!("lacking{index}")).collect();
    let users: Vec<&str> = lacking.iter().map(String::as_str).chain(["setup", "dlq"]).collect();
    let broker = SecuredBroker::start(
        &users,
        &[
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            // The listener of the test itself and of the broker has no authentication.
            "super.users=User:ANONYMOUS",
        ],
    );
    let setup = Setup::new(&broker, &broker.address("PLAIN"), &client("svc"));
    let printed = |role: &str| {
        let (code, commands, errors) = setup.run(&["topics", "--acls", "--role", role]);
        assert_eq!(code, 0, "{errors}");
        grants(&commands)
    };
    let of_service = printed("service");
    assert_eq!(of_service.len(), 10, "{of_service:?}");

    thread::scope(|scope| {
        for granted in printed("setup") {
            let broker = &broker;
            scope.spawn(move || grant(broker, &granted, &["setup".to_owned()]));
        }
        for (index, granted) in of_service.iter().enumerate() {
            let mut users = lacking[..of_service.len()].to_vec();
            users.remove(index);
            users.push("svc".to_owned());
            let broker = &broker;
            scope.spawn(move || grant(broker, granted, &users));
        }
        for granted in printed("dlq") {
            let broker = &broker;
            scope.spawn(move || grant(broker, &granted, &["dlq".to_owned()]));
        }
        for granted in printed("doctor") {
            let mut users = lacking[..of_service.len()].to_vec();
            users.push("svc".to_owned());
            let broker = &broker;
            scope.spawn(move || grant(broker, &granted, &users));
        }
    });

    setup.configure(&broker, &broker.address("PLAIN"), &client("setup"));
    until("the setup may create the topics", || {
        let (code, ..) = setup.run(&["topics", "--create", "--partitions", "1"]);
        (code == 0).then_some(())
    });

    setup.configure(&broker, &broker.address("PLAIN"), &client("svc"));
    let mut service = setup.start();
    setup.publish(&broker, &mut service);
    let (_, report, errors) = setup.run(&["doctor", "--probe"]);
    assert!(errors.is_empty(), "{errors}");
    assert!(!report.contains("not granted") && !report.contains("not allowed"), "{report}");

    let address = broker.address("PLAINTEXT");
    broker::produce_at(&address, &format!("{}.in", setup.name), &[NewRecord::keyed("c", "no touchpoint")]);
    until("there is a dead letter", || {
        (broker::read_committed_at(&address, &format!("{}.dead", setup.name)).len() == 1).then_some(())
    });
    service.stop();
    let operator = Setup { directory: tempfile::tempdir().unwrap(), name: setup.name.clone() };
    operator.configure(&broker, &broker.address("PLAIN"), &client("dlq"));
    for (arguments, expected) in
        [(&["dlq", "list"][..], "1 dead letter"), (&["dlq", "redrive", "--execute"][..], "1 dead letter redriven")]
    {
        let (code, output, errors) = operator.run(arguments);
        assert!(code == 0 && format!("{output}{errors}").contains(expected), "{arguments:?}: {code}\n{output}{errors}");
    }

    thread::scope(|scope| {
        for (index, (operation, resource)) in of_service.iter().enumerate() {
            let (broker, user, name) = (&broker, &lacking[index], setup.name.clone());
            scope.spawn(move || {
                let other = Setup { directory: tempfile::tempdir().unwrap(), name };
                other.configure(broker, &broker.address("PLAIN"), &client(user));
                let (operation, resource) = (operation.to_uppercase(), &resource[1]);
                // A finding has two lines: the place with what was found, and what to do.
                let names_it = |finding: &[&str]| {
                    finding[0].contains(resource.as_str())
                        && !finding[0].starts_with("passed")
                        && finding.iter().any(|line| line.contains(&operation))
                };
                let mut is_named = false;
                let mut report = String::new();
                // On a busy machine, a broker may not answer a doctor in time: then the doctor is asked again.
                for _ in 0..ATTEMPTS {
                    let (_, output, errors) = other.run(&["doctor", "--probe"]);
                    report = format!("{output}{errors}");
                    is_named = report.lines().collect::<Vec<_>>().windows(2).any(names_it);
                    if is_named || !report.contains("OperationTimedOut") {
                        break;
                    }
                }
                assert!(is_named, "{operation} on {resource} is not named:\n{report}");
            });
        }
    });
}

#[test]
fn the_printed_permissions_of_deliveries_suffice() {
    let broker = SecuredBroker::start(
        &["deliver"],
        &[
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
        ],
    );
    let receiver = Receiver::start(|received| Answer::status(if received.path == "/c0" { 422 } else { 200 }));
    let directory = tempfile::tempdir().unwrap();
    let client = client("deliver").replace("KEYS", &broker.keys().display().to_string());
    let config = format!(
        "kafka: {{bootstrap_servers: '{}', group_prefix: marketing, client: {{{client}}}}}\n\
         topics: [published]\ndead_letters: undelivered\nhttp: {{listen: '127.0.0.1:0'}}\ndestinations:\n  \
         shop: {{webhook: {{url: 'http://{}/${{transition.customer_id}}'}}, allow_private_addresses: true, start: earliest}}\n",
        broker.address("PLAIN"),
        receiver.address
    );
    std::fs::write(directory.path().join("deliver.yaml"), config).unwrap();
    let file = ["--config", "deliver.yaml"];
    let arguments = [&["topics", "--acls", "--role", "deliver"][..], &file].concat();
    let printed = crate::cli::lifecycle(directory.path(), &arguments, b"");
    assert_eq!(printed.code, 0, "{}", printed.errors);
    thread::scope(|scope| {
        for granted in grants(&printed.output) {
            let broker = &broker;
            scope.spawn(move || grant(broker, &granted, &["deliver".to_owned()]));
        }
    });
    let address = broker.address("PLAINTEXT");
    let cluster = Cluster { bootstrap_servers: address.clone(), settings: Vec::new() };
    let topic = TopicSpec { name: "published".to_owned(), partitions: 1, replication: Some(1), configs: Vec::new() };
    create_topics(&cluster, &[topic]).unwrap();
    let records = ["c0", "c1"].map(|customer| NewRecord::keyed(customer, &transition(customer, 1).to_string()));
    broker::produce_at(&address, "published", &records);

    let deliverer = Deliverer::start(&directory.path().join("deliver.yaml"));
    until("one is delivered, and the other one is a dead letter", || {
        let log = std::fs::read_to_string(directory.path().join("deliver.log")).unwrap_or_default();
        assert!(!log.contains("not authorized"), "{log}");
        let is_dead = || broker::read_committed_at(&address, "undelivered").len() == 1;
        (receiver.accepted().len() == 1 && is_dead()).then_some(())
    });
    deliverer.stop();
    let redriven = crate::cli::lifecycle(directory.path(), &[&["deliver", "redrive", "shop"][..], &file].concat(), b"");
    assert_eq!(
        (redriven.code, redriven.output.as_str()),
        (1, "0 delivered, 1 rejected again\n"),
        "{}",
        redriven.errors
    );
}

#[test]
fn the_document_has_the_permissions_of_each_role_for_the_default_names() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("lifecycle.yaml"), "kafka: {bootstrap_servers: 'a:9092'}\n").unwrap();
    let document = include_str!("../../docs/secure.md");
    let deliver = "deliver: {destinations: {shop: {webhook: {url: 'https://a.example/'}}}}\n";
    std::fs::write(directory.path().join("deliver.yaml"), format!("kafka: {{bootstrap_servers: 'a:9092'}}\n{deliver}"))
        .unwrap();
    for (role, file) in [
        ("service", "lifecycle.yaml"),
        ("setup", "lifecycle.yaml"),
        ("doctor", "lifecycle.yaml"),
        ("consumer", "lifecycle.yaml"),
        ("deliver", "deliver.yaml"),
        ("dlq", "lifecycle.yaml"),
    ] {
        let arguments = ["topics", "--acls", "--role", role, "--format", "table", "--config", file];
        let table = crate::cli::lifecycle(directory.path(), &arguments, b"").output;
        assert!(document.contains(&format!("\n\n{table}\n")), "docs/secure.md should contain\n{table}");
    }
}
