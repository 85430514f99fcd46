//! Detects calls into librdkafka that never return.
//!
//! Some calls ignore their timeout: `send_offsets_to_transaction` does when the group coordinator is gone. The thread
//! inside such a call cannot be interrupted, so a second thread watches the deadline and calls a hook when it passes.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Default)]
struct WatchState {
    /// The running call and its deadline.
    call: Option<(&'static str, Instant)>,
    is_stopped: bool,
}

/// A thread that watches the calls of one other thread.
pub(super) struct Watchdog {
    shared: Arc<(Mutex<WatchState>, Condvar)>,
}

impl Watchdog {
    /// Starts a watchdog that calls `on_stuck` with the name of each call that exceeds its timeout.
    pub(super) fn start(on_stuck: fn(&'static str)) -> std::io::Result<Self> {
        let shared = Arc::<(Mutex<WatchState>, Condvar)>::default();
        let shared_with_thread = Arc::clone(&shared);
        thread::Builder::new().name("kafka-watchdog".to_owned()).spawn(move || run(&shared_with_thread, on_stuck))?;
        Ok(Self { shared })
    }

    /// Runs `request` under the watchdog and returns its result.
    pub(super) fn watch<T>(&self, call: &'static str, timeout: Duration, request: impl FnOnce() -> T) -> T {
        self.update(|it| it.call = Some((call, Instant::now() + timeout)));
        let outcome = request();
        self.update(|it| it.call = None);
        outcome
    }

    fn update(&self, change: impl FnOnce(&mut WatchState)) {
        let (watched, changed) = &*self.shared;
        change(&mut lock(watched));
        changed.notify_one();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.update(|it| it.is_stopped = true);
    }
}

fn run(shared: &(Mutex<WatchState>, Condvar), on_stuck: fn(&'static str)) {
    let (watched, changed) = shared;
    let mut it = lock(watched);
    while !it.is_stopped {
        match it.call {
            None => it = changed.wait(it).unwrap_or_else(PoisonError::into_inner),
            Some((call, deadline)) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    it.call = None;
                    drop(it);
                    on_stuck(call);
                    it = lock(watched);
                } else {
                    it = changed.wait_timeout(it, left).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }
}

fn lock(watched: &Mutex<WatchState>) -> MutexGuard<'_, WatchState> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::sync::{Mutex, OnceLock};

    use super::*;

    static STUCK: OnceLock<Mutex<mpsc::Sender<&'static str>>> = OnceLock::new();

    #[test]
    fn only_a_call_that_exceeds_its_timeout_is_reported() {
        let (sender, stuck) = mpsc::channel();
        STUCK.get_or_init(|| Mutex::new(sender));
        let watchdog = Watchdog::start(|call| STUCK.get().unwrap().lock().unwrap().send(call).unwrap()).unwrap();
        watchdog.watch("quick", Duration::from_hours(1), || ());
        let reported = watchdog.watch("slow", Duration::ZERO, || stuck.recv_timeout(Duration::from_secs(30)));
        assert_eq!(reported, Ok("slow"));
        assert!(stuck.try_recv().is_err());
    }
}
