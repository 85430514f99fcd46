//! Customer entries of the changelog, for programs that move them without decoding their facts.

use super::record::{read_head, write_entry};

/// Returns the customer of an entry; `None` if the bytes are not an entry.
#[must_use]
pub fn customer_id(entry: &[u8]) -> Option<&str> {
    read_head(entry).map(|head| head.customer_id)
}

/// Returns whether the entry removes its customer.
#[must_use]
pub fn is_removal(entry: &[u8]) -> bool {
    read_head(entry).is_some_and(|head| head.is_removed)
}

/// Appends an entry to the customers of a [`ChangelogBatch`](super::ChangelogBatch).
pub fn append(entry: &[u8], customers: &mut Vec<u8>) {
    write_entry(entry, customers);
}
