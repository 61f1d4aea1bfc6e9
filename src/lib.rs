//! PINconnector joins an Asterisk telephone exchange to vTiger CRM.

pub mod asterisk;
pub mod call;
pub mod clock;
pub mod outbox;
pub mod phone;
pub mod store;
