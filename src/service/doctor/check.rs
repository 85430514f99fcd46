//! What the doctor says: one check, its verdict, and all of them together.

/// How a check came out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// As it should be.
    Passed,
    /// It cannot be told from here; what to do says who can.
    Unknown,
    /// The service runs, but not as well or as safely as it should.
    Warning,
    /// The service does not start, stops, or does not do what it promises.
    Problem,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// How it came out.
    pub verdict: Verdict,
    /// What was looked at: `brokers`, `topics`, `offsets`. A fixed set of words.
    pub about: &'static str,
    /// Where: a broker, a topic, a partition of it.
    pub place: String,
    /// What was found.
    pub what: String,
    /// What to do about it; empty when there is nothing to do.
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

/// Everything that was looked at.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Examination {
    /// In the order in which it was looked at.
    pub checks: Vec<Check>,
}

impl Examination {
    /// How many checks came out so.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|it| it.verdict == verdict).count()
    }
}
