//! A block of lines: the label of an arrow, the text in a box.

use super::canvas::{CLOCK, Canvas, Point};
use super::text::Style;
use crate::graph::picture::{Edge, StageBox};

/// Lines that stand below each other.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Block {
    lines: Vec<Line>,
}

#[derive(Clone, PartialEq, Debug)]
struct Line {
    style: Style,
    text: String,
    has_clock: bool,
}

impl Block {
    /// The label of an arrow, at most `width` wide.
    pub(super) fn label(edge: &Edge, by: &str, width: f64) -> Self {
        let mut block = Self::default();
        for label in &edge.labels {
            block.add(Style::Move, &label.name, width);
            if !label.causes.is_empty() {
                block.add(Style::Plain, &format!("{by} {}", label.causes.join(", ")), width);
            }
        }
        for time in &edge.times {
            block.add(Style::Time, time, width);
        }
        block
    }

    /// What stands in the box of a stage, at most `width` wide.
    pub(super) fn stage(stage: &StageBox, width: f64) -> Self {
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
        let indent = if style == Style::Time { CLOCK } else { 0.0 };
        let lines = style.wrap(text, width - indent);
        let lines = lines.into_iter().enumerate();
        self.lines.extend(lines.map(|(index, text)| Line {
            style,
            text,
            has_clock: style == Style::Time && index == 0,
        }));
    }

    pub(super) fn width(&self) -> f64 {
        let width = |line: &Line| line.style.width(&line.text) + if line.style == Style::Time { CLOCK } else { 0.0 };
        self.lines.iter().map(width).fold(0.0, f64::max)
    }

    pub(super) fn height(&self) -> f64 {
        self.lines.iter().map(|line| line.style.line()).sum()
    }

    /// Draws the block with its upper left corner at the point.
    pub(super) fn draw(&self, canvas: &mut Canvas, (x, y): Point) {
        let mut bottom = y;
        for Line { style, text, has_clock } in &self.lines {
            bottom += style.line();
            let base = bottom - style.size() * 0.32;
            let indent = if *style == Style::Time { CLOCK } else { 0.0 };
            if *has_clock {
                canvas.clock((x, base));
            }
            canvas.text(*style, (x + indent, base), text);
        }
    }
}
