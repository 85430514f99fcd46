//! The table of customers: encoded records in a slab, an index by id, and working copies for the open batch.
//!
//! The first input of a batch that concerns a customer decodes its record into a working copy. The record stays
//! unchanged until the batch is committed, so an abort only drops the working copies.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::lifecycle::customer::{Customer, Rules, due_at};
use crate::lifecycle::identity::Identity;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::FactOptions;

use super::record::{self, Shape};
use super::wake_ups::{CustomerSlot, reserve_slot};

/// The value of [`CustomerEntry::copy`] for a customer without a working copy.
const NO_COPY: u32 = u32::MAX;

/// The customers of a partition.
#[derive(Debug)]
pub(crate) struct Customers {
    entries: Vec<CustomerEntry>,
    free: Vec<CustomerSlot>,
    index: HashTable<IndexEntry>,
    hasher: FixedState,
    /// Working copies. The first `copies_used` belong to the open batch; the others are kept to reuse their
    /// allocations.
    copies: Vec<WorkingCopy>,
    copies_used: usize,
    record_bytes: usize,
    committed: usize,
    /// The number of committed ids without a customer.
    vacant: usize,
}

/// An entry of the index.
#[derive(Clone, Copy, Debug)]
struct IndexEntry {
    /// The hash of the id. Stored so that growing the index does not have to read every record.
    hash: u32,
    slot: CustomerSlot,
}

impl IndexEntry {
    /// Spreads the 32 bits over 64, since the table uses the upper bits as tags.
    fn spread(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[derive(Debug)]
struct CustomerEntry {
    /// The committed record; empty for a free slot and for a customer created by the open batch.
    record: Box<[u8]>,
    /// The index of the working copy, or [`NO_COPY`].
    copy: u32,
    /// Whether the committed record has no customer, only an identity.
    is_vacant: bool,
    /// The number of the latest sweep that had begun when the record was last written.
    sweep: u8,
}

/// A decoded customer that the open batch may change.
#[derive(Debug)]
pub(crate) struct WorkingCopy {
    pub(crate) slot: CustomerSlot,
    pub(crate) customer: Customer,
    pub(crate) is_changed: bool,
    /// Whether there is no customer under the id, or the batch removes it. A later touchpoint creates a new one.
    pub(crate) is_removed: bool,
    /// The record that the batch writes; empty until `encode_changed`.
    encoded: Box<[u8]>,
}

impl Customers {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            // A fixed seed makes runs reproducible. No result or order depends on the hash.
            hasher: FixedState::default(),
            copies: Vec::new(),
            copies_used: 0,
            record_bytes: 0,
            committed: 0,
            vacant: 0,
        }
    }

    /// Returns the slot of the customer `id`, committed or created by the open batch.
    pub(crate) fn find(&self, id: &str) -> Option<CustomerSlot> {
        let hash = self.hash(id);
        let matches = |indexed: &IndexEntry| indexed.hash == hash && self.has_id(indexed.slot, id);
        self.index.find(IndexEntry::spread(hash), matches).map(|indexed| indexed.slot)
    }

    /// Returns the working copy of the customer `id`, created with its clock at `clock` if there is none. Also returns
    /// whether the customer is new.
    pub(crate) fn get_or_create(
        &mut self,
        id: &str,
        clock: Timestamp,
        rules: &Rules,
        shape: &Shape,
    ) -> (&mut WorkingCopy, bool) {
        if let Some(slot) = self.find(id) {
            let copy = self.working_copy(slot, rules, shape);
            let is_new = copy.is_removed;
            if is_new {
                copy.create_customer(clock, rules);
            }
            return (copy, is_new);
        }
        let slot = self.allocate(id);
        let copy = self.new_working_copy(slot, rules);
        copy.customer.reset(Arc::from(id), clock, &rules.models);
        // Until a touchpoint names it as a customer id.
        copy.customer.is_visitor = true;
        (copy, true)
    }

