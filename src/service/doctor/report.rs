//! The doctor's report: the findings of one run.

use crate::finding::{Finding, Severity};

/// All findings of one run.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DoctorReport {
    /// The findings in the order of the checks.
    pub checks: Vec<Finding>,
}

impl DoctorReport {
    /// Returns the number of findings of this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.checks.iter().filter(|it| it.severity == severity).count()
    }
}
