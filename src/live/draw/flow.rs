//! The page of a model: numbers of the service, customers by stage with their moves, transitions that scroll by.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::look::{Look, Way};
use super::{block, cell, columns, cut};
use crate::live::log::Log;
use crate::live::pulse::{FLOW_WINDOW, Flow};
use crate::live::state::View;
use crate::live::told::{ModelStages, Passed};
use crate::live::words::{grouped, seconds};

/// The fewest lines of transitions, their frame included.
const TRANSITIONS_MIN: u16 = 3;
const BAR_MAX: usize = 40;
/// From this width on a transition tells also from where to where.
const WIDE: usize = 116;
/// Below this width a transition tells neither the hour nor why.
const NARROW: usize = 68;

pub(super) fn draw(view: &View, look: Look, frame: &mut Frame<'_>, area: Rect) {
    let [numbers_line, rest] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(Paragraph::new(numbers(view, look, area.width.into())), numbers_line);
    let Some((model, log)) = view.shown() else {
        let sentence = Line::styled(" waiting for the service", look.faint());
        frame.render_widget(Paragraph::new(vec![Line::default(), sentence]), rest);
        return;
    };
    let inner_width = usize::from(rest.width.saturating_sub(2));
    let rows = stages(view, model, look, inner_width);
    let wanted = u16::try_from(rows.len()).unwrap_or(u16::MAX).saturating_add(2);
    let height = wanted.min(rest.height.saturating_sub(TRANSITIONS_MIN));
    let [stages_area, log_area] = Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas(rest);
    let title = format!("Customers by stage, moves of the last {} s", FLOW_WINDOW.as_secs());
    let room = usize::from(height.saturating_sub(2));
    frame.render_widget(Paragraph::new(pick(rows, room)).block(block(&title, look)), stages_area);
    transitions(view, model, log, look, frame, log_area);
}

/// A line of the stages, and whether it can be done without.
struct Row {
    line: Line<'static>,
    is_spare: bool,
}

/// As many rows as there is room for, the spare ones given up first.
fn pick(mut rows: Vec<Row>, room: usize) -> Vec<Line<'static>> {
    while rows.len() > room {
        match rows.iter().rposition(|row| row.is_spare) {
            Some(spare) => drop(rows.remove(spare)),
            None => rows.truncate(room),
        }
    }
    rows.into_iter().map(|row| row.line).collect()
}

/// What the service does, in numbers; the least important are left out.
fn numbers(view: &View, look: Look, width: usize) -> Line<'static> {
    if let Some(why) = &view.silence {
        return Line::styled(cut(&format!(" {why}"), width), look.alarm());
    }
    let Some(figures) = view.pulse.latest() else { return Line::default() };
    let rate = |rate: Option<u64>| rate.map_or("-".to_owned(), grouped);
    let latency = view.pulse.latency();
    let mut items = vec![
        ("", rate(view.pulse.rate(|figures| figures.touchpoints)), " touchpoints/s"),
        ("", rate(view.pulse.rate(|figures| figures.transitions)), " transitions/s"),
        ("commit ", latency.map_or("-".to_owned(), |latency| seconds(latency.middle)), ""),
        ("lag ", grouped(figures.lag_records), ""),
        ("", grouped(figures.customers_kept), " customers"),
    ];
    if let Some(latency) = latency {
        items.push(("99 % of commits in ", seconds(latency.high), ""));
    }
    let mut line = Line::raw(" ");
    for (before, number, after) in items {
        let needed = before.len() + columns(&number) + after.len();
        if line.width() + needed > width {
            break;
        }
        line.push_span(Span::styled(before, look.faint()));
        line.push_span(Span::styled(number, Look::strong()));
        line.push_span(Span::styled(format!("{after}   "), look.faint()));
    }
    if !figures.is_ready && line.width() + 20 <= width {
        line.push_span(Span::styled("not ready", look.alarm()));
    }
    let room = width.saturating_sub(line.width() + 1).min(30);
    if room >= 10 {
        let gap = width - line.width() - room - 1;
        line.push_span(Span::raw(" ".repeat(gap)));
        line.push_span(Span::styled(look.columns_of(view.pulse.history(), room), look.frame()));
    }
    line
}

fn stages(view: &View, model: &ModelStages, look: Look, width: usize) -> Vec<Row> {
    let figures = view.pulse.latest();
    let count = |stage: &str| {
        let key = (model.name.clone(), stage.to_owned());
        figures.and_then(|figures| figures.customers.get(&key).copied()).unwrap_or_default()
    };
    let flows = view.pulse.flows(&model.name);
    let most = model.stages.iter().map(|stage| count(&stage.name)).max().unwrap_or_default();
    let names = model.stages.iter().map(|stage| columns(&stage.name));
    let name_width = names.max().unwrap_or_default().max(10).min(width / 3);
    let count_width = grouped(most.max(count(""))).len().max(6) + 1;
    let bar_width = (width.saturating_sub(name_width + count_width + 4) * 2 / 5).min(BAR_MAX);
    let journey = model.stages.iter().filter(|stage| !stage.is_outside).count();
    let row = |name: &str, style: Style, bar: Option<u64>, from: &str| {
        let mut line = Line::from(vec![Span::raw(" "), cell(name, name_width, style), Span::raw(" ")]);
        match bar {
            Some(count) => {
                line.push_span(Span::styled(look.bar_of(count, most, bar_width), style));
                line.push_span(Span::styled(format!("{:>count_width$}", grouped(count)), Look::strong()));
            }
            None => line.push_span(Span::raw(" ".repeat(bar_width + count_width))),
        }
        line.push_span(Span::raw("  "));
        moves(&mut line, model, flows.iter().filter(|flow| flow.from == from), look, width);
        line
    };
    let newcomers = row("newcomers", look.faint(), None, "");
    let mut rows = vec![Row { line: newcomers, is_spare: true }];
    for (place, stage) in model.stages.iter().enumerate() {
        let style = look.stage((!stage.is_outside).then_some(place), journey);
        rows.push(Row { line: row(&stage.name, style, Some(count(&stage.name)), &stage.name), is_spare: false });
    }
    if count("") > 0 {
        let mut line = Line::from(vec![
            Span::raw(" "),
            cell("no stage", name_width, look.faint()),
            Span::raw(" ".repeat(bar_width + 1)),
            Span::styled(format!("{:>count_width$}", grouped(count(""))), look.faint()),
        ]);
        line.push_span(Span::raw("  "));
        rows.push(Row { line, is_spare: true });
    }
    rows
}