    /// Returns the working copy of the id, without a customer if there is none.
    pub(crate) fn get_or_vacant(&mut self, id: &str, rules: &Rules, shape: &Shape) -> &mut WorkingCopy {
        if let Some(slot) = self.find(id) {
            return self.working_copy(slot, rules, shape);
        }
        let slot = self.allocate(id);
        let copy = self.new_working_copy(slot, rules);
        copy.customer.reset(Arc::from(id), Timestamp::MIN, &rules.models);
        // Until a touchpoint names it as a customer id.
        (copy.is_removed, copy.customer.is_visitor) = (true, true);
        copy
    }

    /// Returns the working copy of the customer at `slot`; decodes its record if there is none yet.
    pub(crate) fn working_copy(&mut self, slot: CustomerSlot, rules: &Rules, shape: &Shape) -> &mut WorkingCopy {
        let index = self.entries[slot as usize].copy;
        if index != NO_COPY {
            return &mut self.copies[index as usize];
        }
        let record = std::mem::take(&mut self.entries[slot as usize].record);
        let copy = self.new_working_copy(slot, rules);
        copy.is_removed = !read_trusted(&record, rules, shape, &mut copy.customer);
        let index = self.entries[slot as usize].copy;
        self.entries[slot as usize].record = record;
        &mut self.copies[index as usize]
    }

    /// Decodes the committed record at `slot`. Returns `None` if there is no customer.
    pub(crate) fn committed(&self, slot: CustomerSlot, rules: &Rules, shape: &Shape) -> Option<Customer> {
        let record = &self.entries[slot as usize].record;
        if record.is_empty() {
            return None;
        }
        let mut customer = Customer::new(Arc::from(""), Timestamp::MIN, &rules.models);
        read_trusted(record, rules, shape, &mut customer).then_some(customer)
    }

    /// Returns the identity in the committed record at `slot`.
    pub(crate) fn committed_identity(&self, slot: CustomerSlot) -> Option<Identity> {
        record::identity_of(&self.entries[slot as usize].record)
    }

    /// Returns the instant at which the customer at `slot` next wakes up or is forgotten, or its identity ends without
    /// a customer, and its id. Includes changes of the open batch.
    pub(crate) fn due_at(&self, slot: CustomerSlot, options: &FactOptions) -> Option<(Timestamp, Arc<str>)> {
        let entry = self.entries.get(slot as usize)?;
        if entry.copy != NO_COPY {
            let WorkingCopy { customer, is_removed, .. } = &self.copies[entry.copy as usize];
            let instant = if *is_removed { identity_ends_at(customer, options) } else { customer.due_at(options) };
            return instant.map(|instant| (instant, Arc::clone(&customer.id)));
        }
        let head = record::read_head(&entry.record)?;
        due_at(head.wake_up, head.last_active_at, options).map(|instant| (instant, Arc::from(head.customer_id)))
    }

    /// Returns the customer `id` as the open batch leaves it; `None` if the batch removes it or does not concern it.
    pub(crate) fn staged(&self, id: &str) -> Option<&Customer> {
        let index = self.entries[self.find(id)? as usize].copy;
        let copy = self.copies.get(index as usize).filter(|_| index != NO_COPY)?;
        (!copy.is_removed).then_some(&copy.customer)
    }

    /// Whether the committed record at `slot` has no customer, only an identity.
    pub(crate) fn is_vacant(&self, slot: CustomerSlot) -> bool {
        self.entries[slot as usize].is_vacant
    }

    /// Whether there is no customer at `slot`, or the open batch removes it.
    pub(crate) fn is_removed(&self, slot: CustomerSlot) -> bool {
        let entry = &self.entries[slot as usize];
        if entry.copy == NO_COPY { entry.is_vacant } else { self.copies[entry.copy as usize].is_removed }
    }

