//! Decides what a diagram of a model shows: which moves are arrows, between which stages, and which are only listed.
//!
//! A move rule with `from` and `to` becomes an arrow. A rule with only `to` is drawn from the previous stage of the
//! journey or, if the move exits the journey, from the journey as a whole. Every other rule, such as a reversal from
//! any stage, is listed.

use super::deadline_labels::deadline_labels;
use super::language::{Language, Phrase};
use crate::lifecycle::id::StageIndex;
use crate::lifecycle::model::{Direction, JourneyPosition, Model, MoveRule, StageMatch};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::transition_builder::UNNAMED_MOVE;
use crate::wire::transition_text::escape_control_characters;

/// Limit of arrows per rule; a rule with more is listed instead.
const ARROWS_MAX: u32 = 6;

/// A model, reduced to what is drawn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagram {
    /// Name of the model in the API.
    pub name: String,
    /// Version of the model.
    pub version: u32,
    /// Title in the language of the diagram, else in English, else the name.
    pub title: String,
    /// Description of the model; empty unless the diagram is in English, the only language of descriptions.
    pub description: String,
    /// Language of the labels.
    pub language: Language,
    /// The stages of the journey in order, then those outside the journey.
    pub stages: Vec<StageNode>,
    /// The arrows, the steps of the journey first.
    pub edges: Vec<Edge>,
    /// Moves that are listed below the arrows.
    pub undrawn_moves: Vec<UndrawnMove>,
    /// Signals, milestones and counters.
    pub other_outputs: Vec<OtherOutput>,
}

impl Diagram {
    /// Returns whether an arrow starts or ends at `end`.
    #[must_use]
    pub fn touches(&self, end: Endpoint) -> bool {
        self.edges.iter().any(|edge| edge.from.contains(&end) || edge.to.contains(&end))
    }
}

/// A stage in a diagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StageNode {
    /// Name of the stage in the API.
    pub name: String,
    /// Title in the language of the diagram, else in English, else the name.
    pub title: String,
    /// Description of the stage, in English diagrams only; see [`Diagram::description`].
    pub description: String,
    /// Position on the journey, starting at 1; `None` outside the journey.
    pub journey_position: Option<usize>,
}

/// The start or end of an arrow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Endpoint {
    /// The stage with this index in [`Diagram::stages`].
    Stage(usize),
    /// Any stage of the journey.
    Journey,
    /// No stage: before the first stage, or after the customer left all of them.
    NoStage,
}

/// An arrow, or several arrows with the same label.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edge {
    /// The starts.
    pub from: Vec<Endpoint>,
    /// The ends; there is an arrow from each start to each end.
    pub to: Vec<Endpoint>,
    /// The moves that the arrow represents.
    pub labels: Vec<Label>,
    /// Deadlines at which time alone may cause the move: `90 days after the last order`.
    pub deadlines: Vec<String>,
    /// Direction relative to the journey.
    pub direction: Direction,
}

/// The name of a move, and its causes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// Name of the published transition.
    pub name: String,
    /// Touchpoint types and groups, or time, that may cause the move; empty for any cause.
    pub causes: Vec<String>,
}

/// A move that is listed instead of drawn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UndrawnMove {
    /// Name and causes.
    pub label: Label,
    /// Titles of the stages that the move leaves; empty for any stage.
    pub from: Vec<String>,
    /// Titles of the stages that the move enters; empty for any stage.
    pub to: Vec<String>,
}

/// A signal, milestone or counter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OtherOutput {
    /// `signal`, `milestone` or `counter`, in the language of the diagram.
    pub kind: &'static str,
    /// Name of the published transition.
    pub name: String,
    /// The condition or expression, as written in the model.
    pub condition: String,
}

/// Builds a diagram of each model of `set`.
#[must_use]
pub fn diagrams(set: &ModelSet, language: Language) -> Vec<Diagram> {
    set.models.iter().map(|model| diagram(set, model, language)).collect()
}

/// Builds the diagram of `model`, which belongs to `set`.
#[must_use]
pub fn diagram(set: &ModelSet, model: &Model, language: Language) -> Diagram {
    DiagramBuilder::new(set, model, language).build()
}

