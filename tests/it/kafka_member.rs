//! The member against a real broker: everything that exactly-once rests on and no simulation proves.
#![expect(clippy::unwrap_used, reason = "what must not fail ends the test")]

use std::sync::Arc;
use std::time::Duration;

use lifecycle_processor::kafka::{
    Client, Error, Event, Member, Options, Outgoing, PartitionId, PartitionOffset, Reaction, Record,
};

use lifecycle_processor::wire::offset_metadata;

use crate::broker::{self, ToWrite, until};

const POLL: Duration = Duration::from_millis(50);

/// The topics and names of one test.
struct World {
    input: String,
    changelog: String,
    output: String,
    group: String,
}

impl World {
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

    fn record(&self, value: &str) -> Outgoing {
        outgoing(&self.output, None, Some(value), value)
    }

    fn changelog_record(&self, partition: PartitionId, value: &str) -> Outgoing {
        outgoing(&self.changelog, Some(partition), None, value)
    }
}

fn outgoing(topic: &str, partition: Option<PartitionId>, key: Option<&str>, value: &str) -> Outgoing {
    Outgoing {
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

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|it| String::from_utf8_lossy(it.value.as_deref().unwrap_or_default()).into_owned()).collect()
}

/// Waits until the group has given `member` something, and accepts it as the worker does.
fn gain(member: &mut Client) -> Vec<PartitionId> {
    until("the group gives partitions", || {
        for event in member.poll(100, POLL).expect("polling goes well") {
            if let Event::Gained(gained) = event {
                let positions: Vec<PartitionOffset> = gained.iter().map(|it| at(*it, 0)).collect();
                member.assign(&positions).expect("partitions are accepted");
                return Some(gained);
            }
        }
        None
    })
}

/// Gains partitions and reads on where the group stands.
fn gain_and_read_on(member: &mut Client) -> Vec<PartitionId> {
    let gained = gain(member);
    let positions: Vec<PartitionOffset> =
        until("the committed offsets are stable", || match member.committed(&gained) {
            Ok(committed) => Some(committed.iter().map(|it| at(it.partition, it.offset.unwrap_or(0))).collect()),
            Err(error) if error.reaction == Reaction::Retry => None,
            Err(error) => panic!("{error}"),
        });
    member.rewind(&positions).expect("the positions are taken");
    member.resume(&gained).expect("reading goes on");
    gained
}

