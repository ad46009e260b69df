//! The contract between the trainer and the device.
//!
//! An *explained model* is one ONNX file: an image classifier plus an attention mechanism that yields,
//! in the same pass, a map of where the evidence for a class lies (L-CAM). This crate owns the file
//! ([`onnx`], [`metadata`], [`explained`]) and the arithmetic that both sides must do alike: reading a
//! picture ([`picture`]), preparing it ([`preprocess`]), ranking classes ([`scores`], [`class`]) and
//! scaling and colouring maps ([`map`], [`heat`]). Both write files ([`atomic_file`], [`npy`]) and tell what went
//! wrong ([`messages`]) alike, too.
//!
//! It runs no network: the host does so with libtorch, the device with tract, and neither is known here.

pub mod atomic_file;
pub mod class;
pub mod explained;
pub mod heat;
pub mod map;
pub mod messages;
pub mod metadata;
pub mod npy;
pub mod onnx;
pub mod picture;
pub mod preprocess;
pub mod scores;
