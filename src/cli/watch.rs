//! Shows a service on a full screen, or in plain lines if there is no terminal. Shared by `top` and `demo`.
//!
//! A separate thread polls the HTTP API, so a slow response does not block keyboard input.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::live::client::Client;
use crate::live::{Action, ClockStatus, LinePrinter, Update, View, terminal};

/// How long the line printer waits for an update before it checks the time.
const LINE_TIMEOUT: Duration = Duration::from_millis(50);
/// Models that are easy to understand without explanation; shown first if the service runs them.
pub(super) const PREFERRED_MODELS: [&str; 2] = ["classic_seven", "retention"];

/// The service to show, and how to show it.
pub(super) struct Watch<'a> {
    pub(super) client: Client,
    /// Title of the view.
    pub(super) title: &'a str,
    /// Models whose transitions the line printer prints. The full-screen view starts with the first one.
    pub(super) models: Vec<String>,
    /// True for the full-screen view, false for plain lines.
    pub(super) is_full_screen: bool,
}

/// Why the view ended.
#[derive(Debug)]
pub(super) enum WatchEnd {
    /// The user quit, or the stop flag was set.
    Stopped(Box<LinePrinter>),
    /// The reader of standard output closed the pipe.
    ReaderClosed,
    /// Terminal input or output failed.
    Terminal(io::Error),
}

impl Watch<'_> {
    /// Returns whether to use the full-screen view: if there is a terminal, and the user has not requested lines.
    pub(super) fn is_full_screen(lines_requested: bool) -> bool {
        !lines_requested && terminal::is_available()
    }

    /// Returns what the second signal does before it ends the process: it restores the terminal that the full-screen
    /// view has changed. Plain lines have changed nothing, and may go to a file.
    pub(super) fn restore(is_full_screen: bool) -> fn() {
        if is_full_screen { terminal::restore } else { || () }
    }

    /// Shows the service until `stop` is set or the user quits.
    ///
    /// In the demo, `clock_status` returns the state of the simulated clock, and `control` receives the actions that
    /// change it.
    pub(super) fn run(
        self,
        stop: &AtomicBool,
        clock_status: impl Fn() -> Option<ClockStatus>,
        control: impl Fn(&Action),
    ) -> WatchEnd {
        let Self { client, title, models, is_full_screen } = self;
        let (update_sender, updates) = mpsc::channel();
        let (customer_sender, customers) = mpsc::channel();
        let poller = thread::Builder::new().name("http-poller".to_owned());
        let poller = poller.spawn(move || client.follow(&update_sender, &customers));
        if let Err(error) = poller {
            return WatchEnd::Terminal(error);
        }
        let lines = LinePrinter::new(&models, io::stdout().is_terminal() && terminal::theme().has_color);
        if !is_full_screen {
            return print(lines, stop, clock_status, &updates);
        }
        let mut view = View::new(title, models.first().map(String::as_str));
        let perform = |action: Action| match action {
            // Sending fails only after the polling thread has ended; then there is no customer to show.
            Action::OpenCustomer(id) => drop(customer_sender.send(Some(id))),
            Action::CloseCustomer => drop(customer_sender.send(None)),
            Action::Quit => {}
            other => control(&other),
        };
        match terminal::show(&mut view, terminal::theme(), &updates, stop, clock_status, perform) {
            Ok(()) => WatchEnd::Stopped(Box::new(lines)),
            Err(error) => WatchEnd::Terminal(error),
        }
    }
}

fn print(
    mut lines: LinePrinter,
    stop: &AtomicBool,
    clock_status: impl Fn() -> Option<ClockStatus>,
    updates: &Receiver<Update>,
) -> WatchEnd {
    let started = Instant::now();
    let mut out = io::stdout().lock();
    let mut print_one = |lines: &mut LinePrinter| -> io::Result<bool> {
        let update = updates.recv_timeout(LINE_TIMEOUT);
        let now = started.elapsed();
        match update {
            Ok(update) => lines.apply(update, now, &mut out)?,
            Err(RecvTimeoutError::Timeout) => out.flush()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(false),
        }
        lines.tick(now, clock_status(), &mut out)?;
        Ok(true)
    };
    while !stop.load(Ordering::Relaxed) {
        match print_one(&mut lines) {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => return WatchEnd::ReaderClosed,
        }
    }
    WatchEnd::Stopped(Box::new(lines))
}
