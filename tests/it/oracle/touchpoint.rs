//! The oracle's touchpoint, parsed from its JSON line without the program's decoder.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Milliseconds since 1970.
pub(crate) type Millis = i64;

/// Millionths of a unit of money.
pub(crate) type Micros = i128;

/// The fields of a touchpoint that the definitions use.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Touchpoint {
    pub(crate) event_id: String,
    pub(crate) customer_id: String,
    pub(crate) type_name: String,
    pub(crate) at: Millis,
    /// Never empty.
    pub(crate) order_id: Option<String>,
    pub(crate) amount: Option<Micros>,
    pub(crate) currency: Option<String>,
    /// `None` unless it is a JSON number.
    pub(crate) score: Option<f64>,
    /// `None` unless it is a JSON string.
    pub(crate) scale: Option<String>,
}

type Fields = BTreeMap<String, Box<RawValue>>;

impl Touchpoint {
    /// Parses a line of the generator.
    pub(crate) fn parse(line: &str) -> Self {
        let fields: Fields = serde_json::from_str(line).expect("a line is an object");
        let properties: Fields = fields
            .get("properties")
            .filter(|raw| raw.get() != "null")
            .map(|raw| serde_json::from_str(raw.get()).expect("properties are an object"))
            .unwrap_or_default();
        let property = |name: &str| properties.get(name).or_else(|| fields.get(name));
        let text = |name: &str| fields.get(name).and_then(|raw| string(raw));
        let occurred_at: jiff::Timestamp =
            text("occurred_at").expect("`occurred_at` is present").parse().expect("`occurred_at` is RFC 3339");
        Self {
            event_id: text("event_id").expect("`event_id` is present"),
            customer_id: text("customer_id").expect("`customer_id` is present"),
            type_name: text("type").expect("`type` is present"),
            at: occurred_at.as_millisecond(),
            order_id: text("order_id").filter(|id| !id.is_empty()),
            amount: fields.get("amount").filter(|raw| raw.get() != "null").map(|raw| micros(raw.get())),
            currency: text("currency"),
            score: property("score").and_then(|raw| raw.get().parse().ok()),
            scale: property("scale").and_then(|raw| string(raw)),
        }
    }

    pub(crate) fn is(&self, type_name: &str) -> bool {
        self.type_name == type_name
    }

    pub(crate) fn is_one_of(&self, types: &[&str]) -> bool {
        types.iter().any(|name| self.is(name))
    }

    /// Whether the touchpoint cancels or refunds an order.
    pub(crate) fn is_reversal(&self) -> bool {
        self.is("order_cancelled") || self.is("order_refunded")
    }
}

/// Returns a JSON string; `None` for any other value.
fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// Converts a decimal number with at most six fractional digits to millionths, exactly.
pub(crate) fn micros(text: &str) -> Micros {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (units, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(fraction.len() <= 6, "{text} has more than six digits after the point");
    let number = format!("{units}{fraction:0<6}");
    sign * number.parse::<Micros>().expect("an amount is a decimal number")
}

#[test]
fn a_line_is_parsed_exactly() {
    let touchpoint = Touchpoint::parse(
        r#"{"type":"feedback_given","event_id":"a","customer_id":"c","occurred_at":"2024-01-01T02:00:00.5+02:00",
            "order_id":"","amount":-999999999999.999999,"currency":null,"properties":{"score":"9"},"scale":"nps"}"#,
    );
    assert_eq!(touchpoint.at, 1_704_067_200_500);
    assert_eq!(touchpoint.order_id, None);
    assert_eq!(touchpoint.amount, Some(-999_999_999_999_999_999));
    assert_eq!((touchpoint.currency, touchpoint.score, touchpoint.scale.as_deref()), (None, None, Some("nps")));
}
