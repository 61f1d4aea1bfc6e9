//! What tests of the whole process stand on: the program itself, an exchange at one socket, a CRM at the other.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod crm;
pub mod office;
pub mod program;
#[path = "../traces/mod.rs"]
pub mod traces;
pub mod vtiger;
