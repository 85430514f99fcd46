//! What is drawn of a model: which moves are arrows, between which stages, and what is only listed.
//!
//! A rule that says from where and to where is an arrow. A rule that says only to where leads in from the stage before it on
//! the journey, or from any stage when it leads out of the journey. What is left (a reversal from anywhere) is a note.

use super::times::between;
use super::words::{Language, Phrase};
use crate::lifecycle::author::UNNAMED_MOVE;
use crate::lifecycle::id::StageIndex;
use crate::lifecycle::model::{Direction, Model, MoveRule, Place, StageMatch};
use crate::lifecycle::model_set::ModelSet;

/// How many arrows one rule may be.
const ARROWS_MAX: u32 = 6;

/// A model as it is drawn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Picture {
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: u32,
    /// The model's title.
    pub title: String,
    /// What the model is for; empty unless the picture is in English, in which descriptions are written.
    pub description: String,
    /// The language of the labels.
    pub language: Language,
    /// The stages of the journey in its order, then those outside.
    pub stages: Vec<StageBox>,
    /// The arrows.
    pub edges: Vec<Edge>,
    /// Moves that are no arrows.
    pub notes: Vec<Note>,
    /// Signals, milestones and counters.
    pub beside: Vec<Beside>,
}

impl Picture {
    /// Whether an arrow begins or ends at `end`.
    #[must_use]
    pub fn touches(&self, end: End) -> bool {
        self.edges.iter().any(|edge| edge.from.contains(&end) || edge.to.contains(&end))
    }
}

/// A stage as it is drawn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StageBox {
    /// The stage's name.
    pub name: String,
    /// The stage's title.
    pub title: String,
    /// What it stands for; see [`Picture::description`].
    pub description: String,
    /// The how-manieth of the journey, from 1; `None` outside.
    pub place: Option<usize>,
}

/// Where an arrow begins or ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum End {
    /// At the stage with this index in [`Picture::stages`].
    Stage(usize),
    /// At any stage of the journey.
    Journey,
    /// At no stage.
    Nothing,
}

/// An arrow. It may begin or end at several places, which all bear the same label.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edge {
    /// Where it begins.
    pub from: Vec<End>,
    /// Where it ends.
    pub to: Vec<End>,
    /// The names of the moves.
    pub labels: Vec<Label>,
    /// When time alone may cause the move.
    pub times: Vec<String>,
    /// Which way it leads.
    pub direction: Direction,
}

/// The name of a move.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// As it is published.
    pub name: String,
    /// What must cause it: types and groups of touchpoints, or the passing of time; empty for anything.
    pub causes: Vec<String>,
}

/// A move that is no arrow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// Its name and causes.
    pub label: Label,
    /// The titles of the stages it leaves; empty for any.
    pub from: Vec<String>,
    /// The titles of the stages it enters; empty for any.
    pub to: Vec<String>,
}

/// Something published beside the stages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beside {
    /// `milestone`, in the picture's language.
    pub kind: &'static str,
    /// As it is published.
    pub name: String,
    /// Its condition.
    pub condition: String,
}

/// What is drawn of each model of `set`.
#[must_use]
pub fn pictures(set: &ModelSet, language: Language) -> Vec<Picture> {
    set.models.iter().map(|model| picture(set, model, language)).collect()
}

/// What is drawn of `model`, one of `set`.
#[must_use]
pub fn picture(set: &ModelSet, model: &Model, language: Language) -> Picture {
    Painter::new(set, model, language).paint()
}

/// The title in the language, in English, or the name.
fn title(titles: &[(Box<str>, Box<str>)], language: Language, name: &str) -> String {
    let find = |code: &str| titles.iter().find(|(known, _)| **known == *code).map(|(_, title)| title.to_string());
    find(language.code()).or_else(|| find("en")).unwrap_or_else(|| name.to_owned())
}

struct Painter<'a> {
    set: &'a ModelSet,
    model: &'a Model,
    language: Language,
    /// The stages in the order of [`Picture::stages`].
    order: Vec<StageIndex>,
    journey: usize,
    edges: Vec<Edge>,
    notes: Vec<Note>,
}

impl<'a> Painter<'a> {
    fn new(set: &'a ModelSet, model: &'a Model, language: Language) -> Self {
        let mut order = model.journey();
        let journey = order.len();
        let outside = (0..).zip(&model.stages).filter(|(_, stage)| stage.place == Place::Outside);
        order.extend(outside.map(|(index, _)| StageIndex(index)));
        Self { set, model, language, order, journey, edges: Vec::new(), notes: Vec::new() }
    }

