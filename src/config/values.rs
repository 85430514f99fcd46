//! Parses configuration values. Each parser says what it expects if a value is invalid.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::api::is_address;
use crate::lifecycle::money::Currency;
use crate::wire::time::parse_duration;

/// Parses a duration that is not negative: `100ms`, `1h30m`, `7d`.
///
/// # Errors
/// What to write instead.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let length = parse_duration(text.trim()).ok().and_then(|length| u64::try_from(length.as_millis()).ok());
    length.map(Duration::from_millis).ok_or_else(|| "write a duration, such as 100ms, 30s, 15m, 24h or 7d".to_owned())
}

/// Parses a size in bytes: `65536`, `64KiB`, `1MiB`, `8GiB`, or decimal `1MB`.
///
/// # Errors
/// What to write instead.
fn bytes(text: &str) -> Result<usize, String> {
    const EXPECTED: &str = "write a size, such as 512KiB, 1MiB or 8GiB";
    let (number, unit, rest) = number_and_unit(text.trim()).ok_or(EXPECTED)?;
    let factor = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(EXPECTED.to_owned()),
    };
    number
        .checked_mul(factor)
        .filter(|_| rest.is_empty())
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| EXPECTED.to_owned())
}

/// Parses an integer from `min` to `max`.
///
/// # Errors
/// What to write instead.
pub fn whole_number(text: &str, min: usize, max: usize) -> Result<usize, String> {
    let number = text.trim().parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("write a whole number from {min} to {max}"))
}

/// Parses a text that is not empty, without surrounding space.
pub(super) fn text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("write a value, or remove the key".to_owned()) } else { Ok(text.trim().to_owned()) }
}

/// The security protocols that may precede a broker address.
const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

/// Parses broker addresses. Malformed ones are rejected here, because the Kafka client would retry them indefinitely.
pub(super) fn servers(servers: &str) -> Result<String, String> {
    let servers = text(servers)?;
    let is_server = |server: &str| {
        let server = match server.trim().split_once("://") {
            Some((protocol, server)) if PROTOCOLS.contains(&protocol.to_uppercase().as_str()) => server,
            Some(_) => return false,
            None => server.trim(),
        };
        let (host, port) = server.rsplit_once(':').filter(|_| !server.ends_with(']')).unwrap_or((server, "9092"));
        !host.is_empty() && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if servers.split(',').all(is_server) {
        Ok(servers)
    } else {
        Err("write hosts and ports separated by commas, such as kafka-1:9092,kafka-2:9092".to_owned())
    }
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    one_of(&[("true", true), ("false", false)])(text)
}

/// Returns the parser of one of a few names.
pub(super) fn one_of<T: Copy>(choices: &[(&str, T)]) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        choices.iter().find(|(name, _)| *name == text).map(|&(_, choice)| choice).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|&(name, _)| name).collect();
            format!("write {}", names.join(" or "))
        })
    }
}

/// Returns the parser of a duration from `min` to `max`.
pub(super) fn duration_within(min: &str, max: &str) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let length = duration(text)?;
        if (duration(min)?..=duration(max)?).contains(&length) {
            Ok(length)
        } else {
            Err(format!("write a duration from {min} to {max}"))
        }
    }
}

/// Returns the parser of a size from `min` to `max`.
pub(super) fn size_within(min: &str, max: &str) -> impl Fn(&str) -> Result<usize, String> {
    move |text| {
        let size = bytes(text)?;
        if (bytes(min)?..=bytes(max)?).contains(&size) {
            Ok(size)
        } else {
            Err(format!("write a size from {min} to {max}"))
        }
    }
}

pub(super) fn currency(text: &str) -> Result<Currency, String> {
    Currency::parse(text).ok_or_else(|| "write three capital letters, such as EUR".to_owned())
}

/// Parses the address of a server of this process.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an address and a port, such as 127.0.0.1:8080 or [::1]:8080".to_owned())
}

