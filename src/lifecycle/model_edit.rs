//! The consequences of editing models: which facts start empty, which names are changed or removed, and whether
//! customers are evaluated again. `lifecycle check --against` prints them; the service does not use them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::condition::Condition;
use super::fact::{FactDefinition, FactKind, OrderFact};
use super::id::StableId;
use super::model::Model;
use super::model_set::ModelSet;

/// One consequence of an edit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Consequence {
    /// The edited model; `None` if the consequence concerns all models.
    pub model: Option<Box<str>>,
    /// Stable identifier of the kind: `fact-starts-empty`, `stage-removed`.
    pub kind: &'static str,
    /// One sentence, lower-case and without a full stop.
    pub text: String,
}

/// Returns the consequences of replacing `old` by `new`: first by model, in model order, then by fact.
#[must_use]
pub fn consequences(old: &ModelSet, new: &ModelSet) -> Vec<Consequence> {
    let mut found = Vec::new();
    for before in &old.models {
        if !new.models.iter().any(|model| model.name == before.name) {
            report(
                &mut found,
                before,
                "model-removed",
                format!("model `{}` is removed: no more transitions are published for it", before.name),
            );
        }
    }
    for after in &new.models {
        match old.models.iter().find(|model| model.name == after.name) {
            Some(before) => compare_models(before, after, &mut found),
            None => report(
                &mut found,
                after,
                "model-added",
                format!("model `{}` is new: every customer is evaluated and may enter one of its stages", after.name),
            ),
        }
    }
    for fact in &new.layout.definitions {
        if let Some(text) = starts_empty(fact, old, new) {
            found.push(Consequence { model: None, kind: "fact-starts-empty", text });
        }
    }
    for fact in &old.layout.definitions {
        if !keeps_fact(new, fact) && !matches!(fact.kind, FactKind::Orders(_)) {
            let text = format!("`{}` is no longer kept; if a later version uses it again, it starts empty", fact.text);
            found.push(Consequence { model: None, kind: "fact-dropped", text });
        }
    }
    if old.layout.reads_orders && !new.layout.reads_orders {
        let text = "orders are no longer kept; if a later version uses them again, they start empty".to_owned();
        found.push(Consequence { model: None, kind: "fact-dropped", text });
    }
    found
}

fn compare_models(before: &Model, after: &Model, found: &mut Vec<Consequence>) {
    if before.hash == after.hash {
        report(
            found,
            after,
            "unchanged",
            format!("model `{}` is unchanged; no customer is evaluated again", after.name),
        );
        return;
    }
    let text = format!(
        "model `{}` has changed: every customer is evaluated again, and the resulting transitions are published with mode \
         `reconcile`",
        after.name
    );
    report(found, after, "evaluated-again", text);
    if before.version == after.version {
        report(
            found,
            after,
            "same-version",
            format!("`version` is still {}: increase it, because transitions contain it", after.version),
        );
    }
    let value = |model: &Model, name: &str| {
        model.parameters.iter().find(|(known, _)| &**known == name).map(|(_, value)| value.to_string())
    };
    for (name, new_value) in &after.parameters {
        match value(before, name) {
            Some(old_value) if old_value != **new_value => {
                report(
                    found,
                    after,
                    "parameter-changed",
                    format!("parameter `{name}` changes from {old_value} to {new_value}"),
                );
            }
            Some(_) => {}
            None => report(found, after, "parameter-added", format!("parameter `{name}` is new: {new_value}")),
        }
    }
    for (name, old_value) in &before.parameters {
        if value(after, name).is_none() {
            report(found, after, "parameter-removed", format!("parameter `{name}` is removed: it was {old_value}"));
        }
    }
    for (kind, list) in KINDS {
        compare_elements(kind, &list(before), &list(after), after, found);
    }
    compare_moves(before, after, found);
}

/// A stage, signal, milestone or counter, reduced to what an edit compares.
struct Element {
    id: StableId,
    name: Box<str>,
    condition: Arc<str>,
}

