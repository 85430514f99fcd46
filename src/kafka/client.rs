//! A member of the group over librdkafka: a consumer, a transactional producer, and a reader of the changelog.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::admin;
use super::changelog_reader::ChangelogReader;
use super::error::{Error, Reaction};
use super::group_reader::GroupReader;
use super::member::{CommittedOffset, Event, Member, Outgoing, PartitionId, PartitionOffset, Record};
use super::producer::TransactionalProducer;
use super::settings::Options;
use super::succession::Succession;

/// How long a client that nobody told to leave may take to do so when it is dropped.
const LEAVE_DEADLINE: Duration = Duration::from_secs(5);

/// A static member that is shut out again within this time has a twin, and stops.
const REJOIN_INTERVAL: Duration = Duration::from_mins(5);

/// One member of the group, connected.
pub struct Client {
    options: Options,
    /// `None` once the member has left.
    connected: Option<Connected>,
    /// When the open transaction began.
    begun: Instant,
    /// Of the partitions gained last.
    succession: Option<Succession>,
    /// Whether the last question for committed offsets was asked in vain.
    is_held_up: bool,
    /// When the member last joined anew because the group took somebody else for it.
    rejoined_at: Option<Instant>,
}

struct Connected {
    input: GroupReader,
    output: TransactionalProducer,
    changelog: ChangelogReader,
}

impl Client {
    /// Joins the group, and ends whatever an earlier producer of the same transactional id left open.
    ///
    /// # Errors
    /// `Fatal` when options are refused or rights are missing; `Retry` while the brokers do not answer.
    pub fn connect(options: Options) -> Result<Self, Error> {
        options.check()?;
        // The producer first: while it waits for its brokers the group must not wait for us.
        let output = TransactionalProducer::start(&options)?;
        let changelog = ChangelogReader::new(&options)?;
        let input = GroupReader::join(&options)?;
        Ok(Self {
            options,
            connected: Some(Connected { input, output, changelog }),
            begun: Instant::now(),
            succession: None,
            is_held_up: false,
            rejoined_at: None,
        })
    }

    /// A static member is shut out by another of its name, but also by itself: a request to join that the client has
    /// repeated, after an answer was lost, comes from somebody else in the eyes of the group. So once is no proof.
    fn may_rejoin(&self) -> bool {
        self.rejoined_at.is_none_or(|at| at.elapsed() >= REJOIN_INTERVAL)
    }

    /// Joins the group anew; whatever the member had is lost.
    fn rejoin(&mut self, why: &str) -> Result<Vec<Event>, Error> {
        tracing::warn!(target: "kafka", member = self.options.member, why, "the member joins the group anew");
        let input = GroupReader::join(&self.options)?;
        let mut old = std::mem::replace(&mut self.connected().input, input);
        let lost = old.held();
        // Closing waits for the brokers; nobody needs to wait with it.
        thread::spawn(move || {
            old.begin_closing();
            drop(old);
        });
        Ok(if lost.is_empty() { Vec::new() } else { vec![Event::Lost(lost)] })
    }

    fn connected(&mut self) -> &mut Connected {
        self.connected.as_mut().expect("a member that has left is not used again")
    }

    /// Passes a result on, and tells whoever wants to know of an error.
    fn told<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.inspect_err(|error| (self.options.on_error)(error))
    }
}

impl Member for Client {
    fn name(&self) -> &str {
        &self.options.member
    }

