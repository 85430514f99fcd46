//! Marks dead letters as redriven: written to their source topic again.
//!
//! A marker is a record without key and value in the partition of the dead letters. Its header lists their offsets:
//! `12-40,43`. It is written in the transaction that writes the records to the source topic, so a dead letter is marked
//! if and only if it was redriven.

use std::collections::BTreeMap;

use crate::wire::header::Header;

/// The header of a marker.
const HEADER: &str = "lifecycle_redriven";

/// A set of offsets of one partition, as disjoint ranges.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Offsets {
    /// The last offset of each range, by its first one.
    ranges: BTreeMap<i64, i64>,
}

impl Offsets {
    /// Whether the set contains `offset`.
    #[must_use]
    pub fn contains(&self, offset: i64) -> bool {
        self.ranges.range(..=offset).next_back().is_some_and(|(_, last)| *last >= offset)
    }

    /// Adds `offset`.
    pub fn insert(&mut self, offset: i64) {
        self.insert_range(offset, offset);
    }

    fn insert_range(&mut self, mut first: i64, mut last: i64) {
        // Every range that overlaps or adjoins the new one becomes part of it.
        while let Some((&start, &end)) = self.ranges.range(..=last.saturating_add(1)).next_back() {
            if end.saturating_add(1) < first {
                break;
            }
            self.ranges.remove(&start);
            (first, last) = (first.min(start), last.max(end));
        }
        self.ranges.insert(first, last);
    }

    /// Returns the headers of the marker for these offsets.
    #[must_use]
    pub fn marker(&self) -> Vec<Header> {
        let ranges = self.ranges.iter();
        let texts: Vec<String> = ranges
            .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
            .collect();
        vec![Header::text(HEADER, texts.join(","))]
    }

    /// Adds the offsets of a marker. Returns whether `headers` are those of a marker.
    pub fn add_marker(&mut self, headers: &[Header]) -> bool {
        let Some(header) = headers.iter().find(|header| header.name == HEADER) else { return false };
        let text = header.value.as_deref().and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
        for range in text.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            if let (Ok(first), Ok(last)) = (first.parse(), last.parse())
                && first <= last
            {
                self.insert_range(first, last);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(of: &[i64]) -> Offsets {
        let mut offsets = Offsets::default();
        for &offset in of {
            offsets.insert(offset);
        }
        offsets
    }

    #[test]
    fn adjoining_offsets_are_one_range() {
        let marker = offsets(&[5, 3, 4, 9, 0, 4]).marker();
        assert_eq!(marker, [Header::text("lifecycle_redriven", "0,3-5,9")]);
    }

    #[test]
    fn a_marker_is_read_back_and_united() {
        let mut all = offsets(&[1, 6]);
        assert!(all.add_marker(&offsets(&[2, 3, 8]).marker()));
        let contained: Vec<i64> = (0..10).filter(|&offset| all.contains(offset)).collect();
        assert_eq!(contained, [1, 2, 3, 6, 8]);
        assert_eq!(all, offsets(&[8, 6, 3, 2, 1]));
    }

    #[test]
    fn other_records_and_damaged_markers_add_nothing() {
        let mut all = Offsets::default();
        assert!(!all.add_marker(&[Header::text("lifecycle_reason", "3")]));
        assert!(all.add_marker(&[Header::text("lifecycle_redriven", "x,7-3,-4,9223372036854775808")]));
        assert_eq!(all, Offsets::default());
    }

    #[test]
    fn any_order_of_insertion_gives_the_same_set() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let numbers: Vec<i64> = (0..20).map(|_| random.i64(0..30)).collect();
            let set = offsets(&numbers);
            for offset in 0..30 {
                assert_eq!(set.contains(offset), numbers.contains(&offset), "{numbers:?}");
            }
            let mut read = Offsets::default();
            read.add_marker(&set.marker());
            assert_eq!(read, set, "{numbers:?}");
        }
    }
}
