//! A block of text lines: the label of an arrow, or the text in a box.

use super::canvas::{CLOCK_WIDTH, Canvas, Point};
use super::text::Style;
use crate::graph::diagram::{Edge, StageNode};

/// Left-aligned lines of text with their styles.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct TextBlock {
    lines: Vec<Line>,
}

#[derive(Clone, PartialEq, Debug)]
struct Line {
    style: Style,
    text: String,
    has_clock: bool,
}

impl TextBlock {
    /// Creates the label of an arrow, wrapped at `width`.
    pub(super) fn label(edge: &Edge, by: &str, width: f64) -> Self {
        let mut block = Self::default();
        for label in &edge.labels {
            block.add(Style::Move, &label.name, width);
            if !label.causes.is_empty() {
                block.add(Style::Plain, &format!("{by} {}", label.causes.join(", ")), width);
            }
        }
        for deadline in &edge.deadlines {
            block.add(Style::Time, deadline, width);
        }
        block
    }

    /// Creates the text in the box of a stage, wrapped at `width`.
    pub(super) fn stage(stage: &StageNode, width: f64) -> Self {
        let mut block = Self::default();
        block.add(Style::Title, &stage.title, width);
        if stage.name != stage.title {
            block.add(Style::Name, &stage.name, width);
        }
        if !stage.description.is_empty() {
            block.add(Style::Plain, &stage.description, width);
        }
        block
    }

    pub(super) fn add(&mut self, style: Style, text: &str, width: f64) {
        let indent = if style == Style::Time { CLOCK_WIDTH } else { 0.0 };
        let lines = style.wrap(text, width - indent);
        let lines = lines.into_iter().enumerate();
        self.lines.extend(lines.map(|(index, text)| Line {
            style,
            text,
            has_clock: style == Style::Time && index == 0,
        }));
    }

    pub(super) fn width(&self) -> f64 {
        let width =
            |line: &Line| line.style.width(&line.text) + if line.style == Style::Time { CLOCK_WIDTH } else { 0.0 };
        self.lines.iter().map(width).fold(0.0, f64::max)
    }

    pub(super) fn height(&self) -> f64 {
        self.lines.iter().map(|line| line.style.line_height()).sum()
    }

    /// Draws the block with its upper left corner at the given point.
    pub(super) fn draw(&self, canvas: &mut Canvas, (x, y): Point) {
        let mut bottom = y;
        for Line { style, text, has_clock } in &self.lines {
            bottom += style.line_height();
            let base = bottom - style.size() * 0.32;
            let indent = if *style == Style::Time { CLOCK_WIDTH } else { 0.0 };
            if *has_clock {
                canvas.clock((x, base));
            }
            canvas.text(*style, (x + indent, base), text);
        }
    }
}
