//! Handles SIGTERM and SIGINT: the first signal requests a graceful shutdown, the second exits the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use crate::kafka::exit_process;

/// Sets `stop` at the first SIGTERM or SIGINT. At the second, calls `before_exit` and exits with `exit_code`.
///
/// A separate thread handles the signals, so a blocked caller cannot delay them.
///
/// # Errors
/// If the signal handlers cannot be installed.
pub fn stop_on_signals(stop: Arc<AtomicBool>, exit_code: u8, before_exit: fn()) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot install signal handlers: {error}"))?;
    let handlers = {
        let _entered = runtime.enter();
        signal(SignalKind::terminate()).and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)))
    };
    let (mut terminate, mut interrupt) =
        handlers.map_err(|error| format!("cannot install signal handlers: {error}"))?;
    let wait = move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if stop.swap(true, Ordering::Relaxed) {
                    tracing::warn!("second signal received, exiting immediately");
                    before_exit();
                    exit_process(exit_code);
                }
                tracing::info!("shutting down gracefully; a second signal exits immediately");
            }
        });
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .map(drop)
        .map_err(|error| format!("cannot install signal handlers: {error}"))
}