    /// Encodes the changed customers of the open batch, and passes each record to `write`.
    pub(crate) fn encode_changed(&mut self, rules: &Rules, mut write: impl FnMut(&[u8])) {
        let mut buffer = Vec::with_capacity(512);
        for copy in self.copies[..self.copies_used].iter_mut().filter(|copy| copy.is_changed) {
            buffer.clear();
            if !copy.is_removed {
                record::write(&copy.customer, &rules.models.layout.number_is_time, rules.options.currency, &mut buffer);
                write(&buffer);
                copy.encoded = buffer.as_slice().into();
                continue;
            }
            let ends_at = identity_ends_at(&copy.customer, &rules.options);
            if ends_at.is_some() || copy.customer.identity.as_ref().is_some_and(|identity| identity.is_permanent()) {
                record::write_identity(&copy.customer, ends_at, &mut buffer);
                write(&buffer);
                copy.encoded = buffer.as_slice().into();
            } else if !self.entries[copy.slot as usize].record.is_empty() {
                record::write_removal(&copy.customer.id, &mut buffer);
                write(&buffer);
            }
        }
    }

    /// Replaces the committed records by the encoded ones, and marks them as written by `sweep`.
    pub(crate) fn commit(&mut self, sweep: u8) {
        for index in 0..self.copies_used {
            let WorkingCopy { slot, is_changed, is_removed, .. } = self.copies[index];
            let is_new = self.entries[slot as usize].record.is_empty();
            if !is_changed && !is_new {
                self.entries[slot as usize].copy = NO_COPY;
                continue;
            }
            let is_released = is_removed && self.copies[index].encoded.is_empty();
            if is_released {
                self.release(slot, &Arc::clone(&self.copies[index].customer.id));
            }
            let copy = &mut self.copies[index];
            let entry = &mut self.entries[slot as usize];
            entry.copy = NO_COPY;
            if !is_new {
                *(if entry.is_vacant { &mut self.vacant } else { &mut self.committed }) -= 1;
            }
            if is_released {
                self.record_bytes -= entry.record.len();
                entry.record = Box::default();
                entry.is_vacant = false;
            } else {
                assert!(!copy.encoded.is_empty(), "a batch is encoded before it is committed");
                *(if is_removed { &mut self.vacant } else { &mut self.committed }) += 1;
                entry.is_vacant = is_removed;
                self.record_bytes = self.record_bytes - entry.record.len() + copy.encoded.len();
                entry.record = std::mem::take(&mut copy.encoded);
                entry.sweep = sweep;
            }
        }
        self.copies_used = 0;
    }

    /// Drops the open batch. Calls `undone` for each of its customers: with the slot, and with the committed id and due
    /// instant, or `None` if the batch created the customer.
    pub(crate) fn abort(
        &mut self,
        options: &FactOptions,
        mut undone: impl FnMut(CustomerSlot, Option<(&str, Option<Timestamp>)>),
    ) {
        for index in 0..self.copies_used {
            let slot = self.copies[index].slot;
            let is_new = self.entries[slot as usize].record.is_empty();
            if is_new {
                self.release(slot, &Arc::clone(&self.copies[index].customer.id));
            }
            self.entries[slot as usize].copy = NO_COPY;
            let head = record::read_head(&self.entries[slot as usize].record);
            undone(slot, head.map(|head| (head.customer_id, due_at(head.wake_up, head.last_active_at, options))));
            self.copies[index].encoded = Box::default();
        }
        self.copies_used = 0;
    }

    /// Inserts a committed record, of a customer unless `is_vacant`. Returns its slot, and the record of the same id
    /// that it replaces.
    pub(crate) fn put(
        &mut self,
        id: &str,
        record: &[u8],
        is_vacant: bool,
        sweep: u8,
    ) -> (CustomerSlot, Option<Box<[u8]>>) {
        let found = self.find(id);
        if let Some(slot) = found {
            *self.count_of(slot) -= 1;
        }
        let slot = found.unwrap_or_else(|| self.allocate(id));
        self.entries[slot as usize].is_vacant = is_vacant;
        *self.count_of(slot) += 1;
        let entry = &mut self.entries[slot as usize];
        self.record_bytes = self.record_bytes - entry.record.len() + record.len();
        entry.sweep = sweep;
        let older = std::mem::replace(&mut entry.record, record.into());
        (slot, found.map(|_| older))
    }

