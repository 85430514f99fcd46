//! Indices, valid only within one process, and stable ids: hashes that are the same in every process and are persisted.

use xxhash_rust::xxh3::xxh3_64;

/// A touchpoint type of a [`Vocabulary`](super::vocabulary::Vocabulary); 0 represents every unknown type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TypeIndex(pub u16);

impl TypeIndex {
    /// A type that neither the catalogue nor a model names.
    pub const UNKNOWN: Self = Self(0);
}

/// A group of touchpoint types that a fact or a rule reads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GroupIndex(pub u8);

/// A touchpoint property that a fact or a group condition reads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PropertyIndex(pub u16);

/// A stage of one model, by its position in the order of evaluation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StageIndex(pub u8);

/// A model of a [`ModelSet`](super::model_set::ModelSet), by its position in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ModelIndex(pub u8);

/// The identity of a definition (a fact, a model, a stage) across processes and releases: a hash of its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StableId(pub u64);

impl StableId {
    /// Hashes `definition` with 64-bit XXH3. Ids are persisted, so the function must never change.
    #[must_use]
    pub fn of(definition: &str) -> Self {
        Self(xxh3_64(definition.as_bytes()))
    }
}
