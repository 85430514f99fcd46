//! Draws `stat` and `bargauge` panels: a single value, or values as horizontal bars.

use super::TimeRange;
use super::canvas::{Area, Canvas, INK, palette, shorten, width_of};
use super::chart::spark;
use super::dashboard::Panel;
use super::prometheus::Series;
use super::unit::format;

/// Limits of the height of a bar, in pixels. Bars that do not fit are left out.
const BAR_HEIGHT_MAX: f64 = 26.0;
const BAR_HEIGHT_MIN: f64 = 14.0;

/// Draws one value, colored by thresholds, above a sparkline of its history.
pub(super) fn stat(canvas: &mut Canvas, area: Area, panel: &Panel, data: &[(String, Series)], time_range: &TimeRange) {
    let value = data.iter().find_map(|(_, series)| series.last()).unwrap_or(f64::NAN);
    let color = panel.threshold_color(value).unwrap_or(INK).to_owned();
    if panel.json["options"]["graphMode"] == "area" {
        let plot = Area { x: area.x - 9.0, y: area.y + area.h * 0.55, w: area.w + 18.0, h: area.h * 0.45 + 7.0 };
        spark(canvas, plot, &data.to_vec(), &color, time_range);
    }
    let text = format(panel.unit(), value, panel.decimals());
    let size = (area.w / (width_of(&text, 1.0) + 1.0)).clamp(16.0, 34.0);
    canvas.text(area.x + area.w / 2.0, area.y + area.h / 2.0 + size * 0.2, size, &color, "middle", true, &text);
}

/// Draws a bar for each series, largest value first.
pub(super) fn bars(canvas: &mut Canvas, area: Area, panel: &Panel, data: &[(String, Series)]) {
    let mut values: Vec<(&str, f64)> =
        data.iter().filter_map(|(name, series)| Some((name.as_str(), series.last()?))).collect();
    values.sort_by(|left, right| right.1.total_cmp(&left.1));
    let count = f64::from(u32::try_from(values.len().max(1)).unwrap_or(1));
    let height = (area.h / count).clamp(BAR_HEIGHT_MIN, BAR_HEIGHT_MAX + 8.0);
    let most = values.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let longest = values.iter().map(|(name, _)| width_of(name, 11.5)).fold(0.0, f64::max);
    let names = (longest + 10.0).min(area.w * 0.5);
    let room = area.w - names - 62.0;
    for (index, (name, value)) in values.into_iter().enumerate() {
        let y = area.y + height * f64::from(u32::try_from(index).unwrap_or_default());
        if y + height > area.y + area.h + 1.0 {
            break;
        }
        let color = panel.color_of(name).map_or_else(|| palette(index).to_owned(), str::to_owned);
        let middle = y + height / 2.0;
        canvas.text(area.x + names - 8.0, middle + 4.0, 11.5, INK, "end", false, &shorten(name, names - 8.0, 11.5));
        let thick = height * 0.62;
        canvas.rect(Area { x: area.x + names, y: middle - thick / 2.0, w: room, h: thick }, "#F0F2F5", 1.0);
        let long = (room * value / most).max(1.0);
        canvas.rect(Area { x: area.x + names, y: middle - thick / 2.0, w: long, h: thick }, &color, 0.9);
        let text = format(panel.unit(), value, panel.decimals());
        canvas.text(area.x + area.w - 2.0, middle + 4.0, 11.5, INK, "end", true, &text);
    }
}
