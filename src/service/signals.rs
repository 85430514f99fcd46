//! Signals: the first asks for a stop in order, the second ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

/// Sets `stop` at the first interrupt or termination; ends the process with `exit_code` at the second,
/// after `last_act`.
///
/// # Errors
/// A sentence: the system lets no signals be waited for.
pub fn stop_on_signals(stop: Arc<AtomicBool>, exit_code: u8, last_act: fn()) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("signals cannot be waited for: {error}"))?;
    let waiting = {
        let _entered = runtime.enter();
        signal(SignalKind::terminate()).and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)))
    };
    let (mut terminate, mut interrupt) = waiting.map_err(|error| format!("signals cannot be waited for: {error}"))?;
    let wait = move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if stop.swap(true, Ordering::Relaxed) {
                    tracing::warn!("second signal: ends at once");
                    last_act();
                    std::process::exit(i32::from(exit_code));
                }
                tracing::info!("signal: stops in order; a second one ends at once");
            }
        });
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .map(drop)
        .map_err(|error| format!("signals cannot be waited for: {error}"))
}
