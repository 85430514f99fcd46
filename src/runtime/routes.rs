//! Routes: the topic of a live transition, by model, kind, name, direction and stage.
//!
//! A route names models and stages of the configuration, so routes are checked against the models before the service
//! starts. Replayed and reconciled transitions are never routed: no campaign may act on them.

use std::sync::Arc;

use crate::lifecycle::id::StageIndex;
use crate::lifecycle::model::{Direction, Model};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::suggest::did_you_mean;
use crate::lifecycle::transition::{Change, Transition};
use crate::lifecycle::transition_builder::{MERGED_MOVE, UNNAMED_MOVE};

/// A route as configured. An empty list matches everything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RouteDraft {
    /// The topic of the transitions that match.
    pub topic: String,
    /// Names of models.
    pub models: Vec<String>,
    /// Kinds of transitions: `stage`, `signal`, `milestone`, `counter`.
    pub kinds: Vec<String>,
    /// Names of moves, signals, milestones and counters.
    pub names: Vec<String>,
    /// Directions of moves: `forward`, `backward`, `exit`, `reentry`.
    pub directions: Vec<String>,
    /// Names of stages that customers enter.
    pub stages: Vec<String>,
}

/// The checked routes, in the order in which they are tested.
#[derive(Clone, Debug, Default)]
pub struct Routes(Vec<Route>);

#[derive(Clone, Debug)]
struct Route {
    topic: Arc<str>,
    /// Bit i: the route applies to model i.
    models: u64,
    kinds: Vec<&'static str>,
    names: Vec<Box<str>>,
    directions: Vec<Direction>,
    /// For each model, bit i: the route applies to moves into stage i. Empty if the route names no stage.
    stages: Vec<u64>,
}

/// The kinds of transitions.
const KINDS: [&str; 4] = ["stage", "signal", "milestone", "counter"];
/// The directions of moves.
const DIRECTIONS: [Direction; 4] = [Direction::Forward, Direction::Backward, Direction::Exit, Direction::Reentry];

impl Routes {
    /// Checks `drafts` against `models`.
    ///
    /// # Errors
    /// All problems, each with the index of its route.
    pub fn check(drafts: &[RouteDraft], models: &ModelSet) -> Result<Self, Vec<(usize, String)>> {
        let mut problems = Vec::new();
        let mut routes = Vec::new();
        for (index, draft) in drafts.iter().enumerate() {
            let mut found = Vec::new();
            routes.push(Route::check(draft, models, &mut found));
            problems.extend(found.into_iter().map(|problem| (index, problem)));
        }
        if problems.is_empty() { Ok(Self(routes)) } else { Err(problems) }
    }

    /// Returns the topic of a live `transition`; `None` if no route matches.
    pub(super) fn topic(&self, transition: &Transition) -> Option<&Arc<str>> {
        self.0.iter().find(|route| route.matches(transition)).map(|route| &route.topic)
    }
}

