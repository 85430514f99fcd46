//! Renders the configuration as text: the effective values with their origin, and the reference of all keys.

use std::fmt::Write;

use super::keys::{Config, KEYS};
use super::settings::Origin;

/// Path of the settings for the Kafka client, which `show` lists one by one.
const CLIENT: &str = "kafka.client";

impl Config {
    /// Lists the effective values, one key per line, each with where it was set. Never shows a secret.
    #[must_use]
    pub fn show(&self) -> String {
        let mut lines = Vec::new();
        for key in KEYS.iter().filter(|key| key.path != CLIENT) {
            let (value, comment) = match self.origins.get(key.path) {
                Some((value, Origin::Default)) => (value.clone(), "default".to_owned()),
                Some((value, Origin::File(line))) => (value.clone(), format!("line {line}")),
                Some((value, Origin::Variable(variable))) => (value.clone(), variable.clone()),
                Some((value, Origin::Derived(note))) => (value.clone(), format!("default: {note}")),
                None => (String::new(), format!("default: {}", key.default_note())),
            };
            lines.push((format!("{}: {value}", key.path), comment));
        }
        for (name, setting) in &self.kafka.client {
            lines.push((format!("{CLIENT}.{name}: {}", setting.redacted()), String::new()));
        }
        for parameter in &self.parameters {
            let line = format!("parameters.{}.{}: {}", parameter.model, parameter.parameter, parameter.value);
            lines.push((line, String::new()));
        }
        let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or_default().min(60);
        lines.into_iter().fold(String::new(), |mut text, (line, comment)| {
            let comment = if comment.is_empty() { comment } else { format!("  # {comment}") };
            _ = writeln!(text, "{}", format!("{line:width$}{comment}").trim_end());
            text
        })
    }
}

/// Returns the reference of all keys: the table in docs/configuration.md.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from("| key | value | default | meaning |\n|---|---|---|---|\n");
    for key in KEYS {
        let variable = if key.path == CLIENT { "see meaning".to_owned() } else { format!("`{}`", key.variable()) };
        let (default, meaning) = (key.default_note(), key.meaning());
        _ = writeln!(text, "| `{}`<br>{variable} | {} | {default} | {meaning} |", key.path, key.syntax);
    }
    text
}
