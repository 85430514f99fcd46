//! Checks the rules that name moves: what each rule matches, and whether an earlier rule hides it completely.

use std::collections::BTreeSet;

use super::declarations::TIME;
use super::scope::ModelScope;
use crate::lifecycle::id::TypeIndex;
use crate::lifecycle::model::{Causes, MoveRule, StageMatch};
use crate::lifecycle::model_draft::{SpannedString, TransitionDraft};
use crate::lifecycle::problem::Problem;
use crate::lifecycle::transition_builder::MERGED_MOVE;
use crate::lifecycle::value::Type;
use crate::lifecycle::vocabulary::GroupSet;

/// Any stage.
const ANY: &str = "any";
/// No stage.
const NONE: &str = "none";
/// Maximum number of rules in a model.
const MOVES_MAX: usize = 256;

/// Names that a stage cannot have, because rules give them a special meaning.
pub(super) const RESERVED_STAGE_NAMES: [&str; 2] = [ANY, NONE];

impl ModelScope<'_> {
    /// Builds the rules of the model; `stages` are the names of its stages.
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
            self.warn_unreachable_rules(&rules, stages.len());
        }
        rules
    }

    fn rule(&mut self, rule: &TransitionDraft, stages: &[&str]) -> MoveRule {
        self.problems.check_published(self.draft.file, &rule.name, "a move");
        if rule.name.value == MERGED_MOVE {
            let message = format!("`{MERGED_MOVE}` is the name of the move of a visitor that became a customer");
            let problem = Problem::error("bad-name", self.draft.file, rule.name.span.clone(), message);
            self.problems.push(problem.help("choose another name"));
        }
        let from = self.side(rule.from.as_deref(), stages);
        let to = self.side(rule.to.as_deref(), stages);
        let causes = rule.cause.as_ref().map(|words| self.causes(words));
        let when = rule.when.as_ref().and_then(|when| self.expression(when, Some(Type::Bool)));
        let direction = rule.direction.as_ref().map(|direction| direction.value);
        MoveRule { name: rule.name.value.as_str().into(), from, to, causes, when, direction }
    }

    fn side(&mut self, words: Option<&[SpannedString]>, stages: &[&str]) -> StageMatch {
        let Some(words) = words else { return StageMatch::ANY };
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
                    let known = stages.iter().copied().chain(RESERVED_STAGE_NAMES);
                    let message = format!("unknown stage `{name}`");
                    let problem = Problem::error("unknown-name", self.draft.file, word.span.clone(), message);
                    let otherwise = "write a stage, `any` for any stage, or `none` for no stage";
                    self.problems.push(problem.did_you_mean(name, known, otherwise));
                }
            }
        }
        side
    }

    fn causes(&mut self, words: &[SpannedString]) -> Causes {
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
                        let located = Problem::error(problem.code, self.draft.file, word.span.clone(), problem.message);
                        self.problems.push(Problem { help: problem.help, ..located });
                    }
                }
            }
        }
        causes
    }

    /// Warns about each rule that never applies because the rules above it match all of its moves.
    fn warn_unreachable_rules(&mut self, rules: &[MoveRule], stages: usize) {
        let mut coverage = RuleCoverage::new(stages, self.shared.declarations.types.len());
        for (rule, draft) in rules.iter().zip(&self.draft.transitions) {
            let possible = self.causes_of(rule, false);
            if !coverage.leaves_unmatched(rule, &possible) {
                let message = format!("this rule never applies, so no move gets the name `{}` from it", rule.name);
                let problem = Problem::warning("idle-transition", self.draft.file, draft.span.clone(), message);
                self.problems
                    .push(problem.help("the rules above match every move that it matches; move it up, or remove it"));
            }
            if rule.when.is_none() {
                let certain = self.causes_of(rule, true);
                coverage.add(rule, &certain);
            }
        }
    }

    /// Returns the causes that `rule` matches: type indices, and one index past them for the passing of time.
    ///
    /// A group with a condition matches only some touchpoints of its types; `certain` excludes such groups.
    fn causes_of(&self, rule: &MoveRule, certain: bool) -> BTreeSet<usize> {
        let types = self.shared.declarations.types.len();
        let Some(causes) = rule.causes else { return (0..=types).collect() };
        let groups = causes.groups.iter().filter(|&group| !(certain && self.shared.is_conditional(group)));
        let mut matching: BTreeSet<usize> = groups
            .flat_map(|group| self.shared.members(group))
            .map(|&member| usize::from(TypeIndex(member).0))
            .collect();
        if causes.time {
            matching.insert(types);
        }
        matching
    }
}

/// The causes that earlier rules match, for each pair of a stage left and a stage entered. The index after the last
/// stage is "no stage".
struct RuleCoverage {
    endpoints: usize,
    causes: usize,
    by_pair: Vec<BTreeSet<usize>>,
}

impl RuleCoverage {
    fn new(stages: usize, types: usize) -> Self {
        let endpoints = stages + 1;
        Self { endpoints, causes: types + 1, by_pair: vec![BTreeSet::new(); endpoints * endpoints] }
    }

    fn pairs(&self, rule: &MoveRule) -> impl Iterator<Item = usize> + use<> {
        let (endpoints, from, to) = (self.endpoints, rule.from, rule.to);
        let matches = move |side: StageMatch, index: usize| {
            if index + 1 == endpoints { side.none } else { side.stages >> (index % 64) & 1 == 1 }
        };
        (0..endpoints * endpoints).filter(move |pair| {
            let (left, entered) = (pair / endpoints, pair % endpoints);
            left != entered && matches(from, left) && matches(to, entered)
        })
    }

    fn leaves_unmatched(&self, rule: &MoveRule, causes: &BTreeSet<usize>) -> bool {
        self.pairs(rule).any(|pair| self.by_pair[pair].len() < self.causes && !causes.is_subset(&self.by_pair[pair]))
    }

    fn add(&mut self, rule: &MoveRule, causes: &BTreeSet<usize>) {
        for pair in self.pairs(rule) {
            self.by_pair[pair].extend(causes);
        }
    }
}
