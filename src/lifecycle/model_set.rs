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
    /// The model at `index`.
    #[must_use]
    pub fn model(&self, index: ModelIndex) -> &Model {
        &self.models[usize::from(index.0)]
    }
}
