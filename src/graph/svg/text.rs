//! Text in SVG: estimated width, line breaking and escaping.

/// The text styles of a diagram; each is a CSS class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Style {
    /// Title of the model.
    Heading,
    /// Title of a stage or of a list.
    Title,
    /// Name of a model or stage in the API.
    Name,
    /// Name of a move, on an arrow or in a list.
    Move,
    /// Everything else.
    Plain,
    /// A deadline.
    Time,
}

impl Style {
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Heading => "heading",
            Self::Title => "title",
            Self::Name => "name",
            Self::Move => "move",
            Self::Plain => "plain",
            Self::Time => "time",
        }
    }

    pub(super) const fn size(self) -> f64 {
        match self {
            Self::Heading => 22.0,
            Self::Title => 15.0,
            Self::Name => 11.5,
            Self::Move | Self::Plain | Self::Time => 12.5,
        }
    }

    /// Returns the line height.
    pub(super) fn line_height(self) -> f64 {
        (self.size() * 1.36).ceil()
    }

    /// Returns an upper estimate of the width of `text`, because only the viewer knows the actual font.
    pub(super) fn width(self, text: &str) -> f64 {
        let is_mono = matches!(self, Self::Name | Self::Move);
        let is_bold = matches!(self, Self::Heading | Self::Title);
        let em = |character: char| match character {
            // Chinese, Japanese and Korean characters are one em wide.
            '\u{2e80}'.. => 1.0,
            _ if is_mono => 0.61,
            'i' | 'l' | 'j' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | '(' | ')' | ' ' => 0.33,
            'm' | 'w' | 'M' | 'W' | 'ж' | 'ш' | 'щ' | 'ю' | 'м' | 'ы' => 0.88,
            _ if character.is_uppercase() => 0.7,
            _ => 0.59,
        };
        let width: f64 = text.chars().map(em).sum();
        width * self.size() * if is_bold { 1.06 } else { 1.0 }
    }

    /// Wraps `text` at `width`. A longer word is broken after `_` and `.`, or gets a line of its own.
    pub(super) fn wrap(self, text: &str, width: f64) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in text.split_whitespace() {
            let mut separator = " ";
            for part in self.parts(word, width) {
                let line = lines.last_mut().expect("there is always a line");
                let extended = if line.is_empty() { part.to_owned() } else { format!("{line}{separator}{part}") };
                if line.is_empty() || self.width(&extended) <= width {
                    *line = extended;
                } else {
                    lines.push(part.to_owned());
                }
                separator = "";
            }
        }
        lines
    }

    fn parts(self, word: &str, width: f64) -> Vec<&str> {
        if self.width(word) <= width { vec![word] } else { word.split_inclusive(['_', '.']).collect() }
    }
}

/// Escapes the special characters of XML, and removes or replaces the characters that XML does not allow.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => {}
            _ if character.is_control() => out.push(' '),
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_is_escaped() {
        assert_eq!(escaped("</text><script>\"&\u{1}\u{ffff}"), "&lt;/text&gt;&lt;script&gt;&quot;&amp; ");
    }

    #[test]
    fn wrapped_lines_fit_the_width_and_keep_every_letter() {
        let text = "moved_to_repeat_purchase_after_a_very_long_while or when something else happened";
        let lines = Style::Move.wrap(text, 140.0);
        assert!(lines.iter().all(|line| Style::Move.width(line) <= 140.0), "{lines:?}");
        assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        assert_eq!(Style::Plain.wrap("", 10.0), [""]);
    }
}
