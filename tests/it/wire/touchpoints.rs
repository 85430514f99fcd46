//! Tests of decoding touchpoints from JSON.

use lifecycle_processor::lifecycle::id::{PropertyIndex, TypeIndex};
use lifecycle_processor::lifecycle::money::{Amount, Currency};
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::lifecycle::touchpoint::Touchpoint;
use lifecycle_processor::lifecycle::value::{Type, Value};
use lifecycle_processor::lifecycle::vocabulary::{Property, Vocabulary};
use lifecycle_processor::partition::DeadLetterReason;
use lifecycle_processor::wire::touchpoint_json::{DeadLetterCause, Scratch, TouchpointDecoder, TouchpointOptions};
use proptest::prelude::*;

const SCORE: PropertyIndex = PropertyIndex(0);
const SCALE: PropertyIndex = PropertyIndex(1);
const AMOUNT: PropertyIndex = PropertyIndex(2);
const BYTES_MAX: usize = 64 * 1024;

/// Returns a decoder that knows two types and reads `score`, `scale` and a property named like a field of the format.
pub(super) fn decoder() -> TouchpointDecoder {
    let types = ["", "feedback_given", "order_completed"].map(Box::from).to_vec();
    let property = |name: &str, value_type| Property { name: name.into(), value_type };
    let vocabulary = Vocabulary {
        types,
        properties: vec![
            property("score", Type::Double),
            property("scale", Type::String),
            property("amount", Type::Int),
        ],
        ..Vocabulary::default()
    };
    TouchpointDecoder::new(&vocabulary, TouchpointOptions { bytes_max: BYTES_MAX })
}

/// Decodes `json` and passes the touchpoint to `check`.
fn check_decoded(json: &str, check: impl FnOnce(&Touchpoint<'_>)) {
    let mut scratch = Scratch::default();
    match decoder().decode(json.as_bytes(), &mut scratch) {
        Ok(touchpoint) => check(&touchpoint),
        Err(cause) => panic!("{cause:?} in {json}"),
    }
}

fn dead_letter_cause(bytes: &[u8]) -> DeadLetterCause {
    decoder().decode(bytes, &mut Scratch::default()).expect_err("not a touchpoint")
}

/// Returns a minimal touchpoint with the additional fields `more`: empty, or starting with a comma.
fn touchpoint_with(more: &str) -> String {
    format!(
        r#"{{"event_id":"e","customer_id":"c","type":"order_completed","occurred_at":"1970-01-01T00:00:01Z"{more}}}"#
    )
}

#[test]
fn every_field_is_decoded() {
    let json = r#"{"event_id":"e-1","customer_id":"c-1","type":"order_completed","occurred_at":"1997-01-18T15:55:44+00:00",
        "order_id":"o-1","amount":49.99,"currency":"eur","properties":{"score":9,"scale":"nps","other":[1,{"a":null}]}}"#;
    check_decoded(json, |touchpoint| {
        assert_eq!((touchpoint.event_id, touchpoint.customer_id), ("e-1", "c-1"));
        assert_eq!((touchpoint.type_name, touchpoint.kind), ("order_completed", TypeIndex(2)));
        assert_eq!(touchpoint.occurred_at, Timestamp::from_millis(853_602_944_000));
        assert_eq!(touchpoint.order_id, Some("o-1"));
        assert_eq!(touchpoint.amount, Some(Amount::from_micros(49_990_000)));
        assert_eq!(touchpoint.currency, Currency::parse("EUR"));
        assert_eq!(touchpoint.properties, [(SCORE, Value::Double(9.0)), (SCALE, Value::String("nps"))]);
    });
}

#[test]
fn optional_fields_may_be_missing_null_or_empty() {
    for more in [
        "",
        r#","order_id":null,"amount":null,"currency":null,"properties":null,"score":null"#,
        r#","order_id":"","properties":{}"#,
    ] {
        check_decoded(&touchpoint_with(more), |touchpoint| {
            assert_eq!((touchpoint.order_id, touchpoint.amount, touchpoint.currency), (None, None, None), "{more}");
            assert_eq!(touchpoint.properties, [], "{more}");
        });
    }
}

