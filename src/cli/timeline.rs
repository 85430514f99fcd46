//! The timeline of one customer: its touchpoints and the passage of time, with the transitions that they caused.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::person::Person;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::Currency;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::Touchpoint;
use crate::lifecycle::transition::{Cause, Merge, Transition};
use crate::partition::RefusedLink;
use crate::wire::time::format_timestamp;
use crate::wire::transition::{BecauseDetail, Mode, Publication};
use crate::wire::transition_json::write_json;
use crate::wire::transition_text::{describe_change, describe_reason, describe_timestamp, escape_control_characters};

/// One point of the timeline: a touchpoint or the passage of time, with the transitions that it caused.
pub(super) struct TimelineEntry {
    pub(super) at: Timestamp,
    pub(super) touchpoint: Option<TouchpointSummary>,
    pub(super) transitions: Vec<Transition>,
}

/// The parts of a touchpoint that the timeline shows.
pub(super) struct TouchpointSummary {
    event_id: String,
    type_name: String,
    /// Its own id, if that is not the one of the customer.
    visitor: Option<String>,
    /// The field that names an id which becomes one of the customer, and the id.
    links: Option<(&'static str, String)>,
    /// Whether it is the command that splits a merged customer from another.
    is_split: bool,
    /// The link that it names, if that was refused.
    refused: Option<RefusedLink>,
    /// The other customer that it counts for, or that it has split its own from.
    other_customer: Option<Arc<str>>,
    order_id: Option<String>,
    amount: Option<String>,
    is_late: bool,
    effect: Effect,
}

/// Adds transitions to the timeline in order: first those that time caused up to the touchpoint, then the touchpoint
/// with its own transitions, then those that time caused after it. Only transitions of `person` are added.
pub(super) fn add_to_timeline(
    at: Timestamp,
    mut touchpoint: Option<TouchpointSummary>,
    published: Vec<Transition>,
    person: &Person,
    timeline: &mut Vec<TimelineEntry>,
) {
    let mut own = Vec::new();
    let mut after = Vec::new();
    for transition in
        published.into_iter().filter(|transition| person.has(&transition.customer_id, transition.occurred_at))
    {
        if transition.cause != Cause::Time {
            own.push(transition);
        } else if touchpoint.is_some() && transition.occurred_at <= at {
            add_timed_transition(transition, timeline);
        } else {
            after.push(transition);
        }
    }
    if let Some(touchpoint) = touchpoint.take() {
        timeline.push(TimelineEntry { at, touchpoint: Some(touchpoint), transitions: own });
    }
    for transition in after {
        add_timed_transition(transition, timeline);
    }
}

fn add_timed_transition(transition: Transition, timeline: &mut Vec<TimelineEntry>) {
    match timeline.last_mut() {
        Some(last) if last.touchpoint.is_none() && last.at == transition.occurred_at => {
            last.transitions.push(transition);
        }
        _ => {
            timeline.push(TimelineEntry {
                at: transition.occurred_at,
                touchpoint: None,
                transitions: vec![transition],
            });
        }
    }
}

/// Whether a touchpoint counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Counted,
    /// It was sent before.
    Duplicate,
    /// An erasure of its customer is later.
    Erased,
    /// It erases its customer.
    Erases,
}

/// What a replay did with a touchpoint.
#[derive(Clone, Copy)]
pub(super) struct Applied {
    pub(super) effect: Effect,
    pub(super) is_forwarded: bool,
}

impl TouchpointSummary {
    /// Summarizes a touchpoint that a replay has applied at `clock`.
    pub(super) fn of(touchpoint: &Touchpoint<'_>, clock: Timestamp, applied: Applied, person: &Person) -> Self {
        let currency = |currency: Currency| format!(" {}", currency.as_str());
        Self {
            event_id: touchpoint.event_id.to_owned(),
            type_name: touchpoint.type_name.to_owned(),
            visitor: (touchpoint.customer_id != &*person.ids[0]).then(|| touchpoint.customer_id.to_owned()),
            links: [("anonymous_id", touchpoint.anonymous_id), ("merged_id", touchpoint.merged_id)]
                .into_iter()
                .find_map(|(field, id)| Some((field, id?.to_owned()))),
            is_split: touchpoint.is_split(),
            refused: person.refused_link(touchpoint.event_id).cloned(),
            other_customer: person
                .former_customer()
                .filter(|_| applied.is_forwarded && touchpoint.customer_id == &*person.ids[0])
                .cloned(),
            order_id: touchpoint.order_id.map(str::to_owned),
            amount: touchpoint
                .amount
                .map(|amount| format!("{amount}{}", touchpoint.currency.map_or_else(String::new, currency))),
            is_late: touchpoint.occurred_at < clock,
            effect: applied.effect,
        }
    }
}

