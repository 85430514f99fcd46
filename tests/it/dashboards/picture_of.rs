//! The renderer of `examples/draw_dashboard`: what it draws from given data.

use std::collections::BTreeMap;

use super::picture::{Dashboard, Frame, Series, Setting, paint, parse_length};
use super::text_of;

fn series(labels: &[(&str, &str)], values: &[f64]) -> Series {
    let labels = labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let points = values.iter().zip(0_u32..).map(|(value, place)| (f64::from(place) * 10.0, *value)).collect();
    Series { labels, points }
}

/// The picture of the dashboard with these answers; panels without one are left out.
fn drawn(name: &str, answers: &[(u64, Vec<(&str, Series)>)]) -> String {
    let dashboard = Dashboard::read(&text_of(name)).expect("a dashboard");
    let frame = Frame { start: 0.0, end: 100.0, step: 10.0, scrape: 5.0 };
    let setting = Setting::of(&dashboard, &frame);
    let named = |(id, of): &(u64, Vec<(&str, Series)>)| {
        (*id, of.iter().map(|(name, series)| ((*name).to_owned(), series.clone())).collect())
    };
    let answers: BTreeMap<_, _> = answers.iter().map(named).collect();
    paint(&dashboard, &setting, &frame, &answers)
}

#[test]
fn a_figure_bears_its_unit_and_the_colour_of_its_threshold() {
    let picture = drawn("operations", &[(4, vec![("", series(&[], &[1.0, 400.0]))])]);
    assert!(picture.contains(">6.67 min</text>"), "{picture}");
    assert!(picture.contains("fill=\"#E8684A\""), "red past 300 s: {picture}");
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
    assert_eq!((of("#5B8FF9"), of("#5AD8A6")), (2, 1), "a gap parts a line in two");
}

#[test]
fn a_matrix_has_rows_and_columns_in_the_order_of_the_journey() {
    let cell = |from: &str, to: &str, count| ("", series(&[("from", from), ("to", to)], &[count]));
    let cells =
        vec![cell("interest", "purchase", 12.0), cell("awareness", "interest", 30.0), cell("loyalty", "churn", 2.0)];
    let picture = drawn("lifecycle", &[(21, cells)]);
    let place = |word: &str| picture.find(&format!(">{word}</text>")).unwrap_or_else(|| panic!("{word}: {picture}"));
    assert!(place("awareness") < place("loyalty") && place("purchase") < place("churn"));
    assert!(place("30") > 0 && place("2") > 0);
}

#[test]
fn a_timeline_names_the_states_and_words_are_escaped() {
    let states = vec![("a<b&c", series(&[], &[1.0, 2.0, 3.0, 3.0]))];
    let picture = drawn("operations", &[(11, states)]);
    assert!(picture.contains(">a&lt;b&amp;c</text>"), "{picture}");
    assert!(picture.contains("fill=\"#F6BD16\"") && picture.contains(">restoring</text>"));
    assert!(drawn("operations", &[(11, Vec::new())]).contains(">no data</text>"));
}

#[test]
fn lengths_of_time_are_read_as_prometheus_writes_them() {
    assert_eq!(["15m", "1d", "500ms", "90s"].map(parse_length), [Some(900.0), Some(86_400.0), Some(0.5), Some(90.0)]);
    assert_eq!(["15", "m", "15y", ""].map(parse_length), [None; 4]);
}
