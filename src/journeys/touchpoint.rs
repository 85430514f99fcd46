//! A generated touchpoint and its JSON.

use std::fmt::Write;

use crate::lifecycle::time::Timestamp;
use crate::wire::time::format_timestamp;

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
    /// Hundredths of a US dollar.
    pub cents: Option<u32>,
    /// The score of a survey from 0 to 10.
    pub nps: Option<u8>,
}

impl Act {
    /// An act that is fully told by its type.
    pub(super) fn of(type_name: &'static str) -> Self {
        Self { type_name, ..Self::default() }
    }
}

impl GeneratedTouchpoint {
    /// The touchpoint in the native JSON format. Ids and types hold nothing that would have to be escaped.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = format!(
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
            _ = write!(json, r#","amount":{}.{:02},"currency":"USD""#, cents / 100, cents % 100);
        }
        if let Some(score) = self.act.nps {
            _ = write!(json, r#","properties":{{"scale":"nps","score":{score}}}"#);
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
            act: Act { type_name: "order_completed", order_id: Some("c1-1".into()), cents: Some(1_205), nps: Some(9) },
        };
        assert_eq!(
            touchpoint.to_json(),
            r#"{"event_id":"t1","customer_id":"c1","type":"order_completed","occurred_at":"1970-01-01T00:00:00Z","order_id":"c1-1","amount":12.05,"currency":"USD","properties":{"scale":"nps","score":9}}"#
        );
    }
}
