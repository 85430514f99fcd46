//! The program as a user runs it: exit codes, help, and output for scripts.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a run of the program left behind.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// Runs the program in `directory` with `input` on standard input.
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
    // The program may refuse its arguments and be gone before it has read anything.
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
fn without_a_command_help_is_printed_and_the_command_line_is_refused() {
    let run = run(&[]);
    assert_eq!(run.code, 2);
    assert!(run.errors.contains("Usage: lifecycle <COMMAND>"), "{}", run.errors);
}

#[test]
fn help_names_the_exit_codes_and_the_version_is_that_of_the_package() {
    let help = run(&["--help"]);
    assert_eq!(help.code, 0);
    for code in [
        "0  done",
        "1  done, and problems",
        "2  the command line",
        "3  run, topics, doctor, generate, top: the cluster",
        "4  run: stopped",
        "5  run: did not",
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
fn a_configuration_that_cannot_be_used_ends_with_2() {
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
fn the_demo_shows_transitions_and_ends_in_order() {
    let run = run(&["demo", "--seconds", "6", "--seed", "7"]);
    assert_eq!(run.code, 0, "{}", run.errors);
    for shown in ["became_interested", " touchpoints/s", "became_aware  "] {
        assert!(run.output.contains(shown), "{shown} is missing in {}", run.output);
    }
    assert!(run.errors.contains("Ctrl-C ends the demo"), "{}", run.errors);
}

/// Where the device that is always full exists.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_ends_with_2() {
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
fn a_model_that_never_ends_is_refused() {
    for arguments in [&["check", "/dev/zero"][..], &["check", "--catalogue", "/dev/zero", "retention"]] {
        let run = run(arguments);
        assert_eq!(run.code, 2);
        assert!(run.errors.contains("/dev/zero: cannot be read: larger than 256 KiB"), "{}", run.errors);
    }
}

#[test]
fn a_configuration_is_checked_for_all_that_would_keep_the_service_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let configuration = "kafka: {bootstrap_servers: 'localhost:9092', instance_id: a, client: {no.such.setting: 1}}\n\
                         http: {listen: '0.0.0.0:80', token_file: nowhere}\nlog: {level: inof}\nmodels: [retentoin]\n";
    std::fs::write(directory.path().join("lifecycle.yaml"), configuration).unwrap();
    let run = lifecycle(directory.path(), &["config", "check", "--config", "lifecycle.yaml"], b"");
    assert_eq!(run.code, 2);
    for problem in [
        "log.level: `inof` is no level",
        "No such configuration property: \"no.such.setting\"",
        "http.token_file: nowhere cannot be read",
        "no shipped model is called `retentoin`",
    ] {
        assert!(run.errors.contains(problem), "{problem} is missing in {}", run.errors);
    }
    let started = lifecycle(directory.path(), &["run", "--config", "lifecycle.yaml"], b"");
    assert_eq!(started.code, 2, "{}", started.errors);
}

/// What the shell hands over need not be text.
#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_refused() {
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
fn what_is_no_yaml_is_told_without_the_words_of_programmers() {
    let directory = tempfile::tempdir().unwrap();
    for (text, told) in [("a: 1\na: 2\n", ":2:1: duplicate mapping key: a\n"), ("a: 1\n---\na: 1\n", ":3:1: multiple")]
    {
        std::fs::write(directory.path().join("lifecycle.yaml"), text).unwrap();
        let run = lifecycle(directory.path(), &["config", "check", "--config", "lifecycle.yaml"], b"");
        assert!(run.errors.contains(told) && !run.errors.contains("from_str"), "{}", run.errors);
    }
}
