//! Tests of the queue of hand-overs.

use super::*;
use crate::wire::hand_over::Content;

fn record(at: i64) -> HandOverRecord {
    let (at, content) = (Timestamp::from_millis(at), Content::Erase { drain: 1, is_erasure: false });
    HandOverRecord { to: "k".to_owned(), life: None, at, path: Vec::new(), rounds: 0, content }
}

/// A queue that has read hand-overs of the times 5 and 9 at the offsets 3 and 4.
fn queue() -> HandOverQueue {
    let mut queue = HandOverQueue::new(Some(3), "");
    assert_eq!(queue.start((0, 9), Duration::ZERO), Ok(Some(3)));
    assert_eq!(queue.begin(3, 0, Duration::ZERO), 3);
    queue.push(digest(3), Timestamp::from_millis(30), record(5));
    queue.push(digest(3), Timestamp::from_millis(30), record(5));
    queue.push(digest(4), Timestamp::from_millis(40), record(9));
    queue
}

fn digest(offset: i64) -> RecordDigest {
    RecordDigest::of(offset, Some(1), b"value")
}

#[test]
fn reading_starts_with_the_last_hand_over_and_finds_another_one() {
    let mut queue = HandOverQueue { last_committed: Some(digest(7)), ..HandOverQueue::new(Some(9), "") };
    assert_eq!(queue.begin(9, 8, Duration::ZERO), 9, "retention has deleted it");
    assert_eq!((queue.check_first(digest(9)), queue.advance_to(Some(9))), (Ok(()), Ok(false)));
    assert_eq!(queue.begin(9, 7, Duration::ZERO), 7);
    assert_eq!((queue.check_first(digest(7)), queue.advance_to(Some(9))), (Ok(()), Ok(false)));
    assert_eq!(queue.last_applied(), Some(digest(7)));

    let replaced = || Mismatch::HandOversReplaced { offset: 7 };
    for other in [digest(8), RecordDigest::of(7, Some(2), b"value"), RecordDigest::of(7, Some(1), b"other")] {
        queue.begin(9, 0, Duration::ZERO);
        assert_eq!(queue.check_first(other), Err(replaced()));
    }
    queue.begin(9, 0, Duration::ZERO);
    assert_eq!(queue.advance_to(Some(7)), Ok(false), "it has not arrived");
    assert_eq!(queue.advance_to(Some(9)), Err(replaced()), "there is none");
}

#[test]
fn what_was_read_since_the_last_comparison_does_not_replace_the_record_to_compare() {
    let mut queue = queue();
    assert_eq!(queue.begin(5, 0, Duration::ZERO), 3);
    assert_eq!(
        queue.check_first(RecordDigest::of(3, Some(2), b"value")),
        Err(Mismatch::HandOversReplaced { offset: 3 })
    );

    assert_eq!(queue.begin(5, 0, Duration::ZERO), 3);
    assert_eq!((queue.check_first(digest(3)), queue.is_behind), (Ok(()), true));
    queue.push(digest(4), Timestamp::from_millis(40), record(9));
    assert_eq!(queue.waiting.len(), 2, "it was read before");
    assert_eq!(queue.begin(5, 0, Duration::ZERO), 5, "reading goes on at the position");
    assert_eq!(queue.check_first(digest(5)), Ok(()));
    queue.push(digest(5), Timestamp::from_millis(50), record(9));

    assert_eq!(queue.begin(6, 0, Duration::ZERO), 4);
    assert_eq!((queue.check_first(digest(4)), queue.is_behind), (Ok(()), true));
    assert_eq!((queue.begin(6, 0, Duration::ZERO), queue.begin(6, 0, Duration::ZERO)), (6, 5));
    assert_eq!((queue.check_first(digest(5)), queue.is_behind), (Ok(()), false));
    assert_eq!(queue.begin(6, 6, Duration::ZERO), 6, "retention has deleted it");
}

