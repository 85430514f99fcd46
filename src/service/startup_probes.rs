//! The HTTP server of a service that is starting, on the sockets of the service.

use std::thread::{self, JoinHandle};

use crate::api::{self, Listeners};

/// Answers the probes until it is dropped. Then the sockets are free for the server of the service: connections that
/// arrive in between wait in their queue.
#[derive(Debug)]
pub struct StartupProbes {
    /// Ends the server when it is dropped.
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StartupProbes {
    /// Starts the server.
    ///
    /// # Errors
    /// If the sockets or the thread cannot be created.
    pub fn start(listeners: &Listeners) -> Result<Self, String> {
        let listeners = listeners.try_clone().map_err(|error| format!("cannot share the HTTP sockets: {error}"))?;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let serve = move || {
            if let Err(error) = api::serve_starting(listeners, stopped) {
                tracing::error!(%error, "http server failed, the service keeps starting");
            }
        };
        let thread = thread::Builder::new().name("http-start".to_owned()).spawn(serve);
        let thread = thread.map_err(|error| format!("cannot create thread http-start: {error}"))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for StartupProbes {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server has been reported.
            drop(thread.join());
        }
    }
}
