//! PINconnector joins an Asterisk telephone exchange to vTiger CRM.

pub mod ami;
pub mod asterisk;
pub mod call;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crm;
pub mod daemon;
pub mod http;
pub mod outbox;
pub mod phone;
pub mod secret;
pub mod sign;
pub mod store;
pub mod threads;
