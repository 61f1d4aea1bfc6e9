//! The configuration file.
mod document;
mod problem;