/// Writes an entry of the timeline of `customer` as text.
pub(super) fn write_entry(out: &mut String, entry: &TimelineEntry, customer: &str, models: &ModelSet) {
    _ = write!(out, "  {}  ", describe_timestamp(entry.at));
    match &entry.touchpoint {
        None => out.push_str("time passed"),
        Some(touchpoint) => {
            out.push_str(&escape_control_characters(&touchpoint.type_name));
            if let Some(order_id) = &touchpoint.order_id {
                _ = write!(out, " order_id={}", escape_control_characters(order_id));
            }
            if let Some(amount) = &touchpoint.amount {
                _ = write!(out, " amount={amount}");
            }
            if let Some(visitor) = &touchpoint.visitor {
                _ = write!(out, " (as {})", escape_control_characters(visitor));
            }
            if let Some(refused) = &touchpoint.refused {
                let id = escape_control_characters(&refused.other_id);
                let refused_link = if touchpoint.is_split { "split".to_owned() } else { format!("link to {id}") };
                _ = write!(out, " ({refused_link} refused: {})", refused.reason.as_str());
            } else if let Some((field, id)) = &touchpoint.links {
                _ = write!(out, " ({field}={})", escape_control_characters(id));
            }
            if let Some(other) = &touchpoint.other_customer {
                let relation = if touchpoint.is_split { "split from" } else { "counts for" };
                _ = write!(out, " ({relation} {})", escape_control_characters(other));
            }
            out.push_str(match touchpoint.effect {
                Effect::Duplicate => " (duplicate, not counted again)",
                Effect::Erased => " (from before the erasure, not counted)",
                Effect::Erases if touchpoint.links.is_some() => " (erased, because the other id was erased later)",
                Effect::Counted if touchpoint.is_late => " (arrived late)",
                Effect::Counted | Effect::Erases => "",
            });
        }
    }
    out.push('\n');
    let id = entry.touchpoint.as_ref().and_then(|touchpoint| touchpoint.visitor.as_deref()).unwrap_or(customer);
    for transition in &entry.transitions {
        let model = models.model(transition.model);
        let other = match &transition.merge {
            Some(Merge::Into(customer)) => format!(" (as {}, into {customer})", transition.customer_id),
            Some(Merge::From(visitor)) => format!(" (from {visitor})"),
            None if *transition.customer_id != *id => format!(" (as {})", transition.customer_id),
            None => String::new(),
        };
        let other = escape_control_characters(&other);
        _ = writeln!(out, "      {}: {}{other}", model.name, describe_change(model, transition));
        // Skips the first line, the cause: it is the entry itself.
        for line in describe_reason(transition).iter().skip(1) {
            _ = writeln!(out, "          {}", escape_control_characters(line));
        }
    }
}

/// Returns an entry of the timeline as JSON.
pub(super) fn entry_to_json(entry: &TimelineEntry, models: &ModelSet, currency: Currency, now: Timestamp) -> Value {
    let transitions = entry.transitions.iter().map(|transition| {
        let mut record = Vec::new();
        // Past transitions are detected now, and forecast transitions when they occur.
        let detected_at = transition.occurred_at.max(now);
        write_json(
            &Publication {
                transition,
                models,
                detected_at,
                mode: Mode::Replay,
                currency,
                because: BecauseDetail::Full,
            },
            &mut record,
        );
        serde_json::from_slice::<Value>(&record).expect("a publication is valid JSON")
    });
    let touchpoint = entry.touchpoint.as_ref().map(|touchpoint| {
        let link = |field| touchpoint.links.as_ref().filter(|link| link.0 == field).map(|link| &link.1);
        let other = |is_split| touchpoint.other_customer.as_deref().filter(|_| touchpoint.is_split == is_split);
        json!({
            "event_id": touchpoint.event_id,
            "type": touchpoint.type_name,
            "visitor": touchpoint.visitor,
            "anonymous_id": link("anonymous_id"),
            "merged_id": link("merged_id"),
            "link_refused": touchpoint.refused.as_ref().map(|refused| refused.reason.as_str()),
            "counts_for": other(false),
            "split_from": other(true),
            "order_id": touchpoint.order_id,
            "amount": touchpoint.amount,
            "late": touchpoint.is_late,
            "duplicate": touchpoint.effect == Effect::Duplicate,
            "erased": touchpoint.effect == Effect::Erased,
            "erases": touchpoint.effect == Effect::Erases,
        })
    });
    json!({
        "occurred_at": format_timestamp(entry.at),
        "touchpoint": touchpoint,
        "transitions": transitions.collect::<Vec<_>>(),
    })
}
