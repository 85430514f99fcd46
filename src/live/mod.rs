//! The full-screen view of a running service: of any that answers over HTTP, and of the one in the demo.
//!
//! In parts that do not know each other: what a service [tells](Told), taken from its answers by a [client]; what
//! the view [shows](View) at a moment, a function of what was told and of keys; how that is [drawn](draw()); and the
//! [terminal], the only part that waits. Where there is no terminal, the same is told in plain [lines](Lines).

pub mod client;
mod draw;
mod lines;
mod log;
mod metrics_page;
mod pulse;
mod state;
pub mod terminal;
mod told;
mod words;

pub use draw::{Look, draw};
pub use lines::Lines;
pub use metrics_page::Figures;
pub use state::{Key, Pace, View, Wish};
pub use told::{CustomerPage, ModelStages, Passed, StageName, Standing, Told};
