//! What is wrong with a model file: where, what, and what to write instead.

use std::ops::Range;

/// One problem in one file. Text is lower-case without a full stop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Whether the model can be used all the same.
    pub severity: Severity,
    /// A stable short name for the kind of problem: `unknown-name`, `type-mismatch`.
    pub code: &'static str,
    /// Which of the files that were checked together, by index; `usize::MAX` is none of them.
    pub file: usize,
    /// Bytes of that file which the arrow points at.
    pub span: Range<usize>,
    /// What is wrong: ``unknown fact `ordrs` ``.
    pub message: String,
    /// What the arrow says, if more than the message.
    pub label: String,
    /// What to write instead: ``did you mean `orders`?``.
    pub help: Option<String>,
}

/// How bad a problem is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// The model is refused.
    Error,
    /// The model works, though hardly as its author meant.
    Warning,
}

impl Problem {
    /// A problem for which the model is refused, without a label or help.
    pub fn error(code: &'static str, file: usize, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, file, span, message: message.into(), label: String::new(), help: None }
    }

    /// A problem that leaves the model usable.
    pub fn warning(code: &'static str, file: usize, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, file, span, message) }
    }

    /// The same problem, with words beside the arrow.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The same problem, with what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same problem, with the known name that `word` resembles, or else with `otherwise`.
    #[must_use]
    pub fn did_you_mean<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>, otherwise: &str) -> Self {
        match closest(word, known) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None if otherwise.is_empty() => self,
            None => self.help(otherwise),
        }
    }
}

/// The one of `known` that `word` was most likely meant to be, if one is close enough.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let slips_max = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .filter(|name| *name != word)
        .map(|name| (slips(word, name), name))
        .filter(|&(slips, _)| slips <= slips_max)
        .min()
        .map(|(_, name)| name)
}

/// How many slips turn `written` into `meant`: a letter too many, missing or wrong, or two neighbours exchanged (the
/// optimal string alignment distance).
pub(crate) fn slips(written: &str, meant: &str) -> usize {
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
    fn a_slip_of_the_pen_finds_the_word_that_was_meant() {
        let known = ["stages", "signals", "transitions", "when"];
        assert_eq!(closest("stagse", known), Some("stages"));
        assert_eq!(closest("whn", known), Some("when"));
        assert_eq!(closest("transition", known), Some("transitions"));
        assert_eq!(closest("milestones", known), None);
    }
}
