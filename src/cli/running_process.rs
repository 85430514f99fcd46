//! The address and the token of a running process that a command asks over HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::config::read_secret;

/// Returns the URL at which this machine reaches a server with `http.listen` set to `listen`.
pub(super) fn url_of(listen: SocketAddr, has_tls: bool) -> Result<String, String> {
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
    let scheme = if has_tls { "https" } else { "http" };
    Ok(format!("{scheme}://{}", SocketAddr::new(ip, listen.port())))
}

/// Reads a token from a file: its only token, or the first one with the role `customers`.
pub(super) fn read_token(path: &Path) -> Result<String, String> {
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
    fn the_url_of_a_listener_is_reachable_from_this_machine() {
        for (listen, expected) in [
            ("127.0.0.1:8080", Ok("http://127.0.0.1:8080")),
            ("0.0.0.0:9000", Ok("http://127.0.0.1:9000")),
            ("[::]:9000", Ok("http://[::1]:9000")),
            ("10.0.0.5:80", Ok("http://10.0.0.5:80")),
            ("127.0.0.1:0", Err(())),
        ] {
            let listen = listen.parse().expect("an address");
            assert_eq!(url_of(listen, false).map_err(|_| ()), expected.map(str::to_owned), "{listen}");
        }
        let listen = "0.0.0.0:9000".parse().expect("an address");
        assert_eq!(url_of(listen, true).as_deref(), Ok("https://127.0.0.1:9000"));
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
