//! Tests of the terminal view: golden frames, all terminal sizes, terminals without color or Unicode.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it live` rewrites the golden frames.

use std::path::Path;
use std::time::Duration;

use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::live::{
    ClockStatus, CustomerPage, Key, ModelStages, Overview, Theme, TransitionRow, Update, View, draw,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use serde_json::{Value, json};

const NO_COLOR: Theme = Theme { has_color: false, is_unicode: true };

fn models() -> Vec<ModelStages> {
    let stage = |name: &str| json!({"stage": name, "outside": name == "churn"});
    let journey = ["awareness", "interest", "purchase", "satisfaction", "repeat_order", "loyalty"];
    let stages: Vec<Value> = journey.iter().chain(&["churn"]).map(|name| stage(name)).collect();
    ModelStages::from_response(&json!({"models": [
        {"model": "classic_seven", "titles": {"en": "Classic seven"}, "journey": journey, "stages": stages},
        {"model": "retention", "titles": {"en": "Retention"}, "journey": ["active"], "stages": [{"stage": "active"}]},
    ]}))
}

fn overview(second: u64) -> Overview {
    let stages = [
        ("awareness", 420),
        ("interest", 310),
        ("purchase", 55),
        ("satisfaction", 190),
        ("repeat_order", 88),
        ("loyalty", 64),
        ("churn", 73),
    ];
    let moves = [
        (None, "awareness", 9),
        (Some("awareness"), "interest", 7),
        (Some("interest"), "purchase", 4),
        (Some("purchase"), "interest", 1),
        (Some("purchase"), "satisfaction", 3),
        (Some("loyalty"), "churn", 1),
        (Some("churn"), "repeat_order", 1),
    ];
    Overview::from_response(&json!({
        "is_ready": true, "started_at": "2025-10-24T14:00:00Z", "clock": null, "customers": 1_200 + second * 20,
        "touchpoints": second * 412, "transitions": second * 615, "lag_records": 3,
        "commits": [
            {"seconds": 0.01, "count": second * 5}, {"seconds": 0.05, "count": second * 10},
            {"seconds": null, "count": second * 10},
        ],
        "models": [{
            "model": "classic_seven",
            "stages": stages.map(|(stage, customers)| json!({"stage": stage, "customers": customers + second})),
            "moves": moves.map(|(from, to, count)| json!({"from": from, "to": to, "count": count * second})),
        }],
    }))
}

fn transition(cursor: u64) -> Value {
    let (name, from, to, direction, cause) = match cursor % 4 {
        0 => (
            "became_interested",
            "awareness",
            "interest",
            "forward",
            json!({"event_id": "t1", "type": "product_viewed"}),
        ),
        1 => ("churned", "loyalty", "churn", "exit", json!({"time": true})),
        2 => ("checkout_abandoned", "purchase", "interest", "backward", json!({"time": true})),
        _ => ("reactivated", "churn", "repeat_order", "reentry", json!({"event_id": "t2", "type": "order_completed"})),
    };
    json!({
        "cursor": cursor, "customer_id": format!("customer-{:05}", cursor * 7), "model": "classic_seven", "kind": "stage", "name": name,
        "from": from, "to": to, "direction": direction, "occurred_at": format!("2025-10-24T14:{:02}:00Z", cursor % 60), "cause": cause,
        "because": {"condition": "orders.count >= 2", "values": {"orders.count": 2, "orders.last": "2025-04-27T14:00:00Z"}},
        "mode": "live",
    })
}

/// Returns the view of a demo after 12 seconds.
fn view() -> View {
    let mut view = View::new("lifecycle demo", None);
    view.apply(Update::Models(models()), Duration::ZERO);
    let clock_status =
        ClockStatus { now: Timestamp::from_millis(1_761_314_400_000), speed: 432_000.0, is_paused: false };
    for second in 0..12 {
        let now = Duration::from_secs(second);
        view.apply(Update::Overview(Box::new(overview(second))), now);
        let rows = (second * 3..second * 3 + 3).map(|cursor| TransitionRow::from_json(&transition(cursor))).collect();
        view.apply(Update::Transitions(rows, 0), now);
        view.tick(now, Some(clock_status));
    }
    view
}

fn customer() -> Update {
    let customer = json!({
        "customer_id": "customer-00245", "clock": "2025-10-24T14:35:00Z", "next_wake_up": "2025-11-07T14:35:00Z",
        "orders": {"count": 2, "revenue": "120.5", "currency": "USD", "last": "2025-10-24T14:35:00Z"},
        "facts": {"first(any)": "2025-08-01T10:00:00Z", "feedback.score": 9, "used_at": null},
        "models": [
            {"model": "classic_seven", "stage": "repeat_order", "since": "2025-10-24T14:35:00Z",
             "because": {"condition": "orders.count >= 2", "values": {"orders.count": 2}}},
            {"model": "retention", "stage": "active", "since": "2025-08-20T10:00:00Z", "signals": ["reorder_due"],
             "signals_because": [{"condition": "now >= orders.last", "values": {"orders.last": "2025-10-24T14:35:00Z"}}]},
        ],
        "transitions": [transition(34), transition(35)],
    });
    Update::Customer(Box::new(CustomerPage::from_response(
        &customer,
        &json!({"until": "2028-12-22T14:35:00Z", "transitions": [transition(1)]}),
    )))
}

fn terminal(view: &View, theme: Theme, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("an in-memory terminal");
    terminal.draw(|frame| draw(view, theme, frame)).expect("an in-memory terminal accepts frames");
    terminal
}

fn frame(view: &View, theme: Theme, width: u16, height: u16) -> String {
    let terminal = terminal(view, theme, width, height);
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for line in buffer.content.chunks(usize::from(width)) {
        let line: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Compares a frame with the golden file, or rewrites the file if `UPDATE_GOLDEN` is set.
fn assert_golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/live").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        std::fs::write(&path, found).expect("writable");
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == found, "{} is outdated; set UPDATE_GOLDEN=1 to rewrite it:\n{found}", path.display());
}

#[test]
fn the_model_page_at_common_terminal_sizes() {
    for (width, height) in [(80, 24), (60, 20), (132, 40), (44, 12)] {
        assert_golden(&format!("model_{width}x{height}.txt"), &frame(&view(), NO_COLOR, width, height));
    }
}

#[test]
fn the_selected_transition_and_its_customer_page() {
    let mut view = view();
    view.press(Key::Up);
    view.press(Key::Up);
    assert_golden("selected_80x24.txt", &frame(&view, NO_COLOR, 80, 24));
    view.press(Key::Up);
    view.press(Key::Character('/'));
    "customer-00245".chars().for_each(|character| drop(view.press(Key::Character(character))));
    assert!(frame(&view, NO_COLOR, 80, 24).contains("customer id: customer-00245_"));
    view.press(Key::Enter);
    assert!(frame(&view, NO_COLOR, 80, 24).contains("loading"));
    view.apply(customer(), Duration::from_secs(12));
    assert_golden("customer_80x24.txt", &frame(&view, NO_COLOR, 80, 24));
    assert_golden("customer_132x40.txt", &frame(&view, NO_COLOR, 132, 40));
    for _ in 0..100 {
        view.press(Key::PageDown);
    }
    assert!(frame(&view, NO_COLOR, 80, 15).contains("first(any)"), "scrolling stops at the last line");
}

#[test]
fn problems_are_shown() {
    let mut view = view();
    view.press(Key::Character('?'));
    assert_golden("help_80x24.txt", &frame(&view, NO_COLOR, 80, 24));
    view.press(Key::Escape);
    view.apply(
        Update::Disconnected("http://localhost:1 does not answer: connection refused".to_owned()),
        Duration::from_secs(13),
    );
    assert!(frame(&view, NO_COLOR, 80, 24).contains("http://localhost:1 does not answer"));
    assert!(frame(&View::new("top", None), NO_COLOR, 80, 24).contains("waiting for the service"));
    assert!(frame(&view, NO_COLOR, 39, 24).contains("terminal too small: at least 40x10"));
}

#[test]
fn no_terminal_size_panics() {
    let mut views = vec![View::new("top", None), view()];
    let mut selected = view();
    selected.press(Key::Up);
    selected.press(Key::Enter);
    views.push(selected);
    let mut customer_page = view();
    customer_page.press(Key::Character('/'));
    "customer-00245".chars().for_each(|character| drop(customer_page.press(Key::Character(character))));
    views.push(view());
    customer_page.press(Key::Enter);
    customer_page.apply(customer(), Duration::ZERO);
    views.push(customer_page);
    let mut help = view();
    help.press(Key::Character('?'));
    views.push(help);
    for view in &views {
        for width in (1..100).chain([140, 200, 300]) {
            for height in [1, 2, 9, 10, 11, 12, 14, 20, 24, 60] {
                assert!(!frame(view, NO_COLOR, width, height).is_empty());
            }
        }
    }
}

#[test]
fn disabled_colors_are_not_used_and_without_unicode_frames_are_ascii() {
    let view = view();
    let colors = |theme: Theme| {
        let terminal = terminal(&view, theme, 100, 30);
        let cells = terminal.backend().buffer().content.clone();
        cells.iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
    };
    assert_eq!(colors(NO_COLOR), 0);
    assert!(colors(Theme { has_color: true, ..NO_COLOR }) > 500);
    let ascii = frame(&view, Theme { has_color: false, is_unicode: false }, 100, 30);
    assert!(ascii.is_ascii(), "{ascii}");
    assert!(ascii.contains("became_interested"), "{ascii}");
}