/// Returns the title in `language`, else in English, else the name.
fn title(titles: &[(Box<str>, Box<str>)], language: Language, name: &str) -> String {
    let find = |code: &str| {
        let found = titles.iter().find(|(known, _)| **known == *code);
        found.map(|(_, title)| escape_control_characters(title).into_owned())
    };
    find(language.code()).or_else(|| find("en")).unwrap_or_else(|| name.to_owned())
}

struct DiagramBuilder<'a> {
    set: &'a ModelSet,
    model: &'a Model,
    language: Language,
    /// The stages in the order of [`Diagram::stages`].
    order: Vec<StageIndex>,
    /// Number of stages on the journey, the first of `order`.
    journey: usize,
    edges: Vec<Edge>,
    undrawn_moves: Vec<UndrawnMove>,
}

impl<'a> DiagramBuilder<'a> {
    fn new(set: &'a ModelSet, model: &'a Model, language: Language) -> Self {
        let mut order = model.journey();
        let journey = order.len();
        let outside = (0..).zip(&model.stages).filter(|(_, stage)| stage.journey_position == JourneyPosition::Outside);
        order.extend(outside.map(|(index, _)| StageIndex(index)));
        Self { set, model, language, order, journey, edges: Vec::new(), undrawn_moves: Vec::new() }
    }

    fn build(mut self) -> Diagram {
        for index in 0..self.model.moves.len() {
            self.add_rule(index);
        }
        self.add_unnamed_moves();
        let is_english = self.language == Language::English;
        let description = |text: &str| if is_english { text.to_owned() } else { String::new() };
        let stage = |&index: &StageIndex| {
            let stage = self.model.stage(index);
            let journey_position = match stage.journey_position {
                JourneyPosition::At(position) => Some(usize::from(position) + 1),
                JourneyPosition::Outside => None,
            };
            let (name, title) = (stage.name.to_string(), title(&stage.titles, self.language, &stage.name));
            StageNode { name, title, description: description(&stage.description), journey_position }
        };
        Diagram {
            name: self.model.name.to_string(),
            version: self.model.version,
            title: title(&self.model.titles, self.language, &self.model.name),
            description: description(&self.model.description),
            language: self.language,
            stages: self.order.iter().map(stage).collect(),
            other_outputs: self.other_outputs(),
            edges: merge(self.edges, self.journey),
            undrawn_moves: self.undrawn_moves,
        }
    }

    fn other_outputs(&self) -> Vec<OtherOutput> {
        let output = |kind, name: &str, condition: &str| OtherOutput {
            kind: self.language.translate(kind),
            name: name.to_owned(),
            condition: condition.to_owned(),
        };
        let signals = self.model.signals.iter().map(|signal| output(Phrase::Signal, &signal.name, &signal.when.text));
        let milestones = self.model.milestones.iter();
        let milestones = milestones.map(|milestone| output(Phrase::Milestone, &milestone.name, &milestone.when.text));
        let counters = self.model.counters.iter();
        let counters = counters.map(|counter| output(Phrase::Counter, &counter.name, &counter.of.text));
        signals.chain(milestones).chain(counters).collect()
    }

    /// Draws one rule as arrows, or lists it.
    fn add_rule(&mut self, index: usize) {
        let rule = &self.model.moves[index];
        let leaves_any = rule.from.stages == u64::MAX;
        let enters_any = rule.to.stages == u64::MAX;
        let (from, to) = (self.endpoints(rule.from), self.endpoints(rule.to));
        let is_reversal = leaves_any && rule.direction == Some(Direction::Backward);
        let has_one_target = rule.to.stages.count_ones() + u32::from(rule.to.none) == 1;
        let arrows = if leaves_any {
            u32::from(has_one_target || rule.causes.is_none())
        } else {
            rule.from.stages.count_ones() + u32::from(rule.from.none)
        } * if enters_any { 1 } else { rule.to.stages.count_ones() + u32::from(rule.to.none) };
        let is_reentry = enters_any && from.iter().all(|from| self.is_outside(*from));
        if is_reversal || arrows == 0 || arrows > ARROWS_MAX || (enters_any && !is_reentry) {
            self.list(rule);
            return;
        }
        if is_reentry {
            for from in from {
                self.draw(rule, from, Endpoint::Journey);
            }
            return;
        }
        for to in to {
            if leaves_any {
                match to {
                    Endpoint::NoStage => self.list(rule),
                    _ if self.is_outside(to) => self.draw(rule, Endpoint::Journey, to),
                    _ => self.draw(rule, self.start_stage(index, to), to),
                }
                continue;
            }
            for &from in &from {
                let is_covered =
                    self.model.moves[..index].iter().any(|earlier| self.names_every_move(earlier, from, to));
                if from != to && !is_covered {
                    self.draw(rule, from, to);
                }
            }
        }
    }

