//! Ends the wait for a call that never returns.
//!
//! Some calls of the client library ignore their timeout (`send_offsets_to_transaction` when the group coordinator has
//! gone). The thread inside such a call cannot be freed, so a second one watches, and calls the hook it was given.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Default)]
struct Watched {
    call: Option<(&'static str, Instant)>,
    is_over: bool,
}

/// Watches the calls of one thread.
pub(super) struct Watchdog {
    shared: Arc<(Mutex<Watched>, Condvar)>,
}

impl Watchdog {
    /// Starts a watchdog that calls `on_stuck` with the name of a call that outlasts its patience.
    pub(super) fn start(on_stuck: fn(&'static str)) -> std::io::Result<Self> {
        let shared = Arc::<(Mutex<Watched>, Condvar)>::default();
        let theirs = Arc::clone(&shared);
        thread::Builder::new().name("kafka-watchdog".to_owned()).spawn(move || watch(&theirs, on_stuck))?;
        Ok(Self { shared })
    }

    /// Makes the call `act` under the eyes of the watchdog.
    pub(super) fn during<T>(&self, call: &'static str, patience: Duration, act: impl FnOnce() -> T) -> T {
        self.tell(|it| it.call = Some((call, Instant::now() + patience)));
        let outcome = act();
        self.tell(|it| it.call = None);
        outcome
    }

    fn tell(&self, change: impl FnOnce(&mut Watched)) {
        let (watched, told) = &*self.shared;
        change(&mut lock(watched));
        told.notify_one();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.tell(|it| it.is_over = true);
    }
}

fn watch(shared: &(Mutex<Watched>, Condvar), on_stuck: fn(&'static str)) {
    let (watched, told) = shared;
    let mut it = lock(watched);
    while !it.is_over {
        match it.call {
            None => it = told.wait(it).unwrap_or_else(PoisonError::into_inner),
            Some((call, deadline)) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    it.call = None;
                    drop(it);
                    on_stuck(call);
                    it = lock(watched);
                } else {
                    it = told.wait_timeout(it, left).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }
}

fn lock(watched: &Mutex<Watched>) -> MutexGuard<'_, Watched> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::sync::{Mutex, OnceLock};

    use super::*;

    static STUCK: OnceLock<Mutex<mpsc::Sender<&'static str>>> = OnceLock::new();

    #[test]
    fn a_call_that_outlasts_its_patience_is_reported_and_others_are_not() {
        let (sender, stuck) = mpsc::channel();
        STUCK.get_or_init(|| Mutex::new(sender));
        let watchdog = Watchdog::start(|call| STUCK.get().unwrap().lock().unwrap().send(call).unwrap()).unwrap();
        watchdog.during("quick", Duration::from_hours(1), || ());
        let reported = watchdog.during("slow", Duration::ZERO, || stuck.recv_timeout(Duration::from_secs(30)));
        assert_eq!(reported, Ok("slow"));
        assert!(stuck.try_recv().is_err());
    }
}
