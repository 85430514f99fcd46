//! The customer page: current stages with their reasons, forecast, latest transitions and facts.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::theme::{MoveDirection, Theme};
use super::{block, cell, columns, cut};
use crate::live::format::{shorten_reason, wrap};
use crate::live::update::{CustomerPage, StandingRow, TransitionRow};
use crate::live::view::CustomerState;

/// Minimum width in columns at which a transition shows the old and the new stage.
const STAGE_CHANGE_WIDTH_MIN: usize = 110;

pub(super) fn draw(id: &str, state: &CustomerState, scroll: usize, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let block = block(&cut(&format!("Customer {id}"), usize::from(area.width.saturating_sub(6))), theme);
    let inner = block.inner(area);
    let width = usize::from(inner.width);
    let lines = match state {
        CustomerState::Loading => vec![Line::styled(" loading", theme.muted())],
        CustomerState::Unavailable(why) => {
            let lines = wrap(why, width.saturating_sub(2)).into_iter();
            let lines = lines.map(|line| Line::styled(format!(" {line}"), theme.error()));
            std::iter::once(Line::default()).chain(lines).collect()
        }
        CustomerState::Loaded(page) => lines(page, theme, width),
    };
    let first = scroll.min(lines.len().saturating_sub(usize::from(inner.height)));
    let shown: Vec<Line<'_>> = lines.into_iter().skip(first).collect();
    frame.render_widget(Paragraph::new(shown).block(block), area);
}

fn lines(page: &CustomerPage, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let text = |text: String, style| Line::styled(cut(&text, width), style);
    let heading = |title: &str| vec![Line::default(), Line::styled(format!(" {title}"), theme.heading())];
    let mut lines = vec![text(format!(" {}; as of {}", page.orders, page.now), Theme::strong())];
    lines.extend(heading("Current stages"));
    let model_width = page.standings.iter().map(|standing| columns(&standing.model)).max().unwrap_or_default();
    for standing in &page.standings {
        lines.extend(standing_lines(standing, model_width, theme, width));
    }
    lines.extend(heading("Forecast without further touchpoints"));
    if page.forecast.is_empty() {
        let empty = if page.next_wake_up.is_empty() { "no change by time alone" } else { "no transition" };
        lines.push(text(format!("   {empty}"), theme.muted()));
    }
    lines.extend(page.forecast.iter().map(|row| transition(row, theme, width)));
    lines.extend(heading("Latest transitions"));
    if page.latest.is_empty() {
        lines.push(text("   no recent transitions".to_owned(), theme.muted()));
    }
    lines.extend(page.latest.iter().map(|row| transition(row, theme, width)));
    lines.extend(heading("Facts"));
    let name_width = page.facts.iter().map(|(name, _)| columns(name)).max().unwrap_or_default().min(width / 2);
    for (name, value) in &page.facts {
        lines.push(Line::from(vec![
            Span::raw("   "),
            cell(name, name_width, theme.muted()),
            Span::raw(format!("  {}", cut(value, width.saturating_sub(name_width + 5)))),
        ]));
    }
    lines
}

fn standing_lines(standing: &StandingRow, model_width: usize, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let mut line = Line::from(vec![
        Span::raw("   "),
        cell(&standing.model, model_width, theme.muted()),
        Span::raw("  "),
        cell(&standing.stage, 18, Theme::strong()),
    ]);
    if !standing.since.is_empty() && line.width() + 24 <= width {
        line.push_span(Span::styled(format!("  since {}", standing.since), theme.muted()));
    }
    let mut lines = vec![line];
    let values = if standing.values.is_empty() { standing.condition.clone() } else { standing.values.clone() };
    let indent = " ".repeat(model_width + 5);
    let room = width.saturating_sub(indent.len() + 1);
    let mut add = |text: &str, style: Style| {
        lines.extend(wrap(text, room).into_iter().map(|part| Line::styled(format!("{indent}{part}"), style)));
    };
    add(&values, Style::new());
    for signal in &standing.signals {
        add(&format!("signal {signal}"), theme.direction(MoveDirection::of("")));
    }
    lines
}

fn transition(row: &TransitionRow, theme: Theme, width: usize) -> Line<'static> {
    let direction = MoveDirection::of(&row.direction);
    let mut line = Line::from(vec![
        Span::styled(format!("   {} ", Theme::symbol(direction)), theme.direction(direction)),
        Span::styled(format!("{}  ", row.occurred_at), theme.muted()),
        cell(&row.name, 25, theme.direction(direction)),
    ]);
    if width >= STAGE_CHANGE_WIDTH_MIN {
        line.push_span(cell(&row.change, 32, Style::new()));
        line.push_span(Span::raw(" "));
    }
    if line.width() + 22 <= width {
        line.push_span(cell(&row.model, 21, theme.muted()));
    }
    let room = width.saturating_sub(line.width() + 1);
    if room > 3 {
        line.push_span(Span::styled(shorten_reason(&row.reason, room).to_owned(), theme.muted()));
    }
    line
}
