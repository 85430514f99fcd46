//! Recognizes the environment variables that Kubernetes sets in every pod for each Service of the namespace.
//!
//! For a Service called `lifecycle` or `lifecycle-...` they begin with our prefix, but they are not configuration keys.

use super::key::{Key, VARIABLE_PREFIX};
use super::keys::KEYS;

/// Returns whether Kubernetes sets the variable `name` for a Service: `LIFECYCLE_SERVICE_HOST`,
/// `LIFECYCLE_SERVICE_PORT`, `LIFECYCLE_SERVICE_PORT_HTTP`, `LIFECYCLE_PORT`, `LIFECYCLE_PORT_8080_TCP` and
/// `LIFECYCLE_PORT_8080_TCP_ADDR`, or the same with the rest of a longer Service name, such as
/// `LIFECYCLE_HTTP_SERVICE_HOST`.
pub(super) fn is_service_variable(name: &str, value: &str) -> bool {
    let Some(rest) = name.strip_prefix(VARIABLE_PREFIX) else { return false };
    if KEYS.iter().map(Key::variable).any(|variable| variable == name) {
        return false;
    }
    // A Service `lifecycle-x` has the same variables as `lifecycle`, with `X_` after our prefix.
    let starts = rest.match_indices('_').map(|(at, _)| at + 1);
    [0].into_iter().chain(starts).any(|start| is_suffix_of_service(&rest[start..], value))
}

fn is_suffix_of_service(suffix: &str, value: &str) -> bool {
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    let is_address = |text: &str| {
        ["tcp://", "udp://", "sctp://"].iter().any(|protocol| {
            text.strip_prefix(protocol).and_then(|rest| rest.rsplit_once(':')).is_some_and(|(_, port)| is_number(port))
        })
    };
    if suffix == "SERVICE_HOST" {
        return true;
    }
    if suffix == "SERVICE_PORT" || suffix.starts_with("SERVICE_PORT_") {
        return is_number(value);
    }
    if suffix == "PORT" {
        return is_address(value);
    }
    let parts: Vec<&str> = suffix.split('_').collect();
    match parts[..] {
        ["PORT", port, protocol, ref attribute @ ..] => {
            is_number(port)
                && ["TCP", "UDP", "SCTP"].contains(&protocol)
                && match *attribute {
                    [] => is_address(value),
                    [attribute] => ["PROTO", "PORT", "ADDR"].contains(&attribute),
                    _ => false,
                }
        }
        _ => false,
    }
}
