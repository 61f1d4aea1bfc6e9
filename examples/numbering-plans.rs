//! Prints the numbering plans for the CRM module: `cargo run --example numbering-plans`, as JSON, or with `-- --php` as the
//! file `packaging/vtiger/modules/Calls/lib/Number/plans.php`.
//!
//! They are the ones that `build.rs` makes its table of. `codes` holds, by calling code, the patterns of national numbers (to
//! be anchored at both ends) by kind, and in `formats` how they are dialled at home: the first format whose leading digits (a
//! prefix) and pattern (the whole) match gives the national prefix and, in Argentina, the length of the area code behind which
//! 15 goes. `regions` holds by country: `strip` (what may be a national prefix), `complete` and `complete_with` (local numbers
//! of islands), `international` (what begins a number abroad) and `dialled_abroad`, `shortest_bare` (fewer digits without
//! national prefix are a local number), `mobile_infix`, `national_prefix` (whether there is one).

use std::fmt::Write as _;
use std::io::{Write as _, stdout};

use serde_json::Value;

const PLANS: &str = include_str!(concat!(env!("OUT_DIR"), "/numbering_plans.json"));

fn main() -> std::io::Result<()> {
    if std::env::args().nth(1).as_deref() != Some("--php") {
        return stdout().write_all(PLANS.as_bytes());
    }
    let plans: Value = serde_json::from_str(PLANS)?;
    let mut php = String::from(
        "<?php\n\n/** Numbering plans, written by the connector's build from libphonenumber's. Do not edit. */\n\nreturn ",
    );
    write_php(&plans, 0, &mut php);
    php.push_str(";\n");
    stdout().write_all(php.as_bytes())
}

fn write_php(value: &Value, depth: usize, php: &mut String) {
    match value {
        Value::Object(members) => {
            php.push('[');
            for (key, value) in members {
                // Two levels of lines: a difference between two versions of the plans can be read.
                let lead = if depth < 2 { "\n" } else { "" };
                write!(php, "{lead}'{key}' => ").expect("a string takes all");
                write_php(value, depth + 1, php);
                php.push(',');
            }
            php.push(']');
        }
        Value::Array(values) => {
            php.push('[');
            for value in values {
                write_php(value, depth + 1, php);
                php.push(',');
            }
            php.push(']');
        }
        Value::String(text) => write!(php, "'{}'", text.replace('\\', "\\\\")).expect("a string takes all"),
        other => write!(php, "{other}").expect("a string takes all"),
    }
}
