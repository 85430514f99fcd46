//! Writes the shapes of a diagram as SVG elements.

use std::fmt::Write as _;

use super::text::{Style, escaped};
use crate::lifecycle::model::Direction;

/// Radius of the rounded corners of an arrow.
const CORNER_RADIUS: f64 = 9.0;
/// Length of an arrowhead.
const ARROWHEAD: f64 = 9.0;
/// Width of a clock symbol, including the gap to its text.
pub(super) const CLOCK_WIDTH: f64 = 18.0;

/// SVG elements written so far.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    pub(super) out: String,
}

/// A point: x, y.
pub(super) type Point = (f64, f64);

impl Canvas {
    pub(super) fn text(&mut self, style: Style, (x, y): Point, text: &str) {
        let _ =
            writeln!(self.out, "<text class=\"{}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", style.class(), escaped(text));
    }

    pub(super) fn rectangle(&mut self, class: &str, (x, y): Point, width: f64, height: f64, corner: f64) {
        let _ = writeln!(
            self.out,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{corner}\"/>"
        );
    }

    pub(super) fn separator(&mut self, from: Point, to: Point) {
        let _ = writeln!(
            self.out,
            "<line class=\"rule\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    pub(super) fn circle(&mut self, class: &str, (x, y): Point, radius: f64) {
        let _ = writeln!(self.out, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>");
    }

    /// Draws a number in a circle.
    pub(super) fn number(&mut self, (x, y): Point, number: usize) {
        self.circle("forward-fill", (x, y), 13.0);
        let _ = writeln!(self.out, "<text class=\"number\" x=\"{x:.1}\" y=\"{:.1}\">{number}</text>", y + 4.6);
    }

    /// Draws a clock for a text that starts at `x` + [`CLOCK_WIDTH`] with its baseline at `y`.
    pub(super) fn clock(&mut self, (x, y): Point) {
        let (center, middle) = (x + 6.5, y - 4.3);
        let _ = writeln!(
            self.out,
            "<path class=\"clock\" d=\"M{:.1} {middle:.1}a5.6 5.6 0 1 0 11.2 0a5.6 5.6 0 1 0 -11.2 0M{center:.1} {:.1}V{middle:.1}l2.4 1.6\"/>",
            center - 5.6,
            middle - 3.2
        );
    }

    /// Draws an arrow along `points`, with rounded corners; the last point is the tip.
    pub(super) fn arrow(&mut self, direction: Direction, points: &[Point]) {
        let class = class(direction);
        let [.., before, tip] = points else { return };
        let (dx, dy) = unit(*before, *tip);
        let shaft_end = (tip.0 - dx * (ARROWHEAD - 1.5), tip.1 - dy * (ARROWHEAD - 1.5));
        let mut path = format!("M{:.1} {:.1}", points[0].0, points[0].1);
        for corner in points.windows(3) {
            let (into, out_of) = (unit(corner[0], corner[1]), unit(corner[1], corner[2]));
            let room = distance(corner[0], corner[1]).min(distance(corner[1], corner[2])) / 2.0;
            let radius = CORNER_RADIUS.min(room);
            let (x, y) = corner[1];
            let _ = write!(
                path,
                "L{:.1} {:.1}Q{x:.1} {y:.1} {:.1} {:.1}",
                x - into.0 * radius,
                y - into.1 * radius,
                x + out_of.0 * radius,
                y + out_of.1 * radius
            );
        }
        let _ = write!(path, "L{:.1} {:.1}", shaft_end.0, shaft_end.1);
        let _ = writeln!(self.out, "<path class=\"arrow {class}\" d=\"{path}\"/>");
        let (back, half) = ((tip.0 - dx * ARROWHEAD, tip.1 - dy * ARROWHEAD), ARROWHEAD / 2.0);
        let _ = writeln!(
            self.out,
            "<path class=\"{class}-fill\" d=\"M{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}Z\"/>",
            tip.0,
            tip.1,
            back.0 - dy * half,
            back.1 + dx * half,
            back.0 + dy * half,
            back.1 - dx * half
        );
    }
}

/// CSS class that colors an arrow.
pub(super) const fn class(direction: Direction) -> &'static str {
    direction.as_str()
}

fn distance(from: Point, to: Point) -> f64 {
    (to.0 - from.0).hypot(to.1 - from.1)
}

/// Returns the unit vector from one point to another.
fn unit(from: Point, to: Point) -> Point {
    let length = distance(from, to).max(f64::EPSILON);
    ((to.0 - from.0) / length, (to.1 - from.1) / length)
}
