//! Makes Kafka records of what a batch asks for: transitions, dead letters, changelog batches, offset metadata.

use std::sync::Arc;

use crate::kafka::{Outgoing, PartitionId, RecordHeader};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::Transition;
use crate::partition::DeadLetter;
use crate::wire::dead_letter::{self, Origin};
use crate::wire::header::Header;
use crate::wire::transition::{Mode, Publication};
use crate::wire::{changelog, transition_json};

use super::held::{Held, SetAside};
use super::options::Options;
use super::recent;
use super::uncounted::TopicKind;

/// What a transition takes in a record at most as a rule, beside the ids and the values that it names.
const TRANSITION_BYTES: usize = 700;

/// About how many bytes `transitions` come to, so that a transaction can be kept from growing too large before they are written.
pub(super) fn bytes_of(transitions: &[Transition]) -> usize {
    transitions.iter().map(|transition| TRANSITION_BYTES + 2 * transition.customer_id.len()).sum()
}

/// Makes Kafka records. All bear the wall clock as Kafka's timestamp: by event time the broker's retention would delete
/// transitions of replayed history at once.
#[derive(Debug)]
pub(super) struct Publisher {
    models: Arc<ModelSet>,
    options: Arc<Options>,
}

/// What a partition adds to a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Written {
    /// The place of the last changelog record among the transaction's records.
    pub(super) last_changelog_record: Option<usize>,
    /// How many bytes of changelog.
    pub(super) changelog_bytes: u64,
}

impl Publisher {
    /// A publisher of what `models` say.
    pub(super) fn new(models: Arc<ModelSet>, options: Arc<Options>) -> Self {
        Self { models, options }
    }

    /// Appends the records that `held` asks for to `records`.
    pub(super) fn write(&self, held: &mut Held, wall: Timestamp, records: &mut Vec<Outgoing>) -> Written {
        held.published_at = wall;
        held.uncounted.begin_writing();
        for transition in &held.effects.transitions {
            let mode = self.mode(transition, wall);
            let record = self.transition(transition, mode, wall);
            held.uncounted.write(TopicKind::of(mode), &record);
            records.push(record);
        }
        assert_eq!(held.effects.dead_letters.len(), held.set_aside.len(), "every dead letter has its record");
        for (letter, aside) in held.effects.dead_letters.iter().zip(held.set_aside.drain(..)) {
            let record = self.dead_letter(*letter, aside, wall);
            held.uncounted.write(TopicKind::DeadLetters, &record);
            records.push(record);
        }
        let mut written = Written { last_changelog_record: None, changelog_bytes: 0 };
        for batch in held.machine.write_batches(self.options.sweep.step_bytes_min) {
            let value = changelog::encode(held.machine.layout(), &batch);
            written.changelog_bytes += u64::try_from(value.len()).unwrap_or(u64::MAX);
            written.last_changelog_record = Some(records.len());
            let record = self.changelog(held.committed.partition, value, wall);
            held.uncounted.write(TopicKind::Changelog, &record);
            records.push(record);
        }
        written
    }

    /// On which occasion `transition` is published at `wall`.
    pub(super) fn mode(&self, transition: &Transition, wall: Timestamp) -> Mode {
        recent::mode(transition, wall, self.options.fresh_for)
    }

    fn transition(&self, transition: &Transition, mode: Mode, wall: Timestamp) -> Outgoing {
        let publication = Publication {
            transition,
            models: &self.models,
            detected_at: wall,
            mode,
            currency: self.options.facts.currency,
        };
        let mut value = Vec::new();
        transition_json::write_json(&publication, &mut value);
        let topic = match mode {
            Mode::Live => &self.options.topics.transitions,
            Mode::Replay | Mode::Reconcile => &self.options.topics.replay,
        };
        Outgoing {
            topic: Arc::clone(topic),
            partition: None,
            key: Some(transition.customer_id.as_bytes().to_vec()),
            value: Some(value),
            headers: ours(self.options.cloud_events.headers(&publication, "application/json")),
            timestamp_ms: wall.as_millis(),
        }
    }

    fn dead_letter(&self, letter: DeadLetter, aside: SetAside, wall: Timestamp) -> Outgoing {
        let SetAside { mut record, detail } = aside;
        let origin = Origin {
            topic: &self.options.topics.touchpoints,
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
        };
        let mut original: Vec<_> =
            record.headers.into_iter().map(|RecordHeader { name, value }| Header { name, value }).collect();
        let cut = dead_letter::cut(&mut record.key, &mut record.value, &mut original);
        let mut headers = dead_letter::headers(original, origin, letter.reason, &detail);
        headers.extend(cut);
        Outgoing {
            topic: Arc::clone(&self.options.topics.dead_letters),
            partition: None,
            key: record.key,
            value: record.value,
            headers: ours(headers),
            timestamp_ms: wall.as_millis(),
        }
    }

    fn changelog(&self, partition: PartitionId, value: Vec<u8>, wall: Timestamp) -> Outgoing {
        Outgoing {
            topic: Arc::clone(&self.options.topics.changelog),
            partition: Some(partition),
            key: None,
            value: Some(value),
            headers: Vec::new(),
            timestamp_ms: wall.as_millis(),
        }
    }
}

fn ours(headers: Vec<Header>) -> Vec<RecordHeader> {
    headers.into_iter().map(|Header { name, value }| RecordHeader { name, value }).collect()
}
