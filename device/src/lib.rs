//! Names what a picture shows and draws why, in one pass.
//!
//! [`engine`] runs an explained model, [`screen`] draws what came out of it on anything that can be drawn
//! on, [`frame`] is such a thing in memory. [`camera`] brings pictures, [`panel`] shows screens, and so do
//! [`browser`] and [`window`]. [`cli`] puts them together.

pub mod board;
pub mod browser;
pub mod buttons;
pub mod camera;
pub mod cli;
pub mod control;
pub mod doctor;
pub mod engine;
pub mod frame;
pub mod gpio;
mod isolate;
mod journal;
pub mod observation;
pub mod panel;
pub mod pipeline;
pub mod processors;
pub mod publish;
pub mod recorder;
pub mod screen;
pub mod service;
mod small_file;
pub mod status;
pub mod timing;
pub mod tiny_model;
mod toml_text;
pub mod window;
