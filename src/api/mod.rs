//! HTTP: probes, metrics, and questions about customers and models. The only async code.
//!
//! Reads only. What it says of customers comes from the workers, through a channel and under a deadline; it shares no
//! state with them.

mod answer;
mod customers;
mod extract;
mod guard;
mod limits;
mod model_graph;
mod models;
mod openapi;
mod parameters;
mod partitions;
mod peers;
mod probes;
mod problem;
mod routes;
mod server;
mod transitions;
mod workers;

use std::net::TcpListener;
use std::sync::Arc;

use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::Currency;
use crate::lifecycle::time;
use crate::runtime::{Board, Recent};
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;

pub use guard::Token;
pub use openapi::document;
pub use peers::{FindAddresses, Peers, is_address};
pub use routes::{ROUTES, Route};
pub use workers::Workers;

/// What the routes answer from.
#[derive(Debug)]
pub struct Api {
    /// The models that run.
    pub models: Arc<ModelSet>,
    /// What revenue is counted in.
    pub currency: Currency,
    /// How late touchpoints may arrive, and so how far clocks stay behind.
    pub lateness: time::Duration,
    /// A transition that occurred longer ago than this is old news.
    pub fresh_for: time::Duration,
    /// The latest transitions.
    pub recent: Arc<Recent>,
    /// What the workers say of their partitions.
    pub board: Arc<Board>,
    /// How the workers do.
    pub health: Arc<Health>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whom to ask about customers.
    pub workers: Workers,
    /// The other instances of the group, if this one advertises itself to them.
    pub peers: Option<Peers>,
    /// What requests under `/v1` must bear; `None` asks for a loopback host name instead.
    pub token: Option<Token>,
}

/// Serves until `stop` is dropped or sent. Blocks the calling thread, which is the only one that runs async code.
///
/// # Errors
/// As of the socket.
pub fn serve(listener: TcpListener, api: Arc<Api>, stop: tokio::sync::oneshot::Receiver<()>) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        // Open connections are not waited for: nothing that is asked here is worth a slower stop.
        tokio::select! {
            () = server::serve(listener, routes::router(api)) => Ok(()),
            _ = stop => Ok(()),
        }
    })
}