    fn paint(mut self) -> Picture {
        for index in 0..self.model.moves.len() {
            self.rule(index);
        }
        self.unnamed();
        let is_english = self.language == Language::English;
        let described = |text: &str| if is_english { text.to_owned() } else { String::new() };
        let stage = |&index: &StageIndex| {
            let stage = self.model.stage(index);
            let place = match stage.place {
                Place::Journey(place) => Some(usize::from(place) + 1),
                Place::Outside => None,
            };
            let (name, title) = (stage.name.to_string(), title(&stage.titles, self.language, &stage.name));
            StageBox { name, title, description: described(&stage.description), place }
        };
        Picture {
            name: self.model.name.to_string(),
            version: self.model.version,
            title: title(&self.model.titles, self.language, &self.model.name),
            description: described(&self.model.description),
            language: self.language,
            stages: self.order.iter().map(stage).collect(),
            beside: self.beside(),
            edges: join(self.edges, self.journey),
            notes: self.notes,
        }
    }

    fn beside(&self) -> Vec<Beside> {
        let of = |kind, name: &str, condition: &str| Beside {
            kind: self.language.say(kind),
            name: name.to_owned(),
            condition: condition.to_owned(),
        };
        let signals = self.model.signals.iter().map(|signal| of(Phrase::Signal, &signal.name, &signal.when.text));
        let milestones = self.model.milestones.iter();
        let milestones = milestones.map(|milestone| of(Phrase::Milestone, &milestone.name, &milestone.when.text));
        let counters = self.model.counters.iter();
        let counters = counters.map(|counter| of(Phrase::Counter, &counter.name, &counter.of.text));
        signals.chain(milestones).chain(counters).collect()
    }

    /// The arrows, or the note, of one rule.
    fn rule(&mut self, index: usize) {
        let rule = &self.model.moves[index];
        let leaves_any = rule.from.stages == u64::MAX;
        let enters_any = rule.to.stages == u64::MAX;
        let (from, to) = (self.ends(rule.from), self.ends(rule.to));
        let is_reversal = leaves_any && rule.direction == Some(Direction::Backward);
        let is_one = rule.to.stages.count_ones() + u32::from(rule.to.none) == 1;
        let arrows = if leaves_any {
            u32::from(is_one || rule.causes.is_none())
        } else {
            rule.from.stages.count_ones() + u32::from(rule.from.none)
        } * if enters_any { 1 } else { rule.to.stages.count_ones() + u32::from(rule.to.none) };
        let comes_back = enters_any && from.iter().all(|from| self.is_outside(*from));
        if is_reversal || arrows == 0 || arrows > ARROWS_MAX || (enters_any && !comes_back) {
            self.note(rule);
            return;
        }
        if comes_back {
            for from in from {
                self.draw(rule, from, End::Journey);
            }
            return;
        }
        for to in to {
            if leaves_any {
                match to {
                    End::Nothing => self.note(rule),
                    _ if self.is_outside(to) => self.draw(rule, End::Journey, to),
                    _ => self.draw(rule, self.entrance(index, to), to),
                }
                continue;
            }
            for &from in &from {
                let is_left = self.model.moves[..index].iter().any(|earlier| self.takes(earlier, from, to));
                if from != to && !is_left {
                    self.draw(rule, from, to);
                }
            }
        }
    }

    /// From where a rule that says only to where is drawn: the nearest stage before it from which it is the first that fits.
    fn entrance(&self, rule: usize, to: End) -> End {
        let End::Stage(place) = to else { return End::Nothing };
        let earlier = &self.model.moves[..rule];
        let is_free = |from: &End| !earlier.iter().any(|earlier| self.takes(earlier, *from, to));
        (0..place).rev().map(End::Stage).find(is_free).unwrap_or(End::Nothing)
    }

    /// Whether the rule names every move from `from` to `to`.
    fn takes(&self, rule: &MoveRule, from: End, to: End) -> bool {
        let is_always = rule.causes.is_none() && rule.when.is_none();
        is_always && rule.from.fits(self.stage(from)) && rule.to.fits(self.stage(to))
    }

    fn draw(&mut self, rule: &MoveRule, from: End, to: End) {
        let bound = [from, to].iter().any(|end| *end == End::Nothing || self.is_outside(*end));
        let natural = self.direction(from, to);
        let direction = rule.direction.filter(|_| !bound).unwrap_or(natural);
        let can_be_time = rule.causes.is_none_or(|causes| causes.time);
        let times = if can_be_time { self.times(from, to) } else { Vec::new() };
        self.add(from, to, self.label(rule), times, direction);
    }

    fn add(&mut self, from: End, to: End, label: Label, times: Vec<String>, direction: Direction) {
        let (from, to) = (vec![from], vec![to]);
        let known =
            self.edges.iter_mut().find(|edge| edge.from == from && edge.to == to && edge.direction == direction);
        let Some(edge) = known else {
            self.edges.push(Edge { from, to, labels: vec![label], times, direction });
            return;
        };
        match edge.labels.iter_mut().find(|known| known.name == label.name) {
            // One of the two needs no cause.
            Some(known) if known.causes.is_empty() || label.causes.is_empty() => known.causes.clear(),
            Some(known) => known.causes.extend(label.causes),
            None => edge.labels.push(label),
        }
        if edge.times.is_empty() {
            edge.times = times;
        }
    }

