//! The sender threads of a worker: each sends one batch at a time.
//!
//! A thread that panics reports it instead of a result. Its batch would otherwise stay in flight, and the customers in
//! it would wait, without any sign.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::deliver::sender::{TaskItem, TaskResult};
use crate::kafka::{self, ErrorCode, Reaction};

/// A batch of deliveries.
pub(super) type Task = Vec<TaskItem>;

struct SenderThread {
    tasks: mpsc::Sender<Task>,
    is_idle: bool,
}

/// The threads, and the channel on which they return results.
pub(super) struct Senders {
    threads: Vec<SenderThread>,
    /// The index of the thread, and its result; `None` if the thread has panicked.
    results: Receiver<(usize, Option<TaskResult>)>,
}

impl Senders {
    /// Starts `count` threads that pass their tasks to `send`. `destination` is part of their names.
    ///
    /// # Errors
    /// If a thread cannot be created.
    pub(super) fn start(
        destination: &str,
        count: usize,
        send: impl Fn(Task) -> TaskResult + Send + Sync + 'static,
    ) -> Result<Self, kafka::Error> {
        let send = Arc::new(send);
        let (done, results) = mpsc::channel();
        let mut threads = Vec::new();
        for index in 0..count {
            let (tasks, inbox) = mpsc::channel::<Task>();
            let (send, done) = (Arc::clone(&send), done.clone());
            let spawned = thread::Builder::new().name(format!("send-{destination}-{index}")).spawn(move || {
                while let Ok(task) = inbox.recv() {
                    let result = catch_unwind(AssertUnwindSafe(|| send(task))).ok();
                    if done.send((index, result)).is_err() {
                        return;
                    }
                }
            });
            spawned.map_err(|error| {
                let what = format!("cannot start a thread: {error}");
                kafka::Error::new(Reaction::Fatal, "start", ErrorCode::Thread, what)
            })?;
            threads.push(SenderThread { tasks, is_idle: true });
        }
        Ok(Self { threads, results })
    }

    /// Returns the number of threads that are sending.
    pub(super) fn busy_count(&self) -> usize {
        self.threads.iter().filter(|it| !it.is_idle).count()
    }

    /// Hands a task to an idle thread; the caller has checked that there is one.
    pub(super) fn hand_over(&mut self, task: Task) {
        let idle = self.threads.iter_mut().find(|it| it.is_idle);
        let idle = idle.expect("the gate permits at most as many tasks as there are threads");
        idle.is_idle = false;
        // A thread ends only when its channel is dropped.
        drop(idle.tasks.send(task));
    }

    /// Waits up to `timeout` for a result; `None` if there is none in time.
    ///
    /// # Errors
    /// `Fatal` if the thread has panicked.
    pub(super) fn receive(&mut self, timeout: Duration) -> Result<Option<TaskResult>, kafka::Error> {
        match self.results.recv_timeout(timeout) {
            Ok((index, Some(result))) => {
                self.threads[index].is_idle = true;
                Ok(Some(result))
            }
            Ok((_, None)) => {
                let what = "a sender panicked, which is a bug; the message is above";
                Err(kafka::Error::new(Reaction::Fatal, "deliver", ErrorCode::Unspecified, what))
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than any thread needs to start.
    const TIMEOUT: Duration = Duration::from_mins(1);

    #[test]
    fn a_sender_that_panics_reports_it_and_the_others_go_on() {
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let send = move |_: Task| {
            let call = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            assert!(call != 1, "the second batch is the one that panics");
            TaskResult::default()
        };
        let mut senders = Senders::start("shop", 2, send).expect("two threads");
        senders.hand_over(Vec::new());
        assert_eq!(senders.receive(TIMEOUT).expect("no panic"), Some(TaskResult::default()));
        senders.hand_over(Vec::new());
        let error = senders.receive(TIMEOUT).expect_err("a panic is an error");
        assert_eq!(error.reaction, Reaction::Fatal);
        assert!(error.to_string().contains("a sender panicked"), "{error}");
        senders.hand_over(Vec::new());
        assert_eq!(senders.busy_count(), 2, "the thread that panicked gets no further batch");
        assert_eq!(senders.receive(TIMEOUT).expect("no panic"), Some(TaskResult::default()));
    }
}
