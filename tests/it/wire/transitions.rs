//! Tests of encoding transitions: golden JSON of each kind, and Protobuf with the same content.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use lifecycle_processor::lifecycle::condition::{
    self, Argument, Binding, Condition, ExpressionProblem, FactReference, Scope,
};
use lifecycle_processor::lifecycle::fact::Layout;
use lifecycle_processor::lifecycle::id::{ModelIndex, StableId, StageIndex};
use lifecycle_processor::lifecycle::model::{Direction, JourneyPosition, Model, Stage};
use lifecycle_processor::lifecycle::model_set::{Attribute, ModelSet};
use lifecycle_processor::lifecycle::money::{Amount, Currency};
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::lifecycle::transition::{Cause, Change, OrdersSummary, Reason, Transition};
use lifecycle_processor::lifecycle::value::{OwnedValue, Slot};
use lifecycle_processor::lifecycle::vocabulary::Vocabulary;
use lifecycle_processor::wire::cloud_events::{CloudEvents, HeaderDetail};
use lifecycle_processor::wire::proto::google::protobuf::value::Kind;
use lifecycle_processor::wire::proto::google::protobuf::{Struct, Value};
use lifecycle_processor::wire::proto::lifecycle::v1;
use lifecycle_processor::wire::time::parse_timestamp;
use lifecycle_processor::wire::transition::{BecauseDetail, Mode, Publication, RecordFormat};
use lifecycle_processor::wire::transition_json::{TransitionRecord, write_json};
use lifecycle_processor::wire::transition_protobuf::write_protobuf;
use lifecycle_processor::wire::transition_reader::read_transition;
use lifecycle_processor::wire::transition_value::{Instant, Values};
use prost::Message as _;
use uuid::Uuid;

struct NoNames;

impl Scope for NoNames {
    fn name(&mut self, _: &str, _: Range<usize>) -> Option<Result<Binding, Vec<ExpressionProblem>>> {
        None
    }

