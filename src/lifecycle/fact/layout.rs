//! Which facts a set of models reads, and the place of each in a customer's record.

use std::collections::HashMap;

use crate::lifecycle::id::{GroupIndex, ModelIndex, PropertyIndex, StableId};
use crate::lifecycle::time::Duration;
use crate::lifecycle::value::{Slot, Type};

/// What a fact is made of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FactKind {
    /// How many touchpoints of the group.
    Count(GroupIndex),
    /// How many touchpoints of the group are under this old; at most [`RecentTimes::WINDOW_MAX`](super::RecentTimes::WINDOW_MAX) are counted.
    CountWithin(GroupIndex, Duration),
    /// The earliest time of a touchpoint of the group.
    First(GroupIndex),
    /// The latest time of a touchpoint of the group.
    Last(GroupIndex),
    /// The property's value at the group's latest touchpoint that has it; at equal times the greater value.
    Latest(GroupIndex, PropertyIndex),
    /// The sum of a numeric property over the group, exact to a millionth.
    Sum(GroupIndex, PropertyIndex),
    /// A reading of the order ledger.
    Orders(OrdersReading),
}

/// What can be read from the order ledger; all over valid orders.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OrdersReading {
    /// How many.
    Count,
    /// The time of the earliest.
    First,
    /// The time of the latest.
    Last,
    /// Amounts in the configured currency, less partial refunds.
    Revenue,
    /// How many of the latest follow one another with less than the gap between neighbours; 0 once the gap has passed since the last.
    Streak(Duration),
    /// The time of the first order of the streak.
    StreakStart(Duration),
    /// The time of the earliest touchpoint of the group at or after the latest order.
    FirstSinceLast(GroupIndex),
}

/// A fact, identified across processes by a hash of its canonical text.
#[derive(Clone, PartialEq, Debug)]
pub struct FactDefinition {
    /// Hash of `text`, with groups spelled out down to types and conditions.
    pub id: StableId,
    /// As the model writes it, normalised: `last(advocacy)`, `orders.streak(days(180))`.
    pub text: Box<str>,
    /// What it is made of.
    pub kind: FactKind,
    /// The type of its value.
    pub value_type: Type,
}

/// Where the value of a slot is kept. Indices into the vectors of [`Facts`](super::Facts).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operand {
    /// `numbers[i]`, a count.
    Count(u16),
    /// `numbers[i]`, a time, absent until set.
    Time(u16),
    /// `numbers[i]`, millionths, read as a double.
    Sum(u16),
    /// `latest[i]`.
    Latest(u16),
    /// `windows[i]`, with the window's length.
    CountWithin(u16, Duration),
    /// The ledger's count.
    OrdersCount,
    /// The ledger's first time.
    OrdersFirst,
    /// The ledger's last time.
    OrdersLast,
    /// The ledger's revenue, read as a double.
    OrdersRevenue,
    /// The streak of the ledger's gap `i`.
    Streak(u16),
    /// The start of the streak of the ledger's gap `i`.
    StreakStart(u16),
    /// The first touchpoint of the ledger's followed group `i` at or after the last order.
    FirstSinceLast(u16),
}

/// What a touchpoint of a group changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Update {
    /// Add one to `numbers[i]`.
    Count(u16),
    /// Lower `numbers[i]` to the touchpoint's time.
    First(u16),
    /// Raise `numbers[i]` to the touchpoint's time.
    Last(u16),
    /// Offer the property to `latest[i]`.
    Latest(u16, PropertyIndex),
    /// Add the property to `numbers[i]`.
    Sum(u16, PropertyIndex),
    /// Add the time to `windows[i]`.
    Window(u16, Duration),
    /// Offer the time to the ledger's followed group `i`.
    Follow(u16),
}

/// Which models read each fact, a bit for each: those that have to be evaluated again when it changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Readers {
    pub(super) numbers: Vec<u64>,
    pub(super) latest: Vec<u64>,
    pub(super) windows: Vec<u64>,
    pub(super) followed: Vec<u64>,
    pub(super) orders: u64,
}

/// Every fact that a set of models reads, each once.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// By slot.
    pub definitions: Vec<FactDefinition>,
    /// By slot: where the value is kept.
    pub operands: Vec<Operand>,
    /// By group: what a touchpoint of it changes.
    pub updates: Vec<Vec<Update>>,
    /// The stable id of each of `numbers`, `latest`, `windows`.
    pub number_ids: Vec<StableId>,
    /// By index into `numbers`: whether it starts absent (a time) rather than at 0.
    pub number_is_time: Vec<bool>,
    /// The stable id of each of `latest`.
    pub latest_ids: Vec<StableId>,
    /// The stable id of each of `windows`.
    pub window_ids: Vec<StableId>,
    /// The gaps of streaks.
    pub gaps: Vec<Duration>,
    /// The stable id of each group whose first touchpoint since an order is kept.
    pub followed: Vec<StableId>,
    /// Whether any fact reads the order ledger.
    pub reads_orders: bool,
    /// Which models read what.
    pub(super) readers: Readers,
    slots: HashMap<FactKind, Slot>,
}

