//! Prints the numbering plans as JSON, for the CRM module: `cargo run --example numbering-plans > plans.json`.
//!
//! They are the ones that `build.rs` makes its table of. The object `codes` holds, by calling code, the patterns of national
//! numbers (to be anchored at both ends) by kind, and in `formats` how they are dialled at home: the first format whose
//! leading digits (a prefix) and pattern (the whole) match gives the national prefix and, in Argentina, the length of
//! the area code behind which 15 goes. The object `regions` holds by country: `strip` (what may be a national prefix),
//! `complete` and `complete_with` (local numbers of islands), `international` (what begins a number abroad) and
//! `dialled_abroad`, `shortest_bare` (fewer digits without national prefix are a local number), `mobile_infix`.

use std::io::{Write, stdout};

fn main() -> std::io::Result<()> {
    stdout().write_all(include_bytes!(concat!(env!("OUT_DIR"), "/numbering_plans.json")))
}