#[test]
fn the_next_owner_compares_a_hand_over_that_was_applied() {
    let mut queue = queue();
    assert_eq!(queue.to_compare(), None, "it is read, not applied");
    assert!(queue.next().is_some() && queue.next().is_some());
    assert_eq!((queue.last_applied(), queue.to_compare()), (Some(digest(4)), Some(digest(3))), "not compared since");
    queue.begin(5, 0, Duration::ZERO);
    assert_eq!((queue.check_first(digest(3)), queue.to_compare()), (Ok(()), Some(digest(4))));
}

#[test]
fn a_hand_over_waits_for_stream_time_or_for_the_end_of_the_touchpoints() {
    let mut queue = queue();
    let clock = |millis| Clock::at(Some(Timestamp::from_millis(millis)));
    assert!(queue.is_held_back(Clock::default()) && queue.is_held_back(clock(4)) && !queue.is_held_back(clock(5)));
    assert!(queue.next().is_some() && queue.is_held_back(clock(8)));
    queue.released_to = 5;
    assert!(!queue.is_held_back(clock(8)));
    queue.abort();
    assert!(queue.is_held_back(clock(4)), "the touchpoints are read again");
}

#[test]
fn the_position_is_that_of_the_next_hand_over_to_apply() {
    let mut queue = queue();
    assert_eq!((queue.position(), queue.has_uncommitted()), (Some(3), false));
    assert!(queue.next().is_some());
    assert_eq!((queue.position(), queue.has_uncommitted(), queue.has_applied()), (Some(4), true, true));
    queue.abort();
    assert_eq!((queue.position(), queue.has_uncommitted(), queue.has_applied()), (Some(3), false, false));
    assert_eq!(queue.oldest_written_at(), Some(Timestamp::from_millis(30)));
    assert_eq!((queue.last_applied(), queue.last_read()), (None, Some(digest(4))));
    assert!(queue.next().is_some() && queue.next().is_some() && queue.next().is_none());
    assert_eq!(queue.last_applied(), Some(digest(4)));
    queue.on_committed(queue.position());
    assert_eq!((queue.last_applied(), queue.last_read()), (Some(digest(4)), Some(digest(4))));
    assert_eq!((queue.position(), queue.has_uncommitted()), (Some(5), false));
    assert_eq!(queue.oldest_written_at(), None);
    assert_eq!(HandOverQueue::default().position(), None);
    assert_eq!(HandOverQueue::new(Some(7), "").position(), Some(7));
}

#[test]
fn a_partition_is_not_read_while_many_hand_overs_or_large_ones_wait() {
    let content = Content::Touchpoint { value: vec![0; WAITING_BYTES_MAX / 4], needs: Vec::new() };
    let large = || HandOverRecord { content: content.clone(), ..record(5) };
    for (count, record) in [(WAITING_MAX, &(|| record(5)) as &dyn Fn() -> _), (4, &large)] {
        let mut queue = HandOverQueue { is_open: true, read_to: Some(0), ..HandOverQueue::new(Some(0), "") };
        for offset in 0..count {
            assert!(!queue.is_full(), "{offset}");
            queue.push(digest(i64::try_from(offset).expect("a small number")), Timestamp::from_millis(0), record());
        }
        assert!(queue.is_full());
        queue.is_open = false;
        while queue.next().is_some() {}
        assert!(!queue.must_open(Duration::ZERO), "they wait until they are committed");
        queue.on_committed(queue.position());
        assert!(queue.must_open(Duration::ZERO));
        assert_eq!(queue.waiting_bytes, 0);
    }
}

#[test]
fn a_position_that_the_topic_does_not_contain_is_refused() {
    let mut queue = HandOverQueue::new(Some(3), "");
    assert_eq!(queue.start((4, 9), Duration::ZERO), Err(Mismatch::HandOversTruncated { committed: 3, start: 4 }));
    assert_eq!(queue.start((0, 2), Duration::ZERO), Ok(None));
    assert_eq!(queue.start((0, 2), PAST_END_TIMEOUT), Err(Mismatch::HandOversShrunk { committed: 3, end: 2 }));
    assert_eq!(HandOverQueue::default().start((4, 9), Duration::ZERO), Ok(Some(4)));
}
