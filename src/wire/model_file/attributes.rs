//! The attributes of transitions as a draft: they come from the configuration, and problems show them as a file.

use super::ModelSource;
use crate::lifecycle::model_draft::{AttributesDraft, ExpressionDraft, NamedExpression, Spanned};

/// Returns the draft of `attributes` (name and expression), and their text for problems, which has the index `file`.
#[must_use]
pub fn attributes(attributes: &[(String, String)], file: usize) -> (AttributesDraft, ModelSource) {
    let mut text = String::new();
    let mut drafts = Vec::new();
    for (name, expression) in attributes {
        let start = text.len();
        text.push_str(name);
        let name = Spanned { value: name.clone(), span: start..text.len() };
        text.push_str(": ");
        let start = text.len();
        text.push_str(expression);
        let source_offsets = (start..=text.len()).collect();
        let expression = ExpressionDraft { text: expression.clone(), span: start..text.len(), source_offsets };
        drafts.push(NamedExpression { name, expression });
        text.push('\n');
    }
    (AttributesDraft { file, attributes: drafts }, ModelSource { name: "publish.attributes".to_owned(), text })
}
