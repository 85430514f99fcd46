//! The summary of `lifecycle replay`, and what in the input is probably not meant.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::lifecycle::id::TypeIndex;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::Currency;
use crate::lifecycle::suggest::did_you_mean;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::Touchpoint;
use crate::partition::Tally;
use crate::replay::{EventTimes, Replay};
use crate::wire::time::format_timestamp;

use super::number::counted;
use super::print_error;
use super::touchpoint_source::Place;

/// More unknown types are only counted.
const UNKNOWN_TYPES_MAX: usize = 1_000;
/// More unknown types are not named.
const UNKNOWN_TYPES_NAMED_MAX: usize = 10;
const DAY_MS: i64 = 86_400_000;

/// What the summary reports.
#[derive(Default)]
pub(super) struct Totals<'s> {
    tally: Tally,
    skipped: u64,
    transitions: u64,
    customers: usize,
    blank: u64,
    event_times: EventTimes,
    /// The latest event time, and where it is.
    latest: Option<(Timestamp, Place<'s>)>,
    /// Number of amounts in each currency that does not count as revenue.
    other_currencies: BTreeMap<String, u64>,
    /// Number of touchpoints of each type that the catalogue lacks.
    unknown_types: BTreeMap<String, u64>,
    /// Number of touchpoints of further types.
    other_unknown_types: u64,
}

impl<'s> Totals<'s> {
    /// Adds the counts of a replay that has ended.
    pub(super) fn add(&mut self, replay: &Replay) {
        let summary = replay.summary();
        self.tally += summary.tally;
        self.skipped += summary.skipped;
        self.transitions += summary.transitions;
        self.customers += replay.partition().len();
    }

    /// Counts a blank line.
    pub(super) fn count_blank(&mut self) {
        self.blank += 1;
    }

    /// Counts the time of a touchpoint.
    pub(super) fn count_event_time(&mut self, occurred_at: Timestamp, place: Place<'s>) {
        self.event_times.count(occurred_at);
        if self.latest.as_ref().is_none_or(|(latest, _)| occurred_at > *latest) {
            self.latest = Some((occurred_at, place));
        }
    }

    /// Prints which touchpoints advanced the clock far beyond all others.
    fn print_clock_jump(&self) {
        let (Some(future), Some((latest, place))) = (self.event_times.future(), &self.latest) else { return };
        print_error(format_args!(
            "the clock jumped by {} days, which count as inactivity of all customers; touchpoints far after the others: \
             {}, the latest at {place} ({}); leave them out with --max-ahead, or with --until {}",
            future.distance().as_millis() / DAY_MS,
            future.count,
            format_timestamp(*latest),
            format_timestamp(future.others_end),
        ));
    }

    /// Counts the amount of a touchpoint, if it is not in the currency of revenue.
    pub(super) fn count_currency(&mut self, touchpoint: &Touchpoint<'_>, counted: Currency) {
        if let (Some(_), Some(currency)) = (touchpoint.amount, touchpoint.currency)
            && currency != counted
        {
            *self.other_currencies.entry(currency.as_str().to_owned()).or_default() += 1;
        }
    }

    /// Counts the type of a touchpoint, if the catalogue lacks it.
    pub(super) fn count_type(&mut self, touchpoint: &Touchpoint<'_>) {
        if touchpoint.kind != TypeIndex::UNKNOWN || touchpoint.is_reserved() {
            return;
        }
        if let Some(count) = self.unknown_types.get_mut(touchpoint.type_name) {
            *count += 1;
        } else if self.unknown_types.len() < UNKNOWN_TYPES_MAX {
            self.unknown_types.insert(touchpoint.type_name.to_owned(), 1);
        } else {
            self.other_unknown_types += 1;
        }
    }

    /// Prints the types that the catalogue lacks, with the names that were probably meant.
    pub(super) fn print_unknown_types(&self, models: &ModelSet) {
        if self.unknown_types.is_empty() {
            return;
        }
        let known = || models.vocabulary.types.iter().map(|name| &**name).filter(|name| !name.is_empty());
        let mut types: Vec<_> = self.unknown_types.iter().collect();
        types.sort_by_key(|&(_, count)| std::cmp::Reverse(*count));
        let named = types.iter().take(UNKNOWN_TYPES_NAMED_MAX).map(|(name, count)| {
            let question = did_you_mean(name, known()).map_or(String::new(), |question| format!(" ({question})"));
            format!("{count} {name}{question}")
        });
        let named: Vec<String> = named.collect();
        let others: u64 = types.iter().skip(UNKNOWN_TYPES_NAMED_MAX).map(|(_, count)| **count).sum();
        let others = others + self.other_unknown_types;
        let others = if others > 0 { format!(", {others} of other types") } else { String::new() };
        print_error(format_args!("touchpoints of types that the catalogue lacks: {}{others}", named.join(", ")));
    }

    /// Prints the summary to standard error.
    pub(super) fn print(&self, invalid: u64, currency: Currency) {
        let tally = self.tally;
        let mut text = format!(
            "{}: {} applied ({} late, {} of unknown type), {}",
            counted(tally.consumed + self.skipped, "touchpoint"),
            tally.applied - tally.older_than_erasure,
            tally.late,
            tally.unknown_types,
            counted(tally.duplicates, "duplicate")
        );
        let counts = [
            (self.skipped, "later than --until", ""),
            (
                tally.orders_missing,
                "cancellation or refund without effect, because its order is no longer kept or never arrived",
                "cancellations or refunds without effect, because their order is no longer kept or never arrived",
            ),
            (tally.older_than_erasure, "from before an erasure, not counted", ""),
            (tally.merged, "visitor or customer merged", "visitors and customers merged"),
            (tally.forwarded, "forwarded to a customer", "forwarded to customers"),
            (tally.links_refused, "link refused", "links refused"),
            (invalid, "invalid line", "invalid lines"),
            (self.blank, "blank line skipped", "blank lines skipped"),
        ];
        for (number, one, many) in counts.into_iter().filter(|(number, ..)| *number > 0) {
            _ = write!(text, ", {number} {}", if number == 1 || many.is_empty() { one } else { many });
        }
        print_error(format_args!(
            "{text}\n{}, {} of silent customers, {}",
            counted(self.customers as u64, "customer"),
            counted(tally.wake_ups, "wake-up"),
            counted(self.transitions, "transition")
        ));
        self.print_clock_jump();
        if !self.other_currencies.is_empty() {
            let counts: Vec<String> =
                self.other_currencies.iter().map(|(currency, count)| format!("{count} in {currency}")).collect();
            print_error(format_args!(
                "amounts that do not count as revenue, which is in {}: {}; --currency sets it",
                currency.as_str(),
                counts.join(", ")
            ));
        }
    }
}
