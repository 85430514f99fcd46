//! The doctor's report: checks and their verdicts.
//!
//! The fields and the words of the verdicts appear in the JSON report, so they are a contract.

/// Result of a check.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// No problem was found.
    Passed,
    /// The check could not run; `to_do` says how to check by other means.
    Unknown,
    /// The service runs, but with less safety or performance than it should.
    Warning,
    /// The service does not start, stops, or loses its exactly-once guarantee.
    Problem,
}

impl Verdict {
    /// Returns the name that the report shows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One finding about one part of the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// The result.
    pub verdict: Verdict,
    /// The subject, from a fixed set of words: `brokers`, `topics`, `offsets` and so on.
    pub about: &'static str,
    /// The broker, topic, partition or group concerned.
    pub place: String,
    /// What the check found.
    pub what: String,
    /// What the operator should do; empty if nothing.
    pub to_do: String,
}

impl Check {
    pub(super) fn passed(about: &'static str, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { verdict: Verdict::Passed, about, place: place.into(), what: what.into(), to_do: String::new() }
    }

    pub(super) fn new(
        verdict: Verdict,
        about: &'static str,
        place: impl Into<String>,
        what: impl Into<String>,
        to_do: impl Into<String>,
    ) -> Self {
        Self { verdict, about, place: place.into(), what: what.into(), to_do: to_do.into() }
    }
}

/// All checks of one run.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DoctorReport {
    /// The checks in the order in which they ran.
    pub checks: Vec<Check>,
}

impl DoctorReport {
    /// Returns the number of checks with this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|it| it.verdict == verdict).count()
    }
}
