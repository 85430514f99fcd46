//! Draws the view into a frame. The same view at the same size gives the same frame, independent of the terminal.
//!
//! At small sizes, the least important content is left out. Lines do not wrap, and no size causes a panic.

mod customer;
mod model;
mod theme;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::format::{format_to_minute, speed};
use super::view::{Page, View};
pub use theme::Theme;

/// Minimum width in columns; a smaller frame shows only a message.
const WIDTH_MIN: u16 = 40;
/// Minimum height in lines; a smaller frame shows only a message.
const HEIGHT_MIN: u16 = 10;

/// Draws `view`.
pub fn draw(view: &View, theme: Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let sentence = format!("terminal too small: at least {WIDTH_MIN}x{HEIGHT_MIN}; q quits");
        let wrapped = Paragraph::new(sentence).wrap(ratatui::widgets::Wrap { trim: true });
        frame.render_widget(wrapped, area);
        return;
    }
    let [top, body, bottom] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(area);
    frame.render_widget(Paragraph::new(title(view, theme, top.width.into())).style(theme.title_bar()), top);
    match &view.page {
        Page::Model => model::draw(view, theme, frame, body),
        Page::Customer { id, state, scroll } => customer::draw(id, state, *scroll, theme, frame, body),
    }
    frame.render_widget(Paragraph::new(footer(view, theme, bottom.width.into())), bottom);
    if view.shows_help {
        help(view, theme, frame, area);
    }
    theme.replace_unicode(frame.buffer_mut());
}

/// Returns the title bar: the model, the title of the view, and the clock.
fn title(view: &View, theme: Theme, width: usize) -> Line<'static> {
    let model = match view.current_model() {
        Some((model, _)) => format!("{}  {}/{} · ", model.title, view.model + 1, view.models.len()),
        None => String::new(),
    };
    let right = time(view);
    let left_width = width.saturating_sub(columns(&right) + 2);
    let left = fit_to_width(&format!(" {model}{}", view.title), left_width);
    let style = theme.title_bar();
    Line::from(vec![
        Span::styled(left, style.add_modifier(ratatui::style::Modifier::BOLD)),
        Span::styled(format!(" {right} "), style),
    ])
}

/// Returns the simulated clock or the watermark, and its speed.
fn time(view: &View) -> String {
    if let Some(clock_status) = view.clock_status {
        let speed = if clock_status.is_paused { "paused".to_owned() } else { speed(clock_status.speed) };
        return format!("{} · {speed}", format_to_minute(clock_status.now));
    }
    let watermark = view.metrics.latest().and_then(|overview| overview.watermark);
    let now = watermark.map(format_to_minute).unwrap_or_default();
    match view.metrics.speed() {
        _ if view.is_frozen => format!("{now} · frozen"),
        Some(advance) if watermark.is_some() && advance > 0.0 => format!("{now} · {}", speed(advance)),
        _ => now,
    }
}

/// Returns the keys available on the current page, or the prompt for a customer id.
fn footer(view: &View, theme: Theme, width: usize) -> Line<'static> {
    if let Some(input) = &view.id_input {
        let prompt = " customer id: ";
        let room = width.saturating_sub(prompt.len() + 1);
        let tail: String = {
            let skipped = input.chars().count().saturating_sub(room);
            input.chars().skip(skipped).collect()
        };
        return Line::from(vec![
            Span::styled(prompt, theme.heading()),
            Span::styled(tail, Theme::strong()),
            Span::styled("_", theme.muted()),
        ]);
    }
    let keys: &[(&str, &str)] = match (&view.page, view.clock_status) {
        (Page::Customer { .. }, _) => {
            &[("esc", "back"), ("↑↓", "scroll"), ("/", "another"), ("?", "help"), ("q", "quit")]
        }
        (Page::Model, Some(_)) => &[
            ("q", "quit"),
            ("←→", "model"),
            ("space", "pause"),
            ("+-", "speed"),
            ("↑↓ enter", "customer"),
            ("/", "by id"),
            ("?", "help"),
        ],
        (Page::Model, None) => &[
            ("q", "quit"),
            ("←→", "model"),
            ("space", "freeze"),
            ("↑↓ enter", "customer"),
            ("/", "by id"),
            ("?", "help"),
        ],
    };
    let mut line = Line::default();
    for (key, description) in keys {
        let key = if theme.is_unicode {
            (*key).to_owned()
        } else {
            key.replace("←→", "left/right").replace("↑↓", "up/down")
        };
        let next = columns(&key) + description.len() + 3;
        if line.width() + next > width {
            break;
        }
        line.push_span(Span::styled(format!(" {key}"), theme.heading()));
        line.push_span(Span::styled(format!(" {description} "), theme.muted()));
    }
    line
}

fn help(view: &View, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let mut keys = vec![
        ("left, right, tab", "previous or next model"),
        ("1 to 9", "select a model by number"),
        ("up, down", "select a transition"),
        ("page up, page down", "move by ten"),
        ("enter", "open the customer of the transition"),
        ("/", "open a customer by id"),
        ("esc", "back; follow new transitions"),
    ];
    if view.clock_status.is_some() {
        keys.extend([("space", "pause or resume time"), ("+ -", "speed time up or down")]);
    } else {
        keys.push(("space", "freeze or unfreeze the view"));
    }
    keys.push(("q, ctrl-c", "quit"));
    let symbols = "→ forward   ← backward   ↓ exit   ↑ re-entry   • not a stage";
    let mut lines: Vec<Line<'_>> = keys
        .iter()
        .map(|(key, description)| {
            Line::from(vec![Span::styled(format!(" {key:<20}"), theme.heading()), Span::raw(format!("{description} "))])
        })
        .collect();
    lines.push(Line::default());
    lines.push(Line::styled(format!(" {symbols}"), theme.muted()));
    lines.push(Line::styled(" Only a sample of the transitions is shown.", theme.muted()));
    let width = area.width.min(66);
    let height = area.height.min(u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2));
    let popup = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, popup);
    frame.render_widget(Paragraph::new(lines).block(block("Keys", theme)), popup);
}

/// Returns a bordered block with a title.
fn block(title: &str, theme: Theme) -> Block<'static> {
    Block::bordered()
        .border_set(theme.border())
        .border_style(theme.border_style())
        .title(Span::styled(format!(" {title} "), theme.heading()))
}

/// Returns the display width of `text` in columns.
fn columns(text: &str) -> usize {
    Span::raw(text).width()
}

/// Cuts or pads `text` to `width` columns.
fn fit_to_width(text: &str, width: usize) -> String {
    let mut text = cut(text, width);
    text.push_str(&" ".repeat(width.saturating_sub(columns(&text))));
    text
}

/// Cuts `text` to `width` columns; an ellipsis marks the cut.
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

/// Cuts or pads `text` to `width` columns, in `style`.
fn cell(text: &str, width: usize, style: Style) -> Span<'static> {
    Span::styled(fit_to_width(text, width), style)
}
