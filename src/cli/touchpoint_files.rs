//! The touchpoints of files, line by line, for commands that only look at them.

use std::path::PathBuf;

use crate::replay::Lines;
use crate::wire::touchpoint_json::TouchpointOptions;

/// Longer lines are bad lines.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// How many bad lines are shown one by one.
const SHOWN_MAX: u64 = 20;

pub(super) const TOUCHPOINT_OPTIONS: TouchpointOptions = TouchpointOptions { bytes_max: LINE_BYTES_MAX };

/// Hands each line to `take`, which says what is wrong with it. Bad lines are told on standard error; returns how many
/// there were, or which file cannot be read and why.
pub(super) fn each_line(files: &[PathBuf], mut take: impl FnMut(&[u8]) -> Result<(), String>) -> Result<u64, String> {
    let mut bad = 0;
    for path in files {
        let unreadable = |error| format!("{}: cannot be read: {error}", path.display());
        let mut lines = Lines::open(path, LINE_BYTES_MAX, |_| {}).map_err(unreadable)?;
        while let Some(line) = lines.next_line().map_err(unreadable)? {
            if line.is_blank() {
                continue;
            }
            let outcome = if line.is_whole() {
                take(line.bytes)
            } else {
                Err(format!("{} bytes, at most {LINE_BYTES_MAX}", line.length))
            };
            if let Err(detail) = outcome {
                bad += 1;
                if bad <= SHOWN_MAX {
                    eprintln!("{}:{}: {detail}", path.display(), line.number);
                }
            }
        }
    }
    if bad > SHOWN_MAX {
        eprintln!("and {} more bad lines", bad - SHOWN_MAX);
    }
    Ok(bad)
}
