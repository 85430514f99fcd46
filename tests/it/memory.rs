//! Tests the memory per customer with all shipped models.

use std::sync::Arc;

use lifecycle_processor::lifecycle::identity::{BlockedIds, IdentityOptions};
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::partition::{Effects, HandOver, Input, Link, Message, Partition};
use lifecycle_processor::wire::model_file;
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

/// Fills the table and its index to 70 % of their capacity, as 20,000 customers do.
const CUSTOMERS: usize = 5_000;
const DAY_HOURS: u64 = 24;

/// The touchpoints of a customer from the first visit to the third order: type, and hours since the start.
const TOUCHPOINTS: [(&str, u64); 11] = [
    ("page_viewed", 0),
    ("product_viewed", 0),
    ("checkout_started", 1),
    ("order_completed", 1),
    ("order_delivered", 4 * DAY_HOURS),
    ("product_viewed", 40 * DAY_HOURS),
    ("order_completed", 40 * DAY_HOURS + 1),
    ("order_delivered", 43 * DAY_HOURS),
    ("email_clicked", 90 * DAY_HOURS),
    ("checkout_started", 91 * DAY_HOURS),
    ("order_completed", 91 * DAY_HOURS),
];

#[test]
fn a_customer_with_three_orders_in_all_models_takes_at_most_500_bytes() {
    let sources: Vec<_> = model_file::shipped_names().iter().filter_map(|name| model_file::shipped(name)).collect();
    let (models, _) = model_file::load(&sources, &model_file::shipped_catalogue(), &[]).expect("shipped models load");
    let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 16 });
    let mut partition = Partition::new(Arc::new(models), FactOptions::default());
    let mut random = fastrand::Rng::with_seed(1);
    for customer in 0..CUSTOMERS {
        for (step, (kind, hours)) in TOUCHPOINTS.into_iter().enumerate() {
            let occurred_at = 1_740_000_000 + hours * 3600 + random.u64(..3600);
            let at = lifecycle_processor::wire::time::format_timestamp(
                lifecycle_processor::lifecycle::time::Timestamp::from_millis(
                    i64::try_from(occurred_at * 1000 + random.u64(..1000)).expect("small"),
                ),
            );
            let order = match kind {
                "order_completed" => format!(r#","order_id":"ORD-{customer}-{step}","amount":{}.95"#, random.u8(5..)),
                _ => String::new(),
            };
            let line = format!(
                r#"{{"event_id":"ev-{customer}-{step}","customer_id":"customer-{customer:06}","type":"{kind}","occurred_at":"{at}"{order}}}"#
            );
            let mut scratch = Scratch::default();
            let touchpoint = decoder.decode(line.as_bytes(), &mut scratch).expect("a touchpoint");
            partition.apply(Input::Touchpoint(&touchpoint), &mut Effects::default());
        }
        if customer % 1000 == 999 {
            partition.write_batches(0);
            partition.commit();
        }
    }
    assert_eq!(partition.len(), CUSTOMERS);
    let (record, memory) = (partition.live_bytes() / CUSTOMERS, partition.bytes() / CUSTOMERS);
    println!("record: {record} bytes per customer, memory: {memory} bytes per customer");
    assert!(memory <= 500, "{memory} bytes per customer");
}

#[test]
fn a_stub_takes_at_most_200_bytes_and_less_than_the_visitor_or_customer_that_it_replaces() {
    for (id_name, link_type) in [("anonymous_id", "customer_identified"), ("customer_id", "customer_merged")] {
        let (replaced, stub) = bytes_of_stub(id_name, link_type);
        println!("record and memory in bytes, {id_name}: {replaced:?} before, {stub:?} of its stub");
        assert!(stub.1 <= 200 && stub.1 < replaced.1, "{stub:?}");
    }
}

/// Returns the average bytes of the record and in memory of an id with five touchpoints, and of its stub after a link
/// or merge of the type `link_type`.
fn bytes_of_stub(id_name: &str, link_type: &str) -> ((usize, usize), (usize, usize)) {
    let sources: Vec<_> = model_file::shipped_names().iter().filter_map(|name| model_file::shipped(name)).collect();
    let (models, _) = model_file::load(&sources, &model_file::shipped_catalogue(), &[]).expect("shipped models load");
    let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 16 })
        .with_identity(Some(BlockedIds::default()));
    let options = FactOptions { identity: Some(IdentityOptions::default()), ..FactOptions::default() };
    let mut partition = Partition::new(Arc::new(models), options);
    // Ids as trackers make them: UUIDs.
    let id = |number: usize| format!("{number:08x}-5f2c-4d3a-9b1e-{:012x}", number * 7919);
    let commit = |partition: &mut Partition| {
        partition.write_batches(0);
        partition.commit();
    };
    for visitor in 0..CUSTOMERS {
        for step in 0..5 {
            let (id, kind) = (id(visitor), TOUCHPOINTS[step % 3].0);
            let line = format!(
                r#"{{"event_id":"ev-{visitor}-{step}","{id_name}":"{id}","type":"{kind}","occurred_at":"2026-01-0{}T08:00:00Z"}}"#,
                step + 1
            );
            let mut scratch = Scratch::default();
            let touchpoint = decoder.decode(line.as_bytes(), &mut scratch).expect("a touchpoint");
            partition.apply(Input::Touchpoint(&touchpoint), &mut Effects::default());
        }
        if visitor % 1000 == 999 {
            commit(&mut partition);
        }
    }
    let visitors = (partition.live_bytes() / CUSTOMERS, partition.bytes() / CUSTOMERS);
    for visitor in 0..CUSTOMERS {
        let occurred_at = Timestamp::from_millis(1_767_600_000_000);
        let link = Link { event_id: format!("link-{visitor}").into(), type_name: link_type.into(), occurred_at };
        let by = format!("customer-{visitor:06}").into();
        let message = Message::Claim { by, life: 0, link, names: Vec::new(), joined_at: Some(occurred_at) };
        let claim = HandOver { to: id(visitor).into(), life: None, path: Vec::new(), rounds: 0, message };
        partition.apply(Input::HandOver(&claim), &mut Effects::default());
        if visitor % 1000 == 999 {
            commit(&mut partition);
        }
    }
    assert_eq!((partition.len(), partition.stubs()), (0, CUSTOMERS));
    (visitors, (partition.live_bytes() / CUSTOMERS, partition.bytes() / CUSTOMERS))
}
