//! Checks the attributes of transitions: expressions over facts, in the language of conditions.
//!
//! They belong to no model, so they see the touchpoint types and groups of the catalogue, the types of all models, and
//! the order ledger under the name `orders`.

use super::problems::Problems;
use super::scope::ModelScope;
use super::shared_state::SharedState;
use crate::lifecycle::model_draft::{AttributesDraft, ExpressionDraft, ModelDraft, NamedExpression, Spanned};
use crate::lifecycle::model_set::Attribute;
use crate::lifecycle::problem::Problem;

/// Maximum number of attributes. Every transition carries all of them.
const ATTRIBUTES_MAX: usize = 32;

/// Returns the checked attributes. `models` is the number of models.
pub(super) fn check(
    shared: &mut SharedState,
    problems: &mut Problems,
    models: usize,
    draft: &AttributesDraft,
) -> Vec<Attribute> {
    let AttributesDraft { file, attributes } = draft;
    let names = || attributes.iter().map(|named| &named.name);
    problems.check_count(*file, names(), ATTRIBUTES_MAX, "attributes");
    problems.check_unique(*file, names(), "attribute");
    for name in names() {
        problems.check_identifier(*file, name, "an attribute");
    }
    let ledger_name = Spanned { value: "orders".to_owned(), span: 0..0 };
    let ledger = ExpressionDraft { text: "orders()".to_owned(), span: 0..0, source_offsets: Vec::new() };
    let scope = ModelDraft {
        file: *file,
        facts: vec![NamedExpression { name: ledger_name, expression: ledger }],
        ..ModelDraft::default()
    };
    let mut scope = ModelScope::new(shared, problems, models, &scope, &[]);
    let mut checked = Vec::new();
    for NamedExpression { name, expression } in attributes.iter().take(ATTRIBUTES_MAX) {
        let Some(value) = scope.expression(expression, None) else { continue };
        if value.program.references.is_empty() {
            let message = format!("attribute `{}` reads no fact", name.value);
            let problem = Problem::error("constant-attribute", *file, expression.span.clone(), message);
            scope.problems.push(problem.help("write a fact, such as latest(signed_up, \"plan\")"));
            continue;
        }
        checked.push(Attribute { name: name.value.as_str().into(), value });
    }
    checked
}
