//! The table of customers: compact records in a slab, an index by id, and the customers of the current batch.
//!
//! A customer that a batch touches is decoded once and stays aside until the batch is committed; the committed record is
//! not touched before. So an abort is nothing but forgetting what stands aside.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::lifecycle::customer::{Customer, Rules, due};
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::FactOptions;

use super::record::{self, Shape};
use super::wakeups::Place;

/// No customer stands aside for this place.
const NOWHERE: u32 = u32::MAX;

/// The customers of a partition.
#[derive(Debug)]
pub(crate) struct Customers {
    slots: Vec<Slot>,
    free: Vec<Place>,
    index: HashTable<Indexed>,
    hasher: FixedState,
    /// The customers of the current batch, the first `aside_count`; the others are spare, kept for their memory.
    aside: Vec<Aside>,
    aside_count: usize,
    record_bytes: usize,
    committed: usize,
}

/// A customer in the index.
#[derive(Clone, Copy, Debug)]
struct Indexed {
    /// Of the id. Kept, so that growing does not read the id of every customer again, all over the memory.
    hash: u32,
    place: Place,
}

impl Indexed {
    /// The table takes its upper bits for itself, hence they have to be spread.
    fn spread(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[derive(Debug)]
struct Slot {
    /// As committed; empty for a free place and for a customer that only the current batch knows.
    record: Box<[u8]>,
    /// Where the customer stands aside, or [`NOWHERE`].
    aside: u32,
    /// The sweep in which the record was last written.
    sweep: u8,
}

/// A customer of the current batch.
#[derive(Debug)]
pub(crate) struct Aside {
    pub(crate) place: Place,
    pub(crate) customer: Customer,
    pub(crate) is_changed: bool,
    /// Whether the batch removes the customer. One of the same id that comes afterwards is new.
    pub(crate) is_removed: bool,
    /// The record that the batch writes; empty until it is sealed.
    sealed: Box<[u8]>,
}

impl Customers {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            // Fixed: neither results nor their order may depend on it, and a restart may as well repeat.
            hasher: FixedState::default(),
            aside: Vec::new(),
            aside_count: 0,
            record_bytes: 0,
            committed: 0,
        }
    }

    /// The place of the customer `id`, committed or of the current batch.
    pub(crate) fn find(&self, id: &str) -> Option<Place> {
        let hash = self.hash(id);
        let is_theirs = |indexed: &Indexed| indexed.hash == hash && self.is_at(indexed.place, id);
        self.index.find(Indexed::spread(hash), is_theirs).map(|indexed| indexed.place)
    }

    /// The customer `id`, set aside for the batch; a new one begins at `clock`. Also says whether it is new.
    pub(crate) fn open(&mut self, id: &str, clock: Timestamp, rules: &Rules, shape: &Shape) -> (&mut Aside, bool) {
        if let Some(place) = self.find(id) {
            let aside = self.set_aside(place, rules, shape);
            let is_new = std::mem::take(&mut aside.is_removed);
            if is_new {
                aside.customer.reset(Arc::from(id), clock, &rules.models);
            }
            return (aside, is_new);
        }
        let place = self.claim(id);
        let aside = self.lay_aside(place, rules);
        aside.customer.reset(Arc::from(id), clock, &rules.models);
        (aside, true)
    }

    /// The customer at `place`, set aside for the batch.
    pub(crate) fn set_aside(&mut self, place: Place, rules: &Rules, shape: &Shape) -> &mut Aside {
        let index = self.slots[place as usize].aside;
        if index != NOWHERE {
            return &mut self.aside[index as usize];
        }
        let record = std::mem::take(&mut self.slots[place as usize].record);
        let aside = self.lay_aside(place, rules);
        read_own(&record, rules, shape, &mut aside.customer);
        let index = self.slots[place as usize].aside;
        self.slots[place as usize].record = record;
        &mut self.aside[index as usize]
    }

    /// A committed customer, decoded.
    pub(crate) fn committed(&self, place: Place, rules: &Rules, shape: &Shape) -> Option<Customer> {
        let record = &self.slots[place as usize].record;
        if record.is_empty() {
            return None;
        }
        let mut customer = Customer::new(Arc::from(""), Timestamp::MIN, &rules.models);
        read_own(record, rules, shape, &mut customer);
        Some(customer)
    }

