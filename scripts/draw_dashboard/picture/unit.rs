//! Formats values with units, and chooses axis ticks.

/// Candidate intervals of time ticks, in seconds.
const TIMES: [f64; 14] =
    [1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0, 43_200.0, 86_400.0];

/// Formats a value with its Grafana unit, as short as possible.
pub(crate) fn format(unit: &str, value: f64, decimals: Option<usize>) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    match unit {
        "percentunit" => plain(value * 100.0, decimals.or(Some(1))) + " %",
        "s" => seconds(value),
        "bytes" => scaled(value, 1_024.0, &[" B", " KiB", " MiB", " GiB", " TiB"], decimals),
        "Bps" => scaled(value, 1_000.0, &[" B/s", " kB/s", " MB/s", " GB/s"], decimals),
        "cps" => scaled(value, 1_000.0, &["/s", "k/s", "M/s"], decimals),
        "reqps" => scaled(value, 1_000.0, &[" req/s", "k req/s"], decimals),
        _ => scaled(value, 1_000.0, &["", "k", "M", "G"], decimals),
    }
}

fn seconds(value: f64) -> String {
    let size = value.abs();
    let (value, unit) = match size {
        _ if size == 0.0 => (0.0, " s"),
        _ if size < 0.001 => (value * 1e6, " µs"),
        _ if size < 1.0 => (value * 1e3, " ms"),
        _ if size < 120.0 => (value, " s"),
        _ if size < 7_200.0 => (value / 60.0, " min"),
        _ if size < 172_800.0 => (value / 3_600.0, " h"),
        _ => (value / 86_400.0, " d"),
    };
    plain(value, None) + unit
}

fn scaled(value: f64, step: f64, units: &[&str], decimals: Option<usize>) -> String {
    let mut value = value;
    let mut index = 0;
    while value.abs() >= step && index + 1 < units.len() {
        value /= step;
        index += 1;
    }
    let decimals = if index == 0 { decimals } else { None };
    plain(value, decimals) + units[index]
}

/// Formats a number with three significant digits and without trailing zeros.
fn plain(value: f64, decimals: Option<usize>) -> String {
    let size = value.abs();
    let places = decimals.unwrap_or(match size {
        _ if size >= 100.0 || size == 0.0 => 0,
        _ if size >= 10.0 => 1,
        _ => 2,
    });
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Returns about `count` ticks from `low` to `high`, at round values of the unit.
pub(super) fn ticks(low: f64, high: f64, count: f64, unit: &str) -> Vec<f64> {
    const DECIMAL: [f64; 4] = [1.0, 2.0, 5.0, 10.0];
    const BINARY: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0];
    let raw = ((high - low) / count).max(f64::MIN_POSITIVE);
    let (base, steps): (f64, &[f64]) = if unit == "bytes" { (1_024.0, &BINARY) } else { (10.0, &DECIMAL) };
    let scale = base.powf(raw.log(base).floor());
    let round = steps.iter().map(|step| step * scale).find(|step| *step >= raw * 0.999).unwrap_or(raw);
    let is_long = unit == "s" && raw > 15.0;
    let step = if is_long { TIMES.into_iter().find(|step| *step >= raw).unwrap_or(round) } else { round };
    let mut at = (low / step).ceil() * step;
    let mut found = Vec::new();
    while at <= high + step * 1e-6 && found.len() < 50 {
        found.push(at);
        at += step;
    }
    found
}

/// Returns about `count` ticks from `start` to `end`, at round times of day.
pub(super) fn time_ticks(start: f64, end: f64, count: f64) -> Vec<f64> {
    let raw = (end - start) / count;
    let step = TIMES.into_iter().find(|step| *step >= raw).unwrap_or(86_400.0);
    let mut at = (start / step).ceil() * step;
    let mut found = Vec::new();
    while at <= end && found.len() < 50 {
        found.push(at);
        at += step;
    }
    found
}

/// Formats the time of day in UTC; with seconds if `range` is shorter than 5 minutes.
pub(super) fn clock(at: f64, range: f64) -> String {
    let day = at.rem_euclid(86_400.0);
    let (hours, minutes, seconds) = ((day / 3_600.0).floor(), (day / 60.0).floor() % 60.0, day.floor() % 60.0);
    if range < 300.0 { format!("{hours:02}:{minutes:02}:{seconds:02}") } else { format!("{hours:02}:{minutes:02}") }
}

/// Parses a duration such as `15m`, `1h`, `10s` or `1d` to seconds.
pub(crate) fn parse_length(text: &str) -> Option<f64> {
    let split = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
    let count: f64 = text[..split].parse().ok()?;
    let unit = match &text[split..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return None,
    };
    Some(count * unit)
}
