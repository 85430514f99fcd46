//! Drives a partition as the runtime does: JSON lines go through the decoder into the partition machine.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use lifecycle_processor::lifecycle::id::StageIndex;
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::lifecycle::transition::{Cause, Change, Transition};
use lifecycle_processor::partition::{CustomerView, Effects, Input, Partition, Tally};
use lifecycle_processor::wire::changelog::{self, ChangelogDecoder};
use lifecycle_processor::wire::model_file;
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

use crate::oracle::process::Publication;
use crate::oracle::touchpoint::Millis;

/// The shipped models, checked once.
pub(super) fn shipped() -> Arc<ModelSet> {
    static MODELS: OnceLock<Arc<ModelSet>> = OnceLock::new();
    let load = || {
        let models: Vec<_> = model_file::shipped_names()
            .iter()
            .map(|name| model_file::shipped(name).expect("it is a shipped model"))
            .collect();
        match model_file::load(&models, &model_file::shipped_catalogue(), &[]) {
            Ok((models, _)) => Arc::new(models),
            Err(problems) => panic!("the shipped models are rejected: {problems:#?}"),
        }
    };
    MODELS.get_or_init(load).clone()
}

/// A partition with everything that it published.
pub(super) struct Engine {
    models: Arc<ModelSet>,
    decoder: TouchpointDecoder,
    partition: Partition,
    effects: Effects,
    /// The committed changelog records.
    changelog: Vec<Vec<u8>>,
    /// The committed part of the effects: number of transitions, and tally.
    committed: (usize, Tally),
}

impl Engine {
    pub(super) fn new() -> Self {
        let models = shipped();
        Self {
            decoder: TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 20 }),
            partition: Partition::new(models.clone(), FactOptions::default()),
            effects: Effects::default(),
            changelog: Vec::new(),
            committed: (0, Tally::default()),
            models,
        }
    }

    /// Decodes a line and applies the touchpoint.
    pub(super) fn receive(&mut self, line: &str) {
        let mut scratch = Scratch::default();
        let touchpoint = self
            .decoder
            .decode(line.as_bytes(), &mut scratch)
            .unwrap_or_else(|error| panic!("a valid line was rejected: {error:?}\n{line}"));
        self.partition.apply(Input::Touchpoint(&touchpoint), &mut self.effects);
    }

    /// Advances time to `until`, with at most `wake_ups_max` wake-ups per input.
    pub(super) fn pass_time(&mut self, until: Millis, wake_ups_max: usize) {
        let until = Timestamp::from_millis(until);
        while self.partition.apply(Input::TimePassed { until, wake_ups_max }, &mut self.effects) {}
    }

    /// Returns the current view of a customer.
    pub(super) fn customer(&mut self, id: &str) -> Option<CustomerView> {
        // Queries see only committed state.
        self.commit();
        self.partition.customer(id)
    }

    /// Writes the changelog and commits the open batch.
    pub(super) fn commit(&mut self) {
        for batch in self.partition.write_batches(0) {
            self.changelog.push(changelog::encode(
                self.partition.layout(),
                &batch,
                &changelog::InputProgress::default(),
            ));
        }
        self.partition.commit();
        self.committed = (self.effects.transitions.len(), self.effects.tally);
    }

    /// Aborts the open batch; with `is_written` after its changelog records were encoded.
    pub(super) fn abort(&mut self, is_written: bool) {
        if is_written {
            self.partition.write_batches(0);
        }
        self.partition.abort();
        self.effects.transitions.truncate(self.committed.0);
        self.effects.tally = self.committed.1;
    }

    /// Crashes: replaces the partition by one restored from the committed changelog.
    pub(super) fn crash(&mut self) {
        self.effects.transitions.truncate(self.committed.0);
        self.effects.tally = self.committed.1;
        self.partition.abort();
        let clock = self.partition.clock();
        let mut restored = Partition::new(self.models.clone(), FactOptions::default());
        let mut decoder = ChangelogDecoder::default();
        for record in &self.changelog {
            let record = decoder.decode(record).expect("a written record can be decoded");
            restored.restore(&record.layout, &record.customers).expect("a written record can be restored");
        }
        restored.end_restore(clock, Timestamp::MIN);
        let before: Vec<_> = self.partition.customers().collect();
        assert_eq!(restored.customers().collect::<Vec<_>>(), before, "restored customers equal the committed ones");
        assert_eq!(restored.stage_counts(), self.partition.stage_counts());
        self.partition = restored;
    }

    /// Starts a sweep, which writes every customer to the changelog again.
    pub(super) fn begin_sweep(&mut self) {
        self.partition.begin_sweep();
    }

    /// Returns the stages of a customer, by model.
    pub(super) fn stages(&self, customer: &CustomerView) -> Vec<Option<&str>> {
        let models = self.models.models.iter().zip(&customer.models);
        models.map(|(model, view)| view.stage.map(|stage| &*model.stage(stage).name)).collect()
    }

    pub(super) fn tally(&self) -> Tally {
        self.effects.tally
    }

    pub(super) fn transitions(&self) -> &[Transition] {
        &self.effects.transitions
    }

    /// Returns everything published, by customer.
    pub(super) fn publications(&self) -> BTreeMap<String, Vec<Publication>> {
        let mut publications: BTreeMap<String, Vec<Publication>> = BTreeMap::new();
        for transition in &self.effects.transitions {
            publications.entry(transition.customer_id.to_string()).or_default().push(self.publication(transition));
        }
        publications
    }

    fn publication(&self, transition: &Transition) -> Publication {
        let model = self.models.model(transition.model);
        let stage = |stage: StageIndex| model.stage(stage).name.to_string();
        let mut publication = Publication {
            model: model.name.to_string(),
            kind: transition.change.kind(),
            name: transition.name.to_string(),
            from: None,
            to: None,
            skipped: Vec::new(),
            direction: None,
            count: None,
            occurred_at: transition.occurred_at.as_millis(),
            cause: match &transition.cause {
                Cause::Time => None,
                Cause::Touchpoint { event_id, type_name } => Some((event_id.to_string(), type_name.to_string())),
            },
            late: transition.late,
            sequence: transition.sequence,
            previous_since: None,
            orders: (
                transition.orders.count,
                transition.orders.revenue.as_micros(),
                transition.orders.last.map(Timestamp::as_millis),
            ),
        };
        match &transition.change {
            Change::Stage { from, to, skipped, direction, previous_since } => {
                publication.from = from.map(stage);
                publication.to = to.map(stage);
                publication.skipped = skipped.iter().copied().map(stage).collect();
                publication.direction = Some(direction.as_str());
                publication.previous_since = from.and(previous_since.map(Timestamp::as_millis));
            }
            Change::Counter { count } => publication.count = Some(*count),
            Change::Signal { .. } | Change::Milestone => {}
        }
        publication
    }
}
