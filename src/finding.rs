//! What was found, where, and what to do about it: the one shape in which a problem reaches an operator.
//!
//! The checks of topics, of the doctor and of the start, the errors that stop a worker, and the errors of the Kafka
//! client all become a [`Finding`] before they are printed or logged. A finding has room for exactly one instruction,
//! `to_do`, and it is printed last. Pure.

use std::fmt;

/// How serious a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// No problem was found.
    Passed,
    /// The check could not run; `to_do` says how to check by other means.
    Unknown,
    /// The service runs, but with less safety or performance than it should.
    Warning,
    /// The service does not start, stops, or loses its exactly-once guarantee.
    Problem,
}

impl Severity {
    /// Returns the word for reports. It appears in the doctor's JSON report, so it is a contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One finding about one part of the service or of its cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How serious it is.
    pub severity: Severity,
    /// The subject, from a fixed set of words: `brokers`, `topics`, `offsets` and so on.
    pub about: &'static str,
    /// The broker, topic, partition, group or configuration key concerned.
    pub place: String,
    /// What was found, with the values found. Contains no instruction.
    pub what: String,
    /// The one thing to do next; empty if there is nothing to do.
    pub to_do: String,
}

impl Finding {
    /// Creates a finding.
    pub fn new(
        severity: Severity,
        about: &'static str,
        place: impl Into<String>,
        what: impl Into<String>,
        to_do: impl Into<String>,
    ) -> Self {
        Self { severity, about, place: place.into(), what: what.into(), to_do: to_do.into() }
    }

    /// Creates the finding of a check that found no problem.
    pub fn passed(about: &'static str, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Severity::Passed, about, place, what, "")
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.what)?;
        if self.to_do.is_empty() { Ok(()) } else { write!(formatter, "; {}", self.to_do) }
    }
}

/// Returns the clauses of a text that begin with an imperative verb, for the tests of error messages.
#[cfg(test)]
pub(crate) fn instructions(text: &str) -> Vec<&str> {
    const VERBS: &str = "add check choose create decide delete enable find fix generate give grant increase install \
        lower make pass raise remove replace restart restore run see set start stop synchronize unset use verify wait \
        write";
    text.split("; ")
        .flat_map(|part| part.split(": "))
        .flat_map(|part| part.split(". "))
        .filter(|clause| clause.split(' ').next().is_some_and(|verb| VERBS.split_whitespace().any(|it| it == verb)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_printed_with_its_instruction_last() {
        let finding = Finding::new(Severity::Problem, "topics", "out", "it does not exist", "create it");
        assert_eq!(finding.to_string(), "out: it does not exist; create it");
        assert_eq!(
            Finding::passed("topics", "out", "all settings are correct").to_string(),
            "out: all settings are correct"
        );
    }

    #[test]
    fn instructions_are_recognized_by_the_verb_that_begins_a_clause() {
        let text =
            "the offset is missing: retention removed it; decide where to go on, then start again; start it again";
        assert_eq!(instructions(text), ["decide where to go on, then start again", "start it again"]);
        assert_eq!(instructions("the topic is missing"), Vec::<&str>::new());
    }
}
