//! Identity resolution: how the ids of one person refer to each other, and the options that govern it.
//!
//! A *visitor* is known by an anonymous id only. A touchpoint that names a customer and a visitor is a *link*: the
//! facts of the visitor move to the customer, and the id of the visitor becomes a *stub*, which forwards later
//! touchpoints. Here are the data and the options; `partition/identity.rs` has the rules.

use std::collections::HashSet;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::time::{Duration, Timestamp};
use super::touchpoint::Touchpoint;

/// How ids are linked. Part of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdentityOptions {
    /// Which touchpoints with both ids are links.
    pub link_on: LinkOn,
    /// How long a stub is kept after the latest touchpoint that it forwarded.
    pub stub_lifetime: Duration,
}

impl Default for IdentityOptions {
    fn default() -> Self {
        Self { link_on: LinkOn::default(), stub_lifetime: Duration::from_days(400) }
    }
}

/// Which touchpoints link a visitor to a customer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LinkOn {
    /// Those of the type [`Touchpoint::IDENTIFIED`].
    #[default]
    Identified,
    /// All touchpoints with both ids.
    Any,
}

impl LinkOn {
    /// Returns the visitor that `touchpoint` links to its customer.
    #[must_use]
    pub fn visitor<'a>(self, touchpoint: &Touchpoint<'a>) -> Option<&'a str> {
        let is_link = self == Self::Any || touchpoint.type_name == Touchpoint::IDENTIFIED;
        touchpoint.anonymous_id.filter(|_| is_link && !touchpoint.is_erasure())
    }
}

/// Ids that do not identify a person, such as the default of a broken tracker. They count as absent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BlockedIds(HashSet<Box<str>>);

impl BlockedIds {
    /// The ids that are always blocked, besides those of zeros and dashes only. Case is ignored.
    pub const ALWAYS: [&str; 12] = [
        "-1",
        "null",
        "nil",
        "none",
        "undefined",
        "nan",
        "true",
        "false",
        "anonymous",
        "guest",
        "unknown",
        "[object object]",
    ];

    /// Blocks `ids` in addition to [`ALWAYS`](Self::ALWAYS).
    #[must_use]
    pub fn new<'a>(ids: impl IntoIterator<Item = &'a str>) -> Self {
        Self(ids.into_iter().map(|id| id.to_lowercase().into()).collect())
    }

    /// Whether `id` is blocked.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        id.bytes().all(|byte| matches!(byte, b'0' | b'-'))
            || Self::ALWAYS.iter().any(|blocked| id.eq_ignore_ascii_case(blocked))
            || !self.0.is_empty() && self.0.contains(id.to_lowercase().as_str())
    }
}

/// What an id refers to, and what refers to it. An id without links has none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// The customer that the facts of this visitor moved to. There is no customer under this id then.
    pub stub: Option<Stub>,
    /// The customer that touchpoints before an instant belong to.
    pub former: Option<Former>,
    /// The visitors whose facts moved to this customer, and those that it has claimed.
    pub aliases: Vec<Alias>,
    /// The latest erasure.
    pub erasure: Option<Erasure>,
    /// The number of times that this id became a stub.
    pub retired: u16,
}

/// Forwards the touchpoints of a visitor to a customer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stub {
    /// The customer.
    pub into: Arc<str>,
    /// Identifies the move of the facts; see [`drain`].
    pub drain: u64,
    /// The latest time of a forwarded touchpoint or of a link, rounded up to a day.
    pub used: Timestamp,
}

/// Forwards the touchpoints of a visitor before an instant to the customer that the id was a stub of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Former {
    /// The customer.
    pub into: Arc<str>,
    /// Identifies the move of the facts; see [`drain`].
    pub drain: u64,
    /// The end: later touchpoints belong to the id itself.
    pub until: Timestamp,
}

/// A visitor whose facts moved to a customer, or that the customer has claimed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alias {
    /// The id of the visitor.
    pub id: Arc<str>,
    /// Identifies the move of the facts; see [`drain`]. 0 until they have arrived.
    pub drain: u64,
    /// The time of the latest link.
    pub claimed_at: Timestamp,
}

