//! Flow control of one partition: whether the client returns its records, and whether it must seek first.
//!
//! A partition is paused while it is restored, during a recovery, and while state exceeds its limit. A failed call
//! leaves the fetch state unknown and is retried in the next step.

/// Whether the client returns records of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FetchState {
    Paused,
    Resumed,
    /// A pause or resume call failed; it may have taken effect nevertheless.
    Unknown,
}

/// The client's fetch state of a partition. `may_fetch` says whether its records are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchControl {
    state: FetchState,
    /// Until the seek takes effect, the client returns records beyond the position to which the partition was rewound.
    needs_seek: bool,
}

impl FetchControl {
    /// Returns the state of a newly assigned partition: paused at a placeholder offset.
    #[must_use]
    pub fn newly_assigned() -> Self {
        Self { state: FetchState::Paused, needs_seek: true }
    }

    /// Requests a seek to the partition's position before its records are applied again.
    pub fn request_seek(&mut self) {
        self.needs_seek = true;
    }

    /// Whether the client must seek before its records are applied.
    #[must_use]
    pub fn needs_seek(self) -> bool {
        self.needs_seek
    }

    /// Whether the client must be paused.
    #[must_use]
    pub fn must_pause(self, may_fetch: bool) -> bool {
        !may_fetch && self.state != FetchState::Paused
    }

    /// Whether the client must seek to the partition's position.
    #[must_use]
    pub fn must_seek(self, may_fetch: bool) -> bool {
        may_fetch && self.needs_seek
    }

    /// Whether the client must be resumed.
    #[must_use]
    pub fn must_resume(self, may_fetch: bool) -> bool {
        may_fetch && self.state != FetchState::Resumed
    }

    /// Records the result of a pause.
    pub fn paused(&mut self, has_succeeded: bool) {
        self.state = if has_succeeded { FetchState::Paused } else { FetchState::Unknown };
    }

    /// Records a seek.
    pub fn sought(&mut self) {
        self.needs_seek = false;
    }

    /// Records the result of a resume.
    pub fn resumed(&mut self, has_succeeded: bool) {
        self.state = if has_succeeded { FetchState::Resumed } else { FetchState::Unknown };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_partition_seeks_and_resumes_once_its_records_are_wanted() {
        let mut fetch = FetchControl::newly_assigned();
        assert!(!fetch.must_pause(false) && !fetch.must_seek(false) && !fetch.must_resume(false));
        assert!(fetch.must_seek(true) && fetch.must_resume(true));
        fetch.sought();
        fetch.resumed(true);
        assert!(!fetch.must_seek(true) && !fetch.must_resume(true) && fetch.must_pause(false));
    }

    #[test]
    fn a_failed_call_is_repeated() {
        let mut fetch = FetchControl::newly_assigned();
        fetch.resumed(false);
        assert!(fetch.must_resume(true) && fetch.must_pause(false), "a failed resume may have taken effect");
        fetch.paused(false);
        assert!(fetch.must_pause(false));
        fetch.paused(true);
        assert!(!fetch.must_pause(false));
    }
}
