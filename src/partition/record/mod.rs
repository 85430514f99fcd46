//! The encoding of a customer: the Protobuf message `lifecycle.v1.Customer`, encoded and decoded by hand.
//!
//! Generated code would build an intermediate message for every touchpoint; this code allocates only what the customer
//! itself needs. Times are stored as ages before the customer's clock, which makes short varints. Unknown fields are
//! skipped. A test decodes the bytes with the code generated from `proto/`.

mod check;
mod field;
mod identity;
mod read;
mod reader;
mod write;

pub(crate) use check::{check, stages_of};
pub(crate) use identity::{identity_of, write_identity};
pub(crate) use read::{belongs_to, customer_id, read, read_head};
pub(crate) use write::{write, write_entry, write_removal};

use crate::lifecycle::time::Timestamp;

/// The dimensions of a record: the number of facts of each kind, and the numbers of stages and counters of each model.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Shape {
    pub(crate) number_is_time: Vec<bool>,
    pub(crate) latest: usize,
    pub(crate) windows: usize,
    pub(crate) follow_ups: usize,
    pub(crate) models: Vec<(usize, usize)>,
}

/// The number of the field `customers` in the message `ChangelogBatch`.
pub(crate) const ENTRY_FIELD: u32 = 15;

/// The leading fields of a record, which can be read without decoding the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RecordHead<'a> {
    pub(crate) customer_id: &'a str,
    pub(crate) is_removed: bool,
    /// Whether there is no customer under the id, only an identity.
    pub(crate) is_vacant: bool,
    pub(crate) wake_up: Option<Timestamp>,
    pub(crate) last_active_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::customer::{Customer, Published};
    use crate::lifecycle::fact::{
        ABSENT, ABSENT_NUMBER, Facts, FoldedOrders, LatestValue, OrderAmount, OrderEntry, RecentTimes, Refund,
    };
    use crate::lifecycle::id::StageIndex;
    use crate::lifecycle::identity::{Alias, AliasKind, Erasure, Former, Identity, Split, Stub};
    use crate::lifecycle::money::{Amount, Currency};
    use crate::lifecycle::value::OwnedValue;

    const NOW: i64 = 1_700_000_000_123;

    fn euro() -> Currency {
        Currency::parse("EUR").expect("a currency")
    }

    fn shape() -> Shape {
        Shape {
            number_is_time: vec![true, false, true, false],
            latest: 6,
            windows: 2,
            follow_ups: 2,
            models: vec![(1, 0), (2, 1)],
        }
    }

    /// A customer with a value in every field.
    fn customer() -> Customer {
        let order = |id: u64, event_id: &str| OrderEntry {
            id,
            time: NOW - 5_000,
            first_mentioned_at: NOW - 9_000,
            amount: Some(OrderAmount {
                amount: Amount::from_micros(6_790_000),
                currency: Currency::parse("USD").expect("a currency"),
                at: NOW - 1_000,
                event_id: event_id.into(),
            }),
            is_void: id == 7,
            refunds: vec![
                Refund { event: 5, amount: Amount::from_micros(1), currency: euro() },
                Refund { event: u64::MAX, amount: Amount::from_micros(i128::MAX), currency: euro() },
            ],
            follow_ups: vec![ABSENT, NOW],
        };
        let unreported = OrderEntry { time: ABSENT, amount: None, refunds: Vec::new(), ..order(7, "") };
        let numbers = vec![i128::from(NOW - 1), 41, ABSENT_NUMBER, -3 - (1 << 90)];
        let mut facts = Facts { numbers, ..Facts::default() };
        let values = [
            OwnedValue::Int(-5),
            OwnedValue::Double(0.1),
            OwnedValue::Bool(true),
            OwnedValue::String("ü".into()),
            OwnedValue::Timestamp(Timestamp::from_millis(-1)),
        ];
        facts.latest = values.into_iter().map(|value| Some(LatestValue { at: NOW - 4, value })).collect();
        facts.latest.push(None);
        facts.windows = vec![RecentTimes::from_sorted(vec![NOW - 9, NOW - 9, NOW]), RecentTimes::default()];
        facts.orders.recent = vec![RecentTimes::default(), RecentTimes::from_sorted(vec![1, NOW])];
        facts.orders.entries = vec![
            unreported,
            order(8, "E-1"),
            order(9, "667b82f0-04e4-5a8f-9449-63876fdca07b"),
            order(10, "667B82F0-04E4-5A8F-9449-63876FDCA07B"),
        ];
        facts.orders.folded = FoldedOrders {
            count: 40,
            revenue: Amount::from_micros(-1 - (1 << 64)),
            first: 1,
            last: NOW - 90_000,
            streaks: vec![(3, NOW - 100_000), (0, ABSENT)],
            follow_ups: vec![NOW - 80_000, ABSENT],
            ids: vec![1, u64::MAX],
        };
        let active = Published {
            stage: Some(StageIndex(0)),
            since: Some(Timestamp::from_millis(NOW)),
            sequence: 300,
            ordinal: 2,
            signals: 1 << 63,
            milestones: 5,
            counters: Vec::new(),
        };
        Customer {
            id: "Zoë".into(),
            clock: Timestamp::from_millis(NOW),
            wake_up: Some(Timestamp::from_millis(NOW + 86_400_000)),
            last_active_at: Some(Timestamp::from_millis(NOW - 70_000)),
            facts,
            recent_events: vec![1, (1 << 48) - 1],
            published: vec![active, Published { counters: vec![i64::MIN], ..Published::default() }],
            outdated_models: 2,
            is_visitor: true,
            identity: Some(Box::new(identity())),
        }
    }

    fn identity() -> Identity {
        let at = Timestamp::from_millis;
        Identity {
            stub: Some(Stub {
                into: "k".into(),
                life: 65_535,
                drain: u64::MAX,
                used: at(NOW),
                merged_at: Some(at(-3)),
                is_settled: false,
            }),
            former: Some(Former {
                into: "l".into(),
                life: 1,
                drain: 2,
                until: at(-1),
                is_settled: true,
                split: Some(Split { at: at(-2), last_life: 4 }),
                ends_at: Some(at(-5)),
            }),
            aliases: vec![
                Alias { id: "visitor".into(), drain: 3, claimed_at: at(4), kind: AliasKind::Visitor },
                Alias { id: "b".into(), drain: 5, claimed_at: at(6), kind: AliasKind::Customer },
                Alias { id: "c".into(), drain: 6, claimed_at: at(7), kind: AliasKind::Split },
            ],
            split_at: Some(at(-4)),
            erasure: Some(Erasure { at: at(7), kept_until: at(8), requested_at: Some(at(6)) }),
            erased_moves: vec![u64::MAX, 1],
            retired: 9,
            removals: 4,
        }
    }

    fn written(customer: &Customer) -> Vec<u8> {
        let mut record = Vec::new();
        write(customer, &shape().number_is_time, euro(), &mut record);
        record
    }

    fn blank() -> Customer {
        Customer { id: "".into(), facts: Facts::default(), published: Vec::new(), ..customer() }
    }

    #[test]
    fn a_written_record_is_read_back() {
        let mut read_back = blank();
        assert_eq!(read(&written(&customer()), &shape(), euro(), &mut read_back), Some(true));
        assert_eq!(read_back, customer());
    }

    #[test]
    fn the_head_contains_the_customer_id_and_the_wake_up() {
        let record = written(&customer());
        let head = read_head(&record).expect("a record");
        let Customer { wake_up, last_active_at, .. } = customer();
        assert_eq!(
            head,
            RecordHead { customer_id: "Zoë", is_removed: false, is_vacant: false, wake_up, last_active_at }
        );
    }

    #[test]
    fn a_removal_contains_the_customer_id_only() {
        let mut record = Vec::new();
        write_removal("Zoë", &mut record);
        let head = read_head(&record).expect("a record");
        assert_eq!((head.customer_id, head.is_removed, head.is_vacant, head.wake_up), ("Zoë", true, false, None));
        let checked = check(&record, &shape()).expect("a removal");
        assert_eq!((checked.customer_id, checked.is_removed), ("Zoë", true));
        assert_eq!(record.len(), 8);
    }

    #[test]
    fn a_record_of_an_identity_has_no_customer() {
        let mut record = Vec::new();
        write_identity(&customer(), Some(Timestamp::from_millis(NOW)), &mut record);
        let mut read_back = customer();
        assert_eq!(read(&record, &shape(), euro(), &mut read_back), Some(false));
        assert_eq!((read_back.is_visitor, read_back.identity.as_deref()), (true, Some(&identity())));
        assert_eq!(identity_of(&record), Some(identity()));
        let head = read_head(&record).expect("a record");
        assert_eq!((head.is_vacant, head.wake_up), (true, Some(Timestamp::from_millis(NOW))));
        let checked = check(&record, &shape()).expect("an identity");
        assert_eq!((checked.customer_id, checked.is_vacant, checked.wake_up), ("Zoë", true, head.wake_up));
        assert_eq!(checked.stages(&shape()).count(), 0);
        assert_eq!(stages_of(&record, &shape()).count(), 0);
    }

    #[test]
    fn a_record_without_links_has_no_identity() {
        let without = Customer { is_visitor: false, identity: None, ..customer() };
        let empty = Customer { identity: Some(Box::default()), ..without.clone() };
        assert_eq!(written(&empty), written(&without));
        assert_eq!(identity_of(&written(&without)), None);
    }

    #[test]
    fn fields_of_a_later_release_are_skipped() {
        let mut record = written(&customer());
        // Field 99 of each wire type: a number, 8 bytes, 2 bytes with a length, 4 bytes.
        record.extend([
            0x98, 0x06, 0x05, 0x99, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, 0x9a, 0x06, 2, 0, 0, 0x9d, 0x06, 1, 2, 3, 4,
        ]);
        let mut read_back = blank();
        assert_eq!(read(&record, &shape(), euro(), &mut read_back), Some(true));
        assert_eq!(read_back, customer());
    }

    #[test]
    fn a_customer_of_a_record_without_an_activity_time_is_never_forgotten() {
        use crate::wire::proto::lifecycle::v1 as proto;
        use prost::Message as _;
        let mut message = proto::Customer::decode(written(&customer()).as_slice()).expect("a message");
        message.heard_age = None;
        let mut read_back = blank();
        assert_eq!(read(&message.encode_to_vec(), &shape(), euro(), &mut read_back), Some(true));
        assert_eq!(read_back, Customer { last_active_at: None, ..customer() });
    }

    #[test]
    fn an_unknown_stage_index_is_rejected() {
        let mut broken = customer();
        broken.published[0].stage = Some(StageIndex(1));
        assert_eq!(read(&written(&broken), &shape(), euro(), &mut blank()), None);
    }

    #[test]
    fn a_record_without_standings_is_rejected_instead_of_keeping_those_of_the_previous_record() {
        use crate::wire::proto::lifecycle::v1 as proto;
        use prost::Message as _;
        let mut message = proto::Customer::decode(written(&customer()).as_slice()).expect("a message");
        message.standings.clear();
        message.identity = None;
        assert_eq!(read(&message.encode_to_vec(), &shape(), euro(), &mut customer()), None);
    }

    #[test]
    fn no_input_makes_read_panic_and_check_agrees_with_read() {
        let record = written(&customer());
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..40_000 {
            let mut broken = record.clone();
            for _ in 0..random.usize(1..4) {
                let index = random.usize(..broken.len());
                broken[index] = random.u8(..);
            }
            broken.truncate(random.usize(..=broken.len()));
            let mut read_back = blank();
            let checked = check(&broken, &shape());
            let has_customer = read(&broken, &shape(), euro(), &mut read_back);
            if let Some(has_customer) = has_customer {
                let checked = checked.expect("a record that `read` accepts passes `check`");
                assert_eq!((checked.customer_id, checked.wake_up), (&*read_back.id, read_back.wake_up));
                assert_eq!(checked.last_active_at, read_back.last_active_at);
                assert_eq!(checked.is_vacant, !has_customer);
                assert_eq!(checked.stages(&shape()).next().is_some(), has_customer);
                if !has_customer {
                    continue;
                }
                let stages: Vec<_> = read_back.published.iter().map(|published| published.stage).collect();
                assert_eq!(checked.stages(&shape()).collect::<Vec<_>>(), stages);
                assert_eq!(stages_of(&broken, &shape()).collect::<Vec<_>>(), stages);
            } else {
                // `read` does not accept removals.
                let checked = checked.filter(|checked| !checked.is_removed);
                assert_eq!(checked, None, "`check` rejects what `read` rejects: {broken:?}");
            }
            read_head(&broken);
        }
    }

    #[test]
    fn a_record_is_the_message_that_the_proto_file_defines() {
        use crate::wire::proto::lifecycle::v1 as proto;
        use prost::Message as _;
        let message = proto::Customer::decode(written(&customer()).as_slice()).expect("a message");
        assert_eq!(message.customer_id, "Zoë");
        assert_eq!(message.clock, NOW);
        assert_eq!(message.wake_up_in, Some(86_400_000));
        assert_eq!(message.heard_age, Some(70_000));
        assert_eq!(message.standings, [1, 1, 300, 2, 1 << 63, 5, 0, 0, 0, 0, 0, 0, u64::MAX]);
        assert_eq!(message.numbers, [0, 1, 1, 82, 3, 5]);
        assert_eq!(message.numbers_high, [3, (1 << 27) - 1]);
        assert_eq!(message.orders.len(), 4);
        assert_eq!(message.orders[0].id, 7);
        assert_eq!(message.orders[2].amount, Some(6_790_000));
        assert_eq!(message.orders[2].amount_event_uuid.as_ref().map(Vec::len), Some(16));
        assert_eq!(message.latest.len(), 5);
        assert_eq!(message.folded.as_ref().map(|folded| folded.chains.clone()), Some(vec![3, 100_000, 0, 0]));
        assert_eq!(message.outdated_models, 2);
        assert!(message.visitor);
        let identity = message.identity.as_ref().expect("an identity");
        assert_eq!(identity.aliases.iter().map(|alias| alias.id.as_str()).collect::<Vec<_>>(), ["visitor", "b", "c"]);
        // The message has all fields: encoded by the generated code, it decodes to the same customer.
        let mut read_back = blank();
        assert_eq!(read(&message.encode_to_vec(), &shape(), euro(), &mut read_back), Some(true));
        assert_eq!(read_back, customer());
    }
}
