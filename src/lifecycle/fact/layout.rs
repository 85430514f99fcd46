//! The layout of facts: which facts a set of models reads, and where [`Facts`](super::Facts) stores each of them.

use std::collections::HashMap;

use crate::lifecycle::id::{GroupIndex, ModelIndex, PropertyIndex, StableId};
use crate::lifecycle::time::Duration;
use crate::lifecycle::value::{Slot, Type};

/// The kinds of facts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FactKind {
    /// The number of touchpoints of the group.
    Count(GroupIndex),
    /// The number of touchpoints of the group within the last `Duration`, at most
    /// [`RecentTimes::WINDOW_MAX`](super::RecentTimes::WINDOW_MAX).
    CountWithin(GroupIndex, Duration),
    /// The earliest time of a touchpoint of the group.
    First(GroupIndex),
    /// The latest time of a touchpoint of the group.
    Last(GroupIndex),
    /// The value of the property in the latest touchpoint of the group that has it; at equal times the greater value.
    Latest(GroupIndex, PropertyIndex),
    /// The sum of a numeric property over the touchpoints of the group, in exact millionths.
    Sum(GroupIndex, PropertyIndex),
    /// An aggregate over the order ledger.
    Orders(OrderFact),
}

/// The facts about orders. Only valid orders count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OrderFact {
    /// The number of orders.
    Count,
    /// The time of the earliest order.
    First,
    /// The time of the latest order.
    Last,
    /// The sum of amounts in the configured currency, minus partial refunds.
    Revenue,
    /// The length of the current streak: orders that each follow the previous one by less than the gap. 0 once the gap
    /// has passed since the latest order.
    Streak(Duration),
    /// The time of the first order of the streak.
    StreakStart(Duration),
    /// The time of the earliest touchpoint of the group at or after the latest order.
    FirstSinceLast(GroupIndex),
}

/// A fact that a model reads.
#[derive(Clone, PartialEq, Debug)]
pub struct FactDefinition {
    /// Hash of the canonical text: `text` with groups expanded to types and conditions.
    pub id: StableId,
    /// The normalised expression: `last(advocacy)`, `orders.streak(days(180))`.
    pub text: Box<str>,
    /// The kind of the fact.
    pub kind: FactKind,
    /// The type of its value.
    pub value_type: Type,
}

/// Where the value of a fact is stored. The indices refer to the vectors of [`Facts`](super::Facts).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FactLocation {
    /// `numbers[i]`, as a count.
    Count(u16),
    /// `numbers[i]`, as a time, absent until set.
    Time(u16),
    /// `numbers[i]`, as a sum in millionths, read as a double.
    Sum(u16),
    /// `latest[i]`.
    Latest(u16),
    /// `windows[i]`, with the length of the window.
    CountWithin(u16, Duration),
    /// The number of orders in the ledger.
    OrdersCount,
    /// The time of the first order.
    OrdersFirst,
    /// The time of the latest order.
    OrdersLast,
    /// The revenue, read as a double.
    OrdersRevenue,
    /// The streak of gap `i`.
    Streak(u16),
    /// The start of the streak of gap `i`.
    StreakStart(u16),
    /// The first touchpoint of follow-up group `i` at or after the latest order.
    FirstSinceLast(u16),
}

/// An update of the facts by a touchpoint of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FactUpdate {
    /// Add one to `numbers[i]`.
    Count(u16),
    /// Lower `numbers[i]` to the touchpoint's time.
    First(u16),
    /// Raise `numbers[i]` to the touchpoint's time.
    Last(u16),
    /// Set `latest[i]` to the property, if the touchpoint is newer.
    Latest(u16, PropertyIndex),
    /// Add the property to `numbers[i]`.
    Sum(u16, PropertyIndex),
    /// Add the time to `windows[i]`.
    Window(u16, Duration),
    /// Add the time to follow-up group `i` of the order ledger.
    FollowUp(u16),
}

/// The models that read each fact, one bit per model: those to evaluate again when the fact changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Readers {
    pub(super) numbers: Vec<u64>,
    pub(super) latest: Vec<u64>,
    pub(super) windows: Vec<u64>,
    pub(super) follow_ups: Vec<u64>,
    pub(super) orders: u64,
}

/// Every fact that a set of models reads, each once.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The facts, by slot.
    pub definitions: Vec<FactDefinition>,
    /// Where the value of each fact is stored, by slot.
    pub locations: Vec<FactLocation>,
    /// The updates by a touchpoint of each group, by group index.
    pub updates: Vec<Vec<FactUpdate>>,
    /// The stable ids of `numbers`.
    pub number_ids: Vec<StableId>,
    /// Whether each of `numbers` is a time, which is initially absent; other numbers are initially 0.
    pub number_is_time: Vec<bool>,
    /// The stable ids of `latest`.
    pub latest_ids: Vec<StableId>,
    /// The stable ids of `windows`.
    pub window_ids: Vec<StableId>,
    /// The gaps of streaks, by index.
    pub gaps: Vec<Duration>,
    /// The stable ids of the follow-up groups: for each, the order ledger keeps the first touchpoint at or after the
    /// latest order ([`OrderFact::FirstSinceLast`]).
    pub follow_ups: Vec<StableId>,
    /// Whether a fact reads the order ledger.
    pub reads_orders: bool,
    /// The models that read each fact.
    pub(super) readers: Readers,
    slots: HashMap<FactKind, Slot>,
}

