//! PINconnector joins an Asterisk telephone exchange to vTiger CRM.

pub mod ami;
pub mod asterisk;
pub mod clock;
pub mod secret;