    /// Removes the committed customer `id`. Returns its slot and its record, if it existed.
    pub(crate) fn remove(&mut self, id: &str) -> Option<(CustomerSlot, Box<[u8]>)> {
        let slot = self.find(id)?;
        self.release(slot, id);
        *self.count_of(slot) -= 1;
        self.entries[slot as usize].is_vacant = false;
        let record = std::mem::take(&mut self.entries[slot as usize].record);
        self.record_bytes -= record.len();
        Some((slot, record))
    }

    /// Returns the counter that counts the committed record at `slot`.
    fn count_of(&mut self, slot: CustomerSlot) -> &mut usize {
        if self.entries[slot as usize].is_vacant { &mut self.vacant } else { &mut self.committed }
    }

    /// Returns the committed record at `slot`; empty if there is none.
    pub(crate) fn record(&self, slot: CustomerSlot) -> &[u8] {
        &self.entries[slot as usize].record
    }

    /// Whether the sweep `sweep` still has to write the customer at `slot`: it is committed, not yet written by this
    /// sweep, and not changed by the open batch.
    pub(crate) fn awaits_sweep(&self, slot: CustomerSlot, sweep: u8) -> bool {
        let entry = &self.entries[slot as usize];
        let is_changed = entry.copy != NO_COPY && self.copies[entry.copy as usize].is_changed;
        !entry.record.is_empty() && entry.sweep != sweep && !is_changed
    }

    /// Marks the customers at `slots` as written by the sweep `sweep`.
    pub(crate) fn mark_swept(&mut self, slots: &[CustomerSlot], sweep: u8) {
        for &slot in slots {
            self.entries[slot as usize].sweep = sweep;
        }
    }

    /// Returns the number of slots, including free ones.
    pub(crate) fn slot_count(&self) -> CustomerSlot {
        CustomerSlot::try_from(self.entries.len()).expect("fewer than 2^32 customers")
    }

    /// Returns the number of committed customers.
    pub(crate) fn len(&self) -> usize {
        self.committed
    }

    /// Returns the number of committed ids without a customer.
    pub(crate) fn vacant(&self) -> usize {
        self.vacant
    }

    /// Returns the size of the committed records, in bytes.
    pub(crate) fn record_bytes(&self) -> usize {
        self.record_bytes
    }

