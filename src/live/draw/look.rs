//! Colors and signs: calm ones, none where a terminal has none.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

/// What a terminal can show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    /// Whether it has colors, and the person wants them.
    pub has_color: bool,
    /// Whether it shows more than ASCII.
    pub is_unicode: bool,
}

/// From the beginning of a journey to its end: from blue over green to gold.
const JOURNEY: [u8; 7] = [67, 73, 72, 71, 107, 143, 179];
/// Outside of a journey.
const OUTSIDE: u8 = 174;
/// Steps of an eighth.
const EIGHTHS: [&str; 8] = ["▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"];
const HEIGHTS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Which way a move leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Forward,
    Backward,
    Exit,
    Reentry,
    Beside,
}

impl Way {
    pub(super) fn of(direction: &str) -> Self {
        match direction {
            "forward" => Self::Forward,
            "backward" => Self::Backward,
            "exit" => Self::Exit,
            "reentry" => Self::Reentry,
            _ => Self::Beside,
        }
    }
}

impl Look {
    fn indexed(self, color: u8) -> Style {
        if self.has_color { Style::new().fg(Color::Indexed(color)) } else { Style::new() }
    }

    /// What says less.
    pub(super) fn faint(self) -> Style {
        if self.has_color { self.indexed(245) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    /// What says most: in the terminal's own color, which shows on dark and on light alike.
    pub(super) const fn strong() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Headings.
    pub(super) fn heading(self) -> Style {
        self.indexed(110).add_modifier(Modifier::BOLD)
    }

    /// Frames.
    pub(super) fn frame(self) -> Style {
        if self.has_color { self.indexed(240) } else { Style::new() }
    }

    /// The line at the top.
    pub(super) fn bar(self) -> Style {
        if self.has_color {
            Style::new().fg(Color::Indexed(252)).bg(Color::Indexed(237))
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        }
    }

    /// The line under the cursor.
    pub(super) fn cursor(self) -> Style {
        if self.has_color {
            Style::new().fg(Color::Indexed(252)).bg(Color::Indexed(238))
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        }
    }

    /// What somebody should look at.
    pub(super) fn alarm(self) -> Style {
        self.indexed(174).add_modifier(Modifier::BOLD)
    }

    /// A stage, `place` of `count` in its journey; outside of it without a place.
    pub(super) fn stage(self, place: Option<usize>, count: usize) -> Style {
        match place {
            Some(place) => {
                let last = JOURNEY.len() - 1;
                let color = (place * last).checked_div(count.saturating_sub(1)).unwrap_or_default();
                self.indexed(JOURNEY[color.min(last)])
            }
            None => self.indexed(OUTSIDE),
        }
    }

    pub(super) fn way(self, way: Way) -> Style {
        self.indexed(match way {
            Way::Forward => 108,
            Way::Backward => 179,
            Way::Exit => 174,
            Way::Reentry => 110,
            Way::Beside => 139,
        })
    }

    /// A sign for a way, a column wide.
    pub(super) const fn sign(way: Way) -> &'static str {
        match way {
            Way::Forward => "→",
            Way::Backward => "←",
            Way::Exit => "↓",
            Way::Reentry => "↑",
            Way::Beside => "•",
        }
    }

    /// Puts signs that the terminal can show in place of those that it cannot.
    pub(super) fn plain(self, buffer: &mut Buffer) {
        if self.is_unicode {
            return;
        }
        for cell in buffer.content.iter_mut().filter(|cell| !cell.symbol().is_ascii()) {
            cell.set_symbol(match cell.symbol() {
                "→" => ">",
                "←" => "<",
                "↑" => "^",
                "↓" => "v",
                "·" => "-",
                "…" => "~",
                "•" => "*",
                _ => "?",
            });
        }
    }

    /// A bar for `count` of `most`, `width` columns at most, filled up with spaces.
    pub(super) fn bar_of(self, count: u64, most: u64, width: usize) -> String {
        let eighths = u128::from(count) * width as u128 * 8 / u128::from(most.max(1));
        let eighths = (eighths as usize).clamp(usize::from(count > 0), width * 8);
        let (full, part) = (eighths / 8, eighths % 8);
        let mut bar = if self.is_unicode { "█" } else { "#" }.repeat(full);
        match part {
            0 => {}
            _ if self.is_unicode => bar.push_str(EIGHTHS[part - 1]),
            _ if part >= 4 || full == 0 => bar.push('#'),
            _ => bar.push(' '),
        }
        bar.push_str(&" ".repeat(width - full - usize::from(part > 0)));
        bar
    }

    /// Small columns for `counts`, the latest last, `width` of them.
    #[expect(clippy::cast_possible_truncation, reason = "an eighth is below eight")]
    pub(super) fn columns_of(self, counts: impl DoubleEndedIterator<Item = u64>, width: usize) -> String {
        if !self.is_unicode {
            return String::new();
        }
        let mut latest: Vec<u64> = counts.rev().take(width).collect();
        latest.reverse();
        let most = latest.iter().copied().max().unwrap_or_default().max(1);
        let columns = latest.iter().map(|count| HEIGHTS[(count * 7 / most) as usize]);
        format!("{}{}", " ".repeat(width - latest.len()), columns.collect::<String>())
    }

    pub(super) fn border(self) -> border::Set<'static> {
        const ASCII: border::Set<'static> = border::Set {
            top_left: "+",
            top_right: "+",
            bottom_left: "+",
            bottom_right: "+",
            vertical_left: "|",
            vertical_right: "|",
            horizontal_top: "-",
            horizontal_bottom: "-",
        };
        if self.is_unicode { border::ROUNDED } else { ASCII }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_what_they_count() {
        let look = Look { has_color: false, is_unicode: true };
        assert_eq!(look.bar_of(8, 8, 4), "████");
        assert_eq!(look.bar_of(3, 8, 4), "█▌  ");
        assert_eq!(look.bar_of(0, 8, 4), "    ");
        assert_eq!(look.bar_of(1, 1_000_000, 4), "▏   ", "what is there is seen");
        assert_eq!(look.bar_of(0, 0, 2), "  ");
        let ascii = Look { is_unicode: false, ..look };
        assert_eq!(
            [ascii.bar_of(3, 8, 4), ascii.bar_of(1, 99, 2)],
            ["## ", "# "].map(|bar| format!("{bar:<width$}", width = if bar.len() == 3 { 4 } else { 2 }))
        );
    }

    #[test]
    fn columns_end_with_the_latest() {
        let look = Look { has_color: false, is_unicode: true };
        assert_eq!(look.columns_of([9, 0, 7].into_iter(), 2), "▁█");
        assert_eq!(look.columns_of([0, 4].into_iter(), 4), "  ▁█");
    }
}
