//! A dashboard as a picture: what its panels ask for, what Prometheus answers, and how that looks.
//!
//! Knows the kinds of panels, units and options that the dashboards of this repository use; anything else is drawn as
//! an empty panel that says so.

mod bars;
mod canvas;
mod chart;
mod dashboard;
mod grid;
mod prometheus;
mod timeline;
mod unit;

use std::collections::BTreeMap;

use canvas::{Area, Canvas, INK, MUTED};
pub(crate) use dashboard::{Dashboard, Panel, Setting};
pub(crate) use prometheus::{Prometheus, Series};
pub(crate) use unit::parse_length;

/// Width of the picture.
const WIDTH: f64 = 1_320.0;
/// A column of the dashboard's grid has a 24th of the width, and a row so many pixels.
const ROW_HEIGHT: f64 = 34.0;
const GAP: f64 = 8.0;
const HEAD: f64 = 56.0;

/// The time that is shown.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Frame {
    /// From when, in seconds since 1970.
    pub(crate) start: f64,
    /// Until when.
    pub(crate) end: f64,
    /// Between two points.
    pub(crate) step: f64,
    /// Between two scrapes.
    pub(crate) scrape: f64,
}

impl Frame {
    /// A frame with about as many points as a panel can show.
    pub(crate) fn new(start: f64, end: f64, scrape: f64) -> Self {
        Self { start, end, step: ((end - start) / 200.0).ceil().max(scrape.min(5.0)), scrape }
    }

    /// What Grafana puts for `$__rate_interval`.
    pub(crate) fn rate_interval(&self) -> f64 {
        (self.step + self.scrape).max(4.0 * self.scrape)
    }
}

/// What a panel's targets brought: for each its label template and the series.
pub(crate) type Answer = Vec<(String, Series)>;

/// Draws `dashboard`, asking `prometheus` for the data.
pub(crate) fn draw(
    dashboard: &Dashboard,
    setting: &Setting,
    frame: &Frame,
    with_collapsed: bool,
    prometheus: &Prometheus,
) -> Result<String, String> {
    let mut answers = BTreeMap::new();
    let wanted = |panel: &&Panel| panel.kind != "row" && (with_collapsed || !panel.is_collapsed);
    for panel in dashboard.panels.iter().filter(wanted) {
        let answer = ask(panel, setting, frame, prometheus)
            .map_err(|problem| format!("panel {} ({}): {problem}", panel.id, panel.title))?;
        answers.insert(panel.id, answer);
    }
    Ok(paint(dashboard, setting, frame, &answers))
}

/// Everything that the queries of `panel` bring.
pub(crate) fn ask(panel: &Panel, setting: &Setting, frame: &Frame, prometheus: &Prometheus) -> Result<Answer, String> {
    let mut answer = Vec::new();
    for target in panel.targets() {
        let expression = setting.fill(&target.expression);
        let found = if target.is_instant {
            prometheus.query(&expression, frame.end)?
        } else {
            prometheus.query_range(&expression, frame)?
        };
        answer.extend(found.into_iter().map(|series| (target.legend_of(&series.labels), series)));
    }
    Ok(answer)
}

/// Paints the panels that have an answer.
pub(crate) fn paint(
    dashboard: &Dashboard,
    setting: &Setting,
    frame: &Frame,
    answers: &BTreeMap<u64, Answer>,
) -> String {
    let shown: Vec<&Panel> = dashboard
        .panels
        .iter()
        .filter(|panel| if panel.kind == "row" { panel.is_open(answers) } else { answers.contains_key(&panel.id) })
        .collect();
    let bottom = shown.iter().map(|panel| panel.y + panel.h).fold(0.0, f64::max);
    let mut canvas = Canvas::new(WIDTH, HEAD + bottom * ROW_HEIGHT + GAP);
    canvas.text(GAP + 6.0, 34.0, 19.0, INK, "start", true, &dashboard.title);
    let until = unit::clock(frame.end, frame.end - frame.start);
    let chosen = dashboard
        .variables
        .iter()
        .filter_map(|(name, label)| Some(format!("{label}: {}", setting.shown(name)?)))
        .collect::<Vec<_>>()
        .join(" · ");
    let right = format!("{chosen} · {} until {until} UTC", unit::format("s", frame.end - frame.start, None));
    canvas.text(WIDTH - GAP - 6.0, 34.0, 12.0, MUTED, "end", false, &right);
    for panel in shown {
        let column = (WIDTH - GAP) / 24.0;
        let area = Area {
            x: GAP + panel.x * column,
            y: HEAD + panel.y * ROW_HEIGHT,
            w: panel.w * column - GAP,
            h: panel.h * ROW_HEIGHT - GAP,
        };
        if panel.kind == "row" {
            canvas.text(area.x + 4.0, area.y + 19.0, 14.0, INK, "start", true, &panel.title);
            continue;
        }
        let answer = answers.get(&panel.id).map(Vec::as_slice).unwrap_or_default();
        canvas.panel(area, &panel.title);
        let inner = Area { x: area.x + 10.0, y: area.y + 30.0, w: area.w - 20.0, h: area.h - 38.0 };
        match panel.kind.as_str() {
            _ if answer.is_empty() => {
                let words = panel.default_text("noValue").unwrap_or("no data").to_owned();
                canvas.text(area.x + area.w / 2.0, area.y + area.h / 2.0 + 6.0, 12.0, MUTED, "middle", false, &words);
            }
            "stat" => bars::stat(&mut canvas, inner, panel, answer, frame),
            "bargauge" => bars::bars(&mut canvas, inner, panel, answer),
            "timeseries" => chart::chart(&mut canvas, inner, panel, answer, frame),
            "state-timeline" => timeline::timeline(&mut canvas, inner, panel, answer, frame),
            "table" => grid::table(&mut canvas, inner, panel, answer),
            other => {
                let words = format!("cannot draw a {other}");
                canvas.text(area.x + area.w / 2.0, area.y + area.h / 2.0, 12.0, MUTED, "middle", false, &words);
            }
        }
    }
    canvas.finish()
}
