//! Runs the view on a terminal: reads keys and updates, draws frames.
//!
//! The terminal is always restored: on return, on an error, when any thread panics (ratatui's hook), and on the second
//! signal, whose handler calls [`restore`].

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::draw::{Theme, draw};
use super::update::Update;
use super::view::{Action, ClockStatus, Key, View};

/// How long one iteration waits for a key, and so the maximum delay of an update.
const KEY_TIMEOUT: Duration = Duration::from_millis(50);
/// Redraw interval without updates or keys.
const DRAW_INTERVAL: Duration = Duration::from_millis(250);

/// Returns whether standard output is a terminal that supports a full-screen view.
#[must_use]
pub fn is_available() -> bool {
    let term = std::env::var("TERM").unwrap_or_default();
    io::stdout().is_terminal() && !term.is_empty() && term != "dumb"
}

/// Chooses colors and characters from `NO_COLOR` and the locale variables.
#[must_use]
pub fn theme() -> Theme {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable);
    Theme {
        has_color: variable("NO_COLOR").is_none(),
        // In most containers no locale is set. Then assume UTF-8, which the terminal of the user most likely supports.
        is_unicode: locale.is_none_or(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        }),
    }
}

/// Restores the terminal: leaves the alternate screen and raw mode.
pub fn restore() {
    ratatui::restore();
}

/// Shows `view` until `stop` is set, the user quits, or the sender of `updates` is gone. `clock_status` returns the
/// state of the simulated clock if this program controls it. `perform` executes the actions that keys request.
///
/// # Errors
/// The terminal could not be initialized, read or drawn on.
pub fn show(
    view: &mut View,
    theme: Theme,
    updates: &Receiver<Update>,
    stop: &AtomicBool,
    clock_status: impl Fn() -> Option<ClockStatus>,
    mut perform: impl FnMut(Action),
) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let shown = run(&mut terminal, view, theme, updates, stop, clock_status, &mut perform);
    ratatui::restore();
    shown
}

fn run(
    terminal: &mut DefaultTerminal,
    view: &mut View,
    theme: Theme,
    updates: &Receiver<Update>,
    stop: &AtomicBool,
    clock_status: impl Fn() -> Option<ClockStatus>,
    perform: &mut impl FnMut(Action),
) -> io::Result<()> {
    let start = Instant::now();
    let mut draw_due = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let now = start.elapsed();
        let mut is_changed = now >= draw_due;
        loop {
            match updates.try_recv() {
                Ok(update) => {
                    view.apply(update, now);
                    is_changed = true;
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
        }
        view.tick(now, clock_status());
        if is_changed {
            terminal.draw(|frame| draw(view, theme, frame))?;
            draw_due = now + DRAW_INTERVAL;
        }
        let mut timeout = KEY_TIMEOUT;
        while event::poll(timeout)? {
            timeout = Duration::ZERO;
            draw_due = Duration::ZERO;
            let Some(key) = key(&event::read()?) else { continue };
            match view.press(key) {
                Some(Action::Quit) => return Ok(()),
                Some(action) => perform(action),
                None => {}
            }
        }
    }
    Ok(())
}

/// Maps a terminal event to a key of the view; `None` for events that the view ignores.
fn key(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else { return None };
    if *kind == KeyEventKind::Release {
        return None;
    }
    if modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(code, KeyCode::Char('c' | 'd')).then_some(Key::Interrupt);
    }
    Some(match code {
        KeyCode::Char(character) => Key::Character(*character),
        KeyCode::Tab => Key::Character('\t'),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left | KeyCode::BackTab => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    })
}
