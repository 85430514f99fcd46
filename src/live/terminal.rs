//! Shows the view on a terminal: the only part that waits for keys and touches the screen.
//!
//! However it ends, the terminal is as it was before: on return, on an error, when any thread panics, and at the second
//! signal through [`restore`].

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::draw::{Look, draw};
use super::state::{Key, Pace, View, Wish};
use super::told::Told;

/// How long is waited for a key before it is looked what was told.
const KEY_PATIENCE: Duration = Duration::from_millis(50);
/// How often the picture is drawn anew at least.
const DRAW_PERIOD: Duration = Duration::from_millis(250);

/// Whether standard output is a terminal that a full screen can be drawn on.
#[must_use]
pub fn is_at_hand() -> bool {
    let term = std::env::var("TERM").unwrap_or_default();
    io::stdout().is_terminal() && !term.is_empty() && term != "dumb"
}

/// What the environment says about colors and signs.
#[must_use]
pub fn look() -> Look {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable);
    Look {
        has_color: variable("NO_COLOR").is_none(),
        // Where nothing is said, as in containers, it is the terminal outside that counts.
        is_unicode: locale.is_none_or(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        }),
    }
}

/// Gives the terminal back as it was.
pub fn restore() {
    ratatui::restore();
}

/// Shows `view` until `stop` is set, a key says so, or nothing is told any more. `pace` tells how the customers' time runs, where
/// the view rules it; `grant` does what keys ask for.
///
/// # Errors
/// As of the terminal.
pub fn show(
    view: &mut View,
    look: Look,
    told: &Receiver<Told>,
    stop: &AtomicBool,
    pace: impl Fn() -> Option<Pace>,
    mut grant: impl FnMut(Wish),
) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let shown = run(&mut terminal, view, look, told, stop, pace, &mut grant);
    ratatui::restore();
    shown
}

fn run(
    terminal: &mut DefaultTerminal,
    view: &mut View,
    look: Look,
    told: &Receiver<Told>,
    stop: &AtomicBool,
    pace: impl Fn() -> Option<Pace>,
    grant: &mut impl FnMut(Wish),
) -> io::Result<()> {
    let begun = Instant::now();
    let mut draw_due = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let now = begun.elapsed();
        let mut is_changed = now >= draw_due;
        loop {
            match told.try_recv() {
                Ok(told) => {
                    view.hear(told, now);
                    is_changed = true;
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
        }
        view.pass(now, pace());
        if is_changed {
            terminal.draw(|frame| draw(view, look, frame))?;
            draw_due = now + DRAW_PERIOD;
        }
        let mut patience = KEY_PATIENCE;
        while event::poll(patience)? {
            patience = Duration::ZERO;
            draw_due = Duration::ZERO;
            let Some(key) = key(&event::read()?) else { continue };
            match view.press(key) {
                Some(Wish::Quit) => return Ok(()),
                Some(wish) => grant(wish),
                None => {}
            }
        }
    }
    Ok(())
}

/// The key of an event, if it is one that the view knows.
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
