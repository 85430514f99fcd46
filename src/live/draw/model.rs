//! The model page: service metrics, customers by stage with recent moves, and the scrolling list of transitions.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::theme::{MoveDirection, Theme};
use super::{block, cell, columns, cut};
use crate::live::format::{seconds, shorten_reason, with_separators, wrap};
use crate::live::recent_metrics::{MOVES_WINDOW, StageMove};
use crate::live::transition_log::TransitionLog;
use crate::live::update::{ModelStages, TransitionRow};
use crate::live::view::View;

/// Minimum height of the transition list, in lines including its border.
const TRANSITIONS_MIN: u16 = 3;
/// Maximum width of a bar, in columns.
const BAR_MAX: usize = 40;
/// Minimum width in columns at which a transition shows the old and the new stage.
const STAGE_CHANGE_WIDTH_MIN: usize = 116;
/// Minimum width in columns at which a transition shows the time of day.
const TIME_OF_DAY_WIDTH_MIN: usize = 68;

pub(super) fn draw(view: &View, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let [metrics_line, rest] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(Paragraph::new(metrics(view, theme, area.width.into())), metrics_line);
    let Some((model, log)) = view.current_model() else {
        let sentence = Line::styled(" waiting for the service", theme.muted());
        frame.render_widget(Paragraph::new(vec![Line::default(), sentence]), rest);
        return;
    };
    let inner_width = usize::from(rest.width.saturating_sub(2));
    let rows = stages(view, model, theme, inner_width);
    let wanted = u16::try_from(rows.len()).unwrap_or(u16::MAX).saturating_add(2);
    let height = wanted.min(rest.height.saturating_sub(TRANSITIONS_MIN));
    let [stages_area, log_area] = Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas(rest);
    let title = format!("Customers by stage, moves of the last {} s", MOVES_WINDOW.as_secs());
    let room = usize::from(height.saturating_sub(2));
    frame.render_widget(Paragraph::new(fit(rows, room)).block(block(&title, theme)), stages_area);
    transitions(view, model, log, theme, frame, log_area);
}

/// A line of the stage table, and whether it may be left out.
struct Row {
    line: Line<'static>,
    is_optional: bool,
}

/// Drops rows until `room` are left, optional rows first.
fn fit(mut rows: Vec<Row>, room: usize) -> Vec<Line<'static>> {
    while rows.len() > room {
        match rows.iter().rposition(|row| row.is_optional) {
            Some(optional) => drop(rows.remove(optional)),
            None => rows.truncate(room),
        }
    }
    rows.into_iter().map(|row| row.line).collect()
}

/// Returns the service metrics in one line, most important first. Metrics that do not fit are left out.
fn metrics(view: &View, theme: Theme, width: usize) -> Line<'static> {
    if let Some(why) = &view.connection_error {
        return Line::styled(cut(&format!(" {why}"), width), theme.error());
    }
    let Some(overview) = view.metrics.latest() else { return Line::default() };
    let rate = |rate: Option<u64>| rate.map_or("-".to_owned(), with_separators);
    let latency = view.metrics.latency();
    let mut items = vec![
        ("", rate(view.metrics.rate(|overview| overview.touchpoints)), " touchpoints/s"),
        ("", rate(view.metrics.rate(|overview| overview.transitions)), " transitions/s"),
        ("commit ", latency.map_or("-".to_owned(), |latency| seconds(latency.median)), ""),
        ("lag ", with_separators(overview.lag_records), ""),
        ("", with_separators(overview.customers), " customers"),
    ];
    if let Some(latency) = latency {
        items.push(("99 % of commits in ", seconds(latency.p99), ""));
    }
    let mut line = Line::raw(" ");
    for (before, number, after) in items {
        let needed = before.len() + columns(&number) + after.len();
        if line.width() + needed > width {
            break;
        }
        line.push_span(Span::styled(before, theme.muted()));
        line.push_span(Span::styled(number, Theme::strong()));
        line.push_span(Span::styled(format!("{after}   "), theme.muted()));
    }
    if !overview.is_ready && line.width() + 20 <= width {
        line.push_span(Span::styled("not ready", theme.error()));
    }
    let room = width.saturating_sub(line.width() + 1).min(30);
    if room >= 10 {
        let gap = width - line.width() - room - 1;
        line.push_span(Span::raw(" ".repeat(gap)));
        line.push_span(Span::styled(theme.sparkline(view.metrics.history(), room), theme.border_style()));
    }
    line
}