    /// Returns the start of the arrow for a rule that has only `to`: the nearest earlier stage of the journey whose
    /// move to `to` no earlier rule names.
    fn start_stage(&self, rule: usize, to: Endpoint) -> Endpoint {
        let Endpoint::Stage(index) = to else { return Endpoint::NoStage };
        let earlier = &self.model.moves[..rule];
        let is_free = |from: &Endpoint| !earlier.iter().any(|earlier| self.names_every_move(earlier, *from, to));
        (0..index).rev().map(Endpoint::Stage).find(is_free).unwrap_or(Endpoint::NoStage)
    }

    /// Returns whether the rule names every move from `from` to `to`, with any cause.
    fn names_every_move(&self, rule: &MoveRule, from: Endpoint, to: Endpoint) -> bool {
        let is_always = rule.causes.is_none() && rule.when.is_none();
        is_always && rule.from.matches(self.stage(from)) && rule.to.matches(self.stage(to))
    }

    fn draw(&mut self, rule: &MoveRule, from: Endpoint, to: Endpoint) {
        let has_fixed_direction = [from, to].iter().any(|end| *end == Endpoint::NoStage || self.is_outside(*end));
        let default_direction = self.direction(from, to);
        let direction = rule.direction.filter(|_| !has_fixed_direction).unwrap_or(default_direction);
        let may_be_time = rule.causes.is_none_or(|causes| causes.time);
        let deadlines = if may_be_time { self.deadlines(from, to) } else { Vec::new() };
        self.add(from, to, self.label(rule), deadlines, direction);
    }

    fn add(&mut self, from: Endpoint, to: Endpoint, label: Label, deadlines: Vec<String>, direction: Direction) {
        let (from, to) = (vec![from], vec![to]);
        let known =
            self.edges.iter_mut().find(|edge| edge.from == from && edge.to == to && edge.direction == direction);
        let Some(edge) = known else {
            self.edges.push(Edge { from, to, labels: vec![label], deadlines, direction });
            return;
        };
        match edge.labels.iter_mut().find(|known| known.name == label.name) {
            // One of the two rules applies to any cause, so the merged label lists none.
            Some(known) if known.causes.is_empty() || label.causes.is_empty() => known.causes.clear(),
            Some(known) => known.causes.extend(label.causes),
            None => edge.labels.push(label),
        }
        if edge.deadlines.is_empty() {
            edge.deadlines = deadlines;
        }
    }

    /// Draws an arrow into each stage that no rule leads to.
    fn add_unnamed_moves(&mut self) {
        for index in 0..self.order.len() {
            let to = Endpoint::Stage(index);
            let from = match index.checked_sub(1) {
                _ if index >= self.journey => Endpoint::Journey,
                Some(before) => Endpoint::Stage(before),
                None => Endpoint::NoStage,
            };
            let is_entered =
                |edge: &Edge| edge.to.contains(&to) && (index >= self.journey || edge.direction != Direction::Backward);
            if !self.edges.iter().any(is_entered) {
                let label = Label { name: UNNAMED_MOVE.to_owned(), causes: Vec::new() };
                self.add(from, to, label, self.deadlines(from, to), self.direction(from, to));
            }
        }
    }