/// Where customers of a stage went, as far as there is room.
fn moves<'a>(
    line: &mut Line<'static>,
    model: &ModelStages,
    flows: impl Iterator<Item = &'a Flow>,
    look: Look,
    width: usize,
) {
    for flow in flows {
        let way = way(model, flow);
        let to = if flow.to.is_empty() { "none" } else { &flow.to };
        let number = grouped(flow.customers);
        let needed = 2 + columns(to) + 1 + number.len() + 2;
        if line.width() + needed > width {
            break;
        }
        line.push_span(Span::styled(format!("{} {to} ", Look::sign(way)), look.way(way)));
        line.push_span(Span::styled(format!("{number}  "), Look::strong()));
    }
}

fn way(model: &ModelStages, flow: &Flow) -> Way {
    let place = |name: &str| model.stages.iter().position(|stage| stage.name == name);
    let is_outside = |place: Option<usize>| place.is_some_and(|place| model.stages[place].is_outside);
    let (from, to) = (place(&flow.from), place(&flow.to));
    match (is_outside(from), is_outside(to)) {
        (_, true) => Way::Exit,
        (true, false) => Way::Reentry,
        (false, false) if to.is_some() && to >= from => Way::Forward,
        (false, false) => Way::Backward,
    }
}

fn transitions(view: &View, model: &ModelStages, log: &Log, look: Look, frame: &mut Frame<'_>, area: Rect) {
    let mut title = format!("Transitions of {}", model.name);
    if view.is_frozen {
        title.push_str(", frozen");
    } else if log.chosen().is_some() {
        title.push_str(", esc follows again");
    }
    let block = block(&cut(&title, usize::from(area.width.saturating_sub(6))), look);
    let inner = block.inner(area);
    let (width, height) = (usize::from(inner.width), usize::from(inner.height));
    let detail = log.chosen().filter(|_| height >= 5).map(|passed| detail(passed, look, width)).unwrap_or_default();
    let room = height.saturating_sub(detail.len());
    let (window, chosen) = log.window(room);
    let mut lines: Vec<Line<'_>> = if window.is_empty() {
        let figures = view.pulse.latest();
        let sentence = match figures {
            Some(figures) if figures.is_ready => " no transition yet",
            _ => " the service joins its group; the first transitions follow in some seconds",
        };
        vec![Line::styled(cut(sentence, width), look.faint())]
    } else {
        let name_width = window.iter().map(|passed| columns(&passed.name)).max().unwrap_or_default();
        let at = |(place, passed): (usize, &&Passed)| {
            let line = transition(passed, name_width.clamp(18, 26), look, width);
            if Some(place) == chosen { line.style(look.cursor()) } else { line }
        };
        window.iter().enumerate().map(at).collect()
    };
    lines.resize(room, Line::default());
    lines.extend(detail);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// A transition in a line.
fn transition(passed: &Passed, name_width: usize, look: Look, width: usize) -> Line<'static> {
    let way = Way::of(&passed.direction);
    let is_narrow = width < NARROW;
    let time = if is_narrow { passed.occurred_at.get(5..10) } else { passed.occurred_at.get(5..) };
    let time = time.unwrap_or_default();
    let mut line = Line::from(vec![
        Span::styled(format!(" {} ", Look::sign(way)), look.way(way)),
        Span::styled(format!("{time} "), look.faint()),
        cell(&passed.customer_id, 15, Style::new()),
        cell(&passed.name, name_width.min(width.saturating_sub(line_width(time) + 1)), look.way(way)),
    ]);
    if width >= WIDE {
        line.push_span(cell(&format!("  {}", passed.change), 34, look.faint()));
    }
    let room = width.saturating_sub(line.width() + 2);
    if room > 3 {
        line.push_span(Span::styled(format!("  {}", cut(&passed.reason, room)), look.faint()));
    }
    let missing = width.saturating_sub(line.width());
    line.push_span(Span::raw(" ".repeat(missing)));
    line
}

/// What stands before the name of a transition.
fn line_width(time: &str) -> usize {
    3 + time.len() + 1 + 15
}

/// More about the transition under the cursor.
fn detail(passed: &Passed, look: Look, width: usize) -> Vec<Line<'static>> {
    let change = if passed.change.is_empty() { String::new() } else { format!(": {}", passed.change) };
    let because =
        if passed.condition.is_empty() { "no stage's condition holds".to_owned() } else { passed.condition.clone() };
    [
        (format!(" {}{change}, {}", passed.name, passed.reason), Style::new()),
        (format!(" because {because}"), look.faint()),
    ]
    .map(|(text, style)| Line::styled(cut(&text, width), style))
    .into()
}
