//! Tests the member that is implemented with librdkafka on a real broker: the guarantees that exactly-once depends on
//! and that the simulation assumes.
#![expect(clippy::unwrap_used, reason = "an unexpected error fails the test")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lifecycle_processor::kafka::cluster::group::describe_group;
use lifecycle_processor::kafka::partitioner::partition_of;
use lifecycle_processor::kafka::{
    Client, Cluster, Error, Event, Member, Options, PartitionId, PartitionOffset, ProducerRecord, Reaction, Record,
};

use lifecycle_processor::wire::offset_metadata;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::types::RDKafkaRespErr;

use crate::broker::{self, NewRecord, until};

const POLL: Duration = Duration::from_millis(50);

/// The topics and the group of one test.
struct Fixture {
    input: String,
    changelog: String,
    output: String,
    group: String,
}

impl Fixture {
    fn new(partitions: i32) -> Self {
        Self {
            input: broker::topic("input", partitions),
            changelog: broker::changelog_topic(partitions),
            output: broker::topic("output", 1),
            group: broker::unique("group"),
        }
    }

    fn options(&self, member: &str) -> Options {
        let mut options = Options::new(broker::bootstrap(), &self.group, member, &self.input, &self.changelog);
        options.session_timeout = Duration::from_secs(6);
        options
    }

    fn member(&self, name: &str) -> Client {
        Client::connect(self.options(name)).expect("the member connects")
    }

    fn record(&self, value: &str) -> ProducerRecord {
        outgoing(&self.output, None, Some(value), value)
    }

    fn changelog_record(&self, partition: PartitionId, value: &str) -> ProducerRecord {
        outgoing(&self.changelog, Some(partition), None, value)
    }
}

