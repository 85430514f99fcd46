//! Renders a dashboard as SVG: queries Prometheus for each panel and draws the result.
//!
//! Supports the panel types, units and options that the dashboards of this repository use. Any other panel is drawn
//! empty, with a message.

mod bars;
mod canvas;
mod chart;
mod dashboard;
mod prometheus;
mod table;
mod timeline;
mod unit;

use std::collections::BTreeMap;

use canvas::{Area, Canvas, INK, MUTED};
pub(crate) use dashboard::{Dashboard, Panel, VariableValues};
pub(crate) use prometheus::{Prometheus, Series};
pub(crate) use unit::parse_length;

/// Width of the SVG, in pixels.
const WIDTH: f64 = 1_320.0;
/// Height of a row of the dashboard grid, in pixels. A column of the grid is 1/24 of the width.
const ROW_HEIGHT: f64 = 34.0;
/// Gap between panels, in pixels.
const GAP: f64 = 8.0;
/// Height of the title, in pixels.
const HEAD: f64 = 56.0;

/// The time range on display, and its resolution.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct TimeRange {
    /// Start, in seconds since 1970.
    pub(crate) start: f64,
    /// End, in seconds since 1970.
    pub(crate) end: f64,
    /// Interval between two points, in seconds.
    pub(crate) step: f64,
    /// Scrape interval of Prometheus, in seconds.
    pub(crate) scrape: f64,
}

impl TimeRange {
    /// Creates a time range with about as many points as a panel can show.
    pub(crate) fn new(start: f64, end: f64, scrape: f64) -> Self {
        Self { start, end, step: ((end - start) / 200.0).ceil().max(scrape.min(5.0)), scrape }
    }

    /// Computes the value of Grafana's `$__rate_interval`, in seconds.
    pub(crate) fn rate_interval(&self) -> f64 {
        (self.step + self.scrape).max(4.0 * self.scrape)
    }
}

/// The data of a panel: each series with its legend.
pub(crate) type PanelData = Vec<(String, Series)>;

/// Queries `prometheus` for the data of `dashboard` and renders it.
pub(crate) fn draw(
    dashboard: &Dashboard,
    values: &VariableValues,
    time_range: &TimeRange,
    with_collapsed: bool,
    prometheus: &Prometheus,
) -> Result<String, String> {
    let mut data = BTreeMap::new();
    let wanted = |panel: &&Panel| panel.kind != "row" && (with_collapsed || !panel.is_collapsed);
    for panel in dashboard.panels.iter().filter(wanted) {
        let series = query_panel(panel, values, time_range, prometheus)
            .map_err(|problem| format!("panel {} ({}): {problem}", panel.id, panel.title))?;
        data.insert(panel.id, series);
    }
    Ok(render(dashboard, values, time_range, &data))
}

/// Runs the queries of `panel`.
pub(crate) fn query_panel(
    panel: &Panel,
    values: &VariableValues,
    time_range: &TimeRange,
    prometheus: &Prometheus,
) -> Result<PanelData, String> {
    let mut data = Vec::new();
    for target in panel.targets() {
        let expression = values.substitute(&target.expression);
        let found = if target.is_instant {
            prometheus.query(&expression, time_range.end)?
        } else {
            prometheus.query_range(&expression, time_range)?
        };
        data.extend(found.into_iter().map(|series| (target.legend_of(&series.labels), series)));
    }
    Ok(data)
}

/// Renders the panels that have data.
pub(crate) fn render(
    dashboard: &Dashboard,
    values: &VariableValues,
    time_range: &TimeRange,
    data: &BTreeMap<u64, PanelData>,
) -> String {
    let shown: Vec<&Panel> = dashboard
        .panels
        .iter()
        .filter(|panel| if panel.kind == "row" { panel.is_open(data) } else { data.contains_key(&panel.id) })
        .collect();
    let bottom = shown.iter().map(|panel| panel.y + panel.h).fold(0.0, f64::max);
    let mut canvas = Canvas::new(WIDTH, HEAD + bottom * ROW_HEIGHT + GAP);
    canvas.text(GAP + 6.0, 34.0, 19.0, INK, "start", true, &dashboard.title);
    let until = unit::clock(time_range.end, time_range.end - time_range.start);
    let chosen = dashboard
        .variables
        .iter()
        .filter_map(|(name, label)| Some(format!("{label}: {}", values.shown(name)?)))
        .collect::<Vec<_>>()
        .join(" · ");
    let right = format!("{chosen} · {} until {until} UTC", unit::format("s", time_range.end - time_range.start, None));
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
        let series = data.get(&panel.id).map(Vec::as_slice).unwrap_or_default();
        canvas.panel(area, &panel.title);
        let inner = Area { x: area.x + 10.0, y: area.y + 30.0, w: area.w - 20.0, h: area.h - 38.0 };
        match panel.kind.as_str() {
            _ if series.is_empty() => {
                let text = panel.default_text("noValue").unwrap_or("no data").to_owned();
                canvas.text(area.x + area.w / 2.0, area.y + area.h / 2.0 + 6.0, 12.0, MUTED, "middle", false, &text);
            }
            "stat" => bars::stat(&mut canvas, inner, panel, series, time_range),
            "bargauge" => bars::bars(&mut canvas, inner, panel, series),
            "timeseries" => chart::chart(&mut canvas, inner, panel, series, time_range),
            "state-timeline" => timeline::timeline(&mut canvas, inner, panel, series, time_range),
            "table" => table::table(&mut canvas, inner, panel, series),
            other => {
                let text = format!("cannot draw a {other}");
                canvas.text(area.x + area.w / 2.0, area.y + area.h / 2.0, 12.0, MUTED, "middle", false, &text);
            }
        }
    }
    canvas.finish()
}
