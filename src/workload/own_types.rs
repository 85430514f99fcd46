//! Touchpoint types that a model reads but the simulated shop does not send, such as those of a subscription.
//!
//! They occur at random times and in random order between the activities of the shop, with random values for the
//! properties that the models read. Text values are those that the conditions compare with.

use std::fmt::Write as _;

use fastrand::Rng;

use crate::lifecycle::model::Model;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::value::Type;
use crate::lifecycle::vocabulary::GroupSet;
use crate::wire::time::format_timestamp;

use super::touchpoint::Activity;

/// The types that the simulated shop sends.
const SHOP_TYPES: [&str; 31] = [
    "account_deleted",
    "ad_clicked",
    "ad_impression",
    "app_opened",
    "cart_item_added",
    "checkout_started",
    "community_joined",
    "content_viewed",
    "email_clicked",
    "email_opened",
    "feedback_given",
    "loyalty_enrolled",
    "newsletter_subscribed",
    "order_cancelled",
    "order_completed",
    "order_delivered",
    "order_refunded",
    "partner_joined",
    "partner_left",
    "positive_review_published",
    "product_compared",
    "product_shared",
    "product_used",
    "product_viewed",
    "referral_shared",
    "referral_visited",
    "signed_up",
    "social_followed",
    "support_ticket_opened",
    "support_ticket_resolved",
    "ugc_posted",
];

/// Maximum length of a text value that is taken from a condition.
const TEXT_BYTES_MAX: usize = 64;

/// The types that models read beyond those of the shop, and the properties of their touchpoints.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OwnTypes {
    names: Vec<Box<str>>,
    properties: Vec<(Box<str>, Type)>,
    texts: Vec<Box<str>>,
}

impl OwnTypes {
    /// Returns the types that `models` read and the shop does not send, in the order of the catalogue.
    #[must_use]
    pub fn of(models: &ModelSet) -> Self {
        let vocabulary = &models.vocabulary;
        let is_read = |&(name, groups): &(&str, &GroupSet)| {
            let reads = groups.iter().any(|group| &*vocabulary.groups[usize::from(group.0)].name != "any");
            reads && !name.is_empty() && !SHOP_TYPES.contains(&name)
        };
        let types = vocabulary.types.iter().map(AsRef::as_ref);
        let read = types.zip(&vocabulary.groups_of_type).filter(is_read);
        let of_groups = vocabulary.groups.iter().filter_map(|group| group.condition.as_ref());
        let conditions = of_groups.chain(models.models.iter().flat_map(Model::conditions));
        let mut texts: Vec<Box<str>> = conditions.flat_map(|condition| texts_in(&condition.text)).collect();
        texts.sort_unstable();
        texts.dedup();
        let is_plain =
            |name: &str| name.chars().all(|character| !character.is_control() && !r#""\"#.contains(character));
        Self {
            names: read.map(|(name, _)| name).filter(|name| is_plain(name)).map(Into::into).collect(),
            properties: vocabulary
                .properties
                .iter()
                .filter(|property| is_plain(&property.name))
                .map(|property| (property.name.clone(), property.value_type))
                .collect(),
            texts,
        }
    }

    /// Whether the shop sends every type that the models read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Returns the names of the types.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Describes how the types are sent; `None` if there are none.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        let names: Vec<&str> = self.names().collect();
        let names = names.join(", ");
        (!self.is_empty())
            .then(|| format!("the simulated shop does not know these types and sends them at random: {names}"))
    }