    fn call(
        &mut self,
        _: &str,
        _: &[Argument<'_>],
        _: Range<usize>,
    ) -> Option<Result<Binding, Vec<ExpressionProblem>>> {
        None
    }

    fn suggestions(&self) -> Vec<String> {
        Vec::new()
    }
}

fn always() -> Condition {
    condition::compile("true", None, &mut NoNames).expect("a condition")
}

fn models() -> ModelSet {
    let stage = |(place, name): (u8, &str)| Stage {
        name: name.into(),
        id: StableId::of(name),
        titles: vec![],
        description: "".into(),
        when: always(),
        journey_position: JourneyPosition::At(place),
    };
    let ladder = Model {
        name: "loyalty_ladder".into(),
        version: 3,
        hash: StableId(1),
        titles: vec![],
        description: "".into(),
        parameters: vec![],
        stages: (0..).zip(["prospect", "new_customer", "regular_customer"]).map(stage).collect(),
        moves: vec![],
        signals: vec![],
        milestones: vec![],
        counters: vec![],
    };
    ModelSet {
        vocabulary: Vocabulary::default(),
        layout: Layout::default(),
        models: vec![ladder],
        attributes: vec![],
        hash: StableId(2),
    }
}

fn instant(text: &str) -> Timestamp {
    parse_timestamp(text).expect("RFC 3339")
}

fn reason(condition: &str, values: Vec<(&str, Option<OwnedValue>)>) -> Reason {
    let (names, values): (Vec<_>, Vec<_>) = values.into_iter().unzip();
    let references = (0..).zip(names).map(|(slot, name)| FactReference { name: name.into(), slot: Slot(slot) });
    Reason { condition: condition.into(), references: references.collect(), values: values.into() }
}

fn stage_transition() -> Transition {
    Transition {
        id: Uuid::from_u128(0x6ba7_b810_9dad_51d1_80b4_00c0_4fd4_30c8),
        customer_id: Arc::from("c-\"1\""),
        model: ModelIndex(0),
        change: Change::Stage {
            from: Some(StageIndex(0)),
            to: Some(StageIndex(2)),
            skipped: vec![StageIndex(1)],
            direction: Direction::Forward,
            previous_since: Some(instant("1997-01-01T00:00:00Z")),
        },
        name: "moved_to_repeat_purchase".into(),
        sequence: 2,
        occurred_at: instant("1997-01-18T15:55:44Z"),
        cause: Cause::Touchpoint { event_id: "e-1".into(), type_name: "order_completed".into() },
        late: false,
        reconciled: false,
        because: Some(reason(
            "orders.count >= 2",
            vec![
                ("orders.count", Some(OwnedValue::Int(2))),
                ("orders.last", Some(OwnedValue::Timestamp(instant("1997-01-18T15:55:44Z")))),
                ("advocacy", None),
                ("share", Some(OwnedValue::Double(0.5))),
                ("ratio", Some(OwnedValue::Double(f64::INFINITY))),
                ("gap", Some(OwnedValue::Duration(Duration::from_millis(1_500)))),
                ("kept", Some(OwnedValue::Bool(true))),
                ("scale", Some(OwnedValue::String("nps".into()))),
            ],
        )),
        orders: OrdersSummary {
            count: 2,
            revenue: Amount::from_micros(149_970_000),
            last: Some(instant("1997-01-18T15:55:44Z")),
        },
        attributes: None,
        merge: None,
    }
}

/// Returns one transition of each kind, with a label, its mode and its expected JSON.
fn transitions() -> Vec<(&'static str, Transition, Mode, &'static str)> {
    let plain = Transition {
        cause: Cause::Time,
        because: Some(reason("true", vec![])),
        orders: OrdersSummary::default(),
        merge: None,
        ..stage_transition()
    };
    vec![
        (
            "a forward move",
            stage_transition(),
            Mode::Live,
            concat!(
                r#"{"transition_id":"6ba7b810-9dad-51d1-80b4-00c04fd430c8","customer_id":"c-\"1\"","model":"loyalty_ladder","#,
                r#""model_version":3,"kind":"stage","name":"moved_to_repeat_purchase","from":"prospect","#,
                r#""to":"regular_customer","skipped":["new_customer"],"direction":"forward","sequence":2,"#,
                r#""occurred_at":"1997-01-18T15:55:44Z","detected_at":"1997-01-18T15:55:45.250Z","#,
                r#""cause":{"event_id":"e-1","type":"order_completed"},"#,
                r#""because":{"condition":"orders.count >= 2","values":{"orders.count":2,"orders.last":"1997-01-18T15:55:44Z","#,
                r#""advocacy":null,"share":0.5,"ratio":"Infinity","gap":"1.500s","kept":true,"scale":"nps"}},"late":false,"#,
                r#""mode":"live","orders":{"count":2,"revenue":"149.97","currency":"EUR","last":"1997-01-18T15:55:44Z"},"#,
                r#""previous":{"stage":"prospect","since":"1997-01-01T00:00:00Z"}}"#,
            ),
        ),
        (
            "leaving all stages",
            Transition {
                change: Change::Stage {
                    from: Some(StageIndex(1)),
                    to: None,
                    skipped: vec![],
                    direction: Direction::Backward,
                    previous_since: None,
                },
                name: "purchase_reversed".into(),
                because: None,
                late: true,
                ..plain.clone()
            },
            Mode::Replay,
            concat!(
                r#"{"transition_id":"6ba7b810-9dad-51d1-80b4-00c04fd430c8","customer_id":"c-\"1\"","model":"loyalty_ladder","#,
                r#""model_version":3,"kind":"stage","name":"purchase_reversed","from":"new_customer","skipped":[],"#,
                r#""direction":"backward","sequence":2,"occurred_at":"1997-01-18T15:55:44Z","#,
                r#""detected_at":"1997-01-18T15:55:45.250Z","cause":{"time":true},"late":true,"mode":"replay","#,
                r#""orders":{"count":0,"revenue":"0","currency":"EUR"},"previous":{"stage":"new_customer"}}"#,
            ),
        ),
        (
            "a signal",
            Transition { change: Change::Signal { on: true }, name: "silent".into(), ..plain.clone() },
            Mode::Reconcile,
            concat!(
                r#"{"transition_id":"6ba7b810-9dad-51d1-80b4-00c04fd430c8","customer_id":"c-\"1\"","model":"loyalty_ladder","#,
                r#""model_version":3,"kind":"signal","name":"silent","to":"started","sequence":2,"#,
                r#""occurred_at":"1997-01-18T15:55:44Z","detected_at":"1997-01-18T15:55:45.250Z","cause":{"time":true},"#,
                r#""because":{"condition":"true","values":{}},"late":false,"mode":"reconcile","#,
                r#""orders":{"count":0,"revenue":"0","currency":"EUR"}}"#,
            ),
        ),
        (
            "a milestone",
            Transition { change: Change::Milestone, name: "made_first_purchase".into(), ..plain.clone() },
            Mode::Live,
            concat!(
                r#"{"transition_id":"6ba7b810-9dad-51d1-80b4-00c04fd430c8","customer_id":"c-\"1\"","model":"loyalty_ladder","#,
                r#""model_version":3,"kind":"milestone","name":"made_first_purchase","sequence":2,"#,
                r#""occurred_at":"1997-01-18T15:55:44Z","detected_at":"1997-01-18T15:55:45.250Z","cause":{"time":true},"#,
                r#""because":{"condition":"true","values":{}},"late":false,"mode":"live","#,
                r#""orders":{"count":0,"revenue":"0","currency":"EUR"}}"#,
            ),
        ),
        (
            "a counter",
            Transition { change: Change::Counter { count: 4 }, name: "reentered_cycle".into(), ..plain },
            Mode::Live,
            concat!(
                r#"{"transition_id":"6ba7b810-9dad-51d1-80b4-00c04fd430c8","customer_id":"c-\"1\"","model":"loyalty_ladder","#,
                r#""model_version":3,"kind":"counter","name":"reentered_cycle","count":4,"sequence":2,"#,
                r#""occurred_at":"1997-01-18T15:55:44Z","detected_at":"1997-01-18T15:55:45.250Z","cause":{"time":true},"#,
                r#""because":{"condition":"true","values":{}},"late":false,"mode":"live","#,
                r#""orders":{"count":0,"revenue":"0","currency":"EUR"}}"#,
            ),
        ),
    ]
}

fn with_publication<T>(transition: &Transition, mode: Mode, check: impl FnOnce(&Publication<'_>) -> T) -> T {
    let models = models();
    check(&Publication {
        transition,
        models: &models,
        detected_at: instant("1997-01-18T15:55:45.250Z"),
        mode,
        currency: Currency::parse("EUR").expect("three letters"),
        because: BecauseDetail::Full,
    })
}

fn json(transition: &Transition, mode: Mode) -> String {
    let mut out = Vec::new();
    with_publication(transition, mode, |publication| write_json(publication, &mut out));
    String::from_utf8(out).expect("JSON is UTF-8")
}

#[test]
fn each_kind_has_the_expected_json() {
    for (label, transition, mode, expected) in transitions() {
        assert_eq!(json(&transition, mode), expected, "{label}");
    }
}

#[test]
fn protobuf_has_the_same_content_as_json() {
    for (label, transition, mode, _) in transitions() {
        let mut bytes = Vec::new();
        with_publication(&transition, mode, |publication| write_protobuf(publication, &mut bytes));
        let message = v1::Transition::decode(&*bytes).expect("a Transition");
        let record: TransitionRecord<'_> = serde_json::from_str(&json(&transition, mode)).expect("a transition record");
        assert_same(label, &message, record);
    }
}

#[test]
fn attributes_are_the_last_field_in_both_formats() {
    let attribute = |name: &str| Attribute { name: name.into(), value: always() };
    let models = ModelSet { attributes: ["plan", "seats", "gone"].map(attribute).into(), ..models() };
    let values = [Some(OwnedValue::String("pro \"max\"".into())), Some(OwnedValue::Int(12)), None];
    let transition = Transition { attributes: Some(values.into()), ..stage_transition() };
    let (mut json, mut protobuf) = (Vec::new(), Vec::new());
    with_publication(&transition, Mode::Live, |publication| {
        let publication = Publication { models: &models, ..*publication };
        write_json(&publication, &mut json);
        write_protobuf(&publication, &mut protobuf);
    });
    let json = String::from_utf8(json).expect("JSON is UTF-8");
    assert!(json.ends_with(r#","attributes":{"plan":"pro \"max\"","seats":12,"gone":null}}"#), "{json}");
    let record: TransitionRecord<'_> = serde_json::from_str(&json).expect("a transition record");
    assert!(matches!(record.attributes, Some(Values::Owned(values)) if values.len() == 3));
    let read = |content_type, bytes: &[u8]| with_floats(read_transition(content_type, bytes).expect("a transition"));
    assert_eq!(read("application/protobuf", &protobuf), read("application/json", json.as_bytes()));
}

/// Returns `value` with all numbers as floating-point ones, which Protobuf's `Struct` has only.
fn with_floats(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(number) => serde_json::json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(with_floats).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, with_floats(value))).collect(),
        other => other,
    }
}

#[test]
fn both_formats_are_read_to_the_same_json() {
    for (label, transition, mode, expected) in transitions() {
        let mut bytes = Vec::new();
        with_publication(&transition, mode, |publication| write_protobuf(publication, &mut bytes));
        let from_protobuf = read_transition("application/protobuf", &bytes).expect("a transition");
        let from_json = read_transition("application/json", expected.as_bytes()).expect("a transition");
        let without_type = |bytes: &[u8]| read_transition("", bytes).expect("a transition");
        assert_eq!(
            (without_type(&bytes), without_type(expected.as_bytes())),
            (from_protobuf.clone(), from_json.clone())
        );
        let framed = [&[0, 0, 0, 0, 7, 0][..], &bytes].concat();
        assert_eq!(without_type(&framed), from_protobuf);
        assert_eq!(with_floats(from_protobuf), with_floats(from_json), "{label}");
    }
}

fn assert_same(label: &str, message: &v1::Transition, record: TransitionRecord<'_>) {
    type ProtoTimestamp = lifecycle_processor::wire::proto::google::protobuf::Timestamp;
    let proto_timestamp = |Instant(instant): Instant| {
        let millis = instant.as_millis();
        ProtoTimestamp {
            seconds: millis.div_euclid(1_000),
            nanos: i32::try_from(millis.rem_euclid(1_000)).expect("small") * 1_000_000,
        }
    };
    let text = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
    let from_json = v1::Transition {
        transition_id: record.transition_id.into(),
        customer_id: record.customer_id.into(),
        model: record.model.into(),
        model_version: record.model_version,
        kind: record.kind.into(),
        name: record.name.into(),
        from: text(record.from),
        to: text(record.to),
        skipped: record.skipped.into_iter().flatten().map(Cow::into_owned).collect(),
        direction: text(record.direction),
        count: record.count,
        sequence: record.sequence,
        occurred_at: Some(proto_timestamp(record.occurred_at)),
        detected_at: Some(proto_timestamp(record.detected_at)),
        cause: Some(v1::Cause {
            event_id: text(record.cause.event_id),
            r#type: text(record.cause.type_name),
            time: record.cause.time.then_some(true),
        }),
        because: record.because.map(|because| {
            let Some(Values::Owned(values)) = because.values else { panic!("{label}: the values were read") };
            let fields = values.into_iter().map(|(name, value)| (name, proto_value(value))).collect();
            v1::Because { condition: because.condition.into(), values: Some(Struct { fields }) }
        }),
        late: record.late,
        mode: record.mode.into(),
        orders: Some(v1::Orders {
            count: record.orders.count,
            revenue: record.orders.revenue.0.to_string(),
            currency: record.orders.currency.into(),
            last: record.orders.last.map(proto_timestamp),
        }),
        previous: record
            .previous
            .map(|previous| v1::Previous { stage: previous.stage.into(), since: previous.since.map(proto_timestamp) }),
        attributes: None,
        merged_into: text(record.merged_into),
        merged_from: text(record.merged_from),
    };
    assert_eq!(*message, from_json, "{label}");
}

fn proto_value(value: serde_json::Value) -> Value {
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().expect("a number")),
        serde_json::Value::String(text) => Kind::StringValue(text),
        nested => panic!("{nested} is not a fact value"),
    };
    Value { kind: Some(kind) }
}

