//! A model and a catalogue as their authors wrote them: names and texts, each with its place in the file.
//!
//! Nothing is resolved here. A draft becomes a [`Model`](super::model::Model) in the [model check](super::model_check).

use std::ops::Range;

use super::model::Direction;
use super::value::Type;

/// A value and the bytes of the file that it was read from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Range<usize>,
}

/// A name or another short text with its place.
pub type Word = Placed<String>;

/// An expression, and where in the file each of its bytes came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpressionDraft {
    /// What the file format made of it: quotes taken off, lines joined.
    pub text: String,
    /// All of it in the file.
    pub span: Range<usize>,
    /// For each byte of `text`, and for its end, the byte of the file. Never descends.
    pub places: Vec<usize>,
}

impl ExpressionDraft {
    /// The bytes of the file that `part` of the text came from.
    #[must_use]
    pub fn place(&self, part: &Range<usize>) -> Range<usize> {
        let at = |index: usize| self.places.get(index).copied().unwrap_or(self.span.end);
        at(part.start)..at(part.end.max(part.start))
    }
}

/// An expression with a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedExpression {
    /// The name.
    pub name: Word,
    /// What it stands for.
    pub expression: ExpressionDraft,
}

/// What people read about a model, a stage, a group or a type.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct About {
    /// Title by language code.
    pub titles: Vec<(Word, Word)>,
    /// A sentence or two.
    pub description: String,
}

/// A model as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelDraft {
    /// Which of the files that are checked together.
    pub file: usize,
    /// The model's name.
    pub name: Word,
    /// Raised by the author with each change.
    pub version: u32,
    /// For people.
    pub about: About,
    /// The stages that customers pass, in order.
    pub journey: Vec<Word>,
    /// Named constants.
    pub parameters: Vec<NamedExpression>,
    /// Touchpoint types beside those of the catalogue.
    pub types: Vec<TypeDraft>,
    /// Groups beside those of the catalogue.
    pub groups: Vec<GroupDraft>,
    /// Named facts.
    pub facts: Vec<NamedExpression>,
    /// Named expressions over facts and time.
    pub conditions: Vec<NamedExpression>,
    /// In the order of test.
    pub stages: Vec<StageDraft>,
    /// In the order of test.
    pub transitions: Vec<TransitionDraft>,
    /// Conditions published when they start and stop to hold.
    pub signals: Vec<NamedExpression>,
    /// Conditions published once.
    pub milestones: Vec<NamedExpression>,
    /// Numbers published when they grow.
    pub counters: Vec<CounterDraft>,
}

/// A stage as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StageDraft {
    /// The stage's name.
    pub name: Word,
    /// For people.
    pub about: About,
    /// Holds for the customers in this stage or in one above; `None` where it cannot be read, which is a problem already noted.
    pub when: Option<ExpressionDraft>,
}

/// The name of moves between stages, as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransitionDraft {
    /// What such a move is called.
    pub name: Word,
    /// All of the rule in the file.
    pub span: Range<usize>,
    /// Stages, `any` or `none`; `None` where the author left it out.
    pub from: Option<Vec<Word>>,
    /// Stages, `any` or `none`; `None` where the author left it out.
    pub to: Option<Vec<Word>>,
    /// Types, groups or `time`; `None` where the author left it out.
    pub cause: Option<Vec<Word>>,
    /// What must hold at the instant of the move.
    pub when: Option<ExpressionDraft>,
    /// Published instead of the direction that the journey gives.
    pub direction: Option<Placed<Direction>>,
}

/// A counter as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CounterDraft {
    /// The counter's name.
    pub name: Word,
    /// The number.
    pub of: ExpressionDraft,
    /// The least number that is published.
    pub from: i64,
}

/// A group of touchpoint types as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupDraft {
    /// The group's name.
    pub name: Word,
    /// For people.
    pub description: String,
    /// Members: types.
    pub types: Vec<Word>,
    /// Members: all types of these groups.
    pub groups: Vec<Word>,
    /// Types and groups taken out again.
    pub except: Vec<Word>,
    /// Properties that `condition` may read, beside those that the types declare.
    pub properties: Vec<PropertyDraft>,
    /// Holds for the touchpoints that count.
    pub condition: Option<ExpressionDraft>,
}

/// A touchpoint type as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TypeDraft {
    /// The type's name.
    pub name: Word,
    /// For people.
    pub description: String,
    /// What touchpoints of this type may bear.
    pub properties: Vec<PropertyDraft>,
}

/// A property of a touchpoint as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PropertyDraft {
    /// The property's name.
    pub name: Word,
    /// Values of another type count as absent.
    pub value_type: Type,
    /// What a number is measured in; may be empty.
    pub unit: String,
    /// For people.
    pub description: String,
}

/// The touchpoints that models share, as they were written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CatalogueDraft {
    /// Which of the files that are checked together.
    pub file: usize,
    /// Touchpoint types.
    pub types: Vec<TypeDraft>,
    /// Groups of them.
    pub groups: Vec<GroupDraft>,
}