/// Polls until `count` records have come.
fn read(member: &mut Client, count: usize) -> Vec<Record> {
    let mut read = Vec::new();
    until("the records come", || {
        for event in member.poll(1000, POLL).expect("polling goes well") {
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
fn a_transaction_carries_records_offsets_and_their_text_together() {
    let world = World::new(1);
    broker::produce(&world.input, &[ToWrite::to(0, "one"), ToWrite::to(0, "two")]);
    let mut member = world.member("a");
    assert_eq!(gain_and_read_on(&mut member), [0]);
    let records = read(&mut member, 2);
    assert_eq!(texts(&records), ["one", "two"]);
    assert_eq!(committed(&mut member, 0), (None, String::new()));

    member.begin().unwrap();
    let mut with_headers = world.record("first");
    with_headers.headers =
        vec![lifecycle_processor::kafka::RecordHeader { name: "k".into(), value: Some(b"v".to_vec()) }];
    let sent = vec![with_headers, world.changelog_record(0, "state"), world.record("second")];
    assert_eq!(member.send(sent).unwrap(), [0, 0, 1], "the offsets come in the order of the records");
    let text = "x".repeat(3_990) + "стади";
    assert_eq!(text.len(), 4_000, "the longest text that is allowed");
    member.send_offsets(&[(at(0, 2), text.clone())]).unwrap();
    member.commit().unwrap();

    assert_eq!(committed(&mut member, 0), (Some(2), text));
    let seen = broker::read_committed(&world.output);
    assert_eq!(seen.iter().map(broker::Seen::text).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(seen[0].headers, [("k".to_owned(), b"v".to_vec())]);
    assert_eq!(seen[0].timestamp_ms, Some(1_700_000_000_000));
    member.leave(Duration::from_secs(5));

    // Another member reads on after the committed position.
    broker::produce(&world.input, &[ToWrite::to(0, "three")]);
    let mut next = world.member("b");
    gain_and_read_on(&mut next);
    assert_eq!(texts(&read(&mut next, 1)), ["three"]);
}

#[test]
fn an_aborted_transaction_leaves_nothing() {
    let world = World::new(1);
    broker::produce(&world.input, &[ToWrite::to(0, "one")]);
    let mut member = world.member("a");
    gain_and_read_on(&mut member);
    read(&mut member, 1);
    member.begin().unwrap();
    member.send(vec![world.record("never seen")]).unwrap();
    member.send_offsets(&[(at(0, 1), "never seen".to_owned())]).unwrap();
    member.abort().unwrap();
    assert_eq!(committed(&mut member, 0), (None, String::new()));

    member.rewind(&[at(0, 0)]).unwrap();
    assert_eq!(texts(&read(&mut member, 1)), ["one"], "a rewind returns the record again");
    member.begin().unwrap();
    member.send(vec![world.record("seen")]).unwrap();
    member.send_offsets(&[(at(0, 1), "seen".to_owned())]).unwrap();
    member.commit().unwrap();
    assert_eq!(committed(&mut member, 0), (Some(1), "seen".to_owned()));
    let seen = broker::read_committed(&world.output);
    assert_eq!(seen.iter().map(broker::Seen::text).collect::<Vec<_>>(), ["seen"]);
}

#[test]
fn renewing_ends_what_the_old_producer_left_and_the_offset_tells_the_outcome() {
    let world = World::new(1);
    let mut member = world.member("a");
    gain_and_read_on(&mut member);
    member.begin().unwrap();
    member.send(vec![world.record("left open")]).unwrap();
    member.send_offsets(&[(at(0, 7), "left open".to_owned())]).unwrap();
    member.renew().unwrap();
    assert_eq!(committed(&mut member, 0), (None, String::new()), "the open transaction was aborted");

    member.begin().unwrap();
    member.send(vec![world.record("after")]).unwrap();
    member.send_offsets(&[(at(0, 8), "after".to_owned())]).unwrap();
    member.commit().unwrap();
    assert_eq!(committed(&mut member, 0).0, Some(8));
    let seen = broker::read_committed(&world.output);
    assert_eq!(seen.iter().map(broker::Seen::text).collect::<Vec<_>>(), ["after"]);
}

#[test]
fn a_second_producer_of_the_same_name_fences_the_first() {
    let world = World::new(1);
    let mut first = world.member("a");
    gain_and_read_on(&mut first);
    first.begin().unwrap();
    first.send(vec![world.record("of the first")]).unwrap();
    // Only the producers meet.
    let _second = broker::producer(Some(&format!("{}-a", world.group)));
    let error = first
        .send(vec![world.record("of the first again")])
        .and_then(|_| first.send_offsets(&[(at(0, 1), String::new())]))
        .and_then(|()| first.commit())
        .unwrap_err();
    assert_eq!(error.reaction, Reaction::Renew, "{error}");
    assert!(error.fenced, "{error}");
    assert_eq!(committed(&mut first, 0).0, None);
    assert!(broker::read_committed(&world.output).is_empty());
    first.renew().unwrap();
    first.begin().unwrap();
    first.send(vec![world.record("of the first, renewed")]).unwrap();
    first.commit().unwrap();
    assert_eq!(broker::read_committed(&world.output).len(), 1);
}

/// Longer than any wait of a test: what is over sooner was not ended by the broker.
const LONG_TRANSACTION: Duration = Duration::from_mins(2);

/// A member that has committed once and then leaves a transaction open with everything in it.
fn leave_open(world: &World) {
    let mut options = world.options("a");
    options.transaction_timeout = LONG_TRANSACTION;
    let mut member = Client::connect(options).unwrap();
    gain_and_read_on(&mut member);
    member.begin().unwrap();
    member.send_offsets(&[(at(0, 1), "lifecycle=1 by=a".to_owned())]).unwrap();
    member.commit().unwrap();
    member.begin().unwrap();
    member.send(vec![world.record("never committed"), world.changelog_record(0, "neither")]).unwrap();
    member.send_offsets(&[(at(0, 2), "lifecycle=1 by=a".to_owned())]).unwrap();
}

#[test]
fn what_a_dead_owner_left_open_is_ended_by_the_next_one() {
    let world = World::new(1);
    leave_open(&world);
    let mut options = world.options("b");
    options.owner_of = offset_metadata::owner_of;
    let mut heir = Client::connect(options).unwrap();
    gain(&mut heir);
    assert_eq!(committed(&mut heir, 0), (Some(1), "lifecycle=1 by=a".to_owned()));
    heir.begin().unwrap();
    heir.send(vec![world.record("of the heir")]).unwrap();
    heir.send_offsets(&[(at(0, 2), "lifecycle=1 by=b".to_owned())]).unwrap();
    heir.commit().unwrap();
    until("readers see what was written behind the open transaction", || {
        (broker::read_committed(&world.output).len() == 1).then_some(())
    });
    assert_eq!(committed(&mut heir, 0).0, Some(2));
}

#[test]
fn an_owner_that_is_still_in_the_group_is_not_shut_out() {
    let world = World::new(2);
    let mut options = world.options("a");
    options.owner_of = offset_metadata::owner_of;
    let mut member = Client::connect(options).unwrap();
    assert_eq!(gain_and_read_on(&mut member).len(), 2);
    member.begin().unwrap();
    member
        .send_offsets(&[(at(0, 1), "lifecycle=1 by=a".to_owned()), (at(1, 1), "lifecycle=1 by=a".to_owned())])
        .unwrap();
    member.commit().unwrap();
    let mut options = world.options("b");
    options.owner_of = offset_metadata::owner_of;
    let mut other = Client::connect(options).unwrap();
    let moved = until("a partition is asked back", || {
        assert_eq!(other.poll(10, POLL).unwrap(), []);
        member.poll(10, POLL).unwrap().into_iter().find_map(|event| match event {
            Event::Revoked(partitions) => Some(partitions),
            _ => None,
        })
    });
    // Open, and seen to be so by the other: both the partition that moves and the one that stays are in it.
    member.release(&moved).unwrap();
    member.begin().unwrap();
    member.send(moved.iter().map(|it| world.changelog_record(*it, "open")).collect()).unwrap();
    let gained = until("the other has it", || {
        member.poll(10, POLL).unwrap();
        other.poll(10, POLL).unwrap().into_iter().find_map(|event| match event {
            Event::Gained(partitions) => Some(partitions),
            _ => None,
        })
    });
    assert_eq!(gained, moved);
    other.assign(&[at(gained[0], 0)]).unwrap();
    // As long as a dead owner would have needed to be shut out, and more.
    let waited = std::time::Instant::now();
    while waited.elapsed() < Duration::from_secs(4) {
        member.poll(10, POLL).unwrap();
        other.poll(10, POLL).unwrap();
    }
    member.commit().expect("nobody has shut it out");
}

#[test]
fn a_revoked_partition_is_not_released_until_the_worker_says_so() {
    let world = World::new(4);
    let mut first = world.member("a");
    let mut owned = gain_and_read_on(&mut first);
    owned.sort_unstable();
    assert_eq!(owned, [0, 1, 2, 3]);

    let mut second = world.member("b");
    let mut revoked = Vec::new();
    until("the first member is asked to give partitions up", || {
        for event in first.poll(10, POLL).unwrap() {
            if let Event::Revoked(partitions) = event {
                revoked = partitions;
            }
        }
        for event in second.poll(10, POLL).unwrap() {
            assert!(!matches!(event, Event::Gained(_)), "nothing is released yet: {event:?}");
        }
        (!revoked.is_empty()).then_some(())
    });
    assert_eq!(revoked.len(), 2);

    // The first member may still commit for the partition under its generation.
    first.begin().unwrap();
    first.send(vec![world.record("last words")]).unwrap();
    first.send_offsets(&[(at(revoked[0], 5), "last words".to_owned())]).unwrap();
    first.commit().unwrap();
    for _ in 0..10 {
        first.poll(10, POLL).unwrap();
        for event in second.poll(10, POLL).unwrap() {
            assert!(!matches!(event, Event::Gained(_)), "nothing is released yet: {event:?}");
        }
    }

    // Half an answer is none.
    first.release(&revoked[..1]).unwrap();
    first.release(&revoked[1..]).unwrap();
    let gained = until("the second member gains what was released", || {
        first.poll(10, POLL).unwrap();
        second.poll(10, POLL).unwrap().into_iter().find_map(|event| match event {
            Event::Gained(gained) => Some(gained),
            _ => None,
        })
    });
    let mut expected = revoked.clone();
    expected.sort_unstable();
    let mut got = gained.clone();
    got.sort_unstable();
    assert_eq!(got, expected);
    second.assign(&gained.iter().map(|it| at(*it, 0)).collect::<Vec<_>>()).unwrap();
    assert_eq!(committed(&mut second, revoked[0]), (Some(5), "last words".to_owned()));

    // When the first leaves, the second gains the rest.
    first.leave(Duration::from_secs(5));
    let rest = gain(&mut second);
    assert_eq!(rest.len(), 2);
    assert!(rest.iter().all(|it| !gained.contains(it)));
}

#[test]
fn a_partition_that_was_paused_when_it_went_is_read_again_when_it_comes_back() {
    let world = World::new(2);
    broker::produce(&world.input, &[ToWrite::to(0, "one"), ToWrite::to(1, "two")]);
    let mut first = world.member("a");
    let mut owned = gain_and_read_on(&mut first);
    owned.sort_unstable();
    assert_eq!(owned, [0, 1]);
    read(&mut first, 2);
    first.pause(&[0, 1]).unwrap();

    let mut second = world.member("b");
    let gone = until("the second member has a partition", || {
        let revoked = first.poll(10, POLL).unwrap().into_iter().find_map(|event| match event {
            Event::Revoked(revoked) => Some(revoked),
            _ => None,
        });
        if let Some(revoked) = &revoked {
            first.release(revoked).unwrap();
        }
        second.poll(10, POLL).unwrap().into_iter().find_map(|event| match event {
            Event::Gained(gained) => Some(gained),
            _ => None,
        })
    });
    drop(second);
    assert_eq!(gain_and_read_on(&mut first), gone);
    broker::produce(&world.input, &[ToWrite::to(gone[0], "three")]);
    // Nothing was committed, so it is read from the beginning.
    assert_eq!(read(&mut first, 2).len(), 2);
}

#[test]
fn control_records_at_the_end_do_not_count_as_unread() {
    let world = World::new(2);
    broker::produce_committed(&world.input, &[ToWrite::to(0, "a"), ToWrite::to(0, "b")]);
    broker::produce_aborted(&world.input, &[ToWrite::to(0, "aborted")]);
    let mut member = world.member("a");
    gain_and_read_on(&mut member);
    let (start, end) = member.input_range(0).unwrap();
    assert_eq!((start, end), (0, 5), "two records, an aborted one, and two control records");
    assert!(!member.has_read_to(0, end));
    let records = read(&mut member, 2);
    assert_eq!(texts(&records), ["a", "b"]);
    assert!(member.has_read_to(0, 2));
    until("the end is known to be read", || {
        assert!(member.poll(10, POLL).unwrap().iter().all(|it| !matches!(it, Event::Records(_))));
        member.has_read_to(0, end).then_some(())
    });
    assert!(!member.has_read_to(0, end + 1));
    assert!(member.has_read_to(1, 0), "an empty partition has nothing unread");

    // A record written now is not covered before it was returned.
    broker::produce_committed(&world.input, &[ToWrite::to(0, "c")]);
    let (_, end) = member.input_range(0).unwrap();
    until("the new end is read", || {
        assert!(!member.has_read_to(0, end), "the record was not returned yet");
        let events = member.poll(1, POLL).unwrap();
        events.iter().any(|it| matches!(it, Event::Records(_))).then_some(())
    });
    until("the new end is known to be read", || {
        member.poll(10, POLL).unwrap();
        member.has_read_to(0, end).then_some(())
    });

    // After a rewind everything is unread again.
    member.rewind(&[at(0, 1)]).unwrap();
    assert!(!member.has_read_to(0, 2));
    assert_eq!(texts(&read(&mut member, 2)), ["b", "c"]);
    until("the end is known to be read again", || {
        member.poll(10, POLL).unwrap();
        member.has_read_to(0, end).then_some(())
    });
}

#[test]
fn an_open_transaction_is_neither_read_nor_part_of_the_range() {
    let world = World::new(1);
    broker::produce(&world.input, &[ToWrite::to(0, "before")]);
    let writer = broker::producer(Some(&broker::unique("writer")));
    rdkafka::producer::Producer::begin_transaction(&writer).unwrap();
    broker::write(&writer, &world.input, &[ToWrite::to(0, "open")]);
    broker::produce(&world.input, &[ToWrite::to(0, "after")]);
    let mut member = world.member("a");
    gain_and_read_on(&mut member);
    assert_eq!(member.input_range(0).unwrap(), (0, 1), "the end is the last stable offset");
    assert_eq!(texts(&read(&mut member, 1)), ["before"]);
    assert!(member.has_read_to(0, 1));
    rdkafka::producer::Producer::commit_transaction(&writer, broker::PATIENCE).unwrap();
    assert_eq!(texts(&read(&mut member, 2)), ["open", "after"]);
}

#[test]
fn paused_partitions_return_nothing_and_lose_nothing() {
    let world = World::new(2);
    let some: Vec<ToWrite> =
        (0..50).flat_map(|i| [ToWrite::to(0, &format!("{i}")), ToWrite::to(1, &format!("{i}"))]).collect();
    broker::produce(&world.input, &some);
    let mut member = world.member("a");
    gain_and_read_on(&mut member);
    let mut next = [0_i64, 0_i64];
    let mut take = |member: &mut Client, allowed: &[PartitionId]| {
        for event in member.poll(7, POLL).unwrap() {
            let Event::Records(records) = event else { continue };
            assert!(records.len() <= 7);
            for record in records {
                assert!(allowed.contains(&record.partition), "partition {} is paused", record.partition);
                let next = &mut next[usize::try_from(record.partition).unwrap()];
                assert_eq!(record.offset, *next, "in order, none lost, none twice");
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
fn the_changelog_is_read_by_position_across_holes() {
    let world = World::new(2);
    broker::produce_aborted(&world.changelog, &[ToWrite::to(0, "aborted")]);
    let mut member = world.member("a");
    gain(&mut member);
    let mut offsets = Vec::new();
    for text in ["one", "two"] {
        member.begin().unwrap();
        offsets.extend(member.send(vec![world.changelog_record(0, text), world.changelog_record(1, text)]).unwrap());
        member.commit().unwrap();
    }
    assert_eq!(offsets, [2, 0, 4, 2], "control records take offsets too");
    broker::produce_aborted(&world.changelog, &[ToWrite::to(0, "aborted")]);

    let (start, end) = member.changelog_range(0).unwrap();
    assert_eq!((start, end), (0, 8));
    member.open_changelog(0, start).unwrap();
    assert!(!member.has_read_changelog_to(0, end));
    let mut records = Vec::new();
    until("the changelog is read", || {
        let slice = member.read_changelog(1, POLL).unwrap();
        assert!(slice.len() <= 1);
        records.extend(slice);
        member.has_read_changelog_to(0, end).then_some(())
    });
    assert_eq!(texts(&records), ["one", "two"]);

    // Another partition beside it, from the middle on; the first is opened anew.
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
fn a_truncated_changelog_begins_later_and_its_head_is_gone_for_good() {
    let world = World::new(1);
    let mut member = world.member("a");
    gain(&mut member);
    member.begin().unwrap();
    member.send((0..10).map(|i| world.changelog_record(0, &i.to_string())).collect()).unwrap();
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
    assert_eq!(texts(&records), ["6", "7", "8", "9"]);

    member.open_changelog(0, 2).unwrap();
    let error = until("reading below the head fails", || member.read_changelog(100, POLL).err());
    // Somebody may have swept it meanwhile: the restore begins anew from where the log begins now.
    assert_eq!(error.reaction, Reaction::Abort);
    assert!(error.message.contains(&world.changelog), "{error}");
}

#[test]
fn a_position_that_is_gone_is_fatal_and_explained() {
    let world = World::new(1);
    broker::produce(&world.input, &(0..10).map(|i| ToWrite::to(0, &i.to_string())).collect::<Vec<_>>());
    broker::cut(&world.input, 0, 5);
    let mut member = world.member("a");
    let gained = gain(&mut member);
    assert_eq!(member.input_range(0).unwrap(), (5, 10));
    // Accepting at offset 0, which is gone, harms nothing as long as the true position follows.
    member.rewind(&[at(0, 5)]).unwrap();
    member.resume(&gained).unwrap();
    assert_eq!(texts(&read(&mut member, 5)), ["5", "6", "7", "8", "9"]);

    member.rewind(&[at(0, 3)]).unwrap();
    let error = until("reading fails", || member.poll(10, POLL).err());
    assert_eq!(error.reaction, Reaction::Fatal);
    assert!(error.message.contains("retention") && error.message.contains("set the group's offsets"), "{error}");
}

#[test]
fn keys_fall_on_the_partitions_where_java_puts_them() {
    let topic = broker::topic("keyed", 7);
    let world = World::new(1);
    let mut member = world.member("a");
    gain(&mut member);
    member.begin().unwrap();
    // Java's murmur2 over the key, made positive, modulo the partitions: murmur2("21") = -973932308, and so on.
    let vectors: [(&str, i32); 4] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("abc", 479_470_107),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
    ];
    for (key, _) in vectors {
        member.send(vec![outgoing(&topic, None, Some(key), key)]).unwrap();
    }
    member.commit().unwrap();
    let seen = broker::read_committed(&topic);
    assert_eq!(seen.len(), vectors.len());
    for (key, hash) in vectors {
        let partition = (hash & 0x7fff_ffff) % 7;
        let found = seen.iter().find(|it| it.text() == key).unwrap();
        assert_eq!(found.partition, partition, "{key}");
    }
}

/// A member that owned everything and then stopped polling, as one does whose machine is suspended, until the group gave all
/// to the other; which has committed offset 10 of both partitions.
fn suspended(world: &World, is_static: bool) -> (Client, Client) {
    let mut options = world.options("a");
    options.group_instance_id = is_static.then(|| "a".to_owned());
    options.transaction_timeout = Duration::from_secs(5);
    options.settings.push(("max.poll.interval.ms".to_owned(), "6500".to_owned()));
    let mut member = Client::connect(options).expect("the member connects");
    assert_eq!(gain_and_read_on(&mut member).len(), 2);
    let mut other = world.member("b");
    let mut gained = Vec::new();
    until("the other member has everything", || {
        for event in other.poll(10, POLL).expect("polling goes well") {
            if let Event::Gained(partitions) = event {
                other
                    .assign(&partitions.iter().map(|it| at(*it, 0)).collect::<Vec<_>>())
                    .expect("partitions are accepted");
                gained.extend(partitions);
            }
        }
        (gained.len() == 2).then_some(())
    });
    other.begin().expect("a transaction begins");
    other
        .send_offsets(&[(at(0, 10), "other".to_owned()), (at(1, 10), "other".to_owned())])
        .expect("the offsets are taken");
    other.commit().expect("the transaction commits");
    (member, other)
}

fn try_to_commit(member: &mut Client, world: &World, partition: PartitionId) -> Result<(), Error> {
    member.begin()?;
    member.send(vec![world.record("of a member that is none")])?;
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
fn a_member_that_the_group_has_given_up_cannot_commit_even_after_it_joined_again() {
    given_up_and_back(false);
}

#[test]
fn a_static_member_that_the_group_has_given_up_cannot_commit_either() {
    given_up_and_back(true);
}

fn given_up_and_back(is_static: bool) {
    let world = World::new(2);
    let (mut member, mut other) = suspended(&world, is_static);
    let error = try_to_commit(&mut member, &world, 0).unwrap_err();
    assert_eq!(error.reaction, Reaction::Abort, "{error}");

    // Polling again, it is asked for what it thinks is still its own, and joins anew. Whatever it tries before it has let go
    // of a partition must fail, though its new generation is valid.
    let mut gone = Vec::new();
    until("the member has let everything go", || {
        for event in other.poll(10, POLL).unwrap() {
            if let Event::Revoked(partitions) = event {
                other.release(&partitions).unwrap();
            }
        }
        for event in member.poll(10, POLL).unwrap() {
            if let Event::Revoked(partitions) | Event::Lost(partitions) = event {
                for partition in &partitions {
                    let error = try_to_commit(&mut member, &world, *partition).unwrap_err();
                    assert_eq!(error.reaction, Reaction::Abort, "{error}");
                }
                member.release(&partitions).unwrap();
                gone.extend(partitions);
            }
        }
        (gone.len() == 2).then_some(())
    });
    assert_eq!(committed(&mut other, 0), (Some(10), "other".to_owned()));
    assert_eq!(committed(&mut other, 1), (Some(10), "other".to_owned()));
    assert!(broker::read_committed(&world.output).is_empty());

    until("the member is given something again", || {
        for event in other.poll(10, POLL).unwrap() {
            if let Event::Revoked(partitions) = event {
                other.release(&partitions).unwrap();
            }
        }
        member.poll(10, POLL).unwrap().iter().any(|it| matches!(it, Event::Gained(_))).then_some(())
    });
}

#[test]
fn a_record_for_a_topic_that_does_not_exist_is_fatal_and_says_so() {
    let world = World::new(1);
    let mut options = world.options("a");
    options.transaction_timeout = Duration::from_secs(6);
    let mut member = Client::connect(options).unwrap();
    member.begin().unwrap();
    let error = member.send(vec![outgoing("there-is-no-such-topic", Some(0), None, "x")]).unwrap_err();
    assert_eq!(error.reaction, Reaction::Fatal, "{error}");
    assert!(error.message.contains("there-is-no-such-topic"), "{error}");
}

#[test]
fn leaving_and_renewing_never_hang_without_a_broker() {
    let world = World::new(1);
    let mut options = world.options("a");
    options.transaction_timeout = Duration::from_secs(3);
    // Nobody listens on this port.
    options.bootstrap_servers = "127.0.0.1:9".to_owned();
    let error = Client::connect(options).err().expect("there is no broker");
    assert_eq!(error.reaction, Reaction::Retry, "{error}");
    assert!(error.message.contains("127.0.0.1:9"), "the cause is named: {error}");
}
