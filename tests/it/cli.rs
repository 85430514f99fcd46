//! Runs the binary as a user does: exit codes, help texts, error messages.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Result of a run of the binary.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// Runs the binary in `directory` with `input` on standard input.
pub(crate) fn lifecycle(directory: &Path, arguments: &[&str], input: &[u8]) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let input = input.to_owned();
    // The binary may reject its arguments and exit before it reads the input.
    let writer = std::thread::spawn(move || stdin.write_all(&input).is_ok());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the program ends");
    writer.join().expect("input is written");
    Run {
        code: status.code().expect("the program is not killed"),
        output: String::from_utf8(stdout).expect("output is text"),
        errors: String::from_utf8(stderr).expect("errors are text"),
    }
}

fn run(arguments: &[&str]) -> Run {
    lifecycle(Path::new("."), arguments, b"")
}

#[test]
fn without_a_command_help_is_printed_and_the_exit_code_is_2() {
    let run = run(&[]);
    assert_eq!(run.code, 2);
    assert!(run.errors.contains("Usage: lifecycle <COMMAND>"), "{}", run.errors);
}

#[test]
fn help_lists_the_exit_codes_and_the_version_is_that_of_the_package() {
    let help = run(&["--help"]);
    assert_eq!(help.code, 0);
    for code in [
        "0  success",
        "1  completed, but problems",
        "2  the command line",
        "3  Kafka, a topic",
        "4  run: stopped",
        "5  run: missed",
    ] {
        assert!(help.output.contains(code), "{code} is missing in {}", help.output);
    }
    let version = run(&["--version"]);
    assert_eq!(version.output, format!("lifecycle {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_command_has_help_with_examples() {
    let help = run(&["--help"]).output;
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.contains(&"replay") && commands.contains(&"config"), "{commands:?}");
    for command in commands {
        let help = run(&[command, "--help"]);
        assert_eq!(help.code, 0, "{command}");
        assert!(
            help.output.contains("Examples:") && help.output.contains(&format!("lifecycle {command}")),
            "{command}"
        );
    }
}

#[test]
fn an_invalid_configuration_exits_with_2() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("lifecycle.yaml"), "workres: 2\n").unwrap();
    let run = lifecycle(directory.path(), &["config", "check", "--config", "lifecycle.yaml"], b"");
    assert_eq!(run.code, 2);
    assert!(
        run.errors.contains("lifecycle.yaml:1:10: unknown key `workres`: did you mean `workers`?"),
        "{}",
        run.errors
    );
    let run = lifecycle(directory.path(), &["config", "check", "--config", "nowhere.yaml"], b"");
    assert_eq!(run.code, 2);
    assert!(run.errors.contains("nowhere.yaml: cannot be read"), "{}", run.errors);
}

#[test]
fn the_demo_shows_transitions_and_shuts_down_gracefully() {
    let run = run(&["demo", "--seconds", "6", "--seed", "7"]);
    assert_eq!(run.code, 0, "{}", run.errors);
    for shown in ["became_interested", " touchpoints/s", "became_aware  "] {
        assert!(run.output.contains(shown), "{shown} is missing in {}", run.output);
    }
    assert!(run.errors.contains("Ctrl-C ends the demo"), "{}", run.errors);
}

#[test]
fn a_number_out_of_range_is_rejected_with_its_limits() {
    for (arguments, expected) in [
        (&["demo", "--seconds", "-1"][..], "'-1' for '--seconds <N>': write a whole number from 1 to 86400"),
        (
            &["demo", "--days-per-second", "101"],
            "'101' for '--days-per-second <N>': write a whole number from 1 to 100",
        ),
        (&["top", "--seconds", "0"], "'0' for '--seconds <N>': write a whole number from 1 to 86400"),
        (
            &["topics", "--verify", "--partitions", "-2"],
            "'-2' for '--partitions <N>': write a whole number from 1 to 100000",
        ),
        (&["topics", "--verify", "--replication", "many"], "write a whole number from 1 to 100"),
    ] {
        let run = run(arguments);
        assert_eq!(run.code, 2, "{arguments:?}");
        assert!(run.errors.contains(expected), "{arguments:?}: {}", run.errors);
    }
}

