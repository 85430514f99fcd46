//! What an edit of the models does: which facts start empty, what is renamed or gone, who is evaluated again.

use std::collections::BTreeSet;

use super::condition::Condition;
use super::fact::{FactDefinition, FactKind, OrdersReading};
use super::id::StableId;
use super::model::Model;
use super::model_set::ModelSet;

/// One consequence of an edit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Consequence {
    /// The model that was edited; `None` for what concerns all.
    pub model: Option<Box<str>>,
    /// A stable short name for the kind: `fact-starts-empty`, `stage-removed`.
    pub kind: &'static str,
    /// A sentence, lower-case without a full stop.
    pub text: String,
}

/// What it does to put `new` in the place of `old`: models in their order, then facts.
#[must_use]
pub fn consequences(old: &ModelSet, new: &ModelSet) -> Vec<Consequence> {
    let mut found = Vec::new();
    for before in &old.models {
        if !new.models.iter().any(|model| model.name == before.name) {
            note(
                &mut found,
                before,
                "model-removed",
                format!("model `{}` is gone: nothing more is published for it", before.name),
            );
        }
    }
    for after in &new.models {
        match old.models.iter().find(|model| model.name == after.name) {
            Some(before) => compare(before, after, &mut found),
            None => note(
                &mut found,
                after,
                "model-added",
                format!(
                    "model `{}` is new: every customer is evaluated, and enters a stage of it for the first time",
                    after.name
                ),
            ),
        }
    }
    for fact in &new.layout.definitions {
        if let Some(text) = starts(fact, old, new) {
            found.push(Consequence { model: None, kind: "fact-starts-empty", text });
        }
    }
    for fact in &old.layout.definitions {
        if !has(new, fact) && !matches!(fact.kind, FactKind::Orders(_)) {
            let text = format!("`{}` is no longer kept; if it is read again later, it starts empty", fact.text);
            found.push(Consequence { model: None, kind: "fact-dropped", text });
        }
    }
    if old.layout.reads_orders && !new.layout.reads_orders {
        let text = "orders are no longer kept; if they are read again later, they start empty".to_owned();
        found.push(Consequence { model: None, kind: "fact-dropped", text });
    }
    found
}

fn compare(before: &Model, after: &Model, found: &mut Vec<Consequence>) {
    if before.hash == after.hash {
        note(
            found,
            after,
            "unchanged",
            format!("model `{}` publishes as before; no customer is evaluated again", after.name),
        );
        return;
    }
    let text = format!(
        "model `{}` is another: every customer is evaluated again when next looked at, and what changes for the new definition \
         is published as reconciled",
        after.name
    );
    note(found, after, "evaluated-again", text);
    if before.version == after.version {
        note(
            found,
            after,
            "same-version",
            format!("`version` is still {}: raise it, since transitions bear it", after.version),
        );
    }
    let value = |model: &Model, name: &str| {
        model.parameters.iter().find(|(known, _)| &**known == name).map(|(_, value)| value.to_string())
    };
    for (name, now) in &after.parameters {
        match value(before, name) {
            Some(was) if was != **now => {
                note(found, after, "parameter-changed", format!("parameter `{name}`: {was} becomes {now}"));
            }
            Some(_) => {}
            None => note(found, after, "parameter-added", format!("parameter `{name}` is new: {now}")),
        }
    }
    for (name, was) in &before.parameters {
        if value(after, name).is_none() {
            note(found, after, "parameter-removed", format!("parameter `{name}` is gone: it was {was}"));
        }
    }
    for (kind, list) in KINDS {
        parts(kind, &list(before), &list(after), after, found);
    }
    moves(before, after, found);
}

/// A stage, signal, milestone or counter, as far as an edit is concerned.
struct Part {
    id: StableId,
    name: Box<str>,
    means: Box<str>,
}

