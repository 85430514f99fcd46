//! Draws `state-timeline` panels: the state of each series over time.

use super::TimeRange;
use super::canvas::{Area, Canvas, INK, LINE, MUTED, shorten, width_of};
use super::dashboard::Panel;
use super::prometheus::Series;
use super::unit::{clock, time_ticks};

/// Limit of the height of a row, in pixels.
const ROW_HEIGHT_MAX: f64 = 30.0;

pub(super) fn timeline(
    canvas: &mut Canvas,
    area: Area,
    panel: &Panel,
    data: &[(String, Series)],
    time_range: &TimeRange,
) {
    let longest = data.iter().map(|(name, _)| width_of(name, 11.0)).fold(0.0, f64::max);
    let names = (longest + 8.0).min(area.w * 0.42);
    let has_legend = panel.json["options"]["legend"]["showLegend"] == true;
    let below = if has_legend { 38.0 } else { 20.0 };
    let plot = Area { x: area.x + names, y: area.y, w: area.w - names - 4.0, h: area.h - below };
    let count = f64::from(u32::try_from(data.len().max(1)).unwrap_or(1));
    let height = (plot.h / count).min(ROW_HEIGHT_MAX);
    let x_of =
        |time: f64| plot.x + plot.w * ((time - time_range.start) / (time_range.end - time_range.start)).clamp(0.0, 1.0);
    for at in time_ticks(time_range.start, time_range.end, (plot.w / 80.0).max(2.0)) {
        canvas.line((x_of(at), plot.y), (x_of(at), plot.y + plot.h), LINE);
        let text = clock(at, time_range.end - time_range.start);
        canvas.text(x_of(at), plot.y + plot.h + 15.0, 10.5, MUTED, "middle", false, &text);
    }
    for (index, (name, series)) in data.iter().enumerate() {
        let y = plot.y + height * f64::from(u32::try_from(index).unwrap_or_default());
        canvas.text(plot.x - 6.0, y + height / 2.0 + 4.0, 11.0, INK, "end", false, &shorten(name, names - 6.0, 11.0));
        // Merges consecutive points of equal value, unless there is a gap between them.
        let is_continued = |left: &(f64, f64), right: &(f64, f64)| {
            left.1.to_bits() == right.1.to_bits() && right.0 - left.0 < time_range.step * 1.5
        };
        for segment in series.points.chunk_by(is_continued) {
            let (first, last) = (segment[0], segment[segment.len() - 1]);
            let color = panel.mapped(first.1).map_or("#8C8C8C", |(_, color)| color).to_owned();
            let from = x_of(first.0);
            let to = x_of(last.0 + time_range.step);
            canvas.rect(Area { x: from, y: y + height * 0.15, w: to - from, h: height * 0.7 }, &color, 0.8);
        }
    }
    if has_legend {
        legend(canvas, panel, area.x + 2.0, area.y + area.h - 2.0);
    }
}

fn legend(canvas: &mut Canvas, panel: &Panel, x: f64, y: f64) {
    let mut x = x;
    for value in 1..10 {
        let Some((text, color)) = panel.mapped(f64::from(value)) else { break };
        let (text, color) = (text.to_owned(), color.to_owned());
        canvas.rect(Area { x, y: y - 7.0, w: 12.0, h: 4.0 }, &color, 1.0);
        canvas.text(x + 17.0, y, 11.0, INK, "start", false, &text);
        x += 34.0 + width_of(&text, 11.0);
    }
}
