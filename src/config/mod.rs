//! The configuration file.
pub mod document;
pub mod problem;