#[test]
fn ids_may_be_integers_and_texts_may_have_escapes() {
    let json = r#"{"event_id":18446744073709551615,"customer_id":-7,"order_id":42,"type":"order\u005fcompleted",
        "occurred_at":"1970-01-01T00:00:01\u005a","amount":"4\u0039.99","properties":{"sc\u006fre":1,"scale":"\u00e9\n"}}"#;
    check_decoded(json, |touchpoint| {
        assert_eq!((touchpoint.event_id, touchpoint.customer_id), ("18446744073709551615", "-7"));
        assert_eq!((touchpoint.order_id, touchpoint.kind), (Some("42"), TypeIndex(2)));
        assert_eq!(touchpoint.occurred_at, Timestamp::from_millis(1_000));
        assert_eq!(touchpoint.amount, Some(Amount::from_micros(49_990_000)));
        assert_eq!(touchpoint.properties, [(SCORE, Value::Double(1.0)), (SCALE, Value::String("\u{e9}\n"))]);
    });
}

#[test]
fn properties_take_precedence_over_the_top_level_in_any_order() {
    for more in [
        r#","score":1,"properties":{"score":2}"#,
        r#","properties":{"score":2},"score":1"#,
        r#","properties":{"score":3},"properties":{"score":2},"score":1"#,
        r#","score":2,"properties":{"score":null}"#,
        r#","score":2"#,
        r#","score":"two","score":2"#,
    ] {
        check_decoded(&touchpoint_with(more), |touchpoint| {
            assert_eq!(touchpoint.properties, [(SCORE, Value::Double(2.0))], "{more}");
        });
    }
    // A value of another type counts as absent, but still takes precedence.
    check_decoded(&touchpoint_with(r#","score":1,"properties":{"score":"2"}"#), |touchpoint| {
        assert_eq!(touchpoint.properties, []);
    });
}

#[test]
fn a_property_named_like_a_top_level_field_is_decoded_only_within_properties() {
    check_decoded(&touchpoint_with(r#","amount":1,"properties":{"amount":2,"order_id":"o"}"#), |touchpoint| {
        assert_eq!(touchpoint.amount, Some(Amount::from_micros(1_000_000)));
        assert_eq!(touchpoint.order_id, None);
        assert_eq!(touchpoint.properties, [(AMOUNT, Value::Int(2))]);
    });
}

#[test]
fn the_last_of_duplicate_names_wins() {
    check_decoded(&touchpoint_with(r#","order_id":"a","order_id":"b","amount":1,"amount":null"#), |touchpoint| {
        assert_eq!((touchpoint.order_id, touchpoint.amount), (Some("b"), None));
    });
}

#[test]
fn unknown_types_are_accepted() {
    check_decoded(&touchpoint_with(r#","type":"pondered""#), |touchpoint| {
        assert_eq!((touchpoint.type_name, touchpoint.kind), ("pondered", TypeIndex::UNKNOWN));
    });
}

