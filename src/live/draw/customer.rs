//! The page of a customer: where they stand and why, what comes next, what happened, what is known.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::look::{Look, Way};
use super::{block, cell, columns, cut};
use crate::live::state::Known;
use crate::live::told::{CustomerPage, Passed, Standing};

/// From this width on a transition tells also from where to where.
const WIDE: usize = 110;

pub(super) fn draw(id: &str, known: &Known, scrolled: usize, look: Look, frame: &mut Frame<'_>, area: Rect) {
    let block = block(&cut(&format!("Customer {id}"), usize::from(area.width.saturating_sub(6))), look);
    let inner = block.inner(area);
    let width = usize::from(inner.width);
    let lines = match known {
        Known::Waiting => vec![Line::styled(" asking the service", look.faint())],
        Known::Nothing(why) => {
            vec![Line::default(), Line::styled(format!(" {}", cut(why, width)), look.alarm())]
        }
        Known::Page(page) => lines(page, look, width),
    };
    let first = scrolled.min(lines.len().saturating_sub(usize::from(inner.height)));
    let shown: Vec<Line<'_>> = lines.into_iter().skip(first).collect();
    frame.render_widget(Paragraph::new(shown).block(block), area);
}

fn lines(page: &CustomerPage, look: Look, width: usize) -> Vec<Line<'static>> {
    let text = |text: String, style| Line::styled(cut(&text, width), style);
    let heading = |title: &str| vec![Line::default(), Line::styled(format!(" {title}"), look.heading())];
    let mut lines = vec![text(format!(" {}; as of {}", page.orders, page.clock), Look::strong())];
    lines.extend(heading("Stands"));
    let model_width = page.standings.iter().map(|standing| columns(&standing.model)).max().unwrap_or_default();
    for standing in &page.standings {
        lines.extend(stands(standing, model_width, look, width));
    }
    lines.extend(heading("If nothing more is heard"));
    if page.forecast.is_empty() {
        let told = if page.next_wake_up.is_empty() { "nothing changes by time alone" } else { "nothing is published" };
        lines.push(text(format!("   {told}"), look.faint()));
    }
    lines.extend(page.forecast.iter().map(|passed| transition(passed, look, width)));
    lines.extend(heading("Latest transitions"));
    if page.latest.is_empty() {
        lines.push(text("   none is kept".to_owned(), look.faint()));
    }
    lines.extend(page.latest.iter().map(|passed| transition(passed, look, width)));
    lines.extend(heading("Facts"));
    let name_width = page.facts.iter().map(|(name, _)| columns(name)).max().unwrap_or_default().min(width / 2);
    for (name, value) in &page.facts {
        lines.push(Line::from(vec![
            Span::raw("   "),
            cell(name, name_width, look.faint()),
            Span::raw(format!("  {}", cut(value, width.saturating_sub(name_width + 5)))),
        ]));
    }
    lines
}

fn stands(standing: &Standing, model_width: usize, look: Look, width: usize) -> Vec<Line<'static>> {
    let mut line = Line::from(vec![
        Span::raw("   "),
        cell(&standing.model, model_width, look.faint()),
        Span::raw("  "),
        cell(&standing.stage, 18, Look::strong()),
    ]);
    if !standing.since.is_empty() && line.width() + 24 <= width {
        line.push_span(Span::styled(format!("  since {}", standing.since), look.faint()));
    }
    let mut lines = vec![line];
    let values = if standing.values.is_empty() { standing.condition.clone() } else { standing.values.clone() };
    if !values.is_empty() {
        let indent = " ".repeat(model_width + 5);
        lines.push(Line::styled(cut(&format!("{indent}{values}"), width), Style::new()));
    }
    lines
}

fn transition(passed: &Passed, look: Look, width: usize) -> Line<'static> {
    let way = Way::of(&passed.direction);
    let mut line = Line::from(vec![
        Span::styled(format!("   {} ", Look::sign(way)), look.way(way)),
        Span::styled(format!("{}  ", passed.occurred_at), look.faint()),
        cell(&passed.name, 25, look.way(way)),
    ]);
    if width >= WIDE {
        line.push_span(cell(&passed.change, 32, Style::new()));
        line.push_span(Span::raw(" "));
    }
    if line.width() + 22 <= width {
        line.push_span(cell(&passed.model, 21, look.faint()));
    }
    let room = width.saturating_sub(line.width() + 1);
    if room > 3 {
        line.push_span(Span::styled(cut(&passed.reason, room), look.faint()));
    }
    line
}
