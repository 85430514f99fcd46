//! Configuration of a simulated run: its size, its clock, and which disruptions occur.

use std::sync::Arc;
use std::time::Duration;

use lifecycle_processor::kafka::PartitionId;
use lifecycle_processor::lifecycle::identity::{BlockedIds, IdentityOptions};
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::runtime::{ClockSource, IdentitySetup, Options, PublishOptions, SweepOptions, Topics};
use lifecycle_processor::wire::cloud_events::{CloudEvents, HeaderDetail};

use super::history::{BYTES_MAX, MODELS, facts};
use super::log::{CHANGELOG, DEAD_LETTERS, HAND_OVERS, REPLAY, TOUCHPOINTS, TRANSITIONS};
use super::persons;

/// Longer than any run, so that no stub ends, unless the run has conflicts.
const STUB_LIFETIME: time::Duration = time::Duration::from_days(36_500);

/// Which customers are merged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merges {
    None,
    /// The customers of each person, in chains and trees.
    Trees,
    /// Customers of several persons, also in circles and to several others.
    Any,
}

/// Configuration of a simulated run.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each enables an independent feature of a run")]
pub(crate) struct RunConfig {
    pub(crate) partitions: PartitionId,
    /// Approximate number of touchpoints.
    pub(crate) records: usize,
    pub(crate) workers: usize,
    pub(crate) clock_source: ClockSource,
    /// Whether the touchpoints come from the oracle's generator.
    pub(crate) uses_oracle_generator: bool,
    /// Whether partitions change owners, members are expelled or stopped, and clocks are set.
    pub(crate) has_disruptions: bool,
    /// Whether a restarted member gets its old partitions back.
    pub(crate) has_static_members: bool,
    pub(crate) forbids_truncation: bool,
    /// Whether customers are forgotten and erased, which the oracle does not support.
    pub(crate) forgets_customers: bool,
    /// Whether visitors become customers.
    pub(crate) has_links: bool,
    /// Whether links contradict each other, stubs end, and each process has options of its own.
    pub(crate) has_conflicts: bool,
    /// Whether ids are erased during the run, and all of them at its end.
    pub(crate) erases_all: bool,
    /// Which customers are merged, in a run with links.
    pub(crate) merges: Merges,
    pub(crate) transaction_timeout: Duration,
}

impl RunConfig {
    /// Returns a configuration without disruptions.
    pub(crate) fn undisturbed(workers: usize, clock_source: ClockSource) -> Self {
        Self {
            partitions: 2,
            records: 60,
            workers,
            clock_source,
            uses_oracle_generator: false,
            has_disruptions: false,
            has_static_members: false,
            forbids_truncation: false,
            forgets_customers: false,
            has_links: false,
            has_conflicts: false,
            erases_all: false,
            merges: Merges::None,
            transaction_timeout: Duration::from_secs(10),
        }
    }

    pub(crate) fn random(random: &mut fastrand::Rng) -> Self {
        let (uses_wall_clock, uses_oracle_generator) = (random.bool(), random.bool());
        Self {
            partitions: random.i32(1..=4),
            records: random.usize(30..200),
            workers: random.usize(1..=3),
            clock_source: if uses_wall_clock { ClockSource::Wall } else { ClockSource::Touchpoints },
            uses_oracle_generator,
            forgets_customers: !uses_wall_clock && !uses_oracle_generator && random.bool(),
            has_links: false,
            has_conflicts: false,
            erases_all: false,
            merges: Merges::None,
            has_disruptions: true,
            has_static_members: random.u32(..4) == 0,
            forbids_truncation: random.u32(..16) == 0,
            transaction_timeout: Duration::from_secs(random.u64(3..15)),
        }
    }

    /// Returns a random configuration in which visitors become customers.
    pub(crate) fn random_with_links(random: &mut fastrand::Rng) -> Self {
        let config = Self::random(random);
        // Wall time passes by months while hand-overs wait, which would end stubs in between.
        let has_conflicts = !config.uses_wall_clock() && random.bool();
        let merges = [Merges::None, Merges::Trees, Merges::Trees, Merges::Any][random.usize(..4)];
        let erases_all = has_conflicts && random.bool();
        Self {
            has_links: true,
            has_conflicts,
            erases_all,
            merges,
            uses_oracle_generator: false,
            // The other runs compare all customers at the end.
            forgets_customers: erases_all && random.bool(),
            ..config
        }
    }

    /// Returns the worker options of a process: with conflicts, stubs of each live for another time, but longer than it
    /// takes until a touchpoint is repeated.
    pub(crate) fn options_of_process(&self, random: &mut fastrand::Rng) -> Arc<Options> {
        let mut options = self.options();
        if let Some(identity) = options.facts.identity.as_mut().filter(|_| self.has_conflicts) {
            identity.stub_lifetime = time::Duration::from_days(random.i64(40..80));
        }
        Arc::new(options)
    }

    /// Returns the models.
    pub(crate) fn models(&self) -> &'static Arc<ModelSet> {
        if self.has_links { &persons::MODELS } else { &MODELS }
    }

    pub(crate) fn uses_wall_clock(&self) -> bool {
        self.clock_source == ClockSource::Wall
    }

    /// Returns the worker options.
    pub(crate) fn options(&self) -> Options {
        Options {
            topics: Topics {
                touchpoints: TOUCHPOINTS.into(),
                transitions: TRANSITIONS.into(),
                replay: REPLAY.into(),
                dead_letters: DEAD_LETTERS.into(),
                changelog: CHANGELOG.into(),
            },
            partitions: Some(self.partitions),
            clock_source: self.clock_source,
            // With event time as clock, wall time stays at the end of the run, so the limit would have no effect.
            max_ahead: time::Duration::from_millis(if self.uses_wall_clock() { 900_000 } else { i64::MAX }),
            facts: FactOptions {
                identity: self
                    .has_links
                    .then(|| IdentityOptions { stub_lifetime: STUB_LIFETIME, ..IdentityOptions::default() }),
                ..facts(self.forgets_customers)
            },
            // All transitions are live and go to one topic, so that their order per customer can be checked.
            fresh_for: time::Duration::from_days(100_000),
            commit_interval: Duration::from_millis(100),
            touchpoint_bytes_max: BYTES_MAX,
            state_bytes_max: usize::MAX,
            sweep: SweepOptions { log_bytes_min: 16 << 10, period: Duration::from_mins(10), step_bytes_min: 1000 },
            cloud_events: CloudEvents {
                source: "/simulation".to_owned(),
                with_subject: false,
                detail: HeaderDetail::Full,
            },
            publish: PublishOptions::default(),
            identity: self
                .has_links
                .then(|| IdentitySetup { hand_overs: HAND_OVERS.into(), blocked_ids: BlockedIds::default() }),
            direct: None,
        }
    }

    pub(crate) fn shared_options(&self) -> Arc<Options> {
        Arc::new(self.options())
    }
}
