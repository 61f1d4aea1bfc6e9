//! Call detail records: what Asterisk wrote gives the records that listening would have given, as far as rows can tell.

#[path = "../scenarios/compare.rs"]
mod compare;
mod recorded;
#[path = "../traces/mod.rs"]
mod traces;
