//! Draws the view: the same view and the same size give the same picture. Knows no terminal.
//!
//! What does not fit is left out, the least important first; nothing wraps, nothing panics at any size.

mod customer;
mod flow;
mod look;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::state::{Page, View};
use super::words::{minute_of, speed};
use crate::lifecycle::time::Timestamp;
pub use look::Look;

/// Below this nothing is drawn that anybody could read.
const WIDTH_MIN: u16 = 40;
const HEIGHT_MIN: u16 = 10;

/// Draws `view`.
pub fn draw(view: &View, look: Look, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let sentence = format!("too small: {WIDTH_MIN} by {HEIGHT_MIN} are needed, q quits");
        let wrapped = Paragraph::new(sentence).wrap(ratatui::widgets::Wrap { trim: true });
        frame.render_widget(wrapped, area);
        return;
    }
    let [top, body, bottom] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(area);
    frame.render_widget(Paragraph::new(title(view, look, top.width.into())).style(look.bar()), top);
    match &view.page {
        Page::Flow => flow::draw(view, look, frame, body),
        Page::Customer { id, known, scrolled } => customer::draw(id, known, *scrolled, look, frame, body),
    }
    frame.render_widget(Paragraph::new(footer(view, look, bottom.width.into())), bottom);
    if view.has_help {
        help(view, look, frame, area);
    }
    look.plain(frame.buffer_mut());
}

/// The line at the top: what is viewed, the model, the customers' time.
fn title(view: &View, look: Look, width: usize) -> Line<'static> {
    let model = match view.shown() {
        Some((model, _)) => format!("{}  {}/{} · ", model.title, view.model + 1, view.models.len()),
        None => String::new(),
    };
    let right = time(view);
    let left_width = width.saturating_sub(columns(&right) + 2);
    let left = fitted(&format!(" {model}{}", view.subject), left_width);
    let style = look.bar();
    Line::from(vec![
        Span::styled(left, style.add_modifier(ratatui::style::Modifier::BOLD)),
        Span::styled(format!(" {right} "), style),
    ])
}

/// The customers' time and how it runs.
#[expect(clippy::cast_possible_truncation, reason = "seconds since 1970 by a thousand are far below 2^63")]
fn time(view: &View) -> String {
    if let Some(pace) = view.pace {
        let speed = if pace.is_paused { "paused".to_owned() } else { speed(pace.speed) };
        return format!("{} · {speed}", minute_of(pace.now));
    }
    let clock = view.pulse.latest().and_then(|figures| figures.clock);
    let now = clock.map(|seconds| minute_of(Timestamp::from_millis((seconds * 1_000.0) as i64))).unwrap_or_default();
    match view.pulse.speed() {
        _ if view.is_frozen => format!("{now} · frozen"),
        Some(passing) if clock.is_some() && passing > 0.0 => format!("{now} · {}", speed(passing)),
        _ => now,
    }
}

/// The keys that do something now.
fn footer(view: &View, look: Look, width: usize) -> Line<'static> {
    if let Some(written) = &view.writing {
        let prompt = " customer id: ";
        let room = width.saturating_sub(prompt.len() + 1);
        let tail: String = {
            let skipped = written.chars().count().saturating_sub(room);
            written.chars().skip(skipped).collect()
        };
        return Line::from(vec![
            Span::styled(prompt, look.heading()),
            Span::styled(tail, Look::strong()),
            Span::styled("_", look.faint()),
        ]);
    }
    let keys: &[(&str, &str)] = match (&view.page, view.pace) {
        (Page::Customer { .. }, _) => {
            &[("esc", "back"), ("↑↓", "scroll"), ("/", "another"), ("?", "help"), ("q", "quit")]
        }
        (Page::Flow, Some(_)) => &[
            ("q", "quit"),
            ("←→", "model"),
            ("space", "pause"),
            ("+-", "speed"),
            ("↑↓ enter", "customer"),
            ("/", "by id"),
            ("?", "help"),
        ],
        (Page::Flow, None) => &[
            ("q", "quit"),
            ("←→", "model"),
            ("space", "freeze"),
            ("↑↓ enter", "customer"),
            ("/", "by id"),
            ("?", "help"),
        ],
    };
    let mut line = Line::default();
    for (key, act) in keys {
        let key = if look.is_unicode {
            (*key).to_owned()
        } else {
            key.replace("←→", "left/right").replace("↑↓", "up/down")
        };
        let next = columns(&key) + act.len() + 3;
        if line.width() + next > width {
            break;
        }
        line.push_span(Span::styled(format!(" {key}"), look.heading()));
        line.push_span(Span::styled(format!(" {act} "), look.faint()));
    }
    line
}

fn help(view: &View, look: Look, frame: &mut Frame<'_>, area: Rect) {
    let mut keys = vec![
        ("left, right, tab", "the model before, after"),
        ("1 to 9", "a model by its number"),
        ("up, down", "choose a transition"),
        ("page up, page down", "ten at once"),
        ("enter", "the customer of that transition"),
        ("/", "a customer by id"),
        ("esc", "back; follow what comes"),
    ];
    if view.pace.is_some() {
        keys.extend([("space", "let time stand, or run"), ("+ -", "let it run quicker, slower")]);
    } else {
        keys.push(("space", "freeze what is shown, or go on"));
    }
    keys.push(("q, ctrl-c", "quit"));
    let signs = "→ forward   ← backward   ↓ out   ↑ back in   • beside stages";
    let mut lines: Vec<Line<'_>> = keys
        .iter()
        .map(|(key, act)| {
            Line::from(vec![Span::styled(format!(" {key:<20}"), look.heading()), Span::raw(format!("{act} "))])
        })
        .collect();
    lines.push(Line::default());
    lines.push(Line::styled(format!(" {signs}"), look.faint()));
    lines.push(Line::styled(" Of the transitions only as many scroll by as can be read.", look.faint()));
    let width = area.width.min(66);
    let height = area.height.min(u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2));
    let place = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(block("Keys", look)), place);
}

/// A frame with a title.
fn block(title: &str, look: Look) -> Block<'static> {
    Block::bordered()
        .border_set(look.border())
        .border_style(look.frame())
        .title(Span::styled(format!(" {title} "), look.heading()))
}

/// How many columns a text takes.
fn columns(text: &str) -> usize {
    Span::raw(text).width()
}

/// `text` cut or filled up to `width` columns.
fn fitted(text: &str, width: usize) -> String {
    let mut fitted = cut(text, width);
    fitted.push_str(&" ".repeat(width.saturating_sub(columns(&fitted))));
    fitted
}

/// `text` cut to `width` columns, with a sign where something was cut off.
fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    for character in text.chars() {
        if columns(&cut) + columns(character.encode_utf8(&mut [0; 4])) + 1 > width {
            break;
        }
        cut.push(character);
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// `text` in `style`, cut or filled up to `width` columns.
fn cell(text: &str, width: usize, style: Style) -> Span<'static> {
    Span::styled(fitted(text, width), style)
}