#[test]
fn the_headers_are_those_of_a_cloud_event() {
    let headers = |with_subject| {
        let events = CloudEvents { source: "/lifecycle/test".to_owned(), with_subject, detail: HeaderDetail::Full };
        let headers = with_publication(&stage_transition(), Mode::Live, |publication| {
            events.headers(publication, RecordFormat::Json.content_type())
        });
        let text = |value: Option<Vec<u8>>| String::from_utf8(value.expect("a value")).expect("UTF-8");
        headers.into_iter().map(|header| (header.name, text(header.value))).collect::<Vec<_>>()
    };
    let mut expected: Vec<_> = [
        ("content-type", "application/json"),
        ("ce_specversion", "1.0"),
        ("ce_id", "6ba7b810-9dad-51d1-80b4-00c04fd430c8"),
        ("ce_source", "/lifecycle/test"),
        ("ce_type", "lifecycle.v1.Transition"),
        ("ce_time", "1997-01-18T15:55:44Z"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    assert_eq!(headers(false), expected);
    expected.push(("ce_subject".to_owned(), "c-\"1\"".to_owned()));
    assert_eq!(headers(true), expected);
}

#[test]
fn minimal_headers_are_those_that_cloud_events_requires_and_none_are_none() {
    let headers = |detail| {
        let events = CloudEvents { source: "/lifecycle/test".to_owned(), with_subject: true, detail };
        let headers = with_publication(&stage_transition(), Mode::Live, |publication| {
            events.headers(publication, RecordFormat::Protobuf.content_type())
        });
        headers.into_iter().map(|header| header.name).collect::<Vec<_>>()
    };
    assert_eq!(headers(HeaderDetail::Minimal), ["content-type", "ce_specversion", "ce_id", "ce_source", "ce_type"]);
    assert_eq!(headers(HeaderDetail::None), [""; 0]);
}

#[test]
fn the_reason_can_be_shortened_or_left_out_in_both_formats() {
    for (_, transition, mode, _) in transitions() {
        let record = |because| {
            with_publication(&transition, mode, |publication| {
                let publication = Publication { because, ..*publication };
                let (mut json, mut protobuf) = (Vec::new(), Vec::new());
                write_json(&publication, &mut json);
                write_protobuf(&publication, &mut protobuf);
                let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
                (json, v1::Transition::decode(&*protobuf).expect("a message"))
            })
        };
        let (full, full_message) = record(BecauseDetail::Full);
        let (short, short_message) = record(BecauseDetail::Condition);
        let (none, none_message) = record(BecauseDetail::None);
        assert_eq!(short["because"]["condition"], full["because"]["condition"]);
        assert!(short["because"].get("values").is_none() && none.get("because").is_none());
        let condition = |message: &v1::Transition| message.because.as_ref().map(|it| it.condition.clone());
        assert_eq!(condition(&short_message), condition(&full_message));
        assert!(short_message.because.is_none_or(|because| because.values.is_none()));
        assert!(none_message.because.is_none());
        let without = |mut json: serde_json::Value| {
            json.as_object_mut().expect("an object").remove("because");
            json
        };
        assert_eq!(without(full), without(none), "nothing else changes");
    }
}
