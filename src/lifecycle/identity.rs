//! Identity resolution: how the ids of one person refer to each other, and the options that govern it.
//!
//! A *visitor* is known by an anonymous id only. A touchpoint that names a customer and a visitor is a *link*: the
//! facts of the visitor move to the customer, and the id of the visitor becomes a *stub*, which forwards later
//! touchpoints. The command `customer_merged` does the same for two customers, and `customer_split` ends it for later
//! touchpoints. Here are the data and the options; `partition/identity.rs` has the rules.
//!
//! An id may be a customer, a stub and a customer again. *Life* n of an id begins when it has become a stub n times.
//! What refers to an id names its life, because after a split the earlier lives belong to another customer.

use std::collections::HashSet;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

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
        let is_command = touchpoint.is_erasure() || touchpoint.is_merge() || touchpoint.is_split();
        touchpoint.anonymous_id.filter(|_| is_link && !is_command)
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

/// What an id refers to, what refers to it, and what is remembered of its erasures and splits.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// The customer that the facts of this id moved to. There is no customer under this id then.
    pub stub: Option<Stub>,
    /// The customer that touchpoints before an instant belong to.
    pub former: Option<Former>,
    /// The ids whose facts moved to this customer, and the visitors that it has claimed. A customer may have several
    /// aliases with one id: one for each move of its facts.
    pub aliases: Vec<Alias>,
    /// The latest split of the id while it was not merged: merges from before it have no effect.
    pub split_at: Option<Timestamp>,
    /// The latest erasure.
    pub erasure: Option<Erasure>,
    /// The moves to this id whose facts were erased; see [`drain`]. A touchpoint that waits for them need not wait.
    pub erased_moves: Vec<u64>,
    /// The number of times that this id became a stub.
    pub retired: u16,
    /// The number of times that a customer with this id was erased or forgotten.
    pub removals: u16,
}

/// Forwards the touchpoints of an id to a customer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stub {
    /// The customer.
    pub into: Arc<str>,
    /// The life of the customer.
    pub life: u16,
    /// Identifies the move of the facts; see [`drain`].
    pub drain: u64,
    /// The latest time of a forwarded touchpoint or of a link, rounded up to a day.
    pub used: Timestamp,
    /// The time of the command that merged the id. Otherwise the id is a visitor, and a link moved its facts.
    pub merged_at: Option<Timestamp>,
    /// Whether the facts have arrived.
    pub is_settled: bool,
}

/// Forwards the touchpoints of an id before an instant to the customer that the id was a stub of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Former {
    /// The customer.
    pub into: Arc<str>,
    /// The life of the customer.
    pub life: u16,
    /// Identifies the move of the facts; see [`drain`].
    pub drain: u64,
    /// The end: later touchpoints belong to the id itself.
    pub until: Timestamp,
    /// Whether the facts have arrived.
    pub is_settled: bool,
    /// The split, if the command `customer_split` made the stub a former one. Otherwise the id is a visitor.
    pub split: Option<Split>,
    /// When it is forgotten, if the customer was removed. A customer that was erased drops what is forwarded.
    pub ends_at: Option<Timestamp>,
}

/// The end of a merge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Split {
    /// The time of the command.
    pub at: Timestamp,
    /// The latest life of the id that belongs to the customer of the merge.
    pub last_life: u16,
}

/// An id whose facts moved to this customer, or a visitor that the customer has claimed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alias {
    /// The id.
    pub id: Arc<str>,
    /// Identifies the move of the facts; see [`drain`]. 0 until they have arrived.
    pub drain: u64,
    /// The time of the latest link.
    pub claimed_at: Timestamp,
    /// Why the facts moved.
    pub kind: AliasKind,
}

/// Why the facts of an alias moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AliasKind {
    /// A link named the visitor.
    #[default]
    Visitor,
    /// A command merged the id.
    Customer,
    /// A command merged the id, and a later one split it. Its earlier touchpoints still belong to this customer.
    Split,
}

/// Remembers an erasure, so that facts and touchpoints that are still under way are dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Erasure {
    /// The time of the erasure, or of the latest change of the customer, if that is later: what is not later than it
    /// was erased. [`Timestamp::MIN`] if the customer was only forgotten.
    pub at: Timestamp,
    /// When it is forgotten.
    pub kept_until: Timestamp,
    /// The time of an erasure that names the id, if the id was never a stub: a link from before it that arrives later
    /// means that the customer is to be erased.
    pub requested_at: Option<Timestamp>,
}

impl Identity {
    /// The limit of aliases whose facts have moved, and of those that are only claimed. A further one replaces an
    /// earlier move of the same id, or the visitor claimed longest ago.
    pub const ALIASES_MAX: usize = 64;

