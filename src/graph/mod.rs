//! Pictures of models: the stages in the order of the journey, the moves between them, and what time alone does.
//!
//! Pure: a checked model goes in, text comes out (Mermaid, DOT or SVG). What is drawn is decided in `picture`, how it looks
//! in one file for each format. Not every possible move is an arrow: a picture of all of them would show nothing.

mod dot;
mod mermaid;
mod picture;
mod svg;
mod times;
mod words;

pub use dot::dot;
pub use mermaid::mermaid;
pub use picture::{Beside, Edge, End, Label, Note, Picture, StageBox, picture, pictures};
pub use svg::svg;
pub use words::Language;
