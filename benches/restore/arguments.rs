//! The command line of a benchmark whose options are whole numbers above 0.

use std::process::ExitCode;
use std::str::FromStr;

/// Reads the options into their variables, and calls `measure` with them.
///
/// Does nothing without `--bench`: `cargo test` runs benches, too, and there is nothing to test. Prints `help` if an
/// option is unknown or its value is not a number above 0.
pub(crate) fn with_options<N: FromStr + PartialOrd + Default + Copy, const COUNT: usize>(
    help: &str,
    defaults: [(&str, N); COUNT],
    measure: impl FnOnce([N; COUNT]),
) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let mut values = defaults.map(|(_, value)| value);
    let mut rest = arguments.iter().filter(|argument| *argument != "--bench");
    while let Some(name) = rest.next() {
        let index = defaults.iter().position(|(known, _)| known == name);
        let value = rest.next().and_then(|value| value.parse().ok()).filter(|value| *value > N::default());
        let (Some(index), Some(value)) = (index, value) else {
            println!("{help}");
            return ExitCode::from(2);
        };
        values[index] = value;
    }
    measure(values);
    ExitCode::SUCCESS
}
