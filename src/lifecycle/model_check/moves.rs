//! The names of moves: what each rule fits, and whether any move is left for it.

use std::collections::BTreeSet;

use super::scope::ModelScope;
use super::words::TIME;
use crate::lifecycle::id::TypeIndex;
use crate::lifecycle::model::{Causes, MoveRule, StageMatch};
use crate::lifecycle::model_draft::{TransitionDraft, Word};
use crate::lifecycle::problem::Problem;
use crate::lifecycle::value::Type;
use crate::lifecycle::vocabulary::GroupSet;

/// Any stage.
const ANY: &str = "any";
/// No stage.
const NONE: &str = "none";
/// How many rules a model may have.
const MOVES_MAX: usize = 256;

/// Names that a stage cannot bear, since rules mean something else by them.
pub(super) const RESERVED: [&str; 2] = [ANY, NONE];

impl ModelScope<'_> {
    /// The rules of the model, which has `stages`.
    pub(super) fn moves(&mut self, stages: &[&str]) -> Vec<MoveRule> {
        let draft = self.draft;
        self.problems.check_count(
            draft.file,
            draft.transitions.iter().map(|rule| &rule.name),
            MOVES_MAX,
            "transitions",
        );
        let rules: Vec<MoveRule> =
            draft.transitions.iter().take(MOVES_MAX).map(|rule| self.rule(rule, stages)).collect();
        if !self.problems.has_errors() {
            self.warn_of_idle_rules(&rules, stages.len());
        }
        rules
    }

    fn rule(&mut self, rule: &TransitionDraft, stages: &[&str]) -> MoveRule {
        self.problems.check_published(self.draft.file, &rule.name, "a move");
        let from = self.side(rule.from.as_deref(), stages);
        let to = self.side(rule.to.as_deref(), stages);
        let causes = rule.cause.as_ref().map(|words| self.causes(words));
        let when = rule.when.as_ref().and_then(|when| self.expression(when, Some(Type::Bool)));
        let direction = rule.direction.as_ref().map(|direction| direction.value);
        MoveRule { name: rule.name.value.as_str().into(), from, to, causes, when, direction }
    }

    fn side(&mut self, words: Option<&[Word]>, stages: &[&str]) -> StageMatch {
        let Some(words) = words else { return StageMatch::ANYTHING };
        let mut side = StageMatch { stages: 0, none: false };
        for word in words {
            match word.value.as_str() {
                ANY => side.stages = u64::MAX,
                NONE => side.none = true,
                name => {
                    if let Some(index) = stages.iter().position(|stage| *stage == name) {
                        side.stages |= 1 << (index % 64);
                        continue;
                    }
                    let known = stages.iter().copied().chain(RESERVED);
                    let message = format!("unknown stage `{name}`");
                    let problem = Problem::error("unknown-name", self.draft.file, word.span.clone(), message);
                    let otherwise = "write a stage, `any` for any stage, or `none` for no stage";
                    self.problems.push(problem.did_you_mean(name, known, otherwise));
                }
            }
        }
        side
    }

    fn causes(&mut self, words: &[Word]) -> Causes {
        let mut causes = Causes { time: false, groups: GroupSet::default() };
        for word in words {
            if word.value == TIME {
                causes.time = true;
                continue;
            }
            match self.group(&word.value, &(0..word.value.len())) {
                Ok(group) => causes.groups.insert(group),
                Err(found) => {
                    for problem in found {
                        let at = Problem::error(problem.code, self.draft.file, word.span.clone(), problem.message);
                        self.problems.push(Problem { help: problem.help, ..at });
                    }
                }
            }
        }
        causes
    }

    /// Warns of each rule to which the rules above it leave no move.
    fn warn_of_idle_rules(&mut self, rules: &[MoveRule], stages: usize) {
        let mut taken = Taken::new(stages, self.shared.words.types.len());
        for (rule, draft) in rules.iter().zip(&self.draft.transitions) {
            let possible = self.causes_of(rule, false);
            if !taken.leaves_one(rule, &possible) {
                let message = format!("no move is left for this rule, so nothing is ever named `{}` by it", rule.name);
                let problem = Problem::warning("idle-transition", self.draft.file, draft.span.clone(), message);
                self.problems
                    .push(problem.help("the rules above take every move that fits it; move it up, or leave it out"));
            }
            if rule.when.is_none() {
                let certain = self.causes_of(rule, true);
                taken.take(rule, &certain);
            }
        }
    }

    /// The causes that `rule` fits: types by index, and one more for the passing of time. Of a group with a condition only
    /// some touchpoints fit; `certain` leaves those out.
    fn causes_of(&self, rule: &MoveRule, certain: bool) -> BTreeSet<usize> {
        let types = self.shared.words.types.len();
        let Some(causes) = rule.causes else { return (0..=types).collect() };
        let groups = causes.groups.iter().filter(|&group| !(certain && self.shared.is_conditional(group)));
        let mut fitting: BTreeSet<usize> = groups
            .flat_map(|group| self.shared.members(group))
            .map(|&member| usize::from(TypeIndex(member).0))
            .collect();
        if causes.time {
            fitting.insert(types);
        }
        fitting
    }
}

/// Which causes are already named, for each pair of sides; the last side is having no stage.
struct Taken {
    sides: usize,
    causes: usize,
    by_pair: Vec<BTreeSet<usize>>,
}

impl Taken {
    fn new(stages: usize, types: usize) -> Self {
        let sides = stages + 1;
        Self { sides, causes: types + 1, by_pair: vec![BTreeSet::new(); sides * sides] }
    }

    fn pairs(&self, rule: &MoveRule) -> impl Iterator<Item = usize> + use<> {
        let (sides, from, to) = (self.sides, rule.from, rule.to);
        let fits = move |side: StageMatch, index: usize| {
            if index + 1 == sides { side.none } else { side.stages >> (index % 64) & 1 == 1 }
        };
        (0..sides * sides).filter(move |pair| {
            let (left, entered) = (pair / sides, pair % sides);
            left != entered && fits(from, left) && fits(to, entered)
        })
    }

    fn leaves_one(&self, rule: &MoveRule, causes: &BTreeSet<usize>) -> bool {
        self.pairs(rule).any(|pair| self.by_pair[pair].len() < self.causes && !causes.is_subset(&self.by_pair[pair]))
    }

    fn take(&mut self, rule: &MoveRule, causes: &BTreeSet<usize>) {
        for pair in self.pairs(rule) {
            self.by_pair[pair].extend(causes);
        }
    }
}
