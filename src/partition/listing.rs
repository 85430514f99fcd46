//! Lists the committed customers of a stage in pages.
//!
//! Customers are listed in the order of their slots, which stay the same while the partition is assigned. A page reads
//! a bounded number of records, and only the stages of each. A restore may change the order. A cursor therefore carries
//! a hash of the customer before it, and is rejected if another customer is there.

use crate::lifecycle::id::StageIndex;

use super::Partition;
use super::record;
use super::snapshot::Snapshot;

/// Maximum number of slots that one page reads.
const SLOTS_MAX: u32 = 4_096;

/// Where the next page starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StageCursor {
    /// The first slot to read.
    pub slot: u32,
    /// Hash of the id of the customer in the slot before; 0 if there was none.
    pub previous: u32,
}

/// A part of the customers in a stage.
#[derive(Debug)]
pub struct StagePage {
    /// The customers, in the order of their slots. Can be empty although more follow.
    pub customers: Vec<Snapshot>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<StageCursor>,
}

impl Partition {
    /// Returns at most `customers_max` customers whose stage in the model at index `model` is `stage`, from `cursor`
    /// on. `None` means that the order of slots has changed since the cursor was returned: start again.
    #[must_use]
    pub fn stage_page(
        &self,
        model: usize,
        stage: StageIndex,
        cursor: StageCursor,
        customers_max: usize,
    ) -> Option<StagePage> {
        let slots = self.customers.slot_count();
        if cursor.slot > slots {
            return None;
        }
        if let Some(before) = cursor.slot.checked_sub(1) {
            // Zero means an empty slot. It does not invalidate the cursor: the customer may have been removed since.
            let now = self.hash_at(before);
            if now != cursor.previous && now != 0 && cursor.previous != 0 {
                return None;
            }
        }
        let end = slots.min(cursor.slot.saturating_add(SLOTS_MAX));
        let cursor_at = |slot: u32| StageCursor { slot, previous: self.hash_at(slot - 1) };
        let mut page = StagePage { customers: Vec::new(), next: (end < slots).then(|| cursor_at(end)) };
        for slot in cursor.slot..end {
            let record = self.customers.record(slot);
            if record.is_empty() || record::stages_of(record, &self.shape).nth(model) != Some(Some(stage)) {
                continue;
            }
            if page.customers.len() == customers_max {
                page.next = Some(cursor_at(slot));
                break;
            }
            page.customers.push(Snapshot::new(record, &self.rules, &self.shape, &self.layout.added));
        }
        Some(page)
    }

    /// Returns the hash of the committed customer at `slot`; 0 if there is none.
    fn hash_at(&self, slot: u32) -> u32 {
        let record = self.customers.record(slot);
        if record.is_empty() { 0 } else { self.customers.hash(record::customer_id(record)) }
    }
}