/// Remembers an erasure, so that facts and touchpoints that are still under way are dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Erasure {
    /// The time of the erasure.
    pub at: Timestamp,
    /// When it is forgotten.
    pub kept_until: Timestamp,
}

impl Identity {
    /// The limit of aliases whose facts have moved, and of those that are only claimed. A further one replaces the one
    /// claimed longest ago.
    pub const ALIASES_MAX: usize = 64;

    /// Adds an alias, or replaces that of the same id. Returns the one that it replaces because there are too many.
    pub fn add_alias(&mut self, mut alias: Alias) -> Option<Alias> {
        if let Some(index) = self.aliases.iter().position(|other| other.id == alias.id) {
            alias.claimed_at = alias.claimed_at.max(self.aliases.remove(index).claimed_at);
        }
        let of_same_kind = |other: &&Alias| other.has_moved() == alias.has_moved();
        let evicted = if self.aliases.iter().filter(of_same_kind).count() < Self::ALIASES_MAX {
            None
        } else {
            let oldest = self.aliases.iter().filter(of_same_kind).min_by_key(|other| other.claimed_at);
            let oldest = oldest.map(|oldest| Arc::clone(&oldest.id));
            let index = self.aliases.iter().position(|other| Some(&other.id) == oldest.as_ref());
            index.map(|index| self.aliases.remove(index))
        };
        self.aliases.push(alias);
        evicted
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns when it ends if there is no customer under the id.
    #[must_use]
    pub fn ends_at(&self, stub_lifetime: Duration) -> Option<Timestamp> {
        let stub = self.stub.as_ref().map(|stub| stub.used + stub_lifetime);
        let former = self.former.as_ref().map(|former| former.until + stub_lifetime);
        let erasure = self.erasure.map(|erasure| erasure.kept_until);
        stub.into_iter().chain(former).chain(erasure).max()
    }

    /// Makes the id independent of the customer that it is a stub of: touchpoints from `from` on are its own. All that
    /// was forwarded so far is older than the end, so that repetitions of it still reach that customer.
    pub fn part(&mut self, from: Timestamp) {
        if let Some(Stub { into, drain, used }) = self.stub.take() {
            self.former = Some(Former { into, drain, until: from.max(used.next()) });
        }
    }
}

impl Alias {
    /// Whether the facts of the visitor have moved, so that it is a stub. Otherwise it is only claimed.
    #[must_use]
    pub fn has_moved(&self) -> bool {
        self.drain != 0
    }
}

impl Stub {
    /// Records that the stub was used at `instant`. Returns whether it changed.
    pub fn use_at(&mut self, instant: Timestamp) -> bool {
        let used = self.used.max(instant.end_of_day());
        let has_changed = used != self.used;
        self.used = used;
        has_changed
    }
}

/// Returns the number that identifies a move of facts: that of an id that became a stub `retired` times before, because
/// of the link `event_id`. It is not 0.
#[must_use]
pub fn drain(event_id: &str, retired: u16) -> u64 {
    xxh3_64_with_seed(event_id.as_bytes(), u64::from(retired)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_broken_trackers_are_blocked_in_any_case() {
        let blocked = BlockedIds::new(["Kiosk-7", "shop@example.com"]);
        for id in ["", "0", "0000-00", "-", "-1", "NULL", "Undefined", "[object Object]", "kiosk-7", "SHOP@example.com"]
        {
            assert!(blocked.contains(id), "{id}");
        }
        for id in ["00a", "1", "noone", "nullx"] {
            assert!(!blocked.contains(id), "{id}");
        }
    }

    #[test]
    fn a_stub_that_parts_still_receives_what_it_may_have_forwarded() {
        let at = Timestamp::from_millis;
        let mut stub = Stub { into: "k".into(), drain: 1, used: at(0) };
        assert!(stub.use_at(at(5)));
        assert!(!stub.use_at(at(6)), "it changes at most once a day");
        let mut identity = Identity { stub: Some(stub), ..Identity::default() };
        identity.part(at(7));
        assert_eq!(identity.former.map(|former| former.until), Some(at(86_400_000)));
        assert_eq!(identity.stub, None);
    }
}