impl Layout {
    /// The limit of facts that a set of models may read.
    pub const FACTS_MAX: usize = 512;

    /// Returns the slot of the fact `kind`; adds the fact if it is new.
    ///
    /// Returns `None` when [`FACTS_MAX`](Self::FACTS_MAX) is reached.
    pub fn intern(&mut self, kind: FactKind, text: &str, value_type: Type, id: StableId) -> Option<Slot> {
        if let Some(&slot) = self.slots.get(&kind) {
            return Some(slot);
        }
        if self.definitions.len() >= Self::FACTS_MAX {
            return None;
        }
        let slot = Slot(u16::try_from(self.definitions.len()).ok()?);
        let location = match kind {
            FactKind::Count(group) => {
                let index = self.add_number(id, false);
                self.add_update(group, FactUpdate::Count(index));
                FactLocation::Count(index)
            }
            FactKind::First(group) => {
                let index = self.add_number(id, true);
                self.add_update(group, FactUpdate::First(index));
                FactLocation::Time(index)
            }
            FactKind::Last(group) => {
                let index = self.add_number(id, true);
                self.add_update(group, FactUpdate::Last(index));
                FactLocation::Time(index)
            }
            FactKind::Sum(group, property) => {
                let index = self.add_number(id, false);
                self.add_update(group, FactUpdate::Sum(index, property));
                FactLocation::Sum(index)
            }
            FactKind::Latest(group, property) => {
                let index = push(&mut self.latest_ids, id);
                self.add_update(group, FactUpdate::Latest(index, property));
                FactLocation::Latest(index)
            }
            FactKind::CountWithin(group, length) => {
                let index = push(&mut self.window_ids, id);
                self.add_update(group, FactUpdate::Window(index, length));
                FactLocation::CountWithin(index, length)
            }
            FactKind::Orders(order_fact) => {
                self.reads_orders = true;
                match order_fact {
                    OrderFact::Count => FactLocation::OrdersCount,
                    OrderFact::First => FactLocation::OrdersFirst,
                    OrderFact::Last => FactLocation::OrdersLast,
                    OrderFact::Revenue => FactLocation::OrdersRevenue,
                    OrderFact::Streak(gap) => FactLocation::Streak(self.intern_gap(gap)),
                    OrderFact::StreakStart(gap) => FactLocation::StreakStart(self.intern_gap(gap)),
                    OrderFact::FirstSinceLast(group) => {
                        let index = push(&mut self.follow_ups, id);
                        self.add_update(group, FactUpdate::FollowUp(index));
                        FactLocation::FirstSinceLast(index)
                    }
                }
            }
        };
        self.definitions.push(FactDefinition { id, text: text.into(), kind, value_type });
        self.locations.push(location);
        self.slots.insert(kind, slot);
        Some(slot)
    }

    /// Sets which models read which slots. Call it once, after the last fact was added.
    pub fn set_readers(&mut self, references: impl IntoIterator<Item = (ModelIndex, Slot)>) {
        let mut readers = Readers {
            numbers: vec![0; self.number_ids.len()],
            latest: vec![0; self.latest_ids.len()],
            windows: vec![0; self.window_ids.len()],
            follow_ups: vec![0; self.follow_ups.len()],
            orders: 0,
        };
        for (ModelIndex(model), slot) in references {
            let bit = 1 << model;
            match self.locations[usize::from(slot.0)] {
                FactLocation::Count(index) | FactLocation::Time(index) | FactLocation::Sum(index) => {
                    readers.numbers[usize::from(index)] |= bit;
                }
                FactLocation::Latest(index) => readers.latest[usize::from(index)] |= bit,
                FactLocation::CountWithin(index, _) => readers.windows[usize::from(index)] |= bit,
                FactLocation::FirstSinceLast(index) => {
                    readers.follow_ups[usize::from(index)] |= bit;
                    readers.orders |= bit;
                }
                FactLocation::OrdersCount
                | FactLocation::OrdersFirst
                | FactLocation::OrdersLast
                | FactLocation::OrdersRevenue
                | FactLocation::Streak(_)
                | FactLocation::StreakStart(_) => readers.orders |= bit,
            }
        }
        self.readers = readers;
    }

    fn add_number(&mut self, id: StableId, is_time: bool) -> u16 {
        self.number_is_time.push(is_time);
        push(&mut self.number_ids, id)
    }

    fn intern_gap(&mut self, gap: Duration) -> u16 {
        // The length and the start of a streak share its gap.
        match self.gaps.iter().position(|&known| known == gap) {
            Some(index) => u16::try_from(index).expect("facts are limited"),
            None => push(&mut self.gaps, gap),
        }
    }

    fn add_update(&mut self, group: GroupIndex, update: FactUpdate) {
        let group = usize::from(group.0);
        if self.updates.len() <= group {
            self.updates.resize(group + 1, Vec::new());
        }
        self.updates[group].push(update);
    }
}

fn push<T>(list: &mut Vec<T>, item: T) -> u16 {
    list.push(item);
    u16::try_from(list.len() - 1).expect("facts are limited")
}
