//! SVG, written by hand: rectangles, lines, text.

use std::fmt::Write;

/// Text.
pub(super) const INK: &str = "#24292F";
/// Text of less weight.
pub(super) const MUTED: &str = "#6A737D";
/// Lines of axes and grids.
pub(super) const LINE: &str = "#E6E9EE";
/// What is taken in turn for series that have no colour of their own.
const PALETTE: [&str; 10] =
    ["#5B8FF9", "#5AC8A0", "#F6BD16", "#9270CA", "#FF9D4D", "#269A99", "#E8684A", "#6DC8EC", "#B8A038", "#FF99C3"];
/// About so wide is a letter, as a part of the font's size.
const LETTER: f64 = 0.56;

/// The colour for the series at `place` that has none.
pub(super) fn palette(place: usize) -> &'static str {
    PALETTE[place % PALETTE.len()]
}

/// A rectangle to draw in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) w: f64,
    pub(super) h: f64,
}

/// A picture in the making.
#[derive(Debug)]
pub(super) struct Canvas {
    svg: String,
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64) -> Self {
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} \
             {height:.0}\" font-family=\"Inter, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#F3F5F8\"/>\n"
        );
        Self { svg }
    }

    pub(super) fn finish(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }

    /// The frame of a panel.
    pub(super) fn panel(&mut self, area: Area, title: &str) {
        let Area { x, y, w, h } = area;
        _ = writeln!(
            self.svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"4\" fill=\"#FFFFFF\" stroke=\"#E1E5EA\"/>"
        );
        self.text(x + 10.0, y + 19.0, 12.5, INK, "start", true, &shorten(title, w - 20.0, 12.5));
    }

    pub(super) fn rect(&mut self, area: Area, fill: &str, opacity: f64) {
        let Area { x, y, w, h } = area;
        _ = writeln!(
            self.svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{fill}\" fill-opacity=\"{opacity}\"/>",
            w.max(0.0),
            h.max(0.0)
        );
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: &str) {
        _ = writeln!(
            self.svg,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{stroke}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    /// A line through points.
    pub(super) fn path(&mut self, points: &[(f64, f64)], stroke: &str, width: f64) {
        if points.is_empty() {
            return;
        }
        _ = writeln!(
            self.svg,
            "<path d=\"{}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"/>",
            way(points)
        );
    }

    /// What lies between a line of points and another.
    pub(super) fn between(&mut self, upper: &[(f64, f64)], lower: &[(f64, f64)], fill: &str, opacity: f64) {
        if upper.is_empty() {
            return;
        }
        let around: Vec<_> = upper.iter().chain(lower.iter().rev()).copied().collect();
        _ = writeln!(self.svg, "<path d=\"{}Z\" fill=\"{fill}\" fill-opacity=\"{opacity}\"/>", way(&around));
    }

    #[expect(clippy::too_many_arguments, reason = "a text has that many properties")]
    pub(super) fn text(&mut self, x: f64, y: f64, size: f64, fill: &str, anchor: &str, is_bold: bool, words: &str) {
        let weight = if is_bold { " font-weight=\"600\"" } else { "" };
        let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        _ = writeln!(
            self.svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{fill}\" text-anchor=\"{anchor}\"{weight}>{words}</text>"
        );
    }
}

fn way(points: &[(f64, f64)]) -> String {
    let mut way = String::new();
    for (place, (x, y)) in points.iter().enumerate() {
        _ = write!(way, "{}{x:.1} {y:.1}", if place == 0 { 'M' } else { 'L' });
    }
    way
}

/// About so wide is a text.
#[expect(clippy::cast_precision_loss, reason = "a text on a picture is short")]
pub(super) fn width_of(words: &str, size: f64) -> f64 {
    words.chars().count() as f64 * size * LETTER
}

/// The text, cut to fit a width.
pub(super) fn shorten(words: &str, width: f64, size: f64) -> String {
    if width_of(words, size) <= width {
        return words.to_owned();
    }
    let mut short = String::new();
    for letter in words.chars() {
        if width_of(&short, size) + 2.0 * size * LETTER > width {
            break;
        }
        short.push(letter);
    }
    short.trim_end().to_owned() + "…"
}
