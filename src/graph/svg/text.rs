//! Text in SVG: how wide it is, about, where it is broken, and what must be escaped.

/// The kinds of text in a picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Style {
    /// The title of the model.
    Heading,
    /// The title of a stage, and of a list.
    Title,
    /// A name as it is published.
    Name,
    /// The name of a move on an arrow.
    Move,
    /// Everything else.
    Plain,
    /// What time does.
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

    /// The distance of its lines.
    pub(super) fn line(self) -> f64 {
        (self.size() * 1.36).ceil()
    }

    /// About how wide `text` is. Which font is used is known only where the picture is shown, so that this is a wide guess.
    pub(super) fn width(self, text: &str) -> f64 {
        let is_mono = matches!(self, Self::Name | Self::Move);
        let is_bold = matches!(self, Self::Heading | Self::Title);
        let em = |letter: char| match letter {
            // Chinese, Japanese, Korean.
            '\u{2e80}'.. => 1.0,
            _ if is_mono => 0.61,
            'i' | 'l' | 'j' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | '(' | ')' | ' ' => 0.33,
            'm' | 'w' | 'M' | 'W' | 'ж' | 'ш' | 'щ' | 'ю' | 'м' | 'ы' => 0.88,
            _ if letter.is_uppercase() => 0.7,
            _ => 0.59,
        };
        let width: f64 = text.chars().map(em).sum();
        width * self.size() * if is_bold { 1.06 } else { 1.0 }
    }

    /// `text` in lines of at most `width`. A word that is wider stands alone, or is broken after `_` and `.`.
    pub(super) fn wrap(self, text: &str, width: f64) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in text.split_whitespace() {
            let mut glue = " ";
            for part in self.parts(word, width) {
                let line = lines.last_mut().expect("there is always a line");
                let longer = if line.is_empty() { part.to_owned() } else { format!("{line}{glue}{part}") };
                if line.is_empty() || self.width(&longer) <= width {
                    *line = longer;
                } else {
                    lines.push(part.to_owned());
                }
                glue = "";
            }
        }
        lines
    }

    fn parts(self, word: &str, width: f64) -> Vec<&str> {
        if self.width(word) <= width { vec![word] } else { word.split_inclusive(['_', '.']).collect() }
    }
}

/// `text` with what means something in XML escaped, and without what may not stand there at all.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => {}
            _ if letter.is_control() => out.push(' '),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_text_is_shown_and_not_obeyed() {
        assert_eq!(escaped("</text><script>\"&\u{1}\u{ffff}"), "&lt;/text&gt;&lt;script&gt;&quot;&amp; ");
    }

    #[test]
    fn lines_keep_to_their_width_and_lose_no_letter() {
        let text = "moved_to_repeat_purchase_after_a_very_long_while or when something else happened";
        let lines = Style::Move.wrap(text, 140.0);
        assert!(lines.iter().all(|line| Style::Move.width(line) <= 140.0), "{lines:?}");
        assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        assert_eq!(Style::Plain.wrap("", 10.0), [""]);
    }
}
