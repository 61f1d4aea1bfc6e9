//! PINconnector joins an Asterisk telephone exchange to vTiger CRM.

pub mod ami;
pub mod asterisk;
pub mod call;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod outbox;
pub mod secret;
pub mod store;
pub mod threads;