impl Layout {
    /// How many facts a set of models may read.
    pub const FACTS_MAX: usize = 512;

    /// The slot of the fact of `kind`, made if it is new. `text` is its canonical text; `value_type` its type.
    ///
    /// `None` when [`FACTS_MAX`](Self::FACTS_MAX) is reached.
    pub fn slot(&mut self, kind: FactKind, text: &str, value_type: Type, id: StableId) -> Option<Slot> {
        if let Some(&slot) = self.slots.get(&kind) {
            return Some(slot);
        }
        if self.definitions.len() >= Self::FACTS_MAX {
            return None;
        }
        let slot = Slot(u16::try_from(self.definitions.len()).ok()?);
        let operand = match kind {
            FactKind::Count(group) => {
                let index = self.number(id, false);
                self.update(group, Update::Count(index));
                Operand::Count(index)
            }
            FactKind::First(group) => {
                let index = self.number(id, true);
                self.update(group, Update::First(index));
                Operand::Time(index)
            }
            FactKind::Last(group) => {
                let index = self.number(id, true);
                self.update(group, Update::Last(index));
                Operand::Time(index)
            }
            FactKind::Sum(group, property) => {
                let index = self.number(id, false);
                self.update(group, Update::Sum(index, property));
                Operand::Sum(index)
            }
            FactKind::Latest(group, property) => {
                let index = push(&mut self.latest_ids, id);
                self.update(group, Update::Latest(index, property));
                Operand::Latest(index)
            }
            FactKind::CountWithin(group, length) => {
                let index = push(&mut self.window_ids, id);
                self.update(group, Update::Window(index, length));
                Operand::CountWithin(index, length)
            }
            FactKind::Orders(reading) => {
                self.reads_orders = true;
                match reading {
                    OrdersReading::Count => Operand::OrdersCount,
                    OrdersReading::First => Operand::OrdersFirst,
                    OrdersReading::Last => Operand::OrdersLast,
                    OrdersReading::Revenue => Operand::OrdersRevenue,
                    OrdersReading::Streak(gap) => Operand::Streak(self.gap(gap)),
                    OrdersReading::StreakStart(gap) => Operand::StreakStart(self.gap(gap)),
                    OrdersReading::FirstSinceLast(group) => {
                        let index = push(&mut self.followed, id);
                        self.update(group, Update::Follow(index));
                        Operand::FirstSinceLast(index)
                    }
                }
            }
        };
        self.definitions.push(FactDefinition { id, text: text.into(), kind, value_type });
        self.operands.push(operand);
        self.slots.insert(kind, slot);
        Some(slot)
    }

    /// Notes which models read which slots. To be called once, after the last slot is made.
    pub fn set_readers(&mut self, readings: impl IntoIterator<Item = (ModelIndex, Slot)>) {
        let mut readers = Readers {
            numbers: vec![0; self.number_ids.len()],
            latest: vec![0; self.latest_ids.len()],
            windows: vec![0; self.window_ids.len()],
            followed: vec![0; self.followed.len()],
            orders: 0,
        };
        for (ModelIndex(model), slot) in readings {
            let bit = 1 << model;
            match self.operands[usize::from(slot.0)] {
                Operand::Count(index) | Operand::Time(index) | Operand::Sum(index) => {
                    readers.numbers[usize::from(index)] |= bit;
                }
                Operand::Latest(index) => readers.latest[usize::from(index)] |= bit,
                Operand::CountWithin(index, _) => readers.windows[usize::from(index)] |= bit,
                Operand::FirstSinceLast(index) => {
                    readers.followed[usize::from(index)] |= bit;
                    readers.orders |= bit;
                }
                Operand::OrdersCount
                | Operand::OrdersFirst
                | Operand::OrdersLast
                | Operand::OrdersRevenue
                | Operand::Streak(_)
                | Operand::StreakStart(_) => readers.orders |= bit,
            }
        }
        self.readers = readers;
    }

    fn number(&mut self, id: StableId, is_time: bool) -> u16 {
        self.number_is_time.push(is_time);
        push(&mut self.number_ids, id)
    }

    fn gap(&mut self, gap: Duration) -> u16 {
        // A streak and its start share the gap.
        match self.gaps.iter().position(|&known| known == gap) {
            Some(index) => u16::try_from(index).expect("facts are limited"),
            None => push(&mut self.gaps, gap),
        }
    }

    fn update(&mut self, group: GroupIndex, update: Update) {
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
