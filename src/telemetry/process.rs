//! Memory, CPU time and start time of this process, from `/proc`, for the standard `process_*` metrics.

/// Clock ticks per second of CPU time, the same on every Linux system.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory, CPU time and start time of the process.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct ProcessStats {
    pub(super) resident_bytes: f64,
    pub(super) processor_seconds: f64,
    pub(super) started_at_seconds: f64,
}

/// Reads the statistics of this process; `None` on systems without `/proc`.
pub(super) fn read_stats() -> Option<ProcessStats> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident_kib: f64 = resident.split_whitespace().next()?.parse().ok()?;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program name, in parentheses, may contain spaces.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    let system = std::fs::read_to_string("/proc/stat").ok()?;
    let booted: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(ProcessStats {
        resident_bytes: resident_kib * 1024.0,
        processor_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
        started_at_seconds: booted + ticks(19)? / TICKS_PER_SECOND,
    })
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn the_statistics_are_those_of_a_running_process() {
        let stats = super::read_stats().unwrap();
        assert!(stats.resident_bytes > 100_000.0);
        assert!(stats.started_at_seconds > 1_600_000_000.0);
    }
}