fn stages(view: &View, model: &ModelStages, theme: Theme, width: usize) -> Vec<Row> {
    let overview = view.metrics.latest();
    let count = |stage: &str| {
        let key = (model.name.clone(), stage.to_owned());
        overview.and_then(|overview| overview.customers_by_stage.get(&key).copied()).unwrap_or_default()
    };
    let stage_moves = view.metrics.stage_moves(&model.name);
    let max = model.stages.iter().map(|stage| count(&stage.name)).max().unwrap_or_default();
    let names = model.stages.iter().map(|stage| columns(&stage.name));
    let name_width = names.max().unwrap_or_default().max(10).min(width / 3);
    let count_width = with_separators(max.max(count(""))).len().max(6) + 1;
    let bar_width = (width.saturating_sub(name_width + count_width + 4) * 2 / 5).min(BAR_MAX);
    let journey_length = model.stages.iter().filter(|stage| !stage.is_outside).count();
    let row = |name: &str, style: Style, bar: Option<u64>, from: &str| {
        let mut line = Line::from(vec![Span::raw(" "), cell(name, name_width, style), Span::raw(" ")]);
        match bar {
            Some(count) => {
                line.push_span(Span::styled(theme.bar(count, max, bar_width), style));
                line.push_span(Span::styled(format!("{:>count_width$}", with_separators(count)), Theme::strong()));
            }
            None => line.push_span(Span::raw(" ".repeat(bar_width + count_width))),
        }
        line.push_span(Span::raw("  "));
        moves(&mut line, model, stage_moves.iter().filter(|stage_move| stage_move.from == from), theme, width);
        line
    };
    let newcomer_row = row("newcomers", theme.muted(), None, "");
    let mut rows = vec![Row { line: newcomer_row, is_optional: true }];
    for (index, stage) in model.stages.iter().enumerate() {
        let style = theme.stage((!stage.is_outside).then_some(index), journey_length);
        rows.push(Row { line: row(&stage.name, style, Some(count(&stage.name)), &stage.name), is_optional: false });
    }
    if count("") > 0 {
        let mut line = Line::from(vec![
            Span::raw(" "),
            cell("no stage", name_width, theme.muted()),
            Span::raw(" ".repeat(bar_width + 1)),
            Span::styled(format!("{:>count_width$}", with_separators(count(""))), theme.muted()),
        ]);
        line.push_span(Span::raw("  "));
        rows.push(Row { line, is_optional: true });
    }
    rows
}

/// Appends moves to `line` until it is `width` columns wide.
fn moves<'a>(
    line: &mut Line<'static>,
    model: &ModelStages,
    stage_moves: impl Iterator<Item = &'a StageMove>,
    theme: Theme,
    width: usize,
) {
    for stage_move in stage_moves {
        let direction = direction(model, stage_move);
        let to = if stage_move.to.is_empty() { "none" } else { &stage_move.to };
        let number = with_separators(stage_move.customers);
        let needed = 2 + columns(to) + 1 + number.len() + 2;
        if line.width() + needed > width {
            break;
        }
        line.push_span(Span::styled(format!("{} {to} ", Theme::symbol(direction)), theme.direction(direction)));
        line.push_span(Span::styled(format!("{number}  "), Theme::strong()));
    }
}

