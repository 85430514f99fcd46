//! The mapping that a command applies to its records: a preset or a mapping file, with settings.

use std::io::{self, IsTerminal};
use std::path::Path;

use clap::Args;
use serde_json::{Map, Value};

use super::{Exit, print_error};
use crate::config::read_source;
use crate::lifecycle::suggest::did_you_mean;
use crate::mapping::{IDENTITY, Mapping, preset, preset_names};
use crate::wire::model_file::{ModelSource, render};

/// The source of records that are not touchpoints yet.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct SourceArguments {
    /// Map the records to touchpoints with this preset or mapping file; see `lifecycle map --list`
    #[arg(long, value_name = "PRESET|FILE")]
    pub(super) source: Option<String>,
    /// Set a setting of the mapping, such as `currency=EUR`. Can be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_setting, requires = "source")]
    pub(super) source_setting: Vec<(String, Value)>,
}

impl SourceArguments {
    /// Loads the mapping of `--source`, if it is given, for touchpoints with visitors if `has_identity`. Prints all
    /// problems if it is invalid.
    pub(super) fn load(&self, has_identity: bool) -> Result<Option<Mapping>, Exit> {
        let Some(name) = &self.source else { return Ok(None) };
        let identity = has_identity.then(|| (IDENTITY.to_owned(), Value::Bool(true)));
        let settings: Vec<_> = self.source_setting.iter().cloned().chain(identity).collect();
        load(name, &settings).map(Some)
    }
}

/// Parses `name=value`. The value is text; the mapping declares whether it means a number or a truth value.
pub(super) fn parse_setting(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, such as currency=EUR")?;
    Ok((name.to_owned(), Value::from(value)))
}

/// Loads the mapping file at the path `name`, or else the preset with this name. Prints all problems and warnings.
pub(super) fn load(name: &str, settings: &[(String, Value)]) -> Result<Mapping, Exit> {
    let source = read(name).map_err(|message| {
        print_error(format_args!("error: {message}"));
        Exit::Usage
    })?;
    let settings: Map<String, Value> = settings.iter().cloned().collect();
    let (mapping, problems) = match Mapping::compile(&source, &settings) {
        Ok((mapping, warnings)) => (Some(mapping), warnings),
        Err(problems) => (None, problems),
    };
    if !problems.is_empty() {
        print_error(render(&problems, &[source], io::stderr().is_terminal()).trim_end());
    }
    mapping.ok_or(Exit::Usage)
}

/// Reads the mapping file at the path `name`, or else the preset with this name.
pub(super) fn read(name: &str) -> Result<ModelSource, String> {
    let path = Path::new(name);
    if path.is_file() {
        return read_source(path).map_err(|error| error.0);
    }
    preset(name).ok_or_else(|| {
        let names = preset_names().iter().copied();
        let help =
            did_you_mean(name, names).unwrap_or_else(|| format!("the presets are {}", preset_names().join(", ")));
        format!("`{name}` is neither a file nor a preset; {help}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_text() {
        for (text, expected) in
            [("currency=EUR", "EUR"), ("a=true", "true"), ("a=2024.10", "2024.10"), ("a=b=c", "b=c")]
        {
            assert_eq!(parse_setting(text).map(|(_, value)| value), Ok(Value::from(expected)), "{text}");
        }
        assert!(parse_setting("EUR").is_err());
    }
}
