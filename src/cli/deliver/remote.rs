//! `lifecycle deliver pause` and `resume`: ask a running process.

use std::path::PathBuf;

use clap::Args;

use crate::cli::{Exit, print, print_error};
use crate::config::read_token;
use crate::http_client::{HttpClient, Options, Request};

/// Stop sending to a destination of a running process; it keeps its position
///
/// Lasts until `resume` or the end of the process. To keep a destination paused, set `paused: true` in the
/// configuration.
#[derive(Args, Debug)]
pub(super) struct PauseArguments {
    #[command(flatten)]
    target: Target,
}

/// Send to a destination again, also after it was disabled by status 410
#[derive(Args, Debug)]
pub(super) struct ResumeArguments {
    #[command(flatten)]
    target: Target,
}

#[derive(Args, Debug)]
struct Target {
    /// Name of the destination
    destination: String,
    /// Address of the running process
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081")]
    url: String,
    /// File with the token of `http.token_file`
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

pub(super) fn pause(arguments: &PauseArguments) -> Exit {
    ask(&arguments.target, "pause")
}

pub(super) fn resume(arguments: &ResumeArguments) -> Exit {
    ask(&arguments.target, "resume")
}

fn ask(target: &Target, action: &str) -> Exit {
    match send(target, action) {
        Ok(()) => print(&format!("{}: {action} requested\n", target.destination)),
        Err((exit, problem)) => {
            print_error(format_args!("lifecycle deliver {action}: {problem}"));
            exit
        }
    }
}

fn send(target: &Target, action: &str) -> Result<(), (Exit, String)> {
    let mut headers = Vec::new();
    if let Some(file) = &target.token_file {
        let token = read_token(file).map_err(|problem| (Exit::Usage, problem))?;
        headers.push(("authorization".to_owned(), format!("Bearer {token}")));
    }
    let is_name = |it: char| it.is_ascii_alphanumeric() || it == '-';
    if !target.destination.chars().all(is_name) {
        return Err((Exit::Usage, "the name of a destination has only letters, digits and -".to_owned()));
    }
    let client = HttpClient::new(&Options { is_private_allowed: true, ..Options::default() })
        .map_err(|error| (Exit::Usage, error.to_string()))?;
    let url = format!("{}/v1/deliveries/{}/{action}", target.url.trim_end_matches('/'), target.destination);
    let request = Request { method: "POST", url: &url, headers: &headers, body: Some(b"") };
    let response = client.send(&request).map_err(|error| (Exit::Refused, error.to_string()))?;
    match response.status {
        200..=299 => Ok(()),
        404 => Err((Exit::Problems, format!("the process has no destination `{}`", target.destination))),
        401 | 403 => Err((Exit::Usage, "the process requires its token: --token-file FILE".to_owned())),
        status => Err((Exit::Refused, format!("the process answered with status {status}"))),
    }
}
