//! Drafts: models and the catalogue as read from their files, with the byte range of each name and text.
//!
//! Names are not resolved here. The [model check](super::model_check) turns drafts into a
//! [`Model`](super::model::Model).

use std::ops::Range;

use super::model::Direction;
use super::value::Type;

/// A value with its byte range in the file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Byte range in the file.
    pub span: Range<usize>,
}

/// A name or another short text with its byte range.
pub type SpannedString = Spanned<String>;

/// The text of an expression, with a source map into the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpressionDraft {
    /// The text after YAML processing: without quotes, with lines joined.
    pub text: String,
    /// Byte range of the whole expression in the file.
    pub span: Range<usize>,
    /// File offset of each byte of `text` and of its end, in ascending order.
    pub source_offsets: Vec<usize>,
}

impl ExpressionDraft {
    /// Maps a byte range of the text to the byte range in the file.
    #[must_use]
    pub fn source_span(&self, part: &Range<usize>) -> Range<usize> {
        let at = |index: usize| self.source_offsets.get(index).copied().unwrap_or(self.span.end);
        at(part.start)..at(part.end.max(part.start))
    }
}

/// An expression with a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedExpression {
    /// The name.
    pub name: SpannedString,
    /// The definition.
    pub expression: ExpressionDraft,
}

/// The human-readable part of a model or stage.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct About {
    /// Title by language code.
    pub titles: Vec<(SpannedString, SpannedString)>,
    /// One or two sentences; may be empty.
    pub description: String,
}

/// An unchecked model.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ModelDraft {
    /// Index of the file among the files that are checked together.
    pub file: usize,
    /// The model's name.
    pub name: SpannedString,
    /// The version; the author increases it with each change.
    pub version: u32,
    /// Titles and description.
    pub about: About,
    /// The stages of the journey, in order.
    pub journey: Vec<SpannedString>,
    /// Named constants.
    pub parameters: Vec<NamedExpression>,
    /// Touchpoint types in addition to those of the catalogue.
    pub types: Vec<TypeDraft>,
    /// Groups in addition to those of the catalogue.
    pub groups: Vec<GroupDraft>,
    /// Named facts.
    pub facts: Vec<NamedExpression>,
    /// Named expressions over facts and time.
    pub conditions: Vec<NamedExpression>,
    /// The stages in the order in which they are tested.
    pub stages: Vec<StageDraft>,
    /// The rules that name moves, in the order in which they are tested.
    pub transitions: Vec<TransitionDraft>,
    /// Conditions published when they start and when they stop holding.
    pub signals: Vec<NamedExpression>,
    /// Conditions published once.
    pub milestones: Vec<NamedExpression>,
    /// Numbers published when they grow.
    pub counters: Vec<CounterDraft>,
}

/// The unchecked attributes of transitions, from the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AttributesDraft {
    /// Index of their text among the files that are checked together.
    pub file: usize,
    /// The attributes.
    pub attributes: Vec<NamedExpression>,
}

/// An unchecked stage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StageDraft {
    /// The stage's name.
    pub name: SpannedString,
    /// Titles and description.
    pub about: About,
    /// The condition; `None` if it cannot be read, which is already reported.
    pub when: Option<ExpressionDraft>,
}

/// An unchecked rule that names moves between stages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransitionDraft {
    /// The name of matching moves.
    pub name: SpannedString,
    /// Byte range of the whole rule in the file.
    pub span: Range<usize>,
    /// Stages, `any` or `none`; `None` if the key is missing.
    pub from: Option<Vec<SpannedString>>,
    /// Stages, `any` or `none`; `None` if the key is missing.
    pub to: Option<Vec<SpannedString>>,
    /// Types, groups or `time`; `None` if the key is missing.
    pub cause: Option<Vec<SpannedString>>,
    /// A condition that must hold at the instant of the move.
    pub when: Option<ExpressionDraft>,
    /// Overrides the default direction, which follows from the journey.
    pub direction: Option<Spanned<Direction>>,
}

/// An unchecked counter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CounterDraft {
    /// The counter's name.
    pub name: SpannedString,
    /// The expression of the number.
    pub of: ExpressionDraft,
    /// The lowest value that is published.
    pub from: i64,
}

/// An unchecked group of touchpoint types.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupDraft {
    /// The group's name.
    pub name: SpannedString,
    /// Free text for readers of the file.
    pub description: String,
    /// Member types.
    pub types: Vec<SpannedString>,
    /// Groups whose members are also members.
    pub groups: Vec<SpannedString>,
    /// Types and groups to exclude.
    pub except: Vec<SpannedString>,
    /// Properties that `condition` may read in addition to those of the types.
    pub properties: Vec<PropertyDraft>,
    /// Only touchpoints that meet this condition belong to the group.
    pub condition: Option<ExpressionDraft>,
}

/// An unchecked touchpoint type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TypeDraft {
    /// The type's name.
    pub name: SpannedString,
    /// Free text for readers of the file.
    pub description: String,
    /// Properties that touchpoints of this type may have.
    pub properties: Vec<PropertyDraft>,
}

/// An unchecked property of a touchpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PropertyDraft {
    /// The property's name.
    pub name: SpannedString,
    /// The expected type; values of another type count as absent.
    pub value_type: Type,
    /// Unit of a number; may be empty.
    pub unit: String,
    /// Free text for readers of the file.
    pub description: String,
}

/// An unchecked catalogue of touchpoint types and groups, which all models share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CatalogueDraft {
    /// Index of the file among the files that are checked together.
    pub file: usize,
    /// Touchpoint types.
    pub types: Vec<TypeDraft>,
    /// Groups of types.
    pub groups: Vec<GroupDraft>,
}
