//! A generated touchpoint and its JSON.

use std::fmt::Write;

use crate::lifecycle::time::Timestamp;
use crate::wire::time::format_timestamp;

/// What the shop sells.
pub(super) const PRODUCTS: [&str; 8] =
    ["espresso machine", "coffee beans", "milk jug", "grinder", "filter papers", "travel mug", "tea kettle", "cocoa"];

/// What the shop advertises with.
pub(super) const CAMPAIGNS: [&str; 5] = ["spring sale", "welcome", "new in store", "bring a friend", "we miss you"];

/// A touchpoint that somebody might have sent.
#[derive(Clone, PartialEq, Debug)]
pub struct GeneratedTouchpoint {
    /// Unique.
    pub event_id: String,
    /// Whose.
    pub customer_id: String,
    /// When.
    pub occurred_at: Timestamp,
    /// What.
    pub act: Act,
}

/// What a customer does.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Act {
    /// The touchpoint's type.
    pub type_name: &'static str,
    /// The order that it is about.
    pub order_id: Option<String>,
    /// Hundredths of the shop's currency.
    pub cents: Option<u32>,
    /// The score of a survey from 0 to 10.
    pub nps: Option<u8>,
    /// A property: its name and its value.
    pub about: Option<(&'static str, &'static str)>,
}

impl Act {
    /// An act that is fully told by its type.
    pub(super) fn of(type_name: &'static str) -> Self {
        Self { type_name, ..Self::default() }
    }
}

impl GeneratedTouchpoint {
    /// The touchpoint in the native JSON format, with amounts in US dollars.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.to_json_in("USD")
    }

    /// The touchpoint in the native JSON format, with amounts in `currency`. Ids, types and properties hold nothing that
    /// would have to be escaped.
    #[must_use]
    pub fn to_json_in(&self, currency: &str) -> String {
        let mut json = String::with_capacity(256);
        _ = write!(
            json,
            r#"{{"event_id":"{}","customer_id":"{}","type":"{}","occurred_at":"{}""#,
            self.event_id,
            self.customer_id,
            self.act.type_name,
            format_timestamp(self.occurred_at)
        );
        if let Some(order_id) = &self.act.order_id {
            _ = write!(json, r#","order_id":"{order_id}""#);
        }
        if let Some(cents) = self.act.cents {
            _ = write!(json, r#","amount":{}.{:02},"currency":"{currency}""#, cents / 100, cents % 100);
        }
        if let Some(score) = self.act.nps {
            _ = write!(json, r#","properties":{{"scale":"nps","score":{score}}}"#);
        } else if let Some((name, value)) = self.act.about {
            _ = write!(json, r#","properties":{{"{name}":"{value}"}}"#);
        }
        json.push('}');
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_names_the_order_and_the_score() {
        let touchpoint = GeneratedTouchpoint {
            event_id: "t1".into(),
            customer_id: "c1".into(),
            occurred_at: Timestamp::from_millis(0),
            act: Act { order_id: Some("c1-1".into()), cents: Some(1_205), nps: Some(9), ..Act::of("order_completed") },
        };
        assert_eq!(
            touchpoint.to_json(),
            r#"{"event_id":"t1","customer_id":"c1","type":"order_completed","occurred_at":"1970-01-01T00:00:00Z","order_id":"c1-1","amount":12.05,"currency":"USD","properties":{"scale":"nps","score":9}}"#
        );
    }

    #[test]
    fn json_names_what_the_act_is_about_and_the_currency_asked_for() {
        let mut touchpoint = GeneratedTouchpoint {
            event_id: "t1".into(),
            customer_id: "c1".into(),
            occurred_at: Timestamp::from_millis(0),
            act: Act { cents: Some(5), about: Some(("product", "cocoa")), ..Act::of("order_completed") },
        };
        assert!(
            touchpoint
                .to_json_in("EUR")
                .ends_with(r#","amount":0.05,"currency":"EUR","properties":{"product":"cocoa"}}"#)
        );
        touchpoint.act.cents = None;
        assert!(!touchpoint.to_json().contains("currency"));
    }
}
