//! Diagrams of models: stages in journey order, the moves between them, and the moves that time alone causes.
//!
//! Pure: converts a checked model to Mermaid, DOT or SVG text. `diagram` decides what to draw; each format has its own
//! file. Not every possible move becomes an arrow, which would make the diagram unreadable.

mod deadline_labels;
mod diagram;
mod dot;
mod language;
mod mermaid;
mod svg;

pub use diagram::{Diagram, Edge, Endpoint, Label, OtherOutput, StageNode, UndrawnMove, diagram, diagrams};
pub use dot::dot;
pub use language::Language;
pub use mermaid::mermaid;
pub use svg::svg;
