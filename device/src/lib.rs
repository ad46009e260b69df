//! Names what a picture shows and draws why, in one pass.
//!
//! [`engine`] runs an explained model, [`screen`] draws what came out of it on anything that can be drawn
//! on, [`frame`] is such a thing in memory. [`cli`] puts them together for pictures in files.

pub mod cli;
pub mod engine;
pub mod frame;
mod isolate;
pub mod screen;
pub mod tiny_model;
