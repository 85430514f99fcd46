//! Draws `timeseries` panels: lines, stacked areas or bars.
//!
//! Series with an override of `custom.axisPlacement` use a second axis on the right.

use super::canvas::{Area, Canvas, INK, LINE, MUTED, palette, shorten, width_of};
use super::dashboard::Panel;
use super::prometheus::Series;
use super::unit::{clock, format, ticks, time_ticks};
use super::{PanelData, TimeRange};

/// Height of a line of the legend, in pixels.
const LEGEND_LINE: f64 = 17.0;
/// Limit of legend lines; more would leave no room for the chart.
const LEGEND_LINES_MAX: usize = 3;

/// A series with its style.
struct StyledSeries<'a> {
    name: &'a str,
    color: String,
    is_right: bool,
    unit: String,
    points: Vec<(f64, f64)>,
}

/// The values at the bottom and top of an axis.
#[derive(Clone, Copy)]
struct Scale {
    low: f64,
    high: f64,
}

pub(super) fn chart(canvas: &mut Canvas, area: Area, panel: &Panel, data: &[(String, Series)], time_range: &TimeRange) {
    let custom = panel.default("custom");
    let is_stacked = custom["stacking"]["mode"].as_str().is_some_and(|mode| mode != "none");
    let is_bars = custom["drawStyle"] == "bars";
    let drawn = style(panel, data);
    let legend = legend_lines(&drawn, area.w);
    let legend_height = LEGEND_LINE * f64::from(u32::try_from(legend.len()).unwrap_or(1)) + 4.0;
    let has_right = drawn.iter().any(|series| series.is_right);
    let right_margin = if has_right { 46.0 } else { 6.0 };
    let plot =
        Area { x: area.x + 50.0, y: area.y + 2.0, w: area.w - 50.0 - right_margin, h: area.h - legend_height - 22.0 };

    let left = scale(panel, drawn.iter().filter(|series| !series.is_right), is_stacked);
    let right = scale(panel, drawn.iter().filter(|series| series.is_right), false);
    axes(canvas, plot, panel, left, time_range);
    if let Some(series) = drawn.iter().find(|series| series.is_right) {
        for at in ticks(right.low, right.high, 4.0, &series.unit) {
            let y = height_of(plot, right, at);
            canvas.text(plot.x + plot.w + 6.0, y + 4.0, 10.5, MUTED, "start", false, &format(&series.unit, at, None));
        }
    }
    let mut base: Vec<(f64, f64)> = Vec::new();
    for series in &drawn {
        let scale = if series.is_right { right } else { left };
        if is_stacked {
            base = stack(canvas, plot, scale, series, &base, time_range, is_bars);
        } else if is_bars {
            for &(time, value) in &series.points {
                canvas.rect(
                    bar(plot, time_range, time, height_of(plot, scale, 0.0), height_of(plot, scale, value)),
                    &series.color,
                    0.75,
                );
            }
        } else {
            let opacity = custom["fillOpacity"].as_f64().unwrap_or_default() / 100.0;
            for run in runs(&series.points, time_range.step) {
                let line: Vec<_> = run
                    .iter()
                    .map(|&(time, value)| (x_of(plot, time_range, time), height_of(plot, scale, value)))
                    .collect();
                let ground: Vec<_> = line.iter().map(|&(x, _)| (x, plot.y + plot.h)).collect();
                canvas.between(&line, &ground, &series.color, if series.is_right { 0.0 } else { opacity });
                canvas.path(&line, &series.color, 1.6);
            }
        }
    }
    let mut y = plot.y + plot.h + 34.0;
    for line in legend {
        let mut x = area.x + 2.0;
        for (name, color) in line {
            canvas.rect(Area { x, y: y - 7.0, w: 12.0, h: 4.0 }, &color, 1.0);
            canvas.text(x + 17.0, y, 11.0, INK, "start", false, &name);
            x += 34.0 + width_of(&name, 11.0);
        }
        y += LEGEND_LINE;
    }
}

fn style<'a>(panel: &Panel, data: &'a [(String, Series)]) -> Vec<StyledSeries<'a>> {
    let mut index = 0;
    let style = |(name, series): &'a (String, Series)| {
        let color = panel.color_of(name).map_or_else(
            || {
                index += 1;
                palette(index - 1).to_owned()
            },
            str::to_owned,
        );
        let unit = panel.overridden(name, "unit").and_then(|unit| unit.as_str()).unwrap_or_else(|| panel.unit());
        StyledSeries {
            name,
            color,
            is_right: panel.overridden(name, "custom.axisPlacement").is_some_and(|side| side == "right"),
            unit: unit.to_owned(),
            points: series.points.iter().copied().filter(|(_, value)| value.is_finite()).collect(),
        }
    };
    data.iter().map(style).collect()
}