    /// When the customer at `place` is to be looked at, the current batch included.
    pub(crate) fn due(&self, place: Place, options: &FactOptions) -> Option<(Timestamp, Arc<str>)> {
        let slot = self.slots.get(place as usize)?;
        if slot.aside != NOWHERE {
            let Aside { customer, is_removed, .. } = &self.aside[slot.aside as usize];
            let instant = customer.due(options).filter(|_| !is_removed);
            return instant.map(|instant| (instant, Arc::clone(&customer.id)));
        }
        let head = record::read_head(&slot.record)?;
        due(head.wake_up, head.heard_at, options).map(|instant| (instant, Arc::from(head.customer_id)))
    }

    /// Whether the current batch removes the customer at `place`.
    pub(crate) fn is_removed(&self, place: Place) -> bool {
        let index = self.slots[place as usize].aside;
        index != NOWHERE && self.aside[index as usize].is_removed
    }

    /// Writes the records of the batch's changed customers, each given to `write` as well.
    pub(crate) fn seal(&mut self, rules: &Rules, mut write: impl FnMut(&[u8])) {
        let mut buffer = Vec::with_capacity(512);
        for aside in self.aside[..self.aside_count].iter_mut().filter(|aside| aside.is_changed) {
            buffer.clear();
            if !aside.is_removed {
                record::write(
                    &aside.customer,
                    &rules.models.layout.number_is_time,
                    rules.options.currency,
                    &mut buffer,
                );
                write(&buffer);
                aside.sealed = buffer.as_slice().into();
            } else if !self.slots[aside.place as usize].record.is_empty() {
                record::write_removal(&aside.customer.id, &mut buffer);
                write(&buffer);
            }
        }
    }

    /// The sealed records become the committed ones, last written in `sweep`.
    pub(crate) fn commit(&mut self, sweep: u8) {
        for index in 0..self.aside_count {
            let Aside { place, is_changed, is_removed, .. } = self.aside[index];
            if is_removed {
                self.release(place, &Arc::clone(&self.aside[index].customer.id));
            }
            let aside = &mut self.aside[index];
            let slot = &mut self.slots[place as usize];
            slot.aside = NOWHERE;
            if is_removed {
                self.committed -= usize::from(!slot.record.is_empty());
                self.record_bytes -= slot.record.len();
                slot.record = Box::default();
            } else if is_changed {
                assert!(!aside.sealed.is_empty(), "a batch is sealed before it is committed");
                self.committed += usize::from(slot.record.is_empty());
                self.record_bytes = self.record_bytes - slot.record.len() + aside.sealed.len();
                slot.record = std::mem::take(&mut aside.sealed);
                slot.sweep = sweep;
            }
        }
        self.aside_count = 0;
    }

    /// Forgets the batch. `undone` is given each of its customers as committed: the place, the id and when it is to be looked at; a
    /// customer that only the batch knew comes without either.
    pub(crate) fn abort(
        &mut self,
        options: &FactOptions,
        mut undone: impl FnMut(Place, Option<(&str, Option<Timestamp>)>),
    ) {
        for index in 0..self.aside_count {
            let place = self.aside[index].place;
            let is_new = self.slots[place as usize].record.is_empty();
            if is_new {
                self.release(place, &Arc::clone(&self.aside[index].customer.id));
            }
            self.slots[place as usize].aside = NOWHERE;
            let head = record::read_head(&self.slots[place as usize].record);
            undone(place, head.map(|head| (head.customer_id, due(head.wake_up, head.heard_at, options))));
            self.aside[index].sealed = Box::default();
        }
        self.aside_count = 0;
    }

    /// Puts a committed record into the table. Returns its place, and the older record of the same customer, if there is one.
    pub(crate) fn put(&mut self, id: &str, record: &[u8], sweep: u8) -> (Place, Option<Box<[u8]>>) {
        let found = self.find(id);
        let place = found.unwrap_or_else(|| {
            self.committed += 1;
            self.claim(id)
        });
        let slot = &mut self.slots[place as usize];
        self.record_bytes = self.record_bytes - slot.record.len() + record.len();
        slot.sweep = sweep;
        let older = std::mem::replace(&mut slot.record, record.into());
        (place, found.map(|_| older))
    }