    fn poll(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<Event>, Error> {
        if self.connected().input.is_in_doubt() {
            return self.rejoin("nothing was heard of the membership for most of a session");
        }
        let events = match self.connected().input.poll(records_max, timeout) {
            Err(error) if error.is_fenced_membership() && self.may_rejoin() => {
                self.rejoined_at = Some(Instant::now());
                return self.rejoin(
                    "the group takes somebody else for it; when that comes again soon it stops, since then two instances have \
                     the same kafka.group_id and kafka.instance_id",
                );
            }
            polled => self.told(polled)?,
        };
        for event in &events {
            if let Event::Gained(partitions) = event {
                self.succession = Some(Succession::begin(&self.options, partitions.clone()));
            }
        }
        Ok(events)
    }

    fn assign(&mut self, positions: &[PartitionOffset]) -> Result<(), Error> {
        let result = self.connected().input.assign(positions);
        self.told(result)
    }

    fn release(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        let result = self.connected().input.release(partitions);
        self.told(result)
    }

    fn pause(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        let result = self.connected().input.pause(partitions);
        self.told(result)
    }

    fn resume(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        let result = self.connected().input.resume(partitions);
        self.told(result)
    }

    fn rewind(&mut self, positions: &[PartitionOffset]) -> Result<(), Error> {
        let result = self.connected().input.rewind(positions);
        self.told(result)
    }

    fn committed(&mut self, partitions: &[PartitionId]) -> Result<Vec<CommittedOffset>, Error> {
        if self.is_held_up && self.succession.as_ref().is_some_and(|it| !it.is_over()) {
            // The question would only keep the other partitions waiting.
            let message = "a former owner's transaction is being ended";
            return Err(Error::new(Reaction::Retry, "committed", "UnstableOffsetCommit", message));
        }
        let committed = self.connected().input.committed(partitions);
        self.is_held_up = committed.is_err();
        self.told(committed)
    }

    fn input_range(&mut self, partition: PartitionId) -> Result<(i64, i64), Error> {
        let result = self.connected().input.range(partition);
        self.told(result)
    }

    fn input_partitions(&mut self) -> Option<usize> {
        self.connected().input.partitions_seen()
    }

    fn waited(&mut self) -> Duration {
        self.connected().input.waited()
    }

    fn end_seen(&mut self, partition: PartitionId) -> Option<i64> {
        self.connected().input.end_seen(partition)
    }

    fn has_read_to(&mut self, partition: PartitionId, end: i64) -> bool {
        self.connected().input.has_read_to(partition, end)
    }

    fn changelog_range(&mut self, partition: PartitionId) -> Result<(i64, i64), Error> {
        let result = self.connected().changelog.range(partition);
        self.told(result)
    }

    fn open_changelog(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error> {
        let result = self.connected().changelog.open(partition, offset);
        self.told(result)
    }

    fn read_changelog(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<Record>, Error> {
        let result = self.connected().changelog.read(records_max, timeout);
        self.told(result)
    }

    fn has_read_changelog_to(&mut self, partition: PartitionId, end: i64) -> bool {
        self.connected().changelog.has_read_to(partition, end)
    }

    fn close_changelog(&mut self, partition: PartitionId) -> Result<(), Error> {
        let result = self.connected().changelog.close(partition);
        self.told(result)
    }

    fn truncate_changelog(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error> {
        self.told(admin::delete_records(&self.options.cluster(), &self.options.changelog_topic, partition, offset))
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.begun = Instant::now();
        let connected = self.connected.as_mut().expect("a member that has left is not used again");
        let renewed = connected.output.renew_after_repetition(&self.options);
        let result = renewed.and_then(|()| connected.output.begin());
        self.told(result)
    }

    fn send(&mut self, records: Vec<Outgoing>) -> Result<Vec<i64>, Error> {
        let result = self.connected().output.send(&records);
        self.told(result)
    }

    fn send_offsets(&mut self, offsets: &[(PartitionOffset, String)]) -> Result<(), Error> {
        let topic = self.options.input_topic.clone();
        let connected = self.connected();
        // Taken for each transaction anew: the broker refuses those of an earlier generation.
        let generation = connected.input.generation();
        let result = generation.and_then(|it| connected.output.send_offsets(&topic, offsets, &it));
        self.told(result)
    }

    fn commit(&mut self) -> Result<(), Error> {
        let result = self.connected().output.commit();
        if result.is_ok() {
            (self.options.on_commit)(self.begun.elapsed());
        }
        self.told(result)
    }

    fn abort(&mut self) -> Result<(), Error> {
        let result = self.connected().output.abort();
        self.told(result)
    }

    fn renew(&mut self) -> Result<(), Error> {
        let connected = self.connected.as_mut().expect("a member that has left is not used again");
        let result = connected.output.renew(&self.options);
        self.told(result)
    }

    fn leave(&mut self, deadline: Duration) {
        let Some(mut connected) = self.connected.take() else { return };
        // Closing a client waits for its brokers, and may do so for ever: it is another thread that waits.
        let (left, has_left) = mpsc::channel();
        thread::spawn(move || {
            connected.input.begin_closing();
            drop(connected.input);
            // The group is told; the rest leaves no trace anywhere.
            let _nobody_waits_any_more = left.send(());
            drop(connected.output);
            drop(connected.changelog);
        });
        if has_left.recv_timeout(deadline).is_err() {
            tracing::warn!(target: "kafka", ?deadline, "left the group without its knowing: its coordinator did not answer");
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.leave(LEAVE_DEADLINE);
    }
}