    /// Returns the memory used, in bytes: records with allocator overhead, entries and index, without the open batch.
    pub(crate) fn bytes(&self) -> usize {
        let records = self.record_bytes + (self.committed + self.vacant) * 16;
        records + self.entries.capacity() * size_of::<CustomerEntry>() + self.index.allocation_size()
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower 32 bits are enough for the index")]
    pub(crate) fn hash(&self, id: &str) -> u32 {
        self.hasher.hash_one(id) as u32
    }

    fn has_id(&self, slot: CustomerSlot, id: &str) -> bool {
        let entry = &self.entries[slot as usize];
        match entry.copy {
            NO_COPY => record::belongs_to(&entry.record, id),
            copy => &*self.copies[copy as usize].customer.id == id,
        }
    }

    /// Allocates a slot for a new customer and adds it to the index. The caller must then store a working copy or a
    /// record in the slot, since `find` reads the id from there.
    fn allocate(&mut self, id: &str) -> CustomerSlot {
        let slot = self.free.pop().unwrap_or_else(|| {
            reserve_slot(&mut self.entries);
            self.entries.push(CustomerEntry { record: Box::default(), copy: NO_COPY, is_vacant: false, sweep: 0 });
            CustomerSlot::try_from(self.entries.len() - 1).expect("fewer than 2^32 customers")
        });
        let hash = self.hash(id);
        self.index
            .insert_unique(IndexEntry::spread(hash), IndexEntry { hash, slot }, |other| IndexEntry::spread(other.hash));
        slot
    }

    fn release(&mut self, slot: CustomerSlot, id: &str) {
        let hash = IndexEntry::spread(self.hash(id));
        if let Ok(entry) = self.index.find_entry(hash, |other| other.slot == slot) {
            entry.remove();
        }
        self.free.push(slot);
    }

    fn new_working_copy(&mut self, slot: CustomerSlot, rules: &Rules) -> &mut WorkingCopy {
        let index = self.copies_used;
        if index == self.copies.len() {
            let customer = Customer::new(Arc::from(""), Timestamp::MIN, &rules.models);
            self.copies.push(WorkingCopy {
                slot,
                customer,
                is_changed: false,
                is_removed: false,
                encoded: Box::default(),
            });
        }
        self.copies_used += 1;
        self.entries[slot as usize].copy = u32::try_from(index).expect("fewer than 2^32 customers in a batch");
        let copy = &mut self.copies[index];
        (copy.slot, copy.is_changed, copy.is_removed) = (slot, false, false);
        copy
    }
}

impl WorkingCopy {
    /// Creates a customer under an id that has none, with its clock at `clock`. Keeps the identity.
    pub(crate) fn create_customer(&mut self, clock: Timestamp, rules: &Rules) {
        let identity = self.customer.identity.take();
        let is_visitor = self.customer.is_visitor;
        self.customer.reset(Arc::clone(&self.customer.id), clock, &rules.models);
        (self.customer.identity, self.customer.is_visitor) = (identity, is_visitor);
        let ordinal = self.customer.first_ordinal();
        self.customer.published.iter_mut().for_each(|published| published.ordinal = ordinal);
        self.is_removed = false;
    }
}

/// Returns when the identity of an id without a customer ends; `None` if it has none, or if it is permanent.
pub(crate) fn identity_ends_at(customer: &Customer, options: &FactOptions) -> Option<Timestamp> {
    let lifetime = options.identity.unwrap_or_default().stub_lifetime;
    customer.identity.as_ref().and_then(|identity| identity.ends_at(lifetime))
}

/// Decodes a record that this process wrote, or checked during a restore. Returns whether it has a customer. Panics on
/// an invalid record.
pub(super) fn read_trusted(bytes: &[u8], rules: &Rules, shape: &Shape, customer: &mut Customer) -> bool {
    let has_customer = record::read(bytes, shape, rules.options.currency, customer);
    customer.facts.derive_order_aggregates(&rules.models.layout, &rules.options);
    has_customer.expect("records are checked when they are restored")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::model_file::{load, shipped, shipped_catalogue};

    #[test]
    fn a_customer_touched_again_within_a_batch_is_decoded_once() {
        let model = shipped("retention").expect("a shipped model");
        let (models, _) = load(&[model], &shipped_catalogue(), &[]).expect("a valid model");
        let shape = Shape::of(&models);
        let rules = Rules { models: Arc::new(models), options: FactOptions::default(), edited_at: Timestamp::MIN };
        let at = Timestamp::from_millis;
        let mut customers = Customers::new();
        customers.get_or_create("anna", at(1), &rules, &shape).0.is_changed = true;
        customers.encode_changed(&rules, |_| {});
        customers.commit(0);
        assert_eq!(customers.copies_used, 0);

        customers.get_or_create("anna", at(2), &rules, &shape).0.customer.clock = at(3);
        let (copy, is_new) = customers.get_or_create("anna", at(4), &rules, &shape);
        assert_eq!((copy.customer.clock, is_new), (at(3), false), "the change of the first touchpoint is kept");
        assert_eq!(customers.copies_used, 1);
    }
}