fn legend_lines(drawn: &[StyledSeries<'_>], width: f64) -> Vec<Vec<(String, String)>> {
    let mut lines: Vec<Vec<(String, String)>> = vec![Vec::new()];
    let mut used = 0.0;
    for series in drawn {
        let name = shorten(series.name, width * 0.6, 11.0);
        let entry_width = 34.0 + width_of(&name, 11.0);
        if used + entry_width > width && !lines.last().is_some_and(Vec::is_empty) {
            if lines.len() == LEGEND_LINES_MAX {
                break;
            }
            lines.push(Vec::new());
            used = 0.0;
        }
        used += entry_width;
        if let Some(line) = lines.last_mut() {
            line.push((name, series.color.clone()));
        }
    }
    lines
}

fn scale<'a>(panel: &Panel, series: impl Iterator<Item = &'a StyledSeries<'a>>, is_stacked: bool) -> Scale {
    let mut sums = std::collections::BTreeMap::<i64, f64>::new();
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for series in series {
        for &(time, value) in &series.points {
            #[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970 fit")]
            let sum = sums.entry((time * 1_000.0) as i64).or_default();
            *sum = if is_stacked { *sum + value } else { value };
            low = low.min(value);
            high = high.max(*sum);
        }
    }
    let low = panel.default("min").as_f64().unwrap_or(low).min(low);
    let high = panel.default("max").as_f64().unwrap_or(high * 1.05);
    if !(low.is_finite() && high.is_finite()) || high <= low {
        let low = if low.is_finite() { low } else { 0.0 };
        return Scale { low, high: low + 1.0 };
    }
    Scale { low, high }
}

fn axes(canvas: &mut Canvas, plot: Area, panel: &Panel, scale: Scale, time_range: &TimeRange) {
    for at in ticks(scale.low, scale.high, 4.0, panel.unit()) {
        let y = height_of(plot, scale, at);
        canvas.line((plot.x, y), (plot.x + plot.w, y), LINE);
        let decimals = if panel.unit() == "percentunit" { Some(usize::from(scale.high <= 0.1)) } else { None };
        canvas.text(plot.x - 6.0, y + 4.0, 10.5, MUTED, "end", false, &format(panel.unit(), at, decimals));
    }
    for at in time_ticks(time_range.start, time_range.end, (plot.w / 80.0).max(2.0)) {
        let x = x_of(plot, time_range, at);
        canvas.line((x, plot.y), (x, plot.y + plot.h), LINE);
        canvas.text(
            x,
            plot.y + plot.h + 15.0,
            10.5,
            MUTED,
            "middle",
            false,
            &clock(at, time_range.end - time_range.start),
        );
    }
}

/// Draws a series on top of the previous ones; returns the new upper edge.
fn stack(
    canvas: &mut Canvas,
    plot: Area,
    scale: Scale,
    series: &StyledSeries<'_>,
    base: &[(f64, f64)],
    time_range: &TimeRange,
    is_bars: bool,
) -> Vec<(f64, f64)> {
    let below = |time: f64| {
        base.iter().find(|(other, _)| (other - time).abs() < time_range.step / 2.0).map_or(0.0, |(_, top)| *top)
    };
    let tops: Vec<_> = series.points.iter().map(|&(time, value)| (time, below(time) + value)).collect();
    if is_bars {
        for &(time, top) in &tops {
            let (low, high) = (height_of(plot, scale, below(time)), height_of(plot, scale, top));
            canvas.rect(bar(plot, time_range, time, low, high), &series.color, 0.85);
        }
    } else {
        for run in runs(&tops, time_range.step) {
            let point = |time: f64, value: f64| (x_of(plot, time_range, time), height_of(plot, scale, value));
            let upper: Vec<_> = run.iter().map(|&(time, top)| point(time, top)).collect();
            let lower: Vec<_> = run.iter().map(|&(time, _)| point(time, below(time))).collect();
            canvas.between(&upper, &lower, &series.color, 0.8);
        }
    }
    let mut top = tops;
    top.extend(
        base.iter()
            .filter(|(time, _)| !series.points.iter().any(|(other, _)| (other - time).abs() < time_range.step / 2.0)),
    );
    top
}

fn bar(plot: Area, time_range: &TimeRange, time: f64, low: f64, high: f64) -> Area {
    let width = (plot.w * time_range.step / (time_range.end - time_range.start) * 0.8).max(1.0);
    Area { x: x_of(plot, time_range, time) - width / 2.0, y: high, w: width, h: low - high }
}

/// Splits points at gaps.
fn runs(points: &[(f64, f64)], step: f64) -> Vec<&[(f64, f64)]> {
    points.chunk_by(|left, right| right.0 - left.0 < step * 1.5).collect()
}

fn x_of(plot: Area, time_range: &TimeRange, time: f64) -> f64 {
    plot.x + plot.w * ((time - time_range.start) / (time_range.end - time_range.start)).clamp(0.0, 1.0)
}

fn height_of(plot: Area, scale: Scale, value: f64) -> f64 {
    plot.y + plot.h * (1.0 - (value - scale.low) / (scale.high - scale.low)).clamp(0.0, 1.0)
}

/// Draws a sparkline without axes, the background of a single value.
pub(super) fn spark(canvas: &mut Canvas, plot: Area, data: &PanelData, color: &str, time_range: &TimeRange) {
    let Some((_, series)) = data.first() else { return };
    let points: Vec<_> = series.points.iter().copied().filter(|(_, value)| value.is_finite()).collect();
    let high = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    if points.len() < 3 || high <= 0.0 {
        return;
    }
    let scale = Scale { low: 0.0, high };
    let line: Vec<_> =
        points.iter().map(|&(time, value)| (x_of(plot, time_range, time), height_of(plot, scale, value))).collect();
    let ground: Vec<_> = line.iter().map(|&(x, _)| (x, plot.y + plot.h)).collect();
    canvas.between(&line, &ground, color, 0.12);
    canvas.path(&line, color, 1.2);
}