    /// Returns a touchpoint of a random type at `at`. Its timestamps are within the following year.
    pub(super) fn activity(&self, at: Timestamp, rng: &mut Rng) -> Activity {
        let name = self.names[rng.usize(0..self.names.len())].clone();
        let mut properties = String::new();
        let mut cents = None;
        for (property, value_type) in &self.properties {
            let value = match value_type {
                _ if &**property == "amount" => {
                    cents = Some(rng.u32(500..20_000));
                    continue;
                }
                Type::Int => {
                    let largest = if rng.bool() { 10 } else { 100 };
                    rng.i64(0..=largest).to_string()
                }
                Type::Double => format!("{}.5", rng.u32(0..100)),
                Type::Bool => rng.bool().to_string(),
                Type::Timestamp => {
                    format!("\"{}\"", format_timestamp(at + Duration::from_days(rng.i64(0..366))))
                }
                Type::String if !self.texts.is_empty() => format!("\"{}\"", self.texts[rng.usize(0..self.texts.len())]),
                _ => continue,
            };
            let comma = if properties.is_empty() { "" } else { "," };
            _ = write!(properties, r#"{comma}"{property}":{value}"#);
        }
        Activity { type_name: String::from(name).into(), cents, own_properties: properties, ..Activity::default() }
    }
}

/// Returns the texts in double quotes within a condition that need no escaping in JSON.
fn texts_in(condition: &str) -> impl Iterator<Item = Box<str>> + '_ {
    let quoted = condition.split('"').skip(1).step_by(2);
    let is_plain = |text: &&str| {
        let length = 1..=TEXT_BYTES_MAX;
        length.contains(&text.len()) && !text.contains(|character: char| character.is_control() || character == '\\')
    };
    quoted.filter(is_plain).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::model_file::{ModelSource, load, shipped, shipped_catalogue, shipped_names};
    use crate::workload::{Workload, WorkloadOptions};

    fn models(sources: &[ModelSource]) -> ModelSet {
        load(sources, &shipped_catalogue(), &[]).expect("no problems").0
    }

    fn types_of(own: OwnTypes) -> std::collections::BTreeSet<String> {
        let start = Timestamp::from_millis(1_700_000_000_000);
        let options = WorkloadOptions { seed: 3, start, customers_per_day: 20.0 };
        let mut workload = Workload::new(options).with_own_types(own);
        let until = start + Duration::from_days(400);
        std::iter::from_fn(|| workload.next_until(until)).map(|it| it.activity.type_name.into_owned()).collect()
    }

    #[test]
    fn the_list_of_the_types_of_the_shop_is_complete() {
        let sent = types_of(OwnTypes::default());
        let listed = SHOP_TYPES.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(sent, listed);
    }

    #[test]
    fn every_type_of_a_subscription_is_sent() {
        let text = include_str!("../../examples/subscription.yaml").to_owned();
        let own = OwnTypes::of(&models(&[ModelSource { name: "subscription.yaml".to_owned(), text }]));
        let names: Vec<String> = own.names().map(str::to_owned).collect();
        assert_eq!(names.len(), 5, "{names:?}");
        assert!(names.contains(&"payment_failed".to_owned()) && names.contains(&"trial_started".to_owned()));
        let sent = types_of(own);
        assert!(names.iter().all(|name| sent.contains(name)), "{sent:?}");
    }

    #[test]
    fn properties_have_the_types_and_texts_that_conditions_read() {
        let text = r#"
model: accounts
version: 1
journey: [small, large]
types: {seats_changed: {properties: {seats: int, plan: string}}}
facts: {seats: 'latest(seats_changed, "seats")', plan: 'latest(seats_changed, "plan")'}
stages:
  - {stage: large, when: 'seats >= 50 && plan == "enterprise"'}
  - {stage: small, when: has(seats)}
"#;
        let own = OwnTypes::of(&models(&[ModelSource { name: "accounts.yaml".to_owned(), text: text.to_owned() }]));
        let activity = own.activity(Timestamp::from_millis(0), &mut Rng::with_seed(1));
        assert_eq!(activity.type_name, "seats_changed");
        let properties: serde_json::Value =
            serde_json::from_str(&format!("{{{}}}", activity.own_properties)).expect("JSON");
        assert!(properties["seats"].is_i64() && properties["plan"] == "enterprise", "{properties}");
    }

    #[test]
    fn the_shop_sends_most_types_of_the_shipped_models() {
        let sources: Vec<ModelSource> = shipped_names().iter().filter_map(|name| shipped(name)).collect();
        let own = OwnTypes::of(&models(&sources));
        assert!(own.names().all(|name| !SHOP_TYPES.contains(&name)));
    }
}
