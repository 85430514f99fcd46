//! The HTTP API: probes, metrics, and queries about customers and models. The only async code.
//!
//! Read-only, except that deliveries can be paused. The API shares no customer state with the workers: it sends them
//! queries through channels and waits for the answers with a timeout.

mod authorization;
mod customer_lookup;
mod customers;
mod deliveries;
mod extract;
mod limits;
mod model_graph;
mod models;
mod openapi;
mod overview;
mod parameters;
mod partitions;
mod peers;
mod probes;
mod problem;
mod refused_links;
mod response;
mod route;
mod routes;
mod server;
mod stage_customers;
mod starting;
mod tls;
mod tokens;
mod transitions;
mod workers;

use std::net::TcpListener;
use std::sync::Arc;

use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::Currency;
use crate::lifecycle::time::{self, Timestamp};
use crate::runtime::{RecentTransitions, RefusedLinks};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::status_registry::StatusRegistry;

pub use deliveries::{Deliveries, serve as serve_deliveries};
pub use peers::{FindAddresses, Peers, is_address};
pub use route::Route;
pub use routes::{ROUTES, document};
pub use starting::serve as serve_starting;
pub use tls::{SharedTls, TlsFiles};
pub use tokens::{SharedTokens, Tokens};
pub use workers::WorkerChannels;

/// The state that the routes share.
#[derive(Debug)]
pub struct Api {
    /// The running models.
    pub models: Arc<ModelSet>,
    /// The currency of revenue.
    pub currency: Currency,
    /// The allowed lateness of touchpoints, by which partition clocks trail the current time.
    pub lateness: time::Duration,
    /// Transitions that occurred longer ago than this are published in mode `replay`.
    pub fresh_for: time::Duration,
    /// When the service started.
    pub started_at: Timestamp,
    /// The latest committed transitions.
    pub recent: Arc<RecentTransitions>,
    /// The latest links that identity resolution refused.
    pub refused_links: Arc<RefusedLinks>,
    /// The latest snapshot and heartbeat of each worker.
    pub status_registry: Arc<StatusRegistry>,
    /// The metrics to export, including those of the API.
    pub metrics: Arc<Metrics>,
    /// The channels to the workers, for customer queries.
    pub workers: WorkerChannels,
    /// The other instances of the group; `None` unless this instance advertises its address.
    pub peers: Option<Peers>,
    /// The tokens that requests under `/v1` must send; `None` requires a loopback host name instead.
    pub tokens: Option<SharedTokens>,
    /// The destinations that this process delivers to; `None` without deliveries.
    pub deliveries: Option<Arc<Deliveries>>,
}

/// Where the API is served.
#[derive(Debug)]
pub struct Listeners {
    /// Serves the API; also the probes and the metrics unless they have a listener of their own.
    pub api: TcpListener,
    /// The TLS configuration of `api`.
    pub tls: Option<SharedTls>,
    /// Serves the probes and the metrics, without TLS.
    pub probes: Option<TcpListener>,
}

impl Listeners {
    /// Returns listeners on the same sockets.
    ///
    /// # Errors
    /// If the process has no file descriptors left.
    pub fn try_clone(&self) -> std::io::Result<Self> {
        let probes = self.probes.as_ref().map(TcpListener::try_clone).transpose()?;
        Ok(Self { api: self.api.try_clone()?, tls: self.tls.clone(), probes })
    }
}

/// Serves until `stop` receives a message or its sender is dropped. Blocks the calling thread, the
/// only one that runs async code.
///
/// # Errors
/// When the socket or the async runtime fails.
pub fn serve(listeners: Listeners, api: Api, stop: tokio::sync::oneshot::Receiver<()>) -> std::io::Result<()> {
    let routers = routes::routers(&Arc::new(api), listeners.probes.is_some());
    serve_routers(listeners, routers, stop)
}

fn serve_routers(
    listeners: Listeners,
    routers: server::Routers,
    stop: tokio::sync::oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let Listeners { api: listener, tls, probes } = listeners;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let asynchronous = |listener: TcpListener| {
            listener.set_nonblocking(true)?;
            tokio::net::TcpListener::from_std(listener)
        };
        let serve_probes = match probes {
            Some(probes) => Some(server::serve(asynchronous(probes)?, routers.probes, None)),
            None => None,
        };
        let serve_probes = async {
            match serve_probes {
                Some(serving) => serving.await,
                None => std::future::pending().await,
            }
        };
        // Open connections are closed at once, so that a slow client cannot delay the shutdown.
        tokio::select! {
            () = server::serve(asynchronous(listener)?, routers.api, tls) => Ok(()),
            () = serve_probes => Ok(()),
            _ = stop => Ok(()),
        }
    })
}
