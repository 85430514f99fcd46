//! Builds a model from its draft: the stages and their positions in the journey, the naming rules, signals, milestones
//! and counters, and the hash.

use std::fmt::Write as _;
use std::sync::Arc;

use super::facts::constant_text;
use super::moves::RESERVED_STAGE_NAMES;
use super::scope::ModelScope;
use crate::lifecycle::condition::{Condition, codes, covers};
use crate::lifecycle::id::StableId;
use crate::lifecycle::model::{Counter, JourneyPosition, Milestone, Model, MoveRule, Signal, Stage};
use crate::lifecycle::model_draft::{About, NamedExpression, SpannedString};
use crate::lifecycle::problem::Problem;
use crate::lifecycle::value::{OwnedValue, Type};

/// Maximum number of stages, of signals and of milestones in a model.
const STAGES_MAX: usize = 64;
/// Maximum number of counters in a model.
const COUNTERS_MAX: usize = 16;
/// Maximum number of parameters in a model.
const PARAMETERS_MAX: usize = 128;
/// Maximum number of named facts and of named conditions in a model.
const NAMED_MAX: usize = 512;

impl ModelScope<'_> {
    /// Builds the model. It is complete only if no error was reported.
    pub(super) fn build(&mut self) -> Model {
        self.check_names();
        let draft = self.draft;
        let stages = self.stages();
        let names: Vec<&str> = draft.stages.iter().map(|stage| stage.name.value.as_str()).collect();
        let moves = self.moves(&names);
        let signals = self.published_conditions(&draft.signals, "signal", |name, id, when| Signal { name, id, when });
        let milestones =
            self.published_conditions(&draft.milestones, "milestone", |name, id, when| Milestone { name, id, when });
        let counters = self.counters();
        let mut model = Model {
            name: draft.name.value.as_str().into(),
            version: draft.version,
            hash: StableId(0),
            titles: titles(&draft.about),
            description: draft.about.description.as_str().into(),
            parameters: Vec::new(),
            stages,
            moves,
            signals,
            milestones,
            counters,
        };
        self.check_unused();
        model.parameters = self.parameter_values();
        model.hash = StableId::of(&self.definition(&model));
        model
    }

    fn check_names(&mut self) {
        let (draft, problems) = (self.draft, &mut *self.problems);
        let file = draft.file;
        problems.check_published(file, &draft.name, "a model");
        let lists = [(&draft.parameters, "a parameter"), (&draft.facts, "a fact"), (&draft.conditions, "a condition")];
        for (list, what) in lists {
            for named in list {
                problems.check_identifier(file, &named.name, what);
            }
        }
        let named = lists.into_iter().flat_map(|(list, _)| list).map(|named| &named.name);
        problems.check_unique(file, named, "the name");
        problems.check_unique(file, draft.stages.iter().map(|stage| &stage.name), "stage");
        problems.check_unique(file, draft.signals.iter().map(|signal| &signal.name), "signal");
        problems.check_unique(file, draft.milestones.iter().map(|milestone| &milestone.name), "milestone");
        problems.check_unique(file, draft.counters.iter().map(|counter| &counter.name), "counter");
        problems.check_unique(file, &draft.journey, "stage");
        problems.check_count(file, draft.parameters.iter().map(|named| &named.name), PARAMETERS_MAX, "parameters");
        problems.check_count(file, draft.facts.iter().map(|named| &named.name), NAMED_MAX, "facts");
        problems.check_count(file, draft.conditions.iter().map(|named| &named.name), NAMED_MAX, "conditions");
        problems.check_count(file, draft.stages.iter().map(|stage| &stage.name), STAGES_MAX, "stages");
        problems.check_count(file, draft.signals.iter().map(|signal| &signal.name), STAGES_MAX, "signals");
        problems.check_count(file, draft.milestones.iter().map(|milestone| &milestone.name), STAGES_MAX, "milestones");
        problems.check_count(file, draft.counters.iter().map(|counter| &counter.name), COUNTERS_MAX, "counters");
        let is_empty = draft.stages.is_empty()
            && draft.signals.is_empty()
            && draft.milestones.is_empty()
            && draft.counters.is_empty();
        if is_empty {
            let message = format!("model `{}` publishes nothing", draft.name.value);
            problems.push(
                Problem::error("empty-model", file, draft.name.span.clone(), message)
                    .help("give it `stages`, `signals`, `milestones` or `counters`"),
            );
        }
        if draft.journey.is_empty() && !draft.stages.is_empty() {
            let message = format!("model `{}` has stages but no `journey`", draft.name.value);
            let help = "write `journey: [first_stage, second_stage]` in the order in which customers pass them; stages that are not listed are outside the journey";
            problems.push(Problem::error("missing-key", file, draft.name.span.clone(), message).help(help));
        }
        for stage in &draft.journey {
            let known = || draft.stages.iter().map(|stage| stage.name.value.as_str());
            if !known().any(|name| name == stage.value) {
                let problem = Problem::error(
                    "unknown-name",
                    file,
                    stage.span.clone(),
                    format!("unknown stage `{}` in the journey", stage.value),
                );
                problems.push(problem.did_you_mean(&stage.value, known(), "add it to `stages`"));
            }
        }
    }

    fn stages(&mut self) -> Vec<Stage> {
        let draft = self.draft;
        let mut stages: Vec<Stage> = Vec::with_capacity(draft.stages.len());
        for stage in draft.stages.iter().take(STAGES_MAX) {
            let name = stage.name.value.as_str();
            self.problems.check_published(draft.file, &stage.name, "a stage");
            if RESERVED_STAGE_NAMES.contains(&name) {
                let message = format!("`{name}` cannot be the name of a stage");
                self.problems.push(
                    Problem::error("bad-name", draft.file, stage.name.span.clone(), message)
                        .help("the word has a special meaning in transitions"),
                );
            }
            let Some(when) = stage.when.as_ref().and_then(|when| self.expression(when, Some(Type::Bool))) else {
                continue;
            };
            self.check_reachable(&stages, &stage.name, &when);
            let position = draft.journey.iter().position(|entry| entry.value == name);
            stages.push(Stage {
                name: name.into(),
                id: self.id("stage", name),
                titles: titles(&stage.about),
                description: stage.about.description.as_str().into(),
                when,
                journey_position: position
                    .and_then(|position| u8::try_from(position).ok())
                    .map_or(JourneyPosition::Outside, JourneyPosition::At),
            });
        }
        stages
    }

    fn check_reachable(&mut self, above: &[Stage], name: &SpannedString, when: &Condition) {
        let unreachable =
            |message: String| Problem::error("unreachable-stage", self.draft.file, name.span.clone(), message);
        let problem = if when.program.constant() == Some(OwnedValue::Bool(false)) {
            unreachable(format!("no customer can be in stage `{}`: its condition never holds", name.value))
        } else if let Some(above) = above.iter().find(|above| covers(&above.when.program, &when.program)) {
            let problem = unreachable(format!(
                "no customer can be in stage `{}`: whenever it holds, `{}` above it holds too",
                name.value, above.name
            ));
            problem.help(format!(
                "a customer is in the first stage from the top that holds: move `{}` above `{}`, or narrow `{}`",
                name.value, above.name, above.name
            ))
        } else {
            return;
        };
        self.problems.push(problem);
    }

    fn published_conditions<T>(
        &mut self,
        drafts: &[NamedExpression],
        kind: &str,
        make: impl Fn(Arc<str>, StableId, Condition) -> T,
    ) -> Vec<T> {
        let mut list = Vec::with_capacity(drafts.len());
        for draft in drafts {
            self.problems.check_published(self.draft.file, &draft.name, &format!("a {kind}"));
            if let Some(when) = self.expression(&draft.expression, Some(Type::Bool)) {
                let name = draft.name.value.as_str();
                list.push(make(name.into(), self.id(kind, name), when));
            }
        }
        list
    }

    fn counters(&mut self) -> Vec<Counter> {
        let draft = self.draft;
        let mut counters = Vec::with_capacity(draft.counters.len());
        for counter in &draft.counters {
            self.problems.check_published(draft.file, &counter.name, "a counter");
            if let Some(of) = self.expression(&counter.of, Some(Type::Int)) {
                let name = counter.name.value.as_str();
                if of.program.never_reaches(counter.from, self) {
                    let message = format!("counter `{name}` is never published: it cannot reach {}", counter.from);
                    let span = counter.of.span.clone();
                    let problem = Problem::error(codes::BEYOND_LIMIT, draft.file, span, message);
                    self.problems
                        .push(problem.help("lower `from`, use a shorter window, or count(...), which has no limit"));
                }
                counters.push(Counter { name: name.into(), id: self.id("counter", name), of, from: counter.from });
            }
        }
        counters
    }

    fn parameter_values(&mut self) -> Vec<(Box<str>, Box<str>)> {
        let draft = self.draft;
        let value =
            |scope: &mut Self, index| scope.parameter(index).map(|value| constant_text(&value)).unwrap_or_default();
        (0..)
            .zip(&draft.parameters)
            .map(|(index, named)| (named.name.value.as_str().into(), value(self, index).into()))
            .collect()
    }

    /// Returns an id that is stable while the names of the model and of the element stay the same.
    fn id(&self, kind: &str, name: &str) -> StableId {
        StableId::of(&format!("{kind} {}/{name}", self.draft.name.value))
    }

    /// Returns everything that determines what the model publishes, as text for the hash. The format must not change.
    fn definition(&self, model: &Model) -> String {
        let draft = self.draft;
        let mut text = format!("model {} {}\n", model.name, model.version);
        for (name, value) in &model.parameters {
            let _ = writeln!(text, "parameter {name} {value}");
        }
        for (what, list) in [("fact", &draft.facts), ("condition", &draft.conditions)] {
            for named in list {
                let _ = writeln!(text, "{what} {} {}", named.name.value, collapse_whitespace(&named.expression.text));
            }
        }
        let mut line = |what: &str, name: &str, condition: &Condition, rest: &str| {
            let _ = write!(text, "{what} {name} {rest} when {}", collapse_whitespace(&condition.text));
            for reference in condition.program.references.iter() {
                let fact = &self.shared.layout.definitions[usize::from(reference.slot.0)];
                let _ = write!(text, " {}={:016x}", reference.name, fact.id.0);
            }
            text.push('\n');
        };
        for stage in &model.stages {
            let position = match stage.journey_position {
                JourneyPosition::At(position) => position.to_string(),
                JourneyPosition::Outside => "outside".to_owned(),
            };
            line("stage", &stage.name, &stage.when, &position);
        }
        for signal in &model.signals {
            line("signal", &signal.name, &signal.when, "");
        }
        for milestone in &model.milestones {
            line("milestone", &milestone.name, &milestone.when, "");
        }
        for counter in &model.counters {
            line("counter", &counter.name, &counter.of, &counter.from.to_string());
        }
        for (rule, draft) in model.moves.iter().zip(&draft.transitions) {
            let rest = self.move_definition(rule);
            let when = draft.when.as_ref().map(|when| collapse_whitespace(&when.text)).unwrap_or_default();
            let _ = writeln!(text, "move {} {rest} when {when}", rule.name);
        }
        text
    }

    fn move_definition(&self, rule: &MoveRule) -> String {
        let mut text = format!("{:x}/{} {:x}/{}", rule.from.stages, rule.from.none, rule.to.stages, rule.to.none);
        if let Some(causes) = rule.causes {
            let mut groups: Vec<&str> = causes.groups.iter().map(|group| self.shared.canonical(group)).collect();
            groups.sort_unstable();
            let _ = write!(text, " cause {} {}", causes.time, groups.join("; "));
        }
        if let Some(direction) = rule.direction {
            let _ = write!(text, " {}", direction.as_str());
        }
        text
    }
}

fn titles(about: &About) -> Vec<(Box<str>, Box<str>)> {
    about.titles.iter().map(|(language, title)| (language.value.as_str().into(), title.value.as_str().into())).collect()
}

fn collapse_whitespace(text: &str) -> String {
    text.split_whitespace().collect::<Vec<&str>>().join(" ")
}
