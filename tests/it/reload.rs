//! Files that change while the service runs: the password for Kafka, the tokens of the HTTP server, the log level.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::kafka_security::secured_broker::SecuredBroker;
use crate::kafka_security::{Service, Setup};

/// Maximum time until a changed file takes effect.
const EFFECT_MAX: Duration = Duration::from_mins(1);

/// Waits until the log contains `message` more than `before` times, and returns how often it does.
fn wait_for(service: &Service, message: &str, before: usize) -> usize {
    let deadline = Instant::now() + EFFECT_MAX;
    loop {
        let count = service.log().matches(message).count();
        if count > before {
            return count;
        }
        assert!(Instant::now() < deadline, "{message:?} is not logged: {}", service.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_changed_password_takes_effect_without_a_restart_and_a_wrong_one_changes_nothing() {
    let broker = SecuredBroker::start(&[], &[]);
    broker.set_scram_password("SCRAM-SHA-512", "first-password");
    let client = "security.protocol: sasl_ssl, ssl.ca.location: KEYS/ca.pem, sasl.mechanism: SCRAM-SHA-512, \
                  sasl.username: svc, sasl.password: 'file:password'";
    let setup = Setup::new(&broker, &broker.address("SCRAM"), client);
    let write = |name: &str, text: &str| fs::write(setup.directory.path().join(name), text).unwrap();
    write("password", "first-password\n");
    let (code, output, errors) = setup.run(&["topics", "--create", "--partitions", "1"]);
    assert_eq!(code, 0, "{output}{errors}");
    let mut service = setup.start();
    setup.publish(&broker, &mut service);

    write("password", "a wrong password\n");
    wait_for(&service, "changed kafka credentials do not work", 0);
    setup.publish(&broker, &mut service);
    assert!(!service.log().contains("workers connect again"), "{}", service.log());
    write("password", "first-password\n");

    // Another listener with other settings: the address needs a restart, and the settings alone do not fit the old one.
    setup.configure(&broker, &broker.address("TLS"), "security.protocol: ssl, ssl.ca.location: KEYS/ca.pem");
    wait_for(&service, "kafka.bootstrap_servers has changed too: restart the service", 0);
    setup.publish(&broker, &mut service);
    assert!(!service.log().contains("workers connect again"), "{}", service.log());
    setup.configure(&broker, &broker.address("SCRAM"), client);

    broker.set_scram_password("SCRAM-SHA-512", "second-password");
    write("password", "second-password\n");
    wait_for(&service, "kafka credentials have changed, workers connect again", 0);
    wait_for(&service, "member rejoins the group", 0);
    // The new clients of the worker cannot use the first password, which the broker no longer accepts.
    wait_for(&service, "partition restored", 1);
    setup.publish(&broker, &mut service);

    // A request for a customer is logged, without the customer.
    let log = service.log();
    let http: SocketAddr = log.split("http=").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let ask = |path: &str| {
        let mut stream = TcpStream::connect(http).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    };
    let logged = || service.log().matches("customer data requested reader=\"local\" client=\"127.0.0.1\"").count();
    let logged_requests = || {
        ask("/v1/customers/anna");
        logged()
    };
    assert_eq!(logged_requests(), 1, "{}", service.log());
    assert!(!service.log().contains("anna"), "{}", service.log());

    // A viewer asks for new transitions again and again. Only answers with transitions are logged.
    let page = ask("/v1/transitions?limit=1");
    let next: String = page.split("\"next\":").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    assert_eq!(logged(), 2, "{page}");
    let page = ask(&format!("/v1/transitions?after={next}"));
    assert!(page.contains("\"transitions\":[]"), "{page}");
    assert_eq!(logged(), 2, "{}", service.log());

    // The log level is the only key of the configuration that takes effect.
    let configuration = setup.directory.path().join("lifecycle.yaml");
    let text = fs::read_to_string(&configuration).unwrap();
    fs::write(&configuration, format!("{text}log: {{level: warn}}\n")).unwrap();
    let deadline = Instant::now() + EFFECT_MAX;
    let mut count = logged();
    loop {
        let next = logged_requests();
        if next == count {
            break;
        }
        count = next;
        assert!(Instant::now() < deadline, "the log level does not change: {}", service.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    service.stop();
}
