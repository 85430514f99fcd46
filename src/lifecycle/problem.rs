//! Problems in model files: location, message and help text.

use std::ops::Range;

/// A problem in a file. Texts are in lower case, without a full stop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Whether the model can still be used.
    pub severity: Severity,
    /// A stable code of the kind of problem: `unknown-name`, `type-mismatch`.
    pub code: &'static str,
    /// The index of the file among those checked together; `usize::MAX` if the problem is not in a file.
    pub file: usize,
    /// The byte range in that file that the report underlines.
    pub span: Range<usize>,
    /// The message: ``unknown fact `ordrs` ``.
    pub message: String,
    /// The text next to the underlined range; may be empty.
    pub label: String,
    /// What to write instead: ``did you mean `orders`?``.
    pub help: Option<String>,
}

/// The severity of a problem.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// The model is rejected.
    Error,
    /// The model is valid, but probably not what its author intended.
    Warning,
}

impl Problem {
    /// Creates an error, without a label or help.
    pub fn error(code: &'static str, file: usize, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, file, span, message: message.into(), label: String::new(), help: None }
    }

    /// Creates a warning, without a label or help.
    pub fn warning(code: &'static str, file: usize, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, file, span, message) }
    }

    /// Sets the label.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Sets the help text.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets the help text to a suggestion: the name in `known` that is most similar to `word`, or else `otherwise`.
    #[must_use]
    pub fn did_you_mean<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>, otherwise: &str) -> Self {
        match closest(word, known) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None if otherwise.is_empty() => self,
            None => self.help(otherwise),
        }
    }
}

/// Returns the name in `known` that is most similar to `word`, if one is close enough.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance_max = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .filter(|name| *name != word)
        .map(|name| (edit_distance(word, name), name))
        .filter(|&(distance, _)| distance <= distance_max)
        .min()
        .map(|(_, name)| name)
}

/// Returns the edit distance of two words: the number of insertions, deletions, substitutions and swaps of neighbouring
/// letters (optimal string alignment distance).
pub(crate) fn edit_distance(written: &str, meant: &str) -> usize {
    let (written, meant): (Vec<char>, Vec<char>) = (written.chars().collect(), meant.chars().collect());
    let mut rows = vec![(0..=meant.len()).collect::<Vec<usize>>()];
    for (i, &letter) in written.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &other) in meant.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(letter != other);
            let mut least = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && letter == meant[j - 1] && written[i - 1] == other {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[written.len()][meant.len()]
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn a_typo_finds_the_intended_word() {
        let known = ["stages", "signals", "transitions", "when"];
        assert_eq!(closest("stagse", known), Some("stages"));
        assert_eq!(closest("whn", known), Some("when"));
        assert_eq!(closest("transition", known), Some("transitions"));
        assert_eq!(closest("milestones", known), None);
    }
}
