//! The models that run side by side over the same facts. Comes only from the model check.

use super::fact::Layout;
use super::id::{ModelIndex, StableId};
use super::model::Model;
use super::vocabulary::Vocabulary;

/// Checked models with the vocabulary and the facts that they share.
#[derive(Clone, Debug)]
pub struct ModelSet {
    /// Types, groups, properties.
    pub vocabulary: Vocabulary,
    /// Facts.
    pub layout: Layout,
    /// In the order of the configuration, which is the order of publication within an instant. At most 64.
    pub models: Vec<Model>,
    /// Hash of all of the above.
    pub hash: StableId,
}

impl ModelSet {
    /// The models over the vocabulary and the facts that they were compiled for.
    #[must_use]
    pub fn new(vocabulary: Vocabulary, mut layout: Layout, models: Vec<Model>, hash: StableId) -> Self {
        let readings = (0..).zip(&models).flat_map(|(index, model)| {
            let readings = model.conditions().flat_map(|condition| &condition.program.readings);
            readings.map(move |reading| (ModelIndex(index), reading.slot))
        });
        layout.set_readers(readings);
        Self { vocabulary, layout, models, hash }
    }

    /// The model at `index`.
    #[must_use]
    pub fn model(&self, index: ModelIndex) -> &Model {
        &self.models[usize::from(index.0)]
    }
}