    /// The limit of all aliases. Merged customers bring theirs, so there may be more than
    /// [`ALIASES_MAX`](Self::ALIASES_MAX).
    pub const INHERITED_MAX: usize = 512;

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it does not end while there is no customer under the id: it was merged by a command, or the facts of
    /// other ids have moved to it.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.aliases.iter().any(Alias::has_moved) || self.stub.as_ref().is_some_and(Stub::is_merged)
    }

    /// Returns when it ends if there is no customer under the id and it is not permanent.
    #[must_use]
    pub fn ends_at(&self, stub_lifetime: Duration) -> Option<Timestamp> {
        if self.is_permanent() {
            return None;
        }
        let stub = self.stub.as_ref().map(|stub| stub.used + stub_lifetime);
        let former = self.former.as_ref().map(|former| former.ends_at.unwrap_or(former.until + stub_lifetime));
        let erasure = self.erasure.map(|erasure| erasure.kept_until);
        let claims = self.aliases.iter().map(|alias| alias.claimed_at + stub_lifetime);
        // A split that is older than an erasure does not outlive it.
        let is_erased = self.erasure.is_some_and(|erasure| erasure.at > Timestamp::MIN);
        let split = self.split_at.filter(|_| !is_erased).map(|at| at + stub_lifetime);
        claims.chain(stub).chain(former).chain(erasure).chain(split).max()
    }

    /// Makes the id independent of the customer that it is a stub of: touchpoints from `from` on are its own. All that
    /// was forwarded so far is older than the end, so that repetitions of it still reach that customer.
    pub fn part(&mut self, from: Timestamp) {
        if let Some(Stub { into, life, drain, used, is_settled, merged_at }) = self.stub.take() {
            let earlier = self.former.as_ref().filter(|former| former.into == into).map(|former| former.until);
            let until = from.max(used.next()).max(earlier.unwrap_or(from));
            let split = merged_at.map(|_| Split { at: from, last_life: self.retired.saturating_sub(1) });
            self.former = Some(Former { into, life, drain, until, is_settled, split, ends_at: None });
        }
    }

    /// Whether a command of the time `at` may split the id: a command merged it before, and no former stub refers to
    /// another customer.
    #[must_use]
    pub fn can_split(&self, at: Timestamp) -> bool {
        let Some(stub) = &self.stub else { return false };
        let is_only = self.former.as_ref().is_none_or(|former| former.into == stub.into && former.life == stub.life);
        stub.merged_at.is_some_and(|merged_at| merged_at <= at) && is_only
    }

    /// Forgets the former stub if its customer was removed and it has ended by `now`. Returns whether it did.
    pub fn end_former(&mut self, now: Timestamp) -> bool {
        self.former.take_if(|former| former.ends_at.is_some_and(|end| end <= now)).is_some()
    }

    /// Returns `claimed_at` for an alias that joins the customer now: later than what was erased, because the alias was
    /// not.
    #[must_use]
    pub fn joined_at(&self, claimed_at: Timestamp) -> Timestamp {
        self.erasure.map_or(claimed_at, |erasure| claimed_at.max(erasure.at.next()))
    }

    /// Returns the former stub if it passes on what is for `life` of the id, or, if that is not known, what is from
    /// `at`.
    #[must_use]
    pub fn former_of(&self, life: Option<u16>, at: Timestamp) -> Option<&Former> {
        let is_earlier = |split: Split| life.map_or(at < split.at, |life| life <= split.last_life);
        self.former.as_ref().filter(|former| former.split.is_some_and(is_earlier))
    }

    /// Records that a later command has split the alias `id`.
    pub fn split_alias(&mut self, id: &str) {
        let merged = self.aliases.iter_mut().filter(|alias| *alias.id == *id && alias.is_merged());
        merged.for_each(|alias| alias.kind = AliasKind::Split);
    }

    /// Adds an alias to those of the customer `own_id`, or replaces the one that it repeats. Returns the visitor
    /// or customer that it displaces because there are too many.
    #[must_use]
    pub fn add_alias(&mut self, mut alias: Alias, own_id: &str) -> Option<Alias> {
        // Facts of an earlier move may arrive later, with those of a merged customer, so they replace no other move.
        let is_repeated =
            |known: &mut Alias| known.id == alias.id && (known.drain == alias.drain || !known.has_moved());
        let claimed_at = self.aliases.extract_if(.., is_repeated).map(|known| known.claimed_at).max();
        alias.claimed_at = alias.claimed_at.max(claimed_at.unwrap_or(alias.claimed_at));
        let has_moved = alias.has_moved();
        let is_full = self.aliases.iter().filter(|other| other.has_moved() == has_moved).count() >= Self::ALIASES_MAX;
        let mut displaced = None;
        if let Some(index) = self.superseded(own_id).filter(|_| is_full && has_moved) {
            self.aliases.remove(index);
        } else if is_full {
            displaced = self.remove_oldest(|it| it.has_moved() == has_moved && it.kind == AliasKind::Visitor);
        }
        self.aliases.push(alias);
        if self.aliases.len() > Self::INHERITED_MAX {
            displaced = self.remove_oldest(Alias::has_moved);
        }
        displaced.filter(|displaced| *displaced.id != *own_id)
    }

    /// Returns the index of an alias that refers to nothing: an earlier move of the id itself, or of a merged customer.
    fn superseded(&self, own_id: &str) -> Option<usize> {
        self.aliases.iter().enumerate().position(|(index, alias)| {
            let is_repeated = self.aliases[index + 1..].iter().any(|later| later.id == alias.id);
            *alias.id == *own_id || alias.kind != AliasKind::Visitor && is_repeated
        })
    }

    /// Removes the alias claimed longest ago, of those that may be removed.
    fn remove_oldest(&mut self, may_remove: impl Fn(&Alias) -> bool) -> Option<Alias> {
        let candidates = self.aliases.iter().enumerate().filter(|(_, alias)| may_remove(alias));
        let oldest = candidates.min_by_key(|(_, alias)| alias.claimed_at).map(|(index, _)| index);
        oldest.map(|index| self.aliases.remove(index))
    }

    /// Records that the facts of a move to this id were erased.
    pub fn add_erased_move(&mut self, drain: u64) {
        if self.erased_moves.len() == Self::ALIASES_MAX {
            self.erased_moves.remove(0);
        }
        self.erased_moves.push(drain);
    }

    /// Returns the ids whose facts moved to the customer `own_id` and that were not split since, each once.
    #[must_use]
    pub fn moved_ids(&self, own_id: &str) -> Vec<Arc<str>> {
        let mut ids: Vec<Arc<str>> = Vec::new();
        for alias in self
            .aliases
            .iter()
            .filter(|alias| alias.has_moved() && alias.kind != AliasKind::Split && *alias.id != *own_id)
        {
            if !ids.contains(&alias.id) {
                ids.push(Arc::clone(&alias.id));
            }
        }
        ids
    }

    /// Whether the id `other` is an alias.
    #[must_use]
    pub fn has_alias(&self, other: &str) -> bool {
        self.aliases.iter().any(|alias| *alias.id == *other)
    }

    /// Whether what is from `at` was erased. `by` is the alias that has sent it: what was its own when it joined the
    /// customer after the erasure was not.
    #[must_use]
    pub fn is_erased(&self, at: Timestamp, by: Option<&Arc<str>>) -> bool {
        self.erasure.is_some_and(|erasure| {
            let joined_later = |alias: &Alias| Some(&alias.id) == by && alias.claimed_at > erasure.at;
            at <= erasure.at && !self.aliases.iter().any(joined_later)
        })
    }

    /// Whether the facts of these moves have arrived, or were erased. At the limit of what is remembered of them, all
    /// count as arrived: otherwise a touchpoint could wait indefinitely.
    #[must_use]
    pub fn has_received(&self, moves: &[u64]) -> bool {
        let is_known =
            |drain: &u64| self.erased_moves.contains(drain) || self.aliases.iter().any(|alias| alias.drain == *drain);
        self.is_full() || self.erased_moves.len() >= Self::ALIASES_MAX || moves.iter().all(is_known)
    }

    fn is_full(&self) -> bool {
        self.aliases.iter().filter(|alias| alias.has_moved()).count() >= Self::ALIASES_MAX
    }
}

