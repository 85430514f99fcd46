//! Reads touchpoint files line by line, for commands that print invalid lines and skip them.

use std::path::PathBuf;

use super::print_error;
use crate::replay::Lines;
use crate::wire::touchpoint_json::TouchpointOptions;
use crate::wire::transition_text::escape_control_characters;

/// Longer lines are invalid.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// How many invalid lines are printed; the others are only counted.
const PRINTED_MAX: u64 = 20;

pub(super) const TOUCHPOINT_OPTIONS: TouchpointOptions = TouchpointOptions { bytes_max: LINE_BYTES_MAX };

/// Calls `apply` with each line, and prints the error that it returns for an invalid line to standard error.
///
/// Returns the number of invalid lines, or an error message if a file cannot be read.
pub(super) fn for_each_line(
    files: &[PathBuf],
    mut apply: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<u64, String> {
    let mut invalid = 0;
    for path in files {
        let unreadable = |error| format!("{}: cannot be read: {error}", path.display());
        let mut lines = Lines::open(path, LINE_BYTES_MAX, |_| {}).map_err(unreadable)?;
        while let Some(line) = lines.next_line().map_err(unreadable)? {
            if line.is_blank() {
                continue;
            }
            let outcome = if line.is_complete() {
                apply(line.bytes)
            } else {
                Err(format!("{} bytes, at most {LINE_BYTES_MAX}", line.length))
            };
            if let Err(detail) = outcome {
                invalid += 1;
                if invalid <= PRINTED_MAX {
                    let detail = escape_control_characters(&detail);
                    print_error(format_args!("{}:{}: {detail}", path.display(), line.number));
                }
            }
        }
    }
    if invalid > PRINTED_MAX {
        print_error(format_args!("and {} more invalid lines", invalid - PRINTED_MAX));
    }
    Ok(invalid)
}
