//! Colors and symbols of the view, with a fallback for terminals without colors or Unicode.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

/// The capabilities of the terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Theme {
    /// Whether to use colors.
    pub has_color: bool,
    /// Whether to use characters outside ASCII.
    pub is_unicode: bool,
}

/// Indexed colors of the stages along the journey: blue, green, gold.
const JOURNEY: [u8; 7] = [67, 73, 72, 71, 107, 143, 179];
/// Indexed color of a stage outside the journey: red.
const OUTSIDE: u8 = 174;
/// Blocks of one to eight eighths in width.
const EIGHTHS: [&str; 8] = ["▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"];
/// Blocks of one to eight eighths in height.
const HEIGHTS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Direction of a stage move relative to the journey.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MoveDirection {
    Forward,
    Backward,
    Exit,
    Reentry,
    /// Not a stage move: a signal, milestone or counter.
    Other,
}

impl MoveDirection {
    pub(super) fn of(direction: &str) -> Self {
        match direction {
            "forward" => Self::Forward,
            "backward" => Self::Backward,
            "exit" => Self::Exit,
            "reentry" => Self::Reentry,
            _ => Self::Other,
        }
    }
}

impl Theme {
    fn indexed(self, color: u8) -> Style {
        if self.has_color { Style::new().fg(Color::Indexed(color)) } else { Style::new() }
    }

    /// Style of secondary text.
    pub(super) fn muted(self) -> Style {
        if self.has_color { self.indexed(245) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    /// Style of important text, in the terminal's default color, which is readable on dark and light backgrounds.
    pub(super) const fn strong() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Style of headings.
    pub(super) fn heading(self) -> Style {
        self.indexed(110).add_modifier(Modifier::BOLD)
    }

    /// Style of borders.
    pub(super) fn border_style(self) -> Style {
        if self.has_color { self.indexed(240) } else { Style::new() }
    }

    /// Style of the title bar.
    pub(super) fn title_bar(self) -> Style {
        if self.has_color {
            Style::new().fg(Color::Indexed(252)).bg(Color::Indexed(237))
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        }
    }

    /// Style of the selected line.
    pub(super) fn selected(self) -> Style {
        if self.has_color {
            Style::new().fg(Color::Indexed(252)).bg(Color::Indexed(238))
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        }
    }

    /// Style of problems.
    pub(super) fn error(self) -> Style {
        self.indexed(174).add_modifier(Modifier::BOLD)
    }

    /// Style of stage number `index` of `count` on the journey; `None` for a stage outside the journey.
    pub(super) fn stage(self, index: Option<usize>, count: usize) -> Style {
        match index {
            Some(index) => {
                let last = JOURNEY.len() - 1;
                let color = (index * last).checked_div(count.saturating_sub(1)).unwrap_or_default();
                self.indexed(JOURNEY[color.min(last)])
            }
            None => self.indexed(OUTSIDE),
        }
    }

    /// Style of a transition.
    pub(super) fn direction(self, direction: MoveDirection) -> Style {
        self.indexed(match direction {
            MoveDirection::Forward => 108,
            MoveDirection::Backward => 179,
            MoveDirection::Exit => 174,
            MoveDirection::Reentry => 110,
            MoveDirection::Other => 139,
        })
    }

    /// Symbol of a direction, one column wide.
    pub(super) const fn symbol(direction: MoveDirection) -> &'static str {
        match direction {
            MoveDirection::Forward => "→",
            MoveDirection::Backward => "←",
            MoveDirection::Exit => "↓",
            MoveDirection::Reentry => "↑",
            MoveDirection::Other => "•",
        }
    }

    /// Replaces non-ASCII characters by ASCII ones if the terminal does not support Unicode.
    pub(super) fn replace_unicode(self, buffer: &mut Buffer) {
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

    /// Draws a horizontal bar for `count` out of `max`, padded with spaces to `width` columns.
    pub(super) fn bar(self, count: u64, max: u64, width: usize) -> String {
        let eighths = u128::from(count) * width as u128 * 8 / u128::from(max.max(1));
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

    /// Draws a sparkline of the latest `width` counts, newest last; empty without Unicode.
    #[expect(clippy::cast_possible_truncation, reason = "the index is at most 7")]
    pub(super) fn sparkline(self, counts: impl DoubleEndedIterator<Item = u64>, width: usize) -> String {
        if !self.is_unicode {
            return String::new();
        }
        let mut latest: Vec<u64> = counts.rev().take(width).collect();
        latest.reverse();
        let max = latest.iter().copied().max().unwrap_or_default().max(1);
        let columns = latest.iter().map(|count| HEIGHTS[(count * 7 / max) as usize]);
        format!("{}{}", " ".repeat(width - latest.len()), columns.collect::<String>())
    }

    /// Characters of borders.
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
    fn bars_are_proportional_to_counts() {
        let theme = Theme { has_color: false, is_unicode: true };
        assert_eq!(theme.bar(8, 8, 4), "████");
        assert_eq!(theme.bar(3, 8, 4), "█▌  ");
        assert_eq!(theme.bar(0, 8, 4), "    ");
        assert_eq!(theme.bar(1, 1_000_000, 4), "▏   ", "a small count is still visible");
        assert_eq!(theme.bar(0, 0, 2), "  ");
        let ascii = Theme { is_unicode: false, ..theme };
        assert_eq!(
            [ascii.bar(3, 8, 4), ascii.bar(1, 99, 2)],
            ["## ", "# "].map(|bar| format!("{bar:<width$}", width = if bar.len() == 3 { 4 } else { 2 }))
        );
    }

    #[test]
    fn sparklines_end_with_the_latest_count() {
        let theme = Theme { has_color: false, is_unicode: true };
        assert_eq!(theme.sparkline([9, 0, 7].into_iter(), 2), "▁█");
        assert_eq!(theme.sparkline([0, 4].into_iter(), 4), "  ▁█");
    }
}
