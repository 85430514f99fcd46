//! Renders diagrams as one self-contained SVG file, with colors for light and dark mode.

mod canvas;
mod lanes;
mod layout;
mod style;
mod text;
mod text_block;

use std::fmt::Write as _;

use canvas::{CLOCK_WIDTH, Canvas};
use text::{Style, escaped};
use text_block::TextBlock;

use super::diagram::{Diagram, Endpoint, UndrawnMove};
use super::language::Phrase;
use crate::lifecycle::model::Direction;

/// Margin of a page.
const MARGIN: f64 = 32.0;
/// Minimum width of the content of a page.
const WIDTH_MIN: f64 = 640.0;
/// Gap between two pages.
const PAGE_GAP: f64 = 24.0;

/// Renders the diagrams, one page below the other.
#[must_use]
pub fn svg(diagrams: &[Diagram]) -> String {
    let mut pages = String::new();
    let (mut width, mut height) = (0.0_f64, 0.0);
    for diagram in diagrams {
        if height > 0.0 {
            height += PAGE_GAP;
        }
        let page = Page::of(diagram);
        let _ = writeln!(pages, "<g transform=\"translate(0 {height:.1})\">\n{}</g>", page.content);
        width = width.max(page.width);
        height += page.height;
    }
    let titles = diagrams.iter().map(|diagram| escaped(&diagram.title)).collect::<Vec<_>>().join("; ");
    let (width, height) = (width.ceil(), height.ceil());
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>{titles}</title>\n<style>{}</style>\n{pages}</svg>\n",
        style::STYLE
    )
}

struct Page {
    content: String,
    width: f64,
    height: f64,
}

impl Page {
    fn of(diagram: &Diagram) -> Self {
        let body = layout::body(diagram);
        let inner = body.width.max(WIDTH_MIN);
        let mut canvas = Canvas::default();
        let mut y = MARGIN - 6.0;
        let mut head = TextBlock::default();
        head.add(Style::Heading, &diagram.title, inner);
        let version = format!("{}, {} {}", diagram.name, diagram.language.translate(Phrase::Version), diagram.version);
        head.add(Style::Name, &version, inner);
        if !diagram.description.is_empty() {
            head.add(Style::Plain, &diagram.description, inner);
        }
        head.draw(&mut canvas, (MARGIN, y));
        y += head.height() + 24.0;
        let _ = writeln!(canvas.out, "<g transform=\"translate({MARGIN} {y:.1})\">\n{}</g>", body.canvas.out);
        y += body.height + 26.0;
        y = foot(&mut canvas, diagram, y, inner);
        let (width, height) = (inner + 2.0 * MARGIN, y + MARGIN - 10.0);
        let mut page = Canvas::default();
        page.rectangle("page", (0.5, 0.5), width - 1.0, height - 1.0, 14.0);
        page.out.push_str(&canvas.out);
        Self { content: page.out, width, height }
    }
}

/// Draws the lists below the arrows and the legend; returns the lower edge.
fn foot(canvas: &mut Canvas, diagram: &Diagram, mut y: f64, width: f64) -> f64 {
    let translate = |phrase| diagram.language.translate(phrase);
    let moves: Vec<(String, String)> =
        diagram.undrawn_moves.iter().map(|it| (it.label.name.clone(), move_text(diagram, it))).collect();
    let outputs = diagram
        .other_outputs
        .iter()
        .map(|output| (output.name.clone(), format!("{}: {}", output.kind, output.condition)));
    for (title, rows) in [(Phrase::AtAnyStage, moves), (Phrase::OtherOutputs, outputs.collect())] {
        if rows.is_empty() {
            continue;
        }
        canvas.separator((MARGIN, y), (MARGIN + width, y));
        y += 12.0;
        let mut head = TextBlock::default();
        head.add(Style::Title, translate(title), width);
        head.draw(canvas, (MARGIN, y));
        y += head.height() + 4.0;
        let indent = rows.iter().map(|(name, _)| Style::Move.width(name)).fold(0.0, f64::max).min(width / 2.0) + 18.0;
        for (name, text) in rows {
            let (mut left, mut right) = (TextBlock::default(), TextBlock::default());
            left.add(Style::Move, &name, indent - 18.0);
            right.add(Style::Plain, &text, width - indent);
            left.draw(canvas, (MARGIN, y));
            right.draw(canvas, (MARGIN + indent, y));
            y += left.height().max(right.height()) + 2.0;
        }
        y += 14.0;
    }
    canvas.separator((MARGIN, y), (MARGIN + width, y));
    legend(canvas, diagram, y + 26.0, width)
}

/// Describes a listed move: `any stage → Active, by order_cancelled`.
fn move_text(diagram: &Diagram, listed: &UndrawnMove) -> String {
    let translate = |phrase| diagram.language.translate(phrase);
    let side =
        |titles: &[String]| if titles.is_empty() { translate(Phrase::AnyStage).to_owned() } else { titles.join(", ") };
    let mut text = format!("{} \u{2192} {}", side(&listed.from), side(&listed.to));
    if !listed.label.causes.is_empty() {
        let _ = write!(text, ", {} {}", translate(Phrase::By), listed.label.causes.join(", "));
    }
    text
}

/// Draws a legend of the colors and symbols in the diagram, wrapped at `width`; returns the lower edge.
fn legend(canvas: &mut Canvas, diagram: &Diagram, mut y: f64, width: f64) -> f64 {
    let mut x = MARGIN;
    let mut place = |wanted: f64, y: &mut f64| {
        if x > MARGIN && x + wanted > MARGIN + width {
            x = MARGIN;
            *y += 22.0;
        }
        let at = x;
        x += wanted + 22.0;
        at
    };
    for direction in [Direction::Forward, Direction::Backward, Direction::Exit, Direction::Reentry] {
        if diagram.edges.iter().any(|edge| edge.direction == direction) {
            let text = diagram.language.direction(direction);
            let at = place(36.0 + Style::Plain.width(text), &mut y);
            canvas.arrow(direction, &[(at, y - 4.0), (at + 28.0, y - 4.0)]);
            canvas.text(Style::Plain, (at + 35.0, y), text);
        }
    }
    if diagram.edges.iter().any(|edge| !edge.deadlines.is_empty()) {
        let text = diagram.language.translate(Phrase::ByTime);
        let at = place(CLOCK_WIDTH + Style::Time.width(text), &mut y);
        canvas.clock((at, y));
        canvas.text(Style::Time, (at + CLOCK_WIDTH, y), text);
    }
    if diagram.touches(Endpoint::NoStage) {
        let text = diagram.language.translate(Phrase::NoStage);
        let at = place(20.0 + Style::Plain.width(text), &mut y);
        canvas.circle("dot", (at + 6.0, y - 4.0), 6.0);
        canvas.text(Style::Plain, (at + 20.0, y), text);
    }
    if diagram.stages.iter().any(|stage| stage.journey_position.is_none()) {
        let text = diagram.language.translate(Phrase::Outside);
        let at = place(30.0 + Style::Plain.width(text), &mut y);
        canvas.rectangle("outside", (at, y - 11.0), 22.0, 14.0, 4.0);
        canvas.text(Style::Plain, (at + 30.0, y), text);
    }
    y
}
