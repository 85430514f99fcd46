//! Watching a service: on a full screen where there is a terminal, else in plain lines.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::live::client::Client;
use crate::live::{Lines, Pace, Told, View, Wish, terminal};

/// How long is waited for something to print before it is looked at the clock.
const LINE_PATIENCE: Duration = Duration::from_millis(50);
/// Models that people understand at once; the first of them that runs is shown first.
pub(super) const PREFERRED: [&str; 2] = ["classic_seven", "retention"];

/// What is watched, and how.
pub(super) struct Watch<'a> {
    pub(super) client: Client,
    /// A few words for the title.
    pub(super) subject: &'a str,
    /// Models whose transitions are printed in plain lines, the first of which is shown first.
    pub(super) models: Vec<String>,
    /// Whether to fill the screen; else plain lines are printed.
    pub(super) fills_screen: bool,
}

/// Why nobody watches any more.
#[derive(Debug)]
pub(super) enum End {
    /// It was asked for, or what there was to see is over.
    Asked(Box<Lines>),
    /// Whoever read the lines has seen enough.
    Closed,
    /// The terminal cannot be used.
    Terminal(io::Error),
}

impl Watch<'_> {
    /// Whether a full screen is to be filled, unless the person asks for lines.
    pub(super) fn fills_screen(asks_for_lines: bool) -> bool {
        !asks_for_lines && terminal::is_at_hand()
    }

    /// Watches until `stop` is set or a key says so. `pace` tells how the customers' time runs where this program rules it, and
    /// `rule` is asked to change that.
    pub(super) fn run(self, stop: &AtomicBool, pace: impl Fn() -> Option<Pace>, rule: impl Fn(&Wish)) -> End {
        let Self { client, subject, models, fills_screen } = self;
        let (tell, told) = mpsc::channel();
        let (look, looks) = mpsc::channel();
        let asking = thread::Builder::new().name("asking".to_owned()).spawn(move || client.follow(&tell, &looks));
        if let Err(error) = asking {
            return End::Terminal(error);
        }
        let lines = Lines::new(&models, io::stdout().is_terminal() && terminal::look().has_color);
        if !fills_screen {
            return print(lines, stop, pace, &told);
        }
        let mut view = View::new(subject, models.first().map(String::as_str));
        let grant = |wish: Wish| match wish {
            // Whoever asks the service has gone only when the service has.
            Wish::Look(id) => drop(look.send(Some(id))),
            Wish::LookAway => drop(look.send(None)),
            Wish::Quit => {}
            other => rule(&other),
        };
        match terminal::show(&mut view, terminal::look(), &told, stop, pace, grant) {
            Ok(()) => End::Asked(Box::new(lines)),
            Err(error) => End::Terminal(error),
        }
    }
}

fn print(mut lines: Lines, stop: &AtomicBool, pace: impl Fn() -> Option<Pace>, told: &Receiver<Told>) -> End {
    let begun = Instant::now();
    let mut out = io::stdout().lock();
    let mut print_one = |lines: &mut Lines| -> io::Result<bool> {
        let told = told.recv_timeout(LINE_PATIENCE);
        let now = begun.elapsed();
        match told {
            Ok(told) => lines.hear(told, now, &mut out)?,
            Err(RecvTimeoutError::Timeout) => out.flush()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(false),
        }
        lines.pass_time(now, pace(), &mut out)?;
        Ok(true)
    };
    while !stop.load(Ordering::Relaxed) {
        match print_one(&mut lines) {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => return End::Closed,
        }
    }
    End::Asked(Box::new(lines))
}