#[test]
fn the_help_of_the_demo_states_the_limits_of_its_broker() {
    let help = run(&["demo", "--help"]).output;
    assert!(help.contains("is for consuming only"), "{help}");
}

#[test]
fn without_a_configuration_file_the_error_says_how_to_provide_one() {
    for command in [&["config", "show"][..], &["config", "check"], &["doctor"], &["run"], &["topics", "--verify"]] {
        let run = run(command);
        assert_eq!((run.code, run.output.as_str()), (2, ""), "{command:?}");
        let expected = "`kafka.bootstrap_servers` is missing: there is no configuration file and LIFECYCLE_KAFKA_BOOTSTRAP_SERVERS is not \
                    set; name a file with --config FILE or LIFECYCLE_CONFIG, or set the variable";
        assert_eq!(run.errors.trim_end(), expected, "{command:?}");
    }
}

/// Returns an address on which no process listens.
fn unused_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("the loopback interface exists");
    listener.local_addr().expect("it is bound").to_string()
}

#[test]
fn invalid_models_are_reported_by_every_command_that_reads_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let configuration =
        format!("kafka: {{bootstrap_servers: '{}', instance_id: a}}\nmodels: [./mine.yaml]\n", unused_address());
    std::fs::write(directory.path().join("lifecycle.yaml"), configuration).unwrap();
    std::fs::write(directory.path().join("mine.yaml"), "model: mine\nversion: 1\nstagez: []\n").unwrap();
    for command in [&["config", "show"][..], &["config", "check"], &["doctor"], &["run"]] {
        let run = lifecycle(directory.path(), &[command, &["--config", "lifecycle.yaml"]].concat(), b"");
        assert_eq!(run.code, 2, "{command:?}: {}", run.errors);
        assert!(run.errors.contains("stagez") && run.errors.contains("mine.yaml:3:1"), "{command:?}: {}", run.errors);
        assert_eq!(run.output.contains("./mine.yaml"), command == ["config", "show"], "{command:?}: {}", run.output);
    }
}

#[test]
fn an_http_address_in_use_is_reported_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let configuration = format!(
        "kafka: {{bootstrap_servers: '{}', instance_id: a}}\nhttp: {{listen: '{address}'}}\n",
        unused_address()
    );
    std::fs::write(directory.path().join("lifecycle.yaml"), configuration).unwrap();
    let run = lifecycle(directory.path(), &["run", "--config", "lifecycle.yaml"], b"");
    assert_eq!(run.code, 3, "{}", run.errors);
    let expected = "set http.listen (or LIFECYCLE_HTTP_LISTEN) to another port, or stop the program that listens on it";
    assert!(run.errors.contains(&address.to_string()) && run.errors.contains(expected), "{}", run.errors);
}

#[test]
fn an_unreachable_broker_is_reported_first_with_cause_and_advice() {
    let directory = tempfile::tempdir().unwrap();
    let broker = unused_address();
    let configuration = format!("kafka: {{bootstrap_servers: '{broker}', instance_id: a}}\n");
    std::fs::write(directory.path().join("lifecycle.yaml"), configuration).unwrap();
    let (expected, advice) =
        (format!("{broker} does not answer: connection refused"), "check that Kafka is running there");
    let fails = |arguments: &[&str]| {
        let run = lifecycle(directory.path(), arguments, b"");
        assert_eq!(run.code, 3, "{arguments:?}: {}", run.errors);
        let begin = format!("lifecycle {}: {expected}", arguments[0]);
        let is_expected = |line: &str| line.starts_with(&begin) && line.contains(&format!("; {advice}"));
        assert!(run.errors.lines().any(is_expected), "{arguments:?}: {}", run.errors);
        run.output
    };
    let run = lifecycle(directory.path(), &["topics", "--config", "lifecycle.yaml"], b"");
    assert!(
        run.code == 2 && run.errors.contains("--create creates") && run.errors.contains("--verify verifies"),
        "{}",
        run.errors
    );
    // Each command waits for the broker until its own timeout, so they run at the same time.
    let others = [
        vec!["topics", "--verify", "--config", "lifecycle.yaml"],
        vec!["generate", "--bootstrap-servers", &broker],
        vec!["doctor", "--config", "lifecycle.yaml"],
    ];
    let report = std::thread::scope(|scope| {
        for arguments in &others {
            let fails = &fails;
            scope.spawn(move || assert_eq!(fails(arguments), "", "{arguments:?}"));
        }
        fails(&["doctor", "--config", "lifecycle.yaml", "--format", "json"])
    });
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let checks = report["checks"].as_array().unwrap();
    assert_eq!((checks.len(), &report["counts"]["problem"]), (1, &1.into()));
    assert_eq!((&checks[0]["verdict"], &checks[0]["about"]), (&"problem".into(), &"brokers".into()));
    let text = |field: &str| checks[0][field].as_str().unwrap();
    assert!(text("place") == broker && text("what").starts_with(&expected), "{report}");
    assert!(text("to_do").starts_with(advice), "{report}");
}

