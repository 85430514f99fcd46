//! Tests of the renderer of `scripts/draw_dashboard`: the SVG that it draws from given query results.

use std::collections::BTreeMap;

use super::picture::{Dashboard, Series, TimeRange, VariableValues, parse_length, render};
use super::text_of;

fn series(labels: &[(&str, &str)], values: &[f64]) -> Series {
    let labels = labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let points = values.iter().zip(0_u32..).map(|(value, index)| (f64::from(index) * 10.0, *value)).collect();
    Series { labels, points }
}

/// Draws the dashboard from these query results, given by panel id. Panels that are not in `answers` are left out.
fn drawn(name: &str, answers: &[(u64, Vec<(&str, Series)>)]) -> String {
    let dashboard = Dashboard::read(&text_of(name)).expect("a dashboard");
    let time_range = TimeRange { start: 0.0, end: 100.0, step: 10.0, scrape: 5.0 };
    let values = VariableValues::defaults(&dashboard, &time_range);
    let named = |(id, of): &(u64, Vec<(&str, Series)>)| {
        (*id, of.iter().map(|(name, series)| ((*name).to_owned(), series.clone())).collect())
    };
    let answers: BTreeMap<_, _> = answers.iter().map(named).collect();
    render(&dashboard, &values, &time_range, &answers)
}

#[test]
fn a_stat_panel_shows_the_unit_and_the_colour_of_the_threshold() {
    let picture = drawn("operations", &[(4, vec![("", series(&[], &[1.0, 400.0]))])]);
    assert!(picture.contains(">6.67 min</text>"), "{picture}");
    assert!(picture.contains("fill=\"#E8684A\""), "red above 300 s: {picture}");
}

#[test]
fn a_chart_has_a_line_and_a_legend_for_each_series() {
    let lines = vec![
        ("touchpoints", series(&[], &[1.0, 2.0, 3.0, f64::NAN, 5.0, 6.0])),
        ("transitions", series(&[], &[2.0, 2.0, 2.0, 2.0, 2.0, 2.0])),
    ];
    let picture = drawn("operations", &[(10, lines)]);
    assert!(picture.contains(">touchpoints</text>") && picture.contains(">transitions</text>"));
    let of = |color: &str| picture.matches(&format!("fill=\"none\" stroke=\"{color}\"")).count();
    assert_eq!((of("#5B8FF9"), of("#5AD8A6")), (2, 1), "a gap splits a line in two");
}

#[test]
fn a_matrix_has_rows_and_columns_in_the_order_of_the_journey() {
    let cell = |from: &str, to: &str, count| ("", series(&[("from", from), ("to", to)], &[count]));
    let cells =
        vec![cell("interest", "purchase", 12.0), cell("awareness", "interest", 30.0), cell("loyalty", "churn", 2.0)];
    let picture = drawn("lifecycle", &[(21, cells)]);
    let position = |word: &str| picture.find(&format!(">{word}</text>")).unwrap_or_else(|| panic!("{word}: {picture}"));
    assert!(position("awareness") < position("loyalty") && position("purchase") < position("churn"));
    assert!(position("30") > 0 && position("2") > 0);
}

#[test]
fn a_timeline_names_the_states_and_escapes_text() {
    let states = vec![("a<b&c", series(&[], &[1.0, 2.0, 3.0, 3.0]))];
    let picture = drawn("operations", &[(11, states)]);
    assert!(picture.contains(">a&lt;b&amp;c</text>"), "{picture}");
    assert!(picture.contains("fill=\"#F6BD16\"") && picture.contains(">restoring</text>"));
    assert!(drawn("operations", &[(11, Vec::new())]).contains(">no data</text>"));
}

#[test]
fn durations_are_parsed_in_the_format_of_prometheus() {
    assert_eq!(["15m", "1d", "500ms", "90s"].map(parse_length), [Some(900.0), Some(86_400.0), Some(0.5), Some(90.0)]);
    assert_eq!(["15", "m", "15y", ""].map(parse_length), [None; 4]);
}