impl Route {
    fn check(draft: &RouteDraft, models: &ModelSet, problems: &mut Vec<String>) -> Self {
        let model_names: Vec<&str> = models.models.iter().map(|model| &*model.name).collect();
        let mut selected = 0_u64;
        for name in &draft.models {
            match model_names.iter().position(|model| model == name) {
                Some(index) => selected |= 1 << index,
                None => problems.push(unknown("model", name, &model_names)),
            }
        }
        if draft.models.is_empty() {
            selected = u64::MAX;
        }
        let is_selected = |index: usize| selected >> index & 1 == 1;
        let of_route = || models.models.iter().enumerate().filter(|(index, _)| is_selected(*index));

        let all_names: Vec<&str> = of_route().flat_map(|(_, model)| names(model)).collect();
        let all_stages: Vec<&str> =
            of_route().flat_map(|(_, model)| model.stages.iter().map(|stage| &*stage.name)).collect();
        for (word, values, known) in [("name", &draft.names, &all_names), ("stage", &draft.stages, &all_stages)] {
            let unknown_values = values.iter().filter(|value| !known.contains(&value.as_str()));
            problems.extend(unknown_values.map(|value| unknown(word, value, known)));
        }
        let mut kinds = Vec::new();
        for kind in &draft.kinds {
            match KINDS.iter().find(|known| *known == kind) {
                Some(known) => kinds.push(*known),
                None => problems.push(unknown("kind", kind, &KINDS)),
            }
        }
        let mut directions = Vec::new();
        for direction in &draft.directions {
            match DIRECTIONS.iter().find(|known| known.as_str() == direction) {
                Some(known) => directions.push(*known),
                None => problems.push(unknown("direction", direction, &DIRECTIONS.map(Direction::as_str))),
            }
        }
        let stages = |model: &Model| {
            let bits =
                (0_u8..).zip(&model.stages).filter(|(_, stage)| draft.stages.iter().any(|it| **it == *stage.name));
            bits.fold(0_u64, |set, (index, _)| set | 1 << index)
        };
        let stages = if draft.stages.is_empty() { Vec::new() } else { models.models.iter().map(stages).collect() };
        Self {
            topic: draft.topic.as_str().into(),
            models: selected,
            kinds,
            names: draft.names.iter().map(|name| name.as_str().into()).collect(),
            directions,
            stages,
        }
    }

    fn matches(&self, transition: &Transition) -> bool {
        let model = transition.model.0;
        let is_any = |is_empty: bool, is_in: bool| is_empty || is_in;
        let (entered, direction) = match &transition.change {
            Change::Stage { to, direction, .. } => (*to, Some(*direction)),
            Change::Signal { .. } | Change::Milestone | Change::Counter { .. } => (None, None),
        };
        let enters = |StageIndex(stage): StageIndex| {
            self.stages.get(usize::from(model)).is_some_and(|stages| stages >> stage & 1 == 1)
        };
        self.models >> model & 1 == 1
            && is_any(self.kinds.is_empty(), self.kinds.contains(&transition.change.kind()))
            && is_any(self.names.is_empty(), self.names.iter().any(|name| **name == *transition.name))
            && is_any(self.directions.is_empty(), direction.is_some_and(|it| self.directions.contains(&it)))
            && is_any(self.stages.is_empty(), entered.is_some_and(enters))
    }
}

/// Returns the names of everything that `model` publishes.
fn names(model: &Model) -> impl Iterator<Item = &str> {
    let moves = model.moves.iter().map(|it| &*it.name).chain([UNNAMED_MOVE, MERGED_MOVE]);
    let signals = model.signals.iter().map(|it| &*it.name);
    let milestones = model.milestones.iter().map(|it| &*it.name);
    let counters = model.counters.iter().map(|it| &*it.name);
    moves.chain(signals).chain(milestones).chain(counters)
}