fn outgoing(topic: &str, partition: Option<PartitionId>, key: Option<&str>, value: &str) -> ProducerRecord {
    ProducerRecord {
        topic: Arc::from(topic),
        partition,
        key: key.map(|it| it.as_bytes().to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: Vec::new(),
        timestamp_ms: 1_700_000_000_000,
    }
}

fn at(partition: PartitionId, offset: i64) -> PartitionOffset {
    PartitionOffset { partition, offset }
}

fn values(records: &[Record]) -> Vec<String> {
    records.iter().map(|it| String::from_utf8_lossy(it.value.as_deref().unwrap_or_default()).into_owned()).collect()
}

/// Waits until the group assigns partitions to `member`, and accepts them as the worker does.
fn join(member: &mut Client) -> Vec<PartitionId> {
    until("the group assigns partitions", || {
        for event in member.poll(100, POLL).expect("poll succeeds") {
            if let Event::Assigned(assigned) = event {
                let positions: Vec<PartitionOffset> = assigned.iter().map(|it| at(*it, 0)).collect();
                member.assign(&positions).expect("partitions are accepted");
                return Some(assigned);
            }
        }
        None
    })
}

/// Waits for an assignment and resumes it from the committed offsets.
fn join_and_resume(member: &mut Client) -> Vec<PartitionId> {
    let assigned = join(member);
    let positions: Vec<PartitionOffset> =
        until("the committed offsets are stable", || match member.committed(&assigned) {
            Ok(committed) => Some(committed.iter().map(|it| at(it.partition, it.offset.unwrap_or(0))).collect()),
            Err(error) if error.reaction == Reaction::Retry => None,
            Err(error) => panic!("{error}"),
        });
    member.seek(&positions).expect("the seek succeeds");
    member.resume(&assigned).expect("the partitions are resumed");
    assigned
}

/// Polls until at least `count` records were returned.
fn read(member: &mut Client, count: usize) -> Vec<Record> {
    let mut read = Vec::new();
    until("the records are returned", || {
        for event in member.poll(1000, POLL).expect("poll succeeds") {
            match event {
                Event::Records(records) => read.extend(records),
                Event::ReachedEnd(_) => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
        (read.len() >= count).then_some(())
    });
    read
}

fn committed(member: &mut Client, partition: PartitionId) -> (Option<i64>, String) {
    until("the committed offset is stable", || match member.committed(&[partition]) {
        Ok(committed) => Some((committed[0].offset, committed[0].metadata.clone())),
        Err(error) if error.reaction == Reaction::Retry => None,
        Err(error) => panic!("{error}"),
    })
}

#[test]
fn a_transaction_commits_records_offsets_and_metadata_together() {
    let fixture = Fixture::new(1);
    broker::produce(&fixture.input, &[NewRecord::to(0, "one"), NewRecord::to(0, "two")]);
    let mut member = fixture.member("a");
    assert_eq!(join_and_resume(&mut member), [0]);
    let records = read(&mut member, 2);
    assert_eq!(values(&records), ["one", "two"]);
    assert_eq!(committed(&mut member, 0), (None, String::new()));

    member.begin().unwrap();
    let mut with_headers = fixture.record("first");
    with_headers.headers =
        vec![lifecycle_processor::kafka::RecordHeader { name: "k".into(), value: Some(b"v".to_vec()) }];
    let sent = vec![with_headers, fixture.changelog_record(0, "state"), fixture.record("second")];
    assert_eq!(member.send(sent).unwrap(), [0, 0, 1], "the offsets are in the order of the records");
    let text = "x".repeat(3_990) + "стади";
    assert_eq!(text.len(), 4_000, "the maximum size of metadata");
    member.send_offsets(&[(at(0, 2), text.clone())]).unwrap();
    member.commit().unwrap();

    assert_eq!(committed(&mut member, 0), (Some(2), text));
    let seen = broker::read_committed(&fixture.output);
    assert_eq!(seen.iter().map(broker::ConsumedRecord::text).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(seen[0].headers, [("k".to_owned(), b"v".to_vec())]);
    assert_eq!(seen[0].timestamp_ms, Some(1_700_000_000_000));
    member.leave(Duration::from_secs(5));

    // Another member continues after the committed offset.
    broker::produce(&fixture.input, &[NewRecord::to(0, "three")]);
    let mut next = fixture.member("b");
    join_and_resume(&mut next);
    assert_eq!(values(&read(&mut next, 1)), ["three"]);
}

#[test]
fn an_aborted_transaction_has_no_effect() {
    let fixture = Fixture::new(1);
    broker::produce(&fixture.input, &[NewRecord::to(0, "one")]);
    let mut member = fixture.member("a");
    join_and_resume(&mut member);
    read(&mut member, 1);
    member.begin().unwrap();
    member.send(vec![fixture.record("never seen")]).unwrap();
    member.send_offsets(&[(at(0, 1), "never seen".to_owned())]).unwrap();
    member.abort().unwrap();
    assert_eq!(committed(&mut member, 0), (None, String::new()));

    member.seek(&[at(0, 0)]).unwrap();
    assert_eq!(values(&read(&mut member, 1)), ["one"], "a seek returns the record again");
    member.begin().unwrap();
    member.send(vec![fixture.record("seen")]).unwrap();
    member.send_offsets(&[(at(0, 1), "seen".to_owned())]).unwrap();
    member.commit().unwrap();
    assert_eq!(committed(&mut member, 0), (Some(1), "seen".to_owned()));
    let seen = broker::read_committed(&fixture.output);
    assert_eq!(seen.iter().map(broker::ConsumedRecord::text).collect::<Vec<_>>(), ["seen"]);
}

#[test]
fn resetting_the_producer_aborts_its_open_transaction_and_the_offset_shows_the_outcome() {
    let fixture = Fixture::new(1);
    let mut member = fixture.member("a");
    join_and_resume(&mut member);
    member.begin().unwrap();
    member.send(vec![fixture.record("left open")]).unwrap();
    member.send_offsets(&[(at(0, 7), "left open".to_owned())]).unwrap();
    member.reset_producer().unwrap();
    assert_eq!(committed(&mut member, 0), (None, String::new()), "the open transaction was aborted");

    member.begin().unwrap();
    member.send(vec![fixture.record("after")]).unwrap();
    member.send_offsets(&[(at(0, 8), "after".to_owned())]).unwrap();
    member.commit().unwrap();
    assert_eq!(committed(&mut member, 0).0, Some(8));
    let seen = broker::read_committed(&fixture.output);
    assert_eq!(seen.iter().map(broker::ConsumedRecord::text).collect::<Vec<_>>(), ["after"]);
}

#[test]
fn a_second_producer_with_the_same_transactional_id_fences_the_first() {
    let fixture = Fixture::new(1);
    let mut first = fixture.member("a");
    join_and_resume(&mut first);
    first.begin().unwrap();
    first.send(vec![fixture.record("of the first")]).unwrap();
    // Only the producer is shared, not the group membership.
    let _second = broker::producer(Some(&format!("{}-a", fixture.group)));
    let error = first
        .send(vec![fixture.record("of the first again")])
        .and_then(|_| first.send_offsets(&[(at(0, 1), String::new())]))
        .and_then(|()| first.commit())
        .unwrap_err();
    assert_eq!(error.reaction, Reaction::ResetProducer, "{error}");
    assert!(error.fenced, "{error}");
    assert_eq!(committed(&mut first, 0).0, None);
    assert!(broker::read_committed(&fixture.output).is_empty());
    first.reset_producer().unwrap();
    first.begin().unwrap();
    first.send(vec![fixture.record("of the first, after the reset")]).unwrap();
    first.commit().unwrap();
    assert_eq!(broker::read_committed(&fixture.output).len(), 1);
}

/// A transaction timeout longer than any wait of a test: a transaction that ends sooner was not aborted by the broker's
/// timeout.
const LONG_TRANSACTION: Duration = Duration::from_mins(2);

/// Runs a member that commits once and then leaves a transaction open with records, changelog and offsets in it.
fn leave_transaction_open(fixture: &Fixture) {
    let mut options = fixture.options("a");
    options.transaction_timeout = LONG_TRANSACTION;
    let mut member = Client::connect(options).unwrap();
    join_and_resume(&mut member);
    member.begin().unwrap();
    member.send_offsets(&[(at(0, 1), "lifecycle=1 by=a".to_owned())]).unwrap();
    member.commit().unwrap();
    member.begin().unwrap();
    member.send(vec![fixture.record("never committed"), fixture.changelog_record(0, "neither")]).unwrap();
    member.send_offsets(&[(at(0, 2), "lifecycle=1 by=a".to_owned())]).unwrap();
}

#[test]
fn the_next_owner_aborts_the_open_transaction_of_a_dead_owner() {
    let fixture = Fixture::new(1);
    leave_transaction_open(&fixture);
    let mut options = fixture.options("b");
    options.owner_of = offset_metadata::owner_of;
    let mut next_owner = Client::connect(options).unwrap();
    join(&mut next_owner);
    assert_eq!(committed(&mut next_owner, 0), (Some(1), "lifecycle=1 by=a".to_owned()));
    next_owner.begin().unwrap();
    next_owner.send(vec![fixture.record("of the next owner")]).unwrap();
    next_owner.send_offsets(&[(at(0, 2), "lifecycle=1 by=b".to_owned())]).unwrap();
    next_owner.commit().unwrap();
    until("consumers see the record after the open transaction", || {
        (broker::read_committed(&fixture.output).len() == 1).then_some(())
    });
    assert_eq!(committed(&mut next_owner, 0).0, Some(2));
}

#[test]
fn a_previous_owner_that_is_still_in_the_group_is_not_fenced() {
    let fixture = Fixture::new(2);
    let mut options = fixture.options("a");
    options.owner_of = offset_metadata::owner_of;
    let mut member = Client::connect(options).unwrap();
    assert_eq!(join_and_resume(&mut member).len(), 2);
    member.begin().unwrap();
    member
        .send_offsets(&[(at(0, 1), "lifecycle=1 by=a".to_owned()), (at(1, 1), "lifecycle=1 by=a".to_owned())])
        .unwrap();
    member.commit().unwrap();
    let mut options = fixture.options("b");
    options.owner_of = offset_metadata::owner_of;
    let mut other = Client::connect(options).unwrap();
    let moved = until("a partition is revoked", || {
        assert_eq!(other.poll(10, POLL).unwrap(), []);
        member.poll(10, POLL).unwrap().into_iter().find_map(|event| match event {
            Event::Revoked(partitions) => Some(partitions),
            _ => None,
        })
    });
    // This transaction writes to the changelog of the moved partition, and is still open when the next owner starts.
    member.unassign(&moved).unwrap();
    member.begin().unwrap();
    member.send(moved.iter().map(|it| fixture.changelog_record(*it, "open")).collect()).unwrap();
    let assigned = until("the partition is assigned to the other member", || {
        member.poll(10, POLL).unwrap();
        other.poll(10, POLL).unwrap().into_iter().find_map(|event| match event {
            Event::Assigned(partitions) => Some(partitions),
            _ => None,
        })
    });
    assert_eq!(assigned, moved);
    other.assign(&[at(assigned[0], 0)]).unwrap();
    // Keep polling for longer than fencing a dead owner takes.
    let started = std::time::Instant::now();
    while started.elapsed() < Duration::from_secs(4) {
        member.poll(10, POLL).unwrap();
        other.poll(10, POLL).unwrap();
    }
    member.commit().expect("the producer is not fenced");
}

#[test]
fn a_revoked_partition_moves_only_after_the_worker_unassigns_it() {
    let fixture = Fixture::new(4);
    let mut first = fixture.member("a");
    let mut owned = join_and_resume(&mut first);
    owned.sort_unstable();
    assert_eq!(owned, [0, 1, 2, 3]);

    let mut second = fixture.member("b");
    let mut revoked = Vec::new();
    until("partitions of the first member are revoked", || {
        for event in first.poll(10, POLL).unwrap() {
            if let Event::Revoked(partitions) = event {
                revoked = partitions;
            }
        }
        for event in second.poll(10, POLL).unwrap() {
            assert!(!matches!(event, Event::Assigned(_)), "nothing is unassigned yet: {event:?}");
        }
        (!revoked.is_empty()).then_some(())
    });
    assert_eq!(revoked.len(), 2);

    // Until it unassigns the partition, the first member may still commit for it under its generation.
    first.begin().unwrap();
    first.send(vec![fixture.record("last commit")]).unwrap();
    first.send_offsets(&[(at(revoked[0], 5), "last commit".to_owned())]).unwrap();
    first.commit().unwrap();
    for _ in 0..10 {
        first.poll(10, POLL).unwrap();
        for event in second.poll(10, POLL).unwrap() {
            assert!(!matches!(event, Event::Assigned(_)), "nothing is unassigned yet: {event:?}");
        }
    }

    // The rebalance continues only after every revoked partition is unassigned.
    first.unassign(&revoked[..1]).unwrap();
    first.unassign(&revoked[1..]).unwrap();
    let assigned = until("the second member is assigned the partitions", || {
        first.poll(10, POLL).unwrap();
        second.poll(10, POLL).unwrap().into_iter().find_map(|event| match event {
            Event::Assigned(assigned) => Some(assigned),
            _ => None,
        })
    });
    let mut expected = revoked.clone();
    expected.sort_unstable();
    let mut got = assigned.clone();
    got.sort_unstable();
    assert_eq!(got, expected);
    second.assign(&assigned.iter().map(|it| at(*it, 0)).collect::<Vec<_>>()).unwrap();
    assert_eq!(committed(&mut second, revoked[0]), (Some(5), "last commit".to_owned()));

    // When the first member leaves, the second is assigned the rest.
    first.leave(Duration::from_secs(5));
    let rest = join(&mut second);
    assert_eq!(rest.len(), 2);
    assert!(rest.iter().all(|it| !assigned.contains(it)));
}

#[test]
fn a_partition_that_was_paused_when_revoked_is_fetched_after_it_is_assigned_again() {
    let fixture = Fixture::new(2);
    broker::produce(&fixture.input, &[NewRecord::to(0, "one"), NewRecord::to(1, "two")]);
    let mut first = fixture.member("a");
    let mut owned = join_and_resume(&mut first);
    owned.sort_unstable();
    assert_eq!(owned, [0, 1]);
    read(&mut first, 2);
    first.pause(&[0, 1]).unwrap();

    let mut second = fixture.member("b");
    let moved = until("the second member has a partition", || {
        let revoked = first.poll(10, POLL).unwrap().into_iter().find_map(|event| match event {
            Event::Revoked(revoked) => Some(revoked),
            _ => None,
        });
        if let Some(revoked) = &revoked {
            first.unassign(revoked).unwrap();
        }
        second.poll(10, POLL).unwrap().into_iter().find_map(|event| match event {
            Event::Assigned(assigned) => Some(assigned),
            _ => None,
        })
    });
    drop(second);
    assert_eq!(join_and_resume(&mut first), moved);
    broker::produce(&fixture.input, &[NewRecord::to(moved[0], "three")]);
    // No offset was committed, so the partition is read from the beginning.
    assert_eq!(read(&mut first, 2).len(), 2);
}

#[test]
fn trailing_control_records_count_as_read() {
    let fixture = Fixture::new(2);
    broker::produce_committed(&fixture.input, &[NewRecord::to(0, "a"), NewRecord::to(0, "b")]);
    broker::produce_aborted(&fixture.input, &[NewRecord::to(0, "aborted")]);
    let mut member = fixture.member("a");
    join_and_resume(&mut member);
    let (start, end) = member.input_range(0).unwrap();
    assert_eq!((start, end), (0, 5), "two records, an aborted one, and two control records");
    assert!(!member.has_read_to(0, end));
    let records = read(&mut member, 2);
    assert_eq!(values(&records), ["a", "b"]);
    assert!(member.has_read_to(0, 2));
    until("the end counts as read", || {
        assert!(member.poll(10, POLL).unwrap().iter().all(|it| !matches!(it, Event::Records(_))));
        member.has_read_to(0, end).then_some(())
    });
    assert!(!member.has_read_to(0, end + 1));
    assert!(member.has_read_to(1, 0), "an empty partition has nothing unread");

    // A new record counts as read only after it was returned.
    broker::produce_committed(&fixture.input, &[NewRecord::to(0, "c")]);
    let (_, end) = member.input_range(0).unwrap();
    until("the new end is read", || {
        assert!(!member.has_read_to(0, end), "the record was not returned yet");
        let events = member.poll(1, POLL).unwrap();
        events.iter().any(|it| matches!(it, Event::Records(_))).then_some(())
    });
    until("the new end counts as read", || {
        member.poll(10, POLL).unwrap();
        member.has_read_to(0, end).then_some(())
    });

    // After a seek the records from there on are unread again.
    member.seek(&[at(0, 1)]).unwrap();
    assert!(!member.has_read_to(0, 2));
    assert_eq!(values(&read(&mut member, 2)), ["b", "c"]);
    until("the end counts as read again", || {
        member.poll(10, POLL).unwrap();
        member.has_read_to(0, end).then_some(())
    });
}

#[test]
fn records_after_the_last_stable_offset_are_not_returned_but_part_of_the_range() {
    let fixture = Fixture::new(1);
    broker::produce(&fixture.input, &[NewRecord::to(0, "before")]);
    let writer = broker::producer(Some(&broker::unique("writer")));
    rdkafka::producer::Producer::begin_transaction(&writer).unwrap();
    broker::write(&writer, &fixture.input, &[NewRecord::to(0, "open")]);
    broker::produce(&fixture.input, &[NewRecord::to(0, "after")]);
    let mut member = fixture.member("a");
    join_and_resume(&mut member);
    assert_eq!(member.input_range(0).unwrap(), (0, 3), "the end is the high watermark");
    assert_eq!(values(&read(&mut member, 1)), ["before"]);
    assert!(member.has_read_to(0, 1) && !member.has_read_to(0, 3));
    rdkafka::producer::Producer::commit_transaction(&writer, broker::TIMEOUT).unwrap();
    assert_eq!(values(&read(&mut member, 2)), ["open", "after"]);
}

#[test]
fn paused_partitions_return_nothing_and_lose_nothing() {
    let fixture = Fixture::new(2);
    let some: Vec<NewRecord> =
        (0..50).flat_map(|i| [NewRecord::to(0, &format!("{i}")), NewRecord::to(1, &format!("{i}"))]).collect();
    broker::produce(&fixture.input, &some);
    let mut member = fixture.member("a");
    join_and_resume(&mut member);
    let mut next = [0_i64, 0_i64];
    let mut take = |member: &mut Client, allowed: &[PartitionId]| {
        for event in member.poll(7, POLL).unwrap() {
            let Event::Records(records) = event else { continue };
            assert!(records.len() <= 7);
            for record in records {
                assert!(allowed.contains(&record.partition), "partition {} is paused", record.partition);
                let next = &mut next[usize::try_from(record.partition).unwrap()];
                assert_eq!(record.offset, *next, "records are in order, without a gap or a duplicate");
                *next += 1;
            }
        }
        next
    };
    for _ in 0..3 {
        take(&mut member, &[0, 1]);
        member.pause(&[0]).unwrap();
        member.pause(&[0]).unwrap();
        take(&mut member, &[1]);
        member.resume(&[0]).unwrap();
        member.resume(&[0, 1]).unwrap();
    }
    member.pause(&[1]).unwrap();
    until("the running partition is read to its end", || (take(&mut member, &[0])[0] == 50).then_some(()));
    member.resume(&[1]).unwrap();
    until("the other partition is read to its end", || (take(&mut member, &[0, 1])[1] == 50).then_some(()));
}

#[test]
fn the_changelog_is_read_from_an_offset_across_control_and_aborted_records() {
    let fixture = Fixture::new(2);
    broker::produce_aborted(&fixture.changelog, &[NewRecord::to(0, "aborted")]);
    let mut member = fixture.member("a");
    join(&mut member);
    let mut offsets = Vec::new();
    for text in ["one", "two"] {
        member.begin().unwrap();
        offsets
            .extend(member.send(vec![fixture.changelog_record(0, text), fixture.changelog_record(1, text)]).unwrap());
        member.commit().unwrap();
    }
    assert_eq!(offsets, [2, 0, 4, 2], "control records take offsets too");
    broker::produce_aborted(&fixture.changelog, &[NewRecord::to(0, "aborted")]);

    // An abort returns before the broker has written its marker.
    let (start, end) =
        until("the marker of the abort is written", || member.changelog_range(0).ok().filter(|&(_, end)| end == 8));
    assert_eq!(start, 0);
    member.open_changelog(0, start).unwrap();
    assert!(!member.has_read_changelog_to(0, end));
    let mut records = Vec::new();
    until("the changelog is read", || {
        let batch = member.read_changelog(1, POLL).unwrap();
        assert!(batch.len() <= 1);
        records.extend(batch);
        member.has_read_changelog_to(0, end).then_some(())
    });
    assert_eq!(values(&records), ["one", "two"]);

    // Open another partition in the middle, and reopen the first one.
    member.open_changelog(1, 1).unwrap();
    member.open_changelog(0, 3).unwrap();
    let mut records = Vec::new();
    until("both partitions are read", || {
        records.extend(member.read_changelog(100, POLL).unwrap());
        (records.len() == 2).then_some(())
    });
    records.sort_by_key(|it| it.partition);
    assert_eq!(records.iter().map(|it| (it.partition, it.offset)).collect::<Vec<_>>(), [(0, 4), (1, 2)]);
    member.close_changelog(0).unwrap();
    assert!(!member.has_read_changelog_to(0, 0), "a closed partition is not read");
    member.close_changelog(0).unwrap();
}

#[test]
fn a_truncated_changelog_has_a_later_start_and_reading_before_it_fails() {
    let fixture = Fixture::new(1);
    let mut member = fixture.member("a");
    join(&mut member);
    member.begin().unwrap();
    member.send((0..10).map(|i| fixture.changelog_record(0, &i.to_string())).collect()).unwrap();
    member.commit().unwrap();
    member.truncate_changelog(0, 6).unwrap();
    assert_eq!(member.changelog_range(0).unwrap(), (6, 11));
    member.truncate_changelog(0, 6).unwrap();

    member.open_changelog(0, 6).unwrap();
    let mut records = Vec::new();
    until("the rest is read", || {
        records.extend(member.read_changelog(100, POLL).unwrap());
        (records.len() == 4).then_some(())
    });
    assert_eq!(values(&records), ["6", "7", "8", "9"]);

    member.open_changelog(0, 2).unwrap();
    let error = until("reading below the start fails", || member.read_changelog(100, POLL).err());
    // Another owner may have truncated it meanwhile, so the restore starts again from the new log start.
    assert_eq!(error.reaction, Reaction::Abort);
    assert!(error.what.contains(&fixture.changelog), "{error}");
}

#[test]
fn an_offset_out_of_range_is_fatal_and_the_error_says_what_to_do() {
    let fixture = Fixture::new(1);
    broker::produce(&fixture.input, &(0..10).map(|i| NewRecord::to(0, &i.to_string())).collect::<Vec<_>>());
    broker::delete_records(&fixture.input, 0, 5);
    let mut member = fixture.member("a");
    let assigned = join(&mut member);
    assert_eq!(member.input_range(0).unwrap(), (5, 10));
    // The assignment uses the placeholder offset 0, which is out of range; the seek to the real position comes before
    // any fetch.
    member.seek(&[at(0, 5)]).unwrap();
    member.resume(&assigned).unwrap();
    assert_eq!(values(&read(&mut member, 5)), ["5", "6", "7", "8", "9"]);

    member.seek(&[at(0, 3)]).unwrap();
    let error = until("reading fails", || member.poll(10, POLL).err());
    assert_eq!(error.reaction, Reaction::Fatal);
    assert!(error.what.contains("retention") && error.to_string().ends_with("never skips records itself"), "{error}");
}

#[test]
fn keys_map_to_the_same_partitions_as_with_the_java_client() {
    let topic = broker::topic("keyed", 7);
    let fixture = Fixture::new(1);
    let mut member = fixture.member("a");
    join(&mut member);
    member.begin().unwrap();
    // The Java client's partition: murmur2 of the key, made positive, modulo the number of partitions.
    let murmur2_hashes: [(&str, i32); 4] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("abc", 479_470_107),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
    ];
    for (key, _) in murmur2_hashes {
        member.send(vec![outgoing(&topic, None, Some(key), key)]).unwrap();
    }
    member.commit().unwrap();
    let seen = broker::read_committed(&topic);
    assert_eq!(seen.len(), murmur2_hashes.len());
    for (key, hash) in murmur2_hashes {
        let partition = (hash & 0x7fff_ffff) % 7;
        let found = seen.iter().find(|it| it.text() == key).unwrap();
        assert_eq!(found.partition, partition, "{key}");
        assert_eq!(partition_of(key.as_bytes(), 7), partition, "{key}");
    }
}

/// Returns a removed member and the current owner of its partitions.
///
/// The first member owned both partitions, then stopped polling, as on a suspended machine, until the group assigned
/// them to the second member. The second member has committed offset 10 for both.
fn removed_member_and_new_owner(fixture: &Fixture, is_static: bool) -> (Client, Client) {
    let mut options = fixture.options("a");
    options.group_instance_id = is_static.then(|| "a".to_owned());
    options.transaction_timeout = Duration::from_secs(5);
    options.settings.push(("max.poll.interval.ms".to_owned(), "6500".to_owned()));
    let mut member = Client::connect(options).expect("the member connects");
    assert_eq!(join_and_resume(&mut member).len(), 2);
    let mut other = fixture.member("b");
    let mut assigned = Vec::new();
    until("the other member is assigned both partitions", || {
        for event in other.poll(10, POLL).expect("poll succeeds") {
            if let Event::Assigned(partitions) = event {
                other
                    .assign(&partitions.iter().map(|it| at(*it, 0)).collect::<Vec<_>>())
                    .expect("partitions are accepted");
                assigned.extend(partitions);
            }
        }
        (assigned.len() == 2).then_some(())
    });
    other.begin().expect("a transaction begins");
    other
        .send_offsets(&[(at(0, 10), "other".to_owned()), (at(1, 10), "other".to_owned())])
        .expect("the offsets are added");
    other.commit().expect("the transaction commits");
    (member, other)
}

fn try_to_commit(member: &mut Client, fixture: &Fixture, partition: PartitionId) -> Result<(), Error> {
    member.begin()?;
    member.send(vec![fixture.record("of a removed member")])?;
    let sent = member.send_offsets(&[(at(partition, 1), "stale".to_owned())]);
    match sent {
        Ok(()) => member.commit(),
        Err(error) => {
            member.abort()?;
            Err(error)
        }
    }
}

#[test]
fn a_member_removed_from_the_group_cannot_commit_even_after_it_rejoined() {
    removed_member_cannot_commit(false);
}

#[test]
fn a_static_member_removed_from_the_group_cannot_commit_either() {
    removed_member_cannot_commit(true);
}

fn removed_member_cannot_commit(is_static: bool) {
    let fixture = Fixture::new(2);
    let (mut member, mut other) = removed_member_and_new_owner(&fixture, is_static);
    let error = try_to_commit(&mut member, &fixture, 0).unwrap_err();
    assert_eq!(error.reaction, Reaction::Abort, "{error}");

    // When it polls again, its partitions are revoked or lost and it rejoins. Every commit for a partition that it has
    // not yet unassigned must fail, although its new generation is valid.
    let mut unassigned = Vec::new();
    until("the member has unassigned everything", || {
        for event in other.poll(10, POLL).unwrap() {
            if let Event::Revoked(partitions) = event {
                other.unassign(&partitions).unwrap();
            }
        }
        for event in member.poll(10, POLL).unwrap() {
            if let Event::Revoked(partitions) | Event::Lost(partitions) = event {
                for partition in &partitions {
                    let error = try_to_commit(&mut member, &fixture, *partition).unwrap_err();
                    assert_eq!(error.reaction, Reaction::Abort, "{error}");
                }
                member.unassign(&partitions).unwrap();
                unassigned.extend(partitions);
            }
        }
        (unassigned.len() == 2).then_some(())
    });
    assert_eq!(committed(&mut other, 0), (Some(10), "other".to_owned()));
    assert_eq!(committed(&mut other, 1), (Some(10), "other".to_owned()));
    assert!(broker::read_committed(&fixture.output).is_empty());

    until("the member is assigned a partition again", || {
        for event in other.poll(10, POLL).unwrap() {
            if let Event::Revoked(partitions) = event {
                other.unassign(&partitions).unwrap();
            }
        }
        member.poll(10, POLL).unwrap().iter().any(|it| matches!(it, Event::Assigned(_))).then_some(())
    });
}

/// A consumer that does not answer revocations, as if it were killed before it could.
#[derive(Default)]
struct NeverGivesUp {
    is_asked: AtomicBool,
    is_closing: AtomicBool,
}

impl ClientContext for NeverGivesUp {}

impl ConsumerContext for NeverGivesUp {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            consumer.incremental_assign(list).expect("the partitions are accepted");
        } else if self.is_closing.load(Ordering::Relaxed) {
            consumer.incremental_unassign(list).expect("the partitions are given up");
        } else {
            self.is_asked.store(true, Ordering::Relaxed);
        }
    }
}

/// Polls a member and answers its rebalances.
fn serve(member: &mut Client, owned: &mut BTreeSet<PartitionId>) {
    for event in member.poll(10, POLL).expect("poll succeeds") {
        match event {
            Event::Assigned(partitions) => {
                let positions: Vec<_> = partitions.iter().map(|it| at(*it, 0)).collect();
                member.assign(&positions).expect("partitions are accepted");
                owned.extend(partitions);
            }
            Event::Revoked(partitions) | Event::Lost(partitions) => {
                member.unassign(&partitions).expect("partitions are given up");
                owned.retain(|it| !partitions.contains(it));
            }
            Event::Records(_) | Event::ReachedEnd(_) => {}
        }
    }
}

#[test]
fn partitions_of_a_static_member_that_was_killed_between_the_steps_of_a_rebalance_are_assigned_again() {
    let fixture = Fixture::new(4);
    let static_member = |name: &str| {
        let mut options = fixture.options(name);
        options.group_instance_id = Some(name.to_owned());
        Client::connect(options).expect("the member connects")
    };
    let mut config = broker::config();
    config
        .set("group.id", &fixture.group)
        .set("group.instance.id", "a")
        .set("client.id", "lifecycle-a")
        .set("session.timeout.ms", "6000")
        .set("enable.auto.commit", "false")
        .set("partition.assignment.strategy", "cooperative-sticky");
    let killed: BaseConsumer<NeverGivesUp> = config.create_with_context(NeverGivesUp::default()).unwrap();
    killed.subscribe(&[&fixture.input]).unwrap();
    until("the first member owns all partitions", || {
        drop(killed.poll(POLL));
        (killed.assignment().unwrap().count() == 4).then_some(())
    });
    let mut other = static_member("b");
    let mut owned_by_other = BTreeSet::new();
    until("the first member has to give partitions up", || {
        serve(&mut other, &mut owned_by_other);
        drop(killed.poll(POLL));
        killed.context().is_asked.load(Ordering::Relaxed).then_some(())
    });
    // A static member that is closed does not leave the group, like one that is killed.
    killed.context().is_closing.store(true, Ordering::Relaxed);
    drop(killed);

    let mut back = static_member("a");
    let mut owned = BTreeSet::new();
    let cluster = Cluster { bootstrap_servers: broker::bootstrap().to_owned(), settings: Vec::new() };
    until("it gets its last assignment", || {
        serve(&mut back, &mut owned);
        serve(&mut other, &mut owned_by_other);
        (!owned.is_empty()).then_some(())
    });
    let group = describe_group(&cluster, &fixture.group, &fixture.input).unwrap();
    let assigned: usize = group.members.iter().filter_map(|it| it.partitions.as_ref()).map(Vec::len).sum();
    assert_eq!((group.state.as_str(), assigned), ("Stable", 2), "two partitions have no owner: {group:?}");
    until("each member has two partitions", || {
        serve(&mut back, &mut owned);
        serve(&mut other, &mut owned_by_other);
        (owned.len() == 2 && owned_by_other.len() == 2 && owned.is_disjoint(&owned_by_other)).then_some(())
    });
}

#[test]
fn a_record_for_a_missing_topic_is_a_fatal_error_that_names_the_topic() {
    let fixture = Fixture::new(1);
    let mut options = fixture.options("a");
    options.transaction_timeout = Duration::from_secs(6);
    let mut member = Client::connect(options).unwrap();
    // The short timeout, which the send waits for, may be too short for the coordinator of a busy machine.
    until("a transaction begins", || member.begin().ok());
    let error = member.send(vec![outgoing("missing-topic", Some(0), None, "x")]).unwrap_err();
    assert_eq!(error.reaction, Reaction::Fatal, "{error}");
    assert!(error.what.contains("missing-topic"), "{error}");
}

#[test]
fn connecting_without_a_broker_fails_and_names_the_address() {
    let fixture = Fixture::new(1);
    let mut options = fixture.options("a");
    options.transaction_timeout = Duration::from_secs(3);
    // No server listens on this port.
    options.bootstrap_servers = "127.0.0.1:9".to_owned();
    let error = Client::connect(options).err().expect("there is no broker");
    assert_eq!(error.reaction, Reaction::Retry, "{error}");
    assert!(error.what.contains("127.0.0.1:9"), "the error names the address: {error}");
}
