//! The history in MongoDB, on a real mongod 6.0 that `tests/lab/mongod` starts: alone, and three of them as a replica set.

#![cfg(feature = "mongodb")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../store_support/mod.rs"]
mod store_support;
#[path = "../support/mod.rs"]
mod support;

mod alone;
mod copying;
mod desk;
mod lab;
mod pair;
mod replica;
mod secure;
mod suite;
mod whole;