    /// Removes a committed customer, if there is one of that id. Returns its place and its record.
    pub(crate) fn remove(&mut self, id: &str) -> Option<(Place, Box<[u8]>)> {
        let place = self.find(id)?;
        self.release(place, id);
        let record = std::mem::take(&mut self.slots[place as usize].record);
        self.record_bytes -= record.len();
        self.committed -= 1;
        Some((place, record))
    }

    /// The committed record at `place`; empty where there is none.
    pub(crate) fn record(&self, place: Place) -> &[u8] {
        &self.slots[place as usize].record
    }

    /// Whether the committed customer at `place` has still to be written by the sweep `sweep`, and no batch writes it anyway.
    pub(crate) fn awaits_sweep(&self, place: Place, sweep: u8) -> bool {
        let slot = &self.slots[place as usize];
        let is_written_anyway = slot.aside != NOWHERE && self.aside[slot.aside as usize].is_changed;
        !slot.record.is_empty() && slot.sweep != sweep && !is_written_anyway
    }

    /// Notes that the sweep `sweep` has written the customers at `places`.
    pub(crate) fn mark_swept(&mut self, places: &[Place], sweep: u8) {
        for &place in places {
            self.slots[place as usize].sweep = sweep;
        }
    }

    /// How many places there are, free ones included.
    pub(crate) fn places(&self) -> Place {
        Place::try_from(self.slots.len()).expect("places are limited")
    }

    /// How many committed customers.
    pub(crate) fn len(&self) -> usize {
        self.committed
    }

    /// Bytes of the committed records alone.
    pub(crate) fn record_bytes(&self) -> usize {
        self.record_bytes
    }

    /// Bytes of memory: records with the allocator's share, slots, index. What stands aside belongs to the batch.
    pub(crate) fn bytes(&self) -> usize {
        let records = self.record_bytes + self.committed * 16;
        records + self.slots.capacity() * size_of::<Slot>() + self.index.allocation_size()
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is one")]
    fn hash(&self, id: &str) -> u32 {
        self.hasher.hash_one(id) as u32
    }

    fn is_at(&self, place: Place, id: &str) -> bool {
        let slot = &self.slots[place as usize];
        match slot.aside {
            NOWHERE => record::is_of(&slot.record, id),
            standing => &*self.aside[standing as usize].customer.id == id,
        }
    }

    /// A place for a new customer. It can be found once it stands aside or has a record.
    fn claim(&mut self, id: &str) -> Place {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { record: Box::default(), aside: NOWHERE, sweep: 0 });
            Place::try_from(self.slots.len() - 1).expect("places are limited")
        });
        let hash = self.hash(id);
        self.index.insert_unique(Indexed::spread(hash), Indexed { hash, place }, |other| Indexed::spread(other.hash));
        place
    }

    fn release(&mut self, place: Place, id: &str) {
        let hash = Indexed::spread(self.hash(id));
        if let Ok(entry) = self.index.find_entry(hash, |other| other.place == place) {
            entry.remove();
        }
        self.free.push(place);
    }

    fn lay_aside(&mut self, place: Place, rules: &Rules) -> &mut Aside {
        let index = self.aside_count;
        if index == self.aside.len() {
            let customer = Customer::new(Arc::from(""), Timestamp::MIN, &rules.models);
            self.aside.push(Aside { place, customer, is_changed: false, is_removed: false, sealed: Box::default() });
        }
        self.aside_count += 1;
        self.slots[place as usize].aside = u32::try_from(index).expect("batches are limited");
        let aside = &mut self.aside[index];
        (aside.place, aside.is_changed, aside.is_removed) = (place, false, false);
        aside
    }
}

/// Reads a record that this process wrote or took over.
pub(super) fn read_own(bytes: &[u8], rules: &Rules, shape: &Shape, customer: &mut Customer) {
    record::read(bytes, shape, rules.options.currency, customer).expect("records are checked when they are taken over");
    customer.facts.read_orders(&rules.models.layout, &rules.options);
}
