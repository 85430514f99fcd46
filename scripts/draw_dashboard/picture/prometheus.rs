//! A minimal client of the Prometheus HTTP API, without TLS: for the loopback interface or a trusted network.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::TimeRange;

/// Read timeout of a response.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// A time series: labels and points, in order of time.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Series {
    pub(crate) labels: BTreeMap<String, String>,
    /// Time in seconds since 1970, and value.
    pub(crate) points: Vec<(f64, f64)>,
}

impl Series {
    /// Returns the latest finite value.
    pub(crate) fn last(&self) -> Option<f64> {
        self.points.iter().rev().map(|(_, value)| *value).find(|value| value.is_finite())
    }
}

/// A Prometheus server.
#[derive(Clone, Debug)]
pub(crate) struct Prometheus {
    address: String,
}

impl Prometheus {
    /// Creates a client for the server at `host:port`.
    pub(crate) fn new(address: &str) -> Self {
        Self { address: address.trim_end_matches('/').to_owned() }
    }

    /// Returns the current time of the server, in seconds since 1970.
    pub(crate) fn now(&self) -> Result<f64, String> {
        let response = self.api("query", &[("query", "time()")])?;
        let text = response["result"][1].as_str().unwrap_or_default();
        text.parse().map_err(|_| format!("{} returned no time: {response}", self.address))
    }

    /// Evaluates an instant query; each series has one point.
    pub(crate) fn query(&self, expression: &str, at: f64) -> Result<Vec<Series>, String> {
        let response = self.api("query", &[("query", expression), ("time", &at.to_string())])?;
        if response["resultType"] == "scalar" {
            return Ok(vec![Series { points: point(&response["result"]).into_iter().collect(), ..Series::default() }]);
        }
        Ok(series(&response, |result| point(&result["value"]).into_iter().collect()))
    }

    /// Evaluates a range query.
    pub(crate) fn query_range(&self, expression: &str, time_range: &TimeRange) -> Result<Vec<Series>, String> {
        // Aligns the range to the step, like Grafana, so that repeated renderings are equal.
        let round = |at: f64| (at / time_range.step).floor() * time_range.step;
        let (start, end) = (round(time_range.start).to_string(), round(time_range.end).to_string());
        let response = self.api(
            "query_range",
            &[("query", expression), ("start", &start), ("end", &end), ("step", &time_range.step.to_string())],
        )?;
        Ok(series(&response, |result| result["values"].as_array().into_iter().flatten().filter_map(point).collect()))
    }

    /// Calls an API endpoint and returns the `data` of its response.
    pub(crate) fn api(&self, endpoint: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let mut path = format!("/api/v1/{endpoint}?");
        for (name, value) in parameters {
            _ = write!(path, "{name}={}&", encode(value));
        }
        let body = self.get(path.trim_end_matches(['&', '?']))?;
        let response: Value = serde_json::from_str(&body)
            .map_err(|error| format!("{} did not return JSON: {error}: {body}", self.address))?;
        if response["status"] != "success" {
            return Err(format!("{}: {}", parameters.first().map_or("", |(_, value)| value), response["error"]));
        }
        Ok(response["data"].clone())
    }

    /// Sends a GET request and returns the response body.
    pub(crate) fn get(&self, path: &str) -> Result<String, String> {
        let failed = |error: std::io::Error| format!("prometheus at {} does not answer: {error}", self.address);
        let mut stream = TcpStream::connect(&self.address).map_err(failed)?;
        stream.set_read_timeout(Some(READ_TIMEOUT)).map_err(failed)?;
        // HTTP/1.0: no chunked encoding, and the server closes the connection after the response.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).map_err(failed)?;
        let mut response = String::new();
        stream.read_to_string(&mut response).map_err(failed)?;
        let (_, body) = response.split_once("\r\n\r\n").ok_or(format!("no response from {}", self.address))?;
        Ok(body.to_owned())
    }
}

fn series(response: &Value, points: impl Fn(&Value) -> Vec<(f64, f64)>) -> Vec<Series> {
    let label = |(name, value): (&String, &Value)| (name.clone(), value.as_str().unwrap_or_default().to_owned());
    response["result"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|result| Series {
            labels: result["metric"].as_object().into_iter().flatten().map(label).collect(),
            points: points(result),
        })
        .collect()
}

fn point(value: &Value) -> Option<(f64, f64)> {
    Some((value[0].as_f64()?, value[1].as_str()?.parse().ok()?))
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}