/// A kind of model element, with the kinds of consequence (renamed, removed, added, changed) and the texts about its
/// edits.
struct ElementKind {
    what: &'static str,
    consequence_kinds: [&'static str; 4],
    removed: &'static str,
    added: &'static str,
}

/// A kind with the function that lists the elements of this kind in a model.
type ElementsOfKind = (&'static ElementKind, fn(&Model) -> Vec<Element>);

const KINDS: [ElementsOfKind; 4] = [
    (
        &ElementKind {
            what: "stage",
            consequence_kinds: ["stage-renamed", "stage-removed", "stage-added", "stage-changed"],
            removed: "customers in it move to another stage, or to no stage",
            added: "customers enter it if it is the first stage whose condition holds for them",
        },
        |model| model.stages.iter().map(|stage| Element::new(stage.id, &stage.name, &stage.when)).collect(),
    ),
    (
        &ElementKind {
            what: "signal",
            consequence_kinds: ["signal-renamed", "signal-removed", "signal-added", "signal-changed"],
            removed: "no more transitions are published for it, not even that it stopped",
            added: "it starts for every customer for whom it holds",
        },
        |model| model.signals.iter().map(|signal| Element::new(signal.id, &signal.name, &signal.when)).collect(),
    ),
    (
        &ElementKind {
            what: "milestone",
            consequence_kinds: ["milestone-renamed", "milestone-removed", "milestone-added", "milestone-changed"],
            removed: "no more transitions are published for it",
            added: "it is published once for every customer for whom it holds",
        },
        |model| {
            model
                .milestones
                .iter()
                .map(|milestone| Element::new(milestone.id, &milestone.name, &milestone.when))
                .collect()
        },
    ),
    (
        &ElementKind {
            what: "counter",
            consequence_kinds: ["counter-renamed", "counter-removed", "counter-added", "counter-changed"],
            removed: "no more transitions are published for it",
            added: "it is published for every customer whose value is at least `from`",
        },
        |model| model.counters.iter().map(|counter| Element::new(counter.id, &counter.name, &counter.of)).collect(),
    ),
];

impl Element {
    fn new(id: StableId, name: &str, condition: &Condition) -> Self {
        Self { id, name: name.into(), condition: condition.text.clone() }
    }
}

fn compare_elements(
    kind: &ElementKind,
    before: &[Element],
    after: &[Element],
    model: &Model,
    found: &mut Vec<Consequence>,
) {
    let ElementKind { what, consequence_kinds: [renamed, removed, added, changed], .. } = *kind;
    let mut new: Vec<&Element> =
        after.iter().filter(|element| !before.iter().any(|earlier| earlier.id == element.id)).collect();
    for gone in before.iter().filter(|element| !after.iter().any(|later| later.id == element.id)) {
        if let Some(index) = new.iter().position(|element| element.condition == gone.condition) {
            let element = new.remove(index);
            let text =
                format!("{what} `{}` is renamed to `{}`, which makes it a different {what}", gone.name, element.name);
            report(found, model, renamed, text);
        } else {
            report(found, model, removed, format!("{what} `{}` is removed: {}", gone.name, kind.removed));
        }
    }
    for element in new {
        report(found, model, added, format!("{what} `{}` is new: {}", element.name, kind.added));
    }
    for element in after {
        let earlier = before.iter().find(|earlier| earlier.id == element.id);
        if let Some(earlier) = earlier.filter(|earlier| earlier.condition != element.condition) {
            report(
                found,
                model,
                changed,
                format!(
                    "the condition of {what} `{}` changes from `{}` to `{}`",
                    element.name, earlier.condition, element.condition
                ),
            );
        }
    }
}

/// Reports changed names of moves. They do not affect standings, but consumers of transitions may depend on them.
fn compare_moves(before: &Model, after: &Model, found: &mut Vec<Consequence>) {
    let names = |model: &Model| -> BTreeSet<Arc<str>> { model.moves.iter().map(|rule| rule.name.clone()).collect() };
    let (old_names, new_names) = (names(before), names(after));
    for name in old_names.difference(&new_names) {
        report(found, after, "move-removed", format!("no move is named `{name}` any more"));
    }
    for name in new_names.difference(&old_names) {
        report(found, after, "move-added", format!("moves may now be named `{name}`"));
    }
}

/// Returns the reason why a fact of the new models starts empty, or `None` if it keeps its value.
fn starts_empty(fact: &FactDefinition, old: &ModelSet, new: &ModelSet) -> Option<String> {
    if keeps_fact(old, fact) {
        return None;
    }
    let FactKind::Orders(order_fact) = fact.kind else {
        return Some(format!("`{}` starts empty and counts only what happens after the edit", fact.text));
    };
    match order_fact {
        OrderFact::FirstSinceLast(_) => {
            Some(format!("`{}` starts empty and counts only what happens after the edit", fact.text))
        }
        _ if !old.layout.reads_orders => {
            // Reported once for the ledger, not for each of its fields.
            let is_first =
                new.layout.definitions.iter().find(|other| matches!(other.kind, FactKind::Orders(_))) == Some(fact);
            is_first.then(|| {
                "orders were not kept before: the ledger starts empty and counts only what happens after the edit"
                    .to_owned()
            })
        }
        _ => None,
    }
}

fn keeps_fact(set: &ModelSet, fact: &FactDefinition) -> bool {
    set.layout.definitions.iter().any(|known| known.id == fact.id)
}

fn report(found: &mut Vec<Consequence>, model: &Model, kind: &'static str, text: String) {
    found.push(Consequence { model: Some(model.name.clone()), kind, text });
}