/// What is said of a part that is renamed, removed, added or given another meaning.
struct Kind {
    what: &'static str,
    codes: [&'static str; 4],
    removed: &'static str,
    added: &'static str,
}

/// A kind, and those of a model.
type PartsOfKind = (&'static Kind, fn(&Model) -> Vec<Part>);

const KINDS: [PartsOfKind; 4] = [
    (
        &Kind {
            what: "stage",
            codes: ["stage-renamed", "stage-removed", "stage-added", "stage-changed"],
            removed: "whoever is in it moves to another stage, or to none",
            added: "whoever it holds for moves into it",
        },
        |model| model.stages.iter().map(|stage| Part::new(stage.id, &stage.name, &stage.when)).collect(),
    ),
    (
        &Kind {
            what: "signal",
            codes: ["signal-renamed", "signal-removed", "signal-added", "signal-changed"],
            removed: "nothing more is published for it, not even that it stops",
            added: "it starts for whomever it holds for",
        },
        |model| model.signals.iter().map(|signal| Part::new(signal.id, &signal.name, &signal.when)).collect(),
    ),
    (
        &Kind {
            what: "milestone",
            codes: ["milestone-renamed", "milestone-removed", "milestone-added", "milestone-changed"],
            removed: "nothing more is published for it",
            added: "it is published once for whomever it holds for",
        },
        |model| {
            model.milestones.iter().map(|milestone| Part::new(milestone.id, &milestone.name, &milestone.when)).collect()
        },
    ),
    (
        &Kind {
            what: "counter",
            codes: ["counter-renamed", "counter-removed", "counter-added", "counter-changed"],
            removed: "nothing more is published for it",
            added: "it is published where its number is already high enough",
        },
        |model| model.counters.iter().map(|counter| Part::new(counter.id, &counter.name, &counter.of)).collect(),
    ),
];

impl Part {
    fn new(id: StableId, name: &str, condition: &Condition) -> Self {
        Self { id, name: name.into(), means: condition.text.clone() }
    }
}

fn parts(kind: &Kind, before: &[Part], after: &[Part], model: &Model, found: &mut Vec<Consequence>) {
    let Kind { what, codes: [renamed, removed, added, changed], .. } = *kind;
    let mut new: Vec<&Part> = after.iter().filter(|part| !before.iter().any(|earlier| earlier.id == part.id)).collect();
    for gone in before.iter().filter(|part| !after.iter().any(|later| later.id == part.id)) {
        if let Some(place) = new.iter().position(|part| part.means == gone.means) {
            let part = new.remove(place);
            let text = format!("{what} `{}` is now called `{}`, which makes it another {what}", gone.name, part.name);
            note(found, model, renamed, text);
        } else {
            note(found, model, removed, format!("{what} `{}` is gone: {}", gone.name, kind.removed));
        }
    }
    for part in new {
        note(found, model, added, format!("{what} `{}` is new: {}", part.name, kind.added));
    }
    for part in after {
        let earlier = before.iter().find(|earlier| earlier.id == part.id);
        if let Some(earlier) = earlier.filter(|earlier| earlier.means != part.means) {
            note(
                found,
                model,
                changed,
                format!("{what} `{}` has another condition: `{}` becomes `{}`", part.name, earlier.means, part.means),
            );
        }
    }
}

/// Names of moves are only names: no customer is evaluated for them, but subscribers know them.
fn moves(before: &Model, after: &Model, found: &mut Vec<Consequence>) {
    let names = |model: &Model| -> BTreeSet<Box<str>> { model.moves.iter().map(|rule| rule.name.clone()).collect() };
    let (was, is) = (names(before), names(after));
    for name in was.difference(&is) {
        note(found, after, "move-removed", format!("no move is named `{name}` any more"));
    }
    for name in is.difference(&was) {
        note(found, after, "move-added", format!("moves may now be named `{name}`"));
    }
}

/// Why a fact of the new models starts empty, if it does.
fn starts(fact: &FactDefinition, old: &ModelSet, new: &ModelSet) -> Option<String> {
    if has(old, fact) {
        return None;
    }
    let FactKind::Orders(reading) = fact.kind else {
        return Some(format!("`{}` starts empty and counts from the edit on", fact.text));
    };
    match reading {
        OrdersReading::FirstSinceLast(_) => Some(format!("`{}` starts empty and counts from the edit on", fact.text)),
        _ if !old.layout.reads_orders => {
            // Once for the ledger, not for each of its readings.
            let is_first =
                new.layout.definitions.iter().find(|other| matches!(other.kind, FactKind::Orders(_))) == Some(fact);
            is_first
                .then(|| "orders were not kept before: the ledger starts empty and counts from the edit on".to_owned())
        }
        _ => None,
    }
}

fn has(set: &ModelSet, fact: &FactDefinition) -> bool {
    set.layout.definitions.iter().any(|known| known.id == fact.id)
}

fn note(found: &mut Vec<Consequence>, model: &Model, kind: &'static str, text: String) {
    found.push(Consequence { model: Some(model.name.clone()), kind, text });
}
