//! Writes SVG elements: rectangles, lines, text.

use std::fmt::Write;

/// Color of text.
pub(super) const INK: &str = "#24292F";
/// Color of secondary text.
pub(super) const MUTED: &str = "#6A737D";
/// Color of axes and grid lines.
pub(super) const LINE: &str = "#E6E9EE";
/// Colors of series without a configured color, used in rotation.
const PALETTE: [&str; 10] =
    ["#5B8FF9", "#5AC8A0", "#F6BD16", "#9270CA", "#FF9D4D", "#269A99", "#E8684A", "#6DC8EC", "#B8A038", "#FF99C3"];
/// Estimated width of a letter, as a fraction of the font size.
const LETTER: f64 = 0.56;

/// Returns the color of the series number `index` without a configured color.
pub(super) fn palette(index: usize) -> &'static str {
    PALETTE[index % PALETTE.len()]
}

/// A rectangle to draw in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) w: f64,
    pub(super) h: f64,
}

/// An SVG document being written.
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

    /// Draws the border and title of a panel.
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

    /// Draws a line through `points`.
    pub(super) fn path(&mut self, points: &[(f64, f64)], stroke: &str, width: f64) {
        if points.is_empty() {
            return;
        }
        _ = writeln!(
            self.svg,
            "<path d=\"{}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"/>",
            path_data(points)
        );
    }

    /// Fills the area between two lines.
    pub(super) fn between(&mut self, upper: &[(f64, f64)], lower: &[(f64, f64)], fill: &str, opacity: f64) {
        if upper.is_empty() {
            return;
        }
        let around: Vec<_> = upper.iter().chain(lower.iter().rev()).copied().collect();
        _ = writeln!(self.svg, "<path d=\"{}Z\" fill=\"{fill}\" fill-opacity=\"{opacity}\"/>", path_data(&around));
    }

    #[expect(clippy::too_many_arguments, reason = "the attributes of a text element")]
    pub(super) fn text(&mut self, x: f64, y: f64, size: f64, fill: &str, anchor: &str, is_bold: bool, text: &str) {
        let weight = if is_bold { " font-weight=\"600\"" } else { "" };
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        _ = writeln!(
            self.svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{fill}\" text-anchor=\"{anchor}\"{weight}>{text}</text>"
        );
    }
}

fn path_data(points: &[(f64, f64)]) -> String {
    let mut data = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        _ = write!(data, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
    }
    data
}

/// Estimates the width of a text, in pixels.
#[expect(clippy::cast_precision_loss, reason = "labels are short")]
pub(super) fn width_of(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * LETTER
}

/// Cuts a text to `width` pixels; an ellipsis marks the cut.
pub(super) fn shorten(text: &str, width: f64, size: f64) -> String {
    if width_of(text, size) <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    for letter in text.chars() {
        if width_of(&short, size) + 2.0 * size * LETTER > width {
            break;
        }
        short.push(letter);
    }
    short.trim_end().to_owned() + "…"
}
