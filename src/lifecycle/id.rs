//! Indices and stable ids: small numbers inside one process, hashes for what outlives it.

use xxhash_rust::xxh3::xxh3_64;

/// A touchpoint type known to a [`Vocabulary`](super::vocabulary::Vocabulary); 0 stands for every unknown one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TypeIndex(pub u16);

impl TypeIndex {
    /// A type that no catalogue or model names.
    pub const UNKNOWN: Self = Self(0);
}

/// A group of touchpoint types that some fact or rule reads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GroupIndex(pub u8);

/// A touchpoint property that some fact or group condition reads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PropertyIndex(pub u16);

/// A stage of one model, by its place in the order of test (from the top).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StageIndex(pub u8);

/// A model of a [`ModelSet`](super::model_set::ModelSet), in the order of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ModelIndex(pub u8);

/// The identity of a definition (a fact, a model, a stage) across processes: a hash of its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StableId(pub u64);

impl StableId {
    /// The id of `definition` (XXH3, 64 bits); persisted, so the function must never change.
    #[must_use]
    pub fn of(definition: &str) -> Self {
        Self(xxh3_64(definition.as_bytes()))
    }
}
