//! Writes log lines to standard error, and counts the lines that cannot be written.
//!
//! A full disk or a closed pipe must not stop the service, so a write never fails: the line is lost. The first line
//! that can be written again is followed by a warning with the number of lost lines.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tracing_subscriber::fmt::MakeWriter;

/// Number of log lines that could not be written since the process started.
static LOST: AtomicU64 = AtomicU64::new(0);
/// Number of lost lines that a warning has reported.
static REPORTED: AtomicU64 = AtomicU64::new(0);
/// Whether the latest write ended within a line, as on a disk that has become full.
static IS_LINE_CUT: AtomicBool = AtomicBool::new(false);

/// Returns the number of log lines that could not be written since the process started.
#[must_use]
pub fn lost_lines() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Makes the writers of log lines: each is used for one line.
pub(super) struct LogWriter;

/// Writes one line to standard error.
pub(super) struct LineWriter;

impl MakeWriter<'_> for LogWriter {
    type Writer = LineWriter;

    fn make_writer(&self) -> LineWriter {
        LineWriter
    }
}

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if write_line(&mut io::stderr().lock(), line) {
            report_lost_lines();
        } else {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns whether the whole line was written.
fn write_line(output: &mut impl Write, line: &[u8]) -> bool {
    // Ends a line that an earlier write has cut.
    if IS_LINE_CUT.load(Ordering::Relaxed) {
        if output.write_all(b"\n").is_err() {
            return false;
        }
        IS_LINE_CUT.store(false, Ordering::Relaxed);
    }
    let mut written = 0;
    while written < line.len() {
        match output.write(&line[written..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(count) if count > 0 => written += count,
            Ok(_) | Err(_) => {
                IS_LINE_CUT.store(written > 0, Ordering::Relaxed);
                return false;
            }
        }
    }
    true
}

fn report_lost_lines() {
    let lost = lost_lines();
    let reported = REPORTED.swap(lost, Ordering::Relaxed);
    if lost > reported {
        tracing::warn!(lines = lost - reported, "log lines were lost, standard error could not be written");
        // If this line was lost as well, the next one reports all of them.
        if lost_lines() > lost {
            REPORTED.fetch_min(reported, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An output with room for `room` bytes.
    struct Disk {
        room: usize,
        content: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room - self.content.len());
            self.content.extend(&bytes[..count]);
            if count == 0 { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(count) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_cut_line_is_ended_before_the_next_one() {
        let mut disk = Disk { room: 9, content: Vec::new() };
        assert!(write_line(&mut disk, b"first\n"));
        assert!(!write_line(&mut disk, b"second\n"));
        assert!(!write_line(&mut disk, b"third\n"));
        disk.room = 100;
        assert!(write_line(&mut disk, b"fourth\n"));
        assert_eq!(String::from_utf8(disk.content).unwrap(), "first\nsec\nfourth\n");
    }
}
