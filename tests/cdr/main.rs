//! Call detail records: what Asterisk wrote gives the records that listening would have given, as far as rows can tell.

#[path = "../scenarios/compare.rs"]
mod compare;
mod gaps;
#[path = "../scenarios/play.rs"]
mod play;
mod recorded;
mod sources;
#[path = "../traces/mod.rs"]
mod traces;
