//! A model and a catalogue as their authors wrote them: names and texts, each with its place in the file.
//!
//! Nothing is resolved here. A draft becomes a [`Model`](super::model::Model) in the [model check](super::model_check).

use std::ops::Range;

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

/// Text by language code.
pub type Titles = Vec<(Word, Word)>;

/// An expression, and where in the file each of its bytes came from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
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
        let start = at(part.start).min(self.span.end);
        // By the last byte inside, since what follows the part may have been skipped in the file (a line break, an escape).
        let end = if part.end > part.start { at(part.end - 1) + 1 } else { start };
        // A span must not end inside a character; the next place is always a boundary.
        let end = if self.text.is_char_boundary(part.end) && part.end < self.places.len() {
            end.max(at(part.end).min(end + 3).min(end.max(at(part.end))))
        } else {
            end
        };
        start..end.max(start)
    }
}
