//! A few partitions with a log of hand-overs each, which are delivered at random moments.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use fastrand::Rng;
use lifecycle_processor::lifecycle::identity::Identity;
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::lifecycle::transition::Transition;
use lifecycle_processor::partition::{CustomerView, Effects, Forwarding, HandOver, Input, Partition, Tally};
use lifecycle_processor::wire::changelog::{self, ChangelogDecoder};
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder};

use crate::oracle::touchpoint::Millis;

use super::{counted, decoder};

/// An entry of the log of hand-overs of a partition.
pub(super) enum Entry {
    HandOver(HandOver),
    /// A forwarded touchpoint.
    Forwarded(Forwarding, String),
}

pub(super) struct Member {
    pub(super) partition: Partition,
    pub(super) changelog: Vec<Vec<u8>>,
    pub(super) log: VecDeque<Entry>,
}

/// Partitions that hand over to each other.
pub(super) struct Cluster {
    pub(super) models: Arc<ModelSet>,
    pub(super) options: FactOptions,
    pub(super) decoder: TouchpointDecoder,
    pub(super) members: Vec<Member>,
    pub(super) transitions: Vec<Transition>,
    pub(super) tally: Tally,
    pub(super) seed: u64,
    pub(super) rng: Rng,
}

impl Cluster {
    pub(super) fn new(models: &Arc<ModelSet>, options: &FactOptions, partitions: usize, seed: u64) -> Self {
        let member = || Member {
            partition: Partition::new(Arc::clone(models), options.clone()),
            changelog: Vec::new(),
            log: VecDeque::new(),
        };
        Self {
            models: Arc::clone(models),
            options: options.clone(),
            decoder: decoder(models),
            members: (0..partitions).map(|_| member()).collect(),
            transitions: Vec::new(),
            tally: Tally::default(),
            seed,
            rng: Rng::with_seed(seed),
        }
    }

    pub(super) fn home(&self, id: &str) -> usize {
        id.bytes().map(usize::from).sum::<usize>() % self.members.len()
    }

    /// Applies a touchpoint, then some of the hand-overs that wait.
    pub(super) fn receive(&mut self, line: &str) {
        self.apply(line);
        while self.rng.bool() && self.deliver() {}
    }

    /// Applies a touchpoint, and delivers nothing.
    pub(super) fn apply(&mut self, line: &str) {
        let decoder = self.decoder.clone();
        let mut scratch = Scratch::default();
        let touchpoint =
            decoder.decode(line.as_bytes(), &mut scratch).unwrap_or_else(|error| panic!("{error:?}: {line}"));
        let home = self.home(touchpoint.customer_id);
        self.step(home, &Input::Touchpoint(&touchpoint), line);
    }

    /// Applies the next hand-over of a random partition. Returns `false` if none waits.
    pub(super) fn deliver(&mut self) -> bool {
        let waiting: Vec<usize> = (0..self.members.len()).filter(|&at| !self.members[at].log.is_empty()).collect();
        let Some(&at) = self.rng.choice(&waiting) else { return false };
        self.deliver_at(at);
        true
    }

    /// Applies the next hand-over of the partition `at`.
    pub(super) fn deliver_at(&mut self, at: usize) {
        match self.members[at].log.pop_front().expect("an entry") {
            Entry::HandOver(hand_over) => self.step(at, &Input::HandOver(&hand_over), ""),
            Entry::Forwarded(forwarding, line) => {
                let (seed, rounds) = (self.seed, forwarding.rounds);
                assert!(rounds < 1_000, "seed {seed}: it waits for facts that do not arrive: {forwarding:?} {line}");
                let decoder = self.decoder.clone();
                let mut scratch = Scratch::default();
                let touchpoint = decoder.decode(line.as_bytes(), &mut scratch).expect("it was decoded before");
                self.step(at, &Input::Forwarded { forwarding: &forwarding, touchpoint: &touchpoint }, &line);
            }
        }
    }

    /// Applies an input and commits it. Sometimes aborts it before, or restores the partition afterwards.
    pub(super) fn step(&mut self, at: usize, input: &Input<'_>, line: &str) {
        let member = &mut self.members[at];
        let mut effects = Effects::default();
        if self.rng.u8(..8) == 0 {
            member.partition.apply(*input, &mut effects);
            member.partition.write_batches(0);
            member.partition.abort();
            effects = Effects::default();
        }
        member.partition.apply(*input, &mut effects);
        for batch in member.partition.write_batches(0) {
            let progress = changelog::InputProgress::default();
            member.changelog.push(changelog::encode(member.partition.layout(), &batch, &progress));
        }
        member.partition.commit();
        if self.rng.u8(..8) == 0 {
            self.restore(at);
        }
        for hand_over in effects.hand_overs {
            let home = self.home(&hand_over.to);
            assert!(hand_over.rounds < 1_000, "seed {}: it goes in a circle: {hand_over:?}", self.seed);
            self.members[home].log.push_back(Entry::HandOver(hand_over));
        }
        if let Some(forwarding) = effects.forwarding {
            let home = self.home(&forwarding.to);
            self.members[home].log.push_back(Entry::Forwarded(forwarding, line.to_owned()));
        }
        self.transitions.extend(effects.transitions);
        assert_eq!(effects.links_refused.len() as u64, effects.tally.links_refused, "seed {}", self.seed);
        self.tally += effects.tally;
    }

    /// Replaces a partition by one restored from its changelog.
    pub(super) fn restore(&mut self, at: usize) {
        let member = &mut self.members[at];
        let mut restored = Partition::new(Arc::clone(&self.models), self.options.clone());
        let mut decoder = ChangelogDecoder::default();
        for record in &member.changelog {
            let record = decoder.decode(record).expect("a written record can be decoded");
            restored.restore(&record.layout, &record.customers).expect("a written record can be restored");
        }
        restored.end_restore(member.partition.clock(), Timestamp::MIN);
        let customers = |partition: &Partition| partition.customers().collect::<Vec<_>>();
        assert_eq!(customers(&restored), customers(&member.partition));
        assert_eq!(restored.stage_counts(), member.partition.stage_counts());
        assert_eq!((restored.len(), restored.live_bytes()), (member.partition.len(), member.partition.live_bytes()));
        member.partition = restored;
    }

    pub(super) fn deliver_all(&mut self) {
        while self.deliver() {}
    }

    pub(super) fn advance_time(&mut self, until: Millis) {
        let until = Timestamp::from_millis(until);
        for at in 0..self.members.len() {
            loop {
                let member = &mut self.members[at];
                if member.partition.next_wake_up().is_none_or(|due| due > until) {
                    break;
                }
                self.step(at, &Input::TimePassed { until, wake_ups_max: 7 }, "");
            }
        }
    }

    pub(super) fn customers(&self) -> BTreeMap<String, CustomerView> {
        let customers = self.members.iter().flat_map(|member| member.partition.customers());
        customers.map(|customer| (customer.customer_id.to_string(), customer)).collect()
    }

    /// Returns the number of touchpoints of each customer of the model `counting`.
    pub(super) fn counts(&self) -> Vec<(String, i64)> {
        self.customers().into_iter().map(|(id, view)| (id, counted(&view))).collect()
    }

    pub(super) fn identity(&self, id: &str) -> Option<Identity> {
        self.members[self.home(id)].partition.identity(id)
    }
}