/// Uses `/dev/full`, which exists only on Linux.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported_and_exits_with_2() {
    for arguments in [
        &["eval", "1 + 1"][..],
        &["schema", "models"],
        &["check", "retention"],
        &["graph", "retention"],
        &["config", "reference"],
        &["replay", "examples/touchpoints.ndjson"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let run = Command::new(env!("CARGO_BIN_EXE_lifecycle")).args(arguments).stdout(full).output().unwrap();
        let errors = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains("standard output") && errors.contains("cannot be written"), "{arguments:?}: {errors}");
    }
}

#[cfg(unix)]
#[test]
fn an_endless_model_file_is_rejected() {
    for arguments in [&["check", "/dev/zero"][..], &["check", "--catalogue", "/dev/zero", "retention"]] {
        let run = run(arguments);
        assert_eq!(run.code, 2);
        assert!(run.errors.contains("/dev/zero: cannot be read: larger than 256 KiB"), "{}", run.errors);
    }
}

#[test]
fn config_check_finds_every_problem_that_prevents_the_service_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let configuration = "kafka: {bootstrap_servers: 'localhost:9092', instance_id: a, client: {no.such.setting: 1}}\n\
                         http: {listen: '0.0.0.0:80', token_file: nowhere}\nlog: {level: inof}\nmodels: [retentoin]\n";
    std::fs::write(directory.path().join("lifecycle.yaml"), configuration).unwrap();
    let run = lifecycle(directory.path(), &["config", "check", "--config", "lifecycle.yaml"], b"");
    assert_eq!(run.code, 2);
    for problem in [
        "log.level: `inof` is not a level",
        "No such configuration property: \"no.such.setting\"",
        "http.token_file: nowhere cannot be read",
        "no shipped model is called `retentoin`",
    ] {
        assert!(run.errors.contains(problem), "{problem} is missing in {}", run.errors);
    }
    let started = lifecycle(directory.path(), &["run", "--config", "lifecycle.yaml"], b"");
    assert_eq!(started.code, 2, "{}", started.errors);
}

/// Environment variables need not be UTF-8.
#[cfg(unix)]
#[test]
fn a_non_utf8_variable_is_rejected() {
    use std::os::unix::ffi::OsStrExt;
    let run = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
        .args(["config", "check"])
        .env_clear()
        .env("LIFECYCLE_KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")
        .env("LIFECYCLE_WORKERS", std::ffi::OsStr::from_bytes(b"\xff"))
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(2));
    let errors = String::from_utf8(run.stderr).unwrap();
    assert!(errors.contains("LIFECYCLE_WORKERS: `workers`: write a whole number"), "{errors}");
}

#[test]
fn yaml_errors_have_a_position_and_no_internal_names() {
    let directory = tempfile::tempdir().unwrap();
    for (text, expected) in
        [("a: 1\na: 2\n", ":2:1: duplicate mapping key: a\n"), ("a: 1\n---\na: 1\n", ":3:1: multiple")]
    {
        std::fs::write(directory.path().join("lifecycle.yaml"), text).unwrap();
        let run = lifecycle(directory.path(), &["config", "check", "--config", "lifecycle.yaml"], b"");
        assert!(run.errors.contains(expected) && !run.errors.contains("from_str"), "{}", run.errors);
    }
}

#[test]
fn results_reach_a_pipe_unchanged() {
    let run = run(&["eval", "'a\\x7fb\\u009bc'"]);
    assert_eq!((run.code, run.output.as_str()), (0, "\"a\u{7f}b\u{9b}c\"\n"), "{}", run.errors);
}