fn unknown(word: &str, value: &str, known: &[&str]) -> String {
    let hint = did_you_mean(value, known.iter().copied()).unwrap_or_else(|| {
        let mut known = known.to_vec();
        known.sort_unstable();
        known.dedup();
        format!("it may be {}", known.join(", "))
    });
    format!("unknown {word} `{value}`: {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::id::ModelIndex;
    use crate::lifecycle::time::Timestamp;
    use crate::lifecycle::transition::{Cause, OrdersSummary};
    use crate::wire::model_file;

    fn models() -> ModelSet {
        let sources = ["retention", "loyalty_ladder"].map(|name| model_file::shipped(name).expect("a shipped model"));
        let loaded = model_file::load(&sources, &model_file::shipped_catalogue(), &[]);
        loaded.expect("shipped models are valid").0
    }

    fn draft(topic: &str) -> RouteDraft {
        RouteDraft { topic: topic.to_owned(), ..RouteDraft::default() }
    }

    fn strings(of: &[&str]) -> Vec<String> {
        of.iter().map(|&text| text.to_owned()).collect()
    }

    fn stage_of(models: &ModelSet, model: usize, name: &str) -> StageIndex {
        let index = models.models[model].stages.iter().position(|stage| &*stage.name == name);
        StageIndex(index.and_then(|index| u8::try_from(index).ok()).expect("a stage of the model"))
    }

    #[test]
    fn the_first_route_whose_criteria_all_match_is_taken() {
        let models = models();
        let transition = |model: u8, name: &str, change| Transition {
            id: uuid::Uuid::nil(),
            customer_id: Arc::from("a"),
            model: ModelIndex(model),
            change,
            name: name.into(),
            sequence: 1,
            occurred_at: Timestamp::from_millis(0),
            cause: Cause::Time,
            late: false,
            reconciled: false,
            because: None,
            orders: OrdersSummary::default(),
            attributes: None,
            merge: None,
        };
        let stage = |model: u8, to: &str, direction| Change::Stage {
            from: None,
            to: Some(stage_of(&models, usize::from(model), to)),
            skipped: Vec::new(),
            direction,
            previous_since: None,
        };
        let drafts = [
            RouteDraft {
                models: strings(&["retention"]),
                stages: strings(&["at_risk"]),
                directions: strings(&["forward"]),
                ..draft("risk")
            },
            RouteDraft { kinds: strings(&["milestone"]), ..draft("milestones") },
            RouteDraft { names: strings(&["at_risk_of_churn"]), ..draft("named") },
            RouteDraft { names: strings(&["merged"]), ..draft("merges") },
            RouteDraft { models: strings(&["loyalty_ladder"]), ..draft("loyalty") },
        ];
        let routes = Routes::check(&drafts, &models).expect("valid routes");
        let topic = |transition: &Transition| routes.topic(transition).map(ToString::to_string);
        let risk = |direction| transition(0, "at_risk_of_churn", stage(0, "at_risk", direction));
        assert_eq!(topic(&risk(Direction::Forward)).as_deref(), Some("risk"));
        assert_eq!(topic(&risk(Direction::Backward)).as_deref(), Some("named"));
        let left = Change::Stage {
            from: Some(stage_of(&models, 0, "at_risk")),
            to: None,
            skipped: Vec::new(),
            direction: Direction::Exit,
            previous_since: None,
        };
        let merged = transition(1, "merged", left);
        assert_eq!(topic(&merged).as_deref(), Some("merges"));
        assert_eq!(topic(&transition(0, "x", Change::Milestone)).as_deref(), Some("milestones"));
        assert_eq!(topic(&transition(1, "x", Change::Signal { on: true })).as_deref(), Some("loyalty"));
        assert_eq!(topic(&transition(0, "x", stage(0, "active", Direction::Forward))), None);
        assert_eq!(Routes::default().topic(&risk(Direction::Forward)), None);
    }

    #[test]
    fn unknown_words_are_reported_together() {
        let drafts = [
            draft("fine"),
            RouteDraft {
                models: strings(&["retension"]),
                kinds: strings(&["event"]),
                directions: strings(&["backwards"]),
                ..draft("a")
            },
            RouteDraft { models: strings(&["retention"]), stages: strings(&["prospect"]), ..draft("b") },
        ];
        let problems = Routes::check(&drafts, &models()).expect_err("they have problems");
        let expected = [
            (1, "unknown model `retension`: did you mean `retention`?"),
            (1, "unknown kind `event`: it may be counter, milestone, signal, stage"),
            (1, "unknown direction `backwards`: did you mean `backward`?"),
        ];
        for (route, problem) in expected {
            assert!(problems.contains(&(route, problem.to_owned())), "{problem} is missing in {problems:?}");
        }
        // A stage of a model that the route does not select.
        assert!(problems.iter().any(|(route, problem)| *route == 2 && problem.contains("unknown stage `prospect`")));
        assert_eq!(problems.len(), 4);
    }
}