fn direction(model: &ModelStages, stage_move: &StageMove) -> MoveDirection {
    let index = |name: &str| model.stages.iter().position(|stage| stage.name == name);
    let is_outside = |index: Option<usize>| index.is_some_and(|index| model.stages[index].is_outside);
    let (from, to) = (index(&stage_move.from), index(&stage_move.to));
    match (is_outside(from), is_outside(to)) {
        (_, true) => MoveDirection::Exit,
        (true, false) => MoveDirection::Reentry,
        (false, false) if to.is_some() && to >= from => MoveDirection::Forward,
        (false, false) => MoveDirection::Backward,
    }
}

fn transitions(view: &View, model: &ModelStages, log: &TransitionLog, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let mut title = format!("Transitions of {}", model.name);
    if view.is_frozen {
        title.push_str(", frozen");
    } else if log.selected().is_some() {
        title.push_str(", esc to follow");
    }
    let block = block(&cut(&title, usize::from(area.width.saturating_sub(6))), theme);
    let inner = block.inner(area);
    let (width, height) = (usize::from(inner.width), usize::from(inner.height));
    let mut detail = log.selected().filter(|_| height >= 5).map(|row| detail(row, theme, width)).unwrap_or_default();
    // The list keeps half of the space.
    detail.truncate(height / 2);
    let room = height.saturating_sub(detail.len());
    let (window, selected) = log.window(room);
    let mut lines: Vec<Line<'_>> = if window.is_empty() {
        let sentence = match view.metrics.latest() {
            Some(overview) if overview.is_ready => " no transitions yet",
            _ => " joining the consumer group; the first transitions follow in a few seconds",
        };
        vec![Line::styled(cut(sentence, width), theme.muted())]
    } else {
        let name_width = window.iter().map(|row| columns(&row.name)).max().unwrap_or_default();
        let line = |(index, row): (usize, &&TransitionRow)| {
            let line = transition(row, name_width.clamp(18, 26), theme, width);
            if Some(index) == selected { line.style(theme.selected()) } else { line }
        };
        window.iter().enumerate().map(line).collect()
    };
    lines.resize(room, Line::default());
    lines.extend(detail);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// Formats a transition as one line.
fn transition(row: &TransitionRow, name_width: usize, theme: Theme, width: usize) -> Line<'static> {
    let direction = MoveDirection::of(&row.direction);
    let is_narrow = width < TIME_OF_DAY_WIDTH_MIN;
    let time = if is_narrow { row.occurred_at.get(5..10) } else { row.occurred_at.get(5..) };
    let time = time.unwrap_or_default();
    let mut line = Line::from(vec![
        Span::styled(format!(" {} ", Theme::symbol(direction)), theme.direction(direction)),
        Span::styled(format!("{time} "), theme.muted()),
        cell(&row.customer_id, 15, Style::new()),
        cell(&row.name, name_width.min(width.saturating_sub(prefix_width(time) + 1)), theme.direction(direction)),
    ]);
    if width >= STAGE_CHANGE_WIDTH_MIN {
        line.push_span(cell(&format!("  {}", row.change), 34, theme.muted()));
    }
    let room = width.saturating_sub(line.width() + 2);
    if room > 3 {
        line.push_span(Span::styled(format!("  {}", shorten_reason(&row.reason, room)), theme.muted()));
    }
    let missing = width.saturating_sub(line.width());
    line.push_span(Span::raw(" ".repeat(missing)));
    line
}

/// Returns the width of symbol, time and customer id, which precede the name of a transition.
fn prefix_width(time: &str) -> usize {
    3 + time.len() + 1 + 15
}

/// Returns the details of the selected transition.
fn detail(row: &TransitionRow, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let change = if row.change.is_empty() { String::new() } else { format!(": {}", row.change) };
    let because = if row.condition.is_empty() { "no stage condition holds".to_owned() } else { row.condition.clone() };
    [(format!("{}{change}, {}", row.name, row.reason), Style::new()), (format!("because {because}"), theme.muted())]
        .into_iter()
        .flat_map(|(text, style)| {
            let lines = wrap(&text, width.saturating_sub(2)).into_iter();
            lines.map(move |line| Line::styled(format!(" {line}"), style))
        })
        .collect()
}
