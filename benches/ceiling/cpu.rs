//! CPU time of a process, over all its threads.

/// Clock ticks per second as Linux reports them on every supported architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Returns the user and system time of the process `id` (`self` for this one) so far.
pub(crate) fn seconds(id: &str) -> f64 {
    let line = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("a running process on Linux");
    // The program name is in parentheses and may contain anything; the fields after it are numbers.
    let (_, fields) = line.rsplit_once(')').expect("a name in parentheses");
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>().expect("ticks")).sum();
    ticks / TICKS_PER_SECOND
}
