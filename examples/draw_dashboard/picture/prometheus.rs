//! Asks a Prometheus over HTTP: as little as is needed, on the loopback interface or a network that one trusts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::Frame;

const PATIENCE: Duration = Duration::from_secs(20);

/// One series: its labels and its points, by time.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Series {
    pub(crate) labels: BTreeMap<String, String>,
    /// Seconds since 1970, and the value.
    pub(crate) points: Vec<(f64, f64)>,
}

impl Series {
    /// The latest value that is a number.
    pub(crate) fn last(&self) -> Option<f64> {
        self.points.iter().rev().map(|(_, value)| *value).find(|value| value.is_finite())
    }
}

/// A Prometheus that answers.
#[derive(Clone, Debug)]
pub(crate) struct Prometheus {
    address: String,
}

impl Prometheus {
    /// The one at `host:port`.
    pub(crate) fn at(address: &str) -> Self {
        Self { address: address.trim_end_matches('/').to_owned() }
    }

    /// Its own time.
    pub(crate) fn now(&self) -> Result<f64, String> {
        let answer = self.api("query", &[("query", "time()")])?;
        let text = answer["result"][1].as_str().unwrap_or_default();
        text.parse().map_err(|_| format!("{} does not tell the time: {answer}", self.address))
    }

    /// What an expression is at an instant; each series has one point.
    pub(crate) fn query(&self, expression: &str, at: f64) -> Result<Vec<Series>, String> {
        let answer = self.api("query", &[("query", expression), ("time", &at.to_string())])?;
        if answer["resultType"] == "scalar" {
            return Ok(vec![Series { points: point(&answer["result"]).into_iter().collect(), ..Series::default() }]);
        }
        Ok(series(&answer, |result| point(&result["value"]).into_iter().collect()))
    }

    /// What an expression was over time.
    pub(crate) fn query_range(&self, expression: &str, frame: &Frame) -> Result<Vec<Series>, String> {
        // On multiples of the step, as Grafana asks: else the same picture drawn twice would differ.
        let round = |at: f64| (at / frame.step).floor() * frame.step;
        let (start, end) = (round(frame.start).to_string(), round(frame.end).to_string());
        let answer = self.api(
            "query_range",
            &[("query", expression), ("start", &start), ("end", &end), ("step", &frame.step.to_string())],
        )?;
        Ok(series(&answer, |result| result["values"].as_array().into_iter().flatten().filter_map(point).collect()))
    }

    /// The `data` that an endpoint of the API answers with.
    pub(crate) fn api(&self, endpoint: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let mut path = format!("/api/v1/{endpoint}?");
        for (name, value) in parameters {
            _ = write!(path, "{name}={}&", encode(value));
        }
        let body = self.get(path.trim_end_matches(['&', '?']))?;
        let answer: Value = serde_json::from_str(&body)
            .map_err(|error| format!("{} answers no JSON: {error}: {body}", self.address))?;
        if answer["status"] != "success" {
            return Err(format!("{}: {}", parameters.first().map_or("", |(_, value)| value), answer["error"]));
        }
        Ok(answer["data"].clone())
    }

    /// The body of an answer.
    pub(crate) fn get(&self, path: &str) -> Result<String, String> {
        let failed = |error: std::io::Error| format!("prometheus at {} does not answer: {error}", self.address);
        let mut stream = TcpStream::connect(&self.address).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        // By HTTP/1.0 an answer comes in one piece and ends with the connection.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).map_err(failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(failed)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or(format!("no answer from {}", self.address))?;
        Ok(body.to_owned())
    }
}

fn series(answer: &Value, points: impl Fn(&Value) -> Vec<(f64, f64)>) -> Vec<Series> {
    let label = |(name, value): (&String, &Value)| (name.clone(), value.as_str().unwrap_or_default().to_owned());
    answer["result"]
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
