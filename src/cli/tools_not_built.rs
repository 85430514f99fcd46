//! Replaces `tools.rs` in a build without the feature `tools`: the commands remain, and say that they are not built in.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Exit, print_error};

#[derive(Subcommand, Debug)]
pub(super) enum Tool {
    /// Not in this build, which is without the feature `tools`
    Demo(AnyArguments),
    /// Not in this build, which is without the feature `tools`
    Top(AnyArguments),
    /// Not in this build, which is without the feature `tools`
    Customers(AnyArguments),
    /// Not in this build, which is without the feature `tools`
    Generate(AnyArguments),
}

/// The arguments of a command that is not built in, accepted and ignored.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(super) struct AnyArguments {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _ignored: Vec<OsString>,
}

/// Reports that the tool is not built in.
pub(super) fn run(tool: &Tool) -> ExitCode {
    let name = match tool {
        Tool::Demo(_) => "demo",
        Tool::Top(_) => "top",
        Tool::Customers(_) => "customers",
        Tool::Generate(_) => "generate",
    };
    print_error(format_args!(
        "lifecycle {name}: built without the feature `tools`; build it with `cargo build --release`"
    ));
    Exit::Usage.into()
}
