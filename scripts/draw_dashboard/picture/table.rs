//! Draws `table` panels: labels as columns, or a matrix of two labels (`groupingToMatrix`).

use std::collections::BTreeMap;

use serde_json::Value;

use super::canvas::{Area, Canvas, INK, LINE, MUTED, shorten};
use super::dashboard::Panel;
use super::prometheus::Series;
use super::unit::format;

/// Limit of the height of a table row, in pixels.
const LINE_HEIGHT_MAX: f64 = 28.0;

pub(super) fn table(canvas: &mut Canvas, area: Area, panel: &Panel, data: &[(String, Series)]) {
    let transformation = |id: &str| {
        let all = panel.json["transformations"].as_array()?;
        all.iter().find(|it| it["id"].as_str() == Some(id)).map(|it| &it["options"])
    };
    let order = transformation("organize").map_or(&Value::Null, |options| &options["indexByName"]);
    if let Some(matrix) = transformation("groupingToMatrix") {
        draw_matrix(canvas, area, panel, data, matrix, order);
    } else {
        draw_labels(canvas, area, data, order);
    }
}

fn in_order(names: &mut Vec<String>, order: &Value) {
    names.sort();
    names.dedup();
    names.sort_by_key(|name| order[name.as_str()].as_u64().unwrap_or(u64::MAX));
}

fn draw_matrix(
    canvas: &mut Canvas,
    area: Area,
    panel: &Panel,
    data: &[(String, Series)],
    matrix: &Value,
    order: &Value,
) {
    let field = |name: &str| matrix[name].as_str().unwrap_or_default();
    let label = |series: &Series, name: &str| series.labels.get(name).cloned().unwrap_or_default();
    let mut cells = BTreeMap::new();
    let (mut rows, mut columns) = (Vec::new(), Vec::new());
    for (_, series) in data {
        let Some(value) = series.last() else { continue };
        let (row, column) = (label(series, field("rowField")), label(series, field("columnField")));
        rows.push(row.clone());
        columns.push(column.clone());
        cells.insert((row, column), value);
    }
    in_order(&mut rows, order);
    in_order(&mut columns, order);
    let max = cells.values().copied().fold(f64::MIN_POSITIVE, f64::max);
    let names = area.w * 0.19;
    let width = (area.w - names) / float(columns.len().max(1));
    let height = (area.h / float(rows.len() + 1)).min(LINE_HEIGHT_MAX);
    canvas.text(area.x + 4.0, area.y + height * 0.65, 11.0, MUTED, "start", false, "from");
    for (index, column) in columns.iter().enumerate() {
        let x = area.x + names + width * float(index);
        let text = shorten(column, width - 4.0, 11.0);
        canvas.text(x + width / 2.0, area.y + height * 0.65, 11.0, MUTED, "middle", false, &text);
    }
    for (line, row) in rows.iter().enumerate() {
        let y = area.y + height * float(line + 1);
        canvas.line((area.x, y), (area.x + area.w, y), LINE);
        canvas.text(area.x + 4.0, y + height * 0.65, 11.5, INK, "start", false, &shorten(row, names - 8.0, 11.5));
        for (index, column) in columns.iter().enumerate() {
            let Some(value) = cells.get(&(row.clone(), column.clone())) else { continue };
            let x = area.x + names + width * float(index);
            // The square root keeps small values visible beside a large one.
            let strength = (value / max).sqrt();
            let cell = Area { x: x + 1.0, y: y + 1.0, w: width - 2.0, h: height - 2.0 };
            canvas.rect(cell, "#5B8FF9", 0.08 + 0.82 * strength);
            let ink = if strength > 0.65 { "#FFFFFF" } else { INK };
            let text = format(panel.unit(), *value, panel.decimals());
            canvas.text(x + width / 2.0, y + height * 0.65, 11.5, ink, "middle", false, &text);
        }
    }
}

fn draw_labels(canvas: &mut Canvas, area: Area, data: &[(String, Series)], order: &Value) {
    let mut columns: Vec<String> = data.iter().flat_map(|(_, series)| series.labels.keys().cloned()).collect();
    in_order(&mut columns, order);
    let width = area.w / float(columns.len().max(1));
    let height = (area.h / float(data.len() + 1)).min(LINE_HEIGHT_MAX);
    for (index, column) in columns.iter().enumerate() {
        let x = area.x + width * float(index) + 4.0;
        canvas.text(x, area.y + height * 0.65, 11.0, MUTED, "start", false, column);
        for (line, (_, series)) in data.iter().enumerate() {
            let y = area.y + height * float(line + 1);
            canvas.line((area.x, y), (area.x + area.w, y), LINE);
            let text = series.labels.get(column).map_or("", String::as_str);
            canvas.text(x, y + height * 0.65, 11.5, INK, "start", false, &shorten(text, width - 8.0, 11.5));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a table has few rows and columns")]
fn float(count: usize) -> f64 {
    count as f64
}