impl Alias {
    /// Whether the facts of the id have moved, so that it is a stub. Otherwise it is only claimed.
    #[must_use]
    pub fn has_moved(&self) -> bool {
        self.drain != 0
    }

    /// Whether a command merged the id, its facts have moved, and no later command has split it.
    #[must_use]
    pub fn is_merged(&self) -> bool {
        self.has_moved() && self.kind == AliasKind::Customer
    }
}

impl Stub {
    /// Whether a command merged the id.
    #[must_use]
    pub fn is_merged(&self) -> bool {
        self.merged_at.is_some()
    }

    /// Records that the stub was used at `instant`. Returns whether it changed.
    pub fn use_at(&mut self, instant: Timestamp) -> bool {
        let used = self.used.max(instant.end_of_day());
        let has_changed = used != self.used;
        self.used = used;
        has_changed
    }
}

impl Former {
    /// Whether it forwards `touchpoint`, which names its id.
    #[must_use]
    pub fn forwards(&self, touchpoint: &Touchpoint<'_>) -> bool {
        let is_of_id = touchpoint.is_visitor || self.split.is_some();
        is_of_id && !touchpoint.is_erasure() && touchpoint.occurred_at < self.until
    }
}

/// Returns the number that identifies a move of the facts of `id`, which became a stub `retired` times before, because
/// of the link `event_id`. It is not 0.
#[must_use]
pub fn drain(id: &str, event_id: &str, retired: u16) -> u64 {
    // Not as the seed of the hash: with another seed, a short text may have the hash of another short text.
    xxh3_64(&[event_id.as_bytes(), &retired.to_le_bytes(), id.as_bytes()].concat()).max(1)
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
        let mut stub = Stub { into: "k".into(), life: 0, drain: 1, used: at(0), merged_at: None, is_settled: false };
        assert!(stub.use_at(at(5)));
        assert!(!stub.use_at(at(6)), "it changes at most once a day");
        let mut identity = Identity { stub: Some(stub), ..Identity::default() };
        identity.part(at(7));
        assert_eq!(identity.former.map(|former| former.until), Some(at(86_400_000)));
        assert_eq!(identity.stub, None);
    }
}
