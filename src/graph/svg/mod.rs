//! Pictures as SVG: one file that needs nothing beside it, legible by day and by night.

mod block;
mod canvas;
mod lanes;
mod layout;
mod style;
mod text;

use std::fmt::Write as _;

use block::Block;
use canvas::{CLOCK, Canvas};
use text::{Style, escaped};

use super::picture::{End, Note, Picture};
use super::words::Phrase;
use crate::lifecycle::model::Direction;

/// From the edge of the page to what is drawn.
const MARGIN: f64 = 32.0;
/// The least width of what is drawn.
const WIDTH_MIN: f64 = 640.0;
/// Between two pages.
const PAGE_GAP: f64 = 24.0;

/// The pictures, one page below the other.
#[must_use]
pub fn svg(pictures: &[Picture]) -> String {
    let mut pages = String::new();
    let (mut width, mut height) = (0.0_f64, 0.0);
    for picture in pictures {
        if height > 0.0 {
            height += PAGE_GAP;
        }
        let page = Page::of(picture);
        let _ = writeln!(pages, "<g transform=\"translate(0 {height:.1})\">\n{}</g>", page.content);
        width = width.max(page.width);
        height += page.height;
    }
    let titles = pictures.iter().map(|picture| escaped(&picture.title)).collect::<Vec<_>>().join("; ");
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
    fn of(picture: &Picture) -> Self {
        let body = layout::body(picture);
        let inner = body.width.max(WIDTH_MIN);
        let mut canvas = Canvas::default();
        let mut y = MARGIN - 6.0;
        let mut head = Block::default();
        head.add(Style::Heading, &picture.title, inner);
        let version = format!("{}, {} {}", picture.name, picture.language.say(Phrase::Version), picture.version);
        head.add(Style::Name, &version, inner);
        if !picture.description.is_empty() {
            head.add(Style::Plain, &picture.description, inner);
        }
        head.draw(&mut canvas, (MARGIN, y));
        y += head.height() + 24.0;
        let _ = writeln!(canvas.out, "<g transform=\"translate({MARGIN} {y:.1})\">\n{}</g>", body.canvas.out);
        y += body.height + 26.0;
        y = foot(&mut canvas, picture, y, inner);
        let (width, height) = (inner + 2.0 * MARGIN, y + MARGIN - 10.0);
        let mut page = Canvas::default();
        page.rectangle("page", (0.5, 0.5), width - 1.0, height - 1.0, 14.0);
        page.out.push_str(&canvas.out);
        Self { content: page.out, width, height }
    }
}

/// What is listed below the arrows, and what their colors mean; returns where it ends.
fn foot(canvas: &mut Canvas, picture: &Picture, mut y: f64, width: f64) -> f64 {
    let say = |phrase| picture.language.say(phrase);
    let notes: Vec<(String, String)> =
        picture.notes.iter().map(|note| (note.label.name.clone(), tell(picture, note))).collect();
    let beside =
        picture.beside.iter().map(|beside| (beside.name.clone(), format!("{}: {}", beside.kind, beside.condition)));
    for (title, rows) in [(Phrase::AtAnyStage, notes), (Phrase::Beside, beside.collect())] {
        if rows.is_empty() {
            continue;
        }
        canvas.rule((MARGIN, y), (MARGIN + width, y));
        y += 12.0;
        let mut head = Block::default();
        head.add(Style::Title, say(title), width);
        head.draw(canvas, (MARGIN, y));
        y += head.height() + 4.0;
        let indent = rows.iter().map(|(name, _)| Style::Move.width(name)).fold(0.0, f64::max).min(width / 2.0) + 18.0;
        for (name, text) in rows {
            let (mut left, mut right) = (Block::default(), Block::default());
            left.add(Style::Move, &name, indent - 18.0);
            right.add(Style::Plain, &text, width - indent);
            left.draw(canvas, (MARGIN, y));
            right.draw(canvas, (MARGIN + indent, y));
            y += left.height().max(right.height()) + 2.0;
        }
        y += 14.0;
    }
    canvas.rule((MARGIN, y), (MARGIN + width, y));
    legend(canvas, picture, y + 26.0, width)
}

/// "any stage → Active, by `order_cancelled`".
fn tell(picture: &Picture, note: &Note) -> String {
    let say = |phrase| picture.language.say(phrase);
    let side = |titles: &[String]| if titles.is_empty() { say(Phrase::AnyStage).to_owned() } else { titles.join(", ") };
    let mut text = format!("{} \u{2192} {}", side(&note.from), side(&note.to));
    if !note.label.causes.is_empty() {
        let _ = write!(text, ", {} {}", say(Phrase::By), note.label.causes.join(", "));
    }
    text
}

/// A row of what occurs in the picture, broken where it does not fit; returns where it ends.
fn legend(canvas: &mut Canvas, picture: &Picture, mut y: f64, width: f64) -> f64 {
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
        if picture.edges.iter().any(|edge| edge.direction == direction) {
            let text = picture.language.direction(direction);
            let at = place(36.0 + Style::Plain.width(text), &mut y);
            canvas.arrow(direction, &[(at, y - 4.0), (at + 28.0, y - 4.0)]);
            canvas.text(Style::Plain, (at + 35.0, y), text);
        }
    }
    if picture.edges.iter().any(|edge| !edge.times.is_empty()) {
        let text = picture.language.say(Phrase::ByTime);
        let at = place(CLOCK + Style::Time.width(text), &mut y);
        canvas.clock((at, y));
        canvas.text(Style::Time, (at + CLOCK, y), text);
    }
    if picture.touches(End::Nothing) {
        let text = picture.language.say(Phrase::NoStage);
        let at = place(20.0 + Style::Plain.width(text), &mut y);
        canvas.disc("dot", (at + 6.0, y - 4.0), 6.0);
        canvas.text(Style::Plain, (at + 20.0, y), text);
    }
    if picture.stages.iter().any(|stage| stage.place.is_none()) {
        let text = picture.language.say(Phrase::Outside);
        let at = place(30.0 + Style::Plain.width(text), &mut y);
        canvas.rectangle("outside", (at, y - 11.0), 22.0, 14.0, 4.0);
        canvas.text(Style::Plain, (at + 30.0, y), text);
    }
    y
}
