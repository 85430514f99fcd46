//! The set of models of a service, which share facts and touchpoint types. Only [`model_check`](super::model_check)
//! constructs it.

use super::condition::Condition;
use super::fact::Layout;
use super::id::{ModelIndex, StableId};
use super::model::Model;
use super::value::Type;
use super::vocabulary::Vocabulary;

/// Checked models with their shared vocabulary and fact layout.
#[derive(Clone, Debug)]
pub struct ModelSet {
    /// Touchpoint types, groups and properties.
    pub vocabulary: Vocabulary,
    /// The facts that the models read.
    pub layout: Layout,
    /// The models in configuration order, which is also the order of publication within an instant. At most 64.
    pub models: Vec<Model>,
    /// What every transition carries besides the change, in configuration order.
    pub attributes: Vec<Attribute>,
    /// Hash of the definitions of all models and attributes.
    pub hash: StableId,
}

/// A value of the customer that every transition carries.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// Its name in the record.
    pub name: Box<str>,
    /// The expression of its value.
    pub value: Condition,
}

impl ModelSet {
    /// Combines models with the vocabulary and the layout that they were compiled against.
    #[must_use]
    pub fn new(vocabulary: Vocabulary, mut layout: Layout, models: Vec<Model>, hash: StableId) -> Self {
        let references = (0..).zip(&models).flat_map(|(index, model)| {
            let references = model.conditions().flat_map(|condition| condition.program.references.iter());
            references.map(move |reference| (ModelIndex(index), reference.slot))
        });
        layout.set_readers(references);
        Self { vocabulary, layout, models, attributes: Vec::new(), hash }
    }

    /// Returns the names and types of the attributes.
    #[must_use]
    pub fn attribute_types(&self) -> Vec<(String, Type)> {
        let attributes = self.attributes.iter();
        attributes.map(|attribute| (attribute.name.to_string(), attribute.value.program.value_type())).collect()
    }

    /// Returns the model at `index`.
    #[must_use]
    pub fn model(&self, index: ModelIndex) -> &Model {
        &self.models[usize::from(index.0)]
    }
}
