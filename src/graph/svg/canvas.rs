//! The shapes that a picture is made of, written as SVG.

use std::fmt::Write as _;

use super::text::{Style, escaped};
use crate::lifecycle::model::Direction;

/// How far a corner of an arrow is rounded.
const CORNER: f64 = 9.0;
/// How long the head of an arrow is.
const HEAD: f64 = 9.0;
/// How much room a clock takes before its text.
pub(super) const CLOCK: f64 = 18.0;

/// SVG that is being written.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    pub(super) out: String,
}

/// A point, x before y.
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

    pub(super) fn rule(&mut self, from: Point, to: Point) {
        let _ = writeln!(
            self.out,
            "<line class=\"rule\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    pub(super) fn disc(&mut self, class: &str, (x, y): Point, radius: f64) {
        let _ = writeln!(self.out, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>");
    }

    /// A number in a disc.
    pub(super) fn number(&mut self, (x, y): Point, number: usize) {
        self.disc("forward-fill", (x, y), 13.0);
        let _ = writeln!(self.out, "<text class=\"number\" x=\"{x:.1}\" y=\"{:.1}\">{number}</text>", y + 4.6);
    }

    /// A clock before a text that begins at `x` + [`CLOCK`] with its base line at `y`.
    pub(super) fn clock(&mut self, (x, y): Point) {
        let (center, middle) = (x + 6.5, y - 4.3);
        let _ = writeln!(
            self.out,
            "<path class=\"clock\" d=\"M{:.1} {middle:.1}a5.6 5.6 0 1 0 11.2 0a5.6 5.6 0 1 0 -11.2 0M{center:.1} {:.1}V{middle:.1}l2.4 1.6\"/>",
            center - 5.6,
            middle - 3.2
        );
    }

    /// An arrow along `points`, with rounded corners; its last point is the tip.
    pub(super) fn arrow(&mut self, direction: Direction, points: &[Point]) {
        let class = class(direction);
        let [.., before, tip] = points else { return };
        let (dx, dy) = unit(*before, *tip);
        let neck = (tip.0 - dx * (HEAD - 1.5), tip.1 - dy * (HEAD - 1.5));
        let mut path = format!("M{:.1} {:.1}", points[0].0, points[0].1);
        for corner in points.windows(3) {
            let (into, out_of) = (unit(corner[0], corner[1]), unit(corner[1], corner[2]));
            let room = distance(corner[0], corner[1]).min(distance(corner[1], corner[2])) / 2.0;
            let radius = CORNER.min(room);
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
        let _ = write!(path, "L{:.1} {:.1}", neck.0, neck.1);
        let _ = writeln!(self.out, "<path class=\"arrow {class}\" d=\"{path}\"/>");
        let (back, half) = ((tip.0 - dx * HEAD, tip.1 - dy * HEAD), HEAD / 2.0);
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

/// The class by which an arrow is colored.
pub(super) const fn class(direction: Direction) -> &'static str {
    direction.as_str()
}

fn distance(from: Point, to: Point) -> f64 {
    (to.0 - from.0).hypot(to.1 - from.1)
}

/// The direction from one point to another, of length 1.
fn unit(from: Point, to: Point) -> Point {
    let length = distance(from, to).max(f64::EPSILON);
    ((to.0 - from.0) / length, (to.1 - from.1) / length)
}