/// Parses the address of another instance: a host and a port.
pub(super) fn address(text: &str) -> Result<String, String> {
    if is_address(text) {
        Ok(text.to_owned())
    } else {
        Err("write a host and a port, such as 10.0.0.5:8080".to_owned())
    }
}

/// Parses the address of an HTTP server.
pub(super) fn url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['@', '?', '#', ' ']) => Ok(text.to_owned()),
        _ => Err("write an address such as https://registry:8081, without user, password and query".to_owned()),
    }
}

/// Parses a URI reference, RFC 3986, such as `/lifecycle/shop` or `https://shop.example/lifecycle`.
pub(super) fn uri_reference(value: &str) -> Result<String, String> {
    let value = text(value)?;
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
    };
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "-._~:/?#@!$&'()*+,;=%".contains(letter);
    let is_encoded =
        |(at, _)| value.get(at + 1..at + 3).is_some_and(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let first_segment = value.split(['/', '?', '#']).next().unwrap_or_default();
    // Brackets enclose an address of IPv6, only where a host begins.
    let after_scheme = value.find("//").map_or("", |slashes| &value[slashes + 2..]);
    let literal = after_scheme.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let literal = literal.map(|(address, _)| address).filter(|address| address.parse::<Ipv6Addr>().is_ok());
    let without_literal = match literal {
        Some(address) => value.replacen(&format!("[{address}]"), "", 1),
        None => value.clone(),
    };
    let is_valid = without_literal.chars().all(is_allowed)
        && value.match_indices('%').all(is_encoded)
        && value.matches('#').count() <= 1
        && first_segment.split_once(':').is_none_or(|(scheme, _)| is_scheme(scheme));
    if is_valid {
        Ok(value)
    } else {
        Err("write a URI reference, such as /lifecycle/shop or https://shop.example/lifecycle".to_owned())
    }
}

/// Parses a name that Kafka accepts for a topic.
pub(super) fn topic_name(text: &str) -> Result<String, String> {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    if text.is_empty() || text.len() > 249 || text == "." || text == ".." || !text.chars().all(is_allowed) {
        return Err("write a topic name: up to 249 letters, digits, `.`, `_` and `-`".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses a name that can be part of a transactional id and of metric labels.
pub(super) fn kafka_name(text: &str) -> Result<String, String> {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    if text.is_empty() || text.len() > 100 || !text.chars().all(is_allowed) {
        return Err("write up to 100 letters, digits, `.`, `_` and `-`".to_owned());
    }
    Ok(text.to_owned())
}

/// Splits `12msrest` into `(12, "ms", "rest")`; the unit ends at the next digit.
fn number_and_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..digits].parse().ok()?;
    let unit = text[digits..].find(|letter: char| letter.is_ascii_digit()).map_or(text.len(), |end| digits + end);
    Some((number, &text[digits..unit], &text[unit..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_not_negative() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for text in ["", "m", "-1s", "a week"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_is_a_number_and_a_unit() {
        assert_eq!(bytes("65536"), Ok(65_536));
        assert_eq!(bytes("1MiB"), Ok(1 << 20));
        assert_eq!(bytes("2 GB"), Ok(2_000_000_000));
        for text in ["", "MiB", "1M1", "1 XB", "99999999999999GiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_uri_reference_has_no_other_characters() {
        for valid in
            ["/lifecycle/shop", "https://shop.example/a?b=c#d", "urn:shop:1", "shop", "a%20b", "http://[::1]:80/x"]
        {
            assert_eq!(uri_reference(valid).as_deref(), Ok(valid));
        }
        for invalid in
            ["", "a b", "\u{fc}", "http://[bad", "http://[bad]", "a[1]", "50%", "%zz", "1a:b", "#a#b", "a\\b"]
        {
            assert!(uri_reference(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn numbers_outside_the_limits_are_rejected() {
        assert_eq!(whole_number("4", 1, 4), Ok(4));
        assert_eq!(whole_number("5", 1, 4), Err("write a whole number from 1 to 4".to_owned()));
    }
}