    fn list(&mut self, rule: &MoveRule) {
        let none = self.language.translate(Phrase::NoStage);
        let titles = |side: StageMatch| -> Vec<String> {
            if side.stages == u64::MAX {
                return Vec::new();
            }
            let name = |end: Endpoint| {
                self.stage(end).map_or(none.to_owned(), |index| {
                    let stage = self.model.stage(index);
                    title(&stage.titles, self.language, &stage.name)
                })
            };
            self.endpoints(side).into_iter().map(name).collect()
        };
        let (from, to) = (titles(rule.from), titles(rule.to));
        self.undrawn_moves.push(UndrawnMove { label: self.label(rule), from, to });
    }

    fn label(&self, rule: &MoveRule) -> Label {
        let causes = rule.causes.map_or_else(Vec::new, |causes| {
            let groups = causes.groups.iter().map(|group| &self.set.vocabulary.groups[usize::from(group.0)].name);
            let mut names: Vec<String> = groups.map(ToString::to_string).collect();
            names.extend(causes.time.then(|| self.language.translate(Phrase::Time).to_owned()));
            names
        });
        Label { name: rule.name.to_string(), causes }
    }

    /// Returns the endpoints that match `side`, in the order of the diagram, with no stage last.
    fn endpoints(&self, side: StageMatch) -> Vec<Endpoint> {
        let fits = |index: &usize| side.matches(Some(self.order[*index]));
        let stages = (0..self.order.len()).filter(fits).map(Endpoint::Stage);
        stages.chain(side.none.then_some(Endpoint::NoStage)).collect()
    }

    fn stage(&self, end: Endpoint) -> Option<StageIndex> {
        match end {
            Endpoint::Stage(index) => Some(self.order[index]),
            Endpoint::Journey | Endpoint::NoStage => None,
        }
    }

    fn is_outside(&self, end: Endpoint) -> bool {
        matches!(end, Endpoint::Stage(index) if index >= self.journey)
    }

    fn direction(&self, from: Endpoint, to: Endpoint) -> Direction {
        match (from, to) {
            (Endpoint::Stage(_), Endpoint::Journey) => Direction::Reentry,
            _ => self.model.direction(self.stage(from), self.stage(to)),
        }
    }

    fn deadlines(&self, from: Endpoint, to: Endpoint) -> Vec<String> {
        deadline_labels(self.set, self.model, self.stage(from), self.stage(to), self.language)
    }
}

/// Merges arrows with equal labels and a common start or end, except the steps of the journey.
fn merge(edges: Vec<Edge>, journey: usize) -> Vec<Edge> {
    let step = |edge: &Edge| match (edge.from.as_slice(), edge.to.as_slice()) {
        ([Endpoint::NoStage], [Endpoint::Stage(0)]) => Some(0),
        ([Endpoint::Stage(from)], [Endpoint::Stage(to)])
            if *to < journey && from + 1 == *to && edge.direction == Direction::Forward =>
        {
            Some(*to)
        }
        _ => None,
    };
    let is_step = |edge: &Edge| step(edge).is_some();
    let mut merged: Vec<Edge> = Vec::new();
    for edge in edges {
        let has_same_label = |other: &&mut Edge| {
            other.labels == edge.labels && other.deadlines == edge.deadlines && other.direction == edge.direction
        };
        let is_on_journey = |end: &Endpoint| !matches!(end, Endpoint::Stage(index) if *index >= journey);
        let has_common_endpoint = |other: &&mut Edge| {
            let start_on_journey = other.from.iter().chain(&edge.from).all(is_on_journey);
            other.from == edge.from || other.to == edge.to && start_on_journey
        };
        let known = merged
            .iter_mut()
            .filter(|other| !is_step(other) && !is_step(&edge))
            .filter(has_same_label)
            .find(has_common_endpoint);
        match known {
            Some(known) if known.from == edge.from => known.to.extend(edge.to),
            Some(known) => known.from.extend(edge.from),
            None => merged.push(edge),
        }
    }
    // Mermaid and Graphviz place nodes in the order of the edges.
    merged.sort_by_key(|edge| step(edge).unwrap_or(journey));
    merged
}
