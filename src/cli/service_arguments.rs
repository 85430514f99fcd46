//! The running service that a command reads over HTTP: its address and its token.

use std::path::PathBuf;

use clap::Args;

use crate::config::Config;
use crate::live::client::Client;

use super::Exit;
use super::running_process::{read_token, url_of};

const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// Where a running service is, for all commands that read its API.
#[derive(Args, Debug)]
pub(super) struct ServiceArguments {
    /// Base URL of the service (default: `http.listen` of --config, otherwise `http://127.0.0.1:8080`)
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// File with the bearer token of the service, if it requires one (default: `http.token_file` of --config)
    #[arg(long, value_name = "FILE", env = "LIFECYCLE_HTTP_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// File with the authorities of an https server, in PEM format (default: `http.tls_ca_file` of --config, otherwise
    /// those of the system)
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Configuration file of the service: use its address, token and authorities
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ServiceArguments {
    /// Returns a client of the service. Makes no request.
    ///
    /// # Errors
    /// The exit code and the problem.
    pub(super) fn client(&self) -> Result<Client, (Exit, String)> {
        let usage = |problem: String| (Exit::Usage, problem);
        let config = match &self.config {
            Some(path) => Some(Config::load(Some(path)).map_err(|error| usage(error.to_string()))?),
            None => None,
        };
        let url = match (&self.url, &config) {
            (Some(url), _) => url.clone(),
            (None, Some(config)) => {
                url_of(config.http.listen, config.http.tls_certificate_file.is_some()).map_err(usage)?
            }
            (None, None) => DEFAULT_URL.to_owned(),
        };
        let in_config = config.as_ref().and_then(|config| config.http.token_file.as_deref());
        let token = self.token_file.as_deref().or(in_config).map(read_token).transpose().map_err(usage)?;
        let in_config = config.as_ref().and_then(|config| config.http.tls_ca_file.as_deref());
        let ca = self.ca_file.as_deref().or(in_config.filter(|_| url.starts_with("https://")));
        Client::new(&url, token.as_deref(), ca).map_err(usage)
    }
}
