//! `lifecycle deliver presets`: lists the presets of destinations, or prints one to read and copy.

use clap::Args;

use crate::cli::{Exit, print, print_error};
use crate::config::deliver::{PRESETS, preset};

/// List the presets of destinations, or print one to read and copy
#[derive(Args, Debug)]
pub(super) struct PresetsArguments {
    /// Name of a preset
    name: Option<String>,
}

pub(super) fn run(arguments: &PresetsArguments) -> Exit {
    match &arguments.name {
        None => {
            let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
            print(&format!("{}\n", names.join("\n")))
        }
        Some(name) => match preset(name) {
            Ok(text) => print(text),
            Err(problem) => {
                print_error(format_args!("lifecycle deliver presets: {problem}"));
                Exit::Usage
            }
        },
    }
}
