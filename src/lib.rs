//! PINconnector joins an Asterisk telephone exchange to vTiger CRM.

pub mod agi;
pub mod asterisk;
pub mod call;
pub mod client;
pub mod clock;
pub mod crm;
pub mod outbox;
pub mod phone;
pub mod secret;
pub mod sign;
pub mod store;
pub mod threads;
