//! CPU time of a process, over all its threads.
#![allow(dead_code, reason = "each benchmark uses a part")]

/// Clock ticks per second as Linux reports them on every supported architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Returns the user and system time of the process `id` (`self` for this one) so far.
pub(crate) fn seconds(id: &str) -> f64 {
    ticks(id, 11) / TICKS_PER_SECOND
}

/// Returns the user and system time of the child processes of this one that have ended.
pub(crate) fn children_seconds() -> f64 {
    ticks("self", 13) / TICKS_PER_SECOND
}

/// Returns the sum of two fields of the statistics of a process, counted from the one after the program name.
fn ticks(id: &str, first: usize) -> f64 {
    let line = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("a running process on Linux");
    // The program name is in parentheses and may contain anything; the fields after it are numbers.
    let (_, fields) = line.rsplit_once(')').expect("a name in parentheses");
    fields.split_whitespace().skip(first).take(2).map(|field| field.parse::<f64>().expect("ticks")).sum()
}
