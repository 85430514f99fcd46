//! The compose file: rules that Compose checks only when it creates containers, and the commands that the README shows.
#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::broker::{bootstrap, unique, until};
use super::cli::lifecycle;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn compose_file() -> Value {
    serde_saphyr::from_str(include_str!("../../docker-compose.yml")).unwrap()
}

/// Returns the file of a config or secret, with the default of a variable.
fn file_of(definition: &Value) -> Option<String> {
    let file = definition["file"].as_str()?;
    let default = file.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')?.split_once(":-"));
    Some(default.map_or(file, |(_, default)| default).to_owned())
}

#[test]
fn services_with_a_read_only_file_system_mount_files() {
    let compose = compose_file();
    let mut mounted = 0;
    for (name, service) in compose["services"].as_object().unwrap() {
        if service["read_only"] != true {
            continue;
        }
        for kind in ["configs", "secrets"] {
            for used in service[kind].as_array().into_iter().flatten() {
                let source = used["source"].as_str().or(used.as_str()).unwrap();
                let file = file_of(&compose[kind][source])
                    .unwrap_or_else(|| panic!("{name} is read-only, so the {kind} entry {source} must be a `file`"));
                assert!(Path::new(ROOT).join(&file).is_file(), "{file} does not exist");
                mounted += 1;
            }
        }
    }
    assert!(mounted >= 4, "only {mounted} files are mounted");
}

/// A running service; killed when dropped.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_token_of_the_compose_file_opens_the_api_and_the_terminal_view() {
    let token_file = file_of(&compose_file()["configs"]["token"]).unwrap();
    let readme = include_str!("../../README.md");
    let token_file = token_file.trim_start_matches("./");
    for command in [
        format!("-H \"Authorization: Bearer $(cat {token_file})\""),
        format!("lifecycle top --token-file {token_file}"),
    ] {
        assert!(readme.contains(&command), "the README does not show {command}");
    }

    let name = unique("compose");
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifecycle"));
    let variables = |command: &mut Command| {
        command.env_clear().env("LIFECYCLE_KAFKA_BOOTSTRAP_SERVERS", bootstrap());
        for topic in ["TOUCHPOINTS", "TRANSITIONS", "REPLAY", "CHANGELOG", "DEAD_LETTERS"] {
            command.env(format!("LIFECYCLE_TOPICS_{topic}"), format!("{name}.{}", topic.to_lowercase()));
        }
        command.env("LIFECYCLE_KAFKA_GROUP_ID", &name).env("LIFECYCLE_HTTP_LISTEN", &address);
        command.env("LIFECYCLE_HTTP_TOKEN_FILE", Path::new(ROOT).join(token_file));
        command.current_dir(ROOT).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    };
    let mut create = Command::new(env!("CARGO_BIN_EXE_lifecycle"));
    variables(&mut create);
    create.args(["topics", "--create", "--partitions", "1", "--config", "deploy/lifecycle.yaml"]);
    assert!(create.status().unwrap().success());
    variables(&mut command);
    let _service = Service(command.args(["run", "--config", "deploy/lifecycle.yaml"]).spawn().unwrap());

    let get = |token: &str| {
        let mut stream = TcpStream::connect(&address).ok()?;
        let request = format!(
            "GET /v1/models HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        // It starts with 503.
        (!response.starts_with("HTTP/1.1 503")).then_some(response)
    };
    let token = fs::read_to_string(Path::new(ROOT).join(token_file)).unwrap();
    let response = until("the service responds", || get(token.trim()));
    assert!(response.starts_with("HTTP/1.1 200") && response.contains("retention"), "{response}");
    assert!(get("another-token-than-that").unwrap().starts_with("HTTP/1.1 401"));
    let url = format!("http://{address}");
    let top = ["top", "--lines", "--seconds", "1", "--token-file", token_file, "--url", &url];
    let run = lifecycle(Path::new(ROOT), &top, b"");
    assert_eq!((run.code, run.errors.as_str()), (0, ""), "{}", run.output);
}