    /// Arrows into the stages that no rule leads to.
    fn unnamed(&mut self) {
        for place in 0..self.order.len() {
            let to = End::Stage(place);
            let from = match place.checked_sub(1) {
                _ if place >= self.journey => End::Journey,
                Some(before) => End::Stage(before),
                None => End::Nothing,
            };
            let is_entered =
                |edge: &Edge| edge.to.contains(&to) && (place >= self.journey || edge.direction != Direction::Backward);
            if !self.edges.iter().any(is_entered) {
                let label = Label { name: UNNAMED_MOVE.to_owned(), causes: Vec::new() };
                self.add(from, to, label, self.times(from, to), self.direction(from, to));
            }
        }
    }

    fn note(&mut self, rule: &MoveRule) {
        let none = self.language.say(Phrase::NoStage);
        let titles = |side: StageMatch| -> Vec<String> {
            if side.stages == u64::MAX {
                return Vec::new();
            }
            let name = |end: End| {
                self.stage(end).map_or(none.to_owned(), |index| {
                    let stage = self.model.stage(index);
                    title(&stage.titles, self.language, &stage.name)
                })
            };
            self.ends(side).into_iter().map(name).collect()
        };
        let (from, to) = (titles(rule.from), titles(rule.to));
        self.notes.push(Note { label: self.label(rule), from, to });
    }

    fn label(&self, rule: &MoveRule) -> Label {
        let causes = rule.causes.map_or_else(Vec::new, |causes| {
            let groups = causes.groups.iter().map(|group| &self.set.vocabulary.groups[usize::from(group.0)].name);
            let mut names: Vec<String> = groups.map(ToString::to_string).collect();
            names.extend(causes.time.then(|| self.language.say(Phrase::Time).to_owned()));
            names
        });
        Label { name: rule.name.to_string(), causes }
    }

    /// The ends that `side` names, in the order of the picture; no stage is the last.
    fn ends(&self, side: StageMatch) -> Vec<End> {
        let fits = |place: &usize| side.fits(Some(self.order[*place]));
        let stages = (0..self.order.len()).filter(fits).map(End::Stage);
        stages.chain(side.none.then_some(End::Nothing)).collect()
    }

    fn stage(&self, end: End) -> Option<StageIndex> {
        match end {
            End::Stage(place) => Some(self.order[place]),
            End::Journey | End::Nothing => None,
        }
    }

    fn is_outside(&self, end: End) -> bool {
        matches!(end, End::Stage(place) if place >= self.journey)
    }

    fn direction(&self, from: End, to: End) -> Direction {
        match (from, to) {
            (End::Stage(_), End::Journey) => Direction::Reentry,
            _ => self.model.direction(self.stage(from), self.stage(to)),
        }
    }

    fn times(&self, from: End, to: End) -> Vec<String> {
        between(self.set, self.model, self.stage(from), self.stage(to), self.language)
    }
}

/// Joins arrows that say the same and begin or end at the same place, except for the steps of the journey.
fn join(edges: Vec<Edge>, journey: usize) -> Vec<Edge> {
    let step = |edge: &Edge| match (edge.from.as_slice(), edge.to.as_slice()) {
        ([End::Nothing], [End::Stage(0)]) => Some(0),
        ([End::Stage(from)], [End::Stage(to)])
            if *to < journey && from + 1 == *to && edge.direction == Direction::Forward =>
        {
            Some(*to)
        }
        _ => None,
    };
    let is_step = |edge: &Edge| step(edge).is_some();
    let mut joined: Vec<Edge> = Vec::new();
    for edge in edges {
        let says_the_same = |other: &&mut Edge| {
            other.labels == edge.labels && other.times == edge.times && other.direction == edge.direction
        };
        let is_inside = |end: &End| !matches!(end, End::Stage(place) if *place >= journey);
        let meets = |other: &&mut Edge| {
            let begin_inside = other.from.iter().chain(&edge.from).all(is_inside);
            other.from == edge.from || other.to == edge.to && begin_inside
        };
        let known =
            joined.iter_mut().filter(|other| !is_step(other) && !is_step(&edge)).filter(says_the_same).find(meets);
        match known {
            Some(known) if known.from == edge.from => known.to.extend(edge.to),
            Some(known) => known.from.extend(edge.from),
            None => joined.push(edge),
        }
    }
    // Programs that lay out by themselves follow the order.
    joined.sort_by_key(|edge| step(edge).unwrap_or(journey));
    joined
}
