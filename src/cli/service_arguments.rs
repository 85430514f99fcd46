//! The running service that a command reads over HTTP: its address and its token.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::{Config, read_secret};
use crate::live::client::Client;

use super::Exit;

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
            (None, Some(config)) => url_of(config).map_err(usage)?,
            (None, None) => DEFAULT_URL.to_owned(),
        };
        let in_config = config.as_ref().and_then(|config| config.http.token_file.as_deref());
        let token = self.token_file.as_deref().or(in_config).map(read_token).transpose().map_err(usage)?;
        let in_config = config.as_ref().and_then(|config| config.http.tls_ca_file.as_deref());
        let ca = self.ca_file.as_deref().or(in_config.filter(|_| url.starts_with("https://")));
        Client::new(&url, token.as_deref(), ca).map_err(usage)
    }
}

/// Returns the URL at which this machine reaches a service with the configuration `config`.
fn url_of(config: &Config) -> Result<String, String> {
    let listen = config.http.listen;
    if listen.port() == 0 {
        return Err(
            "http.listen has the port 0, so the service chooses one: set --url to the address in its log".to_owned()
        );
    }
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = if config.http.tls_certificate_file.is_some() { "https" } else { "http" };
    Ok(format!("{scheme}://{}", SocketAddr::new(ip, listen.port())))
}

/// Reads a token from a file: its only token, or the first one with the role `customers`.
fn read_token(path: &Path) -> Result<String, String> {
    let text = read_secret(path)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let token = words.find_map(|words| match words[..] {
        [token] | [_, "customers", token] => Some(token.to_owned()),
        _ => None,
    });
    token.ok_or_else(|| {
        format!("{} has no usable token: write one token, or a line `name customers token`", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_url_of_a_configuration_is_reachable_from_this_machine() {
        for (listen, expected) in [
            ("127.0.0.1:8080", Ok("http://127.0.0.1:8080")),
            ("0.0.0.0:9000", Ok("http://127.0.0.1:9000")),
            ("[::]:9000", Ok("http://[::1]:9000")),
            ("10.0.0.5:80", Ok("http://10.0.0.5:80")),
            ("127.0.0.1:0", Err(())),
        ] {
            let text = format!(
                "kafka: {{bootstrap_servers: a, instance_id: a}}\nhttp: {{listen: '{listen}', token_file: token}}\n"
            );
            let config = Config::parse(&text, Path::new("lifecycle.yaml"), []).expect("a configuration");
            assert_eq!(url_of(&config).map_err(|_| ()), expected.map(str::to_owned), "{listen}");
        }
    }

    #[test]
    fn the_token_is_the_only_one_or_the_first_of_the_role_customers() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        for (text, expected) in [
            ("a-token-of-its-own\n", Some("a-token-of-its-own")),
            ("# for the dashboard\ngrafana aggregates t1\ncrm customers t2\nshop customers t3\n", Some("t2")),
            ("grafana aggregates t1\n", None),
            ("\n", None),
        ] {
            fs::write(&path, text).expect("the file is written");
            assert_eq!(read_token(&path).ok().as_deref(), expected, "{text}");
        }
    }
}
