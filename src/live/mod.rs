//! The full-screen view of a running service, used by `lifecycle demo` and `lifecycle top`.
//!
//! A [client] polls the HTTP API and sends [updates](Update). The [view](View) is the state on display, a function of
//! updates and keys; [`draw()`] renders it. The [terminal] runs the event loop. Only client and terminal block.
//! Without a terminal, a [line printer](LinePrinter) prints the same updates as plain lines.

pub mod client;
mod draw;
mod format;
mod line_printer;
mod overview;
mod recent_metrics;
pub mod terminal;
mod transition_log;
mod update;
mod view;

pub use draw::{Theme, draw};
pub use line_printer::LinePrinter;
pub use overview::Overview;
pub use update::{CustomerPage, ModelStage, ModelStages, StandingRow, TransitionRow, Update};
pub use view::{Action, ClockStatus, Key, View};