#[test]
fn invalid_records_have_a_dead_letter_reason() {
    let long = format!(r#"{{"x":"{}"}}"#, "x".repeat(BYTES_MAX));
    for (json, reason) in [
        ("", DeadLetterReason::Empty),
        (&*long, DeadLetterReason::TooLarge),
        (" ", DeadLetterReason::NotJson),
        ("touchpoint", DeadLetterReason::NotJson),
        ("[]", DeadLetterReason::NotJson),
        ("\"text\"", DeadLetterReason::NotJson),
        ("{}{}", DeadLetterReason::NotJson),
        (r#"{"event_id":"e""#, DeadLetterReason::NotJson),
        (r#"{"event_id":"e",}"#, DeadLetterReason::NotJson),
        ("{}", DeadLetterReason::NoCustomer),
        (r#"{"customer_id":""}"#, DeadLetterReason::NoCustomer),
        (r#"{"customer_id":null}"#, DeadLetterReason::NoCustomer),
        (r#"{"customer_id":"c"}"#, DeadLetterReason::MissingField),
        (r#"{"customer_id":"c","event_id":""}"#, DeadLetterReason::MissingField),
        (r#"{"customer_id":"c","event_id":"e","type":""}"#, DeadLetterReason::MissingField),
        (r#"{"customer_id":"c","event_id":"e","type":"t"}"#, DeadLetterReason::MissingField),
    ] {
        assert_eq!(dead_letter_cause(json.as_bytes()).reason, reason, "{}", &json[..json.len().min(60)]);
    }
    assert_eq!(dead_letter_cause(b"{\"customer_id\":\"\xff\"}").reason, DeadLetterReason::NotUtf8);
}

#[test]
fn invalid_fields_are_named_without_their_content() {
    let (id, kind) = ("7".repeat(513), "7".repeat(129));
    for more in [
        r#","event_id":7.5"#.to_owned(),
        r#","customer_id":true"#.to_owned(),
        r#","customer_id":["7777"]"#.to_owned(),
        r#","order_id":{"7777":7777}"#.to_owned(),
        format!(r#","order_id":"{id}""#),
        format!(r#","type":"{kind}""#),
        r#","type":7777"#.to_owned(),
        r#","occurred_at":7777"#.to_owned(),
        r#","occurred_at":"7777-77-77""#.to_owned(),
        r#","amount":"7777,77""#.to_owned(),
        r#","amount":"\ud777""#.to_owned(),
        r#","amount":[7777]"#.to_owned(),
        r#","amount":true"#.to_owned(),
        r#","amount":77777777777777"#.to_owned(),
        r#","amount":7e400"#.to_owned(),
        r#","currency":"7777""#.to_owned(),
        r#","currency":"E7R""#.to_owned(),
        r#","currency":777"#.to_owned(),
        r#","properties":"7777""#.to_owned(),
        r#","properties":[7777]"#.to_owned(),
    ] {
        let DeadLetterCause { reason, detail } = dead_letter_cause(touchpoint_with(&more).as_bytes());
        assert_eq!(reason, DeadLetterReason::BadField, "{more}");
        let field = more.split('"').nth(1).expect("a field name");
        assert!(detail.starts_with(field), "{detail} in {more}");
        assert!(!detail.contains("77"), "{detail} shows the content of {more}");
    }
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    let deep = "[".repeat(30_000) + &"]".repeat(30_000);
    check_decoded(&touchpoint_with(&format!(r#","x":{deep}"#)), |touchpoint| assert_eq!(touchpoint.properties, []));
    check_decoded(&touchpoint_with(&format!(r#","score":{deep}"#)), |touchpoint| assert_eq!(touchpoint.properties, []));
    for name in ["event_id", "amount", "properties"] {
        assert_eq!(
            dead_letter_cause(touchpoint_with(&format!(r#","{name}":{deep}"#)).as_bytes()).reason,
            DeadLetterReason::BadField,
            "{name}"
        );
    }
    assert_eq!(dead_letter_cause("[".repeat(60_000).as_bytes()).reason, DeadLetterReason::NotJson);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let decoder = decoder();
        let _ = decoder.decode(&noise, &mut Scratch::default());
        let json = touchpoint_with(r#","order_id":"o","amount":-1.5e1,"currency":"EUR","score":1,"properties":{"scale":"\u00e9"}"#);
        let mut bytes = json.into_bytes();
        let at = at.index(bytes.len());
        let _ = decoder.decode(&bytes[..at], &mut Scratch::default());
        bytes[at] = byte;
        let _ = decoder.decode(&bytes, &mut Scratch::default());
    }

    #[test]
    fn texts_are_decoded_unchanged(id in "\\PC{1,40}", scale in "\\PC{1,40}") {
        let json = serde_json::json!({
            "event_id": "e", "customer_id": id, "type": "t", "occurred_at": "1970-01-01T00:00:00Z", "scale": scale,
        });
        check_decoded(&json.to_string(), |touchpoint| {
            assert_eq!(touchpoint.customer_id, id);
            assert_eq!(touchpoint.properties, [(SCALE, Value::String(&scale))]);
        });
    }
}
