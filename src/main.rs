//! The program: parses the command line and returns the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    lifecycle_processor::cli::run()
}
