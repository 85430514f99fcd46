//! The view as it is drawn: golden frames, every size, no color.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it live` writes the frames anew.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::live::{CustomerPage, Figures, Key, Look, ModelStages, Pace, Passed, Told, View, draw};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use serde_json::{Value, json};

const PLAIN: Look = Look { has_color: false, is_unicode: true };

fn models() -> Vec<ModelStages> {
    let stage = |name: &str| json!({"stage": name, "outside": name == "churn"});
    let journey = ["awareness", "interest", "purchase", "satisfaction", "repeat_order", "loyalty"];
    let stages: Vec<Value> = journey.iter().chain(&["churn"]).map(|name| stage(name)).collect();
    ModelStages::of_answer(&json!({"models": [
        {"model": "classic_seven", "titles": {"en": "Classic seven"}, "journey": journey, "stages": stages},
        {"model": "retention", "titles": {"en": "Retention"}, "journey": ["active"], "stages": [{"stage": "active"}]},
    ]}))
}

fn page(second: u64) -> Figures {
    let mut page = format!(
        "lifecycle_ready 1\nprocess_start_time_seconds 5\nlifecycle_partition_customers{{partition=\"0\"}} {}\n\
         lifecycle_touchpoints_consumed_total {}\nlifecycle_transitions_total {}\nlifecycle_lag_records{{partition=\"0\"}} 3\n\
         lifecycle_commit_duration_seconds_bucket{{le=\"0.01\"}} {}\nlifecycle_commit_duration_seconds_bucket{{le=\"0.05\"}} {}\n\
         lifecycle_commit_duration_seconds_bucket{{le=\"+Inf\"}} {}\n",
        1_200 + second * 20,
        second * 412,
        second * 615,
        second * 5,
        second * 10,
        second * 10
    );
    let stages = [
        ("awareness", 420),
        ("interest", 310),
        ("purchase", 55),
        ("satisfaction", 190),
        ("repeat_order", 88),
        ("loyalty", 64),
        ("churn", 73),
    ];
    for (stage, count) in stages {
        _ = writeln!(page, "lifecycle_customers{{model=\"classic_seven\",stage=\"{stage}\"}} {}", count + second);
    }
    let moves = [
        ("", "awareness", 9),
        ("awareness", "interest", 7),
        ("interest", "purchase", 4),
        ("purchase", "interest", 1),
        ("purchase", "satisfaction", 3),
        ("loyalty", "churn", 1),
        ("churn", "repeat_order", 1),
    ];
    for (from, to, count) in moves {
        _ = writeln!(
            page,
            "lifecycle_stage_moves_total{{model=\"classic_seven\",from=\"{from}\",to=\"{to}\"}} {}",
            count * second
        );
    }
    Figures::of_page(&page)
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

/// A demo that has run for 12 seconds.
fn view() -> View {
    let mut view = View::new("lifecycle demo", None);
    view.hear(Told::Models(models()), Duration::ZERO);
    let pace = Pace { now: Timestamp::from_millis(1_761_314_400_000), speed: 432_000.0, is_paused: false };
    for second in 0..12 {
        let now = Duration::from_secs(second);
        view.hear(Told::Figures(Box::new(page(second))), now);
        let passed = (second * 3..second * 3 + 3).map(|cursor| Passed::of(&transition(cursor))).collect();
        view.hear(Told::Passed(passed, 0), now);
        view.pass(now, Some(pace));
    }
    view
}

fn customer() -> Told {
    let customer = json!({
        "customer_id": "customer-00245", "clock": "2025-10-24T14:35:00Z", "next_wake_up": "2025-11-07T14:35:00Z",
        "orders": {"count": 2, "revenue": "120.5", "currency": "USD", "last": "2025-10-24T14:35:00Z"},
        "facts": {"first(any)": "2025-08-01T10:00:00Z", "feedback.score": 9, "used_at": null},
        "models": [
            {"model": "classic_seven", "stage": "repeat_order", "since": "2025-10-24T14:35:00Z",
             "because": {"condition": "orders.count >= 2", "values": {"orders.count": 2}}},
            {"model": "retention", "stage": "active", "since": "2025-08-20T10:00:00Z"},
        ],
        "transitions": [transition(34), transition(35)],
    });
    Told::Customer(Box::new(CustomerPage::of_answer(&customer, &json!({"transitions": [transition(1)]}))))
}

fn terminal(view: &View, look: Look, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal in memory");
    terminal.draw(|frame| draw(view, look, frame)).expect("memory can be drawn on");
    terminal
}

fn frame(view: &View, look: Look, width: u16, height: u16) -> String {
    let terminal = terminal(view, look, width, height);
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for line in buffer.content.chunks(usize::from(width)) {
        let line: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Compares a frame with the one that is committed, or commits it.
fn is_golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/live").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        std::fs::write(&path, found).expect("writable");
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == found, "{} is outdated; UPDATE_GOLDEN=1 writes it anew:\n{found}", path.display());
}

#[test]
fn a_model_is_drawn_at_every_width_that_people_use() {
    for (width, height) in [(80, 24), (60, 20), (132, 40), (44, 12)] {
        is_golden(&format!("flow_{width}x{height}.txt"), &frame(&view(), PLAIN, width, height));
    }
}

#[test]
fn a_chosen_transition_and_its_customer_are_drawn() {
    let mut view = view();
    view.press(Key::Up);
    view.press(Key::Up);
    is_golden("chosen_80x24.txt", &frame(&view, PLAIN, 80, 24));
    view.press(Key::Up);
    view.press(Key::Character('/'));
    "customer-00245".chars().for_each(|character| drop(view.press(Key::Character(character))));
    assert!(frame(&view, PLAIN, 80, 24).contains("customer id: customer-00245_"));
    view.press(Key::Enter);
    assert!(frame(&view, PLAIN, 80, 24).contains("asking the service"));
    view.hear(customer(), Duration::from_secs(12));
    is_golden("customer_80x24.txt", &frame(&view, PLAIN, 80, 24));
    is_golden("customer_132x40.txt", &frame(&view, PLAIN, 132, 40));
    for _ in 0..100 {
        view.press(Key::PageDown);
    }
    assert!(frame(&view, PLAIN, 80, 15).contains("first(any)"), "scrolled to the end, and no further");
}

#[test]
fn what_is_wrong_is_told() {
    let mut view = view();
    view.press(Key::Character('?'));
    is_golden("help_80x24.txt", &frame(&view, PLAIN, 80, 24));
    view.press(Key::Escape);
    view.hear(
        Told::Silence("http://localhost:1 does not answer: connection refused".to_owned()),
        Duration::from_secs(13),
    );
    assert!(frame(&view, PLAIN, 80, 24).contains("http://localhost:1 does not answer"));
    assert!(frame(&View::new("top", None), PLAIN, 80, 24).contains("waiting for the service"));
    assert!(frame(&view, PLAIN, 39, 24).contains("too small: 40 by 10 are"));
}

#[test]
fn no_size_breaks_it() {
    let mut views = vec![View::new("top", None), view()];
    let mut opened = view();
    opened.press(Key::Up);
    opened.press(Key::Enter);
    views.push(opened);
    let mut page = view();
    page.press(Key::Character('/'));
    "customer-00245".chars().for_each(|character| drop(page.press(Key::Character(character))));
    views.push(view());
    page.press(Key::Enter);
    page.hear(customer(), Duration::ZERO);
    views.push(page);
    let mut helped = view();
    helped.press(Key::Character('?'));
    views.push(helped);
    for view in &views {
        for width in (1..100).chain([140, 200, 300]) {
            for height in [1, 2, 9, 10, 11, 12, 14, 20, 24, 60] {
                assert!(!frame(view, PLAIN, width, height).is_empty());
            }
        }
    }
}

#[test]
fn without_colors_none_is_used_and_without_unicode_only_ascii() {
    let view = view();
    let colors = |look: Look| {
        let terminal = terminal(&view, look, 100, 30);
        let cells = terminal.backend().buffer().content.clone();
        cells.iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
    };
    assert_eq!(colors(PLAIN), 0);
    assert!(colors(Look { has_color: true, ..PLAIN }) > 500);
    let ascii = frame(&view, Look { has_color: false, is_unicode: false }, 100, 30);
    assert!(ascii.is_ascii(), "{ascii}");
    assert!(ascii.contains("became_interested"), "{ascii}");
}
