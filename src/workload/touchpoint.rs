//! A generated touchpoint and its native JSON encoding.

use std::borrow::Cow;
use std::fmt::Write;

use crate::lifecycle::time::Timestamp;
use crate::wire::time::format_timestamp;

/// Products of the shop.
pub(super) const PRODUCTS: [&str; 8] =
    ["espresso machine", "coffee beans", "milk jug", "grinder", "filter papers", "travel mug", "tea kettle", "cocoa"];

/// Advertising campaigns of the shop.
pub(super) const CAMPAIGNS: [&str; 5] = ["spring sale", "welcome", "new in store", "bring a friend", "we miss you"];

/// A touchpoint of the workload.
#[derive(Clone, PartialEq, Debug)]
pub struct GeneratedTouchpoint {
    /// Unique within the workload.
    pub event_id: String,
    /// The customer, which is also the record key.
    pub customer_id: String,
    /// Event time.
    pub occurred_at: Timestamp,
    /// What the customer did.
    pub activity: Activity,
}

/// The content of a touchpoint: type, order, amount and properties.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Activity {
    /// Touchpoint type, as in the catalogue.
    pub type_name: Cow<'static, str>,
    /// The order that the touchpoint refers to.
    pub order_id: Option<String>,
    /// Amount in hundredths of the currency.
    pub cents: Option<u32>,
    /// Answer to a Net Promoter Score survey, 0 to 10.
    pub nps: Option<u8>,
    /// One property: name and value.
    pub property: Option<(&'static str, &'static str)>,
    /// Properties of a type that a model reads beyond those of the shop, as members of a JSON object.
    pub own_properties: String,
}

impl Activity {
    /// Creates an activity that has only a type.
    pub(super) fn of(type_name: &'static str) -> Self {
        Self { type_name: type_name.into(), ..Self::default() }
    }
}

impl GeneratedTouchpoint {
    /// Encodes the touchpoint in the native JSON format, with amounts in US dollars.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.to_json_in("USD")
    }

    /// Encodes the touchpoint in the native JSON format, with amounts in `currency`.
    ///
    /// Does not escape strings: generated ids, types and properties need no escaping.
    #[must_use]
    pub fn to_json_in(&self, currency: &str) -> String {
        let mut json = String::with_capacity(256);
        _ = write!(
            json,
            r#"{{"event_id":"{}","customer_id":"{}","type":"{}","occurred_at":"{}""#,
            self.event_id,
            self.customer_id,
            self.activity.type_name,
            format_timestamp(self.occurred_at)
        );
        if let Some(order_id) = &self.activity.order_id {
            _ = write!(json, r#","order_id":"{order_id}""#);
        }
        if let Some(cents) = self.activity.cents {
            _ = write!(json, r#","amount":{}.{:02},"currency":"{currency}""#, cents / 100, cents % 100);
        }
        if let Some(score) = self.activity.nps {
            _ = write!(json, r#","properties":{{"scale":"nps","score":{score}}}"#);
        } else if let Some((name, value)) = self.activity.property {
            _ = write!(json, r#","properties":{{"{name}":"{value}"}}"#);
        } else if !self.activity.own_properties.is_empty() {
            _ = write!(json, r#","properties":{{{}}}"#, self.activity.own_properties);
        }
        json.push('}');
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_contains_the_order_and_the_score() {
        let touchpoint = GeneratedTouchpoint {
            event_id: "t1".into(),
            customer_id: "c1".into(),
            occurred_at: Timestamp::from_millis(0),
            activity: Activity {
                order_id: Some("c1-1".into()),
                cents: Some(1_205),
                nps: Some(9),
                ..Activity::of("order_completed")
            },
        };
        assert_eq!(
            touchpoint.to_json(),
            r#"{"event_id":"t1","customer_id":"c1","type":"order_completed","occurred_at":"1970-01-01T00:00:00Z","order_id":"c1-1","amount":12.05,"currency":"USD","properties":{"scale":"nps","score":9}}"#
        );
    }

    #[test]
    fn json_contains_the_property_and_the_requested_currency() {
        let mut touchpoint = GeneratedTouchpoint {
            event_id: "t1".into(),
            customer_id: "c1".into(),
            occurred_at: Timestamp::from_millis(0),
            activity: Activity {
                cents: Some(5),
                property: Some(("product", "cocoa")),
                ..Activity::of("order_completed")
            },
        };
        assert!(
            touchpoint
                .to_json_in("EUR")
                .ends_with(r#","amount":0.05,"currency":"EUR","properties":{"product":"cocoa"}}"#)
        );
        touchpoint.activity.cents = None;
        assert!(!touchpoint.to_json().contains("currency"));
    }
}
