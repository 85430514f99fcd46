//! `lifecycle deliver pause` and `resume`: ask a running process.

use std::path::PathBuf;

use clap::Args;

use crate::cli::running_process::{read_token, url_of};
use crate::cli::{Exit, print, print_error};
use crate::config::deliver::DeliverConfig;
use crate::http_client::{HttpClient, Options, Request, TlsFiles};
use crate::lifecycle::suggest::suggestion;

/// The address of `lifecycle deliver` unless its configuration has another.
const DEFAULT_URL: &str = "http://127.0.0.1:8081";

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
    /// Address of the running process (default: `http.listen` of --config, otherwise `http://127.0.0.1:8081`)
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// File with the token of the running process (default: `http.token_file` of --config)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File with the authorities of an https server, in PEM format (default: `http.tls_ca_file` of --config, otherwise
    /// those of the system)
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Configuration file of the running process: use its address, token and authorities
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
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
    let usage = |problem: String| (Exit::Usage, problem);
    let Target { destination, .. } = target;
    let config = match &target.config {
        Some(path) => Some(DeliverConfig::load(path).map_err(|error| usage(error.to_string()))?),
        None => None,
    };
    if let Some(config) = &config {
        let mut names = config.destinations.iter().map(|it| it.destination.name.as_str());
        if !names.clone().any(|name| name == destination) {
            let hint = suggestion(destination, names.clone());
            let hint = if hint.is_empty() {
                format!(": it has {}", names.by_ref().collect::<Vec<_>>().join(", "))
            } else {
                hint
            };
            return Err(usage(format!("the configuration has no destination `{destination}`{hint}")));
        }
    }
    let is_name = |it: char| it.is_ascii_alphanumeric() || it == '-';
    if !destination.chars().all(is_name) {
        return Err(usage("the name of a destination has only letters, digits and -".to_owned()));
    }
    let url = match (&target.url, &config) {
        (Some(url), _) => url.clone(),
        (None, Some(config)) => url_of(config.listen, config.tls.is_some()).map_err(usage)?,
        (None, None) => DEFAULT_URL.to_owned(),
    };
    let in_config = config.as_ref().and_then(|config| config.token_file.as_deref());
    let mut headers = Vec::new();
    if let Some(file) = target.token_file.as_deref().or(in_config) {
        let token = read_token(file).map_err(usage)?;
        headers.push(("authorization".to_owned(), format!("Bearer {token}")));
    }
    let in_config = config.as_ref().and_then(|config| config.authorities.clone());
    let ca = target.ca_file.clone().or(in_config.filter(|_| url.starts_with("https://")));
    let tls = TlsFiles { ca, ..TlsFiles::default() };
    let client = HttpClient::new(&Options { is_private_allowed: true, tls, ..Options::default() })
        .map_err(|error| usage(error.to_string()))?;
    let url = format!("{}/v1/deliveries/{destination}/{action}", url.trim_end_matches('/'));
    let request = Request { method: "POST", url: &url, headers: &headers, body: Some(b"") };
    let response = client.send(&request).map_err(|error| (Exit::Refused, error.to_string()))?;
    match response.status {
        200..=299 => Ok(()),
        404 => Err((Exit::Problems, format!("the process has no destination `{destination}`"))),
        401 | 403 => Err(usage(
            "the process requires a token with the role customers: --token-file FILE, or --config FILE with http.token_file"
                .to_owned(),
        )),
        status => Err((Exit::Refused, format!("the process answered with status {status}"))),
    }
}
